//! A query over the rows of one field: over the vectors themselves, or over their codes.

use std::borrow::Cow;

use super::{Groups, Rows, Space};
use crate::distance::{self, CodeKernel, CodeQuery, CodeRows};
use crate::model::vector::Vector;
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

/// The closeness of points of several rows to a query of several vectors: the sum, over the query's vectors, of the best score
/// among the point's rows, or the mean. `score` scores rows against one of the query's vectors.
fn max_sim<Q>(asked: &Several<'_, Q>, points: &[u32], out: &mut [f32], score: impl Fn(&Q, &[u32], &mut [f32])) {
    let Several { queries, groups, share } = asked;
    let mut best = vec![f32::NEG_INFINITY; queries.len()];
    let (mut rows, mut scores) = ([0; BATCH], [0.0; BATCH]);
    for (&point, out) in points.iter().zip(out) {
        best.fill(f32::NEG_INFINITY);
        let range = groups.range(point);
        // A few rows at a time, which stay in the cache while all of the query's vectors look at them.
        for first in range.clone().step_by(BATCH) {
            let count = (range.end - first).min(BATCH as u32) as usize;
            rows.iter_mut().zip(first..).for_each(|(row, number)| *row = number);
            for (query, best) in queries.iter().zip(&mut best) {
                score(query, &rows[..count], &mut scores[..count]);
                *best = scores[..count].iter().copied().fold(*best, f32::max);
            }
        }
        *out = share * best.iter().sum::<f32>();
    }
}

/// The vectors of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Originals<'a> {
    pub(crate) space: Space,
    pub(crate) rows: Rows<'a>,
    pub(crate) groups: Option<Groups<'a>>,
}

impl RowSet for Originals<'_> {
    type Scorer<'a>
        = RowScorer<'a>
    where
        Self: 'a;

    fn scorer_of(&self, row: u32) -> RowScorer<'_> {
        let query = |row| self.space.row_as_query(self.rows.get(row));
        let asked = match self.groups {
            None => Parts::One(query(row)),
            Some(groups) => Parts::Many(Several::stored(groups.range(row).map(query).collect(), groups)),
        };
        RowScorer { space: self.space, asked, rows: self.rows }
    }
}

/// What is asked: one vector of rows, or several of points of several rows.
#[derive(Debug)]
enum Parts<'a, Q> {
    One(Q),
    Many(Several<'a, Q>),
}

/// Several vectors asked of points of several rows.
#[derive(Debug)]
struct Several<'a, Q> {
    queries: Vec<Q>,
    groups: Groups<'a>,
    /// What the sum is multiplied by.
    share: f32,
}

impl<'a, Q> Several<'a, Q> {
    /// Of a user: scores are sums.
    fn asked(queries: Vec<Q>, groups: Groups<'a>) -> Self {
        Self { queries, groups, share: 1.0 }
    }

    /// Of a stored point: scores are means, as sums of different points have different numbers of terms, and a graph compares
    /// how close a point is to one neighbour with how close it is to another.
    fn stored(queries: Vec<Q>, groups: Groups<'a>) -> Self {
        let share = 1.0 / queries.len().max(1) as f32;
        Self { queries, groups, share }
    }
}

/// A prepared query and the rows it is asked of.
#[derive(Debug)]
pub(crate) struct RowScorer<'a> {
    space: Space,
    asked: Parts<'a, Cow<'a, [f32]>>,
    rows: Rows<'a>,
}

impl<'a> RowScorer<'a> {
    /// A user's query; its dimensions must be those of the space, and its kind that of the field.
    pub(crate) fn new(space: Space, query: &'a Vector, rows: Rows<'a>, groups: Option<Groups<'a>>) -> Self {
        Self { space, asked: parts(query, groups, |vector| space.prepare(vector)), rows }
    }

    fn score_rows(&self, query: &[f32], rows: &[u32], out: &mut [f32]) {
        for (rows, out) in rows.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let mut slices: [&[u8]; BATCH] = [&[]; BATCH];
            for (slice, &row) in slices.iter_mut().zip(rows) {
                *slice = self.rows.get(row);
            }
            self.space.kernel.score_many(query, &slices[..rows.len()], out);
        }
    }
}

fn parts<'a, Q>(query: &'a Vector, groups: Option<Groups<'a>>, prepare: impl Fn(&'a [f32]) -> Q) -> Parts<'a, Q> {
    match (query, groups) {
        (Vector::Multi(vector), Some(groups)) => Parts::Many(Several::asked(vector.rows().map(prepare).collect(), groups)),
        (Vector::Dense(values), Some(groups)) => Parts::Many(Several::asked(vec![prepare(values)], groups)),
        (Vector::Dense(values), None) => Parts::One(prepare(values)),
        (Vector::Multi(_) | Vector::Sparse(_), _) => Parts::One(prepare(&[])),
    }
}

/// Counts of what scorers really do, for tests of what explanations say.
#[cfg(test)]
pub(crate) mod counted {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static VECTORS: Cell<u64> = const { Cell::new(0) };
        pub(crate) static CODES: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn add(to: &'static std::thread::LocalKey<Cell<u64>>, rows: &[u32]) {
        to.set(to.get() + rows.len() as u64);
    }
}

impl Scorer for RowScorer<'_> {
    #[inline]
    fn score_many(&self, rows: &[u32], out: &mut [f32]) {
        #[cfg(test)]
        counted::add(&counted::VECTORS, rows);
        match &self.asked {
            Parts::One(query) => self.score_rows(query, rows, out),
            Parts::Many(several) => max_sim(several, rows, out, |query, rows, out| self.score_rows(query, rows, out)),
        }
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        let first = if let Parts::Many(several) = &self.asked { several.groups.range(row).start } else { row };
        distance::prefetch(self.rows.get(first));
    }
}

/// Codes that can be compared with each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeSet<'a> {
    pub(crate) codec: &'a Codec,
    pub(crate) rows: CodeRows<'a>,
    pub(crate) groups: Option<Groups<'a>>,
}

impl RowSet for CodeSet<'_> {
    type Scorer<'a>
        = CodeScorer<'a>
    where
        Self: 'a;

    fn scorer_of(&self, row: u32) -> CodeScorer<'_> {
        let query = |row| {
            let mut query = CodeQuery { width: self.codec.width(), values: Vec::new(), scale: 0.0, offset: 0.0, bias: 0.0 };
            self.codec.query_of_row(self.rows.get(row), &mut query);
            query
        };
        let asked = match self.groups {
            None => Parts::One(query(row)),
            Some(groups) => Parts::Many(Several::stored(groups.range(row).map(query).collect(), groups)),
        };
        CodeScorer { kernel: self.codec.kernel(), asked, rows: self.rows }
    }
}

/// A query over codes: its scores are estimates.
#[derive(Debug)]
pub(crate) struct CodeScorer<'a> {
    kernel: CodeKernel,
    asked: Parts<'a, CodeQuery>,
    rows: CodeRows<'a>,
}

impl<'a> CodeScorer<'a> {
    /// A user's query over the codes of a field of this space.
    pub(crate) fn new(space: Space, query: &'a Vector, codes: &'a Codes, groups: Option<Groups<'a>>) -> Self {
        let asked = parts(query, groups, |vector| codes.codec().query(&space.prepare(vector)));
        Self { kernel: codes.codec().kernel(), asked, rows: codes.rows() }
    }
}

impl Scorer for CodeScorer<'_> {
    #[inline]
    fn score_many(&self, rows: &[u32], out: &mut [f32]) {
        #[cfg(test)]
        counted::add(&counted::CODES, rows);
        match &self.asked {
            Parts::One(query) => self.kernel.score_many(query, self.rows, rows, out),
            Parts::Many(several) => max_sim(several, rows, out, |query, rows, out| self.kernel.score_many(query, self.rows, rows, out)),
        }
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        let first = if let Parts::Many(several) = &self.asked { several.groups.range(row).start } else { row };
        self.rows.prefetch(first);
    }
}
