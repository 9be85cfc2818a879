//! The ways between nodes: each leads through this process, which sees who comes, and can cut it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How often a way looks whether it is cut, or the test is over.
const GLANCE: Duration = Duration::from_millis(20);
/// Bytes of the head of a request, at most.
const HEAD: usize = 16 << 10;

/// Between which peers nothing passes, and the end of all ways.
#[derive(Default)]
pub(crate) struct Links {
    /// The smaller number first.
    cut: Mutex<BTreeSet<(u64, u64)>>,
    is_over: AtomicBool,
}

fn pair(one: u64, other: u64) -> (u64, u64) {
    (one.min(other), one.max(other))
}

impl Links {
    /// What is on its way between two peers does not arrive until they are joined again; then it does, late.
    pub(crate) fn cut(&self, one: u64, other: u64) {
        self.cut.lock().insert(pair(one, other));
    }

    /// Joins all.
    pub(crate) fn heal(&self) {
        self.cut.lock().clear();
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    fn is_cut(&self, one: u64, other: u64) -> bool {
        self.cut.lock().contains(&pair(one, other))
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Leads those who come to a listener to the door of a peer.
    pub(crate) fn lead(self: &Arc<Self>, listener: TcpListener, to: u64, door: u16) {
        let links = Arc::clone(self);
        listener.set_nonblocking(true).expect("a listener");
        std::thread::spawn(move || {
            while !links.is_over() {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let links = Arc::clone(&links);
                        std::thread::spawn(move || links.pass(stream, to, door));
                    }
                    Err(_) => std::thread::sleep(GLANCE / 4),
                }
            }
        });
    }

    /// One connection, which is as broken as its ends are.
    fn pass(self: Arc<Self>, mut from: TcpStream, to: u64, door: u16) {
        from.set_nonblocking(false).expect("a stream");
        from.set_nodelay(true).expect("a stream");
        let Some((head, peer)) = head(&mut from) else { return };
        if !self.waits(peer, to) {
            return;
        }
        let Ok(mut there) = TcpStream::connect(("127.0.0.1", door)) else { return };
        there.set_nodelay(true).expect("a stream");
        if there.write_all(&head).is_err() {
            return;
        }
        let (Ok(back), Ok(home)) = (there.try_clone(), from.try_clone()) else { return };
        let links = Arc::clone(&self);
        std::thread::spawn(move || links.copy(back, home, peer, to));
        self.copy(from, there, peer, to);
    }

    /// Waits while two peers are cut off from each other; false when the test is over.
    fn waits(&self, one: u64, other: u64) -> bool {
        while self.is_cut(one, other) && !self.is_over() {
            std::thread::sleep(GLANCE);
        }
        !self.is_over()
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, one: u64, other: u64) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            // What arrives late arrives whole, and so does the end.
            if !self.waits(one, other) || read == 0 || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // The other end may have gone first.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }
}

/// The head of the first request, as far as it has come, and the peer that says in it who it is.
fn head(from: &mut TcpStream) -> Option<(Vec<u8>, u64)> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = from.read(&mut buffer).ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&head);
        if text.contains("\r\n\r\n") {
            let peer = text.split("(peer ").nth(1).and_then(|rest| rest.split(')').next()).and_then(|peer| peer.parse().ok());
            // Who does not say it is none of those that can be cut off.
            return Some((head, peer.unwrap_or(0)));
        }
        if head.len() > HEAD {
            return None;
        }
    }
}
