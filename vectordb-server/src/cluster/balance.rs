//! Which of the replicas that are well are to lie elsewhere: pure functions of what is agreed on, of who lives, and of how much the
//! shards hold.
//!
//! Peers are to have as many replicas as each other, and as many bytes; the replicas of a shard are to lie in as many zones as there
//! are. Zones come first, then numbers, then bytes: no step for one makes another before it worse, and each makes its own better, so
//! that they end.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::state::{ClusterState, Command, PeerId, ShardMeta, ShardRef};
use super::survey::{Health, Loads, Shard, Sizes, shards, shares_zone, zones};

/// Peers may differ by so many bytes, for what is moved has its price.
const FEW_BYTES: u64 = 128 << 20;
/// And by such a part of what they have in the mean.
const SMALL_PART: u64 = 4;

/// The next steps to a better balance; none when it is good.
pub(super) fn rebalance(state: &ClusterState, health: &Health, loads: &Loads, sizes: &Sizes) -> Vec<Command> {
    let known = Known { state, health, loads, sizes };
    let one = known.spread_one().or_else(|| known.even_number());
    let many = one.map_or_else(|| known.even_bytes(), |command| vec![command]);
    if many.is_empty() { known.hand_over_one().into_iter().collect() } else { many }
}

#[derive(Clone, Copy)]
struct Known<'a> {
    state: &'a ClusterState,
    health: &'a Health,
    loads: &'a Loads,
    sizes: &'a Sizes,
}

impl<'a> Known<'a> {
    /// Those that may be moved for balance: a resharding begins anew with each other primary.
    fn settled(self) -> impl Iterator<Item = Shard<'a>> {
        shards(self.state).filter(|(_, collection, shard)| collection.is_settled() && !collection.is_replaced(shard))
    }

    /// Peers that live and stay, with the number of their replicas.
    fn usable(self) -> impl Iterator<Item = (PeerId, usize)> {
        let is_usable = move |peer: &PeerId| self.health.alive.contains_key(peer) && !self.health.is_leaving(self.state, *peer);
        self.loads.iter().map(|(peer, load)| (*peer, *load)).filter(move |(peer, _)| is_usable(peer))
    }

    fn size(self, of: ShardRef) -> u64 {
        self.sizes.get(&of).copied().unwrap_or(0)
    }

    /// Whether nobody minds that a replica goes from one peer to another, and no zone is left by it that no other is entered for.
    fn may_move(self, shard: &ShardMeta, from: PeerId, to: PeerId) -> bool {
        let is_free = shard.is_in_sync(from) && !shard.pinned.contains(&from) && shard.learners().next().is_none();
        if !is_free || shard.replicas.contains(&to) {
            return false;
        }
        let others = || shard.replicas.iter().copied().filter(|&peer| peer != from);
        zones(self.state, others().chain([to])).len() >= zones(self.state, others().chain([from])).len()
    }

    fn movable(self, from: PeerId, to: PeerId) -> impl Iterator<Item = Shard<'a>> {
        self.settled().filter(move |(_, _, shard)| self.may_move(shard, from, to))
    }

    /// One of two replicas of a shard that lie in one zone to a zone that has none of it.
    fn spread_one(self) -> Option<Command> {
        let step = |(of, _, shard): Shard<'a>| {
            let there = zones(self.state, shard.replicas.iter().copied());
            if there.len() == shard.replicas.len() || shard.learners().next().is_some() {
                return None;
            }
            let fresh = self.usable().filter(|(peer, _)| !there.contains(&self.state.zone(*peer)));
            let (to, _) = fresh.min_by_key(|(peer, load)| (*load, *peer))?;
            let doubled = shard.replicas.iter().copied().filter(|&peer| shares_zone(self.state, shard, peer));
            let from = doubled.filter(|&from| self.may_move(shard, from, to));
            // A backup is moved before a primary, for then nobody notices.
            let from = from.min_by_key(|from| (shard.primary.peer == *from, Reverse(self.loads.get(from)), Reverse(*from)))?;
            Some(Command::Assign { shard: of, peer: to, instead_of: Some(from), pin: false })
        };
        self.settled().find_map(step)
    }

    /// One replica from a peer that has at least two more than another, of the two that differ most.
    fn even_number(self) -> Option<Command> {
        let mut pairs: Vec<_> = self.usable().flat_map(|from| self.usable().map(move |to| (from, to))).collect();
        pairs.retain(|((_, most), (_, least))| *most >= least + 2);
        pairs.sort_by_key(|((from, most), (to, least))| (Reverse(most - least), *to, Reverse(*from)));
        let bytes = self.bytes();
        let step = |((from, _), (to, _))| {
            let has = |peer| bytes.get(peer).copied().unwrap_or(0);
            let gap = has(&from).saturating_sub(has(&to));
            let left = |of: ShardRef| gap.abs_diff(2 * self.size(of));
            let (of, _, _) = self.movable(from, to).min_by_key(|(of, _, shard)| (shard.primary.peer == from, left(*of), *of))?;
            Some(Command::Assign { shard: of, peer: to, instead_of: Some(from), pin: false })
        };
        pairs.into_iter().find_map(step)
    }

    /// Bytes of the replicas of each peer that is usable.
    fn bytes(self) -> BTreeMap<PeerId, u64> {
        let mut bytes: BTreeMap<PeerId, u64> = self.usable().map(|(peer, _)| (peer, 0)).collect();
        for (of, _, shard) in shards(self.state) {
            for peer in &shard.replicas {
                if let Some(bytes) = bytes.get_mut(peer) {
                    *bytes += self.size(of);
                }
            }
        }
        bytes
    }

    /// A replica from a peer with more bytes to one with fewer, in exchange for a smaller one where numbers would become uneven.
    fn even_bytes(self) -> Vec<Command> {
        let bytes = self.bytes();
        let mean = bytes.values().sum::<u64>() / (bytes.len() as u64).max(1);
        let much = FEW_BYTES.max(mean / SMALL_PART);
        let mut pairs: Vec<(u64, PeerId, PeerId)> = Vec::new();
        for (&from, &most) in &bytes {
            pairs.extend(bytes.iter().map(|(&to, &least)| (most.saturating_sub(least), from, to)).filter(|(gap, ..)| *gap > much));
        }
        pairs.sort_by_key(|&(gap, from, to)| (Reverse(gap), from, to));
        pairs.into_iter().find_map(|(gap, from, to)| self.exchange(gap, from, to)).unwrap_or_default()
    }

    /// What leaves least of a difference between two peers, if it is a good part of it that goes.
    fn exchange(self, gap: u64, from: PeerId, to: PeerId) -> Option<Vec<Command>> {
        let sized = |from, to| self.movable(from, to).map(|(of, _, _)| (self.size(of), of));
        let load = |peer| self.loads.get(&peer).copied().unwrap_or(0);
        let alone = sized(from, to).filter(|_| load(to) < load(from)).map(|(size, of)| (gap.abs_diff(2 * size), size, of, None));
        let mut smaller: Vec<(u64, ShardRef)> = sized(to, from).collect();
        smaller.sort_unstable();
        let smaller = &smaller;
        let swapped = sized(from, to).flat_map(|(size, of)| {
            // Those on both sides of the size that would leave nothing.
            let best = size.saturating_sub(gap / 2);
            let at = smaller.partition_point(|(other, _)| *other < best);
            let near = smaller[at.saturating_sub(1)..smaller.len().min(at + 1)].iter().filter(move |(other, _)| *other < size);
            near.map(move |(other, back)| (gap.abs_diff(2 * (size - other)), size + other, of, Some(*back)))
        });
        let (left, _, of, back) = alone.chain(swapped).min()?;
        if left > gap - gap / SMALL_PART {
            return None;
        }
        let assign = |shard, peer, from| Command::Assign { shard, peer, instead_of: Some(from), pin: false };
        Some(std::iter::once(assign(of, to, from)).chain(back.map(|back| assign(back, from, to))).collect())
    }

    /// One primary from the peer that has most of them to an in-sync one that has at least two fewer.
    fn hand_over_one(self) -> Option<Command> {
        let mut primaries: BTreeMap<PeerId, usize> = self.health.alive.keys().map(|&peer| (peer, 0)).collect();
        for (_, _, shard) in shards(self.state) {
            *primaries.entry(shard.primary.peer).or_default() += 1;
        }
        self.settled().find_map(|(of, _, shard)| {
            let here = primaries.get(&shard.primary.peer)?;
            let better = |peer: PeerId| primaries.get(&peer).is_some_and(|there| there + 2 <= *here);
            let fits = |peer: PeerId| !self.health.is_leaving(self.state, peer) && better(peer);
            let primary = *shard.in_sync.iter().find(|member| self.health.has(member) && fits(member.peer))?;
            Some(Command::SetPrimary { shard: of, epoch: shard.epoch, primary, keep_old: true })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vectordb_service::ShardId;

    use super::super::placement::place;
    use super::super::placement::tests::{healthy, settle_if};
    use super::super::state::tests::{of_peers, with_collection};
    use super::*;

    const MB: u64 = 1 << 20;

    fn in_zones(zones: &[&str]) -> ClusterState {
        let mut state = of_peers(zones.len() as u64);
        for (peer, zone) in state.peers.values_mut().zip(zones) {
            peer.zone = Some((*zone).to_owned());
        }
        state
    }

    fn settle(state: &mut ClusterState, sizes: &Sizes) -> usize {
        let health = healthy(state.peers.keys().copied());
        settle_if(Some(sizes), state, &health)
    }

    fn loads_of(state: &ClusterState) -> Vec<usize> {
        let count = |peer| shards(state).filter(|(_, _, shard)| shard.replicas.contains(peer)).count();
        state.peers.keys().map(count).collect()
    }

    fn bytes_of(state: &ClusterState, sizes: &Sizes) -> Vec<u64> {
        let sum = |peer| shards(state).filter(|(_, _, shard)| shard.replicas.contains(peer)).map(|(of, ..)| sizes[&of]).sum();
        state.peers.keys().map(sum).collect()
    }

    fn are_spread(state: &ClusterState) -> bool {
        shards(state).all(|(_, _, shard)| zones(state, shard.replicas.iter().copied()).len() == shard.replicas.len())
    }

    #[test]
    fn new_shards_lie_in_different_zones_and_are_even_all_the_same() {
        for zones in [["a", "a", "b", "b", "c", "c"], ["a", "b", "b", "a", "c", "c"], ["a", "b", "a", "b", "a", "b"]] {
            let state = in_zones(&zones);
            let places = place(&state, &healthy(1..=6), 6, 2);
            assert!(places.iter().all(|peers| state.zone(peers[0]) != state.zone(peers[1])), "{places:?}");
            assert!((1..=6).all(|peer| places.iter().flatten().filter(|other| **other == peer).count() == 2), "{places:?}");
        }
        // More copies than zones: no peer twice.
        let state = in_zones(&["a", "a", "b", "b", "c", "c"]);
        let places = place(&state, &healthy(1..=6), 1, 4);
        assert_eq!(places[0].iter().collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(zones(&state, places[0].iter().copied()).len(), 3);
    }

    #[test]
    fn replicas_are_spread_over_zones_although_numbers_become_uneven() {
        let mut state = in_zones(&["a", "a", "a", "b"]);
        with_collection(&mut state, "c", 2, &[&[1, 2], &[2, 3], &[3, 1], &[1, 2]]);
        settle(&mut state, &Sizes::new());
        assert!(are_spread(&state));
        let loads = loads_of(&state);
        assert_eq!(loads[3], 4, "one of each in the only peer of its zone");
        assert!(loads[..3].iter().all(|load| (1..=2).contains(load)), "{loads:?}");
        // A zone that comes later gets its part, and what it got is even.
        let more = in_zones(&["a", "a", "a", "b", "c"]);
        state.peers = more.peers;
        settle(&mut state, &Sizes::new());
        assert!(are_spread(&state));
        let loads = loads_of(&state);
        assert!(loads.iter().max() <= Some(&2) && loads.iter().min() >= Some(&1), "{loads:?}");
    }

    #[test]
    fn the_place_of_a_dead_peer_is_taken_in_its_zone_or_in_one_without_a_copy() {
        let mut state = in_zones(&["a", "b", "a", "b"]);
        with_collection(&mut state, "c", 2, &[&[1, 2]]);
        let health = Health { given_up: [2].into(), ..healthy([1, 3, 4]) };
        settle_if(None, &mut state, &health);
        assert_eq!(state.collections["c"].shards[0].replicas, BTreeSet::from([1, 4]));
    }

    #[test]
    fn bytes_become_even_by_an_exchange_where_numbers_are() {
        let mut state = of_peers(2);
        let uid = with_collection(&mut state, "c", 1, &[&[1], &[1], &[2], &[2]]);
        let shard = |n| ShardRef { uid, shard: ShardId(n) };
        let sizes: Sizes = [(shard(0), 4000 * MB), (shard(1), 3000 * MB), (shard(2), 50 * MB), (shard(3), 10 * MB)].into();
        settle(&mut state, &sizes);
        assert_eq!(loads_of(&state), [2, 2]);
        assert_eq!(bytes_of(&state, &sizes).into_iter().min(), Some(3050 * MB), "the best there is of one large and one small each");
        assert!(shards(&state).all(|(_, _, shard)| shard.in_sync.len() == 1 && shard.moving.is_empty()));
    }

    #[test]
    fn little_is_not_worth_a_move_and_unknown_sizes_move_nothing() {
        let mut state = of_peers(2);
        let uid = with_collection(&mut state, "c", 1, &[&[1], &[1], &[2], &[2]]);
        let before = state.clone();
        let shard = |n| ShardRef { uid, shard: ShardId(n) };
        for sizes in [Sizes::new(), [(shard(0), 100 * MB)].into(), [(shard(0), 9000 * MB), (shard(2), 8000 * MB)].into()] {
            settle(&mut state, &sizes);
            assert!(state == before, "{sizes:?}");
        }
    }

    #[test]
    fn of_peers_with_one_more_the_one_with_more_bytes_gives_it_away() {
        let mut state = of_peers(3);
        let uid = with_collection(&mut state, "c", 1, &[&[1], &[1], &[2], &[3]]);
        let shard = |n| ShardRef { uid, shard: ShardId(n) };
        let sizes: Sizes = (0..4).map(|n| (shard(n), 1000 * MB)).chain([(shard(3), 10 * MB)]).collect();
        settle(&mut state, &sizes);
        assert_eq!((loads_of(&state), bytes_of(&state, &sizes)), (vec![1, 1, 2], vec![1000 * MB, 1000 * MB, 1010 * MB]));
    }

    #[test]
    fn whatever_the_sizes_and_zones_it_ends_even() {
        let mut dice = 7_u64;
        let mut roll = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        for _ in 0..60 {
            let peers = 2 + roll(6);
            let named: Vec<&str> = (0..peers).map(|_| ["a", "b", "c"][usize::try_from(roll(3)).expect("small")]).collect();
            let mut state = if roll(2) == 0 { in_zones(&named) } else { of_peers(peers) };
            let factor = 1 + roll(2);
            let placement: Vec<Vec<PeerId>> =
                (0..1 + roll(12)).map(|_| roll(peers)).map(|first| (0..factor).map(|copy| (first + copy) % peers + 1).collect()).collect();
            let placement: Vec<&[PeerId]> = placement.iter().map(Vec::as_slice).collect();
            let uid = with_collection(&mut state, "c", u32::try_from(factor).expect("small"), &placement);
            let sizes: Sizes = (0..16).map(|n| (ShardRef { uid, shard: ShardId(n) }, roll(3000) * MB)).collect();
            settle(&mut state, &sizes);
            let there = zones(&state, state.peers.keys().copied()).len();
            let copies = usize::try_from(factor).expect("small");
            let spread = |shard: &ShardMeta| zones(&state, shard.replicas.iter().copied()).len();
            assert!(shards(&state).all(|(_, _, shard)| spread(shard) == copies.min(there) && shard.replicas.len() == copies));
            if there as u64 == peers {
                let loads = loads_of(&state);
                assert!(loads.iter().max().expect("peers") - loads.iter().min().expect("peers") <= 1, "{loads:?}");
            }
        }
    }

    #[test]
    fn what_somebody_moved_by_hand_stays_until_it_is_let_go_and_goes_with_its_peer() {
        let mut state = of_peers(2);
        let uid = with_collection(&mut state, "c", 1, &[&[1], &[2]]);
        let shard = ShardRef { uid, shard: ShardId(0) };
        state.apply(&Command::Assign { shard, peer: 2, instead_of: Some(1), pin: true }).expect("2 is a peer");
        let second = ShardRef { uid, shard: ShardId(1) };
        state.apply(&Command::Assign { shard: second, peer: 2, instead_of: None, pin: true }).expect("2 is a peer");
        settle(&mut state, &Sizes::new());
        assert_eq!(loads_of(&state), [0, 2], "both were meant to be there");
        assert!(state.apply(&Command::Unpin { shard }).expect("there is such a shard"));
        assert!(!state.apply(&Command::Unpin { shard }).expect("there is such a shard"), "nothing was pinned");
        settle(&mut state, &Sizes::new());
        assert_eq!(loads_of(&state), [1, 1]);
        assert!(state.collections["c"].shards[1].pinned.contains(&2));
        state.apply(&Command::SetDraining { id: 2, draining: true }).expect("it is a peer");
        settle(&mut state, &Sizes::new());
        assert_eq!(loads_of(&state), [2, 0]);
        assert!(shards(&state).all(|(_, _, shard)| shard.pinned.is_empty()));
    }
}
