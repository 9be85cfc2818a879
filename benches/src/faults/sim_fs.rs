//! A file system in memory that tells what was written from what has reached the disk.
//!
//! Bytes reach the disk when their file is synced, names when their directory is. Everything else may be there after a
//! loss of power or not, in any part and any order: sectors of 512 bytes one by one, names one by one, lengths apart from
//! contents. Making a directory is durable at once, as [`Fs::create_dir_all`] promises.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use vectordb_core::{Error, File, Fs, Mmap, Result};

use crate::synthetic::Random;

const SECTOR: usize = 512;

/// A call that changes something.
#[derive(Debug, Clone)]
pub enum Call {
    /// Make an empty file; files are numbered in this order.
    Create(PathBuf),
    /// Write bytes at an offset.
    Write {
        /// The file's number.
        file: usize,
        /// Where.
        offset: usize,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Cut or extend a file.
    SetLen {
        /// The file's number.
        file: usize,
        /// Its new length.
        len: usize,
    },
    /// Make a file's bytes durable.
    Sync(usize),
    /// Make a directory and those above it, durably.
    MakeDir(PathBuf),
    /// Give a file another name.
    Rename(PathBuf, PathBuf),
    /// Give a file a second name.
    Link(PathBuf, PathBuf),
    /// Remove a name.
    Remove(PathBuf),
    /// Remove a directory and all below it.
    RemoveDir(PathBuf),
    /// Make the names in a directory durable.
    SyncDir(PathBuf),
}

/// A change of names that has not reached the disk. Files are numbers, so that any part of the changes makes sense.
#[derive(Debug, Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Unset(PathBuf, usize),
    Move(PathBuf, PathBuf, usize),
    UnsetDir(PathBuf),
}

impl NameChange {
    /// The directory whose sync makes the change durable.
    fn directory(&self) -> &Path {
        let (Self::Set(path, _) | Self::Unset(path, _) | Self::Move(_, path, _) | Self::UnsetDir(path)) = self;
        path.parent().unwrap_or(Path::new(""))
    }
}

/// Content of a file. What is not durable is a list of changes, because their order is not kept by the disk.
#[derive(Debug, Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Arc<Vec<u8>>,
    /// Byte ranges written since the last sync.
    dirty: Vec<(usize, usize)>,
    changed: bool,
}

/// All files, what is seen now and what is on the disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    directories: BTreeSet<PathBuf>,
    pending: Vec<NameChange>,
}

/// How much of what was not synced a loss of power leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    All,
    /// All names and bytes: the process died, the machine did not, and the cache was written later.
    Nothing,
    /// Names in order up to some point, any sectors, any lengths.
    Some,
    /// Any names, any sectors, any lengths.
    Any,
    /// Everything but for the end of the last write to each file.
    Torn,
    /// Names are there, new bytes are noise where they are not there.
    Noise,
}

impl Loss {
    /// Every kind.
    pub const KINDS: [Self; 6] = [Self::All, Self::Nothing, Self::Some, Self::Any, Self::Torn, Self::Noise];
}

impl Disk {
    /// Does a call.
    pub fn apply(&mut self, call: &Call) {
        match call {
            Call::Create(path) => {
                self.inodes.push(Inode::default());
                self.set(path, self.inodes.len() - 1);
            }
            Call::Write { file, offset, bytes } => self.inodes[*file].write(*offset, bytes),
            Call::SetLen { file, len } => {
                let inode = &mut self.inodes[*file];
                inode.live.resize(*len, 0);
                inode.changed = true;
            }
            Call::Sync(file) => self.inodes[*file].sync(),
            Call::MakeDir(path) => {
                let new: Vec<PathBuf> = path.ancestors().map(Path::to_path_buf).filter(|path| !self.directories.contains(path)).collect();
                // A directory is durable when its parent is synced, and so is then whatever else happened in the parent.
                new.iter().filter_map(|path| path.parent()).for_each(|parent| self.sync_dir(parent));
                self.directories.extend(new);
            }
            Call::Rename(from, to) => {
                if let Some(file) = self.live.remove(from) {
                    self.live.insert(to.clone(), file);
                    self.pending.push(NameChange::Move(from.clone(), to.clone(), file));
                }
            }
            Call::Link(from, to) => {
                if let Some(&file) = self.live.get(from) {
                    self.set(to, file);
                }
            }
            Call::Remove(path) => {
                if let Some(file) = self.live.remove(path) {
                    self.pending.push(NameChange::Unset(path.clone(), file));
                }
            }
            Call::RemoveDir(path) => self.remove_dir(path),
            Call::SyncDir(path) => self.sync_dir(path),
        }
    }

    fn sync_dir(&mut self, dir: &Path) {
        let pending = std::mem::take(&mut self.pending);
        let (done, left): (Vec<_>, Vec<_>) = pending.into_iter().partition(|change| change.directory() == dir);
        self.pending = left;
        done.iter().for_each(|change| change.apply(&mut self.durable));
    }

    /// A sync that failed: the system forgets that the bytes are dirty, and they never reach the disk.
    pub fn forget(&mut self, file: usize) {
        self.inodes[file].dirty.clear();
    }

    fn set(&mut self, path: &Path, file: usize) {
        self.live.insert(path.into(), file);
        self.pending.push(NameChange::Set(path.into(), file));
    }

    fn remove_dir(&mut self, dir: &Path) {
        let gone: Vec<PathBuf> = self.live.keys().filter(|path| path.starts_with(dir)).cloned().collect();
        for path in gone {
            if let Some(file) = self.live.remove(&path) {
                self.pending.push(NameChange::Unset(path, file));
            }
        }
        self.directories.retain(|path| !path.starts_with(dir));
        self.pending.push(NameChange::UnsetDir(dir.into()));
    }

    /// The disk as the machine finds it after its power was lost now.
    #[must_use]
    pub fn after_power_loss(&self, loss: Loss, random: &mut Random) -> Self {
        let mut names = self.durable.clone();
        let upto = if loss == Loss::Some { random.below(self.pending.len() as u64 + 1) } else { self.pending.len() as u64 };
        for (number, change) in (0..).zip(&self.pending) {
            let kept = match loss {
                Loss::All => false,
                Loss::Nothing | Loss::Torn | Loss::Noise => true,
                Loss::Some => number < upto,
                Loss::Any => random.below(2) == 0,
            };
            if kept {
                change.apply(&mut names);
            }
        }
        let mut disk = Self::default();
        for (path, file) in names {
            // Two names of one file stay two names of one file only if nobody writes to it; sealed files are never written.
            let content = self.inodes[file].after_power_loss(loss, random);
            disk.put(&path, content);
        }
        disk.directories.extend(self.directories.iter().cloned());
        disk
    }

    /// Puts a durable file there.
    pub fn put(&mut self, path: &Path, content: Vec<u8>) {
        self.directories.extend(path.ancestors().skip(1).map(Path::to_path_buf));
        self.inodes.push(Inode { live: content.clone(), durable: Arc::new(content), ..Inode::default() });
        self.live.insert(path.into(), self.inodes.len() - 1);
        self.durable.insert(path.into(), self.inodes.len() - 1);
    }

    /// Every file as it is seen now.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.live.iter().map(|(path, file)| (path.as_path(), self.inodes[*file].live.as_slice()))
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        let mut unset = |path: &Path, file: usize| {
            if names.get(path) == Some(&file) {
                names.remove(path);
            }
        };
        match self {
            Self::Set(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Unset(path, file) => unset(path, *file),
            Self::Move(from, to, file) => {
                unset(from, *file);
                names.insert(to.clone(), *file);
            }
            Self::UnsetDir(dir) => names.retain(|path, _| !path.starts_with(dir)),
        }
    }
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        self.dirty.push((offset, end));
        self.changed = true;
    }

    /// Copies what is known to be dirty; what a failed sync made the system forget stays behind.
    fn sync(&mut self) {
        if self.changed {
            let durable = Arc::make_mut(&mut self.durable);
            durable.resize(self.live.len(), 0);
            for (start, end) in self.dirty.drain(..) {
                let end = end.min(self.live.len());
                if start < end {
                    durable[start..end].copy_from_slice(&self.live[start..end]);
                }
            }
            self.changed = *durable != self.live;
        }
    }

    fn after_power_loss(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        if !self.changed || loss == Loss::All {
            return self.durable.to_vec();
        }
        match loss {
            Loss::Nothing => self.live.clone(),
            Loss::Torn => {
                let mut content = self.live.clone();
                if let Some(&(start, end)) = self.dirty.last() {
                    let cut = start + random.below((end - start) as u64 + 1) as usize;
                    let old = |at: usize| self.durable.get(at).copied().unwrap_or(0);
                    (cut..end.min(content.len())).for_each(|at| content[at] = old(at));
                    if random.below(2) == 0 && end == content.len() {
                        content.truncate(cut.max(self.durable.len()));
                    }
                }
                content
            }
            _ => self.some_sectors(loss == Loss::Noise, random),
        }
    }

    /// The durable content with some of the dirty sectors, and any length between the durable one and the present one.
    fn some_sectors(&self, noise: bool, random: &mut Random) -> Vec<u8> {
        let (old, new) = (self.durable.len(), self.live.len());
        let (low, high) = (old.min(new), old.max(new));
        let len = match random.below(3) {
            0 => old,
            1 => new,
            _ => low + random.below((high - low) as u64 + 1) as usize,
        };
        let mut content = self.durable.to_vec();
        content.resize(len, 0);
        let sectors: BTreeSet<usize> = self.dirty.iter().flat_map(|(start, end)| start / SECTOR..end.div_ceil(SECTOR)).collect();
        for sector in sectors {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(len).min(new);
            if range.is_empty() {
                continue;
            }
            if random.below(2) == 0 {
                content[range.clone()].copy_from_slice(&self.live[range]);
            } else if noise && range.start >= old {
                // A block that was given to the file before its bytes came holds whatever was there.
                content[range].fill_with(|| random.next() as u8);
            }
        }
        content
    }
}

/// What to do wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The call fails and does nothing.
    Refused,
    /// The disk is full; a write does its first half.
    Full,
    /// A sync fails, and what it should have made durable never will be; the next one seems to succeed.
    Forgotten,
}

#[derive(Debug, Default)]
struct Inner {
    disk: Disk,
    /// Calls so far, or all of them when they are recorded.
    count: u64,
    record: Option<Vec<Call>>,
    fail: Option<(u64, Failure)>,
    /// Whether the failure has happened.
    failed: bool,
    /// Syncs do nothing: what a storage engine without them would be.
    ignore_syncs: bool,
    /// Whether it says that nothing is free.
    full: bool,
}

/// The file system over a [`Disk`], as one process sees it.
#[derive(Clone, Default)]
pub struct SimFs {
    inner: Arc<Mutex<Inner>>,
    killed: Arc<AtomicBool>,
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFs({} calls)", self.inner.lock().count)
    }
}

struct SimFile {
    fs: SimFs,
    file: usize,
    path: PathBuf,
}

impl SimFs {
    /// A file system with these files.
    pub fn new(disk: Disk) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { disk, ..Inner::default() })), killed: Arc::default() }
    }

    /// Ends the process: whatever it still tries fails. Another one sees the same files, synced or not.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.killed.store(true, Ordering::Relaxed);
        Self { inner: Arc::clone(&self.inner), killed: Arc::default() }
    }

    /// Says from now on that nothing is free, or that there is room. What is written all the same is written.
    pub fn set_full(&self, full: bool) {
        self.inner.lock().full = full;
    }

    /// Records all calls from now on.
    pub fn record(&self) {
        self.inner.lock().record = Some(Vec::new());
    }

    /// Makes the call with this number fail.
    pub fn fail(&self, number: u64, failure: Failure) {
        self.inner.lock().fail = Some((number, failure));
    }

    /// Whether the call that was to fail came.
    pub fn has_failed(&self) -> bool {
        self.inner.lock().failed
    }

    /// Turns all syncs into nothing, for a control of the whole method.
    pub fn ignore_syncs(&self) {
        self.inner.lock().ignore_syncs = true;
    }

    /// Calls so far that changed something.
    pub fn calls(&self) -> u64 {
        self.inner.lock().count
    }

    /// The recorded calls.
    pub fn take_record(&self) -> Vec<Call> {
        self.inner.lock().record.take().unwrap_or_default()
    }

    /// A copy of the disk.
    pub fn disk(&self) -> Disk {
        self.inner.lock().disk.clone()
    }

    fn call(&self, path: &Path, call: Call) -> Result<()> {
        if self.killed.load(Ordering::Relaxed) {
            return Err(Error::io(path, ErrorKind::Interrupted.into()));
        }
        let mut inner = self.inner.lock();
        let number = inner.count;
        inner.count += 1;
        if let Some((_, failure)) = inner.fail.filter(|(at, _)| *at == number) {
            inner.failed = true;
            return fail(&mut inner.disk, path, &call, failure);
        }
        if inner.ignore_syncs && matches!(call, Call::Sync(_) | Call::SyncDir(_)) {
            return Ok(());
        }
        inner.disk.apply(&call);
        if let Some(record) = &mut inner.record {
            record.push(call);
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> Result<usize> {
        self.inner.lock().disk.live.get(path).copied().ok_or_else(|| Error::io(path, ErrorKind::NotFound.into()))
    }

    fn file(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(Box::new(SimFile { fs: self.clone(), file: self.find(path)?, path: path.into() }))
    }
}

fn fail(disk: &mut Disk, path: &Path, call: &Call, failure: Failure) -> Result<()> {
    match (failure, call) {
        (Failure::Full, Call::Write { file, offset, bytes }) => {
            let half = Call::Write { file: *file, offset: *offset, bytes: bytes[..bytes.len() / 2].into() };
            disk.apply(&half);
        }
        (Failure::Forgotten, Call::Sync(file)) => disk.forget(*file),
        _ => {}
    }
    let kind = if failure == Failure::Full { ErrorKind::StorageFull } else { ErrorKind::Other };
    Err(Error::io(path, kind.into()))
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        self.call(path, Call::Create(path.into()))?;
        self.file(path)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        self.file(path)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let file = self.find(path)?;
        Ok(self.inner.lock().disk.inodes[file].live.clone())
    }

    fn map(&self, path: &Path) -> Result<Mmap> {
        self.read(path).map(Mmap::from)
    }

    fn len(&self, path: &Path) -> Result<Option<u64>> {
        let inner = self.inner.lock();
        Ok(inner.disk.live.get(path).map(|file| inner.disk.inodes[*file].live.len() as u64))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let inner = self.inner.lock();
        let entries = inner.disk.live.keys().chain(&inner.disk.directories);
        let names: BTreeSet<String> =
            entries.filter_map(|path| path.strip_prefix(dir).ok()?.iter().next()?.to_str().map(str::to_owned)).collect();
        Ok(names.into_iter().collect())
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        if self.inner.lock().disk.directories.contains(dir) {
            return Ok(());
        }
        self.call(dir, Call::MakeDir(dir.into()))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.find(from)?;
        self.call(from, Call::Rename(from.into(), to.into()))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.find(from)?;
        self.call(to, Call::Link(from.into(), to.into()))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.call(path, Call::Remove(path.into()))
    }

    fn remove_dir_all(&self, dir: &Path) -> Result<()> {
        self.call(dir, Call::RemoveDir(dir.into()))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.call(dir, Call::SyncDir(dir.into()))
    }

    fn lock(&self, _path: &Path) -> Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }

    fn available_bytes(&self, _dir: &Path) -> Result<u64> {
        Ok(if self.inner.lock().full { 0 } else { u64::MAX })
    }
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.fs.call(&self.path, Call::Write { file: self.file, offset: offset as usize, bytes: bytes.into() })
    }

    fn sync(&self) -> Result<()> {
        self.fs.call(&self.path, Call::Sync(self.file))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.fs.call(&self.path, Call::SetLen { file: self.file, len: len as usize })
    }
}
