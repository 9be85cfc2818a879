//! Taking over the links of an older graph, so that a merge inserts only the rows of the smaller segments.
//!
//! Rows may be gone or lie elsewhere. A row that lost neighbours gets the neighbours of those instead, as far as they are
//! good ones (the consolidation of FreshDiskANN, Singh et al. 2021).

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
            if links.of(old, 0).is_empty() {
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
        *self.entry.get_mut() = self.highest(&reused, links, &taken);
        let this = &*self;
        pool.install(|| {
            (0..reused.new_rows.len() as u32).into_par_iter().with_min_len(256).for_each(|old| {
                if let Some(new) = reused.new_row(old) {
                    this.store(new, &this.survivors(&reused, links, old, 0));
                }
            });
        });
        taken
    }

    /// The new neighbours of an old row.
    fn survivors(&self, reused: &Reused<'_>, links: &Links, old: u32, level: usize) -> Vec<u32> {
        let neighbours = links.of(old, level);
        let mut kept: Vec<u32> = neighbours.iter().filter_map(|&link| reused.new_row(link)).collect();
        let Some(new) = reused.new_row(old).filter(|_| kept.len() < neighbours.len()) else { return kept };
        let lost = neighbours.iter().filter(|&&link| reused.new_row(link).is_none());
        let beyond = lost.flat_map(|&link| links.of(link, level)).filter_map(|&link| reused.new_row(link));
        kept.extend(beyond.filter(|&row| row != new));
        kept.sort_unstable();
        kept.dedup();
        self.pruned(new, &kept, self.params.links_at(level))
    }

    /// The row that walks begin at: the old one, or the highest one that is left.
    fn highest(&self, reused: &Reused<'_>, links: &Links, taken: &RoaringBitmap) -> Option<(u32, usize)> {
        let old_entry = links.entry().and_then(|(row, level)| Some((reused.new_row(row)?, level)));
        let upper = || self.upper.iter().filter(|(row, _)| taken.contains(**row)).map(|(&row, lists)| (row, lists.len()));
        old_entry.or_else(|| upper().max_by_key(|&(row, level)| (level, std::cmp::Reverse(row)))).or_else(|| Some((taken.min()?, 0)))
    }
}
