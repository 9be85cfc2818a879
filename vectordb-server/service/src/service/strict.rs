//! Strict mode, where requests come to collections: what the limits say is asked for once, for every door.

use std::collections::BTreeSet;

use vectordb_core::{CollectionConfig, Condition, Datatype, Filter, PayloadSelector, PointId, Query, QueryRequest, Update, VectorSelector};

use super::points::adds;
use super::{ReadOptions, Service, in_parallel};
use crate::access::{Access, CollectionAccess};
use crate::error::Result;
use crate::limits::{Read, Size, StrictMode, check_batch, check_timeout, vector_bytes};
use crate::metrics::memory;
use crate::shards::{Shard, ShardedCollection, reads};

/// Points whose size stands for that of all.
const SAMPLE: usize = 100;

impl Service {
    /// Does searches of one collection beside each other; answers come in their order. Each is let through by itself as well.
    ///
    /// # Errors
    /// [`Fault::BadRequest`](crate::Fault::BadRequest) for more searches than the collection lets come at once, and that of the
    /// first that failed.
    pub fn search_batch<T: Send, R: Send>(
        &self,
        name: &str,
        searches: Vec<T>,
        access: &Access,
        search: impl Fn(T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        // Who names no collection, or one that he may not see, is told so by his searches.
        if let Ok(collection) = self.collection(name, access, CollectionAccess::Read) {
            collection.gate.mode().map_or(Ok(()), |mode| check_batch(&mode, searches.len()))?;
        }
        in_parallel(searches, search)
    }
}

/// Lets a read through, or not.
///
/// # Errors
/// [`Fault::BadRequest`](crate::Fault::BadRequest) naming the limit, [`Fault::RateLimited`](crate::Fault::RateLimited).
pub(super) fn admit_read(collection: &ShardedCollection, options: &ReadOptions, read: &Read<'_>) -> Result<()> {
    let Some(mode) = collection.gate.mode() else { return Ok(()) };
    check_timeout(&mode, options.deadline)?;
    mode.check_read(read, &collection.config().payload_schema)?;
    collection.gate.count_read(&mode)
}

/// Lets updates through, all of them or none.
///
/// # Errors
/// As [`admit_read`], and [`Fault::OutOfSpace`](crate::Fault::OutOfSpace) for a process that takes too much memory.
pub(super) fn admit_updates(collection: &ShardedCollection, updates: &[Update]) -> Result<()> {
    let Some(mode) = collection.gate.mode() else { return Ok(()) };
    let config = collection.config();
    updates.iter().try_for_each(|update| mode.check_update(update, &config.payload_schema))?;
    // What only takes away is always welcome.
    if updates.iter().any(adds) {
        check_size(collection, &config, &mode, updates)?;
        if let Some((resident_bytes, machine_bytes)) = mode.memory_percent().and_then(|_| memory()) {
            mode.check_memory(resident_bytes, machine_bytes)?;
        }
    }
    collection.gate.count_writes(&mode, updates, collection.shards.len())
}

fn check_size(collection: &ShardedCollection, config: &CollectionConfig, mode: &StrictMode, updates: &[Update]) -> Result<()> {
    if !mode.limits_size() {
        return Ok(());
    }
    let shards = collection.chosen(None)?;
    mode.check_size(&size_of(&shards, config)?, &added_by(&shards, config, updates)?)
}

/// How much a collection holds: points exactly, bytes by a sample, and so exactly where there are few points.
fn size_of(shards: &[&Shard], config: &CollectionConfig) -> Result<Size> {
    let points = reads::count(shards, None, true)?;
    let sample = QueryRequest {
        limit: SAMPLE,
        with_payload: PayloadSelector::All,
        with_vectors: VectorSelector::All,
        ..QueryRequest::new(Query::Sample { seed: Some(0) })
    };
    let sample = if points > 0 { reads::query(shards, &sample)? } else { Vec::new() };
    let (mut vector_bytes, mut payload_bytes) = (0, 0);
    for point in &sample {
        vector_bytes += point.vectors.as_ref().map_or(0, |vectors| bytes_of(config, vectors.iter()));
        payload_bytes += point.payload.as_ref().map_or(0, json_bytes);
    }
    let all = |bytes: u64| (u128::from(bytes) * u128::from(points) / sample.len().max(1) as u128) as u64;
    Ok(Size { points, vector_bytes: all(vector_bytes), payload_bytes: all(payload_bytes) })
}

/// What updates bring at most: points that are not there yet.
fn added_by(shards: &[&Shard], config: &CollectionConfig, updates: &[Update]) -> Result<Size> {
    let mut added = Size::default();
    let mut ids: BTreeSet<&PointId> = BTreeSet::new();
    for update in updates {
        let Update::Upsert { points, .. } = update else { continue };
        for point in points.iter().filter(|point| ids.insert(&point.id)) {
            added.vector_bytes += bytes_of(config, point.vectors.iter());
            added.payload_bytes += json_bytes(&point.payload);
        }
    }
    let given = ids.len() as u64;
    let known = Filter::must([Condition::HasId(ids.into_iter().cloned().collect())]);
    added.points = given - reads::count(shards, Some(&known), true)?.min(given);
    // Points that are there take about as much as before.
    let new = |bytes: u64| (u128::from(bytes) * u128::from(added.points) / u128::from(given.max(1))) as u64;
    (added.vector_bytes, added.payload_bytes) = (new(added.vector_bytes), new(added.payload_bytes));
    Ok(added)
}

fn bytes_of<'v>(config: &CollectionConfig, vectors: impl Iterator<Item = (&'v str, &'v vectordb_core::Vector)>) -> u64 {
    let datatype = |name: &str| config.vectors.get(name).map_or(Datatype::Float32, |params| params.datatype);
    vectors.map(|(name, vector)| vector_bytes(vector, datatype(name))).sum()
}

fn json_bytes(payload: &vectordb_core::Payload) -> u64 {
    serde_json::to_string(payload).map_or(0, |text| text.len() as u64)
}
