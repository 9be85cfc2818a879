//! Shards, replicas and peers.

use serde::Deserialize;
use serde_json::json;
use vectordb_core::{Filter, ShardingMethod, Value};

use super::call::Call;
use super::reply::Reply;
use crate::cluster::{ReplicaOperation, ReplicaState, ReplicaSum, ReshardingState, ShardSums};
use crate::error::{Fault, Result, ServiceError};
use crate::service::{NewShardKey, ShardCount, ShardState};
use crate::shards::{ShardId, ShardKey};

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
    let (service, name, access) = (call.service, call.collection(), call.access);
    match service.replicas(name, access)? {
        Some(replicas) => of_cluster(call, &replicas),
        None => alone(call),
    }
}

fn with_key(mut json: Value, key: Option<&ShardKey>) -> Value {
    if let Some(key) = key {
        json["shard_key"] = json!(key);
    }
    json
}

fn with_pin(mut json: Value, replica: &ReplicaState) -> Value {
    if replica.pinned {
        json["pinned"] = json!(true);
    }
    json
}

fn alone(call: &Call<'_>) -> Result<Reply> {
    let state = call.service.state(call.collection(), call.access)?;
    let custom = state.config.sharding_method == Some(ShardingMethod::Custom);
    let shards = state.shards.iter().filter(|shard| !custom || shard.key.is_some());
    let shard = |shard: &ShardState| {
        with_key(json!({"shard_id": shard.id, "points_count": shard.info.points, "state": "Active"}), shard.key.as_ref())
    };
    let shards: Vec<Value> = shards.map(shard).collect();
    let answer = json!({
        "peer_id": call.service.peer_id(),
        "shard_count": shards.len(),
        "local_shards": shards,
        "remote_shards": [],
        "shard_transfers": [],
    });
    Reply::of(&with_reshardings(call, answer)?)
}

/// What is under way is there only while it is.
fn with_reshardings(call: &Call<'_>, mut answer: Value) -> Result<Value> {
    let running = call.service.reshardings(call.collection(), call.access)?;
    if !running.is_empty() {
        answer["resharding_operations"] = running.iter().map(resharding).collect();
    }
    Ok(answer)
}

fn resharding(running: &ReshardingState) -> Value {
    let direction = if running.up { "up" } else { "down" };
    with_key(json!({"direction": direction, "shard_id": running.shard, "peer_id": running.peer}), running.key.as_ref())
}

fn of_cluster(call: &Call<'_>, replicas: &[ReplicaState]) -> Result<Reply> {
    let custom = replicas.iter().any(|replica| replica.key.is_some());
    // Where users assign points, the shard without a key only holds the configuration.
    let replicas: Vec<&ReplicaState> = replicas.iter().filter(|replica| !custom || replica.key.is_some()).collect();
    let here = call.service.peer_id();
    let (mut local, mut remote, mut transfers) = (Vec::new(), Vec::new(), Vec::new());
    for replica in &replicas {
        let (shard, key) = (replica.shard, replica.key.as_ref());
        if replica.peer == here {
            let points = call.service.local_points(call.collection(), shard, call.access)?.unwrap_or(0);
            local.push(with_key(with_pin(json!({"shard_id": shard, "points_count": points, "state": replica.state}), replica), key));
        } else {
            remote.push(with_key(with_pin(json!({"shard_id": shard, "peer_id": replica.peer, "state": replica.state}), replica), key));
        }
        if replica.state == "Partial" {
            let primary = replicas.iter().find(|other| other.shard == shard && other.is_primary).map(|other| other.peer);
            let from = replica.moving_from.or(primary).unwrap_or(here);
            let sync = replica.moving_from.is_none();
            transfers.push(json!({"shard_id": shard, "from": from, "to": replica.peer, "sync": sync, "method": "snapshot"}));
        }
    }
    // Those that are still being filled do not count.
    let mut shards: Vec<_> = replicas.iter().filter(|replica| !replica.is_new).map(|replica| replica.shard).collect();
    shards.dedup();
    let answer = json!({
        "peer_id": here,
        "shard_count": shards.len(),
        "local_shards": local,
        "remote_shards": remote,
        "shard_transfers": transfers,
    });
    Reply::of(&with_reshardings(call, answer)?)
}

/// Points of one shard key that another is to have as well, as the wire has it.
#[derive(Deserialize)]
struct ReplicatePoints {
    from_shard_key: ShardKey,
    to_shard_key: ShardKey,
    #[serde(default)]
    filter: Option<Value>,
}

/// One shard more or fewer, as the wire has it. Where it goes is decided here.
#[derive(Deserialize)]
struct Reshard {
    direction: Direction,
    #[serde(default)]
    shard_key: Option<ShardKey>,
    /// Read for its form alone.
    #[serde(default, rename = "peer_id")]
    _peer: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Up,
    Down,
}

/// A shard on its way from one peer to another, as the wire has it.
#[derive(Deserialize)]
struct Transfer {
    shard_id: ShardId,
    from_peer_id: u64,
    to_peer_id: u64,
}

#[derive(Deserialize)]
struct Replica {
    shard_id: ShardId,
    peer_id: u64,
}

/// A replica that is to be the primary. No other database of this API has that.
#[derive(Deserialize)]
struct Promotion {
    shard_id: ShardId,
    peer_id: u64,
    #[serde(default)]
    accept_loss: bool,
}

/// A shard whose replicas may be moved for balance again. No other database of this API has that.
#[derive(Deserialize)]
struct Unpinning {
    shard_id: ShardId,
}

pub(super) fn change(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    let body = call.json()?;
    let Some((operation, given)) = body.as_object().and_then(|body| body.iter().next()) else {
        return Err(ServiceError::new(Fault::Format, "expected an object with the operation as its only key"));
    };
    let is_for_all = operation.ends_with("_sharding_key") || operation.ends_with("_resharding") || operation == "replicate_points";
    if !is_for_all && call.service.cluster()?.is_none() {
        call.service.state(call.collection(), call.access)?;
        return Err(ServiceError::alone());
    }
    let form = |error: serde_json::Error| ServiceError::new(Fault::Format, error.to_string());
    let transfer = || serde_json::from_value::<Transfer>(given.clone()).map_err(form);
    let operate = |operation: ReplicaOperation| call.service.operate(call.collection(), &operation, call.access);
    match operation.as_str() {
        "create_sharding_key" => return create(call, serde_json::from_value(given.clone()).map_err(form)?),
        "drop_sharding_key" => {
            let old: DropKey = serde_json::from_value(given.clone()).map_err(form)?;
            return Reply::of(&call.service.delete_shard_key(call.collection(), &old.shard_key, call.access)?);
        }
        "start_resharding" => {
            let wanted: Reshard = serde_json::from_value(given.clone()).map_err(form)?;
            let count = match wanted.direction {
                Direction::Up => ShardCount::OneMore,
                Direction::Down => ShardCount::OneFewer,
            };
            call.service.reshard(call.collection(), wanted.shard_key.as_ref(), count, call.access)?;
        }
        "abort_resharding" => call.service.abort_resharding(call.collection(), call.access)?,
        "replicate_points" => {
            let ReplicatePoints { from_shard_key: from, to_shard_key: to, filter } = serde_json::from_value(given.clone()).map_err(form)?;
            let filter = filter.as_ref().map(Filter::from_json).transpose()?;
            call.service.replicate_points(call.collection(), &from, &to, filter.as_ref(), call.access)?;
        }
        "move_shard" => {
            let Transfer { shard_id: shard, from_peer_id: from, to_peer_id: to } = transfer()?;
            operate(ReplicaOperation::Move { shard, from, to })?;
        }
        "replicate_shard" => {
            let Transfer { shard_id: shard, to_peer_id: to, .. } = transfer()?;
            operate(ReplicaOperation::Replicate { shard, to })?;
        }
        "abort_transfer" => {
            let Transfer { shard_id: shard, to_peer_id: to, .. } = transfer()?;
            operate(ReplicaOperation::Abort { shard, to })?;
        }
        "restart_transfer" => {
            let Transfer { shard_id: shard, to_peer_id: to, .. } = transfer()?;
            operate(ReplicaOperation::Abort { shard, to })?;
            operate(ReplicaOperation::Replicate { shard, to })?;
        }
        "drop_replica" => {
            let Replica { shard_id: shard, peer_id: from } = serde_json::from_value(given.clone()).map_err(form)?;
            operate(ReplicaOperation::Drop { shard, from })?;
        }
        "promote_replica" => {
            let Promotion { shard_id: shard, peer_id: to, accept_loss } = serde_json::from_value(given.clone()).map_err(form)?;
            operate(ReplicaOperation::Promote { shard, to, accept_loss })?;
        }
        "unpin_shard" => {
            let Unpinning { shard_id: shard } = serde_json::from_value(given.clone()).map_err(form)?;
            operate(ReplicaOperation::Unpin { shard })?;
        }
        other => {
            call.service.state(call.collection(), call.access)?;
            return Err(ServiceError::request(format!("the operation {other} is not known")));
        }
    }
    Reply::of(&true)
}

pub(super) fn status(call: &Call<'_>) -> Result<Reply> {
    let Some(status) = call.service.cluster_status(call.access)? else { return Reply::of(&json!({"status": "disabled"})) };
    let thread = match &status.stopped {
        None => json!({"consensus_thread_status": "working", "last_update": jiff::Timestamp::now().to_string()}),
        Some(error) => json!({"consensus_thread_status": "stopped_with_err", "err": error}),
    };
    Reply::of(&json!({
        "status": "enabled",
        "peer_id": status.peer_id,
        "peers": status.peers,
        "raft_info": {
            "term": status.term,
            "commit": status.commit,
            "pending_operations": status.pending,
            "leader": status.leader,
            "role": status.role,
            "is_voter": status.is_voter,
        },
        "consensus_thread_status": thread,
        "message_send_failures": {},
        "balance_paused": status.balance_paused,
    }))
}

/// A node asks for what it lacks by itself; there is nothing to be done.
pub(super) fn recover(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    call.service.cluster()?.ok_or_else(ServiceError::alone)?;
    Reply::of(&true)
}

/// Our own: whether the replicas of each shard hold the same.
pub(super) fn verify(call: &Call<'_>) -> Result<Reply> {
    let sums = call.service.verify_replicas(call.collection(), call.flag("repair")?.unwrap_or(false), call.access)?;
    let shown = |shard: &ShardSums| {
        let wrong = shard.wrong();
        let replica = |replica: &ReplicaSum| {
            let mut shown = json!({
                "peer_id": replica.peer,
                "is_primary": replica.is_primary,
                "differs": wrong.contains(&replica.peer),
            });
            match &replica.digest {
                Ok((last, digest)) => {
                    shown["last_batch"] = json!(last);
                    shown["points"] = json!(digest.points());
                    shown["digest"] = json!(digest.to_string());
                }
                Err(error) => shown["error"] = json!(error),
            }
            shown
        };
        let replicas: Vec<Value> = shard.replicas.iter().map(replica).collect();
        json!({"shard_id": shard.shard, "equal": wrong.is_empty(), "replicas": replicas})
    };
    let shards: Vec<Value> = sums.iter().map(shown).collect();
    Reply::of(&json!({"equal": sums.iter().all(ShardSums::is_equal), "shards": shards}))
}

/// Our own: replicas that are well stay where they are, or may be moved again.
pub(super) fn pause(call: &Call<'_>) -> Result<Reply> {
    call.service.pause_balance(!call.flag("undo")?.unwrap_or(false), call.access)?;
    Reply::of(&true)
}

/// Our own: what is to be done before a peer is taken away. The answer tells how many replicas it still has.
pub(super) fn drain(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    call.service.cluster()?.ok_or_else(ServiceError::alone)?;
    let peer = call.param("peer_id").parse().map_err(|_| ServiceError::input("a peer is named by its number"))?;
    call.service.set_draining(peer, !call.flag("undo")?.unwrap_or(false), call.access)?;
    let status = call.service.cluster_status(call.access)?;
    let replicas = status.and_then(|status| Some(status.peers.get(&peer)?.replicas)).unwrap_or(0);
    Reply::of(&json!({"replicas": replicas}))
}

pub(super) fn remove_peer(call: &Call<'_>) -> Result<Reply> {
    let force = call.flag("force")?.unwrap_or(false);
    call.access.check_manage()?;
    call.service.cluster()?.ok_or_else(ServiceError::alone)?;
    let peer = call.param("peer_id").parse().map_err(|_| ServiceError::input("a peer is named by its number"))?;
    call.service.remove_peer(peer, force, call.access)?;
    Reply::of(&true)
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
        let reshardings = call.service.reshardings(&name, call.access).unwrap_or_default();
        let reshardings: Vec<Value> = reshardings.iter().map(resharding).collect();
        let shards = (details >= 2).then(|| shards.collect::<Vec<_>>());
        collections.insert(name.clone(), json!({"id": name, "shards": shards, "reshardings": reshardings, "shard_transfers": []}));
    }
    let cluster = match call.service.cluster_status(call.access)? {
        Some(status) => json!({"enabled": true, "number_of_peers": status.peers.len(), "peers": status.peers}),
        None => json!({"enabled": false, "peers": {}}),
    };
    Reply::of(&json!({"collections": collections, "cluster": cluster}))
}
