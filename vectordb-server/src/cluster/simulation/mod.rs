//! A whole cluster in one thread, in which a seed decides what happens next.
//!
//! Replicas with their logs and files, senders, what is agreed on, who lives and where replicas are to lie are the code of the server.
//! What is around them is made here: disks that lose what was not synced ([`vectordb_benches::faults::sim_fs`]), clocks that go wrong by
//! up to a tenth, a network that delays, reorders, loses and parts, and an agreement that brings the same commands in the same order to
//! every node, later to some (the store below the real one passes the tests of openraft). Nodes crash at any moment, lose their
//! disks, and stand still, and collections get other numbers of shards. The door of the API is not in it.
//!
//! What must hold: a primary that the agreement knows shows everything acknowledged; in the end, when all is mended, nothing
//! acknowledged is lost, nothing is there that nobody wrote, and the replicas of a shard are equal. The same seed makes the same trace.
//!
//! `VECTORDB_SEEDS=10000 cargo test -p vectordb-server --lib simulation` runs more of them, from `VECTORDB_FIRST_SEED`; with one seed
//! and `VECTORDB_TRACE=1` what happened is told.

mod clients;
mod feeding;
mod node;
mod trouble;
mod world;

#[path = "../../../tests/cluster/history.rs"]
mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vectordb_core::{CollectionConfig, Distance, Lsn};
use vectordb_service::ShardId;

use super::replica::{Append, AppendReply, Begun, Fate, Matched, Outgoing, Replica};
use super::state::tests::{member, of_peers};
use super::state::{ClusterState, Command, ShardRef};
use clients::Asked;
use history::Written;
use node::{Node, packed, unpacked};
use world::{Outcome, World};

const SEEDS: u64 = 200;
/// Of them run twice.
const TWICE: u64 = 10;
/// After so many it is told how many are done.
const TELLING: u64 = 500;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run(seed: u64) -> Outcome {
    World::new(seed).run().unwrap_or_else(|reason| panic!("seed {seed}: {reason}"))
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens() {
    let first = number("VECTORDB_FIRST_SEED").unwrap_or(1);
    let end = first + number("VECTORDB_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let [writes, failovers, wiped, resharded] = [0; 4].map(AtomicU64::new);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let outcome = run(seed);
            writes.fetch_add(outcome.acknowledged, Ordering::Relaxed);
            failovers.fetch_add(outcome.primaries, Ordering::Relaxed);
            wiped.fetch_add(outcome.wiped, Ordering::Relaxed);
            resharded.fetch_add(outcome.resharded, Ordering::Relaxed);
            let done = seed - first + 1;
            if done.is_multiple_of(TELLING) {
                println!("{done} of {} seeds", end - first);
            }
            if seed < first + TWICE {
                assert_eq!(run(seed), outcome, "seed {seed} does not do the same again");
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let [writes, failovers, wiped, resharded] = [writes, failovers, wiped, resharded].map(AtomicU64::into_inner);
    let seeds = end - first;
    println!("{seeds} seeds: {writes} acknowledged writes, {failovers} changes of primaries, {wiped} disks lost, {resharded} reshardings");
    assert!(writes > 50 * seeds && failovers > seeds && resharded > seeds / 2, "too little happens");
}

const SHARD: ShardRef = ShardRef { uid: 1, shard: ShardId(0) };

/// Nodes with a shard of which the first is the primary.
fn replicas_on<const N: usize>() -> (ClusterState, [Node; N], [Arc<Replica>; N]) {
    let peers: Vec<u64> = (1..=N as u64).collect();
    let mut state = of_peers(N as u64);
    let config = Box::new(CollectionConfig::unnamed(2, Distance::Euclid));
    let create = Command::CreateCollection { name: "c".into(), config, created_at: String::new(), placement: vec![peers] };
    state.apply(&create).expect("it is new");
    let mut nodes = std::array::from_fn(|node| Node::new(node as u64 + 1, (0, 1000), Instant::now()));
    for node in &mut nodes {
        node.start().expect("it starts");
        node.first_heard = Some(0);
        drop(node.reconcile(&state).expect("it is in line"));
    }
    let replicas = std::array::from_fn(|node| Arc::clone(&nodes[node].running.as_ref().expect("it runs").replicas[&SHARD]));
    (state, nodes, replicas)
}

fn begin(replica: &Replica, key: u64) -> Begun {
    let asked = Asked { client: 0, key, written: Written::Serial(key), attempt: 0, until: 0 };
    replica.begin(1, || Ok(true), asked.work()).expect("it is the primary").expect("it is admitted")
}

#[test]
fn a_write_that_was_taken_back_is_not_acknowledged_in_a_later_reign() {
    let (mut state, mut nodes, replicas) = replicas_on::<2>();
    let learn = |nodes: &mut [Node; 2], state: &ClusterState| {
        nodes.iter_mut().for_each(|node| drop(node.reconcile(state).expect("it is in line")));
    };
    let set_primary = |epoch, peer| Command::SetPrimary { shard: SHARD, epoch, primary: member(peer), keep_old: false };

    let lost = begin(&replicas[0], 1);
    state.apply(&set_primary(1, 2)).expect("2 is in sync");
    learn(&mut nodes, &state);
    let kept = begin(&replicas[1], 2);
    replicas[1].settle(&kept).expect("it is synced");
    assert!(replicas[1].fate(&kept) == Some(Fate::Done));
    let Ok(Outgoing::Message(message)) = replicas[1].outgoing(2, Some(Lsn::ZERO)) else { panic!("its log begins there") };
    let reply = replicas[0].append(&message, Instant::now()).expect("it follows");
    assert!(matches!(reply, AppendReply::Has { upto: Lsn(1), .. }), "{reply:?}");
    state.apply(&Command::Expand { shard: SHARD, epoch: 2, member: member(1) }).expect("1 caught up");
    state.apply(&set_primary(3, 1)).expect("1 is in sync");
    learn(&mut nodes, &state);
    assert!(replicas[0].is_primary());
    replicas[0].settle(&lost).expect("nobody waits for it");
    assert_eq!(replicas[0].fate(&lost), Some(Fate::Undone), "another batch has its place");
}

#[test]
fn a_primary_that_hands_over_hears_what_became_of_its_writes() {
    let (mut state, mut nodes, replicas) = replicas_on::<2>();
    let now = Instant::now();
    let known = begin(&replicas[0], 1);
    replicas[0].settle(&known).expect("it is synced");
    let Ok(Outgoing::Message(message)) = replicas[0].outgoing(1, Some(Lsn::ZERO)) else { panic!("its log begins there") };
    replicas[1].append(&message, now).expect("it follows");
    let unknown = begin(&replicas[0], 2);
    replicas[0].settle(&unknown).expect("it is synced");
    state.apply(&Command::SetPrimary { shard: SHARD, epoch: 1, primary: member(2), keep_old: true }).expect("2 is in sync");
    nodes.iter_mut().for_each(|node| drop(node.reconcile(&state).expect("it is in line")));
    // One that comes too late is not done, and looks for the next primary.
    let late = Asked { client: 0, key: 3, written: Written::Serial(3), attempt: 0, until: 0 };
    assert!(matches!(replicas[0].begin(1, || Ok(true), late.work()), Ok(None)));
    let fates = || [&known, &unknown].map(|begun| replicas[0].fate(begun));
    assert_eq!(fates(), [None, None], "the next primary has yet to be heard");
    // The first message brings its log, the second that everybody has it.
    for expected in [[None, None], [Some(Fate::Done), Some(Fate::Undone)]] {
        let Ok(Outgoing::Message(message)) = replicas[1].outgoing(2, None) else { panic!("it is primary") };
        let reply = replicas[0].append(&message, now).expect("it follows");
        let AppendReply::Has { member, upto, shown, .. } = reply else { panic!("it has it: {reply:?}") };
        assert_eq!(fates(), expected);
        replicas[1].acknowledged(2, member, Matched { upto, shown, question: 0, whole: true }, true, now);
    }
    // That batch has gone for good.
    let next = begin(&replicas[1], 3);
    assert_eq!(next.staged.lsn, unknown.staged.lsn);
}

#[test]
fn a_node_that_stops_is_awaited_until_it_has_heard_what_became_of_its_writes() {
    let (mut state, mut nodes, replicas) = replicas_on::<2>();
    let replica = Arc::clone(&replicas[0]);
    let asked = Asked { client: 0, key: 1, written: Written::Serial(1), attempt: 0, until: 0 };
    let deadline = Instant::now() + Duration::from_secs(30);
    let writing = std::thread::spawn(move || replica.write(1, deadline, || Ok(true), asked.work()));
    while replicas[0].data().log_position().last == Lsn::ZERO && !writing.is_finished() {
        std::thread::yield_now();
    }
    assert!(!replicas[0].is_awaited(), "it is the primary");
    state.apply(&Command::SetPrimary { shard: SHARD, epoch: 1, primary: member(2), keep_old: true }).expect("2 is in sync");
    nodes.iter_mut().for_each(|node| drop(node.reconcile(&state).expect("it is in line")));
    assert!(replicas[0].is_awaited());
    for _ in 0..2 {
        let Ok(Outgoing::Message(message)) = replicas[1].outgoing(2, None) else { panic!("it is primary") };
        let reply = replicas[0].append(&message, Instant::now()).expect("it follows");
        let AppendReply::Has { member, upto, shown, .. } = reply else { panic!("it has it: {reply:?}") };
        replicas[1].acknowledged(2, member, Matched { upto, shown, question: 0, whole: true }, true, Instant::now());
    }
    assert!(matches!(writing.join().expect("no panic"), Ok(None)), "it was taken back, and may be sent to the next");
    assert!(!replicas[0].is_awaited());
}

#[test]
fn a_batch_that_a_third_one_still_has_may_yet_be_done() {
    let (mut state, mut nodes, replicas) = replicas_on::<3>();
    let now = Instant::now();
    let send = |from: usize, to: usize, epoch: u64, after: Option<Lsn>| {
        let Ok(Outgoing::Message(message)) = replicas[from].outgoing(epoch, after) else { panic!("it is primary") };
        let AppendReply::Has { member, upto, shown, .. } = replicas[to].append(&message, now).expect("it follows") else {
            panic!("it has what it needs")
        };
        replicas[from].acknowledged(epoch, member, Matched { upto, shown, question: 0, whole: true }, true, now);
    };
    let follow = |nodes: &mut [Node; 3], state: &mut ClusterState, epoch, peer, keep_old| {
        state.apply(&Command::SetPrimary { shard: SHARD, epoch, primary: member(peer), keep_old }).expect("it is in sync");
        nodes.iter_mut().for_each(|node| drop(node.reconcile(state).expect("it is in line")));
    };
    let begun = begin(&replicas[0], 1);
    replicas[0].settle(&begun).expect("it is synced");
    send(0, 2, 1, Some(Lsn::ZERO));
    follow(&mut nodes, &mut state, 1, 2, true);
    send(1, 0, 2, None);
    send(1, 0, 2, None);
    assert_eq!(replicas[0].fate(&begun), None, "the third has it, and may be the next primary");
    follow(&mut nodes, &mut state, 2, 3, false);
    send(2, 0, 3, Some(Lsn::ZERO));
    assert_eq!(replicas[0].fate(&begun), None, "not everybody has it");
    send(2, 0, 3, None);
    assert_eq!(replicas[0].fate(&begun), Some(Fate::Done));
}

#[test]
fn files_that_come_late_take_nothing_back_that_came_by_the_log() {
    let (_, nodes, replicas) = replicas_on::<2>();
    let write = |key, after| {
        let begun = begin(&replicas[0], key);
        replicas[0].settle(&begun).expect("it is synced");
        let Ok(Outgoing::Message(message)) = replicas[0].outgoing(1, Some(after)) else { panic!("its log begins there") };
        replicas[1].append(&message, Instant::now()).expect("it follows");
    };
    write(1, Lsn::ZERO);
    let offered = replicas[1].standing();
    let files = packed(&nodes[0].fs, &replicas[0], 1).expect("they are written");
    write(2, Lsn(1));
    let directory = unpacked(&nodes[1].fs, &files, 1).expect("they are written");
    assert!(replicas[1].install(1, &directory, offered).is_err(), "it said that it has the second");
    assert_eq!(replicas[1].data().log_position().last, Lsn(2));
    assert!(replicas[1].install(1, &directory, replicas[1].standing()).is_ok());
    assert_eq!(replicas[1].data().log_position().last, Lsn(1));
}

#[test]
fn who_is_primary_no_more_confirms_nothing() {
    let (mut state, mut nodes, replicas) = replicas_on::<2>();
    let message = || {
        let Ok(Outgoing::Message(message)) = replicas[0].outgoing(1, None) else { panic!("it is primary") };
        message
    };
    let deliver = |message: &Append| {
        let reply = replicas[1].append(message, Instant::now()).expect("its disk is well");
        if let AppendReply::Has { member, upto, shown, .. } = reply {
            replicas[0].acknowledged(1, member, Matched { upto, shown, question: message.question, whole: true }, true, Instant::now());
        }
    };
    let confirm = |least, meanwhile: &dyn Fn()| {
        let replica = Arc::clone(&replicas[0]);
        let mut news = replica.news();
        news.mark_unchanged();
        let asking = std::thread::spawn(move || replica.confirm(least, Instant::now() + Duration::from_millis(300)));
        while !news.has_changed().expect("it is there") && !asking.is_finished() {
            std::thread::yield_now();
        }
        meanwhile();
        asking.join().expect("no panic").is_ok()
    };
    let before = message();
    assert!(!confirm(1, &|| deliver(&before)), "that was sent before the question");
    assert!(confirm(1, &|| deliver(&message())));
    assert!(confirm(2, &|| deliver(&message())));
    assert!(!confirm(3, &|| deliver(&message())), "there are two");
    let command = Command::SetPrimary { shard: SHARD, epoch: 1, primary: member(2), keep_old: false };
    state.apply(&command).expect("2 is in sync");
    drop(nodes[1].reconcile(&state).expect("it is in line"));
    assert!(replicas[0].is_primary(), "nobody told it");
    assert!(!confirm(1, &|| deliver(&message())));
}

#[test]
fn a_node_that_knows_an_old_state_is_not_the_primary_of_a_shard_that_is_gone() {
    let mut state = of_peers(1);
    let config = Box::new(CollectionConfig::unnamed(2, Distance::Euclid));
    let create = Command::CreateCollection { name: "c".into(), config, created_at: String::new(), placement: vec![vec![1]] };
    state.apply(&create).expect("it is new");
    let old = state.clone();
    state.apply(&Command::DeleteCollection { name: "c".into() }).expect("it is there");
    let mut node = Node::new(1, (0, 1000), Instant::now());
    let shards = |node: &mut Node, state: &ClusterState| {
        drop(node.reconcile(state).expect("it is in line"));
        node.running.as_ref().expect("it runs").replicas.len()
    };
    node.start().expect("it starts");
    node.first_heard = Some(0);
    assert_eq!((shards(&mut node, &old), shards(&mut node, &state)), (1, 0));
    node.running = None;
    node.fs = node.fs.kill();
    node.start().expect("it starts again");
    assert_eq!(shards(&mut node, &old), 0, "a write to it would be lost");
    node.first_heard = Some(0);
    assert_eq!((shards(&mut node, &state), shards(&mut node, &old)), (0, 1), "who has caught up makes what there is to be");
}
