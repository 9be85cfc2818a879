//! What a service that is one node of a cluster asks of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use vectordb_core::{CollectionConfig, ConfigDiff};

use crate::digest::ContentDigest;
use crate::error::Result;
use crate::shards::{ShardId, ShardKey, ShardRoute};
use crate::snapshots::{SnapshotDescription, SnapshotFile, SnapshotScope};

/// Decides what all nodes agree on. Each call returns when this node has the outcome.
pub trait Cluster: std::fmt::Debug + Send + Sync {
    /// Makes a collection with so many shards.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::Fault::AlreadyExists), and [`Unavailable`](crate::Fault::Unavailable) without a leader.
    fn create_collection(&self, name: &str, config: &CollectionConfig, shards: u32) -> Result<()>;

    /// Drops a collection with its aliases; false when there is none.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable).
    fn delete_collection(&self, name: &str) -> Result<bool>;

    /// Changes what new shards of a collection are made of, and how many replicas there are.
    ///
    /// # Errors
    /// [`NotFound`](crate::Fault::NotFound), [`Unavailable`](crate::Fault::Unavailable).
    fn update_config(&self, name: &str, diff: &ConfigDiff) -> Result<()>;

    /// Gives a collection another name, in the place of the one that has it.
    ///
    /// # Errors
    /// [`NotFound`](crate::Fault::NotFound), [`Unavailable`](crate::Fault::Unavailable).
    fn rename(&self, name: &str, new: &str) -> Result<()>;

    /// The snapshots that lie on other nodes; those of a node that does not answer are left out.
    fn snapshots(&self, scope: &SnapshotScope) -> Vec<SnapshotDescription>;

    /// A snapshot of another node, brought here.
    ///
    /// # Errors
    /// [`NotFound`](crate::Fault::NotFound), and those of the disk.
    fn open_snapshot(&self, scope: &SnapshotScope, name: &str) -> Result<SnapshotFile>;

    /// Deletes a snapshot of another node.
    ///
    /// # Errors
    /// [`NotFound`](crate::Fault::NotFound).
    fn delete_snapshot(&self, scope: &SnapshotScope, name: &str) -> Result<()>;

    /// Takes over aliases as they are to be.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable).
    fn set_aliases(&self, aliases: BTreeMap<String, String>) -> Result<()>;

    /// Makes the shards of a key.
    ///
    /// # Errors
    /// [`BadRequest`](crate::Fault::BadRequest) when it exists, [`Unavailable`](crate::Fault::Unavailable).
    fn create_shard_key(&self, name: &str, key: &ShardKey, shards: u32) -> Result<()>;

    /// Drops the shards of a key.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable).
    fn delete_shard_key(&self, name: &str, key: &ShardKey) -> Result<()>;

    /// Begins to spread the points of a collection, or of one of its shard keys, over so many shards.
    ///
    /// # Errors
    /// [`BadRequest`](crate::Fault::BadRequest) while that is under way, [`Unavailable`](crate::Fault::Unavailable).
    fn reshard(&self, name: &str, key: Option<&ShardKey>, count: u32) -> Result<()>;

    /// Gives that up.
    ///
    /// # Errors
    /// [`BadRequest`](crate::Fault::BadRequest) when it is not under way, or cannot be undone any more.
    fn abort_resharding(&self, name: &str) -> Result<()>;

    /// What of that is under way.
    ///
    /// # Errors
    /// [`NotFound`](crate::Fault::NotFound).
    fn reshardings(&self, name: &str) -> Result<Vec<ReshardingState>>;

    /// Does something about the replicas of a collection.
    ///
    /// # Errors
    /// [`BadRequest`](crate::Fault::BadRequest) for what makes no sense, [`Unavailable`](crate::Fault::Unavailable).
    fn operate(&self, name: &str, operation: &ReplicaOperation) -> Result<()>;

    /// Adds up what the in-sync replicas of each shard hold, and has those made anew that differ, if that is wanted.
    ///
    /// # Errors
    /// [`NotFound`](crate::Fault::NotFound), [`Unavailable`](crate::Fault::Unavailable) when a shard does not stand still for it.
    fn verify(&self, name: &str, repair: bool) -> Result<Vec<ShardSums>>;

    /// Takes a peer out of the cluster.
    ///
    /// # Errors
    /// [`BadRequest`](crate::Fault::BadRequest) when it has the only copy of something, unless forced.
    fn remove_peer(&self, peer: u64, force: bool) -> Result<()>;

    /// Has all replicas of a peer brought elsewhere, and none brought there, until it is told otherwise.
    ///
    /// # Errors
    /// [`BadRequest`](crate::Fault::BadRequest) for an unknown peer.
    fn set_draining(&self, peer: u64, draining: bool) -> Result<()>;

    /// Has replicas that are well stay where they are, or ends that.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable).
    fn pause_balance(&self, paused: bool) -> Result<()>;

    /// The cluster as this node sees it.
    fn status(&self) -> ClusterStatus;

    /// Where the replicas of a collection lie.
    ///
    /// # Errors
    /// [`NotFound`](crate::Fault::NotFound).
    fn replicas(&self, name: &str) -> Result<Vec<ReplicaState>>;

    /// Whether this node has caught up with what was agreed on when it started, and its replicas are in sync.
    fn is_ready(&self) -> bool;

    /// Whether all collections have been shown that were agreed on when it started.
    fn has_shown_all(&self) -> bool;

    /// What there is of replicas, and of those who have them.
    fn figures(&self) -> ReplicaFigures;
}

/// What a node knows of replicas, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaFigures {
    /// Replicas by state: `Active`, `Partial` or `Dead`.
    pub by_state: BTreeMap<&'static str, u64>,
    /// Fewest and most active replicas that a shard has; nothing where there are no shards.
    pub active: Option<(u64, u64)>,
    /// By collection: replicas that are being made on this node, and on others out of this node's.
    pub transfers: BTreeMap<String, (u64, u64)>,
    /// Peers that were heard of lately. Only the leader knows.
    pub alive: Option<u64>,
    /// Shards whose primary is silent. Only the leader knows.
    pub without_primary: Option<u64>,
}

/// A change of where replicas lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaOperation {
    /// Makes a replica on a peer, which is not moved for balance from then on.
    Replicate {
        /// The shard.
        shard: ShardId,
        /// Where.
        to: u64,
    },
    /// Makes a replica on one peer, which is not moved for balance from then on, and drops that on another when it is in sync.
    Move {
        /// The shard.
        shard: ShardId,
        /// Whose goes.
        from: u64,
        /// Where.
        to: u64,
    },
    /// Drops a replica; refused for the last one.
    Drop {
        /// The shard.
        shard: ShardId,
        /// Whose.
        from: u64,
    },
    /// Makes a replica the primary.
    Promote {
        /// The shard.
        shard: ShardId,
        /// Whose.
        to: u64,
        /// Even if it lacks something that was acknowledged, which is lost then: what others have besides is given up.
        accept_loss: bool,
    },
    /// Lets the replicas of a shard be moved for balance that were put where they are by hand.
    Unpin {
        /// The shard.
        shard: ShardId,
    },
    /// Gives up making a replica.
    Abort {
        /// The shard.
        shard: ShardId,
        /// Where it was to be.
        to: u64,
    },
}

/// Points on their way to another number of shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReshardingState {
    /// Whether there will be more of them.
    pub up: bool,
    /// The first of the new ones.
    pub shard: ShardId,
    /// Where it is written.
    pub peer: u64,
    /// The key whose shards they are.
    pub key: Option<ShardKey>,
}

/// A peer.
#[derive(Debug, Clone, Serialize)]
pub struct PeerStatus {
    /// Where the others reach it.
    pub uri: String,
    /// Its version.
    #[serde(skip)]
    pub version: String,
    /// Whether its replicas are on their way elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// What fails together with it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Replicas that lie there, or are to.
    #[serde(skip)]
    pub replicas: usize,
}

/// The cluster as a node sees it.
#[derive(Debug, Clone)]
pub struct ClusterStatus {
    /// The node.
    pub peer_id: u64,
    /// All of them.
    pub peers: BTreeMap<u64, PeerStatus>,
    /// Who leads, if known.
    pub leader: Option<u64>,
    /// Term of the leader.
    pub term: u64,
    /// What is agreed on.
    pub commit: u64,
    /// What is agreed on, and not known here yet.
    pub pending: u64,
    /// `Leader`, `Follower`, `Candidate` or `Learner`.
    pub role: &'static str,
    /// Whether the node has a vote.
    pub is_voter: bool,
    /// Whether replicas that are well stay where they are.
    pub balance_paused: bool,
    /// Why agreement stopped here, if it did.
    pub stopped: Option<String>,
}

/// A replica of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaState {
    /// The shard.
    pub shard: ShardId,
    /// Its key.
    pub key: Option<ShardKey>,
    /// Where it lies.
    pub peer: u64,
    /// `Active`, `Partial`, `Dead` or `Resharding`.
    pub state: &'static str,
    /// Whether the shard is being filled, and has no part in reads yet.
    pub is_new: bool,
    /// Whether writes begin there.
    pub is_primary: bool,
    /// Whose replica goes when this one is in sync.
    pub moving_from: Option<u64>,
    /// Whether it stays there whatever the balance, for somebody put it there.
    pub pinned: bool,
}

/// What a replica holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSum {
    /// Where it lies.
    pub peer: u64,
    /// Whether writes begin there.
    pub is_primary: bool,
    /// The last batch of its log, and the sum of its points up to there; or why it is not known.
    pub digest: std::result::Result<(u64, ContentDigest), String>,
}

/// What the replicas of a shard hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSums {
    /// The shard.
    pub shard: ShardId,
    /// Those that are in sync, the primary first.
    pub replicas: Vec<ReplicaSum>,
}

impl ShardSums {
    /// Whether all that are known are the same.
    pub fn is_equal(&self) -> bool {
        self.wrong().is_empty()
    }

    /// Peers whose replicas differ from what most hold; of as many, from the primary.
    pub fn wrong(&self) -> Vec<u64> {
        let known = || self.replicas.iter().filter_map(|replica| Some((replica, replica.digest.as_ref().ok()?)));
        let votes = |digest| known().filter(|(_, other)| *other == digest).count();
        let right = known().max_by_key(|(replica, digest)| (votes(*digest), replica.is_primary)).map(|(_, digest)| digest);
        known().filter(|(_, digest)| Some(*digest) != right).map(|(replica, _)| replica.peer).collect()
    }
}

/// A collection of a cluster, as its node shows it to the service.
#[derive(Debug, Clone)]
pub struct RoutedCollection {
    /// Its name.
    pub name: String,
    /// RFC 3339.
    pub created_at: String,
    /// Its shards, in order.
    pub shards: Vec<RoutedShard>,
}

/// A shard of a cluster.
#[derive(Debug, Clone)]
pub struct RoutedShard {
    /// Its number.
    pub id: ShardId,
    /// Its key.
    pub key: Option<ShardKey>,
    /// The way to it.
    pub route: Arc<dyn ShardRoute>,
}
