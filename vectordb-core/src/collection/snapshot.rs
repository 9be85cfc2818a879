//! Snapshots: the files at lsn n and the log behind them, linked into a directory of their own.
//!
//! Sealed files never change, so a second name for each is a copy that costs nothing. The log is cut first, so that the
//! linked log files never change either. The time depends neither on the size of the collection nor on the job that runs: a
//! job that is done meanwhile leaves the files that it replaced until all of them have their second name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::config::{CollectionConfig, Durability};
use crate::model::point::Lsn;
use crate::segment::Sealed;
use crate::storage::fs::FsRef;
use crate::wal::{self, Tail};

use super::Collection;
use super::manifest::Manifest;
use super::recover::LOG_DIRECTORY;

impl Collection {
    /// Writes a snapshot of everything acknowledged so far into a new directory, and returns its lsn.
    ///
    /// # Errors
    /// [`Error::InvalidQuery`] when the directory exists and is not empty, and those of the file system.
    pub(crate) fn snapshot(&self, target: &Path) -> Result<Lsn> {
        self.check_open()?;
        let Some(log) = &self.wal else { return Err(Error::ReadOnly) };
        let fs = &self.around.fs;
        if !fs.list(target)?.is_empty() {
            return Err(Error::InvalidQuery { reason: format!("the snapshot directory {} is not empty", target.display()) });
        }
        // Nobody may remove files that are about to be linked.
        let _kept = self.removal.read();
        let (manifest, log_files, lsn) = {
            let writer = self.writer.lock();
            log.commit(writer.applied, Durability::Sync)?;
            log.rotate()?;
            (Arc::clone(&writer.manifest), log.closed_files(), writer.applied)
        };
        fs.create_dir_all(&target.join(LOG_DIRECTORY))?;
        let files = manifest.files(&self.path).into_iter().chain(log_files);
        let mut directories = vec![target.join(LOG_DIRECTORY)];
        for file in files {
            let relative = file.strip_prefix(&self.path).map_err(|error| Error::Internal { what: error.to_string() })?;
            let copy = target.join(relative);
            let directory = copy.parent().unwrap_or(target).to_path_buf();
            if directory != target && !directories.contains(&directory) {
                fs.create_dir_all(&directory)?;
                directories.push(directory);
            }
            fs.hard_link(&file, &copy)?;
        }
        // The log of a snapshot has an end that is known, so that a snapshot that lost a part of it is not taken for whole.
        wal::mark_end(fs, &target.join(LOG_DIRECTORY), lsn)?;
        directories.iter().try_for_each(|directory| fs.sync_dir(directory))?;
        fs.create_dir_all(&target.join("segments"))?;
        fs.sync_dir(&target.join("segments"))?;
        fs.sync_dir(target)?;
        Ok(lsn)
    }

    /// Checks every checksum of every file, and reads the whole log.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first damaged file and the place in it.
    pub(crate) fn verify(&self) -> Result<()> {
        self.check_open()?;
        let _no_job = self.maintenance.lock();
        let view = self.view.load();
        view.sealed.iter().try_for_each(|sealed| sealed.verify(&self.around.fs))?;
        let manifest = Manifest::newest(&self.around.fs, &self.path)?;
        Tail::open(Arc::clone(&self.around.fs), &self.path.join(LOG_DIRECTORY), manifest.lsn)?.try_for_each(|frame| frame.map(drop))
    }
}

/// Copies a snapshot into the new directory of a collection, after checking all of it. Sealed files are linked, the log,
/// which will go on, is copied.
///
/// # Errors
/// [`Error::Corrupt`] when the snapshot is damaged; the target may then hold files that nothing names.
pub(crate) fn restore(fs: &FsRef, snapshot: &Path, target: &Path) -> Result<CollectionConfig> {
    let manifest = Manifest::newest(fs, snapshot)?;
    for meta in &manifest.segments {
        Sealed::open(fs, snapshot, meta.clone(), &manifest.config, manifest.lsn)?.verify(fs)?;
    }
    let log = snapshot.join(LOG_DIRECTORY);
    Tail::open(Arc::clone(fs), &log, manifest.lsn)?.try_for_each(|frame| frame.map(drop))?;

    fs.create_dir_all(&target.join("segments"))?;
    fs.create_dir_all(&target.join(LOG_DIRECTORY))?;
    let mut directories = vec![target.join("segments"), target.join(LOG_DIRECTORY)];
    for segment in &manifest.segments {
        let directory = crate::segment::directory(target, segment.id);
        fs.create_dir_all(&directory)?;
        directories.push(directory);
    }
    for file in manifest.files(snapshot) {
        let relative: PathBuf = file.strip_prefix(snapshot).unwrap_or(&file).to_path_buf();
        fs.hard_link(&file, &target.join(relative))?;
    }
    for name in fs.list(&log)? {
        let copy = fs.create(&target.join(LOG_DIRECTORY).join(&name))?;
        copy.write_at(0, &fs.read(&log.join(&name))?)?;
        copy.sync()?;
    }
    directories.iter().try_for_each(|directory| fs.sync_dir(directory))?;
    fs.sync_dir(target)?;
    Ok(manifest.config)
}
