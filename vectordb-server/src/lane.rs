//! How many of the threads that may block each kind of work may take. Work that waits for other work, here or on another node, must
//! leave some for that: else all wait for each other once there is enough of it.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Threads that may block: the lanes together, and some for what is in none, on which the others wait.
pub(crate) const THREADS: usize = 1024;

/// Places for what clients ask for, for writes that other nodes hand on, and for questions that they do.
const PLACES: [usize; 3] = [512, 256, 128];
const _: () = assert!(PLACES[0] + PLACES[1] + PLACES[2] + 128 <= THREADS, "some are left for what is in no lane");

/// What clients ask for.
pub(crate) static CLIENTS: Lane = Lane::new(PLACES[0]);
/// Writes that other nodes hand on.
pub(crate) static PEERS_WRITES: Lane = Lane::new(PLACES[1]);
/// Questions that other nodes hand on.
pub(crate) static PEERS_READS: Lane = Lane::new(PLACES[2]);

/// Work of one kind.
#[derive(Debug)]
pub(crate) struct Lane(Semaphore);

/// Leave to do a piece of it.
#[derive(Debug)]
pub(crate) struct Place {
    permit: Option<SemaphorePermit<'static>>,
}

impl Lane {
    const fn new(most: usize) -> Self {
        Self(Semaphore::const_new(most))
    }

    /// Waits until there is a place.
    pub(crate) async fn place(&'static self) -> Place {
        // It is never closed.
        Place { permit: self.0.acquire().await.ok() }
    }

    /// Does work whose end nobody waits for.
    pub(crate) fn begin(&'static self, work: impl FnOnce() + Send + 'static) {
        match self.0.try_acquire() {
            Ok(permit) => drop(tokio::task::spawn_blocking(Place { permit: Some(permit) }.around(work))),
            Err(_) => drop(tokio::spawn(async { self.place().await.work(work).await })),
        }
    }
}

impl Place {
    fn around<R>(self, work: impl FnOnce() -> R) -> impl FnOnce() -> R {
        move || {
            let result = work();
            // Given back when the work is done, and not when nobody waits for it any more.
            drop(self.permit);
            result
        }
    }

    /// Does work on a thread that may block; nothing comes back if it panics.
    pub(crate) async fn work<R: Send + 'static>(self, work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
        match tokio::task::spawn_blocking(self.around(work)).await {
            Ok(result) => Some(result),
            Err(error) => {
                tracing::error!(%error, "work was cut short");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn as_much_is_done_at_once_as_there_are_places() {
        static LANE: Lane = Lane::new(2);
        let (go, gone) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        let gone = std::sync::Arc::new(std::sync::Mutex::new(gone));
        for number in 0..3 {
            let (gone, done) = (std::sync::Arc::clone(&gone), done.clone());
            LANE.begin(move || {
                gone.lock().expect("no panic").recv().expect("it is told to");
                done.send(number).expect("somebody waits");
            });
        }
        let full = tokio::time::timeout(Duration::from_millis(50), LANE.place()).await;
        assert!(full.is_err(), "two are at work");
        for _ in 0..3 {
            go.send(()).expect("they wait");
        }
        let mut numbers = tokio::task::spawn_blocking(move || (0..3).map(|_| ended.recv().expect("it ends")).collect::<Vec<_>>());
        let mut numbers = (&mut numbers).await.expect("no panic");
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(LANE.place().await.work(|| 7).await, Some(7));
        assert_eq!(LANE.place().await.work(|| -> u8 { panic!("on purpose") }).await, None);
    }
}
