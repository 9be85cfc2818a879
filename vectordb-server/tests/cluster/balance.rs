//! Where replicas lie: in different zones, evenly, and where somebody put them by hand.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::{Node, Nodes};
use crate::{HEALING, create};

fn local(node: &Node) -> Vec<Value> {
    let answer = node.ok("GET", "/collections/docs/cluster", &Value::Null);
    answer["local_shards"].as_array().cloned().unwrap_or_default()
}

fn shards(node: &Node) -> Vec<u64> {
    local(node).iter().filter_map(|shard| shard["shard_id"].as_u64()).collect()
}

fn pinned(node: &Node) -> Vec<u64> {
    local(node).iter().filter(|shard| shard["pinned"] == true).filter_map(|shard| shard["shard_id"].as_u64()).collect()
}

fn is_spread(nodes: &Nodes) -> bool {
    let all = nodes.all();
    (0..4).all(|shard| all.chunks(2).all(|zone| zone.iter().filter(|node| shards(node).contains(&shard)).count() == 1))
}

fn is_even(nodes: &Nodes) -> bool {
    nodes.spread("docs").iter().all(|replicas| *replicas == 2)
}

#[test]
fn replicas_lie_in_different_zones_and_stay_where_somebody_put_them() {
    let nodes = Nodes::start_with(4, vec![("VECTORDB__CLUSTER__ZONE".into(), "room {half}".into())]);
    let all = nodes.all();
    let zones = all[0].ok("GET", "/cluster", &Value::Null)["peers"].clone();
    assert_eq!(zones[all[3].peer_id().to_string()]["zone"], "room 1", "{zones}");
    create(&all[0], "docs", 4, 2);
    nodes.wait("all replicas are there", HEALING, |nodes| nodes.is_whole("docs", 2));
    assert!(is_spread(&nodes) && is_even(&nodes), "{:?}", nodes.spread("docs"));

    let shard = shards(&all[0])[0];
    let moved = json!({"move_shard": {"shard_id": shard, "from_peer_id": all[0].peer_id(), "to_peer_id": all[1].peer_id()}});
    all[2].ok("POST", "/collections/docs/cluster", &moved);
    nodes.wait("it has moved", HEALING, |_| pinned(&all[1]) == [shard] && nodes.is_whole("docs", 2) && !shards(&all[0]).contains(&shard));
    // The leader looks for what is to be done four times in a second. Another may go back, this one may not.
    nodes.wait("numbers are even again", HEALING, |nodes| is_even(nodes) && nodes.is_whole("docs", 2));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(pinned(&all[1]), [shard]);
    assert!(is_spread(&nodes) && is_even(&nodes));

    let ctl = |words: &[&str]| {
        let uri = format!("http://127.0.0.1:{}", all[2].http);
        let output = Command::new(env!("CARGO_BIN_EXE_vectordb")).arg("ctl").args(words).args(["--uri", &uri]).output();
        let output = output.expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    ctl(&["unpin", "docs", &shard.to_string()]);
    assert!(pinned(&all[1]).is_empty());
    let status = ctl(&["status"]);
    assert_eq!((status.matches("room 0").count(), status.matches("room 1").count()), (2, 2), "{status}");

    // While balance is paused a new node gets nothing.
    ctl(&["pause"]);
    let new = nodes.add();
    nodes.wait("it is there", HEALING, |_| new.is_ready());
    std::thread::sleep(Duration::from_secs(2));
    assert!(local(&new).is_empty() && ctl(&["status"]).contains("stay where they are"));
    ctl(&["pause", "--undo"]);
    nodes.wait("it has its share", HEALING, |nodes| !local(&new).is_empty() && nodes.is_whole("docs", 2));
}
