//! Where requests are answered, by one node or by several in turn.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

fn agent(timeout: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout));
    config.build().into()
}

/// A port of this machine that speaks HTTP; each request comes by a connection of its own.
pub(crate) struct Door {
    pub(crate) http: u16,
}

impl Door {
    fn uri(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// An answer's status and body; nothing when there is none.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value, timeout: Duration) -> Option<(u16, Value)> {
        let request = ureq::http::Request::builder().method(method).uri(self.uri(path)).header("content-type", "application/json");
        let request = request.body(if body.is_null() { String::new() } else { body.to_string() }).expect("a request");
        let mut answer = agent(timeout).run(request).ok()?;
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string().ok()?;
        Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    #[track_caller]
    pub(crate) fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, mut answer) = self.send(method, path, body, Duration::from_secs(30)).expect("an answer");
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer["result"].take()
    }

    /// The bytes of a file.
    #[track_caller]
    pub(crate) fn download(&self, path: &str) -> Vec<u8> {
        let mut answer = agent(Duration::from_secs(30)).get(self.uri(path)).call().expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.body_mut().with_config().limit(1 << 30).read_to_vec().expect("a file")
    }

    /// Sends a file as a browser does.
    #[track_caller]
    pub(crate) fn upload(&self, path: &str, file: &[u8]) {
        const BOUNDARY: &str = "between-the-parts";
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"snapshot\"; filename=\"docs.snapshot\"\r\n\
             content-type: application/octet-stream\r\n\r\n"
        );
        let body = [head.as_bytes(), file, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = agent(Duration::from_secs(60)).post(self.uri(path)).header("content-type", kind);
        let mut answer = request.send(&body[..]).expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", answer.body_mut().read_to_string());
    }
}

/// A door that leads each connection to the next of several, as the service in front of the pods of a set does.
pub(crate) struct RoundRobin {
    door: Door,
    is_over: Arc<AtomicBool>,
}

impl std::ops::Deref for RoundRobin {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl RoundRobin {
    pub(crate) fn over(doors: Vec<u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let http = listener.local_addr().expect("an address").port();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, next) = (Arc::clone(&is_over), AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let door = doors[next.fetch_add(1, Ordering::Relaxed) % doors.len()];
                stream.into_iter().for_each(|stream| drop(std::thread::spawn(move || pass(stream, door))));
            }
        });
        Self { door: Door { http }, is_over }
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // It looks when somebody comes.
        drop(TcpStream::connect(("127.0.0.1", self.http)));
    }
}

fn pass(from: TcpStream, door: u16) {
    let Ok(there) = TcpStream::connect(("127.0.0.1", door)) else { return };
    let (Ok(back), Ok(home)) = (there.try_clone(), from.try_clone()) else { return };
    std::thread::spawn(move || copy(back, home));
    copy(from, there);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other end may have gone first.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
