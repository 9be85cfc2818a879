//! Nodes that speak encrypted with each other.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vectordb_server::config::Config;
use vectordb_server::{Server, start};

use crate::tls::Authority;

const PATIENCE: Duration = Duration::from_secs(60);

fn node(authority: &Authority, directory: &Path, bootstrap: Option<String>) -> Config {
    std::fs::create_dir_all(directory).expect("a directory");
    let mut config = Config::default();
    config.service.host = [127, 0, 0, 1].into();
    (config.service.http_port, config.service.grpc_port) = (0, None);
    config.storage.storage_path = directory.join("storage");
    config.storage.snapshots_path = directory.join("snapshots");
    config.tls = Some(authority.write(directory));
    config.tls.as_mut().expect("certificates").ca_cert = Some(authority.write_own(directory));
    config.cluster.enabled = true;
    config.cluster.bootstrap = bootstrap;
    config.cluster.p2p.enable_tls = true;
    config.cluster.p2p.port = 0;
    config
}

fn send(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", server.http_address()));
    let request = request.header("content-type", "application/json").body(body.to_string()).expect("a request");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.run(request).expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a body");
    (answer.status().as_u16(), serde_json::from_str(&text).expect("JSON"))
}

fn ok(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let (status, mut answer) = send(server, method, path, body);
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer["result"].take()
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_whole(server: &Server) -> bool {
    let answer = ok(server, "GET", "/collections/docs/cluster", &Value::Null);
    let replicas = ["local_shards", "remote_shards"].into_iter().filter_map(|kind| answer[kind].as_array()).flatten();
    let replicas: Vec<&Value> = replicas.collect();
    replicas.len() == 4 && replicas.iter().all(|replica| replica["state"] == "Active")
}

#[test]
fn nodes_speak_encrypted_and_with_their_own_alone() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime.block_on(start(node(&authority, &directory.path().join("1"), None))).expect("it founds a cluster");
    let known = || {
        let peers = ok(&first, "GET", "/cluster", &Value::Null)["peers"].take();
        peers.as_object()?.values().next()?["uri"].as_str().map(str::to_owned)
    };
    wait("it is known", || known().is_some());
    let uri = known().expect("it was");
    assert!(uri.starts_with("https://127.0.0.1:"), "{uri}");
    let second = runtime.block_on(start(node(&authority, &directory.path().join("2"), Some(uri.clone())))).expect("it joins");

    let is_ready = |server: &Server| ureq::get(format!("http://{}/readyz", server.http_address())).call().is_ok();
    wait("both are ready", || is_ready(&first) && is_ready(&second));
    ok(
        &second,
        "PUT",
        "/collections/docs",
        &json!({"vectors": {"size": 2, "distance": "Dot"}, "shard_number": 2, "replication_factor": 2}),
    );
    wait("all replicas are in sync", || is_whole(&first) && is_whole(&second));
    let write = |server: &Server, id: u64| {
        let body = json!({"points": [{"id": id, "vector": [id, 1]}]});
        send(server, "PUT", "/collections/docs/points?wait=true", &body).0 == 200
    };
    let count =
        |server: &Server| ok(server, "POST", "/collections/docs/points/count?consistency=all", &json!({"exact": true}))["count"].take();
    assert!((0..40).all(|id| write(if id % 2 == 0 { &first } else { &second }, id)));
    assert_eq!((count(&first), count(&second)), (json!(40), json!(40)));

    // Nobody else is heard: in the clear, with a certificate of somebody else, and with none.
    let door = uri.trim_end_matches('/');
    assert!(ureq::get(door.replace("https", "http") + "/healthz").call().is_err());
    assert!(authority.agent(None).get(format!("{door}/healthz")).call().is_err());
    assert!(authority.agent(Some(&stranger.signed())).get(format!("{door}/healthz")).call().is_err());
    let known = authority.agent(Some(&authority.signed())).get(format!("{door}/healthz")).call();
    assert_eq!(known.expect("one of theirs").status(), 200);

    // Other certificates by the same authority: looked at once a second, and used for what is spoken from then on.
    for place in ["1", "2"] {
        authority.write(&directory.path().join(place));
    }
    std::thread::sleep(Duration::from_millis(2500));
    wait("writes go on", || write(&first, 100) && write(&second, 101));
    assert_eq!((count(&first), count(&second)), (json!(42), json!(42)));
    assert!(is_whole(&first));
    runtime.block_on(async {
        second.stop().await;
        first.stop().await;
    });
}

#[test]
fn addresses_and_certificates_have_to_fit() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refused = |change: fn(&mut Config)| {
        let mut config = node(&authority, &directory.path().join("node"), None);
        change(&mut config);
        match runtime.block_on(start(config)) {
            Ok(_) => panic!("it starts"),
            Err(error) => error.to_string(),
        }
    };
    let error = refused(|config| config.cluster.uri = Some("http://127.0.0.1:1".into()));
    assert!(error.contains("begin with https://") && error.contains("http://127.0.0.1:1"), "{error}");
    let error = refused(|config| config.tls.as_mut().expect("certificates").ca_cert = None);
    assert!(error.contains("tls.ca_cert"), "{error}");
    let error = refused(|config| config.tls = None);
    assert!(error.contains("tls.cert"), "{error}");
    let error = refused(|config| {
        config.cluster.p2p.enable_tls = false;
        config.cluster.bootstrap = Some("https://127.0.0.1:1".into());
    });
    assert!(error.contains("begin with http://"), "{error}");
}
