//! The operating system's file system.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::fs::{File, Fs};
use super::mmap::Mmap;
use crate::error::{Error, Result};

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdFs;

#[derive(Debug)]
struct StdFile {
    file: fs::File,
    path: PathBuf,
}

/// A lock, which ends with this in the process that took it.
struct Lock {
    file: fs::File,
    process: u32,
}

impl Lock {
    fn take(path: &Path) -> Result<Self> {
        let open = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(failed(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Without the holder's number the message is only less helpful.
                let _ = file.read_to_string(&mut text);
                let directory = path.parent().unwrap_or(path).to_path_buf();
                return Err(Error::Locked { path: directory, pid: text.trim().parse().ok() });
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(path)(error)),
        }
        let process = std::process::id();
        file.set_len(0).and_then(|()| writeln!(file, "{process}")).map_err(failed(path))?;
        Ok(Self { file, process })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would not do: children that were forked have the same file open. In such a child closing is all there is to do,
        // and leaves the lock to its parent.
        if self.process == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}

/// An error of the operating system at a path; a full disk is told apart.
fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let available_bytes = fs4::available_space(path.parent().unwrap_or(path)).unwrap_or(0);
            Error::DiskFull { path: path.into(), available_bytes, required_bytes: 0 }
        }
        _ => Error::io(path, error),
    }
}

/// Turns "there is no such thing" into nothing.
fn if_there<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Fs for StdFs {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).map_err(failed(path))?;
        Ok(Box::new(StdFile { file, path: path.into() }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).map_err(failed(path))?;
        Ok(Box::new(StdFile { file, path: path.into() }))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        fs::read(path).map_err(failed(path))
    }

    fn map(&self, path: &Path) -> Result<Mmap> {
        let file = fs::File::open(path).map_err(failed(path))?;
        Mmap::of(file).map_err(failed(path))
    }

    fn len(&self, path: &Path) -> Result<Option<u64>> {
        Ok(if_there(fs::metadata(path)).map_err(failed(path))?.map(|metadata| metadata.len()))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let Some(entries) = if_there(fs::read_dir(dir)).map_err(failed(dir))? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not text is not one of ours.
            names.extend(entry.map_err(failed(dir))?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        if dir.as_os_str().is_empty() || dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().unwrap_or(Path::new(""));
        self.create_dir_all(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(dir)(error)),
            _ => {}
        }
        self.sync_dir(parent)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(failed(from))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        match fs::hard_link(from, to) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::CrossesDevices | ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                fs::copy(from, to).map_err(failed(to))?;
                fs::File::open(to).and_then(|file| file.sync_all()).map_err(failed(to))
            }
            Err(error) => Err(failed(to)(error)),
        }
    }

    fn remove(&self, path: &Path) -> Result<()> {
        if_there(fs::remove_file(path)).map_err(failed(path)).map(drop)
    }

    fn remove_dir_all(&self, dir: &Path) -> Result<()> {
        if_there(fs::remove_dir_all(dir)).map_err(failed(dir)).map(drop)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        if cfg!(windows) {
            // Windows has no handle of a directory to sync; NTFS journals names by itself.
            return Ok(());
        }
        fs::File::open(dir).and_then(|handle| handle.sync_all()).map_err(failed(dir))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>> {
        Ok(Box::new(Lock::take(path)?))
    }

    fn available_bytes(&self, dir: &Path) -> Result<u64> {
        fs4::available_space(dir).map_err(failed(dir))
    }
}

impl File for StdFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_all_at(&self.file, offset, bytes).map_err(failed(&self.path))
    }

    fn sync(&self) -> Result<()> {
        // Data and length; times do not matter.
        self.file.sync_data().map_err(failed(&self.path))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(failed(&self.path))
    }
}

#[cfg(unix)]
fn write_all_at(file: &fs::File, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &fs::File, mut offset: u64, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        offset += written as u64;
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_locker_learns_who_holds_the_lock() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("LOCK");
        let held = StdFs.lock(&path).expect("the first one gets it");
        match StdFs.lock(&path) {
            Err(Error::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{:?}", other.map(drop)),
        }
        drop(held);
        assert!(StdFs.lock(&path).is_ok());
    }

    #[test]
    fn a_lock_ends_although_a_child_has_the_file_open() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("LOCK");
        let held = Lock::take(&path).expect("the first one gets it");
        // A child that was forked has the very same open file, as a duplicated descriptor has.
        let child = held.file.try_clone().expect("it is open");
        assert!(StdFs.lock(&path).is_err());
        drop(held);
        assert!(StdFs.lock(&path).is_ok());
        drop(child);
    }

    #[test]
    fn the_guard_in_a_child_ends_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("LOCK");
        let parent = Lock::take(&path).expect("the first one gets it");
        let child = Lock { file: parent.file.try_clone().expect("it is open"), process: 0 };
        drop(child);
        assert!(StdFs.lock(&path).is_err(), "the parent has it");
        drop(parent);
        assert!(StdFs.lock(&path).is_ok());
    }
}
