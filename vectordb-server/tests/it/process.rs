//! The program itself: how it stops, and what it does on a full disk.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A running program.
struct Program {
    child: Child,
    url: String,
    /// The lines of its log, after that it listens.
    log: Mutex<Receiver<Value>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts it in a directory, and waits until it listens.
    fn start(command: &mut Command, directory: &Path) -> Self {
        let (child, mut lines) = Self::spawn(command, directory);
        let listening = said(&mut lines, "listening");
        let address = listening["fields"]["http_address"].as_str().expect("an address").to_owned();
        let (send, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                // The test may be over.
                let _ = send.send(line);
            }
        });
        Self { child, url: format!("http://{address}"), log: Mutex::new(log) }
    }

    /// Starts it in a directory; with the lines of its log.
    fn spawn(command: &mut Command, directory: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
        command
            .current_dir(directory)
            .env("VECTORDB__SERVICE__HOST", "127.0.0.1")
            .env("VECTORDB__SERVICE__HTTP_PORT", "0")
            .env("VECTORDB__SERVICE__GRPC_PORT", "0")
            .env("VECTORDB__LOGGER__FORMAT", "json")
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let lines = BufReader::new(child.stdout.take().expect("its log")).lines();
        (child, lines)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<(u16, String), ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").body(body.to_string()).expect("a request");
        let mut answer = agent.run(request)?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    #[track_caller]
    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, text) = self.send(method, path, body).expect("an answer");
        assert_eq!(status, 200, "{method} {path}: {text}");
        serde_json::from_str::<Value>(&text).unwrap_or_default()["result"].take()
    }

    fn terminate(&self) {
        terminate(&self.child);
    }

    fn ended(&mut self) -> std::process::ExitStatus {
        ended(&mut self.child, Duration::from_secs(60))
    }
}

/// Asks it to stop, as an operator does.
fn terminate(child: &Child) {
    let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("a signal");
    assert!(sent.success());
}

fn ended(child: &mut Child, within: Duration) -> std::process::ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a status") {
            return status;
        }
        assert!(begun.elapsed() < within, "it does not stop");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first line of a log that says something.
fn said(lines: &mut Lines<BufReader<ChildStdout>>, message: &str) -> Value {
    loop {
        let line = lines.next().expect("it goes on").expect("a line");
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if line["fields"]["message"] == message {
            return line;
        }
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vectordb"))
}

#[test]
fn who_starts_while_another_stops_waits_for_the_data() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut first = Program::start(&mut program(), directory.path());
    first.ok("PUT", "/collections/docs", &json!({"vectors": {"size": 4, "distance": "Dot"}}));
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| Program::start(&mut program(), directory.path()));
        std::thread::sleep(Duration::from_secs(2));
        assert!(!second.is_finished(), "two have it open");
        first.terminate();
        second.join().expect("it waits")
    });
    assert!(first.ended().success());
    second.ok("GET", "/collections/docs", &Value::Null);
}

#[test]
fn who_is_told_to_stop_while_it_starts_does_not_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Program::start(&mut program(), directory.path());
    let (mut second, mut lines) = Program::spawn(&mut program(), directory.path());
    said(&mut lines, "waiting for the data");
    terminate(&second);
    // By itself, and not because it is killed by the signal.
    assert!(ended(&mut second, Duration::from_secs(5)).success());
    first.ok("GET", "/collections", &Value::Null);
}

#[test]
fn who_is_told_to_stop_keeps_everything_that_was_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Program::start(&mut program(), directory.path());
    server.ok("PUT", "/collections/docs", &json!({"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 2}));
    let acknowledged = AtomicU64::new(0);
    let done: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (server, acknowledged) = (&server, &acknowledged);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for id in (writer * 1_000_000).. {
                        let points = json!({"points": [{"id": id, "vector": [id, 1, 2, 3], "payload": {"serial": id}}]});
                        // What comes while it stops is refused, or gets no answer.
                        match server.send("PUT", "/collections/docs/points?wait=true", &points) {
                            Ok((200, _)) => done.push(id),
                            _ => return done,
                        }
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    done
                })
            })
            .collect();
        while acknowledged.load(Ordering::Relaxed) < 200 {
            std::thread::yield_now();
        }
        server.terminate();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    assert!(server.ended().success());
    drop(server);
    let done: Vec<u64> = done.into_iter().flatten().collect();
    assert!(done.len() >= 200, "{}", done.len());
    // Whoever waits for it to have started looks for a file.
    let started = directory.path().join("started");
    let again = Program::start(program().env("QDRANT_INIT_FILE_PATH", &started), directory.path());
    let begun = Instant::now();
    while !started.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "there is no file");
        std::thread::yield_now();
    }
    let found = again.ok("POST", "/collections/docs/points", &json!({"ids": done, "with_payload": true}));
    let mut found: Vec<u64> =
        found.as_array().expect("points").iter().map(|point| point["payload"]["serial"].as_u64().expect("its serial")).collect();
    found.sort_unstable();
    let mut done = done;
    done.sort_unstable();
    assert_eq!(found, done);
}

/// A program whose data lies on a small file system of its own, which this process reaches as well.
struct SmallDisk {
    server: Program,
    /// The small file system, seen from here.
    seen: PathBuf,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    /// None where this system lets nobody mount anything.
    fn start(megabytes: u64, kept_free: u64) -> Option<Self> {
        let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
        if !may.is_ok_and(|status| status.success()) {
            eprintln!("no mounts are allowed here: a full disk is not tested");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let disk = directory.path().join("disk");
        std::fs::create_dir(&disk).expect("a directory");
        let mount = "mount -t tmpfs -o size=\"$1\"m none \"$2\" && exec \"$3\"";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", mount, "sh", &megabytes.to_string()]).arg(&disk).arg(env!("CARGO_BIN_EXE_vectordb"));
        command.env("VECTORDB__STORAGE__STORAGE_PATH", disk.join("storage"));
        command.env("VECTORDB__STORAGE__SNAPSHOTS_PATH", disk.join("snapshots"));
        command.env("VECTORDB__STORAGE__MIN_FREE_DISK_BYTES", (kept_free << 20).to_string());
        let server = Program::start(&mut command, directory.path());
        let seen =
            Path::new("/proc").join(server.child.id().to_string()).join("root").join(disk.strip_prefix("/").expect("an absolute path"));
        Some(Self { server, seen, _directory: directory })
    }

    fn free_bytes(&self) -> u64 {
        let (_, text) = self.server.send("GET", "/metrics", &Value::Null).expect("metrics");
        let free = text.lines().find_map(|line| line.strip_prefix("vectordb_disk_free_bytes ")).expect("the figure");
        free.parse::<f64>().expect("a number") as u64
    }

    /// Fills the disk until so many megabytes are free.
    fn fill(&self, free_megabytes: u64) {
        let mut ballast = std::fs::OpenOptions::new().create(true).append(true).open(self.seen.join("ballast")).expect("a file");
        let mut left = self.free_bytes().saturating_sub(free_megabytes << 20);
        let chunk = vec![7; 1 << 16];
        while left > 0 {
            let part = chunk.len().min(left as usize);
            match ballast.write(&chunk[..part]) {
                Ok(0) | Err(_) => return,
                Ok(written) => left -= written as u64,
            }
        }
    }

    fn upsert(&self, id: u64) -> (u16, String) {
        let points = json!({"points": [{"id": id, "vector": [id, 1, 2, 3], "payload": {"serial": id}}]});
        self.server.send("PUT", "/collections/docs/points?wait=true", &points).expect("an answer")
    }

    fn count(&self) -> u64 {
        let count = self.server.ok("POST", "/collections/docs/points/count", &json!({"exact": true}));
        count["count"].as_u64().expect("a number")
    }

    fn delete(&self, id: u64) -> (u16, String) {
        self.server.send("POST", "/collections/docs/points/delete?wait=true", &json!({"points": [id]})).expect("an answer")
    }
}

#[test]
fn a_full_disk_takes_nothing_until_there_is_room_again() {
    let Some(disk) = SmallDisk::start(320, 110) else { return };
    disk.server.ok("PUT", "/collections/docs", &json!({"vectors": {"size": 4, "distance": "Dot"}}));
    for id in 0..20 {
        assert_eq!(disk.upsert(id).0, 200);
    }
    let full = |(status, text): (u16, String)| {
        assert_eq!(status, 507, "{text}");
        assert!(text.contains("\"error\":\"Insufficient storage: "), "{text}");
    };

    // Below the mark: nothing is added, but what is there can be read and deleted.
    disk.fill(100);
    full(disk.upsert(100));
    full(disk.server.send("PUT", "/collections/more", &json!({"vectors": {"size": 4, "distance": "Dot"}})).expect("an answer"));
    full(disk.server.send("POST", "/collections/docs/snapshots", &Value::Null).expect("an answer"));
    assert_eq!((disk.count(), disk.delete(0).0, disk.count()), (20, 200, 19));

    // To the last byte: reads go on, and what takes away, for which the log has room of its own.
    disk.fill(0);
    assert!(disk.free_bytes() < 1 << 20, "{}", disk.free_bytes());
    full(disk.upsert(100));
    let near = json!({"query": [1, 1, 1, 1], "limit": 5, "with_payload": true});
    let hits = disk.server.ok("POST", "/collections/docs/points/query", &near);
    assert_eq!(hits["points"].as_array().map(Vec::len), Some(5));
    assert_eq!((disk.count(), disk.delete(1).0, disk.count()), (19, 200, 18));
    assert_eq!(disk.server.send("GET", "/readyz", &Value::Null).expect("an answer").0, 200);

    // As soon as there is room it goes on, in the same process.
    std::fs::remove_file(disk.seen.join("ballast")).expect("the ballast");
    assert_eq!((disk.upsert(100).0, disk.delete(2).0, disk.count()), (200, 200, 18));
    disk.server.ok("PUT", "/collections/more", &json!({"vectors": {"size": 4, "distance": "Dot"}}));
    disk.server.ok("POST", "/collections/docs/snapshots", &Value::Null);
}

/// Takes traces, as a collector does, and hands their spans on.
fn collector() -> (String, Receiver<Value>) {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (send, spans) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut reader = BufReader::new(stream);
            // Several requests may come over one connection.
            loop {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
                let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                let Some(length) = length else { break };
                assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                let body: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(body["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"], "tested");
                for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans") {
                    // The test may be over.
                    let _ = send.send(span.clone());
                }
                reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").expect("an answer");
            }
        }
    });
    (format!("http://{address}"), spans)
}

#[test]
fn traces_go_from_the_caller_through_the_request_to_the_shards() {
    let (endpoint, spans) = collector();
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = program();
    command.env("VECTORDB__TELEMETRY__OTLP_ENDPOINT", &endpoint).env("VECTORDB__TELEMETRY__SERVICE_NAME", "tested");
    // Every request is a slow one.
    command.env("VECTORDB__SERVICE__SLOW_QUERY_SECS", "0");
    let mut server = Program::start(&mut command, directory.path());
    server.ok("PUT", "/collections/docs", &json!({"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 3}));
    let points: Vec<Value> = (0..30).map(|id| json!({"id": id, "vector": [id, 1, 2, 3]})).collect();
    server.ok("PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = |flags: &str, path: &str| {
        let request = agent.post(format!("{}{path}", server.url)).header("content-type", "application/json");
        let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-{flags}")).header("x-request-id", "job-7");
        request.send(r#"{"query": [1, 1, 1, 1], "limit": 3}"#).expect("an answer").status().as_u16()
    };
    assert_eq!(traced("01", "/collections/docs/points/query"), 200);
    assert_eq!(traced("00", "/collections/docs/points/count"), 200);
    // What is not sent yet is sent before it ends.
    server.terminate();
    assert!(server.ended().success());
    let spans: Vec<Value> = spans.try_iter().collect();
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let query = named("POST /collections/{collection_name}/points/query");
    let [query] = query[..] else { panic!("{spans:?}") };
    assert_eq!((&query["traceId"], &query["parentSpanId"], &query["kind"]), (&json!(trace), &json!("00f067aa0ba902b7"), &json!(2)));
    let attribute = |span: &Value, key: &str| {
        let attributes = span["attributes"].as_array().expect("attributes");
        attributes.iter().find(|attribute| attribute["key"] == key).map(|attribute| attribute["value"].clone())
    };
    assert_eq!(attribute(query, "request_id"), Some(json!({"stringValue": "job-7"})));
    assert_eq!(attribute(query, "status"), Some(json!({"intValue": "200"})));
    let mut shards: Vec<String> = named("shard query")
        .into_iter()
        .map(|span| {
            assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(trace), &query["spanId"]));
            let time = |name: &str| span[name].as_str().expect("a time").parse::<u64>().expect("nanoseconds");
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
            attribute(span, "shard").expect("its number")["intValue"].as_str().expect("a number").to_owned()
        })
        .collect();
    shards.sort();
    assert_eq!(shards, ["0", "1", "2"]);
    assert!(named("POST /collections/{collection_name}/points/count").is_empty(), "its caller does not keep that trace");
    let slow = |line: &Value| line["fields"]["message"] == "slow request" && line["fields"]["request_id"] == "job-7";
    let slow = server.log.lock().expect("its log").iter().find(slow).expect("it is logged");
    assert_eq!((&slow["fields"]["operation"], &slow["fields"]["collection"]), (&query["name"], &json!("docs")));
    assert_eq!((&slow["fields"]["status"], &slow["level"], &slow["span"]["trace_id"]), (&json!(200), &json!("WARN"), &json!(trace)));
    // A request without a trace begins one of its own.
    let upsert = named("PUT /collections/{collection_name}/points");
    assert_eq!((upsert.len(), &upsert[0]["parentSpanId"]), (1, &json!("")));
    assert_eq!(named("shard update").iter().filter(|span| span["traceId"] == upsert[0]["traceId"]).count(), 3);
}

#[test]
fn a_collector_that_is_gone_disturbs_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = program();
    command.env("VECTORDB__TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:9");
    let mut server = Program::start(&mut command, directory.path());
    for _ in 0..100 {
        server.ok("GET", "/collections", &Value::Null);
    }
    server.terminate();
    assert!(server.ended().success());
}
