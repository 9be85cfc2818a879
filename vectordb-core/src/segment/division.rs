//! Rows divided among a few of them, each to the nearest: what subjects are to a collection.
//!
//! Filters that have to do with the vectors match the points of some subjects, and cut across the clusters that a segment is
//! searched by. So the rows are divided anew, around rows that were drawn at random, and some of the cells stand for a filter.

use std::borrow::Cow;

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::Field;
use crate::model::vector::Vector;
use crate::quantization::Codes;
use crate::vectors::{Probe, Scorer};

/// Rows scored at a time, and those that a thread takes at once.
const SCORED: usize = 512;
const TAKEN: usize = 8192;

/// Rows divided into cells.
pub(super) struct Division<'a> {
    field: Field<'a>,
    codes: &'a Codes,
    /// The rows that the cells are around.
    anchors: Vec<u32>,
    /// The cell of each row.
    cells: Vec<u8>,
}

/// Some cells of a division.
pub(super) struct Region {
    pub(super) rows: RoaringBitmap,
    /// Whether a cell is one of them, for each.
    chosen: Vec<bool>,
}

impl<'a> Division<'a> {
    /// Divides the first `rows` rows into at most 256 cells; compares each row with each anchor, by codes.
    pub(super) fn new(field: Field<'a>, codes: &'a Codes, rows: u32, cells: u8) -> Self {
        let anchors: Vec<u32> = (0..u64::from(cells)).map(|cell| drawn(cell, u64::from(cells), rows)).collect();
        let probes: Vec<Probe<'_>> = anchors.iter().map(|&row| Probe::one(Cow::Owned(field.vector(row)))).collect();
        let mut nearest = vec![0; rows as usize];
        nearest.par_chunks_mut(TAKEN).enumerate().for_each(|(part, nearest)| {
            let numbers: Vec<u32> = (0..rows).skip(part * TAKEN).take(nearest.len()).collect();
            let mut best = vec![f32::NEG_INFINITY; nearest.len()];
            let mut scores = [0.0; SCORED];
            for (cell, probe) in (0u8..).zip(&probes) {
                let scorer = probe.code_scorer(field.space, codes, field.groups);
                let parts = numbers.chunks(SCORED).zip(best.chunks_mut(SCORED)).zip(nearest.chunks_mut(SCORED));
                for ((numbers, best), nearest) in parts {
                    let scores = &mut scores[..numbers.len()];
                    scorer.score_many(numbers, scores);
                    for ((score, best), nearest) in scores.iter().zip(best).zip(nearest) {
                        if *score > *best {
                            (*best, *nearest) = (*score, cell);
                        }
                    }
                }
            }
        });
        Self { field, codes, anchors, cells: nearest }
    }

    /// Random cells with so many rows, of the last one as many as are missing.
    pub(super) fn region(&self, wanted: usize, seed: u64) -> Region {
        let mut order: Vec<usize> = (0..self.anchors.len()).collect();
        order.sort_by_key(|&cell| mixed(seed << 32 | cell as u64));
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); self.anchors.len()];
        for (row, &cell) in (0u32..).zip(&self.cells) {
            members[usize::from(cell)].push(row);
        }
        let mut region = Region { rows: RoaringBitmap::new(), chosen: vec![false; self.anchors.len()] };
        let mut missing = wanted;
        for cell in order {
            if missing == 0 {
                break;
            }
            let taken = &members[cell][..missing.min(members[cell].len())];
            region.rows.extend(taken);
            region.chosen[cell] = true;
            missing -= taken.len();
        }
        region
    }

    /// Whether a vector belongs to cells of a region.
    pub(super) fn is_inside(&self, region: &Region, vector: &Vector) -> bool {
        let probe = Probe::one(Cow::Borrowed(vector));
        let mut scores = vec![0.0; self.anchors.len()];
        probe.code_scorer(self.field.space, self.codes, self.field.groups).score_many(&self.anchors, &mut scores);
        let nearest = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        nearest.is_some_and(|cell| region.chosen[cell])
    }
}

/// A random row of each part of the rows.
fn drawn(part: u64, parts: u64, rows: u32) -> u32 {
    let (from, to) = (part * u64::from(rows) / parts, (part + 1) * u64::from(rows) / parts);
    u32::try_from(from + mixed(part) % (to - from).max(1)).unwrap_or(0).min(rows.saturating_sub(1))
}

/// A mixed number (the finalizer of SplitMix64, Steele, Lea & Flood 2014).
pub(super) fn mixed(seed: u64) -> u64 {
    let mut hash = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_lie_everywhere_and_exist() {
        for rows in [1, 3, 64, 1000] {
            let anchors: Vec<u32> = (0..64).map(|part| drawn(part, 64, rows)).collect();
            assert!(anchors.is_sorted() && anchors.iter().all(|&row| row < rows), "{rows}: {anchors:?}");
        }
    }
}
