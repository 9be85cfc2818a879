//! The program's tools against a running server and its directory.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::door::Running;

fn vectordb(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vectordb"));
    command.env_remove("VECTORDB_URI").env_remove("VECTORDB_API_KEY").current_dir(directory).args(arguments).output().expect("it runs")
}

/// The standard output of a command that must succeed.
#[track_caller]
fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = vectordb(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The exit code and the standard error of a command that must fail.
#[track_caller]
fn failed(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = vectordb(directory, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().expect("a code"), String::from_utf8(output.stderr).expect("text"))
}

fn create(server: &Running, name: &str) {
    server.ok("PUT", &format!("/collections/{name}"), &json!({"vectors": {"size": 3, "distance": "Dot"}}));
}

fn all(server: &Running, name: &str) -> Value {
    let body = json!({"limit": 1000, "with_payload": true, "with_vector": true});
    server.ok("POST", &format!("/collections/{name}/points/scroll"), &body)
}

#[test]
fn points_go_out_and_come_in_as_lines_and_as_tables() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::new(dir.path(), |_| {});
    let uri = server.url.clone();
    create(&server, "books");
    let points: Vec<Value> =
        (0..57).map(|n| json!({"id": n, "vector": [n, 0.1, -0.5], "payload": {"n": n, "tags": ["ä", null]}})).collect();
    server.ok("PUT", "/collections/books/points?wait=true", &json!({"points": points}));

    let lines = ["export", "--uri", &uri, "--collection", "books", "--output", "a.jsonl", "--batch", "10"];
    assert!(done(dir.path(), &lines).contains("57 points"));
    create(&server, "copy");
    let lines = ["import", "--uri", &uri, "--collection", "copy", "--input", "a.jsonl", "--batch", "10", "--parallel", "3"];
    assert!(done(dir.path(), &lines).contains("57 points"));
    assert_eq!(all(&server, "copy"), all(&server, "books"));
    let points = ["export", "--uri", &uri, "--collection", "books", "--output", "a.parquet", "--batch", "10"];
    assert!(done(dir.path(), &points).contains("57 points"));
    create(&server, "columns");
    let points = ["import", "--uri", &uri, "--collection", "columns", "--input", "a.parquet", "--batch", "10"];
    assert!(done(dir.path(), &points).contains("57 points"));
    assert_eq!(all(&server, "columns"), all(&server, "books"));

    let filter = r#"{"must": [{"key": "n", "range": {"gte": 50}}]}"#;
    done(dir.path(), &["export", "--uri", &uri, "--collection", "books", "--output", "b.npy", "--filter", filter]);
    create(&server, "table");
    let table = ["import", "--uri", &uri, "--collection", "table", "--input", "b.npy"];
    done(dir.path(), &[&table[..], &["--ids", "b.ids.jsonl"]].concat());
    let ids = |found: &Value| found["points"].as_array().expect("points").iter().map(|point| point["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all(&server, "table")), (50..57).map(|n| json!(n)).collect::<Vec<_>>());
    // Without ids the rows are counted; payloads come line by line.
    std::fs::write(dir.path().join("p.jsonl"), (0..7).map(|n| format!("{{\"row\": {n}}}\n")).collect::<String>()).expect("a file");
    done(dir.path(), &[&table[..], &["--payloads", "p.jsonl"]].concat());
    let found = all(&server, "table");
    assert_eq!(found["points"][6], json!({"id": 6, "vector": [56.0, 0.1, -0.5], "payload": {"row": 6}}));

    std::fs::write(dir.path().join("bad.jsonl"), "{\"id\": 1, \"vector\": [1, 2, 3]}\n\n{\"id\": 2,\n").expect("a file");
    let (code, told) = failed(dir.path(), &["import", "--uri", &uri, "--collection", "copy", "--input", "bad.jsonl"]);
    assert!(code == 1 && told.contains("bad.jsonl, line 3"), "{told}");
    std::fs::write(dir.path().join("wide.jsonl"), "{\"id\": 1, \"vector\": [1, 2]}\n").expect("a file");
    let (code, told) = failed(dir.path(), &["import", "--uri", &uri, "--collection", "copy", "--input", "wide.jsonl"]);
    assert!(code == 1 && told.contains("400") && told.contains("0 points were stored"), "{told}");
    assert_eq!(failed(dir.path(), &["export", "--uri", &uri, "--collection", "none", "--output", "c.jsonl"]).0, 1);
    assert_eq!(failed(dir.path(), &["export", "--uri", &uri, "--collection", "books", "--output", "c.txt"]).0, 1);
}

#[test]
fn snapshots_are_made_got_and_recovered() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::new(dir.path(), |config| config.service.api_key = Some("secret".into()));
    let uri = server.url.clone();
    let run = |arguments: &[&str]| done(dir.path(), &[&["snapshot", "--uri", &uri, "--api-key", "secret"], arguments].concat());
    let key = [("api-key", "secret"), ("content-type", "application/json")];
    server.send("PUT", "/collections/books", &key, br#"{"vectors": {"size": 3, "distance": "Dot"}}"#);
    server.send("PUT", "/collections/books/points?wait=true", &key, br#"{"points": [{"id": 1, "vector": [1, 2, 3]}]}"#);
    let name = run(&["create", "--collection", "books"]);
    let name = name.trim();
    assert!(run(&["list", "--collection", "books"]).starts_with(name));
    run(&["download", name, "--collection", "books", "--output", "books.snapshot"]);
    assert!(std::fs::metadata(dir.path().join("books.snapshot")).expect("a file").len() > 1000);
    server.send("POST", "/collections/books/points/delete?wait=true", &key, br#"{"points": [1]}"#);
    let file = dir.path().join("snapshots/books").join(name);
    run(&["recover", &format!("file://{}", file.display()), "--collection", "books"]);
    let counted = server.send("POST", "/collections/books/points/count", &key, b"{}");
    assert!(String::from_utf8_lossy(&counted.body).contains("\"count\":1"));
    run(&["delete", name, "--collection", "books"]);
    assert_eq!(run(&["list", "--collection", "books"]), "");
    let (code, told) = failed(dir.path(), &["snapshot", "list", "--uri", &uri]);
    assert!(code == 1 && told.contains("401"), "{told}");
    assert!(failed(dir.path(), &["snapshot", "list", "--uri", "http://127.0.0.1:1"]).1.contains("cannot be asked"));
}

#[test]
fn a_server_is_tried_and_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::new(dir.path(), |_| {});
    create(&server, "books");
    let told = done(dir.path(), &["selftest", "--uri", &server.url]);
    assert!(told.contains("as it should be"), "{told}");
    assert_eq!(server.ok("GET", "/collections", &Value::Null), json!({"collections": [{"name": "books"}]}));
    let (code, told) = failed(dir.path(), &["selftest", "--uri", "http://127.0.0.1:1"]);
    assert!(code == 1 && told.contains("cannot be asked"), "{told}");
}

#[test]
fn a_damaged_file_of_a_directory_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::new(dir.path(), |_| {});
    create(&server, "books");
    let points: Vec<Value> = (0..200).map(|n| json!({"id": n, "vector": [n, 1, 2]})).collect();
    server.ok("PUT", "/collections/books/points?wait=true", &json!({"points": points}));
    server.stop();
    let whole = done(dir.path(), &["check", "--storage-path", "storage"]);
    assert!(whole.contains("1 shard, 200 points, 0 damaged"), "{whole}");
    // As the background does it in time.
    let db = vectordb_core::Database::open(dir.path().join("storage")).expect("a database");
    db.get("books").expect("a collection").optimize().expect("it is sealed");
    db.close().expect("it closes");
    let segments = dir.path().join("storage/collections/0000000000/segments");
    let segment = std::fs::read_dir(segments).expect("a directory").next().expect("a segment").expect("an entry").path();
    for file in ["vectors-0", "rows"] {
        let path = segment.join(file);
        let whole = std::fs::read(&path).expect("it is read");
        let mut damaged = whole.clone();
        damaged[4096 + 100] ^= 1;
        std::fs::write(&path, damaged).expect("it is damaged");
        let output = vectordb(dir.path(), &["check", "--storage-path", "storage"]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(&format!("/{file} is corrupt")), "{told}");
        std::fs::write(&path, whole).expect("it is mended");
    }
    assert!(done(dir.path(), &["check", "--storage-path", "storage"]).contains("0 damaged"));
    assert_eq!(failed(dir.path(), &["check", "--storage-path", "nothing"]).0, 1);
    assert_eq!(failed(dir.path(), &["check", "--storage-path", "storage", "--collection", "x"]).0, 1);
}

#[test]
fn sizes_are_told_and_searches_are_timed() {
    let dir = tempfile::tempdir().expect("a directory");
    let small: Value = serde_json::from_str(&done(dir.path(), &["size", "--points", "1M", "--dim", "128", "--json"])).expect("JSON");
    let large: Value = serde_json::from_str(&done(dir.path(), &["size", "--points", "1M", "--dim", "1536", "--json"])).expect("JSON");
    assert!(large["disk_bytes"].as_u64() > small["disk_bytes"].as_u64().map(|bytes| bytes * 8), "{small} {large}");
    for quantization in ["off", "scalar", "binary", "product"] {
        let told = done(dir.path(), &["size", "--points", "10k", "--dim", "64", "--quantization", quantization, "--index", "keyword:10:5"]);
        assert!(told.contains("payload indexes") && told.contains("all"), "{told}");
    }
    let config = r#"{"vectors": {"a": {"size": 8, "distance": "Dot"}}}"#;
    done(dir.path(), &["size", "--points", "5", "--config", config, "--replicas", "2", "--nodes", "3"]);
    assert_eq!(failed(dir.path(), &["size", "--points", "5"]).0, 2);
    assert_eq!(failed(dir.path(), &["size", "--points", "x", "--dim", "4"]).0, 2);
    assert_eq!(failed(dir.path(), &["size", "--points", "5", "--dim", "4", "--quantization", "x"]).0, 1);

    let server = Running::new(dir.path(), |config| config.service.grpc_port = Some(0));
    create(&server, "books");
    let points: Vec<Value> = (0..20).map(|n| json!({"id": n, "vector": [n, 1, 2]})).collect();
    server.ok("PUT", "/collections/books/points?wait=true", &json!({"points": points}));
    let bench = ["bench", "--uri", &server.url, "--collection", "books", "--clients", "2", "--seconds", "1", "--json"];
    let report: Value = serde_json::from_str(&done(dir.path(), &bench)).expect("JSON");
    assert!(report["requests"].as_u64() > Some(0) && report["errors"] == 0, "{report}");
    let share = report["server_share"].as_f64().expect("a share");
    assert!(share > 0.0 && share < 1.0, "{report}");
    assert!(report["p50_ms"].as_f64() <= report["p99_ms"].as_f64(), "{report}");
    assert_eq!(failed(dir.path(), &["bench", "--uri", &server.url, "--collection", "none"]).0, 1);

    // The other door, beside the engine itself, which reads the same files.
    let grpc = format!("--grpc={}", server.grpc_url());
    let filter = r#"{"must": [{"key": "n", "range": {"gte": 1}}]}"#;
    let sides = [&bench[..], &[&grpc, "--storage-path", "storage", "--filter", filter, "--params", r#"{"exact": true}"#]].concat();
    let report: Value = serde_json::from_str(&done(dir.path(), &sides)).expect("JSON");
    assert!(report["door"] == "grpc" && report["requests"].as_u64() > Some(0) && report["errors"] == 0, "{report}");
    assert!(report["engine"]["requests"].as_u64() > Some(0) && report["added_share"].is_f64(), "{report}");

    done(dir.path(), &["export", "--uri", &server.url, "--collection", "books", "--output", "up.npy"]);
    std::fs::write(dir.path().join("up.jsonl"), (0..20).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>()).expect("a file");
    for (name, door) in [("rest", None), ("grpc", Some(&*grpc))] {
        create(&server, name);
        let upload = ["bench", "--uri", &server.url, "--collection", name, "--upload", "up.npy", "--payloads", "up.jsonl", "--batch", "7"];
        let told = done(dir.path(), &[&upload[..], door.as_slice()].concat());
        assert!(told.contains("points/s") && told.contains("3 requests"), "{told}");
        assert_eq!(all(&server, name)["points"][19]["payload"], json!({"n": 19}));
        assert_eq!(all(&server, name)["points"][7]["vector"], all(&server, "books")["points"][7]["vector"]);
    }
}
