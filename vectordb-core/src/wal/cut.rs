//! Taking back the end of a log.

use std::path::Path;

use super::file::{HEADER_BYTES, Header, files};
use super::{end, frame};
use crate::error::{Error, Result};
use crate::model::point::Lsn;
use crate::storage::fs::{FsRef, write_atomic};

/// Removes every frame behind `last` from a log that nobody has open. Newer files go first, so that an interruption leaves a
/// log that is only less short.
pub(crate) fn cut(fs: &FsRef, dir: &Path, last: Lsn) -> Result<()> {
    end::remove(fs, dir)?;
    // Before anything is gone: a log that is shorter than its mark is damaged.
    fs.sync_dir(dir)?;
    let all = files(fs, dir)?;
    for (_, path) in all.iter().rev().filter(|(first, _)| *first > last) {
        fs.remove(path)?;
        fs.sync_dir(dir)?;
    }
    let Some((_, path)) = all.iter().rev().find(|(first, _)| *first <= last) else { return Ok(()) };
    let mut bytes = fs.read(path)?;
    let Some(header) = Header::decode(&bytes, path)? else { return Err(Error::corrupt(path, 0, "not a log file's header")) };
    let mut at = HEADER_BYTES;
    while let Some(raw) = frame::read(&bytes[at..], header.salt).filter(|raw| raw.lsn <= last) {
        at += raw.len;
    }
    if at == bytes.len() {
        return Ok(());
    }
    bytes.truncate(at);
    write_atomic(fs, path, &bytes)
}
