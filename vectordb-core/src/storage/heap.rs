//! What structures take on the heap.
//!
//! Sizes are those of the common allocators: a header of eight bytes and rounding to sixteen for each block. Where a structure
//! does not tell how full its nodes are, that of insertion in ascending order is assumed, which is how ours are filled.

use roaring::RoaringBitmap;
use serde_json::Value;

/// Entries of a full leaf of a `BTreeMap`, and those that an ascending fill leaves in it, the one above it included.
const LEAF: usize = 11;
const LEAF_FILLED: usize = 7;
/// Bytes of a container of a bitmap, its content aside, and of one that is a bitmap itself.
const CONTAINER: usize = 40;
const BITSET: usize = 8192;

/// A block of so many bytes.
pub(crate) fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// A vector's elements, what they own aside.
pub(crate) fn vec<T>(capacity: usize) -> usize {
    block(capacity * size_of::<T>())
}

/// The nodes of a tree of so many entries, what they own aside.
pub(crate) fn tree<K, V>(len: usize) -> usize {
    let leaf = LEAF * (size_of::<K>() + size_of::<V>()) + 16;
    match len {
        0 => 0,
        1..=LEAF => block(leaf),
        _ => {
            let leaves = len.div_ceil(LEAF_FILLED);
            leaves * block(leaf) + leaves.div_ceil(LEAF_FILLED - 1) * block(leaf + (LEAF + 1) * 8)
        }
    }
}

/// A bitmap's containers.
pub(crate) fn bitmap(rows: &RoaringBitmap) -> usize {
    let has = rows.statistics();
    // The statistics count four bytes for each number of an array, which takes two.
    let arrays = has.n_bytes_array_containers as usize / 2 + has.n_array_containers as usize * 16;
    let runs = has.n_bytes_run_containers as usize + has.n_run_containers as usize * 16;
    vec_of_containers(has.n_containers as usize) + arrays + runs + has.n_bitset_containers as usize * block(BITSET)
}

fn vec_of_containers(count: usize) -> usize {
    block(count * CONTAINER)
}

/// A payload.
pub(crate) fn payload(map: &serde_json::Map<String, Value>) -> usize {
    let owned: usize = map.iter().map(|(key, value)| block(key.capacity()) + json(value)).sum();
    tree::<String, Value>(map.len()) + owned
}

/// What a JSON value owns.
fn json(value: &Value) -> usize {
    match value {
        Value::String(text) => block(text.capacity()),
        Value::Array(items) => vec::<Value>(items.capacity()) + items.iter().map(json).sum::<usize>(),
        Value::Object(map) => payload(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_a_header_and_are_rounded() {
        assert_eq!([0, 1, 24, 25, 40, 1000].map(block), [0, 32, 32, 48, 48, 1008]);
    }

    #[test]
    fn a_payload_of_one_key_takes_a_whole_leaf() {
        let Value::Object(map) = serde_json::json!({ "year": 1 }) else { panic!("an object") };
        assert!((640..800).contains(&payload(&map)), "{}", payload(&map));
        assert_eq!(payload(&serde_json::Map::new()), 0);
    }

    #[test]
    fn bitmaps_are_counted_by_their_containers() {
        let dense: RoaringBitmap = (0..200_000).filter(|row| row % 3 != 0).collect();
        assert!((4 * BITSET..5 * BITSET).contains(&bitmap(&dense)), "{}", bitmap(&dense));
        assert!(bitmap(&RoaringBitmap::from_iter([7])) < 128);
    }
}
