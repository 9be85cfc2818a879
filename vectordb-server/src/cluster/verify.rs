//! Whether the replicas of a shard hold the same: sums of all their points, as of the same batch of the log.
//!
//! The primary lets writes wait for the moment in which all in-sync members give their files second names, as for a cut; nothing is
//! read while they wait. What comes later is added up from the files, with every checksum of theirs.

use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectordb_core::Lsn;
use vectordb_service::{ContentDigest, Fault, ReplicaOperation, ReplicaSum, Result, ServiceError, ShardSums};

use super::client::PeerError;
use super::cut::{Cut, Step};
use super::files::{Scratch, TIMEOUT};
use super::node::Shared;
use super::route::Reply;
use super::state::{PeerId, ShardMeta, ShardRef};

/// How long a member may take to keep its files, while writes wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often it is tried, where a primary changes or writes go on too early.
const ATTEMPTS: usize = 5;
/// How long to wait before the next time.
const AGAIN: Duration = Duration::from_millis(500);

/// What was kept under a name, and the moment by which points expire.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Sum {
    name: Uuid,
    micros: i64,
}

/// The last batch that is in it, and the sum.
type Summed = (Lsn, ContentDigest);

impl Shared {
    /// Keeps the files of a replica here as they are.
    pub(super) fn keep_here(&self, cut: Cut) -> Reply<()> {
        let Some(replica) = self.replica(cut.shard) else { return Reply::NotHere };
        self.keep_files(&replica, cut.name).map_or_else(Reply::Failed, Reply::Done)
    }

    fn forget_here(&self, cut: Cut) -> Reply<()> {
        let forgotten = self.step_here(cut, Step::Forget).unwrap_or(Ok(()));
        forgotten.map_or_else(Reply::Failed, Reply::Done)
    }

    /// Adds up what was kept here, which is kept no longer.
    pub(super) fn sum_here(&self, sum: Sum) -> Reply<Summed> {
        let Some((last, files)) = self.take_kept(sum.name) else { return Reply::NotHere };
        let added = || {
            let at = Timestamp::from_microsecond(sum.micros).map_err(|error| ServiceError::request(error.to_string()))?;
            let scratch = Scratch::new(&self.scratch_path).map_err(|error| ServiceError::internal(error.to_string()))?;
            Ok((last, ContentDigest::of_snapshot(&files.path(), at, &scratch.path())?))
        };
        added().map_or_else(Reply::Failed, Reply::Done)
    }

    /// The sums of all in-sync replicas of a collection's shards, one shard after the other.
    pub(super) fn sums(&self, name: &str) -> Result<Vec<ShardSums>> {
        let state = self.agreed();
        let collection = state.collections.get(name).ok_or_else(|| ServiceError::no_collection(name))?;
        let of = |meta: &ShardMeta| {
            let shard = ShardRef { uid: collection.uid, shard: meta.id };
            let mut sums = self.sums_of(shard);
            for _ in 1..ATTEMPTS {
                match &sums {
                    Err(error) if error.fault == Fault::Unavailable => tracing::debug!(%error, "the replicas are compared once more"),
                    _ => break,
                }
                std::thread::sleep(AGAIN);
                sums = self.sums_of(shard);
            }
            sums
        };
        collection.shards.iter().map(of).collect()
    }

    fn sums_of(&self, shard: ShardRef) -> Result<ShardSums> {
        let state = self.agreed();
        let gone = || ServiceError::new(Fault::NotFound, format!("shard {} is gone", shard.shard));
        let meta = state.shard(shard).ok_or_else(gone)?.2;
        let cut = Cut { shard, name: Uuid::new_v4() };
        let primary = meta.primary.peer;
        let others: Vec<PeerId> = meta.in_sync.iter().map(|member| member.peer).filter(|peer| *peer != primary).collect();
        self.step(primary, cut, Step::Hold)?;
        let kept: Vec<Result<()>> = self.each(&others, "/shard/keep", &cut, PATIENCE, || self.keep_here(cut));
        let all: Vec<PeerId> = std::iter::once(primary).chain(others).collect();
        // Where writes went on before all had kept their files, they may differ for that alone.
        if let Err(error) = self.step(primary, cut, Step::Release) {
            self.each(&all, "/shard/cut", &(cut, Step::Forget), PATIENCE, || self.forget_here(cut));
            return Err(error);
        }
        let sum = Sum { name: cut.name, micros: Timestamp::now().as_microsecond() };
        let summed: Vec<Result<Summed>> = self.each(&all, "/shard/sum", &sum, TIMEOUT, || self.sum_here(sum));
        let kept = std::iter::once(Ok(())).chain(kept);
        let replicas = all.iter().zip(kept.zip(summed)).map(|(&peer, (kept, summed))| {
            let digest = kept.and(summed).map(|(last, digest)| (last.0, digest)).map_err(|error| error.message);
            ReplicaSum { peer, is_primary: peer == primary, digest }
        });
        Ok(ShardSums { shard: shard.shard, replicas: replicas.collect() })
    }

    /// Asks several peers at once, of which this may be one.
    fn each<Q: Serialize + Sync, A: DeserializeOwned + Send>(
        &self,
        peers: &[PeerId],
        path: &str,
        question: &Q,
        patience: Duration,
        here: impl Fn() -> Reply<A> + Sync,
    ) -> Vec<Result<A>> {
        let ask = |peer: PeerId| {
            if peer == self.me.peer {
                return reached(Ok(here()));
            }
            let uri = self.uri_of(peer).ok_or_else(|| ServiceError::new(Fault::Unavailable, "it left the cluster"))?;
            reached(self.wait_for(self.client.call(&uri, path, question, patience)))
        };
        let cut_short = |_| Err(ServiceError::internal("the work was cut short"));
        std::thread::scope(|scope| {
            let asked: Vec<_> = peers
                .iter()
                .map(|&peer| {
                    scope.spawn({
                        let ask = &ask;
                        move || ask(peer)
                    })
                })
                .collect();
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(cut_short)).collect()
        })
    }

    /// Has replicas made anew that differ from what most have, or, where as many have something else, from the primary.
    pub(super) fn make_anew(&self, name: &str, sums: &ShardSums) -> Result<()> {
        for peer in sums.wrong() {
            tracing::warn!(collection = name, shard = %sums.shard, peer, "a replica differs from the others and is made anew");
            vectordb_service::Cluster::operate(self, name, &ReplicaOperation::Drop { shard: sums.shard, from: peer })?;
        }
        Ok(())
    }
}

fn reached<T>(answer: std::result::Result<Reply<T>, PeerError>) -> Result<T> {
    match answer {
        Ok(Reply::Done(done)) => Ok(done),
        Ok(Reply::Failed(error)) => Err(error),
        Ok(Reply::NotHere) => Err(ServiceError::new(Fault::Unavailable, "it has no such replica")),
        Err(error) => Err(ServiceError::new(Fault::Unavailable, error.to_string())),
    }
}
