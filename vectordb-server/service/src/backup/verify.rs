//! Reading everything again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Progress;
use super::manifest::{BackupManifest, Chunk, key};
use super::repository::Repository;
use super::workers::each;
use crate::error::Result;

/// Most files that are named for one damaged object.
const MAX_FILES: usize = 16;

/// What reading everything showed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Backups whose manifests were read.
    pub backups: Vec<String>,
    /// Objects that were read, and their bytes.
    pub objects: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is not as it should be.
    pub damaged: Vec<DamagedObject>,
}

/// An object that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DamagedObject {
    /// Its key.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// Which files it is of, as `BACKUP: COLLECTION: SHARD/FILE`; the first of them, if there are many.
    pub files: Vec<String>,
}

impl Repository {
    /// Reads every object of a backup, or of all, and compares it with its sum.
    ///
    /// # Errors
    /// Those of the bucket; what is damaged is in the report.
    pub fn verify(&self, backup: Option<&str>, progress: Progress<'_>) -> Result<VerifyReport> {
        let names = match backup {
            Some(name) => vec![name.to_owned()],
            None => self.names()?,
        };
        let (mut manifests, mut damaged) = (Vec::new(), Vec::new());
        for name in &names {
            match self.try_read(name)? {
                Ok(manifest) => manifests.push((name.clone(), manifest)),
                Err(what) => damaged.push(DamagedObject { key: key(name), what, files: vec![format!("{name}: the manifest")] }),
            }
        }
        let chunks: BTreeSet<&Chunk> = manifests.iter().flat_map(|(_, manifest)| manifest.chunks().map(|(_, _, chunk)| chunk)).collect();
        let chunks: Vec<&Chunk> = chunks.into_iter().collect();
        let total = chunks.iter().map(|chunk| chunk.bytes).sum();
        let (done, read) = (AtomicU64::new(0), AtomicU64::new(0));
        let bad: Mutex<BTreeMap<&Chunk, String>> = Mutex::new(BTreeMap::new());
        each(&chunks, |chunk| {
            let found = self.bucket.get(&chunk.key())?;
            read.fetch_add(found.as_ref().map_or(0, |content| content.len() as u64), Ordering::Relaxed);
            if let Some(what) = fault(chunk, found.as_deref()) {
                bad.lock().insert(*chunk, what);
            }
            progress(done.fetch_add(chunk.bytes, Ordering::Relaxed) + chunk.bytes, total);
            Ok(())
        })?;
        damaged.extend(bad.into_inner().into_iter().map(|(chunk, what)| DamagedObject {
            key: chunk.key(),
            what,
            files: users(chunk, &manifests),
        }));
        let objects = chunks.len() as u64;
        Ok(VerifyReport { backups: names, objects, bytes: read.into_inner(), damaged })
    }
}

/// What is wrong with what was found for a chunk.
fn fault(chunk: &Chunk, found: Option<&[u8]>) -> Option<String> {
    let Some(content) = found else { return Some("it is missing".to_owned()) };
    let is = Chunk::of(content);
    if is.bytes != chunk.bytes {
        return Some(format!("it has {} instead of {} bytes", is.bytes, chunk.bytes));
    }
    (is.sha256 != chunk.sha256).then(|| format!("its SHA-256 is {}", is.sha256))
}

/// Which files a chunk is of.
fn users(chunk: &Chunk, manifests: &[(String, BackupManifest)]) -> Vec<String> {
    let all = manifests.iter().flat_map(|(name, manifest)| manifest.chunks().map(move |each| (name, each)));
    let users = all.filter(|(_, (_, _, each))| *each == chunk);
    users.map(|(name, (collection, file, _))| format!("{name}: {}: {}", collection.archived.name, file.path)).take(MAX_FILES).collect()
}
