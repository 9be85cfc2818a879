//! Files of shards on their way: no faster than is said, and on from where they were cut off.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::HEALING;
use crate::load::Dice;
use crate::nodes::{Node, Nodes};

const DIM: usize = 256;
const BATCHES: usize = 16;
const BATCH: usize = 1000;
const BYTES: usize = BATCHES * BATCH * DIM * size_of::<f32>();
const BYTES_PER_SEC: usize = 3 << 19;
/// Passes before anything waits.
const PIECE: usize = 4 << 20;

fn fill(node: &Node) {
    let config = json!({"vectors": {"size": DIM, "distance": "Dot"}, "shard_number": 1, "replication_factor": 2,
        "wal_config": {"wal_capacity_mb": 1}});
    node.ok("PUT", "/collections/docs", &config);
    let mut dice = Dice(4711);
    for batch in 0..BATCHES {
        let mut point = |id: usize| json!({"id": id, "vector": (0..DIM).map(|_| dice.below(1000)).collect::<Vec<_>>()});
        let points: Vec<Value> = (batch * BATCH..(batch + 1) * BATCH).map(&mut point).collect();
        node.ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    }
}

fn has_replica(node: &Node, state: &str) -> bool {
    let answer = node.ok("GET", "/collections/docs/cluster", &Value::Null);
    answer["local_shards"].as_array().is_some_and(|shards| shards.iter().any(|shard| shard["state"] == state))
}

#[test]
fn files_go_on_where_they_were_cut_off_and_no_faster_than_is_said() {
    let rate = ("VECTORDB__CLUSTER__TRANSFER_BYTES_PER_SEC".to_owned(), BYTES_PER_SEC.to_string());
    let nodes = Nodes::start_with(3, vec![rate]);
    let all = nodes.all();
    fill(&all[0]);
    let is_green = |node: &Node| node.ok("GET", "/collections/docs", &Value::Null)["status"] == "green";
    nodes.wait("most is in files", HEALING, |nodes| nodes.all().iter().all(|node| is_green(node)) && nodes.is_whole("docs", 2));
    // What primaries have of their logs in memory goes.
    for node in &all {
        node.stop();
        node.start();
        nodes.wait("it is back", HEALING, |nodes| node.is_ready() && nodes.is_whole("docs", 2));
    }
    let to = all.iter().position(|node| !has_replica(node, "Active")).expect("two of three have it");
    let [one, other] = [(to + 1) % 3, (to + 2) % 3];

    // The primary stays the same, and has another epoch when the other does not answer any more.
    let operate = |operation: &Value| all[one].ok("POST", "/collections/docs/cluster", operation);
    operate(&json!({"promote_replica": {"shard_id": 0, "peer_id": all[one].peer_id()}}));
    let begun = Instant::now();
    operate(&json!({"move_shard": {"shard_id": 0, "from_peer_id": all[other].peer_id(), "to_peer_id": all[to].peer_id()}}));
    std::thread::sleep(Duration::from_secs(1));
    assert!(has_replica(&all[to], "Partial"), "{}", nodes.logs());
    all[other].kill();
    nodes.wait("it has moved", HEALING, |nodes| has_replica(&all[to], "Active") && nodes.is_whole("docs", 2));
    let least = Duration::from_secs_f64((BYTES - PIECE) as f64 / BYTES_PER_SEC as f64);
    assert!(begun.elapsed() > least, "{:?}", begun.elapsed());
    assert!(all[one].log().contains("files of a shard go on where they were cut off"), "{}", nodes.logs());
    let [here, there] = [one, to].map(|node| Nodes::dump(&all[node], "docs"));
    assert_eq!(here.len(), BATCHES * BATCH);
    assert!(here == there);
}
