//! What brings a database into a state: opened over a file system in memory, and copied as a later process finds it.

use std::path::Path;
use std::sync::Arc;

use vectordb_core::{Background, Database, FsRef, MemFs, Options};

use super::Result;

/// An empty file system.
pub(super) fn empty() -> FsRef {
    Arc::new(MemFs::default())
}

/// The database of a file system, made if there is none.
pub(super) fn open(fs: &FsRef) -> Result<Database> {
    Ok(Database::open_with("db", options(fs))?)
}

/// A second handle beside the one that writes.
pub(super) fn open_read_only(fs: &FsRef) -> Result<Database> {
    Ok(Database::open_with("db", options(fs).read_only(true))?)
}

fn options(fs: &FsRef) -> Options {
    Options::default().fs(Arc::clone(fs)).background(Background::Manual).threads(1)
}

/// A copy of the files, as a process that starts later finds them.
pub(super) fn copied(fs: &FsRef) -> Result<FsRef> {
    let copy = empty();
    copy_files(fs, &copy, Path::new("db"))?;
    Ok(copy)
}

fn copy_files(from: &FsRef, to: &FsRef, dir: &Path) -> Result<()> {
    to.create_dir_all(dir)?;
    for name in from.list(dir)? {
        let path = dir.join(name);
        if from.len(&path)?.is_some() {
            to.create(&path)?.write_at(0, &from.read(&path)?)?;
        } else {
            copy_files(from, to, &path)?;
        }
    }
    Ok(())
}
