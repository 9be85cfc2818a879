//! Backups: many states of the data in one place, each thing that they have in common stored once.
//!
//! A backup is a manifest, which lists every file of every shard as chunks, and objects, one for each different chunk, named by
//! their SHA-256 (content addressing: Quinlan & Dorward 2002, *Venti*). Sealed files never change, so a later backup finds nearly
//! all of its objects there; large files are cut where their content says (Xia et al. 2016, *FastCDC*), so that one that did
//! change still shares what is around the change. The manifest is written last and named by its own sum: a backup that was
//! interrupted is not seen at all, and what it stored is used by the next one.
//!
//! Never deletes an object that a manifest names, never trusts what it reads: each chunk is compared with its sum before it is
//! used.
//!
//! ```text
//! PLACE/backups/20261126T153000Z-1f0e…      a manifest
//! PLACE/objects/ab/abcd…                    a chunk
//! PLACE/lease                               who writes there now
//! ```
//!
//! Files: `chunks` (where files are cut), `manifest`, `repository` (all backups of a bucket), `upload` (storing), `fetch` (getting), `verify`, `prune`
//! (retention), `lease` (one writer at a time), `moment` (times as text), `workers` (several transfers at a time).

mod chunks;
mod fetch;
mod lease;
mod manifest;
mod moment;
mod prune;
mod repository;
mod upload;
mod verify;
mod workers;

pub(crate) use manifest::BackupManifest;
pub use prune::PruneReport;
pub use repository::{BackupDescription, CollectionDescription, Repository};
pub(crate) use upload::Source;
pub use upload::Stored;
pub use verify::{DamagedObject, VerifyReport};

/// Told how many bytes are done, and of how many.
pub type Progress<'p> = &'p (dyn Fn(u64, u64) + Sync);
