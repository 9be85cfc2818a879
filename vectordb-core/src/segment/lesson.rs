//! Learning how long candidate lists must be: on a segment's own rows, or on queries.
//!
//! A row is a fair stand-in for a query if the walk does not step on the row itself, so some rows are asked for their
//! neighbours with lists of different lengths, each as if it were missing from the graph. Filters are stood in for by choices
//! of rows: random ones, and the rows of the clusters nearest to some rows, which are to a filter that has to do with the
//! vectors what a few balls are to any region. Half of the rows asked for then lie inside, and half outside.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::calibrate::{Curve, LIMITS, SHARES, affinity};
use super::search::Search;
use super::selection::Selection;
use super::{Field, Leaf, Matcher, Segment};
use crate::error::{Error, Result};
use crate::model::point::Lsn;
use crate::model::quantization::QuantizationParams;
use crate::model::query::{Budget, Strategy};
use crate::model::vector::Vector;
use crate::payload::index::Candidates;
use crate::vectors::Probe;

/// How many examples are asked for each of the limits, and how many lengths are tried.
const EXAMPLES: [usize; 2] = [480, 64];
const TRIED: [usize; 2] = [13, 7];
/// Lengths tried, for each point asked for.
const LENGTHS: [f64; 13] = [1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.2, 16.0, 22.4, 32.0, 44.8, 64.0];
/// The truth is taken from so many times more candidates than a search looks at.
const TRUTH: f64 = 24.0;
/// Regions for each share, and in turns the balls that each is made of.
const REGIONS: usize = 8;
const BALLS: [usize; 2] = [1, 4];
/// Affinities from and up to which examples count together; those that match as elsewhere are learned by random rows.
const BINS: [(f64, f64); 4] = [(-1.0, -0.75), (-0.75, -0.25), (0.25, 0.75), (0.75, 1.0)];
/// Fewest examples that make a curve.
const LEAST: usize = 12;

/// What is asked in order to learn: a row, as if it were missing, or a query.
#[derive(Debug, Clone, Copy)]
enum Example<'a> {
    Row(u32),
    Query(&'a Vector),
}

/// A choice of rows that stands for a filter.
struct Choice {
    rows: Option<Arc<Selection>>,
    members: RoaringBitmap,
}

/// What has been asked: the affinity of example and filter, and the recall by each length.
struct Answer {
    affinity: f64,
    recalls: Vec<f64>,
}

/// A field of a segment that lessons are taken on.
pub(super) struct Lesson<'a> {
    segment: &'a dyn Segment,
    name: &'a str,
    field: Field<'a>,
    full_scan_bytes: usize,
    rows: u32,
    budget: Budget,
    /// Set to give up.
    cancel: &'a AtomicBool,
}

/// A mixed number (the finalizer of SplitMix64, Steele, Lea & Flood 2014).
fn mixed(seed: u64) -> u64 {
    let mut hash = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl<'a> Lesson<'a> {
    /// Nothing without a graph.
    pub(super) fn new(segment: &'a dyn Segment, name: &'a str, full_scan_bytes: usize, cancel: &'a AtomicBool) -> Option<Self> {
        let field = segment.field(name).filter(|field| field.graph.is_some())?;
        Some(Self { segment, name, field, full_scan_bytes, rows: segment.rows(Lsn(u64::MAX)), budget: Budget::default(), cancel })
    }

    /// Curves for all kinds of filters, by queries or, if there are none, by rows.
    ///
    /// # Errors
    /// Unreadable files.
    pub(super) fn curves(&self, queries: &[Vector]) -> Result<Vec<Curve>> {
        let mut curves = Vec::new();
        for share in SHARES {
            for (at, limit) in LIMITS.into_iter().enumerate() {
                let choice = self.scattered(share);
                let examples: Vec<(Example<'_>, &Choice)> =
                    self.examples(queries, EXAMPLES[at]).into_iter().map(|example| (example, &choice)).collect();
                let answers = self.ask_all(&examples, limit, TRIED[at])?;
                curves.push(Curve { share, bin: None, affinity: 0.0, limit, points: points(&answers, limit, TRIED[at]) });
            }
            if share < 1.0 && self.field.codes.is_some_and(|codes| codes.clusters() > 0) {
                self.correlated(share, queries, &mut curves)?;
            }
        }
        Ok(curves)
    }

    /// Curves for filters that match regions.
    fn correlated(&self, share: f64, queries: &[Vector], curves: &mut Vec<Curve>) -> Result<()> {
        let regions: Vec<Choice> = (0..REGIONS).map(|number| self.region(share, number)).collect::<Result<_>>()?;
        for (at, limit) in LIMITS.into_iter().enumerate() {
            let each = EXAMPLES[at] / REGIONS;
            let mut examples = Vec::new();
            for (number, region) in regions.iter().enumerate() {
                examples.extend(self.around(region, queries, each, number as u64).into_iter().map(|example| (example, region)));
            }
            let answers = self.ask_all(&examples, limit, TRIED[at])?;
            for (bin, (from, to)) in (0u8..).zip(BINS) {
                let inside = |answer: &&Answer| (from..=to).contains(&answer.affinity);
                let answers: Vec<&Answer> = answers.iter().filter(inside).collect();
                if answers.len() < LEAST {
                    continue;
                }
                let affinity = answers.iter().map(|answer| answer.affinity).sum::<f64>() / answers.len() as f64;
                curves.push(Curve { share, bin: Some(bin), affinity, limit, points: points(answers, limit, TRIED[at]) });
            }
        }
        Ok(())
    }

    /// Examples from everywhere.
    fn examples<'q>(&self, queries: &'q [Vector], count: usize) -> Vec<Example<'q>> {
        if !queries.is_empty() {
            return queries.iter().step_by((queries.len() / count).max(1)).map(Example::Query).collect();
        }
        // An odd step, so that what alternates in the rows is not mistaken for the whole.
        let step = (self.rows as usize / count).max(1) | 1;
        (0..self.rows).step_by(step).filter(|&row| self.is_there(row)).map(Example::Row).collect()
    }

    /// Examples of which about half lie in a region, as far as there are such.
    fn around<'q>(&self, region: &Choice, queries: &'q [Vector], count: usize, seed: u64) -> Vec<Example<'q>> {
        if !queries.is_empty() {
            // Other ones for each region; those inside are as many as happen to be.
            let start = usize::try_from(mixed(seed) % queries.len() as u64).unwrap_or(0);
            return queries.iter().cycle().skip(start).take(count.min(queries.len())).map(Example::Query).collect();
        }
        let members = u32::try_from(region.members.len()).unwrap_or(u32::MAX).max(1);
        let draw = |number: usize| {
            let random = mixed(seed << 32 | number as u64);
            #[expect(clippy::cast_possible_truncation, reason = "a remainder of 32 bits")]
            let (member, any) = ((random % u64::from(members)) as u32, (random % u64::from(self.rows.max(1))) as u32);
            if number.is_multiple_of(2) { region.members.select(member) } else { Some(any) }
        };
        (0..count).filter_map(draw).filter(|&row| self.is_there(row)).map(Example::Row).collect()
    }

    fn is_there(&self, row: u32) -> bool {
        self.segment.has_vector(self.name, row) && self.segment.tombstones().is_live(row, Lsn(u64::MAX))
    }

    /// Rows of everywhere; all for a share of one.
    fn scattered(&self, share: f64) -> Choice {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 32 bits")]
        let bound = (share * f64::from(u32::MAX)) as u64;
        let members: RoaringBitmap = (0..self.rows).filter(|&row| mixed(row.into()) >> 32 <= bound).collect();
        self.choice(members, share < 1.0)
    }

    /// The rows of the clusters nearest to some rows.
    fn region(&self, share: f64, number: usize) -> Result<Choice> {
        let balls = BALLS[number % BALLS.len()];
        let wanted = (share * f64::from(self.rows)) as u64;
        let mut members = RoaringBitmap::new();
        let Some(codes) = self.field.codes else { return Ok(self.choice(members, true)) };
        for ball in 0..balls as u64 {
            #[expect(clippy::cast_possible_truncation, reason = "a remainder of 32 bits")]
            let anchor = (mixed(number as u64 * 64 + ball) % u64::from(self.rows.max(1))) as u32;
            let probe = Probe::one(Cow::Owned(self.field.vector(anchor)));
            let leaf = self.leaf(&probe, LIMITS[0]);
            let search = Search::over(self.segment, &leaf, self.field, Matcher::new(self.segment, None, leaf.at), None);
            let part = wanted * (ball + 1) / balls as u64;
            for cluster in search.ranked_clusters(codes, &search.code_scorer(codes)) {
                let missing = part.saturating_sub(members.len());
                if missing == 0 {
                    break;
                }
                let range = codes.cluster(cluster as usize);
                members.insert_range(range.start..range.end.min(range.start.saturating_add(u32::try_from(missing).unwrap_or(u32::MAX))));
            }
        }
        Ok(self.choice(members, true))
    }

    fn choice(&self, members: RoaringBitmap, filtered: bool) -> Choice {
        let rows = filtered.then(|| Arc::new(Selection::new(&Candidates::exact(members.clone()), self.rows)));
        Choice { rows, members }
    }

    fn ask_all(&self, examples: &[(Example<'_>, &Choice)], limit: usize, lengths: usize) -> Result<Vec<Answer>> {
        examples.par_iter().map(|(example, choice)| self.answer(*example, choice, limit, lengths)).collect()
    }

    /// The recall of one example by each length.
    fn answer(&self, example: Example<'_>, choice: &Choice, limit: usize, lengths: usize) -> Result<Answer> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let (vector, without) = match example {
            Example::Row(row) => (Cow::Owned(self.field.vector(row)), Some(row)),
            Example::Query(vector) => (Cow::Borrowed(vector), None),
        };
        let probe = Probe::one(vector);
        let leaf = self.leaf(&probe, limit);
        let mut truth = Leaf { strategy: Some(Strategy::Scan), ..leaf };
        truth.quantization.oversampling = Some(TRUTH);
        let truth: Vec<u32> = self.search(&truth, choice, without).found()?.0.into_iter().map(|hit| hit.row).collect();
        let near_share = if choice.rows.is_some() { self.search(&leaf, choice, without).near_share_of_all()? } else { None };
        let share = choice.members.len() as f64 / f64::from(self.rows.max(1));
        let mut recalls = vec![1.0; lengths];
        let mut perfect = 0;
        for (recall, length) in recalls.iter_mut().zip(LENGTHS) {
            // What was found twice will be found by all longer lists.
            if perfect == 2 || truth.is_empty() {
                break;
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive length")]
            let ef = (length * limit as f64) as usize;
            let leaf = Leaf { ef, ..leaf };
            let (found, _) = self.search(&leaf, choice, without).found()?;
            let right = found.iter().filter(|hit| truth.contains(&hit.row)).count();
            *recall = right as f64 / truth.len() as f64;
            perfect += usize::from(right == truth.len());
        }
        Ok(Answer { affinity: near_share.map_or(0.0, |near| affinity(share, near)), recalls })
    }

    fn search<'l>(&'l self, leaf: &'l Leaf<'l>, choice: &Choice, without: Option<u32>) -> Search<'l> {
        let matcher = match &choice.rows {
            Some(rows) => Matcher::of_rows(self.segment, Arc::clone(rows), leaf.at),
            None => Matcher::new(self.segment, None, leaf.at),
        };
        Search::over(self.segment, leaf, self.field, matcher, without)
    }

    fn leaf<'l>(&'l self, query: &'l Probe<'l>, k: usize) -> Leaf<'l> {
        Leaf {
            field: self.name,
            query,
            k,
            ef: k,
            exact: false,
            indexed_only: false,
            quantization: QuantizationParams::default(),
            strategy: None,
            acorn: None,
            recall: None,
            threshold: None,
            exclude: &[],
            filter: None,
            full_scan_bytes: self.full_scan_bytes,
            full_scan_rows: None,
            at: Lsn(u64::MAX),
            budget: &self.budget,
        }
    }
}

/// Lengths and the mean recalls they gave.
fn points<'r>(answers: impl IntoIterator<Item = &'r Answer>, limit: usize, lengths: usize) -> Vec<(f64, f64)> {
    let answers: Vec<&Answer> = answers.into_iter().collect();
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (at, length) in LENGTHS.iter().take(lengths).enumerate() {
        let sum: f64 = answers.iter().filter_map(|answer| answer.recalls.get(at)).sum();
        let recall = (sum / answers.len().max(1) as f64).max(points.last().map_or(0.0, |&(_, recall)| recall));
        points.push((length * limit as f64, recall));
    }
    points
}
