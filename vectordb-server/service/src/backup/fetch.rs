//! Getting the files of a backup.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Progress;
use super::manifest::{BackupManifest, Chunk, CollectionBackup};
use super::repository::Repository;
use super::workers::each;
use crate::digest::ContentDigest;
use crate::error::{Result, ServiceError, failed};
use crate::snapshots::Manifest;

/// One chunk and all places that it belongs to: path, offset.
type Target<'m> = (&'m Chunk, Vec<(PathBuf, u64)>);

impl Repository {
    /// Makes the files of some collections, by their numbers in the manifest, below an empty directory, laid out as
    /// [`Manifest::shard_directory`] says. Every chunk is compared with its sum.
    ///
    /// # Errors
    /// [`Fault::BadRequest`](crate::Fault::BadRequest) naming the object and the file that is damaged or missing; those of the
    /// bucket and of the disk.
    pub(crate) fn fetch(&self, manifest: &BackupManifest, chosen: &[usize], target: &Path, progress: Progress<'_>) -> Result<()> {
        let mut paths = Vec::new();
        let mut chunks: BTreeMap<&Chunk, Vec<(PathBuf, u64)>> = BTreeMap::new();
        for at in chosen {
            let collection = collection(manifest, *at)?;
            for file in &collection.files {
                let path = target.join(at.to_string()).join(plain(&file.path)?);
                let mut offset = 0;
                for chunk in &file.chunks {
                    chunks.entry(chunk).or_default().push((path.clone(), offset));
                    offset += chunk.bytes;
                }
                create(&path, file.bytes)?;
                paths.push(path);
            }
        }
        let chunks: Vec<Target<'_>> = chunks.into_iter().collect();
        let total = chunks.iter().map(|(chunk, _)| chunk.bytes).sum();
        let done = AtomicU64::new(0);
        each(&chunks, |(chunk, places)| {
            let content = self.chunk(chunk).map_err(|error| {
                let user = manifest.chunks().find(|(_, _, each)| each == chunk);
                let user = user.map(|(collection, file, _)| format!(" ({}: {})", collection.archived.name, file.path));
                ServiceError { message: error.message.clone() + &user.unwrap_or_default(), ..error }
            })?;
            places.iter().try_for_each(|(path, offset)| write(path, *offset, &content))?;
            progress(done.fetch_add(chunk.bytes, Ordering::Relaxed) + chunk.bytes, total);
            Ok(())
        })?;
        each(&paths, |path| File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error)))
    }

    /// The content of a chunk, if it is what it should be.
    pub(super) fn chunk(&self, chunk: &Chunk) -> Result<Vec<u8>> {
        let key = chunk.key();
        let damaged = |what: &str| ServiceError::request(format!("the object {key} in {} {what}", self.location()));
        let content = self.bucket.get(&key)?.ok_or_else(|| damaged("is missing"))?;
        if Chunk::of(&content) == *chunk { Ok(content) } else { Err(damaged("is damaged")) }
    }
}

impl BackupManifest {
    /// The sum of a collection's content, as it is in files that were fetched.
    pub(crate) fn fetched_digest(&self, at: usize, target: &Path, scratch: &Path) -> Result<ContentDigest> {
        let mut digest = ContentDigest::default();
        for shard in &collection(self, at)?.archived.entry.shards {
            let scratch = scratch.join(format!("{at}-{}", shard.id));
            digest.add(ContentDigest::of_snapshot(&target.join(Manifest::shard_directory(at, shard.id)), self.created_at, &scratch)?);
        }
        Ok(digest)
    }
}

fn collection(manifest: &BackupManifest, at: usize) -> Result<&CollectionBackup> {
    manifest.collections.get(at).ok_or_else(|| ServiceError::internal(format!("the backup has no collection {at}")))
}

/// The path of a file, if it leads nowhere else.
fn plain(path: &str) -> Result<&Path> {
    let parsed = Path::new(path);
    let is_plain = parsed.components().next().is_some() && parsed.components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain { Ok(parsed) } else { Err(ServiceError::request(format!("the file `{path}` of the backup leads elsewhere"))) }
}

fn create(path: &Path, bytes: u64) -> Result<()> {
    let directory = path.parent().unwrap_or(path);
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    File::create_new(path).and_then(|file| file.set_len(bytes)).map_err(|error| failed(path, &error))
}

fn write(path: &Path, offset: u64, content: &[u8]) -> Result<()> {
    let written = File::options().write(true).open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(content)
    });
    written.map_err(|error| failed(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_below_their_directory() {
        assert_eq!(plain("0/segments/1/rows").expect("a plain path"), Path::new("0/segments/1/rows"));
        for bad in ["", "/etc/passwd", "../x", "0/../../x", "."] {
            assert!(plain(bad).is_err(), "{bad}");
        }
    }
}
