//! How fast a server answers: so many clients that ask one request after the other, searches or uploads, over REST or gRPC.
//!
//! What the server adds is measured against the engine itself: a second side, which asks the same questions of the same files in
//! this process (`--storage-path`). The sides take turns, a slice of time each, so that a machine that is slower for a while is
//! slower for both.
//!
//! Files: `questions` (what is asked), the sides `rest`, `grpc` and `engine`, `upload` (what is stored), `report` (numbers).

mod engine;
mod grpc;
mod questions;
mod report;
mod rest;
mod upload;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::client::ServerArgs;
use super::failure::Failure;
use super::output::{count_bar, json as print_json};
use questions::Questions;
use report::{Figures, Report, Seen, Took};

/// Where gRPC is spoken, if nothing is said.
const GRPC_URI: &str = "http://127.0.0.1:6334";
/// How long a side's turn is.
const TURN: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// The collection, which is there already.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// Clients that ask at a time, each over a connection of its own.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,
    /// Ask over gRPC, at this address.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = GRPC_URI)]
    grpc: Option<String>,
    /// Seconds to measure, after a fifth of them to warm up; uploads take as long as they take.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Vectors to search for, an .npy file; some of the collection's own, if nothing is said.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// The vector to search, or to store, where vectors have names.
    #[arg(long, value_name = "NAME")]
    vector: Option<String>,
    /// Points that are asked for.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// A filter, as the API has it; over gRPC of matches and ranges.
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Parameters of the search, as the API has them; over gRPC `hnsw_ef`, `exact` and `indexed_only`.
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Take turns with the engine in this process, which reads the server's directory of data, and tell what the server adds.
    /// The collection has one shard.
    #[arg(long, value_name = "DIR", conflicts_with = "upload")]
    storage_path: Option<PathBuf>,
    /// Store these vectors instead of searching, an .npy file; the numbers of rows become ids.
    #[arg(long, value_name = "FILE")]
    upload: Option<PathBuf>,
    /// Payloads of the points to store, one a line, as JSON.
    #[arg(long, value_name = "FILE", requires = "upload")]
    payloads: Option<PathBuf>,
    /// Points that are stored at once.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// One client's side of a measurement: a server over a connection, or the engine.
trait Side {
    /// Asks the question of this number.
    fn ask(&mut self, question: usize) -> Result<Took, Failure>;
}

pub(super) fn run(arguments: &Bench) -> Result<(), Failure> {
    let report = match &arguments.upload {
        Some(file) => upload::run(arguments, file)?,
        None => search(arguments)?,
    };
    if arguments.json {
        print_json(&report);
    } else {
        report.print(if arguments.upload.is_some() { "points" } else { "queries" });
    }
    if report.server.requests == 0 { Err(Failure::new("no request was answered")) } else { Ok(()) }
}

impl Bench {
    fn door(&self) -> &'static str {
        if self.grpc.is_some() { "grpc" } else { "rest" }
    }
}

fn search(arguments: &Bench) -> Result<Report, Failure> {
    let questions = Questions::of(arguments)?;
    let engine = arguments.storage_path.as_deref().map(|path| engine::Engine::open(path, arguments, &questions)).transpose()?;
    let sides = || -> Result<Vec<Box<dyn Side + '_>>, Failure> {
        let server: Box<dyn Side> = match &arguments.grpc {
            Some(uri) => Box::new(grpc::Grpc::new(arguments, uri, &questions)?),
            None => Box::new(rest::Rest::new(arguments, &questions)?),
        };
        Ok(std::iter::once(server).chain(engine.iter().map(|engine| Box::new(engine.clone()) as Box<dyn Side>)).collect())
    };
    // What is wrong with all requests is told at once.
    for mut side in sides()? {
        side.ask(0)?;
    }
    let count = 1 + u32::from(engine.is_some());
    let length = Duration::from_secs(u64::from(arguments.seconds)) * count;
    let clock = Clock { begin: Instant::now() + length / 5, length, sides: count };
    let next = AtomicUsize::new(0);
    let bar = count_bar("measuring", length.as_secs());
    let seen: Vec<Vec<Seen>> = std::thread::scope(|scope| {
        let work = || measured(sides(), &clock, &next, questions.len());
        let threads: Vec<_> = (0..arguments.clients).map(|_| scope.spawn(work)).collect();
        while !clock.is_over() {
            std::thread::sleep(Duration::from_millis(100));
            bar.set_position(clock.begin.elapsed().as_secs());
        }
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    bar.finish_and_clear();
    let mut by_side: Vec<Vec<Seen>> = (0..count).map(|_| Vec::new()).collect();
    seen.into_iter().for_each(|client| by_side.iter_mut().zip(client).for_each(|(side, seen)| side.push(seen)));
    by_side.iter().flatten().filter_map(|seen| seen.error.as_ref()).take(1).for_each(|error| eprintln!("vectordb: {error}"));
    let mut figures = by_side.into_iter().map(|seen| Figures::of(seen, f64::from(arguments.seconds), 1.0));
    let server = figures.next().unwrap_or_default();
    Ok(Report::new(arguments.door(), arguments.clients, server, figures.next()))
}

/// When which side's turn is.
#[derive(Debug)]
struct Clock {
    /// When what is measured counts.
    begin: Instant,
    length: Duration,
    sides: u32,
}

impl Clock {
    fn is_over(&self) -> bool {
        self.begin.elapsed() >= self.length
    }

    /// The side whose turn it is, and whether it counts.
    fn turn(&self) -> (usize, bool) {
        let warmup = self.length / 5;
        let passed = (Instant::now() + warmup).saturating_duration_since(self.begin);
        let turn = passed.as_millis() / TURN.as_millis() % u128::from(self.sides);
        (usize::try_from(turn).unwrap_or(0), passed >= warmup)
    }
}

/// One client's work: for each side what it saw.
fn measured(sides: Result<Vec<Box<dyn Side + '_>>, Failure>, clock: &Clock, next: &AtomicUsize, questions: usize) -> Vec<Seen> {
    let mut sides = match sides {
        Ok(sides) => sides,
        Err(error) => return vec![Seen { errors: 1, error: Some(error.to_string()), ..Seen::default() }],
    };
    let mut seen: Vec<Seen> = sides.iter().map(|_| Seen::default()).collect();
    while !clock.is_over() {
        let (side, counts) = clock.turn();
        let answer = sides[side].ask(next.fetch_add(1, Ordering::Relaxed) % questions);
        if !counts {
            continue;
        }
        let seen = &mut seen[side];
        match answer {
            Ok(took) => seen.times.push(took),
            Err(error) => {
                seen.errors += 1;
                seen.error.get_or_insert(error.to_string());
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_take_turns() {
        let now = Instant::now();
        let at = |begin| Clock { begin, length: Duration::from_secs(2), sides: 2 }.turn();
        let (first, counts) = at(now + Duration::from_millis(390));
        assert!(first == 0 && !counts);
        assert_eq!(at(now), (1, true), "the second turn of a warm-up of 400 ms goes on");
        assert!(Clock { begin: now, length: Duration::ZERO, sides: 1 }.is_over());
    }
}
