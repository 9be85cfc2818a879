//! Points on their way from some shards to others, among which they are spread anew, while they are written.
//!
//! What travels is the state of points, not the writes that made it: a point is taken over as it is, whole, or removed. So it may
//! be taken over any number of times, as long as one reader of the old shards does that in order, and every point that was
//! written since it was read last is taken over once more. Which points those are is noted beside the writes.

use std::collections::{BTreeMap, HashSet};

use vectordb_core::{Collection, Filter, Lsn, PayloadSelector, Point, PointId, Record, ScrollRequest, Target, Update, VectorSelector};

use super::collection::Shard;
use super::ring::{ShardId, shard_of};
use crate::error::Result;
use crate::limits::target_of;

/// Ids of one page, where only ids are read.
const PAGE: usize = 10_000;

/// Points that were written since they were taken over last, each with the batch that wrote it last.
#[derive(Debug, Default)]
pub struct Touched(BTreeMap<PointId, Lsn>);

impl Touched {
    /// Notes that a batch wrote points.
    pub fn note(&mut self, ids: impl IntoIterator<Item = PointId>, lsn: Lsn) {
        for id in ids {
            let last = self.0.entry(id).or_insert(lsn);
            *last = lsn.max(*last);
        }
    }

    /// Takes some of those out whose last batch is shown to readers up to `shown`.
    pub fn take(&mut self, most: usize, shown: Lsn) -> Vec<PointId> {
        let ids: Vec<PointId> = self.0.iter().filter(|(_, lsn)| **lsn <= shown).take(most).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.0.remove(id);
        }
        ids
    }

    /// Those that readers do not see yet as they were written last.
    pub fn hidden(&self, shown: Lsn) -> Vec<PointId> {
        self.0.iter().filter(|(_, lsn)| **lsn > shown).map(|(id, _)| id.clone()).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What an update is about, if it names that.
pub(crate) fn target_mut(update: &mut Update) -> Option<&mut Target> {
    match update {
        Update::Delete(target)
        | Update::ClearPayload(target)
        | Update::DeleteVectors { target, .. }
        | Update::SetPayload { target, .. }
        | Update::OverwritePayload { target, .. }
        | Update::DeletePayload { target, .. } => Some(target),
        _ => None,
    }
}

/// Whether an update is about points, and not about what the collection is made of.
pub fn is_about_points(update: &Update) -> bool {
    !matches!(
        update,
        Update::CreateFieldIndex { .. }
            | Update::DropFieldIndex { .. }
            | Update::CreateVector { .. }
            | Update::CreateSparseVector { .. }
            | Update::DropVector { .. }
    )
}

/// The filters by which updates name points.
pub fn filters(updates: &[Update]) -> impl Iterator<Item = &Filter> {
    updates.iter().filter_map(|update| if let Target::Filter(filter) = target_of(update)? { Some(filter) } else { None })
}

/// The ids that updates name.
pub fn named(updates: &[Update]) -> Vec<PointId> {
    let of = |update: &Update| -> Vec<PointId> {
        match update {
            Update::Upsert { points, .. } => points.iter().map(|point| point.id.clone()).collect(),
            Update::UpdateVectors { points, .. } => points.iter().map(|(id, _)| id.clone()).collect(),
            other => match target_of(other) {
                Some(Target::Ids(ids)) => ids.clone(),
                _ => Vec::new(),
            },
        }
    };
    updates.iter().flat_map(of).collect()
}

/// The ids of all points that a filter holds for, as readers see them.
///
/// # Errors
/// Those of the filter.
pub fn matching(data: &Collection, filter: &Filter) -> Result<Vec<PointId>> {
    let mut page = ScrollRequest { filter: Some(filter.clone()), ..ids_only() };
    let mut ids = Vec::new();
    loop {
        let read = data.scroll(&page)?;
        ids.extend(read.records.into_iter().map(|record| record.id));
        page.offset = read.next_offset;
        if page.offset.is_none() {
            return Ok(ids);
        }
    }
}

/// The same of shards wherever they lie.
///
/// # Errors
/// Those of the filter, and of shards that cannot be asked.
pub(crate) fn matching_anywhere(shards: &[&Shard], filter: &Filter) -> Result<Vec<PointId>> {
    let mut ids = Vec::new();
    for shard in shards {
        let mut page = ScrollRequest { filter: Some(filter.clone()), ..ids_only() };
        loop {
            let read = shard.data.scroll(&page)?;
            ids.extend(read.records.into_iter().map(|record| record.id));
            page.offset = read.next_offset;
            if page.offset.is_none() {
                break;
            }
        }
    }
    Ok(ids)
}

fn ids_only() -> ScrollRequest {
    ScrollRequest { limit: PAGE, with_payload: PayloadSelector::None, with_vectors: VectorSelector::None, ..ScrollRequest::default() }
}

/// A page of a walk over whole points.
pub fn whole_points(limit: usize) -> ScrollRequest {
    ScrollRequest { limit, with_payload: PayloadSelector::All, with_vectors: VectorSelector::All, ..ScrollRequest::default() }
}

/// The shard of an id, as a position in the list.
pub fn place(id: &PointId, shards: &[ShardId]) -> usize {
    shard_of(id, shards)
}

/// Updates after which shards have points as they were read; of the ids, those that were not found are removed.
pub fn taken_over(records: Vec<Record>, ids: &[PointId], shards: &[ShardId]) -> Vec<Vec<Update>> {
    let found: HashSet<&PointId> = records.iter().map(|record| &record.id).collect();
    let mut gone: Vec<Vec<PointId>> = vec![Vec::new(); shards.len()];
    for id in ids.iter().filter(|id| !found.contains(id)) {
        gone[shard_of(id, shards)].push(id.clone());
    }
    let mut kept: Vec<Vec<Point>> = vec![Vec::new(); shards.len()];
    for record in records {
        let point = Point { id: record.id, vectors: record.vectors.unwrap_or_default(), payload: record.payload.unwrap_or_default() };
        kept[shard_of(&point.id, shards)].push(point);
    }
    let updates = |(kept, gone): (Vec<Point>, Vec<PointId>)| {
        let kept = (!kept.is_empty()).then(|| Update::upsert(kept));
        let gone = (!gone.is_empty()).then_some(Update::Delete(Target::Ids(gone)));
        kept.into_iter().chain(gone).collect()
    };
    kept.into_iter().zip(gone).map(updates).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: impl IntoIterator<Item = u64>) -> Vec<PointId> {
        ids.into_iter().map(PointId::from).collect()
    }

    #[test]
    fn what_readers_do_not_see_yet_stays() {
        let mut touched = Touched::default();
        touched.note(ids([1, 2, 3]), Lsn(5));
        touched.note(ids([2]), Lsn(7));
        assert_eq!(touched.hidden(Lsn(6)), ids([2]));
        assert_eq!(touched.take(10, Lsn(6)), ids([1, 3]));
        touched.note(ids([2]), Lsn::ZERO);
        assert!(touched.take(10, Lsn(6)).is_empty(), "an old batch does not make it older");
        assert_eq!(touched.take(10, Lsn(7)), ids([2]));
        assert!(touched.is_empty());
    }

    #[test]
    fn every_id_ends_in_its_shard_or_is_removed_from_it() {
        let shards: Vec<ShardId> = (3..8).map(ShardId).collect();
        let record = |id| Record { id, version: Lsn(1), payload: None, vectors: None, order_value: None };
        let all = ids(0..100);
        let records = all.iter().filter(|id| **id >= PointId::from(50)).cloned().map(record).collect();
        let parts = taken_over(records, &all, &shards);
        for (position, part) in parts.iter().enumerate() {
            assert!(named(part).iter().all(|id| place(id, &shards) == position));
        }
        let (kept, gone): (Vec<_>, Vec<_>) = parts.into_iter().flatten().partition(|update| matches!(update, Update::Upsert { .. }));
        let sorted = |updates: &[Update]| {
            let mut ids = named(updates);
            ids.sort_unstable();
            ids
        };
        assert_eq!((sorted(&kept), sorted(&gone)), (ids(50..100), ids(0..50)));
    }
}
