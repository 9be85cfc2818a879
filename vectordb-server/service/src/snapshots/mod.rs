//! Snapshots as files: what is in one, where they lie, and how they are written and read without ever leaving half of one.
//!
//! A snapshot is one tar archive: a JSON manifest, then the files of every shard as the engine linked them. It is written
//! beside its place and renamed, so that a name under which a snapshot can be found always stands for a whole one. Reading
//! trusts nothing: only plain files with plain names are taken out, into a directory of their own, and the engine checks every
//! checksum before any of it becomes data.
//!
//! Files: `archive` (the tar and its manifest), `activity` (what goes on), `shelf` (the directory where snapshots lie, by collection and shard), `away` (those in a bucket), `scratch`
//! (directories that go when they are no longer needed), `embedded` (the same form for collections without a service).

mod activity;
mod archive;
mod away;
mod embedded;
mod scratch;
mod shelf;

pub use activity::SnapshotActivity;
pub(crate) use archive::{ArchivedCollection, Kind, Manifest, files, read, write};
pub use embedded::{embedded_snapshot, pack_embedded, unpack_embedded};
pub use scratch::Scratch;
pub(crate) use shelf::{Shelf, checksum, sha256};
pub use shelf::{SnapshotDescription, SnapshotFile, SnapshotScope};
