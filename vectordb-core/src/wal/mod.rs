//! The write-ahead log: what makes an update durable before any other file knows of it.
//!
//! Writers append frames under the collection's writer lock and then wait, without it, until their frame is durable. One of
//! those that wait writes and syncs everything appended so far for all of them (group commit); the others sleep. A failed
//! write or sync poisons the log, because after it nobody can know what is on the disk and asking again may only seem to
//! succeed (Rebello et al., *Can Applications Recover from fsync Failures?*, 2020).
//!
//! The log never looks inside a frame's body. Files: `frame` (the layout, and when a frame is torn), `tail` (reading),
//! `file` (names and headers), `end` (the mark of a clean close), `cut` (taking frames back),
//! `journal` (the log by itself).

mod cut;
mod end;
mod file;
mod frame;
mod journal;
mod tail;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::model::config::Durability;
use crate::model::point::Lsn;
use crate::storage::fs::{File, FsRef, write_atomic};
use crate::storage::heap;

pub(crate) use cut::cut;
pub(crate) use end::write as mark_end;
use file::{HEADER_BYTES, Header, file_name, files};
pub use journal::{Journal, JournalRecord};
pub(crate) use tail::Tail;

/// Bytes that may wait in memory when nobody asks for durability.
const UNSYNCED_BYTES: usize = 1 << 20;

/// The log of one collection, open for appending.
pub(crate) struct Wal {
    fs: FsRef,
    dir: PathBuf,
    /// A new file is begun after this many bytes.
    capacity_bytes: u64,
    state: Mutex<State>,
    /// Signalled when a group is done.
    done: Condvar,
}

struct State {
    /// Frames that wait to be written, unsealed, and where each begins.
    buffer: Vec<u8>,
    frames: Vec<usize>,
    appended: Lsn,
    /// Handed to the operating system up to here.
    written: Lsn,
    /// On stable storage up to here.
    durable: Lsn,
    /// A leader is writing; it has taken the active file with it.
    busy: bool,
    active: Option<Active>,
    /// All files, oldest first, the active one included: first lsn and bytes.
    files: Vec<(Lsn, u64)>,
    poisoned: Option<String>,
}

struct Active {
    file: Box<dyn File>,
    header: Header,
    len: u64,
}

impl Wal {
    /// Opens a log for appending behind `last`, which reading it has found to be its last frame. A torn tail is cut off.
    pub(crate) fn open(fs: FsRef, dir: &Path, last: Lsn, capacity_bytes: u64) -> Result<Self> {
        fs.create_dir_all(dir)?;
        let mut kept = Vec::new();
        for (first, path) in files(&fs, dir)? {
            // Only a file that holds a frame is kept. One that holds none was just begun, and will be begun again.
            match tail::valid_end(&fs, &path)?.filter(|&end| end > HEADER_BYTES as u64) {
                Some(end) => kept.push((first, path, end)),
                None => fs.remove(&path)?,
            }
        }
        if let Some((_, path, end)) = kept.last().filter(|_| !end::is_there(&fs, dir)) {
            rewrite(&fs, path, *end)?;
        }
        let kept = kept.into_iter().map(|(first, _, end)| (first, end)).collect();
        // From now on the log may end anywhere. That is durable before the first new frame is, with the name of its file; until then
        // the mark may come back, and is true. So may files without frames, and names of others were synced before their first.
        end::remove(&fs, dir)?;
        let state = State {
            buffer: Vec::new(),
            frames: Vec::new(),
            appended: last,
            written: last,
            durable: last,
            busy: false,
            active: None,
            files: kept,
            poisoned: None,
        };
        Ok(Self { fs, dir: dir.into(), capacity_bytes, state: Mutex::new(state), done: Condvar::new() })
    }

    /// Bytes of memory that frames wait in.
    pub(crate) fn memory_bytes(&self) -> usize {
        let state = self.state.lock();
        heap::block(state.buffer.capacity()) + heap::vec::<usize>(state.frames.capacity())
    }

    /// Appends a frame; lsns grow by one. Nothing is written yet.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after a failure, [`Error::LimitExceeded`] for a frame of a gigabyte.
    pub(crate) fn append(&self, lsn: Lsn, epoch: u64, body: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        if lsn != state.appended.next() {
            return Err(Error::Internal { what: format!("frame {lsn} appended after {}", state.appended) });
        }
        let at = state.buffer.len();
        frame::append(&mut state.buffer, lsn, epoch, body)?;
        state.frames.push(at);
        state.appended = lsn;
        Ok(())
    }

    /// Returns when all frames up to `lsn` are as durable as asked for. Many threads may wait at once.
    ///
    /// # Errors
    /// The cause for the thread whose write failed, [`Error::Poisoned`] for all others.
    pub(crate) fn commit(&self, lsn: Lsn, durability: Durability) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            let reached = match durability {
                Durability::Sync => state.durable >= lsn,
                Durability::Os => state.written >= lsn,
                Durability::None => state.buffer.len() < UNSYNCED_BYTES,
            };
            if reached {
                return Ok(());
            }
            state.check()?;
            if state.busy {
                self.done.wait(&mut state);
            } else {
                self.lead(&mut state, durability == Durability::Sync)?;
            }
        }
    }

    /// Writes everything appended so far, and syncs it if asked to.
    fn lead(&self, state: &mut MutexGuard<'_, State>, sync: bool) -> Result<()> {
        let mut buffer = std::mem::take(&mut state.buffer);
        let frames = std::mem::take(&mut state.frames);
        let (upto, written, durable) = (state.appended, state.written, state.durable);
        let mut active = state.active.take();
        state.busy = true;
        let result: Result<Option<Lsn>> = MutexGuard::unlocked(state, || {
            let begun = self.write_group(&mut active, &mut buffer, &frames, written, durable)?;
            if sync && let Some(active) = &active {
                active.file.sync()?;
            }
            Ok(begun)
        });
        state.busy = false;
        match result {
            Ok(begun) => {
                state.files.extend(begun.map(|first| (first, 0)));
                if let (Some(active), Some(entry)) = (&active, state.files.last_mut()) {
                    entry.1 = active.len;
                }
                state.active = active;
                state.written = state.written.max(upto);
                if begun.is_some() {
                    // The file before was synced when this one was begun.
                    state.durable = state.durable.max(written);
                }
                if sync {
                    state.durable = state.durable.max(upto);
                }
            }
            Err(ref error) => state.poisoned = Some(error.to_string()),
        }
        self.done.notify_all();
        result.map(drop)
    }

    /// Seals and writes the frames of a group; returns the first lsn of a file that was begun for them.
    fn write_group(
        &self,
        active: &mut Option<Active>,
        buffer: &mut [u8],
        frames: &[usize],
        written: Lsn,
        durable: Lsn,
    ) -> Result<Option<Lsn>> {
        if frames.is_empty() {
            return Ok(None);
        }
        let mut begun = None;
        if active.as_ref().is_none_or(|active| active.len >= self.capacity_bytes) {
            if let Some(full) = active.take() {
                full.file.sync()?;
            }
            *active = Some(self.begin(written.next())?);
            begun = Some(written.next());
        }
        let Some(active) = active else { return Ok(None) };
        for &at in frames {
            frame::seal(&mut buffer[at..], active.header.salt, durable);
        }
        active.file.write_at(active.len, buffer)?;
        active.len += buffer.len() as u64;
        Ok(begun)
    }

    /// Makes a new file; its name and header are durable before any frame in it can be, and so is that the end's mark is gone.
    fn begin(&self, first: Lsn) -> Result<Active> {
        let header = Header::new(first);
        let file = self.fs.create(&self.dir.join(file_name(first)))?;
        let bytes = header.encode();
        file.write_at(0, &bytes)?;
        file.sync()?;
        self.fs.sync_dir(&self.dir)?;
        Ok(Active { file, header, len: bytes.len() as u64 })
    }

    /// Closes the active file: it never changes again. All frames must be durable.
    pub(crate) fn rotate(&self) -> Result<()> {
        let mut state = self.state.lock();
        while state.busy {
            self.done.wait(&mut state);
        }
        state.check()?;
        if state.durable != state.appended {
            return Err(Error::Internal { what: "a log with waiting frames cannot be rotated".into() });
        }
        state.active = None;
        Ok(())
    }

    /// Removes files whose frames are all `upto` or older, but for the newest `retain` of them.
    pub(crate) fn release(&self, upto: Lsn, retain: usize) -> Result<()> {
        let mut state = self.state.lock();
        let covered = state.files.windows(2).take_while(|pair| pair[1].0 <= upto.next()).count();
        let closed_last = !state.busy && state.active.is_none() && state.written <= upto && covered + 1 == state.files.len();
        let covered = if closed_last { covered + 1 } else { covered };
        let gone: Vec<(Lsn, u64)> = state.files.drain(..covered.saturating_sub(retain)).collect();
        drop(state);
        gone.iter().try_for_each(|(first, _)| self.fs.remove(&self.dir.join(file_name(*first))))
    }

    /// Paths of the files that never change again.
    pub(crate) fn closed_files(&self) -> Vec<PathBuf> {
        let state = self.state.lock();
        let open = usize::from(state.active.is_some() || state.busy);
        let closed = state.files.len().saturating_sub(open);
        state.files[..closed].iter().map(|(first, _)| self.dir.join(file_name(*first))).collect()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Makes everything durable and marks the end, so that the next open knows how much there must be.
    pub(crate) fn close(&self) -> Result<()> {
        let last = self.state.lock().appended;
        self.commit(last, Durability::Sync)?;
        end::write(&self.fs, &self.dir, last)
    }
}

/// Makes the frames of the last file durable, and cuts what follows them.
///
/// A process that died may have left frames that it wrote and did not sync. They count from now on, so no later frame may
/// reach the disk before them. Syncing the file would not do: after a sync that failed, the system may take the bytes for
/// clean and never write them. So they are written again, to a new file.
fn rewrite(fs: &FsRef, path: &Path, end: u64) -> Result<()> {
    let mut bytes = fs.read(path)?;
    bytes.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    write_atomic(fs, path, &bytes)
}

impl State {
    fn check(&self) -> Result<()> {
        self.poisoned.as_ref().map_or(Ok(()), |reason| Err(Error::Poisoned { reason: reason.clone() }))
    }
}
