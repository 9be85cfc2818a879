//! Answers queries in the JSON form of the Qdrant API, one on each line: how other programs compare their answers with ours.
//!
//! Every line of standard input is an object with one key; every line of standard output is its answer, or `{"error": …}`.
//!
//! - `{"create": {"vectors": {"name": {"size": 8, "distance": "Dot"}}, "sparse_vectors": {...}}}`: a collection.
//! - `{"upsert": [{"id": 1, "vector": {"name": [...]}, "payload": {...}}]}`
//! - `{"index": {"field": "integer"}}`, `{"optimize": null}`
//! - `{"query": {...}}`, `{"groups": {...}}`, `{"facet": {...}}`, `{"matrix": {...}}`

use std::io::{BufRead, Write};

use serde_json::{Map, Value, json};
use vectordb_core::{
    Background, Collection, CollectionConfig, Database, Error, FacetRequest, FieldSchema, GroupsRequest, MatrixRequest, Options, Payload,
    Point, PointId, QueryRequest, Result, ScoredPoint, Vector,
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
    Ok(match name.as_str() {
        "upsert" => {
            let points = read::<Vec<Value>>(body)?.into_iter().map(point).collect::<Result<Vec<Point>>>()?;
            collection.upsert(points)?;
            Value::Null
        }
        "index" => {
            for (field, kind) in read::<Map<String, Value>>(body)? {
                collection.create_index(&field, read::<FieldSchema>(json!({"type": kind})).or_else(|_| read(kind))?)?;
            }
            Value::Null
        }
        "optimize" => {
            collection.optimize()?;
            Value::Null
        }
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
