//! A query over the rows of one field.

use std::borrow::Cow;

use super::{Rows, Space};
use crate::distance;

/// Rows scored by one call of a kernel: as many as the kernels' bookkeeping stays small against.
const BATCH: usize = 32;

/// A prepared query and the rows it is asked of.
#[derive(Debug)]
pub(crate) struct RowScorer<'a> {
    space: Space,
    query: Cow<'a, [f32]>,
    rows: Rows<'a>,
}

impl<'a> RowScorer<'a> {
    /// A user's query; its dimensions must be those of the space.
    pub(crate) fn new(space: Space, query: &'a [f32], rows: Rows<'a>) -> Self {
        Self { space, query: space.prepare(query), rows }
    }

    /// A stored row as the query.
    pub(crate) fn of_row(space: Space, row: u32, rows: Rows<'a>) -> Self {
        Self { space, query: space.row_as_query(rows.get(row)), rows }
    }

    /// Scores rows; larger is closer. `out` is as long as `rows`.
    pub(crate) fn score_many(&self, rows: &[u32], out: &mut [f32]) {
        for (rows, out) in rows.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let mut slices: [&[u8]; BATCH] = [&[]; BATCH];
            for (slice, &row) in slices.iter_mut().zip(rows) {
                *slice = self.rows.get(row);
            }
            self.space.kernel.score_many(&self.query, &slices[..rows.len()], out);
        }
    }

    pub(crate) fn score(&self, row: u32) -> f32 {
        self.space.kernel.score(&self.query, self.rows.get(row))
    }

    /// Asks the CPU to load a row that will be scored soon.
    #[inline]
    pub(crate) fn prefetch(&self, row: u32) {
        distance::prefetch(self.rows.get(row));
    }
}
