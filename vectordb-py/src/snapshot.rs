//! Collections as single files, in the form that the server writes and reads.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use uuid::Uuid;
use vectordb_core::{Collection, Database, Error, FsRef};
use vectordb_service::{ServiceError, embedded_snapshot, pack_embedded, unpack_embedded};

use crate::error::{raised, refused};

/// Below a database: what is not finished. The server clears it when it opens the directory.
const SCRATCH: &str = "scratch";

/// What went wrong, in the engine or with the file.
pub(crate) enum Failure {
    Engine(Error),
    File(ServiceError),
}

impl Failure {
    pub(crate) fn raised(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Engine(error) => raised(py, error, &[]),
            Self::File(error) => refused(py, error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::File(error)
    }
}

/// A directory on the disk that goes with this.
struct Scratch(PathBuf);

impl Scratch {
    /// Beside the collections, so that files can be linked; for a database in memory among what is temporary.
    fn new(db: &Database, memory: Option<&FsRef>) -> Result<Self, Error> {
        let root = if memory.is_some() { std::env::temp_dir() } else { db.path().join(SCRATCH) };
        let path = root.join(Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(&path).map_err(|error| Error::io(&path, error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is only in the way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes a snapshot of a collection to a file; `memory` holds the files of the database, if the disk does not.
pub(crate) fn export(db: &Database, memory: Option<&FsRef>, name: &str, file: &Path) -> Result<(), Failure> {
    let collection = db.get(name)?;
    let scratch = Scratch::new(db, memory)?;
    let target = embedded_snapshot(&scratch.0);
    match memory {
        None => {
            collection.snapshot(&target)?;
        }
        Some(fs) => {
            let inside = inside();
            collection.snapshot(&inside)?;
            let copied = copy_out(fs, &inside, &target);
            fs.remove_dir_all(&inside)?;
            copied?;
        }
    }
    Ok(pack_embedded(name, collection.config(), &scratch.0, file)?)
}

/// Makes a collection of a snapshot: of a file, or of a directory that the engine wrote.
pub(crate) fn import(db: &Database, memory: Option<&FsRef>, name: &str, from: &Path) -> Result<Collection, Failure> {
    let scratch = Scratch::new(db, memory)?;
    let snapshot = if from.is_dir() { from.to_path_buf() } else { unpack_embedded(from, &scratch.0)? };
    let Some(fs) = memory else { return Ok(db.restore(name, snapshot)?) };
    let inside = inside();
    let restored = copy_in(&snapshot, fs, &inside).and_then(|()| db.restore(name, &inside));
    fs.remove_dir_all(&inside)?;
    Ok(restored?)
}

/// A directory of its own in a file system in memory.
fn inside() -> PathBuf {
    Path::new(SCRATCH).join(Uuid::new_v4().simple().to_string())
}

fn copy_out(fs: &FsRef, from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(|error| Error::io(to, error))?;
    for name in fs.list(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        if fs.len(&source)?.is_some() {
            std::fs::write(&target, fs.read(&source)?).map_err(|error| Error::io(&target, error))?;
        } else {
            copy_out(fs, &source, &target)?;
        }
    }
    Ok(())
}

fn copy_in(from: &Path, fs: &FsRef, to: &Path) -> Result<(), Error> {
    fs.create_dir_all(to)?;
    let entries = std::fs::read_dir(from).map_err(|error| Error::io(from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::io(from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_in(&source, fs, &target)?;
        } else {
            let bytes = std::fs::read(&source).map_err(|error| Error::io(&source, error))?;
            let file = fs.create(&target)?;
            file.write_at(0, &bytes)?;
            file.sync()?;
        }
    }
    Ok(())
}
