//! One nearest-neighbour search over one segment: choose a way, go it, and make sure of the result.
//!
//! A walk may come back with fewer rows than match, or cost more than a scan would have. Then the scan is made, so that a
//! search never returns fewer than `min(k, matches)` rows and never costs much more than twice the cheaper way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{CompiledFilter, Field, Matcher, Segment};
use crate::distance::{Metric, Width};
use crate::error::{Error, Result};
use crate::filter::plan::Situation;
use crate::graph::{Filtered, Graph, Scored};
use crate::model::PointId;
use crate::model::point::Lsn;
use crate::model::quantization::QuantizationParams;
use crate::model::query::{Budget, Strategy};
use crate::quantization::Codes;
use crate::vectors::{CodeScorer, RowScorer, Scorer};

/// A search as every segment gets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) field: &'a str,
    pub(crate) query: &'a [f32],
    /// Rows wanted, the point to leave out not counted.
    pub(crate) k: usize,
    pub(crate) ef: usize,
    pub(crate) exact: bool,
    pub(crate) indexed_only: bool,
    pub(crate) quantization: QuantizationParams,
    pub(crate) strategy: Option<Strategy>,
    /// Worst inner score wanted.
    pub(crate) threshold: Option<f32>,
    pub(crate) exclude: Option<&'a PointId>,
    pub(crate) filter: Option<&'a CompiledFilter>,
    /// Fields smaller than this are scanned.
    pub(crate) full_scan_bytes: usize,
    pub(crate) at: Lsn,
    pub(crate) budget: &'a Budget,
}

/// A row of a segment and its inner score.
pub(crate) type Hit = Scored;

/// Rows of payload checks or distances between two looks at the clock.
const BUDGET_EVERY: u32 = 1024;
/// Rows scored at once by a scan.
const SCAN_BATCH: usize = 256;
/// Bytes of vectors that a scan scores without the help of codes.
const EXACT_SCAN_BYTES: usize = 4 << 20;
/// A scan has seen every match; so many times more of its best are scored again, for nothing but the codes' errors to matter.
const SCAN_DEPTH: usize = 2;
/// Vectors loaded while those before them are scored.
const RESCORED_AHEAD: usize = 4;
/// Most matches for which a suspicious walk is checked by a scan.
const SUSPICION_LIMIT: usize = 1 << 18;

/// The rows of a segment closest to the query, best first.
///
/// # Errors
/// [`Error::Timeout`] and [`Error::Cancelled`] by the budget, [`Error::Corrupt`] for unreadable payloads.
pub(crate) fn search(segment: &dyn Segment, leaf: &Leaf<'_>) -> Result<Vec<Hit>> {
    leaf.budget.check()?;
    let Some(field) = segment.field(leaf.field) else { return Ok(Vec::new()) };
    if leaf.k == 0 || field.space.dim != leaf.query.len() {
        return Ok(Vec::new());
    }
    let search = Search {
        segment,
        leaf,
        field,
        scorer: RowScorer::new(field.space, leaf.query, field.rows),
        matcher: Matcher::new(segment, leaf.filter, leaf.at),
        excluded: leaf.exclude.and_then(|id| segment.find(id, leaf.at)),
    };
    let mut hits = search.run()?;
    if let Some(threshold) = leaf.threshold {
        hits.retain(|hit| hit.score >= threshold);
    }
    hits.truncate(leaf.k);
    Ok(hits)
}

struct Search<'a> {
    segment: &'a dyn Segment,
    leaf: &'a Leaf<'a>,
    field: Field<'a>,
    scorer: RowScorer<'a>,
    matcher: Matcher<'a>,
    excluded: Option<u32>,
}

impl Search<'_> {
    fn run(&self) -> Result<Vec<Hit>> {
        let rows = self.segment.rows(self.leaf.at) as usize;
        let small = rows * self.field.space.stride() < self.leaf.full_scan_bytes;
        let graph = self.field.graph;
        if self.leaf.indexed_only && graph.is_none() && !small {
            return Ok(Vec::new());
        }
        let Some(graph) = graph.filter(|_| !self.leaf.exact && self.leaf.strategy != Some(Strategy::Scan)) else { return self.scan() };
        let ef = self.leaf.ef.max(self.leaf.k.saturating_add(usize::from(self.excluded.is_some())));
        if !self.is_selective() {
            // A walk costs more than a scan when it would visit a good part of the rows.
            if ef.saturating_mul(4) >= rows || (small && self.leaf.strategy.is_none()) {
                return self.scan();
            }
            let hits = match self.codes() {
                Some(codes) => {
                    let depth = self.depth(codes);
                    let outcome = graph.nearest(&self.code_scorer(codes), ef, depth);
                    self.rescored(outcome.hits, depth)
                }
                None => graph.nearest(&self.scorer, ef, ef).hits,
            };
            return if hits.len() < self.leaf.k.min(rows) { self.scan() } else { Ok(hits) };
        }
        let situation = Situation {
            rows,
            matches: usize::try_from(self.matcher.estimate()?).unwrap_or(usize::MAX),
            unsure: if self.matcher.is_exact() { 0 } else { self.matcher.upper_bound() },
            has_graph: true,
            small,
            ef,
        };
        match self.leaf.strategy.unwrap_or_else(|| situation.strategy()) {
            Strategy::Scan => self.scan(),
            Strategy::FilteredGraph => self.walk(graph, ef, &situation, true),
            Strategy::Graph => self.walk(graph, ef, &situation, false),
        }
    }

    /// The codes, if this search may use them.
    fn codes(&self) -> Option<&Codes> {
        self.field.codes.filter(|_| !self.leaf.exact && !self.leaf.quantization.ignore)
    }

    fn code_scorer<'c>(&self, codes: &'c Codes) -> CodeScorer<'c> {
        CodeScorer::new(self.field.space, self.leaf.query, codes)
    }

    /// How many of the best by code are scored by their vectors.
    fn depth(&self, codes: &Codes) -> usize {
        let k = self.leaf.k.saturating_add(usize::from(self.excluded.is_some()));
        if self.leaf.quantization.rescore == Some(false) {
            return k;
        }
        // What a sample of 4 and 8 bits needs for all of the true ten; fewer bits need more.
        let factor = self.leaf.quantization.oversampling.unwrap_or(match codes.codec().width() {
            Width::Eight => 1.5,
            Width::Four => 2.0,
            Width::Two => 4.0,
            Width::One => 8.0,
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a product of positive numbers")]
        let depth = (k as f64 * factor.max(1.0)).ceil() as usize;
        depth.max(k)
    }

    /// Scores the best by code by their vectors, or turns estimates into scores when that is not wanted.
    fn rescored(&self, mut hits: Vec<Hit>, depth: usize) -> Vec<Hit> {
        hits.truncate(depth);
        if self.leaf.quantization.rescore == Some(false) {
            if self.field.space.metric == Metric::Euclid {
                // Codes estimate half of it.
                hits.iter_mut().for_each(|hit| hit.score *= 2.0);
            }
            return hits;
        }
        // In the order of rows, which is that of memory; the sort below undoes it.
        let mut rows: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
        rows.sort_unstable();
        let mut scores = vec![0.0; rows.len()];
        rows.iter().take(RESCORED_AHEAD).for_each(|&row| self.scorer.prefetch(row));
        for (at, (rows_now, scores)) in rows.chunks(RESCORED_AHEAD).zip(scores.chunks_mut(RESCORED_AHEAD)).enumerate() {
            rows.iter().skip((at + 1) * RESCORED_AHEAD).take(RESCORED_AHEAD).for_each(|&row| self.scorer.prefetch(row));
            self.scorer.score_many(rows_now, scores);
        }
        hits.clear();
        hits.extend(scores.iter().zip(&rows).map(|(&score, &row)| Hit { score, row }));
        hits.sort_unstable_by(|a, b| b.cmp(a));
        hits
    }

    fn is_selective(&self) -> bool {
        self.matcher.is_selective() || self.excluded.is_some() || !self.field.complete
    }

    fn accepts(&self, row: u32) -> Result<bool> {
        Ok(self.excluded != Some(row)
            && (self.field.complete || self.segment.has_vector(self.leaf.field, row))
            && self.matcher.accepts(row)?)
    }

    fn walk(&self, graph: &Graph, ef: usize, situation: &Situation, two_hops: bool) -> Result<Vec<Hit>> {
        let dense = self.matcher.dense();
        let mut failure = None;
        let mut accept = |row: u32| {
            if let Some(words) = &dense {
                let wanted = words.get(row as usize / 64).is_some_and(|word| word & (1 << (row % 64)) != 0);
                return wanted && self.excluded != Some(row) && (self.field.complete || self.segment.has_vector(self.leaf.field, row));
            }
            self.accepts(row).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                false
            })
        };
        let forced = self.leaf.strategy.is_some();
        let most_scored = if forced { usize::MAX } else { situation.scan_cost().max(situation.ef * 4) };
        let filtered = Filtered { accept: &mut accept, two_hops, most_scored };
        let outcome = match self.codes() {
            Some(codes) => {
                let depth = self.depth(codes);
                let mut outcome = graph.nearest_accepted(&self.code_scorer(codes), ef.max(depth), filtered);
                outcome.hits = self.rescored(std::mem::take(&mut outcome.hits), depth);
                outcome
            }
            None => graph.nearest_accepted(&self.scorer, ef, filtered),
        };
        if let Some(error) = failure {
            return Err(error);
        }
        self.leaf.budget.check()?;
        let bound = if self.matcher.is_exact() { self.matcher.upper_bound() } else { usize::MAX };
        let too_few = outcome.hits.len() < self.leaf.k.min(bound);
        // Around the query far fewer rows match than elsewhere: the walk was led away from the matches, and its recall is poor.
        let seen_share = outcome.accepted as f64 / outcome.asked.max(1) as f64;
        let expected_share = situation.matches as f64 / situation.rows.max(1) as f64;
        let led_away = self.matcher.is_filtered() && seen_share < 0.5 * expected_share && situation.matches <= SUSPICION_LIMIT;
        if outcome.gave_up || too_few || (led_away && !forced) {
            return self.scan();
        }
        Ok(outcome.hits)
    }

    /// Scores every accepted row.
    fn scan(&self) -> Result<Vec<Hit>> {
        match self.codes().filter(|_| self.matcher.upper_bound().saturating_mul(self.field.space.stride()) > EXACT_SCAN_BYTES) {
            Some(codes) => {
                let depth = SCAN_DEPTH * self.depth(codes);
                let hits = self.scan_by(&self.code_scorer(codes), depth)?;
                Ok(self.rescored(hits, depth))
            }
            None => self.scan_by(&self.scorer, self.leaf.k),
        }
    }

    fn scan_by(&self, scorer: &impl Scorer, keep: usize) -> Result<Vec<Hit>> {
        let mut best = BinaryHeap::new();
        let mut batch: Vec<u32> = Vec::with_capacity(SCAN_BATCH);
        let mut scores = [0.0; SCAN_BATCH];
        let mut seen = 0;
        let mut flush = |batch: &mut Vec<u32>| {
            let scores = &mut scores[..batch.len()];
            scorer.score_many(batch, scores);
            for (&score, row) in scores.iter().zip(batch.drain(..)) {
                keep_best(&mut best, Scored { score, row }, keep);
            }
        };
        self.matcher.each(&mut |row| {
            seen += 1;
            if seen % BUDGET_EVERY == 0 {
                self.leaf.budget.check()?;
            }
            if self.excluded != Some(row) && (self.field.complete || self.segment.has_vector(self.leaf.field, row)) {
                batch.push(row);
                if batch.len() == SCAN_BATCH {
                    flush(&mut batch);
                }
            }
            Ok(true)
        })?;
        flush(&mut batch);
        let mut hits: Vec<Hit> = best.into_iter().map(|Reverse(hit)| hit).collect();
        hits.sort_unstable_by(|a, b| b.cmp(a));
        Ok(hits)
    }
}

fn keep_best(best: &mut BinaryHeap<Reverse<Scored>>, hit: Scored, k: usize) {
    if best.len() < k {
        best.push(Reverse(hit));
    } else if best.peek().is_some_and(|Reverse(worst)| hit > *worst) {
        best.pop();
        best.push(Reverse(hit));
    }
}

impl Budget {
    /// # Errors
    /// [`Error::Timeout`] after the deadline, [`Error::Cancelled`] once the flag is set.
    pub(crate) fn check(&self) -> Result<()> {
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(Error::Cancelled);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::Timeout);
        }
        Ok(())
    }
}
