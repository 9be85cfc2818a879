//! One replica of a shard on this node: a primary that has its log copied, or a backup that takes it over.
//!
//! The rules of the protocol (`tests/model` drops each of them in turn, and loses data): what is acknowledged is durable on all
//! in-sync members; a lower epoch is refused; a learner whose admission is under way counts already, and is admitted with the
//! whole log only; a process never acts as primary in an epoch that an earlier one may have acted in; members are disks.
//!
//! Files: `write` (through the primary), `lead` and `follow` (the two sides of copying the log), `message` (what they say), `tracked`
//! (what a resharding has to bring over once more), `confirm` (being sure that nobody else is primary), `pause` (letting writes wait for
//! a moment), `files` (what lies beside the data).

mod confirm;
mod files;
mod follow;
mod lead;
mod message;
mod pause;
mod tracked;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::watch;
use uuid::Uuid;
use vectordb_core::{Collection, CollectionConfig, Database, FsRef, Lsn};
use vectordb_service::{Answer, Fault, Question, ServiceError, ShardId};

use crate::cluster::state::{ClusterState, Member, ShardMeta, ShardRef};
use files::{Kept, committed, committed_file, engine_name, file_of, keep};
pub(crate) use follow::Standing;
pub(crate) use lead::{Matched, Outgoing};
pub(crate) use message::{Append, AppendReply, Frame};
use tracked::Tracked;
pub(crate) use write::Work;
#[cfg(test)]
pub(crate) use write::{Begun, Fate};

/// How long a backup that has not heard of its primary answers reads.
const HEARD: Duration = Duration::from_secs(3);
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

struct Inner {
    data: Collection,
    /// Counts the data that was here: what was written to other data is gone.
    data_number: u64,
    kept: Kept,
    primary: Option<Primary>,
    /// When a settled primary of this epoch was heard of last.
    heard: Option<Instant>,
    /// The last epoch of which it is known that no member that counts has a batch of an earlier one that its primary lacks.
    purged: u64,
    /// Writes failed in a way that only a restart mends.
    failed: Option<String>,
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

/// One replica.
pub(crate) struct Replica {
    pub(crate) shard: ShardRef,
    me: Member,
    home: Home,
    file: PathBuf,
    inner: Mutex<Inner>,
    /// Signalled when the commit point or the role moves.
    moved: Condvar,
    /// How many writes are under way.
    writing: AtomicUsize,
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

fn unavailable(message: impl Into<String>) -> ServiceError {
    ServiceError::new(Fault::Unavailable, message)
}

fn not_primary() -> ServiceError {
    unavailable("this node is not the primary")
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
        let inner = Inner { data, data_number: 0, kept, primary: None, heard: None, purged: 0, failed: None };
        Ok(Self {
            shard,
            me,
            home: home.clone(),
            file,
            inner: Mutex::new(inner),
            moved: Condvar::new(),
            writing: AtomicUsize::new(0),
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

    /// Whether somebody waits for the next primary to say what became of a write that this one took.
    pub(crate) fn is_awaited(&self) -> bool {
        self.writing.load(Ordering::Acquire) > 0 && !self.is_primary()
    }

    /// Since when it is the primary without a break.
    pub(crate) fn reign(&self) -> Option<u64> {
        self.inner.lock().primary.as_ref().map(|primary| primary.reign)
    }

    /// The epoch in which it is primary.
    pub(crate) fn acting_epoch(&self) -> Option<u64> {
        let inner = self.inner.lock();
        inner.primary.as_ref().map(|_| inner.kept.epoch)
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

    /// Writes the files of the shard into a new directory, for a replica that is far behind.
    pub(crate) fn snapshot(&self, target: &Path) -> Result<Lsn, ServiceError> {
        Ok(self.data().snapshot(target)?)
    }
}
