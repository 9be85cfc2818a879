//! Which rows a walk has seen.
//!
//! A bitset takes an eighth of a byte a row and stays in cache. It is cleared by the list of rows seen, where that is
//! shorter than the set: a walk then costs what it touched, however large the segment is.

use crossbeam::queue::ArrayQueue;

#[derive(Debug)]
pub(super) struct Visited {
    /// A bit for each row, and a last word that is always full: it stands for all rows that do not exist.
    words: Vec<u64>,
    seen: Vec<u32>,
}

impl Visited {
    fn new(rows: usize) -> Self {
        let mut words = vec![0; rows.div_ceil(64) + 1];
        if let Some(last) = words.last_mut() {
            *last = u64::MAX;
        }
        Self { words, seen: Vec::new() }
    }

    /// Marks a row; false when it was marked before, or does not exist.
    #[inline]
    pub(super) fn insert(&mut self, row: u32) -> bool {
        let new = self.mark(row);
        if new {
            self.seen.push(row);
        }
        new
    }

    #[inline]
    fn mark(&mut self, row: u32) -> bool {
        let at = (row as usize >> 6).min(self.words.len() - 1);
        let (word, bit) = (&mut self.words[at], 1 << (row & 63));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Marks rows and puts those that were not marked before at the front of `fresh`; returns how many they are.
    ///
    /// About half of a walk's neighbours were seen before, which no branch predictor can know; so there is no branch.
    #[inline]
    pub(super) fn insert_all(&mut self, rows: &[u32], fresh: &mut [u32; MOST_NEIGHBOURS]) -> usize {
        let mut count = 0;
        for &row in rows.iter().take(MOST_NEIGHBOURS) {
            fresh[count] = row;
            count += usize::from(self.mark(row));
        }
        self.seen.extend_from_slice(&fresh[..count]);
        count
    }

    fn clear(&mut self) {
        let last = self.words.len() - 1;
        if self.seen.len() > last / 2 {
            self.words[..last].fill(0);
        } else {
            for &row in &self.seen {
                self.words[row as usize >> 6] = 0;
            }
        }
        self.seen.clear();
    }
}

/// Neighbours of a row that are looked at together.
pub(super) const MOST_NEIGHBOURS: usize = 64;

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
        let mut visited = self.idle.pop().unwrap_or_else(|| Visited::new(self.rows));
        let result = run(&mut visited);
        visited.clear();
        // A full queue means more walks at once than sets worth keeping; this one is simply dropped.
        let _ = self.idle.push(visited);
        result
    }
}
