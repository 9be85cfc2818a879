//! Snapshots through the REST dialect: what comes back is what was there, and nothing is lost to a bad one.

use std::path::Path;

use serde_json::{Value, json};
use vectordb_core::Options;
use vectordb_service::{Access, Fault, Recovery, Service, Settings, SnapshotScope, rest};

fn open(directory: &Path) -> Service {
    Service::open(directory, Options::default(), Settings::default()).expect("a service")
}

fn call(service: &Service, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let response = rest::handle(service, &rest::Request::new(method, target, body.as_bytes()));
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
}

fn ok(service: &Service, method: &str, target: &str, body: &Value) -> Value {
    let (status, answer) = call(service, method, target, body);
    assert_eq!(status, 200, "{method} {target}: {answer}");
    answer["result"].clone()
}

/// A vector that depends on its number alone.
fn vector(n: u64) -> Vec<f64> {
    (0..4).map(|i| ((n * 7 + i * 13) % 97) as f64 / 97.0 + 0.01).collect()
}

fn upsert(service: &Service, collection: &str, ids: std::ops::Range<u64>, mark: &str) {
    let points: Vec<Value> = ids.map(|n| json!({"id": n, "vector": vector(n), "payload": {"n": n, "mark": mark}})).collect();
    ok(service, "PUT", &format!("/collections/{collection}/points?wait=true"), &json!({"points": points}));
}

fn create(service: &Service, collection: &str, shards: u32) {
    let body = json!({"vectors": {"size": 4, "distance": "Cosine"}, "shard_number": shards});
    ok(service, "PUT", &format!("/collections/{collection}"), &body);
}

/// Everything of a collection, and what a search finds.
fn dump(service: &Service, collection: &str) -> (Value, Value) {
    let all = json!({"limit": 10_000, "with_payload": true, "with_vector": true});
    let nearest = json!({"query": vector(5), "limit": 20, "params": {"exact": true}, "with_payload": true});
    (
        ok(service, "POST", &format!("/collections/{collection}/points/scroll"), &all),
        ok(service, "POST", &format!("/collections/{collection}/points/query"), &nearest),
    )
}

/// Gives a file as a door gives an upload.
fn upload(service: &Service, target: &str, file: &Path) -> (u16, Value) {
    let request = rest::Request { upload: Some(file), ..rest::Request::new("POST", target, b"") };
    let response = rest::handle(service, &request);
    (response.status, serde_json::from_slice(&response.body).expect("JSON"))
}

/// Downloads a snapshot into a file, and gives its path.
fn download(service: &Service, target: &str, into: &Path) -> std::path::PathBuf {
    let response = rest::handle(service, &rest::Request::new("GET", target, b""));
    assert_eq!((response.status, response.content_type), (200, "application/octet-stream"), "{target}");
    let mut found = response.file.expect("a file");
    let path = into.join("downloaded.snapshot");
    let mut copy = std::fs::File::create(&path).expect("a file");
    assert_eq!(std::io::copy(&mut found.file, &mut copy).expect("it is copied"), found.size);
    path
}

#[test]
fn a_collection_comes_back_as_it_was_here_and_elsewhere() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let service = open(here.path());
    create(&service, "books", 3);
    ok(&service, "PUT", "/collections/books/index?wait=true", &json!({"field_name": "mark", "field_schema": "keyword"}));
    upsert(&service, "books", 0..300, "old");
    ok(&service, "POST", "/collections/books/points/delete?wait=true", &json!({"points": [3, 4]}));
    let before = dump(&service, "books");

    let made = ok(&service, "POST", "/collections/books/snapshots", &Value::Null);
    let name = made["name"].as_str().expect("a name");
    assert!(name.starts_with(&format!("books-{}-", service.peer_id())) && name.ends_with(".snapshot"), "{name}");
    assert_eq!(ok(&service, "GET", "/collections/books/snapshots", &Value::Null), json!([made]));
    let file = download(&service, &format!("/collections/books/snapshots/{name}"), there.path());
    assert_eq!(std::fs::metadata(&file).expect("a file").len(), made["size"].as_u64().expect("a size"));

    // In place of what was written since.
    upsert(&service, "books", 100..500, "new");
    let location = format!("file://{}/snapshots/books/{name}", here.path().display());
    let checksum = made["checksum"].clone();
    let body = json!({"location": location, "checksum": checksum, "priority": "snapshot"});
    assert_eq!(ok(&service, "PUT", "/collections/books/snapshots/recover?wait=true", &body), json!(true));
    assert_eq!(dump(&service, "books"), before);
    upsert(&service, "books", 1000..1001, "after");
    let after = dump(&service, "books");
    service.close().expect("it is closed");
    let service = open(here.path());
    assert_eq!(dump(&service, "books"), after, "after reopening");
    let again = ok(&service, "PUT", "/collections/books/snapshots/recover", &json!({"location": location}));
    assert_eq!((again, dump(&service, "books")), (json!(true), before.clone()));

    // In another service, where it is made.
    let other = open(&there.path().join("storage"));
    let target = format!("/collections/copy/snapshots/upload?priority=snapshot&checksum={}", checksum.as_str().expect("hex"));
    assert_eq!(upload(&other, &target, &file).0, 200);
    assert_eq!(dump(&other, "copy"), before);
    let info = ok(&other, "GET", "/collections/copy", &Value::Null);
    assert_eq!((&info["config"]["params"]["shard_number"], &info["payload_schema"]["mark"]["data_type"]), (&json!(3), &json!("keyword")));

    assert_eq!(ok(&service, "DELETE", &format!("/collections/books/snapshots/{name}"), &Value::Null), json!(true));
    assert_eq!(call(&service, "DELETE", &format!("/collections/books/snapshots/{name}"), &Value::Null).0, 404);
    assert_eq!(ok(&service, "GET", "/collections/books/snapshots", &Value::Null), json!([]));
}

#[test]
fn a_bad_snapshot_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = open(dir.path());
    create(&service, "books", 2);
    upsert(&service, "books", 0..400, "old");
    let made = service.create_snapshot(&SnapshotScope::Collection("books".into()), &Access::Manage).expect("a snapshot");
    upsert(&service, "books", 200..600, "new");
    let before = dump(&service, "books");
    let good = std::fs::read(dir.path().join("snapshots/books").join(&made.name)).expect("a file");
    let bad = dir.path().join("bad.snapshot");
    let refused = |what: &str, says: &str, target: &str| {
        let (status, answer) = upload(&service, target, &bad);
        let text = answer["status"]["error"].as_str().expect("an error").to_owned();
        assert!(status == 400 && text.contains(says), "{what}: {status} {text}");
        assert_eq!(dump(&service, "books"), before, "{what}");
    };
    // A bit of every 17th kilobyte of the archive, in headers, logs and segments: whatever it hits, the answer is a refusal or
    // the data is as it was in the snapshot.
    for at in (1500..good.len() - 1024).step_by(17 * 1024) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&bad, &damaged).expect("a file");
        let (status, answer) = upload(&service, "/collections/trial/snapshots/upload", &bad);
        match status {
            200 => assert_eq!(ok(&service, "POST", "/collections/trial/points/count", &json!({}))["count"], json!(400), "at {at}"),
            _ => assert_eq!(status, 400, "at {at}: {answer}"),
        }
        call(&service, "DELETE", "/collections/trial", &Value::Null);
    }
    std::fs::write(&bad, &good[..good.len() * 2 / 3]).expect("a file");
    refused("cut off", "snapshot", "/collections/books/snapshots/upload");
    std::fs::write(&bad, b"not an archive").expect("a file");
    refused("no archive", "cannot be read", "/collections/books/snapshots/upload");
    std::fs::write(&bad, &good).expect("a file");
    refused("another checksum", "checksum mismatch", &format!("/collections/books/snapshots/upload?checksum={}", "0".repeat(64)));
    refused("unknown priority", "unknown priority", "/collections/books/snapshots/upload?priority=mine");
    create(&service, "one", 1);
    let (status, answer) = upload(&service, "/collections/one/snapshots/upload", &bad);
    let text = answer["status"]["error"].as_str().expect("an error");
    assert!(status == 400 && text.contains("has 1 shards") && text.contains("has 2"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path().join("scratch")).expect("a directory").count(), 0, "nothing is left over");
    service.close().expect("it is closed");
    assert_eq!(dump(&open(dir.path()), "books"), before);
}

#[test]
fn one_shard_is_replaced_by_its_own_snapshot_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = open(dir.path());
    create(&service, "books", 2);
    upsert(&service, "books", 0..100, "old");
    let before = dump(&service, "books");
    let made = ok(&service, "POST", "/collections/books/shards/1/snapshots", &Value::Null);
    let name = made["name"].as_str().expect("a name");
    assert!(name.starts_with("books-shard-1-"), "{name}");
    assert_eq!(ok(&service, "GET", "/collections/books/shards/1/snapshots", &Value::Null), json!([made]));
    assert_eq!(ok(&service, "GET", "/collections/books/shards/0/snapshots", &Value::Null), json!([]));
    let other = download(&service, "/collections/books/shards/0/snapshot", dir.path());
    upsert(&service, "books", 0..100, "new");

    let (status, answer) = upload(&service, "/collections/books/shards/1/snapshots/upload", &other);
    let text = answer["status"]["error"].as_str().expect("an error");
    assert!(status == 400 && text.contains("shard 1") && text.contains("shard 0"), "{text}");
    let location = format!("file://{}/snapshots/books/shards/1/{name}", dir.path().display());
    ok(&service, "PUT", "/collections/books/shards/1/snapshots/recover", &json!({"location": location}));
    let half =
        ok(&service, "POST", "/collections/books/points/count", &json!({"filter": {"must": [{"key": "mark", "match": {"value": "new"}}]}}));
    assert!((20..80).contains(&half["count"].as_u64().expect("a count")), "{half}");
    assert_eq!(upload(&service, "/collections/books/shards/0/snapshots/upload", &other).0, 200);
    assert_eq!(dump(&service, "books"), before);
    assert_eq!(upload(&service, "/collections/books/snapshots/upload", &other).0, 400, "a shard is no collection");
    assert_eq!(call(&service, "GET", "/collections/books/shards/7/snapshots", &Value::Null).0, 404);
    assert_eq!(call(&service, "GET", "/collections/books/shards/x/snapshots", &Value::Null).0, 400);
}

#[test]
fn everything_comes_back_with_its_aliases() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let service = open(here.path());
    create(&service, "a", 1);
    create(&service, "b", 2);
    upsert(&service, "a", 0..50, "a");
    upsert(&service, "b", 0..70, "b");
    ok(&service, "POST", "/collections/aliases", &json!({"actions": [{"create_alias": {"alias_name": "x", "collection_name": "b"}}]}));
    let made = ok(&service, "POST", "/snapshots", &Value::Null);
    let name = made["name"].as_str().expect("a name");
    assert!(name.starts_with("full-snapshot-"), "{name}");
    assert_eq!(ok(&service, "GET", "/snapshots", &Value::Null), json!([made]));
    let file = download(&service, &format!("/snapshots/{name}"), there.path());

    let other = open(&there.path().join("storage"));
    other.recover_all(&Recovery::from_file(&file), false, &Access::Manage).expect("it is recovered");
    for collection in ["a", "b", "x"] {
        assert_eq!(dump(&other, collection), dump(&service, collection), "{collection}");
    }
    upsert(&other, "a", 10..200, "changed");
    let refused = other.recover_all(&Recovery::from_file(&file), false, &Access::Manage).expect_err("a is there");
    assert_eq!(refused.fault, Fault::AlreadyExists);
    other.recover_all(&Recovery::from_file(&file), true, &Access::Manage).expect("it is recovered over what is there");
    assert_eq!(dump(&other, "a"), dump(&service, "a"));
    assert_eq!(ok(&service, "DELETE", &format!("/snapshots/{name}"), &Value::Null), json!(true));
}

#[test]
fn locations_that_may_not_be_read_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = open(dir.path());
    create(&service, "books", 1);
    service.create_snapshot(&SnapshotScope::Collection("books".into()), &Access::Manage).expect("a snapshot");
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("snapshots/link.snapshot")).expect("a link");
    let here = dir.path().display();
    let locations = [
        "file:///etc/passwd".to_owned(),
        format!("file://{here}/snapshots/../service.json"),
        format!("file://{here}/snapshots/link.snapshot"),
        "file:///nowhere".to_owned(),
        "http://127.0.0.1:1/x".to_owned(),
    ];
    for location in locations {
        let (status, answer) = call(&service, "PUT", "/collections/books/snapshots/recover", &json!({"location": location}));
        assert_eq!(status, 403, "{location}: {answer}");
    }
    assert_eq!(call(&service, "PUT", "/collections/books/snapshots/recover", &json!({"location": "ftp://x/y"})).0, 400);
    let gone = format!("file://{here}/snapshots/gone.snapshot");
    assert_eq!(call(&service, "PUT", "/collections/books/snapshots/recover", &json!({"location": gone})).0, 404);
    for name in ["..%2F..%2Fservice.json", "%2e%2e", ".hidden.snapshot"] {
        assert_eq!(call(&service, "GET", &format!("/collections/books/snapshots/{name}"), &Value::Null).0, 404, "{name}");
    }
    assert_eq!(call(&service, "GET", "/collections/nothing/snapshots", &Value::Null).0, 404);
}

#[test]
fn accepted_work_is_handed_to_the_door_and_keys_are_asked_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = open(dir.path());
    create(&service, "books", 1);
    let response = rest::handle(&service, &rest::Request::new("POST", "/collections/books/snapshots?wait=false", b""));
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!((response.status, &body["status"], body.get("result")), (202, &json!("accepted"), None));
    let scope = SnapshotScope::Collection("books".into());
    assert_eq!(service.snapshots(&scope, &Access::Read).expect("a list").len(), 0);
    response.later.expect("work").run(&service).expect("it is done");
    assert_eq!(service.snapshots(&scope, &Access::Read).expect("a list").len(), 1);
    let activity = service.snapshot_activity()["books"];
    assert_eq!((activity.created, activity.creating, activity.recovering), (1, 0, 0));
    assert_eq!(call(&service, "POST", "/collections/nothing/snapshots?wait=false", &Value::Null).0, 404);
    for access in [Access::Read, Access::Collections([("books".to_owned(), vectordb_service::CollectionAccess::WritePoints)].into())] {
        assert_eq!(service.create_snapshot(&scope, &access).expect_err("it is refused").fault, Fault::Forbidden);
        assert_eq!(
            service.recover_collection("books", &Recovery::from_file("x"), &access).expect_err("so is this").fault,
            Fault::Forbidden
        );
    }
    let memory = Service::in_memory(Settings::default()).expect("a service");
    create(&memory, "books", 1);
    assert_eq!(memory.create_snapshot(&scope, &Access::Manage).expect_err("there is no place").fault, Fault::BadRequest);
}
