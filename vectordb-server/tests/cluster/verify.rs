//! Whether replicas hold the same is found out point by point, and one that differs is made anew.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::nodes::{Node, Nodes};
use crate::{HEALING, create, load};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn write(node: &Node, collection: &str, serial: u64) {
    let points: Vec<Value> = (0..50).map(|key| load::point(key, serial)).collect();
    node.ok("PUT", &format!("/collections/{collection}/points?wait=true"), &json!({"points": points}));
}

/// The file of the replica of the only shard of the n-th collection, which names its data.
fn replica_file(node: &Node, number: usize) -> PathBuf {
    node.storage().join(format!("cluster/replicas/{}-0.json", number + 1))
}

fn replica(node: &Node, number: usize) -> Value {
    serde_json::from_slice(&std::fs::read(replica_file(node, number)).expect("a file")).expect("a replica")
}

fn epochs(node: &Node) -> Vec<u64> {
    (0..NAMES.len()).filter_map(|number| replica(node, number)["epoch"].as_u64()).collect()
}

fn verify(node: &Node, collection: &str, flags: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vectordb"));
    command.args(["ctl", "verify", collection, "--uri", &format!("http://127.0.0.1:{}", node.http)]).args(flags);
    let output = command.output().expect("the program");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn a_replica_that_differs_is_found_and_made_anew() {
    let nodes = Nodes::start(3);
    let all = nodes.all();
    NAMES.iter().for_each(|name| create(&all[0], name, 1, 3));
    let are_whole = |nodes: &Nodes| NAMES.iter().all(|name| nodes.is_whole(name, 3));
    // Two whose last batch is of the same number and the same epoch: no log tells one from the other.
    let bad = &all[2];
    let alike = Cell::new(None);
    nodes.wait("two shards are alike", HEALING, |nodes| {
        let before = epochs(bad);
        if !are_whole(nodes) || before.iter().sum::<u64>() <= NAMES.len() as u64 {
            return false;
        }
        NAMES.iter().enumerate().for_each(|(serial, name)| write(&all[0], name, serial as u64));
        let pairs = [(0, 1), (0, 2), (1, 2)].into_iter();
        alike.set(pairs.filter(|(one, other)| before[*one] == before[*other]).find(|_| epochs(bad) == before));
        alike.get().is_some()
    });
    let (one, other) = alike.get().expect("it was found");
    let (equal, said) = verify(&all[1], NAMES[one], &[]);
    assert!(equal && said.matches(": 50-").count() == 3, "{said}");

    // A disk that gives other data than it was given, and nothing else by which it is known.
    bad.stop();
    let [mut here, mut there] = [one, other].map(|number| replica(bad, number));
    std::mem::swap(&mut here["engine"], &mut there["engine"]);
    for (number, replica) in [(one, here), (other, there)] {
        std::fs::write(replica_file(bad, number), replica.to_string()).expect("it is written");
    }
    bad.start();
    nodes.wait("it is back", HEALING, |nodes| bad.is_ready() && are_whole(nodes));
    let (equal, said) = verify(&all[0], NAMES[one], &[]);
    let line = said.lines().find(|line| line.contains("DIFFERS")).unwrap_or_default();
    assert!(!equal && said.matches("DIFFERS").count() == 1 && line.contains(&bad.peer_id().to_string()), "{said}");
    let (equal, said) = verify(&all[0], NAMES[one], &["--repair"]);
    assert!(!equal && said.contains("made anew"), "{said}");
    nodes.wait("it was made anew", HEALING, |nodes| are_whole(nodes) && verify(&all[1], NAMES[one], &[]).0);
    assert!(Nodes::dump(bad, NAMES[one]).iter().all(|point| point["payload"]["serial"] == one));
    assert!(!verify(&all[1], NAMES[other], &[]).0, "nobody repaired that");

    // It holds for writes that come at the same time as well.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (3..).take_while(|_| !stop.load(Ordering::Acquire)).for_each(|serial| write(&all[2], NAMES[one], serial));
        });
        let found: Vec<(bool, String)> = (0..5).map(|_| verify(&all[0], NAMES[one], &[])).collect();
        stop.store(true, Ordering::Release);
        assert!(found.iter().all(|(equal, _)| *equal), "{found:?}");
    });
}
