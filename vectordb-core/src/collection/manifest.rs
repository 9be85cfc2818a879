//! Which files are the collection.
//!
//! A manifest is one JSON file, named by its generation, that is written aside, synced and renamed. The newest one is the
//! truth; the one before is removed when the newer is durable. Files that no manifest names are leftovers.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::config::CollectionConfig;
use crate::model::point::Lsn;
use crate::segment::SegmentMeta;
use crate::storage::fs::{FsRef, write_atomic};

/// Format of the manifest and of every file it names.
pub(crate) const FORMAT: u32 = 1;
const PREFIX: &str = "MANIFEST-";

/// The state of a collection's files at one lsn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) generation: u64,
    /// The files hold exactly the state at this lsn; the log goes on behind it.
    pub(crate) lsn: Lsn,
    pub(crate) config: CollectionConfig,
    pub(crate) segments: Vec<SegmentMeta>,
    /// Ids below this one were given to segments before.
    pub(crate) next_segment: u64,
}

/// The checksum stands beside the body as text, so that what is checked is what is parsed.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    crc32: u32,
    body: String,
}

pub(super) fn file_name(generation: u64) -> String {
    format!("{PREFIX}{generation:010}")
}

impl Manifest {
    /// Writes the manifest durably.
    pub(crate) fn save(&self, fs: &FsRef, collection: &Path) -> Result<()> {
        let internal = |error: serde_json::Error| Error::Internal { what: error.to_string() };
        let body = serde_json::to_string(self).map_err(internal)?;
        let envelope = Envelope { format: FORMAT, crc32: crc32fast::hash(body.as_bytes()), body };
        let bytes = serde_json::to_vec(&envelope).map_err(internal)?;
        write_atomic(fs, &collection.join(file_name(self.generation)), &bytes)
    }

    /// Generations in a directory, newest first.
    pub(crate) fn generations(fs: &FsRef, collection: &Path) -> Result<Vec<u64>> {
        let names = fs.list(collection)?;
        let mut found: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// The newest manifest.
    ///
    /// A damaged newest manifest is an error although an older one may be there: it was complete before it got its name, and
    /// the log that leads from the older one to it may be gone.
    pub(crate) fn newest(fs: &FsRef, collection: &Path) -> Result<Self> {
        let Some(&generation) = Self::generations(fs, collection)?.first() else {
            return Err(Error::corrupt(collection, 0, "the directory holds no manifest"));
        };
        Self::read(fs, &collection.join(file_name(generation)), generation)
    }

    fn read(fs: &FsRef, path: &Path, generation: u64) -> Result<Self> {
        let corrupt = |what: String| Error::corrupt(path, 0, what);
        let envelope: Envelope = serde_json::from_slice(&fs.read(path)?).map_err(|error| corrupt(error.to_string()))?;
        if envelope.format > FORMAT {
            return Err(Error::UnknownFormat { file: path.into(), found: envelope.format, supported: FORMAT });
        }
        if crc32fast::hash(envelope.body.as_bytes()) != envelope.crc32 {
            return Err(corrupt("checksum mismatch".into()));
        }
        let manifest: Self = serde_json::from_str(&envelope.body).map_err(|error| corrupt(error.to_string()))?;
        if manifest.generation != generation {
            return Err(corrupt(format!("generation {} under the name of {generation}", manifest.generation)));
        }
        Ok(manifest)
    }

    /// Every file the manifest names, and itself.
    pub(crate) fn files(&self, collection: &Path) -> Vec<PathBuf> {
        let mut files = vec![collection.join(file_name(self.generation))];
        for segment in &self.segments {
            let directory = crate::segment::directory(collection, segment.id);
            files.extend(segment.file_names().iter().map(|name| directory.join(name)));
        }
        files
    }
}
