//! Files of a shard that somebody asks for, as an archive that is streamed; those that a primary brings to its replicas are in `parcel`.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use serde::Serialize;
use tokio_util::io::ReaderStream;
use uuid::Uuid;
use vectordb_service::{Fault, ServiceError, SnapshotDescription, SnapshotFile, SnapshotScope};

use super::node::Shared;
use super::replica::Replica;
use super::route::Reply;

/// How long the files of a shard may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3600);
/// How long a word about snapshots may take.
const SHORT: Duration = Duration::from_secs(10);

/// A directory that goes when it is not needed any more.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(root: &Path) -> std::io::Result<Self> {
        let path = root.join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn archive(&self) -> PathBuf {
        self.0.join("files.tar")
    }

    /// The files.
    pub(super) fn path(&self) -> PathBuf {
        self.0.join("files")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "what was in transit stays until the next start");
        }
    }
}

impl Shared {
    /// Brings the files that another node has of something into a new directory.
    pub(super) async fn bring<Q: Serialize>(&self, uri: &str, path: &str, of: &Q, target: &Path) -> Result<(), ServiceError> {
        let failed = |error: std::io::Error| ServiceError::internal(error.to_string());
        let scratch = Scratch::new(&self.scratch_path).map_err(failed)?;
        let mut archive = tokio::fs::File::create(scratch.archive()).await.map_err(failed)?;
        let brought = self.client.download(uri, path, of, &mut archive, TIMEOUT).await;
        brought.map_err(|error| ServiceError::internal(error.to_string()))?;
        drop(archive);
        let target = target.to_path_buf();
        let unpacked = tokio::task::spawn_blocking(move || unpack(&scratch.archive(), &target));
        unpacked.await.map_err(|error| ServiceError::internal(error.to_string()))?.map_err(failed)
    }

    /// The files of a shard here, as a stream.
    pub(super) async fn files_of(&self, replica: Arc<Replica>) -> Result<Body, ServiceError> {
        let root = self.scratch_path.clone();
        let packed = tokio::task::spawn_blocking(move || pack(&root, &replica)).await;
        streamed(packed.map_err(|error| ServiceError::internal(error.to_string()))??).await
    }

    /// The files that were kept under a name, as a stream; none if there are none.
    pub(super) async fn kept_files(&self, name: Uuid) -> Result<Option<Body>, ServiceError> {
        let Some((_, files)) = self.take_kept(name) else { return Ok(None) };
        let packed = tokio::task::spawn_blocking(move || archived(&files).map(|()| files)).await;
        streamed(packed.map_err(|error| ServiceError::internal(error.to_string()))??).await.map(Some)
    }

    fn others(&self) -> Vec<String> {
        self.agreed().peers.iter().filter(|(id, _)| **id != self.me.peer).map(|(_, peer)| peer.uri.clone()).collect()
    }

    /// The snapshots of all nodes but this.
    pub(super) fn snapshots_elsewhere(&self, scope: &SnapshotScope) -> Vec<SnapshotDescription> {
        let ask = |uri: &String| -> Vec<SnapshotDescription> {
            let asked = self.client.call(uri, "/snapshots/list", scope, SHORT);
            self.wait_for(asked).unwrap_or_else(|error| {
                tracing::warn!(%error, "a node does not tell its snapshots");
                Vec::new()
            })
        };
        self.others().iter().flat_map(ask).collect()
    }

    /// Where a snapshot lies. A node that does not answer may have it, so that nobody is told that there is none.
    fn who_has(&self, scope: &SnapshotScope, name: &str) -> Result<String, ServiceError> {
        let mut silent = None;
        for uri in self.others() {
            let asked = self.client.call::<_, Vec<SnapshotDescription>>(&uri, "/snapshots/list", scope, SHORT);
            match self.wait_for(asked) {
                Ok(found) if found.iter().any(|found| found.name == name) => return Ok(uri),
                Ok(_) => {}
                Err(error) => silent = Some(error),
            }
        }
        Err(match silent {
            None => ServiceError::new(Fault::NotFound, format!("Snapshot {name} not found")),
            Some(error) => ServiceError::new(Fault::Unavailable, format!("Snapshot {name} is on none of the nodes that answer: {error}")),
        })
    }

    pub(super) fn snapshot_from_elsewhere(&self, scope: &SnapshotScope, name: &str) -> Result<SnapshotFile, ServiceError> {
        let failed = |error: std::io::Error| ServiceError::internal(error.to_string());
        let uri = self.who_has(scope, name)?;
        let scratch = Scratch::new(&self.scratch_path).map_err(failed)?;
        let brought = self.wait_for(async {
            let mut file = tokio::fs::File::create(scratch.archive()).await.map_err(failed)?;
            let named = (scope, name);
            let brought = self.client.download(&uri, "/snapshots/open", &named, &mut file, TIMEOUT).await;
            brought.map_err(|error| ServiceError::internal(error.to_string()))
        });
        brought?;
        let file = std::fs::File::open(scratch.archive()).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        Ok(SnapshotFile { name: name.to_owned(), file, size })
    }

    pub(super) fn delete_snapshot_elsewhere(&self, scope: &SnapshotScope, name: &str) -> Result<(), ServiceError> {
        let uri = self.who_has(scope, name)?;
        let named = (scope, name);
        let asked = self.client.call::<_, Reply<()>>(&uri, "/snapshots/delete", &named, SHORT);
        match self.wait_for(asked) {
            Ok(Reply::Done(())) => Ok(()),
            Ok(Reply::Failed(error)) => Err(error),
            Ok(Reply::NotHere) => Err(ServiceError::new(Fault::NotFound, format!("Snapshot {name} not found"))),
            Err(error) => Err(ServiceError::internal(error.to_string())),
        }
    }
}

fn pack(root: &Path, replica: &Replica) -> Result<Scratch, ServiceError> {
    let failed = |error: std::io::Error| ServiceError::internal(error.to_string());
    let scratch = Scratch::new(root).map_err(failed)?;
    replica.snapshot(&scratch.path())?;
    archived(&scratch)?;
    Ok(scratch)
}

/// Puts the files into an archive beside them.
fn archived(scratch: &Scratch) -> Result<(), ServiceError> {
    let failed = |error: std::io::Error| ServiceError::internal(error.to_string());
    let mut archive = tar::Builder::new(std::fs::File::create(scratch.archive()).map_err(failed)?);
    archive.append_dir_all(".", scratch.path()).map_err(failed)?;
    archive.into_inner().map_err(failed)?;
    Ok(())
}

/// An archive as a stream. Once it is open, the file needs no name.
async fn streamed(scratch: Scratch) -> Result<Body, ServiceError> {
    let archive = tokio::fs::File::open(scratch.archive()).await.map_err(|error| ServiceError::internal(error.to_string()))?;
    Ok(Body::from_stream(ReaderStream::with_capacity(archive, 1 << 18)))
}

/// Unpacks files and directories; anything else, and any path that leads elsewhere, is refused.
fn unpack(archive: &Path, target: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(target)?;
    let mut archive = tar::Archive::new(std::fs::File::open(archive)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !plain || !(kind.is_file() || kind.is_dir()) {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("{} is no plain file", path.display())));
        }
        if kind.is_dir() {
            std::fs::create_dir_all(target.join(path))?;
            continue;
        }
        let place = target.join(path);
        std::fs::create_dir_all(place.parent().unwrap_or(target))?;
        let mut file = std::fs::File::create(&place)?;
        std::io::copy(&mut entry, &mut file)?;
        // They become the replica's own by links.
        file.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive_with(name: &str, kind: tar::EntryType) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut builder = tar::Builder::new(file.reopen().expect("the same file"));
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").expect("a short name");
        }
        header.set_cksum();
        builder.append(&header, std::io::empty()).expect("it is written");
        builder.finish().expect("it is written");
        file
    }

    #[test]
    fn files_stay_where_they_belong() {
        let target = tempfile::tempdir().expect("a directory");
        let unpacked = |name, kind| unpack(archive_with(name, kind).path(), target.path());
        unpacked("./wal/1.log", tar::EntryType::Regular).expect("a plain file");
        assert!(target.path().join("wal/1.log").exists());
        for (name, kind) in [
            ("../escape", tar::EntryType::Regular),
            ("/absolute", tar::EntryType::Regular),
            ("link", tar::EntryType::Symlink),
            ("device", tar::EntryType::Char),
        ] {
            assert!(unpacked(name, kind).is_err(), "{name}");
        }
    }
}
