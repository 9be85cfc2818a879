//! The disk of the data: what is kept free of it.
//!
//! A disk that is full lets nothing be deleted either, so additions stop while there is room for deletions, merges and the log.
//! Nothing remembers that the disk was full: as soon as there is room, writes are done again.

use super::Service;
use crate::error::{Fault, Result, ServiceError};
use crate::metrics::disk;

/// Of a disk, one in so many bytes is kept free, where nothing else is said;
const SHARE: u64 = 20;
/// but no more than this,
const MOST: u64 = 1 << 30;
/// and no less than this: above what the engine itself keeps for its log.
const LEAST: u64 = 128 << 20;

impl Service {
    /// Refuses additions while the disk is about to be full.
    ///
    /// # Errors
    /// [`Fault::OutOfSpace`].
    pub(super) fn check_disk(&self) -> Result<()> {
        // What cannot be asked is left to the writes themselves.
        let Some((free, total)) = self.directory().and_then(disk) else { return Ok(()) };
        let kept = self.settings.min_free_disk_bytes.unwrap_or_else(|| kept_free(total));
        if free >= kept {
            return Ok(());
        }
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
