//! Names and headers of log files.
//!
//! ```text
//! 0   "VDBW" | u32 format | u64 salt | u64 first lsn | u32 crc32 of 0..24 | u32 zero
//! ```

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::model::point::Lsn;
use crate::storage::fs::FsRef;

pub(super) const HEADER_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"VDBW";
const FORMAT: u32 = 1;

/// The header of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Mixed into the checksum of each frame, so that no frame of another file passes for one of this.
    pub(super) salt: u64,
    pub(super) first: Lsn,
}

impl Header {
    pub(super) fn new(first: Lsn) -> Self {
        Self { salt: uuid::Uuid::new_v4().as_u64_pair().0, first }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    /// Reads a header; nothing when it is not whole.
    pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Option<Self>> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (numbers, _) = header.as_chunks::<4>();
        let u32_at = |index: usize| u32::from_le_bytes(numbers[index]);
        let u64_at = |index: usize| u64::from(u32_at(index)) | u64::from(u32_at(index + 1)) << 32;
        if header[..4] != MAGIC || crc32fast::hash(&header[..24]) != u32_at(6) || u32_at(7) != 0 {
            return Ok(None);
        }
        if u32_at(1) > FORMAT {
            return Err(Error::UnknownFormat { file: path.into(), found: u32_at(1), supported: FORMAT });
        }
        Ok(Some(Self { salt: u64_at(2), first: Lsn(u64_at(4)) }))
    }
}

pub(super) fn file_name(first: Lsn) -> String {
    format!("{:020}.log", first.0)
}

/// All log files of a directory, oldest first. Other files are not ours and are left alone.
pub(super) fn files(fs: &FsRef, dir: &Path) -> Result<Vec<(Lsn, PathBuf)>> {
    let names = fs.list(dir)?;
    let first = |name: &String| name.strip_suffix(".log").filter(|stem| stem.len() == 20).and_then(|stem| stem.parse().ok());
    let mut found: Vec<_> = names.iter().filter_map(|name| Some((Lsn(first(name)?), dir.join(name)))).collect();
    found.sort_unstable();
    Ok(found)
}
