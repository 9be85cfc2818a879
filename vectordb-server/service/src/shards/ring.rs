//! The shard of a point.

use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use vectordb_core::PointId;

/// The number of a shard in its collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a part of a collection whose points the user assigns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ShardKey {
    /// A number.
    Number(u64),
    /// A word.
    Keyword(String),
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Keyword(word) => write!(f, "\"{word}\""),
        }
    }
}

/// The shard with the highest weight for a point; the first if there are none.
///
/// The weights are part of the format: points are looked for where they were put.
pub(crate) fn shard_of(id: &PointId, shards: &[ShardId]) -> usize {
    if shards.len() < 2 {
        return 0;
    }
    let hash = hash_of(id);
    let weight = |shard: ShardId| mixed(hash ^ u64::from(shard.0).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let best = shards.iter().enumerate().max_by_key(|&(_, &shard)| weight(shard));
    best.map_or(0, |(position, _)| position)
}

fn hash_of(id: &PointId) -> u64 {
    let mut hasher = SipHasher13::new();
    match id {
        PointId::Num(number) => hasher.write(&number.to_le_bytes()),
        PointId::Uuid(uuid) => hasher.write(uuid.as_bytes()),
        PointId::Str(text) => hasher.write(text.as_bytes()),
    }
    hasher.finish()
}

/// A permutation of 64-bit numbers in which every bit depends on every other (the finisher of `MurmurHash3`, Appleby 2011).
pub(super) fn mixed(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> impl Iterator<Item = PointId> {
        (0..30_000u64).map(PointId::from)
    }

    #[test]
    fn points_are_spread_evenly() {
        let shards: Vec<ShardId> = (0..3).map(ShardId).collect();
        let mut counts = [0; 3];
        ids().for_each(|id| counts[shard_of(&id, &shards)] += 1);
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
    }

    #[test]
    fn one_shard_more_moves_only_what_moves_into_it() {
        let (three, four): (Vec<ShardId>, Vec<ShardId>) = ((0..3).map(ShardId).collect(), (0..4).map(ShardId).collect());
        let moved: Vec<usize> = ids()
            .filter_map(|id| {
                let (old, new) = (shard_of(&id, &three), shard_of(&id, &four));
                (old != new).then_some(new)
            })
            .collect();
        assert!(moved.iter().all(|&shard| shard == 3));
        assert!((7_000..8_000).contains(&moved.len()), "{}", moved.len());
    }

    #[test]
    fn places_do_not_change_between_versions() {
        let shards: Vec<ShardId> = (0..5).map(ShardId).collect();
        let places: Vec<usize> = (0..8u64).map(|id| shard_of(&id.into(), &shards)).collect();
        let uuid = PointId::from("0b8d3c0e-5a3c-4c69-8f0c-2b5a0f3f8c11");
        assert_eq!((places, shard_of(&uuid, &shards)), (vec![2, 0, 0, 3, 1, 4, 1, 3], 2));
    }
}
