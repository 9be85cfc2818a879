//! One nearest-neighbour search over one segment: choose a way, go it, and make sure of the result.
//!
//! A walk may come back with fewer rows than match, or cost more than a scan would have. Then the scan is made, so that a
//! search never returns fewer than `min(k, matches)` rows and never costs much more than twice the cheaper way.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::selection::is_set;
use super::{CompiledFilter, Field, Matcher, Segment, sparse};
use crate::distance::Metric;
use crate::error::{Error, Result};
use crate::filter::plan::Situation;
use crate::graph::{Filtered, Outcome, Part, Scored};
use crate::model::PointId;
use crate::model::explain::{Way, Work};
use crate::model::point::Lsn;
use crate::model::quantization::QuantizationParams;
use crate::model::query::{Budget, Strategy};
use crate::quantization::Codes;
use crate::vectors::{Asked, CodeScorer, Probe, RowScorer, Rows, Scorer};

/// A search as every segment gets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) field: &'a str,
    pub(crate) query: &'a Probe<'a>,
    /// Rows wanted, the points to leave out not counted.
    pub(crate) k: usize,
    pub(crate) ef: usize,
    pub(crate) exact: bool,
    pub(crate) indexed_only: bool,
    pub(crate) quantization: QuantizationParams,
    pub(crate) strategy: Option<Strategy>,
    /// Share of matches up to which a walk over them alone is preferred.
    pub(crate) acorn: Option<f64>,
    /// The recall wanted, instead of a length of the candidate list.
    pub(crate) recall: Option<f64>,
    /// Worst inner score wanted.
    pub(crate) threshold: Option<f32>,
    pub(crate) exclude: &'a [PointId],
    pub(crate) filter: Option<&'a CompiledFilter>,
    /// Fields smaller than this are scanned.
    pub(crate) full_scan_bytes: usize,
    /// Fewer matches than this are scored one by one in a sparse field; by its own judgement if nothing is said.
    pub(crate) full_scan_rows: Option<usize>,
    pub(crate) at: Lsn,
    pub(crate) budget: &'a Budget,
}

/// What a search over a segment did, for explanations. It is always kept, since that costs next to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trace {
    pub(crate) way: Way,
    pub(crate) ef: usize,
    /// Rows expected to match.
    pub(crate) estimated: usize,
    /// Whether the payload indexes alone knew which.
    pub(crate) indexed: bool,
    pub(crate) work: Work,
}

/// A row of a segment and its inner score.
pub(crate) type Hit = Scored;

/// Clusters that count as near to the query.
const NEAR_CLUSTERS: usize = 8;
/// Least share of matches around the query for which a plain walk is sifted.
const LEAST_SIFTED: f64 = 0.25;
/// Rows of them that are looked at where no index knows what matches.
const NEAR_SAMPLE: usize = 32;
/// Vectors loaded while those before them are scored.
const RESCORED_AHEAD: usize = 4;
/// Most matches for which a suspicious walk is checked by a scan.
const SUSPICION_LIMIT: usize = 1 << 18;

/// The rows of a segment closest to the query, best first.
///
/// # Errors
/// [`Error::Timeout`] and [`Error::Cancelled`] by the budget, [`Error::Corrupt`] for unreadable payloads.
pub(crate) fn search(segment: &dyn Segment, leaf: &Leaf<'_>) -> Result<(Vec<Hit>, Trace)> {
    leaf.budget.check()?;
    if leaf.k == 0 || segment.rows(leaf.at) == 0 {
        return Ok(Default::default());
    }
    if let Some(field) = segment.sparse(leaf.field) {
        return sparse::search(segment, &field, leaf).map(|(hits, trace)| (within(hits, leaf), trace));
    }
    let field = segment.field(leaf.field).filter(|field| leaf.query.fits(field.space.dim, field.groups.is_some()));
    let Some(field) = field else { return Ok(Default::default()) };
    let matcher = Matcher::new(segment, leaf.filter, leaf.at);
    Search::over(segment, leaf, field, matcher, None).found()
}

/// The wanted number of hits that are good enough.
fn within(mut hits: Vec<Hit>, leaf: &Leaf<'_>) -> Vec<Hit> {
    if let Some(threshold) = leaf.threshold {
        hits.retain(|hit| hit.score >= threshold);
    }
    hits.truncate(leaf.k);
    hits
}

/// A search over one segment.
pub(super) struct Search<'a> {
    pub(super) segment: &'a dyn Segment,
    pub(super) leaf: &'a Leaf<'a>,
    pub(super) field: Field<'a>,
    pub(super) scorer: Asked<'a, RowScorer<'a>>,
    pub(super) matcher: Matcher<'a>,
    excluded: Vec<u32>,
    /// A row that walks do not step on.
    without: Option<u32>,
    /// The length of the candidate list that was asked for, or was learned to give the recall asked for.
    ef: Cell<usize>,
    trace: Cell<Trace>,
}

impl<'a> Search<'a> {
    pub(super) fn over(segment: &'a dyn Segment, leaf: &'a Leaf<'a>, field: Field<'a>, matcher: Matcher<'a>, without: Option<u32>) -> Self {
        let named = leaf.exclude.iter().filter_map(|id| segment.find(id, leaf.at));
        Self {
            segment,
            leaf,
            field,
            scorer: leaf.query.row_scorer(field.space, field.rows, field.groups),
            matcher,
            excluded: named.chain(without).collect(),
            without,
            ef: Cell::new(leaf.ef),
            trace: Cell::default(),
        }
    }

    pub(super) fn found(&self) -> Result<(Vec<Hit>, Trace)> {
        let hits = self.run()?;
        Ok((within(hits, self.leaf), self.trace.get()))
    }
}

impl Search<'_> {
    pub(super) fn went(&self, way: Way) {
        self.trace.update(|trace| Trace { way, ..trace });
    }

    /// Counts distances: of codes, or of vectors.
    pub(super) fn compared(&self, by_codes: bool, count: usize) {
        self.trace.update(|mut trace| {
            let counter = if by_codes { &mut trace.work.codes } else { &mut trace.work.vectors };
            *counter += count as u64;
            trace
        });
    }

    fn walked(&self, way: Way, by_codes: bool, outcome: &Outcome) {
        self.compared(by_codes, outcome.scored);
        self.trace.update(|mut trace| {
            trace.work.hops += outcome.hops as u64;
            Trace { way, ..trace }
        });
    }

    fn run(&self) -> Result<Vec<Hit>> {
        let (estimated, indexed) = (self.matcher.upper_bound(), self.matcher.is_exact());
        self.trace.update(|trace| Trace { estimated, indexed, ..trace });
        let small = self.field.rows_of(self.segment.rows(self.leaf.at)) as usize * self.field.space.stride() < self.leaf.full_scan_bytes;
        let graph = self.field.graph;
        if self.leaf.indexed_only && graph.is_none() && !small {
            return Ok(Vec::new());
        }
        let walkable = graph.filter(|_| !self.leaf.exact && self.leaf.strategy != Some(Strategy::Scan));
        let Some(graph) = walkable.and_then(|graph| graph.whole().or_else(|| graph.part(&self.matcher.span()))) else {
            return self.scan();
        };
        let rows = graph.rows();
        // What has a graph of its own is not small, and a filter that takes all of it is none to its graph.
        let small = small && !graph.is_of_several();
        let all_of_several = || graph.is_of_several() && self.matcher.is_exact() && self.matcher.upper_bound() == rows;
        if !self.matcher.is_filtered() || all_of_several() {
            let ef = self.settle_ef(1.0, None);
            // A walk costs more than a scan when it would visit a good part of the rows.
            let costly = ef.saturating_mul(4) >= rows || (small && self.leaf.strategy.is_none());
            return if costly { self.scan() } else { self.unfiltered(&graph, ef) };
        }
        match self.codes() {
            Some(codes) => self.filtered(&graph, &self.code_scorer(codes), Some(codes), small),
            None => self.filtered(&graph, &self.scorer, None, small),
        }
    }

    /// The length of the candidate list, once it is known how much matches: in all, and around the query.
    fn settle_ef(&self, share: f64, near_share: Option<f64>) -> usize {
        let learned = self.leaf.recall.zip(self.segment.calibrations(self.leaf.field));
        let ef = learned.and_then(|(recall, learned)| learned.ef(recall, self.leaf, share, near_share)).unwrap_or(self.leaf.ef);
        self.ef.set(ef);
        let ef = ef.max(self.wanted());
        self.trace.update(|trace| Trace { ef, ..trace });
        ef
    }

    /// Rows wanted, those that will be left out included.
    fn wanted(&self) -> usize {
        self.leaf.k.saturating_add(self.excluded.len())
    }

    /// A walk over all rows. Dead ones still lead the way, so there must be room for them.
    fn unfiltered(&self, graph: &Part<'_>, ef: usize) -> Result<Vec<Hit>> {
        let rows = graph.rows();
        let live = self.matcher.upper_bound().clamp(1, rows.max(1));
        let widened = |number: usize| number.saturating_mul(rows).div_ceil(live);
        let hits = match self.codes() {
            Some(codes) => {
                let depth = self.depth(codes);
                let outcome = graph.nearest(&self.code_scorer(codes), widened(ef), widened(depth), self.without);
                self.walked(Way::Graph, true, &outcome);
                self.rescored(self.eligible(outcome.hits)?, depth)
            }
            None => {
                let outcome = graph.nearest(&self.scorer, widened(ef), widened(self.wanted()), self.without);
                self.walked(Way::Graph, false, &outcome);
                self.eligible(outcome.hits)?
            }
        };
        if hits.len() < self.leaf.k.min(live) { self.scan() } else { Ok(hits) }
    }

    fn eligible(&self, mut hits: Vec<Hit>) -> Result<Vec<Hit>> {
        if self.matcher.has_dead() || !self.excluded.is_empty() {
            let mut failure = None;
            hits.retain(|hit| {
                !self.excluded.contains(&hit.row)
                    && self.matcher.accepts(hit.row).unwrap_or_else(|error| {
                        failure.get_or_insert(error);
                        false
                    })
            });
            return failure.map_or(Ok(hits), Err);
        }
        Ok(hits)
    }

    fn filtered(&self, graph: &Part<'_>, scorer: &impl Scorer, codes: Option<&Codes>, small: bool) -> Result<Vec<Hit>> {
        let mut situation = Situation {
            rows: graph.rows(),
            matches: usize::try_from(self.matcher.estimate()?).unwrap_or(usize::MAX),
            unsure: if self.matcher.is_exact() { 0 } else { self.matcher.upper_bound() },
            small,
            ef: 0,
            row_bytes: codes.map_or(self.field.space.stride(), |codes| codes.codec().stride()),
            clusters: codes.map_or(0, Codes::clusters),
            near_share: None,
        };
        self.trace.update(|trace| Trace { estimated: situation.matches, ..trace });
        let mut order = Vec::new();
        if let Some(codes) = codes.filter(|_| situation.near_share_matters() || self.leaf.strategy == Some(Strategy::Clusters)) {
            order = self.ranked_clusters(codes, scorer);
            situation.near_share = self.near_share(codes, &order)?;
        }
        let share = situation.matches as f64 / situation.rows.max(1) as f64;
        situation.ef = self.settle_ef(share, situation.near_share);
        let preferred = self.leaf.acorn.filter(|most| share <= *most).map(|_| Strategy::FilteredGraph);
        match self.leaf.strategy.or(preferred).unwrap_or_else(|| situation.strategy()) {
            Strategy::Scan => self.scan(),
            Strategy::FilteredGraph => self.walk(graph, scorer, codes, &situation, true),
            Strategy::Graph => match self.walk_and_sift(graph, scorer, codes, &situation)? {
                Some(hits) => Ok(hits),
                None => self.walk(graph, scorer, codes, &situation, false),
            },
            Strategy::Clusters => match codes {
                Some(codes) if !order.is_empty() => self.scan_clusters(codes, scorer, &order, situation.ef),
                _ => self.scan(),
            },
        }
    }

    /// The share of matches among the rows of the clusters nearest to the query: counted, or by a sample where no index knows.
    fn near_share(&self, codes: &Codes, order: &[u32]) -> Result<Option<f64>> {
        let near = || order.iter().take(NEAR_CLUSTERS).map(|&cluster| codes.cluster(cluster as usize));
        let rows: usize = near().map(|range| range.len()).sum();
        if rows == 0 {
            return Ok(None);
        }
        if self.matcher.is_exact() {
            let matches: usize = near().map(|range| self.matcher.possible_in(range)).sum();
            return Ok(Some(matches as f64 / rows as f64));
        }
        let (mut seen, mut accepted) = (0u32, 0u32);
        for row in near().flatten().step_by((rows / NEAR_SAMPLE).max(1)) {
            seen += 1;
            accepted += u32::from(self.matcher.accepts(row)?);
        }
        Ok(Some(f64::from(accepted) / f64::from(seen.max(1))))
    }

    /// The share of matches around the query, however little is known of them.
    pub(super) fn near_share_of_all(&self) -> Result<Option<f64>> {
        let Some(codes) = self.codes().filter(|codes| codes.clusters() > 0) else { return Ok(None) };
        self.near_share(codes, &self.ranked_clusters(codes, &self.code_scorer(codes)))
    }

    /// The codes, if this search may use them.
    pub(super) fn codes(&self) -> Option<&Codes> {
        self.field.codes.filter(|_| !self.leaf.exact && !self.leaf.quantization.ignore)
    }

    pub(super) fn code_scorer<'c>(&'c self, codes: &'c Codes) -> Asked<'c, CodeScorer<'c>> {
        self.leaf.query.code_scorer(self.field.space, codes, self.field.groups)
    }

    /// How many of the best by code are scored by their vectors.
    pub(super) fn depth(&self, codes: &Codes) -> usize {
        let k = self.wanted();
        if self.leaf.quantization.rescore == Some(false) {
            return k;
        }
        let factor = self.leaf.quantization.oversampling.unwrap_or(f64::from(codes.codec().depth()));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a product of positive numbers")]
        let depth = (k as f64 * factor.max(1.0)).ceil() as usize;
        // The errors of several estimates add up.
        let several = self.leaf.query.combine.is_some() || self.field.groups.is_some();
        let depth = if several { 2 * depth } else { depth };
        // Narrow codes misplace rows by many ranks; who lets the walk find more wants more of that looked at.
        let narrow = self.leaf.quantization.oversampling.is_none() && codes.codec().width().bits() < 4;
        depth.max(if narrow { self.ef.get() / 2 } else { k })
    }

    /// Scores the best by code by their vectors, or turns estimates into scores when that is not wanted.
    pub(super) fn rescored(&self, mut hits: Vec<Hit>, depth: usize) -> Vec<Hit> {
        hits.truncate(depth);
        if self.leaf.quantization.rescore == Some(false) {
            if self.field.space.metric == Metric::Euclid && self.leaf.query.combine.is_none() {
                // Codes estimate half of it.
                hits.iter_mut().for_each(|hit| hit.score *= 2.0);
            }
            return hits;
        }
        // In the order of rows, which is that of memory; the sort below undoes it.
        let mut rows: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
        rows.sort_unstable();
        let mut scores = vec![0.0; rows.len()];
        self.score_exactly(&rows, &mut scores);
        self.compared(false, rows.len());
        hits.clear();
        hits.extend(scores.iter().zip(&rows).map(|(&score, &row)| Hit { score, row }));
        hits.sort_unstable_by(|a, b| b.cmp(a));
        hits
    }

    /// Scores rows by their vectors, wherever these are.
    fn score_exactly(&self, rows: &[u32], scores: &mut [f32]) {
        let mut copies = Vec::new();
        if self.segment.read_unmapped(self.leaf.field, rows, &mut copies) {
            let copied = Rows::Flat { bytes: bytemuck::cast_slice(&copies), stride: self.field.space.stride() };
            let numbers: Vec<u32> = (0u32..).take(rows.len()).collect();
            return self.leaf.query.row_scorer(self.field.space, copied, None).score_many(&numbers, scores);
        }
        rows.iter().take(RESCORED_AHEAD).for_each(|&row| self.scorer.prefetch(row));
        for (at, (rows_now, scores)) in rows.chunks(RESCORED_AHEAD).zip(scores.chunks_mut(RESCORED_AHEAD)).enumerate() {
            rows.iter().skip((at + 1) * RESCORED_AHEAD).take(RESCORED_AHEAD).for_each(|&row| self.scorer.prefetch(row));
            self.scorer.score_many(rows_now, scores);
        }
    }

    /// Whether a row that the matcher accepts may be a hit.
    #[inline]
    pub(super) fn is_eligible(&self, row: u32) -> bool {
        !self.excluded.contains(&row) && (self.field.complete || self.segment.has_vector(self.leaf.field, row))
    }

    /// A plain walk with a longer list, of which the matches are kept: the fastest way where a good part of the rows around the
    /// query match. Nothing when it is not worth trying, or too few were found.
    fn walk_and_sift(
        &self,
        graph: &Part<'_>,
        scorer: &impl Scorer,
        codes: Option<&Codes>,
        situation: &Situation,
    ) -> Result<Option<Vec<Hit>>> {
        let share = situation.near_share();
        let Some(words) = self.matcher.dense().filter(|_| share >= LEAST_SIFTED) else { return Ok(None) };
        let depth = codes.map_or(self.leaf.k, |codes| self.depth(codes));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of rows")]
        let widened = |number: usize| (number as f64 / share).ceil() as usize;
        let outcome = graph.nearest(scorer, widened(situation.ef), widened(depth), self.without);
        self.walked(Way::SiftedGraph, codes.is_some(), &outcome);
        let mut hits = outcome.hits;
        let seen = hits.len();
        hits.retain(|hit| is_set(&words, hit.row) && !self.excluded.contains(&hit.row));
        self.leaf.budget.check()?;
        // Too few matches among what was found: they lie elsewhere.
        if hits.len() < depth.min(situation.matches) || (hits.len() as f64) < 0.5 * share * seen as f64 {
            return Ok(None);
        }
        Ok(Some(if codes.is_some() { self.rescored(hits, depth) } else { hits }))
    }

    fn walk(
        &self,
        graph: &Part<'_>,
        scorer: &impl Scorer,
        codes: Option<&Codes>,
        situation: &Situation,
        two_hops: bool,
    ) -> Result<Vec<Hit>> {
        let depth = codes.map_or(self.leaf.k, |codes| self.depth(codes));
        let ef = situation.ef.max(depth);
        let forced = self.leaf.strategy.is_some();
        let most_scored = if forced { usize::MAX } else { situation.most_scored() };
        // The graph holds no rows without a vector, so only excluded ones are left to be looked for.
        let outcome = match self.matcher.dense() {
            Some(words) => {
                let accept = |row| is_set(&words, row) && !self.excluded.contains(&row);
                graph.nearest_accepted(scorer, ef, Filtered { accept, two_hops, most_scored })
            }
            None => {
                let mut failure = None;
                let accept = |row| {
                    !self.excluded.contains(&row)
                        && self.matcher.accepts(row).unwrap_or_else(|error| {
                            failure.get_or_insert(error);
                            false
                        })
                };
                let outcome = graph.nearest_accepted(scorer, ef, Filtered { accept, two_hops, most_scored });
                failure.map_or(Ok(outcome), Err)?
            }
        };
        self.walked(if two_hops { Way::FilteredGraph } else { Way::SiftedGraph }, codes.is_some(), &outcome);
        self.leaf.budget.check()?;
        let bound = if self.matcher.is_exact() { self.matcher.upper_bound() } else { usize::MAX };
        let too_few = outcome.hits.len() < self.leaf.k.min(bound);
        // Around the query far fewer rows match than elsewhere: the walk was led away from the matches, and its recall is poor. It is
        // not where clusters have told that there are some, and all rows are walked over: it goes on until it has found enough.
        let seen_share = outcome.accepted as f64 / outcome.asked.max(1) as f64;
        let suspicious = two_hops || situation.near_share.is_none();
        let led_away = suspicious && seen_share < 0.5 * situation.near_share() && situation.matches <= SUSPICION_LIMIT;
        if outcome.gave_up || too_few || (led_away && !forced) {
            return self.scan();
        }
        Ok(if codes.is_some() { self.rescored(outcome.hits, depth) } else { outcome.hits })
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
