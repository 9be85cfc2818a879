//! What writes ask for.

use std::collections::HashMap;

use vectordb_core::{Filter, PayloadPath, Target, Update, UpsertMode, Vectors};
use vectordb_service::{Result, Updated};

use super::query::optional;
use super::{needed, one_of, point, vector};
use crate::wire;
use crate::wire::points_update_operation::{self as operation, Operation};

pub(crate) fn target(selector: Option<wire::PointsSelector>) -> Result<Target> {
    use wire::points_selector::PointsSelectorOneOf;
    let selector = selector.and_then(|selector| selector.points_selector_one_of);
    match needed(selector, "points_selector")? {
        PointsSelectorOneOf::Points(list) => Ok(Target::Ids(point::point_ids(list.ids)?)),
        PointsSelectorOneOf::Filter(filter) => Ok(Target::Filter(super::filter::filter(filter)?)),
    }
}

pub(crate) fn upsert(points: Vec<wire::PointStruct>, condition: Option<wire::Filter>, mode: Option<i32>) -> Result<Update> {
    let mode = match mode.map(|mode| one_of("update_mode", mode)).transpose()? {
        None | Some(wire::UpdateMode::Upsert) => UpsertMode::Upsert,
        Some(wire::UpdateMode::InsertOnly) => UpsertMode::InsertOnly,
        Some(wire::UpdateMode::UpdateOnly) => UpsertMode::UpdateOnly,
    };
    Ok(Update::Upsert { points: point::points(points)?, mode, condition: optional(condition)? })
}

pub(crate) fn update_vectors(points: Vec<wire::PointVectors>, condition: Option<wire::Filter>) -> Result<Update> {
    let condition: Option<Filter> = optional(condition)?;
    let one = |one: wire::PointVectors| {
        let id = point::point_id(needed(one.id, "id")?)?;
        let vectors: Vectors = vector::vectors(needed(one.vectors, "vectors")?).map_err(|error| point::of_point(&id, error))?;
        Ok((id, vectors))
    };
    Ok(Update::UpdateVectors { points: points.into_iter().map(one).collect::<Result<_>>()?, condition })
}

pub(crate) fn delete_vectors(selector: Option<wire::PointsSelector>, vectors: Option<wire::VectorsSelector>) -> Result<Update> {
    Ok(Update::DeleteVectors { target: target(selector)?, names: needed(vectors, "vectors")?.names })
}

/// A payload to merge, or with `overwrite` to put in place of what is there.
pub(crate) fn set_payload(
    overwrite: bool,
    fields: HashMap<String, wire::Value>,
    selector: Option<wire::PointsSelector>,
    key: Option<String>,
) -> Result<Update> {
    let key = key.as_deref().map(PayloadPath::parse).transpose()?;
    let (target, payload) = (target(selector)?, point::payload(fields)?);
    Ok(if overwrite { Update::OverwritePayload { target, payload, key } } else { Update::SetPayload { target, payload, key } })
}

pub(crate) fn delete_payload(keys: &[String], selector: Option<wire::PointsSelector>) -> Result<Update> {
    let keys = keys.iter().map(|key| PayloadPath::parse(key)).collect::<Result<_, _>>()?;
    Ok(Update::DeletePayload { target: target(selector)?, keys })
}

/// One operation of a batch, with the shards it is for.
#[expect(deprecated, reason = "older clients send the older operations")]
pub(crate) fn operation(operation: wire::PointsUpdateOperation) -> Result<(Update, Option<wire::ShardKeySelector>)> {
    Ok(match needed(operation.operation, "operation")? {
        Operation::Upsert(list) => (upsert(list.points, list.update_filter, list.update_mode)?, list.shard_key_selector),
        Operation::SetPayload(operation::SetPayload { payload, points_selector, shard_key_selector, key }) => {
            (set_payload(false, payload, points_selector, key)?, shard_key_selector)
        }
        Operation::OverwritePayload(operation::OverwritePayload { payload, points_selector, shard_key_selector, key }) => {
            (set_payload(true, payload, points_selector, key)?, shard_key_selector)
        }
        Operation::DeletePayload(delete) => (delete_payload(&delete.keys, delete.points_selector)?, delete.shard_key_selector),
        Operation::UpdateVectors(update) => (update_vectors(update.points, update.update_filter)?, update.shard_key_selector),
        Operation::DeleteVectors(delete) => (delete_vectors(delete.points_selector, delete.vectors)?, delete.shard_key_selector),
        Operation::DeletePoints(delete) => (Update::Delete(target(delete.points)?), delete.shard_key_selector),
        Operation::ClearPayload(clear) => (Update::ClearPayload(target(clear.points)?), clear.shard_key_selector),
        Operation::DeleteDeprecated(selector) => (Update::Delete(target(Some(selector))?), None),
        Operation::ClearPayloadDeprecated(selector) => (Update::ClearPayload(target(Some(selector))?), None),
    })
}

/// What an update came to; it is durable either way.
pub(crate) fn result(done: Updated, wait: Option<bool>) -> wire::UpdateResult {
    let status = if wait == Some(true) { wire::UpdateStatus::Completed } else { wire::UpdateStatus::Acknowledged };
    wire::UpdateResult { operation_id: Some(done.operation_id.0), status: status.into() }
}
