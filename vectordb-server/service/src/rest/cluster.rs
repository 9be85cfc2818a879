//! Shards, and what a single node says about its cluster.

use serde::Deserialize;
use serde_json::json;
use vectordb_core::{ShardingMethod, Value};

use super::call::Call;
use super::reply::Reply;
use crate::error::{Fault, Result, ServiceError};
use crate::service::{NewShardKey, ShardState};
use crate::shards::ShardKey;

/// A shard key to be made, as the wire has it. Where its shards lie is of no consequence on one node.
#[derive(Deserialize)]
struct CreateKey {
    shard_key: ShardKey,
    #[serde(default)]
    shards_number: Option<u32>,
}

#[derive(Deserialize)]
struct DropKey {
    shard_key: ShardKey,
}

pub(super) fn shard_keys(call: &Call<'_>) -> Result<Reply> {
    let keys = call.service.shard_keys(call.collection(), call.access)?;
    Reply::of(&json!({"shard_keys": keys.into_iter().map(|key| json!({"key": key})).collect::<Vec<_>>()}))
}

pub(super) fn create_shard_key(call: &Call<'_>) -> Result<Reply> {
    create(call, call.read()?)
}

fn create(call: &Call<'_>, body: CreateKey) -> Result<Reply> {
    let new = NewShardKey { key: body.shard_key, shards: body.shards_number };
    call.service.create_shard_key(call.collection(), &new, call.access)?;
    Reply::of(&true)
}

pub(super) fn delete_shard_key(call: &Call<'_>) -> Result<Reply> {
    let body: DropKey = call.read()?;
    Reply::of(&call.service.delete_shard_key(call.collection(), &body.shard_key, call.access)?)
}

pub(super) fn collection(call: &Call<'_>) -> Result<Reply> {
    let state = call.service.state(call.collection(), call.access)?;
    let custom = state.config.sharding_method == Some(ShardingMethod::Custom);
    let shards: Vec<Value> = state
        .shards
        .iter()
        .filter(|shard| !custom || shard.key.is_some())
        .map(|shard| {
            let mut json = json!({"shard_id": shard.id, "points_count": shard.info.points, "state": "Active"});
            if let Some(key) = &shard.key {
                json["shard_key"] = json!(key);
            }
            json
        })
        .collect();
    Reply::of(&json!({
        "peer_id": call.service.peer_id(),
        "shard_count": shards.len(),
        "local_shards": shards,
        "remote_shards": [],
        "shard_transfers": [],
    }))
}

pub(super) fn change(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    let body = call.json()?;
    let part = |name: &str| body.get(name).cloned();
    let form = |error: serde_json::Error| ServiceError::new(Fault::Format, error.to_string());
    if let Some(new) = part("create_sharding_key") {
        return create(call, serde_json::from_value(new).map_err(form)?);
    }
    if let Some(old) = part("drop_sharding_key") {
        let old: DropKey = serde_json::from_value(old).map_err(form)?;
        return Reply::of(&call.service.delete_shard_key(call.collection(), &old.shard_key, call.access)?);
    }
    call.service.state(call.collection(), call.access)?;
    Err(ServiceError::alone())
}

pub(super) fn status(call: &Call<'_>) -> Result<Reply> {
    call.access.check_global_read()?;
    Reply::of(&json!({"status": "disabled"}))
}

pub(super) fn recover(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    Err(ServiceError::alone())
}

pub(super) fn remove_peer(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    call.flag("force")?;
    Err(ServiceError::alone())
}

/// The peers and the shards, as they are seen from here: more with each level of details.
pub(super) fn telemetry(call: &Call<'_>) -> Result<Reply> {
    let details = call.number("details_level")?.unwrap_or(0);
    let mut collections = serde_json::Map::new();
    call.access.check_global_read()?;
    for name in call.service.collection_names(call.access) {
        // Of a collection that is dropped meanwhile nothing is said.
        let Ok(state) = call.service.state(&name, call.access) else { continue };
        let replica = |shard: &ShardState| {
            let mut replica = json!({"peer_id": call.service.peer_id(), "state": "Active"});
            if details >= 3 {
                replica["num_points"] = json!(shard.info.points);
            }
            replica
        };
        let shards = state.shards.iter().map(|shard| {
            let mut json = json!({"id": shard.id, "replicas": [replica(shard)]});
            if let Some(key) = &shard.key {
                json["key"] = json!(key);
            }
            json
        });
        let shards = (details >= 2).then(|| shards.collect::<Vec<_>>());
        collections.insert(name.clone(), json!({"id": name, "shards": shards, "reshardings": [], "shard_transfers": []}));
    }
    Reply::of(&json!({"collections": collections, "cluster": {"enabled": false, "peers": {}}}))
}
