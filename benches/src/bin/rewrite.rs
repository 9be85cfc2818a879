//! What it takes to upsert the same points again and again in batches, beside inserting them: the ratio, and what writers waited for.
//!
//! `cargo run --release -p vectordb-benches --bin rewrite -- --points 20000 --dim 384`

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use vectordb_benches::synthetic::Random;
use vectordb_core::{Collection, Database, Point, Status};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A batch that took longer waited for something.
const LONG: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 20_000)]
    points: u64,
    #[arg(long, default_value_t = 384)]
    dim: usize,
    /// Points of one upsert.
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Rounds after the first, which inserts.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut random = Random::new(1, 1);
    let points: Vec<Point> = (0..args.points)
        .map(|id| Point::new(id, (0..args.dim).map(|_| random.normal()).collect::<Vec<f32>>()).payload(&json!({"n": id})))
        .collect::<vectordb_core::Result<_>>()?;
    let dir = tempfile::tempdir()?;
    let db = Database::open(dir.path())?;
    let docs = db.collection("docs").dim(args.dim).create()?;
    let inserted = round(&docs, &points, args.batch)?;
    for number in 1..=args.rounds {
        // Only after the first round everything is built before the next one begins.
        if number == 1 {
            rest(&docs)?;
        }
        let again = round(&docs, &points, args.batch)?;
        println!("round {number}: {:.1} times as long as inserting", again.as_secs_f64() / inserted.as_secs_f64());
    }
    Ok(())
}

/// Upserts all points; the time it took.
fn round(docs: &Collection, points: &[Point], batch: usize) -> Result<Duration> {
    let (mut took, mut long) = (Duration::ZERO, Vec::new());
    let ended = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| -> Result<Vec<(Instant, String)>> {
        let looking = scope.spawn(|| looks(docs, &ended));
        let written = points.chunks(batch).try_for_each(|some| -> Result<()> {
            let some = some.to_vec();
            let start = Instant::now();
            docs.upsert(some)?;
            took += start.elapsed();
            if start.elapsed() > LONG {
                long.push(start..Instant::now());
            }
            Ok(())
        });
        ended.store(true, Ordering::Relaxed);
        let looks = looking.join().map_err(|_| "the thread that looks has panicked")??;
        written.map(|()| looks)
    })?;
    let waited: Duration = long.iter().map(|long| long.end - long.start).sum();
    let mut jobs = BTreeMap::new();
    for (_, job) in looks.iter().filter(|(at, _)| long.iter().any(|long| long.contains(at))) {
        *jobs.entry(job).or_insert(0) += 1;
    }
    println!("{took:.2?}, of it {waited:.2?} in batches above {LONG:?}; looks at what went on meanwhile: {jobs:?}");
    Ok(took)
}

/// What goes on in the background, every few milliseconds.
fn looks(docs: &Collection, ended: &AtomicBool) -> vectordb_core::Result<Vec<(Instant, String)>> {
    let mut looks = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let job = docs.info()?.running_job.map_or_else(|| "nothing".to_owned(), |job| format!("{:?}", job.kind));
        looks.push((Instant::now(), job));
        sleep(Duration::from_millis(5));
    }
    Ok(looks)
}

/// Returns when nothing is left to do.
fn rest(docs: &Collection) -> Result<()> {
    while docs.info()?.status != Status::Green {
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
