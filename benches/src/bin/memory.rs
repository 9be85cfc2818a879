//! Memory: does the report add up to what the system says, and does the engine live within a hard limit?
//!
//! `cargo run --release -p vectordb-benches --bin memory -- --json`
//!
//! Each configuration is loaded, optimised, opened again and asked by a process of its own, and once more asked by a fresh
//! one. Then a process is put into a control group whose limit is a share of the data; it loads, optimises, opens again and
//! answers, and is not to be killed.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde_json::{Value, json};
use vectordb_benches::exact::{Nearest, distance};
use vectordb_benches::process::memory_mb;
use vectordb_benches::synthetic::Source;
use vectordb_core::{
    Collection, CollectionConfig, Database, DatabaseMemory, Distance, ErrorKind, FieldSchema, Memory, MemoryLimit, Options,
    PayloadSelector, Point, QuantizationConfig, SearchRequest, TurboQuantization,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const LIMIT: usize = 10;
const EF: usize = 128;
const BATCH: usize = 200;
/// Most seconds that a refused batch is offered again.
const PATIENCE: u64 = 120;

#[derive(Parser)]
struct Args {
    /// Points to load.
    #[arg(long, default_value_t = 100_000)]
    points: usize,
    /// Dimensions.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Queries.
    #[arg(long, default_value_t = 200)]
    queries: usize,
    /// Share of the vectors' bytes that the limited process may have.
    #[arg(long, default_value_t = 0.3)]
    share: f64,
    /// Where files are written; a temporary directory, removed afterwards, if nothing is said. Not in memory: its files would
    /// count against the limit.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave out the five configurations.
    #[arg(long)]
    skip_report: bool,
    /// Leave out the hard limit.
    #[arg(long)]
    skip_limit: bool,
    /// JSON on the standard output instead of tables.
    #[arg(long)]
    json: bool,
    /// What this program starts itself for.
    #[arg(long, hide = true, value_enum)]
    run: Option<Setup>,
    /// A limit that the engine is told of, in bytes; without it, it finds that of its control group.
    #[arg(long)]
    memory_limit: Option<u64>,
    /// Only open and ask.
    #[arg(long, hide = true)]
    ask: bool,
    /// A control group to enter first.
    #[arg(long, hide = true)]
    group: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setup {
    Defaults,
    Pinned,
    Cold,
    NoCodes,
    Indexes,
    Limited,
}

/// A field and what kind of index it has.
type Index = (&'static str, fn() -> FieldSchema);

impl Setup {
    const REPORTED: [Self; 5] = [Self::Defaults, Self::Pinned, Self::Cold, Self::NoCodes, Self::Indexes];

    fn name(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Pinned => "pinned",
            Self::Cold => "cold",
            Self::NoCodes => "no-codes",
            Self::Indexes => "indexes",
            Self::Limited => "limited",
        }
    }

    fn config(self, dim: usize) -> CollectionConfig {
        let mut config = CollectionConfig::unnamed(dim, Distance::Euclid);
        match self {
            Self::Defaults | Self::Indexes | Self::Limited => {}
            Self::Pinned => config.vectors.values_mut().for_each(|params| params.memory = Some(Memory::Pinned)),
            Self::Cold => {
                config.vectors.values_mut().for_each(|params| params.memory = Some(Memory::Cold));
                config.hnsw_config.memory = Some(Memory::Cold);
                config.payload_memory = Some(Memory::Cold);
                let codes = TurboQuantization { memory: Some(Memory::Cold), ..TurboQuantization::default() };
                config.quantization_config = Some(QuantizationConfig::Turbo(codes));
            }
            Self::NoCodes => config.quantization_config = Some(QuantizationConfig::Off),
        }
        config
    }

    fn indexes(self) -> &'static [Index] {
        const ALL: [Index; 8] = [
            ("n", FieldSchema::integer),
            ("word", FieldSchema::keyword),
            ("key", FieldSchema::keyword),
            ("price", FieldSchema::float),
            ("sold", FieldSchema::bool),
            ("at", FieldSchema::datetime),
            ("place", FieldSchema::geo),
            ("text", FieldSchema::text),
        ];
        if self == Self::Indexes { &ALL } else { &ALL[..1] }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let (Some(setup), Some(dir)) = (args.run, &args.dir) {
        let result = child(&args, setup, dir)?;
        println!("{result}");
        return Ok(());
    }
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().into());
    std::fs::create_dir_all(&dir)?;
    prepare(&args, &dir)?;
    let mut reports = Vec::new();
    for setup in Setup::REPORTED.into_iter().filter(|_| !args.skip_report) {
        for ask in [false, true] {
            eprintln!("{}, {}", setup.name(), if ask { "a fresh process" } else { "loading" });
            let output = spawn(&args, setup, &dir, ask, None)?;
            reports.push(json!({"setup": setup.name(), "fresh": ask, "report": output.result.ok_or("the process failed")?}));
        }
        std::fs::remove_dir_all(dir.join(setup.name()))?;
    }
    let limited = if args.skip_limit { Value::Null } else { limited(&args, &dir)? };
    let result = json!({"points": args.points, "dim": args.dim, "reports": reports, "limited": limited});
    if args.json {
        println!("{result}");
    } else {
        show(&result);
    }
    if limited["killed"] == true { Err("the limited process was killed".into()) } else { Ok(()) }
}

/// Writes vectors, queries and the exact answers to files, so that a limited process need not hold what makes them.
fn prepare(args: &Args, dir: &Path) -> Result<()> {
    let source = Source::new(1, args.dim);
    let mut base = std::io::BufWriter::new(std::fs::File::create(dir.join("base"))?);
    for number in 0..args.points as u64 {
        base.write_all(bytemuck::cast_slice(&source.vector(number)))?;
    }
    base.flush()?;
    let queries: Vec<Vec<f32>> = (0..args.queries as u64).map(|number| source.query(number)).collect();
    let nearest = |query: &Vec<f32>| {
        let mut nearest = Nearest::new(LIMIT);
        let mut vector = vec![0.0; args.dim];
        for number in 0..args.points as u64 {
            source.fill(number, &mut vector);
            nearest.offer(distance(&vector, query));
        }
        nearest
    };
    eprintln!("exact answers to {} queries over {} points", args.queries, args.points);
    let truth: Vec<Nearest> = queries.par_iter().map(nearest).collect();
    let worst: Vec<f32> = truth.iter().map(Nearest::worst).collect();
    std::fs::write(dir.join("queries"), bytemuck::cast_slice(&queries.concat()))?;
    std::fs::write(dir.join("worst"), bytemuck::cast_slice(&worst))?;
    Ok(())
}

/// What became of a process.
struct Outcome {
    result: Option<Value>,
    killed: bool,
}

fn spawn(args: &Args, setup: Setup, dir: &Path, ask: bool, group: Option<&Path>) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--run", setup.name(), "--points", &args.points.to_string(), "--dim", &args.dim.to_string()]);
    command.args(["--queries", &args.queries.to_string()]).arg("--dir").arg(dir);
    if ask {
        command.arg("--ask");
    } else if dir.join(setup.name()).exists() {
        std::fs::remove_dir_all(dir.join(setup.name()))?;
    }
    if let Some(bytes) = args.memory_limit {
        command.args(["--memory-limit", &bytes.to_string()]);
    }
    if let Some(group) = group {
        command.arg("--group").arg(group);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let killed = output.status.code().is_none();
    if !output.status.success() {
        eprintln!("{}: {}", setup.name(), output.status);
    }
    let result = if output.status.success() { Some(serde_json::from_slice(&output.stdout)?) } else { None };
    Ok(Outcome { result, killed })
}

fn child(args: &Args, setup: Setup, dir: &Path) -> Result<Value> {
    if let Some(group) = &args.group {
        std::fs::write(group.join("cgroup.procs"), std::process::id().to_string())?;
    }
    let path = dir.join(setup.name());
    let mut loaded = Value::Null;
    if !args.ask {
        let database = open(args, &path)?;
        let collection = database.create_collection("set", setup.config(args.dim))?;
        for (field, schema) in setup.indexes() {
            collection.create_index(field, schema())?;
        }
        let refused = load(args, &collection, dir)?;
        progress("loaded");
        let mut waits = None;
        if let Err(error) = collection.optimize() {
            if error.kind() != ErrorKind::Unavailable {
                return Err(error.into());
            }
            waits = Some(error.to_string());
        }
        loaded = json!({"refused": refused, "waits": waits, "peak_mb": memory_mb()[1]});
        progress("optimised");
        drop(collection);
        database.close()?;
    }
    let database = open(args, &path)?;
    let collection = database.get("set")?;
    let [recall, exact_recall] = ask(args, &collection, dir)?;
    let memory = database.memory()?;
    let [resident_mb, peak_mb] = memory_mb();
    let info = collection.info()?;
    Ok(json!({
        "loaded": loaded,
        "recall": recall,
        "exact_recall": exact_recall,
        "segments": info.segments.len(),
        "points": info.points,
        "indexed_vectors": info.indexed_vectors,
        "deferred_job": info.deferred_job,
        "vm_rss_mb": resident_mb,
        "vm_hwm_mb": peak_mb,
        "difference": differences(&memory, resident_mb),
        "memory": memory,
    }))
}

fn open(args: &Args, path: &Path) -> Result<Database> {
    let limit = args.memory_limit.map_or(MemoryLimit::Auto, MemoryLimit::Bytes);
    Ok(Database::open_with(path, Options::default().memory_limit(limit))?)
}

fn progress(what: &str) {
    let [resident, peak] = memory_mb();
    eprintln!("  {what}: {resident:.1} MB resident, {peak:.1} MB at most");
}

/// Percent of the resident set that the named parts miss: counted and measured ones alone, and with the allocator's.
fn differences(memory: &DatabaseMemory, resident_mb: f64) -> Value {
    let Some(process) = memory.process else { return Value::Null };
    let named = memory.total.total().resident_bytes() + process.code_bytes + process.stack_bytes;
    let percent = |bytes: u64| (resident_mb - bytes as f64 / f64::from(1 << 20)) / resident_mb * 100.0;
    json!({"without_allocator_percent": percent(named), "percent": percent(named + process.allocator_bytes)})
}

/// Returns how often a batch was refused for want of memory and offered again.
fn load(args: &Args, collection: &Collection, dir: &Path) -> Result<u64> {
    let mut base = std::fs::File::open(dir.join("base"))?;
    let mut refused = 0;
    let bar = ProgressBar::new(args.points as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}")?);
    for from in (0..args.points).step_by(BATCH) {
        let count = BATCH.min(args.points - from);
        let mut numbers = vec![0f32; count * args.dim];
        base.read_exact(bytemuck::cast_slice_mut(&mut numbers))?;
        let points = || numbers.chunks(args.dim).zip(from..).map(|(vector, id)| point(id as u64, vector)).collect::<Vec<_>>();
        let mut tries = 0;
        while let Err(error) = collection.upsert(points()) {
            if error.kind() != ErrorKind::Unavailable || tries == PATIENCE * 10 {
                return Err(error.into());
            }
            tries += 1;
            refused += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    Ok(refused)
}

fn point(id: u64, vector: &[f32]) -> Point {
    let payload = json!({
        "n": id % 1000,
        "word": format!("word {}", id % 500),
        "key": format!("key-{id}"),
        "price": (id * 7919 % 100_000) as f64 / 100.0,
        "sold": id.is_multiple_of(3),
        "at": format!("2024-{:02}-{:02}T00:00:00Z", id % 12 + 1, id % 28 + 1),
        "place": {"lon": (id % 360) as f64 - 180.0, "lat": (id % 170) as f64 - 85.0},
        "text": format!("the {} quick {} brown fox {}", id % 97, id % 1009, id % 5003),
    });
    Point { payload: payload.as_object().cloned().unwrap_or_default(), ..Point::new(id, vector.to_vec()) }
}

/// Recall of searches as they are, and of exact ones, which must be 1.
fn ask(args: &Args, collection: &Collection, dir: &Path) -> Result<[f64; 2]> {
    let queries = numbers(&dir.join("queries"))?;
    let worst = numbers(&dir.join("worst"))?;
    let (mut found, mut exact) = (0, 0);
    let exact_queries = args.queries.min(20);
    for (number, (query, worst)) in queries.chunks(args.dim).zip(&worst).enumerate() {
        let mut request = SearchRequest::new(query.to_vec());
        request.limit = LIMIT;
        request.params.hnsw_ef = Some(EF);
        request.with_payload = PayloadSelector::None;
        // Scores are distances, and those of whole numbers are exact but for the root.
        let good = |request: &SearchRequest| -> Result<usize> {
            Ok(collection.query(request)?.iter().filter(|hit| hit.score <= worst.sqrt() * 1.000_01).count())
        };
        found += good(&request)?;
        if number < exact_queries {
            request.params.exact = true;
            exact += good(&request)?;
        }
    }
    Ok([found as f64 / (args.queries * LIMIT) as f64, exact as f64 / (exact_queries * LIMIT) as f64])
}

fn numbers(path: &Path) -> Result<Vec<f32>> {
    Ok(std::fs::read(path)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Runs one process in a control group.
fn limited(args: &Args, dir: &Path) -> Result<Value> {
    let data = args.points * args.dim * 4;
    let bytes = (data as f64 * args.share) as u64;
    let group = match Group::make(bytes) {
        Ok(group) => group,
        Err(error) => {
            eprintln!("the hard limit is skipped, since no control group can be made: {error}");
            return Ok(json!({"skipped": error.to_string()}));
        }
    };
    eprintln!("{bytes} bytes for a process with {data} bytes of vectors, by {}", group.path.display());
    let outcome = spawn(args, Setup::Limited, dir, false, Some(&group.path))?;
    Ok(json!({
        "limit_bytes": bytes,
        "data_bytes": data,
        "killed": outcome.killed,
        "most_bytes": group.most_bytes(),
        "result": outcome.result,
    }))
}

/// A control group that is removed at the end.
struct Group {
    path: PathBuf,
}

impl Group {
    fn make(bytes: u64) -> std::io::Result<Self> {
        let name = format!("vectordb-memory-{}", std::process::id());
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no tree of groups for memory");
        for (tree, file) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let group = match std::fs::create_dir(Path::new(tree).join(&name)) {
                Ok(()) => Self { path: Path::new(tree).join(&name) },
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            // The system puts the file there; where it does not, the directory is no group, or none that can be limited.
            let file = group.path.join(file);
            let limited = std::fs::OpenOptions::new().write(true).open(file).and_then(|mut file| write!(file, "{bytes}"));
            match limited {
                Ok(()) => return Ok(group),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The most memory that its processes had, page cache included.
    fn most_bytes(&self) -> Option<u64> {
        let read = |file| std::fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok();
        read("memory.max_usage_in_bytes").or_else(|| read("memory.peak"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that a dying process is still in cannot be removed at once.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("{} could not be removed", self.path.display());
    }
}

fn show(result: &Value) {
    let mb = |bytes: &Value| bytes.as_f64().unwrap_or(0.0) / f64::from(1 << 20);
    println!("{:<10} {:>6} {:>9} {:>8} {:>8} {:>10} {:>8}", "setup", "fresh", "VmRSS MB", "code", "stacks", "allocator", "missing");
    for each in result["reports"].as_array().into_iter().flatten() {
        let report = &each["report"];
        let process = &report["memory"]["process"];
        println!(
            "{:<10} {:>6} {:>9.1} {:>8.1} {:>8.1} {:>10.1} {:>6.1} %",
            each["setup"].as_str().unwrap_or_default(),
            each["fresh"].as_bool().unwrap_or_default(),
            report["vm_rss_mb"].as_f64().unwrap_or(0.0),
            mb(&process["code_bytes"]),
            mb(&process["stack_bytes"]),
            mb(&process["allocator_bytes"]),
            report["difference"]["percent"].as_f64().unwrap_or(0.0),
        );
    }
    println!("limited: {}", serde_json::to_string_pretty(&result["limited"]).unwrap_or_default());
}
