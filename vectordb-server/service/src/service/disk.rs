//! The disk of the data: what is kept free of it.
//!
//! A disk that is full lets nothing be deleted either, so additions stop while there is room for deletions, merges and the log.
//! Nothing remembers that the disk was full: as soon as there is room, writes are done again.

use vectordb_core::Update;

use super::Service;
use super::points::adds;
use crate::error::{Fault, Result, ServiceError};
use crate::metrics::disk;

/// Of a disk, one in so many bytes is kept free, where nothing else is said;
const SHARE: u64 = 20;
/// but no more than this,
const MOST: u64 = 1 << 30;
/// and no less than this: above what the engine itself keeps for its log.
const LEAST: u64 = 128 << 20;

impl Service {
    /// Free bytes of the disk, and how many are kept free. What cannot be asked is left to the writes themselves.
    fn room(&self) -> Option<(u64, u64)> {
        let (free, total) = self.directory().and_then(disk)?;
        Some((free, self.settings.min_free_disk_bytes.unwrap_or_else(|| kept_free(total))))
    }

    /// Free bytes of the disk for each one that is kept free: below 1, additions are refused. None where that cannot be said.
    pub fn room_ratio(&self) -> Option<f64> {
        let (free, kept) = self.room()?;
        #[expect(clippy::cast_precision_loss, reason = "about so many")]
        let ratio = free as f64 / kept.max(1) as f64;
        Some(ratio)
    }

    /// Refuses additions while the disk is about to be full.
    ///
    /// # Errors
    /// [`Fault::OutOfSpace`].
    pub fn check_room_for(&self, updates: &[Update]) -> Result<()> {
        if updates.iter().any(adds) { self.check_disk() } else { Ok(()) }
    }

    /// The same, whatever it is that would be added.
    pub(super) fn check_disk(&self) -> Result<()> {
        let Some((free, kept)) = self.room().filter(|(free, kept)| free < kept) else { return Ok(()) };
        let message = format!("the disk is full: {free} bytes are free, {kept} are kept free; deletions and reads go on");
        Err(ServiceError::new(Fault::OutOfSpace, message))
    }
}

fn kept_free(total: u64) -> u64 {
    (total / SHARE).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_is_kept_free_within_bounds() {
        assert_eq!([1 << 20, 10 << 30, 1 << 40].map(kept_free), [LEAST, (10 << 30) / 20, MOST]);
    }
}
