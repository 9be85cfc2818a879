//! Snapshots of whole collections of a cluster, by whichever node, and what comes back from them.
//!
//! `VECTORDB_SNAPSHOT_ROUNDS` says how many are made one after the other; not many, unless that is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::door::{Door, RoundRobin};
use crate::history::violations_between;
use crate::load::{self, Dice, Seen};
use crate::nodes::{Node, Nodes};
use crate::{HEALING, Stop, check, create, has_shards, under_load_after};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_snapshot_by_any_node_holds_everything_and_comes_back_in_other_shards() {
    let nodes = Nodes::start(3);
    let all = nodes.all();
    create(&all[0], "docs", 3, 1);
    let points: Vec<Value> = (0..500).map(|key| load::point(key, key * 3)).collect();
    all[0].ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    let before = Nodes::dump(&all[0], "docs");
    assert_eq!(before.len(), 500);
    let name = all[1].ok("POST", "/collections/docs/snapshots", &Value::Null)["name"].as_str().expect("a name").to_owned();
    for node in &all {
        let listed = node.ok("GET", "/collections/docs/snapshots", &Value::Null);
        assert_eq!(listed.as_array().map(Vec::len), Some(1));
    }
    let path = format!("/collections/docs/snapshots/{name}");
    let files: Vec<Vec<u8>> = all.iter().map(|node| node.download(&path)).collect();
    assert!(files.iter().all(|file| file == &files[0]), "the same file by every node");
    // What is restored has the number of shards that the collection has, and replaces what is there.
    all[2].ok("DELETE", "/collections/docs", &Value::Null);
    create(&all[2], "docs", 5, 2);
    all[2].ok("PUT", "/collections/docs/points?wait=true", &json!({"points": [load::point(9_999, 1)]}));
    all[0].upload("/collections/docs/snapshots/upload", &files[0]);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    for node in &all {
        assert_eq!(Nodes::dump(node, "docs"), before);
    }
    assert_eq!(all[0].ok("GET", "/collections/docs/cluster", &Value::Null)["shard_count"], 5);
    // And a new collection has those of the snapshot.
    all[1].upload("/collections/copy/snapshots/upload", &files[0]);
    assert_eq!(Nodes::dump(&all[2], "copy"), before);
    all[0].ok("DELETE", &path, &Value::Null);
    assert_eq!(all[1].ok("GET", "/collections/docs/snapshots", &Value::Null), json!([]));
}

fn rounds(unless_said: usize) -> usize {
    std::env::var("VECTORDB_SNAPSHOT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(unless_said)
}

/// Points as a program that makes embeddings has them: no two vectors alike, with cosine distances.
fn documents(dice: &mut Dice, ids: std::ops::Range<u64>) -> Value {
    let mut number = || f64::from(u32::try_from(dice.below(2_000_001)).expect("it is small")) / 1e6 - 1.0;
    let mut vector = || (0..24).map(|_| number()).collect::<Vec<f64>>();
    let points = ids.map(|id| json!({"id": id, "vector": vector(), "payload": {"text": format!("page {id}"), "source": id % 7}}));
    json!({"points": points.collect::<Vec<_>>()})
}

/// The digest of a collection's content.
fn digest(door: &Door, collection: &str) -> Value {
    door.ok("POST", "/backups", &json!({"collections": [collection]}))["backup"]["collections"][0]["digest"].take()
}

/// The three requests of somebody who keeps snapshots elsewhere: make one, look for it, get it. Each may reach another node.
fn snapshot(door: &Door, collection: &str) -> Vec<u8> {
    let path = format!("/collections/{collection}/snapshots");
    let made = door.ok("POST", &path, &Value::Null);
    let listed = door.ok("GET", &path, &Value::Null);
    let listed = listed.as_array().and_then(|all| all.iter().find(|each| each["name"] == made["name"]));
    assert_eq!(listed, Some(&made), "it is listed by every node");
    let file = door.download(&format!("{path}/{}", made["name"].as_str().expect("a name")));
    let found: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((made["size"].as_u64(), made["checksum"].as_str()), (Some(file.len() as u64), Some(found.as_str())));
    file
}

/// The longest and the middle one of some times, in milliseconds.
fn figures(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |at: usize| times[at].as_millis();
    format!("median {} ms, longest {} ms", ms(times.len() / 2), ms(times.len() - 1))
}

#[test]
fn snapshots_through_a_service_that_asks_nodes_in_turn_are_whole() {
    let (nodes, elsewhere) = (Nodes::start(3), Nodes::alone());
    let service = RoundRobin::over(nodes.all().iter().map(|node| node.http).collect());
    let config = json!({"vectors": {"size": 24, "distance": "Cosine"}, "shard_number": 3, "replication_factor": 2});
    service.ok("PUT", "/collections/documents", &config);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("documents", 2));
    let (mut dice, mut times, mut last) = (Dice(6333), Vec::new(), (Vec::new(), Value::Null));
    service.ok("PUT", "/collections/documents/points?wait=true", &documents(&mut dice, 0..1_500));
    let rounds = rounds(6);
    for round in 0..rounds as u64 {
        // No two are of the same content, and each is of what was there before it.
        let changed = documents(&mut dice, round * 20..round * 20 + 40);
        service.ok("PUT", "/collections/documents/points?wait=true", &changed);
        service.ok("POST", "/collections/documents/points/delete?wait=true", &json!({"points": [1_000 + round, 5_000 + round]}));
        // One more request a round, so that not the same node makes each snapshot.
        service.ok("GET", "/collections/documents", &Value::Null);
        let begun = Instant::now();
        let file = snapshot(&service, "documents");
        times.push(begun.elapsed());
        // Into one node.
        elsewhere.all()[0].upload("/collections/documents/snapshots/upload", &file);
        let expected = digest(&service, "documents");
        assert_ne!(expected, last.1);
        assert_eq!(digest(&elsewhere.all()[0], "documents"), expected, "round {round}");
        last = (file, expected);
    }
    println!("{rounds} snapshots of {} bytes, the last one: {}", last.0.len(), figures(times));
    for node in nodes.all() {
        let listed = node.ok("GET", "/collections/documents/snapshots", &Value::Null);
        assert_eq!(listed.as_array().map(Vec::len), Some(rounds));
    }
    let makers: Vec<u64> = nodes.all().iter().map(|node| node.peer_id()).collect();
    let listed = service.ok("GET", "/collections/documents/snapshots", &Value::Null).to_string();
    assert!(makers.iter().all(|peer| listed.contains(&format!("documents-{peer}-"))), "every node made some: {listed}");
    into_other_shards(&nodes, &elsewhere, &service, &last.0, &last.1);
}

/// A collection of five shards gets the content of one of three: in a cluster by restoring, on a server that is alone afterwards.
fn into_other_shards(nodes: &Nodes, elsewhere: &Nodes, service: &Door, file: &[u8], expected: &Value) {
    let config = json!({"vectors": {"size": 24, "distance": "Cosine"}, "shard_number": 5, "replication_factor": 2});
    service.ok("PUT", "/collections/five", &config);
    service.upload("/collections/five/snapshots/upload", file);
    let five = nodes.all()[0].ok("GET", "/collections/five/cluster", &Value::Null);
    assert_eq!(five["shard_count"], 5);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("five", 2));
    for node in nodes.all() {
        assert_eq!(digest(&node, "five"), *expected);
    }
    let alone = &elsewhere.all()[0];
    alone.ok("PATCH", "/collections/documents", &json!({"params": {"shard_number": 5}}));
    elsewhere.wait("the shards are there", HEALING, |_| {
        let seen = alone.ok("GET", "/collections/documents/cluster", &Value::Null);
        seen["shard_count"] == 5 && seen.get("resharding_operations").is_none()
    });
    assert_eq!(digest(alone, "documents"), *expected);
}

/// What came of snapshots while points moved.
#[derive(Default, Debug)]
struct Taken {
    whole: usize,
    /// Those of them that were made while points moved from beginning to end.
    amid: usize,
    refused: usize,
}

/// One snapshot by a node, and what comes back from it elsewhere by another. It may be refused, in words.
fn snapshot_amid(nodes: &Nodes, elsewhere: &Door, seen: &Seen, dice: &mut Dice, taken: &mut Taken) {
    let all = nodes.all();
    let mut somebody = || &all[usize::try_from(dice.below(all.len() as u64)).expect("below 3")];
    let moves = || all[0].ok("GET", "/collections/docs/cluster", &Value::Null).get("resharding_operations").is_some();
    let (before, moved) = (seen.history.lock().clone(), moves());
    let path = "/collections/docs/snapshots";
    let (status, answer) = somebody().send("POST", path, &Value::Null, PATIENCE).expect("an answer");
    if status != 200 {
        println!("refused: {status} {answer}");
        assert!(status == 503 && answer["status"]["error"].is_string(), "{status} {answer}");
        taken.refused += 1;
        return;
    }
    let (moved, after) = (moved && moves(), seen.history.lock().clone());
    let path = format!("{path}/{}", answer["result"]["name"].as_str().expect("a name"));
    let file = somebody().download(&path);
    somebody().ok("DELETE", &path, &Value::Null);
    elsewhere.upload("/collections/docs/snapshots/upload", &file);
    let dump = Nodes::dump(elsewhere, "docs");
    let found = load::serials(&dump);
    assert_eq!(found.len(), dump.len(), "a point is there twice");
    let counted = elsewhere.ok("POST", "/collections/docs/points/count", &json!({"exact": true}));
    assert_eq!(counted["count"].as_u64(), Some(found.len() as u64));
    assert_eq!(violations_between(&before, &after, &found), []);
    elsewhere.ok("DELETE", "/collections/docs", &Value::Null);
    taken.whole += 1;
    taken.amid += usize::from(moved);
}

#[test]
fn snapshots_while_shards_become_more_and_fewer_are_whole_or_refused() {
    let (nodes, elsewhere) = (Nodes::start(3), Nodes::alone());
    create(&nodes.all()[0], "docs", 3, 2);
    let seen = Seen::default();
    // Enough not to be brought over at once.
    (9..12).for_each(|client| load::fill(&nodes.all()[0], "docs", client, 4_000, &seen));
    let mut taken = Taken::default();
    let seen = under_load_after(&nodes, seen, |seen| {
        let (mut dice, mut target) = (Dice(99), 3);
        let mut steps = [5, 2, 3, 6].into_iter().cycle();
        for _ in 0..rounds(12) {
            if has_shards(&nodes.all()[0], target) {
                target = steps.next().expect("without end");
                nodes.all()[1].ok("PATCH", "/collections/docs", &json!({"params": {"shard_number": target}}));
            }
            snapshot_amid(&nodes, &elsewhere.all()[0], seen, &mut dice, &mut taken);
        }
        nodes.wait("the shards are there", HEALING, |nodes| nodes.all().iter().all(|node| has_shards(node, target)));
    });
    println!("{taken:?}");
    assert!(taken.amid > 0, "{taken:?}");
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    check(&nodes, &seen);
    assert_eq!(seen.failed_reads.load(Ordering::Relaxed), 0);
}

/// Points of one client in order: the one after the last is the first one anew, so that they do not become more for ever.
const IN_ORDER: u64 = 300;

/// Writes one point after the other, each once the one before is acknowledged, until told to stop. It counts them.
fn write_in_order(nodes: &Nodes, client: u64, done: &AtomicU64, stop: &AtomicBool) {
    let mut dice = Dice(5 + client);
    while !stop.load(Ordering::Acquire) {
        let all = nodes.all();
        let node = &all[usize::try_from(dice.below(all.len() as u64)).expect("few nodes")];
        let serial = done.load(Ordering::Acquire);
        let body = json!({"points": [load::point(client * 1_000_000 + serial % IN_ORDER, serial)]});
        // What is in doubt is written again before the next one is.
        if node.send("PUT", "/collections/docs/points?wait=true", &body, PATIENCE).is_some_and(|(status, _)| status == 200) {
            done.store(serial + 1, Ordering::Release);
        }
    }
}

/// Has a node stand still, so that what is asked of all comes to it later than to the others.
fn stands_still(node: &Arc<Node>) {
    std::thread::sleep(Duration::from_millis(10));
    node.freeze();
    std::thread::sleep(Duration::from_millis(400));
    node.thaw();
}

/// Makes snapshots beside clients that write in order: each has of every client what it wrote up to some point, wherever that lies.
fn snapshots_are_cuts(nodes: &Nodes, elsewhere: &Door) {
    const CLIENTS: usize = 12;
    let (done, stop) = (<[AtomicU64; CLIENTS]>::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for (client, done) in done.iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || write_in_order(nodes, client as u64, done, stop));
        }
        let path = "/collections/docs/snapshots";
        for round in 0..rounds(6) {
            std::thread::sleep(Duration::from_millis(200));
            let node = &nodes.all()[round % nodes.all().len()];
            let before = done.each_ref().map(|done| done.load(Ordering::Acquire));
            let (made, took) = std::thread::scope(|scope| {
                scope.spawn(|| nodes.all().get((round + 1) % 3).filter(|other| other.http != node.http).map(stands_still));
                let begun = Instant::now();
                (node.ok("POST", path, &Value::Null), begun.elapsed())
            });
            let path = format!("{path}/{}", made["name"].as_str().expect("a name"));
            elsewhere.upload("/collections/docs/snapshots/upload", &node.download(&path));
            let found = load::serials(&Nodes::dump(elsewhere, "docs"));
            for (client, before) in before.into_iter().enumerate() {
                let first = client as u64 * 1_000_000;
                let mut serials: Vec<u64> = found.range(first..first + 1_000_000).map(|(_, serial)| *serial).collect();
                serials.sort_unstable();
                let end = serials.last().map_or(0, |last| last + 1);
                assert!(end >= before, "{end} of at least {before}");
                assert!(serials.iter().copied().eq(end.saturating_sub(IN_ORDER)..end), "one is there without one before it: {serials:?}");
            }
            println!("{} points after {took:?}", found.len());
            node.ok("DELETE", &path, &Value::Null);
            elsewhere.ok("DELETE", "/collections/docs", &Value::Null);
        }
    });
    assert!(done.iter().all(|done| done.load(Ordering::Acquire) > 20), "next to nothing was written: {done:?}");
}

#[test]
fn a_snapshot_holds_all_shards_as_they_are_at_one_moment() {
    let (nodes, elsewhere) = (Nodes::start(3), Nodes::alone());
    create(&nodes.all()[0], "docs", 6, 2);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    snapshots_are_cuts(&nodes, &elsewhere.all()[0]);
    let alone = Nodes::alone();
    create(&alone.all()[0], "docs", 6, 1);
    snapshots_are_cuts(&alone, &elsewhere.all()[0]);
}
