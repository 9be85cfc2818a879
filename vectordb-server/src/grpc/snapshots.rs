//! The service `qdrant.Snapshots`.

use vectordb_service::{Fault, Result, ServiceError};

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

/// Whose code says that a server does not do this.
fn not_here<T>() -> Result<T> {
    Err(ServiceError::new(Fault::NotDistributed, "Snapshots are not made over gRPC by this version"))
}

fn create(_: &Call<'_>, _: wire::CreateSnapshotRequest) -> Result<wire::CreateSnapshotResponse> {
    not_here()
}

fn list(_: &Call<'_>, _: wire::ListSnapshotsRequest) -> Result<wire::ListSnapshotsResponse> {
    not_here()
}

fn delete(_: &Call<'_>, _: wire::DeleteSnapshotRequest) -> Result<wire::DeleteSnapshotResponse> {
    not_here()
}

fn create_full(_: &Call<'_>, _: wire::CreateFullSnapshotRequest) -> Result<wire::CreateSnapshotResponse> {
    not_here()
}

fn list_full(_: &Call<'_>, _: wire::ListFullSnapshotsRequest) -> Result<wire::ListSnapshotsResponse> {
    not_here()
}

fn delete_full(_: &Call<'_>, _: wire::DeleteFullSnapshotRequest) -> Result<wire::DeleteSnapshotResponse> {
    not_here()
}
