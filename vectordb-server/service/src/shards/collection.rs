//! The shards of a collection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Span;
use vectordb_core::{Collection, CollectionConfig, ConfigDiff, PointId, Update, UpdateResult};

use super::ask::{ShardData, ShardRoute};
use super::catalog::ShardEntry;
use super::ring::{ShardId, ShardKey, shard_of};
use super::split::split;
use crate::error::{Fault, Result, ServiceError};
use crate::limits::Gate;

/// Stands between a collection's name and the number of a shard; no name holds it.
const SEPARATOR: char = '\u{1F}';

/// The name of a shard in the engine: that of the collection for the first, so that a collection of one shard is the very
/// collection that the embedded engine opens. What replaced a shard's data stands under a name with a number of its own.
pub(crate) fn core_name(collection: &str, shard: ShardId, generation: u32) -> String {
    match (shard.0, generation) {
        (0, 0) => collection.to_owned(),
        (_, 0) => format!("{collection}{SEPARATOR}{shard}"),
        _ => format!("{collection}{SEPARATOR}{shard}{SEPARATOR}{generation}"),
    }
}

/// A shard on this node.
#[derive(Debug, Clone)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) key: Option<ShardKey>,
    pub(crate) generation: u32,
    pub(crate) data: ShardData,
}

impl Shard {
    pub(crate) fn new(entry: &ShardEntry, data: Collection) -> Self {
        Self { id: entry.id, key: entry.key.clone(), generation: entry.generation, data: ShardData::Here(data) }
    }

    /// Asks the shard, or changes it, as a step of the caller's trace.
    pub(super) fn step<R>(&self, caller: &Span, operation: &'static str, work: impl FnOnce(&ShardData) -> R) -> R {
        tracing::debug_span!(parent: caller, "shard", operation, shard = self.id.0).in_scope(|| work(&self.data))
    }

    /// A shard whose replicas lie anywhere in a cluster.
    pub(crate) fn routed(id: ShardId, key: Option<ShardKey>, route: Arc<dyn ShardRoute>) -> Self {
        Self { id, key, generation: 0, data: ShardData::Routed(route) }
    }

    pub(crate) fn entry(&self) -> ShardEntry {
        ShardEntry { id: self.id, key: self.key.clone(), generation: self.generation }
    }
}

/// A collection as a set of shards; immutable: when shards come or go, another takes its place.
#[derive(Debug)]
pub(crate) struct ShardedCollection {
    pub(crate) name: String,
    pub(crate) created_at: String,
    pub(crate) shards: Vec<Shard>,
    /// Strict mode.
    pub(crate) gate: Gate,
    /// A write failed so that no more are taken until the data is opened again. It only ever turns true; nothing hangs on when
    /// that is seen.
    poisoned: AtomicBool,
}

impl ShardedCollection {
    pub(crate) fn new(name: &str, created_at: &str, shards: Vec<Shard>) -> Self {
        let config = shards.first().map(|shard| shard.data.config()).unwrap_or_default();
        Self {
            name: name.to_owned(),
            created_at: created_at.to_owned(),
            shards,
            gate: Gate::new(&config),
            poisoned: AtomicBool::new(false),
        }
    }

    /// The shards of some keys, or all where none are asked for.
    ///
    /// # Errors
    /// An unknown key, and a collection without any shard.
    pub(crate) fn chosen(&self, keys: Option<&[ShardKey]>) -> Result<Vec<&Shard>> {
        let Some(keys) = keys.filter(|keys| !keys.is_empty()) else { return Ok(self.shards.iter().collect()) };
        if let Some(unknown) = keys.iter().find(|&key| !self.has_key(key)) {
            return Err(ServiceError::input(format!("Shard key {unknown} not found")));
        }
        Ok(self.shards.iter().filter(|shard| shard.key.as_ref().is_some_and(|key| keys.contains(key))).collect())
    }

    pub(crate) fn has_key(&self, key: &ShardKey) -> bool {
        self.shards.iter().any(|shard| shard.key.as_ref() == Some(key))
    }

    /// Where to write: to the shards of the key given, of which there must be one exactly where there are keys.
    ///
    /// # Errors
    /// A key too many or too few, and an unknown one.
    pub(crate) fn writable(&self, keys: Option<&[ShardKey]>, custom: bool) -> Result<Vec<&Shard>> {
        let given = keys.map_or(0, <[ShardKey]>::len);
        match (custom, given) {
            (true, 0) => Err(ServiceError::input("Shard key not specified")),
            (false, 1..) => Err(ServiceError::input("Shard key cannot be used with automatic sharding")),
            _ => self.chosen(keys),
        }
    }

    /// Applies updates to the shards they concern, to all at once, and waits until all have them. Each shard takes its part as
    /// a whole or not at all.
    ///
    /// # Errors
    /// That of the first shard that refused.
    pub(crate) fn apply(&self, shards: &[&Shard], updates: Vec<Update>) -> Result<UpdateResult> {
        let ids: Vec<ShardId> = shards.iter().map(|shard| shard.id).collect();
        let place = |id: &PointId| shard_of(id, &ids);
        let parts = split(updates, shards.len(), &place);
        let work: Vec<_> = shards.iter().zip(parts).filter(|(_, part)| !part.is_empty() || shards.len() == 1).collect();
        let caller = Span::current();
        let results = on_each(work, |(shard, part)| {
            shard.step(&caller, "shard update", |data| data.apply(part).inspect_err(|error| self.note(data, error)))
        });
        let mut total = UpdateResult { lsn: vectordb_core::Lsn::ZERO, points: 0 };
        for result in results {
            let result = result?;
            total.lsn = total.lsn.max(result.lsn);
            total.points += result.points;
        }
        Ok(total)
    }

    /// Whether a failed write keeps a shard from taking more.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Notes what an error means for later writes. The write that fails is told why, those after it that it did.
    fn note(&self, shard: &ShardData, error: &ServiceError) {
        let serious = matches!(error.fault, Fault::Internal | Fault::Unavailable | Fault::OutOfSpace);
        if serious && shard.local().is_ok_and(|data| data.info().is_ok_and(|info| info.error.is_some())) {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }

    /// Changes the configuration of every shard.
    ///
    /// # Errors
    /// Those of the change, which are found at the first shard.
    pub(crate) fn update_config(&self, diff: &ConfigDiff) -> Result<()> {
        let changed = self.shards.iter().try_for_each(|shard| shard.data.update_config(diff));
        self.gate.change(&self.config());
        changed
    }

    /// The configuration, which is the same in all shards.
    pub(crate) fn config(&self) -> CollectionConfig {
        self.shards.first().map(|shard| shard.data.config()).unwrap_or_default()
    }
}

/// Does something with each of several things, beside each other when there is more than one.
pub(crate) fn on_each<T: Send, R: Send>(things: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if things.len() < 2 {
        return things.into_iter().map(work).collect();
    }
    let work = Arc::new(&work);
    std::thread::scope(|scope| {
        let threads: Vec<_> = things
            .into_iter()
            .map(|thing| {
                let work = Arc::clone(&work);
                scope.spawn(move || work(thing))
            })
            .collect();
        // A panic of the work is one of the caller.
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
