//! Making, changing and dropping collections.

use std::sync::Arc;

use vectordb_core::{CollectionConfig, ConfigDiff, ShardingMethod};

use super::{Service, sharded};
use crate::access::{Access, CollectionAccess};
use crate::error::{Fault, Result, ServiceError};
use crate::limits::StrictMode;
use crate::shards::CollectionEntry;

/// Longest name of a collection or an alias, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Most shards of a collection.
pub(super) const MAX_SHARDS: u32 = 1024;

/// A collection to be made.
#[derive(Debug, Clone)]
pub struct NewCollection {
    /// Its name: 1 to 255 bytes, none of `< > : " / \ | ? * NUL 0x1F`.
    pub name: String,
    /// What it is made of.
    pub config: CollectionConfig,
    /// Shards; `None` takes [`Settings::shard_number`](crate::Settings::shard_number), or none where users assign points to
    /// shards.
    pub shard_number: Option<u32>,
}

impl Service {
    /// The names of all collections that the caller may see, in order.
    pub fn collection_names(&self, access: &Access) -> Vec<String> {
        self.collections.read().keys().filter(|name| access.sees(name)).cloned().collect()
    }

    /// Whether there is a collection or an alias of this name.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    pub fn exists(&self, name: &str, access: &Access) -> Result<bool> {
        match self.collection(name, access, CollectionAccess::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.fault == Fault::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a collection; it exists, with all its shards, when this returns.
    ///
    /// # Errors
    /// [`Fault::AlreadyExists`], [`Fault::Validation`] naming the first bad setting.
    pub fn create_collection(&self, new: NewCollection, access: &Access) -> Result<()> {
        access.check_manage()?;
        check_name(&new.name)?;
        let NewCollection { name, mut config, shard_number } = new;
        let custom = config.sharding_method == Some(ShardingMethod::Custom);
        let count = shard_number.unwrap_or(self.settings.shard_number);
        if count == 0 || count > MAX_SHARDS {
            return Err(ServiceError::validation("shard_number", format!("value {count} invalid, must be from 1 to {MAX_SHARDS}")));
        }
        self.check_disk()?;
        config.shard_number = count;
        config.validate()?;
        StrictMode::of(config.strict_mode_config.as_ref())?;
        if let Some(cluster) = self.cluster()? {
            return cluster.create_collection(&name, &config, if custom { 1 } else { count });
        }
        let mut catalog = self.catalog.lock();
        if catalog.entries.collections.contains_key(&name) || catalog.entries.aliases.contains_key(&name) {
            return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{name}` already exists!")));
        }
        let mut entry = CollectionEntry::new();
        // Where users assign points, shards come with their keys; the first holds the configuration meanwhile.
        let shards = entry.add(if custom { 1 } else { count }, None);
        let made = shards.iter().try_for_each(|shard| self.db.create_collection(&shard.core_name(&name), config.clone()).map(drop));
        let listed = made.map_err(ServiceError::from).and_then(|()| {
            let mut entries = catalog.entries.clone();
            entries.collections.insert(name.clone(), entry.clone());
            catalog.replace(entries)
        });
        if let Err(error) = listed {
            // What stays behind is not listed, and removed when the directory is opened next.
            shards.iter().for_each(|shard| drop(self.db.drop_collection(&shard.core_name(&name))));
            return Err(error);
        }
        let collection = sharded(&self.db, &name, &entry)?;
        self.collections.write().insert(name, Arc::new(collection));
        Ok(())
    }

    /// Changes the configuration of a live collection.
    ///
    /// # Errors
    /// [`Fault::NotFound`], [`Fault::Validation`].
    pub fn update_collection(&self, name: &str, diff: &ConfigDiff, access: &Access) -> Result<()> {
        access.check_manage()?;
        StrictMode::of(diff.strict_mode_config.as_ref())?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        if let Some(cluster) = self.cluster()? {
            cluster.update_config(&collection.name, diff)?;
        }
        collection.update_config(diff)
    }

    /// Drops a collection with its aliases; false when there is none of this name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn delete_collection(&self, name: &str, access: &Access) -> Result<bool> {
        access.check_manage()?;
        if let Some(cluster) = self.cluster()? {
            return cluster.delete_collection(name);
        }
        self.end_resharding(name);
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        let Some(entry) = entries.collections.remove(name) else { return Ok(false) };
        entries.aliases.retain(|_, collection| collection != name);
        // Readers that found it before keep what they hold until they are done.
        self.collections.write().remove(name);
        self.aliases.write().retain(|_, collection| collection != name);
        for shard in &entry.shards {
            self.db.drop_collection(&shard.core_name(name))?;
        }
        catalog.replace(entries)?;
        self.metrics.forget(name);
        self.activity.lock().remove(name);
        Ok(true)
    }
}

/// Whether a collection or an alias may have this name.
pub(super) fn is_name(name: &str) -> bool {
    check_name(name).is_ok()
}

/// # Errors
/// [`Fault::Validation`].
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(ServiceError::validation("collection_name", format!("the name must have 1 to {MAX_NAME_BYTES} bytes")));
    }
    match name.chars().find(|&char| matches!(char, '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' | '\0' | '\u{1F}')) {
        Some(char) => Err(ServiceError::validation("collection_name", format!("collection name cannot contain {char:?} char"))),
        None => Ok(()),
    }
}
