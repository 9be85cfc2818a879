//! The candidate list of a walk: the best rows found so far, and which of them were expanded.
//!
//! One sorted array serves as candidates and as results. Up to some hundred entries, moving a few cache lines beats two
//! binary heaps.

/// Marks an entry whose neighbours were looked at. Rows stay below it: a segment has fewer than 2^31.
const EXPANDED: u32 = 1 << 31;
/// Longest list in which a place is found by counting.
const COUNTED: usize = 128;

#[derive(Debug)]
pub(super) struct Pool {
    /// Descending.
    scores: Vec<f32>,
    /// The row of each score.
    rows: Vec<u32>,
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
        let room = capacity.min(1024) + 1;
        Self { scores: Vec::with_capacity(room), rows: Vec::with_capacity(room), capacity, window, cursor: 0 }
    }

    /// The score a row must beat to enter.
    #[inline]
    pub(super) fn bound(&self) -> f32 {
        if self.scores.len() < self.capacity { f32::NEG_INFINITY } else { self.scores.last().copied().unwrap_or(f32::INFINITY) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.scores.len() >= self.capacity
    }

    /// Adds a row if it is good enough; true when it is the next to be expanded.
    #[inline]
    pub(super) fn insert(&mut self, score: f32, row: u32) -> bool {
        if self.scores.len() >= self.capacity {
            if score <= self.bound() {
                return false;
            }
            self.scores.pop();
            self.rows.pop();
        }
        let at = self.place(score);
        self.scores.insert(at, score);
        self.rows.insert(at, row);
        let next = at <= self.cursor;
        self.cursor = self.cursor.min(at);
        next
    }

    /// Behind all scores that are at least as good. Counting them takes a few vector instructions; halving the list again and
    /// again takes as many steps that wait for each other.
    #[inline]
    fn place(&self, score: f32) -> usize {
        if self.scores.len() > COUNTED {
            return self.scores.partition_point(|&other| other >= score);
        }
        self.scores.iter().map(|&other| u32::from(other >= score)).sum::<u32>() as usize
    }

    /// The best row not expanded yet, which counts as expanded from now on.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(f32, u32)> {
        while self.cursor < self.window
            && let Some(row) = self.rows.get_mut(self.cursor)
        {
            self.cursor += 1;
            if *row & EXPANDED == 0 {
                let found = *row;
                *row |= EXPANDED;
                return Some((self.scores[self.cursor - 1], found));
            }
        }
        None
    }

    /// The row that `next` would give.
    #[inline]
    pub(super) fn peek(&self) -> Option<u32> {
        self.rows.get(self.cursor..self.window.min(self.rows.len()))?.iter().copied().find(|row| row & EXPANDED == 0)
    }

    /// Scores and rows, best first.
    pub(super) fn into_sorted(self) -> impl Iterator<Item = (f32, u32)> {
        self.scores.into_iter().zip(self.rows).map(|(score, row)| (score, row & !EXPANDED))
    }
}
