//! The thread that seals, indexes, merges and cleans.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::Inner;
use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::storage::priority;

/// The running thread.
pub(super) struct Worker {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Ends the thread after the step it is in, and waits for it.
    pub(super) fn stop(self) {
        drop(self.stop);
        // The worker may itself drop the last handle; a thread cannot wait for itself.
        if self.thread.thread().id() != std::thread::current().id() {
            // A panic of the worker has ended it already, which is what is wanted here.
            let _ = self.thread.join();
        }
    }
}

/// What the writer calls when there may be something to do.
pub(super) fn waker(wake: Sender<()>) -> Arc<dyn Fn() + Send + Sync> {
    Arc::new(move || {
        // A full channel means that the worker has been called already and will look at everything.
        let _ = wake.try_send(());
    })
}

/// How often the worker looks for collections that nobody writes to.
const QUIET: Duration = Duration::from_secs(3);
/// How long a collection whose job failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Collections whose last job failed, and when.
#[derive(Default)]
struct Failed(Vec<(Weak<Collection>, Instant)>);

impl Failed {
    fn since(&self, collection: &Arc<Collection>) -> Option<Instant> {
        self.0.iter().find(|(failed, _)| failed.as_ptr() == Arc::as_ptr(collection)).map(|(_, at)| *at)
    }

    fn note(&mut self, collection: &Arc<Collection>, has_failed: bool) {
        self.0.retain(|(failed, _)| failed.strong_count() > 0 && failed.as_ptr() != Arc::as_ptr(collection));
        if has_failed {
            self.0.push((Arc::downgrade(collection), Instant::now()));
        }
    }
}

pub(super) fn start(inner: &Arc<Inner>, woken: Receiver<()>) -> Result<Worker> {
    let (stop, stopped) = bounded::<()>(0);
    let weak = Arc::downgrade(inner);
    let run = move || {
        priority::lower_this_thread(priority::SOON);
        let mut looked = Instant::now();
        let mut failed = Failed::default();
        loop {
            let called = crossbeam::select! {
                recv(stopped) -> _ => return,
                recv(woken) -> _ => true,
                default(QUIET) => false,
            };
            // Only the collections are held while working, never the database: its last handle must be able to go.
            let Some(inner) = weak.upgrade() else { return };
            let collections: Vec<_> = inner.open.read().values().cloned().collect();
            drop(inner);
            for collection in &collections {
                let is_due = failed.since(collection).map_or(called, |at| at.elapsed() >= RETRY_AFTER);
                if is_due {
                    while let Ok(true) = collection.maintain() {}
                    failed.note(collection, collection.has_failed());
                }
            }
            if looked.elapsed() >= QUIET {
                // What fails here is tried again after the next write.
                collections.iter().for_each(|collection| drop(collection.settle()));
                looked = Instant::now();
            }
        }
    };
    let spawned = std::thread::Builder::new().name("vectordb-maintenance".into()).spawn(run);
    let thread = spawned.map_err(|error| Error::Internal { what: error.to_string() })?;
    Ok(Worker { stop, thread })
}
