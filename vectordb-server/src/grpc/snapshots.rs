//! The service `qdrant.Snapshots`.

use vectordb_service::{Result, SnapshotDescription, SnapshotScope};

use super::call::{Call, methods};
use crate::wire;
use crate::wire::snapshots_server::Snapshots;

methods! { Snapshots:
    create(CreateSnapshotRequest) -> CreateSnapshotResponse = create;
    list(ListSnapshotsRequest) -> ListSnapshotsResponse = list;
    delete(DeleteSnapshotRequest) -> DeleteSnapshotResponse = delete;
    create_full(CreateFullSnapshotRequest) -> CreateSnapshotResponse = create_full;
    list_full(ListFullSnapshotsRequest) -> ListSnapshotsResponse = list_full;
    delete_full(DeleteFullSnapshotRequest) -> DeleteSnapshotResponse = delete_full;
}

/// A description as the wire has it.
fn description(snapshot: SnapshotDescription) -> wire::SnapshotDescription {
    let SnapshotDescription { name, creation_time, size, checksum } = snapshot;
    // The moment has no zone: it is in UTC.
    let made: Option<jiff::Timestamp> = creation_time.and_then(|time| format!("{time}Z").parse().ok());
    let creation_time = made.map(|made| prost_types::Timestamp { seconds: made.as_second(), nanos: made.subsec_nanosecond() });
    wire::SnapshotDescription { name, creation_time, size: i64::try_from(size).unwrap_or(i64::MAX), checksum }
}

fn created(call: &Call<'_>, scope: &SnapshotScope) -> Result<wire::CreateSnapshotResponse> {
    let snapshot = call.service.create_snapshot(scope, call.access)?;
    Ok(wire::CreateSnapshotResponse { snapshot_description: Some(description(snapshot)), ..Default::default() })
}

fn listed(call: &Call<'_>, scope: &SnapshotScope) -> Result<wire::ListSnapshotsResponse> {
    let snapshots = call.service.snapshots(scope, call.access)?;
    Ok(wire::ListSnapshotsResponse { snapshot_descriptions: snapshots.into_iter().map(description).collect(), ..Default::default() })
}

fn deleted(call: &Call<'_>, scope: &SnapshotScope, name: &str) -> Result<wire::DeleteSnapshotResponse> {
    call.service.delete_snapshot(scope, name, call.access)?;
    Ok(wire::DeleteSnapshotResponse::default())
}

fn create(call: &Call<'_>, message: wire::CreateSnapshotRequest) -> Result<wire::CreateSnapshotResponse> {
    created(call, &SnapshotScope::Collection(message.collection_name))
}

fn list(call: &Call<'_>, message: wire::ListSnapshotsRequest) -> Result<wire::ListSnapshotsResponse> {
    listed(call, &SnapshotScope::Collection(message.collection_name))
}

fn delete(call: &Call<'_>, message: wire::DeleteSnapshotRequest) -> Result<wire::DeleteSnapshotResponse> {
    deleted(call, &SnapshotScope::Collection(message.collection_name), &message.snapshot_name)
}

fn create_full(call: &Call<'_>, _: wire::CreateFullSnapshotRequest) -> Result<wire::CreateSnapshotResponse> {
    created(call, &SnapshotScope::Full)
}

fn list_full(call: &Call<'_>, _: wire::ListFullSnapshotsRequest) -> Result<wire::ListSnapshotsResponse> {
    listed(call, &SnapshotScope::Full)
}

fn delete_full(call: &Call<'_>, message: wire::DeleteFullSnapshotRequest) -> Result<wire::DeleteSnapshotResponse> {
    deleted(call, &SnapshotScope::Full, &message.snapshot_name)
}
