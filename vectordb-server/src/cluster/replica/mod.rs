//! One replica of a shard on this node: a primary that has its log copied, or a backup that takes it over.
//!
//! The rules of the protocol (`tests/model` drops each of them in turn, and loses data): what is acknowledged is durable on all
//! in-sync members; a lower epoch is refused; a learner whose admission is under way counts already, and is admitted with the
//! whole log only; a process never acts as primary in an epoch that an earlier one may have acted in; members are disks.
//!
//! Files: `confirm` (being sure that nobody else is primary), `pause` (letting writes wait for a moment).

mod confirm;
mod pause;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;
use vectordb_core::{
    Collection, CollectionConfig, ConfigDiff, Database, Error, FsRef, LogFrame, Lsn, PointId, Staged, Update, UpdateResult,
};
use vectordb_service::{Answer, Fault, Question, ServiceError, ShardId, Touched, filters, matching, named};

use crate::cluster::state::{ClusterState, Member, ShardMeta, ShardRef};

/// Bytes of frames that are kept at hand for backups.
const RECENT_BYTES: usize = 32 << 20;
/// Bytes of frames of one message.
const MESSAGE_BYTES: usize = 4 << 20;
/// How long a backup that has not heard of its primary answers reads.
const HEARD: Duration = Duration::from_secs(3);
/// How long a write waits, once it is acknowledged, until every in-sync member shows it.
const SHOWN: Duration = Duration::from_millis(300);
/// How long to wait before an admission is proposed again.
const AGAIN: Duration = Duration::from_secs(2);
/// Frames that a learner may lack when its admission begins.
const NEAR: u64 = 64;

/// A frame as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub(crate) lsn: Lsn,
    pub(crate) epoch: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
}

/// What a primary sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Append {
    pub(crate) shard: ShardRef,
    pub(crate) epoch: u64,
    /// The batch before the frames, and its epoch; 0 where the primary has it in files only.
    pub(crate) after: Lsn,
    pub(crate) after_epoch: u64,
    pub(crate) frames: Vec<Frame>,
    /// The primary's last batch.
    pub(crate) last: Lsn,
    pub(crate) commit: Lsn,
    /// Whether the primary has committed everything that its predecessor may have acknowledged.
    pub(crate) settled: bool,
    /// Whether no member that counts has a batch of an earlier primary that this one lacks.
    #[serde(default)]
    pub(crate) purged: bool,
    /// The epoch in which an operator last chose the primary.
    #[serde(default)]
    pub(crate) chosen: u64,
    /// Of the questions whether it is still the primary, the last one that came before the message. It stays where it is.
    #[serde(skip)]
    pub(crate) question: u64,
}

/// What a backup says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendReply {
    /// It has everything of the primary's log up to here, on stable storage, and shows it up to there.
    Has {
        member: Member,
        upto: Lsn,
        shown: Lsn,
        /// It is about to stop, and is not to be waited for.
        #[serde(default)]
        leaving: bool,
    },
    /// It wants what follows on this.
    Wants { after: Lsn },
    /// It knows of a newer epoch.
    Stale { epoch: u64 },
    /// It has no replica of the shard, or none that works.
    Absent,
}

impl AppendReply {
    /// The same from a node that may be about to stop.
    pub(super) fn by_one_that(self, leaves: bool) -> Self {
        match self {
            Self::Has { member, upto, shown, .. } => Self::Has { member, upto, shown, leaving: leaves },
            other => other,
        }
    }
}

/// What the file of a replica holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    /// Name of the collection in the engine; empty when the replica was removed.
    engine: String,
    /// The newest epoch it knows.
    epoch: u64,
}

struct Primary {
    /// The epoch since which it is primary without a break: what it logged in an earlier reign may be gone, and others in its place.
    reign: u64,
    /// The epoch in which an operator last chose the primary.
    chosen: u64,
    /// In-sync members but for itself.
    needed: BTreeSet<Member>,
    pending: Option<Member>,
    /// When the admission of `pending` was proposed last.
    proposed: Option<Instant>,
    matched: BTreeMap<Member, Matched>,
    /// How often it was asked whether it is still the primary.
    questions: u64,
    durable: Lsn,
    commit: Lsn,
    /// The last batch when it became primary.
    floor: Lsn,
    recent: VecDeque<Arc<Frame>>,
    recent_bytes: usize,
    /// What was written since a feed brought it to new shards.
    tracked: Option<Tracked>,
    /// Until when writes wait, for each of those that let them.
    pauses: BTreeMap<Uuid, Instant>,
}

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

/// Points that were written, for as long as this process has been primary without a break.
struct Tracked {
    /// For the feed into these new shards.
    attempt: ShardId,
    /// The last batch before that, about which nothing is known.
    since: Lsn,
    touched: Touched,
}

/// Points that a feed has to bring to new shards.
pub(crate) struct Changed {
    pub(crate) ids: Vec<PointId>,
    /// How many more there are.
    pub(crate) left: usize,
    /// Whether readers see everything that was written.
    pub(crate) is_shown: bool,
}

/// A change of the shard.
pub(crate) enum Work {
    Updates(Vec<Update>),
    Config(Box<ConfigDiff>),
}

struct Inner {
    data: Collection,
    kept: Kept,
    primary: Option<Primary>,
    /// When a settled primary of this epoch was heard of last.
    heard: Option<Instant>,
    /// The last epoch of which it is known that no member that counts has a batch of an earlier one that its primary lacks.
    purged: u64,
    /// Writes failed in a way that only a restart mends.
    failed: Option<String>,
}

/// What a sender has to do next.
pub(crate) enum Outgoing {
    Message(Append),
    /// The log begins too late: files come first.
    Files,
    /// Nothing any more: somebody else is primary.
    Nothing,
}

/// Where the replicas of a node lie.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// A small file for each of them.
    pub(crate) directory: PathBuf,
    pub(crate) fs: FsRef,
    /// Their data.
    pub(crate) db: Database,
}

/// A write that is in the log, and not known to be done.
pub(crate) struct Begun {
    data: Collection,
    pub(crate) staged: Staged,
    /// The reign of the primary that took it, and its epoch then.
    reign: u64,
    epoch: u64,
    /// The data that it was written to.
    engine: String,
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

/// One replica.
pub(crate) struct Replica {
    pub(crate) shard: ShardRef,
    me: Member,
    home: Home,
    file: PathBuf,
    inner: Mutex<Inner>,
    /// Signalled when the commit point or the role moves.
    moved: Condvar,
    /// Counts whatever senders should look at.
    news: watch::Sender<u64>,
    /// The epoch that senders were started for, and to whom.
    pub(crate) senders: Mutex<BTreeMap<u64, u64>>,
    /// The new shards that a feed was started for.
    pub(crate) feeding: Mutex<Option<ShardId>>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replica({})", self.shard)
    }
}

fn file_of(shard: ShardRef, home: &Home) -> PathBuf {
    home.directory.join(format!("{shard}.json"))
}

fn unavailable(message: impl Into<String>) -> ServiceError {
    ServiceError::new(Fault::Unavailable, message)
}

fn not_primary() -> ServiceError {
    unavailable("this node is not the primary")
}

fn unknown_outcome() -> ServiceError {
    ServiceError::internal("the shard changed its primary during the write, which may or may not have been done")
}

impl Replica {
    /// Whether there is, or was, a replica of a shard here, of which at least the epoch is known.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn is_known(shard: ShardRef, home: &Home) -> Result<bool, ServiceError> {
        Ok(home.fs.len(&file_of(shard, home))?.is_some())
    }

    /// Opens the replica of a file, or makes an empty one.
    ///
    /// # Errors
    /// Those of the engine and of the file system.
    pub(crate) fn open(shard: ShardRef, me: Member, home: &Home, config: &CollectionConfig) -> Result<Self, ServiceError> {
        let file = file_of(shard, home);
        let known: Option<Kept> = if home.fs.len(&file)?.is_some() {
            let read = serde_json::from_slice(&home.fs.read(&file)?);
            Some(read.map_err(|error| ServiceError::internal(format!("{}: {error}", file.display())))?)
        } else {
            None
        };
        let (kept, data) = match known {
            Some(kept) if !kept.engine.is_empty() => {
                let data = home.db.get(&kept.engine)?;
                (kept, data)
            }
            before => {
                let kept = Kept { engine: engine_name(shard), epoch: before.map_or(0, |before| before.epoch) };
                let data = home.db.create_collection(&kept.engine, config.clone())?;
                keep(&home.fs, &file, &kept)?;
                (kept, data)
            }
        };
        if let Some(committed) = committed(&home.fs, &file) {
            data.publish(committed);
        }
        let inner = Inner { data, kept, primary: None, heard: None, purged: 0, failed: None };
        Ok(Self {
            shard,
            me,
            home: home.clone(),
            file,
            inner: Mutex::new(inner),
            moved: Condvar::new(),
            news: watch::Sender::new(0),
            senders: Mutex::default(),
            feeding: Mutex::default(),
        })
    }

    /// Removes the replica with its data, as a state says. Its epoch stays as long as there is the shard: a node that begins with an
    /// older state, as after a loss of power, would else be primary again, without anything, in an epoch in which it was.
    pub(crate) fn remove(&self, state: &ClusterState) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        inner.primary = None;
        inner.failed = Some("the replica was removed".to_owned());
        self.moved.notify_all();
        self.tell();
        self.home.fs.remove(&committed_file(&self.file))?;
        // Before the data: a file that came back after a loss of power would speak of what is not there.
        match state.shard(self.shard) {
            Some((_, _, meta)) => {
                let epoch = meta.epoch.max(inner.kept.epoch);
                keep(&self.home.fs, &self.file, &Kept { engine: String::new(), epoch })?;
            }
            None => {
                self.home.fs.remove(&self.file)?;
                self.home.fs.sync_dir(&self.home.directory)?;
            }
        }
        self.home.db.drop_collection(&inner.kept.engine)?;
        Ok(())
    }

    /// Takes note of what was agreed on about the shard. In an epoch that is new to this disk, the replica may be its primary.
    pub(crate) fn learn(&self, meta: &ShardMeta) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        if meta.epoch <= inner.kept.epoch {
            return Ok(());
        }
        if meta.chosen > inner.kept.epoch && meta.primary != self.me {
            self.forget(&mut inner, meta.epoch)?;
        } else {
            self.raise(&mut inner, meta.epoch)?;
        }
        let old = inner.primary.take();
        inner.heard = None;
        if meta.primary == self.me && meta.in_sync.contains(&self.me) && inner.failed.is_none() {
            let position = inner.data.log_position();
            // What waits in memory for a sync of its writer is not durable yet.
            inner.data.sync_log(position.last)?;
            let reign = old.as_ref().map_or(meta.epoch, |old| old.reign);
            let (recent, recent_bytes, tracked) = old.map(|old| (old.recent, old.recent_bytes, old.tracked)).unwrap_or_default();
            inner.primary = Some(Primary {
                reign,
                chosen: meta.chosen,
                needed: meta.in_sync.iter().copied().filter(|member| *member != self.me).collect(),
                pending: None,
                proposed: None,
                matched: BTreeMap::new(),
                durable: position.last,
                commit: position.published,
                floor: position.last,
                recent,
                recent_bytes,
                tracked,
                questions: 0,
                pauses: BTreeMap::new(),
            });
            self.advance(&mut inner);
        }
        self.moved.notify_all();
        self.tell();
        Ok(())
    }

    /// Whether the replica should ask for an epoch of its own: it is the primary, but another process was in this epoch.
    pub(crate) fn wants_epoch(&self, meta: &ShardMeta) -> bool {
        let inner = self.inner.lock();
        meta.primary == self.me && meta.epoch == inner.kept.epoch && inner.primary.is_none() && inner.failed.is_none()
    }

    /// Whether it is not to be here any more. What knows of a later epoch than a state is not touched: the state is an old one then,
    /// which this node has yet to see the rest of.
    pub(super) fn is_dismissed(&self, state: &ClusterState) -> bool {
        match state.shard(self.shard) {
            Some((_, _, meta)) => !meta.replicas.contains(&self.me.peer) && meta.epoch >= self.inner.lock().kept.epoch,
            None => state.is_gone(self.shard),
        }
    }

    /// The name of its data in the engine.
    pub(crate) fn engine(&self) -> String {
        self.inner.lock().kept.engine.clone()
    }

    fn raise(&self, inner: &mut Inner, epoch: u64) -> Result<(), ServiceError> {
        let kept = Kept { epoch, ..inner.kept.clone() };
        keep(&self.home.fs, &self.file, &kept)?;
        inner.kept = kept;
        Ok(())
    }

    /// Lets go of everything, for an operator chose another replica that may not have it.
    fn forget(&self, inner: &mut Inner, epoch: u64) -> Result<(), ServiceError> {
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
        inner.heard = None;
        inner.failed = None;
        // What the old data had committed says nothing about the new.
        drop(self.home.fs.remove(&committed_file(&self.file)));
        self.home.db.drop_collection(&old)?;
        Ok(())
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news += 1);
    }

    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The collection of the engine, if it has everything acknowledged: that of the primary, or of a backup that hears of it.
    pub(crate) fn readable(&self) -> Option<Collection> {
        self.readable_at(Instant::now())
    }

    pub(super) fn readable_at(&self, now: Instant) -> Option<Collection> {
        let inner = self.inner.lock();
        let knows = match &inner.primary {
            Some(primary) => primary.commit >= primary.floor,
            None => inner.heard.is_some_and(|heard| now.saturating_duration_since(heard) < HEARD),
        };
        knows.then(|| inner.data.clone())
    }

    pub(crate) fn ask(&self, question: &Question) -> Result<Answer, ServiceError> {
        let data = self.readable().ok_or_else(|| unavailable("the replica has not caught up"))?;
        question.answer(&data)
    }

    pub(crate) fn data(&self) -> Collection {
        self.inner.lock().data.clone()
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.inner.lock().primary.is_some()
    }

    /// The epoch in which it is primary.
    pub(crate) fn acting_epoch(&self) -> Option<u64> {
        let inner = self.inner.lock();
        inner.primary.as_ref().map(|_| inner.kept.epoch)
    }

    /// A write, through the primary: staged, made durable here and on all members that count, and shown. Nothing when it was not done:
    /// it is not admitted, which is asked when no other write can come between, or another primary came that never heard of it.
    pub(crate) fn write(
        &self,
        least: usize,
        deadline: Instant,
        admits: impl FnOnce() -> Result<bool, ServiceError>,
        work: Work,
    ) -> Result<Option<UpdateResult>, ServiceError> {
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
    pub(super) fn settle(&self, begun: &Begun) -> Result<(), ServiceError> {
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
    pub(super) fn fate(&self, begun: &Begun) -> Option<Fate> {
        self.inner.lock().fate(begun)
    }

    /// Puts a write into the log.
    pub(super) fn begin(
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
        let Some(primary) = &mut inner.primary else { return Err(not_primary()) };
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
            tracked.touched.note(touched, staged.lsn);
        }
        primary.remember(Arc::new(Frame { lsn: staged.lsn, epoch, body: staged.body.clone() }));
        let (reign, engine) = (primary.reign, inner.kept.engine.clone());
        drop(inner);
        Ok(Some(Begun { data, staged, reign, epoch, engine }))
    }

    /// From now on notes which points are written, as long as it is primary. The last batch before; none when it is no primary, or
    /// notes them for a later attempt already.
    pub(crate) fn track(&self, attempt: ShardId) -> Option<Lsn> {
        let mut inner = self.inner.lock();
        let since = inner.data.log_position().last;
        let primary = inner.primary.as_mut()?;
        if primary.tracked.as_ref().is_some_and(|tracked| tracked.attempt > attempt) {
            return None;
        }
        primary.tracked = Some(Tracked { attempt, since, touched: Touched::default() });
        Some(since)
    }

    /// Points that were written since they were asked for last, as far as readers see that; none when nobody noted them.
    pub(crate) fn changed(&self, attempt: ShardId, most: usize) -> Option<Changed> {
        let mut inner = self.inner.lock();
        let position = inner.data.log_position();
        let tracked = inner.primary.as_mut()?.tracked.as_mut().filter(|tracked| tracked.attempt == attempt)?;
        let ids = tracked.touched.take(most, position.published);
        Some(Changed { ids, left: tracked.touched.len(), is_shown: position.published == position.last })
    }

    /// Notes nothing any more.
    pub(crate) fn untrack(&self, attempt: ShardId) {
        if let Some(primary) = &mut self.inner.lock().primary {
            primary.tracked.take_if(|tracked| tracked.attempt == attempt);
        }
    }

    /// Has points asked for again.
    pub(crate) fn note_again(&self, attempt: ShardId, ids: Vec<PointId>) {
        let mut inner = self.inner.lock();
        let tracked = inner.primary.as_mut().and_then(|primary| primary.tracked.as_mut());
        if let Some(tracked) = tracked.filter(|tracked| tracked.attempt == attempt) {
            tracked.touched.note(ids, Lsn::ZERO);
        }
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

    /// Waits until something holds for the primary and the last batch of its log; false when it takes too long.
    ///
    /// # Errors
    /// [`Unavailable`](Fault::Unavailable) when this is not the primary, or no longer in the same epoch; and those of `holds`.
    fn wait_as_primary(
        &self,
        inner: &mut MutexGuard<'_, Inner>,
        until: Instant,
        holds: impl Fn(&Primary, Lsn) -> Result<bool, ServiceError>,
    ) -> Result<bool, ServiceError> {
        let epoch = inner.kept.epoch;
        loop {
            let (now, last) = (inner.kept.epoch, inner.data.log_position().last);
            let primary = inner.primary.as_ref().filter(|_| now == epoch).ok_or_else(not_primary)?;
            if holds(primary, last)? {
                return Ok(true);
            }
            if self.moved.wait_until(inner, until).timed_out() {
                return Ok(false);
            }
        }
    }

    /// Moves the commit point as far as all that count have come.
    fn advance(&self, inner: &mut Inner) {
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
        let is_due = primary.proposed.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN);
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
        if let Err(error) = result {
            inner.failed = Some(error.to_string());
            return Err(error);
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

    /// Writes the files of the shard into a new directory, for a replica that is far behind.
    pub(crate) fn snapshot(&self, target: &Path) -> Result<Lsn, ServiceError> {
        Ok(self.data().snapshot(target)?)
    }

    /// Puts files of the primary in the place of the data.
    pub(crate) fn install(&self, epoch: u64, files: &Path) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        if epoch < inner.kept.epoch || inner.primary.is_some() {
            return Err(unavailable("another epoch has begun"));
        }
        let engine = engine_name(self.shard);
        let data = self.home.db.restore(&engine, files)?;
        self.replace_data(&mut inner, data, Kept { engine, epoch })
    }

    /// Notes the commit point in a file, so that a restart need not compare what lies before it. An older one is true as well,
    /// so nothing waits for the disk.
    pub(crate) fn note_commit(&self) {
        let published = self.data().log_position().published;
        if committed(&self.home.fs, &self.file) != Some(published) {
            let file = committed_file(&self.file);
            let line = format!("{published} {:08x}\n", checksum(published));
            if replace(&self.home.fs, &file, line.as_bytes(), false).is_err() {
                tracing::debug!(file = %file.display(), "the commit point is not noted");
            }
        }
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
        if self.failed.is_some() || self.kept.engine != begun.engine {
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

impl Tracked {
    /// The ids that updates may concern; none while that cannot be said. What a filter holds for when they are applied, it holds for
    /// in what readers see, or an update that they do not see yet has written it, and that is noted.
    fn concerned(&self, data: &Collection, updates: &[Update]) -> Result<Option<Vec<PointId>>, ServiceError> {
        let mut ids = named(updates);
        let mut by_filter = filters(updates).peekable();
        if by_filter.peek().is_some() {
            let shown = data.log_position().published;
            if shown < self.since {
                return Ok(None);
            }
            ids.extend(self.touched.hidden(shown));
            for filter in by_filter {
                ids.extend(matching(data, filter)?);
            }
        }
        Ok(Some(ids))
    }
}

impl Primary {
    /// Whether all that count have taken its log up to where it began, and have dropped what they had of others behind that.
    fn has_purged(&self) -> bool {
        let has = |known: &Matched| known.whole || known.upto > self.floor;
        self.counting().all(|member| self.matched.get(member).is_some_and(has))
    }

    /// Whom writes wait for.
    fn counting(&self) -> impl Iterator<Item = &Member> {
        self.needed.iter().chain(&self.pending)
    }

    fn remember(&mut self, frame: Arc<Frame>) {
        self.recent_bytes += frame.body.len();
        self.recent.push_back(frame);
        while self.recent_bytes > RECENT_BYTES
            && let Some(old) = self.recent.pop_front()
        {
            self.recent_bytes -= old.body.len();
        }
    }
}

fn up_to_a_message(frames: impl Iterator<Item = vectordb_core::Result<Frame>>) -> Result<Vec<Frame>, ServiceError> {
    let (mut message, mut bytes) = (Vec::new(), 0);
    for frame in frames {
        let frame = frame?;
        bytes += frame.body.len();
        message.push(frame);
        if bytes >= MESSAGE_BYTES {
            break;
        }
    }
    Ok(message)
}

/// A name that no collection of the engine has had.
fn engine_name(shard: ShardRef) -> String {
    format!("{shard}-{}", uuid::Uuid::new_v4())
}

fn keep(fs: &FsRef, file: &Path, kept: &Kept) -> Result<(), ServiceError> {
    let bytes = serde_json::to_vec(kept).map_err(|error| ServiceError::internal(error.to_string()))?;
    Ok(replace(fs, file, &bytes, true)?)
}

/// Replaces a small file as a whole.
fn replace(fs: &FsRef, path: &Path, bytes: &[u8], durably: bool) -> Result<(), Error> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let file = fs.create(&aside)?;
    file.write_at(0, bytes)?;
    if durably {
        file.sync()?;
    }
    drop(file);
    fs.rename(&aside, path)?;
    if durably { fs.sync_dir(path.parent().unwrap_or(Path::new("."))) } else { Ok(()) }
}

fn committed_file(file: &Path) -> PathBuf {
    file.with_extension("committed")
}

fn committed(fs: &FsRef, file: &Path) -> Option<Lsn> {
    let text = String::from_utf8(fs.read(&committed_file(file)).ok()?).ok()?;
    let (lsn, sum) = text.trim_end().split_once(' ')?;
    let lsn = Lsn(lsn.parse().ok()?);
    (u32::from_str_radix(sum, 16).ok()? == checksum(lsn)).then_some(lsn)
}

fn checksum(lsn: Lsn) -> u32 {
    lsn.0.to_le_bytes().iter().fold(0x811c_9dc5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
