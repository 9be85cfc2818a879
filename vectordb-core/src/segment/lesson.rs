//! Learning how long candidate lists must be: on a segment's own rows, or on queries.
//!
//! A row is a fair stand-in for a query if the walk does not step on the row itself, so some rows are asked for their
//! neighbours with lists of different lengths, each as if it were missing from the graph. Filters are stood in for by choices
//! of rows: random ones, and some cells of a [`Division`], which are to a filter that has to do with the vectors what a few
//! subjects are to any others. Half of the examples asked then lie inside, and half anywhere.
//!
//! A lesson is a sample, and rows are easier to find than queries, so a curve keeps less than the mean of what was found: see
//! [`prudent`].

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::calibrate::{Curve, LIMITS, SHARES, affinity};
use super::division::{Division, Region, mixed};
use super::search::Search;
use super::selection::Selection;
use super::{Field, Leaf, Matcher, Segment};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::point::Lsn;
use crate::model::quantization::QuantizationParams;
use crate::model::query::{Budget, Strategy};
use crate::model::vector::Vector;
use crate::payload::index::Candidates;
use crate::vectors::Probe;

/// How many examples are asked for each of the limits, and how many lengths are tried.
const EXAMPLES: [usize; 2] = [480, 64];
const REGIONAL: [usize; 2] = [960, 96];
const TRIED: [usize; 2] = [13, 7];
/// Lengths tried, for each point asked for.
const LENGTHS: [f64; 13] = [1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.2, 16.0, 22.4, 32.0, 44.8, 64.0];
/// The truth is taken from so many times more candidates than a search looks at.
const TRUTH: f64 = 24.0;
/// Cells of the divisions that regions are made of in turns, and regions for each share.
const CELLS: [u8; 2] = [64, 16];
const REGIONS: usize = 16;
/// Affinities from and up to which examples count together.
const BINS: [(f64, f64); 5] = [(-1.0, -0.75), (-0.75, -0.25), (-0.25, 0.25), (0.25, 0.75), (0.75, 1.0)];
/// Fewest examples that make a curve.
const LEAST: usize = 12;
/// Standard errors that the mean of a sample may be too high by: without a filter, and with one, which is only like those that
/// searches have.
const DOUBT: [f64; 2] = [0.5, 1.0];
/// More queries than rows are very hard to answer: where rows miss a small share `m`, queries are taken to miss
/// `HARD.0.powf(1.0 - HARD.1) * m.powf(HARD.1)`. Questions about texts missed .063 and .017 where the texts missed .05 and .01;
/// queries that are drawn as the rows were miss the same as these.
const HARD: (f64, f64) = (0.1, 0.85);

/// What is asked in order to learn: a row, as if it were missing, or a query.
#[derive(Debug, Clone, Copy)]
enum Example<'a> {
    Row(u32),
    Query(&'a Vector),
}

/// A choice of rows that stands for a filter.
struct Choice {
    /// Nothing when it is all rows.
    rows: Option<Arc<Selection>>,
    share: f64,
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
        if let Some(divided) = self.field.graph.filter(|graph| graph.is_divided()) {
            return self.in_parts(divided);
        }
        let mut curves = Vec::new();
        let codes = self.field.codes.filter(|codes| codes.clusters() > 0);
        let divisions = codes.map_or(Vec::new(), |codes| CELLS.map(|cells| Division::new(self.field, codes, self.rows, cells)).into());
        for share in SHARES {
            let choice = self.scattered(share);
            for (at, limit) in LIMITS.into_iter().enumerate() {
                let examples: Vec<(Example<'_>, &Choice)> =
                    self.examples(queries, EXAMPLES[at]).into_iter().map(|example| (example, &choice)).collect();
                let answers = self.ask_all(&examples, limit, TRIED[at])?;
                let answers: Vec<&Answer> = answers.iter().collect();
                let doubt = DOUBT[usize::from(share < 1.0)];
                let points = points(&answers, limit, TRIED[at], (queries.is_empty(), doubt));
                curves.push(Curve { share, bin: None, affinity: 0.0, limit, points });
            }
            if share < 1.0 && !divisions.is_empty() {
                self.regional(share, queries, &divisions, &mut curves)?;
            }
        }
        Ok(curves)
    }

    /// Curves for searches of parts that have graphs of their own, by rows.
    fn in_parts(&self, graph: &Graph) -> Result<Vec<Curve>> {
        let choice = |rows| Choice { rows: Some(Arc::new(Selection::new(&Candidates::exact(rows), self.rows))), share: 1.0 };
        let parts: Vec<_> = graph.parts().map(|part| (part.clone(), choice(part.collect()))).collect();
        let linked = self.examples_below(graph.rows() as u32, EXAMPLES[0]);
        let asked: Vec<(Example<'_>, &Choice)> = linked
            .filter_map(|row| {
                let (_, choice) = parts.iter().find(|(part, _)| part.contains(&row))?;
                Some((Example::Row(row), choice))
            })
            .collect();
        let curve = |(limit, lengths): (usize, usize)| {
            let answers = self.ask_all(&asked, limit, lengths)?;
            let points = points(&answers.iter().collect::<Vec<_>>(), limit, lengths, (true, DOUBT[0]));
            Ok(Curve { share: 1.0, bin: None, affinity: 0.0, limit, points })
        };
        LIMITS.into_iter().zip(TRIED).map(curve).collect()
    }

    /// Curves for filters that match regions.
    fn regional(&self, share: f64, queries: &[Vector], divisions: &[Division<'_>], curves: &mut Vec<Curve>) -> Result<()> {
        let wanted = (share * f64::from(self.rows)) as usize;
        let mut regions = Vec::new();
        for (number, division) in (0u64..).zip(divisions.iter().cycle()).take(REGIONS) {
            let region = division.region(wanted, number);
            let examples = self.around(division, &region, queries, number);
            regions.push((self.choice(&region.rows), examples));
        }
        for (at, limit) in LIMITS.into_iter().enumerate() {
            let each = REGIONAL[at] / REGIONS;
            let mut asked: Vec<(Example<'_>, &Choice)> = Vec::new();
            for (choice, examples) in &regions {
                asked.extend(examples.iter().take(each).map(|&example| (example, choice)));
            }
            let answers = self.ask_all(&asked, limit, TRIED[at])?;
            for (bin, (from, to)) in (0u8..).zip(BINS) {
                let inside = |answer: &&Answer| (from..=to).contains(&answer.affinity);
                let answers: Vec<&Answer> = answers.iter().filter(inside).collect();
                if answers.len() < LEAST {
                    continue;
                }
                let affinity = answers.iter().map(|answer| answer.affinity).sum::<f64>() / answers.len() as f64;
                let points = points(&answers, limit, TRIED[at], (queries.is_empty(), DOUBT[1]));
                curves.push(Curve { share, bin: Some(bin), affinity, limit, points });
            }
        }
        Ok(())
    }

    /// Examples from everywhere.
    fn examples<'q>(&self, queries: &'q [Vector], count: usize) -> Vec<Example<'q>> {
        if !queries.is_empty() {
            return queries.iter().step_by((queries.len() / count).max(1)).map(Example::Query).collect();
        }
        self.examples_below(self.rows, count).map(Example::Row).collect()
    }

    /// Rows from everywhere among the first ones.
    fn examples_below(&self, rows: u32, count: usize) -> impl Iterator<Item = u32> + '_ {
        // An odd step, so that what alternates in the rows is not mistaken for the whole.
        let step = (rows as usize / count).max(1) | 1;
        (0..rows).step_by(step).filter(|&row| self.is_there(row))
    }

    /// Examples of which every other one lies in a region, as far as there are such.
    fn around<'q>(&self, division: &Division<'_>, region: &Region, queries: &'q [Vector], seed: u64) -> Vec<Example<'q>> {
        let count = REGIONAL[0] / REGIONS;
        if !queries.is_empty() {
            // Other ones for each region.
            let mut order: Vec<usize> = (0..queries.len()).collect();
            order.sort_by_key(|&query| mixed(seed << 32 | query as u64));
            let (inside, outside): (Vec<&Vector>, Vec<&Vector>) =
                order.into_iter().map(|query| &queries[query]).partition(|query| division.is_inside(region, query));
            let (few, many) = if inside.len() < outside.len() { (inside, outside) } else { (outside, inside) };
            let paired = few.len();
            let rest = many[paired..].to_vec();
            let pairs = few.into_iter().zip(many).flat_map(|(a, b)| [a, b]);
            return pairs.chain(rest).take(count).map(Example::Query).collect();
        }
        let members = u32::try_from(region.rows.len()).unwrap_or(u32::MAX).max(1);
        let draw = |number: usize| {
            let random = mixed(seed << 32 | number as u64);
            #[expect(clippy::cast_possible_truncation, reason = "a remainder of 32 bits")]
            let (member, any) = ((random % u64::from(members)) as u32, (random % u64::from(self.rows.max(1))) as u32);
            if number.is_multiple_of(2) { region.rows.select(member) } else { Some(any) }
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
        if share < 1.0 { self.choice(&members) } else { Choice { rows: None, share } }
    }

    fn choice(&self, members: &RoaringBitmap) -> Choice {
        let rows = Some(Arc::new(Selection::new(&Candidates::exact(members.clone()), self.rows)));
        Choice { rows, share: members.len() as f64 / f64::from(self.rows.max(1)) }
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
        Ok(Answer { affinity: near_share.map_or(0.0, |near| affinity(choice.share, near)), recalls })
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

/// Lengths and the recalls they can be relied on to give.
fn points(answers: &[&Answer], limit: usize, lengths: usize, (of_rows, doubt): (bool, f64)) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (at, length) in LENGTHS.iter().take(lengths).enumerate() {
        let missed: Vec<f64> = answers.iter().filter_map(|answer| answer.recalls.get(at)).map(|recall| 1.0 - recall).collect();
        let recall = 1.0 - prudent(&missed, limit, of_rows, doubt);
        points.push((length * limit as f64, recall.max(points.last().map_or(0.0, |&(_, recall)| recall))));
    }
    points
}

/// The share of the neighbours of queries that is likely to be missed at most, by the shares that some examples missed.
fn prudent(missed: &[f64], limit: usize, of_rows: bool, doubt: f64) -> f64 {
    let count = missed.len().max(1) as f64;
    let mean = missed.iter().sum::<f64>() / count;
    // As if one neighbour more had been missed, so that a sample without a miss is no proof that there are none.
    let squares = missed.iter().map(|missed| missed * missed).sum::<f64>() + (limit.max(1) as f64).powi(-2);
    let of_queries = if of_rows && mean < HARD.0 { HARD.0.powf(1.0 - HARD.1) * mean.powf(HARD.1) } else { mean };
    (of_queries + doubt * squares.sqrt() / count).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_promised_than_was_found() {
        let few = [0.0, 0.1, 0.0, 0.0];
        let many: Vec<f64> = few.into_iter().cycle().take(400).collect();
        let (of_few, of_many) = (prudent(&few, 10, false, 1.0), prudent(&many, 10, false, 1.0));
        assert!(0.025 < of_many && of_many < 0.028 && of_many < of_few && of_few < 0.07, "{of_many} {of_few}");
        // Queries are harder than rows, and no sample proves that nothing is missed.
        assert!(prudent(&many, 10, true, 1.0) > of_many && (prudent(&[0.0; 100], 10, false, 1.0) - 0.001).abs() < 1e-9);
        assert_eq!(prudent(&[1.0; 3], 10, false, 1.0), 1.0);
        assert_eq!(prudent(&[0.5; 1000], 10, true, 1.0), prudent(&[0.5; 1000], 10, false, 1.0));
    }

    #[test]
    fn points_never_fall() {
        let answer = |recalls: [f64; 4]| Answer { affinity: 0.0, recalls: recalls.to_vec() };
        let answers = [answer([0.2, 0.9, 0.6, 1.0]), answer([0.4, 0.9, 0.8, 1.0])];
        let points = points(&answers.iter().collect::<Vec<_>>(), 10, 4, (false, 1.0));
        assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{points:?}");
        assert!(points[0].1 < 0.3 && points[2].1 == points[1].1 && points[3].1 > 0.9, "{points:?}");
    }
}
