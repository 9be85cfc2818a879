//! What pays once nobody writes any more. A search asks every segment, and takes about as long for a small one as for a large
//! one; while writes go on, the next segments would be there before a merge is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Collection;
use super::maintain::Effort;
use crate::error::Result;
use crate::graph::BuildControl;

/// Bytes of vectors in memory that are worth a segment of their own: what a search scans in about the time a graph takes.
const WORTH_SEALING_BYTES: usize = 256 << 10;

/// What was seen of a collection's writes.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// The newest lsn at the look before.
    seen: u64,
    /// Whether everything was done at that lsn.
    settled: bool,
}

/// The job under way that nobody needs, if there is one. It ends as soon as somebody waits for the background.
#[derive(Debug, Default)]
pub(crate) struct Leisure(Mutex<Option<Arc<BuildControl>>>);

impl Leisure {
    pub(super) fn begin(&self, control: &Arc<BuildControl>) {
        *self.0.lock() = Some(Arc::clone(control));
    }

    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    pub(super) fn stop(&self) {
        if let Some(control) = &*self.0.lock() {
            control.cancel.store(true, Ordering::Relaxed);
        }
    }
}

impl Collection {
    /// Seals and merges what is worth it, if nothing was written since the call before. Called again every few seconds.
    ///
    /// # Errors
    /// Those of the first job that fails.
    pub(crate) fn settle(&self) -> Result<()> {
        let lsn = self.published.load(Ordering::Acquire);
        {
            let mut quiet = self.quiet.lock();
            if quiet.seen != lsn {
                *quiet = Quiet { seen: lsn, settled: false };
                return Ok(());
            }
            if quiet.settled {
                return Ok(());
            }
        }
        let done = self.settle_at(lsn);
        if done.is_err() && self.next_job().is_none() {
            // Nobody needs what failed.
            *self.last_error.lock() = None;
        }
        self.quiet.lock().settled = !matches!(done, Ok(false));
        done.map(drop)
    }

    /// Whether everything was done before anything else was written.
    fn settle_at(&self, lsn: u64) -> Result<bool> {
        if self.view.load().growing.vector_bytes() >= WORTH_SEALING_BYTES {
            self.freeze_growing()?;
        }
        while self.published.load(Ordering::Acquire) == lsn {
            if !self.run_next(Effort::Idle)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_stops_what_nobody_needs() {
        let leisure = Leisure::default();
        let control = Arc::new(BuildControl::default());
        leisure.stop();
        leisure.begin(&control);
        assert!(!control.cancel.load(Ordering::Relaxed));
        leisure.stop();
        assert!(control.cancel.load(Ordering::Relaxed));
        let next = Arc::new(BuildControl::default());
        leisure.begin(&next);
        leisure.end();
        leisure.stop();
        assert!(!next.cancel.load(Ordering::Relaxed));
    }
}
