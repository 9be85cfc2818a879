//! Updates of points, payload indexes and vectors.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vectordb_core::{
    Condition, Filter, Lsn, PayloadSelector, PointId, ShardingMethod, Target, Update, UpdateResult, UpsertMode, VectorSelector,
};

use super::Service;
use super::strict::admit_updates;
use crate::access::{Access, CollectionAccess};
use crate::error::{Fault, Result, ServiceError};
use crate::shards::{
    Moved, Shard, ShardId, ShardKey, ShardedCollection, is_about_points, matching_anywhere, named, place, reads, target_mut,
};

/// How long to go after points that move to other shards.
const FOLLOWING: Duration = Duration::from_secs(10);

/// How a write is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Where users assign points to shards: the key of the shard.
    pub shard_keys: Vec<ShardKey>,
}

/// What an update came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Updated {
    /// Position of the update in the collection's history.
    pub operation_id: Lsn,
    /// Points that were inserted, changed or removed.
    pub points: u64,
}

impl Service {
    /// Applies updates in order; durable when it returns. Each shard does all of its part or nothing of it.
    ///
    /// # Errors
    /// [`Fault::NotFound`] of the collection, or of a point whose payload or vectors are to change by its id,
    /// [`Fault::BadInput`] naming the point, [`Fault::OutOfSpace`], [`Fault::Forbidden`], and in strict
    /// mode [`Fault::BadRequest`] and [`Fault::RateLimited`].
    pub fn update(&self, name: &str, updates: Vec<Update>, options: &WriteOptions, access: &Access) -> Result<Updated> {
        let wanted = if updates.iter().all(is_about_points) { CollectionAccess::WritePoints } else { CollectionAccess::Write };
        let collection = self.collection(name, access, wanted)?;
        if !self.settings.allow_string_ids {
            updates.iter().try_for_each(check_ids)?;
        }
        if updates.iter().any(adds) {
            // In a cluster the disks count of those that write it.
            if self.cluster.is_none() {
                self.check_disk()?;
            }
            self.check_quota()?;
        }
        admit_updates(&collection, &updates)?;
        let result = self.apply(&collection, updates, options)?;
        Ok(Updated { operation_id: result.lsn, points: result.points })
    }

    /// Applies updates. What finds the points gone to other shards goes after them.
    fn apply(&self, collection: &ShardedCollection, updates: Vec<Update>, options: &WriteOptions) -> Result<UpdateResult> {
        let until = Instant::now() + FOLLOWING;
        let shards = written(collection, &updates, options)?;
        if updates.iter().all(is_about_points) {
            check_present(&shards, &updates)?;
        }
        let mut applied = collection.apply(&shards, updates)?;
        while let Some(Moved { updates, part }) = applied.moved.pop() {
            let collection = self.moved_on(&collection.name, part.as_ref().map(|(shard, _)| *shard), until)?;
            let shards = written(&collection, &updates, options)?;
            let updates = match &part {
                Some((shard, among)) => narrowed(updates, *shard, among, &shards)?,
                None => updates,
            };
            let more = collection.apply(&shards, updates)?;
            applied.result.lsn = applied.result.lsn.max(more.result.lsn);
            applied.result.points += more.result.points;
            applied.moved.extend(more.moved);
        }
        Ok(applied.result)
    }

    /// The collection once a shard is one of it no more.
    fn moved_on(&self, name: &str, gone: Option<ShardId>, until: Instant) -> Result<Arc<ShardedCollection>> {
        loop {
            let collection = self.stored_collection(name)?;
            if collection.shards.iter().all(|shard| Some(shard.id) != gone) {
                return Ok(collection);
            }
            if Instant::now() > until {
                return Err(ServiceError::new(Fault::Unavailable, "the points are on their way to other shards"));
            }
            // The others are agreed on, and show here in a moment.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Applies updates in order, each with its own options. Neighbours that are to be done alike are one [`update`](Self::update).
    ///
    /// # Errors
    /// As [`update`](Self::update); what came before the one that failed is done.
    pub fn update_each(&self, name: &str, updates: Vec<(WriteOptions, Update)>, access: &Access) -> Result<Vec<Updated>> {
        let mut runs: Vec<(WriteOptions, Vec<Update>)> = Vec::new();
        for (options, update) in updates {
            match runs.last_mut().filter(|(last, _)| *last == options) {
                Some((_, alike)) => alike.push(update),
                None => runs.push((options, vec![update])),
            }
        }
        let mut done = Vec::new();
        for (options, updates) in runs {
            let many = updates.len();
            done.extend(std::iter::repeat_n(self.update(name, updates, &options, access)?, many));
        }
        Ok(done)
    }
}

/// Where updates go.
fn written<'c>(collection: &'c ShardedCollection, updates: &[Update], options: &WriteOptions) -> Result<Vec<&'c Shard>> {
    if !updates.iter().all(is_about_points) {
        return collection.chosen(None);
    }
    let custom = collection.config().sharding_method == Some(ShardingMethod::Custom);
    // What names no new point can look for it in every shard.
    if custom && options.shard_keys.is_empty() && !updates.iter().any(inserts) {
        return collection.chosen(None);
    }
    collection.writable(Some(&options.shard_keys), custom)
}

/// Updates that were meant for one shard among others, for the shards that have the points now. Ids say by themselves where they
/// belong; what a filter holds for is narrowed down to the points that were in that shard, for the others had their part.
fn narrowed(mut updates: Vec<Update>, shard: ShardId, among: &[ShardId], shards: &[&Shard]) -> Result<Vec<Update>> {
    let mine = |id: &PointId| among.get(place(id, among)) == Some(&shard);
    let given = named(&updates);
    for update in &mut updates {
        if let Some(Target::Filter(filter)) = target_mut(update) {
            let mut ids = matching_anywhere(shards, filter)?;
            ids.retain(mine);
            // An earlier update of the batch may make what this one is about.
            ids.extend(given.iter().cloned());
            let those = Filter::must([Condition::HasId(ids)]);
            *filter = Filter::merged(Some(filter), Some(&those)).unwrap_or(those);
        }
    }
    Ok(updates)
}

/// Refuses to change points that are named and do not exist, unless the updates before make them. The engine passes them over
/// where payloads change, the wire only where they are cleared; and of several shards none must begin without the others.
///
/// # Errors
/// [`Fault::NotFound`] naming the first.
fn check_present(shards: &[&Shard], updates: &[Update]) -> Result<()> {
    let (mut made, mut needed): (HashSet<&PointId>, Vec<&PointId>) = Default::default();
    for update in updates {
        match update {
            Update::Upsert { points, mode, .. } if *mode != UpsertMode::UpdateOnly => made.extend(points.iter().map(|point| &point.id)),
            Update::SetPayload { target: Target::Ids(ids), .. }
            | Update::OverwritePayload { target: Target::Ids(ids), .. }
            | Update::DeletePayload { target: Target::Ids(ids), .. } => needed.extend(ids.iter().filter(|id| !made.contains(id))),
            Update::UpdateVectors { points, .. } => needed.extend(points.iter().map(|(id, _)| id).filter(|id| !made.contains(id))),
            _ => {}
        }
    }
    if needed.is_empty() {
        return Ok(());
    }
    let ids: Vec<PointId> = needed.into_iter().cloned().collect();
    let found = reads::retrieve(shards, &ids, &PayloadSelector::None, &VectorSelector::None)?;
    let found: HashSet<PointId> = found.into_iter().map(|record| record.id).collect();
    match ids.iter().find(|id| !found.contains(id)) {
        Some(missing) => Err(vectordb_core::Error::PointNotFound { id: missing.to_string() }.into()),
        None => Ok(()),
    }
}

fn inserts(update: &Update) -> bool {
    matches!(update, Update::Upsert { .. })
}

/// Whether more is there afterwards than before.
pub(super) fn adds(update: &Update) -> bool {
    matches!(
        update,
        Update::Upsert { .. }
            | Update::UpdateVectors { .. }
            | Update::SetPayload { .. }
            | Update::OverwritePayload { .. }
            | Update::CreateFieldIndex { .. }
            | Update::CreateVector { .. }
            | Update::CreateSparseVector { .. }
    )
}

/// Refuses ids that the wire does not know.
fn check_ids(update: &Update) -> Result<()> {
    let target = |target: &Target| match target {
        Target::Ids(ids) => ids.iter().try_for_each(check_id),
        Target::Filter(_) => Ok(()),
    };
    match update {
        Update::Upsert { points, .. } => points.iter().try_for_each(|point| check_id(&point.id)),
        Update::UpdateVectors { points, .. } => points.iter().try_for_each(|(id, _)| check_id(id)),
        Update::Delete(ids) | Update::ClearPayload(ids) => target(ids),
        Update::DeleteVectors { target: ids, .. }
        | Update::SetPayload { target: ids, .. }
        | Update::OverwritePayload { target: ids, .. }
        | Update::DeletePayload { target: ids, .. } => target(ids),
        _ => Ok(()),
    }
}

/// # Errors
/// [`Fault::Format`] for a string that is no UUID.
pub(super) fn check_id(id: &PointId) -> Result<()> {
    match id {
        PointId::Num(_) | PointId::Uuid(_) => Ok(()),
        PointId::Str(text) => Err(ServiceError::new(
            Fault::Format,
            format!("value {text} is not a valid point ID, valid values are either an unsigned integer or a UUID"),
        )),
    }
}
