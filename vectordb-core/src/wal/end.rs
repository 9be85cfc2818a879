//! The mark of a clean close: how far the log goes.
//!
//! A log that lost its end looks like one whose last write was torn. After a clean close, and in a snapshot, the end is known,
//! and so its loss is. The mark is removed before the log is written again.

use std::path::Path;

use crate::error::{Error, Result};
use crate::model::point::Lsn;
use crate::storage::fs::{FsRef, write_atomic};

const NAME: &str = "END";
const MAGIC: [u8; 8] = *b"VDBWEND1";

/// Writes the mark durably.
pub(crate) fn write(fs: &FsRef, dir: &Path, last: Lsn) -> Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&last.0.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    write_atomic(fs, &dir.join(NAME), &bytes)
}

/// The last lsn the log must have, if it was closed cleanly.
pub(super) fn read(fs: &FsRef, dir: &Path) -> Result<Option<Lsn>> {
    let path = dir.join(NAME);
    if fs.len(&path)?.is_none() {
        return Ok(None);
    }
    let bytes = fs.read(&path)?;
    let whole = bytes.len() == 20 && bytes[..8] == MAGIC && crc32fast::hash(&bytes[..16]).to_le_bytes() == bytes[16..];
    match bytes.get(8..16).and_then(<[u8]>::first_chunk) {
        Some(last) if whole => Ok(Some(Lsn(u64::from_le_bytes(*last)))),
        _ => Err(Error::corrupt(path, 0, "not a whole end mark")),
    }
}

/// Whether the log was closed cleanly, and so is durable to its end.
pub(super) fn is_there(fs: &FsRef, dir: &Path) -> bool {
    fs.len(&dir.join(NAME)).is_ok_and(|len| len.is_some())
}

/// Removes the mark; durable when the caller has synced the directory.
pub(super) fn remove(fs: &FsRef, dir: &Path) -> Result<()> {
    if fs.len(&dir.join(NAME))?.is_some() { fs.remove(&dir.join(NAME)) } else { Ok(()) }
}
