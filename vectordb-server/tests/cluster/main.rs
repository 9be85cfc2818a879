//! Clusters of real processes: what happens to them, and what must never happen to their data.
//!
//! `VECTORDB_TROUBLE_SECONDS` says for how long nodes are to be in trouble; not for long, unless that is said.

mod balance;
mod consistency;
mod door;
#[cfg(feature = "k8s")]
#[allow(dead_code, reason = "the rest is for the tests of the client")]
#[path = "../../src/kubernetes/fake.rs"]
mod fake;
mod full;
mod gaps;
mod history;
mod kills;
#[cfg(feature = "k8s")]
mod kubernetes;
mod links;
mod load;
mod nodes;
mod promotion;
mod snapshots;
mod transfers;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use gaps::Gaps;
use load::{Dice, Seen};
use nodes::{Node, Nodes};

/// How long replicas may take to be in sync again after everything is well.
const HEALING: Duration = Duration::from_secs(60);

fn create(node: &Node, name: &str, shards: u32, factor: u32) {
    let body = json!({"vectors": {"size": 4, "distance": "Euclid"}, "shard_number": shards, "replication_factor": factor});
    node.ok("PUT", &format!("/collections/{name}"), &body);
}

/// Runs clients beside something that happens.
fn under_load(nodes: &Nodes, happens: impl FnOnce()) -> Seen {
    let seen = Seen::default();
    load::fill(&nodes.all()[0], "docs", 9, 500, &seen);
    under_load_after(nodes, seen, |_| happens())
}

/// Tells clients to stop when it goes, also by a panic: nobody waits for them for ever then.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn under_load_after(nodes: &Nodes, seen: Seen, happens: impl FnOnce(&Seen)) -> Seen {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for client in 1..=3 {
            let (seen, stop) = (&seen, &stop);
            scope.spawn(move || load::write(nodes, "docs", client, seen, stop));
        }
        scope.spawn(|| load::read(nodes, "docs", 1, &seen, &stop));
        std::thread::sleep(Duration::from_secs(1));
        happens(&seen);
        std::thread::sleep(Duration::from_secs(1));
    });
    seen
}

/// Everything acknowledged is there, nothing else is, and every node says the same.
fn check(nodes: &Nodes, seen: &Seen) {
    let all = nodes.all();
    let dumps: Vec<Vec<Value>> = all.iter().map(|node| Nodes::dump(node, "docs")).collect();
    let history = seen.history.lock();
    println!(
        "{} writes acknowledged ({} keys), {} in doubt, {} reads, {} failed, longest gap {} ms",
        seen.acknowledged.load(Ordering::Relaxed),
        history.acknowledged_keys(),
        seen.in_doubt.load(Ordering::Relaxed),
        seen.reads.load(Ordering::Relaxed),
        seen.failed_reads.load(Ordering::Relaxed),
        seen.longest_gap.load(Ordering::Relaxed),
    );
    assert!(history.acknowledged_keys() > 50 && seen.acknowledged.load(Ordering::Relaxed) > 20, "next to nothing was written");
    for dump in &dumps {
        assert_eq!(history.violations(&load::serials(dump)), []);
        assert_eq!(dump, &dumps[0]);
    }
}

/// For how long nodes are to be in trouble.
fn trouble_time(unless_said: Duration) -> Duration {
    let said = std::env::var("VECTORDB_TROUBLE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    said.map_or(unless_said, Duration::from_secs)
}

/// One thing that happens to one node.
fn trouble(nodes: &Nodes, node: &Node, gaps: &mut Gaps, dice: &mut Dice) {
    let kind = dice.below(4);
    node.is_well.store(false, Ordering::Release);
    match kind {
        0 | 1 => {
            gaps.kill(nodes, node, dice);
            std::thread::sleep(Duration::from_millis(200 + dice.below(5000)));
            node.start();
        }
        2 => {
            node.freeze();
            std::thread::sleep(Duration::from_millis(500 + dice.below(6000)));
            node.thaw();
        }
        _ => {
            node.stop();
            node.start();
        }
    }
    println!("{}: trouble {kind}", node.http);
}

#[test]
fn nothing_acknowledged_is_lost_while_nodes_are_in_trouble() {
    for factor in [2, 3] {
        let nodes = Nodes::start(3);
        let all = nodes.all();
        create(&all[0], "docs", 3, factor);
        let mut gaps = Gaps::of(&nodes, 3, factor);
        let time = trouble_time(Duration::from_secs(22));
        let seen = under_load(&nodes, || {
            let begun = Instant::now();
            let mut dice = Dice(4711 + u64::from(factor));
            while begun.elapsed() < time {
                let victim = &all[usize::try_from(dice.below(3)).expect("below 3")];
                trouble(&nodes, victim, &mut gaps, &mut dice);
                nodes.wait("it is back", Duration::from_secs(60), |_| victim.is_ready());
                // Every other time the next one is in trouble before this one has caught up.
                if dice.below(2) == 0 {
                    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", factor as usize));
                }
                victim.is_well.store(true, Ordering::Release);
            }
        });
        let healed = nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", factor as usize));
        println!("factor {factor}: healed after {healed:?}");
        check(&nodes, &seen);
        gaps.check();
    }
}

#[test]
fn nobody_notices_that_nodes_are_stopped_one_after_the_other() {
    let nodes = Nodes::start(3);
    create(&nodes.all()[0], "docs", 3, 2);
    let rounds = std::env::var("VECTORDB_STOP_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let seen = under_load(&nodes, || {
        for node in (0..rounds).flat_map(|_| nodes.all()) {
            // As a balancer does, which hears of it before.
            node.is_well.store(false, Ordering::Release);
            std::thread::sleep(Duration::from_secs(1));
            node.stop();
            std::thread::sleep(Duration::from_millis(500));
            node.start();
            nodes.wait("it is back", Duration::from_secs(60), |_| node.is_ready());
            nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
            node.is_well.store(true, Ordering::Release);
        }
    });
    check(&nodes, &seen);
    let [in_doubt, failed] = [&seen.in_doubt, &seen.failed_reads].map(|count| count.load(Ordering::Relaxed));
    assert_eq!((in_doubt, failed), (0, 0), "{}", nodes.logs());
    let early = nodes.all().iter().filter(|node| node.log().contains("stopping although")).count();
    assert_eq!(early, 0, "{}", nodes.logs());
}

/// A minority of five is cut off from the others, or two of them from each other, while all take writes.
#[test]
fn nothing_acknowledged_is_lost_while_the_network_is_cut() {
    let nodes = Nodes::start_apart(5);
    create(&nodes.all()[0], "docs", 5, 3);
    let time = trouble_time(Duration::from_secs(30));
    let seen = under_load(&nodes, || {
        let begun = Instant::now();
        let mut dice = Dice(31);
        while begun.elapsed() < time {
            let mut order: Vec<usize> = (0..5).collect();
            (1..5).rev().for_each(|at| order.swap(at, usize::try_from(dice.below(at as u64 + 1)).expect("below 5")));
            let lasts = Duration::from_millis(500 + dice.below(9_000));
            match dice.below(4) {
                0 => nodes.cut_off(&order[..1], &order[1..], lasts),
                1 => nodes.cut_off(&order[..2], &order[2..], lasts),
                // Two that are not well, for neither hears the other.
                2 => nodes.cut_off(&order[..2], &order[..2], lasts),
                _ => {
                    let victim = &nodes.all()[order[4]];
                    victim.is_well.store(false, Ordering::Release);
                    victim.kill();
                    nodes.cut_off(&order[..1], &order[1..], lasts);
                    victim.start();
                    nodes.wait("it is back", Duration::from_secs(60), |_| victim.is_ready());
                    victim.is_well.store(true, Ordering::Release);
                }
            }
            if dice.below(2) == 0 {
                nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 3));
            }
        }
    });
    let healed = nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 3));
    println!("healed after {healed:?}");
    check(&nodes, &seen);
}

#[test]
fn new_nodes_get_their_share_and_a_lost_disk_is_made_good() {
    let nodes = Nodes::start(3);
    create(&nodes.all()[0], "docs", 6, 2);
    let seen = under_load(&nodes, || {
        nodes.add();
        nodes.add();
        nodes.wait("shards are spread over five", Duration::from_secs(120), |nodes| {
            nodes.all().iter().all(|node| node.is_ready()) && nodes.is_whole("docs", 2) && {
                let spread = nodes.spread("docs");
                spread.iter().max().expect("nodes") - spread.iter().min().expect("nodes") <= 1
            }
        });
        nodes.all().iter().for_each(|node| node.is_well.store(true, Ordering::Release));
        println!("spread over five: {:?}", nodes.spread("docs"));
    });
    check(&nodes, &seen);
    assert_eq!(seen.failed_reads.load(Ordering::Relaxed), 0);
    let leaver = nodes.all()[1].peer_id();
    let drained = std::process::Command::new(env!("CARGO_BIN_EXE_vectordb"))
        .args(["ctl", "drain", &leaver.to_string(), "--timeout", "100", "--uri"])
        .arg(format!("http://127.0.0.1:{}", nodes.all()[0].http))
        .status();
    assert!(drained.expect("it runs").success());
    assert_eq!(nodes.spread("docs")[1], 0);
    nodes.all()[0].ok("POST", &format!("/cluster/peer/{leaver}/drain?undo=true"), &Value::Null);
    check(&nodes, &seen);
    let victim = nodes.all().pop().expect("five");
    let lost = victim.peer_id();
    victim.kill();
    victim.lose_disk();
    victim.start();
    nodes.wait("it is back", Duration::from_secs(60), |_| victim.is_ready());
    assert_ne!(victim.peer_id(), lost, "an empty disk is somebody else");
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    check(&nodes, &seen);
}

/// Whether a node sees so many shards, and no resharding under way.
fn has_shards(node: &Node, shards: u32) -> bool {
    let answer = node.send("GET", "/collections/docs/cluster", &Value::Null, Duration::from_secs(5));
    answer.is_some_and(|(status, answer)| {
        status == 200 && answer["result"].get("resharding_operations").is_none() && answer["result"]["shard_count"] == shards
    })
}

/// The least number of a shard; numbers that lie between those of two reshardings were of attempts that were begun anew.
fn first_shard(node: &Node) -> Option<u64> {
    let answer = node.ok("GET", "/collections/docs/cluster", &Value::Null);
    let shards = ["local_shards", "remote_shards"].into_iter().filter_map(|kind| answer[kind].as_array());
    shards.flatten().filter_map(|shard| shard["shard_id"].as_u64()).min()
}

/// Asks for other numbers of shards, one after the other, and kills nodes meanwhile: for each number one, or none. Again, while there
/// is time.
fn reshard(nodes: &Nodes, factor: usize, steps: &[(u32, Option<usize>)]) {
    let (begun, time) = (Instant::now(), trouble_time(Duration::ZERO));
    let mut dice = Dice(2026);
    loop {
        reshard_once(nodes, factor, steps, &mut dice);
        if begun.elapsed() >= time {
            return;
        }
    }
}

fn reshard_once(nodes: &Nodes, factor: usize, steps: &[(u32, Option<usize>)], dice: &mut Dice) {
    let all = nodes.all();
    for (round, &(shards, victim)) in steps.iter().enumerate() {
        all[(round + 1) % all.len()].ok("PATCH", "/collections/docs", &json!({"params": {"shard_number": shards}}));
        if let Some(victim) = victim.map(|at| &all[at]) {
            std::thread::sleep(Duration::from_millis(dice.below(1500)));
            victim.is_well.store(false, Ordering::Release);
            victim.kill();
            std::thread::sleep(Duration::from_millis(dice.below(4000)));
            victim.start();
            nodes.wait("it is back", Duration::from_secs(60), |_| victim.is_ready());
            victim.is_well.store(true, Ordering::Release);
        }
        let took = nodes.wait("the shards are there", HEALING, |nodes| nodes.all().iter().all(|node| has_shards(node, shards)));
        println!("{shards} shards after {took:?}, from number {:?} on", first_shard(&all[0]));
        nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", factor));
    }
}

/// Reshards a collection that is written and read, and looks whether everything is there.
fn reshard_under_load(nodes: &Nodes, factor: usize, steps: &[(u32, Option<usize>)]) {
    create(&nodes.all()[0], "docs", 3, u32::try_from(factor).expect("a small number"));
    let seen = Seen::default();
    load::fill(&nodes.all()[0], "docs", 9, 4_000, &seen);
    let seen = under_load_after(nodes, seen, |_| reshard(nodes, factor, steps));
    check(nodes, &seen);
    assert_eq!(seen.failed_reads.load(Ordering::Relaxed), 0);
    let docs = nodes.all()[0].ok("GET", "/collections/docs", &Value::Null);
    assert_eq!(docs["config"]["params"]["shard_number"].as_u64(), steps.last().map(|(shards, _)| u64::from(*shards)));
}

#[test]
fn shards_become_more_and_fewer_under_load_while_nodes_are_killed() {
    reshard_under_load(&Nodes::start(3), 2, &[(5, Some(0)), (2, Some(1)), (3, Some(2)), (4, None)]);
}

#[test]
fn shards_of_a_server_that_is_alone_become_more_and_fewer_while_it_is_killed() {
    reshard_under_load(&Nodes::alone(), 1, &[(5, Some(0)), (2, Some(0)), (3, None)]);
}

#[test]
fn a_resharding_that_is_given_up_leaves_no_trace() {
    let nodes = Nodes::start(3);
    let all = nodes.all();
    create(&all[0], "docs", 3, 2);
    let seen = Seen::default();
    // Enough not to be brought over at once.
    (9..14).for_each(|client| load::fill(&all[0], "docs", client, 4_000, &seen));
    let seen = under_load_after(&nodes, seen, |_| {
        let give_up = json!({"abort_resharding": {}});
        for shards in [5, 2] {
            all[1].ok("PATCH", "/collections/docs", &json!({"params": {"shard_number": shards}}));
            let (status, answer) = all[0]
                .send("PATCH", "/collections/docs", &json!({"params": {"shard_number": 4}}), Duration::from_secs(30))
                .expect("an answer");
            assert!(status == 400 && answer.to_string().contains("is being resharded"), "{status} {answer}");
            all[2].ok("POST", "/collections/docs/cluster", &give_up);
            nodes.wait("it is as it was", HEALING, |nodes| nodes.all().iter().all(|node| has_shards(node, 3)));
        }
        let again = all[2].send("POST", "/collections/docs/cluster", &give_up, Duration::from_secs(30));
        assert_eq!(again.map(|(status, _)| status), Some(400));
        nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    });
    check(&nodes, &seen);
    assert_eq!(seen.failed_reads.load(Ordering::Relaxed), 0);
}

/// One that was taken out while it was down, and comes back as if nothing had been.
#[test]
fn a_node_that_was_taken_out_is_let_in_again_with_its_old_data() {
    let nodes = Nodes::start(3);
    let all = nodes.all();
    create(&all[0], "docs", 6, 2);
    let seen = under_load(&nodes, || {
        let victim = &all[1];
        let id = victim.peer_id();
        victim.is_well.store(false, Ordering::Release);
        victim.kill();
        let removed = || all[0].send("DELETE", &format!("/cluster/peer/{id}?force=true"), &Value::Null, Duration::from_secs(30));
        nodes.wait("it is taken out", HEALING, |_| removed().is_some_and(|(status, _)| status == 200));
        let lives = |node: &Arc<Node>| node.ok("GET", "/cluster", &Value::Null)["peers"].get(id.to_string()).is_some();
        nodes.wait("nobody knows it", HEALING, |_| [&all[0], &all[2]].iter().all(|node| !lives(node)));
        // Until the group has no word for it any more.
        std::thread::sleep(Duration::from_secs(6));
        victim.start();
        let back = nodes.wait("everybody knows it again", HEALING, |_| victim.is_ready() && all.iter().all(lives));
        assert_eq!(victim.peer_id(), id);
        println!("let in again after {back:?}");
        victim.is_well.store(true, Ordering::Release);
        nodes.wait("it has its share", HEALING, |nodes| nodes.is_whole("docs", 2) && nodes.spread("docs")[1] >= 3);
    });
    check(&nodes, &seen);
    assert_eq!(seen.failed_reads.load(Ordering::Relaxed), 0);
}

/// More writes wait for a silent member than a program commonly has threads: what they wait for must find some all the same.
#[test]
fn more_writes_than_threads_may_wait_for_a_member_that_is_silent() {
    const WRITES: u64 = 700;
    // With numbers that are chosen the first node has the primary, and what becomes of the writes is known.
    let nodes = Nodes::start_apart(3);
    let all = nodes.all();
    create(&all[0], "docs", 1, 3);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 3));
    let silent = &all[2];
    silent.is_well.store(false, Ordering::Release);
    silent.freeze();
    let write = |key: u64| {
        let node = &all[usize::try_from(key % 2).expect("0 or 1")];
        let body = json!({"points": [load::point(key, key)]});
        let answer = node.send("PUT", "/collections/docs/points?wait=true", &body, Duration::from_secs(30));
        answer.is_none_or(|(status, _)| status != 200).then_some(key)
    };
    // A machine that has no time for so many may take longer than writes wait; the next time they are done.
    let mut left: Vec<u64> = (0..WRITES).collect();
    for round in 1..=3 {
        left = std::thread::scope(|scope| {
            let threads: Vec<_> = left.iter().map(|&key| scope.spawn(move || write(key))).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
        });
        println!("round {round}: {} of {WRITES} are left", left.len());
    }
    silent.thaw();
    assert!(left.is_empty(), "{} of {WRITES} were not done\n{}", left.len(), nodes.logs());
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 3));
    for node in &all {
        assert_eq!(Nodes::dump(node, "docs").len() as u64, WRITES);
    }
}
