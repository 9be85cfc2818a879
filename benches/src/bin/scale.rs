//! How time, memory, disk and recall grow with the number of points.
//!
//! `cargo run --release -p vectordb-benches --bin scale -- --steps 100000,1000000`

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde::Serialize;
use vectordb_benches::exact::{Found, Nearest, distance, quantile};
use vectordb_benches::process::{disk_bytes, memory_mb};
use vectordb_benches::synthetic::{Random, Source};
use vectordb_core::{Collection, Condition, Database, Distance, FieldSchema, FieldTest, Point, PointId, Range};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const LIMIT: usize = 10;
const FILTERS: usize = 3;

#[derive(Parser)]
struct Args {
    /// Points of the largest database.
    #[arg(long, default_value_t = 1_000_000)]
    points: u64,
    /// Numbers of points to measure at, each in a database of its own, ascending; `points` alone if nothing is said.
    #[arg(long, value_delimiter = ',')]
    steps: Vec<u64>,
    /// Dimensions.
    #[arg(long, default_value_t = 128)]
    dim: usize,
    /// What the vectors and queries are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Queries.
    #[arg(long, default_value_t = 200)]
    queries: u64,
    /// Points of a write.
    #[arg(long, default_value_t = 1000)]
    batch: u64,
    /// Where to put the databases, which are removed afterwards.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// One line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Default, Serialize)]
struct Step {
    points: u64,
    ingest_s: f64,
    index_s: f64,
    points_per_s: f64,
    segments: usize,
    rss_mb: f64,
    peak_rss_mb: f64,
    disk_mb: f64,
    reopen_ms: f64,
    recall_at_10: f64,
    p50_us: f64,
    p99_us: f64,
    filtered_10_recall: f64,
    filtered_10_p50_us: f64,
    filtered_10_p99_us: f64,
    filtered_1_recall: f64,
    filtered_1_p50_us: f64,
    filtered_1_p99_us: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let steps = if args.steps.is_empty() { vec![args.points] } else { args.steps.clone() };
    if !steps.is_sorted() {
        return Err("the steps must ascend".into());
    }
    let source = Source::new(args.seed, args.dim);
    let mut truth = Truth::new(&source, args.queries);
    let mut done = Vec::new();
    for &points in &steps {
        truth.extend(&source, points);
        done.push(measure_step(&args, &source, &truth, points)?);
    }
    if args.json {
        println!("{}", serde_json::json!({ "dim": args.dim, "seed": args.seed, "queries": args.queries, "steps": done }));
    } else {
        show(&args, &done);
    }
    Ok(())
}

/// Payload of a point, from its number alone.
fn group(number: u64) -> u64 {
    Random::new(7, number).below(10)
}

fn rank(number: u64) -> u64 {
    Random::new(8, number).below(1000)
}

/// The filters a query is asked with: none, a tenth of the points, a hundredth.
fn conditions(query: u64) -> vectordb_core::Result<[Option<Condition>; FILTERS]> {
    let (group, rank) = wanted(query);
    let group = Condition::Field { key: "group".parse()?, test: FieldTest::Value((group as i64).into()) };
    let range = Range { gte: Some(rank as f64), lt: Some((rank + 10) as f64), ..Range::default() };
    Ok([None, Some(group), Some(Condition::Field { key: "rank".parse()?, test: FieldTest::Range(range) })])
}

fn wanted(query: u64) -> (u64, u64) {
    (query % 10, query * 37 % 990)
}

/// The same filters once more, by hand.
fn allowed(query: u64, number: u64) -> [bool; FILTERS] {
    let (wanted_group, wanted_rank) = wanted(query);
    [true, group(number) == wanted_group, (wanted_rank..wanted_rank + 10).contains(&rank(number))]
}

/// Exact answers over the first `points` vectors. These are made anew instead of kept, so that the memory measured is the
/// engine's.
struct Truth {
    points: u64,
    queries: Vec<Vec<f32>>,
    nearest: Vec<[Nearest; FILTERS]>,
}

impl Truth {
    fn new(source: &Source, queries: u64) -> Self {
        let queries: Vec<Vec<f32>> = (0..queries).map(|query| source.query(query)).collect();
        let nearest = queries.iter().map(|_| [(); FILTERS].map(|()| Nearest::new(LIMIT))).collect();
        Self { points: 0, queries, nearest }
    }

    fn extend(&mut self, source: &Source, points: u64) {
        const BLOCK: u64 = 8192;
        let bar = bar(points - self.points, "exact answers");
        for start in (self.points..points).step_by(BLOCK as usize) {
            let numbers = start..(start + BLOCK).min(points);
            let block: Vec<(u64, Vec<f32>)> = numbers.into_par_iter().map(|number| (number, source.vector(number))).collect();
            self.queries.par_iter().zip(&mut self.nearest).enumerate().for_each(|(query, (vector, nearest))| {
                for (number, candidate) in &block {
                    let distance = distance(candidate, vector);
                    for (nearest, allowed) in nearest.iter_mut().zip(allowed(query as u64, *number)) {
                        if allowed {
                            nearest.offer(distance);
                        }
                    }
                }
            });
            bar.inc(block.len() as u64);
        }
        bar.finish_and_clear();
        self.points = points;
    }
}

fn measure_step(args: &Args, source: &Source, truth: &Truth, points: u64) -> Result<Step> {
    let room = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let path = room.path().join("scale.vdb");
    let mut step = Step { points, ..Step::default() };
    fill(args, source, &path, &mut step)?;
    step.disk_mb = disk_bytes(&path) as f64 / 1e6;

    let start = Instant::now();
    let db = Database::open(&path)?;
    let collection = db.collection("scale").open()?;
    collection.search(&truth.queries[0]).limit(LIMIT).run()?;
    step.reopen_ms = start.elapsed().as_secs_f64() * 1e3;
    if collection.count(None, true)? != points {
        return Err("points were lost by reopening".into());
    }

    [step.recall_at_10, step.p50_us, step.p99_us] = measure_searches(&collection, source, truth, 0)?;
    [step.filtered_10_recall, step.filtered_10_p50_us, step.filtered_10_p99_us] = measure_searches(&collection, source, truth, 1)?;
    [step.filtered_1_recall, step.filtered_1_p50_us, step.filtered_1_p99_us] = measure_searches(&collection, source, truth, 2)?;
    [step.rss_mb, step.peak_rss_mb] = memory_mb();
    db.close()?;
    Ok(step)
}

/// Stores and indexes the points.
fn fill(args: &Args, source: &Source, path: &Path, step: &mut Step) -> Result<()> {
    let start = Instant::now();
    let db = Database::open(path)?;
    let collection = db.collection("scale").dim(args.dim).distance(Distance::Euclid).create()?;
    collection.create_index("group", FieldSchema::integer())?;
    collection.create_index("rank", FieldSchema::integer())?;
    let storing = bar(step.points, "storing");
    for first in (0..step.points).step_by(args.batch.max(1) as usize) {
        let numbers = first..(first + args.batch.max(1)).min(step.points);
        let count = numbers.end - first;
        collection.upsert(
            numbers.map(|number| Point::new(number, source.vector(number)).with("group", group(number)).with("rank", rank(number))),
        )?;
        storing.inc(count);
    }
    storing.finish_and_clear();
    step.ingest_s = start.elapsed().as_secs_f64();
    let indexing = Instant::now();
    optimize(&collection)?;
    step.index_s = indexing.elapsed().as_secs_f64();
    step.segments = collection.info()?.segments.iter().filter(|segment| segment.rows > 0).count();
    step.points_per_s = step.points as f64 / (step.ingest_s + step.index_s);
    db.close()?;
    Ok(())
}

/// Optimizes, and shows how far it is.
fn optimize(collection: &Collection) -> Result<()> {
    let finished = AtomicBool::new(false);
    let bar = bar(1, "indexing");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !finished.load(Ordering::Relaxed) {
                if let Some(job) = collection.info().ok().and_then(|info| info.running_job) {
                    bar.set_length(job.total);
                    bar.set_position(job.done);
                }
                std::thread::park_timeout(Duration::from_millis(500));
            }
        });
        let result = collection.optimize();
        finished.store(true, Ordering::Relaxed);
        result
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Recall, median and 99th percentile of the queries with one of their filters.
fn measure_searches(collection: &Collection, source: &Source, truth: &Truth, filter: usize) -> Result<[f64; 3]> {
    let ask = |query: usize| {
        let search = collection.search(&truth.queries[query]).limit(LIMIT);
        let condition = conditions(query as u64)?[filter].clone();
        let search = if let Some(condition) = condition { search.filter(condition) } else { search };
        let start = Instant::now();
        let hits = search.run()?;
        Ok::<_, vectordb_core::Error>((hits, start.elapsed().as_secs_f64() * 1e6))
    };
    let mut found = Found::default();
    for (query, vector) in truth.queries.iter().enumerate() {
        let (hits, _) = ask(query)?;
        let numbers = hits.iter().filter_map(|hit| if let PointId::Num(number) = hit.id { Some(number) } else { None });
        let numbers: Vec<u64> = numbers.collect();
        let nearest = &truth.nearest[query][filter];
        if numbers.len() != nearest.len() || !numbers.iter().all(|&number| allowed(query as u64, number)[filter]) {
            return Err(format!("query {query} with filter {filter} came back with the wrong points").into());
        }
        found += nearest.found(numbers.iter().map(|&number| distance(&source.vector(number), vector)));
    }
    let mut times = Vec::new();
    while times.len() < 1000 {
        for query in 0..truth.queries.len() {
            times.push(ask(query)?.1);
        }
    }
    Ok([found.recall(), quantile(&mut times, 0.5), quantile(&mut times, 0.99)])
}

fn bar(len: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>14} {wide_bar} {human_pos}/{human_len} {eta}");
    let bar = ProgressBar::new(len).with_message(what);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn show(args: &Args, steps: &[Step]) {
    println!("{} dimensions, {} queries, seed {}", args.dim, args.queries, args.seed);
    type Figure = (&'static str, fn(&Step) -> f64, usize);
    let figures: [Figure; 17] = [
        ("ingest, s", |step| step.ingest_s, 1),
        ("index, s", |step| step.index_s, 1),
        ("points/s, both", |step| step.points_per_s, 0),
        ("segments", |step| step.segments as f64, 0),
        ("memory, MB", |step| step.rss_mb, 0),
        ("peak memory, MB", |step| step.peak_rss_mb, 0),
        ("disk, MB", |step| step.disk_mb, 0),
        ("reopen, ms", |step| step.reopen_ms, 1),
        ("recall@10", |step| step.recall_at_10, 4),
        ("p50, µs", |step| step.p50_us, 0),
        ("p99, µs", |step| step.p99_us, 0),
        ("recall@10, 10 %", |step| step.filtered_10_recall, 4),
        ("p50, 10 %, µs", |step| step.filtered_10_p50_us, 0),
        ("p99, 10 %, µs", |step| step.filtered_10_p99_us, 0),
        ("recall@10, 1 %", |step| step.filtered_1_recall, 4),
        ("p50, 1 %, µs", |step| step.filtered_1_p50_us, 0),
        ("p99, 1 %, µs", |step| step.filtered_1_p99_us, 0),
    ];
    print!("{:<18}", "points");
    steps.iter().for_each(|step| print!("{:>12}", step.points));
    println!("{}", if steps.len() > 1 { "      growth" } else { "" });
    for (name, figure, digits) in figures {
        print!("{name:<18}");
        steps.iter().for_each(|step| print!("{:>12.digits$}", figure(step)));
        if let [first, .., last] = steps {
            print!("{:>11.2}x", figure(last) / figure(first));
        }
        println!();
    }
}
