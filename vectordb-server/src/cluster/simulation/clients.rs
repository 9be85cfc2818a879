//! Clients: each writes keys of its own, one after the other, and leaves a key alone once it does not know what became of a write.

use vectordb_benches::synthetic::Random;
use vectordb_core::{Point, PointId, Update, UpsertMode};

use super::super::replica::Work;
use super::history::{History, Written};

/// Keys of one client.
const KEYS: u64 = 1000;
/// Keys that it comes back to.
const FEW: u64 = 12;
/// The field with the serial number.
pub(super) const FIELD: &str = "serial";

/// A write on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) client: usize,
    pub(super) key: u64,
    pub(super) written: Written,
    /// Counts the client's tries; the answer to an earlier one comes too late.
    pub(super) attempt: u64,
    /// When the client gives up.
    pub(super) until: u64,
}

impl Asked {
    pub(super) fn work(&self) -> Work {
        let update = match self.written {
            Written::Serial(serial) => {
                let point = Point::new(self.key, [1.0, self.key as f32]).with(FIELD, serial);
                Update::Upsert { points: vec![point], mode: UpsertMode::Upsert, condition: None }
            }
            Written::Deleted => Update::Delete(vectordb_core::Target::Ids(vec![PointId::Num(self.key)])),
        };
        Work::Updates(vec![update])
    }
}

#[derive(Debug, Default)]
pub(super) struct Client {
    number: usize,
    /// Keys that it has given up come before.
    first: u64,
    pub(super) attempt: u64,
    /// What it waits for.
    pub(super) asked: Option<Asked>,
}

impl Client {
    pub(super) fn new(number: usize) -> Self {
        Self { number, ..Self::default() }
    }

    /// Its next write.
    pub(super) fn next(&mut self, random: &mut Random, history: &mut History, serial: u64, until: u64) -> Asked {
        let base = self.number as u64 * KEYS;
        let mut key = base + self.first + random.below(FEW);
        while history.is_in_doubt(key) {
            self.first += 1;
            key = base + self.first + random.below(FEW);
        }
        let deletes = history.serial(key).is_some() && random.below(8) == 0;
        let written = if deletes { Written::Deleted } else { Written::Serial(serial) };
        history.tries(key, written);
        self.attempt += 1;
        let asked = Asked { client: self.number, key, written, attempt: self.attempt, until };
        self.asked = Some(asked);
        asked
    }
}
