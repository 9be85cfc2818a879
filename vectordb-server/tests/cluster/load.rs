//! Clients that write and read while nodes are in trouble.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::history::{History, Written};
use crate::nodes::{Node, Nodes};

/// A little randomness that is the same every time (xorshift, Marsaglia 2003).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

const TIMEOUT: Duration = Duration::from_secs(15);

/// What the clients saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) history: Mutex<History>,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) in_doubt: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) failed_reads: AtomicU64,
    /// Longest time between two acknowledged writes of one client, in milliseconds.
    pub(crate) longest_gap: AtomicU64,
    serial: AtomicU64,
}

/// One of some nodes, if there are any.
fn somebody(of: &[Arc<Node>], dice: &mut Dice) -> Option<Arc<Node>> {
    of.get(usize::try_from(dice.below(of.len().max(1) as u64)).unwrap_or(0)).cloned()
}

/// Writes points of its own until told to stop: new ones, changed ones, and deletions.
pub(crate) fn write(nodes: &Nodes, collection: &str, client: u64, seen: &Seen, stop: &AtomicBool) {
    let mut dice = Dice(0x9E37_79B9 + client * 7919);
    let mut fresh = 0;
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        // Who is cut off may take a write as well; that it is done it must not say then.
        let Some(node) = somebody(&nodes.running(), &mut dice) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        if dice.below(4) == 0 {
            fresh += 1;
        }
        let keys: Vec<u64> = (0..=dice.below(3)).map(|_| client * 1_000_000 + dice.below(fresh + 1)).collect();
        let mut keys: Vec<u64> = keys.into_iter().filter(|&key| !seen.history.lock().is_in_doubt(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            fresh += 1;
            continue;
        }
        let serials: Vec<u64> = keys.iter().map(|_| seen.serial.fetch_add(1, Ordering::Relaxed)).collect();
        let known: Option<Vec<u64>> = keys.iter().map(|&key| seen.history.lock().serial(key)).collect();
        let change = Change::of(&mut dice, known.is_some());
        if change.is_payload() {
            // One payload for several would have one number, and a filter that is meant for one of them would hold for all.
            keys.truncate(1);
        }
        for (&key, &serial) in keys.iter().zip(&serials) {
            seen.history.lock().tries(key, if change.is_deletion() { Written::Deleted } else { Written::Serial(serial) });
        }
        let mut known = known.unwrap_or_default();
        known.truncate(keys.len());
        let (method, path, body) = change.request(&keys, &serials, &known);
        let path = format!("/collections/{collection}/points{path}?wait=true");
        match node.send(method, &path, &body, TIMEOUT) {
            Some((200, answer)) if answer["result"]["status"] == "completed" => {
                keys.iter().for_each(|&key| seen.history.lock().acknowledged(key));
                seen.acknowledged.fetch_add(1, Ordering::Relaxed);
                seen.longest_gap.fetch_max(last.elapsed().as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
                last = Instant::now();
            }
            other => {
                // Of whom nothing happens to, an answer is worth a look.
                if node.is_well.load(Ordering::Acquire) {
                    eprintln!("a write by {} is in doubt: {other:?}", node.http);
                }
                seen.in_doubt.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a writer does to some keys.
#[derive(Clone, Copy)]
enum Change {
    Upsert,
    Delete,
    DeleteByFilter,
    SetPayload,
    SetPayloadByFilter,
}

impl Change {
    /// Payloads are changed, and filters used, where the keys have numbers that are known.
    fn of(dice: &mut Dice, known: bool) -> Self {
        match (dice.below(16), known) {
            (0, _) => Self::Delete,
            (1, true) => Self::DeleteByFilter,
            (2 | 3, true) => Self::SetPayload,
            (4, true) => Self::SetPayloadByFilter,
            _ => Self::Upsert,
        }
    }

    fn is_deletion(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteByFilter)
    }

    fn is_payload(self) -> bool {
        matches!(self, Self::SetPayload | Self::SetPayloadByFilter)
    }

    fn request(self, keys: &[u64], serials: &[u64], known: &[u64]) -> (&'static str, &'static str, Value) {
        let filter = json!({"must": [{"key": "serial", "match": {"any": known}}]});
        match self {
            Self::Delete => ("POST", "/delete", json!({"points": keys})),
            Self::DeleteByFilter => ("POST", "/delete", json!({"filter": filter})),
            Self::SetPayload => ("POST", "/payload", json!({"points": keys, "payload": {"serial": serials[0]}})),
            Self::SetPayloadByFilter => ("POST", "/payload", json!({"filter": filter, "payload": {"serial": serials[0]}})),
            Self::Upsert => {
                let points: Vec<Value> = keys.iter().zip(serials).map(|(&key, &serial)| point(key, serial)).collect();
                ("PUT", "", json!({"points": points}))
            }
        }
    }
}

/// Writes points of a client that writes nothing else, all at once.
pub(crate) fn fill(node: &Node, collection: &str, client: u64, count: u64, seen: &Seen) {
    let points: Vec<Value> = (0..count).map(|key| point(client * 1_000_000 + key, seen.serial.fetch_add(1, Ordering::Relaxed))).collect();
    let mut history = seen.history.lock();
    for point in &points {
        let number = |of: &Value| of.as_u64().expect("a number");
        history.tries(number(&point["id"]), Written::Serial(number(&point["payload"]["serial"])));
        history.acknowledged(number(&point["id"]));
    }
    node.ok("PUT", &format!("/collections/{collection}/points?wait=true"), &json!({"points": points}));
}

pub(crate) fn point(key: u64, serial: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let vector = [key as f32, serial as f32, 1.0, 2.0];
    json!({"id": key, "vector": vector, "payload": {"serial": serial, "first": serial}})
}

/// Reads until told to stop, through nodes that nobody disturbs.
pub(crate) fn read(nodes: &Nodes, collection: &str, client: u64, seen: &Seen, stop: &AtomicBool) {
    let mut dice = Dice(77 + client);
    while !stop.load(Ordering::Acquire) {
        let Some(node) = somebody(&nodes.well(), &mut dice) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let vector = json!([dice.below(1000), dice.below(1000), 1, 2]);
        let body = json!({"query": vector, "limit": 5, "with_payload": true});
        let answer = node.send("POST", &format!("/collections/{collection}/points/query"), &body, TIMEOUT);
        // Who was disturbed meanwhile may fail.
        if node.is_well.load(Ordering::Acquire) {
            seen.reads.fetch_add(1, Ordering::Relaxed);
            if answer.as_ref().is_none_or(|(status, _)| *status != 200) && node.is_well.load(Ordering::Acquire) {
                eprintln!("a read failed: {answer:?}");
                seen.failed_reads.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The serial numbers of a dump, each of which must stand with the vector that was written with it, or before it.
pub(crate) fn serials(dump: &[Value]) -> BTreeMap<u64, u64> {
    let of = |stored: &Value| {
        let (key, serial) = (stored["id"].as_u64().expect("a number"), stored["payload"]["serial"].as_u64().expect("a serial"));
        let whole = point(key, stored["payload"]["first"].as_u64().expect("a serial"));
        let numbers = |of: &Value| of.as_array().map(|vector| vector.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
        assert_eq!(numbers(&stored["vector"]), numbers(&whole["vector"]), "{stored}");
        (key, serial)
    };
    dump.iter().map(of).collect()
}
