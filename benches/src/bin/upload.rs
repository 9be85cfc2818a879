//! How long batches take while several threads upload as fast as they can: points a second, and the median, the 99th percentile
//! and the longest of the batches. The first round inserts, the others upsert the same points again.
//!
//! `cargo run --release -p vectordb-benches --bin upload -- --points 100000 --dim 256`

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use vectordb_benches::synthetic::Random;
use vectordb_core::{Collection, Database, Point};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 100_000)]
    points: usize,
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Points of one upsert.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    #[arg(long, default_value_t = 4)]
    threads: usize,
    #[arg(long, default_value_t = 2)]
    rounds: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir()?;
    let db = Database::open(dir.path())?;
    let docs = db.collection("docs").dim(args.dim).create()?;
    for number in 0..args.rounds {
        let start = Instant::now();
        let mut took = round(&docs, &args)?;
        let per_second = args.points as f64 / start.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1000.0;
        println!(
            "round {number}: {per_second:.0} points/s; a batch takes {:.1} ms, p99 {:.0} ms, longest {:.0} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

/// Upserts all points; how long each batch took.
fn round(docs: &Collection, args: &Args) -> Result<Vec<Duration>> {
    let (next, took) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let upload = || -> Result<()> {
            loop {
                let first = next.fetch_add(args.batch, Ordering::Relaxed);
                if first >= args.points {
                    return Ok(());
                }
                let points = batch(first..args.points.min(first + args.batch), args.dim)?;
                let start = Instant::now();
                docs.upsert(points)?;
                took.lock().map_err(|_| "a thread has panicked")?.push(start.elapsed());
            }
        };
        let threads: Vec<_> = (0..args.threads).map(|_| scope.spawn(upload)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread has panicked")?)
    })?;
    Ok(took.into_inner().map_err(|_| "a thread has panicked")?)
}

/// Points with random vectors, the same ones each time.
fn batch(ids: std::ops::Range<usize>, dim: usize) -> Result<Vec<Point>> {
    let mut random = Random::new(ids.start as u64, 1);
    let mut point = |id: usize| {
        let vector: Vec<f32> = (0..dim).map(|_| random.normal()).collect();
        Ok(Point::new(id as u64, vector).payload(&json!({"n": id}))?)
    };
    ids.map(&mut point).collect()
}
