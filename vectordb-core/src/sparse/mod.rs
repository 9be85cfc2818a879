//! Sparse vectors: an inverted index from dimensions to the rows that have a value there.
//!
//! Rows are taken in blocks of 64. Long lists know the largest value of each block, so that a search bounds the score of every
//! block by a few additions, looks into the most promising blocks first, and is done when no other block can hold a better
//! row: block-max pruning (Mallia, Suel & Tonellotto 2024). The result is exact.
//!
//! Files: `rows` (the vectors row by row, as a file), `growing` (lists that a writer appends to), `postings` (lists as a
//! file), `search`.

mod growing;
mod postings;
mod rows;
mod search;

use parking_lot::RwLockReadGuard;

use crate::model::vector::SparseVector;

pub(crate) use growing::GrowingLists;
pub(crate) use postings::{Postings, write_postings};
pub(crate) use rows::{SparseRows, write_rows};
pub(crate) use search::{Eligible, search};

/// Rows of a block.
const BLOCK: usize = 64;

/// A sparse vector as it is stored.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SparseRow<'a> {
    /// Ascending, each once.
    pub(crate) indices: &'a [u32],
    pub(crate) values: &'a [f32],
}

impl<'a> SparseRow<'a> {
    pub(crate) fn of(vector: &'a SparseVector) -> Self {
        Self { indices: vector.indices(), values: vector.values() }
    }

    pub(crate) fn to_vector(self) -> SparseVector {
        // What is stored was checked when it came.
        SparseVector::new(self.indices.to_vec(), self.values.to_vec()).unwrap_or_default()
    }

    /// The dot product; nothing when no dimension is shared. `O(n log m)` for the shorter and the longer of the two.
    pub(crate) fn dot(&self, other: &Self) -> Option<f32> {
        let (short, long) = if self.indices.len() <= other.indices.len() { (self, other) } else { (other, self) };
        let (mut sum, mut shares, mut from) = (0.0, false, 0);
        for (index, value) in short.indices.iter().zip(short.values) {
            let rest = long.indices.get(from..).unwrap_or_default();
            // Most steps are short; a search from the front doubles its steps until it is past.
            let mut step = 1;
            while rest.get(step).is_some_and(|at| at < index) {
                step *= 2;
            }
            let window = rest.get(step / 2..rest.len().min(step + 1)).unwrap_or_default();
            from += step / 2 + window.partition_point(|at| at < index);
            if long.indices.get(from) == Some(index) {
                shares = true;
                sum += value * long.values[from];
            }
        }
        shares.then_some(sum)
    }
}

/// The rows that have a value at one dimension, ascending, and these values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct List<'a> {
    rows: &'a [u32],
    values: &'a [f32],
    /// The largest value, when none is negative.
    largest: Option<f32>,
    blocks: Option<Blocks<'a>>,
}

impl<'a> List<'a> {
    pub(crate) fn rows(&self) -> &'a [u32] {
        self.rows
    }
}

/// What a long list knows of its blocks.
#[derive(Debug, Clone, Copy)]
struct Blocks<'a> {
    /// Where each block's rows begin, and the end.
    starts: &'a [u32],
    /// The largest value of each block in 255ths of the list's largest, rounded up; 0 for blocks without rows.
    bounds: &'a [u8],
}

/// The lists of a field, wherever they are. As long as those of a growing segment are held, nothing is added to them.
#[derive(Debug)]
pub(crate) enum Lists<'a> {
    Growing(RwLockReadGuard<'a, GrowingLists>),
    Sealed(&'a Postings),
}

impl Lists<'_> {
    /// The list of a dimension; empty when no row has a value there.
    pub(crate) fn list(&self, index: u32) -> List<'_> {
        match self {
            Self::Growing(lists) => lists.list(index),
            Self::Sealed(postings) => postings.list(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_those_of_the_shared_dimensions() {
        let vector = |pairs: &[(u32, f32)]| {
            let (indices, values) = pairs.iter().copied().unzip();
            SparseVector::new(indices, values).expect("good")
        };
        let long: Vec<(u32, f32)> = (0..100).map(|at| (at * 3, at as f32)).collect();
        let (a, b) = (vector(&[(3, 2.0), (4, 9.0), (297, 1.0), (400, 1.0)]), vector(&long));
        let dot = |a: &SparseVector, b: &SparseVector| SparseRow::of(a).dot(&SparseRow::of(b));
        assert_eq!(dot(&a, &b), Some(2.0 + 99.0));
        assert_eq!(dot(&b, &a), Some(2.0 + 99.0));
        assert_eq!(dot(&vector(&[(1, 1.0)]), &b), None);
        assert_eq!(dot(&vector(&[]), &b), None);
        assert_eq!(dot(&vector(&[(0, 5.0)]), &b), Some(0.0));
    }
}
