//! Queries made of several vectors, whose scores of a row become one.

use std::borrow::Cow;

use super::{CodeScorer, Groups, RowScorer, Rows, Scorer, Space};
use crate::distance::Metric;
use crate::model::vector::Vector;
use crate::quantization::Codes;

/// Rows scored by one pass over the examples.
const BATCH: usize = 32;

/// The vectors that rows are compared with.
#[derive(Debug, Clone)]
pub(crate) struct Probe<'a> {
    /// One, or as many as `combine` needs.
    pub(crate) vectors: Vec<Cow<'a, Vector>>,
    pub(crate) combine: Option<Combine>,
}

impl<'a> Probe<'a> {
    pub(crate) fn one(vector: Cow<'a, Vector>) -> Self {
        Self { vectors: vec![vector], combine: None }
    }

    /// Whether it can be asked of a field of so many dimensions, of points of one row or of several.
    pub(crate) fn fits(&self, dim: usize, several: bool) -> bool {
        let fits = |vector: &Vector| match vector {
            Vector::Dense(values) => values.len() == dim,
            Vector::Multi(vector) => several && vector.dim() == dim,
            Vector::Sparse(_) => false,
        };
        !self.vectors.is_empty() && self.vectors.iter().all(|vector| fits(vector))
    }

    /// The number a user sees for an inner score: combined scores are shown as they are.
    pub(crate) fn user_score(&self, metric: Metric, score: f32) -> f32 {
        if self.combine.is_some() { score } else { metric.user_score(score) }
    }

    pub(crate) fn inner_score(&self, metric: Metric, score: f32) -> f32 {
        if self.combine.is_some() { score } else { metric.inner_score(score) }
    }

    pub(crate) fn row_scorer<'q>(&'q self, space: Space, rows: Rows<'q>, groups: Option<Groups<'q>>) -> Asked<'q, RowScorer<'q>> {
        self.asked(1.0, |vector| RowScorer::new(space, vector, rows, groups))
    }

    pub(crate) fn code_scorer<'q>(&'q self, space: Space, codes: &'q Codes, groups: Option<Groups<'q>>) -> Asked<'q, CodeScorer<'q>> {
        // Codes estimate half of a Euclidean score.
        let unit = if space.metric == Metric::Euclid { 2.0 } else { 1.0 };
        self.asked(unit, |vector| CodeScorer::new(space, vector, codes, groups))
    }

    fn asked<'q, S>(&'q self, unit: f32, scorer: impl Fn(&'q Vector) -> S) -> Asked<'q, S> {
        match (&self.combine, &*self.vectors) {
            (None, [one]) => Asked::One(scorer(one)),
            (combine, vectors) => {
                let parts = vectors.iter().map(|vector| scorer(vector)).collect();
                Asked::Many { parts, combine: combine.as_ref().unwrap_or(&Combine::First), unit }
            }
        }
    }
}

/// How the scores of a row against several examples become one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Combine {
    /// That of the first example.
    First,
    /// The best of the first examples, unless one of the others is better.
    Best { positive: usize },
    /// The sum over the first examples minus that over the others.
    Sum { positive: usize },
    /// A target, then pairs of positive and negative.
    Discover,
    /// Pairs of positive and negative.
    Context,
    /// A target and its weight, then examples; pairs of them by position, with weights.
    Feedback { target: f32, pairs: Vec<(usize, usize, f32)> },
}

impl Combine {
    pub(crate) fn of(&self, scores: &[f32]) -> f32 {
        let best = |scores: &[f32]| scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        match self {
            Self::First => scores.first().copied().unwrap_or(f32::NEG_INFINITY),
            Self::Best { positive } => {
                let (positive, negative) = scores.split_at((*positive).min(scores.len()));
                let (positive, negative) = (best(positive), best(negative));
                if positive > negative { sigmoid(positive) } else { -sigmoid(negative) }
            }
            Self::Sum { positive } => {
                let (positive, negative) = scores.split_at((*positive).min(scores.len()));
                positive.iter().sum::<f32>() - negative.iter().sum::<f32>()
            }
            Self::Discover => {
                let Some((target, pairs)) = scores.split_first() else { return f32::NEG_INFINITY };
                let rank = |pair: &[f32; 2]| f32::from(i8::from(pair[0] > pair[1]) - i8::from(pair[0] < pair[1]));
                pairs.as_chunks().0.iter().map(rank).sum::<f32>() + sigmoid(*target)
            }
            Self::Context => {
                let loss = |pair: &[f32; 2]| (pair[0] - pair[1] - f32::EPSILON).min(0.0);
                scores.as_chunks().0.iter().map(|pair| squeezed(loss(pair))).sum()
            }
            Self::Feedback { target, pairs } => {
                let score = |at: usize| scores.get(at).copied().unwrap_or(0.0);
                let moved: f32 = pairs.iter().map(|&(better, worse, weight)| weight * (score(better) - score(worse))).sum();
                target * score(0) + moved
            }
        }
    }
}

/// From −1 to 1.
fn squeezed(score: f32) -> f32 {
    if score.is_finite() { score / (1.0 + score.abs()) } else { score }
}

/// From 0 to 1.
fn sigmoid(score: f32) -> f32 {
    0.5 * (squeezed(score) + 1.0)
}

/// A query of one vector or of several.
#[derive(Debug)]
pub(crate) enum Asked<'q, S> {
    One(S),
    Many { parts: Vec<S>, combine: &'q Combine, unit: f32 },
}

impl<S: Scorer> Scorer for Asked<'_, S> {
    #[inline]
    fn score_many(&self, rows: &[u32], out: &mut [f32]) {
        match self {
            Self::One(scorer) => scorer.score_many(rows, out),
            Self::Many { parts, combine, unit } => {
                let mut columns = vec![[0.0; BATCH]; parts.len()];
                let mut scores = vec![0.0; parts.len()];
                for (rows, out) in rows.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
                    for (part, column) in parts.iter().zip(&mut columns) {
                        part.score_many(rows, &mut column[..rows.len()]);
                    }
                    for (at, out) in out.iter_mut().enumerate() {
                        scores.iter_mut().zip(&columns).for_each(|(score, column)| *score = unit * column[at]);
                        *out = combine.of(&scores);
                    }
                }
            }
        }
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        match self {
            Self::One(scorer) => scorer.prefetch(row),
            Self::Many { parts, .. } => {
                if let Some(first) = parts.first() {
                    first.prefetch(row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn scores_combine_as_their_formulas_say() {
        close(Combine::Best { positive: 2 }.of(&[0.0, 1.0, 0.5]), 0.75);
        close(Combine::Best { positive: 1 }.of(&[0.0, 1.0]), -0.75);
        close(Combine::Best { positive: 0 }.of(&[0.0]), -0.5);
        close(Combine::Sum { positive: 2 }.of(&[1.0, 2.0, 0.5]), 2.5);
        close(Combine::Discover.of(&[1.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0]), 0.75);
        close(Combine::Context.of(&[2.0, 1.0]), 0.0);
        close(Combine::Context.of(&[1.0, 2.0, 5.0, 1.0]), -0.5);
        close(Combine::Feedback { target: 2.0, pairs: vec![(1, 2, 0.5)] }.of(&[1.0, 3.0, 1.0]), 3.0);
    }
}
