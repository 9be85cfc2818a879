//! Readers and writers at once, for as long as asked: what readers see must be whole at every moment, the recall must
//! not suffer, and background work must not stop the searches.
//!
//! `cargo run --release -p vectordb-benches --bin soak -- --seconds 120 --readers 4 --writers 2`
//!
//! Points come in pairs that are written, changed and deleted together, in one batch, with one serial number. A reader
//! that ever sees half of a pair, or two serials, has seen half of a batch. The serial of a point also says which vector
//! it has, so every score is checked against the vector its payload names.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use rayon::prelude::*;
use serde::Deserialize;
use vectordb_benches::exact::{Found, Nearest, distance, quantile};
use vectordb_benches::synthetic::{Random, Source};
use vectordb_core::{
    Collection, Condition, Database, Distance, FieldSchema, FieldTest, Payload, Point, PointId, Range, Record, ScoredPoint, ScrollRequest,
    Update, VectorSelector,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DIM: usize = 96;
const LIMIT: usize = 10;
const QUERIES: u64 = 200;
/// Pairs that exist from the beginning, and pairs that may.
const FIRST_PAIRS: u64 = 25_000;
const PAIRS: u64 = 35_000;

#[derive(Parser)]
struct Args {
    /// How long readers and writers run together.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Searching threads.
    #[arg(long, default_value_t = 4)]
    readers: u64,
    /// Writing threads.
    #[arg(long, default_value_t = 2)]
    writers: u64,
    /// What the vectors and the choices are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// What is stored with a point.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Facts {
    pair: u64,
    group: u64,
    rank: u64,
    /// Which of its vectors the point has.
    version: u64,
    /// Changes with every write to the pair.
    serial: u64,
}

struct Soak {
    source: Source,
    collection: Collection,
    seed: u64,
    stop: AtomicBool,
    /// Whether background work is under way.
    working: AtomicBool,
    /// A pair of the batch each writer is writing: the place where half a batch would show.
    hot: Vec<AtomicU64>,
    searches: AtomicU64,
    writes: AtomicU64,
    violations: AtomicU64,
}

/// Times of searches, in microseconds.
#[derive(Default)]
struct Times {
    quiet: Vec<f64>,
    /// While background work was under way.
    working: Vec<f64>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The number of violations.
fn run(args: &Args) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let db = Database::open(directory.path().join("soak.vdb"))?;
    let soak = Soak {
        source: Source::new(args.seed, DIM),
        collection: db.collection("soak").dim(DIM).distance(Distance::Euclid).create()?,
        seed: args.seed,
        stop: AtomicBool::new(false),
        working: AtomicBool::new(false),
        hot: (0..args.writers.max(1)).map(|_| AtomicU64::new(0)).collect(),
        searches: AtomicU64::new(0),
        writes: AtomicU64::new(0),
        violations: AtomicU64::new(0),
    };
    soak.preload()?;
    let recall_before = soak.recall()?;
    // As many readers as later, so that writers and background work are all that is different.
    let idle_seconds = (args.seconds / 6).clamp(2, 20);
    let mut before = soak.phase("before", args.readers, 0, idle_seconds)?;
    let during = soak.phase("during", args.readers, args.writers, args.seconds)?;
    let recall_after = soak.recall()?;
    let mut after = soak.phase("after", args.readers, 0, idle_seconds)?;
    soak.collection.verify()?;

    before.quiet.append(&mut before.working);
    after.quiet.append(&mut after.working);
    let mut rows =
        [("idle before", before.quiet), ("writing", during.quiet), ("writing, merging", during.working), ("idle after", after.quiet)]
            .map(|(name, mut times)| (name, times.len(), quantile(&mut times, 0.5), quantile(&mut times, 0.99)));
    let [idle, _, merge, _] = rows;
    // Without a single search during background work there is nothing to compare.
    let ratio = (merge.1 > 0 && idle.3 > 0.0).then(|| merge.3 / idle.3);
    let violations = soak.violations.load(Ordering::Relaxed);
    let [searches, writes] = [&soak.searches, &soak.writes].map(|count| count.load(Ordering::Relaxed));
    if args.json {
        let line = serde_json::json!({
            "seconds": args.seconds, "searches": searches, "writes": writes, "violations": violations,
            "recall_before": recall_before, "recall_after": recall_after,
            "p50_idle_us": idle.2, "p99_idle_us": idle.3, "p50_write_us": rows[1].2, "p99_write_us": rows[1].3,
            "p50_merge_us": merge.2, "p99_merge_us": merge.3, "p99_after_us": rows[3].3, "merge_searches": merge.1, "ratio": ratio,
        });
        println!("{line}");
    } else {
        println!("{searches} searches, {writes} writes, {violations} violations, seed {}", args.seed);
        println!("recall@10 {recall_before:.4} before, {recall_after:.4} after\n");
        println!("{:<18} {:>10} {:>10} {:>10}", "searches", "count", "p50 µs", "p99 µs");
        for (name, count, p50, p99) in &mut rows {
            println!("{name:<18} {count:>10} {p50:>10.0} {p99:>10.0}");
        }
        println!("{:<18} {:>32}", "merging / idle", ratio.map_or_else(|| "no merge seen".to_owned(), |ratio| format!("{ratio:.2}")));
    }
    db.close()?;
    Ok(violations)
}

impl Soak {
    fn preload(&self) -> Result<()> {
        for (field, schema) in [("group", FieldSchema::integer()), ("rank", FieldSchema::integer()), ("pair", FieldSchema::integer())] {
            self.collection.create_index(field, schema)?;
        }
        let bar = bar(FIRST_PAIRS, "storing");
        for start in (0..FIRST_PAIRS).step_by(500) {
            self.collection.upsert((start..(start + 500).min(FIRST_PAIRS)).flat_map(|pair| self.pair(pair, 0)))?;
            bar.inc(500);
        }
        bar.finish_and_clear();
        Ok(self.collection.optimize()?)
    }

    /// Both points of a pair at one of its versions.
    fn pair(&self, pair: u64, version: u64) -> [Point; 2] {
        let mut random = Random::new(9, pair);
        let (group, rank) = (random.below(10), random.below(1000));
        [pair * 2, pair * 2 + 1].map(|id| {
            let point = Point::new(id, self.source.vector(number(id, version))).with("pair", pair).with("group", group);
            point.with("rank", rank).with("version", version).with("serial", version)
        })
    }

    /// Runs readers and writers for a time, with a bar.
    fn phase(&self, name: &'static str, readers: u64, writers: u64, seconds: u64) -> Result<Times> {
        self.stop.store(false, Ordering::Relaxed);
        let times = Mutex::new(Times::default());
        let failures = Mutex::new(Vec::new());
        let guarded = |work: &dyn Fn() -> Result<()>| {
            if let Err(error) = work() {
                failures.lock().push(error);
                self.stop.store(true, Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            for reader in 0..readers {
                let (guarded, times) = (&guarded, &times);
                scope.spawn(move || guarded(&|| self.read(reader, times)));
            }
            for writer in 0..writers {
                let guarded = &guarded;
                scope.spawn(move || guarded(&|| self.write(writer, writers)));
            }
            scope.spawn(|| guarded(&|| self.watch()));
            let bar = bar(seconds * 10, name);
            while bar.position() < seconds * 10 && !self.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                bar.inc(1);
            }
            bar.finish_and_clear();
            self.stop.store(true, Ordering::Relaxed);
        });
        match failures.into_inner().pop() {
            Some(error) => Err(error),
            None => Ok(times.into_inner()),
        }
    }

    fn watch(&self) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            self.working.store(self.collection.info()?.running_job.is_some(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn read(&self, reader: u64, all: &Mutex<Times>) -> Result<()> {
        let mut random = Random::new(self.seed, 1_000_000 + reader + self.searches.load(Ordering::Relaxed) * 64);
        let mut times = Times::default();
        let mut turn = 0u64;
        while !self.stop.load(Ordering::Relaxed) {
            let query = self.source.query(random.below(QUERIES));
            let (condition, holds) = any_condition(&mut random)?;
            let search = self.collection.search(&query).limit(LIMIT);
            let search = match condition {
                Some(condition) => search.filter(condition),
                None => search,
            };
            let working = self.working.load(Ordering::Relaxed);
            let start = Instant::now();
            let hits = search.run()?;
            let time = start.elapsed().as_secs_f64() * 1e6;
            let working = working || self.working.load(Ordering::Relaxed);
            if working {
                times.working.push(time)
            } else {
                times.quiet.push(time)
            }
            self.check_hits(&query, &hits, &*holds);

            turn += 1;
            let writer = usize::try_from(random.below(self.hot.len() as u64))?;
            let pair = if turn.is_multiple_of(2) { random.below(PAIRS) } else { self.hot[writer].load(Ordering::Relaxed) };
            for _ in 0..4 {
                self.check_pair("get", pair, &self.collection.get(&[(pair * 2).into(), (pair * 2 + 1).into()])?);
            }
            if turn % 10 < 2 {
                let filter = Condition::Field { key: "pair".parse()?, test: FieldTest::Value(i64::try_from(pair)?.into()) };
                let request = ScrollRequest { filter: Some(filter.into()), limit: 10, ..ScrollRequest::default() };
                self.check_pair("scroll", pair, &self.collection.scroll(&request)?.records);
            }
        }
        self.searches.fetch_add(turn, Ordering::Relaxed);
        let mut all = all.lock();
        all.quiet.append(&mut times.quiet);
        all.working.append(&mut times.working);
        Ok(())
    }

    /// Upserts, changes and deletes its own share of the pairs; at the end the collection must hold what was acknowledged.
    fn write(&self, writer: u64, writers: u64) -> Result<()> {
        let mut random = Random::new(self.seed, 2_000_000 + writer);
        let mut model: HashMap<u64, Option<Facts>> = HashMap::new();
        let mut serial = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let (mut batch, mut hot) = (Vec::new(), writer);
            for _ in 0..=random.below(50) {
                let pair = random.below(PAIRS / writers) * writers + writer;
                serial += 1;
                hot = pair;
                let alive = model.get(&pair).map_or(pair < FIRST_PAIRS, Option::is_some);
                let ids = || vec![PointId::Num(pair * 2), PointId::Num(pair * 2 + 1)];
                let facts = match random.below(10) {
                    0..3 if !stays(pair) => {
                        batch.push(Update::Delete(ids().into()));
                        None
                    }
                    0..5 if alive => {
                        let payload = Payload::from_iter([("serial".to_owned(), serial.into())]);
                        batch.push(Update::SetPayload { target: ids().into(), payload, key: None });
                        let version = model.get(&pair).copied().flatten().map_or(0, |facts| facts.version);
                        Some((version, serial))
                    }
                    _ => {
                        batch.push(Update::upsert(self.pair(pair, serial)));
                        Some((serial, serial))
                    }
                };
                let facts = facts.map(|(version, serial)| Facts { pair, group: 0, rank: 0, version, serial });
                model.insert(pair, facts);
            }
            let count = batch.len() as u64;
            self.hot[usize::try_from(writer)?].store(hot, Ordering::Relaxed);
            self.collection.apply(batch)?;
            self.writes.fetch_add(count, Ordering::Relaxed);
        }
        for (pair, facts) in model {
            let records = self.collection.get(&[(pair * 2).into(), (pair * 2 + 1).into()])?;
            self.check_pair("get", pair, &records);
            let found = records.first().and_then(facts_of).map(|facts| (facts.version, facts.serial));
            if found != facts.map(|facts| (facts.version, facts.serial)) {
                self.violation(&format!("pair {pair} holds {found:?}, the last write was {facts:?}"));
            }
        }
        Ok(())
    }

    fn check_hits(&self, query: &[f32], hits: &[ScoredPoint], holds: &dyn Fn(&Facts) -> bool) {
        if hits.len() != LIMIT {
            self.violation(&format!("{} hits where there are at least {LIMIT}", hits.len()));
        }
        if !hits.is_sorted_by(|a, b| a.score <= b.score) {
            self.violation("the hits are not sorted");
        }
        for (at, hit) in hits.iter().enumerate() {
            let Ok(facts) = hit.payload::<Facts>() else {
                self.violation(&format!("point {} has payload {:?}", hit.id, hit.payload));
                continue;
            };
            let PointId::Num(id) = hit.id else { return self.violation(&format!("a point {} nobody wrote", hit.id)) };
            if hits[..at].iter().any(|other| other.id == hit.id) {
                self.violation(&format!("point {id} came twice"));
            }
            if facts.pair != id / 2 || !holds(&facts) {
                self.violation(&format!("point {id} does not satisfy the filter: {facts:?}"));
            }
            let exact = distance(&self.source.vector(number(id, facts.version)), query).sqrt();
            if (hit.score - exact).abs() > 1e-3 * exact.max(1.0) {
                self.violation(&format!("point {id} scores {} but its payload's vector {exact}", hit.score));
            }
        }
    }

    /// Either both points of a pair, alike, or none.
    fn check_pair(&self, read: &str, pair: u64, records: &[Record]) {
        let facts: Vec<Option<Facts>> = records.iter().map(facts_of).collect();
        let whole = match facts[..] {
            [] => true,
            [Some(one), Some(other)] => one == other && one.pair == pair,
            _ => false,
        };
        if !whole {
            self.violation(&format!("{read} saw half of pair {pair}: {facts:?}"));
        }
    }

    fn violation(&self, what: &str) {
        if self.violations.fetch_add(1, Ordering::Relaxed) < 10 {
            eprintln!("violation: {what}");
        }
    }

    /// Recall of the queries against exact search over everything a scroll gives. Nothing may be written meanwhile.
    fn recall(&self) -> Result<f64> {
        let mut state: Vec<(u64, Vec<f32>)> = Vec::new();
        let mut request = ScrollRequest { limit: 5000, with_vectors: VectorSelector::All, ..ScrollRequest::default() };
        loop {
            let page = self.collection.scroll(&request)?;
            for record in page.records {
                let vector = record.vectors.as_ref().and_then(|vectors| Some(vectors.get("")?.as_dense()?.to_vec()));
                if let (PointId::Num(id), Some(vector)) = (record.id, vector) {
                    state.push((id, vector));
                }
            }
            match page.next_offset {
                Some(next) => request.offset = Some(next),
                None => break,
            }
        }
        if self.collection.count(None, true)? != state.len() as u64 {
            self.violation(&format!("a scroll gives {} points, count says {}", state.len(), self.collection.count(None, true)?));
        }
        let vectors: HashMap<u64, &[f32]> = state.iter().map(|(id, vector)| (*id, vector.as_slice())).collect();
        let found = (0..QUERIES).into_par_iter().map(|query| {
            let query = self.source.query(query);
            let mut nearest = Nearest::new(LIMIT);
            state.iter().for_each(|(_, vector)| nearest.offer(distance(vector, &query)));
            let hits = self.collection.search(&query).limit(LIMIT).run()?;
            let known = hits.iter().filter_map(|hit| if let PointId::Num(id) = hit.id { vectors.get(&id) } else { None });
            Ok(nearest.found(known.map(|vector| distance(vector, &query))))
        });
        let mut total = Found::default();
        found.collect::<Result<Vec<Found>>>()?.into_iter().for_each(|each| total += each);
        Ok(total.recall())
    }
}

/// Half of the pairs are never deleted, so that every filter always has enough to find.
fn stays(pair: u64) -> bool {
    (pair / 8).is_multiple_of(2)
}

/// The number of the vector a point has at a version.
fn number(id: u64, version: u64) -> u64 {
    id + version * PAIRS * 2
}

fn facts_of(record: &Record) -> Option<Facts> {
    serde_json::from_value(record.payload.clone()?.into()).ok()
}

type Check = Box<dyn Fn(&Facts) -> bool>;

/// No filter, one that a tenth of the points satisfy, or one that about a hundredth do, in equal shares.
fn any_condition(random: &mut Random) -> Result<(Option<Condition>, Check)> {
    match random.below(3) {
        0 => Ok((None, Box::new(|_| true))),
        1 => {
            let group = random.below(10);
            let test = FieldTest::Value(i64::try_from(group)?.into());
            Ok((Some(Condition::Field { key: "group".parse()?, test }), Box::new(move |facts| facts.group == group)))
        }
        _ => {
            let rank = random.below(990);
            let test = FieldTest::Range(Range { gte: Some(rank as f64), lt: Some((rank + 10) as f64), ..Range::default() });
            let holds = move |facts: &Facts| (rank..rank + 10).contains(&facts.rank);
            Ok((Some(Condition::Field { key: "rank".parse()?, test }), Box::new(holds)))
        }
    }
}

fn bar(len: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>10} {wide_bar} {percent} %");
    let bar = ProgressBar::new(len).with_message(what);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
