//! Which rows a walk has seen.
//!
//! A bitset takes an eighth of a byte a row and stays in cache; clearing it by the list of touched words costs what the walk
//! touched, where a memset would cost the segment's size on every query.

use crossbeam::queue::ArrayQueue;

#[derive(Debug, Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    touched: Vec<u32>,
}

impl Visited {
    /// Marks a row; false when it was marked before, or does not exist.
    #[inline]
    pub(super) fn insert(&mut self, row: u32) -> bool {
        let (word, bit) = (row >> 6, 1u64 << (row & 63));
        let Some(slot) = self.words.get_mut(word as usize) else { return false };
        if *slot & bit != 0 {
            return false;
        }
        if *slot == 0 {
            self.touched.push(word);
        }
        *slot |= bit;
        true
    }

    fn clear(&mut self) {
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
    }
}

/// Sets that wait to be used again, so that a query allocates nothing.
#[derive(Debug)]
pub(super) struct VisitedPool {
    rows: usize,
    idle: ArrayQueue<Visited>,
}

impl VisitedPool {
    pub(super) fn new(rows: usize) -> Self {
        Self { rows, idle: ArrayQueue::new(64) }
    }

    /// Bytes of the sets that wait.
    pub(super) fn memory_bytes(&self) -> usize {
        self.idle.len() * self.rows.div_ceil(8)
    }

    /// Runs with an empty set.
    pub(super) fn with<T>(&self, run: impl FnOnce(&mut Visited) -> T) -> T {
        let mut visited = self.idle.pop().unwrap_or_else(|| Visited { words: vec![0; self.rows.div_ceil(64)], touched: Vec::new() });
        let result = run(&mut visited);
        visited.clear();
        // A full queue means more walks at once than sets worth keeping; this one is simply dropped.
        let _ = self.idle.push(visited);
        result
    }
}
