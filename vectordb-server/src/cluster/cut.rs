//! Shards as they are at one moment: a consistent cut (Chandy & Lamport 1985) through the shards of a collection.
//!
//! Each primary lets writes wait and gives its files second names. Once all have done so, each says that it was the primary all the
//! while, and lets writes go on. There was a moment then at which all stood still, so that a write that is in the cut never began behind
//! one that is not.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectordb_core::Lsn;
use vectordb_service::{Fault, HeldShard, ServiceError};

use super::client::PeerError;
use super::files::{Scratch, TIMEOUT};
use super::node::Shared;
use super::replica::Replica;
use super::route::Reply;
use super::state::{PeerId, ShardRef};

/// How long writes wait at most; who writes waits for longer than that before he gives up.
const PAUSE: Duration = Duration::from_secs(5);

/// What a primary is asked on behalf of a cut.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Step {
    /// Let writes wait, and keep the files as they are.
    Hold,
    /// Be sure that you were the primary until now, and let writes go on.
    Release,
    /// Nothing more is needed: neither the files, nor that writes wait.
    Forget,
}

/// A step of the cut of a name.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Cut {
    pub(super) shard: ShardRef,
    pub(super) name: Uuid,
}

/// The files of a shard that are kept for whoever asked for them.
#[derive(Debug)]
pub(super) struct Kept {
    since: Instant,
    /// The last batch that is in them.
    last: Lsn,
    files: Scratch,
}

/// A shard whose primary has kept its files.
#[derive(Debug)]
struct Held {
    node: Weak<Shared>,
    primary: PeerId,
    cut: Cut,
}

impl Shared {
    /// Takes a step as the primary of the shard; nothing when it is elsewhere.
    pub(super) fn step_here(&self, cut: Cut, step: Step) -> Option<Result<(), ServiceError>> {
        let replica = self.replica(cut.shard).filter(|replica| replica.is_primary());
        if matches!(step, Step::Forget) {
            self.kept.lock().remove(&cut.name);
            // Where writes go on already, so much the better.
            drop(replica.map(|replica| replica.resume(cut.name)));
            return Some(Ok(()));
        }
        let replica = replica?;
        let until = Instant::now() + PAUSE;
        Some(match step {
            Step::Hold => replica.pause(cut.name, until).and_then(|()| self.keep_files(&replica, cut.name)),
            // In this order: what was certain while writes waited holds for all that time.
            _ => replica.confirm(1, until).and_then(|()| replica.resume(cut.name)),
        })
    }

    /// Gives the files of a replica second names.
    pub(super) fn keep_files(&self, replica: &Replica, name: Uuid) -> Result<(), ServiceError> {
        let files = Scratch::new(&self.scratch_path).map_err(|error| ServiceError::internal(error.to_string()))?;
        let last = replica.snapshot(&files.path())?;
        self.kept.lock().insert(name, Kept { since: Instant::now(), last, files });
        Ok(())
    }

    /// The same, wherever the primary is.
    pub(super) fn step(&self, primary: PeerId, cut: Cut, step: Step) -> Result<(), ServiceError> {
        let elsewhere = || ServiceError::new(Fault::Unavailable, format!("peer {primary} is not the primary of shard {}", cut.shard.shard));
        if primary == self.me.peer {
            return self.step_here(cut, step).unwrap_or_else(|| Err(elsewhere()));
        }
        let uri = self.uri_of(primary).ok_or_else(elsewhere)?;
        let message = (cut, step);
        let asked = self.client.call::<_, Reply<()>>(&uri, "/shard/cut", &message, 2 * PAUSE);
        match self.wait_for(asked) {
            Ok(Reply::Done(())) => Ok(()),
            Ok(Reply::Failed(error)) => Err(error),
            Ok(Reply::NotHere) => Err(elsewhere()),
            Err(error) => Err(ServiceError::new(Fault::Unavailable, format!("peer {primary}: {error}"))),
        }
    }

    /// Lets the writes of a shard wait, and keeps its files.
    pub(super) fn hold(self: &Arc<Self>, shard: ShardRef) -> Result<Box<dyn HeldShard>, ServiceError> {
        let gone = || ServiceError::new(Fault::NotFound, format!("shard {} is gone", shard.shard));
        let primary = self.agreed().shard(shard).ok_or_else(gone)?.2.primary.peer;
        let held = Held { node: Arc::downgrade(self), primary, cut: Cut { shard, name: Uuid::new_v4() } };
        self.step(primary, held.cut, Step::Hold)?;
        Ok(Box::new(held))
    }

    /// The files that were kept under a name, which are kept no longer, and the last batch that is in them.
    pub(super) fn take_kept(&self, name: Uuid) -> Option<(Lsn, Scratch)> {
        self.kept.lock().remove(&name).map(|kept| (kept.last, kept.files))
    }

    /// Gives up what nobody came for.
    pub(super) fn forget_old_cuts(&self) {
        self.kept.lock().retain(|_, kept| kept.since.elapsed() < TIMEOUT);
    }
}

impl HeldShard for Held {
    fn release(&self) -> Result<(), ServiceError> {
        let node = self.node.upgrade().ok_or_else(super::route::stopping)?;
        node.step(self.primary, self.cut, Step::Release)
    }

    fn copy_files(&self, target: &std::path::Path) -> Result<(), ServiceError> {
        let node = self.node.upgrade().ok_or_else(super::route::stopping)?;
        if self.primary == node.me.peer {
            let lost = || ServiceError::internal("the files were not kept");
            let (_, files) = node.take_kept(self.cut.name).ok_or_else(lost)?;
            let around = target.parent().map_or(Ok(()), std::fs::create_dir_all);
            let moved = around.and_then(|()| std::fs::rename(files.path(), target));
            return moved.map_err(|error| ServiceError::internal(format!("{}: {error}", target.display())));
        }
        let uri = node.uri_of(self.primary).ok_or_else(|| ServiceError::new(Fault::Unavailable, "the primary left the cluster"))?;
        node.wait_for(node.bring(&uri, "/shard/kept", &self.cut.name, target))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        if self.primary == node.me.peer {
            drop(node.step_here(self.cut, Step::Forget));
        } else if let Some(uri) = node.uri_of(self.primary) {
            node.forget_there(uri, self.cut);
        }
    }
}

impl Shared {
    /// Tells another node that files are not needed any more. One that does not hear it gives them up by itself.
    fn forget_there(self: &Arc<Self>, uri: String, cut: Cut) {
        let node = Arc::clone(self);
        drop(self.spawn(async move {
            let told: Result<Reply<()>, PeerError> = node.client.call(&uri, "/shard/cut", &(cut, Step::Forget), PAUSE).await;
            if let Err(error) = told {
                tracing::debug!(%error, "a node keeps files that nobody needs, for a while");
            }
        }));
    }
}
