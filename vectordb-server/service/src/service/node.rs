//! A service that is one node of a cluster: it has the collections that the cluster shows it, and asks the cluster where it would
//! decide alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use vectordb_core::{Database, Options};

use super::resharding::Reshardings;
use super::{SCRATCH, SNAPSHOTS, Service, Settings, remove_scratch};
use crate::access::{Access, CollectionAccess};
use crate::cluster::{Cluster, ClusterStatus, ReplicaOperation, ReplicaState, RoutedCollection, RoutedShard, ShardSums};
use crate::error::{Fault, Result, ServiceError};
use crate::limits::QuotaGate;
use crate::metrics::Metrics;
use crate::shards::{Catalog, Shard, ShardId, ShardedCollection};
use crate::snapshots::Shelf;

impl Service {
    /// Opens the node of a cluster in a directory. It has no collections before the cluster [shows](Self::show) some.
    ///
    /// # Errors
    /// Those of the engine, and [`Fault::BadRequest`] for the directory of a service that stood
    /// alone and has collections.
    pub fn open_node(directory: &Path, options: Options, settings: Settings, peer_id: u64) -> Result<Self> {
        if Catalog::exists(directory) && !Catalog::open(Some(directory))?.entries.collections.is_empty() {
            let message = "the collections of a server that stood alone are no part of a cluster: start it without `cluster.enabled`, \
                take a backup, and restore it here";
            return Err(ServiceError::request(message));
        }
        let catalog = Catalog::open(Some(directory))?;
        let metrics = Metrics::default();
        let fs = metrics.log_syncs.timed(Arc::clone(&options.fs));
        let db = Database::open_with(directory, options.fs(fs).replicated(true))?;
        let root = settings.snapshots_path.clone().unwrap_or_else(|| directory.join(SNAPSHOTS));
        let shelf = Shelf::new(root, settings.snapshots_bucket.clone());
        remove_scratch(&directory.join(SCRATCH))?;
        shelf.sweep()?;
        let quota = QuotaGate::new(catalog.entries.quota.clone());
        Ok(Self {
            reshardings: Reshardings::default(),
            db,
            directory: Some(directory.to_path_buf()),
            settings,
            catalog: Arc::new(Mutex::new(catalog)),
            collections: Arc::default(),
            aliases: RwLock::default(),
            peer_id,
            started: Instant::now(),
            shelf: Some(shelf),
            recovering: Mutex::new(()),
            metrics,
            activity: Mutex::new(BTreeMap::new()),
            cluster: Some(OnceLock::new()),
            quota,
        })
    }

    /// Gives a node its cluster, once.
    pub fn join(&self, cluster: Arc<dyn Cluster>) {
        if let Some(place) = &self.cluster {
            place.get_or_init(|| cluster);
        }
    }

    /// Whether this service is a node of a cluster, and may ask others.
    pub fn is_clustered(&self) -> bool {
        self.cluster.is_some()
    }

    /// The cluster that this service is a node of.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] while it starts.
    pub fn cluster(&self) -> Result<Option<&Arc<dyn Cluster>>> {
        let starting = || ServiceError::new(Fault::Unavailable, "the node is starting");
        self.cluster.as_ref().map(|place| place.get().ok_or_else(starting)).transpose()
    }

    /// Takes over what collections and aliases the cluster has; collections whose shards are the same stay what they are.
    pub fn show(&self, collections: Vec<RoutedCollection>, aliases: BTreeMap<String, String>) {
        let mut shown = self.collections.write();
        let mut now = BTreeMap::new();
        for new in collections {
            let same = shown.get(&new.name).filter(|old| is_same(old, &new)).cloned();
            let collection = same.unwrap_or_else(|| {
                let shard = |shard: RoutedShard| Shard::routed(shard.id, shard.key, shard.route);
                Arc::new(ShardedCollection::new(&new.name, &new.created_at, new.shards.into_iter().map(shard).collect()))
            });
            collection.gate.change(&collection.config());
            now.insert(new.name, collection);
        }
        for gone in shown.keys().filter(|name| !now.contains_key(*name)) {
            self.metrics.forget(gone);
        }
        *shown = now;
        *self.aliases.write() = aliases;
    }

    /// The cluster as this node sees it; none where the service stands alone.
    ///
    /// # Errors
    /// [`Fault::Forbidden`], [`Fault::Unavailable`] while the node starts.
    pub fn cluster_status(&self, access: &Access) -> Result<Option<ClusterStatus>> {
        access.check_global_read()?;
        Ok(self.cluster()?.map(|cluster| cluster.status()))
    }

    /// Where the replicas of a collection lie; none where the service stands alone.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    pub fn replicas(&self, name: &str, access: &Access) -> Result<Option<Vec<ReplicaState>>> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        self.cluster()?.map(|cluster| cluster.replicas(&collection.name)).transpose()
    }

    /// The points of a shard as the replica on this node has them; none without one that is in sync.
    ///
    /// # Errors
    /// [`Fault::NotFound`], and those of the engine.
    pub fn local_points(&self, name: &str, shard: ShardId, access: &Access) -> Result<Option<u64>> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        let found = collection.shards.iter().find(|found| found.id == shard).and_then(|shard| shard.data.local().ok());
        Ok(found.map(|data| data.count(None, true)).transpose()?)
    }

    /// Does something about the replicas of a collection.
    ///
    /// # Errors
    /// [`Fault::NotDistributed`] where the service stands alone, and those of [`Cluster::operate`].
    pub fn operate(&self, name: &str, operation: &ReplicaOperation, access: &Access) -> Result<()> {
        access.check_manage()?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        self.cluster()?.ok_or_else(ServiceError::alone)?.operate(&collection.name, operation)
    }

    /// Adds up what the replicas of a collection's shards hold, and has those made anew that differ, if that is wanted.
    ///
    /// # Errors
    /// [`Fault::NotDistributed`] where the service stands alone, and those of [`Cluster::verify`].
    pub fn verify_replicas(&self, name: &str, repair: bool, access: &Access) -> Result<Vec<ShardSums>> {
        access.check_manage()?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        self.cluster()?.ok_or_else(ServiceError::alone)?.verify(&collection.name, repair)
    }

    /// Takes a peer out of the cluster.
    ///
    /// # Errors
    /// [`Fault::NotDistributed`] where the service stands alone, and those of [`Cluster::remove_peer`].
    pub fn remove_peer(&self, peer: u64, force: bool, access: &Access) -> Result<()> {
        access.check_manage()?;
        self.cluster()?.ok_or_else(ServiceError::alone)?.remove_peer(peer, force)
    }

    /// Has all replicas of a peer brought elsewhere, or ends that.
    ///
    /// # Errors
    /// [`Fault::NotDistributed`] where the service stands alone, and those of [`Cluster::set_draining`].
    pub fn set_draining(&self, peer: u64, draining: bool, access: &Access) -> Result<()> {
        access.check_manage()?;
        self.cluster()?.ok_or_else(ServiceError::alone)?.set_draining(peer, draining)
    }

    /// Has replicas that are well stay where they are, or ends that.
    ///
    /// # Errors
    /// [`Fault::NotDistributed`] where the service stands alone, and those of [`Cluster::pause_balance`].
    pub fn pause_balance(&self, paused: bool, access: &Access) -> Result<()> {
        access.check_manage()?;
        self.cluster()?.ok_or_else(ServiceError::alone)?.pause_balance(paused)
    }

    /// Whether the service may be asked: alone always, as a node once it has caught up.
    pub fn is_ready(&self) -> bool {
        match self.cluster() {
            Ok(Some(cluster)) => cluster.is_ready(),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Refuses what a node cannot do by itself.
    pub(super) fn check_alone(&self, what: &str) -> Result<()> {
        if self.cluster.is_none() {
            return Ok(());
        }
        Err(ServiceError::request(format!("{what} is not possible on the node of a cluster")))
    }
}

fn is_same(old: &ShardedCollection, new: &RoutedCollection) -> bool {
    let same = |(old, new): (&Shard, &RoutedShard)| old.id == new.id && old.key == new.key && old.data.goes(&new.route);
    old.created_at == new.created_at && old.shards.len() == new.shards.len() && old.shards.iter().zip(&new.shards).all(same)
}
