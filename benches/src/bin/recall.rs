//! Recall against queries per second, with and without filters, of a set of vectors in files.
//!
//! `cargo run --release -p vectordb-benches --bin recall -- --data DIR`
//!
//! One process builds the database; another one opens it and asks, so that memory and time to open are those of a fresh start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use vectordb_benches::process::{cpu_seconds, disk_bytes, memory_mb, thread_cpu_seconds};
use vectordb_benches::sets::{ATTRS, SELECTIVITIES, Set};
use vectordb_core::{
    BinaryEncoding, BinaryQuantization, Collection, CollectionConfig, Condition, ConfigDiff, Database, FieldSchema, FieldTest, Filter,
    HnswConfig, OptimizersConfig, PayloadSelector, Point, QuantizationConfig, Range, ScalarQuantization, SearchRequest, Strategy,
    TurboQuantization, VectorParams,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const LIMIT: usize = 10;
/// The recall that a filtered search must reach.
const RECALL: f64 = 0.98;

#[derive(Parser, Clone)]
struct Args {
    /// Directory with base.npy, queries.npy, gt_ids.npy, attrs.npy and meta.json.
    #[arg(long)]
    data: PathBuf,
    /// Sizes of the candidate list to measure at.
    #[arg(long, value_delimiter = ',', default_value = "10,12,16,20,24,32,40,48,64,80,96,128,160,200,256,400")]
    ef: Vec<usize>,
    /// Candidate lists of filtered searches; the fastest that reaches a recall of 0.98 counts.
    #[arg(long, value_delimiter = ',', default_value = "16,24,32,48,64,96,128,200,300,400,600")]
    filtered_ef: Vec<usize>,
    /// Force a way through filtered searches.
    #[arg(long, value_enum)]
    strategy: Option<Way>,
    /// Links per point.
    #[arg(long, default_value_t = 16)]
    m: usize,
    /// Candidate list while building.
    #[arg(long, default_value_t = 200)]
    ef_construct: usize,
    /// Codes to search by.
    #[arg(long, value_enum, default_value_t = Codes::Auto)]
    codes: Codes,
    /// Take the order that codes give for the answer, without scoring the best of it by their vectors.
    #[arg(long)]
    no_rescore: bool,
    /// Score so many times more than are wanted by their vectors, instead of what the segment has learned.
    #[arg(long, conflicts_with = "no_rescore")]
    oversampling: Option<f64>,
    /// Keep vectors and payloads on disk, out of memory as far as possible.
    #[arg(long)]
    on_disk: bool,
    /// Where the database lives; a temporary directory, removed afterwards, if nothing is said. An existing one is asked as it is.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave out filtered searches.
    #[arg(long)]
    skip_filtered: bool,
    /// Leave out batches on all processors.
    #[arg(long)]
    skip_batch: bool,
    /// Most queries.
    #[arg(long, default_value_t = 1000)]
    queries: usize,
    /// One line of JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Ask the database in `--dir`: what this program starts itself for.
    #[arg(long, hide = true)]
    ask: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    Scan,
    FilteredGraph,
    Graph,
    Clusters,
}

impl Way {
    fn strategy(self) -> Strategy {
        match self {
            Self::Scan => Strategy::Scan,
            Self::FilteredGraph => Strategy::FilteredGraph,
            Self::Graph => Strategy::Graph,
            Self::Clusters => Strategy::Clusters,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Codes {
    Auto,
    Off,
    Scalar,
    Turbo4,
    Binary1,
    Binary2,
}

impl Codes {
    fn config(self) -> Option<QuantizationConfig> {
        let binary = |encoding| QuantizationConfig::Binary(BinaryQuantization { encoding: Some(encoding), ..Default::default() });
        match self {
            Self::Auto => None,
            Self::Off => Some(QuantizationConfig::Off),
            Self::Scalar => Some(QuantizationConfig::Scalar(ScalarQuantization::default())),
            Self::Turbo4 => Some(QuantizationConfig::Turbo(TurboQuantization::default())),
            Self::Binary1 => Some(binary(BinaryEncoding::OneBit)),
            Self::Binary2 => Some(binary(BinaryEncoding::TwoBits)),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Report {
    points: usize,
    dim: usize,
    qps_at_090: Option<f64>,
    qps_at_095: Option<f64>,
    qps_at_099: Option<f64>,
    /// Of everything between the first point and the finished graph.
    ingest_cpu_s: f64,
    /// Of indexing alone.
    build_cpu_s: f64,
    ingest_points_per_s: f64,
    peak_rss_mb: f64,
    rss_mb: f64,
    disk_mb: f64,
    reopen_ms: f64,
    batch_speedup: Option<f64>,
    sweep: Vec<At>,
    filtered: Vec<Cell>,
}

#[derive(Clone, Serialize, Deserialize)]
struct At {
    ef: usize,
    recall: f64,
    qps: f64,
    p50_us: f64,
    p99_us: f64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Cell {
    kind: String,
    selectivity: f64,
    ef: usize,
    recall: f64,
    qps: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let set = Set::open(&args.data)?;
    if args.ask {
        let dir = args.dir.clone().ok_or("--ask needs --dir")?;
        println!("{}", serde_json::to_string(&ask(&args, &set, &dir)?)?);
        return Ok(());
    }
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("db"));
    let built = if dir.exists() { Report::default() } else { build(&args, set, &dir)? };
    let arguments = std::env::args().skip(1).chain(["--ask".into(), "--dir".into(), dir.display().to_string()]);
    let arguments = drop_first_dir(arguments.collect());
    let output = Command::new(std::env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the asking process failed".into());
    }
    let asked: Report = serde_json::from_slice(&output.stdout)?;
    let Report { ingest_cpu_s, build_cpu_s, ingest_points_per_s, peak_rss_mb, .. } = built;
    let report = Report { ingest_cpu_s, build_cpu_s, ingest_points_per_s, peak_rss_mb, ..asked };
    if args.json {
        println!("{}", serde_json::to_string(&report)?)
    } else {
        show(&report)
    }
    Ok(())
}

/// An argument may be given once; the last `--dir` is the one that counts.
fn drop_first_dir(mut arguments: Vec<String>) -> Vec<String> {
    let places: Vec<usize> = (0..arguments.len()).filter(|&at| arguments[at] == "--dir").collect();
    if let [first, _] = places[..] {
        arguments.drain(first..first + 2);
    }
    arguments
}

fn build(args: &Args, set: Set, dir: &Path) -> Result<Report> {
    let mut params = VectorParams::new(set.base.dim, set.distance);
    params.on_disk = args.on_disk.then_some(true);
    let mut config = CollectionConfig::unnamed(set.base.dim, set.distance);
    config.vectors.insert(String::new(), params);
    config.hnsw_config = HnswConfig { m: args.m, ef_construct: args.ef_construct, ..HnswConfig::default() };
    config.quantization_config = args.codes.config();
    // Everything is indexed at the end, once.
    config.optimizers_config.indexing_threshold = Some(0);
    let database = Database::open(dir)?;
    let collection = database.create_collection("set", config)?;
    for attr in ATTRS {
        collection.create_index(attr, FieldSchema::integer())?;
    }
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let bar = ProgressBar::new(set.base.len as u64);
    bar.set_style(ProgressStyle::with_template("{msg:10} {bar:40} {pos}/{len} {eta}")?);
    bar.set_message("writing");
    for batch in (0..set.base.len).collect::<Vec<_>>().chunks(1000) {
        let points = batch.iter().map(|&row| {
            let attrs = set.attrs.row(row);
            Point::new(row as u64, set.base.row(row).to_vec()).payload(&serde_json::json!({ ATTRS[0]: attrs[0], ATTRS[1]: attrs[1] }))
        });
        collection.upsert(points.collect::<std::result::Result<Vec<_>, _>>()?)?;
        bar.inc(batch.len() as u64);
    }
    let points = set.base.len;
    drop(set);
    bar.set_message("indexing");
    let written_cpu = cpu_seconds();
    collection.update_config(&ConfigDiff { optimizers_config: Some(OptimizersConfig::default()), ..ConfigDiff::default() })?;
    std::thread::scope(|scope| {
        let job = scope.spawn(|| collection.optimize());
        while !job.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(100));
            if let Some(running) = collection.info().ok().and_then(|info| info.running_job) {
                bar.set_position(running.done);
            }
        }
        job.join().map_err(|_| "the indexing thread failed")?.map_err(|error| error.to_string())
    })?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report {
        ingest_cpu_s: cpu_seconds() - cpu,
        build_cpu_s: cpu_seconds() - written_cpu,
        ingest_points_per_s: points as f64 / seconds,
        peak_rss_mb: memory_mb()[1],
        ..Report::default()
    })
}

fn ask(args: &Args, set: &Set, dir: &Path) -> Result<Report> {
    let start = Instant::now();
    let database = Database::open(dir)?;
    let collection = database.get("set")?;
    let reopen_ms = start.elapsed().as_secs_f64() * 1e3;
    let queries = set.queries.len.min(args.queries);
    let mut report = Report { points: set.base.len, dim: set.base.dim, reopen_ms, ..Report::default() };
    let truth: Vec<Vec<i32>> = (0..queries).map(|query| set.truth.row(query)[..LIMIT].to_vec()).collect();
    for &ef in &args.ef {
        let requests: Vec<SearchRequest> = (0..queries).map(|query| request(args, set, query, ef, None)).collect();
        let (qps, recall, (p50_us, p99_us)) = measure(&collection, &requests, &truth)?;
        report.sweep.push(At { ef, recall, qps, p50_us, p99_us });
    }
    report.rss_mb = memory_mb()[0];
    report.disk_mb = disk_bytes(dir) as f64 / (1 << 20) as f64;
    [report.qps_at_090, report.qps_at_095, report.qps_at_099] = [0.90, 0.95, 0.99].map(|recall| qps_at(&report.sweep, recall));
    if !args.skip_batch {
        report.batch_speedup = Some(batch_speedup(args, set, &collection, queries)?);
    }
    if !args.skip_filtered {
        report.filtered = filtered(args, set, &collection, queries.min(200))?;
    }
    Ok(report)
}

fn request(args: &Args, set: &Set, query: usize, ef: usize, filter: Option<Filter>) -> SearchRequest {
    let mut request = SearchRequest::new(set.queries.row(query).to_vec());
    request.limit = LIMIT;
    request.filter = filter;
    request.params.hnsw_ef = Some(ef);
    request.params.quantization.rescore = args.no_rescore.then_some(false);
    request.params.quantization.oversampling = args.oversampling;
    request.with_payload = PayloadSelector::None;
    request
}

/// Queries per second of CPU in the best round, recall, and median and 99th percentile of the times in microseconds.
fn measure(collection: &Collection, requests: &[SearchRequest], truth: &[Vec<i32>]) -> Result<(f64, f64, (f64, f64))> {
    let (mut best, mut found, mut all) = (f64::INFINITY, 0, 0);
    let mut times = Vec::with_capacity(requests.len());
    let start = Instant::now();
    let mut round = 0;
    while round < 3 || (start.elapsed().as_secs_f64() < 0.6 && round < 50) {
        let cpu = thread_cpu_seconds();
        times.clear();
        for (request, truth) in requests.iter().zip(truth) {
            let begin = Instant::now();
            let hits = collection.query(request)?;
            times.push(begin.elapsed().as_secs_f64() * 1e6);
            if round == 0 {
                let ids: Vec<i32> = hits.iter().filter_map(|hit| hit.id.to_string().parse().ok()).collect();
                found += truth.iter().filter(|row| ids.contains(row)).count();
                all += truth.len();
            }
        }
        if round > 0 {
            best = best.min(thread_cpu_seconds() - cpu);
        }
        round += 1;
    }
    let at = |times: &mut Vec<f64>, share| vectordb_benches::exact::quantile(times, share);
    let quantiles = (at(&mut times, 0.5), at(&mut times, 0.99));
    Ok((requests.len() as f64 / best, found as f64 / f64::from(all.max(1) as u32), quantiles))
}

/// The most queries per second at a recall, between the measured points in a straight line.
fn qps_at(sweep: &[At], recall: f64) -> Option<f64> {
    let reached = sweep.iter().filter(|at| at.recall >= recall).map(|at| at.qps);
    let between = sweep.windows(2).filter(|pair| pair[0].recall < recall && pair[1].recall >= recall).map(|pair| {
        let share = (recall - pair[0].recall) / (pair[1].recall - pair[0].recall);
        pair[0].qps + share * (pair[1].qps - pair[0].qps)
    });
    reached.chain(between).max_by(f64::total_cmp)
}

/// How many times faster a batch is on all processors than one query after another.
fn batch_speedup(args: &Args, set: &Set, collection: &Collection, queries: usize) -> Result<f64> {
    let requests: Vec<SearchRequest> = (0..queries).map(|query| request(args, set, query, 128, None)).collect();
    let (mut alone, mut together) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let start = Instant::now();
        for request in &requests {
            collection.query(request)?;
        }
        alone = alone.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        collection.query_batch(&requests)?;
        together = together.min(start.elapsed().as_secs_f64());
    }
    Ok(alone / together)
}

fn filtered(args: &Args, set: &Set, collection: &Collection, queries: usize) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for (column, kind) in ATTRS.iter().enumerate() {
        for selectivity in SELECTIVITIES {
            let range = |query: usize| Set::window(query, selectivity);
            let measured: Vec<usize> = (0..queries).collect();
            let truth = set.exact(&measured, LIMIT, |query, row| range(query).contains(&set.attrs.row(row)[column]));
            let requests = |ef| {
                let one = |query: usize| {
                    let range = range(query);
                    let range = Range { gte: Some(f64::from(range.start)), lt: Some(f64::from(range.end)), ..Range::default() };
                    let condition = Condition::Field { key: kind.parse()?, test: FieldTest::Range(range) };
                    let mut request = request(args, set, query, ef, Some(Filter { must: vec![condition], ..Filter::default() }));
                    request.params.strategy = args.strategy.map(Way::strategy);
                    Ok(request)
                };
                (0..queries).map(one).collect::<Result<Vec<_>>>()
            };
            let mut best: Option<Cell> = None;
            for &ef in &args.filtered_ef {
                let (qps, recall, _) = measure(collection, &requests(ef)?, &truth)?;
                let cell = Cell { kind: (*kind).into(), selectivity, ef, recall, qps };
                let better = |old: &Cell| if old.recall >= RECALL { recall >= RECALL && qps > old.qps } else { recall > old.recall };
                if best.as_ref().is_none_or(better) {
                    best = Some(cell);
                }
                // A larger candidate list only costs more, but where another strategy takes over; one step more will tell.
                if best.as_ref().is_some_and(|best| best.recall >= RECALL && best.ef < ef) {
                    break;
                }
            }
            cells.extend(best);
        }
    }
    Ok(cells)
}

fn show(report: &Report) {
    println!("{} points of {} dimensions", report.points, report.dim);
    println!(
        "ingest {:.0} points/s, {:.1} CPU s, indexing {:.1} CPU s",
        report.ingest_points_per_s, report.ingest_cpu_s, report.build_cpu_s
    );
    println!(
        "memory {:.0} MB (peak while building {:.0} MB), disk {:.0} MB, reopen {:.0} ms",
        report.rss_mb, report.peak_rss_mb, report.disk_mb, report.reopen_ms
    );
    println!("\n{:>6} {:>8} {:>10} {:>8} {:>8}", "ef", "recall", "queries/s", "p50 us", "p99 us");
    for at in &report.sweep {
        println!("{:>6} {:>8.4} {:>10.0} {:>8.0} {:>8.0}", at.ef, at.recall, at.qps, at.p50_us, at.p99_us);
    }
    for (recall, qps) in [(0.90, report.qps_at_090), (0.95, report.qps_at_095), (0.99, report.qps_at_099)] {
        println!("queries/s at recall {recall:.2}: {}", qps.map_or("not reached".into(), |qps| format!("{qps:.0}")));
    }
    if let Some(speedup) = report.batch_speedup {
        println!("a batch on all processors is {speedup:.2} times as fast");
    }
    for cell in &report.filtered {
        println!(
            "{:>10} {:>6.1} %  ef {:>3}  recall {:.4}  {:>8.0} queries/s",
            cell.kind,
            cell.selectivity * 100.0,
            cell.ef,
            cell.recall,
            cell.qps
        );
    }
}
