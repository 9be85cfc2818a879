//! The log by itself, for whoever else has records that must not be lost.

use std::path::Path;
use std::sync::Arc;

use super::{Tail, Wal, file};
use crate::error::Result;
use crate::model::config::Durability;
use crate::model::point::Lsn;
use crate::storage::fs::FsRef;

/// Numbered records in a directory, which only grow: what is synced is there after any crash, in order, and a torn end is cut
/// off. The layout is that of a collection's log.
///
/// ```
/// use std::sync::Arc;
/// use vectordb_core::{Journal, StdFs};
/// # let dir = tempfile::tempdir().unwrap();
/// let (journal, old) = Journal::open(Arc::new(StdFs), dir.path(), 1 << 20)?;
/// assert!(old.is_empty());
/// let last = journal.append(b"a vote")?;
/// journal.sync(last)?;
/// drop(journal);
/// let (_, old) = Journal::open(Arc::new(StdFs), dir.path(), 1 << 20)?;
/// assert_eq!(old, [(last, b"a vote".to_vec())]);
/// # Ok::<(), vectordb_core::Error>(())
/// ```
pub struct Journal {
    wal: Wal,
    last: parking_lot::Mutex<Lsn>,
}

/// A record with its number.
pub type JournalRecord = (Lsn, Vec<u8>);

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.last.lock())
    }
}

impl Journal {
    /// Opens the journal of a directory, or begins one, and reads it. A new file is begun after `capacity_bytes`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) for damage that is no torn end, and those of the file system.
    pub fn open(fs: FsRef, dir: &Path, capacity_bytes: u64) -> Result<(Self, Vec<JournalRecord>)> {
        fs.create_dir_all(dir)?;
        let before = file::files(&fs, dir)?.first().map_or(Lsn::ZERO, |(first, _)| Lsn(first.0.saturating_sub(1)));
        let records = Tail::open(Arc::clone(&fs), dir, before)?
            .map(|frame| frame.map(|frame| (frame.lsn, frame.body)))
            .collect::<Result<Vec<_>>>()?;
        let last = records.last().map_or(before, |(lsn, _)| *lsn);
        let wal = Wal::open(fs, dir, last, capacity_bytes)?;
        Ok((Self { wal, last: parking_lot::Mutex::new(last) }, records))
    }

    /// Adds a record and returns its number; it counts when it is synced.
    ///
    /// # Errors
    /// [`Error::Poisoned`](crate::Error::Poisoned) after a failure, [`Error::LimitExceeded`](crate::Error::LimitExceeded) for a
    /// gigabyte.
    pub fn append(&self, record: &[u8]) -> Result<Lsn> {
        let mut last = self.last.lock();
        self.wal.append(last.next(), 0, record)?;
        *last = last.next();
        Ok(*last)
    }

    /// Returns when everything up to a record is on stable storage.
    ///
    /// # Errors
    /// [`Error::Poisoned`](crate::Error::Poisoned) and the first cause of it.
    pub fn sync(&self, upto: Lsn) -> Result<()> {
        self.wal.commit(upto, Durability::Sync)
    }

    /// Forgets files that hold no record behind `upto`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn release(&self, upto: Lsn) -> Result<()> {
        self.wal.release(upto, 0)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.wal.bytes()
    }
}
