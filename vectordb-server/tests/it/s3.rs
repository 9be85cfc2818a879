//! Backups in a bucket of S3: a server of that protocol runs in this process, and keeps objects as files that a test can count and
//! damage.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vectordb_core::Options;
use vectordb_server::config::{S3Config, SnapshotsStorage};
use vectordb_server::service::{Access, Service, Settings};

use super::door::Running;

const BUCKET: &str = "vectors";
const KEY: &str = "key";
const SECRET: &str = "secret";
const DIM: u64 = 96;

/// A server of S3; it goes with its runtime.
struct S3 {
    _runtime: tokio::runtime::Runtime,
    root: tempfile::TempDir,
    address: SocketAddr,
}

impl S3 {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a file system"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move { Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await });
            }
        });
        Self { _runtime: runtime, root, address }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All objects below a prefix: their files and bytes.
    fn objects(&self, prefix: &str) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut left = vec![self.root.path().join(BUCKET).join(prefix)];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten() {
                let entry = entry.expect("an entry");
                let metadata = entry.metadata().expect("metadata");
                if metadata.is_dir() { left.push(entry.path()) } else { found.push((entry.path(), metadata.len())) }
            }
        }
        found
    }

    fn bytes(&self, prefix: &str) -> u64 {
        self.objects(prefix).iter().map(|(_, bytes)| bytes).sum()
    }

    /// Runs the program with this server as its S3.
    fn vectordb(&self, secret: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vectordb"));
        command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_ENDPOINT_URL", self.endpoint());
        command.current_dir(self.root.path()).args(arguments).output().expect("it runs")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn server(directory: &Path, s3: &S3) -> Running {
    Running::new(directory, |config| {
        config.storage.snapshots_config.recovery_allowed_hosts = vec!["127.0.0.1".to_owned()];
        config.storage.snapshots_config.snapshots_storage = SnapshotsStorage::S3;
        config.storage.snapshots_config.s3_config = Some(S3Config {
            bucket: BUCKET.into(),
            region: "eu-central-1".into(),
            access_key: KEY.into(),
            secret_key: SECRET.into(),
            endpoint_url: Some(s3.endpoint()),
        });
    })
}

fn upsert(server: &Running, ids: std::ops::Range<u64>, mark: &str) {
    let number = |n: u64, i: u64| ((n * 31 + i * 17).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / 1e7;
    for first in ids.clone().step_by(500) {
        let batch = first..(first + 500).min(ids.end);
        let points: Vec<Value> = batch
            .map(|n| json!({"id": n, "vector": (0..DIM).map(|i| number(n, i)).collect::<Vec<_>>(), "payload": {"n": n, "mark": mark}}))
            .collect();
        server.ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    }
}

/// Waits until the background has nothing more to do.
fn settle(server: &Running) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while server.ok("GET", "/collections/docs", &Value::Null)["status"] != "green" {
        assert!(Instant::now() < deadline, "it does not settle");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn digest_of(directory: &Path) -> String {
    let service = Service::open(directory, Options::default(), Settings::default()).expect("a service");
    service.digest("docs", &Access::Manage).expect("a digest").to_string()
}

#[test]
fn a_backup_goes_to_a_bucket_little_by_little_and_comes_back_from_it_checked() {
    let s3 = S3::new();
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(dir.path(), &s3);
    server.ok("PUT", "/collections/docs", &json!({"vectors": {"size": DIM, "distance": "Dot"}, "shard_number": 2}));
    upsert(&server, 0..4000, "old");
    settle(&server);

    // The server itself sends everything once, and then what changed.
    let first = server.ok("POST", "/backups", &Value::Null);
    let first_bytes = s3.bytes("backups");
    assert_eq!(first["uploaded_bytes"], first_bytes, "{first}");
    assert!(first_bytes > 4000 * DIM * 4, "{first}");
    upsert(&server, 0..40, "new");
    let second = server.ok("POST", "/backups", &json!({"location": format!("s3://{BUCKET}/backups")}));
    let second_bytes = s3.bytes("backups") - first_bytes;
    assert_eq!(second["uploaded_bytes"], second_bytes, "{second}");
    println!("the first backup has {first_bytes} bytes, the second {second_bytes} more");
    assert!(second_bytes * 20 < first_bytes, "{second_bytes} after {first_bytes}");
    let listed = server.ok("GET", "/backups", &Value::Null);
    assert_eq!(listed, json!([first["backup"], second["backup"]]));

    // The program checks and restores by itself.
    let place = format!("s3://{BUCKET}/backups");
    let verified = s3.vectordb(SECRET, &["verify", "--from", &place]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).contains("2 backups"), "{}", text(&verified.stdout));
    let elsewhere = dir.path().join("elsewhere");
    let target = elsewhere.to_str().expect("a path");
    let restored = s3.vectordb(SECRET, &["restore", "--from", &place, "--storage-path", target, "--json"]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let report: Value = serde_json::from_slice(&restored.stdout).expect("JSON");
    assert_eq!(report["collections"], second["backup"]["collections"]);
    assert_eq!(json!(digest_of(&elsewhere)), second["backup"]["collections"][0]["digest"]);

    damage(&s3, &place, dir.path(), &second);
    server.stop();
}

/// Damages the largest object, which is then named and not used.
fn damage(s3: &S3, place: &str, dir: &Path, backup: &Value) {
    let (path, _) = s3.objects("backups/objects").into_iter().max_by_key(|(_, bytes)| *bytes).expect("an object");
    let mut content = std::fs::read(&path).expect("it is read");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&path, content).expect("it is damaged");
    let key = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let verified = s3.vectordb(SECRET, &["verify", "--from", place]);
    let told = text(&verified.stdout);
    assert_eq!(verified.status.code(), Some(3), "{told}");
    let name = backup["backup"]["name"].as_str().expect("a name");
    assert!(told.contains(&format!("/{key}: its SHA-256 is")) && told.contains(&format!("{name}: docs: ")), "{told}");
    let refused = s3.vectordb(SECRET, &["restore", "--from", place, "--storage-path", dir.join("refused").to_str().expect("a path")]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains(key), "{}", text(&refused.stderr));
    let service = Service::open(&dir.join("refused"), Options::default(), Settings::default()).expect("a service");
    assert_eq!(service.collection_names(&Access::Manage), Vec::<String>::new());
}

#[test]
fn the_program_backs_up_a_directory_and_keeps_what_it_is_told() {
    let s3 = S3::new();
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::new(dir.path(), |_| {});
    server.ok("PUT", "/collections/docs", &json!({"vectors": {"size": DIM, "distance": "Dot"}}));
    upsert(&server, 0..100, "old");
    let storage = dir.path().join("storage");
    let place = format!("s3://{BUCKET}/deep/place");
    let arguments = ["backup", "--to", &place, "--storage-path", storage.to_str().expect("a path"), "--keep", "1", "--json"];
    let locked = s3.vectordb(SECRET, &arguments);
    assert_eq!(locked.status.code(), Some(1), "{}", text(&locked.stdout));
    server.stop();
    let stranger = s3.vectordb("wrong", &arguments);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(text(&stranger.stderr).contains(&place), "{}", text(&stranger.stderr));
    let mut names = Vec::new();
    for _ in 0..2 {
        let made = s3.vectordb(SECRET, &arguments);
        assert!(made.status.success(), "{}", text(&made.stderr));
        let report: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        assert_eq!(report["backup"]["collections"][0]["digest"], digest_of(&storage));
        names.push(report["backup"]["name"].as_str().expect("a name").to_owned());
    }
    let listed = s3.vectordb(SECRET, &["backups", "--from", &place, "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["name"], names[1]);
    assert_eq!(s3.objects("deep/place/backups").len(), 1);
    assert_eq!(s3.objects("deep/place/lease").len(), 0);
    let verified = s3.vectordb(SECRET, &["verify", "--from", &place]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

#[test]
fn snapshots_are_brought_to_the_bucket_and_fetched_from_it() {
    let s3 = S3::new();
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(dir.path(), &s3);
    server.ok("PUT", "/collections/docs", &json!({"vectors": {"size": 2, "distance": "Dot"}}));
    // More than is sent in one part.
    for n in 0..10 {
        let points: Vec<Value> =
            (0..10).map(|i| json!({"id": n * 10 + i, "vector": [n, i], "payload": {"text": "x".repeat(100_000)}})).collect();
        server.ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    }
    let made = server.ok("POST", "/collections/docs/snapshots", &Value::Null);
    let name = made["name"].as_str().expect("a name");
    let object = s3.root.path().join(BUCKET).join("snapshots/docs").join(name);
    let content = std::fs::read(&object).expect("it is in the bucket");
    assert!(content.len() > 9 << 20 && made["size"] == content.len() as u64, "{made}");
    let listed = server.ok("GET", "/collections/docs/snapshots", &Value::Null);
    assert_eq!((&listed[0]["name"], &listed[0]["checksum"]), (&made["name"], &made["checksum"]));
    let path = format!("/collections/docs/snapshots/{name}");
    assert!(server.send("GET", &path, &[], b"").body == content, "what is downloaded is what was brought");
    let here = std::fs::read_dir(dir.path().join("snapshots/docs")).expect("a directory").count();
    assert_eq!(here, 0, "nothing stays in the directory");
    let location = json!({"location": format!("{}{path}", server.url), "checksum": made["checksum"]});
    server.ok("PUT", "/collections/copy/snapshots/recover", &location);
    assert_eq!(server.ok("POST", "/collections/copy/points/count", &json!({"exact": true}))["count"], 100);
    server.ok("DELETE", &path, &Value::Null);
    assert_eq!(s3.objects("snapshots").len(), 0);
    assert_eq!(server.call("GET", &path, &Value::Null).0, 404);
    server.stop();
}
