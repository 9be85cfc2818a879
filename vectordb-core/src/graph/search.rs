//! Walks over the graph.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::storage::placed::Placed;
use crate::vectors::Scorer;

use super::links::{Links, NONE};
use super::pool::Pool;
use super::visited::{MOST_NEIGHBOURS, Visited, VisitedPool};

/// A row and how close it is; larger is closer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) score: f32,
    pub(crate) row: u32,
}

impl Eq for Scored {}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.row.cmp(&self.row))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a walk found and what it cost.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Rows found, best first.
    pub(crate) hits: Vec<Scored>,
    /// Distances computed.
    pub(crate) scored: usize,
    /// Rows whose links were followed on the lowest level.
    pub(crate) hops: usize,
    /// Rows asked whether they are accepted.
    pub(crate) asked: usize,
    /// Rows accepted among them.
    pub(crate) accepted: usize,
    /// The walk was given up because it cost more than allowed.
    pub(crate) gave_up: bool,
}

/// A walk that keeps only some rows.
pub(crate) struct Filtered<A> {
    /// Whether a row is wanted; asked at most once for each row.
    pub(crate) accept: A,
    /// Pass through unwanted rows without scoring them, to their neighbours.
    pub(crate) two_hops: bool,
    /// Give up after this many distances.
    pub(crate) most_scored: usize,
}

/// A graph that can be searched.
#[derive(Debug)]
pub(crate) struct Graph {
    links: Links,
    visited: VisitedPool,
}

impl Graph {
    pub(crate) fn new(links: Links) -> Self {
        Self { visited: VisitedPool::new(links.rows()), links }
    }

    /// Where the links lie.
    pub(crate) fn placed(&self) -> &Placed {
        self.links.placed()
    }

    /// Bytes of what is kept for the next walk.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.visited.memory_bytes()
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    pub(crate) fn params(&self) -> super::GraphParams {
        self.links.params()
    }

    /// Rows that have lists of links: all, or those up to the end of the last part.
    pub(crate) fn rows(&self) -> usize {
        self.links.rows()
    }

    /// Whether there are graphs over parts of the rows instead of one over all.
    pub(crate) fn is_divided(&self) -> bool {
        !self.links.parts().is_empty()
    }

    /// The graph over all rows; none where there are graphs over parts instead.
    pub(crate) fn whole(&self) -> Option<Part<'_>> {
        let rows = 0..u32::try_from(self.links.rows()).unwrap_or(NONE);
        (!self.is_divided()).then(|| Part { graph: self, rows, entry: self.links.entry() })
    }

    /// The graph over the part that holds all rows of a range.
    pub(crate) fn part(&self, range: &Range<u32>) -> Option<Part<'_>> {
        let parts = self.links.parts();
        let before = parts.partition_point(|part| part.rows.end <= range.start);
        let part = parts.get(before).filter(|part| part.rows.start <= range.start && range.end <= part.rows.end)?;
        Some(Part { graph: self, rows: part.rows.clone(), entry: Some(part.entry) })
    }

    /// The rows of each part.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.links.parts().iter().map(|part| part.rows.clone())
    }
}

/// A graph that walks lead through: that over all rows, or that over a part of them.
#[derive(Debug, Clone)]
pub(crate) struct Part<'a> {
    graph: &'a Graph,
    rows: Range<u32>,
    /// Nothing where no row has a vector.
    entry: Option<u32>,
}

impl Part<'_> {
    /// Rows that walks may lead to.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether it is one of several.
    pub(crate) fn is_of_several(&self) -> bool {
        self.graph.is_divided()
    }

    /// The rows closest to the query, at most `ef` or, if that is more, `keep`. Costs about `ef * 2 m` distances at worst, far
    /// fewer as a rule. It does not step on the row `without`: what it finds is what a query would that is like this row.
    pub(crate) fn nearest(&self, scorer: &impl Scorer, ef: usize, keep: usize, without: Option<u32>) -> Outcome {
        let Some((entry, descent)) = self.descend(scorer) else { return Outcome::default() };
        self.graph.visited.with(|visited| {
            if let Some(row) = without {
                visited.insert(row);
            }
            let mut pool = Pool::with_window(ef, ef.max(keep));
            let (scored, hops) = beam(&self.graph.links, 0, scorer, &mut pool, visited, &[entry]);
            let hits = pool.into_sorted().map(|(score, row)| Scored { score, row }).collect();
            Outcome { hits, scored: scored + descent, hops, ..Outcome::default() }
        })
    }

    /// The accepted rows closest to the query, at most `ef`.
    pub(crate) fn nearest_accepted(&self, scorer: &impl Scorer, ef: usize, filtered: Filtered<impl FnMut(u32) -> bool>) -> Outcome {
        let Some((entry, scored)) = self.descend(scorer) else { return Outcome::default() };
        self.graph.visited.with(|visited| {
            let outcome = Outcome { scored, ..Outcome::default() };
            let walk = FilteredWalk { links: &self.graph.links, scorer, visited, filtered, outcome };
            if walk.filtered.two_hops { walk.over_accepted(entry, ef) } else { walk.over_all(entry, ef) }
        })
    }

    /// Greedy descent through the upper levels to the row the lowest level is entered at, and the distances that took.
    fn descend(&self, scorer: &impl Scorer) -> Option<(Scored, usize)> {
        let (links, row) = (&self.graph.links, self.entry?);
        let (mut best, mut scored) = (Scored { score: scorer.score(row), row }, 1);
        for level in (1..=links.levels(row)).rev() {
            best = climb(links, level, scorer, best, &mut scored);
        }
        Some((best, scored))
    }
}

/// Links that a walk can follow: finished ones, or those of a graph under construction.
pub(super) trait Adjacency {
    /// Adds the neighbours of a row to a list.
    fn gather(&self, row: u32, level: usize, into: &mut Vec<u32>);
    /// Asks the CPU to load a row's list of the lowest level.
    fn prefetch(&self, _row: u32) {}
}

impl Adjacency for Links {
    #[inline]
    fn gather(&self, row: u32, level: usize, into: &mut Vec<u32>) {
        into.extend_from_slice(self.of(row, level));
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        self.prefetch(row);
    }
}

/// Goes to the best neighbour until no neighbour is better.
pub(super) fn climb(links: &impl Adjacency, level: usize, scorer: &impl Scorer, mut best: Scored, scored: &mut usize) -> Scored {
    let (mut neighbours, mut scores) = (Vec::new(), Vec::new());
    loop {
        neighbours.clear();
        links.gather(best.row, level, &mut neighbours);
        scores.resize(neighbours.len(), 0.0);
        scorer.score_many(&neighbours, &mut scores);
        *scored += neighbours.len();
        let next = neighbours.iter().zip(&scores).map(|(&row, &score)| Scored { score, row }).max();
        match next {
            Some(next) if next.score > best.score => best = next,
            _ => return best,
        }
    }
}

/// Beam search on one level: fills the pool and returns the number of distances computed and of rows whose links were followed.
pub(super) fn beam(
    links: &impl Adjacency,
    level: usize,
    scorer: &impl Scorer,
    pool: &mut Pool,
    visited: &mut Visited,
    entries: &[Scored],
) -> (usize, usize) {
    for entry in entries {
        if visited.insert(entry.row) {
            pool.insert(entry.score, entry.row);
        }
    }
    let (mut scored, mut hops) = (0, 0);
    let mut neighbours = Vec::with_capacity(MOST_NEIGHBOURS);
    let (mut fresh, mut scores) = ([0; MOST_NEIGHBOURS], [0.0; MOST_NEIGHBOURS]);
    while let Some((_, row)) = pool.next() {
        hops += 1;
        neighbours.clear();
        links.gather(row, level, &mut neighbours);
        // One round, but for graphs of very large m.
        for some in neighbours.chunks(MOST_NEIGHBOURS) {
            let count = visited.insert_all(some, &mut fresh);
            let (fresh, scores) = (&fresh[..count], &mut scores[..count]);
            fresh.iter().for_each(|&neighbour| scorer.prefetch(neighbour));
            if level == 0
                && let Some(next) = pool.peek()
            {
                links.prefetch(next);
            }
            scorer.score_many(fresh, scores);
            let mut bound = pool.bound();
            for (&score, &neighbour) in scores.iter().zip(fresh) {
                if score > bound {
                    if pool.insert(score, neighbour) && level == 0 {
                        links.prefetch(neighbour);
                    }
                    bound = pool.bound();
                }
            }
            scored += count;
        }
    }
    (scored, hops)
}

struct FilteredWalk<'a, S, A> {
    links: &'a Links,
    scorer: &'a S,
    visited: &'a mut Visited,
    filtered: Filtered<A>,
    outcome: Outcome,
}

impl<S: Scorer, A: FnMut(u32) -> bool> FilteredWalk<'_, S, A> {
    #[inline]
    fn accepts(&mut self, row: u32) -> bool {
        self.outcome.asked += 1;
        let accepted = (self.filtered.accept)(row);
        self.outcome.accepted += usize::from(accepted);
        accepted
    }

    fn finish(mut self, hits: impl Iterator<Item = Scored>) -> Outcome {
        self.outcome.hits = hits.collect();
        self.outcome
    }

    fn over_budget(&mut self) -> bool {
        self.outcome.gave_up |= self.outcome.scored > self.filtered.most_scored;
        self.outcome.gave_up
    }

    /// Walks over all rows and keeps the accepted ones. It ends when the next candidate is worse than the worst of `ef` kept.
    fn over_all(mut self, entry: Scored, ef: usize) -> Outcome {
        let mut kept = Pool::new(ef);
        let mut candidates = BinaryHeap::from([entry]);
        self.visited.insert(entry.row);
        if self.accepts(entry.row) {
            kept.insert(entry.score, entry.row);
        }
        let (mut fresh, mut scores) = (Vec::new(), Vec::new());
        while let Some(best) = candidates.pop() {
            if (kept.is_full() && best.score < kept.bound()) || self.over_budget() {
                break;
            }
            self.outcome.hops += 1;
            fresh.clear();
            for &neighbour in self.links.of(best.row, 0) {
                if self.visited.insert(neighbour) {
                    self.scorer.prefetch(neighbour);
                    fresh.push(neighbour);
                }
            }
            if let Some(next) = candidates.peek() {
                self.links.prefetch(next.row);
            }
            self.score(&fresh, &mut scores);
            for (&score, &row) in scores.iter().zip(&fresh) {
                if kept.is_full() && score <= kept.bound() {
                    continue;
                }
                candidates.push(Scored { score, row });
                if self.accepts(row) {
                    kept.insert(score, row);
                }
            }
        }
        self.finish(kept.into_sorted().map(|(score, row)| Scored { score, row }))
    }

    /// Walks over accepted rows only; an unwanted neighbour is replaced by its own accepted neighbours, unscored
    /// (ACORN, Patel et al. 2024, with the second hop taken at query time).
    fn over_accepted(mut self, entry: Scored, ef: usize) -> Outcome {
        let mut pool = Pool::new(ef);
        // The entry leads the walk even when it is unwanted itself; it is taken out again at the end.
        pool.insert(entry.score, entry.row);
        self.visited.insert(entry.row);
        let entry_accepted = self.accepts(entry.row);
        let most_fresh = 2 * self.links.params().links_at(0);
        let (mut fresh, mut scores) = (Vec::new(), Vec::new());
        while let Some((_, row)) = pool.next() {
            if self.over_budget() {
                break;
            }
            self.outcome.hops += 1;
            fresh.clear();
            self.gather_two_hops(row, most_fresh, &mut fresh);
            if let Some(next) = pool.peek() {
                self.links.prefetch(next);
            }
            self.score(&fresh, &mut scores);
            for (&score, &neighbour) in scores.iter().zip(&fresh) {
                pool.insert(score, neighbour);
            }
        }
        self.finish(pool.into_sorted().filter(|&(_, row)| entry_accepted || row != entry.row).map(|(score, row)| Scored { score, row }))
    }

    fn gather_two_hops(&mut self, row: u32, most: usize, fresh: &mut Vec<u32>) {
        let links = self.links;
        for &neighbour in links.of(row, 0) {
            if !self.visited.insert(neighbour) {
                continue;
            }
            if self.accepts(neighbour) {
                self.scorer.prefetch(neighbour);
                fresh.push(neighbour);
                continue;
            }
            if fresh.len() >= most {
                continue;
            }
            for &second in links.of(neighbour, 0) {
                if self.visited.insert(second) && self.accepts(second) {
                    self.scorer.prefetch(second);
                    fresh.push(second);
                }
            }
        }
    }

    fn score(&mut self, rows: &[u32], scores: &mut Vec<f32>) {
        scores.clear();
        scores.resize(rows.len(), 0.0);
        self.scorer.score_many(rows, scores);
        self.outcome.scored += rows.len();
    }
}
