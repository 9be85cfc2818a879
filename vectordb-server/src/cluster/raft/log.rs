//! Votes and entries on disk: each is a record of a journal, and what they come to is in memory.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{Entry, LogState, OptionalSend, RaftLogId as _, RaftLogReader, StorageIOError, Vote};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use vectordb_core::{Journal, Lsn, StdFs};

use super::{LogId, StorageError, Types};
use crate::cluster::state::PeerId;

/// Bytes of a file of the journal.
const FILE_BYTES: u64 = 1 << 20;
/// Bytes of all files from which what still counts is written anew.
const MOST_BYTES: u64 = 8 << 20;

#[derive(Debug, Serialize, Deserialize)]
enum Record {
    Entry(Box<Entry<Types>>),
    /// Entries from here on never were.
    Truncated(u64),
    /// Entries up to here are in a snapshot.
    Purged(LogId),
    Vote(Vote<PeerId>),
    Committed(Option<LogId>),
}

#[derive(Debug, Default)]
struct Held {
    entries: BTreeMap<u64, Entry<Types>>,
    purged: Option<LogId>,
    vote: Option<Vote<PeerId>>,
    committed: Option<LogId>,
}

impl Held {
    fn take(&mut self, record: Record) {
        match record {
            Record::Entry(entry) => drop(self.entries.insert(entry.get_log_id().index, *entry)),
            Record::Truncated(from) => drop(self.entries.split_off(&from)),
            Record::Purged(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(upto);
            }
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Committed(committed) => self.committed = committed,
        }
    }

    /// The records that come to the same.
    fn records(&self) -> Vec<Record> {
        let purged = self.purged.map(Record::Purged);
        let vote = self.vote.map(Record::Vote);
        let entries = self.entries.values().map(|entry| Record::Entry(Box::new(entry.clone())));
        purged.into_iter().chain(vote).chain([Record::Committed(self.committed)]).chain(entries).collect()
    }
}

#[derive(Debug)]
struct Files {
    journal: Journal,
    held: Held,
}

/// The log of the group's member. Clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Files>>);

fn bytes_of(record: &Record) -> vectordb_core::Result<Vec<u8>> {
    rmp_serde::to_vec_named(record).map_err(|error| vectordb_core::Error::Internal { what: error.to_string() })
}

impl Log {
    /// Opens the log of a directory, or begins one.
    ///
    /// # Errors
    /// Damage that is no torn end.
    pub(crate) fn open(directory: &Path) -> vectordb_core::Result<Self> {
        let (journal, records) = Journal::open(Arc::new(StdFs), directory, FILE_BYTES)?;
        let mut held = Held::default();
        for (number, bytes) in records {
            let record = rmp_serde::from_slice(&bytes)
                .map_err(|error| vectordb_core::Error::Internal { what: format!("{}: record {number}: {error}", directory.display()) })?;
            held.take(record);
        }
        Ok(Self(Arc::new(Mutex::new(Files { journal, held }))))
    }

    /// Writes records and returns when they are on stable storage. What they say holds from then on.
    async fn write(&self, records: Vec<Record>) -> Result<(), vectordb_core::Error> {
        let log = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut files = log.0.lock();
            let bytes = records.iter().map(bytes_of).collect::<vectordb_core::Result<Vec<_>>>()?;
            files.write(&bytes)?;
            records.into_iter().for_each(|record| files.held.take(record));
            files.shorten()
        });
        written.await.map_err(|error| vectordb_core::Error::Internal { what: error.to_string() })?
    }
}

impl Files {
    fn write(&mut self, records: &[Vec<u8>]) -> vectordb_core::Result<()> {
        let mut last = Lsn::ZERO;
        for record in records {
            last = self.journal.append(record)?;
        }
        self.journal.sync(last)
    }

    /// Writes what still counts behind everything, and lets what was before go.
    fn shorten(&mut self) -> vectordb_core::Result<()> {
        if self.journal.bytes() < MOST_BYTES {
            return Ok(());
        }
        let records = self.held.records().iter().map(bytes_of).collect::<vectordb_core::Result<Vec<_>>>()?;
        let mut first = None;
        let mut last = Lsn::ZERO;
        for record in &records {
            last = self.journal.append(record)?;
            first.get_or_insert(last);
        }
        self.journal.sync(last)?;
        first.map_or(Ok(()), |first| self.journal.release(Lsn(first.0 - 1)))
    }
}

fn on_write(error: vectordb_core::Error) -> StorageError {
    StorageIOError::write_logs(openraft::AnyError::new(&error)).into()
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types>>, StorageError> {
        Ok(self.0.lock().held.entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let files = self.0.lock();
        let last = files.held.entries.values().next_back().map(|entry| *entry.get_log_id());
        Ok(LogState { last_purged_log_id: files.held.purged, last_log_id: last.or(files.held.purged) })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<PeerId>) -> Result<(), StorageError> {
        let vote = self.write(vec![Record::Vote(*vote)]).await;
        vote.map_err(|error| StorageIOError::write_vote(openraft::AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<PeerId>>, StorageError> {
        Ok(self.0.lock().held.vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        // Losing it costs some entries that are learned anew, so it reaches the disk with the next record.
        let mut files = self.0.lock();
        let record = Record::Committed(committed);
        files.journal.append(&bytes_of(&record).map_err(on_write)?).map_err(on_write)?;
        files.held.take(record);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.0.lock().held.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(|entry| Record::Entry(Box::new(entry))).collect();
        match self.write(records).await {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(error) => {
                callback.log_io_completed(Err(std::io::Error::other(error.to_string())));
                Err(on_write(error))
            }
        }
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        self.write(vec![Record::Truncated(from.index)]).await.map_err(on_write)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.write(vec![Record::Purged(upto)]).await.map_err(on_write)
    }
}

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;
    use openraft::EntryPayload;

    use super::*;

    fn entry(index: u64) -> Entry<Types> {
        Entry { log_id: LogId::new(CommittedLeaderId::new(1, 1), index), payload: EntryPayload::Blank }
    }

    #[tokio::test]
    async fn a_long_life_leaves_short_files_and_everything_that_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path()).expect("a new log");
        let vote = Vote::new(3, 7);
        log.save_vote(&vote).await.expect("it is written");
        // Names of collections may be long; what matters is that more is written than the files may hold.
        let command = |index: u64| {
            let aliases = [("a".repeat(200_000), index.to_string())].into();
            Entry { payload: EntryPayload::Normal(crate::cluster::state::Command::SetAliases { aliases }), ..entry(index) }
        };
        for index in 0..100 {
            log.write(vec![Record::Entry(Box::new(command(index)))]).await.expect("it is written");
            if index % 10 == 9 {
                log.purge(entry(index - 3).log_id).await.expect("it is written");
            }
        }
        assert!(log.0.lock().journal.bytes() < 2 * MOST_BYTES);
        drop(log);
        let mut log = Log::open(dir.path()).expect("the same log");
        assert_eq!(log.read_vote().await.expect("it is kept"), Some(vote));
        let left = log.try_get_log_entries(0..).await.expect("they are kept");
        assert_eq!(left.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>(), [97, 98, 99]);
        assert_eq!(log.get_log_state().await.expect("it is known").last_purged_log_id, Some(entry(96).log_id));
    }
}
