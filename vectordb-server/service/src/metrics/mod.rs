//! What the service counts and measures, for Prometheus and for people.
//!
//! Doors say which request took how long, [`Service`](crate::Service) measures searches by itself; everything else is looked
//! up when it is asked for. Every figure has one name: what stands before the names is a setting, and no series comes twice.
//!
//! Files: `families` (the table of all metrics), `histogram` (how long things took), `syncs` (of the log), `exposition` (the text
//! format), `system` (disk and process), `report` (the figures of a moment).

mod exposition;
pub(crate) mod families;
mod histogram;
mod report;
mod syncs;
mod system;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

pub use families::{Family, FamilyKind, families};
pub(crate) use histogram::Histogram;
pub(crate) use report::{CollectionFigures, Report};
pub(crate) use syncs::LogSyncs;
pub(crate) use system::{disk, memory};

/// A REST endpoint with an answer and the collection it was about; empty when it was about none that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RestKey {
    pub(crate) method: &'static str,
    pub(crate) endpoint: &'static str,
    pub(crate) status: u16,
    pub(crate) collection: String,
}

/// How backups went since the service was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BackupFigures {
    pub(crate) failures: u64,
    /// When the last one was complete, in seconds since 1970.
    pub(crate) last_success: Option<u64>,
}

/// Counters and histograms since the service was opened.
#[derive(Debug, Default)]
pub struct Metrics {
    rest: Mutex<BTreeMap<RestKey, Histogram>>,
    /// By method and status.
    grpc: Mutex<BTreeMap<(String, i32), Histogram>>,
    /// By collection and kind.
    searches: Mutex<BTreeMap<(String, &'static str), Histogram>>,
    pub(crate) log_syncs: LogSyncs,
    /// Seconds since 1970; 0: there is none. Nothing else hangs on it.
    certificate_expiry: AtomicI64,
    backups: Mutex<BackupFigures>,
}

impl Metrics {
    /// Counts an answer of REST. `collection` is that of the path, if it exists.
    pub(crate) fn rest(&self, key: RestKey, took: Duration) {
        self.rest.lock().entry(key).or_default().add(took);
    }

    /// Counts an answer of gRPC: the method as in `/qdrant.Points/Search`, and the number of its status. Only methods that
    /// there are may be counted, so that strangers cannot make names.
    pub fn grpc(&self, method: &str, status: i32, took: Duration) {
        self.grpc.lock().entry((method.to_owned(), status)).or_default().add(took);
    }

    /// Notes when the certificate that the doors show expires, in seconds since 1970.
    pub fn certificate(&self, expires_unix_secs: i64) {
        self.certificate_expiry.store(expires_unix_secs, Ordering::Relaxed);
    }

    pub(crate) fn certificate_expiry(&self) -> Option<i64> {
        Some(self.certificate_expiry.load(Ordering::Relaxed)).filter(|&moment| moment != 0)
    }

    /// Counts a search.
    pub(crate) fn search(&self, collection: &str, kind: &'static str, took: Duration) {
        self.searches.lock().entry((collection.to_owned(), kind)).or_default().add(took);
    }

    /// Counts a backup by when it was complete, or as one that failed.
    pub(crate) fn backup(&self, complete: Option<jiff::Timestamp>) {
        let mut backups = self.backups.lock();
        match complete {
            Some(at) => backups.last_success = u64::try_from(at.as_second()).ok(),
            None => backups.failures += 1,
        }
    }

    pub(crate) fn backups(&self) -> BackupFigures {
        *self.backups.lock()
    }

    /// Forgets a collection that is gone. What was answered about it stays counted, without its name.
    pub(crate) fn forget(&self, collection: &str) {
        let mut rest = self.rest.lock();
        let (gone, kept): (BTreeMap<_, _>, _) = std::mem::take(&mut *rest).into_iter().partition(|(key, _)| key.collection == collection);
        *rest = kept;
        for (key, histogram) in gone {
            rest.entry(RestKey { collection: String::new(), ..key }).or_default().merge(&histogram);
        }
        self.searches.lock().retain(|(of, _), _| of != collection);
    }

    pub(crate) fn rest_answers(&self) -> BTreeMap<RestKey, Histogram> {
        self.rest.lock().clone()
    }

    pub(crate) fn grpc_answers(&self) -> BTreeMap<(String, i32), Histogram> {
        self.grpc.lock().clone()
    }
}
