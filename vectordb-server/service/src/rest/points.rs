//! Points and their payloads.

use serde::Deserialize;
use serde_json::json;
use vectordb_core::{PayloadSelector, PointId, Query, QueryRequest, ScrollRequest, Update, Value, VectorSelector};

use super::call::Call;
use super::json::{
    BatchOperation, DeletePayloadBody, DeleteVectorsBody, PayloadBody, RecordOut, SelectorBody, UpdateVectorsBody, Updates, UpsertBody,
    bad_form, point_id,
};
use super::reply::Reply;
use crate::error::{Fault, Result, ServiceError};
use crate::service::{ReadOptions, Updated};

/// Applies updates and tells how it went.
pub(super) fn updated(call: &Call<'_>, updates: Vec<Update>, shard_key: Option<&Value>) -> Result<Reply> {
    let done = call.service.update(call.collection(), updates, &call.writing(shard_key)?, call.access)?;
    Reply::of(&result(call, done)?)
}

fn result(call: &Call<'_>, done: Updated) -> Result<Value> {
    let status = if call.flag("wait")?.unwrap_or(false) { "completed" } else { "acknowledged" };
    Ok(json!({"operation_id": done.operation_id.0, "status": status}))
}

/// Reads a body and does what it says.
fn written<B: Updates + serde::de::DeserializeOwned>(call: &Call<'_>) -> Result<Reply> {
    let body: B = call.read()?;
    let key = body.shard_key().cloned();
    updated(call, vec![body.into_update()?], key.as_ref())
}

pub(super) fn upsert(call: &Call<'_>) -> Result<Reply> {
    written::<UpsertBody>(call)
}

pub(super) fn update_vectors(call: &Call<'_>) -> Result<Reply> {
    written::<UpdateVectorsBody>(call)
}

pub(super) fn delete_vectors(call: &Call<'_>) -> Result<Reply> {
    written::<DeleteVectorsBody>(call)
}

pub(super) fn delete_payload(call: &Call<'_>) -> Result<Reply> {
    written::<DeletePayloadBody>(call)
}

pub(super) fn delete(call: &Call<'_>) -> Result<Reply> {
    let body: SelectorBody = call.read()?;
    let key = body.shard_key().cloned();
    updated(call, vec![Update::Delete(body.into_target()?)], key.as_ref())
}

pub(super) fn clear_payload(call: &Call<'_>) -> Result<Reply> {
    let body: SelectorBody = call.read()?;
    let key = body.shard_key().cloned();
    updated(call, vec![Update::ClearPayload(body.into_target()?)], key.as_ref())
}

pub(super) fn set_payload(call: &Call<'_>) -> Result<Reply> {
    payload(call, false)
}

pub(super) fn overwrite_payload(call: &Call<'_>) -> Result<Reply> {
    payload(call, true)
}

fn payload(call: &Call<'_>, overwrite: bool) -> Result<Reply> {
    let body: PayloadBody = call.read()?;
    let key = body.shard_key().cloned();
    updated(call, vec![body.into_update(overwrite)?], key.as_ref())
}

/// All operations in order, as one: where they concern one shard, all of them happen or none.
pub(super) fn batch(call: &Call<'_>) -> Result<Reply> {
    #[derive(Deserialize)]
    struct Body {
        operations: Vec<BatchOperation>,
    }
    let body: Body = call.read()?;
    call.check_collection()?;
    let read = |operation: BatchOperation| {
        let options = call.writing(operation.shard_key())?;
        Ok((options, operation.into_update()?))
    };
    let updates = body.operations.into_iter().map(read).collect::<Result<_>>()?;
    let done = call.service.update_each(call.collection(), updates, call.access)?;
    Reply::of(&done.into_iter().map(|done| result(call, done)).collect::<Result<Vec<_>>>()?)
}

pub(super) fn get(call: &Call<'_>) -> Result<Reply> {
    let id = point_id(call.param("id"))?;
    let options = call.reading(&Value::Null)?;
    let found = call.service.retrieve(
        call.collection(),
        std::slice::from_ref(&id),
        &PayloadSelector::All,
        &VectorSelector::All,
        &options,
        call.access,
    )?;
    match found.first() {
        Some(record) => Reply::of(&RecordOut(record)),
        None => Err(ServiceError::new(Fault::NotFound, format!("Point with id {id} does not exists!"))),
    }
}

pub(super) fn retrieve(call: &Call<'_>) -> Result<Reply> {
    let body = call.json()?;
    let ids: Vec<PointId> = match body.get("ids") {
        Some(ids) => serde_json::from_value(ids.clone()).map_err(|error| bad_form(format!("ids: {error}")))?,
        None => return Err(bad_form("missing field `ids`")),
    };
    let parts = parts(&body)?;
    let options = call.reading(&body)?;
    let records = call.service.retrieve(call.collection(), &ids, &parts.with_payload, &parts.with_vectors, &options, call.access)?;
    Reply::of(&records.iter().map(RecordOut).collect::<Vec<_>>())
}

/// What a body says about the parts to return and about the filter, with payloads where it says nothing.
fn parts(body: &Value) -> Result<QueryRequest> {
    let mut query = serde_json::Map::new();
    query.insert("with_payload".to_owned(), Value::Bool(true));
    for name in ["with_payload", "with_vector", "filter", "limit"] {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            query.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(order) = body.get("order_by").filter(|order| !order.is_null()) {
        query.insert("query".to_owned(), json!({"order_by": order}));
    }
    Ok(QueryRequest::from_json(&Value::Object(query))?)
}

pub(super) fn scroll(call: &Call<'_>) -> Result<Reply> {
    let body = call.json()?;
    let parts = parts(&body)?;
    if parts.limit == 0 {
        return Err(ServiceError::validation("limit", "value 0 invalid, must be 1 or larger"));
    }
    let offset: Option<PointId> = match body.get("offset") {
        Some(offset) => serde_json::from_value(offset.clone()).map_err(|error| bad_form(format!("offset: {error}")))?,
        None => None,
    };
    let request = ScrollRequest {
        filter: parts.filter,
        limit: parts.limit,
        offset,
        order_by: if let Some(Query::OrderBy(order)) = parts.query { Some(order) } else { None },
        with_payload: parts.with_payload,
        with_vectors: parts.with_vectors,
        ..ScrollRequest::default()
    };
    let page = call.service.scroll(call.collection(), request, &call.reading(&body)?, call.access)?;
    let points: Vec<RecordOut<'_>> = page.records.iter().map(RecordOut).collect();
    #[derive(serde::Serialize)]
    struct Page<'a> {
        points: Vec<RecordOut<'a>>,
        next_page_offset: Option<PointId>,
    }
    Reply::of(&Page { points, next_page_offset: page.next_offset })
}

pub(super) fn count(call: &Call<'_>) -> Result<Reply> {
    let body = if call.body.is_empty() { json!({}) } else { call.json()? };
    let filter = parts(&body)?.filter;
    let exact = match body.get("exact") {
        None | Some(Value::Null) => true,
        Some(exact) => exact.as_bool().ok_or_else(|| bad_form("exact: expected true or false"))?,
    };
    let options: ReadOptions = call.reading(&body)?;
    Reply::of(&json!({"count": call.service.count(call.collection(), filter.as_ref(), exact, &options, call.access)?}))
}
