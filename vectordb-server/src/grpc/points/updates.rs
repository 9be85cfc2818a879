//! Updates of points, payload indexes and vectors.

use vectordb_core::{PayloadPath, Update};
use vectordb_service::{Result, WriteOptions, rest};

use super::super::call::Call;
use super::super::convert::{config, needed, update};
use crate::wire;

/// Applies an update and tells how it went.
fn applied(
    call: &Call<'_>,
    collection: &str,
    one: Update,
    options: &WriteOptions,
    wait: Option<bool>,
) -> Result<wire::PointsOperationResponse> {
    let done = call.service.update(collection, vec![one], options, call.access)?;
    Ok(wire::PointsOperationResponse { result: Some(update::result(done, wait)), ..Default::default() })
}

pub(super) fn upsert(call: &Call<'_>, message: wire::UpsertPoints) -> Result<wire::PointsOperationResponse> {
    let options = call.writing(&message.collection_name, message.shard_key_selector, message.ordering)?;
    let update = update::upsert(message.points, message.update_filter, message.update_mode)?;
    applied(call, &message.collection_name, update, &options, message.wait)
}

pub(super) fn delete(call: &Call<'_>, message: wire::DeletePoints) -> Result<wire::PointsOperationResponse> {
    let options = call.writing(&message.collection_name, message.shard_key_selector, message.ordering)?;
    applied(call, &message.collection_name, Update::Delete(update::target(message.points)?), &options, message.wait)
}

pub(super) fn update_vectors(call: &Call<'_>, message: wire::UpdatePointVectors) -> Result<wire::PointsOperationResponse> {
    let options = call.writing(&message.collection_name, message.shard_key_selector, message.ordering)?;
    let update = update::update_vectors(message.points, message.update_filter)?;
    applied(call, &message.collection_name, update, &options, message.wait)
}

pub(super) fn delete_vectors(call: &Call<'_>, message: wire::DeletePointVectors) -> Result<wire::PointsOperationResponse> {
    let options = call.writing(&message.collection_name, message.shard_key_selector, message.ordering)?;
    let update = update::delete_vectors(message.points_selector, message.vectors)?;
    applied(call, &message.collection_name, update, &options, message.wait)
}

pub(super) fn set_payload(call: &Call<'_>, message: wire::SetPayloadPoints) -> Result<wire::PointsOperationResponse> {
    payload(call, message, false)
}

pub(super) fn overwrite_payload(call: &Call<'_>, message: wire::SetPayloadPoints) -> Result<wire::PointsOperationResponse> {
    payload(call, message, true)
}

fn payload(call: &Call<'_>, message: wire::SetPayloadPoints, overwrite: bool) -> Result<wire::PointsOperationResponse> {
    let options = call.writing(&message.collection_name, message.shard_key_selector, message.ordering)?;
    let update = update::set_payload(overwrite, message.payload, message.points_selector, message.key)?;
    applied(call, &message.collection_name, update, &options, message.wait)
}

pub(super) fn delete_payload(call: &Call<'_>, message: wire::DeletePayloadPoints) -> Result<wire::PointsOperationResponse> {
    let options = call.writing(&message.collection_name, message.shard_key_selector, message.ordering)?;
    let update = update::delete_payload(&message.keys, message.points_selector)?;
    applied(call, &message.collection_name, update, &options, message.wait)
}

pub(super) fn clear_payload(call: &Call<'_>, message: wire::ClearPayloadPoints) -> Result<wire::PointsOperationResponse> {
    let options = call.writing(&message.collection_name, message.shard_key_selector, message.ordering)?;
    applied(call, &message.collection_name, Update::ClearPayload(update::target(message.points)?), &options, message.wait)
}

pub(super) fn create_field_index(call: &Call<'_>, message: wire::CreateFieldIndexCollection) -> Result<wire::PointsOperationResponse> {
    let schema = rest::field_schema(config::field_schema(message.field_type, message.field_index_params)?)?;
    let update = Update::CreateFieldIndex { field: PayloadPath::parse(&message.field_name)?, schema };
    applied(call, &message.collection_name, update, &call.writing(&message.collection_name, None, message.ordering)?, message.wait)
}

pub(super) fn delete_field_index(call: &Call<'_>, message: wire::DeleteFieldIndexCollection) -> Result<wire::PointsOperationResponse> {
    let update = Update::DropFieldIndex { field: PayloadPath::parse(&message.field_name)? };
    applied(call, &message.collection_name, update, &call.writing(&message.collection_name, None, message.ordering)?, message.wait)
}

pub(super) fn create_vector_name(call: &Call<'_>, message: wire::CreateVectorNameRequest) -> Result<wire::PointsOperationResponse> {
    let config = config::new_vector(needed(message.vector_config, "vector_config")?)?;
    let update = rest::new_vector(message.vector_name, config)?;
    applied(call, &message.collection_name, update, &call.writing(&message.collection_name, None, message.ordering)?, message.wait)
}

pub(super) fn delete_vector_name(call: &Call<'_>, message: wire::DeleteVectorNameRequest) -> Result<wire::PointsOperationResponse> {
    let update = Update::DropVector { name: message.vector_name };
    applied(call, &message.collection_name, update, &call.writing(&message.collection_name, None, message.ordering)?, message.wait)
}

/// All operations in order, as one: where they concern one shard, all of them happen or none.
pub(super) fn batch(call: &Call<'_>, message: wire::UpdateBatchPoints) -> Result<wire::UpdateBatchResponse> {
    let collection = &message.collection_name;
    let read = |operation| {
        let (update, keys) = update::operation(operation)?;
        Ok((call.writing(collection, keys, message.ordering)?, update))
    };
    let updates = message.operations.into_iter().map(read).collect::<Result<_>>()?;
    let done = call.service.update_each(collection, updates, call.access)?;
    let result = done.into_iter().map(|done| update::result(done, message.wait)).collect();
    Ok(wire::UpdateBatchResponse { result, ..Default::default() })
}
