//! A replica that lacks something becomes the primary, because an operator said so.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::{Node, Nodes};
use crate::{HEALING, create, load};

fn write(node: &Node, keys: std::ops::Range<u64>, serial: u64) {
    let points: Vec<Value> = keys.map(|key| load::point(key, serial)).collect();
    node.ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
}

fn keys(node: &Node) -> Vec<u64> {
    load::serials(&Nodes::dump(node, "docs")).into_keys().collect()
}

fn has_replica(node: &Node) -> bool {
    let answer = node.ok("GET", "/collections/docs/cluster", &Value::Null);
    answer["local_shards"].as_array().is_some_and(|shards| !shards.is_empty())
}

#[test]
fn a_chosen_replica_is_what_all_begin_anew_from() {
    let nodes = Nodes::start(3);
    let all = nodes.all();
    create(&all[0], "docs", 1, 2);
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    let (with, without): (Vec<Arc<Node>>, Vec<Arc<Node>>) = all.iter().cloned().partition(|node| has_replica(node));
    let ([whole, behind], [entry]) = (&with[..], &without[..]) else { panic!("two of three have it") };
    let peer = behind.peer_id();
    let promote = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vectordb"));
        command.args(["ctl", "promote", "docs", "0", &peer.to_string(), "--uri", &format!("http://127.0.0.1:{}", entry.http)]).args(flags);
        let output = command.output().expect("the program");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    write(entry, 0..20, 1);
    behind.kill();
    write(entry, 20..40, 2);
    nodes.wait("it is not in sync", HEALING, |_| promote(&[]).1.contains("accept_loss"));
    let (done, said) = promote(&["--accept-loss"]);
    assert!(!done && said.contains("nothing needs to be lost"), "{said}");

    whole.kill();
    behind.start();
    nodes.wait("it runs", HEALING, |_| behind.is_ready());
    let scroll = || entry.send("POST", "/collections/docs/points/scroll?timeout=1", &json!({}), Duration::from_secs(20));
    assert_eq!(scroll().map(|(status, _)| status), Some(503), "nobody is in sync");
    let (done, said) = promote(&[]);
    assert!(!done && said.contains("accept_loss"), "{said}");
    let (done, said) = promote(&["--accept-loss"]);
    assert!(done, "{said}");
    assert_eq!(keys(entry), (0..20).collect::<Vec<_>>());
    write(entry, 40..50, 3);

    // What it had besides is given up.
    whole.start();
    nodes.wait("it runs", HEALING, |_| whole.is_ready());
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    behind.kill();
    let expected: Vec<u64> = (0..20).chain(40..50).collect();
    nodes.wait("the other takes over", HEALING, |_| scroll().is_some_and(|(status, _)| status == 200));
    assert_eq!(keys(entry), expected);
}
