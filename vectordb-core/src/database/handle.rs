//! What users hold of a collection.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::{Database, Search};
use crate::collection::{self, CollectionInfo, LogFrame, LogPosition, Staged, UpdateResult};
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::{CollectionConfig, ConfigDiff, Distance, FieldSchema, SparseVectorParams, VectorParams};
use crate::model::corpus::CorpusCounts;
use crate::model::explain::Explanation;
use crate::model::filter::Filter;
use crate::model::memory::MemoryReport;
use crate::model::payload::{Payload, PayloadPath};
use crate::model::point::{Lsn, PayloadSelector, Point, Record, ScoredPoint, VectorSelector};
use crate::model::query::{ScrollPage, ScrollRequest, SearchRequest, Target as SearchTarget};
use crate::model::ranking::{DistanceMatrix, FacetHit, FacetRequest, GroupsRequest, MatrixRequest, PointGroup, QueryRequest};
use crate::model::update::{Target, Update};
use crate::model::vector::UNNAMED;
use crate::storage::smaps::Smaps;

/// Creates or opens a collection; made by [`Database::collection`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open`, `create` or `open_or_create`"]
pub struct CollectionBuilder {
    db: Database,
    name: String,
    config: CollectionConfig,
}

impl CollectionBuilder {
    pub(super) fn new(db: Database, name: &str) -> Self {
        Self { db, name: name.to_owned(), config: CollectionConfig::default() }
    }

    fn unnamed(&mut self) -> &mut VectorParams {
        self.config.vectors.entry(UNNAMED.to_owned()).or_insert_with(|| VectorParams::new(0, Distance::default()))
    }

    /// Dimensions of the unnamed vector, 1 to 65,536.
    pub fn dim(mut self, dim: usize) -> Self {
        self.unnamed().size = dim;
        self
    }

    /// How closeness of the unnamed vector is measured; Cosine if nothing is said.
    pub fn distance(mut self, distance: Distance) -> Self {
        self.unnamed().distance = distance;
        self
    }

    /// Adds a named vector.
    pub fn vector(mut self, name: impl Into<String>, params: VectorParams) -> Self {
        self.config.vectors.insert(name.into(), params);
        self
    }

    /// Adds a named sparse vector.
    pub fn sparse_vector(mut self, name: impl Into<String>, params: SparseVectorParams) -> Self {
        self.config.sparse_vectors.insert(name.into(), params);
        self
    }

    /// Replaces the whole configuration.
    pub fn config(mut self, config: CollectionConfig) -> Self {
        self.config = config;
        self
    }

    /// Makes the collection.
    ///
    /// # Errors
    /// As [`Database::create_collection`].
    pub fn create(self) -> Result<Collection> {
        self.db.create_collection(&self.name, self.config)
    }

    /// Opens the collection, whose configuration was given when it was made.
    ///
    /// # Errors
    /// [`Error::CollectionNotFound`].
    pub fn open(self) -> Result<Collection> {
        self.db.get(&self.name)
    }

    /// Opens the collection, or makes it when there is none.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when a collection of this name has other vectors, and as [`Database::create_collection`].
    pub fn open_or_create(self) -> Result<Collection> {
        let found = match self.db.get(&self.name) {
            Err(Error::CollectionNotFound { .. }) => match self.db.create_collection(&self.name, self.config.clone()) {
                // Another thread was faster.
                Err(Error::CollectionExists { .. }) => self.db.get(&self.name)?,
                made => return made,
            },
            found => found?,
        };
        let config = found.config();
        for (name, wanted) in &self.config.vectors {
            let same = config.vectors.get(name).is_some_and(|params| params.size == wanted.size && params.distance == wanted.distance);
            if !same {
                let reason = "the collection exists with other dimensions or another distance".to_owned();
                return Err(Error::InvalidConfig { field: format!("vectors.{name}"), reason });
            }
        }
        if let Some(name) = self.config.sparse_vectors.keys().find(|name| !config.sparse_vectors.contains_key(*name)) {
            return Err(Error::config(format!("sparse_vectors.{name}"), "the collection exists without it"));
        }
        Ok(found)
    }
}

/// A collection of points. Handles are cheap to clone and can be used from any number of threads; reads never wait for
/// writes.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Keeps the database open, its lock and its thread; where other collections are looked up.
    db: Database,
    inner: Arc<collection::Collection>,
}

impl Collection {
    pub(super) fn new(db: Database, inner: Arc<collection::Collection>) -> Self {
        Self { db, inner }
    }

    /// The collection's name.
    pub fn name(&self) -> String {
        self.inner.name()
    }

    /// Inserts points, or replaces those whose ids exist. All or nothing: one bad point and none is written.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`], [`Error::InvalidVector`], [`Error::VectorNotFound`] naming the point; [`Error::ReadOnly`],
    /// [`Error::DiskFull`], [`Error::OutOfMemory`], [`Error::Poisoned`], [`Error::Io`].
    pub fn upsert(&self, points: impl IntoIterator<Item = Point>) -> Result<UpdateResult> {
        self.inner.apply(vec![Update::upsert(points)])
    }

    /// Applies operations in order, as one atomic batch: all of them happen, or none.
    ///
    /// # Errors
    /// That of the first operation that cannot be done.
    pub fn apply(&self, updates: impl IntoIterator<Item = Update>) -> Result<UpdateResult> {
        self.inner.apply(updates.into_iter().collect())
    }

    /// Logs and applies a batch in a [replicated](crate::Options::replicated) database, where nobody sees it before it is
    /// [published](Self::publish). It is durable after [`sync_log`](Self::sync_log).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn stage(&self, updates: impl IntoIterator<Item = Update>, epoch: u64) -> Result<Staged> {
        self.inner.stage(updates.into_iter().collect(), epoch)
    }

    /// Waits while more lies without a graph than searches should have to scan, as [`apply`](Self::apply) does before it begins.
    pub fn wait_for_room(&self, updates: &[Update]) {
        self.inner.wait_for_room(updates);
    }

    /// The same for a change of the configuration.
    ///
    /// # Errors
    /// As [`update_config`](Self::update_config).
    pub fn stage_config(&self, diff: &ConfigDiff, epoch: u64) -> Result<Staged> {
        self.inner.stage_config(diff, epoch)
    }

    /// Takes over the next batch of a primary's log.
    ///
    /// # Errors
    /// [`Error::Internal`] for a batch that does not follow on the last one, [`Error::Corrupt`] for a damaged one.
    pub fn follow(&self, frame: &LogFrame) -> Result<()> {
        self.inner.follow(frame)
    }

    /// Returns when the log is as durable up to a batch as the collection asks for. Many threads share one sync.
    ///
    /// # Errors
    /// [`Error::Poisoned`] and the first cause of it.
    pub fn sync_log(&self, lsn: Lsn) -> Result<()> {
        self.inner.sync_log(lsn)
    }

    /// Shows readers everything up to a batch.
    pub fn publish(&self, lsn: Lsn) {
        self.inner.publish(lsn);
    }

    /// How far the log goes.
    pub fn log_position(&self) -> LogPosition {
        self.inner.log_position()
    }

    /// The epoch of a batch that lies in the log alone; `None` when it lies in files, or was never there.
    pub fn log_epoch(&self, lsn: Lsn) -> Option<u64> {
        self.inner.log_epoch(lsn)
    }

    /// The batches behind one, as far as they are written.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the log begins later, because files hold what was before.
    pub fn log_after(&self, lsn: Lsn) -> Result<impl Iterator<Item = Result<LogFrame>> + use<>> {
        self.inner.log_after(lsn)
    }

    /// Removes points by ids or by filter; ids that do not exist are passed over.
    ///
    /// # Errors
    /// Those of the filter and of the log.
    pub fn delete(&self, target: impl Into<Target>) -> Result<UpdateResult> {
        self.inner.apply(vec![Update::Delete(target.into())])
    }

    /// Merges keys into the payload of points.
    ///
    /// # Errors
    /// Those of the filter and of the log.
    pub fn set_payload(&self, target: impl Into<Target>, payload: Payload) -> Result<UpdateResult> {
        self.inner.apply(vec![Update::SetPayload { target: target.into(), payload, key: None }])
    }

    /// Indexes a payload field, so that filters on it need not read payloads. Existing points are indexed before it returns.
    ///
    /// # Errors
    /// [`Error::InvalidPayload`] for a bad path, [`Error::InvalidConfig`] for bad settings.
    pub fn create_index(&self, field: &str, schema: FieldSchema) -> Result<()> {
        self.inner.apply(vec![Update::CreateFieldIndex { field: PayloadPath::parse(field)?, schema }]).map(drop)
    }

    /// Drops a payload index, if there is one.
    ///
    /// # Errors
    /// [`Error::InvalidPayload`] for a bad path.
    pub fn drop_index(&self, field: &str) -> Result<()> {
        self.inner.apply(vec![Update::DropFieldIndex { field: PayloadPath::parse(field)? }]).map(drop)
    }

    /// Points with payloads and vectors, in the order asked for; ids that do not exist are left out.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a payload cannot be read.
    pub fn get(&self, ids: &[PointId]) -> Result<Vec<Record>> {
        self.retrieve(ids, &PayloadSelector::All, &VectorSelector::All)
    }

    /// Points with chosen parts, in the order asked for; ids that do not exist are left out.
    ///
    /// # Errors
    /// [`Error::VectorNotFound`] and [`Error::InvalidPayload`] for bad selectors, [`Error::Corrupt`].
    pub fn retrieve(&self, ids: &[PointId], payload: &PayloadSelector, vectors: &VectorSelector) -> Result<Vec<Record>> {
        self.inner.retrieve(ids, payload, vectors)
    }

    /// Begins a nearest-neighbour search.
    pub fn search(&self, target: impl Into<SearchTarget>) -> Search<'_> {
        Search::new(self, target.into())
    }

    /// Runs a search.
    ///
    /// # Errors
    /// As [`Search::run`].
    pub fn query(&self, request: &SearchRequest) -> Result<Vec<ScoredPoint>> {
        self.inner.search(request)
    }

    /// Runs many searches in parallel, all at the same state; answers come in the order of the requests.
    ///
    /// # Errors
    /// That of one of the searches that failed.
    pub fn query_batch(&self, requests: &[SearchRequest]) -> Result<Vec<Vec<ScoredPoint>>> {
        self.inner.search_batch(requests)
    }

    /// Runs a query of any kind: hits, best first, equal scores in the order of ids.
    ///
    /// # Errors
    /// As [`Search::run`]; [`Error::InvalidQuery`] for fusions and formulas without prefetches, formulas that give no number,
    /// and orders by a field without an integer, float or datetime index.
    pub fn query_points(&self, request: &QueryRequest) -> Result<Vec<ScoredPoint>> {
        self.inner.query(self.db.looked_up(request)?.as_ref())
    }

    /// Counts what a query, without its prefetches, is weighted by: the dimensions of a sparse vector with the modifier `idf`, or
    /// the words that texts are ranked by. Whoever asks several collections as one adds up their counts, and gives the sum to each
    /// of them as [`SearchParams::corpus`](crate::SearchParams::corpus). Nothing is counted for other queries.
    ///
    /// # Errors
    /// As [`Collection::query_points`].
    pub fn corpus_counts(&self, request: &QueryRequest) -> Result<CorpusCounts> {
        self.inner.corpus_counts(self.db.looked_up(request)?.as_ref())
    }

    /// Answers a query and tells how: the way through each segment, what was computed, and which payload indexes would help.
    /// With `counting`, it also counts the points that satisfy each filter, which may mean to read all payloads.
    ///
    /// ```
    /// use vectordb_core::{Database, Distance, Point, Query, QueryRequest, Way, field};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = Database::open(dir.path())?;
    /// let points = db.collection("points").dim(2).distance(Distance::Dot).create()?;
    /// points.upsert([Point::new(1u64, [0.5, 1.0]).with("lang", "en"), Point::new(2u64, [1.0, 0.0]).with("lang", "fr")])?;
    /// let mut request = QueryRequest::new(Query::from([1.0, 1.0]));
    /// request.filter = Some(field("lang").eq("en"));
    /// let explanation = points.explain(&request, true)?;
    /// let segment = explanation.searches[0].segments[0];
    /// assert_eq!((segment.way, segment.matching, segment.work.vectors), (Way::Scan, Some(1), 1));
    /// assert_eq!(explanation.advice, ["an index of kind `keyword` on `lang` would help"]);
    /// # Ok::<(), vectordb_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Collection::query_points`].
    pub fn explain(&self, request: &QueryRequest, counting: bool) -> Result<Explanation> {
        self.inner.explain(self.db.looked_up(request)?.as_ref(), counting)
    }

    /// Runs a query whose hits come in groups that share a value of a field: groups in the order of their best hits.
    ///
    /// # Errors
    /// As [`Collection::query_points`].
    pub fn groups(&self, request: &GroupsRequest) -> Result<Vec<PointGroup>> {
        let query = self.db.looked_up(&request.query)?;
        let groups = match query {
            Cow::Borrowed(_) => self.inner.groups(request)?,
            Cow::Owned(query) => self.inner.groups(&GroupsRequest { query, ..request.clone() })?,
        };
        match &request.with_lookup {
            Some(lookup) => self.db.joined(groups, lookup),
            None => Ok(groups),
        }
    }

    /// The most frequent values of a field, with the number of points that have them.
    ///
    /// # Errors
    /// Those of the filter; [`Error::LimitExceeded`].
    pub fn facet(&self, request: &FacetRequest) -> Result<Vec<FacetHit>> {
        self.inner.facet(request)
    }

    /// The nearest neighbours of a sample of points among themselves.
    ///
    /// # Errors
    /// [`Error::VectorNotFound`], [`Error::LimitExceeded`], those of the filter.
    pub fn distance_matrix(&self, request: &MatrixRequest) -> Result<DistanceMatrix> {
        self.inner.distance_matrix(request)
    }

    /// One page of a walk over all points, by id or by a payload field.
    ///
    /// # Errors
    /// [`Error::InvalidQuery`] when a field without a range index is to order by, those of the filter.
    pub fn scroll(&self, request: &ScrollRequest) -> Result<ScrollPage> {
        self.inner.scroll(request)
    }

    /// How many points satisfy a filter; with `exact` false, about how many.
    ///
    /// # Errors
    /// Those of the filter.
    pub fn count(&self, filter: Option<&Filter>, exact: bool) -> Result<u64> {
        self.inner.count(filter, exact)
    }

    /// The configuration as it is now.
    pub fn config(&self) -> CollectionConfig {
        (*self.inner.config()).clone()
    }

    /// Changes the configuration of the live collection. Graphs of another shape are rebuilt in the background.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::VectorNotFound`].
    pub fn update_config(&self, diff: &ConfigDiff) -> Result<()> {
        self.inner.update_config(diff)
    }

    /// State, sizes and progress.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn info(&self) -> Result<CollectionInfo> {
        self.inner.info()
    }

    /// Bytes of its files, as in [`Collection::info`], in O(segments).
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn disk_bytes(&self) -> Result<u64> {
        self.inner.disk_bytes()
    }

    /// Memory by component; as a part of [`Collection::info`], and beside all others in [`Database::memory`].
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn memory(&self) -> Result<MemoryReport> {
        self.inner.memory(&Smaps::now())
    }

    /// Runs at most one job of the background work now, on this thread; false when there is nothing to do.
    ///
    /// # Errors
    /// Those of the job; the collection stays as it was.
    pub fn maintain(&self) -> Result<bool> {
        self.inner.maintain()
    }

    /// Seals, indexes, merges and cleans until nothing is left to do. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// Those of the first job that fails; [`Error::OutOfMemory`] when all is done but a job that takes more than there is.
    pub fn optimize(&self) -> Result<()> {
        self.inner.optimize()
    }

    /// Writes a snapshot of everything acknowledged so far into a new directory, in constant time: files are linked, not
    /// copied, and no job is waited for. [`Database::restore`] makes a collection of it. Returns the lsn of the newest update in it.
    ///
    /// # Errors
    /// [`Error::InvalidQuery`] when the directory is not empty, [`Error::Io`].
    pub fn snapshot(&self, directory: impl AsRef<Path>) -> Result<Lsn> {
        self.inner.snapshot(directory.as_ref())
    }

    /// Reads every file and checks every checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first damaged file and the place in it.
    pub fn verify(&self) -> Result<()> {
        self.inner.verify()
    }
}
