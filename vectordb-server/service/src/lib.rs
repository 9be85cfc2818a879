//! The service below every door of the server: named collections that consist of shards, aliases, and the REST dialect of the
//! Qdrant API as plain functions.
//!
//! No socket and no async runtime: a door (HTTP, gRPC, or a Python program in the same process) hands over a request and
//! gets an answer on the calling thread. [`Service`] speaks the model of [`vectordb_core`]; only [`rest`] knows the wire.
//!
//! ```
//! use vectordb_service::{Service, Settings, rest};
//! let service = Service::in_memory(Settings::default())?;
//! let request = rest::Request::new("PUT", "/collections/books", br#"{"vectors": {"size": 4, "distance": "Dot"}}"#);
//! assert_eq!(rest::handle(&service, &request).status, 200);
//! # Ok::<(), vectordb_service::ServiceError>(())
//! ```
#![forbid(unsafe_code)]

mod access;
mod backup;
mod bucket;
mod cluster;
mod digest;
mod error;
mod limits;
mod metrics;
pub mod rest;
mod service;
mod shards;
mod snapshots;

pub use access::{Access, CollectionAccess};
pub use backup::{BackupDescription, CollectionDescription, DamagedObject, Progress, PruneReport, Repository, Stored, VerifyReport};
pub use bucket::{Bucket, DirectoryBucket, StoredObject};
pub use cluster::{
    Cluster, ClusterStatus, PeerStatus, ReplicaFigures, ReplicaOperation, ReplicaState, ReplicaSum, ReshardingState, RoutedCollection,
    RoutedShard, ShardSums,
};
pub use digest::ContentDigest;
pub use error::{Fault, Result, ServiceError, grpc_code};
pub use limits::{Quota, QuotaUsage};
pub use metrics::{Family, FamilyKind, Metrics, families};
pub use service::{
    AliasChange, BackupReport, BackupRequest, Buckets, CollectionState, Explanations, Fetch, NewCollection, NewShardKey, ReadOptions,
    Recovery, RestoreReport, RestoreRequest, Service, Settings, ShardCount, ShardState, SnapshotLocation, Updated, WriteOptions,
};
pub use shards::{
    Answer, Consistency, HeldShard, Question, ShardId, ShardKey, ShardRoute, Touched, Written, filters, is_about_points, matching, named,
    on_each, place, taken_over, whole_points,
};
pub use snapshots::{
    Scratch, SnapshotActivity, SnapshotDescription, SnapshotFile, SnapshotScope, embedded_snapshot, pack_embedded, unpack_embedded,
};
