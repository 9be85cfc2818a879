//! Opening: the newest manifest, the files it names, and the log behind it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::{Error, Result};
use crate::model::config::CollectionConfig;
use crate::model::point::Lsn;
use crate::segment::{Growing, Sealed, pin_all};
use crate::storage::fs::FsRef;
use crate::wal::{Tail, Wal};

use super::manifest::{Manifest, file_name};
use super::view::{View, ViewCell};
use super::writer::WriterState;
use super::{Collection, Surroundings};

pub(super) const LOG_DIRECTORY: &str = "wal";
/// How often a reader starts again because the writer replaced the files under its hands.
const MOST_RETRIES: usize = 20;

/// Makes the directory of a new, empty collection; durable when it returns, but for the directory's own name.
pub(crate) fn create(fs: &FsRef, path: &Path, config: CollectionConfig) -> Result<()> {
    fs.create_dir_all(&path.join("segments"))?;
    fs.create_dir_all(&path.join(LOG_DIRECTORY))?;
    fs.sync_dir(path)?;
    Manifest { generation: 1, lsn: Lsn::ZERO, config, segments: Vec::new(), next_segment: 1 }.save(fs, path)
}

impl Collection {
    /// Opens a collection: everything acknowledged is there afterwards, in the order it was acknowledged.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the damaged file; a torn end of the log is no damage and is cut off.
    pub(crate) fn open(name: String, path: PathBuf, around: Surroundings) -> Result<Self> {
        let (manifest, view) = load(&around, &path)?;
        if !around.read_only {
            remove_leftovers(&around.fs, &path, &manifest)?;
        }
        // A log file is read as a whole when the collection is opened.
        let capacity = ((view.config.wal_config.wal_capacity_mb as u64) << 20).min(around.allowance.part(16));
        let writer = WriterState { applied: manifest.lsn, manifest: Arc::new(manifest.clone()), poisoned: None };
        let mut collection = Self {
            name: RwLock::new(name),
            view: ViewCell::new(view),
            published: AtomicU64::new(manifest.lsn.0),
            writer: Mutex::new(writer),
            wal: None,
            maintenance: Mutex::new(()),
            removal: RwLock::new(()),
            backlog: (Mutex::new(()), Condvar::new()),
            progress: Mutex::new(None),
            quiet: Mutex::default(),
            last_error: Mutex::new(None),
            closed: AtomicBool::new(false),
            epochs: Mutex::default(),
            configured: AtomicU64::new(0),
            next_segment: AtomicU64::new(manifest.next_segment),
            generations: AtomicU64::new(manifest.generation),
            path,
            around,
        };
        collection.follow_log()?;
        if !collection.around.read_only {
            let last = collection.writer.get_mut().applied;
            let log = collection.path.join(LOG_DIRECTORY);
            collection.wal = Some(Wal::open(Arc::clone(&collection.around.fs), &log, last, capacity)?);
        }
        Ok(collection)
    }

    /// Applies what the log holds behind the applied state, and publishes it.
    fn follow_log(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        let log = self.path.join(LOG_DIRECTORY);
        for frame in Tail::open(Arc::clone(&self.around.fs), &log, writer.applied)? {
            let frame = frame?;
            self.epochs.lock().note(frame.lsn, frame.epoch);
            self.replay(&mut writer, frame.lsn, &frame.body, &log)?;
        }
        // Whether the last batches count is for the primary to say.
        if !self.around.replicated {
            self.published.store(writer.applied.0, Ordering::Release);
        }
        Ok(())
    }

    /// Takes in what the writer process did since the last look.
    ///
    /// # Errors
    /// As [`Collection::open`]; the old state stays readable.
    pub(crate) fn refresh(&self) -> Result<()> {
        self.check_open()?;
        if !self.around.read_only {
            return Ok(());
        }
        for _ in 0..MOST_RETRIES {
            let newest = Manifest::generations(&self.around.fs, &self.path)?.first().copied();
            let same = newest == Some(self.writer.lock().manifest.generation);
            // With the same manifest the log goes on where we are; with a newer one its front may be gone already.
            if same && self.follow_log().is_ok() {
                return Ok(());
            }
            match Self::open(self.name(), self.path.clone(), self.around.clone()) {
                Ok(fresh) => {
                    let mut writer = self.writer.lock();
                    let view = (*fresh.view.load()).clone();
                    *writer = fresh.writer.into_inner();
                    self.view.store(view);
                    self.published.store(writer.applied.0, Ordering::Release);
                    return Ok(());
                }
                Err(error) => {
                    let now = Manifest::generations(&self.around.fs, &self.path)?.first().copied();
                    if now == newest {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::Internal { what: "the writer replaces files faster than they can be opened".into() })
    }
}

/// The newest manifest and its segments. A reader beside a writer may find files gone, because a newer manifest is there.
fn load(around: &Surroundings, path: &Path) -> Result<(Manifest, View)> {
    let fs = &around.fs;
    let mut retries = 0;
    loop {
        let manifest = Manifest::newest(fs, path)?;
        match open_segments(around, path, &manifest) {
            Ok(view) => return Ok((manifest, view)),
            Err(_) if around.read_only && retries < MOST_RETRIES && is_race(fs, path, &manifest) => retries += 1,
            Err(error) => return Err(error),
        }
    }
}

fn is_race(fs: &FsRef, path: &Path, manifest: &Manifest) -> bool {
    Manifest::generations(fs, path).is_ok_and(|found| found.first() != Some(&manifest.generation))
}

fn open_segments(around: &Surroundings, path: &Path, manifest: &Manifest) -> Result<View> {
    let config = Arc::new(manifest.config.clone());
    let open = |meta: &crate::segment::SegmentMeta| Sealed::open(&around.fs, path, meta.clone(), &config, manifest.lsn);
    let mut sealed = manifest.segments.iter().map(open).collect::<Result<Vec<_>>>()?;
    pin_all(&mut sealed, &around.allowance);
    sealed.iter_mut().for_each(|sealed| sealed.settle(&around.allowance));
    let sealed = sealed.into_iter().map(Arc::new).collect();
    Ok(View { sealed, frozen: Vec::new(), growing: Arc::new(Growing::new(&config, &around.allowance)?), config, floor: manifest.lsn })
}

/// Removes files of jobs that a crash cut off, and manifests that a newer one replaced.
fn remove_leftovers(fs: &FsRef, path: &Path, manifest: &Manifest) -> Result<()> {
    let (files, directories) = leftovers(fs, path, manifest)?;
    if files.is_empty() && directories.is_empty() {
        // The manifest before this one is gone, and it went when this one's name was durable.
        return Ok(());
    }
    // The manifest may have got its name from a process that died before it could make the name durable.
    fs.sync_dir(path)?;
    directories.iter().try_for_each(|directory| fs.remove_dir_all(directory))?;
    files.iter().try_for_each(|file| fs.remove(file))
}

/// Files and whole directories that the manifest does not name.
fn leftovers(fs: &FsRef, path: &Path, manifest: &Manifest) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let keep: HashSet<PathBuf> = manifest.files(path).into_iter().collect();
    let is_old = |name: &String| name.starts_with("MANIFEST-") && *name != file_name(manifest.generation);
    let mut files: Vec<PathBuf> = fs.list(path)?.into_iter().filter(is_old).map(|name| path.join(name)).collect();
    let mut directories = Vec::new();
    let segments = path.join("segments");
    for directory in fs.list(&segments)? {
        let directory = segments.join(directory);
        let (kept, others): (Vec<PathBuf>, Vec<PathBuf>) =
            fs.list(&directory)?.iter().map(|name| directory.join(name)).partition(|name| keep.contains(name));
        if kept.is_empty() { directories.push(directory) } else { files.extend(others) }
    }
    Ok((files, directories))
}
