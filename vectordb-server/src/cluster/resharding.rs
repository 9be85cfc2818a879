//! Another number of shards for a live collection, as it is agreed on: new shards beside those that are read and written.
//!
//! Each old shard has a *feed*, run by its primary, which brings the points into the new shards: first all, then those written
//! meanwhile (`feed`). When no feed has much left, writes are *held*; when none has anything left, the new shards take the place of
//! the old, in one entry of the log. They take writes when every node that answers knows, and the old ones go then.
//!
//! What keeps that right:
//!
//! * A feed has a token, which grows each time its messages so far must not count any more: new shards take what has the newest
//!   token that was agreed on, and nothing else.
//! * What a feed noted is gone with it. When an old shard gets another primary, or a feed begins where another one had begun, as after
//!   a restart, all begins anew with new shards, which have other numbers, so that what is still on its way to the ones before reaches
//!   nobody. Whether a process is new is not to be seen by the epoch: any change of the replicas gives it one.
//! * A feed says that nothing is left in the epoch of its shard and in one round of holding alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vectordb_core::CollectionConfig;
use vectordb_service::{ServiceError, ShardId, ShardKey};

use super::state::{ClusterState, CollectionMeta, Member, Outcome, Peer, PeerId, ShardMeta, ShardRef, refused};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The old shards are read and written, and their points brought over.
    Copying,
    /// The old shards are read, and nothing is written.
    Holding,
    /// The new shards are those of the collection. The old ones still answer who does not know yet, and nothing is written.
    Settling,
    /// All is done, but for reads under way that found the old shards.
    Retiring,
}

/// How far one old shard is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Feed {
    /// Which one it is: another has notes of its own.
    #[serde(default)]
    pub(crate) id: Uuid,
    /// What its messages show.
    pub(crate) token: u64,
    /// Whether little is left.
    pub(crate) near: bool,
    /// Whether nothing is left in this round.
    pub(crate) drained: bool,
}

/// A resharding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resharding {
    /// Of the shards of this key.
    pub(crate) key: Option<ShardKey>,
    pub(crate) phase: Phase,
    /// Grows each time writes are held.
    pub(crate) round: u64,
    /// The new shards; from [`Phase::Settling`] on, the old ones.
    pub(crate) shards: Vec<ShardMeta>,
    /// Old shards of the one before, which reads under way may still find.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retired: Vec<ShardMeta>,
    /// By old shard.
    pub(crate) feeds: BTreeMap<ShardId, Feed>,
    /// The primaries of the old shards since it began.
    primaries: BTreeMap<ShardId, Member>,
    /// Whether there will be more shards.
    pub(crate) up: bool,
}

/// What a feed says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// From now on its messages show this.
    Begun { feed: Uuid, token: u64 },
    /// Little is left.
    Near { token: u64 },
    /// Nothing is left.
    Drained { token: u64, round: u64 },
}

/// Whether a shard takes a write now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Taken,
    /// Another time, or elsewhere.
    Refused,
}

/// What a feed shows to a new shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pass {
    pub(crate) from: ShardId,
    pub(crate) token: u64,
}

impl Resharding {
    /// Which of several attempts it is: the number of the first new shard.
    pub(crate) fn attempt(&self) -> Option<ShardId> {
        self.shards.first().filter(|_| self.is_moving()).map(|shard| shard.id)
    }

    /// The first of the shards that are kept for nothing but reads under way, while there are any.
    pub(crate) fn replaced(&self) -> Option<ShardId> {
        let last = self.shards.first().filter(|_| self.phase == Phase::Retiring);
        self.retired.first().or(last).map(|shard| shard.id)
    }

    /// Whether the old shards are still those of the collection.
    fn is_moving(&self) -> bool {
        matches!(self.phase, Phase::Copying | Phase::Holding)
    }

    fn all(&self, of: &[ShardId], so: impl Fn(&Feed) -> bool) -> bool {
        of.iter().all(|shard| self.feeds.get(shard).is_some_and(&so))
    }
}

impl CollectionMeta {
    /// The shards that a resharding takes points from, or has brought them to.
    fn ring_of(&self, key: Option<&ShardKey>) -> Vec<ShardId> {
        self.shards.iter().filter(|shard| shard.key.as_ref() == key).map(|shard| shard.id).collect()
    }

    /// What a shard that is made now is made of.
    pub(crate) fn config_of(&self, shard: &ShardMeta) -> CollectionConfig {
        let mut config = self.config.clone();
        let new = self.resharding.as_ref().filter(|running| running.key.is_none() && running.attempt().is_some());
        if let Some(running) = new.filter(|running| running.shards.iter().any(|new| new.id == shard.id)) {
            config.shard_number = u32::try_from(running.shards.len()).unwrap_or(u32::MAX);
        }
        config
    }

    /// Whether a resharding takes points from a shard.
    pub(crate) fn feeds_from(&self, shard: &ShardMeta) -> Option<&Resharding> {
        let of = |running: &&Resharding| running.is_moving() && running.key == shard.key;
        self.resharding.as_ref().filter(of).filter(|_| self.shards.iter().any(|old| old.id == shard.id))
    }

    /// Whether the shards stay what they are.
    pub(crate) fn is_settled(&self) -> bool {
        self.resharding.as_ref().is_none_or(|running| running.phase == Phase::Retiring)
    }

    /// Whether others have taken a shard's place.
    pub(crate) fn is_replaced(&self, shard: &ShardMeta) -> bool {
        let among = |shards: &[ShardMeta]| shards.iter().any(|old| old.id == shard.id);
        self.resharding.as_ref().is_some_and(|running| among(&running.retired) || !running.is_moving() && among(&running.shards))
    }

    /// Whether a shard takes a write: of a client, or of a feed.
    pub(crate) fn admission(&self, shard: ShardId, pass: Option<Pass>) -> Admission {
        let ring = self.shards.iter().find(|known| known.id == shard);
        let taken = match (&self.resharding, ring, pass) {
            (None, Some(_), None) => true,
            (Some(running), Some(known), None) => matches!(running.phase, Phase::Copying | Phase::Retiring) || running.key != known.key,
            (Some(running), None, Some(pass)) => {
                let known = running.attempt().is_some() && running.shards.iter().any(|new| new.id == shard);
                known && running.feeds.get(&pass.from).is_some_and(|feed| feed.token == pass.token)
            }
            _ => false,
        };
        if taken { Admission::Taken } else { Admission::Refused }
    }

    /// Brings all points over once more, into other new shards. One peer was just found silent: it is no good primary.
    fn begin_anew(&mut self, peers: &BTreeMap<PeerId, Peer>, silent: Option<PeerId>) {
        let Some(running) = &mut self.resharding else { return };
        let old = self.shards.iter().filter(|shard| shard.key == running.key);
        running.primaries = old.map(|shard| (shard.id, shard.primary)).collect();
        running.feeds.clear();
        running.phase = Phase::Copying;
        for shard in &mut running.shards {
            // Empty, and so in sync everywhere.
            let there = shard.replicas.iter().filter_map(|peer| Some(Member { peer: *peer, disk: peers.get(peer)?.disk }));
            shard.in_sync = there.collect();
            let first = shard.in_sync.iter().find(|member| Some(member.peer) != silent).or(shard.in_sync.first());
            shard.primary = first.copied().unwrap_or(shard.primary);
            shard.epoch = 1;
            shard.moving.clear();
            shard.id = ShardId(self.next_shard);
            self.next_shard += 1;
        }
    }

    /// Holds writes once little is left everywhere, and has the new shards take over once nothing is.
    fn progress(&mut self) {
        let Some(running) = &mut self.resharding else { return };
        let old: Vec<ShardId> = self.shards.iter().filter(|shard| shard.key == running.key).map(|shard| shard.id).collect();
        if running.phase == Phase::Copying && running.all(&old, |feed| feed.near) {
            running.phase = Phase::Holding;
            running.round += 1;
            running.feeds.values_mut().for_each(|feed| feed.drained = false);
        }
        if running.phase == Phase::Holding && running.all(&old, |feed| feed.drained) {
            let new = std::mem::take(&mut running.shards);
            if running.key.is_none() {
                self.config.shard_number = u32::try_from(new.len()).unwrap_or(u32::MAX);
            }
            let (old, mut ring): (Vec<ShardMeta>, Vec<ShardMeta>) =
                std::mem::take(&mut self.shards).into_iter().partition(|shard| shard.key == running.key);
            ring.extend(new);
            self.shards = ring;
            running.shards = old;
            running.phase = Phase::Settling;
        }
    }
}

impl ClusterState {
    /// Begins one.
    pub(super) fn start_resharding(&mut self, name: &str, key: Option<&ShardKey>, placement: &[Vec<PeerId>]) -> Outcome {
        let collection = self.collections.get(name).ok_or_else(|| ServiceError::no_collection(name))?;
        if !collection.is_settled() {
            return Err(ServiceError::resharding(name));
        }
        let old = collection.ring_of(key);
        if old.is_empty() || placement.is_empty() {
            return Err(refused(format!("collection {name} has no such shards")));
        }
        let mut shards = Vec::with_capacity(placement.len());
        let mut next_shard = collection.next_shard;
        for peers in placement {
            shards.push(self.new_shard(next_shard, key, peers)?);
            next_shard += 1;
        }
        let Some(collection) = self.collections.get_mut(name) else { return Ok(false) };
        collection.next_shard = next_shard;
        let old = collection.shards.iter().filter(|shard| old.contains(&shard.id));
        let primaries: BTreeMap<ShardId, Member> = old.map(|shard| (shard.id, shard.primary)).collect();
        let up = shards.len() > primaries.len();
        let before = collection.resharding.take();
        let retired = before.map(|before| [before.retired, before.shards].concat()).unwrap_or_default();
        let (key, feeds) = (key.cloned(), BTreeMap::new());
        collection.resharding = Some(Resharding { key, phase: Phase::Copying, round: 0, shards, retired, feeds, primaries, up });
        Ok(true)
    }

    /// Gives one up that can still be undone.
    pub(super) fn abort_resharding(&mut self, name: &str) -> Outcome {
        let collection = self.collections.get_mut(name).ok_or_else(|| ServiceError::no_collection(name))?;
        let undone = collection.resharding.take_if(|running| running.is_moving());
        let Some(undone) = undone else { return Err(refused(format!("Collection `{name}` is not being resharded"))) };
        if !undone.retired.is_empty() {
            let (shards, retired, feeds) = (undone.retired, Vec::new(), BTreeMap::new());
            collection.resharding = Some(Resharding { phase: Phase::Retiring, shards, retired, feeds, ..undone });
        }
        Ok(true)
    }

    /// Takes note of what a feed says.
    pub(super) fn note_progress(&mut self, of: ShardRef, epoch: u64, attempt: ShardId, progress: Progress) -> Outcome {
        let primary = self.shard_at(of, epoch)?.primary.peer;
        let found = self.collections.values_mut().find(|collection| collection.uid == of.uid);
        let Some(collection) = found else { return Ok(false) };
        let current = |running: &&mut Resharding| running.attempt() == Some(attempt) && running.primaries.contains_key(&of.shard);
        let Some(running) = collection.resharding.as_mut().filter(current) else { return Err(refused("that resharding is over")) };
        let (phase, round) = (running.phase, running.round);
        let feed = running.feeds.entry(of.shard).or_default();
        match progress {
            Progress::Begun { feed: id, token } if token == feed.token + 1 => {
                if feed.token > 0 && feed.id != id {
                    collection.begin_anew(&self.peers, Some(primary));
                    return Ok(true);
                }
                *feed = Feed { id, token, drained: false, ..*feed };
            }
            Progress::Near { token } if token == feed.token => feed.near = true,
            Progress::Drained { token, round: said } if token == feed.token && phase == Phase::Holding && said == round => {
                feed.drained = true;
            }
            _ => return Err(refused("the feed has begun anew")),
        }
        collection.progress();
        Ok(true)
    }

    /// Takes writes again, for it takes too long to bring the rest over.
    pub(super) fn release_writes(&mut self, uid: u64, round: u64) -> Outcome {
        let found = self.collections.values_mut().find(|collection| collection.uid == uid);
        let held = |running: &&mut Resharding| running.phase == Phase::Holding && running.round == round;
        let Some(running) = found.and_then(|collection| collection.resharding.as_mut()).filter(held) else { return Ok(false) };
        running.phase = Phase::Copying;
        running.feeds.values_mut().for_each(|feed| *feed = Feed { near: false, drained: false, ..*feed });
        Ok(true)
    }

    /// Takes writes in the new shards.
    pub(super) fn end_resharding(&mut self, uid: u64) -> Outcome {
        let found = self.collections.values_mut().find(|collection| collection.uid == uid);
        let running = found.and_then(|collection| collection.resharding.as_mut());
        let Some(running) = running.filter(|running| running.phase == Phase::Settling) else { return Ok(false) };
        running.phase = Phase::Retiring;
        Ok(true)
    }

    /// Drops old shards, of which one is the first.
    pub(super) fn drop_replaced(&mut self, uid: u64, first: ShardId) -> Outcome {
        let found = self.collections.values_mut().find(|collection| collection.uid == uid);
        let Some(collection) = found else { return Ok(false) };
        let Some(running) = collection.resharding.as_mut().filter(|running| running.replaced() == Some(first)) else { return Ok(false) };
        if running.retired.is_empty() {
            collection.resharding = None;
        } else {
            running.retired.clear();
        }
        Ok(true)
    }

    /// Begins reshardings anew whose old shards got other primaries.
    pub(super) fn restart_reshardings(&mut self) {
        for collection in self.collections.values_mut() {
            let Some(running) = collection.resharding.as_ref().filter(|running| running.is_moving()) else { continue };
            let before = |shard: &ShardMeta| running.primaries.get(&shard.id).copied();
            let mut old = collection.shards.iter().filter(|shard| shard.key == running.key);
            let lost = old.find(|shard| before(shard) != Some(shard.primary)).map(before);
            if let Some(primary) = lost {
                collection.begin_anew(&self.peers, primary.map(|member| member.peer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Command;
    use super::super::state::tests::{member, of_peers, with_collection};
    use super::*;

    /// Two shards on three peers, on their way to be three.
    fn begun() -> (ClusterState, u64) {
        let mut state = of_peers(3);
        let uid = with_collection(&mut state, "books", 2, &[&[1, 2], &[2, 3]]);
        let placement = vec![vec![1, 2], vec![2, 3], vec![3, 1]];
        state.apply(&Command::StartResharding { name: "books".into(), key: None, placement }).expect("it can begin");
        (state, uid)
    }

    fn running(state: &ClusterState) -> &Resharding {
        state.collections["books"].resharding.as_ref().expect("it is under way")
    }

    /// The word of a feed, always the same one.
    fn begun_with(token: u64) -> Progress {
        Progress::Begun { feed: Uuid::from_u128(1), token }
    }

    fn ids(shards: &[ShardMeta]) -> Vec<u32> {
        shards.iter().map(|shard| shard.id.0).collect()
    }

    /// A feed of the shard says something, in the epoch that its primary knows.
    fn say(state: &mut ClusterState, shard: u32, progress: Progress) -> Outcome {
        let collection = &state.collections["books"];
        let epoch = collection.shards.iter().find(|known| known.id.0 == shard).map_or(0, |shard| shard.epoch);
        let (uid, attempt) = (collection.uid, running(state).attempt().expect("there are new shards"));
        state.apply(&Command::Feed { shard: ShardRef { uid, shard: ShardId(shard) }, epoch, attempt, progress })
    }

    fn both(state: &mut ClusterState, progress: Progress) {
        for shard in [0, 1] {
            say(state, shard, progress).expect("it is taken note of");
        }
    }

    fn admits(state: &ClusterState, shard: u32, pass: Option<Pass>) -> bool {
        state.collections["books"].admission(ShardId(shard), pass) == Admission::Taken
    }

    #[test]
    fn the_new_shards_take_over_when_nothing_is_left_anywhere() {
        let (mut state, uid) = begun();
        assert_eq!(ids(&running(&state).shards), [2, 3, 4]);
        both(&mut state, begun_with(1));
        let pass = Pass { from: ShardId(0), token: 1 };
        assert!(admits(&state, 0, None) && admits(&state, 2, Some(pass)));
        assert!(!admits(&state, 2, None) && !admits(&state, 0, Some(pass)) && !admits(&state, 2, Some(Pass { token: 2, ..pass })));
        say(&mut state, 0, Progress::Near { token: 1 }).expect("little is left");
        assert!(say(&mut state, 0, Progress::Drained { token: 1, round: 0 }).is_err(), "writes go on");
        assert!(admits(&state, 0, None), "the other one is not near");
        say(&mut state, 1, Progress::Near { token: 1 }).expect("little is left");
        assert_eq!((running(&state).phase, running(&state).round), (Phase::Holding, 1));
        assert!(!admits(&state, 0, None) && admits(&state, 4, Some(pass)));
        both(&mut state, Progress::Drained { token: 1, round: 1 });
        let collection = &state.collections["books"];
        assert_eq!((ids(&collection.shards), ids(&running(&state).shards)), (vec![2, 3, 4], vec![0, 1]));
        assert_eq!((running(&state).phase, collection.config.shard_number), (Phase::Settling, 3));
        assert!(!admits(&state, 2, None) && !admits(&state, 0, None) && !admits(&state, 2, Some(pass)));
        assert!(state.apply(&Command::AbortResharding { name: "books".into() }).is_err(), "it is done");
        state.apply(&Command::EndResharding { uid }).expect("everybody knows");
        assert!(admits(&state, 2, None) && !admits(&state, 0, None));
        assert!(state.collections["books"].is_settled() && !state.is_gone(ShardRef { uid, shard: ShardId(0) }));
        assert!(!state.apply(&Command::DropReplaced { uid, first: ShardId(2) }).expect("those are not the ones"));
        state.apply(&Command::DropReplaced { uid, first: ShardId(0) }).expect("nobody reads them any more");
        assert!(state.is_gone(ShardRef { uid, shard: ShardId(0) }));
    }

    #[test]
    fn shards_that_are_still_read_stay_when_the_next_one_begins_or_is_given_up() {
        let (mut state, uid) = begun();
        both(&mut state, begun_with(1));
        both(&mut state, Progress::Near { token: 1 });
        both(&mut state, Progress::Drained { token: 1, round: 1 });
        let name = || "books".to_owned();
        let next = || Command::StartResharding { name: name(), key: None, placement: vec![vec![1, 2]] };
        assert!(state.apply(&next()).is_err(), "nobody takes writes yet");
        state.apply(&Command::EndResharding { uid }).expect("everybody knows");
        let gone = |state: &ClusterState, shard| state.is_gone(ShardRef { uid, shard: ShardId(shard) });
        for _ in 0..2 {
            state.apply(&next()).expect("the one before is over");
            assert_eq!((running(&state).phase, ids(&running(&state).retired)), (Phase::Copying, vec![0, 1]));
            assert!(admits(&state, 2, None) && !admits(&state, 0, None));
            state.apply(&Command::AbortResharding { name: name() }).expect("it can be undone");
            assert!(!gone(&state, 1) && state.collections["books"].is_settled());
        }
        state.apply(&next()).expect("the one before is over");
        state.apply(&Command::DropReplaced { uid, first: ShardId(0) }).expect("nobody reads them any more");
        assert!(gone(&state, 0) && gone(&state, 1) && !gone(&state, 2));
        assert!(running(&state).attempt().is_some() && running(&state).replaced().is_none());
        assert!(!state.apply(&Command::DropReplaced { uid, first: ShardId(0) }).expect("it is heard twice"));
        state.apply(&Command::AbortResharding { name: name() }).expect("it can be undone");
        assert!(state.collections["books"].resharding.is_none());
    }

    #[test]
    fn what_was_sent_with_an_older_token_does_not_count() {
        let (mut state, _) = begun();
        both(&mut state, begun_with(1));
        assert!(say(&mut state, 0, begun_with(1)).is_err(), "another one has it");
        say(&mut state, 0, begun_with(2)).expect("it is the next");
        assert!(say(&mut state, 0, Progress::Near { token: 1 }).is_err());
        for (token, counts) in [(1, false), (2, true), (3, false)] {
            assert_eq!(admits(&state, 3, Some(Pass { from: ShardId(0), token })), counts, "{token}");
        }
        assert!(admits(&state, 3, Some(Pass { from: ShardId(1), token: 1 })), "each shard has its own");
    }

    #[test]
    fn an_old_round_says_nothing_of_a_new_one() {
        let (mut state, uid) = begun();
        both(&mut state, begun_with(1));
        both(&mut state, Progress::Near { token: 1 });
        say(&mut state, 0, Progress::Drained { token: 1, round: 1 }).expect("nothing is left");
        state.apply(&Command::ReleaseWrites { uid, round: 1 }).expect("it takes too long");
        assert!(admits(&state, 0, None));
        both(&mut state, Progress::Near { token: 1 });
        assert!(say(&mut state, 1, Progress::Drained { token: 1, round: 1 }).is_err());
        say(&mut state, 1, Progress::Drained { token: 1, round: 2 }).expect("nothing is left");
        assert_eq!(running(&state).phase, Phase::Holding, "of the other nothing is known");
        assert!(!state.apply(&Command::ReleaseWrites { uid, round: 1 }).expect("it is late"));
    }

    #[test]
    fn with_another_primary_or_feed_all_begins_anew_with_other_shards() {
        for restarted in [false, true] {
            let (mut state, uid) = begun();
            both(&mut state, begun_with(1));
            both(&mut state, Progress::Near { token: 1 });
            say(&mut state, 0, Progress::Drained { token: 1, round: 1 }).expect("nothing is left");
            let shard = ShardRef { uid, shard: ShardId(0) };
            let stale = Command::Feed {
                shard: ShardRef { uid, shard: ShardId(1) },
                epoch: 1,
                attempt: ShardId(2),
                progress: Progress::Drained { token: 1, round: 1 },
            };
            if restarted {
                // Nobody can tell from this epoch that the process is another one.
                state.apply(&Command::Assign { shard, peer: 3, instead_of: None, pin: false }).expect("3 is a peer");
                assert_eq!(ids(&running(&state).shards), [2, 3, 4], "a replica more changes nothing");
                let feed = Uuid::from_u128(2);
                assert!(say(&mut state, 0, Progress::Begun { feed, token: 1 }).is_err(), "another one has it");
                say(&mut state, 0, Progress::Begun { feed, token: 2 }).expect("it is the next");
            } else {
                let change = Command::SetPrimary { shard, epoch: 1, primary: member(2), keep_old: false };
                state.apply(&change).expect("1 was silent");
            }
            let now = running(&state);
            assert_eq!((ids(&now.shards), now.phase, now.feeds.len()), (vec![5, 6, 7], Phase::Copying, 0));
            assert!(now.shards.iter().all(|shard| shard.in_sync.len() == 2 && shard.in_sync.contains(&shard.primary)));
            assert!(now.shards.iter().all(|shard| shard.primary != member(1)), "1 is no good primary now");
            assert!(state.apply(&stale).is_err(), "that was another attempt");
            assert!(state.is_gone(ShardRef { uid, shard: ShardId(2) }));
            assert!(admits(&state, 0, None) && admits(&state, 1, None));
        }
    }

    #[test]
    fn other_epochs_of_the_same_primary_change_nothing() {
        let (mut state, uid) = begun();
        both(&mut state, begun_with(1));
        let shard = ShardRef { uid, shard: ShardId(0) };
        state.apply(&Command::Shrink { shard, epoch: 1, member: member(2) }).expect("2 is silent");
        assert_eq!((running(&state).attempt(), running(&state).feeds.len()), (Some(ShardId(2)), 2));
        let stale = Command::Feed { shard, epoch: 1, attempt: ShardId(2), progress: Progress::Near { token: 1 } };
        assert!(state.apply(&stale).is_err(), "that epoch is over");
    }

    #[test]
    fn what_would_pass_by_the_new_shards_is_refused() {
        let (mut state, uid) = begun();
        let name = || "books".to_owned();
        let key = ShardKey::Number(1);
        for command in [
            Command::StartResharding { name: name(), key: None, placement: vec![vec![1]] },
            Command::SetConfig { uid, config: Box::default() },
            Command::CreateShardKey { name: name(), key: key.clone(), placement: vec![vec![1]] },
            Command::DeleteShardKey { name: name(), key },
        ] {
            let refused = state.apply(&command).expect_err("not now");
            assert!(refused.message.contains("is being resharded"), "{refused}");
        }
        state.apply(&Command::AbortResharding { name: name() }).expect("it can be undone");
        assert!(state.apply(&Command::AbortResharding { name: name() }).is_err(), "once");
        assert!(state.is_gone(ShardRef { uid, shard: ShardId(3) }) && admits(&state, 0, None));
    }
}
