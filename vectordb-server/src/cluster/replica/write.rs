//! Writes through the primary, and what becomes of them when it is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vectordb_core::{Collection, ConfigDiff, Staged, Update, UpdateResult};
use vectordb_service::{Fault, ServiceError};

use super::{Frame, Inner, Replica, unavailable};
use crate::cluster::state::Member;

/// How long a write waits, once it is acknowledged, until every in-sync member shows it.
const SHOWN: Duration = Duration::from_millis(300);

/// A change of the shard.
pub(crate) enum Work {
    Updates(Vec<Update>),
    Config(Box<ConfigDiff>),
}

/// A write that is in the log, and not known to be done.
pub(crate) struct Begun {
    data: Collection,
    pub(crate) staged: Staged,
    /// The reign of the primary that took it, and its epoch then.
    reign: u64,
    epoch: u64,
    /// Which data it was written to.
    data_number: u64,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// It was not done, and never will be.
    Undone,
    /// Nobody here will ever know.
    Unknown,
}

/// Counts a write for as long as it is under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn unknown_outcome() -> ServiceError {
    ServiceError::internal("the shard changed its primary during the write, which may or may not have been done")
}

impl Replica {
    /// A write, through the primary: staged, made durable here and on all members that count, and shown. Nothing when it was not done:
    /// this is no primary any more, it is not admitted, which is asked when no other write can come between, or another primary came
    /// that never heard of it.
    pub(crate) fn write(
        &self,
        least: usize,
        deadline: Instant,
        admits: impl FnOnce() -> Result<bool, ServiceError>,
        work: Work,
    ) -> Result<Option<UpdateResult>, ServiceError> {
        let _under_way = UnderWay::new(&self.writing);
        let Some(begun) = self.begin(least, admits, work)? else { return Ok(None) };
        self.settle(&begun)?;
        let done = UpdateResult { lsn: begun.staged.lsn, points: begun.staged.points };
        match self.wait_decided(&begun, deadline)? {
            Fate::Done => Ok(Some(done)),
            Fate::Undone => Ok(None),
            Fate::Unknown => Err(unknown_outcome()),
        }
    }

    /// Makes a write that has begun durable here, and counts that.
    pub(crate) fn settle(&self, begun: &Begun) -> Result<(), ServiceError> {
        self.tell();
        let lsn = begun.staged.lsn;
        let synced = begun.data.sync_log(lsn);
        let mut inner = self.inner.lock();
        let Some(primary) = inner.primary.as_mut().filter(|primary| primary.reign == begun.reign) else { return Ok(()) };
        if let Err(error) = synced {
            inner.failed = Some(error.to_string());
            inner.primary = None;
            self.moved.notify_all();
            return Err(error.into());
        }
        primary.durable = primary.durable.max(lsn);
        self.advance(&mut inner);
        Ok(())
    }

    /// What became of a write that has settled; nothing while that is not known.
    #[cfg(test)]
    pub(crate) fn fate(&self, begun: &Begun) -> Option<Fate> {
        self.inner.lock().fate(begun)
    }

    /// Puts a write into the log.
    pub(crate) fn begin(
        &self,
        least: usize,
        admits: impl FnOnce() -> Result<bool, ServiceError>,
        work: Work,
    ) -> Result<Option<Begun>, ServiceError> {
        let mut inner = self.inner.lock();
        if let Some(reason) = &inner.failed {
            return Err(unavailable(format!("the shard's log failed: {reason}")));
        }
        let epoch = inner.kept.epoch;
        let data = inner.data.clone();
        let Some(primary) = &mut inner.primary else { return Ok(None) };
        if primary.is_paused(Instant::now()) || !admits()? {
            return Ok(None);
        }
        let members = primary.needed.len() + 1;
        if members < least {
            let message = format!("{members} replicas are in sync, and write_consistency_factor asks for {least}");
            return Err(unavailable(message));
        }
        let touched = match (&primary.tracked, &work) {
            (Some(tracked), Work::Updates(updates)) => match tracked.concerned(&data, updates)? {
                Some(ids) => ids,
                None => return Ok(None),
            },
            _ => Vec::new(),
        };
        let staged = match work {
            Work::Updates(updates) => data.stage(updates, epoch)?,
            Work::Config(diff) => data.stage_config(&diff, epoch)?,
        };
        if let Some(tracked) = &mut primary.tracked {
            tracked.note(touched, staged.lsn);
        }
        primary.remember(Arc::new(Frame { lsn: staged.lsn, epoch, body: staged.body.clone() }));
        let (reign, data_number) = (primary.reign, inner.data_number);
        drop(inner);
        Ok(Some(Begun { data, staged, reign, epoch, data_number }))
    }

    fn wait_decided(&self, begun: &Begun, deadline: Instant) -> Result<Fate, ServiceError> {
        let mut inner = self.inner.lock();
        loop {
            match inner.fate(begun) {
                Some(Fate::Done) => break,
                Some(fate) => return Ok(fate),
                None => {}
            }
            if self.moved.wait_until(&mut inner, deadline).timed_out() {
                return Err(ServiceError::new(Fault::Timeout, "not every in-sync replica has answered; the write may yet be done"));
            }
        }
        // So that whoever was told finds it wherever he asks next. What does not answer in time leaves the set soon anyway.
        let until = deadline.min(Instant::now() + SHOWN);
        while let Some(primary) = &inner.primary {
            let shown = |member: &Member| primary.matched.get(member).is_some_and(|known| known.shown >= begun.staged.lsn);
            if primary.needed.iter().all(shown) || self.moved.wait_until(&mut inner, until).timed_out() {
                break;
            }
        }
        Ok(Fate::Done)
    }
}

impl Inner {
    /// A batch that a later primary has is done when that one's commit point has passed it. It never will be once another batch is
    /// committed in its place, or once nobody who may be primary has it.
    fn fate(&self, begun: &Begun) -> Option<Fate> {
        let lsn = begun.staged.lsn;
        if let Some(primary) = self.primary.as_ref().filter(|primary| primary.reign == begun.reign) {
            return (primary.commit >= lsn).then_some(Fate::Done);
        }
        if self.failed.is_some() || self.data_number != begun.data_number {
            return Some(Fate::Unknown);
        }
        let position = self.data.log_position();
        match (lsn <= position.last).then(|| self.data.log_epoch(lsn)) {
            Some(Some(epoch)) if epoch == begun.epoch => (position.published >= lsn).then_some(Fate::Done),
            // It lies in files, which do not tell whose it was.
            Some(None) => Some(Fate::Unknown),
            _ => {
                let purged = match &self.primary {
                    Some(primary) if primary.has_purged() => self.kept.epoch,
                    _ => self.purged,
                };
                (position.published >= lsn || purged > begun.epoch).then_some(Fate::Undone)
            }
        }
    }
}
