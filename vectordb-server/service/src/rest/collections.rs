//! Collections, their payload indexes and their vectors.

use serde::Deserialize;
use serde_json::json;
use vectordb_core::{ConfigDiff, PayloadPath, Update, Value};

use super::call::Call;
use super::json::{collection_config, config_diff, field_schema, info, new_vector, wanted_shards};
use super::points::updated;
use super::reply::Reply;
use crate::access::CollectionAccess;
use crate::error::Result;
use crate::service::{NewCollection, ShardCount};

pub(super) fn list(call: &Call<'_>) -> Result<Reply> {
    let names = call.service.collection_names(call.access);
    let collections: Vec<Value> = names.into_iter().map(|name| json!({"name": name})).collect();
    Reply::of(&json!({"collections": collections}))
}

pub(super) fn get(call: &Call<'_>) -> Result<Reply> {
    Reply::of(&info(&call.service.state(call.collection(), call.access)?)?)
}

pub(super) fn exists(call: &Call<'_>) -> Result<Reply> {
    Reply::of(&json!({"exists": call.service.exists(call.collection(), call.access)?}))
}

pub(super) fn create(call: &Call<'_>) -> Result<Reply> {
    let (config, shard_number) = collection_config(call.json()?)?;
    call.service.create_collection(NewCollection { name: call.collection().to_owned(), config, shard_number }, call.access)?;
    Reply::of(&true)
}

pub(super) fn update(call: &Call<'_>) -> Result<Reply> {
    call.access.check(call.collection(), CollectionAccess::Read)?;
    let now = call.service.state(call.collection(), call.access)?.config;
    let body = call.json()?;
    let shards = wanted_shards(&body)?.map(ShardCount::Exactly);
    let diff = config_diff(body, &now)?;
    if let Some(wanted) = shards {
        // What is refused is refused before anything is changed.
        call.service.resharded(call.collection(), None, wanted, call.access)?;
    }
    if shards.is_none() || diff != ConfigDiff::default() {
        call.service.update_collection(call.collection(), &diff, call.access)?;
    }
    if let Some(wanted) = shards {
        call.service.reshard(call.collection(), None, wanted, call.access)?;
    }
    Reply::of(&true)
}

pub(super) fn delete(call: &Call<'_>) -> Result<Reply> {
    Reply::of(&call.service.delete_collection(call.collection(), call.access)?)
}

pub(super) fn create_index(call: &Call<'_>) -> Result<Reply> {
    #[derive(Deserialize)]
    struct Body {
        field_name: String,
        #[serde(default)]
        field_schema: Option<Value>,
    }
    let body: Body = call.read()?;
    let update = Update::CreateFieldIndex { field: PayloadPath::parse(&body.field_name)?, schema: field_schema(body.field_schema)? };
    updated(call, vec![update], None)
}

pub(super) fn delete_index(call: &Call<'_>) -> Result<Reply> {
    updated(call, vec![Update::DropFieldIndex { field: PayloadPath::parse(call.param("field_name"))? }], None)
}

pub(super) fn create_vector(call: &Call<'_>) -> Result<Reply> {
    updated(call, vec![new_vector(call.param("vector_name").to_owned(), call.json()?)?], None)
}

pub(super) fn delete_vector(call: &Call<'_>) -> Result<Reply> {
    updated(call, vec![Update::DropVector { name: call.param("vector_name").to_owned() }], None)
}

pub(super) fn optimizations(call: &Call<'_>) -> Result<Reply> {
    let state = call.service.state(call.collection(), call.access)?;
    let running: Vec<Value> = state
        .shards
        .iter()
        .filter_map(|shard| shard.info.running_job.map(|job| (shard.id, job)))
        .map(|(shard, job)| {
            json!({
                "uuid": uuid::Uuid::from_u64_pair(u64::from(shard.0), job.total),
                "optimizer": format!("{:?}", job.kind).to_lowercase(),
                "status": "optimizing",
                "segments": [],
                "progress": {"name": "points", "done": job.done, "total": job.total},
            })
        })
        .collect();
    let idle = state.segments.saturating_sub(state.pending);
    let summary =
        json!({"queued_optimizations": state.pending, "queued_segments": state.pending, "queued_points": 0, "idle_segments": idle});
    Reply::of(&json!({"summary": summary, "running": running}))
}
