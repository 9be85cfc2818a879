//! The only door to the file system.
//!
//! [`Fs`] is small enough for a test to stand in for the disk: to lose what was not synced, to fail any call, to run
//! full. [`StdFs`] is the real one, [`MemFs`] keeps files in memory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;

use super::mmap::Mmap;

pub use super::memory_fs::MemFs;
pub use super::std_fs::StdFs;

/// A file system, as much of it as a database needs.
///
/// A name that was created, renamed or removed is durable after [`Fs::sync_dir`] of its directory; bytes are durable
/// after [`File::sync`] of their file.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Makes a new file; an existing one is emptied.
    fn create(&self, path: &Path) -> Result<Box<dyn File>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> Result<Box<dyn File>>;
    /// The whole content of a file.
    fn read(&self, path: &Path) -> Result<Vec<u8>>;
    /// The content of a file that never changes again, mapped into memory where the platform can.
    fn map(&self, path: &Path) -> Result<Mmap>;
    /// Bytes of a file; `None` when there is no such file.
    fn len(&self, path: &Path) -> Result<Option<u64>>;
    /// Names (not paths) of the entries of a directory, sorted; empty when there is no such directory.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;
    /// Makes a directory and those above it; their names are durable when it returns.
    fn create_dir_all(&self, dir: &Path) -> Result<()>;
    /// Renames a file or a directory, replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Gives a file a second name; copies it where the platform cannot.
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file; one that is gone already is no error.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Removes a directory with all that is in it; one that is gone already is no error.
    fn remove_dir_all(&self, dir: &Path) -> Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;
    /// Takes the exclusive lock of a lock file, which is made when absent; the lock ends with the guard or the process. A guard
    /// that is dropped in a child that was forked ends nothing.
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked) with the holder's process id when another holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>>;
    /// Bytes left for us on the file system of a directory.
    fn available_bytes(&self, dir: &Path) -> Result<u64>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Writes all bytes at an offset; the file grows as needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Makes all bytes written so far durable.
    fn sync(&self) -> Result<()>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> Result<()>;
}

/// A shared file system handle.
pub type FsRef = Arc<dyn Fs>;

/// The name a file has while it is being written.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Replaces a small file as a whole: after a crash it holds either the old content or the new.
pub(crate) fn write_atomic(fs: &FsRef, path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = temporary(path);
    let file = fs.create(&aside)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    drop(file);
    fs.rename(&aside, path)?;
    fs.sync_dir(path.parent().unwrap_or(Path::new("")))
}
