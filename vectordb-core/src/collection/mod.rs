//! One collection: its state, the only code that changes it, and everything that keeps it durable and tidy.
//!
//! Readers load a [`View`](view::View) and an lsn and never take a lock. There is one writer at a time. Locks are taken in
//! this order and never the other way round: `maintenance` (one job at a time) → `removal` (of files that snapshots may be about
//! to link) → `writer` (updates and view swaps). No lock but the first is held while a job writes files.
//!
//! Files: `view` (what a reader holds), `writer` (validate, log, apply), `prepare` (updates → changes → effects),
//! `manifest` (which files are the collection), `recover` (open = manifest + files + log), `maintain` (what to do next, pure),
//! `jobs` (doing it), `settle` (doing more when nobody writes), `learn` (lengths of candidate lists), `replica` (the log as replicas exchange it), `snapshot`, `info`.

mod info;
mod jobs;
mod learn;
mod maintain;
mod manifest;
mod pools;
mod prepare;
mod recover;
mod replica;
mod settle;
mod snapshot;
mod view;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::{Error, Result};
use crate::graph::BuildControl;
use crate::model::PointId;
use crate::model::config::{CollectionConfig, ConfigDiff};
use crate::model::corpus::CorpusCounts;
use crate::model::explain::Explanation;
use crate::model::filter::{Condition, FieldTest, Filter, Range};
use crate::model::memory::MemoryReport;
use crate::model::payload::{DateTime, PayloadPath};
use crate::model::point::{Lsn, PayloadSelector, Record, ScoredPoint, VectorSelector};
use crate::model::query::{Budget, ScrollPage, ScrollRequest, SearchRequest};
use crate::model::ranking::{DistanceMatrix, FacetHit, FacetRequest, GroupsRequest, MatrixRequest, PointGroup, QueryRequest};
use crate::model::update::{Target, Update};
use crate::query::{self, Reading, Wake};
use crate::storage::allowance::Allowance;
use crate::storage::clock::Clock;
use crate::storage::fs::FsRef;
use crate::storage::smaps::Smaps;
use crate::wal::Wal;

pub use info::{CollectionInfo, DeferredJob, FieldInfo, JobKind, JobProgress, SegmentInfo, SegmentKind, Status};
pub(crate) use pools::Pools;
pub(crate) use recover::create;
use replica::Epochs;
pub use replica::{LogFrame, LogPosition, Staged};
pub(crate) use settle::Leisure;
use settle::Quiet;
pub(crate) use snapshot::restore;
pub(crate) use view::View;
use view::ViewCell;
use writer::WriterState;

/// What a collection needs of its surroundings.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) fs: FsRef,
    pub(crate) pools: Arc<Pools>,
    pub(crate) read_only: bool,
    /// Batches are published by whoever replicates them.
    pub(crate) replicated: bool,
    /// What time it is.
    pub(crate) clock: Clock,
    /// Memory that all collections together may take.
    pub(crate) allowance: Arc<Allowance>,
    /// The job of all collections that nobody needs.
    pub(crate) leisure: Arc<Leisure>,
    /// Wakes the maintenance thread; nothing when maintenance is done by hand.
    pub(crate) wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateResult {
    /// Position of the update in the collection's history.
    pub lsn: Lsn,
    /// Points that were inserted, changed or removed.
    pub points: u64,
}

/// The job under way.
#[derive(Debug)]
struct Running {
    kind: JobKind,
    total: u64,
    /// Bytes of memory set aside for it.
    reserved: u64,
    control: Arc<BuildControl>,
}

/// An open collection.
pub(crate) struct Collection {
    name: RwLock<String>,
    path: PathBuf,
    around: Surroundings,
    view: ViewCell,
    /// Newest lsn that readers may see. Stored (Release) after everything of that lsn, loaded (Acquire) before anything.
    published: AtomicU64,
    writer: Mutex<WriterState>,
    wal: Option<Wal>,
    maintenance: Mutex<()>,
    /// Held by those who need the files of the manifest to stay, and alone by who removes files.
    removal: RwLock<()>,
    /// Signalled when a job has shrunk the backlog.
    backlog: (Mutex<()>, Condvar),
    progress: Mutex<Option<Running>>,
    quiet: Mutex<Quiet>,
    last_error: Mutex<Option<Error>>,
    closed: AtomicBool,
    /// Of batches that are not in files yet.
    epochs: Mutex<Epochs>,
    /// Lsn of the newest change of the configuration since the collection was opened.
    configured: AtomicU64,
    next_segment: AtomicU64,
    /// Generations given to manifests so far; a failed attempt uses one up, so that its files are never mistaken for others.
    generations: AtomicU64,
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collection({})", self.path.display())
    }
}

impl Collection {
    pub(crate) fn name(&self) -> String {
        self.name.read().clone()
    }

    pub(crate) fn config(&self) -> Arc<CollectionConfig> {
        Arc::clone(&self.view.load().config)
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: format!("collection `{}`", self.name()) });
        }
        Ok(())
    }

    /// Refuses all further calls and stops a running build.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.cancel_job();
        self.backlog.1.notify_all();
    }

    /// Closes, and waits until nobody works on the files any more.
    pub(crate) fn end(&self) {
        self.close();
        drop(self.maintenance.lock());
        drop(self.removal.write());
    }

    /// Makes everything durable and marks the end of the log.
    pub(crate) fn flush(&self) -> Result<()> {
        self.wal.as_ref().map_or(Ok(()), Wal::close)
    }

    /// Whether the last job failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.last_error.lock().is_some()
    }

    fn cancel_job(&self) {
        if let Some(running) = &*self.progress.lock() {
            running.control.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// A view and an lsn that belong together.
    fn read(&self) -> Result<(Arc<View>, Lsn)> {
        self.check_open()?;
        loop {
            // The lsn first: a view that is newer than the lsn still holds everything of it, unless a job has dropped rows
            // that were dead at a later lsn, which `floor` tells.
            let at = Lsn(self.published.load(Ordering::Acquire));
            let view = self.view.load();
            if at >= view.floor {
                return Ok((view, at));
            }
        }
    }

    /// What is expired now, to the second, so that filters of one second are the same.
    fn expired(&self, config: &CollectionConfig) -> Option<Condition> {
        const SECOND: i64 = 1_000_000;
        let key = PayloadPath::parse(config.ttl_field.as_ref()?).ok()?;
        let now = DateTime(self.around.clock.now().0.div_euclid(SECOND) * SECOND);
        Some(Condition::Field { key, test: FieldTest::DateTimeRange(Range { lte: Some(now), ..Range::default() }) })
    }

    fn reading<'v>(&'v self, view: &'v View, at: Lsn) -> Reading<'v> {
        let wake = self.around.wake.as_deref().map(Wake);
        Reading { expired: self.expired(&view.config), wake, ..view.reading(at) }
    }

    /// Deletes what is expired, as any other update.
    fn expire(&self) -> Result<()> {
        let (view, at) = self.read()?;
        let Some(expired) = self.expired(&view.config) else { return Ok(()) };
        let filter = Filter::must([expired]);
        if query::count(&view.reading(at), Some(&filter), true, &Budget::default())? > 0 {
            self.write_now(vec![Update::Delete(Target::Filter(filter))])?;
        }
        Ok(())
    }

    pub(crate) fn search(&self, request: &SearchRequest) -> Result<Vec<ScoredPoint>> {
        let (view, at) = self.read()?;
        query::search(&self.reading(&view, at), request)
    }

    pub(crate) fn search_batch(&self, requests: &[SearchRequest]) -> Result<Vec<Vec<ScoredPoint>>> {
        let (view, at) = self.read()?;
        query::search_batch(&self.reading(&view, at), requests, self.around.pools.search()?)
    }

    pub(crate) fn query(&self, request: &QueryRequest) -> Result<Vec<ScoredPoint>> {
        let (view, at) = self.read()?;
        query::query(&self.reading(&view, at), request)
    }

    pub(crate) fn corpus_counts(&self, request: &QueryRequest) -> Result<CorpusCounts> {
        let (view, at) = self.read()?;
        query::corpus_counts(&self.reading(&view, at), request)
    }

    pub(crate) fn explain(&self, request: &QueryRequest, counting: bool) -> Result<Explanation> {
        let (view, at) = self.read()?;
        query::explain(&self.reading(&view, at), request, counting)
    }

    pub(crate) fn groups(&self, request: &GroupsRequest) -> Result<Vec<PointGroup>> {
        let (view, at) = self.read()?;
        query::groups(&self.reading(&view, at), request)
    }

    pub(crate) fn facet(&self, request: &FacetRequest) -> Result<Vec<FacetHit>> {
        let (view, at) = self.read()?;
        query::facet(&self.reading(&view, at), request)
    }

    pub(crate) fn distance_matrix(&self, request: &MatrixRequest) -> Result<DistanceMatrix> {
        let (view, at) = self.read()?;
        query::distance_matrix(&self.reading(&view, at), request)
    }

    pub(crate) fn retrieve(&self, ids: &[PointId], payload: &PayloadSelector, vectors: &VectorSelector) -> Result<Vec<Record>> {
        let (view, at) = self.read()?;
        query::retrieve(&self.reading(&view, at), ids, payload, vectors)
    }

    pub(crate) fn scroll(&self, request: &ScrollRequest) -> Result<ScrollPage> {
        let (view, at) = self.read()?;
        query::scroll(&self.reading(&view, at), request)
    }

    pub(crate) fn count(&self, filter: Option<&Filter>, exact: bool) -> Result<u64> {
        let (view, at) = self.read()?;
        query::count(&self.reading(&view, at), filter, exact, &Budget::default())
    }

    /// Memory by component, by pages looked up before.
    pub(crate) fn memory(&self, smaps: &Smaps) -> Result<MemoryReport> {
        let (view, _) = self.read()?;
        Ok(self.memory_of(&view, smaps))
    }

    pub(crate) fn apply(&self, updates: Vec<Update>) -> Result<UpdateResult> {
        self.write(updates)
    }

    pub(crate) fn update_config(&self, diff: &ConfigDiff) -> Result<()> {
        self.reconfigure(diff)
    }
}
