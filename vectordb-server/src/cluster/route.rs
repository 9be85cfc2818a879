//! The way from this node to a shard: to the replica here if it has everything acknowledged, or to another node.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use vectordb_core::{Collection, CollectionConfig, ConfigDiff, Update, UpdateResult};
use vectordb_service::{Answer, Consistency, Fault, HeldShard, Question, ServiceError, ShardRoute, Written, is_about_points, on_each};

use super::client::PeerError;
use super::fan;
use super::node::Shared;
use super::replica::Replica;
use super::resharding::{Admission, Pass};
use super::state::{ClusterState, CollectionMeta, PeerId, ShardRef};

/// How long to look for a replica that answers, when nobody said.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a node may take to answer a question before another is asked as well: it may be gone without a word.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// How long a primary may take to be sure that it is one. By then whoever stays silent has left the in-sync set.
pub(super) const CONFIRMING: Duration = Duration::from_secs(4);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(50);

/// A question to the replicas of some shards on another node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask<Q = Question> {
    pub(crate) shards: Vec<ShardRef>,
    /// Milliseconds that are left.
    pub(crate) within: Option<u64>,
    pub(crate) consistency: Consistency,
    pub(crate) question: Q,
}

/// A write for the primary on another node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Write {
    pub(crate) shard: ShardRef,
    /// Milliseconds that are left.
    pub(crate) within: u64,
    pub(crate) change: Change,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Updates(Vec<Update>),
    Config(Box<ConfigDiff>),
    /// Points that a feed brings into a new shard.
    Carried {
        pass: Pass,
        updates: Vec<Update>,
    },
}

/// What came of a change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent {
    Done(UpdateResult),
    /// It was not done, and never will be there.
    Moved,
}

/// What a node says that was asked in another's name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply<T> {
    Done(T),
    Failed(ServiceError),
    /// It is not the one to ask; nothing was done.
    NotHere,
}

/// The way to one shard.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) shard: ShardRef,
    pub(crate) node: Weak<Shared>,
    /// Of reads.
    pub(crate) consistency: Consistency,
    /// When reads are given up whose questions do not say that.
    pub(crate) deadline: Option<Instant>,
}

pub(super) fn stopping() -> ServiceError {
    ServiceError::new(Fault::Unavailable, "the node is stopping")
}

impl Route {
    fn node(&self) -> Result<Arc<Shared>, ServiceError> {
        self.node.upgrade().ok_or_else(stopping)
    }

    /// The replica on this node that may answer a read, as far as it knows.
    pub(super) fn replica_here(&self, node: &Shared) -> Option<Arc<Replica>> {
        let replica = node.replica(self.shard).filter(|_| node.is_in_sync(self.shard))?;
        let may = match self.consistency {
            Consistency::Usual => replica.readable().is_some(),
            Consistency::Confirmed(_) => replica.is_primary(),
        };
        may.then_some(replica)
    }

    /// The data on this node, if it is good enough for a read.
    pub(super) fn data_here(&self, node: &Shared, deadline: Instant) -> Result<Option<Collection>, ServiceError> {
        let Some(replica) = self.replica_here(node) else { return Ok(None) };
        if let Consistency::Confirmed(least) = self.consistency {
            replica.confirm(least as usize, deadline.min(Instant::now() + CONFIRMING))?;
        }
        Ok(replica.readable())
    }

    /// The primary, if the shard takes such changes, now or later.
    fn primary_for(&self, change: &Change, state: &ClusterState) -> Result<Option<PeerId>, ServiceError> {
        let gone = || ServiceError::new(Fault::NotFound, "the shard is gone");
        let collection = state.collections.values().find(|collection| collection.uid == self.shard.uid).ok_or_else(gone)?;
        let shard = match (change, &collection.resharding) {
            (Change::Carried { .. }, None) => None,
            (Change::Carried { .. }, Some(running)) => {
                running.attempt().and_then(|_| running.shards.iter().find(|shard| shard.id == self.shard.shard))
            }
            _ => collection.shards.iter().find(|shard| shard.id == self.shard.shard),
        };
        Ok(shard.map(|shard| shard.primary.peer))
    }

    /// Whether nobody needs to be asked to know that a write has to wait.
    fn is_held(&self, change: &Change, state: &ClusterState) -> bool {
        let Change::Updates(updates) = change else { return false };
        let refused = |collection: &CollectionMeta| collection.admission(self.shard.shard, None) == Admission::Refused;
        updates.iter().all(is_about_points) && state.shard(self.shard).is_some_and(|(_, collection, _)| refused(collection))
    }

    pub(super) fn change(&self, change: &Change) -> Result<Sent, ServiceError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let node = self.node()?;
            if node.is_stopping() {
                return Err(stopping());
            }
            let state = node.agreed();
            let Some(primary) = self.primary_for(change, &state)? else { return Ok(Sent::Moved) };
            let tried = if self.is_held(change, &state) {
                None
            } else if primary == node.me.peer {
                node.write_here(self.shard, change.clone(), deadline)
            } else {
                self.write_there(&node, primary, change, deadline)?
            };
            if let Some(result) = tried {
                return result.map(Sent::Done);
            }
            if Instant::now() + PAUSE >= deadline {
                let message = format!("shard {} has no primary that takes writes: peer {primary} does not", self.shard.shard);
                return Err(ServiceError::new(Fault::Unavailable, message));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A write on another node; nothing when it was certainly not done.
    fn write_there(
        &self,
        node: &Shared,
        primary: PeerId,
        change: &Change,
        deadline: Instant,
    ) -> Result<Option<Result<UpdateResult, ServiceError>>, ServiceError> {
        let Some(uri) = node.uri_of(primary) else { return Ok(None) };
        let left = deadline.saturating_duration_since(Instant::now());
        let write = Write { shard: self.shard, within: left.as_millis().try_into().unwrap_or(u64::MAX), change: change.clone() };
        // The node answers in time; a little more is for the way. Once somebody else is primary there is nothing to wait for.
        let asked = node.client.call::<_, Reply<(u64, u64)>>(&uri, "/shard/write", &write, left + Duration::from_secs(1));
        let reply = node.wait_for(async {
            tokio::select! {
                reply = asked => reply,
                () = node.deposed(self.shard, primary) => Err(PeerError::Broken("another peer became primary".to_owned())),
            }
        });
        match reply {
            Ok(Reply::Done((lsn, points))) => Ok(Some(Ok(UpdateResult { lsn: vectordb_core::Lsn(lsn), points }))),
            Ok(Reply::Failed(error)) => Ok(Some(Err(error))),
            Ok(Reply::NotHere) | Err(PeerError::Unreachable(_)) => Ok(None),
            Err(PeerError::Broken(reason)) => {
                Err(ServiceError::internal(format!("peer {primary} did not answer, the write may or may not have been done: {reason}")))
            }
        }
    }
}

/// Asks other nodes for a shard's points, each when the one before did not know or says nothing for a while. The first answer; or
/// why there is none, if anybody said so.
///
/// One that was asked already may be passed over until the others have been.
async fn ask_others(
    node: &Shared,
    shard: ShardRef,
    ask: &Ask<&Question>,
    patience: Duration,
    last: Option<PeerId>,
) -> Result<Result<Answer, ServiceError>, Option<String>> {
    let mut readers = node.readers(shard, ask.consistency);
    readers.sort_by_key(|(peer, _)| Some(*peer) == last);
    let mut readers = readers.into_iter();
    let mut asked = FuturesUnordered::new();
    let (mut reason, mut next) = (None, readers.next());
    loop {
        if let Some((peer, uri)) = next.take() {
            asked.push(async move {
                let replies = node.client.call::<_, Vec<Reply<Answer>>>(&uri, "/shard/ask", ask, patience).await;
                (peer, replies.map(|replies| replies.into_iter().next().unwrap_or(Reply::NotHere)))
            });
        }
        let reply = tokio::select! {
            reply = asked.next() => reply,
            () = tokio::time::sleep(SLOW), if readers.len() > 0 => {
                next = readers.next();
                continue;
            }
        };
        match reply {
            Some((_, Ok(Reply::Done(answer)))) => return Ok(Ok(answer)),
            Some((_, Ok(Reply::Failed(error)))) if error.fault != Fault::Unavailable => return Ok(Err(error)),
            Some((_, Ok(Reply::Failed(error)))) => reason = Some(error.message),
            Some((_, Ok(Reply::NotHere))) => {}
            Some((peer, Err(error))) => reason = Some(format!("peer {peer}: {error}")),
            None => return Err(reason),
        }
        next = readers.next();
    }
}

impl Route {
    /// Asks whoever has the shard's points, a certain peer last.
    pub(super) fn ask_but(&self, question: &Question, but: Option<PeerId>) -> Result<Answer, ServiceError> {
        let given_up = question.deadline().or(self.deadline);
        let deadline = given_up.unwrap_or_else(|| Instant::now() + PATIENCE);
        let mut last = None;
        loop {
            let node = self.node()?;
            match self.data_here(&node, deadline) {
                Ok(Some(data)) => return question.answer(&data),
                Ok(None) => {}
                Err(error) => last = Some(error.message),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = last.unwrap_or_else(|| format!("no replica of shard {} answers", self.shard.shard));
                return Err(ServiceError::new(Fault::Unavailable, message));
            }
            let within = given_up.map(|_| left.as_millis().try_into().unwrap_or(u64::MAX));
            let ask = Ask { shards: vec![self.shard], within, consistency: self.consistency, question };
            match node.wait_for(ask_others(&node, self.shard, &ask, left.min(PATIENCE), but)) {
                Ok(answer) => return answer,
                Err(reason) => last = reason.or(last),
            }
            std::thread::sleep(PAUSE.min(left));
        }
    }
}

impl ShardRoute for Route {
    fn ask(&self, question: &Question) -> Result<Answer, ServiceError> {
        self.ask_but(question, None)
    }

    fn ask_each(&self, ways: &[&dyn ShardRoute], question: &Question) -> Vec<Result<Answer, ServiceError>> {
        let routes: Vec<&Self> = ways.iter().filter_map(|way| (*way as &dyn Any).downcast_ref()).collect();
        match self.node() {
            Ok(node) if routes.len() == ways.len() => fan::ask(&node, &routes, question),
            _ => on_each(ways.to_vec(), |way| way.ask(question)),
        }
    }

    fn with(&self, consistency: Consistency, deadline: Option<Instant>) -> Arc<dyn ShardRoute> {
        Arc::new(Self { shard: self.shard, node: Weak::clone(&self.node), consistency, deadline })
    }

    fn update(&self, updates: Vec<Update>) -> Result<Written, ServiceError> {
        let change = Change::Updates(updates);
        Ok(match (self.change(&change)?, change) {
            (Sent::Done(result), _) => Written::Done(result),
            (Sent::Moved, Change::Updates(updates)) => Written::Moved(updates),
            (Sent::Moved, _) => return Err(ServiceError::internal("a change became another")),
        })
    }

    fn update_config(&self, diff: &ConfigDiff) -> Result<(), ServiceError> {
        match self.change(&Change::Config(Box::new(diff.clone())))? {
            Sent::Done(_) => Ok(()),
            Sent::Moved => Err(ServiceError::new(Fault::Unavailable, "the points have moved to other shards; another try will find them")),
        }
    }

    fn config(&self) -> CollectionConfig {
        let Some(node) = self.node.upgrade() else { return CollectionConfig::default() };
        let state = node.agreed();
        state.shard(self.shard).map(|(_, collection, _)| collection.config.clone()).unwrap_or_default()
    }

    fn copy_files(&self, target: &std::path::Path) -> Result<(), ServiceError> {
        let node = self.node()?;
        if let Some(data) = self.local() {
            return Ok(data.snapshot(target).map(drop)?);
        }
        let mut last = format!("no replica of shard {} can be reached", self.shard.shard);
        for (peer, uri) in node.readers(self.shard, Consistency::Usual) {
            match node.wait_for(node.bring(&uri, "/shard/files", &self.shard, target)) {
                Ok(()) => return Ok(()),
                Err(error) => last = format!("peer {peer}: {error}"),
            }
        }
        Err(ServiceError::new(Fault::Unavailable, last))
    }

    fn hold(&self) -> Result<Box<dyn HeldShard>, ServiceError> {
        self.node()?.hold(self.shard)
    }

    fn local(&self) -> Option<Collection> {
        let node = self.node.upgrade()?;
        node.is_in_sync(self.shard).then(|| node.replica(self.shard)?.readable()).flatten()
    }
}
