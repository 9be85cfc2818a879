//! What callers of the API ask of the cluster.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use openraft::ServerState;
use vectordb_core::{CollectionConfig, ConfigDiff};
use vectordb_service::{
    Cluster, ClusterStatus, Fault, PeerStatus, Question, ReplicaFigures, ReplicaOperation, ReplicaState, ReshardingState, Result,
    ServiceError, ShardId, ShardKey, ShardRoute, ShardSums, SnapshotDescription, SnapshotFile, SnapshotScope,
};

use super::figures::{figures, state_of};
use super::node::Shared;
use super::placement::{only_copies, place};
use super::resharding::Resharding;
use super::state::{CollectionMeta, Command, Member, PeerId, ShardMeta, ShardRef};
use super::survey::Health;

impl Shared {
    /// Peers for new shards. Who is not the leader takes everybody for alive.
    fn places(&self, shards: u32, factor: usize) -> Result<Vec<Vec<PeerId>>> {
        let state = self.agreed();
        let everybody = state.peers.iter().map(|(&peer, known)| (peer, Member { peer, disk: known.disk })).collect();
        let seen = self.beats.lock().health(&state, super::leader::is_leader(self), self.give_up_after, Instant::now());
        let health = if seen.alive.is_empty() { Health { alive: everybody, ..Health::default() } } else { seen };
        let places = place(&state, &health, shards, factor);
        if places.len() < shards as usize {
            return Err(ServiceError::new(Fault::Unavailable, "there is no peer that takes shards"));
        }
        Ok(places)
    }

    fn meta(&self, name: &str) -> Result<CollectionMeta> {
        self.agreed().collections.get(name).cloned().ok_or_else(|| ServiceError::no_collection(name))
    }

    fn shard_meta(&self, name: &str, shard: ShardId) -> Result<(ShardRef, ShardMeta)> {
        let meta = self.meta(name)?;
        let found = meta.shards.into_iter().find(|of| of.id == shard);
        let found = found.ok_or_else(|| ServiceError::new(Fault::NotFound, format!("Shard {shard} of collection {name} not found")))?;
        Ok((ShardRef { uid: meta.uid, shard }, found))
    }

    /// What makes a peer's replica the primary.
    fn promotion(&self, shard: ShardRef, meta: &ShardMeta, to: PeerId, accept_loss: bool) -> Result<Command> {
        let epoch = meta.epoch;
        if let Some(&primary) = meta.in_sync.iter().find(|member| member.peer == to) {
            return Ok(Command::SetPrimary { shard, epoch, primary, keep_old: true });
        }
        if !meta.replicas.contains(&to) {
            return Err(ServiceError::request(format!("Shard {} does not exist on peer {to}", meta.id)));
        }
        if !accept_loss {
            let message = format!("peer {to} is not in sync, and what it lacks would be lost: `accept_loss` says that this is meant");
            return Err(ServiceError::request(message));
        }
        // Someone who is asleep may wake up; someone who answers has everything.
        if self.route(shard).is_some_and(|route| route.ask(&Question::Info).is_ok()) {
            let message = format!("another replica of shard {} is in sync and answers: nothing needs to be lost", meta.id);
            return Err(ServiceError::request(message));
        }
        let state = self.agreed();
        let disk = state.peers.get(&to).map(|peer| peer.disk).ok_or_else(|| ServiceError::request(format!("Peer {to} does not exist")))?;
        Ok(Command::Choose { shard, epoch, primary: Member { peer: to, disk } })
    }
}

impl Cluster for Shared {
    fn create_collection(&self, name: &str, config: &CollectionConfig, shards: u32) -> Result<()> {
        let placement = self.places(shards, config.replication_factor as usize)?;
        let created_at = jiff::Timestamp::now().to_string();
        self.agree(Command::CreateCollection { name: name.to_owned(), config: Box::new(config.clone()), created_at, placement }).map(drop)
    }

    fn delete_collection(&self, name: &str) -> Result<bool> {
        self.agree(Command::DeleteCollection { name: name.to_owned() })
    }

    fn update_config(&self, name: &str, diff: &ConfigDiff) -> Result<()> {
        let meta = self.meta(name)?;
        let config = diff.applied_to(&meta.config)?;
        self.agree(Command::SetConfig { uid: meta.uid, config: Box::new(config) }).map(drop)
    }

    fn rename(&self, name: &str, new: &str) -> Result<()> {
        self.agree(Command::Rename { name: name.to_owned(), new: new.to_owned() }).map(drop)
    }

    fn snapshots(&self, scope: &SnapshotScope) -> Vec<SnapshotDescription> {
        self.snapshots_elsewhere(scope)
    }

    fn open_snapshot(&self, scope: &SnapshotScope, name: &str) -> Result<SnapshotFile> {
        self.snapshot_from_elsewhere(scope, name)
    }

    fn delete_snapshot(&self, scope: &SnapshotScope, name: &str) -> Result<()> {
        self.delete_snapshot_elsewhere(scope, name)
    }

    fn set_aliases(&self, aliases: BTreeMap<String, String>) -> Result<()> {
        self.agree(Command::SetAliases { aliases }).map(drop)
    }

    fn create_shard_key(&self, name: &str, key: &ShardKey, shards: u32) -> Result<()> {
        let placement = self.places(shards, self.meta(name)?.factor())?;
        self.agree(Command::CreateShardKey { name: name.to_owned(), key: key.clone(), placement }).map(drop)
    }

    fn delete_shard_key(&self, name: &str, key: &ShardKey) -> Result<()> {
        self.agree(Command::DeleteShardKey { name: name.to_owned(), key: key.clone() }).map(drop)
    }

    fn reshard(&self, name: &str, key: Option<&ShardKey>, count: u32) -> Result<()> {
        let placement = self.places(count, self.meta(name)?.factor())?;
        self.agree(Command::StartResharding { name: name.to_owned(), key: key.cloned(), placement }).map(drop)
    }

    fn abort_resharding(&self, name: &str) -> Result<()> {
        self.agree(Command::AbortResharding { name: name.to_owned() }).map(drop)
    }

    fn reshardings(&self, name: &str) -> Result<Vec<ReshardingState>> {
        let meta = self.meta(name)?;
        let shown = |running: &Resharding| {
            // From the switch on, the new ones are those of the collection.
            let new = if running.attempt().is_some() { &running.shards } else { &meta.shards };
            let first = new.iter().find(|shard| shard.key == running.key)?;
            Some(ReshardingState { up: running.up, shard: first.id, peer: first.primary.peer, key: running.key.clone() })
        };
        Ok(meta.resharding.as_ref().filter(|_| !meta.is_settled()).and_then(shown).into_iter().collect())
    }

    fn operate(&self, name: &str, operation: &ReplicaOperation) -> Result<()> {
        if !self.meta(name)?.is_settled() {
            return Err(ServiceError::resharding(name));
        }
        let (id, peers) = match operation {
            ReplicaOperation::Replicate { shard, to }
            | ReplicaOperation::Abort { shard, to }
            | ReplicaOperation::Promote { shard, to, .. } => (*shard, vec![*to]),
            ReplicaOperation::Move { shard, from, to } => (*shard, vec![*from, *to]),
            ReplicaOperation::Drop { shard, from } => (*shard, vec![*from]),
            ReplicaOperation::Unpin { shard } => (*shard, Vec::new()),
        };
        let state = self.agreed();
        if let Some(unknown) = peers.iter().find(|peer| !state.peers.contains_key(peer)) {
            return Err(ServiceError::request(format!("Peer {unknown} does not exist")));
        }
        let (shard, meta) = self.shard_meta(name, id)?;
        let has = |peer: &PeerId| meta.replicas.contains(peer);
        let command = match operation {
            ReplicaOperation::Replicate { to, .. } | ReplicaOperation::Move { to, .. } if has(to) => {
                return Err(ServiceError::request(format!("Shard {id} is already on peer {to}")));
            }
            ReplicaOperation::Move { from, .. } | ReplicaOperation::Drop { from, .. } if !has(from) => {
                return Err(ServiceError::request(format!("Shard {id} does not exist on peer {from}")));
            }
            ReplicaOperation::Abort { to, .. } if !has(to) || meta.is_in_sync(*to) => {
                return Err(ServiceError::new(Fault::NotFound, format!("Shard {id} is not being transferred to peer {to}")));
            }
            ReplicaOperation::Promote { to, accept_loss, .. } => self.promotion(shard, &meta, *to, *accept_loss)?,
            ReplicaOperation::Replicate { to, .. } => Command::Assign { shard, peer: *to, instead_of: None, pin: true },
            ReplicaOperation::Move { from, to, .. } => Command::Assign { shard, peer: *to, instead_of: Some(*from), pin: true },
            ReplicaOperation::Unpin { .. } => Command::Unpin { shard },
            ReplicaOperation::Drop { from: peer, .. } | ReplicaOperation::Abort { to: peer, .. } => {
                Command::Unassign { shard, peer: *peer }
            }
        };
        if let Command::Unassign { shard, peer } = command
            && meta.primary.peer == peer
            && let Some(&primary) = meta.in_sync.iter().find(|member| member.peer != peer)
        {
            // What it has begun to write comes to an end before its replica goes.
            self.agree(Command::SetPrimary { shard, epoch: meta.epoch, primary, keep_old: true })?;
            std::thread::sleep(super::leader::FATES);
        }
        self.agree(command).map(drop)
    }

    fn verify(&self, name: &str, repair: bool) -> Result<Vec<ShardSums>> {
        let sums = self.sums(name)?;
        for shard in sums.iter().filter(|shard| !shard.is_equal()) {
            tracing::error!(collection = name, shard = %shard.shard, "its replicas do not hold the same");
            if repair {
                self.make_anew(name, shard)?;
            }
        }
        Ok(sums)
    }

    fn remove_peer(&self, peer: u64, force: bool) -> Result<()> {
        let state = self.agreed();
        if !state.peers.contains_key(&peer) {
            return Err(ServiceError::new(Fault::NotFound, format!("Peer {peer} does not exist")));
        }
        let alone = only_copies(&state, peer);
        if let Some((name, shard)) = alone.first().filter(|_| !force) {
            let message = format!("peer {peer} has the only copy of shard {shard} of `{name}`");
            return Err(ServiceError::request(message));
        }
        self.agree(Command::RemovePeer { id: peer, force }).map(drop)
    }

    fn set_draining(&self, peer: u64, draining: bool) -> Result<()> {
        self.agree(Command::SetDraining { id: peer, draining }).map(drop)
    }

    fn pause_balance(&self, paused: bool) -> Result<()> {
        self.agree(Command::PauseBalance { paused }).map(drop)
    }

    fn status(&self) -> ClusterStatus {
        let metrics = self.group.raft.metrics().borrow().clone();
        let state = self.agreed();
        let peer = |(&id, peer): (&PeerId, &super::state::Peer)| {
            let uri = format!("{}/", peer.uri.trim_end_matches('/'));
            let replicas = state.collections.values().flat_map(CollectionMeta::all_shards);
            let replicas = replicas.filter(|shard| shard.replicas.contains(&id)).count();
            (id, PeerStatus { uri, version: peer.version.clone(), draining: peer.draining, zone: peer.zone.clone(), replicas })
        };
        let membership = metrics.membership_config.membership();
        let commit = metrics.last_applied.map_or(0, |last| last.index);
        ClusterStatus {
            peer_id: self.me.peer,
            peers: state.peers.iter().map(peer).collect(),
            leader: metrics.current_leader,
            term: metrics.current_term,
            commit,
            pending: metrics.last_log_index.unwrap_or(0).saturating_sub(commit),
            role: match metrics.state {
                ServerState::Leader => "Leader",
                ServerState::Candidate => "Candidate",
                ServerState::Learner => "Learner",
                ServerState::Follower | ServerState::Shutdown => "Follower",
            },
            is_voter: membership.voter_ids().any(|id| id == self.me.peer),
            balance_paused: state.balance_paused || !self.rebalances(),
            stopped: metrics.running_state.err().map(|error| error.to_string()),
        }
    }

    fn replicas(&self, name: &str) -> Result<Vec<ReplicaState>> {
        let state = self.agreed();
        let meta = self.meta(name)?;
        let of = |shard: &ShardMeta, is_new: bool| -> Vec<ReplicaState> {
            let replica = |&peer: &PeerId| ReplicaState {
                shard: shard.id,
                key: shard.key.clone(),
                peer,
                state: match state_of(&state, shard, peer) {
                    "Active" if is_new => "Resharding",
                    other => other,
                },
                is_new,
                is_primary: shard.primary.peer == peer,
                moving_from: shard.moving.get(&peer).copied(),
                pinned: shard.pinned.contains(&peer),
            };
            shard.replicas.iter().map(replica).collect()
        };
        // Those that were replaced are of no interest any more.
        let new = meta.resharding.iter().filter(|running| running.attempt().is_some()).flat_map(|running| &running.shards);
        Ok(meta.shards.iter().flat_map(|shard| of(shard, false)).chain(new.flat_map(|shard| of(shard, true))).collect())
    }

    fn is_ready(&self) -> bool {
        self.is_in_order()
    }

    fn has_shown_all(&self) -> bool {
        self.first_heard.lock().is_some_and(|first| self.shown.load(Ordering::Acquire) >= first)
    }

    fn figures(&self) -> ReplicaFigures {
        let state = self.agreed();
        let leads = super::leader::is_leader(self);
        let health = self.beats.lock().health(&state, leads, self.give_up_after, Instant::now());
        figures(&state, self.me.peer, leads.then_some(&health))
    }
}
