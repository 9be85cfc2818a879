//! All backups of one bucket.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::manifest::{BACKUPS, BackupManifest, is_name, key, name_of};
use crate::bucket::Bucket;
use crate::digest::ContentDigest;
use crate::error::{Fault, Result, ServiceError};

/// The backups of a bucket.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) bucket: Arc<dyn Bucket>,
}

/// A backup as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupDescription {
    /// Its name, in the order of time.
    pub name: String,
    /// When the data was as it is in the backup, RFC 3339.
    pub created_at: String,
    /// Bytes of all its files, whoever else has them.
    pub bytes: u64,
    /// The collections in it.
    pub collections: Vec<CollectionDescription>,
}

/// A collection of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionDescription {
    /// Its name.
    pub name: String,
    /// Its shards.
    pub shards: usize,
    /// Its points.
    pub points: u64,
    /// The sum of what is in it.
    pub digest: ContentDigest,
    /// Bytes of its files.
    pub bytes: u64,
}

impl BackupDescription {
    /// What a manifest says in short.
    pub(crate) fn of(name: &str, manifest: &BackupManifest) -> Self {
        let collections: Vec<CollectionDescription> = manifest
            .collections
            .iter()
            .map(|collection| CollectionDescription {
                name: collection.archived.name.clone(),
                shards: collection.archived.entry.shards.len(),
                points: collection.digest.points(),
                digest: collection.digest,
                bytes: collection.bytes(),
            })
            .collect();
        let bytes = collections.iter().map(|collection| collection.bytes).sum();
        Self { name: name.to_owned(), created_at: manifest.created_at.to_string(), bytes, collections }
    }
}

impl Repository {
    /// The backups of a bucket, which may be empty.
    pub fn new(bucket: Arc<dyn Bucket>) -> Self {
        Self { bucket }
    }

    /// The place as a person writes it.
    pub fn location(&self) -> String {
        self.bucket.location()
    }

    /// What backups there are, the oldest first.
    ///
    /// # Errors
    /// Those of the bucket, and [`Fault::BadRequest`] for a damaged manifest, which [`Repository::verify`] tells more of.
    pub fn backups(&self) -> Result<Vec<BackupDescription>> {
        let names = self.names()?;
        names.iter().map(|name| Ok(BackupDescription::of(name, &self.read(name)?))).collect()
    }

    /// Names of all backups, the oldest first.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let listed = self.bucket.list(BACKUPS)?;
        let mut names: Vec<String> = listed.iter().filter_map(|object| name_of(&object.key)).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The manifest of a name, or the newest.
    pub(crate) fn manifest(&self, name: Option<&str>) -> Result<(String, BackupManifest)> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.names()?.pop().ok_or_else(|| missing(format!("there is no backup in {}", self.location())))?,
        };
        let manifest = self.read(&name)?;
        Ok((name, manifest))
    }

    pub(super) fn read(&self, name: &str) -> Result<BackupManifest> {
        self.try_read(name)?
            .map_err(|what| ServiceError::request(format!("the backup {name} in {} is damaged: {}: {what}", self.location(), key(name))))
    }

    /// The manifest of a name, or what is wrong with it.
    pub(super) fn try_read(&self, name: &str) -> Result<Result<BackupManifest, String>> {
        let unknown = || missing(format!("there is no backup {name} in {}", self.location()));
        let json = if is_name(name) { self.bucket.get(&key(name))? } else { None };
        Ok(BackupManifest::decode(name, &json.ok_or_else(unknown)?))
    }
}

fn missing(message: String) -> ServiceError {
    ServiceError::new(Fault::NotFound, message)
}
