//! Collections: what they are made of, how they change, and what they say about themselves.

use std::collections::BTreeMap;

use serde_json::{Map, json};
use vectordb_core::{
    CollectionConfig, ConfigDiff, FieldSchema, HnswConfigDiff, OptimizersConfig, Payload, Status, UNNAMED, Update, Value, VectorDiff,
};

use super::bad_form;
use crate::error::{Result, ServiceError};
use crate::service::CollectionState;

/// What a client leaves out by saying null.
fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(map) => {
            map.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect()
        }
        other => other,
    }
}

/// The configuration of a new collection, and the number of shards it asks for.
///
/// # Errors
/// [`Fault::Format`](crate::Fault::Format).
pub fn collection_config(body: Value) -> Result<(CollectionConfig, Option<u32>)> {
    // Metadata is the client's own: nulls in it are kept.
    let metadata = body.get("metadata").cloned().filter(|metadata| !metadata.is_null());
    let Value::Object(mut body) = without_nulls(body) else { return Err(bad_form("expected an object")) };
    let shard_number = body.remove("shard_number").map(|number| read("shard_number", number)).transpose()?;
    let mut config = Map::new();
    if let Some(vectors) = body.remove("vectors") {
        config.insert("vectors".to_owned(), named(vectors)?);
    }
    let same = [
        "sparse_vectors",
        "sharding_method",
        "replication_factor",
        "write_consistency_factor",
        "on_disk_payload",
        "hnsw_config",
        "wal_config",
        "optimizers_config",
        "quantization_config",
        "strict_mode_config",
        "durability",
        "ttl_field",
    ];
    for name in same {
        if let Some(value) = body.remove(name) {
            check_settings(name, &value)?;
            config.insert(name.to_owned(), value);
        }
    }
    if let Some(memory) = body.remove("payload").and_then(|mut payload| payload.get_mut("memory").map(Value::take)) {
        config.insert("payload_memory".to_owned(), memory);
    }
    if let Some(metadata) = metadata {
        config.insert("metadata".to_owned(), metadata);
    }
    let config = read("the collection", Value::Object(config))?;
    Ok((config, shard_number))
}

/// Vectors by name; one by itself has no name.
fn named(vectors: Value) -> Result<Value> {
    let Value::Object(map) = vectors else { return Err(bad_form("vectors: expected an object")) };
    let one = map.get("size").is_some_and(Value::is_number);
    Ok(if one { json!({UNNAMED: map}) } else { Value::Object(map) })
}

/// Refuses lists where there must be objects: they would be taken for the members of one in order.
fn check_settings(name: &str, value: &Value) -> Result<()> {
    let is_object = match (name, value) {
        ("quantization_config", Value::Object(kinds)) => kinds.values().all(Value::is_object),
        ("quantization_config", other) => other.is_string(),
        ("hnsw_config" | "wal_config" | "optimizers_config" | "strict_mode_config", other) => other.is_object(),
        _ => true,
    };
    if is_object { Ok(()) } else { Err(bad_form(format!("{name}: expected an object"))) }
}

fn read<T: serde::de::DeserializeOwned>(what: &str, json: Value) -> Result<T> {
    serde_json::from_value(json).map_err(|error| bad_form(format!("{what}: {error}")))
}

/// The change of a collection that a body asks for, given what the collection is.
///
/// # Errors
/// [`Fault::Format`](crate::Fault::Format).
pub fn config_diff(body: Value, now: &CollectionConfig) -> Result<ConfigDiff> {
    let metadata = body.get("metadata").cloned().filter(|metadata| !metadata.is_null());
    let Value::Object(mut body) = without_nulls(body) else { return Err(bad_form("expected an object")) };
    body.iter().try_for_each(|(name, value)| check_settings(name, value))?;
    let mut diff = ConfigDiff::default();
    if let Some(vectors) = body.remove("vectors") {
        let vectors: BTreeMap<String, Value> = read("vectors", vectors)?;
        for (name, json) in vectors {
            diff.vectors.insert(name, vector_diff(json)?);
        }
    }
    if let Some(sparse) = body.remove("sparse_vectors") {
        diff.sparse_vectors = read("sparse_vectors", sparse)?;
    }
    if let Some(hnsw) = body.remove("hnsw_config") {
        diff.hnsw_config = Some(read::<HnswConfigDiff>("hnsw_config", hnsw)?);
    }
    if let Some(changes) = body.remove("optimizers_config") {
        let old = serde_json::to_value(&now.optimizers_config).map_err(|error| bad_form(error.to_string()))?;
        diff.optimizers_config = Some(read::<OptimizersConfig>("optimizers_config", overlaid(old, changes))?);
    }
    if let Some(quantization) = body.remove("quantization_config") {
        diff.quantization_config = Some(quantization_change(quantization)?);
    }
    if let Some(changes) = body.remove("strict_mode_config") {
        let old = now.strict_mode_config.clone().unwrap_or_else(|| json!({}));
        diff.strict_mode_config = Some(overlaid(old, changes));
    }
    if let Some(metadata) = metadata {
        diff.metadata = read::<Payload>("metadata", metadata)?;
    }
    if let Some(params) = body.remove("params") {
        let Value::Object(mut params) = params else { return Err(bad_form("params: expected an object")) };
        let mut number = |name: &str| params.remove(name).map(|value| read::<u32>(name, value)).transpose();
        diff.replication_factor = number("replication_factor")?;
        diff.write_consistency_factor = number("write_consistency_factor")?;
        diff.read_fan_out_factor = number("read_fan_out_factor")?;
        diff.read_fan_out_delay_ms = number("read_fan_out_delay_ms")?.map(u64::from);
        diff.on_disk_payload = params.remove("on_disk_payload").map(|value| read("on_disk_payload", value)).transpose()?;
    }
    diff.durability = body.remove("durability").map(|value| read("durability", value)).transpose()?;
    diff.ttl_field = body.remove("ttl_field").map(|value| read("ttl_field", value)).transpose()?;
    Ok(diff)
}

/// The number of shards that a change of a collection asks for.
///
/// # Errors
/// [`Fault::Format`](crate::Fault::Format).
pub(crate) fn wanted_shards(body: &Value) -> Result<Option<u32>> {
    let number = body.get("params").and_then(|params| params.get("shard_number")).filter(|number| !number.is_null());
    number.map(|number| read("shard_number", number.clone())).transpose()
}

fn vector_diff(json: Value) -> Result<VectorDiff> {
    let Value::Object(mut json) = json else { return Err(bad_form("vectors: expected an object for each vector")) };
    let quantization = json.remove("quantization_config").map(quantization_change).transpose()?;
    Ok(VectorDiff { quantization_config: quantization, ..read("vectors", Value::Object(json))? })
}

/// Another compression, or none for `"Disabled"`.
fn quantization_change(json: Value) -> Result<Option<vectordb_core::QuantizationConfig>> {
    if json.as_str() == Some("Disabled") {
        return Ok(None);
    }
    read("quantization_config", json).map(Some)
}

/// One object with the members of another laid over it.
fn overlaid(old: Value, changes: Value) -> Value {
    match (old, changes) {
        (Value::Object(mut old), Value::Object(changes)) => {
            for (name, change) in changes {
                let merged = overlaid(old.remove(&name).unwrap_or(Value::Null), change);
                old.insert(name, merged);
            }
            Value::Object(old)
        }
        (_, changes) => changes,
    }
}

/// A payload index: the name of its kind, or an object with `type`.
///
/// # Errors
/// [`Fault::Format`](crate::Fault::Format).
pub fn field_schema(json: Option<Value>) -> Result<FieldSchema> {
    match json.map(without_nulls) {
        Some(Value::String(kind)) => read("field_schema", json!({"type": kind})),
        Some(schema @ Value::Object(_)) => read("field_schema", schema),
        _ => Err(bad_form("field_schema: expected the kind of the index, or an object with `type`")),
    }
}

/// A vector to be added to a collection: its parameters in `dense` or in `sparse`.
///
/// # Errors
/// [`Fault::Format`](crate::Fault::Format).
pub fn new_vector(name: String, body: Value) -> Result<Update> {
    let body = without_nulls(body);
    match (body.get("dense"), body.get("sparse")) {
        (Some(dense), None) => Ok(Update::CreateVector { name, params: read("dense", dense.clone())? }),
        (None, Some(sparse)) => Ok(Update::CreateSparseVector { name, params: read("sparse", sparse.clone())? }),
        _ => Err(bad_form("expected either `dense` or `sparse`")),
    }
}

/// The color of a collection.
fn state_name(status: Status) -> &'static str {
    match status {
        Status::Green => "green",
        Status::Yellow => "yellow",
        Status::Red => "red",
    }
}

/// A value as JSON, by way of its text: so that 0.9 in 32 bits is 0.9 and not the nearest number in 64.
fn written<T: serde::Serialize>(value: &T) -> Result<Value> {
    let text = serde_json::to_string(value).and_then(|text| serde_json::from_str(&text));
    text.map_err(|error| ServiceError::internal(error.to_string()))
}

/// What a collection says about itself.
pub(crate) fn info(state: &CollectionState) -> Result<Value> {
    let config = &state.config;
    let vectors = match config.vectors.get(UNNAMED) {
        Some(params) if config.vectors.len() == 1 => written(params)?,
        _ => written(&config.vectors)?,
    };
    let mut params = json!({
        "vectors": vectors,
        "shard_number": config.shard_number,
        "replication_factor": config.replication_factor,
        "write_consistency_factor": config.write_consistency_factor,
        "on_disk_payload": config.on_disk_payload,
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let (Some(value), Some(map)) = (value, params.as_object_mut()) {
            map.insert(name.to_owned(), value);
        }
    };
    add("sharding_method", config.sharding_method.and_then(|method| serde_json::to_value(method).ok()));
    add("read_fan_out_factor", config.read_fan_out_factor.map(Value::from));
    add("read_fan_out_delay_ms", config.read_fan_out_delay_ms.map(Value::from));
    add("payload", config.payload_memory.map(|memory| json!({"memory": memory})));
    if !config.sparse_vectors.is_empty() {
        add("sparse_vectors", Some(written(&config.sparse_vectors)?));
    }
    let schema = state.payload_schema.iter().map(|(field, info)| {
        let index = json!({"data_type": info.schema.kind(), "params": info.schema, "points": info.points});
        (field.clone(), index)
    });
    let schema: Map<String, Value> = schema.collect();
    let status = state.error.as_ref().map_or_else(|| json!("ok"), |error| json!({"error": error}));
    let mut out = json!({
        "status": state_name(state.status),
        "optimizer_status": status,
        "indexed_vectors_count": state.indexed_vectors,
        "points_count": state.points,
        "segments_count": state.segments,
        "config": {
            "params": params,
            "hnsw_config": config.hnsw_config,
            "optimizer_config": config.optimizers_config,
            "wal_config": config.wal_config,
            "quantization_config": written(&config.quantization_config)?,
        },
        "payload_schema": schema,
        "update_queue": {"length": state.pending},
        "created_at": state.created_at,
    });
    if let Some(strict) = &config.strict_mode_config {
        out["config"]["strict_mode_config"] = strict.clone();
    }
    if !config.metadata.is_empty() {
        out["config"]["metadata"] = Value::Object(config.metadata.clone());
    }
    Ok(out)
}
