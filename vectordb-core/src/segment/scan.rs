//! Scans: over all rows a filter accepts, or over those in the clusters near the query.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::search::{Hit, Search};
use crate::error::{Error, Result};
use crate::filter::plan::cluster_patience;
use crate::graph::Scored;
use crate::model::explain::Way;
use crate::quantization::Codes;
use crate::vectors::Scorer;

/// Rows of payload checks or distances between two looks at the clock.
const BUDGET_EVERY: usize = 1024;
/// Rows scored at once.
const BATCH: usize = 64;
/// Most matches that are scored by their vectors at once: for fewer a query for codes is not worth preparing.
const MOST_EXACT: usize = 256;
/// A scan has seen every match; so many times more of its best are scored again, for nothing but the codes' errors to matter.
const DEPTH: usize = 2;

/// The best rows of those offered.
struct Best<'a, S> {
    scorer: &'a S,
    keep: usize,
    /// Load rows while they wait to be scored: codes gain from it, long vectors drive each other out of the cache.
    ahead: bool,
    batch: Vec<u32>,
    scores: [f32; BATCH],
    heap: BinaryHeap<Reverse<Scored>>,
    /// Rows scored.
    seen: usize,
    /// Rows that were among the best when they came.
    entered: usize,
}

impl<'a, S: Scorer> Best<'a, S> {
    fn new(scorer: &'a S, keep: usize, ahead: bool) -> Self {
        let (batch, heap) = (Vec::with_capacity(BATCH), BinaryHeap::new());
        Self { scorer, keep, ahead, batch, scores: [0.0; BATCH], heap, seen: 0, entered: 0 }
    }

    #[inline]
    fn offer(&mut self, row: u32) {
        if self.ahead {
            self.scorer.prefetch(row);
        }
        self.batch.push(row);
        if self.batch.len() == BATCH {
            self.score();
        }
    }

    fn score(&mut self) {
        let scores = &mut self.scores[..self.batch.len()];
        self.scorer.score_many(&self.batch, scores);
        self.seen += scores.len();
        for (&score, row) in scores.iter().zip(self.batch.drain(..)) {
            let hit = Scored { score, row };
            if self.heap.len() < self.keep {
                self.heap.push(Reverse(hit));
                self.entered += 1;
            } else if let Some(mut worst) = self.heap.peek_mut().filter(|worst| hit > worst.0) {
                *worst = Reverse(hit);
                self.entered += 1;
            }
        }
    }

    fn into_hits(mut self) -> Vec<Hit> {
        self.score();
        let mut hits: Vec<Hit> = self.heap.into_iter().map(|Reverse(hit)| hit).collect();
        hits.sort_unstable_by(|a, b| b.cmp(a));
        hits
    }
}

impl Search<'_> {
    /// Scores every accepted row.
    pub(super) fn scan(&self) -> Result<Vec<Hit>> {
        match self.codes().filter(|_| self.matcher.upper_bound() > MOST_EXACT) {
            Some(codes) => {
                let depth = DEPTH * self.depth(codes);
                let hits = self.scan_by(&self.code_scorer(codes), depth, true)?;
                self.went(Way::CodeScan);
                Ok(self.rescored(hits, depth))
            }
            None => {
                let hits = self.scan_by(&self.scorer, self.leaf.k, false)?;
                self.went(Way::Scan);
                if self.matcher.upper_bound() > MOST_EXACT {
                    self.segment.scanned(self.leaf.field);
                }
                Ok(hits)
            }
        }
    }

    fn scan_by(&self, scorer: &impl Scorer, keep: usize, ahead: bool) -> Result<Vec<Hit>> {
        let mut best = Best::new(scorer, keep, ahead);
        self.offer_all(0..u32::MAX, &mut best)?;
        best.score();
        self.compared(ahead, best.seen);
        Ok(best.into_hits())
    }

    fn offer_all(&self, range: std::ops::Range<u32>, best: &mut Best<'_, impl Scorer>) -> Result<()> {
        let mut offered = 0;
        self.matcher.each_in(range, |row| {
            offered += 1;
            if offered % BUDGET_EVERY == 0 {
                self.leaf.budget.check()?;
            }
            if self.is_eligible(row) {
                best.offer(row);
            }
            Ok::<(), Error>(())
        })
    }

    /// Clusters, those nearest to the query first.
    pub(super) fn ranked_clusters(&self, codes: &Codes, scorer: &impl Scorer) -> Vec<u32> {
        let centers: Vec<u32> = codes.centers().collect();
        let mut scores = vec![0.0; centers.len()];
        scorer.score_many(&centers, &mut scores);
        self.compared(true, centers.len());
        let mut order: Vec<u32> = (0u32..).take(centers.len()).collect();
        order.sort_unstable_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        order
    }

    /// Scores accepted rows of the nearest clusters until further clusters bring nothing better.
    ///
    /// The idea of an inverted file (Jégou et al. 2011), with a stop that looks at the results instead of a number of lists.
    pub(super) fn scan_clusters(&self, codes: &Codes, scorer: &impl Scorer, order: &[u32], ef: usize) -> Result<Vec<Hit>> {
        let depth = self.depth(codes);
        let patience = cluster_patience(ef);
        let mut best = Best::new(scorer, depth, true);
        // Clusters with matches so far, and as many when the last of them brought something better.
        let (mut visited, mut useful) = (0, 0);
        for &cluster in order {
            let (seen, entered) = (best.seen, best.entered);
            self.offer_all(codes.cluster(cluster as usize), &mut best)?;
            best.score();
            visited += usize::from(best.seen > seen);
            if best.entered > entered {
                useful = visited;
            }
            // Where better rows come late, as they do when no match lies near the query, they may come later still.
            if visited >= useful + useful / 2 + patience && best.heap.len() >= depth && best.seen >= ef {
                break;
            }
        }
        best.score();
        self.went(Way::Clusters);
        self.compared(true, best.seen);
        Ok(self.rescored(best.into_hits(), depth))
    }
}
