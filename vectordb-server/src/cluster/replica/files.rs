//! What a replica keeps beside its data: its epoch, and how far it knows that everything is committed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vectordb_core::{Error, FsRef, Lsn};
use vectordb_service::ServiceError;

use super::{Home, Replica};
use crate::cluster::state::ShardRef;

/// What the file of a replica holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Name of the collection in the engine; empty when the replica was removed.
    pub(super) engine: String,
    /// The newest epoch it knows.
    pub(super) epoch: u64,
}

impl Replica {
    /// Notes the commit point in a file, so that a restart need not compare what lies before it. An older one is true as well,
    /// so nothing waits for the disk.
    pub(crate) fn note_commit(&self) {
        let published = self.data().log_position().published;
        if committed(&self.home.fs, &self.file) != Some(published) {
            let file = committed_file(&self.file);
            let line = format!("{published} {:08x}\n", checksum(published));
            if replace(&self.home.fs, &file, line.as_bytes(), false).is_err() {
                tracing::debug!(file = %file.display(), "the commit point is not noted");
            }
        }
    }
}

pub(super) fn file_of(shard: ShardRef, home: &Home) -> PathBuf {
    home.directory.join(format!("{shard}.json"))
}

/// A name that no collection of the engine has had.
pub(super) fn engine_name(shard: ShardRef) -> String {
    format!("{shard}-{}", uuid::Uuid::new_v4())
}

pub(super) fn keep(fs: &FsRef, file: &Path, kept: &Kept) -> Result<(), ServiceError> {
    let bytes = serde_json::to_vec(kept).map_err(|error| ServiceError::internal(error.to_string()))?;
    Ok(replace(fs, file, &bytes, true)?)
}

/// Replaces a small file as a whole.
fn replace(fs: &FsRef, path: &Path, bytes: &[u8], durably: bool) -> Result<(), Error> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let file = fs.create(&aside)?;
    file.write_at(0, bytes)?;
    if durably {
        file.sync()?;
    }
    drop(file);
    fs.rename(&aside, path)?;
    if durably { fs.sync_dir(path.parent().unwrap_or(Path::new("."))) } else { Ok(()) }
}

pub(super) fn committed_file(file: &Path) -> PathBuf {
    file.with_extension("committed")
}

pub(super) fn committed(fs: &FsRef, file: &Path) -> Option<Lsn> {
    let text = String::from_utf8(fs.read(&committed_file(file)).ok()?).ok()?;
    let (lsn, sum) = text.trim_end().split_once(' ')?;
    let lsn = Lsn(lsn.parse().ok()?);
    (u32::from_str_radix(sum, 16).ok()? == checksum(lsn)).then_some(lsn)
}

fn checksum(lsn: Lsn) -> u32 {
    lsn.0.to_le_bytes().iter().fold(0x811c_9dc5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
