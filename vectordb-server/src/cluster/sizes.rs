//! How much shards hold, as far as the leader knows: it asks everybody, now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;

use super::node::Shared;
use super::route::Reply;
use super::state::{PeerId, ShardRef};
use super::survey::Sizes;

/// How often.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a node may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the leader was told last.
#[derive(Debug, Default)]
pub(super) struct Known {
    sizes: Arc<Mutex<Arc<Sizes>>>,
    asked: Option<Instant>,
}

impl Known {
    /// What is known now. Nobody waits for those who are asked.
    pub(super) fn now(&mut self, node: &Arc<Shared>) -> Arc<Sizes> {
        if self.asked.is_none_or(|asked| asked.elapsed() >= AGAIN) {
            self.asked = Some(Instant::now());
            let (node, sizes) = (Arc::clone(node), Arc::clone(&self.sizes));
            tokio::spawn(async move {
                let told = node.sizes_everywhere().await;
                *sizes.lock() = Arc::new(told);
            });
        }
        Arc::clone(&self.sizes.lock())
    }
}

impl Shared {
    /// Bytes of the replicas here.
    pub(super) fn sizes_here(&self) -> Vec<(ShardRef, u64)> {
        self.all_replicas().iter().filter_map(|replica| Some((replica.shard, replica.data().disk_bytes().ok()?))).collect()
    }

    /// Bytes of all shards. Of replicas that differ, as while one of them writes its files anew, the smallest counts.
    async fn sizes_everywhere(self: &Arc<Self>) -> Sizes {
        let state = self.agreed();
        let asked = state.peers.iter().map(|(&peer, known)| async move {
            if peer == self.me.peer {
                let node = Arc::clone(self);
                let told = tokio::task::spawn_blocking(move || node.sizes_here()).await;
                return (peer, told.unwrap_or_default());
            }
            let told: Result<Reply<Vec<(ShardRef, u64)>>, _> = self.client.call(&known.uri, "/sizes", &(), PATIENCE).await;
            (peer, if let Ok(Reply::Done(told)) = told { told } else { Vec::new() })
        });
        let told: BTreeMap<PeerId, Vec<(ShardRef, u64)>> = join_all(asked).await.into_iter().collect();
        let mut sizes = Sizes::new();
        for (peer, of, bytes) in told.iter().flat_map(|(peer, told)| told.iter().map(move |(of, bytes)| (peer, of, bytes))) {
            if state.shard(*of).is_some_and(|(_, _, shard)| shard.is_in_sync(*peer)) {
                sizes.entry(*of).and_modify(|known| *known = (*known).min(*bytes)).or_insert(*bytes);
            }
        }
        sizes
    }
}
