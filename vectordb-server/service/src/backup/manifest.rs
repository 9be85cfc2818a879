//! What a backup consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::ContentDigest;
use crate::error::{Result, ServiceError};
use crate::snapshots::{ArchivedCollection, sha256};

/// Version of the manifest's form.
const FORMAT: u32 = 1;
/// Where manifests lie.
pub(super) const BACKUPS: &str = "backups/";
/// Where chunks lie.
pub(super) const OBJECTS: &str = "objects/";
const JSON: &str = ".json";
/// Digits of a manifest's own sum that are part of its name.
const SUM_DIGITS: usize = 16;

/// Everything that a backup holds, as names and sums.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BackupManifest {
    format: u32,
    /// Version of the program that wrote it.
    written_by: String,
    /// When the data was as it is in the backup.
    #[serde(with = "super::moment")]
    pub(crate) created_at: jiff::Timestamp,
    pub(crate) collections: Vec<CollectionBackup>,
    /// Alias → collection.
    pub(crate) aliases: BTreeMap<String, String>,
}

/// A collection of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CollectionBackup {
    pub(crate) archived: ArchivedCollection,
    pub(crate) digest: ContentDigest,
    pub(super) files: Vec<FileBackup>,
}

/// A file of a shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileBackup {
    /// The shard's number and the path below the shard's directory, with `/` between.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) chunks: Vec<Chunk>,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// SHA-256 in hexadecimal digits.
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

impl Chunk {
    pub(super) fn of(content: &[u8]) -> Self {
        Self { sha256: sha256(content), bytes: content.len() as u64 }
    }

    /// The key of its object.
    pub(super) fn key(&self) -> String {
        format!("{OBJECTS}{}/{}", self.sha256.get(..2).unwrap_or_default(), self.sha256)
    }
}

impl BackupManifest {
    pub(super) fn new(created_at: jiff::Timestamp, collections: Vec<CollectionBackup>, aliases: BTreeMap<String, String>) -> Self {
        Self { format: FORMAT, written_by: env!("CARGO_PKG_VERSION").to_owned(), created_at, collections, aliases }
    }

    /// Its name, which holds the time, to the millisecond so that the order of names is that of backups, and the sum of the
    /// content; and the content.
    pub(super) fn encode(&self) -> Result<(String, Vec<u8>)> {
        let json = serde_json::to_vec(self).map_err(|error| ServiceError::internal(error.to_string()))?;
        let sum = sha256(&json);
        let name = format!("{}-{}", self.created_at.strftime("%Y%m%dt%H%M%S%3fz"), &sum[..SUM_DIGITS]);
        Ok((name, json))
    }

    /// Reads the content of a manifest of this name; otherwise what is wrong with it.
    pub(super) fn decode(name: &str, json: &[u8]) -> Result<Self, String> {
        if name.rsplit_once('-').map(|(_, sum)| sum) != Some(&sha256(json)[..SUM_DIGITS]) {
            return Err("its content is not what its name says".to_owned());
        }
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if format > FORMAT {
            return Err(format!("it has format {format}, this version reads up to {FORMAT}"));
        }
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// Every chunk with the collection and the file that it is of.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (&CollectionBackup, &FileBackup, &Chunk)> {
        let files = self.collections.iter().flat_map(|collection| collection.files.iter().map(move |file| (collection, file)));
        files.flat_map(|(collection, file)| file.chunks.iter().map(move |chunk| (collection, file, chunk)))
    }
}

impl CollectionBackup {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// The key of a manifest.
pub(super) fn key(name: &str) -> String {
    format!("{BACKUPS}{name}{JSON}")
}

/// The name of the manifest under a key, if it is one.
pub(super) fn name_of(key: &str) -> Option<&str> {
    key.strip_prefix(BACKUPS)?.strip_suffix(JSON).filter(|name| is_name(name))
}

/// Whether this can be the name of a backup, and leads nowhere else.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_bound_to_its_name() {
        let manifest = BackupManifest::new(jiff::Timestamp::UNIX_EPOCH, Vec::new(), BTreeMap::from([("a".into(), "b".into())]));
        let (name, json) = manifest.encode().expect("it is JSON");
        assert!(name.starts_with("19700101t000000000z-") && is_name(&name), "{name}");
        assert_eq!(name_of(&key(&name)), Some(&*name));
        assert_eq!(BackupManifest::decode(&name, &json).expect("it is read").aliases, manifest.aliases);
        let mut damaged = json.clone();
        damaged[20] ^= 1;
        assert!(BackupManifest::decode(&name, &damaged).expect_err("it is damaged").contains("not what its name says"));
        assert!(BackupManifest::decode("19700101t000000000z-0000000000000000", &json).is_err());
        for name in ["", "../x", "a/b", "A", "x.json"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn chunks_are_found_by_their_sum() {
        // FIPS 180-2, appendix B.1.
        let chunk = Chunk::of(b"abc");
        assert_eq!(chunk.key(), "objects/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(chunk.bytes, 3);
    }
}
