//! How long a candidate list must be for a recall: learned on a segment's own rows.
//!
//! A row is a fair stand-in for a query if the walk does not step on the row itself, so some rows are asked for their
//! neighbours with lists of different lengths, each as if it were missing from the graph. Filters are stood in for by random
//! choices of rows, of several shares, since fewer matches ask for other ways and other lengths.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::search::Search;
use super::{Field, Leaf, Matcher, Segment};
use crate::error::Result;
use crate::model::point::Lsn;
use crate::model::query::Strategy;
use crate::model::vector::Vector;
use crate::vectors::Probe;

/// Shares of the rows that satisfy a filter; the first is no filter.
const SHARES: [f64; 4] = [1.0, 0.5, 0.1, 0.01];
/// Numbers of points asked for, how many examples are asked, and how many lengths are tried.
const LIMITS: [(usize, usize, usize); 2] = [(10, 480, 13), (100, 48, 7)];
/// Queries that are enough to learn from.
const QUERIES: usize = 480;
/// Lengths tried, for each point asked for.
const LENGTHS: [f64; 13] = [1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.2, 16.0, 22.4, 32.0, 44.8, 64.0];
/// The truth is taken from so many times more candidates than a search looks at.
const TRUTH: f64 = 8.0;

/// What a field has learned, from its own rows first, and from queries once there were enough of them: these may be unlike the
/// rows.
#[derive(Debug, Default)]
pub(crate) struct Calibrations {
    learned: RwLock<Option<Arc<Calibration>>>,
    asked: Mutex<Vec<Vector>>,
    /// Held by the one that learns.
    learning: Mutex<()>,
}

impl Calibrations {
    /// The length for a search; nothing while nothing is known. Whoever comes first learns.
    ///
    /// # Errors
    /// Unreadable files.
    pub(super) fn ef(&self, recall: f64, segment: &dyn Segment, leaf: &Leaf<'_>, matcher: &Matcher<'_>) -> Result<Option<usize>> {
        let queries = self.note(leaf);
        if (self.learned.read().is_none() || queries.is_some())
            && let Some(_alone) = self.learning.try_lock()
        {
            let learned = Calibration::learn(segment, leaf, queries.as_deref())?;
            *self.learned.write() = Some(Arc::new(learned));
        }
        let Some(learned) = self.learned.read().clone() else { return Ok(None) };
        let rows = segment.rows(leaf.at).max(1);
        let matches = if matcher.is_filtered() { matcher.estimate()? } else { u64::from(rows) };
        Ok(learned.ef(recall, matches as f64 / f64::from(rows), leaf.k))
    }

    /// Remembers a query; all of them when they have just become enough.
    fn note(&self, leaf: &Leaf<'_>) -> Option<Vec<Vector>> {
        let ([vector], None) = (&*leaf.query.vectors, &leaf.query.combine) else { return None };
        let mut asked = self.asked.lock();
        if asked.len() > QUERIES {
            return None;
        }
        asked.push(vector.clone().into_owned());
        if asked.len() < QUERIES {
            return None;
        }
        let queries = std::mem::take(&mut *asked);
        // One more than enough: they are never gathered again.
        *asked = vec![Vector::Dense(Vec::new()); QUERIES + 1];
        Some(queries)
    }
}

/// Recall by length of the candidate list.
#[derive(Debug, Default)]
pub(crate) struct Calibration {
    curves: Vec<Curve>,
}

#[derive(Debug)]
struct Curve {
    share: f64,
    limit: usize,
    /// Lengths, ascending, with recalls that do not fall.
    points: Vec<(f64, f64)>,
}

/// What is asked in order to learn: a row, as if it were missing, or a query.
#[derive(Debug, Clone, Copy)]
enum Example<'a> {
    Row(u32),
    Query(&'a Vector),
}

impl Calibration {
    /// Learns from a segment's rows, or from queries; nothing without a graph.
    ///
    /// # Errors
    /// Unreadable files.
    fn learn(segment: &dyn Segment, leaf: &Leaf<'_>, queries: Option<&[Vector]>) -> Result<Self> {
        let Some(field) = segment.field(leaf.field).filter(|field| field.graph.is_some()) else { return Ok(Self::default()) };
        let rows = segment.rows(Lsn(u64::MAX));
        let mut curves = Vec::new();
        for share in SHARES {
            // A multiplicative hash of the row, so that matches lie everywhere.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 32 bits")]
            let bound = (share * f64::from(u32::MAX)) as u32;
            let hash = |row: u32| (row + 1).wrapping_mul(0x9E37_79B1).rotate_left(13).wrapping_mul(0x85EB_CA6B);
            let matching: Option<RoaringBitmap> = (share < 1.0).then(|| (0..rows).filter(|&row| hash(row) <= bound).collect());
            for (limit, examples, lengths) in LIMITS {
                let examples: Vec<Example<'_>> = match queries {
                    Some(queries) => queries.iter().step_by((queries.len() / examples).max(1)).map(Example::Query).collect(),
                    None => {
                        let there = |row: &u32| segment.has_vector(leaf.field, *row) && segment.tombstones().is_live(*row, leaf.at);
                        // An odd step, so that what alternates in the rows is not mistaken for the whole.
                        let step = (rows as usize / examples).max(1) | 1;
                        (0..rows).step_by(step).filter(there).map(Example::Row).collect()
                    }
                };
                let lesson = Lesson { segment, leaf, field, matching: matching.as_ref(), limit, lengths };
                curves.push(Curve { share, limit, points: lesson.learn(&examples)? });
            }
        }
        Ok(Self { curves })
    }

    /// The length for a recall of `limit` points of a share of all; nothing when nothing was learned.
    pub(crate) fn ef(&self, recall: f64, share: f64, limit: usize) -> Option<usize> {
        let of = |share: f64| {
            let [(few, ..), (many, ..)] = LIMITS;
            let length = |limit: usize| {
                let curve = self.curves.iter().find(|curve| curve.share == share && curve.limit == limit)?;
                Some(curve.length(recall) / limit as f64)
            };
            let at = (limit.clamp(few, many) as f64 / few as f64).ln() / (many as f64 / few as f64).ln();
            Some(between(length(few)?, length(many)?, at) * limit as f64)
        };
        let after = SHARES.iter().position(|&known| known <= share).unwrap_or(SHARES.len() - 1);
        let length = match after.checked_sub(1) {
            None => of(SHARES[0])?,
            Some(before) => {
                let (above, below) = (SHARES[before], SHARES[after]);
                let at = ((above / share).ln() / (above / below).ln()).clamp(0.0, 1.0);
                between(of(above)?, of(below)?, at)
            }
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive length")]
        Some((length.round() as usize).max(limit))
    }
}

/// Between two lengths, by their logarithms.
fn between(from: f64, to: f64, at: f64) -> f64 {
    (from.ln() * (1.0 - at) + to.ln() * at).exp()
}

impl Curve {
    fn length(&self, recall: f64) -> f64 {
        let after = self.points.partition_point(|&(_, reached)| reached < recall);
        match (after.checked_sub(1).map(|before| self.points[before]), self.points.get(after)) {
            (Some((from, low)), Some(&(to, high))) if high > low => from + (to - from) * (recall - low) / (high - low),
            (_, Some(&(length, _))) | (Some((length, _)), None) => length,
            (None, None) => self.limit as f64,
        }
    }
}

/// One curve being learned.
struct Lesson<'a> {
    segment: &'a dyn Segment,
    leaf: &'a Leaf<'a>,
    field: Field<'a>,
    matching: Option<&'a RoaringBitmap>,
    limit: usize,
    /// How many of the lengths are tried.
    lengths: usize,
}

impl Lesson<'_> {
    fn learn(&self, examples: &[Example<'_>]) -> Result<Vec<(f64, f64)>> {
        let all: Vec<Vec<f64>> = examples.par_iter().map(|example| self.recalls(*example)).collect::<Result<_>>()?;
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (at, length) in LENGTHS.iter().take(self.lengths).enumerate() {
            let sum: f64 = all.iter().filter_map(|recalls| recalls.get(at)).sum();
            let recall = (sum / all.len().max(1) as f64).max(points.last().map_or(0.0, |&(_, recall)| recall));
            points.push((length * self.limit as f64, recall));
        }
        Ok(points)
    }

    /// The recall of one example by each length.
    fn recalls(&self, example: Example<'_>) -> Result<Vec<f64>> {
        let (vector, without) = match example {
            Example::Row(row) => (Cow::Owned(self.field.vector(row)), Some(row)),
            Example::Query(vector) => (Cow::Borrowed(vector), None),
        };
        let probe = Probe::one(vector);
        let asked = Leaf { query: &probe, k: self.limit, threshold: None, exclude: &[], filter: None, recall: None, ..*self.leaf };
        let mut truth = Leaf { strategy: Some(Strategy::Scan), ..asked };
        truth.quantization.oversampling = Some(self.leaf.quantization.oversampling.unwrap_or(1.0).max(TRUTH));
        let truth = self.ask(&truth, without)?;
        let mut recalls = vec![1.0; self.lengths];
        let mut perfect = 0;
        for (recall, length) in recalls.iter_mut().zip(LENGTHS) {
            // What was found twice will be found by all longer lists.
            if perfect == 2 || truth.is_empty() {
                break;
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive length")]
            let ef = (length * self.limit as f64) as usize;
            let found = self.ask(&Leaf { ef, ..asked }, without)?;
            let right = found.iter().filter(|row| truth.contains(row)).count();
            *recall = right as f64 / truth.len() as f64;
            perfect += usize::from(right == truth.len());
        }
        Ok(recalls)
    }

    fn ask(&self, leaf: &Leaf<'_>, without: Option<u32>) -> Result<Vec<u32>> {
        let matcher = match self.matching {
            Some(matching) => Matcher::of_rows(self.segment, matching, leaf.at),
            None => Matcher::new(self.segment, None, leaf.at),
        };
        let (hits, _) = Search::over(self.segment, leaf, self.field, matcher, without).found()?;
        Ok(hits.into_iter().map(|hit| hit.row).collect())
    }
}
