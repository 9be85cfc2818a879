//! Which collections there are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::storage::fs::{FsRef, write_atomic};

/// Names of collections and their directories: one small file, replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Catalog {
    /// Directory of each collection.
    pub(super) collections: BTreeMap<String, String>,
    /// Number of the next directory; numbers are never used twice.
    pub(super) next: u64,
}

#[derive(Serialize, Deserialize)]
struct CatalogFile {
    format: u32,
    crc32: u32,
    body: String,
}

const CATALOG_FORMAT: u32 = 1;

impl Catalog {
    pub(super) const FILE: &str = "CATALOG";

    pub(super) fn read(fs: &FsRef, path: &Path) -> Result<Option<Self>> {
        let file = path.join(Self::FILE);
        if fs.len(&file)?.is_none() {
            return Ok(None);
        }
        let corrupt = |what: String| Error::corrupt(&file, 0, what);
        let parsed: CatalogFile = serde_json::from_slice(&fs.read(&file)?).map_err(|error| corrupt(error.to_string()))?;
        if parsed.format > CATALOG_FORMAT {
            return Err(Error::UnknownFormat { file, found: parsed.format, supported: CATALOG_FORMAT });
        }
        if crc32fast::hash(parsed.body.as_bytes()) != parsed.crc32 {
            return Err(corrupt("checksum mismatch".into()));
        }
        serde_json::from_str(&parsed.body).map(Some).map_err(|error| corrupt(error.to_string()))
    }

    pub(super) fn write(&self, fs: &FsRef, path: &Path) -> Result<()> {
        let internal = |error: serde_json::Error| Error::Internal { what: error.to_string() };
        let body = serde_json::to_string(self).map_err(internal)?;
        let file = CatalogFile { format: CATALOG_FORMAT, crc32: crc32fast::hash(body.as_bytes()), body };
        write_atomic(fs, &path.join(Self::FILE), &serde_json::to_vec(&file).map_err(internal)?)
    }
}
