//! The candidate list of a walk: the best rows found so far, and which of them were expanded.
//!
//! One sorted array serves as candidates and as results. Up to some hundred entries, moving a few cache lines beats two
//! binary heaps.

/// Marks an entry whose neighbours were looked at. Rows stay below it: a segment has fewer than 2^31.
const EXPANDED: u32 = 1 << 31;

#[derive(Debug, Clone, Copy)]
struct Entry {
    score: f32,
    row: u32,
}

#[derive(Debug)]
pub(super) struct Pool {
    entries: Vec<Entry>,
    capacity: usize,
    /// Only the best so many are expanded.
    window: usize,
    /// All entries before this one are expanded.
    cursor: usize,
}

impl Pool {
    pub(super) fn new(capacity: usize) -> Self {
        Self::with_window(capacity, capacity)
    }

    /// A pool that keeps more than the walk expands.
    pub(super) fn with_window(window: usize, capacity: usize) -> Self {
        // The capacity comes from a user's `ef`; memory grows with what is found, not with what is asked.
        Self { entries: Vec::with_capacity(capacity.min(1024) + 1), capacity, window, cursor: 0 }
    }

    /// The score a row must beat to enter.
    #[inline]
    pub(super) fn bound(&self) -> f32 {
        if self.entries.len() < self.capacity { f32::NEG_INFINITY } else { self.entries.last().map_or(f32::INFINITY, |last| last.score) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.capacity
    }

    /// Adds a row if it is good enough.
    #[inline]
    pub(super) fn insert(&mut self, score: f32, row: u32) {
        if self.entries.len() >= self.capacity {
            if score <= self.bound() {
                return;
            }
            self.entries.pop();
        }
        let at = self.entries.partition_point(|entry| entry.score >= score);
        self.entries.insert(at, Entry { score, row });
        self.cursor = self.cursor.min(at);
    }

    /// The best row not expanded yet, which counts as expanded from now on.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(f32, u32)> {
        while self.cursor < self.window
            && let Some(entry) = self.entries.get_mut(self.cursor)
        {
            self.cursor += 1;
            if entry.row & EXPANDED == 0 {
                let found = (entry.score, entry.row);
                entry.row |= EXPANDED;
                return Some(found);
            }
        }
        None
    }

    /// The row that `next` would give.
    #[inline]
    pub(super) fn peek(&self) -> Option<u32> {
        self.entries.get(self.cursor..self.window.min(self.entries.len()))?.iter().map(|entry| entry.row).find(|row| row & EXPANDED == 0)
    }

    /// Scores and rows, best first.
    pub(super) fn into_sorted(self) -> impl Iterator<Item = (f32, u32)> {
        self.entries.into_iter().map(|entry| (entry.score, entry.row & !EXPANDED))
    }
}
