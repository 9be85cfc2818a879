//! A sum of what is in a collection: the same for the same points, however they are stored, in whatever order and in however many
//! shards.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vectordb_core::{Background, Clock, Collection, Database, DateTime, Options, Record, ScrollRequest, Vector};

use crate::error::{Result, ServiceError};

/// Records that are read at once.
const PAGE: usize = 1000;

/// The SHA-256 of every point (id, payload, vectors), added up as four numbers of 64 bits, and how many points there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest {
    points: u64,
    lanes: [u64; 4],
}

impl ContentDigest {
    /// How many points it is of.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Adds the points of another shard.
    pub(crate) fn add(&mut self, other: Self) {
        self.points += other.points;
        for (lane, other) in self.lanes.iter_mut().zip(other.lanes) {
            *lane = lane.wrapping_add(other);
        }
    }

    /// The sum of the points in a snapshot directory of the engine, as of a moment: what had expired by then does not count. The
    /// engine checks every checksum on the way. `scratch` is a directory for the time that this takes.
    ///
    /// # Errors
    /// Those of the engine, as for a damaged file.
    pub fn of_snapshot(snapshot: &Path, at: jiff::Timestamp, scratch: &Path) -> Result<Self> {
        let at = at.as_microsecond();
        let options = Options::default().background(Background::Manual).threads(1).clock(Clock::new(move || DateTime(at)));
        let db = Database::open_with(scratch, options)?;
        let shard = db.restore("shard", snapshot)?;
        let digest = digest_of(&shard)?;
        db.close()?;
        Ok(digest)
    }

    fn add_record(&mut self, record: &Record) -> Result<()> {
        let mut hash = Sha256::new();
        let id = serde_json::to_vec(&record.id).map_err(|error| ServiceError::internal(error.to_string()))?;
        part(&mut hash, &id);
        let payload = record.payload.as_ref().filter(|payload| !payload.is_empty());
        let payload = payload.map(serde_json::to_vec).transpose().map_err(|error| ServiceError::internal(error.to_string()))?;
        part(&mut hash, &payload.unwrap_or_default());
        for (name, vector) in record.vectors.iter().flat_map(|vectors| vectors.iter()) {
            part(&mut hash, name.as_bytes());
            match vector {
                Vector::Sparse(sparse) => {
                    part(&mut hash, &sparse.indices().iter().flat_map(|index| index.to_le_bytes()).collect::<Vec<u8>>());
                    numbers(&mut hash, sparse.values());
                }
                Vector::Multi(rows) => {
                    part(&mut hash, &(rows.dim() as u64).to_le_bytes());
                    numbers(&mut hash, rows.values());
                }
                Vector::Dense(values) => numbers(&mut hash, values),
                other => part(&mut hash, other.to_json().to_string().as_bytes()),
            }
        }
        let mut lanes = [0; 4];
        for (lane, bytes) in lanes.iter_mut().zip(hash.finalize().chunks_exact(8)) {
            *lane = bytes.iter().fold(0, |lane, byte| (lane << 8) | u64::from(*byte));
        }
        self.add(Self { points: 1, lanes });
        Ok(())
    }
}

/// Something of a length of its own, so that no two sequences of parts are one sequence of bytes.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn numbers(hash: &mut Sha256, values: &[f32]) {
    part(hash, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
}

/// The sum of a shard's points.
pub(crate) fn digest_of(shard: &Collection) -> Result<ContentDigest> {
    let mut digest = ContentDigest::default();
    let mut request = ScrollRequest { limit: PAGE, with_payload: true.into(), with_vectors: true.into(), ..ScrollRequest::default() };
    loop {
        let page = shard.scroll(&request)?;
        page.records.iter().try_for_each(|record| digest.add_record(record))?;
        match page.next_offset {
            Some(next) => request.offset = Some(next),
            None => return Ok(digest),
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.points)?;
        self.lanes.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(points, sum)| {
            let mut lanes = [0; 4];
            if sum.len() != 64 || !sum.is_ascii() {
                return None;
            }
            for (at, lane) in lanes.iter_mut().enumerate() {
                *lane = u64::from_str_radix(&sum[at * 16..][..16], 16).ok()?;
            }
            Some(Self { points: points.parse().ok()?, lanes })
        });
        parsed.ok_or_else(|| format!("`{text}` is no digest"))
    }
}

#[cfg(test)]
mod tests {
    use vectordb_core::Point;

    use super::*;

    fn collection(points: &[(u64, [f32; 2], i64)]) -> (Database, Collection) {
        let db = Database::in_memory().expect("a database");
        let collection = db.collection("c").dim(2).create().expect("a collection");
        for (id, vector, n) in points {
            collection.upsert([Point::new(*id, *vector).with("n", *n)]).expect("a write");
        }
        (db, collection)
    }

    #[test]
    fn the_order_and_the_shards_do_not_matter_but_every_part_of_a_point_does() {
        let all = [(1, [1.0, 0.0], 1), (2, [0.0, 1.0], 2), (3, [0.6, 0.8], 3)];
        let of = |points: &[(u64, [f32; 2], i64)]| digest_of(&collection(points).1).expect("a digest");
        let whole = of(&all);
        assert_eq!(whole, of(&[all[2], all[0], all[1]]));
        let mut parts = of(&all[..1]);
        parts.add(of(&all[1..]));
        assert_eq!(whole, parts);
        assert_eq!(whole.points(), 3);
        for (at, other) in [(0, (9, [1.0, 0.0], 1)), (1, (2, [1.0, 0.0], 2)), (2, (3, [0.6, 0.8], 4))] {
            let mut changed = all;
            changed[at] = other;
            assert_ne!(whole, of(&changed), "{other:?}");
        }
        let text = whole.to_string();
        assert_eq!(ContentDigest::try_from(text.clone()), Ok(whole), "{text}");
        assert!(ContentDigest::try_from(text.replace('-', "")).is_err());
    }

    #[test]
    fn a_snapshot_has_the_digest_of_its_collection() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = Database::open(dir.path().join("db")).expect("a database");
        let collection = db.collection("c").dim(2).create().expect("a collection");
        collection.upsert((0..50).map(|n| Point::new(n, [1.0, 0.5]))).expect("a write");
        let expected = digest_of(&collection).expect("a digest");
        collection.snapshot(dir.path().join("snapshot")).expect("a snapshot");
        collection.upsert([Point::new(99, [0.0, 1.0])]).expect("a later write");
        let found = ContentDigest::of_snapshot(&dir.path().join("snapshot"), jiff::Timestamp::now(), &dir.path().join("scratch"));
        assert_eq!(found.expect("a digest"), expected);
    }
}
