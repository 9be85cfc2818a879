//! The log as what replicas exchange: a primary stages batches and publishes them once all replicas have them; a replica takes
//! frames over, and gives back what turned out not to count.
//!
//! In a database opened as [replicated](crate::Options::replicated), a batch is visible only when it is published, and no job
//! moves files beyond what is. So whatever is not published lies in the log and in growing segments alone, and can be undone by
//! cutting the log and opening the collection again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::model::config::{ConfigDiff, Durability};
use crate::model::point::Lsn;
use crate::model::update::Update;
use crate::wal::{self, Tail};

use super::Collection;
use super::recover::LOG_DIRECTORY;
use super::writer::{RESERVED_BYTES, needed_bytes};

/// How long a job waits for what it needs to be published.
const PATIENCE: Duration = Duration::from_secs(2);

/// A batch in the log of a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Its position.
    pub lsn: Lsn,
    /// What replicas take over with [`Collection::follow`](crate::Collection::follow).
    pub body: Vec<u8>,
    /// Points that it inserted, changed or removed.
    pub points: u64,
}

/// A batch as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFrame {
    /// Its position.
    pub lsn: Lsn,
    /// The epoch of the primary that made it.
    pub epoch: u64,
    /// What it says.
    pub body: Vec<u8>,
}

/// How far a log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The last batch.
    pub last: Lsn,
    /// Its epoch; 0 when it lies in files already.
    pub epoch: u64,
    /// The newest batch that readers see.
    pub published: Lsn,
}

/// The epochs of the batches behind the files: the first batch of each.
#[derive(Debug, Default)]
pub(super) struct Epochs(Vec<(Lsn, u64)>);

impl Epochs {
    pub(super) fn note(&mut self, lsn: Lsn, epoch: u64) {
        if self.0.last().is_none_or(|(_, last)| *last != epoch) {
            self.0.push((lsn, epoch));
        }
    }

    fn of(&self, lsn: Lsn) -> Option<u64> {
        self.0.iter().rev().find(|(first, _)| *first <= lsn).map(|(_, epoch)| *epoch)
    }
}

impl Collection {
    /// Waits while more lies without a graph than searches should have to scan.
    pub(crate) fn wait_for_room(&self, updates: &[Update]) {
        self.wait_for_backlog(2 * needed_bytes(updates, &self.config()));
    }

    /// Logs and applies a batch that nobody sees yet.
    pub(crate) fn stage(&self, updates: Vec<Update>, epoch: u64) -> Result<Staged> {
        self.check_replicated()?;
        let logged = self.log(updates, epoch)?;
        Ok(Staged { lsn: logged.lsn, body: logged.body, points: logged.points })
    }

    /// The same for a change of the configuration.
    pub(crate) fn stage_config(&self, diff: &ConfigDiff, epoch: u64) -> Result<Staged> {
        self.check_replicated()?;
        let logged = self.log_config(diff, epoch)?;
        Ok(Staged { lsn: logged.lsn, body: logged.body, points: 0 })
    }

    /// Logs and applies a batch of the primary's log.
    pub(crate) fn follow(&self, frame: &LogFrame) -> Result<()> {
        self.check_replicated()?;
        let mut writer = self.writer.lock();
        self.check_open()?;
        if let Some(reason) = &writer.poisoned {
            return Err(Error::Poisoned { reason: reason.clone() });
        }
        if frame.lsn != writer.applied.next() {
            return Err(Error::Internal { what: format!("batch {} follows on {}", frame.lsn, writer.applied) });
        }
        // Half of what a primary keeps: a backup whose disk is about as full still follows it in deletions.
        self.check_space(RESERVED_BYTES / 2)?;
        // Decoded before it is logged: what cannot be read must not be in the log.
        let changes = Self::changes(&frame.body, &self.path)?;
        if let Some(wal) = &self.wal {
            wal.append(frame.lsn, frame.epoch, &frame.body)?;
        }
        self.epochs.lock().note(frame.lsn, frame.epoch);
        self.replay_changes(&mut writer, frame.lsn, &changes).inspect_err(|error| writer.poisoned = Some(error.to_string()))
    }

    /// Returns when the log is durable up to a batch.
    pub(crate) fn sync_log(&self, lsn: Lsn) -> Result<()> {
        let durability = self.config().durability;
        let Some(wal) = &self.wal else { return Ok(()) };
        wal.commit(lsn, durability).inspect_err(|error| {
            self.writer.lock().poisoned.get_or_insert_with(|| error.to_string());
        })
    }

    /// Shows everything up to a batch to readers.
    pub(crate) fn publish(&self, lsn: Lsn) {
        let lsn = lsn.min(self.writer.lock().applied);
        self.published.fetch_max(lsn.0, Ordering::AcqRel);
        self.wake_if_due();
    }

    pub(crate) fn log_position(&self) -> LogPosition {
        let last = self.writer.lock().applied;
        LogPosition { last, epoch: self.log_epoch(last).unwrap_or(0), published: Lsn(self.published.load(Ordering::Acquire)) }
    }

    /// The epoch of a batch; `None` when it lies in files, or was never there.
    pub(crate) fn log_epoch(&self, lsn: Lsn) -> Option<u64> {
        self.epochs.lock().of(lsn)
    }

    /// Batches behind one, as far as they have been written to the log's files.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the log begins later.
    pub(crate) fn log_after(&self, lsn: Lsn) -> Result<impl Iterator<Item = Result<LogFrame>> + use<>> {
        let tail = Tail::open(Arc::clone(&self.around.fs), &self.path.join(LOG_DIRECTORY), lsn)?;
        Ok(tail.map(|frame| frame.map(|frame| LogFrame { lsn: frame.lsn, epoch: frame.epoch, body: frame.body })))
    }

    /// Closes the collection and cuts its log behind a batch, which must not lie before what is published. Opening it again
    /// finds nothing of what followed.
    pub(crate) fn cut_log(&self, last: Lsn) -> Result<()> {
        self.check_replicated()?;
        if last.0 < self.published.load(Ordering::Acquire) {
            return Err(Error::Internal { what: format!("batch {} is published and cannot be undone", last.next()) });
        }
        self.close();
        // Nobody works on the files any more once these are held: all are taken before anything is looked at.
        let _no_job = self.maintenance.lock();
        let _no_snapshot = self.removal.write();
        let writer = self.writer.lock();
        if let Some(wal) = &self.wal {
            wal.commit(writer.applied, Durability::Sync)?;
            wal.rotate()?;
        }
        wal::cut(&self.around.fs, &self.path.join(LOG_DIRECTORY), last)
    }

    fn check_replicated(&self) -> Result<()> {
        if self.around.replicated {
            return Ok(());
        }
        Err(Error::InvalidQuery { reason: "the database is not opened as a replicated one".into() })
    }

    /// Waits until readers see a batch that files are about to hold, for it must not be undone afterwards.
    pub(super) fn wait_published(&self, lsn: Lsn) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.around.replicated && self.published.load(Ordering::Acquire) < lsn.0 {
            self.check_open()?;
            if Instant::now() > until {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// How many of the frozen segments hold only what is published; none while a change of the configuration is not.
    pub(super) fn sealable(&self, frozen: &[super::view::Frozen]) -> Option<usize> {
        if !self.around.replicated {
            return Some(frozen.len());
        }
        let published = self.published.load(Ordering::Acquire);
        let settled = self.configured.load(Ordering::Acquire) <= published;
        settled.then(|| frozen.iter().take_while(|frozen| frozen.last.0 <= published).count())
    }
}
