//! Where replicas are to lie, and what is to be done about it: pure functions of what is agreed on and of who lives.

use std::collections::BTreeMap;

use vectordb_service::ShardId;

use super::balance::rebalance;
use super::state::{ClusterState, CollectionMeta, Command, PeerId, ShardMeta, ShardRef, Zone};
use super::survey::{Health, Loads, Sizes, loads, shards, shares_zone, zones};

/// Replicas that are made at the same time.
const MOST_TRANSFERS: usize = 2;

/// Peers for the replicas of new shards: each shard on as many peers as `factor` says, neighbours in a ring that begins with the
/// peers that have least (chained declustering, Hsiao & DeWitt 1990), so that the loss of one peer is spread over two others. Neighbours
/// are of different zones, as far as there are any.
pub(crate) fn place(state: &ClusterState, health: &Health, shards: u32, factor: usize) -> Vec<Vec<PeerId>> {
    let loads = loads(state);
    let usable = |peer: &PeerId| health.alive.contains_key(peer) && state.peers.get(peer).is_some_and(|peer| !peer.draining);
    let mut ring: Vec<PeerId> = state.peers.keys().copied().filter(usable).collect();
    if ring.is_empty() {
        return Vec::new();
    }
    ring.sort_by_key(|peer| (loads.get(peer).copied().unwrap_or(0), *peer));
    // From each zone one, then from each another, in the same order.
    let mut of_zone: BTreeMap<Zone<'_>, (usize, usize)> = BTreeMap::new();
    let mut rounds: Vec<(usize, usize, PeerId)> = Vec::with_capacity(ring.len());
    for peer in ring {
        let order = of_zone.len();
        let (round, order) = of_zone.entry(state.zone(peer)).or_insert((0, order));
        rounds.push((*round, *order, peer));
        *round += 1;
    }
    rounds.sort_unstable();
    let ring: Vec<PeerId> = rounds.into_iter().map(|(_, _, peer)| peer).collect();
    let copies = factor.clamp(1, ring.len());
    (0..shards as usize).map(|shard| neighbours(state, &ring, shard, copies)).collect()
}

/// The next of a ring from a place on: first those of other zones than the ones before.
fn neighbours(state: &ClusterState, ring: &[PeerId], from: usize, copies: usize) -> Vec<PeerId> {
    let mut chosen: Vec<PeerId> = Vec::with_capacity(copies);
    for _ in 0..copies {
        let there = zones(state, chosen.iter().copied());
        let free = || (0..ring.len()).map(|step| ring[(from + step) % ring.len()]).filter(|peer| !chosen.contains(peer));
        let next = free().find(|&peer| !there.contains(&state.zone(peer))).or_else(|| free().next());
        chosen.extend(next);
    }
    chosen
}

/// What the leader should propose now. It is asked again after each change, so it may name only the first steps. Unless there
/// are `sizes` to balance by, replicas that are well stay where they are.
pub(crate) fn plan(state: &ClusterState, health: &Health, sizes: Option<&Sizes>) -> Vec<Command> {
    let mut commands: Vec<Command> = shards(state).filter_map(|(of, _, shard)| fail_over(of, shard, health)).collect();
    if !commands.is_empty() {
        return commands;
    }
    let mut transfers = shards(state).map(|(_, _, shard)| making(shard, health)).sum::<usize>();
    let mut loads = loads(state);
    for (of, collection, shard) in shards(state).filter(|(_, collection, shard)| !collection.is_replaced(shard)) {
        if let Some(gone) = surplus(state, collection, shard, health, sizes.map(|_| &loads)) {
            let next = shard.in_sync.iter().find(|member| member.peer != gone && health.has(member));
            commands.push(match next {
                // What it has begun to write comes to an end before its replica goes.
                Some(&primary) if shard.primary.peer == gone => {
                    Command::SetPrimary { shard: of, epoch: shard.epoch, primary, keep_old: true }
                }
                _ => Command::Unassign { shard: of, peer: gone },
            });
            continue;
        }
        if transfers >= MOST_TRANSFERS || shard.learners().next().is_some() {
            continue;
        }
        if let Some(peer) = missing(state, collection, shard, health, &loads) {
            *loads.entry(peer).or_default() += 1;
            transfers += 1;
            commands.push(Command::Assign { shard: of, peer, instead_of: None, pin: false });
        }
    }
    if let Some(sizes) = sizes.filter(|_| commands.is_empty() && transfers == 0) {
        commands.extend(rebalance(state, health, &loads, sizes));
    }
    commands
}

/// Learners that live.
fn making(shard: &ShardMeta, health: &Health) -> usize {
    shard.learners().filter(|peer| health.alive.contains_key(peer)).count()
}

/// Another primary for a shard whose own is silent, hands over, or has another disk. One that hands over stays in the set, for the
/// other may have gone without a word: if it lives, it will see to that.
fn fail_over(of: ShardRef, shard: &ShardMeta, health: &Health) -> Option<Command> {
    if health.has(&shard.primary) {
        return None;
    }
    let primary = *shard.in_sync.iter().find(|member| health.has(member))?;
    Some(Command::SetPrimary { shard: of, epoch: shard.epoch, primary, keep_old: health.is_handed_over_by(&shard.primary) })
}

/// Replicas that a shard can have.
fn wanted(state: &ClusterState, collection: &CollectionMeta, health: &Health) -> usize {
    let usable = health.alive.keys().filter(|&&peer| !health.is_leaving(state, peer)).count();
    collection.factor().min(usable.max(1))
}

/// A peer whose replica is not needed, while as many others as are wanted are in sync. Of too many that are well, one goes by the
/// loads, if there are any.
fn surplus(state: &ClusterState, collection: &CollectionMeta, shard: &ShardMeta, health: &Health, loads: Option<&Loads>) -> Option<PeerId> {
    let wanted = wanted(state, collection, health);
    let staying = |but: PeerId| {
        shard.in_sync.iter().filter(|member| member.peer != but && health.has(member) && !health.is_leaving(state, member.peer)).count()
    };
    // A learner that was given up is in nobody's way but its own.
    if let Some(dead) = shard.learners().find(|&peer| health.is_leaving(state, peer)) {
        return Some(dead);
    }
    let moved = shard.moving.iter().find(|(to, _)| shard.is_in_sync(**to)).map(|(_, from)| *from);
    let leaving = shard.replicas.iter().copied().find(|&peer| health.is_leaving(state, peer));
    let too_many = || {
        let well = shard.in_sync.iter().filter(|member| health.has(member)).count();
        let extra = well > wanted && shard.moving.is_empty();
        let most = shard.in_sync.iter().map(|member| member.peer).filter(|&peer| peer != shard.primary.peer);
        let loads = loads.filter(|_| extra)?;
        most.max_by_key(|peer| (!shard.pinned.contains(peer), shares_zone(state, shard, *peer), loads.get(peer).copied().unwrap_or(0)))
    };
    moved.or(leaving).or_else(too_many).filter(|&peer| staying(peer) >= wanted)
}

/// A peer for one more replica, if there are too few.
fn missing(state: &ClusterState, collection: &CollectionMeta, shard: &ShardMeta, health: &Health, loads: &Loads) -> Option<PeerId> {
    let staying: Vec<PeerId> = shard.replicas.iter().copied().filter(|&peer| !health.is_leaving(state, peer)).collect();
    if staying.len() >= wanted(state, collection, health) || !shard.in_sync.iter().any(|member| health.has(member)) {
        return None;
    }
    let free = health.alive.keys().copied().filter(|&peer| !shard.replicas.contains(&peer) && !health.is_leaving(state, peer));
    let there = zones(state, staying);
    free.min_by_key(|&peer| (there.contains(&state.zone(peer)), loads.get(&peer).copied().unwrap_or(0), peer))
}

/// Whether a shard would be left without any copy if a peer went.
pub(crate) fn only_copies(state: &ClusterState, peer: PeerId) -> Vec<(String, ShardId)> {
    let of = |(name, collection): (&String, &CollectionMeta)| {
        let alone = collection.all_shards().filter(|shard| shard.is_in_sync(peer) && shard.in_sync.len() == 1);
        alone.map(|shard| (name.clone(), shard.id)).collect::<Vec<_>>()
    };
    state.collections.iter().flat_map(of).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::super::state::tests::{member, of_peers, with_collection};
    use super::*;

    pub(in crate::cluster) fn healthy(peers: impl IntoIterator<Item = PeerId>) -> Health {
        Health { alive: peers.into_iter().map(|peer| (peer, member(peer))).collect(), ..Health::default() }
    }

    /// Does what is planned, with replicas that catch up at once, until nothing is left to do.
    fn settle(state: &mut ClusterState, health: &Health) -> usize {
        settle_if(Some(&Sizes::new()), state, health)
    }

    pub(in crate::cluster) fn settle_if(sizes: Option<&Sizes>, state: &mut ClusterState, health: &Health) -> usize {
        for round in 0..200 {
            let commands = plan(state, health, sizes);
            if commands.is_empty() && shards(state).all(|(_, _, shard)| making(shard, health) == 0) {
                return round;
            }
            for command in commands {
                state.apply(&command).expect("what is planned can be done");
            }
            let learners: Vec<(ShardRef, u64, PeerId)> =
                shards(state).flat_map(|(of, _, shard)| shard.learners().map(move |peer| (of, shard.epoch, peer))).collect();
            for (shard, epoch, peer) in learners.into_iter().filter(|(_, _, peer)| health.alive.contains_key(peer)) {
                state.apply(&Command::Expand { shard, epoch, member: member(peer) }).expect("it caught up");
            }
        }
        panic!("the plan never ends: {:?}", plan(state, health, sizes));
    }

    fn spread(state: &ClusterState) -> Vec<usize> {
        loads(state).into_values().collect()
    }

    #[test]
    fn three_shards_twice_on_three_peers_are_three_different_pairs() {
        let state = of_peers(3);
        let places = place(&state, &healthy(1..=3), 3, 2);
        assert_eq!(places, [[1, 2], [2, 3], [3, 1]]);
        assert_eq!(place(&state, &healthy([2]), 2, 2), [[2], [2]]);
        assert!(place(&state, &Health::default(), 2, 2).is_empty());
    }

    #[test]
    fn new_peers_get_their_share_and_every_shard_keeps_its_copies() {
        let mut state = of_peers(3);
        with_collection(&mut state, "books", 2, &[&[1, 2], &[2, 3], &[3, 1], &[1, 2], &[2, 3], &[3, 1]]);
        let more = of_peers(5);
        state.peers = more.peers;
        settle(&mut state, &healthy(1..=5));
        let loads = spread(&state);
        assert!(loads.iter().max().expect("peers") - loads.iter().min().expect("peers") <= 1, "{loads:?}");
        assert!(shards(&state).all(|(_, _, shard)| shard.in_sync.len() == 2 && shard.replicas.len() == 2 && shard.moving.is_empty()));
        let primaries: BTreeSet<PeerId> = shards(&state).map(|(_, _, shard)| shard.primary.peer).collect();
        assert!(primaries.len() >= 4, "{primaries:?}");
    }

    #[test]
    fn draining_peers_end_with_nothing_and_nothing_is_lost() {
        let mut state = of_peers(5);
        with_collection(&mut state, "books", 2, &[&[1, 2], &[2, 3], &[3, 4], &[4, 5], &[5, 1]]);
        for id in [4, 5] {
            state.apply(&Command::SetDraining { id, draining: true }).expect("it is a peer");
        }
        settle(&mut state, &healthy(1..=5));
        assert!(shards(&state).all(|(_, _, shard)| shard.in_sync.len() == 2 && shard.replicas.iter().all(|&peer| peer <= 3)));
        for id in [4, 5] {
            assert!(only_copies(&state, id).is_empty());
            state.apply(&Command::RemovePeer { id, force: false }).expect("nothing is there any more");
        }
    }

    #[test]
    fn a_silent_primary_is_followed_by_one_in_sync_and_replaced_when_given_up() {
        let mut state = of_peers(3);
        with_collection(&mut state, "books", 2, &[&[1, 2]]);
        let mut health = healthy([2, 3]);
        settle(&mut state, &health);
        let shard = |state: &ClusterState| state.collections["books"].shards[0].clone();
        assert_eq!((shard(&state).primary.peer, shard(&state).in_sync.len()), (2, 1));
        assert!(shard(&state).replicas.contains(&1), "it may come back");
        health.given_up.insert(1);
        settle(&mut state, &health);
        assert_eq!(shard(&state).replicas, BTreeSet::from([2, 3]));
        assert_eq!(shard(&state).in_sync.len(), 2);
    }

    #[test]
    fn who_stops_hands_over_first_and_keeps_its_replicas() {
        let mut state = of_peers(3);
        with_collection(&mut state, "books", 3, &[&[1, 2, 3], &[2, 3, 1]]);
        let health = Health { handing_over: [(1, member(1))].into(), ..healthy([2, 3]) };
        let commands = plan(&state, &health, Some(&Sizes::new()));
        assert!(matches!(commands[..], [Command::SetPrimary { keep_old: true, .. }]), "{commands:?}");
        settle(&mut state, &health);
        assert!(shards(&state).all(|(_, _, shard)| shard.primary.peer != 1 && shard.in_sync.len() == 3 && shard.replicas.len() == 3));
        // Nobody can follow on the only one.
        let mut state = of_peers(2);
        with_collection(&mut state, "books", 1, &[&[1]]);
        assert!(plan(&state, &Health { handing_over: [(1, member(1))].into(), ..healthy([2]) }, Some(&Sizes::new())).is_empty());
    }

    #[test]
    fn a_primary_that_moves_hands_over_before_its_replica_goes() {
        let mut state = of_peers(2);
        let uid = with_collection(&mut state, "books", 1, &[&[1]]);
        let shard = ShardRef { uid, shard: ShardId(0) };
        state.apply(&Command::Assign { shard, peer: 2, instead_of: Some(1), pin: false }).expect("2 is a peer");
        state.apply(&Command::Expand { shard, epoch: 2, member: member(2) }).expect("2 caught up");
        let health = healthy([1, 2]);
        let first = plan(&state, &health, None);
        assert_eq!(first, [Command::SetPrimary { shard, epoch: 3, primary: member(2), keep_old: true }]);
        for command in &first {
            state.apply(command).expect("2 is in sync");
        }
        assert_eq!(plan(&state, &health, None), [Command::Unassign { shard, peer: 1 }]);
    }

    #[test]
    fn without_a_copy_in_sync_nobody_becomes_primary() {
        let mut state = of_peers(3);
        with_collection(&mut state, "books", 1, &[&[1]]);
        let health = Health { given_up: BTreeSet::from([1]), ..healthy([2, 3]) };
        assert!(plan(&state, &health, Some(&Sizes::new())).is_empty());
    }

    #[test]
    fn without_balance_the_dead_are_replaced_and_the_well_stay_where_they_are() {
        let mut state = of_peers(4);
        let uid = with_collection(&mut state, "books", 2, &[&[1, 2], &[1, 2], &[1, 2]]);
        let before = state.clone();
        assert_eq!(settle_if(None, &mut state, &healthy(1..=4)), 0, "uneven, and left so");
        assert_eq!(state, before);
        // What is moved by hand arrives, and what is copied by hand stays.
        let shard = |shard| ShardRef { uid, shard: ShardId(shard) };
        state.apply(&Command::Assign { shard: shard(0), peer: 3, instead_of: Some(2), pin: false }).expect("3 is a peer");
        state.apply(&Command::Assign { shard: shard(1), peer: 3, instead_of: None, pin: false }).expect("3 is a peer");
        settle_if(None, &mut state, &healthy(1..=4));
        let replicas = |state: &ClusterState| -> Vec<BTreeSet<PeerId>> {
            state.collections["books"].shards.iter().map(|shard| shard.replicas.clone()).collect()
        };
        assert_eq!(replicas(&state), [BTreeSet::from([1, 3]), BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 2])]);
        // The primary of all falls silent, and then is given up.
        let mut health = healthy(2..=4);
        settle_if(None, &mut state, &health);
        assert!(shards(&state).all(|(_, _, shard)| shard.primary.peer != 1 && shard.replicas.contains(&1)));
        health.given_up.insert(1);
        settle_if(None, &mut state, &health);
        assert!(shards(&state).all(|(_, _, shard)| shard.in_sync.len() == 2 && !shard.replicas.contains(&1)), "{:?}", replicas(&state));
        // Who is to be emptied is.
        state.apply(&Command::SetDraining { id: 2, draining: true }).expect("it is a peer");
        settle_if(None, &mut state, &health);
        assert_eq!(replicas(&state), vec![BTreeSet::from([3, 4]); 3]);
    }

    #[test]
    fn another_factor_makes_and_drops_replicas() {
        let mut state = of_peers(3);
        let uid = with_collection(&mut state, "books", 1, &[&[1], &[2], &[3]]);
        for (factor, copies) in [(3, 3), (2, 2), (7, 3), (1, 1)] {
            let mut config = state.collections["books"].config.clone();
            config.replication_factor = factor;
            state.apply(&Command::SetConfig { uid, config: Box::new(config) }).expect("it exists");
            settle(&mut state, &healthy(1..=3));
            assert!(shards(&state).all(|(_, _, shard)| shard.in_sync.len() == copies && shard.replicas.len() == copies), "{factor}");
        }
    }
}
