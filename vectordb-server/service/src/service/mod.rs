//! The one layer that every door calls: collections by name or alias, and what can be done with them.
//!
//! It speaks the engine's model. What a caller may do is checked here, with the name under which a collection is stored.
//!
//! Files: `collections` (making, changing and dropping), `aliases`, `points` (updates), `questions` (reads), `keys` (shard keys),
//! `node` (being one of a cluster), `parallel` (batches), `strict` (strict mode), `disk` (what is kept free), `quotas`, `state` (what collections say about themselves),
//! `explanations` (of queries), `snapshots` (making and finding them), `recovery` (data from them), `refill` (the same
//! in a cluster), `resharding` (another number of shards), `replication` (points of one shard key in another), `backups` (many states in one place), `figures` (metrics
//! and telemetry).

mod aliases;
mod backups;
mod collections;
mod disk;
mod explanations;
mod figures;
mod keys;
mod node;
mod parallel;
mod points;
mod questions;
mod quotas;
mod recovery;
mod refill;
mod replication;
mod resharding;
mod snapshots;
mod state;
mod strict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use vectordb_core::{Budget, Database, Options};

use crate::access::{Access, CollectionAccess};
use crate::bucket::Bucket;
use crate::cluster::Cluster;
use crate::error::{Fault, Result, ServiceError, failed};
use crate::limits::QuotaGate;
use crate::metrics::Metrics;
use crate::shards::{Catalog, CollectionEntry, Consistency, ShardKey, ShardedCollection};
use crate::snapshots::{Scratch, Shelf, SnapshotActivity};

use parallel::in_parallel;
use resharding::Reshardings;

pub use aliases::AliasChange;
pub use backups::{BackupReport, BackupRequest, Buckets, RestoreReport, RestoreRequest};
pub use collections::NewCollection;
pub use explanations::Explanations;
pub use keys::NewShardKey;
pub use points::{Updated, WriteOptions};
pub use recovery::{Fetch, Recovery, SnapshotLocation};
pub use resharding::ShardCount;
pub use state::{CollectionState, ShardState};

/// What the service is like, beside its data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Accept ids that are neither numbers nor UUIDs.
    pub allow_string_ids: bool,
    /// Shards of a collection that asks for no number.
    pub shard_number: u32,
    /// Where snapshots lie; `snapshots` beside the collections, if nothing is said.
    pub snapshots_path: Option<PathBuf>,
    /// Where snapshots are brought; none: they stay in the directory of snapshots.
    pub snapshots_bucket: Option<Arc<dyn Bucket>>,
    /// Recover from any file of this machine, not only from those in the directory of snapshots: for callers who may read them anyway.
    pub recover_any_file: bool,
    /// How to get a snapshot that lies elsewhere; none: URLs are refused.
    pub fetch: Option<Fetch>,
    /// Free bytes of the disk below which nothing is added; a twentieth of the disk, but at most a gigabyte and at least 128
    /// megabytes, if nothing is said.
    pub min_free_disk_bytes: Option<u64>,
    /// How to reach a bucket of S3; none: only directories are places for backups.
    pub buckets: Option<Buckets>,
    /// Where backups lie if a request names no place; `backups` in the directory of snapshots, if nothing is said.
    pub backup_location: Option<String>,
    /// What stands before the names of metrics.
    pub metrics_prefix: String,
    /// What the service calls itself.
    pub title: String,
    /// The version of the wire that it speaks.
    pub version: String,
    /// The state of the sources it was built from, 40 hexadecimal digits.
    pub commit: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_string_ids: false,
            shard_number: 1,
            snapshots_path: None,
            snapshots_bucket: None,
            recover_any_file: false,
            fetch: None,
            min_free_disk_bytes: None,
            buckets: None,
            backup_location: None,
            metrics_prefix: "vectordb_".to_owned(),
            title: "vectordb - vector search engine".to_owned(),
            version: "1.20.0".to_owned(),
            commit: option_env!("VECTORDB_COMMIT").unwrap_or("0000000000000000000000000000000000000000").to_owned(),
        }
    }
}

/// How a read is to be done.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Only shards of these keys; empty: all.
    pub shard_keys: Vec<ShardKey>,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// The share of the true nearest points that searches are to find, where they name neither one nor a candidate list.
    pub recall: Option<f64>,
    /// Where to tell how queries were answered.
    pub explanations: Option<Explanations>,
    /// How certain to be of seeing every acknowledged write.
    pub consistency: Consistency,
}

impl ReadOptions {
    fn budget(&self) -> Budget {
        Budget { deadline: self.deadline, cancel: None }
    }
}

/// Collections by name. Cheap to share behind an [`Arc`]; every call may block.
#[derive(Debug)]
pub struct Service {
    /// First, so that they end before the data is closed.
    reshardings: Reshardings,
    db: Database,
    directory: Option<PathBuf>,
    settings: Settings,
    /// Held while collections, shards or aliases come and go.
    catalog: Arc<Mutex<Catalog>>,
    collections: Arc<RwLock<BTreeMap<String, Arc<ShardedCollection>>>>,
    aliases: RwLock<BTreeMap<String, String>>,
    peer_id: u64,
    started: Instant,
    /// None in memory.
    shelf: Option<Shelf>,
    /// One recovery at a time.
    recovering: Mutex<()>,
    metrics: Metrics,
    activity: Mutex<BTreeMap<String, SnapshotActivity>>,
    /// None where the service stands alone.
    cluster: Option<OnceLock<Arc<dyn Cluster>>>,
    quota: QuotaGate,
}

/// Below the data: what is not finished, and goes when the service is opened.
const SCRATCH: &str = "scratch";
const SNAPSHOTS: &str = "snapshots";

impl Service {
    /// A service whose data goes with it.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn in_memory(settings: Settings) -> Result<Self> {
        Self::over(Database::in_memory()?, None, settings, Metrics::default())
    }

    /// Opens the collections of a directory, or makes the directory. A directory of the embedded engine is one of the service.
    ///
    /// # Errors
    /// Those of the engine, among them [`Unavailable`](crate::Fault::Unavailable) when another process writes there.
    pub fn open(directory: &Path, options: Options, settings: Settings) -> Result<Self> {
        let metrics = Metrics::default();
        let fs = metrics.log_syncs.timed(Arc::clone(&options.fs));
        Self::over(Database::open_with(directory, options.fs(fs))?, Some(directory), settings, metrics)
    }

    fn over(db: Database, directory: Option<&Path>, settings: Settings, metrics: Metrics) -> Result<Self> {
        let mut catalog = Catalog::open(directory)?;
        let mut entries = catalog.entries.clone();
        let stands_alone = |name: &str| db.get(name).is_ok_and(|found| found.config().shard_number == 1 && collections::is_name(name));
        for left_over in entries.sorted(&db.collections(), stands_alone) {
            db.drop_collection(&left_over)?;
        }
        if entries != catalog.entries || directory.is_some_and(|directory| !Catalog::exists(directory)) {
            catalog.replace(entries)?;
        }
        let entries = &catalog.entries;
        let collections = entries
            .collections
            .iter()
            .map(|(name, entry)| Ok((name.clone(), Arc::new(sharded(&db, name, entry)?))))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let (aliases, peer_id, quota) = (entries.aliases.clone(), entries.peer_id, entries.quota.clone());
        let root = |directory: &Path| settings.snapshots_path.clone().unwrap_or_else(|| directory.join(SNAPSHOTS));
        let shelf = directory.map(|directory| Shelf::new(root(directory), settings.snapshots_bucket.clone()));
        if let (Some(directory), Some(shelf)) = (directory, &shelf) {
            remove_scratch(&directory.join(SCRATCH))?;
            shelf.sweep()?;
        }
        let service = Self {
            reshardings: Reshardings::default(),
            db,
            directory: directory.map(Path::to_path_buf),
            settings,
            catalog: Arc::new(Mutex::new(catalog)),
            collections: Arc::new(RwLock::new(collections)),
            aliases: RwLock::new(aliases),
            peer_id,
            started: Instant::now(),
            shelf,
            recovering: Mutex::new(()),
            metrics,
            activity: Mutex::new(BTreeMap::new()),
            cluster: None,
            quota: QuotaGate::new(quota),
        };
        service.resume_reshardings()?;
        Ok(service)
    }

    /// What the service is like.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The engine below.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// Where the data lies; none in memory.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The identity of this node, at most 53 bits.
    pub fn peer_id(&self) -> u64 {
        self.peer_id
    }

    /// When the service was opened.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// A directory for work that is not finished, on the file system of the data.
    ///
    /// # Errors
    /// [`Fault::BadRequest`](crate::Fault::BadRequest) for a service in memory,
    /// [`Fault::OutOfSpace`](crate::Fault::OutOfSpace), and those of the disk.
    pub fn scratch(&self) -> Result<Scratch> {
        let directory = self.directory.as_deref().ok_or_else(snapshots::no_directory)?;
        self.check_disk()?;
        Scratch::new(&directory.join(SCRATCH))
    }

    /// Finishes what is under way and gives the directory free. Calls that come later are refused.
    ///
    /// # Errors
    /// Those of the last writes.
    pub fn close(self) -> Result<()> {
        self.reshardings.close();
        self.collections.write().clear();
        self.db.close().map_err(ServiceError::from)
    }

    /// The collection of a name or an alias, if the caller may do that in it.
    fn collection(&self, name: &str, access: &Access, wanted: CollectionAccess) -> Result<Arc<ShardedCollection>> {
        let found = self.found(name);
        access.check(found.as_ref().map_or(name, |found| &found.name), wanted)?;
        found.ok_or_else(|| self.missing(name))
    }

    /// Why a collection is not found. A node that has just started cannot say yet that there is none.
    fn missing(&self, name: &str) -> ServiceError {
        match self.cluster() {
            Ok(Some(cluster)) if !cluster.has_shown_all() => {
                let message = format!("this node has started, and has yet to hear whether there is a collection `{name}`");
                ServiceError::new(Fault::Unavailable, message)
            }
            Ok(_) => ServiceError::no_collection(name),
            Err(error) => error,
        }
    }

    fn found(&self, name: &str) -> Option<Arc<ShardedCollection>> {
        let collections = self.collections.read();
        if let Some(found) = collections.get(name) {
            return Some(Arc::clone(found));
        }
        let aliases = self.aliases.read();
        collections.get(aliases.get(name)?).cloned()
    }
}

fn remove_scratch(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(path, &error)),
        _ => Ok(()),
    }
}

/// The shards of a listed collection.
fn sharded(db: &Database, name: &str, entry: &CollectionEntry) -> Result<ShardedCollection> {
    let shards = entry
        .shards
        .iter()
        .map(|shard| Ok(crate::shards::Shard::new(shard, db.get(&shard.core_name(name))?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(ShardedCollection::new(name, &entry.created_at, shards))
}
