//! When rows died.

use std::sync::atomic::{AtomicU64, Ordering};

use roaring::RoaringBitmap;

use super::append::Chunks;
use crate::model::point::Lsn;

/// For each row the lsn it was deleted at; memory is taken when a part of the segment sees its first delete.
#[derive(Debug)]
pub(crate) struct Tombstones {
    /// 0 is alive: no update has lsn 0. Relaxed is enough, since a reader learns its lsn by an acquiring load of the
    /// published lsn, which the writer stores (Release) after all stamps of that lsn.
    deleted_at: Chunks<AtomicU64>,
    dead: AtomicU64,
}

impl Tombstones {
    pub(crate) fn new() -> Self {
        Self { deleted_at: Chunks::new(), dead: AtomicU64::new(0) }
    }

    /// All of these rows dead since an lsn.
    pub(crate) fn of(rows: &RoaringBitmap, at: Lsn) -> Self {
        let tombstones = Self::new();
        rows.iter().for_each(|row| tombstones.kill(row, at));
        tombstones
    }

    /// Stamps a row; the first stamp stays.
    pub(crate) fn kill(&self, row: u32, at: Lsn) {
        let slot = self.deleted_at.get_or_make(row);
        if slot.compare_exchange(0, at.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.dead.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When a row was deleted, if it was.
    pub(crate) fn deleted_at(&self, row: u32) -> Option<Lsn> {
        let stamp = self.deleted_at.get(row)?.load(Ordering::Relaxed);
        (stamp != 0).then_some(Lsn(stamp))
    }

    #[inline]
    pub(crate) fn is_live(&self, row: u32, at: Lsn) -> bool {
        self.deleted_at(row).is_none_or(|deleted| deleted > at)
    }

    /// Rows that ever got a stamp.
    pub(crate) fn dead(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }

    /// Rows among the first `rows` that are dead at an lsn.
    pub(crate) fn dead_at(&self, rows: u32, at: Lsn) -> RoaringBitmap {
        if self.dead() == 0 {
            return RoaringBitmap::new();
        }
        (0..rows).filter(|&row| !self.is_live(row, at)).collect()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.deleted_at.memory_bytes()
    }
}
