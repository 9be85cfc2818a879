//! Data from snapshots.
//!
//! What is there stays until all of the new is there: a snapshot is unpacked into a directory of its own, the engine makes
//! collections of it under names that nothing has and checks every checksum, then one write of the catalog puts them in the
//! place of the old ones, which are dropped last. An interruption anywhere leaves the old or the new, and leftovers that the
//! next opening removes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vectordb_core::CollectionConfig;

use super::collections::check_name;
use super::snapshots::shard_of;
use super::{Service, sharded};
use crate::access::Access;
use crate::error::{Fault, Result, ServiceError};
use crate::shards::{CollectionEntry, ShardEntry, ShardId};
use crate::snapshots::{ArchivedCollection, Kind, Manifest, checksum, read};

/// Gets what lies at a URL into a file; the door that can speak to other hosts gives one to
/// [`Settings`](crate::Settings::fetch).
#[derive(Clone)]
pub struct Fetch(Arc<Fetcher>);

/// URL, key for the header `api-key`, file.
type Fetcher = dyn Fn(&str, Option<&str>, &Path) -> Result<()> + Send + Sync;

impl Fetch {
    /// By a function of URL, key to send along, and the file that it makes.
    pub fn new(fetch: impl Fn(&str, Option<&str>, &Path) -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fetch))
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}

/// Where a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotLocation {
    /// A file of this host, by a caller who is trusted with all of them.
    File(PathBuf),
    /// A `file://` URI of something in the directory of snapshots, or an `http://` URL.
    Uri {
        /// The URI.
        uri: String,
        /// A key to send along.
        api_key: Option<String>,
    },
}

/// What to recover from, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Where the snapshot is.
    pub location: SnapshotLocation,
    /// The SHA-256 that it must have, in hexadecimal digits.
    pub checksum: Option<String>,
}

impl Recovery {
    /// From a file of this host.
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { location: SnapshotLocation::File(path.into()), checksum: None }
    }
}

impl Service {
    /// Puts the data of a snapshot in the place of a collection's, or makes the collection. The old data is there, whole, until
    /// the new is.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] for a damaged snapshot, one of another checksum and one of another number of shards than the
    /// collection has; [`Fault::Forbidden`] for a location that may not be read, [`Fault::OutOfSpace`].
    pub fn recover_collection(&self, name: &str, from: &Recovery, access: &Access) -> Result<()> {
        access.check_manage()?;
        check_name(name)?;
        let name = self.found(name).map_or_else(|| name.to_owned(), |found| found.name.clone());
        let _running = self.activity(&name, |activity| &mut activity.recovering);
        let (scratch, manifest) = self.unpacked(from)?;
        match (manifest.kind, manifest.collections.first()) {
            (Kind::Collection, Some(archived)) => self.install(&name, archived, &scratch.path().join(UNPACKED), 0),
            (kind, _) => Err(wrong_kind(kind, "a collection")),
        }
    }

    /// Puts the data of a shard's snapshot in the place of that shard's.
    ///
    /// # Errors
    /// As [`Service::recover_collection`]; [`Fault::NotFound`] for an unknown collection or shard, and
    /// [`Fault::BadRequest`] for a snapshot of another shard, of a collection with another number of shards or with other
    /// vectors.
    pub fn recover_shard(&self, name: &str, shard: ShardId, from: &Recovery, access: &Access) -> Result<()> {
        self.check_alone("recovering a shard")?;
        access.check_manage()?;
        let collection = self.found(name).ok_or_else(|| ServiceError::no_collection(name))?;
        shard_of(&collection, shard)?;
        drop(collection.settled()?);
        let _running = self.activity(&collection.name, |activity| &mut activity.recovering);
        let (scratch, manifest) = self.unpacked(from)?;
        let Some(archived) = manifest.collections.first().filter(|_| manifest.kind == Kind::Shard) else {
            return Err(wrong_kind(manifest.kind, "a shard"));
        };
        check_shard(archived, shard, collection.shards.len(), &collection.config())?;
        let _alone = self.recovering.lock();
        let old: Vec<ShardEntry> = collection.shards.iter().map(|shard| shard.entry()).collect();
        let mut new = CollectionEntry { shards: old.clone(), ..CollectionEntry::default() };
        new.shards.iter_mut().filter(|entry| entry.id == shard).for_each(|entry| entry.generation += 1);
        self.replace_shards(&collection.name, &old, &new, &scratch.path().join(UNPACKED), 0)
    }

    /// Recovers everything of a snapshot of everything: every collection and every alias in it. Other collections stay.
    ///
    /// # Errors
    /// As [`Service::recover_collection`]; [`Fault::AlreadyExists`] when a collection is there already and `replace` is not
    /// said, before anything is done.
    pub fn recover_all(&self, from: &Recovery, replace: bool, access: &Access) -> Result<()> {
        access.check_manage()?;
        let (scratch, manifest) = self.unpacked(from)?;
        if manifest.kind != Kind::Full {
            return Err(wrong_kind(manifest.kind, "everything"));
        }
        for archived in &manifest.collections {
            check_name(&archived.name)?;
            if !replace && self.collections.read().contains_key(&archived.name) {
                return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{}` already exists!", archived.name)));
            }
        }
        for (at, archived) in manifest.collections.iter().enumerate() {
            self.install(&archived.name, archived, &scratch.path().join(UNPACKED), at)?;
        }
        self.add_aliases(&manifest.aliases)
    }

    /// Gives collections that are here their further names, as far as no collection has them.
    pub(super) fn add_aliases(&self, added: &BTreeMap<String, String>) -> Result<()> {
        if let Some(cluster) = self.cluster()? {
            let mut aliases = self.aliases.read().clone();
            let collections = self.collections.read().clone();
            let fits = |(alias, of): &(&String, &String)| collections.contains_key(*of) && !collections.contains_key(*alias);
            aliases.extend(added.iter().filter(fits).map(|(alias, of)| (alias.clone(), of.clone())));
            return cluster.set_aliases(aliases);
        }
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        for (alias, collection) in added {
            if entries.collections.contains_key(collection) && !entries.collections.contains_key(alias) {
                entries.aliases.insert(alias.clone(), collection.clone());
            }
        }
        let aliases = entries.aliases.clone();
        catalog.replace(entries)?;
        *self.aliases.write() = aliases;
        Ok(())
    }

    /// Unpacks a snapshot after checking where it is and what checksum it has.
    fn unpacked(&self, from: &Recovery) -> Result<(crate::snapshots::Scratch, Manifest)> {
        let scratch = self.scratch()?;
        let path = match &from.location {
            SnapshotLocation::File(path) => path.clone(),
            SnapshotLocation::Uri { uri, api_key } => self.located(uri, api_key.as_deref(), scratch.path())?,
        };
        if let Some(expected) = &from.checksum {
            let found = checksum(&path)?;
            if !found.eq_ignore_ascii_case(expected) {
                return Err(ServiceError::request(format!("Snapshot checksum mismatch: expected {expected}, got {found}")));
            }
        }
        let target = scratch.path().join(UNPACKED);
        std::fs::create_dir(&target).map_err(|error| crate::error::failed(&target, &error))?;
        let manifest = read(&path, &target)?;
        Ok((scratch, manifest))
    }

    /// The file of a URI.
    fn located(&self, uri: &str, api_key: Option<&str>, scratch: &Path) -> Result<PathBuf> {
        if let Some(path) = uri.strip_prefix("file://") {
            let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
            let path = Path::new(&*path);
            let real = |path: &Path| std::fs::canonicalize(path).map_err(|error| crate::error::failed(path, &error));
            let outside = || ServiceError::new(Fault::Forbidden, "only files in the directory of snapshots can be recovered from");
            if self.settings.recover_any_file {
                return real(path);
            }
            let shelf = real(self.shelf()?.root()).map_err(|_| outside())?;
            // Whether a file outside exists is no concern of a caller.
            let path = real(path).map_err(|error| if path.starts_with(&shelf) { error } else { outside() })?;
            return if path.starts_with(&shelf) { Ok(path) } else { Err(outside()) };
        }
        if !uri.starts_with("http://") && !uri.starts_with("https://") {
            return Err(ServiceError::request(format!("a snapshot's location begins with file://, http:// or https://: `{uri}`")));
        }
        let Some(Fetch(fetch)) = &self.settings.fetch else {
            return Err(ServiceError::new(Fault::Forbidden, "Snapshot recovery from a URL is disabled"));
        };
        let path = scratch.join("fetched");
        fetch(uri, api_key, &path)?;
        Ok(path)
    }

    /// Makes a collection of an archived one, or replaces it.
    pub(super) fn install(&self, name: &str, archived: &ArchivedCollection, unpacked: &Path, at: usize) -> Result<()> {
        let _alone = self.recovering.lock();
        if self.cluster()?.is_some() {
            return self.refill(name, archived, unpacked, at);
        }
        let Some(present) = self.collections.read().get(name).cloned() else { return self.add(name, archived, unpacked, at) };
        drop(present.settled()?);
        let (here, there) = (present.shards.len(), archived.entry.shards.len());
        if here != there {
            return Err(ServiceError::request(format!(
                "Snapshot is not compatible with existing collection: the collection has {here} shards, the snapshot has {there}"
            )));
        }
        let generation = present.shards.iter().map(|shard| shard.generation).max().unwrap_or(0) + 1;
        let mut entry = archived.entry.clone();
        entry.shards.iter_mut().for_each(|shard| shard.generation = generation);
        let old: Vec<ShardEntry> = present.shards.iter().map(|shard| shard.entry()).collect();
        self.replace_shards(name, &old, &entry, unpacked, at)
    }

    /// A collection that is not there yet gets the plain names, and nothing else may make it meanwhile.
    fn add(&self, name: &str, archived: &ArchivedCollection, unpacked: &Path, at: usize) -> Result<()> {
        let mut catalog = self.catalog.lock();
        if catalog.entries.collections.contains_key(name) || catalog.entries.aliases.contains_key(name) {
            return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{name}` already exists!")));
        }
        let entry = archived.entry.clone();
        self.restore_shards(name, &entry.shards, unpacked, at)?;
        let mut entries = catalog.entries.clone();
        entries.collections.insert(name.to_owned(), entry.clone());
        if let Err(error) = catalog.replace(entries) {
            self.drop_shards(name, &entry.shards);
            return Err(error);
        }
        let collection = sharded(&self.db, name, &entry)?;
        self.collections.write().insert(name.to_owned(), Arc::new(collection));
        Ok(())
    }

    /// Makes shards of unpacked ones; all of them or none.
    fn restore_shards(&self, name: &str, shards: &[ShardEntry], unpacked: &Path, at: usize) -> Result<()> {
        let restored = shards.iter().try_for_each(|shard| {
            let from = unpacked.join(Manifest::shard_directory(at, shard.id));
            self.db.restore(&shard.core_name(name), from).map(drop)
        });
        restored.map_err(|error| {
            self.drop_shards(name, shards);
            damaged(error)
        })
    }

    /// Restores the shards that differ from the old ones, puts them in their place, and drops the old.
    fn replace_shards(&self, name: &str, old: &[ShardEntry], new: &CollectionEntry, unpacked: &Path, at: usize) -> Result<()> {
        let (kept, fresh): (Vec<_>, Vec<_>) = new.shards.iter().cloned().partition(|shard| old.contains(shard));
        self.restore_shards(name, &fresh, unpacked, at)?;
        let present = self.stored_collection(name).inspect_err(|_| self.drop_shards(name, &fresh))?;
        let _not_while_points_move = present.settled().inspect_err(|_| self.drop_shards(name, &fresh))?;
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        let listed = match entries.collections.get_mut(name) {
            Some(listed) if listed.shards == old => {
                listed.next_shard = listed.next_shard.max(new.next_shard);
                listed.shards.clone_from(&new.shards);
                Ok(listed.clone())
            }
            _ => Err(ServiceError::new(Fault::Unavailable, format!("collection {name} was changed while it was recovered"))),
        };
        let replaced = listed.and_then(|listed| catalog.replace(entries).map(|()| listed));
        let replaced = replaced.inspect_err(|_| self.drop_shards(name, &fresh))?;
        self.put(name, &replaced)?;
        let gone: Vec<ShardEntry> = old.iter().filter(|shard| !kept.contains(shard)).cloned().collect();
        self.drop_shards(name, &gone);
        Ok(())
    }
}

/// Below a scratch directory: the files of an archive.
const UNPACKED: &str = "unpacked";

/// # Errors
/// [`Fault::BadRequest`].
fn check_shard(archived: &ArchivedCollection, shard: ShardId, shard_count: usize, config: &CollectionConfig) -> Result<()> {
    let refuse = |what: String| Err(ServiceError::request(format!("Snapshot is not compatible with existing collection: {what}")));
    let found: Vec<String> = archived.entry.shards.iter().map(|shard| shard.id.to_string()).collect();
    if archived.entry.shards.len() != 1 || archived.entry.shards[0].id != shard {
        return refuse(format!("shard {shard} is to be recovered, the snapshot has shard {}", found.join(", ")));
    }
    if archived.shard_count != shard_count {
        return refuse(format!("the collection has {shard_count} shards, that of the snapshot {}", archived.shard_count));
    }
    if archived.config.vectors != config.vectors || archived.config.sparse_vectors != config.sparse_vectors {
        return refuse("its vectors are not those of the collection".to_owned());
    }
    Ok(())
}

fn wrong_kind(found: Kind, wanted: &str) -> ServiceError {
    let found = match found {
        Kind::Collection => "a collection",
        Kind::Shard => "a shard",
        Kind::Full => "everything",
    };
    ServiceError::request(format!("the snapshot is of {found}, not of {wanted}"))
}

/// A snapshot that the engine refuses is the caller's.
fn damaged(error: vectordb_core::Error) -> ServiceError {
    use vectordb_core::Error as E;
    match error {
        E::Corrupt { .. } | E::UnknownFormat { .. } => ServiceError::request(format!("the snapshot is damaged: {error}")),
        error => error.into(),
    }
}
