//! An update of a collection as updates of its shards.

use vectordb_core::{Point, PointId, Target, Update};

/// For each shard the updates that concern it, in order. `place` tells the shard of an id, as a position below `shards`.
///
/// What names points by a filter, and what changes the collection itself, concerns every shard.
pub(crate) fn split(updates: Vec<Update>, shards: usize, place: &dyn Fn(&PointId) -> usize) -> Vec<Vec<Update>> {
    if shards == 1 {
        return vec![updates];
    }
    let mut parts: Vec<Vec<Update>> = vec![Vec::new(); shards];
    for update in updates {
        for (shard, part) in divided(update, shards, place) {
            parts[shard].push(part);
        }
    }
    parts
}

fn divided(update: Update, shards: usize, place: &dyn Fn(&PointId) -> usize) -> Vec<(usize, Update)> {
    let targets = |target: Target, make: &dyn Fn(Target) -> Update| match target {
        Target::Ids(ids) => spread(ids, shards, &|id| place(id)).map(|(shard, ids)| (shard, make(Target::Ids(ids)))).collect(),
        Target::Filter(filter) => (0..shards).map(|shard| (shard, make(Target::Filter(filter.clone())))).collect(),
    };
    match update {
        Update::Upsert { points, mode, condition } => spread(points, shards, &|point: &Point| place(&point.id))
            .map(|(shard, points)| (shard, Update::Upsert { points, mode, condition: condition.clone() }))
            .collect(),
        Update::UpdateVectors { points, condition } => spread(points, shards, &|(id, _)| place(id))
            .map(|(shard, points)| (shard, Update::UpdateVectors { points, condition: condition.clone() }))
            .collect(),
        Update::Delete(target) => targets(target, &Update::Delete),
        Update::DeleteVectors { target, names } => targets(target, &|target| Update::DeleteVectors { target, names: names.clone() }),
        Update::SetPayload { target, payload, key } => {
            targets(target, &|target| Update::SetPayload { target, payload: payload.clone(), key: key.clone() })
        }
        Update::OverwritePayload { target, payload, key } => {
            targets(target, &|target| Update::OverwritePayload { target, payload: payload.clone(), key: key.clone() })
        }
        Update::DeletePayload { target, keys } => targets(target, &|target| Update::DeletePayload { target, keys: keys.clone() }),
        Update::ClearPayload(target) => targets(target, &Update::ClearPayload),
        whole => (0..shards).map(|shard| (shard, whole.clone())).collect(),
    }
}

/// Things by their shard, those of one shard in the order in which they came; shards that get none are left out.
fn spread<T>(things: Vec<T>, shards: usize, place: &dyn Fn(&T) -> usize) -> impl Iterator<Item = (usize, Vec<T>)> {
    let mut parts: Vec<Vec<T>> = (0..shards).map(|_| Vec::new()).collect();
    for thing in things {
        let shard = place(&thing);
        parts[shard].push(thing);
    }
    parts.into_iter().enumerate().filter(|(_, things)| !things.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_goes_to_its_shard_and_filters_go_to_all() {
        let place = |id: &PointId| if *id == PointId::from(7) { 1 } else { 0 };
        let updates = vec![
            Update::upsert([Point::bare(7), Point::bare(8), Point::bare(9)]),
            Update::Delete(Target::from([7u64])),
            Update::ClearPayload(vectordb_core::Filter::default().into()),
        ];
        let parts = split(updates, 3, &place);
        let kinds = |part: &[Update]| -> Vec<usize> {
            part.iter().map(|update| if let Update::Upsert { points, .. } = update { points.len() } else { 0 }).collect()
        };
        assert_eq!(parts.iter().map(|part| kinds(part)).collect::<Vec<_>>(), [vec![2, 0], vec![1, 0, 0], vec![0]]);
    }
}
