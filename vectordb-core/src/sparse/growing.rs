//! Lists that a writer appends to.

use rustc_hash::FxHashMap;

use super::{List, SparseRow};
use crate::storage::heap;

/// The lists of a growing segment.
#[derive(Debug, Default)]
pub(crate) struct GrowingLists {
    lists: FxHashMap<u32, GrowingList>,
    entries: usize,
}

#[derive(Debug, Default)]
struct GrowingList {
    rows: Vec<u32>,
    values: Vec<f32>,
}

impl GrowingLists {
    /// Adds a row; rows come in ascending order.
    pub(crate) fn add(&mut self, row: u32, vector: SparseRow<'_>) {
        for (&index, &value) in vector.indices.iter().zip(vector.values) {
            let list = self.lists.entry(index).or_default();
            list.rows.push(row);
            list.values.push(value);
        }
        self.entries += vector.indices.len();
    }

    pub(super) fn list(&self, index: u32) -> List<'_> {
        let list = self.lists.get(&index);
        list.map_or_else(List::default, |list| List { rows: &list.rows, values: &list.values, largest: None, blocks: None })
    }

    /// Bytes of memory, about: lists double as they grow, so that a quarter of them is empty.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.lists.len() * (size_of::<(u32, GrowingList)>() + 2 * heap::block(16)) + self.entries * 8 * 4 / 3
    }
}
