//! What whoever decides where replicas are to lie has to know of the peers: who lives, what they have, what fails together.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{ClusterState, CollectionMeta, Member, PeerId, ShardMeta, ShardRef, Zone};

/// What the leader knows of the peers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// Peers that were heard of lately, with the disks they have.
    pub(crate) alive: BTreeMap<PeerId, Member>,
    /// Others, which have said that they are about to stop, or that their disks are full.
    pub(crate) handing_over: BTreeMap<PeerId, Member>,
    /// Peers that have been silent for so long that others take their place.
    pub(crate) given_up: BTreeSet<PeerId>,
}

impl Health {
    pub(super) fn has(&self, member: &Member) -> bool {
        self.alive.get(&member.peer) == Some(member)
    }

    pub(super) fn is_handed_over_by(&self, member: &Member) -> bool {
        self.handing_over.get(&member.peer) == Some(member)
    }

    /// Whether a peer is to have nothing any more.
    pub(super) fn is_leaving(&self, state: &ClusterState, peer: PeerId) -> bool {
        self.given_up.contains(&peer) || state.peers.get(&peer).is_none_or(|peer| peer.draining)
    }
}

/// Numbers of replicas of peers.
pub(super) type Loads = BTreeMap<PeerId, usize>;

/// Bytes of each shard, as far as they are known.
pub(super) type Sizes = BTreeMap<ShardRef, u64>;

/// A shard, and the collection that it is of.
pub(super) type Shard<'a> = (ShardRef, &'a CollectionMeta, &'a ShardMeta);

pub(super) fn loads(state: &ClusterState) -> Loads {
    let mut loads: Loads = state.peers.keys().map(|&peer| (peer, 0)).collect();
    for peer in shards(state).flat_map(|(_, _, shard)| &shard.replicas) {
        *loads.entry(*peer).or_default() += 1;
    }
    loads
}

/// All shards, also those that a resharding makes or replaces.
pub(super) fn shards(state: &ClusterState) -> impl Iterator<Item = Shard<'_>> {
    state.collections.values().flat_map(|collection| {
        collection.all_shards().map(move |shard| (ShardRef { uid: collection.uid, shard: shard.id }, collection, shard))
    })
}

/// Zones of several peers.
pub(super) fn zones(state: &ClusterState, peers: impl IntoIterator<Item = PeerId>) -> BTreeSet<Zone<'_>> {
    peers.into_iter().map(|peer| state.zone(peer)).collect()
}

/// Whether another replica of a shard lies in the zone of a peer's.
pub(super) fn shares_zone(state: &ClusterState, shard: &ShardMeta, peer: PeerId) -> bool {
    shard.replicas.iter().any(|&other| other != peer && state.zone(other) == state.zone(peer))
}
