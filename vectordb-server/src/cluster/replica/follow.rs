//! What a backup does with what its primary sends.

use std::path::Path;
use std::time::Instant;

use vectordb_core::{Collection, LogFrame, Lsn};
use vectordb_service::{Fault, ServiceError};

use super::files::{Kept, committed_file, engine_name, keep};
use super::{Append, AppendReply, Inner, Replica, unavailable};

/// Which data a replica has, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    data_number: u64,
    last: Lsn,
}

impl Standing {
    fn of(inner: &Inner) -> Self {
        Self { data_number: inner.data_number, last: inner.data.log_position().last }
    }
}

impl Replica {
    /// Takes over what a primary sends.
    pub(crate) fn append(&self, message: &Append, now: Instant) -> Result<AppendReply, ServiceError> {
        let mut inner = self.inner.lock();
        if inner.failed.is_some() {
            return Ok(AppendReply::Absent);
        }
        let refuses = message.epoch < inner.kept.epoch || message.epoch == inner.kept.epoch && inner.primary.is_some();
        if refuses {
            return Ok(AppendReply::Stale { epoch: inner.kept.epoch });
        }
        if message.epoch > inner.kept.epoch {
            if message.chosen > inner.kept.epoch {
                self.forget(&mut inner, message.epoch)?;
            } else {
                self.raise(&mut inner, message.epoch)?;
            }
            inner.primary = None;
            inner.heard = None;
            self.moved.notify_all();
        }
        let position = inner.data.log_position();
        if message.after > position.last {
            return Ok(AppendReply::Wants { after: position.last });
        }
        let agrees = message.after <= position.published || inner.data.log_epoch(message.after) == Some(message.after_epoch);
        if !agrees {
            return Ok(AppendReply::Wants { after: position.published });
        }
        let result = self.take(&mut inner, message);
        match result {
            Ok(()) => {}
            // The rest was not begun, and can follow once there is room.
            Err(error) if error.fault == Fault::OutOfSpace => {
                return Ok(AppendReply::Full { member: self.me, after: inner.data.log_position().last });
            }
            Err(error) => {
                inner.failed = Some(error.to_string());
                return Err(error);
            }
        }
        let upto = Lsn(message.after.0 + message.frames.len() as u64);
        let data = inner.data.clone();
        drop(inner);
        // Others may append behind this meanwhile, and share the sync.
        data.sync_log(upto)?;
        let mut inner = self.inner.lock();
        if inner.kept.epoch != message.epoch {
            return Ok(AppendReply::Stale { epoch: inner.kept.epoch });
        }
        inner.data.publish(message.commit.min(upto));
        if message.settled && message.commit <= inner.data.log_position().published {
            inner.heard = Some(now);
        }
        if message.purged {
            inner.purged = message.epoch;
        }
        // Writers that this replica had as a primary wait for what becomes of their batches.
        self.moved.notify_all();
        let shown = inner.data.log_position().published;
        Ok(AppendReply::Has { member: self.me, upto, shown, leaving: false })
    }

    /// Appends frames, in the place of those of other epochs that turned out not to count.
    fn take(&self, inner: &mut Inner, message: &Append) -> Result<(), ServiceError> {
        for frame in &message.frames {
            let position = inner.data.log_position();
            if frame.lsn <= position.published {
                continue;
            }
            if frame.lsn <= position.last {
                if inner.data.log_epoch(frame.lsn) == Some(frame.epoch) {
                    continue;
                }
                self.cut(inner, Lsn(frame.lsn.0 - 1))?;
            }
            inner.data.follow(&LogFrame { lsn: frame.lsn, epoch: frame.epoch, body: frame.body.clone() })?;
        }
        // A tail that the primary does not have is of an older epoch; what it sent itself is never taken back.
        let position = inner.data.log_position();
        if position.last > message.last && position.epoch < message.epoch {
            self.cut(inner, message.last)?;
        }
        Ok(())
    }

    fn cut(&self, inner: &mut Inner, last: Lsn) -> Result<(), ServiceError> {
        let published = inner.data.log_position().published;
        tracing::info!(shard = %self.shard, behind = %last, "taking back batches that were never acknowledged");
        inner.data = self.home.db.cut_log(&inner.kept.engine, last)?;
        inner.data.publish(published);
        Ok(())
    }

    /// What there is now.
    pub(crate) fn standing(&self) -> Standing {
        Standing::of(&self.inner.lock())
    }

    /// Puts files of the primary in the place of data, if that is what it was when they were offered: what came meanwhile by the log
    /// may count already.
    pub(crate) fn install(&self, epoch: u64, files: &Path, instead_of: Standing) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        if epoch < inner.kept.epoch || inner.primary.is_some() {
            return Err(unavailable("another epoch has begun"));
        }
        if Standing::of(&inner) != instead_of {
            return Err(unavailable("the log has gone on meanwhile"));
        }
        let engine = engine_name(self.shard);
        let data = self.home.db.restore(&engine, files)?;
        self.replace_data(&mut inner, data, Kept { engine, epoch })
    }

    /// Lets go of everything, for an operator chose another replica that may not have it.
    pub(super) fn forget(&self, inner: &mut Inner, epoch: u64) -> Result<(), ServiceError> {
        let engine = engine_name(self.shard);
        tracing::warn!(shard = %self.shard, last = %inner.data.log_position().last, "another replica was chosen: this one begins anew");
        let data = self.home.db.create_collection(&engine, inner.data.config())?;
        self.replace_data(inner, data, Kept { engine, epoch })
    }

    /// Puts other data in the place of what there is.
    fn replace_data(&self, inner: &mut Inner, data: Collection, kept: Kept) -> Result<(), ServiceError> {
        if let Err(error) = keep(&self.home.fs, &self.file, &kept) {
            drop(self.home.db.drop_collection(&kept.engine));
            return Err(error);
        }
        let old = std::mem::replace(&mut inner.kept, kept).engine;
        inner.data = data;
        inner.data_number += 1;
        inner.heard = None;
        inner.failed = None;
        // What the old data had committed says nothing about the new.
        drop(self.home.fs.remove(&committed_file(&self.file)));
        self.home.db.drop_collection(&old)?;
        Ok(())
    }
}
