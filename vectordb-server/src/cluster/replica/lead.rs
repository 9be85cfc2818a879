//! What a primary sends to its backups, and what it makes of their answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vectordb_core::{LogFrame, Lsn};
use vectordb_service::ServiceError;

use super::message::up_to_a_message;
use super::{Append, Frame, Inner, Primary, Replica};
use crate::cluster::state::Member;

/// Bytes of frames that are kept at hand for backups.
const RECENT_BYTES: usize = 32 << 20;
/// How long to wait before an admission is proposed again.
const ADMITTED_AGAIN: Duration = Duration::from_secs(2);
/// Frames that a learner may lack when its admission begins.
const NEAR: u64 = 64;

/// What a primary knows of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Matched {
    /// It has everything up to here.
    pub(crate) upto: Lsn,
    /// It shows everything up to here.
    pub(crate) shown: Lsn,
    /// It has answered a message behind this question.
    pub(crate) question: u64,
    /// It has answered a message with all that there was, and dropped whatever else it had.
    pub(crate) whole: bool,
}

/// What a sender has to do next.
pub(crate) enum Outgoing {
    Message(Append),
    /// The log begins too late: files come first.
    Files,
    /// Nothing any more: somebody else is primary.
    Nothing,
}

impl Replica {
    /// Moves the commit point as far as all that count have come.
    pub(super) fn advance(&self, inner: &mut Inner) {
        let Some(primary) = &mut inner.primary else { return };
        let least = primary.counting().map(|member| primary.matched.get(member).map_or(Lsn::ZERO, |known| known.upto)).min();
        let commit = least.unwrap_or(primary.durable).min(primary.durable);
        if commit > primary.commit {
            primary.commit = commit;
            inner.data.publish(commit);
            self.moved.notify_all();
            self.tell();
        }
    }

    /// What to send to a peer that is thought to have everything up to `after`; unknown at first.
    pub(crate) fn outgoing(&self, epoch: u64, after: Option<Lsn>) -> Result<Outgoing, ServiceError> {
        let inner = self.inner.lock();
        let Some(primary) = inner.primary.as_ref().filter(|_| inner.kept.epoch == epoch) else { return Ok(Outgoing::Nothing) };
        let last = inner.data.log_position().last;
        let after = after.unwrap_or(last).min(last);
        let mut message = Append {
            shard: self.shard,
            epoch,
            after,
            after_epoch: inner.data.log_epoch(after).unwrap_or(0),
            frames: Vec::new(),
            last,
            commit: primary.commit,
            settled: primary.commit >= primary.floor,
            purged: primary.has_purged(),
            chosen: primary.chosen,
            question: primary.questions,
        };
        if after == last {
            return Ok(Outgoing::Message(message));
        }
        if let Some(first) = primary.recent.front().filter(|first| first.lsn <= after.next()) {
            let skip = usize::try_from(after.next().0 - first.lsn.0).unwrap_or(usize::MAX);
            message.frames = up_to_a_message(primary.recent.iter().skip(skip).map(|frame| Ok((**frame).clone())))?;
            return Ok(Outgoing::Message(message));
        }
        let data = inner.data.clone();
        drop(inner);
        let Ok(tail) = data.log_after(after) else { return Ok(Outgoing::Files) };
        let frame = |frame: vectordb_core::Result<LogFrame>| frame.map(|LogFrame { lsn, epoch, body }| Frame { lsn, epoch, body });
        message.frames = up_to_a_message(tail.map(frame))?;
        // Of a log whose batches all lie in files there is nothing left to send.
        if message.frames.first().is_none_or(|first| first.lsn != after.next()) {
            return Ok(Outgoing::Files);
        }
        Ok(Outgoing::Message(message))
    }

    /// Notes what a member has. True when its admission should be proposed now.
    pub(crate) fn acknowledged(&self, epoch: u64, member: Member, heard: Matched, is_wanted: bool, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        let last = inner.data.log_position().last;
        let current = inner.kept.epoch == epoch;
        let Some(primary) = inner.primary.as_mut().filter(|_| current) else { return false };
        let known = primary.matched.entry(member).or_default();
        let upto = heard.upto;
        let had_purged = known.upto > primary.floor || known.whole;
        *known = Matched {
            upto: known.upto.max(upto),
            shown: known.shown.max(heard.shown),
            question: known.question.max(heard.question),
            whole: known.whole || heard.whole,
        };
        // A peer that answers with another disk has lost the one that was to be admitted, and writes would wait for it for ever.
        if primary.pending.take_if(|pending| pending.peer == member.peer && *pending != member).is_some() {
            primary.proposed = None;
        }
        if !primary.needed.contains(&member) && is_wanted && primary.pending.is_none() && upto.0 + NEAR >= last.0 {
            primary.pending = Some(member);
        }
        // Writes wait for it from now on, so a proposal that was not heard is made again.
        let is_due = primary.proposed.is_none_or(|at| now.saturating_duration_since(at) >= ADMITTED_AGAIN);
        let admits = primary.pending == Some(member) && upto >= last && is_due;
        if admits {
            primary.proposed = Some(now);
        }
        let purged = !had_purged && primary.has_purged();
        self.advance(&mut inner);
        self.moved.notify_all();
        if purged {
            // Whoever was primary before may have writers that wait to hear it.
            self.tell();
        }
        admits
    }

    /// Whether writes wait for a member, so that it must leave if it stays silent.
    pub(crate) fn counts(&self, peer: u64) -> Option<Member> {
        let inner = self.inner.lock();
        let primary = inner.primary.as_ref()?;
        primary.counting().copied().find(|member| member.peer == peer)
    }
}

impl Primary {
    /// Whether all that count have taken its log up to where it began, and have dropped what they had of others behind that.
    pub(super) fn has_purged(&self) -> bool {
        let has = |known: &Matched| known.whole || known.upto > self.floor;
        self.counting().all(|member| self.matched.get(member).is_some_and(has))
    }

    /// Whom writes wait for.
    pub(super) fn counting(&self) -> impl Iterator<Item = &Member> {
        self.needed.iter().chain(&self.pending)
    }

    pub(super) fn remember(&mut self, frame: Arc<Frame>) {
        self.recent_bytes += frame.body.len();
        self.recent.push_back(frame);
        while self.recent_bytes > RECENT_BYTES
            && let Some(old) = self.recent.pop_front()
        {
            self.recent_bytes -= old.body.len();
        }
    }
}
