//! The crate by lines of JSON, in the forms of the Qdrant API: how other programs compare what they do and find with what it does.
//!
//! Every line of standard input is an object with one key; every line of standard output is its answer, or `{"error": …}`.
//!
//! - `{"create": {"vectors": {"name": {"size": 8, "distance": "Dot"}}, "sparse_vectors": {...}}}`: a collection.
//! - `{"upsert": [{"id": 1, "vector": {"name": [...]}, "payload": {...}}]}`
//! - `{"update_vectors": [{"id": 1, "vector": {...}}]}`
//! - `{"delete": {"points": [1]}}`, or `{"filter": {...}}` instead of points, as in all that follow; `{"clear_payload": {...}}`
//! - `{"set_payload": {"payload": {...}, "points": [1]}}`, `{"overwrite_payload": ...}`, `{"delete_payload": {"keys": ["a"], "points": [1]}}`
//! - `{"index": {"field": "integer"}}`, `{"drop_index": "field"}`, `{"optimize": null}`
//! - `{"retrieve": [1]}` and `{"scroll": 100}`: points with payloads and vectors
//! - `{"query": {...}}`, `{"groups": {...}}`, `{"facet": {...}}`, `{"matrix": {...}}`

use std::io::{BufRead, Write};

use serde_json::{Map, Value, json};
use vectordb_core::{
    Background, Collection, CollectionConfig, Database, Error, FacetRequest, FieldSchema, Filter, GroupsRequest, MatrixRequest, Options,
    Payload, PayloadPath, PayloadSelector, Point, PointId, QueryRequest, Record, Result, ScoredPoint, ScrollRequest, Target, Update,
    Vector, VectorSelector,
};

fn main() -> Result<()> {
    let room = tempfile::tempdir().map_err(|error| Error::io("a temporary directory", error))?;
    let db = Database::open_with(room.path(), Options::default().background(Background::Manual))?;
    let mut collection = None;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::io("standard input", error))?;
        let answer = answer(&db, &mut collection, &line).unwrap_or_else(|error| json!({"error": error.to_string()}));
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|error| Error::io("standard output", error))?;
    }
    Ok(())
}

fn answer(db: &Database, collection: &mut Option<Collection>, line: &str) -> Result<Value> {
    let request: Map<String, Value> =
        read(line.parse().map_err(|error: serde_json::Error| Error::InvalidQuery { reason: error.to_string() })?)?;
    let Some((name, body)) = request.into_iter().next() else { return Ok(Value::Null) };
    if name == "create" {
        *collection = Some(db.collection("points").config(read::<CollectionConfig>(body)?).create()?);
        return Ok(Value::Null);
    }
    let Some(collection) = collection else { return Err(Error::CollectionNotFound { name: "points".into() }) };
    match name.as_str() {
        "query" | "groups" | "facet" | "matrix" | "retrieve" | "scroll" => asked(collection, &name, body),
        "optimize" => collection.optimize().map(|()| Value::Null),
        "index" => {
            for (field, kind) in read::<Map<String, Value>>(body)? {
                collection.create_index(&field, read::<FieldSchema>(json!({"type": kind})).or_else(|_| read(kind))?)?;
            }
            Ok(Value::Null)
        }
        "drop_index" => collection.drop_index(&read::<String>(body)?).map(|()| Value::Null),
        _ => collection.apply([update(&name, body)?]).map(|_| Value::Null),
    }
}

fn asked(collection: &Collection, name: &str, body: Value) -> Result<Value> {
    Ok(match name {
        "query" => hits(&collection.query_points(&QueryRequest::from_json(&body)?)?),
        "groups" => {
            let groups = collection.groups(&GroupsRequest::from_json(&body)?)?;
            groups.iter().map(|group| json!({"id": group.id, "hits": hits(&group.hits)})).collect()
        }
        "facet" => {
            let found = collection.facet(&FacetRequest::from_json(&body)?)?;
            found.iter().map(|hit| json!({"value": hit.value, "count": hit.count})).collect()
        }
        "matrix" => {
            let matrix = collection.distance_matrix(&MatrixRequest::from_json(&body)?)?;
            matrix.pairs().map(|(a, b, score)| json!({"a": a, "b": b, "score": score})).collect()
        }
        "retrieve" => records(&collection.retrieve(&read::<Vec<PointId>>(body)?, &PayloadSelector::All, &VectorSelector::All)?),
        _ => {
            let all = ScrollRequest { limit: read(body)?, with_vectors: VectorSelector::All, ..ScrollRequest::default() };
            records(&collection.scroll(&all)?.records)
        }
    })
}

fn update(name: &str, body: Value) -> Result<Update> {
    if name == "upsert" || name == "update_vectors" {
        let points = read::<Vec<Value>>(body)?.into_iter().map(point).collect::<Result<Vec<Point>>>()?;
        return Ok(if name == "upsert" {
            Update::upsert(points)
        } else {
            Update::UpdateVectors { points: points.into_iter().map(|point| (point.id, point.vectors)).collect(), condition: None }
        });
    }
    let mut parts: Map<String, Value> = read(body)?;
    let mut part = |name: &str| parts.remove(name).unwrap_or_default();
    let target = match part("filter") {
        Value::Null => Target::Ids(read(part("points"))?),
        filter => Target::Filter(Filter::from_json(&filter)?),
    };
    Ok(match name {
        "delete" => Update::Delete(target),
        "clear_payload" => Update::ClearPayload(target),
        "set_payload" => Update::SetPayload { target, payload: read(part("payload"))?, key: None },
        "overwrite_payload" => Update::OverwritePayload { target, payload: read(part("payload"))?, key: None },
        "delete_payload" => {
            let keys: Vec<String> = read(part("keys"))?;
            Update::DeletePayload { target, keys: keys.iter().map(|key| PayloadPath::parse(key)).collect::<Result<_>>()? }
        }
        other => return Err(Error::InvalidQuery { reason: format!("unknown request `{other}`") }),
    })
}

fn read<T: serde::de::DeserializeOwned>(json: Value) -> Result<T> {
    serde_json::from_value(json).map_err(|error| Error::InvalidQuery { reason: error.to_string() })
}

fn point(json: Value) -> Result<Point> {
    let map: Map<String, Value> = read(json)?;
    let part = |name: &str| map.get(name).cloned().unwrap_or_default();
    let mut point = Point::bare(read::<PointId>(part("id"))?);
    for (name, vector) in read::<Map<String, Value>>(part("vector"))? {
        point = point.vector(name, Vector::from_json(&vector)?);
    }
    point.payload = read::<Option<Payload>>(part("payload"))?.unwrap_or_default();
    Ok(point)
}

fn hits(points: &[ScoredPoint]) -> Value {
    points.iter().map(|point| json!({"id": point.id, "score": point.score, "order_value": point.order_value})).collect()
}

fn records(points: &[Record]) -> Value {
    let vectors = |point: &Record| -> Map<String, Value> {
        let named = point.vectors.iter().flat_map(|vectors| vectors.iter());
        named.map(|(name, vector)| (name.to_owned(), vector.to_json())).collect()
    };
    points.iter().map(|point| json!({"id": point.id, "payload": point.payload, "vector": vectors(point)})).collect()
}
