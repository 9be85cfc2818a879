//! Real processes that are killed while they write.
//!
//! A child opens a database on the real file system and writes from several threads as fast as it can; it says on its
//! standard output what was acknowledged. The parent kills it at a random moment, opens the database and checks every item
//! bit by bit. What a thread does is a function of the seed, the thread and the number of the operation, so the parent
//! knows what must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vectordb_core::{
    CollectionConfig, Database, Distance, Durability, FieldSchema, Payload, Point, PointId, Result, ScrollRequest, Update, field,
};

use super::{Report, Verdict, guarded};
use crate::synthetic::Random;

const DIM: usize = 16;
/// Threads that write.
const THREADS: u64 = 4;
/// Ids of one thread.
const IDS: u64 = 2000;
/// Points of one upsert.
const BATCH: u64 = 8;
/// Rounds on one directory, which grows from one to the next.
const ROUNDS: u64 = 20;
/// The child writes for so long at most before it is killed.
const LONGEST: Duration = Duration::from_millis(900);

/// What one thread has done, by id.
type Items = BTreeMap<u64, (Vec<f32>, u64)>;

/// One operation of a thread.
enum Operation {
    Upsert(Vec<(u64, Vec<f32>, u64)>),
    Delete(Vec<u64>),
    SetSerial(u64, u64),
}

/// What a thread does as its operation with this number.
fn operation(seed: u64, thread: u64, number: u64) -> Operation {
    let mut random = Random::new(seed, (thread << 40) | number);
    let mut id = || thread * IDS + random.below(IDS);
    let ids: Vec<u64> = (0..BATCH).map(|_| id()).collect();
    let serial = number + 1;
    match random.below(10) {
        0 => Operation::Delete(ids[..3].to_vec()),
        1 => Operation::SetSerial(ids[0], serial),
        _ => {
            let mut vector = || (0..DIM).map(|_| random.unit() - 0.5).collect();
            // One point an id and batch.
            let ids: BTreeSet<u64> = ids.into_iter().collect();
            Operation::Upsert(ids.into_iter().map(|id| (id, vector(), serial)).collect())
        }
    }
}

impl Operation {
    fn apply(&self, items: &mut Items) {
        match self {
            Self::Upsert(points) => items.extend(points.iter().map(|(id, vector, serial)| (*id, (vector.clone(), *serial)))),
            Self::Delete(ids) => ids.iter().for_each(|id| drop(items.remove(id))),
            Self::SetSerial(id, serial) => {
                if let Some(item) = items.get_mut(id) {
                    item.1 = *serial;
                }
            }
        }
    }

    fn update(self, thread: u64) -> Update {
        match self {
            Self::Upsert(points) => Update::upsert(
                points.into_iter().map(|(id, vector, serial)| Point::new(id, vector).with("serial", serial).with("thread", thread)),
            ),
            Self::Delete(ids) => Update::Delete(ids.into_iter().map(PointId::from).collect::<Vec<_>>().into()),
            Self::SetSerial(id, serial) => {
                let mut payload = Payload::new();
                payload.insert("serial".into(), serial.into());
                Update::SetPayload { target: [id].into(), payload, key: None }
            }
        }
    }
}

fn config(durability: Durability) -> CollectionConfig {
    let mut config = CollectionConfig::unnamed(DIM, Distance::Euclid);
    config.durability = durability;
    config.optimizers_config.indexing_threshold = Some(16);
    config.hnsw_config.full_scan_threshold = 0;
    config.hnsw_config.m = 8;
    config.hnsw_config.ef_construct = 32;
    config.wal_config.wal_capacity_mb = 1;
    config
}

/// What the child does: write until killed. Each thread begins with the operation it is told.
///
/// # Errors
/// The first failure of any write.
pub fn child(dir: &Path, seed: u64, sync: bool, next: &[u64]) -> Result<()> {
    let db = Database::open(dir)?;
    let durability = if sync { Durability::Sync } else { Durability::Os };
    let collection = db.collection("c").config(config(durability)).open_or_create()?;
    collection.create_index("thread", FieldSchema::integer())?;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .zip(next)
            .map(|(thread, &first)| {
                let collection = collection.clone();
                scope.spawn(move || -> Result<()> {
                    for number in first.. {
                        collection.apply([operation(seed, thread, number).update(thread)])?;
                        // One write of one short line is never torn in a pipe.
                        let line = format!("{thread} {number}\n");
                        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
                            break;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        // Maintenance goes on beside the writers, so that the kill hits it too.
        let maintainer = scope.spawn(move || -> Result<()> {
            loop {
                collection.optimize()?;
            }
        });
        writers.into_iter().chain([maintainer]).try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })
}

/// State of one directory between rounds.
struct Directory {
    dir: tempfile::TempDir,
    seed: u64,
    sync: bool,
    /// Next operation of each thread, and what it has done so far.
    threads: Vec<(u64, Items)>,
}

/// Kills so many children and checks what each left. `program` runs [`child`] when called with the arguments it is given.
///
/// # Errors
/// When a child cannot be started.
pub fn run(kills: u64, seed: u64, program: &Path, progress: &(dyn Fn(u64) + Sync)) -> std::io::Result<Report> {
    let mut report = Report::default();
    let mut directory: Option<Directory> = None;
    for round in 0..kills {
        if round % ROUNDS == 0 {
            let threads = vec![(0, Items::new()); THREADS as usize];
            let fresh = Directory { dir: tempfile::tempdir()?, seed: seed + round, sync: (round / ROUNDS).is_multiple_of(2), threads };
            directory = Some(fresh);
        }
        let Some(place) = &mut directory else { continue };
        let mut random = Random::new(seed + round, 13);
        let after = Duration::from_micros(20_000 + random.below(LONGEST.as_micros() as u64));
        let acked = write_and_die(place, program, after)?;
        report.kills += 1;
        report.acked += acked.iter().zip(&place.threads).map(|(acked, (first, _))| acked - first).sum::<u64>();
        let verdict = guarded(|| check(place, &acked));
        if verdict != Verdict::Good {
            // What is there is not what the next round would build on.
            directory = None;
        }
        report.failed(&verdict, || format!("kill {round}"));
        progress(1);
    }
    Ok(report)
}

/// Runs a child until it is killed; the operations of each thread that were acknowledged, as the number of the next one.
fn write_and_die(place: &Directory, program: &Path, after: Duration) -> std::io::Result<Vec<u64>> {
    let next: Vec<String> = place.threads.iter().map(|(next, _)| next.to_string()).collect();
    let mut child = Command::new(program)
        .args(["child", "--dir"])
        .arg(place.dir.path())
        .args(["--seed", &place.seed.to_string(), "--next", &next.join(",")])
        .args(place.sync.then_some("--sync"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut acked: Vec<u64> = place.threads.iter().map(|(next, _)| *next).collect();
    if let Some(output) = child.stdout.take() {
        let reader = std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                lines.push(line);
            }
            lines
        });
        let deadline = Instant::now() + after;
        while Instant::now() < deadline && child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill()?;
        for line in reader.join().unwrap_or_default() {
            let mut numbers = line.split(' ').filter_map(|number| number.parse::<u64>().ok());
            if let (Some(thread), Some(number)) = (numbers.next(), numbers.next()) {
                acked[thread as usize] = number + 1;
            }
        }
    }
    child.wait()?;
    Ok(acked)
}

/// Opens what the child left and compares every item of every thread.
fn check(place: &mut Directory, acked: &[u64]) -> Verdict {
    let found = match read(place.dir.path()) {
        Ok(found) => found,
        Err(error) => return Verdict::Lost(error.to_string()),
    };
    let Some(mut found) = found else {
        let nothing = place.threads.iter().zip(acked).all(|((first, items), acked)| first == acked && items.is_empty());
        return if nothing { Verdict::Good } else { Verdict::Lost("the collection".into()) };
    };
    for (thread, ((next, items), &acked)) in (0..).zip(place.threads.iter_mut().zip(acked)) {
        let found: Items = (thread * IDS..(thread + 1) * IDS).filter_map(|id| Some((id, found.remove(&id)?))).collect();
        (*next..acked).for_each(|number| operation(place.seed, thread, number).apply(items));
        *next = acked;
        if found != *items {
            // The operation under way may be there as a whole.
            operation(place.seed, thread, acked).apply(items);
            *next = acked + 1;
            if found != *items {
                return difference(thread, acked, &found, items);
            }
        }
    }
    if found.is_empty() { Verdict::Good } else { Verdict::Phantom(format!("{} points nobody wrote", found.len())) }
}

fn difference(thread: u64, acked: u64, found: &Items, items: &Items) -> Verdict {
    let missing = items.iter().filter(|(id, item)| found.get(id).is_none_or(|other| other.1 < item.1)).count();
    let what = format!("thread {thread} behind {acked} operations: {missing} items missing or old, {} of {}", found.len(), items.len());
    if missing > 0 { Verdict::Lost(what) } else { Verdict::Phantom(what) }
}

/// All points, read by scrolling, compared with what filters and searches find.
fn read(dir: &Path) -> Result<Option<Items>> {
    let db = Database::open(dir)?;
    if !db.collections().iter().any(|name| name == "c") {
        return Ok(None);
    }
    let collection = db.get("c")?;
    collection.verify()?;
    let mut found = BTreeMap::new();
    let mut request = ScrollRequest { limit: 10_000, with_vectors: true.into(), ..ScrollRequest::default() };
    loop {
        let page = collection.scroll(&request)?;
        for record in page.records {
            let serial = record.payload.as_ref().and_then(|payload| payload.get("serial")?.as_u64()).unwrap_or(0);
            let vector = record.vectors.and_then(|vectors| Some(vectors.get("")?.as_dense()?.to_vec())).unwrap_or_default();
            if let PointId::Num(id) = record.id {
                found.insert(id, (vector, serial));
            }
        }
        request.offset = page.next_offset;
        if request.offset.is_none() {
            break;
        }
    }
    for thread in 0..THREADS {
        let own = found.range(thread * IDS..(thread + 1) * IDS).count() as u64;
        let counted = collection.count(Some(&field("thread").eq(thread as i64)), true)?;
        if own != counted {
            let what = format!("thread {thread}: {own} points read, {counted} counted by the index");
            return Err(vectordb_core::Error::Internal { what });
        }
    }
    for (id, (vector, _)) in found.iter().step_by(97) {
        let hits = collection.search(vector.clone()).limit(1).run()?;
        if hits.first().is_none_or(|hit| hit.score > 1e-6) {
            return Err(vectordb_core::Error::Internal { what: format!("point {id} is not found by its own vector") });
        }
    }
    db.close()?;
    Ok(Some(found))
}

/// The path of the running program.
///
/// # Errors
/// Whatever the system says.
pub fn this_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}
