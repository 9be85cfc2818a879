//! The limits of one collection, and what was done in this minute.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use vectordb_core::{CollectionConfig, Update};

use super::StrictMode;
use super::rate::Bucket;
use super::writes::cost;
use crate::error::Result;

/// What every request to a collection passes.
#[derive(Debug)]
pub(crate) struct Gate {
    mode: RwLock<Option<Arc<StrictMode>>>,
    reads: Mutex<Bucket>,
    writes: Mutex<Bucket>,
}

impl Gate {
    /// The gate of a configuration. Limits that cannot be read, of another version, are none.
    pub(crate) fn new(config: &CollectionConfig) -> Self {
        let now = Instant::now();
        let mode = StrictMode::of(config.strict_mode_config.as_ref()).ok().flatten();
        Self {
            mode: RwLock::new(mode.map(Arc::new)),
            reads: Mutex::new(Bucket::new("Read", now)),
            writes: Mutex::new(Bucket::new("Write", now)),
        }
    }

    /// Has another configuration from now on.
    pub(crate) fn change(&self, config: &CollectionConfig) {
        let mode = StrictMode::of(config.strict_mode_config.as_ref()).ok().flatten();
        *self.mode.write() = mode.map(Arc::new);
    }

    /// The limits, if there are any.
    pub(crate) fn mode(&self) -> Option<Arc<StrictMode>> {
        self.mode.read().clone()
    }

    /// Counts a read.
    ///
    /// # Errors
    /// [`Fault::RateLimited`](crate::Fault::RateLimited).
    pub(crate) fn count_read(&self, mode: &StrictMode) -> Result<()> {
        mode.read_rate_limit.map_or(Ok(()), |limit| self.reads.lock().take(limit, 1, Instant::now()))
    }

    /// Counts what is written. Each shard takes as much as is allowed.
    ///
    /// # Errors
    /// [`Fault::RateLimited`](crate::Fault::RateLimited).
    pub(crate) fn count_writes(&self, mode: &StrictMode, updates: &[Update], shards: usize) -> Result<()> {
        let limit = mode.write_rate_limit.map(|limit| limit.saturating_mul(shards.max(1) as u64));
        limit.map_or(Ok(()), |limit| self.writes.lock().take(limit, cost(updates), Instant::now()))
    }
}
