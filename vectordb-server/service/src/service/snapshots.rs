//! Making, listing, opening and deleting snapshots.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Service;
use crate::access::{Access, CollectionAccess};
use crate::error::{Fault, Result, ServiceError};
use crate::shards::{CollectionEntry, Shard, ShardId, ShardedCollection};
use crate::snapshots::{
    ArchivedCollection, Kind, Manifest, Shelf, SnapshotActivity, SnapshotDescription, SnapshotFile, SnapshotScope, write,
};

impl Service {
    /// Makes a snapshot of the data as it is now; it lies in the directory of snapshots when this returns. Writes go on
    /// meanwhile, but for the moment at which each collection is in it.
    ///
    /// # Errors
    /// [`Fault::NotFound`], [`Fault::BadRequest`] for a service in memory, [`Fault::OutOfSpace`].
    pub fn create_snapshot(&self, scope: &SnapshotScope, access: &Access) -> Result<SnapshotDescription> {
        let scope = self.stored(scope, access, CollectionAccess::Write)?;
        let subject = scope.collection().unwrap_or_default().to_owned();
        let _running = self.activity(&subject, |activity| &mut activity.creating);
        let made = self.shelf()?.create(&scope, self.peer_id, |out| self.write_snapshot(&scope, out))?;
        self.activity.lock().entry(subject).or_default().created += 1;
        Ok(made)
    }

    /// A snapshot of one shard that lies nowhere: its file has no name and goes when it is closed.
    ///
    /// # Errors
    /// As [`Service::create_snapshot`].
    pub fn stream_shard_snapshot(&self, collection: &str, shard: ShardId, access: &Access) -> Result<SnapshotFile> {
        let scope = self.stored(&SnapshotScope::Shard(collection.to_owned(), shard), access, CollectionAccess::Read)?;
        let scratch = self.scratch()?;
        let path = scratch.path().join("snapshot");
        let fail = |error: std::io::Error| crate::error::failed(&path, &error);
        let mut file = std::fs::File::create_new(&path).map_err(fail)?;
        self.write_snapshot(&scope, &mut file)?;
        let size = file.metadata().map_err(fail)?.len();
        let file = std::fs::File::open(&path).map_err(fail)?;
        Ok(SnapshotFile { name: scope.name(self.peer_id, jiff::Timestamp::now()), file, size })
    }

    /// The snapshots that there are, by name.
    ///
    /// # Errors
    /// [`Fault::NotFound`] for an unknown collection.
    pub fn snapshots(&self, scope: &SnapshotScope, access: &Access) -> Result<Vec<SnapshotDescription>> {
        let scope = self.stored(scope, access, CollectionAccess::Read)?;
        let mut all = self.shelf()?.list(&scope)?;
        if let Some(cluster) = self.cluster()? {
            all.extend(cluster.snapshots(&scope));
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(all)
    }

    /// Opens a snapshot for reading.
    ///
    /// # Errors
    /// [`Fault::NotFound`] for an unknown collection or snapshot.
    pub fn open_snapshot(&self, scope: &SnapshotScope, name: &str, access: &Access) -> Result<SnapshotFile> {
        let scope = self.stored(scope, access, CollectionAccess::Read)?;
        let here = self.shelf()?.open(&scope, name);
        match (here, self.cluster()?) {
            (Err(error), Some(cluster)) if error.fault == Fault::NotFound => cluster.open_snapshot(&scope, name),
            (here, _) => here,
        }
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// [`Fault::NotFound`] for an unknown collection or snapshot.
    pub fn delete_snapshot(&self, scope: &SnapshotScope, name: &str, access: &Access) -> Result<()> {
        let scope = self.stored(scope, access, CollectionAccess::Write)?;
        let here = self.shelf()?.delete(&scope, name);
        match (here, self.cluster()?) {
            (Err(error), Some(cluster)) if error.fault == Fault::NotFound => cluster.delete_snapshot(&scope, name),
            (here, _) => here,
        }
    }

    /// The snapshots on this node alone, for another one that asks for them.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn snapshots_here(&self, scope: &SnapshotScope) -> Result<Vec<SnapshotDescription>> {
        self.shelf()?.list(scope)
    }

    /// Opens a snapshot on this node.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    pub fn open_snapshot_here(&self, scope: &SnapshotScope, name: &str) -> Result<SnapshotFile> {
        self.shelf()?.open(scope, name)
    }

    /// Deletes a snapshot on this node.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    pub fn delete_snapshot_here(&self, scope: &SnapshotScope, name: &str) -> Result<()> {
        self.shelf()?.delete(scope, name)
    }

    /// What goes on with snapshots, by collection; the empty name stands for those of everything.
    pub fn snapshot_activity(&self) -> BTreeMap<String, SnapshotActivity> {
        self.activity.lock().clone()
    }

    /// Counts something up until the answer is dropped.
    pub(super) fn activity<'s>(&'s self, subject: &str, of: fn(&mut SnapshotActivity) -> &mut u64) -> impl Drop + use<'s> {
        *of(self.activity.lock().entry(subject.to_owned()).or_default()) += 1;
        Running { service: self, subject: subject.to_owned(), of }
    }

    pub(super) fn shelf(&self) -> Result<&Shelf> {
        self.shelf.as_ref().ok_or_else(no_directory)
    }

    /// The scope with the name under which its collection is stored, if the caller may do that with it.
    fn stored(&self, scope: &SnapshotScope, access: &Access, wanted: CollectionAccess) -> Result<SnapshotScope> {
        match scope {
            SnapshotScope::Full if wanted == CollectionAccess::Read => access.check_global_read()?,
            SnapshotScope::Full => access.check_manage()?,
            SnapshotScope::Collection(name) => {
                return Ok(SnapshotScope::Collection(self.collection(name, access, wanted)?.name.clone()));
            }
            SnapshotScope::Shard(name, shard) => {
                let collection = self.collection(name, access, wanted)?;
                shard_of(&collection, *shard)?;
                return Ok(SnapshotScope::Shard(collection.name.clone(), *shard));
            }
        }
        Ok(SnapshotScope::Full)
    }

    fn write_snapshot(&self, scope: &SnapshotScope, out: &mut dyn std::io::Write) -> Result<()> {
        let (kind, collections): (Kind, Vec<_>) = match scope {
            SnapshotScope::Full => (Kind::Full, self.collections.read().values().map(Arc::clone).collect()),
            SnapshotScope::Collection(name) => (Kind::Collection, vec![self.stored_collection(name)?]),
            SnapshotScope::Shard(name, _) => (Kind::Shard, vec![self.stored_collection(name)?]),
        };
        let aliases = if kind == Kind::Full { self.aliases.read().clone() } else { BTreeMap::new() };
        let scratch = self.scratch()?;
        let only = if let SnapshotScope::Shard(_, shard) = scope { Some(*shard) } else { None };
        let archived = self.link(&collections, only, scratch.path())?;
        write(out, &Manifest::new(kind, archived, aliases), scratch.path())
    }

    /// Links the files of collections, or of one shard of each, into a directory as [`Manifest::shard_directory`] says. Each
    /// collection is there as it was at one moment.
    pub(super) fn link(
        &self,
        collections: &[Arc<ShardedCollection>],
        only: Option<ShardId>,
        target: &Path,
    ) -> Result<Vec<ArchivedCollection>> {
        let mut archived = Vec::with_capacity(collections.len());
        for (at, collection) in collections.iter().enumerate() {
            let shards: Vec<&Shard> = match only {
                Some(shard) => vec![shard_of(collection, shard)?],
                None => collection.shards.iter().collect(),
            };
            collection.copy_files(&shards, |shard| target.join(Manifest::shard_directory(at, shard)))?;
            archived.push(self.archived(collection, &shards));
        }
        Ok(archived)
    }

    pub(super) fn stored_collection(&self, name: &str) -> Result<Arc<ShardedCollection>> {
        self.collections.read().get(name).cloned().ok_or_else(|| ServiceError::no_collection(name))
    }

    /// What an archive says of a collection, some of whose shards are in it.
    fn archived(&self, collection: &ShardedCollection, shards: &[&Shard]) -> ArchivedCollection {
        let next_shard = collection.shards.iter().map(|shard| shard.id.0 + 1).max().unwrap_or(0);
        let listed = self.catalog.lock().entries.collections.get(&collection.name).map_or(0, |entry| entry.next_shard);
        let mut entries: Vec<_> = shards.iter().map(|shard| shard.entry()).collect();
        entries.iter_mut().for_each(|shard| shard.generation = 0);
        ArchivedCollection {
            name: collection.name.clone(),
            entry: CollectionEntry {
                created_at: collection.created_at.clone(),
                shards: entries,
                next_shard: next_shard.max(listed),
                resharding: None,
            },
            shard_count: collection.shards.len(),
            config: collection.config(),
        }
    }
}

/// The shard of a number.
///
/// # Errors
/// [`Fault::NotFound`].
pub(super) fn shard_of(collection: &ShardedCollection, id: ShardId) -> Result<&Shard> {
    let found = collection.shards.iter().find(|shard| shard.id == id);
    found.ok_or_else(|| ServiceError::new(Fault::NotFound, format!("Shard {id} of collection {} not found", collection.name)))
}

pub(super) fn no_directory() -> ServiceError {
    ServiceError::request("a service in memory has no place for snapshots")
}

struct Running<'s> {
    service: &'s Service,
    subject: String,
    of: fn(&mut SnapshotActivity) -> &mut u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(activity) = self.service.activity.lock().get_mut(&self.subject) {
            *(self.of)(activity) -= 1;
        }
    }
}
