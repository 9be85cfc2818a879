//! How many replicas are how: pure functions of what is agreed on and of who lives.

use vectordb_service::ReplicaFigures;

use super::state::{ClusterState, PeerId, ShardMeta};
use super::survey::Health;

/// What a peer's replica of a shard is.
pub(super) fn state_of(state: &ClusterState, shard: &ShardMeta, peer: PeerId) -> &'static str {
    match shard.in_sync.iter().find(|member| member.peer == peer) {
        Some(member) if state.peers.get(&peer).is_some_and(|known| known.disk == member.disk) => "Active",
        Some(_) => "Dead",
        None => "Partial",
    }
}

/// The figures as `here` sees them; `health` is what a leader knows.
pub(super) fn figures(state: &ClusterState, here: PeerId, health: Option<&Health>) -> ReplicaFigures {
    let mut figures = ReplicaFigures { by_state: [("Active", 0), ("Dead", 0), ("Partial", 0)].into(), ..ReplicaFigures::default() };
    for (name, collection) in &state.collections {
        let transfers = figures.transfers.entry(name.clone()).or_default();
        for shard in &collection.shards {
            let mut active = 0;
            for &peer in &shard.replicas {
                let kind = state_of(state, shard, peer);
                *figures.by_state.entry(kind).or_default() += 1;
                active += u64::from(kind == "Active");
            }
            let (fewest, most) = figures.active.unwrap_or((active, active));
            figures.active = Some((fewest.min(active), most.max(active)));
            for learner in shard.learners() {
                transfers.0 += u64::from(learner == here);
                transfers.1 += u64::from(learner != here && shard.primary.peer == here);
            }
        }
    }
    if let Some(health) = health {
        let shards = state.collections.values().flat_map(|collection| &collection.shards);
        figures.alive = Some(health.alive.len() as u64);
        figures.without_primary = Some(shards.filter(|shard| !health.has(&shard.primary)).count() as u64);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{member, of_peers, with_collection};
    use super::super::state::{Command, ShardRef};
    use super::*;

    #[test]
    fn replicas_are_counted_by_what_they_are_and_where_they_come_from() {
        let mut state = of_peers(3);
        let uid = with_collection(&mut state, "books", 2, &[&[1, 2], &[2]]);
        let second = ShardRef { uid, shard: vectordb_service::ShardId(1) };
        state.apply(&Command::Assign { shard: second, peer: 3, instead_of: None, pin: false }).expect("there is such a peer");
        let seen = figures(&state, 3, None);
        assert_eq!(seen.by_state, [("Active", 3), ("Dead", 0), ("Partial", 1)].into());
        assert_eq!((seen.active, &seen.transfers), (Some((1, 2)), &[("books".to_owned(), (1, 0))].into()));
        assert_eq!((seen.alive, seen.without_primary), (None, None), "who does not lead does not know");
        let health = Health { alive: [(1, member(1)), (3, member(3))].into(), ..Health::default() };
        let led = figures(&state, 2, Some(&health));
        assert_eq!((led.alive, led.without_primary, &led.transfers["books"]), (Some(2), Some(1), &(0, 1)));
        assert_eq!(figures(&of_peers(1), 1, None).active, None);
    }
}
