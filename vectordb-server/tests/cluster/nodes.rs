//! Nodes of a cluster as processes on this machine.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use crate::door::Door;
use crate::links::Links;

/// A node with its directory and its ports, which outlive its processes.
pub(crate) struct Node {
    directory: PathBuf,
    door: Door,
    p2p: u16,
    /// Where the others reach it.
    reached: u16,
    founder: u16,
    /// Its number among the peers, if that was chosen for it.
    number: Option<u64>,
    /// What its settings have besides.
    pub(crate) settings: Vec<(String, String)>,
    /// It is no node of a cluster.
    alone: bool,
    /// Megabytes of a file system of its own for its data, which ends with the process.
    small_disk: Option<u64>,
    process: Mutex<Option<Child>>,
    /// Whether it was left to run undisturbed.
    pub(crate) is_well: AtomicBool,
    /// Whether it runs, but does not hear of all others.
    pub(crate) is_cut_off: AtomicBool,
}

/// Nodes that end with the test.
pub(crate) struct Nodes {
    all: RwLock<Vec<Arc<Node>>>,
    directory: tempfile::TempDir,
    /// What all of them have in their settings besides.
    settings: Vec<(String, String)>,
    /// What lies between them, if anything can happen to that.
    pub(crate) links: Option<Arc<Links>>,
    /// Which of them has a small disk, of how many megabytes.
    small_disk: Option<(usize, u64)>,
}

/// A port that is free and stays so: below those that the system gives to outgoing connections, of which these tests make many, and
/// never twice in one process. A node keeps its ports while it is down.
fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let ports = (0..COUNT).map(|_| FIRST + start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let mut ports = ports.filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port")
}

impl std::ops::Deref for Node {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Node {
    pub(crate) fn start(&self) {
        std::fs::create_dir_all(&self.directory).expect("a directory");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log")).expect("a log");
        let uri = |port: u16| format!("http://127.0.0.1:{port}");
        let program = env!("CARGO_BIN_EXE_vectordb");
        let mut command = Command::new(if self.small_disk.is_some() { "unshare" } else { program });
        if let Some(megabytes) = self.small_disk {
            std::fs::create_dir_all(self.directory.join("storage")).expect("a directory");
            let mount = "mount -t tmpfs -o size=\"$1\"m none storage && shift && exec \"$@\"";
            command.args(["-rm", "sh", "-c", mount, "sh", &megabytes.to_string(), program]);
        }
        command
            .current_dir(&self.directory)
            .env("VECTORDB__SERVICE__HOST", "127.0.0.1")
            .env("VECTORDB__SERVICE__HTTP_PORT", self.http.to_string())
            .env("VECTORDB__SERVICE__GRPC_PORT", "0")
            .env("VECTORDB__CLUSTER__ENABLED", (!self.alone).to_string())
            .env("VECTORDB__CLUSTER__P2P__PORT", self.p2p.to_string())
            .env("VECTORDB__CLUSTER__P2P__SECRET", "only for this test")
            .env("VECTORDB__CLUSTER__REPLACE_LOST_PEER", "true")
            .envs(self.settings.iter().cloned())
            .envs(self.number.map(|number| ("VECTORDB__CLUSTER__PEER_ID", number.to_string())))
            .args(["--uri", &uri(self.reached)])
            .stdout(log.try_clone().expect("the same log"))
            .stderr(Stdio::from(log));
        if self.reached != self.founder {
            command.args(["--bootstrap", &uri(self.founder)]);
        }
        *self.process.lock() = Some(command.spawn().expect("the program"));
    }

    fn signal(&self, name: &str) {
        let process = self.process.lock();
        let Some(process) = &*process else { return };
        let sent = Command::new("kill").args([name, &process.id().to_string()]).status().expect("a signal");
        assert!(sent.success());
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&self) {
        if let Some(mut process) = self.process.lock().take() {
            process.kill().expect("it is ours");
            process.wait().expect("it ends");
        }
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(&self) {
        self.signal("-TERM");
        let Some(mut process) = self.process.lock().take() else { return };
        let begun = Instant::now();
        while process.try_wait().expect("a status").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Takes its data away; it must not run.
    pub(crate) fn lose_disk(&self) {
        std::fs::remove_dir_all(self.directory.join("storage")).expect("it has data");
    }

    /// Fills its small disk, until so many megabytes are free.
    pub(crate) fn fill_disk(&self, free_megabytes: usize) {
        let (_, text) = self.send("GET", "/metrics", &Value::Null, Duration::from_secs(10)).expect("metrics");
        let text = text.as_str().expect("text");
        let free = text.lines().find_map(|line| line.strip_prefix("vectordb_disk_free_bytes ")).expect("the figure");
        let free = usize::try_from(free.parse::<u64>().expect("a number")).expect("a small disk");
        let left = free.saturating_sub(free_megabytes << 20);
        std::fs::write(self.ballast(), vec![7_u8; left]).expect("there is room for that");
    }

    /// Makes room on it again.
    pub(crate) fn empty_disk(&self) {
        std::fs::remove_file(self.ballast()).expect("it was filled");
    }

    /// What fills its small disk, as this process sees it.
    fn ballast(&self) -> PathBuf {
        let id = self.process.lock().as_ref().expect("it runs").id();
        let inside = self.directory.join("storage/ballast");
        PathBuf::from(format!("/proc/{id}/root")).join(inside.strip_prefix("/").expect("an absolute path"))
    }

    /// What it ended with by itself, if it has.
    pub(crate) fn ended(&self) -> Option<std::process::ExitStatus> {
        self.process.lock().as_mut().and_then(|process| process.try_wait().expect("a status"))
    }

    /// Fails with its log when it has ended without being asked to.
    #[track_caller]
    fn assert_runs(&self) {
        let ended = self.ended();
        assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.directory.display(), self.log());
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.send("GET", "/readyz", &Value::Null, Duration::from_secs(2)).is_some_and(|(status, _)| status == 200)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Where its data lies.
    pub(crate) fn storage(&self) -> PathBuf {
        self.directory.join("storage")
    }

    pub(crate) fn peer_id(&self) -> u64 {
        self.ok("GET", "/cluster", &Value::Null)["peer_id"].as_u64().expect("a number")
    }
}

impl Nodes {
    /// So many nodes, of which the first founds the cluster.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, Vec::new())
    }

    /// The same with other settings, in which `{}` stands for the node's number, and `{half}` for half of it.
    pub(crate) fn start_with(count: usize, settings: Vec<(String, String)>) -> Self {
        Self::start_as(count, settings, None, None)
    }

    /// The same with a network that can be cut, in which nodes have their peers' numbers from 1 on.
    pub(crate) fn start_apart(count: usize) -> Self {
        Self::start_as(count, Vec::new(), Some(Arc::default()), None)
    }

    /// So many nodes, of which one has a disk of so many megabytes; none where this system lets nobody mount anything.
    pub(crate) fn start_with_small_disk(count: usize, small: (usize, u64), settings: Vec<(String, String)>) -> Option<Self> {
        let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
        if !may.is_ok_and(|status| status.success()) {
            eprintln!("no mounts are allowed here: a full disk is not tested");
            return None;
        }
        Some(Self::start_as(count, settings, None, Some(small)))
    }

    fn start_as(count: usize, settings: Vec<(String, String)>, links: Option<Arc<Links>>, small_disk: Option<(usize, u64)>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes = Self { all: RwLock::default(), directory, settings, links, small_disk };
        for _ in 0..count {
            nodes.add();
        }
        nodes.wait("all are ready", Duration::from_secs(60), |nodes| {
            nodes.all().iter().for_each(|node| node.assert_runs());
            nodes.all().iter().all(|node| node.is_ready())
        });
        nodes.wait("all know each other", Duration::from_secs(30), |nodes| {
            let knows =
                |node: &Arc<Node>| node.ok("GET", "/cluster", &Value::Null)["peers"].as_object().is_some_and(|peers| peers.len() == count);
            nodes.all().iter().all(knows)
        });
        nodes.all().iter().for_each(|node| node.is_well.store(true, Ordering::Release));
        nodes
    }

    /// One server that is no node of a cluster.
    pub(crate) fn alone() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes = Self { all: RwLock::default(), directory, settings: Vec::new(), links: None, small_disk: None };
        let node = nodes.begin(true);
        nodes.wait("it is ready", Duration::from_secs(60), |_| node.is_ready());
        node.is_well.store(true, Ordering::Release);
        nodes
    }

    /// One more, which joins by the founder.
    pub(crate) fn add(&self) -> Arc<Node> {
        self.begin(false)
    }

    fn begin(&self, alone: bool) -> Arc<Node> {
        let p2p = free_port();
        let mut all = self.all.write();
        let place = all.len().to_string();
        let half = (all.len() / 2).to_string();
        let told = |value: &str| value.replace("{}", &place).replace("{half}", &half);
        let settings = self.settings.iter().map(|(name, value)| (name.clone(), told(value))).collect();
        let number = self.links.as_ref().map(|_| all.len() as u64 + 1);
        let mut reached = p2p;
        if let (Some(links), Some(number)) = (&self.links, number) {
            reached = free_port();
            links.lead(TcpListener::bind(("127.0.0.1", reached)).expect("a port"), number, p2p);
        }
        let node = Arc::new(Node {
            settings,
            directory: self.directory.path().join(all.len().to_string()),
            door: Door { http: free_port() },
            p2p,
            reached,
            founder: all.first().map_or(reached, |first| first.reached),
            number,
            alone,
            small_disk: self.small_disk.filter(|(small, _)| *small == all.len()).map(|(_, megabytes)| megabytes),
            process: Mutex::new(None),
            is_well: AtomicBool::new(false),
            is_cut_off: AtomicBool::new(false),
        });
        node.start();
        all.push(Arc::clone(&node));
        node
    }

    pub(crate) fn all(&self) -> Vec<Arc<Node>> {
        self.all.read().clone()
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, patience: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < patience, "not within {patience:?}: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
        begun.elapsed()
    }

    /// The ends of their logs.
    pub(crate) fn logs(&self) -> String {
        let end = |node: &Arc<Node>| {
            let text = std::fs::read_to_string(node.directory.join("log")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let panics = lines.iter().enumerate().filter(|(_, line)| line.contains("panicked at")).map(|(at, _)| at);
            let panics: Vec<String> = panics.map(|at| lines[at..lines.len().min(at + 4)].join("\n")).collect();
            let last = lines[lines.len().saturating_sub(25)..].join("\n");
            format!("--- {}\n{}\n{last}\n", node.directory.display(), panics.join("\n"))
        };
        self.all().iter().map(end).collect()
    }

    /// Whether every node sees so many replicas of every shard, all of them active.
    pub(crate) fn is_whole(&self, collection: &str, factor: usize) -> bool {
        let sees = |node: &Arc<Node>| {
            let answer = node.send("GET", &format!("/collections/{collection}/cluster"), &Value::Null, Duration::from_secs(5));
            let Some((200, answer)) = answer else { return false };
            let shards = |kind: &str| answer["result"][kind].as_array().cloned().unwrap_or_default();
            let replicas: Vec<Value> = shards("local_shards").into_iter().chain(shards("remote_shards")).collect();
            let count = usize::try_from(answer["result"]["shard_count"].as_u64().unwrap_or(0)).unwrap_or(0);
            replicas.len() == count * factor && replicas.iter().all(|replica| replica["state"] == "Active")
        };
        self.all().iter().filter(|node| node.process.lock().is_some()).all(sees)
    }

    /// Replicas of a collection on each node.
    pub(crate) fn spread(&self, collection: &str) -> Vec<usize> {
        let local = |node: &Arc<Node>| {
            let answer = node.ok("GET", &format!("/collections/{collection}/cluster"), &Value::Null);
            answer["local_shards"].as_array().map_or(0, Vec::len)
        };
        self.all().iter().map(local).collect()
    }

    /// Every point of a collection, as a node gives it.
    pub(crate) fn dump(node: &Door, collection: &str) -> Vec<Value> {
        let mut points = Vec::new();
        let mut offset = Value::Null;
        loop {
            let body = json!({"limit": 1000, "offset": offset, "with_payload": true, "with_vector": true});
            let mut page = node.ok("POST", &format!("/collections/{collection}/points/scroll"), &body);
            if let Some(page) = page["points"].as_array_mut() {
                points.append(page);
            }
            offset = page["next_page_offset"].take();
            if offset.is_null() {
                return points;
            }
        }
    }

    /// Cuts some nodes off from the others, and joins them again after a while. Nobody is to have answers of them meanwhile.
    pub(crate) fn cut_off(&self, some: &[usize], from: &[usize], time: Duration) {
        let (all, links) = (self.all(), self.links.as_ref().expect("a network"));
        let number = |at: usize| all[at].number.expect("it was chosen");
        let disturbed = |at: usize, so: bool| {
            all[at].is_well.store(!so, Ordering::Release);
            all[at].is_cut_off.store(so, Ordering::Release);
        };
        some.iter().for_each(|&at| disturbed(at, true));
        for &one in some {
            from.iter().for_each(|&other| links.cut(number(one), number(other)));
        }
        std::thread::sleep(time);
        links.heal();
        self.wait("they are back", Duration::from_secs(60), |_| some.iter().all(|&at| all[at].is_ready()));
        some.iter().for_each(|&at| disturbed(at, false));
    }

    /// Those that take requests, if they can do anything about them or not.
    pub(crate) fn running(&self) -> Vec<Arc<Node>> {
        let runs = |node: &Arc<Node>| node.is_well.load(Ordering::Acquire) || node.is_cut_off.load(Ordering::Acquire);
        self.all().into_iter().filter(runs).collect()
    }

    /// Those that nobody disturbs now.
    pub(crate) fn well(&self) -> Vec<Arc<Node>> {
        self.all().into_iter().filter(|node| node.is_well.load(Ordering::Acquire)).collect()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.links.iter().for_each(|links| links.end());
        for node in self.all() {
            if let Some(mut process) = node.process.lock().take() {
                // They may be gone already.
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}
