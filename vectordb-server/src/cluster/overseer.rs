//! What the leader tells the Kubernetes around it: what happened to peers, that the cluster was founded, and that fewer pods are not
//! allowed any more. All of it can fail without harm to anybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::leader::is_leader;
use super::node::Shared;
use super::state::{ClusterState, PeerId};
use crate::kubernetes::{Happening, Kubernetes, Trouble};

/// How often nodes look at what is agreed on.
const GLANCE: Duration = Duration::from_millis(100);
/// For how long a node remembers what another leader should have told: as long as it may take until there is one. What happens
/// just before is told twice then.
const REMEMBERED: Duration = Duration::from_secs(10);
/// For how long no replica was being made when all of them are made that were to be: between one and the next there is a moment.
const SETTLED: Duration = Duration::from_secs(5);
/// How often it looks at what is noted in Kubernetes.
const LOOK: Duration = Duration::from_secs(10);

/// What there is to see of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    uri: String,
    draining: bool,
    replicas: usize,
}

/// What there is to see of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct View {
    peers: BTreeMap<PeerId, Sight>,
    /// Replicas that are being made.
    transfers: usize,
}

impl View {
    fn of(state: &ClusterState) -> Self {
        let shards = || state.collections.values().flat_map(|collection| &collection.shards);
        let sight = |(&id, peer): (&PeerId, &super::state::Peer)| {
            let replicas = shards().filter(|shard| shard.replicas.contains(&id)).count();
            (id, Sight { uri: peer.uri.clone(), draining: peer.draining, replicas })
        };
        Self { peers: state.peers.iter().map(sight).collect(), transfers: shards().map(|shard| shard.learners().count()).sum() }
    }
}

/// What happened between two looks of a peer, but to itself.
fn happened(before: &View, now: &View, here: PeerId) -> Vec<Happening> {
    let mut happenings = Vec::new();
    let mut tell = |reason, note| happenings.push(Happening { reason, note });
    for (id, peer) in now.peers.iter().filter(|(id, _)| !before.peers.contains_key(id) && **id != here) {
        tell("PeerJoined", format!("peer {id} at {} joined, one of {} now", peer.uri, now.peers.len()));
    }
    for (id, peer) in &before.peers {
        match now.peers.get(id) {
            None => {
                if peer.draining && peer.replicas > 0 {
                    tell("Drained", format!("peer {id} at {} has no copies of shards any more", peer.uri));
                }
                tell("PeerLeft", format!("peer {id} at {} was taken out, {} are left", peer.uri, now.peers.len()));
            }
            Some(after) if after.draining && !peer.draining && after.replicas > 0 => {
                tell("Draining", format!("{} copies of shards of peer {id} at {} are brought elsewhere", after.replicas, peer.uri));
            }
            Some(after) if after.draining && after.replicas == 0 && (peer.replicas > 0 || !peer.draining) => {
                tell("Drained", format!("peer {id} at {} has no copies of shards any more", peer.uri));
            }
            Some(_) => {}
        }
    }
    happenings
}

/// When replicas were made that nobody was told of yet.
#[derive(Debug, Default)]
struct Moves(Option<Instant>);

impl Moves {
    /// What there is to tell of them at a moment: once, when no more are made.
    fn ended(&mut self, view: &View, at: Instant) -> Option<Happening> {
        if view.transfers > 0 {
            self.0 = Some(at);
        }
        self.0.take_if(|last| at.duration_since(*last) >= SETTLED)?;
        let loads: Vec<String> = view.peers.values().map(|peer| peer.replicas.to_string()).collect();
        let note = format!("no copy of a shard is being made any more; the peers have {}", loads.join(", "));
        Some(Happening { reason: "Rebalanced", note })
    }
}

/// Whether fewer pods are allowed that are not to be: since there are as few, or since pods beyond have copies of shards again.
fn is_stale(floor: u64, replicas: u64, view: &View) -> bool {
    let beyond = |peer: &&Sight| ordinal(&peer.uri).is_some_and(|ordinal| ordinal >= floor);
    replicas <= floor || view.peers.values().filter(beyond).any(|peer| peer.replicas > 0 && !peer.draining)
}

/// The number of a pod by the address of its peer, as in `http://qdrant-3.qdrant-headless:6335`.
fn ordinal(uri: &str) -> Option<u64> {
    let host = uri.split("://").nth(1)?.split(['/', ':', '.']).next()?;
    host.rsplit_once('-')?.1.parse().ok()
}

/// Oversees, whenever it is this node's turn, until the node stops.
pub(super) async fn run(node: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let Some(kubernetes) = &node.kubernetes else { return };
    let told = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    // Nobody waits for what is being said.
    tokio::select! {
        () = told => {}
        () = oversee(&node, kubernetes) => {}
    }
}

async fn oversee(node: &Shared, kubernetes: &Kubernetes) {
    // Every node watches, for whoever leads may change with what happens.
    let mut before = View::of(&node.agreed());
    let mut moves = Moves::default();
    let mut untold: Vec<(Instant, Happening)> = Vec::new();
    let mut looked: Option<Instant> = None;
    loop {
        tokio::time::sleep(GLANCE).await;
        let now = View::of(&node.agreed());
        untold.retain(|(when, _)| when.elapsed() < REMEMBERED);
        let happenings = happened(&before, &now, node.me.peer).into_iter().chain(moves.ended(&now, Instant::now()));
        untold.extend(happenings.map(|happening| (Instant::now(), happening)));
        if is_leader(node) {
            for (_, happening) in untold.drain(..) {
                tracing::info!(reason = happening.reason, "{}", happening.note);
                if let Err(trouble) = kubernetes.tell(&happening).await {
                    tracing::debug!(%trouble, "nobody was told");
                }
            }
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                if let Err(trouble) = look(node, kubernetes, &now).await {
                    tracing::debug!(%trouble, "what is noted in Kubernetes is not looked at now");
                }
            }
        }
        before = now;
    }
}

/// Notes that there is a cluster, as one that is older than the notes may have none, and puts up the guard where it is down.
async fn look(node: &Shared, kubernetes: &Kubernetes, now: &View) -> Result<(), Trouble> {
    kubernetes.claim_founding(&node.founder()).await?;
    if let Some(floor) = kubernetes.floor().await?
        && is_stale(floor, kubernetes.replicas().await?, now)
    {
        kubernetes.set_floor(None).await?;
        tracing::info!(floor, "fewer pods are not allowed any more");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{of_peers, with_collection};
    use super::super::state::{Command, ShardRef};
    use super::*;

    fn reasons(before: &View, now: &View) -> Vec<&'static str> {
        happened(before, now, 2).into_iter().map(|happening| happening.reason).collect()
    }

    #[test]
    fn what_happens_to_peers_is_told_once() {
        let mut state = of_peers(2);
        let mut before = View::of(&state);
        let mut next = |state: &ClusterState| {
            let now = View::of(state);
            let told = reasons(&before, &now);
            assert!(reasons(&now, &now).is_empty());
            before = now;
            told
        };
        state.peers = of_peers(3).peers;
        assert_eq!(next(&state), ["PeerJoined"]);
        let uid = with_collection(&mut state, "books", 1, &[&[1], &[2]]);
        assert!(next(&state).is_empty());
        let shard = ShardRef { uid, shard: vectordb_service::ShardId(0) };
        state.apply(&Command::SetDraining { id: 1, draining: true }).expect("it is a peer");
        state.apply(&Command::Assign { shard, peer: 3, instead_of: Some(1), pin: false }).expect("it is a peer");
        assert_eq!(next(&state), ["Draining"]);
        let epoch = |state: &ClusterState| state.collections["books"].shards[0].epoch;
        let member = super::super::state::tests::member(3);
        let expand = Command::Expand { shard, epoch: epoch(&state), member };
        state.apply(&expand).expect("it caught up");
        assert!(next(&state).is_empty());
        state.apply(&Command::SetPrimary { shard, epoch: epoch(&state), primary: member, keep_old: true }).expect("it is in sync");
        state.apply(&Command::Unassign { shard, peer: 1 }).expect("there is another");
        assert_eq!(next(&state), ["Drained"]);
        state.apply(&Command::RemovePeer { id: 1, force: false }).expect("it has nothing");
        assert_eq!(next(&state), ["PeerLeft"]);
    }

    #[test]
    fn replicas_that_are_made_one_after_the_other_are_told_of_once() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        let mut told = |transfers, seconds: f64| {
            moves.ended(&View { transfers, ..View::default() }, start + Duration::from_secs_f64(seconds)).map(|happening| happening.reason)
        };
        assert_eq!(told(0, 0.0), None, "none was made");
        for seconds in [1.0, 3.0, 7.0] {
            assert_eq!((told(2, seconds), told(1, seconds + 0.5), told(0, seconds + 0.9)), (None, None, None));
        }
        assert_eq!(told(0, 12.4), None);
        assert_eq!((told(0, 12.6), told(0, 30.0)), (Some("Rebalanced"), None));
    }

    #[test]
    fn leave_for_fewer_pods_ends_when_it_was_used_or_is_dangerous() {
        let view = |draining: bool, replicas: usize| {
            let peer = |n: u64, replicas| (n, Sight { uri: format!("http://qdrant-{n}.headless:6335"), draining, replicas });
            View { peers: (0..3).map(|n| peer(n, 4)).chain([peer(3, replicas)]).collect(), transfers: 0 }
        };
        assert!(is_stale(3, 3, &view(false, 0)), "it was used");
        assert!(!is_stale(3, 4, &view(false, 0)), "the fourth has nothing and is about to go");
        assert!(!is_stale(3, 4, &view(true, 2)), "the fourth is being emptied");
        assert!(is_stale(3, 4, &view(false, 1)), "the fourth has something again");
        assert!(!is_stale(4, 5, &view(false, 1)), "the fourth is not meant");
    }

    #[test]
    fn pods_are_known_by_the_names_of_their_hosts() {
        assert_eq!(ordinal("http://qdrant-3.qdrant-headless:6335/"), Some(3));
        for other in ["http://10.0.0.7:6335/", "http://localhost:6335", "qdrant-3"] {
            assert_eq!(ordinal(other), None, "{other}");
        }
    }
}
