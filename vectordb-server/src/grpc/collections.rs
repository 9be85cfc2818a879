//! The service `qdrant.Collections`.

use vectordb_core::ShardingMethod;
use vectordb_service::{AliasChange, CollectionAccess, NewCollection, NewShardKey, ReplicaOperation, ReplicaState, Result, ShardId, rest};

use super::call::{Call, methods};
use super::convert::{config, filter, info, needed, point};
use crate::wire;
use crate::wire::collections_server::Collections;

methods! { Collections:
    get(GetCollectionInfoRequest) -> GetCollectionInfoResponse = get;
    list(ListCollectionsRequest) -> ListCollectionsResponse = list;
    create(CreateCollection) -> CollectionOperationResponse = create;
    update(UpdateCollection) -> CollectionOperationResponse = update;
    delete(DeleteCollection) -> CollectionOperationResponse = delete;
    collection_exists(CollectionExistsRequest) -> CollectionExistsResponse = exists;
    update_aliases(ChangeAliases) -> CollectionOperationResponse = update_aliases;
    list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse = aliases_of;
    list_aliases(ListAliasesRequest) -> ListAliasesResponse = aliases;
    collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse = cluster;
    update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse = change_cluster;
    create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse = create_shard_key;
    delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse = delete_shard_key;
    list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse = shard_keys;
}

fn done(result: bool) -> wire::CollectionOperationResponse {
    wire::CollectionOperationResponse { result, ..Default::default() }
}

fn get(call: &Call<'_>, message: wire::GetCollectionInfoRequest) -> Result<wire::GetCollectionInfoResponse> {
    let state = call.service.state(&message.collection_name, call.access)?;
    Ok(wire::GetCollectionInfoResponse { result: Some(info::info(state)), ..Default::default() })
}

fn list(call: &Call<'_>, _: wire::ListCollectionsRequest) -> Result<wire::ListCollectionsResponse> {
    let names = call.service.collection_names(call.access);
    let collections = names.into_iter().map(|name| wire::CollectionDescription { name }).collect();
    Ok(wire::ListCollectionsResponse { collections, ..Default::default() })
}

fn create(call: &Call<'_>, mut message: wire::CreateCollection) -> Result<wire::CollectionOperationResponse> {
    let name = std::mem::take(&mut message.collection_name);
    let (config, shard_number) = rest::collection_config(config::collection(message)?)?;
    call.service.create_collection(NewCollection { name, config, shard_number }, call.access)?;
    Ok(done(true))
}

fn update(call: &Call<'_>, mut message: wire::UpdateCollection) -> Result<wire::CollectionOperationResponse> {
    let name = std::mem::take(&mut message.collection_name);
    call.access.check(&name, CollectionAccess::Read)?;
    let now = call.service.state(&name, call.access)?.config;
    let diff = rest::config_diff(config::collection_diff(message)?, &now)?;
    call.service.update_collection(&name, &diff, call.access)?;
    Ok(done(true))
}

fn delete(call: &Call<'_>, message: wire::DeleteCollection) -> Result<wire::CollectionOperationResponse> {
    call.service.delete_collection(&message.collection_name, call.access).map(done)
}

fn exists(call: &Call<'_>, message: wire::CollectionExistsRequest) -> Result<wire::CollectionExistsResponse> {
    let exists = call.service.exists(&message.collection_name, call.access)?;
    Ok(wire::CollectionExistsResponse { result: Some(wire::CollectionExists { exists }), ..Default::default() })
}

fn update_aliases(call: &Call<'_>, message: wire::ChangeAliases) -> Result<wire::CollectionOperationResponse> {
    use wire::alias_operations::Action;
    let change = |operation: wire::AliasOperations| {
        Ok(match needed(operation.action, "action")? {
            Action::CreateAlias(new) => AliasChange::Create { alias: new.alias_name, collection: new.collection_name },
            Action::RenameAlias(rename) => AliasChange::Rename { old: rename.old_alias_name, new: rename.new_alias_name },
            Action::DeleteAlias(old) => AliasChange::Delete { alias: old.alias_name },
        })
    };
    let changes = message.actions.into_iter().map(change).collect::<Result<Vec<_>>>()?;
    call.service.change_aliases(&changes, call.access)?;
    Ok(done(true))
}

fn listed(aliases: Vec<(String, String)>) -> wire::ListAliasesResponse {
    let one = |(alias_name, collection_name)| wire::AliasDescription { alias_name, collection_name };
    wire::ListAliasesResponse { aliases: aliases.into_iter().map(one).collect(), ..Default::default() }
}

fn aliases(call: &Call<'_>, _: wire::ListAliasesRequest) -> Result<wire::ListAliasesResponse> {
    Ok(listed(call.service.aliases(call.access)))
}

fn aliases_of(call: &Call<'_>, message: wire::ListCollectionAliasesRequest) -> Result<wire::ListAliasesResponse> {
    call.service.aliases_of(&message.collection_name, call.access).map(listed)
}

fn cluster(call: &Call<'_>, message: wire::CollectionClusterInfoRequest) -> Result<wire::CollectionClusterInfoResponse> {
    if let Some(replicas) = call.service.replicas(&message.collection_name, call.access)? {
        return of_cluster(call, &message.collection_name, replicas);
    }
    let state = call.service.state(&message.collection_name, call.access)?;
    let custom = state.config.sharding_method == Some(ShardingMethod::Custom);
    // Where users assign points, the shard without a key only holds the configuration.
    let shards = state.shards.into_iter().filter(|shard| !custom || shard.key.is_some());
    let shard = |shard: vectordb_service::ShardState| wire::LocalShardInfo {
        shard_id: shard.id.0,
        points_count: shard.info.points,
        state: wire::ReplicaState::Active.into(),
        shard_key: shard.key.map(point::shard_key_out),
    };
    let local_shards: Vec<_> = shards.map(shard).collect();
    Ok(wire::CollectionClusterInfoResponse {
        peer_id: call.service.peer_id(),
        shard_count: local_shards.len() as u64,
        local_shards,
        resharding_operations: reshardings(call, &message.collection_name)?,
        ..Default::default()
    })
}

fn reshardings(call: &Call<'_>, name: &str) -> Result<Vec<wire::ReshardingInfo>> {
    let info = |running: vectordb_service::ReshardingState| wire::ReshardingInfo {
        shard_id: running.shard.0,
        peer_id: running.peer,
        shard_key: running.key.map(point::shard_key_out),
        direction: if running.up { wire::ReshardingDirection::Up } else { wire::ReshardingDirection::Down }.into(),
    };
    Ok(call.service.reshardings(name, call.access)?.into_iter().map(info).collect())
}

fn of_cluster(call: &Call<'_>, name: &str, replicas: Vec<ReplicaState>) -> Result<wire::CollectionClusterInfoResponse> {
    let custom = replicas.iter().any(|replica| replica.key.is_some());
    let here = call.service.peer_id();
    let mut answer = wire::CollectionClusterInfoResponse { peer_id: here, ..Default::default() };
    let mut shards = std::collections::BTreeSet::new();
    let primary = |shard| replicas.iter().find(|other| other.shard == shard && other.is_primary).map_or(here, |other| other.peer);
    for replica in replicas.iter().filter(|replica| !custom || replica.key.is_some()) {
        let state = match replica.state {
            "Active" => wire::ReplicaState::Active,
            "Partial" => wire::ReplicaState::Partial,
            "Resharding" => wire::ReplicaState::Resharding,
            _ => wire::ReplicaState::Dead,
        };
        let (shard_id, shard_key) = (replica.shard.0, replica.key.clone().map(point::shard_key_out));
        if !replica.is_new {
            shards.insert(shard_id);
        }
        if state == wire::ReplicaState::Partial {
            let from = replica.moving_from.unwrap_or_else(|| primary(replica.shard));
            answer.shard_transfers.push(wire::ShardTransferInfo {
                shard_id,
                to_shard_id: None,
                from,
                to: replica.peer,
                sync: replica.moving_from.is_none(),
            });
        }
        let state = state.into();
        if replica.peer == here {
            let points_count = call.service.local_points(name, replica.shard, call.access)?.unwrap_or(0);
            answer.local_shards.push(wire::LocalShardInfo { shard_id, points_count, state, shard_key });
        } else {
            answer.remote_shards.push(wire::RemoteShardInfo { shard_id, peer_id: replica.peer, state, shard_key });
        }
    }
    answer.shard_count = shards.len() as u64;
    answer.resharding_operations = reshardings(call, name)?;
    Ok(answer)
}

fn change_cluster(
    call: &Call<'_>,
    message: wire::UpdateCollectionClusterSetupRequest,
) -> Result<wire::UpdateCollectionClusterSetupResponse> {
    use wire::update_collection_cluster_setup_request::Operation;
    call.access.check_manage()?;
    let name = &message.collection_name;
    let result = match needed(message.operation, "operation")? {
        Operation::CreateShardKey(new) => make_key(call, name, new)?,
        Operation::DeleteShardKey(old) => drop_key(call, name, old)?,
        Operation::MoveShard(moved) => {
            let (shard, from, to) = (ShardId(moved.shard_id), moved.from_peer_id, moved.to_peer_id);
            operate(call, name, ReplicaOperation::Move { shard, from, to })?
        }
        Operation::ReplicateShard(copied) => {
            operate(call, name, ReplicaOperation::Replicate { shard: ShardId(copied.shard_id), to: copied.to_peer_id })?
        }
        Operation::AbortTransfer(given_up) => {
            operate(call, name, ReplicaOperation::Abort { shard: ShardId(given_up.shard_id), to: given_up.to_peer_id })?
        }
        Operation::DropReplica(dropped) => {
            operate(call, name, ReplicaOperation::Drop { shard: ShardId(dropped.shard_id), from: dropped.peer_id })?
        }
        Operation::RestartTransfer(again) => {
            let (shard, to) = (ShardId(again.shard_id), again.to_peer_id);
            operate(call, name, ReplicaOperation::Abort { shard, to })?;
            operate(call, name, ReplicaOperation::Replicate { shard, to })?
        }
        Operation::ReplicatePoints(points) => {
            let from = point::shard_key(needed(points.from_shard_key, "from_shard_key")?)?;
            let to = point::shard_key(needed(points.to_shard_key, "to_shard_key")?)?;
            let filter = points.filter.map(filter::filter).transpose()?;
            call.service.replicate_points(name, &from, &to, filter.as_ref(), call.access)?;
            true
        }
    };
    Ok(wire::UpdateCollectionClusterSetupResponse { result, ..Default::default() })
}

fn operate(call: &Call<'_>, collection: &str, operation: ReplicaOperation) -> Result<bool> {
    call.service.operate(collection, &operation, call.access)?;
    Ok(true)
}

/// Where the shards of a key lie is of no consequence on one node.
fn make_key(call: &Call<'_>, collection: &str, new: wire::CreateShardKey) -> Result<bool> {
    let key = point::shard_key(needed(new.shard_key, "shard_key")?)?;
    call.service.create_shard_key(collection, &NewShardKey { key, shards: new.shards_number }, call.access)?;
    Ok(true)
}

fn drop_key(call: &Call<'_>, collection: &str, old: wire::DeleteShardKey) -> Result<bool> {
    let key = point::shard_key(needed(old.shard_key, "shard_key")?)?;
    call.service.delete_shard_key(collection, &key, call.access)
}

fn create_shard_key(call: &Call<'_>, message: wire::CreateShardKeyRequest) -> Result<wire::CreateShardKeyResponse> {
    let result = make_key(call, &message.collection_name, needed(message.request, "request")?)?;
    Ok(wire::CreateShardKeyResponse { result, ..Default::default() })
}

fn delete_shard_key(call: &Call<'_>, message: wire::DeleteShardKeyRequest) -> Result<wire::DeleteShardKeyResponse> {
    let result = drop_key(call, &message.collection_name, needed(message.request, "request")?)?;
    Ok(wire::DeleteShardKeyResponse { result, ..Default::default() })
}

fn shard_keys(call: &Call<'_>, message: wire::ListShardKeysRequest) -> Result<wire::ListShardKeysResponse> {
    let keys = call.service.shard_keys(&message.collection_name, call.access)?;
    let shard_keys = keys.into_iter().map(|key| wire::ShardKeyDescription { key: Some(point::shard_key_out(key)) }).collect();
    Ok(wire::ListShardKeysResponse { shard_keys, ..Default::default() })
}
