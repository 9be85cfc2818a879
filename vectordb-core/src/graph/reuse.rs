//! Taking over the links of an older graph, so that a merge inserts only the rows of the smaller segments.
//!
//! Rows may be gone or lie elsewhere. A row that lost neighbours gets the neighbours of those instead, as far as they are
//! good ones (the consolidation of FreshDiskANN, Singh et al. 2021).

use std::ops::Range;

use parking_lot::RwLock;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::vectors::RowSet;

use super::Graph;
use super::build::Builder;
use super::links::Links;

/// An older graph, and where its rows are now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reused<'a> {
    pub(crate) graph: &'a Graph,
    /// The new row of each old one; those that are gone lead to none of the present rows.
    pub(crate) new_rows: &'a [u32],
}

impl Reused<'_> {
    fn new_row(&self, old: u32) -> Option<u32> {
        self.new_rows.get(old as usize).copied().filter(|&new| new != u32::MAX)
    }
}

impl<R: RowSet> Builder<'_, R> {
    /// Takes the links over; returns the rows that have them.
    pub(super) fn take_over(&mut self, reused: Reused<'_>, pool: &rayon::ThreadPool) -> RoaringBitmap {
        let links = reused.graph.links();
        let mut taken = RoaringBitmap::new();
        // Rows keep the levels they had.
        for (old, new) in (0u32..).zip(reused.new_rows).filter(|(_, new)| **new != u32::MAX) {
            if links.of(old, 0).is_empty() || !self.extent.joins(*new, *new) {
                continue;
            }
            taken.insert(*new);
            self.upper.remove(new);
            let levels = links.levels(old);
            if levels > 0 {
                let lists = (1..=levels).map(|level| RwLock::new(self.survivors(&reused, links, old, level)));
                self.upper.insert(*new, lists.collect());
            }
        }
        let this = &*self;
        pool.install(|| {
            (0..reused.new_rows.len() as u32).into_par_iter().with_min_len(256).for_each(|old| {
                if let Some(new) = reused.new_row(old).filter(|&new| this.extent.joins(new, new)) {
                    this.store(new, &this.survivors(&reused, links, old, 0));
                }
            });
        });
        taken
    }

    /// The new neighbours of an old row.
    fn survivors(&self, reused: &Reused<'_>, links: &Links, old: u32, level: usize) -> Vec<u32> {
        let neighbours = links.of(old, level);
        let Some(new) = reused.new_row(old) else { return Vec::new() };
        // A row of another part is as good as gone.
        let still = |link: u32| reused.new_row(link).filter(|&link| self.extent.joins(new, link));
        let mut kept: Vec<u32> = neighbours.iter().filter_map(|&link| still(link)).collect();
        if kept.len() == neighbours.len() {
            return kept;
        }
        let lost = neighbours.iter().filter(|&&link| still(link).is_none());
        let beyond = lost.flat_map(|&link| links.of(link, level)).filter_map(|&link| still(link));
        kept.extend(beyond.filter(|&row| row != new));
        kept.sort_unstable();
        kept.dedup();
        self.pruned(new, &kept, self.params.links_at(level))
    }

    /// The row that walks of a part begin at: an old one, or the highest one that is left.
    pub(super) fn highest(&self, reused: &Reused<'_>, part: &Range<u32>, taken: &RoaringBitmap) -> Option<(u32, usize)> {
        let levels = |row: u32| self.upper.get(&row).map_or(0, Vec::len);
        let old = reused.graph.links().entry().and_then(|row| reused.new_row(row)).filter(|row| part.contains(row));
        let upper = || self.upper.range(part.clone()).filter(|(row, _)| taken.contains(**row)).map(|(&row, lists)| (row, lists.len()));
        let highest = || upper().max_by_key(|&(row, level)| (level, std::cmp::Reverse(row)));
        let any = || taken.range(part.clone()).next().map(|row| (row, 0));
        old.map(|row| (row, levels(row))).or_else(highest).or_else(any)
    }
}
