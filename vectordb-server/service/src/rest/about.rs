//! The service itself.

use serde_json::json;

use super::call::Call;
use super::reply::Reply;
use crate::error::{Fault, Result, ServiceError};
use crate::limits::Quota;

pub(super) fn version(call: &Call<'_>) -> Result<Reply> {
    let settings = call.service.settings();
    Reply::bare(&json!({"title": settings.title, "version": settings.version, "commit": settings.commit}))
}

pub(super) fn health(_: &Call<'_>) -> Result<Reply> {
    Ok(Reply::Text("healthz check passed".to_owned()))
}

/// Alone, every shard is ready once the service is open.
pub(super) fn ready(call: &Call<'_>) -> Result<Reply> {
    if !call.service.is_ready() {
        return Err(ServiceError::new(Fault::Unavailable, "some shards are not ready"));
    }
    Ok(Reply::Text("all shards are ready".to_owned()))
}

pub(super) fn metrics(call: &Call<'_>) -> Result<Reply> {
    let per_collection = call.flag("per_collection")?.unwrap_or(false);
    // There is nothing in them to hide but names of collections, which are told only when asked for.
    call.flag("anonymize")?;
    call.service.metrics_text(per_collection, call.access).map(Reply::Text)
}

pub(super) fn telemetry(call: &Call<'_>) -> Result<Reply> {
    let details = call.number("details_level")?.unwrap_or(0);
    Reply::of(&call.service.telemetry(details, call.flag("anonymize")?.unwrap_or(false), call.access)?)
}

pub(super) fn memory(call: &Call<'_>) -> Result<Reply> {
    let shards = call.service.memory(call.collection(), call.access)?;
    let shards = shards.into_iter().map(|(shard, memory)| {
        let components = memory.components();
        let components: serde_json::Map<String, serde_json::Value> = components
            .into_iter()
            .map(|(name, memory)| {
                let bytes = json!({
                    "anonymous_bytes": memory.anonymous_bytes,
                    "mapped_resident_bytes": memory.mapped_resident_bytes,
                    "mapped_bytes": memory.mapped_bytes,
                });
                (name.to_owned(), bytes)
            })
            .collect();
        json!({"shard_id": shard, "resident_bytes": memory.total().anonymous_bytes, "components": components})
    });
    Reply::of(&json!({"shards": shards.collect::<Vec<_>>()}))
}

/// Which payload indexes would help is told by explanations of queries; nothing is collected.
pub(super) fn issues(call: &Call<'_>) -> Result<Reply> {
    call.access.check_global_read()?;
    Reply::of(&json!({"issues": []}))
}

/// There is nothing to forget.
pub(super) fn clear_issues(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    Reply::of(&true)
}

pub(super) fn quotas(call: &Call<'_>) -> Result<Reply> {
    let (quota, usage) = call.service.quota(call.access)?;
    Reply::of(&json!({"config": quota, "usage": usage}))
}

pub(super) fn set_quotas(call: &Call<'_>) -> Result<Reply> {
    call.access.check_manage()?;
    call.service.set_quota(call.read::<Quota>()?, call.access)?;
    Reply::of(&true)
}
