//! Storing a backup.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Progress;
use super::chunks::Chunks;
use super::lease::Lease;
use super::manifest::{BackupManifest, Chunk, CollectionBackup, FileBackup, OBJECTS, key};
use super::repository::{BackupDescription, Repository};
use super::workers::WORKERS;
use crate::digest::ContentDigest;
use crate::error::{Result, ServiceError, failed};
use crate::snapshots::{ArchivedCollection, Manifest, files};

/// What is to be backed up: linked files, which do not change.
#[derive(Debug)]
pub(crate) struct Source<'s> {
    /// Laid out as [`Manifest::shard_directory`] says.
    pub(crate) files: &'s Path,
    pub(crate) collections: Vec<ArchivedCollection>,
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    /// A place on the same file system for the time that this takes.
    pub(crate) scratch: &'s Path,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The backup.
    pub backup: BackupDescription,
    /// Different chunks that it consists of.
    pub objects: u64,
    /// Those of them that were not there yet.
    pub uploaded_objects: u64,
    /// Their bytes and those of the manifest.
    pub uploaded_bytes: u64,
}

impl Repository {
    /// Stores a backup: first the chunks that are not there yet, then the manifest. It exists when this returns, and not before.
    ///
    /// # Errors
    /// Those of the bucket and of the disk; [`Fault::Unavailable`](crate::Fault::Unavailable) when another writes to the bucket.
    pub(crate) fn store(&self, source: &Source<'_>, progress: Progress<'_>) -> Result<Stored> {
        // Before anything is stored, the engine has read and checked everything that will be.
        let digests = source.digests()?;
        let lease = Lease::take(&self.bucket)?;
        let known = self.bucket.list(OBJECTS)?.into_iter().map(|object| (object.key, object.bytes)).collect();
        let upload = Upload::new(self, &lease, known, source.bytes()?, progress);
        let collections = upload.run(source, digests)?;
        let manifest = BackupManifest::new(source.created_at, collections, source.aliases.clone());
        let objects = manifest.chunks().map(|(_, _, chunk)| chunk).collect::<HashSet<_>>().len() as u64;
        let (name, json) = manifest.encode()?;
        let uploaded_bytes = upload.uploaded_bytes.into_inner() + json.len() as u64;
        lease.check()?;
        self.bucket.put(&key(&name), json)?;
        let backup = BackupDescription::of(&name, &manifest);
        Ok(Stored { backup, objects, uploaded_objects: upload.uploaded_objects.into_inner(), uploaded_bytes })
    }
}

impl Source<'_> {
    fn shards(&self) -> impl Iterator<Item = (usize, PathBuf)> {
        let collections = self.collections.iter().enumerate();
        collections.flat_map(move |(at, archived)| {
            archived.entry.shards.iter().map(move |shard| (at, self.files.join(Manifest::shard_directory(at, shard.id))))
        })
    }

    fn digests(&self) -> Result<Vec<ContentDigest>> {
        let mut digests = vec![ContentDigest::default(); self.collections.len()];
        for (number, (at, directory)) in self.shards().enumerate() {
            let scratch = self.scratch.join(number.to_string());
            digests[at].add(ContentDigest::of_snapshot(&directory, self.created_at, &scratch)?);
            std::fs::remove_dir_all(&scratch).map_err(|error| failed(&scratch, &error))?;
        }
        Ok(digests)
    }

    fn bytes(&self) -> Result<u64> {
        let length = |path: PathBuf| {
            let path = self.files.join(path);
            std::fs::metadata(&path).map(|metadata| metadata.len()).map_err(|error| failed(&path, &error))
        };
        files(self.files)?.into_iter().map(length).sum()
    }
}

/// One storing under way: this thread reads and cuts, workers send.
struct Upload<'u> {
    repository: &'u Repository,
    lease: &'u Lease,
    /// Objects that are there, and those on their way.
    known: Mutex<BTreeMap<String, u64>>,
    uploaded_objects: AtomicU64,
    uploaded_bytes: AtomicU64,
    done: AtomicU64,
    total: u64,
    progress: Progress<'u>,
    failure: Mutex<Option<ServiceError>>,
}

/// Key and content of an object on its way.
type Outgoing = (String, Vec<u8>);

impl<'u> Upload<'u> {
    fn new(repository: &'u Repository, lease: &'u Lease, known: BTreeMap<String, u64>, total: u64, progress: Progress<'u>) -> Self {
        let none = || AtomicU64::new(0);
        let (uploaded_objects, uploaded_bytes, done) = (none(), none(), none());
        Self {
            repository,
            lease,
            known: Mutex::new(known),
            uploaded_objects,
            uploaded_bytes,
            done,
            total,
            progress,
            failure: Mutex::new(None),
        }
    }

    fn run(&self, source: &Source<'_>, digests: Vec<ContentDigest>) -> Result<Vec<CollectionBackup>> {
        let (send, receive) = sync_channel::<Outgoing>(WORKERS);
        let receive = Mutex::new(receive);
        let read = std::thread::scope(|scope| {
            (0..WORKERS).for_each(|_| drop(scope.spawn(|| self.work(&receive))));
            let mut collections = Vec::with_capacity(digests.len());
            for ((at, archived), digest) in source.collections.iter().enumerate().zip(digests) {
                let root = source.files.join(at.to_string());
                // One without shards has no files.
                let paths = if archived.entry.shards.is_empty() { Vec::new() } else { files(&root)? };
                let files = paths.iter().map(|path| self.read(&root, path, &send)).collect::<Result<Vec<_>>>()?;
                collections.push(CollectionBackup { archived: archived.clone(), digest, files });
            }
            // Without a sender the workers end when everything is sent.
            drop(send);
            Ok(collections)
        });
        match self.failure.lock().take() {
            Some(failure) => Err(failure),
            None => read,
        }
    }

    /// Cuts a file and hands over what is not there yet.
    fn read(&self, root: &Path, relative: &Path, send: &SyncSender<Outgoing>) -> Result<FileBackup> {
        let path = root.join(relative);
        let fail = |error: &std::io::Error| failed(&path, error);
        let file = File::open(&path).map_err(|error| fail(&error))?;
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        for content in Chunks::new(file) {
            let content = content.map_err(|error| fail(&error))?;
            self.lease.keep()?;
            let chunk = Chunk::of(&content);
            bytes += chunk.bytes;
            // An object of another size is not what it should be.
            if self.known.lock().insert(chunk.key(), chunk.bytes) == Some(chunk.bytes) {
                self.advance(chunk.bytes);
            } else if send.send((chunk.key(), content)).is_err() {
                return Err(ServiceError::internal("the upload was cut short"));
            }
            chunks.push(chunk);
            if self.failure.lock().is_some() {
                return Err(ServiceError::internal("the upload was cut short"));
            }
        }
        let relative = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>();
        Ok(FileBackup { path: relative.join("/"), bytes, chunks })
    }

    fn work(&self, receive: &Mutex<Receiver<Outgoing>>) {
        loop {
            let next = receive.lock().recv();
            let Ok((key, content)) = next else { return };
            // What comes after a failure is taken and thrown away, so that nobody waits for room.
            if self.failure.lock().is_some() {
                continue;
            }
            let bytes = content.len() as u64;
            match self.repository.bucket.put(&key, content) {
                Ok(()) => {
                    self.uploaded_objects.fetch_add(1, Ordering::Relaxed);
                    self.uploaded_bytes.fetch_add(bytes, Ordering::Relaxed);
                    self.advance(bytes);
                }
                Err(error) => drop(self.failure.lock().get_or_insert(error)),
            }
        }
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(done, self.total);
    }
}
