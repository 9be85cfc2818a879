//! Shards that users assign points to.

use std::sync::Arc;

use vectordb_core::ShardingMethod;

use super::{Service, sharded};
use crate::access::{Access, CollectionAccess};
use crate::error::{Fault, Result, ServiceError};
use crate::shards::{CollectionEntry, ShardEntry, ShardKey};

/// A shard key to be made.
#[derive(Debug, Clone)]
pub struct NewShardKey {
    /// The key.
    pub key: ShardKey,
    /// Shards of the key; `None` takes the collection's number.
    pub shards: Option<u32>,
}

impl Service {
    /// Makes the shards of a key.
    ///
    /// # Errors
    /// [`Fault::BadInput`] for a collection whose points are spread by a hash, [`Fault::AlreadyExists`].
    pub fn create_shard_key(&self, name: &str, new: &NewShardKey, access: &Access) -> Result<()> {
        access.check_manage()?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        let config = collection.config();
        if config.sharding_method != Some(ShardingMethod::Custom) {
            return Err(ServiceError::request("Shard Key cannot be created with Auto sharding method"));
        }
        if new.shards == Some(0) {
            return Err(ServiceError::validation("shards_number", "value 0 invalid, must be 1 or larger"));
        }
        self.check_disk()?;
        if let Some(cluster) = self.cluster()? {
            if collection.has_key(&new.key) {
                return Err(ServiceError::request(format!("Sharding key {} already exists for collection {name}", new.key)));
            }
            return cluster.create_shard_key(&collection.name, &new.key, new.shards.unwrap_or(config.shard_number));
        }
        let _not_while_points_move = collection.settled()?;
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        let entry = entries.collections.get_mut(&collection.name).ok_or_else(|| ServiceError::no_collection(name))?;
        if entry.shards.iter().any(|shard| shard.key.as_ref() == Some(&new.key)) {
            return Err(ServiceError::request(format!("Sharding key {} already exists for collection {name}", new.key)));
        }
        let added = entry.add(new.shards.unwrap_or(config.shard_number), Some(&new.key));
        let made: Result<Vec<()>> = added
            .iter()
            .map(|shard| Ok(self.db.create_collection(&shard.core_name(&collection.name), config.clone()).map(drop)?))
            .collect();
        let entry = entry.clone();
        let listed = made.and_then(|_| catalog.replace(entries));
        if let Err(error) = listed {
            self.drop_shards(&collection.name, &added);
            return Err(error);
        }
        self.put(&collection.name, &entry)
    }

    /// Drops the shards of a key with all their points; false when there is no such key.
    ///
    /// # Errors
    /// [`Fault::NotFound`], those of the disk.
    pub fn delete_shard_key(&self, name: &str, key: &ShardKey, access: &Access) -> Result<bool> {
        access.check_manage()?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        if !collection.has_key(key) {
            return Err(ServiceError::new(Fault::BadRequest, format!("Sharding key {key} does not exist for collection {name}")));
        }
        if let Some(cluster) = self.cluster()? {
            return cluster.delete_shard_key(&collection.name, key).map(|()| true);
        }
        let _not_while_points_move = collection.settled()?;
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        let entry = entries.collections.get_mut(&collection.name).ok_or_else(|| ServiceError::no_collection(name))?;
        let (gone, kept) = std::mem::take(&mut entry.shards).into_iter().partition(|shard| shard.key.as_ref() == Some(key));
        entry.shards = kept;
        let gone: Vec<ShardEntry> = gone;
        let entry = entry.clone();
        catalog.replace(entries)?;
        self.put(&collection.name, &entry)?;
        self.drop_shards(&collection.name, &gone);
        Ok(true)
    }

    /// The keys of a collection's shards, in the order in which they were made.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    pub fn shard_keys(&self, name: &str, access: &Access) -> Result<Vec<ShardKey>> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        let mut keys: Vec<ShardKey> = collection.shards.iter().filter_map(|shard| shard.key.clone()).collect();
        keys.dedup();
        Ok(keys)
    }

    pub(super) fn put(&self, name: &str, entry: &CollectionEntry) -> Result<()> {
        let collection = sharded(&self.db, name, entry)?;
        self.collections.write().insert(name.to_owned(), Arc::new(collection));
        Ok(())
    }

    /// What cannot be dropped now is not listed, and goes when the directory is opened next.
    pub(super) fn drop_shards(&self, name: &str, shards: &[ShardEntry]) {
        shards.iter().for_each(|shard| drop(self.db.drop_collection(&shard.core_name(name))));
    }
}
