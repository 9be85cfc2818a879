//! A query over the rows of one field: over the vectors themselves, or over their codes.

use std::borrow::Cow;

use super::{Rows, Space};
use crate::distance::{self, CodeKernel, CodeQuery, CodeRows};
use crate::quantization::{Codec, Codes};

/// Rows scored by one call of a kernel: as many as the kernels' bookkeeping stays small against.
const BATCH: usize = 32;

/// Tells how close rows are to a query; larger is closer.
pub(crate) trait Scorer {
    /// Scores rows. `out` is as long as `rows`.
    fn score_many(&self, rows: &[u32], out: &mut [f32]);

    /// Asks the CPU to load a row that will be scored soon.
    fn prefetch(&self, row: u32);

    fn score(&self, row: u32) -> f32 {
        let mut out = [0.0];
        self.score_many(&[row], &mut out);
        out[0]
    }
}

/// Rows that can be compared with each other, as building a graph needs it.
pub(crate) trait RowSet: Sync {
    type Scorer<'a>: Scorer
    where
        Self: 'a;

    /// A stored row as the query.
    fn scorer_of(&self, row: u32) -> Self::Scorer<'_>;
}

/// The vectors of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Originals<'a> {
    pub(crate) space: Space,
    pub(crate) rows: Rows<'a>,
}

impl RowSet for Originals<'_> {
    type Scorer<'a>
        = RowScorer<'a>
    where
        Self: 'a;

    fn scorer_of(&self, row: u32) -> RowScorer<'_> {
        RowScorer { space: self.space, query: self.space.row_as_query(self.rows.get(row)), rows: self.rows }
    }
}

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
}

impl Scorer for RowScorer<'_> {
    fn score_many(&self, rows: &[u32], out: &mut [f32]) {
        for (rows, out) in rows.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let mut slices: [&[u8]; BATCH] = [&[]; BATCH];
            for (slice, &row) in slices.iter_mut().zip(rows) {
                *slice = self.rows.get(row);
            }
            self.space.kernel.score_many(&self.query, &slices[..rows.len()], out);
        }
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        distance::prefetch(self.rows.get(row));
    }
}

/// Codes that can be compared with each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeSet<'a> {
    pub(crate) codec: &'a Codec,
    pub(crate) rows: CodeRows<'a>,
}

impl RowSet for CodeSet<'_> {
    type Scorer<'a>
        = CodeScorer<'a>
    where
        Self: 'a;

    fn scorer_of(&self, row: u32) -> CodeScorer<'_> {
        let mut query = CodeQuery { width: self.codec.width(), values: Vec::new(), scale: 0.0, offset: 0.0, bias: 0.0 };
        self.codec.query_of_row(self.rows.get(row), &mut query);
        CodeScorer { kernel: self.codec.kernel(), query, rows: self.rows }
    }
}

/// A query over codes: its scores are estimates.
#[derive(Debug)]
pub(crate) struct CodeScorer<'a> {
    kernel: CodeKernel,
    query: CodeQuery,
    rows: CodeRows<'a>,
}

impl<'a> CodeScorer<'a> {
    /// A user's query over the codes of a field of this space.
    pub(crate) fn new(space: Space, query: &[f32], codes: &'a Codes) -> Self {
        Self { kernel: codes.codec().kernel(), query: codes.codec().query(&space.prepare(query)), rows: codes.rows() }
    }
}

impl Scorer for CodeScorer<'_> {
    #[inline]
    fn score_many(&self, rows: &[u32], out: &mut [f32]) {
        self.kernel.score_many(&self.query, self.rows, rows, out);
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        self.rows.prefetch(row);
    }
}
