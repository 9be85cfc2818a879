//! Directories for work that is not finished.

use std::path::{Path, PathBuf};

use crate::error::{Result, failed};

/// A directory that is removed, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory with a name of its own under `root`.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let path = root.join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(&path).map_err(|error| failed(&path, &error))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes when the service is opened next.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
