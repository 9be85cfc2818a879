//! A directory of collections, and the handles users hold.
//!
//! Files: `options`, `catalog` (names and their directories), `worker` (the maintenance thread), `handle` (what users hold of a
//! collection), `search` (the builder of a search).

mod catalog;
mod handle;
mod lookup;
mod options;
mod search;
#[cfg(test)]
mod settling;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam::channel::bounded;
use parking_lot::{Mutex, RwLock};

use crate::collection::{self, Pools, Surroundings};
use crate::error::{Error, Result};
use crate::model::config::CollectionConfig;
use crate::model::memory::{DatabaseMemory, MemoryReport, ProcessMemory};
use crate::model::point::Lsn;
use crate::storage::allowance::Allowance;
use crate::storage::fs::{FsRef, MemFs};
use crate::storage::mmap::{give_back_freed, map_large_blocks};
use crate::storage::smaps::Smaps;
use crate::storage::system;

use catalog::Catalog;
pub use handle::{Collection, CollectionBuilder};
pub use options::{Background, Options};
pub use search::Search;
use worker::Worker;

/// A directory of collections. Handles are cheap to clone and can be used from any number of threads.
///
/// One process at a time has a directory open for writing; any number of others may read it meanwhile
/// ([`Database::open_read_only`], [`Database::refresh`]).
///
/// ```
/// use vectordb_core::{Database, Distance, Point};
/// # fn main() -> vectordb_core::Result<()> {
/// let db = Database::in_memory()?;
/// let docs = db.collection("docs").dim(2).distance(Distance::Dot).open_or_create()?;
/// docs.upsert([Point::new("a", [1.0, 0.0]), Point::new("b", [0.0, 1.0])])?;
/// assert_eq!(docs.search(&[0.9, 0.1]).limit(1).run()?[0].id, "a".into());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    around: Surroundings,
    catalog: RwLock<Catalog>,
    open: RwLock<BTreeMap<String, Arc<collection::Collection>>>,
    /// Held for as long as the database is open for writing.
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
    closed: AtomicBool,
    worker: Mutex<Option<Worker>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({})", self.path.display())
    }
}

const LOCK: &str = "LOCK";
const COLLECTIONS: &str = "collections";
/// Longest collection name, in bytes.
const MAX_NAME_BYTES: usize = 300;
/// Collections from which on they are opened beside each other,
const MANY_COLLECTIONS: usize = 16;
/// by so many threads.
const OPENING_THREADS: usize = 16;

impl Database {
    /// Opens a directory for writing, and makes it when it is not there. Whatever a crash left is recovered.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder's process id when another process writes to it; [`Error::Corrupt`] naming the file
    /// when data is damaged; [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens a directory for reading, beside the process that writes to it. It shows the state of the last
    /// [`Database::refresh`].
    ///
    /// # Errors
    /// As [`Database::open`], but for the lock, which is not taken.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default().read_only(true))
    }

    /// A database that lives in memory and is gone with its last handle.
    ///
    /// # Errors
    /// [`Error::Internal`] when no thread can be started.
    pub fn in_memory() -> Result<Self> {
        Self::open_with("memory", Options::default().fs(Arc::new(MemFs::default())))
    }

    /// Opens a directory as the options say.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let fs = &options.fs;
        let found = Catalog::read(fs, &path)?;
        if found.is_none() && (options.read_only || !options.create) {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no database here");
            return Err(Error::io(path, source));
        }
        let mut lock = None;
        let mut catalog = found.unwrap_or_default();
        if !options.read_only {
            fs.create_dir_all(&path.join(COLLECTIONS))?;
            lock = Some(fs.lock(&path.join(LOCK))?);
            // Read again: the former holder of the lock may have changed it.
            match Catalog::read(fs, &path)? {
                Some(found) => {
                    // A process that died may have left its name to be lost, and what it lists no more is removed next.
                    fs.sync_dir(&path)?;
                    catalog = found;
                }
                None => {
                    if let Some(directory) = fs.list(&path.join(COLLECTIONS))?.first() {
                        let what = format!("the file is missing, although there is a collection in {COLLECTIONS}/{directory}");
                        return Err(Error::corrupt(path.join(Catalog::FILE), 0, what));
                    }
                    catalog.write(fs, &path)?;
                }
            }
            remove_unlisted(fs, &path, &catalog)?;
        }
        let limit = system::limit(options.memory_limit);
        if limit.is_some_and(|limit| limit.is_set) {
            map_large_blocks();
        }
        let (wake, woken) = bounded(1);
        let around = Surroundings {
            fs: Arc::clone(fs),
            pools: Arc::new(Pools::new(options.threads)),
            read_only: options.read_only,
            replicated: options.replicated,
            clock: options.clock.clone(),
            allowance: Allowance::new(limit.map(|limit| limit.bytes)),
            leisure: Arc::default(),
            wake: (options.background == Background::Thread && !options.read_only).then(|| worker::waker(wake)),
        };
        let inner = Inner {
            path,
            around,
            open: RwLock::new(BTreeMap::new()),
            catalog: RwLock::new(catalog),
            lock: Mutex::new(lock),
            closed: AtomicBool::new(false),
            worker: Mutex::new(None),
        };
        let db = Self { inner: Arc::new(inner) };
        db.open_all()?;
        // Reading logs takes as much memory as the largest of their files, for a moment.
        give_back_freed();
        if db.inner.around.wake.is_some() {
            *db.inner.worker.lock() = Some(worker::start(&db.inner, woken)?);
        }
        Ok(db)
    }

    /// Opens every collection; many of them beside each other, because opening one is mostly waiting for the disk.
    fn open_all(&self) -> Result<()> {
        let listed: Vec<(String, String)> = self.inner.catalog.read().collections.clone().into_iter().collect();
        let next = AtomicUsize::new(0);
        let open = || -> Result<()> {
            // The number only has to be another one for everybody.
            while let Some((name, directory)) = listed.get(next.fetch_add(1, Ordering::Relaxed)) {
                let collection = self.inner.open_collection(name, directory)?;
                self.inner.open.write().insert(name.clone(), collection);
            }
            Ok(())
        };
        // Few are opened in the order of their names, so that what happens on the disk can be repeated.
        if listed.len() < MANY_COLLECTIONS {
            return open();
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..OPENING_THREADS).map(|_| scope.spawn(open)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// A builder that creates or opens a collection.
    pub fn collection(&self, name: &str) -> CollectionBuilder {
        CollectionBuilder::new(self.clone(), name)
    }

    /// Makes a collection; durable when it returns.
    ///
    /// # Errors
    /// [`Error::CollectionExists`], [`Error::InvalidName`], [`Error::InvalidConfig`], [`Error::ReadOnly`].
    pub fn create_collection(&self, name: &str, config: CollectionConfig) -> Result<Collection> {
        check_name(name)?;
        let config = config.completed();
        config.validate()?;
        self.inner.add(name, |path| collection::create(&self.inner.around.fs, path, config))
    }

    /// The collection of this name.
    ///
    /// # Errors
    /// [`Error::CollectionNotFound`].
    pub fn get(&self, name: &str) -> Result<Collection> {
        self.inner.check_open()?;
        let found = self.inner.open.read().get(name).cloned();
        found.map(|collection| Collection::new(self.clone(), collection)).ok_or_else(|| Error::CollectionNotFound { name: name.into() })
    }

    /// Names of all collections, sorted.
    pub fn collections(&self) -> Vec<String> {
        self.inner.open.read().keys().cloned().collect()
    }

    /// Removes a collection with all its files; false when there is none of this name. Its handles answer
    /// [`Error::Closed`] from now on.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] and those of the file system.
    pub fn drop_collection(&self, name: &str) -> Result<bool> {
        self.inner.check_writable()?;
        let mut catalog = self.inner.catalog.write();
        let mut changed = catalog.clone();
        let Some(directory) = changed.collections.remove(name) else { return Ok(false) };
        changed.write(&self.inner.around.fs, &self.inner.path)?;
        *catalog = changed;
        let dropped = self.inner.open.write().remove(name);
        // Others need not wait for what follows: no other collection ever has this directory.
        drop(catalog);
        if let Some(collection) = dropped {
            // A job that went on writing would be in the way of those who remove its files.
            collection.end();
        }
        // Without its entry in the catalog the directory is rubbish; what cannot be removed now goes at the next open.
        self.inner.around.fs.remove_dir_all(&self.inner.directory(&directory))?;
        Ok(true)
    }

    /// Makes a collection from a snapshot directory, after checking all of it.
    ///
    /// # Errors
    /// [`Error::CollectionExists`], [`Error::Corrupt`] when the snapshot is damaged; nothing is changed then.
    pub fn restore(&self, name: &str, snapshot: impl AsRef<Path>) -> Result<Collection> {
        check_name(name)?;
        self.inner.add(name, |path| collection::restore(&self.inner.around.fs, snapshot.as_ref(), path).map(drop))
    }

    /// Takes back what a replicated collection's log holds behind a batch, none of which may be published. Handles of the
    /// collection answer [`Error::Closed`] from now on; the new one is returned.
    ///
    /// # Errors
    /// [`Error::CollectionNotFound`], [`Error::Internal`] for what is published, and those of the file system.
    pub fn cut_log(&self, name: &str, last: Lsn) -> Result<Collection> {
        self.inner.check_writable()?;
        let catalog = self.inner.catalog.read();
        let unknown = || Error::CollectionNotFound { name: name.into() };
        let directory = catalog.collections.get(name).ok_or_else(unknown)?;
        let old = self.inner.open.read().get(name).cloned().ok_or_else(unknown)?;
        old.cut_log(last)?;
        let collection = self.inner.open_collection(name, directory)?;
        self.inner.open.write().insert(name.to_owned(), Arc::clone(&collection));
        Ok(Collection::new(self.clone(), collection))
    }

    /// Shows what the writing process did since: new and dropped collections, and new points. Does nothing for a writer.
    ///
    /// # Errors
    /// As [`Database::open_read_only`]; the old state stays readable.
    pub fn refresh(&self) -> Result<()> {
        self.inner.check_open()?;
        if !self.inner.around.read_only {
            return Ok(());
        }
        let catalog = Catalog::read(&self.inner.around.fs, &self.inner.path)?.unwrap_or_default();
        let old = std::mem::replace(&mut *self.inner.catalog.write(), catalog.clone());
        for (name, directory) in &catalog.collections {
            let known = self.inner.open.read().get(name).cloned().filter(|_| old.collections.get(name) == Some(directory));
            match known {
                Some(collection) => collection.refresh()?,
                None => {
                    let collection = self.inner.open_collection(name, directory)?;
                    self.inner.open.write().insert(name.clone(), collection);
                }
            }
        }
        self.inner.open.write().retain(|name, collection| {
            let kept = catalog.collections.contains_key(name);
            if !kept {
                collection.close();
            }
            kept
        });
        Ok(())
    }

    /// Stops the background work and gives the lock back. All handles of this database answer [`Error::Closed`] from now on.
    ///
    /// Everything acknowledged is durable already; closing only spares the next open some recovery.
    ///
    /// # Errors
    /// That of the last write to the log.
    pub fn close(self) -> Result<()> {
        self.inner.shut_down()
    }

    /// Memory of all collections by component, and of the process around them: together the whole resident set.
    ///
    /// Costs a walk through the payload indexes and the system's account of every page, some milliseconds for a gigabyte.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn memory(&self) -> Result<DatabaseMemory> {
        self.inner.check_open()?;
        let open = self.inner.open.read().clone();
        let smaps = Smaps::now();
        let mut collections = BTreeMap::new();
        let mut total = MemoryReport::default();
        for (name, collection) in open {
            let report = collection.memory(&smaps)?;
            total += report;
            collections.insert(name, report);
        }
        let allowance = &self.inner.around.allowance;
        let process = smaps.is_known().then(|| process(&smaps, &total));
        Ok(DatabaseMemory { collections, total, process, limit_bytes: allowance.limit(), reserved_bytes: allowance.taken() })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }
}

impl Inner {
    fn directory(&self, directory: &str) -> PathBuf {
        self.path.join(COLLECTIONS).join(directory)
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed { what: "the database".into() }) } else { Ok(()) }
    }

    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.around.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    fn open_collection(&self, name: &str, directory: &str) -> Result<Arc<collection::Collection>> {
        collection::Collection::open(name.to_owned(), self.directory(directory), self.around.clone()).map(Arc::new)
    }

    /// Fills a new directory and lists it; until then a crash leaves nothing but rubbish.
    fn add(self: &Arc<Self>, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<Collection> {
        self.check_writable()?;
        let mut catalog = self.catalog.write();
        if catalog.collections.contains_key(name) {
            return Err(Error::CollectionExists { name: name.into() });
        }
        let mut changed = catalog.clone();
        let directory = format!("{:010}", changed.next);
        changed.next += 1;
        changed.collections.insert(name.to_owned(), directory.clone());
        let path = self.directory(&directory);
        let fs = &self.around.fs;
        let filled = fill(&path)
            .and_then(|()| fs.sync_dir(&self.path.join(COLLECTIONS)))
            .and_then(|()| self.open_collection(name, &directory))
            .and_then(|collection| changed.write(fs, &self.path).map(|()| collection));
        match filled {
            Ok(collection) => {
                *catalog = changed;
                self.open.write().insert(name.to_owned(), Arc::clone(&collection));
                Ok(Collection::new(Database { inner: Arc::clone(self) }, collection))
            }
            Err(error) => {
                // The number is used up all the same: the catalog may have reached the disk although its writing failed.
                catalog.next = changed.next;
                Err(error)
            }
        }
    }

    fn shut_down(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let collections: Vec<_> = std::mem::take(&mut *self.open.write()).into_values().collect();
        collections.iter().for_each(|collection| collection.close());
        if let Some(worker) = self.worker.lock().take() {
            worker.stop();
        }
        let flushed = collections.iter().try_for_each(|collection| collection.flush());
        drop(self.lock.lock().take());
        flushed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure, and nothing acknowledged depends on it.
        let _ = self.shut_down();
    }
}

/// The process beside the collections.
fn process(smaps: &Smaps, total: &MemoryReport) -> ProcessMemory {
    let (resident_bytes, code_bytes, stack_bytes) = (smaps.total(), smaps.code(), smaps.stacks());
    let rest = resident_bytes.saturating_sub(total.total().resident_bytes() + code_bytes + stack_bytes);
    let allocator_bytes = rest.min(smaps.arenas());
    ProcessMemory { resident_bytes, code_bytes, stack_bytes, allocator_bytes, unaccounted_bytes: rest - allocator_bytes }
}

fn check_name(name: &str) -> Result<()> {
    let fail = |reason| Err(Error::InvalidName { what: "collection name", value: name.chars().take(40).collect(), reason });
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return fail("a name has 1 to 300 bytes");
    }
    if name.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0']) {
        return fail("a name holds none of < > : \" / \\ | ? * NUL");
    }
    Ok(())
}

/// Removes directories that no catalog names: dropped collections, and ones whose making was cut off.
fn remove_unlisted(fs: &FsRef, path: &Path, catalog: &Catalog) -> Result<()> {
    let root = path.join(COLLECTIONS);
    for directory in fs.list(&root)? {
        if !catalog.collections.values().any(|listed| *listed == directory) {
            fs.remove_dir_all(&root.join(directory))?;
        }
    }
    Ok(())
}
