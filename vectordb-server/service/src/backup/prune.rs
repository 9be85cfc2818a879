//! Retention: the newest backups stay, and every object that they name.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::lease::Lease;
use super::manifest::{OBJECTS, key};
use super::repository::Repository;
use crate::error::{Result, ServiceError};

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PruneReport {
    /// Backups, the oldest first.
    pub backups: Vec<String>,
    /// Objects that no other backup names.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Repository {
    /// Deletes all backups but the newest, then the objects that none of these names, among them what an interrupted backup left.
    ///
    /// # Errors
    /// [`Fault::BadRequest`](crate::Fault::BadRequest) when none is to be kept, and for a damaged manifest among those that are:
    /// nobody knows which objects it needs, so nothing is deleted then. [`Fault::Unavailable`](crate::Fault::Unavailable) when
    /// another writes to the bucket.
    pub fn prune(&self, keep: usize) -> Result<PruneReport> {
        if keep == 0 {
            return Err(ServiceError::request("at least one backup is kept"));
        }
        let lease = Lease::take(&self.bucket)?;
        let mut doomed = self.names()?;
        let kept = doomed.split_off(doomed.len().saturating_sub(keep));
        let mut needed = HashSet::new();
        for name in &kept {
            needed.extend(self.read(name)?.chunks().map(|(_, _, chunk)| chunk.key()));
        }
        let unneeded = self.bucket.list(OBJECTS)?.into_iter().filter(|object| !needed.contains(&object.key)).collect::<Vec<_>>();
        lease.check()?;
        // Manifests first: a backup that is listed has all its objects.
        self.bucket.delete(&doomed.iter().map(|name| key(name)).collect::<Vec<_>>())?;
        self.bucket.delete(&unneeded.iter().map(|object| object.key.clone()).collect::<Vec<_>>())?;
        let bytes = unneeded.iter().map(|object| object.bytes).sum();
        Ok(PruneReport { backups: doomed, objects: unneeded.len() as u64, bytes })
    }
}
