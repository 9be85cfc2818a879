//! Snapshots of collections, of shards and of everything: one handler for each verb, the path says what of.

use std::path::Path;

use serde::Deserialize;

use super::Later;
use super::call::Call;
use super::reply::Reply;
use crate::error::{Result, ServiceError};
use crate::service::{Recovery, Service, SnapshotLocation};
use crate::shards::ShardId;
use crate::snapshots::SnapshotScope;

/// Where to recover from, as the wire has it.
#[derive(Deserialize)]
struct RecoverBody {
    location: String,
    #[serde(default)]
    priority: Option<String>,
    #[serde(default)]
    checksum: Option<String>,
    #[serde(default)]
    api_key: Option<String>,
}

/// What the path names.
fn scope(call: &Call<'_>) -> Result<SnapshotScope> {
    let collection = call.collection().to_owned();
    Ok(match (collection.as_str(), call.param("shard_id")) {
        ("", _) => SnapshotScope::Full,
        (_, "") => SnapshotScope::Collection(collection),
        (_, shard) => {
            let shard = shard.parse().map_err(|_| ServiceError::request(format!("a shard has a number, not `{shard}`")))?;
            SnapshotScope::Shard(collection, ShardId(shard))
        }
    })
}

pub(super) fn list(call: &Call<'_>) -> Result<Reply> {
    Reply::of(&call.service.snapshots(&scope(call)?, call.access)?)
}

pub(super) fn create(call: &Call<'_>) -> Result<Reply> {
    let (scope, access) = (scope(call)?, call.access.clone());
    if call.flag("wait")? == Some(false) {
        // What can be refused at once is.
        call.service.snapshots(&scope, &access)?;
        return Ok(Reply::Accepted(Later::new(move |service| service.create_snapshot(&scope, &access).map(drop))));
    }
    Reply::of(&call.service.create_snapshot(&scope, &access)?)
}

pub(super) fn download(call: &Call<'_>) -> Result<Reply> {
    call.service.open_snapshot(&scope(call)?, call.param("snapshot_name"), call.access).map(Reply::File)
}

pub(super) fn stream(call: &Call<'_>) -> Result<Reply> {
    match scope(call)? {
        SnapshotScope::Shard(collection, shard) => call.service.stream_shard_snapshot(&collection, shard, call.access).map(Reply::File),
        SnapshotScope::Collection(_) | SnapshotScope::Full => Err(ServiceError::request("only snapshots of shards are streamed")),
    }
}

pub(super) fn delete(call: &Call<'_>) -> Result<Reply> {
    let (scope, name, access) = (scope(call)?, call.param("snapshot_name").to_owned(), call.access.clone());
    if call.flag("wait")? == Some(false) {
        call.service.open_snapshot(&scope, &name, &access)?;
        return Ok(Reply::Accepted(Later::new(move |service| service.delete_snapshot(&scope, &name, &access))));
    }
    call.service.delete_snapshot(&scope, &name, &access)?;
    Reply::of(&true)
}

pub(super) fn recover(call: &Call<'_>) -> Result<Reply> {
    let RecoverBody { location, priority, checksum, api_key } = call.read()?;
    check_priority(priority.as_deref())?;
    recover_from(call, Recovery { location: SnapshotLocation::Uri { uri: location, api_key }, checksum })
}

pub(super) fn upload(call: &Call<'_>) -> Result<Reply> {
    check_priority(call.query("priority"))?;
    let file: &Path = call.upload.ok_or_else(|| ServiceError::request("the form has no file in its field `snapshot`"))?;
    recover_from(call, Recovery { checksum: call.query("checksum").map(str::to_owned), ..Recovery::from_file(file) })
}

fn recover_from(call: &Call<'_>, from: Recovery) -> Result<Reply> {
    let (scope, access) = (scope(call)?, call.access.clone());
    access.check_manage()?;
    let recover = move |service: &Service| match &scope {
        SnapshotScope::Collection(name) => service.recover_collection(name, &from, &access),
        SnapshotScope::Shard(name, shard) => service.recover_shard(name, *shard, &from, &access),
        SnapshotScope::Full => service.recover_all(&from, false, &access),
    };
    if call.flag("wait")? == Some(false) {
        return Ok(Reply::Accepted(Later::new(recover)));
    }
    recover(call.service)?;
    Reply::of(&true)
}

/// Which copy wins where there are several; on one node there is one.
fn check_priority(priority: Option<&str>) -> Result<()> {
    match priority {
        None | Some("no_sync" | "snapshot" | "replica") => Ok(()),
        Some(other) => Err(ServiceError::request(format!("unknown priority `{other}`, expected one of no_sync, snapshot, replica"))),
    }
}
