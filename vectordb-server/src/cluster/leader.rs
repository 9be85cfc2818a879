//! What the leader of the group does beside leading: it sees who lives, gives votes, and keeps replicas where they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::{BasicNode, ChangeMembers, ServerState};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use uuid::Uuid;
use vectordb_service::ShardId;

use super::node::Shared;
use super::placement::plan;
use super::resharding::{Phase, Resharding};
use super::sizes;
use super::state::{ClusterState, Command, Member, PeerId, ShardRef};
use super::survey::{Health, shards};

/// How often a node says that it lives.
pub(super) const BEAT: Duration = Duration::from_millis(500);
/// How long a node may be silent before others take over from it.
const DOWN_AFTER: Duration = Duration::from_secs(3);
/// For how long a new leader believes in those that it had heard of before: until their next signs of life were due, for it may be the
/// one that heard nothing.
const NEW_LEADER: Duration = Duration::from_secs(1);
/// A node that does nothing for longer than this, not even hear itself, has stood still: the silence was its own.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// How long writes are held for the last points of a resharding. Whoever writes waits for 10 s.
const MOST_HELD: Duration = Duration::from_secs(5);
/// How long old shards of a resharding are kept for reads that found them. Reads give up after 10 s.
const READS: Duration = Duration::from_secs(12);

/// How long a node that was a primary keeps its replica at least: it has to hear from the next what became of the writes that it had begun.
pub(super) const FATES: Duration = Duration::from_secs(2);

/// What a node tells the leader as long as it lives.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Beat {
    peer: PeerId,
    disk: Uuid,
    /// It is about to stop, or its disk is full: others are to be primaries.
    #[serde(default)]
    hands_over: bool,
}

impl Beat {
    pub(super) fn new(member: Member, hands_over: bool) -> Self {
        Self { peer: member.peer, disk: member.disk, hands_over }
    }

    pub(super) fn member(&self) -> Member {
        Member { peer: self.peer, disk: self.disk }
    }
}

/// Whom a node has heard of that leads, or may lead one day.
#[derive(Debug, Default)]
pub(super) struct Beats {
    heard: BTreeMap<PeerId, (Beat, Instant)>,
    leading_since: Option<Instant>,
    /// When the node last heard somebody, itself included, or asked.
    awake_at: Option<Instant>,
}

impl Beats {
    pub(super) fn note(&mut self, beat: Beat, now: Instant) {
        self.note_awake(now);
        self.heard.insert(beat.peer, (beat, now));
    }

    /// For how long a peer has said nothing, if it ever said something.
    pub(super) fn silent_for(&self, peer: PeerId, now: Instant) -> Option<Duration> {
        self.heard.get(&peer).map(|(_, at)| now.saturating_duration_since(*at))
    }

    /// One that stood still begins as a new leader does.
    fn note_awake(&mut self, now: Instant) {
        let before = self.awake_at.replace(now);
        if before.is_some_and(|before| now.saturating_duration_since(before) > STOOD_STILL) {
            self.leading_since = self.leading_since.map(|_| now);
        }
    }

    /// Who lives, as far as a leader of so long can know.
    pub(super) fn health(&mut self, state: &ClusterState, leads: bool, give_up_after: Duration, now: Instant) -> Health {
        self.note_awake(now);
        if !leads {
            self.leading_since = None;
            return Health::default();
        }
        let since = *self.leading_since.get_or_insert(now);
        let mut health = Health::default();
        for (&peer, known) in &state.peers {
            let leads_for = now.saturating_duration_since(since);
            let most = leads_for + DOWN_AFTER.saturating_sub(NEW_LEADER);
            let silent_for = self.silent_for(peer, now).map_or(leads_for, |silent_for| silent_for.min(most));
            let beat = self.heard.get(&peer).map_or(Beat { peer, disk: known.disk, hands_over: false }, |(beat, _)| *beat);
            if silent_for < DOWN_AFTER {
                let those = if beat.hands_over { &mut health.handing_over } else { &mut health.alive };
                those.insert(peer, beat.member());
            } else if silent_for >= give_up_after {
                health.given_up.insert(peer);
            }
        }
        health
    }
}

pub(super) fn is_leader(node: &Shared) -> bool {
    let metrics = node.group.raft.metrics().borrow().clone();
    metrics.state == ServerState::Leader && metrics.current_leader == Some(node.me.peer)
}

/// The last entry that a leader knows to be agreed on; none before it has applied one of its own term, behind all that were agreed on
/// before, and by a node that does not lead.
pub(super) fn known_to_be_agreed(node: &Shared) -> Option<u64> {
    if !is_leader(node) {
        return None;
    }
    let metrics = node.group.raft.metrics().borrow().clone();
    metrics.last_applied.filter(|last| last.leader_id.term == metrics.current_term).map(|last| last.index)
}

/// Leads, whenever it is this node's turn, until the node stops.
pub(super) async fn run(node: Arc<Shared>) {
    let mut reshardings = Reshardings::default();
    let mut known = sizes::Known::default();
    let mut handovers = Handovers::default();
    while !node.is_stopping() {
        tokio::time::sleep(BEAT / 2).await;
        let leads = is_leader(&node);
        let state = node.agreed();
        let health = node.beats.lock().health(&state, leads, node.give_up_after, Instant::now());
        if !leads {
            continue;
        }
        reshardings.advance(&node, &state);
        if let Err(error) = give_votes(&node, &state, &health).await {
            tracing::debug!(%error, "votes are not changed now");
        }
        let sizes = (node.rebalances() && !state.balance_paused).then(|| known.now(&node));
        handovers.note(&state, Instant::now());
        let planned = plan(&state, &health, sizes.as_deref()).into_iter();
        for command in planned.filter(|command| !handovers.is_early(command, Instant::now())) {
            tracing::info!(?command, "reconciling");
            if let Err(error) = node.group.raft.client_write(command).await {
                tracing::debug!(%error, "not proposed");
                break;
            }
        }
    }
}

/// Since when shards have the primaries that they have, as far as it was seen.
#[derive(Debug, Default)]
struct Handovers(BTreeMap<ShardRef, (Member, Instant)>);

impl Handovers {
    fn note(&mut self, state: &ClusterState, now: Instant) {
        let before = std::mem::take(&mut self.0);
        let since = |of: ShardRef, primary: Member| before.get(&of).filter(|(known, _)| *known == primary).map_or(now, |(_, since)| *since);
        self.0 = shards(state).map(|(of, _, shard)| (of, (shard.primary, since(of, shard.primary)))).collect();
    }

    /// Whether somebody may still wait for what a command ends.
    fn is_early(&self, command: &Command, now: Instant) -> bool {
        let Command::Unassign { shard, .. } = command else { return false };
        self.0.get(shard).is_some_and(|(_, since)| now.saturating_duration_since(*since) < FATES)
    }
}

/// Reshardings that have come to a point where somebody waits.
#[derive(Debug, Default)]
struct Reshardings {
    waits: Waits,
    /// By collection: who waits until every node that answers knows the new shards.
    settling: BTreeMap<u64, JoinHandle<()>>,
}

impl Reshardings {
    fn advance(&mut self, node: &Arc<Shared>, state: &ClusterState) {
        for command in self.waits.over(state, Instant::now()) {
            node.propose_quietly(command);
        }
        self.settling.retain(|known, waiting| settling(state).any(|uid| uid == *known) && !waiting.is_finished());
        for uid in settling(state) {
            self.settling.entry(uid).or_insert_with(|| {
                let node = Arc::clone(node);
                let index = node.group.agreed.borrow().index;
                tokio::spawn(async move {
                    node.settled(index).await;
                    node.propose_quietly(Command::EndResharding { uid });
                })
            });
        }
    }
}

fn reshardings(state: &ClusterState) -> impl Iterator<Item = (u64, &Resharding)> {
    state.collections.values().filter_map(|collection| Some((collection.uid, collection.resharding.as_ref()?)))
}

/// Collections whose new shards take writes once every node that answers knows them.
pub(super) fn settling(state: &ClusterState) -> impl Iterator<Item = u64> {
    reshardings(state).filter(|(_, running)| running.phase == Phase::Settling).map(|(uid, _)| uid)
}

/// For how long reshardings have been where they must not be for long.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Since when writes are held: by collection and round.
    held: BTreeMap<(u64, u64), Instant>,
    /// Since when shards are kept for reads under way alone: by collection and the first of them.
    retiring: BTreeMap<(u64, ShardId), Instant>,
}

impl Waits {
    /// What is to be done about those that have been there for long enough.
    pub(super) fn over(&mut self, state: &ClusterState, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        let holding =
            || reshardings(state).filter(|(_, running)| running.phase == Phase::Holding).map(|(uid, running)| (uid, running.round));
        self.held.retain(|held, _| holding().any(|now| now == *held));
        for (uid, round) in holding() {
            let since = *self.held.entry((uid, round)).or_insert(now);
            if now.saturating_duration_since(since) > MOST_HELD {
                tracing::warn!(collection = uid, "the last points take too long to reach their new shards: writes go on");
                commands.push(Command::ReleaseWrites { uid, round });
            }
        }
        let retiring = || reshardings(state).filter_map(|(uid, running)| Some((uid, running.replaced()?)));
        self.retiring.retain(|known, _| retiring().any(|now| now == *known));
        for (uid, first) in retiring() {
            let since = *self.retiring.entry((uid, first)).or_insert(now);
            if now.saturating_duration_since(since) > READS {
                commands.push(Command::DropReplaced { uid, first });
            }
        }
        commands
    }
}

/// Who should have votes: three of three or four, five of more, so that the loss of one changes nothing. Of two peers one has a
/// vote, and no even number of them is made as a group grows: two need both, so that either one that fails stops the group.
fn voters(now: &BTreeSet<PeerId>, state: &ClusterState, health: &Health) -> BTreeSet<PeerId> {
    let peers = state.peers.len();
    let wanted = match peers {
        0..=2 => 1,
        3 | 4 => 3,
        _ => 5,
    };
    let stays = |peer: &&PeerId| state.peers.get(peer).is_some_and(|peer| !peer.draining) && !health.given_up.contains(peer);
    let mut voters: BTreeSet<PeerId> = now.iter().filter(stays).copied().collect();
    let is_fresh = |peer: &&PeerId| !voters.contains(peer) && state.peers.get(peer).is_some_and(|peer| !peer.draining);
    let fresh: Vec<PeerId> = health.alive.keys().filter(is_fresh).copied().collect();
    let most = wanted.min(voters.len() + fresh.len());
    let odd = most.saturating_sub(usize::from(most.is_multiple_of(2)));
    voters.extend(fresh.into_iter().take(odd.saturating_sub(voters.len())));
    // Nobody is left without need, above all not the last.
    if voters.is_empty() { now.clone() } else { voters }
}

async fn give_votes(node: &Shared, state: &ClusterState, health: &Health) -> Result<(), String> {
    let metrics = node.group.raft.metrics().borrow().clone();
    let membership = metrics.membership_config.membership().clone();
    let known: BTreeMap<PeerId, BasicNode> = membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
    let write = |change| node.group.raft.change_membership(change, true);
    let moved: BTreeMap<PeerId, BasicNode> = state
        .peers
        .iter()
        .filter(|(id, peer)| known.get(id).is_some_and(|node| node.addr != peer.uri))
        .map(|(id, peer)| (*id, BasicNode::new(&peer.uri)))
        .collect();
    if !moved.is_empty() {
        return write(ChangeMembers::SetNodes(moved)).await.map(drop).map_err(|error| error.to_string());
    }
    // A node is let in before it is a peer, and in between it may have been taken for one that was removed.
    let missing = state.peers.iter().filter(|(id, _)| !known.contains_key(id)).map(|(id, peer)| (*id, BasicNode::new(&peer.uri)));
    let missing: BTreeMap<PeerId, BasicNode> = missing.collect();
    if !missing.is_empty() {
        return write(ChangeMembers::AddNodes(missing)).await.map(drop).map_err(|error| error.to_string());
    }
    let now: BTreeSet<PeerId> = membership.voter_ids().collect();
    let wanted: BTreeSet<PeerId> = voters(&now, state, health).into_iter().filter(|peer| known.contains_key(peer)).collect();
    if wanted != now && !wanted.is_empty() {
        return write(ChangeMembers::ReplaceAllVoters(wanted)).await.map(drop).map_err(|error| error.to_string());
    }
    let gone: BTreeSet<PeerId> = known.keys().copied().filter(|id| !state.peers.contains_key(id) && !now.contains(id)).collect();
    if !gone.is_empty() && !state.peers.is_empty() {
        return write(ChangeMembers::RemoveNodes(gone)).await.map(drop).map_err(|error| error.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{member, of_peers, with_collection};
    use super::*;

    fn healthy(peers: std::ops::RangeInclusive<u64>) -> Health {
        Health { alive: peers.map(|peer| (peer, member(peer))).collect(), ..Health::default() }
    }

    #[test]
    fn three_or_five_have_votes_and_the_dead_give_theirs_up() {
        for (peers, expected) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (9, 5)] {
            let voters = voters(&BTreeSet::from([1]), &of_peers(peers), &healthy(1..=peers));
            assert_eq!(voters.len(), expected, "{peers}");
        }
        for (alive, expected) in [(2, 1), (3, 3), (4, 3), (5, 5)] {
            let voters = voters(&BTreeSet::from([1]), &of_peers(5), &healthy(1..=alive));
            assert_eq!(voters.len(), expected, "{alive} of 5 were heard of");
        }
        assert_eq!(voters(&BTreeSet::from([1, 3]), &of_peers(3), &healthy(1..=1)), BTreeSet::from([1, 3]));
        assert_eq!(voters(&BTreeSet::from([1, 3]), &of_peers(3), &healthy(1..=3)), BTreeSet::from([1, 2, 3]));
        let health = Health { given_up: BTreeSet::from([2]), ..healthy(3..=5) };
        assert_eq!(voters(&BTreeSet::from([1, 2, 3]), &of_peers(4), &health), BTreeSet::from([1, 3, 4]));
        let mut draining = of_peers(1);
        draining.apply(&super::super::state::Command::SetDraining { id: 1, draining: true }).expect("it is a peer");
        assert_eq!(voters(&BTreeSet::from([1]), &draining, &healthy(1..=1)), BTreeSet::from([1]));
    }

    #[test]
    fn a_new_leader_believes_in_those_whom_it_never_heard_for_a_while() {
        let state = of_peers(2);
        let mut beats = Beats::default();
        let start = Instant::now();
        assert!(beats.health(&state, false, DOWN_AFTER, start).alive.is_empty());
        assert_eq!(beats.health(&state, true, DOWN_AFTER * 2, start).alive.len(), 2);
        (1..9).for_each(|beat| beats.note(Beat::new(member(1), false), start + BEAT * beat));
        let health = beats.health(&state, true, DOWN_AFTER * 2, start + DOWN_AFTER * 3 / 2);
        assert_eq!((health.alive.len(), health.given_up.len()), (1, 0));
        (9..12).for_each(|beat| beats.note(Beat::new(member(1), false), start + BEAT * beat));
        let health = beats.health(&state, true, DOWN_AFTER * 2, start + DOWN_AFTER * 2);
        assert_eq!(health.given_up, BTreeSet::from([2]));
    }

    #[test]
    fn a_new_leader_knows_who_was_silent_before() {
        let state = of_peers(3);
        let mut beats = Beats::default();
        let start = Instant::now();
        let mut alive = |heard: &[u64], leads, seconds: f64| {
            let now = start + Duration::from_secs_f64(seconds);
            heard.iter().for_each(|peer| beats.note(Beat::new(member(*peer), false), now));
            beats.health(&state, leads, DOWN_AFTER * 10, now).alive.into_keys().collect::<Vec<_>>()
        };
        assert!(alive(&[1, 2, 3], false, 0.0).is_empty());
        assert!(alive(&[1, 2], false, 2.0).is_empty());
        assert_eq!(alive(&[1, 2], true, 2.4), [1, 2, 3]);
        assert_eq!(alive(&[1, 2], true, 3.3), [1, 2, 3]);
        assert_eq!(alive(&[], true, 3.5), [1, 2]);
        // One that stood still heard nobody.
        assert!(alive(&[], false, 90.0).is_empty());
        assert_eq!(alive(&[], true, 90.1), [1, 2, 3]);
        assert_eq!(alive(&[1], true, 90.6), [1, 2, 3]);
        assert_eq!(alive(&[1, 3], true, 91.2), [1, 3]);
    }

    #[test]
    fn a_leader_that_stood_still_does_not_take_the_others_for_silent() {
        let (state, start) = (of_peers(3), Instant::now());
        let mut beats = Beats::default();
        let mut hear = |heard: &[u64], seconds: f64| {
            let now = start + Duration::from_secs_f64(seconds);
            heard.iter().for_each(|peer| beats.note(Beat::new(member(*peer), false), now));
            let health = beats.health(&state, true, DOWN_AFTER * 2, now);
            (health.alive.into_keys().collect::<Vec<_>>(), health.given_up.len())
        };
        assert_eq!(hear(&[1, 2, 3], 0.0), (vec![1, 2, 3], 0));
        // It hears itself first, or asks first, and then those who were there all the time.
        assert_eq!(hear(&[1], 4.0), (vec![1, 2, 3], 0));
        assert_eq!(hear(&[1, 2], 4.6), (vec![1, 2, 3], 0));
        assert_eq!(hear(&[1, 2], 5.1), (vec![1, 2], 0));
        assert_eq!(hear(&[], 9.0), (vec![1, 2, 3], 0));
        assert_eq!(hear(&[1, 2], 9.9), (vec![1, 2, 3], 0));
        // The others cannot stand still for it.
        for beat in 0..14 {
            hear(&[1, 2], 10.0 + f64::from(beat) / 2.0);
        }
        assert_eq!(hear(&[1, 2], 17.0), (vec![1, 2], 1));
    }

    #[test]
    fn a_replica_stays_until_its_writes_have_their_fates() {
        let (mut state, start) = (of_peers(2), Instant::now());
        let uid = with_collection(&mut state, "c", 2, &[&[1, 2], &[2, 1]]);
        let [first, second] = [0, 1].map(|shard| ShardRef { uid, shard: ShardId(shard) });
        let mut handovers = Handovers::default();
        let mut early = |state: &ClusterState, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            handovers.note(state, now);
            let of = |shard| Command::Unassign { shard, peer: 1 };
            [first, second].map(|shard| handovers.is_early(&of(shard), now))
        };
        assert_eq!(early(&state, 0), [true, true], "nobody knows what was before");
        assert_eq!(early(&state, 2), [false, false]);
        let next = Command::SetPrimary { shard: first, epoch: 1, primary: member(2), keep_old: true };
        state.apply(&next).expect("2 is in sync");
        assert_eq!(early(&state, 3), [true, false]);
        assert_eq!(early(&state, 4), [true, false]);
        assert_eq!(early(&state, 5), [false, false]);
        assert!(!handovers.is_early(&next, start));
    }

    #[test]
    fn who_hands_over_is_not_counted_on_until_it_is_back() {
        let (state, start) = (of_peers(1), Instant::now());
        let mut beats = Beats::default();
        for (hands_over, expected) in [(false, (1, 0)), (true, (0, 1)), (false, (1, 0))] {
            beats.note(Beat::new(member(1), hands_over), start);
            let health = beats.health(&state, true, DOWN_AFTER * 2, start);
            assert_eq!((health.alive.len(), health.handing_over.len()), expected);
        }
    }
}
