//! A small API of Kubernetes in this process, for tests: objects by their paths, and moods.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// How the API takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It does what it is asked for.
    Answers,
    /// It says that this is not allowed.
    Refuses,
    /// It takes requests, and says nothing.
    Hangs,
    /// It closes every connection.
    Away,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    objects: BTreeMap<String, Value>,
    /// Requests, as in `GET /api`.
    asked: Vec<String>,
    /// Times that a smaller set is refused although it is allowed, as admission hears of the leave a moment later.
    deaf: u32,
}

/// The API.
#[derive(Debug)]
pub(crate) struct FakeApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeApi {
    /// One with the stateful set `qdrant` of the namespace `db`, that has three pods, and its guard.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let set = json!({"metadata": {"name": "qdrant", "uid": "1-2-3"}, "spec": {"replicas": 3}});
        let objects = [(SET.to_owned(), set), (SCALE.to_owned(), json!({"metadata": {"name": "qdrant-scale"}}))].into();
        let state = Arc::new(Mutex::new(State { mood: Mood::Answers, objects, asked: Vec::new(), deaf: 0 }));
        let shared = Arc::clone(&state);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// A file that says how it is reached.
    pub(crate) fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let path = directory.join("kubeconfig");
        let file = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "pod", "user": {"token": "of the pod"}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "pod"}}],
        });
        std::fs::write(&path, file.to_string()).expect("a file");
        path
    }

    pub(crate) fn is(&self, mood: Mood) {
        locked(&self.state).mood = mood;
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        locked(&self.state).objects.insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        locked(&self.state).objects.get(path).cloned().unwrap_or(Value::Null)
    }

    /// Reasons of the events, in no order.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let state = locked(&self.state);
        let events = state.objects.iter().filter(|(path, _)| path.contains("/events/"));
        events.map(|(_, event)| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        locked(&self.state).asked.clone()
    }

    pub(crate) fn deafen(&self, times: u32) {
        locked(&self.state).deaf = times;
    }
}

/// The stateful set.
pub(crate) const SET: &str = "/apis/apps/v1/namespaces/db/statefulsets/qdrant";
/// What says how few pods are allowed.
pub(crate) const SCALE: &str = "/api/v1/namespaces/db/configmaps/qdrant-scale";
/// What says who founded the cluster.
pub(crate) const CLUSTER: &str = "/api/v1/namespaces/db/configmaps/qdrant-cluster";

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    loop {
        let Some((head, body)) = request(&mut reader) else { return };
        let mood = locked(state).mood;
        match mood {
            Mood::Away => return,
            Mood::Hangs => {
                while locked(state).mood == Mood::Hangs {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return;
            }
            Mood::Answers | Mood::Refuses => {}
        }
        let (status, answer) = match mood {
            Mood::Refuses => (403, Value::Null),
            _ => answer(&mut locked(state), &head, &body),
        };
        let told = if status < 300 {
            answer
        } else {
            json!({"kind": "Status", "status": "Failure", "code": status, "message": "no", "reason": "No"})
        };
        let text = told.to_string();
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
        let mut writer = stream;
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}

/// The first line of a request without its version, and its body.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Value)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if first.is_empty() {
            first = line.rsplit_once(' ')?.0.to_owned();
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

fn answer(state: &mut State, head: &str, body: &Value) -> (u16, Value) {
    state.asked.push(head.to_owned());
    let (method, target) = head.split_once(' ').unwrap_or((head, ""));
    let path = target.split('?').next().unwrap_or(target);
    match method {
        "GET" => state.objects.get(path).map_or((404, Value::Null), |object| (200, object.clone())),
        "POST" => {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
            if state.objects.contains_key(&path) {
                return (409, Value::Null);
            }
            state.objects.insert(path, body.clone());
            (201, body.clone())
        }
        _ => patched(state, path, body),
    }
}

fn patched(state: &mut State, path: &str, body: &Value) -> (u16, Value) {
    let place = path.strip_suffix("/scale").unwrap_or(path);
    let Some(mut object) = state.objects.get(place).cloned() else { return (404, Value::Null) };
    if let (Some(before), Some(after)) = (object["spec"]["replicas"].as_u64(), body["spec"]["replicas"].as_u64()) {
        let least = state.objects.get(SCALE).and_then(|scale| scale["data"]["minReplicas"].as_str()?.parse::<u64>().ok());
        let allowed = after >= before || least.is_some_and(|least| after >= least);
        state.deaf = state.deaf.saturating_sub(1);
        if !allowed || state.deaf > 0 {
            return (422, Value::Null);
        }
    }
    merge(&mut object, body);
    state.objects.insert(place.to_owned(), object.clone());
    (200, object)
}

/// RFC 7386.
fn merge(object: &mut Value, change: &Value) {
    let Value::Object(changes) = change else {
        *object = change.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in changes {
        if value.is_null() {
            object.as_object_mut().expect("an object").remove(name);
        } else {
            merge(&mut object[name.as_str()], value);
        }
    }
}
