//! What the nodes of a cluster agree on, and how it changes: a pure function of commands in order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectordb_core::CollectionConfig;
use vectordb_service::{Fault, ServiceError, ShardId, ShardKey};

use super::resharding::{Progress, Resharding};

/// The number of a node, at most 53 bits.
pub(crate) type PeerId = u64;

/// A node with the disk it had: one that comes back with an empty disk is another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) peer: PeerId,
    pub(crate) disk: Uuid,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) uri: String,
    pub(crate) disk: Uuid,
    pub(crate) version: String,
    /// What fails as a whole, a room or a region, of which the peer is in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    /// Nothing new comes here, and what is here goes.
    #[serde(default)]
    pub(crate) draining: bool,
}

/// Peers that fail together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone<'a> {
    Named(&'a str),
    OfOne(PeerId),
}

/// The replicas of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShardMeta {
    pub(crate) id: ShardId,
    pub(crate) key: Option<ShardKey>,
    /// Grows with every change of the primary or of the in-sync set.
    pub(crate) epoch: u64,
    pub(crate) primary: Member,
    /// The epoch in which an operator last chose the primary: whatever else replicas had before that is given up.
    #[serde(default)]
    pub(crate) chosen: u64,
    /// Those that have everything acknowledged; the primary is one of them.
    pub(crate) in_sync: BTreeSet<Member>,
    /// Peers that have a replica or are to get one.
    pub(crate) replicas: BTreeSet<PeerId>,
    /// Peers that are to get a replica in the place of another's.
    #[serde(default)]
    pub(crate) moving: BTreeMap<PeerId, PeerId>,
    /// Peers whose replicas somebody put there by hand: none of them is moved away for balance.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) pinned: BTreeSet<PeerId>,
}

impl ShardMeta {
    pub(crate) fn is_in_sync(&self, peer: PeerId) -> bool {
        self.in_sync.iter().any(|member| member.peer == peer)
    }

    /// Peers whose replicas are being made.
    pub(crate) fn learners(&self) -> impl Iterator<Item = PeerId> {
        self.replicas.iter().copied().filter(|&peer| !self.is_in_sync(peer))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectionMeta {
    /// Tells the collection from others of its name, before and after.
    pub(crate) uid: u64,
    pub(crate) config: CollectionConfig,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// The number of the next shard; numbers are not used again.
    pub(crate) next_shard: u32,
    /// Those that are read and written.
    pub(crate) shards: Vec<ShardMeta>,
    /// Others, which take their place or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resharding: Option<Resharding>,
}

impl CollectionMeta {
    /// Replicas that a shard is to have, as far as there are peers.
    pub(crate) fn factor(&self) -> usize {
        self.config.replication_factor.max(1) as usize
    }

    /// All shards that have replicas.
    pub(crate) fn all_shards(&self) -> impl Iterator<Item = &ShardMeta> {
        self.shards.iter().chain(self.resharding.iter().flat_map(|running| running.shards.iter().chain(&running.retired)))
    }

    /// Refuses what would pass by the shards to come.
    fn check_settled(&self, name: &str) -> Result<(), ServiceError> {
        if self.is_settled() { Ok(()) } else { Err(ServiceError::resharding(name)) }
    }

    fn all_shards_mut(&mut self) -> impl Iterator<Item = &mut ShardMeta> {
        let others = self.resharding.iter_mut().flat_map(|running| running.shards.iter_mut().chain(&mut running.retired));
        self.shards.iter_mut().chain(others)
    }
}

/// Everything that is agreed on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClusterState {
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) collections: BTreeMap<String, CollectionMeta>,
    pub(crate) aliases: BTreeMap<String, String>,
    /// Whether replicas that are well are to stay where they are.
    #[serde(default)]
    pub(crate) balance_paused: bool,
    next_uid: u64,
}

/// A shard among all shards of all times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ShardRef {
    pub(crate) uid: u64,
    pub(crate) shard: ShardId,
}

impl std::fmt::Display for ShardRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.uid, self.shard)
    }
}

/// A change. What depends on the world (which peers live, what time it is) is decided by whoever proposes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// A peer says who and where it is.
    AddPeer {
        id: PeerId,
        uri: String,
        disk: Uuid,
        version: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<String>,
    },
    RemovePeer {
        id: PeerId,
        force: bool,
    },
    SetDraining {
        id: PeerId,
        draining: bool,
    },
    /// Replicas that are well stay where they are, until it is said that they need not.
    PauseBalance {
        paused: bool,
    },
    /// A list of peers for each shard, the primary first.
    CreateCollection {
        name: String,
        config: Box<CollectionConfig>,
        created_at: String,
        placement: Vec<Vec<PeerId>>,
    },
    DeleteCollection {
        name: String,
    },
    /// A collection gets another name, in the place of the one that has it.
    Rename {
        name: String,
        new: String,
    },
    SetConfig {
        uid: u64,
        config: Box<CollectionConfig>,
    },
    SetAliases {
        aliases: BTreeMap<String, String>,
    },
    CreateShardKey {
        name: String,
        key: ShardKey,
        placement: Vec<Vec<PeerId>>,
    },
    DeleteShardKey {
        name: String,
        key: ShardKey,
    },
    /// Another member of the in-sync set is the primary from now on. The old one stays in the set only if it is known to live.
    SetPrimary {
        shard: ShardRef,
        epoch: u64,
        primary: Member,
        keep_old: bool,
    },
    /// A replica that may lack what was acknowledged is the primary from now on, because somebody said so.
    Choose {
        shard: ShardRef,
        epoch: u64,
        primary: Member,
    },
    /// The primary was restarted and goes on in an epoch of its own.
    Regrant {
        shard: ShardRef,
        epoch: u64,
    },
    /// A member has fallen behind.
    Shrink {
        shard: ShardRef,
        epoch: u64,
        member: Member,
    },
    /// A replica has caught up.
    Expand {
        shard: ShardRef,
        epoch: u64,
        member: Member,
    },
    /// A peer is to get a replica.
    Assign {
        shard: ShardRef,
        peer: PeerId,
        instead_of: Option<PeerId>,
        /// Whether it is to stay there, whatever the balance.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pin: bool,
    },
    /// The replicas of a shard may be moved for balance again.
    Unpin {
        shard: ShardRef,
    },
    /// A peer's replica is to go.
    Unassign {
        shard: ShardRef,
        peer: PeerId,
    },
    /// The points of the shards of a key, or of all, are to be spread anew. A list of peers for each new shard, the primary first.
    StartResharding {
        name: String,
        key: Option<ShardKey>,
        placement: Vec<Vec<PeerId>>,
    },
    /// That is given up.
    AbortResharding {
        name: String,
    },
    /// How far a feed is.
    Feed {
        shard: ShardRef,
        epoch: u64,
        attempt: ShardId,
        progress: Progress,
    },
    /// Writes that are held for a resharding are taken again.
    ReleaseWrites {
        uid: u64,
        round: u64,
    },
    /// Every node that answers knows the new shards.
    EndResharding {
        uid: u64,
    },
    /// Nobody reads old ones any more, of which one is the first.
    DropReplaced {
        uid: u64,
        first: ShardId,
    },
}

/// What a command came to: whether there was anything to do.
pub(crate) type Outcome = Result<bool, ServiceError>;

pub(super) fn refused(message: impl Into<String>) -> ServiceError {
    ServiceError::request(message)
}

impl ClusterState {
    /// Makes a change, or refuses it and stays as it was.
    pub(crate) fn apply(&mut self, command: &Command) -> Outcome {
        let outcome = self.change(command);
        self.restart_reshardings();
        outcome
    }

    fn change(&mut self, command: &Command) -> Outcome {
        match command {
            Command::AddPeer { id, uri, disk, version, zone } => {
                let draining = self.peers.get(id).is_some_and(|peer| peer.draining);
                let peer = Peer { uri: uri.clone(), disk: *disk, version: version.clone(), zone: zone.clone(), draining };
                Ok(self.peers.insert(*id, peer.clone()).as_ref() != Some(&peer))
            }
            Command::RemovePeer { id, force } => self.remove_peer(*id, *force),
            Command::SetDraining { id, draining } => {
                let peer = self.peers.get_mut(id).ok_or_else(|| refused(format!("there is no peer {id}")))?;
                Ok(std::mem::replace(&mut peer.draining, *draining) != *draining)
            }
            Command::PauseBalance { paused } => Ok(std::mem::replace(&mut self.balance_paused, *paused) != *paused),
            Command::CreateCollection { name, config, created_at, placement } => {
                self.create_collection(name, config, created_at, placement)
            }
            Command::DeleteCollection { name } => {
                self.aliases.retain(|_, collection| collection != name);
                Ok(self.collections.remove(name).is_some())
            }
            Command::Rename { name, new } => {
                if self.aliases.contains_key(new) {
                    return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{new}` already exists!")));
                }
                let collection = self.collections.remove(name).ok_or_else(|| ServiceError::no_collection(name))?;
                self.collections.insert(new.clone(), collection);
                Ok(true)
            }
            Command::SetConfig { uid, config } => {
                let found = self.collections.iter_mut().find(|(_, collection)| collection.uid == *uid);
                let Some((name, collection)) = found else { return Ok(false) };
                collection.check_settled(name)?;
                let config = CollectionConfig { shard_number: collection.config.shard_number, ..(**config).clone() };
                Ok(std::mem::replace(&mut collection.config, config.clone()) != config)
            }
            Command::SetAliases { aliases } => self.set_aliases(aliases),
            Command::CreateShardKey { name, key, placement } => self.create_shard_key(name, key, placement),
            Command::DeleteShardKey { name, key } => {
                let collection = self.collections.get_mut(name).ok_or_else(|| ServiceError::no_collection(name))?;
                collection.check_settled(name)?;
                let before = collection.shards.len();
                collection.shards.retain(|shard| shard.key.as_ref() != Some(key));
                Ok(collection.shards.len() < before)
            }
            Command::StartResharding { name, key, placement } => self.start_resharding(name, key.as_ref(), placement),
            Command::AbortResharding { name } => self.abort_resharding(name),
            Command::Feed { shard, epoch, attempt, progress } => self.note_progress(*shard, *epoch, *attempt, *progress),
            Command::ReleaseWrites { uid, round } => self.release_writes(*uid, *round),
            Command::EndResharding { uid } => self.end_resharding(*uid),
            Command::DropReplaced { uid, first } => self.drop_replaced(*uid, *first),
            Command::Choose { shard, epoch, primary } => self.choose(*shard, *epoch, *primary),
            replicas => self.change_replicas(replicas),
        }
    }

    /// What fails together with a peer; by itself, when nothing is said about it.
    pub(super) fn zone(&self, peer: PeerId) -> Zone<'_> {
        self.peers.get(&peer).and_then(|known| known.zone.as_deref()).map_or(Zone::OfOne(peer), Zone::Named)
    }

    fn member(&self, peer: PeerId) -> Result<Member, ServiceError> {
        let found = self.peers.get(&peer).map(|known| Member { peer, disk: known.disk });
        found.ok_or_else(|| refused(format!("there is no peer {peer}")))
    }

    pub(super) fn new_shard(&self, id: u32, key: Option<&ShardKey>, peers: &[PeerId]) -> Result<ShardMeta, ServiceError> {
        let members = peers.iter().map(|&peer| self.member(peer)).collect::<Result<Vec<_>, _>>()?;
        let primary = *members.first().ok_or_else(|| refused("a shard needs a peer"))?;
        Ok(ShardMeta {
            id: ShardId(id),
            key: key.cloned(),
            epoch: 1,
            primary,
            chosen: 0,
            in_sync: members.into_iter().collect(),
            replicas: peers.iter().copied().collect(),
            moving: BTreeMap::new(),
            pinned: BTreeSet::new(),
        })
    }

    fn create_collection(&mut self, name: &str, config: &CollectionConfig, created_at: &str, placement: &[Vec<PeerId>]) -> Outcome {
        if self.collections.contains_key(name) || self.aliases.contains_key(name) {
            return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{name}` already exists!")));
        }
        let mut shards = Vec::with_capacity(placement.len());
        let mut next_shard = 0;
        for peers in placement {
            shards.push(self.new_shard(next_shard, None, peers)?);
            next_shard += 1;
        }
        self.next_uid += 1;
        let meta = CollectionMeta {
            uid: self.next_uid,
            config: config.clone(),
            created_at: created_at.to_owned(),
            next_shard,
            shards,
            resharding: None,
        };
        self.collections.insert(name.to_owned(), meta);
        Ok(true)
    }

    fn create_shard_key(&mut self, name: &str, key: &ShardKey, placement: &[Vec<PeerId>]) -> Outcome {
        let collection = self.collections.get(name).ok_or_else(|| ServiceError::no_collection(name))?;
        collection.check_settled(name)?;
        if collection.shards.iter().any(|shard| shard.key.as_ref() == Some(key)) {
            return Err(refused(format!("Sharding key {key} already exists for collection {name}")));
        }
        let mut next_shard = collection.next_shard;
        let mut added = Vec::with_capacity(placement.len());
        for peers in placement {
            added.push(self.new_shard(next_shard, Some(key), peers)?);
            next_shard += 1;
        }
        if let Some(collection) = self.collections.get_mut(name) {
            collection.next_shard = next_shard;
            collection.shards.extend(added);
        }
        Ok(true)
    }

    fn set_aliases(&mut self, aliases: &BTreeMap<String, String>) -> Outcome {
        for (alias, collection) in aliases {
            if !self.collections.contains_key(collection) {
                return Err(ServiceError::no_collection(collection));
            }
            if self.collections.contains_key(alias) {
                return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{alias}` already exists!")));
            }
        }
        let changed = self.aliases != *aliases;
        self.aliases.clone_from(aliases);
        Ok(changed)
    }

    fn remove_peer(&mut self, id: PeerId, force: bool) -> Outcome {
        if !self.peers.contains_key(&id) {
            return Ok(false);
        }
        let shards = || self.collections.iter().flat_map(|(name, collection)| collection.all_shards().map(move |shard| (name, shard)));
        if let Some((name, shard)) = shards().find(|(_, shard)| shard.replicas.contains(&id)).filter(|_| !force) {
            let message = format!("peer {id} has a replica of shard {} of `{name}`: move it away first, or force the removal", shard.id);
            return Err(refused(message));
        }
        for shard in self.collections.values_mut().flat_map(CollectionMeta::all_shards_mut) {
            // What has no other copy is lost with the peer; its shard stays, and says so.
            if shard.in_sync.iter().any(|member| member.peer != id) {
                leave(shard, id);
            }
        }
        self.peers.remove(&id);
        Ok(true)
    }

    /// Whether a shard was there and is no more, as against one that is yet to come.
    pub(crate) fn is_gone(&self, of: ShardRef) -> bool {
        let Some(collection) = self.collections.values().find(|collection| collection.uid == of.uid) else {
            return of.uid <= self.next_uid;
        };
        of.shard.0 < collection.next_shard && collection.all_shards().all(|shard| shard.id != of.shard)
    }

    pub(crate) fn shard(&self, of: ShardRef) -> Option<(&str, &CollectionMeta, &ShardMeta)> {
        let (name, collection) = self.collections.iter().find(|(_, collection)| collection.uid == of.uid)?;
        let shard = collection.all_shards().find(|shard| shard.id == of.shard)?;
        Some((name, collection, shard))
    }

    fn shard_mut(&mut self, of: ShardRef) -> Result<&mut ShardMeta, ServiceError> {
        let found = self.collections.values_mut().find(|collection| collection.uid == of.uid);
        let found = found.and_then(|collection| collection.all_shards_mut().find(|shard| shard.id == of.shard));
        found.ok_or_else(|| ServiceError::new(Fault::NotFound, format!("there is no shard {of}")))
    }

    /// The shard, if it still is in the epoch in which the change was thought of.
    pub(super) fn shard_at(&mut self, of: ShardRef, epoch: u64) -> Result<&mut ShardMeta, ServiceError> {
        let shard = self.shard_mut(of)?;
        if shard.epoch != epoch {
            return Err(refused(format!("shard {of} is in epoch {}, no longer in {epoch}", shard.epoch)));
        }
        Ok(shard)
    }

    fn choose(&mut self, of: ShardRef, epoch: u64, primary: Member) -> Outcome {
        let known = self.peers.get(&primary.peer).map(|peer| peer.disk);
        let shard = self.shard_at(of, epoch)?;
        if known != Some(primary.disk) || !shard.replicas.contains(&primary.peer) {
            return Err(refused(format!("peer {} has no replica", primary.peer)));
        }
        if shard.in_sync.contains(&primary) {
            return Err(refused(format!("peer {} is in sync, and nothing needs to be given up for it", primary.peer)));
        }
        shard.in_sync = BTreeSet::from([primary]);
        shard.primary = primary;
        shard.epoch += 1;
        shard.chosen = shard.epoch;
        Ok(true)
    }

    fn change_replicas(&mut self, command: &Command) -> Outcome {
        match *command {
            Command::SetPrimary { shard, epoch, primary, keep_old } => {
                let shard = self.shard_at(shard, epoch)?;
                if !shard.in_sync.contains(&primary) {
                    return Err(refused(format!("peer {} is not in sync", primary.peer)));
                }
                if !keep_old && shard.primary != primary {
                    let old = shard.primary;
                    shard.in_sync.remove(&old);
                }
                shard.primary = primary;
                shard.epoch += 1;
            }
            Command::Regrant { shard, epoch } => self.shard_at(shard, epoch)?.epoch += 1,
            Command::Shrink { shard, epoch, member } => {
                let shard = self.shard_at(shard, epoch)?;
                if shard.primary == member {
                    return Err(refused("the primary does not leave its own in-sync set"));
                }
                shard.in_sync.remove(&member);
                shard.epoch += 1;
            }
            Command::Expand { shard, epoch, member } => {
                let known = self.peers.get(&member.peer).map(|peer| peer.disk);
                let shard = self.shard_at(shard, epoch)?;
                if known != Some(member.disk) || !shard.replicas.contains(&member.peer) {
                    return Err(refused(format!("peer {} is not to have a replica", member.peer)));
                }
                shard.in_sync.retain(|other| other.peer != member.peer);
                shard.in_sync.insert(member);
                shard.epoch += 1;
            }
            Command::Assign { shard, peer, instead_of, pin } => {
                self.member(peer)?;
                let shard = self.shard_mut(shard)?;
                if let Some(from) = instead_of {
                    if !shard.replicas.contains(&from) || from == peer {
                        return Err(refused(format!("peer {from} has no replica that could go")));
                    }
                    shard.moving.insert(peer, from);
                }
                if pin {
                    shard.pinned.insert(peer);
                }
                // A new epoch, so that a peer which learns late of an earlier dismissal knows that it is an old one.
                shard.epoch += u64::from(shard.replicas.insert(peer));
            }
            Command::Unpin { shard } => {
                let shard = self.shard_mut(shard)?;
                return Ok(!std::mem::take(&mut shard.pinned).is_empty());
            }
            Command::Unassign { shard, peer } => {
                let shard = self.shard_mut(shard)?;
                if !shard.replicas.contains(&peer) {
                    return Ok(false);
                }
                if !shard.in_sync.iter().any(|member| member.peer != peer) {
                    return Err(refused(format!("peer {peer} has the only replica of shard {} that is in sync", shard.id)));
                }
                leave(shard, peer);
            }
            _ => return Err(ServiceError::internal("a command without a meaning")),
        }
        Ok(true)
    }
}

/// Takes a peer out of a shard that has another in-sync member.
fn leave(shard: &mut ShardMeta, peer: PeerId) {
    shard.replicas.remove(&peer);
    shard.pinned.remove(&peer);
    shard.moving.retain(|to, from| *to != peer && *from != peer);
    let before = shard.in_sync.len();
    shard.in_sync.retain(|member| member.peer != peer);
    if shard.in_sync.len() < before {
        shard.epoch += 1;
    }
    if shard.primary.peer == peer
        && let Some(next) = shard.in_sync.first()
    {
        shard.primary = *next;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A cluster of so many peers, numbered from 1.
    pub(in crate::cluster) fn of_peers(count: u64) -> ClusterState {
        let mut state = ClusterState::default();
        for id in 1..=count {
            let uri = format!("http://peer{id}:6335");
            state
                .apply(&Command::AddPeer { id, uri, disk: Uuid::from_u128(id.into()), version: "1".into(), zone: None })
                .expect("it is new");
        }
        state
    }

    pub(in crate::cluster) fn member(peer: PeerId) -> Member {
        Member { peer, disk: Uuid::from_u128(peer.into()) }
    }

    pub(in crate::cluster) fn with_collection(state: &mut ClusterState, name: &str, factor: u32, placement: &[&[PeerId]]) -> u64 {
        let config = CollectionConfig { replication_factor: factor, ..CollectionConfig::default() };
        let placement = placement.iter().map(|peers| peers.to_vec()).collect();
        let command = Command::CreateCollection { name: name.into(), config: Box::new(config), created_at: String::new(), placement };
        state.apply(&command).expect("it is new");
        state.collections[name].uid
    }

    #[test]
    fn changes_of_replicas_count_in_their_epoch_alone() {
        let mut state = of_peers(3);
        let uid = with_collection(&mut state, "books", 2, &[&[1, 2]]);
        let shard = ShardRef { uid, shard: ShardId(0) };
        let shrink = Command::Shrink { shard, epoch: 1, member: member(2) };
        assert!(state.apply(&shrink).expect("2 fell behind"));
        assert!(state.apply(&shrink).is_err(), "that was another epoch");
        assert_eq!(state.collections["books"].shards[0].in_sync, BTreeSet::from([member(1)]));
        let fail_over = |epoch, peer| Command::SetPrimary { shard, epoch, primary: member(peer), keep_old: false };
        assert!(state.apply(&fail_over(2, 2)).is_err(), "2 is not in sync");
        state.apply(&Command::Expand { shard, epoch: 2, member: member(2) }).expect("2 caught up");
        state.apply(&fail_over(3, 2)).expect("2 is in sync");
        let meta = &state.collections["books"].shards[0];
        assert_eq!((meta.epoch, meta.primary, &meta.in_sync), (4, member(2), &BTreeSet::from([member(2)])));
    }

    #[test]
    fn the_last_replica_in_sync_does_not_go() {
        let mut state = of_peers(2);
        let uid = with_collection(&mut state, "books", 1, &[&[1]]);
        let shard = ShardRef { uid, shard: ShardId(0) };
        assert!(state.apply(&Command::Unassign { shard, peer: 1 }).is_err());
        assert!(state.apply(&Command::RemovePeer { id: 1, force: false }).is_err());
        state.apply(&Command::Assign { shard, peer: 2, instead_of: Some(1), pin: false }).expect("2 is a peer");
        assert!(state.apply(&Command::Unassign { shard, peer: 1 }).is_err(), "2 has nothing yet");
        state.apply(&Command::Expand { shard, epoch: 2, member: member(2) }).expect("2 caught up");
        state.apply(&Command::Unassign { shard, peer: 1 }).expect("2 is in sync");
        let meta = &state.collections["books"].shards[0];
        assert_eq!((meta.epoch, meta.primary, meta.moving.len()), (4, member(2), 0));
        assert!(state.apply(&Command::RemovePeer { id: 1, force: false }).expect("it has nothing"));
    }

    #[test]
    fn who_is_chosen_is_the_only_one_in_sync_and_needs_a_replica() {
        let mut state = of_peers(3);
        let uid = with_collection(&mut state, "books", 2, &[&[1, 2]]);
        let shard = ShardRef { uid, shard: ShardId(0) };
        let choose = |epoch, peer| Command::Choose { shard, epoch, primary: member(peer) };
        assert!(state.apply(&choose(1, 2)).is_err(), "2 is in sync");
        assert!(state.apply(&choose(1, 3)).is_err(), "3 has no replica");
        state.apply(&Command::Shrink { shard, epoch: 1, member: member(2) }).expect("2 fell behind");
        assert!(state.apply(&choose(1, 2)).is_err(), "that was another epoch");
        state.apply(&choose(2, 2)).expect("2 has a replica");
        let meta = &state.collections["books"].shards[0];
        assert_eq!((meta.epoch, meta.chosen, meta.primary, &meta.in_sync), (3, 3, member(2), &BTreeSet::from([member(2)])));
        assert!(meta.replicas.contains(&1));
    }

    #[test]
    fn a_peer_with_an_empty_disk_is_another_member() {
        let mut state = of_peers(2);
        let uid = with_collection(&mut state, "books", 2, &[&[1, 2]]);
        let shard = ShardRef { uid, shard: ShardId(0) };
        let disk = Uuid::from_u128(77);
        state
            .apply(&Command::AddPeer { id: 2, uri: "http://peer2:6335".into(), disk, version: "1".into(), zone: None })
            .expect("2 is back");
        assert!(state.apply(&Command::Expand { shard, epoch: 1, member: member(2) }).is_err(), "that disk is gone");
        state.apply(&Command::Expand { shard, epoch: 1, member: Member { peer: 2, disk } }).expect("this one is there");
        assert_eq!(state.collections["books"].shards[0].in_sync.len(), 2);
    }

    #[test]
    fn names_are_taken_once_and_numbers_are_not_used_again() {
        let mut state = of_peers(1);
        let first = with_collection(&mut state, "books", 1, &[&[1]]);
        let again =
            Command::CreateCollection { name: "books".into(), config: Box::default(), created_at: String::new(), placement: vec![vec![1]] };
        assert_eq!(state.apply(&again).expect_err("it exists").fault, Fault::AlreadyExists);
        state.apply(&Command::SetAliases { aliases: [("b".to_owned(), "books".to_owned())].into() }).expect("it is free");
        state.apply(&Command::DeleteCollection { name: "books".into() }).expect("it exists");
        assert!(state.aliases.is_empty());
        let shard = |uid, shard| ShardRef { uid, shard: ShardId(shard) };
        assert!(state.is_gone(shard(first, 0)) && !state.is_gone(shard(first + 1, 0)), "the next one is yet to come");
        assert!(with_collection(&mut state, "books", 1, &[&[1]]) > first);
        assert!(!state.is_gone(shard(first + 1, 0)) && !state.is_gone(shard(first + 1, 1)));
    }
}
