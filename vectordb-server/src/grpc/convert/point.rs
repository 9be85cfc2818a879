//! Points: their ids and payloads, and what reads give back.

use std::collections::HashMap;

use vectordb_core::{Payload, PayloadSelector, Point, PointGroup, PointId, Record, ScoredPoint, Value, VectorSelector};
use vectordb_service::{Result, ServiceError, ShardKey};

use super::{needed, refused, vector};
use crate::wire;
use crate::wire::point_id::PointIdOptions;
use crate::wire::value::Kind;

pub(crate) fn point_id(id: wire::PointId) -> Result<PointId> {
    match needed(id.point_id_options, "point_id_options")? {
        PointIdOptions::Num(number) => Ok(number.into()),
        PointIdOptions::Uuid(text) => Ok(PointId::parse(&text)?),
    }
}

pub(crate) fn point_ids(ids: Vec<wire::PointId>) -> Result<Vec<PointId>> {
    ids.into_iter().map(point_id).collect()
}

pub(crate) fn point_id_out(id: &PointId) -> wire::PointId {
    let id = match id {
        PointId::Num(number) => PointIdOptions::Num(*number),
        PointId::Uuid(_) | PointId::Str(_) => PointIdOptions::Uuid(id.to_string()),
    };
    wire::PointId { point_id_options: Some(id) }
}

pub(crate) fn points(points: Vec<wire::PointStruct>) -> Result<Vec<Point>> {
    let read = |point: wire::PointStruct| {
        let id = point_id(needed(point.id, "id")?)?;
        let vectors = point.vectors.map(vector::vectors).transpose().map_err(|error| of_point(&id, error))?;
        let payload = payload(point.payload).map_err(|error| of_point(&id, error))?;
        Ok(Point { id, vectors: vectors.unwrap_or_default(), payload })
    };
    points.into_iter().map(read).collect()
}

/// Says which point of many an error is about.
pub(super) fn of_point(id: &PointId, error: ServiceError) -> ServiceError {
    ServiceError { message: format!("point {id}: {}", error.message), ..error }
}

pub(crate) fn payload(fields: HashMap<String, wire::Value>) -> Result<Payload> {
    fields.into_iter().map(|(name, field)| Ok((name, value(field)?))).collect()
}

/// Whole numbers stay whole numbers. The decoder bounds how deep values nest.
pub(crate) fn value(value: wire::Value) -> Result<Value> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::IntegerValue(number)) => number.into(),
        Some(Kind::DoubleValue(number)) => match serde_json::Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => return Err(refused(number, "is no value of a payload")),
        },
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(self::value).collect::<Result<Vec<_>>>()?.into(),
        Some(Kind::StructValue(fields)) => Value::Object(payload(fields.fields)?),
    })
}

pub(crate) fn payload_out(payload: Payload) -> HashMap<String, wire::Value> {
    payload.into_iter().map(|(name, value)| (name, value_out(value))).collect()
}

fn value_out(value: Value) -> wire::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Kind::IntegerValue(number),
            // Whole numbers beyond the wire's integers, too.
            (None, number) => Kind::DoubleValue(number.unwrap_or(f64::NAN)),
        },
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(wire::ListValue { values: values.into_iter().map(value_out).collect() }),
        Value::Object(map) => Kind::StructValue(wire::Struct { fields: payload_out(map) }),
    };
    wire::Value { kind: Some(kind) }
}

/// Which parts of payloads to return; `missing` is what no word about it means.
pub(crate) fn payload_selector(selector: Option<wire::WithPayloadSelector>, missing: bool) -> PayloadSelector {
    use wire::with_payload_selector::SelectorOptions;
    match selector.and_then(|selector| selector.selector_options) {
        None => missing.into(),
        Some(SelectorOptions::Enable(all)) => all.into(),
        Some(SelectorOptions::Include(paths)) => PayloadSelector::Include(paths.fields),
        Some(SelectorOptions::Exclude(paths)) => PayloadSelector::Exclude(paths.fields),
    }
}

/// Which vectors to return; none if nothing is said.
pub(crate) fn vector_selector(selector: Option<wire::WithVectorsSelector>) -> VectorSelector {
    use wire::with_vectors_selector::SelectorOptions;
    match selector.and_then(|selector| selector.selector_options) {
        None => VectorSelector::None,
        Some(SelectorOptions::Enable(all)) => all.into(),
        Some(SelectorOptions::Include(names)) => VectorSelector::Names(names.names),
    }
}

pub(crate) fn record(record: Record) -> wire::RetrievedPoint {
    wire::RetrievedPoint {
        id: Some(point_id_out(&record.id)),
        payload: record.payload.map(payload_out).unwrap_or_default(),
        vectors: record.vectors.map(vector::vectors_out),
        shard_key: None,
        order_value: record.order_value.as_ref().and_then(order_value),
    }
}

pub(crate) fn scored(hits: Vec<ScoredPoint>) -> Vec<wire::ScoredPoint> {
    let one = |hit: ScoredPoint| wire::ScoredPoint {
        id: Some(point_id_out(&hit.id)),
        payload: hit.payload.map(payload_out).unwrap_or_default(),
        score: hit.score,
        version: hit.version.0,
        vectors: hit.vectors.map(vector::vectors_out),
        shard_key: None,
        order_value: hit.order_value.as_ref().and_then(order_value),
    };
    hits.into_iter().map(one).collect()
}

pub(crate) fn groups(groups: Vec<PointGroup>) -> wire::GroupsResult {
    use wire::group_id::Kind;
    let id = |id: Value| match id {
        Value::Number(number) => number.as_u64().map(Kind::UnsignedValue).or(number.as_i64().map(Kind::IntegerValue)),
        Value::String(text) => Some(Kind::StringValue(text)),
        _ => None,
    };
    let one = |group: PointGroup| wire::PointGroup {
        id: Some(wire::GroupId { kind: id(group.id) }),
        hits: scored(group.hits),
        lookup: group.lookup.map(record),
    };
    wire::GroupsResult { groups: groups.into_iter().map(one).collect() }
}

fn order_value(value: &Value) -> Option<wire::OrderValue> {
    use wire::order_value::Variant;
    let variant = value.as_i64().map(Variant::Int).or_else(|| value.as_f64().map(Variant::Float))?;
    Some(wire::OrderValue { variant: Some(variant) })
}

pub(crate) fn shard_key(key: wire::ShardKey) -> Result<ShardKey> {
    use wire::shard_key::Key;
    Ok(match needed(key.key, "shard_key")? {
        Key::Keyword(word) => ShardKey::Keyword(word),
        Key::Number(number) => ShardKey::Number(number),
    })
}

pub(crate) fn shard_key_out(key: ShardKey) -> wire::ShardKey {
    use wire::shard_key::Key;
    let key = match key {
        ShardKey::Keyword(word) => Key::Keyword(word),
        ShardKey::Number(number) => Key::Number(number),
    };
    wire::ShardKey { key: Some(key) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payloads_come_back_as_they_went() {
        let json = json!({
            "whole": 7, "real": 7.0, "least": i64::MIN, "none": null, "flag": true, "text": "é",
            "list": [1, 1.5, [], {"deep": [null]}], "map": {},
        });
        let Value::Object(map) = json else { panic!("an object") };
        let out = payload_out(map.clone());
        assert_eq!(out["whole"].kind, Some(Kind::IntegerValue(7)));
        assert_eq!(out["real"].kind, Some(Kind::DoubleValue(7.0)));
        assert_eq!(payload(out).expect("all of it is JSON"), map);
        let nan = wire::Value { kind: Some(Kind::DoubleValue(f64::NAN)) };
        assert!(payload(HashMap::from([("bad".to_owned(), nan)])).is_err());
    }

    #[test]
    fn ids_come_back_as_they_went() {
        for id in [PointId::from(u64::MAX), PointId::from("936da01f-9abd-4d9d-80c7-02af85c822a8"), PointId::from("word")] {
            assert_eq!(point_id(point_id_out(&id)).expect("an id"), id);
        }
        assert!(point_id(wire::PointId { point_id_options: None }).is_err());
    }
}
