//! The rows with the largest dot products.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{BLOCK, Blocks, List, Lists, SparseRow};
use crate::error::Result;
use crate::graph::Scored;

/// Blocks looked into before all others, in the order of their bounds, to learn what score is worth looking for.
const SEEDS: usize = 32;
/// What bounds are widened by, so that rounding never hides a row.
const SLACK: f32 = 1.0 + 1e-5;
/// How many times more it costs to look into a block than to add up its part of all lists.
const BLOCK_COST: usize = 3;
const NONE: u32 = u32::MAX;

/// Which rows may be found.
pub(crate) trait Eligible {
    /// False when no row of the 64 from `64 · block` on may be.
    fn any(&self, block: u32) -> bool;
    /// # Errors
    /// Unreadable payloads, and the budget's.
    fn accepts(&self, row: u32) -> Result<bool>;
}

/// The best rows, best first, and how many numbers of lists were added up for them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) hits: Vec<Scored>,
    pub(crate) added: usize,
}

/// The `k` rows of `0..rows` with the largest dot product among those that share a dimension with the query, best first; none
/// below `floor`.
///
/// # Errors
/// Those of `eligible`.
pub(crate) fn search(lists: &Lists<'_>, query: SparseRow<'_>, rows: u32, k: usize, floor: f32, eligible: &impl Eligible) -> Result<Found> {
    let terms = query.indices.iter().zip(query.values).map(|(&index, &weight)| Term { weight, list: lists.list(index) });
    let terms: Vec<Term<'_>> = terms.filter(|term| !term.list.rows.is_empty()).collect();
    let mut best = Best { k, floor, heap: BinaryHeap::new(), added: 0 };
    if terms.is_empty() || k == 0 {
        return Ok(Found::default());
    }
    // Bounds need values and weights that only add.
    let bounded = terms.iter().all(|term| term.weight > 0.0 && term.list.largest.is_some());
    if !bounded || !Pruned::new(&terms, rows).run(&mut best, eligible)? {
        add_up(&terms, rows, &mut best, eligible)?;
    }
    Ok(best.into_found())
}

struct Term<'a> {
    weight: f32,
    list: List<'a>,
}

struct Best {
    k: usize,
    floor: f32,
    heap: BinaryHeap<Reverse<Scored>>,
    added: usize,
}

impl Best {
    /// What a row must reach to get in.
    fn threshold(&self) -> f32 {
        match self.heap.peek() {
            Some(Reverse(worst)) if self.heap.len() >= self.k => worst.score.max(self.floor),
            _ => self.floor,
        }
    }

    fn offer(&mut self, hit: Scored, eligible: &impl Eligible) -> Result<()> {
        let full = self.heap.len() >= self.k;
        if hit.score < self.floor || (full && self.heap.peek().is_some_and(|worst| hit <= worst.0)) || !eligible.accepts(hit.row)? {
            return Ok(());
        }
        if full {
            self.heap.pop();
        }
        self.heap.push(Reverse(hit));
        Ok(())
    }

    fn into_found(self) -> Found {
        let mut hits: Vec<Scored> = self.heap.into_iter().map(|Reverse(hit)| hit).collect();
        hits.sort_unstable_by(|a, b| b.cmp(a));
        Found { hits, added: self.added }
    }
}

/// Adds up all lists, then looks at every row that got enough.
fn add_up(terms: &[Term<'_>], rows: u32, best: &mut Best, eligible: &impl Eligible) -> Result<()> {
    let mut scores = vec![0.0f32; (rows as usize).next_multiple_of(BLOCK)];
    if best.floor > 0.0 {
        // Rows that share nothing with the query are below the floor, like many others.
        for term in terms {
            let visible = term.list.rows.partition_point(|&row| row < rows);
            best.added += visible;
            for (&row, &value) in term.list.rows[..visible].iter().zip(term.list.values) {
                scores[row as usize] += term.weight * value;
            }
        }
        for (block, scores) in (0u32..).zip(scores.as_chunks::<BLOCK>().0) {
            let threshold = best.threshold();
            let largest = scores.iter().copied().fold(0.0, f32::max);
            if largest >= threshold && eligible.any(block) {
                for (row, &score) in (block * BLOCK as u32..).zip(scores).filter(|&(_, &score)| score >= threshold) {
                    best.offer(Scored { score, row }, eligible)?;
                }
            }
        }
        return Ok(());
    }
    let mut touched = vec![0u64; (rows as usize).div_ceil(BLOCK)];
    for term in terms {
        let visible = term.list.rows.partition_point(|&row| row < rows);
        best.added += visible;
        for (&row, &value) in term.list.rows[..visible].iter().zip(term.list.values) {
            scores[row as usize] += term.weight * value;
            touched[row as usize / BLOCK] |= 1 << (row as usize % BLOCK);
        }
    }
    for (block, word) in (0u32..).zip(touched).filter(|&(block, word)| word != 0 && eligible.any(block)) {
        each_bit(word, |bit| {
            let row = block * BLOCK as u32 + bit;
            best.offer(Scored { score: scores[row as usize], row }, eligible)
        })?;
    }
    Ok(())
}

fn each_bit(mut word: u64, mut visit: impl FnMut(u32) -> Result<()>) -> Result<()> {
    while word != 0 {
        visit(word.trailing_zeros())?;
        word &= word - 1;
    }
    Ok(())
}

/// A search that leaves out blocks without a chance.
struct Pruned<'a> {
    /// Lists that know their blocks.
    long: Vec<(f32, &'a List<'a>, Blocks<'a>)>,
    /// The largest score a row of each block can have.
    bounds: Vec<f32>,
    /// For each block the last of its entries of short lists.
    heads: Vec<u32>,
    chained: Vec<Chained>,
}

/// An entry of a list that is too short to know its blocks.
struct Chained {
    /// The one before it in its block.
    next: u32,
    row: u32,
    score: f32,
}

impl<'a> Pruned<'a> {
    fn new(terms: &'a [Term<'a>], rows: u32) -> Self {
        let blocks = (rows as usize).div_ceil(BLOCK);
        let short = || terms.iter().filter(|term| term.list.blocks.is_none());
        let mut pruned = Self {
            long: terms.iter().filter_map(|term| Some((term.weight, &term.list, term.list.blocks?))).collect(),
            bounds: vec![0.0; blocks],
            heads: vec![NONE; blocks],
            chained: Vec::with_capacity(short().map(|term| term.list.rows.len()).sum()),
        };
        for (weight, list, blocks) in &pruned.long {
            let unit = weight * list.largest.unwrap_or(0.0) / 255.0;
            for (bound, &part) in pruned.bounds.iter_mut().zip(blocks.bounds) {
                *bound += unit * f32::from(part);
            }
        }
        short().for_each(|term| pruned.chain(term));
        pruned
    }

    /// Gives the entries of a short list to their blocks.
    fn chain(&mut self, term: &Term<'_>) {
        // The block at hand, and how much of this list is in its bound.
        let (mut current, mut counted) = (usize::MAX, 0.0);
        for (&row, &value) in term.list.rows.iter().zip(term.list.values) {
            let block = row as usize / BLOCK;
            let score = term.weight * value;
            if block != current {
                (current, counted) = (block, 0.0);
            }
            if score > counted {
                self.bounds[block] += score - counted;
                counted = score;
            }
            let next = std::mem::replace(&mut self.heads[block], u32::try_from(self.chained.len()).unwrap_or(NONE));
            self.chained.push(Chained { next, row, score });
        }
    }

    /// False when so few blocks can be left out that adding up everything is faster; `best` then only knows the least score.
    fn run(&self, best: &mut Best, eligible: &impl Eligible) -> Result<bool> {
        let candidates = (0u32..).zip(&self.bounds).filter(|&(block, &bound)| {
            (bound > 0.0 || self.heads[block as usize] != NONE) && bound * SLACK >= best.floor && eligible.any(block)
        });
        let mut left: Vec<(f32, u32)> = candidates.map(|(block, &bound)| (bound * SLACK, block)).collect();
        let seeds = (SEEDS + best.k / 8).min(left.len());
        if seeds < left.len() {
            left.select_nth_unstable_by(seeds, |a, b| b.0.total_cmp(&a.0));
        }
        let rest = left.split_off(seeds);
        left.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        for (bound, block) in left {
            if best.heap.len() >= best.k && bound < best.threshold() {
                return Ok(true);
            }
            self.look_into(block, best, eligible)?;
        }
        let threshold = best.threshold();
        let promising = rest.iter().filter(|&&(bound, _)| bound >= threshold).count();
        if promising * BLOCK_COST > self.bounds.len() && best.heap.len() >= best.k && threshold > 0.0 {
            // By a hair less, since sums in another order are not quite the same.
            best.floor = threshold / SLACK;
            best.heap.clear();
            return Ok(false);
        }
        for (bound, block) in rest {
            if best.heap.len() < best.k || bound >= best.threshold() {
                self.look_into(block, best, eligible)?;
            }
        }
        Ok(true)
    }

    fn look_into(&self, block: u32, best: &mut Best, eligible: &impl Eligible) -> Result<()> {
        let mut scores = [0.0f32; BLOCK];
        let mut touched = 0u64;
        for (weight, list, blocks) in &self.long {
            let (from, to) = (blocks.starts[block as usize] as usize, blocks.starts[block as usize + 1] as usize);
            best.added += to - from;
            for (row, value) in list.rows[from..to].iter().zip(&list.values[from..to]) {
                let at = *row as usize % BLOCK;
                scores[at] += weight * value;
                touched |= 1 << at;
            }
        }
        let mut next = self.heads[block as usize];
        while let Some(entry) = self.chained.get(next as usize) {
            let at = entry.row as usize % BLOCK;
            scores[at] += entry.score;
            touched |= 1 << at;
            best.added += 1;
            next = entry.next;
        }
        each_bit(touched, |bit| best.offer(Scored { score: scores[bit as usize], row: block * BLOCK as u32 + bit }, eligible))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::{GrowingLists, Postings, write_postings};
    use crate::storage::mmap::Mmap;
    use crate::storage::placed::Placed;

    struct Every(u32);

    impl Eligible for Every {
        fn any(&self, _block: u32) -> bool {
            true
        }

        fn accepts(&self, row: u32) -> Result<bool> {
            Ok(row.is_multiple_of(self.0))
        }
    }

    /// Vectors with a few common dimensions and many rare ones.
    fn vectors(count: u32, negative: bool) -> Vec<(Vec<u32>, Vec<f32>)> {
        let mut state = 7u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let one = |_| {
            let mut indices: Vec<u32> = (0..random() % 12).map(|at| if at < 4 { random() % 8 } else { random() % 500 }).collect();
            indices.sort_unstable();
            indices.dedup();
            let values = indices.iter().map(|_| (random() % 100) as f32 / 10.0 - if negative { 3.0 } else { 0.0 }).collect();
            (indices, values)
        };
        (0..count).map(one).collect()
    }

    fn check(negative: bool) {
        let stored = vectors(3000, negative);
        let row = |row: u32| SparseRow { indices: &stored[row as usize].0, values: &stored[row as usize].1 };
        let mut bytes = Vec::new();
        write_postings(3000, &row, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .expect("written");
        let postings = Postings::open(Placed::from(Mmap::from(bytes)), 3000).expect("whole");
        let mut growing = GrowingLists::default();
        (0..3000).for_each(|at| growing.add(at, row(at)));
        let growing = parking_lot::RwLock::new(growing);
        for (query, k) in vectors(60, negative).iter().zip([1, 10, 100].into_iter().cycle()) {
            let query = SparseRow { indices: &query.0, values: &query.1 };
            for step in [1, 7] {
                let dots = (0..3000).filter(|at| at % step == 0).filter_map(|at| Some(Scored { score: query.dot(&row(at))?, row: at }));
                let mut expected: Vec<Scored> = dots.collect();
                expected.sort_unstable_by(|a, b| b.cmp(a));
                expected.truncate(k);
                for lists in [Lists::Sealed(&postings), Lists::Growing(growing.read())] {
                    let found = search(&lists, query, 3000, k, f32::NEG_INFINITY, &Every(step)).expect("found").hits;
                    assert_eq!(found.len(), expected.len());
                    for (found, expected) in found.iter().zip(&expected) {
                        assert!((found.score - expected.score).abs() < 1e-3, "{found:?} {expected:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_pruned_is_never_among_the_best() {
        check(false);
    }

    #[test]
    fn negative_numbers_are_added_up_whole() {
        check(true);
    }
}
