//! Operations of every kind on a small database, and what a reader saw after each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use vectordb_core::{
    Background, Collection, CollectionConfig, ConfigDiff, Database, Distance, Durability, Error, FieldSchema, FsRef, Options, Payload,
    Point, PointId, Record, Result, ScrollRequest, Update, UpsertMode, Vector, VectorParams, Vectors, field,
};

use super::Verdict;
use super::sim_fs::SimFs;
use crate::synthetic::Random;

const DIM: usize = 4;
const IDS: u64 = 24;
/// Where the database lies in the simulated file system.
pub const ROOT: &str = "db";
const OTHERS: [&str; 2] = ["b", "r"];

/// All that a reader can see of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    records: Vec<Record>,
    indexes: Vec<String>,
    vectors: Vec<String>,
    durability: Durability,
}

/// What a reader sees of each collection.
pub type Sight = BTreeMap<String, Arc<State>>;

/// One state of a collection on its way through time, measured in calls to the file system.
#[derive(Debug, Clone)]
struct Moment {
    /// The first call that may bring the state about.
    began: u64,
    /// The call behind which the state must outlast everything; none as long as nobody promised.
    done: Option<u64>,
    /// None while there is no such collection.
    state: Option<Arc<State>>,
    /// Whether an operation that failed may have brought it about. Nothing is promised from here on, since what a reader
    /// sees need not be what the disk holds.
    maybe: bool,
}

/// The states of all collections, in order.
#[derive(Debug, Clone, Default)]
pub struct Timeline(BTreeMap<String, Vec<Moment>>);

impl Timeline {
    /// A timeline that begins with what is seen.
    pub fn starting(sight: &Sight) -> Self {
        let begin = |state: &Arc<State>| vec![Moment { began: 0, done: Some(0), state: Some(Arc::clone(state)), maybe: false }];
        Self(sight.iter().map(|(name, state)| (name.clone(), begin(state))).collect())
    }

    /// Takes in what is seen after an operation that was acknowledged.
    fn advance(&mut self, began: u64, done: u64, sight: &Sight) {
        for name in sight.keys().filter(|name| !self.0.contains_key(*name)).cloned().collect::<Vec<_>>() {
            self.0.insert(name, vec![Moment { began: 0, done: Some(0), state: None, maybe: false }]);
        }
        for (name, moments) in &mut self.0 {
            let state = sight.get(name).cloned();
            if moments.last().is_some_and(|last| last.state != state) {
                let durable =
                    !moments.iter().any(|moment| moment.maybe) && state.as_ref().is_none_or(|state| state.durability == Durability::Sync);
                moments.push(Moment { began, done: durable.then_some(done), state, maybe: false });
                if durable {
                    harden(moments, done);
                }
            }
        }
    }

    /// Notes that everything written so far is on the disk.
    fn harden_all(&mut self, done: u64) {
        self.0.values_mut().for_each(|moments| harden(moments, done));
    }

    /// Compares what is there after a crash behind `calls` calls. Counts the acknowledged states it asked for.
    pub fn judge(&self, calls: u64, found: &Sight, acked: &mut u64) -> Verdict {
        if let Some(name) = found.keys().find(|name| !self.0.contains_key(*name)) {
            return Verdict::Phantom(format!("collection {name}, which nobody made"));
        }
        for (name, moments) in &self.0 {
            let promised = moments.iter().rposition(|moment| moment.done.is_some_and(|done| done <= calls)).unwrap_or(0);
            let possible = moments.iter().rposition(|moment| moment.began < calls || moment.began == 0).unwrap_or(0);
            *acked += promised as u64;
            let found = found.get(name);
            let position = moments.iter().rposition(|moment| moment.state.as_ref() == found);
            let in_time = moments[promised..=possible.max(promised)].iter().any(|moment| moment.state.as_ref() == found);
            if !in_time {
                let about = format!("collection {name}: states {promised} to {possible} are allowed, found {position:?}");
                return match position {
                    Some(position) if position < promised => Verdict::Lost(about),
                    None if found.is_none() => Verdict::Lost(about),
                    None if found.is_some_and(|found| moments[promised].state.as_ref().is_some_and(|state| less(found, state))) => {
                        Verdict::Lost(about)
                    }
                    _ => Verdict::Phantom(about),
                };
            }
        }
        Verdict::Good
    }

    /// Takes in what an operation would have brought about that failed: it may be there or not.
    pub fn allow(&mut self, undisturbed: &Self, began: u64) {
        for (name, moments) in &undisturbed.0 {
            if let Some(later) = moments.iter().find(|moment| moment.began >= began) {
                let own = self.0.entry(name.clone()).or_insert_with(|| vec![Moment { began: 0, done: Some(0), state: None, maybe: false }]);
                own.push(Moment { began, done: None, state: later.state.clone(), maybe: true });
            }
        }
    }

    /// Whether an operation that failed may have brought this about: everything is as `before`, but for collections that are
    /// as they are after the same operation without a failure.
    pub fn explains(&self, began: u64, before: &Sight, found: &Sight) -> bool {
        let whole = |name: &String| {
            let later = self.0.get(name).and_then(|moments| moments.iter().find(|moment| moment.began >= began));
            later.is_some_and(|moment| moment.state.as_ref() == found.get(name))
        };
        before.keys().chain(found.keys()).all(|name| before.get(name) == found.get(name) || whole(name))
    }
}

fn harden(moments: &mut [Moment], done: u64) {
    for moment in moments.iter_mut().take_while(|moment| !moment.maybe) {
        moment.done.get_or_insert(done);
    }
}

fn less(found: &State, promised: &State) -> bool {
    found.records.len() < promised.records.len()
}

/// Opens the database of a simulated file system.
///
/// # Errors
/// Whatever opening finds.
pub fn open(fs: &SimFs) -> Result<Database> {
    let fs: FsRef = Arc::new(fs.clone());
    Database::open_with(ROOT, Options::default().fs(fs).background(Background::Manual).threads(1))
}

/// Reads everything.
///
/// # Errors
/// Whatever reading finds.
pub fn look(db: &Database) -> Result<Sight> {
    let everything = ScrollRequest { limit: 10_000, with_vectors: true.into(), ..ScrollRequest::default() };
    let mut sight = Sight::new();
    for name in db.collections() {
        let collection = db.get(&name)?;
        let config = collection.config();
        let state = State {
            records: collection.scroll(&everything)?.records,
            indexes: config.payload_schema.keys().map(ToString::to_string).collect(),
            vectors: config.vectors.keys().cloned().collect(),
            durability: config.durability,
        };
        sight.insert(name, Arc::new(state));
    }
    Ok(sight)
}

/// Whether two sights show the same points. Settings may be ahead: readers learn of them when they are logged, not when
/// they are durable, and a failure in between stops all writes until the collection is opened again.
pub fn same_points(one: &Sight, other: &Sight) -> bool {
    one.len() == other.len() && one.iter().all(|(name, state)| other.get(name).is_some_and(|other| other.shows(state)))
}

impl State {
    /// Whether the points are the same, but for vectors that the collection has no more.
    fn shows(&self, other: &Self) -> bool {
        self.records.len() == other.records.len()
            && self.records.iter().zip(&other.records).all(|(one, other)| one.id == other.id && one.payload == other.payload)
    }
}

/// Why a database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The engine says so.
    #[error("{0}")]
    Error(#[from] vectordb_core::Error),
    /// It gives two answers to one question.
    #[error("contradiction: {0}")]
    Contradiction(String),
}

/// Reads everything in all ways there are, which must agree, and checks all files.
///
/// # Errors
/// Whatever reading finds, and contradictions.
pub fn look_twice(db: &Database) -> std::result::Result<Sight, Unreadable> {
    let sight = look(db)?;
    for (name, state) in &sight {
        let collection = db.get(name)?;
        collection.verify()?;
        let count = state.records.len();
        let with_vector = state.records.iter().filter(|record| has(record, "")).count();
        let hits = collection.search([0.5; DIM]).limit(1000).run()?;
        if hits.len() != with_vector {
            let what = format!("{name}: {with_vector} points with a vector, {} found by a search", hits.len());
            return Err(Unreadable::Contradiction(what));
        }
        let n = |record: &Record| record.payload.as_ref().and_then(|payload| payload.get("n")?.as_u64());
        let matching = state.records.iter().filter(|record| n(record) == Some(2)).count();
        let counted = collection.count(Some(&field("n").eq(2)), true)?;
        if counted != matching as u64 || collection.count(None, true)? != count as u64 {
            return Err(Unreadable::Contradiction(format!("{name}: {matching} of {count} points match, {counted} are counted")));
        }
    }
    Ok(sight)
}

fn has(record: &Record, vector: &str) -> bool {
    record.vectors.as_ref().is_some_and(|vectors| vectors.get(vector).is_some())
}

/// A run of random operations, one process after the other.
#[derive(Debug)]
pub struct Workload {
    /// The file system as the present process sees it.
    pub fs: SimFs,
    /// What was seen, and when.
    pub timeline: Timeline,
    db: Option<Database>,
    random: Random,
    seed: u64,
    serial: u64,
    /// The operation under way, for reports.
    pub what: &'static str,
}

/// What a step was and came to.
#[derive(Debug)]
pub struct Step {
    /// Calls to the file system before it.
    pub began: u64,
    /// Its outcome.
    pub result: Result<()>,
}

impl Workload {
    /// A run on a file system; what is there is the first state.
    ///
    /// # Errors
    /// Whatever opening finds.
    pub fn begin(fs: SimFs, seed: u64) -> Result<Self> {
        let db = open(&fs)?;
        let timeline = Timeline::starting(&look(&db)?);
        Ok(Self { timeline, db: Some(db), random: Random::new(seed, 7), seed, serial: seed << 32, what: "open", fs })
    }

    /// What a reader sees now.
    ///
    /// # Errors
    /// Whatever reading finds.
    pub fn look(&self) -> Result<Sight> {
        self.db.as_ref().map_or_else(|| Ok(Sight::new()), look)
    }

    /// One operation. A failed one is no part of the timeline.
    ///
    /// # Panics
    /// When what was acknowledged is not what a reader sees.
    pub fn step(&mut self) -> Step {
        let began = self.fs.calls();
        let result = self.operate();
        if result.is_ok()
            && let Ok(sight) = self.look()
        {
            self.timeline.advance(began, self.fs.calls(), &sight);
        }
        Step { began, result }
    }

    fn operate(&mut self) -> Result<()> {
        self.what = "reopen";
        let Some(db) = self.db.clone() else { return self.reopen() };
        self.what = "create";
        if !db.collections().iter().any(|name| name == "a") {
            return db.create_collection("a", config(self.seed)).map(drop);
        }
        let name = self.pick(&db);
        let collection = db.get(&name)?;
        let kind = self.random.below(100);
        self.what = match kind {
            0..=11 => "maintain",
            12..=15 => "change an index",
            16..=18 => "change a vector",
            19..=21 => "configure",
            22..=24 => "snapshot and restore",
            25..=27 => "create or drop",
            28..=33 => "reopen",
            _ => "write",
        };
        match kind {
            0..=5 => collection.maintain().map(drop),
            6..=11 => collection.optimize(),
            12..=15 => self.change_index(&collection),
            16..=18 => self.change_vector(&collection),
            19..=21 => {
                let sync = collection.config().durability == Durability::Sync;
                let durability = Some(if sync { Durability::Os } else { Durability::Sync });
                collection.update_config(&ConfigDiff { durability, ..ConfigDiff::default() })
            }
            22..=24 => self.copy(&db, &collection),
            25..=27 => self.create_or_drop(&db),
            28..=30 => {
                drop((db, collection));
                if let Some(db) = self.db.take() {
                    db.close()?;
                }
                self.timeline.harden_all(self.fs.calls());
                self.reopen()
            }
            31..=33 => {
                drop((db, collection));
                self.fs = self.fs.kill();
                self.db = None;
                self.reopen()
            }
            _ => {
                let batch = (0..=self.random.below(3)).map(|_| self.update(&collection)).collect::<Vec<_>>();
                match collection.apply(batch) {
                    // An earlier update of the batch removed the point, so the whole batch was refused.
                    Err(Error::PointNotFound { .. }) => Ok(()),
                    applied => applied.map(drop),
                }
            }
        }
    }

    /// Opens the database; a process that ended at will must have left everything.
    fn reopen(&mut self) -> Result<()> {
        let db = open(&self.fs)?;
        let seen = look(&db)?;
        // What was acknowledged outlasts the process in every mode, so it is as durable now as the first write makes it.
        let mut counted = 0;
        let newest = self.timeline.clone();
        assert_eq!(newest.judge(u64::MAX, &seen, &mut counted), Verdict::Good, "after reopening");
        self.db = Some(db);
        Ok(())
    }

    /// Gives up the process, for another to go on after a failure.
    pub fn abandon(&mut self) {
        self.fs = self.fs.kill();
        self.db = None;
    }

    fn pick(&mut self, db: &Database) -> String {
        let names = db.collections();
        if self.random.below(4) > 0 { "a".into() } else { names[self.random.below(names.len() as u64) as usize].clone() }
    }

    fn change_index(&mut self, collection: &Collection) -> Result<()> {
        match self.random.below(4) {
            0 => collection.create_index("n", FieldSchema::integer()),
            1 => collection.create_index("n", FieldSchema::keyword()),
            2 => collection.create_index("tag", FieldSchema::keyword()),
            _ => collection.drop_index("n"),
        }
    }

    fn change_vector(&mut self, collection: &Collection) -> Result<()> {
        let name = "v".to_owned();
        let update = if collection.config().vectors.contains_key("v") {
            Update::DropVector { name }
        } else {
            Update::CreateVector { name, params: VectorParams::new(2, Distance::Dot) }
        };
        collection.apply([update]).map(drop)
    }

    fn copy(&mut self, db: &Database, collection: &Collection) -> Result<()> {
        self.serial += 1;
        let directory = format!("snapshots/{}", self.serial);
        collection.snapshot(&directory)?;
        if db.collections().iter().any(|name| name == "r") { Ok(()) } else { db.restore("r", &directory).map(drop) }
    }

    fn create_or_drop(&mut self, db: &Database) -> Result<()> {
        let name = OTHERS[self.random.below(2) as usize];
        if db.collections().iter().any(|other| other == name) {
            db.drop_collection(name).map(drop)
        } else {
            db.create_collection(name, config(self.seed)).map(drop)
        }
    }

    fn id(&mut self) -> PointId {
        match self.random.below(8) {
            0 => format!("name-{}", self.random.below(IDS / 4)).into(),
            _ => self.random.below(IDS).into(),
        }
    }

    fn vector(&mut self, dim: usize) -> Vector {
        (0..dim).map(|_| self.random.unit() - 0.5).collect::<Vec<f32>>().into()
    }

    fn payload(&mut self) -> Payload {
        self.serial += 1;
        let mut payload = Payload::new();
        payload.insert("n".into(), self.random.below(5).into());
        payload.insert("serial".into(), self.serial.into());
        if self.random.below(3) > 0 {
            payload.insert("tag".into(), format!("t{}", self.random.below(3)).into());
        }
        // Some runs fill more than one file of the log.
        if self.seed.is_multiple_of(16) && self.random.below(8) == 0 {
            payload.insert("long".into(), "x".repeat(300_000).into());
        }
        payload
    }

    fn vectors(&mut self, collection: &Collection) -> Vectors {
        let mut vectors = Vectors::default();
        if self.random.below(10) > 0 {
            vectors.insert("", self.vector(DIM));
        }
        if collection.config().vectors.contains_key("v") && self.random.below(2) == 0 {
            vectors.insert("v", self.vector(2));
        }
        vectors
    }

    /// New vectors for a point that exists, if the dice hit one.
    fn existing(&mut self, collection: &Collection) -> Vec<(PointId, Vectors)> {
        let id = self.id();
        let there = collection.get(std::slice::from_ref(&id)).is_ok_and(|found| !found.is_empty());
        if there { vec![(id, Vectors::unnamed(self.vector(DIM)))] } else { Vec::new() }
    }

    fn update(&mut self, collection: &Collection) -> Update {
        match self.random.below(12) {
            0 => Update::Delete(vec![self.id(), self.id()].into()),
            1 => Update::Delete(field("n").eq(self.random.below(5) as i64).into()),
            2 => Update::SetPayload { target: vec![self.id(), self.id()].into(), payload: self.payload(), key: None },
            3 => Update::OverwritePayload { target: vec![self.id()].into(), payload: self.payload(), key: None },
            4 => Update::ClearPayload(vec![self.id()].into()),
            5 => Update::UpdateVectors { points: self.existing(collection), condition: None },
            6 => Update::DeleteVectors { target: vec![self.id()].into(), names: vec![String::new()] },
            kind => {
                let points = (0..=self.random.below(3)).map(|_| Point {
                    vectors: self.vectors(collection),
                    payload: self.payload(),
                    ..Point::bare(self.id())
                });
                let points = points.collect();
                let mode = if kind == 7 { UpsertMode::InsertOnly } else { UpsertMode::Upsert };
                let condition = (kind == 8).then(|| field("n").ge(2));
                Update::Upsert { points, mode, condition }
            }
        }
    }
}

/// Settings under which a handful of points gets files, graphs and merges.
fn config(seed: u64) -> CollectionConfig {
    let mut config = CollectionConfig::unnamed(DIM, Distance::Euclid);
    config.optimizers_config.indexing_threshold = Some(1);
    config.optimizers_config.vacuum_min_vector_number = 100;
    config.hnsw_config.full_scan_threshold = 0;
    config.hnsw_config.m = 4;
    config.hnsw_config.ef_construct = 8;
    config.wal_config.wal_capacity_mb = 1;
    config.wal_config.wal_retain_closed = (seed % 3) as usize;
    config
}
