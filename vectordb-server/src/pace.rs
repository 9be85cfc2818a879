//! On which thread a request is worked on. To wake one that may block, and to be woken by it, takes longer than many a search:
//! what took less than that of late is done where it was read, all else on a thread that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::lane;

/// How long requests of a kind took of late.
#[derive(Debug)]
pub(crate) struct Pace {
    /// A mean, of which each request changes a sixteenth.
    nanos: AtomicU64,
}

/// For so long the other requests of a thread may wait.
const QUICK: Duration = Duration::from_millis(1);
/// What is taken for the time of those that were never seen.
const UNKNOWN: Duration = Duration::from_millis(10);

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { nanos: AtomicU64::new(UNKNOWN.as_nanos() as u64) }
    }

    fn is_quick(&self) -> bool {
        self.nanos.load(Ordering::Relaxed) < QUICK.as_nanos() as u64
    }

    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mean = self.nanos.load(Ordering::Relaxed);
        // Of two at once one may be lost, which changes little.
        self.nanos.store(mean - mean / 16 + time / 16, Ordering::Relaxed);
    }
}

/// Does work that may block; nothing comes back if it panics. Without a pace it may take any time, or ask other nodes.
pub(crate) async fn done<R: Send + 'static>(pace: Option<&'static Pace>, work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    let Some(pace) = pace else { return elsewhere(work).await };
    let timed = move || {
        let started = Instant::now();
        let result = work();
        pace.took(started.elapsed());
        result
    };
    if !pace.is_quick() {
        return elsewhere(timed).await;
    }
    // As the thread that may block does it: what was half done is never seen again.
    catch_unwind(AssertUnwindSafe(timed)).ok()
}

async fn elsewhere<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    lane::CLIENTS.place().await.work(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The threads that requests of a time were done on: whether it was this one.
    async fn here(pace: &'static Pace) -> bool {
        let this = std::thread::current().id();
        done(Some(pace), move || std::thread::current().id() == this).await.expect("no panic")
    }

    #[tokio::test]
    async fn quick_work_stays_where_it_is_until_it_is_slow() {
        static PACE: Pace = Pace::new();
        assert!(!here(&PACE).await, "nothing is known yet");
        (0..100).for_each(|_| PACE.took(Duration::from_micros(50)));
        assert!(here(&PACE).await);
        PACE.took(Duration::from_millis(50));
        assert!(!here(&PACE).await);
        (0..100).for_each(|_| PACE.took(Duration::from_micros(50)));
        assert!(here(&PACE).await);
        PACE.took(Duration::MAX);
        assert!(!here(&PACE).await);
    }

    #[tokio::test]
    async fn a_panic_ends_one_request_alone() {
        static PACE: Pace = Pace::new();
        for _ in 0..2 {
            assert_eq!(
                done(Some(&PACE), || if true {
                    panic!("on purpose")
                })
                .await,
                None
            );
            (0..100).for_each(|_| PACE.took(Duration::ZERO));
        }
        assert_eq!(done(Some(&PACE), || 1).await, Some(1));
        assert_eq!(done(None, || 2).await, Some(2));
    }
}
