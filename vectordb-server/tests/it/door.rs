//! The REST door over real sockets.

use std::path::Path;

use serde_json::{Value, json};
use vectordb_server::config::Config;
use vectordb_server::{Server, start};

/// A server of a directory and the runtime it lives in.
pub(crate) struct Running {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    pub(crate) url: String,
}

impl Running {
    pub(crate) fn new(directory: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.service.host = [127, 0, 0, 1].into();
        config.service.http_port = 0;
        config.service.grpc_port = None;
        config.storage.storage_path = directory.join("storage");
        config.storage.snapshots_path = directory.join("snapshots");
        change(&mut config);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let server = runtime.block_on(start(config)).expect("it starts");
        let url = format!("http://{}", server.http_address());
        Self { runtime, server: Some(server), url }
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = agent.run(request.body(body).expect("a request")).expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.into_with_config().limit(1 << 30).read_to_vec().expect("a body");
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.send(method, path, &[("content-type", "application/json")], body.to_string().as_bytes());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    pub(crate) fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer["result"].clone()
    }

    /// Uploads as `curl -F snapshot=@file` does.
    pub(crate) fn upload(&self, path: &str, headers: &[(&str, &str)], file: &[u8]) -> Answer {
        let mut body = b"--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n".to_vec();
        body.extend(b"--x\r\nContent-Disposition: form-data; name=\"snapshot\"; filename=\"f\"\r\n");
        body.extend(b"Content-Type: application/octet-stream\r\n\r\n");
        body.extend(file);
        body.extend(b"\r\n--x--\r\n");
        let headers: Vec<_> = headers.iter().copied().chain([("content-type", "multipart/form-data; boundary=x")]).collect();
        self.send("POST", path, &headers, &body)
    }

    /// Where gRPC is spoken.
    pub(crate) fn grpc_url(&self) -> String {
        let address = self.server.as_ref().and_then(Server::grpc_address).expect("gRPC is on");
        format!("http://{address}")
    }

    pub(crate) fn stop(mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

pub(crate) fn fill(server: &Running, collection: &str, count: u64) {
    server.ok("PUT", &format!("/collections/{collection}"), &json!({"vectors": {"size": 4, "distance": "Dot"}}));
    let points: Vec<Value> = (0..count).map(|n| json!({"id": n, "vector": [n, 1, 2, 3], "payload": {"n": n}})).collect();
    server.ok("PUT", &format!("/collections/{collection}/points?wait=true"), &json!({"points": points}));
}

pub(crate) fn dump(server: &Running, collection: &str) -> Value {
    let all = json!({"limit": 10_000, "with_payload": true, "with_vector": true});
    server.ok("POST", &format!("/collections/{collection}/points/scroll"), &all)
}

#[test]
fn a_snapshot_goes_from_one_server_to_another() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    // Uploads are not held to the limit of bodies, which is far below the size of this snapshot.
    let (one, other) = (Running::new(here.path(), |_| ()), Running::new(there.path(), |config| config.service.max_request_size_mb = 0));
    fill(&one, "documents", 500);
    let made = one.ok("POST", "/collections/documents/snapshots", &Value::Null);
    let path = format!("/collections/documents/snapshots/{}", made["name"].as_str().expect("a name"));
    let file = one.send("GET", &path, &[("accept-encoding", "gzip")], b"");
    assert_eq!((file.status, file.header("content-type"), file.header("content-encoding")), (200, "application/octet-stream", ""));
    assert_eq!(file.header("content-length"), made["size"].to_string());
    assert_eq!(file.body.len() as u64, made["size"].as_u64().expect("a size"));
    let sha: String = <sha2::Sha256 as sha2::Digest>::digest(&file.body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(made["checksum"], json!(sha));

    let target = format!("/collections/documents/snapshots/upload?priority=snapshot&checksum={sha}");
    let answer = other.upload(&target, &[], &file.body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let wrong = other.upload(&format!("{}0", target.replace(&sha, &sha[1..])), &[], &file.body);
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let nothing = other.send("POST", &target, &[("content-type", "multipart/form-data; boundary=x")], b"--x--\r\n");
    assert_eq!(nothing.status, 400, "{}", nothing.text());
    assert_eq!(other.send("POST", &target, &[], b"x").status, 400);
    other.stop();
    assert_eq!(std::fs::read_dir(there.path().join("storage/scratch")).expect("a directory").count(), 0, "uploads are gone");
    let here_only = |config: &mut Config| config.storage.snapshots_config.recovery_allowed_hosts = vec!["127.0.0.1".to_owned()];
    let other = Running::new(there.path(), here_only);
    assert_eq!(dump(&other, "documents"), dump(&one, "documents"));

    // By URL, where that is allowed.
    let body = json!({"location": format!("{}{path}", one.url), "checksum": sha});
    assert_eq!(other.ok("PUT", "/collections/copy/snapshots/recover?wait=true", &body), json!(true));
    assert_eq!(dump(&other, "copy"), dump(&one, "documents"));
    for bad in [format!("{}/nowhere", one.url), "http://127.0.0.1:9/x".to_owned(), "https://127.0.0.1:9/x".to_owned()] {
        let (status, answer) = other.call("PUT", "/collections/bad/snapshots/recover", &json!({"location": bad}));
        assert_eq!(status, 400, "{answer}");
    }
    other.stop();
    let other = Running::new(there.path(), |config| config.service.enable_snapshot_url_recovery = false);
    assert_eq!(other.call("PUT", "/collections/copy/snapshots/recover", &body).0, 403);

    // Work that was accepted is done before the server stops.
    let (status, answer) = one.call("POST", "/collections/documents/snapshots?wait=false", &Value::Null);
    assert_eq!((status, &answer["status"], answer.get("result")), (202, &json!("accepted"), None));
    let uploaded = one.upload("/collections/later/snapshots/upload?wait=false", &[], &file.body);
    assert_eq!(uploaded.status, 202, "{}", uploaded.text());
    one.stop();
    let one = Running::new(here.path(), |_| ());
    assert_eq!(one.ok("GET", "/collections/documents/snapshots", &Value::Null).as_array().expect("a list").len(), 2);
    assert_eq!(dump(&one, "later"), dump(&one, "documents"));
    one.stop();
    other.stop();
}

#[test]
fn snapshots_of_the_command_line_are_there_from_the_start() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let one = Running::new(here.path(), |_| ());
    fill(&one, "a", 20);
    let of_a = one.ok("POST", "/collections/a/snapshots", &Value::Null)["name"].as_str().expect("a name").to_owned();
    fill(&one, "b", 30);
    let of_all = one.ok("POST", "/snapshots", &Value::Null)["name"].as_str().expect("a name").to_owned();
    let (of_a, of_all) = (here.path().join("snapshots/a").join(of_a), here.path().join("snapshots").join(of_all));
    let restored = |force: bool| {
        let (of_a, of_all) = (of_a.clone(), of_all.clone());
        move |config: &mut Config| {
            config.restore.storage_snapshot = Some(of_all);
            config.restore.snapshots = vec![(of_a, "c".to_owned())];
            config.restore.force = force;
        }
    };
    let other = Running::new(there.path(), restored(false));
    for (here, there) in [("a", "a"), ("b", "b"), ("a", "c")] {
        assert_eq!(dump(&other, there), dump(&one, here), "{there}");
    }
    other.ok("PUT", "/collections/a/points?wait=true", &json!({"points": [{"id": 1000, "vector": [1, 1, 1, 1]}]}));
    other.stop();
    let mut config = Config::default();
    config.storage.storage_path = there.path().join("storage");
    restored(false)(&mut config);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refused = runtime.block_on(start(config)).expect_err("there is such a collection");
    assert!(refused.to_string().contains("already exists"), "{refused}");
    let other = Running::new(there.path(), restored(true));
    assert_eq!(dump(&other, "a"), dump(&one, "a"));
    one.stop();
    other.stop();
}

#[test]
fn answers_are_counted_and_carry_the_id_of_their_request() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::new(dir.path(), |config| {
        config.service.api_key = Some("key".to_owned());
        config.service.metrics_prefix = Some("mine_".to_owned());
    });
    let key = ("api-key", "key");
    let given = server.send("GET", "/collections", &[key, ("x-request-id", "abc-1")], b"");
    assert_eq!((given.status, given.header("x-request-id")), (200, "abc-1"));
    let (one, other) = (server.send("GET", "/collections", &[key], b""), server.send("GET", "/nowhere", &[], b""));
    assert_eq!((one.header("x-request-id").len(), other.status, other.header("x-request-id").len()), (36, 401, 36));
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    let odd = server.send("GET", "/collections", &[key, ("x-request-id", "a b")], b"");
    assert_eq!(odd.header("x-request-id").len(), 36, "an id that is not plain is not taken");
    server.send("GET", "/collections", &[], b"");
    assert_eq!(server.send("GET", "/metrics", &[], b"").status, 401);
    let metrics = server.send("GET", "/metrics", &[key], b"").text();
    let series = |status: u16| format!("mine_rest_responses_total{{method=\"GET\",endpoint=\"/collections\",status=\"{status}\"}}");
    for line in [format!("{} 3", series(200)), format!("{} 1", series(401)), "mine_collections_total 0".to_owned()] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("/nowhere"));
    server.stop();
}

#[test]
fn keys_open_what_they_are_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::new(dir.path(), |config| {
        config.service.api_key = Some("manager".to_owned());
        config.service.read_only_api_key = Some("reader".to_owned());
        config.service.jwt_rbac = true;
    });
    let status = |method: &str, path: &str, key: &str, body: &[u8]| {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("api-key", key)] };
        server.send(method, path, headers, body).status
    };
    let create = br#"{"vectors": {"size": 2, "distance": "Dot"}}"#;
    for path in ["/", "/healthz", "/livez", "/readyz"] {
        assert_eq!(status("GET", path, "", b""), 200, "{path}");
    }
    for key in ["", "wrong"] {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("api-key", key)] };
        let refused = server.send("GET", "/collections", headers, b"");
        assert_eq!((refused.status, refused.header("content-type")), (401, "text/plain; charset=utf-8"));
        assert!(!refused.text().contains('{'), "{}", refused.text());
        assert_eq!(status("GET", "/nowhere", key, b""), 401);
        assert_eq!(status("PUT", "/collections/a", key, create), 401);
        assert_eq!(server.upload("/collections/a/snapshots/upload", headers, b"x").status, 401);
    }
    assert_eq!(status("PUT", "/collections/a", "reader", create), 403);
    assert_eq!(status("PUT", "/collections/a", "manager", create), 200);
    assert_eq!(status("GET", "/collections/a", "reader", b""), 200);
    assert_eq!(server.upload("/collections/a/snapshots/upload", &[("api-key", "reader")], b"x").status, 403);
    assert_eq!(server.send("GET", "/collections", &[("authorization", "Bearer reader")], b"").status, 200);
    server.stop();
}
