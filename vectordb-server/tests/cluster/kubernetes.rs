//! Clusters that ask an API of Kubernetes, which may be away.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fake::{CLUSTER, FakeApi, Mood, SCALE, SET};
use crate::nodes::{Node, Nodes};
use crate::{HEALING, check, create, under_load};

/// Settings of pods of the API's stateful set.
fn settings(api: &FakeApi, directory: &std::path::Path) -> Vec<(String, String)> {
    let kubeconfig = api.kubeconfig(directory).display().to_string();
    let named = [("ENABLED", "true"), ("KUBECONFIG", kubeconfig.as_str()), ("POD", "qdrant-{}"), ("NAMESPACE", "db")];
    named.map(|(name, value)| (format!("VECTORDB__CLUSTER__KUBERNETES__{name}"), value.to_owned())).into()
}

/// Runs the command line as it runs in a pod.
fn ctl(node: &Node, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vectordb"));
    let command = command.arg("ctl").args(arguments).args(["--uri", &format!("http://127.0.0.1:{}", node.http)]);
    command.envs(node.settings.iter().cloned()).output().expect("it runs")
}

#[test]
fn reads_and_writes_go_on_whatever_the_api_of_kubernetes_does() {
    let (api, directory) = (FakeApi::start(), tempfile::tempdir().expect("a directory"));
    let nodes = Nodes::start_with(3, settings(&api, directory.path()));
    create(&nodes.all()[0], "docs", 3, 2);
    nodes.wait("it is told that nodes joined", HEALING, |_| api.reasons().iter().filter(|reason| *reason == "PeerJoined").count() >= 2);
    let seen = under_load(&nodes, || {
        for mood in [Mood::Refuses, Mood::Hangs, Mood::Away] {
            api.is(mood);
            std::thread::sleep(Duration::from_secs(4));
            let all = nodes.all();
            all[2].is_well.store(false, Ordering::Release);
            all[2].stop();
            all[2].start();
            nodes.wait("it is back without the API", HEALING, |_| all[2].is_ready());
            nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
            all[2].is_well.store(true, Ordering::Release);
        }
    });
    check(&nodes, &seen);
    assert_eq!(seen.failed_reads.load(Ordering::Relaxed), 0);
    // A pod that is restarted does not wait for anybody.
    let begun = std::time::Instant::now();
    assert!(ctl(&nodes.all()[2], &["prestop"]).status.success());
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(nodes.all()[2].ok("GET", "/cluster", &Value::Null)["peers"].as_object().map(serde_json::Map::len), Some(3));
}

#[test]
fn no_second_cluster_is_founded_when_the_disk_of_the_founder_is_lost() {
    let (api, directory) = (FakeApi::start(), tempfile::tempdir().expect("a directory"));
    let nodes = Nodes::start_with(3, settings(&api, directory.path()));
    create(&nodes.all()[0], "docs", 2, 3);
    let founder = nodes.all()[0].peer_id().to_string();
    let noted = api.get(CLUSTER)["data"]["founder"].as_str().expect("it is noted").to_owned();
    assert!(noted.starts_with(&founder), "{noted}");
    let points: Vec<Value> = (0..50).map(|key| crate::load::point(key, key)).collect();
    nodes.all()[1].ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    let lost = &nodes.all()[0];
    lost.kill();
    lost.lose_disk();
    lost.start();
    nodes.wait("it says why it waits", HEALING, |_| lost.log().contains(&format!("says that peer {noted} founded a cluster")));
    api.is(Mood::Away);
    nodes.wait("without an answer it waits, too", HEALING, |_| lost.log().contains("does not answer"));
    assert!(lost.send("GET", "/cluster", &Value::Null, Duration::from_secs(2)).is_none(), "it serves something");
    assert_eq!(lost.log().matches("founding a cluster").count(), 1);
    assert_eq!(Nodes::dump(&nodes.all()[1], "docs").len(), 50);
}

#[test]
fn a_set_gets_smaller_without_losing_anything() {
    let (api, directory) = (FakeApi::start(), tempfile::tempdir().expect("a directory"));
    let nodes = Nodes::start_with(3, settings(&api, directory.path()));
    create(&nodes.all()[0], "docs", 4, 2);
    let points: Vec<Value> = (0..200).map(|key| crate::load::point(key, key)).collect();
    nodes.all()[0].ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    let before = Nodes::dump(&nodes.all()[0], "docs");
    // The third pod is beyond a set of two.
    api.put(SET, json!({"metadata": {"name": "qdrant", "uid": "1-2-3"}, "spec": {"replicas": 2}}));
    let stopped = ctl(&nodes.all()[2], &["prestop", "--timeout", "100"]);
    assert!(stopped.status.success(), "{stopped:?}");
    let third = nodes.all().pop().expect("three");
    third.stop();
    assert_eq!(nodes.all()[0].ok("GET", "/cluster", &Value::Null)["peers"].as_object().map(serde_json::Map::len), Some(2));
    nodes.wait("all replicas are in sync", HEALING, |nodes| nodes.is_whole("docs", 2));
    assert_eq!(Nodes::dump(&nodes.all()[1], "docs"), before);
    nodes.wait("it is told", HEALING, |_| ["Drained", "PeerLeft"].iter().all(|reason| api.reasons().iter().any(|told| told == reason)));
    assert_eq!(api.get(SCALE)["data"]["minReplicas"], Value::Null);
}
