//! Several transfers at a time: each waits for the network most of the time.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Result, ServiceError};

/// Transfers at a time, for which chunks are held in memory.
pub(super) const WORKERS: usize = 8;

/// Does something with each of several things, some at a time, until the first that fails.
///
/// # Errors
/// That of the first that failed.
pub(super) fn each<T: Sync>(things: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<ServiceError>> = Mutex::new(None);
    let run = || {
        while failed.lock().is_none() {
            // Only a counter: what it leads to is not written meanwhile.
            let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(error) = work(thing) {
                failed.lock().get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| (0..WORKERS.min(things.len())).for_each(|_| drop(scope.spawn(run))));
    failed.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_done_once_and_the_first_failure_is_told() {
        let things: Vec<usize> = (0..1000).collect();
        let seen = Mutex::new(Vec::new());
        each(&things, |thing| {
            seen.lock().push(*thing);
            Ok(())
        })
        .expect("nothing fails");
        let mut seen = seen.into_inner();
        seen.sort_unstable();
        assert_eq!(seen, things);
        let tried = AtomicUsize::new(0);
        let failed = each(&things, |thing| {
            tried.fetch_add(1, Ordering::Relaxed);
            if *thing == 3 { Err(ServiceError::internal("three")) } else { Ok(()) }
        });
        assert_eq!(failed.expect_err("one fails").message, "three");
        assert!(tried.into_inner() >= 4);
    }
}
