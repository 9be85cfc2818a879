//! A file system in memory, for databases that need not last and for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::fs::{File, Fs};
use super::mmap::Mmap;
use crate::error::{Error, Result};

/// Files in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemFs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Content>,
    directories: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
}

type Content = Arc<RwLock<Vec<u8>>>;

struct MemFile(Content);

struct MemLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.state.lock().locked.remove(&self.path);
    }
}

fn missing(path: &Path) -> Error {
    Error::io(path, std::io::Error::from(ErrorKind::NotFound))
}

impl MemFs {
    fn content(&self, path: &Path) -> Result<Content> {
        self.state.lock().files.get(path).cloned().ok_or_else(|| missing(path))
    }
}

impl Fs for MemFs {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let content = Content::default();
        self.state.lock().files.insert(path.into(), Arc::clone(&content));
        Ok(Box::new(MemFile(content)))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(Box::new(MemFile(self.content(path)?)))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        Ok(self.content(path)?.read().clone())
    }

    fn map(&self, path: &Path) -> Result<Mmap> {
        Ok(Mmap::from(self.read(path)?))
    }

    fn len(&self, path: &Path) -> Result<Option<u64>> {
        Ok(self.state.lock().files.get(path).map(|content| content.read().len() as u64))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let state = self.state.lock();
        let entries = state.files.keys().chain(&state.directories);
        let names: BTreeSet<String> =
            entries.filter_map(|path| path.strip_prefix(dir).ok()?.iter().next()?.to_str().map(str::to_owned)).collect();
        Ok(names.into_iter().collect())
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.state.lock().directories.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.state.lock();
        let content = state.files.remove(from).ok_or_else(|| missing(from))?;
        state.files.insert(to.into(), content);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        let content = self.content(from)?;
        self.state.lock().files.insert(to.into(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.state.lock().files.remove(path);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> Result<()> {
        let mut state = self.state.lock();
        state.files.retain(|path, _| !path.starts_with(dir));
        state.directories.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>> {
        if !self.state.lock().locked.insert(path.into()) {
            return Err(Error::Locked { path: path.parent().unwrap_or(path).into(), pid: Some(std::process::id()) });
        }
        Ok(Box::new(MemLock { state: Arc::clone(&self.state), path: path.into() }))
    }

    fn available_bytes(&self, _dir: &Path) -> Result<u64> {
        Ok(u64::MAX)
    }
}

impl File for MemFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut content = self.0.write();
        let start = usize::try_from(offset).map_err(|_| Error::Internal { what: "an offset beyond memory".into() })?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let len = usize::try_from(len).map_err(|_| Error::Internal { what: "a length beyond memory".into() })?;
        self.0.write().resize(len, 0);
        Ok(())
    }
}
