//! The figures of a moment, as text for Prometheus.

use std::collections::BTreeMap;
use std::path::Path;

use super::exposition::{Exposition, Labels};
use super::families as f;
use super::histogram::Histogram;
use super::system::{Process, disk};
use super::{Metrics, RestKey};
use crate::cluster::{ClusterStatus, ReplicaFigures};
use crate::snapshots::SnapshotActivity;

/// What is known of a collection.
#[derive(Debug, Default)]
pub(crate) struct CollectionFigures {
    pub(crate) points: u64,
    /// Whether a failed write keeps it from taking more.
    pub(crate) poisoned: bool,
    /// By name of the vector.
    pub(crate) vectors: BTreeMap<String, u64>,
}

/// What is looked up for a report.
#[derive(Debug)]
pub(crate) struct Report<'r> {
    pub(crate) prefix: &'r str,
    pub(crate) title: &'r str,
    pub(crate) version: &'r str,
    pub(crate) directory: Option<&'r Path>,
    pub(crate) collections: BTreeMap<String, CollectionFigures>,
    /// By collection; of everything under the empty name.
    pub(crate) snapshots: BTreeMap<String, SnapshotActivity>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) memory_reserved: u64,
    /// Whether answers are told apart by collection.
    pub(crate) per_collection: bool,
    /// Whether there may be other peers.
    pub(crate) is_node: bool,
    /// The cluster, once this node takes part in it.
    pub(crate) cluster: Option<(ClusterStatus, ReplicaFigures)>,
}

impl Report<'_> {
    pub(crate) fn text(&self, metrics: &Metrics) -> String {
        let mut text = Exposition::new(self.prefix);
        self.state(&mut text);
        let backups = metrics.backups();
        text.single(&f::BACKUP_LAST_SUCCESS, backups.last_success);
        text.single(&f::BACKUP_FAILURES, Some(backups.failures));
        let searches = metrics.searches.lock().clone();
        let label = |(collection, kind): &'_ (String, &'static str)| (collection.clone(), *kind);
        let searches: Vec<_> = searches.iter().map(|(key, histogram)| (label(key), histogram)).collect();
        text.histograms(&f::SEARCHES, searches.iter().map(|((c, kind), h)| (vec![("collection", c.as_str()), ("kind", *kind)], *h)));
        text.histograms(&f::LOG_SYNCS, [(Vec::new(), &metrics.log_syncs.histogram())]);
        text.numbers(&f::CERTIFICATE, metrics.certificate_expiry().map(|moment| (Vec::new(), moment as f64)));
        self.rest(&mut text, metrics);
        grpc(&mut text, metrics);
        self.system(&mut text);
        text.into_text()
    }

    fn state(&self, text: &mut Exposition<'_>) {
        text.numbers(&f::APP_INFO, [(vec![("name", self.title), ("version", self.version)], 1.0)]);
        text.single(&f::RECOVERY_MODE, Some(0));
        text.single(&f::COLLECTIONS, Some(self.collections.len() as u64));
        text.single(&f::POISONED, Some(self.collections.values().filter(|figures| figures.poisoned).count() as u64));
        let vectors: u64 = self.collections.values().flat_map(|figures| figures.vectors.values()).sum();
        text.single(&f::VECTORS, Some(vectors));
        text.single(&f::COLLECTIONS_VECTORS, Some(vectors));
        let by_name = self.collections.iter().flat_map(|(collection, figures)| {
            let labels = |vector| vec![("collection", collection.as_str()), ("vector", vector)];
            figures.vectors.iter().map(move |(vector, &count)| (labels(vector.as_str()), count as f64))
        });
        text.numbers(&f::COLLECTION_VECTORS, by_name);
        let by_id = self.collections.iter().map(|(id, figures)| (vec![("id", id.as_str())], figures.points as f64));
        text.numbers(&f::COLLECTION_POINTS, by_id);
        let alone = (!self.collections.is_empty()).then_some((1, 1));
        let (copies, inactive) = match &self.cluster {
            Some((_, replicas)) => {
                let inactive = replicas.by_state.iter().filter(|(state, _)| **state != "Active").map(|(_, count)| count).sum();
                (replicas.active, Some(inactive))
            }
            None => (alone, alone.map(|_| 0)),
        };
        text.single(&f::REPLICAS_MIN, copies.map(|(fewest, _)| fewest));
        text.single(&f::REPLICAS_MAX, copies.map(|(_, most)| most));
        text.single(&f::DEAD_REPLICAS, inactive);
        let snapshots = |of: fn(&SnapshotActivity) -> u64| {
            self.snapshots.iter().map(move |(id, activity)| (vec![("id", id.as_str())], of(activity) as f64))
        };
        text.numbers(&f::SNAPSHOT_CREATION, snapshots(|activity| activity.creating));
        text.numbers(&f::SNAPSHOT_RECOVERY, snapshots(|activity| activity.recovering));
        text.numbers(&f::SNAPSHOTS_CREATED, snapshots(|activity| activity.created));
        text.single(&f::CLUSTER_ENABLED, Some(u64::from(self.is_node)));
        if let Some((status, replicas)) = &self.cluster {
            cluster(text, status, replicas);
        }
    }

    fn rest(&self, text: &mut Exposition<'_>, metrics: &Metrics) {
        let mut answers: BTreeMap<RestKey, Histogram> = BTreeMap::new();
        for (mut key, histogram) in metrics.rest_answers() {
            if !self.per_collection {
                key.collection.clear();
            }
            answers.entry(key).or_default().merge(&histogram);
        }
        let answers: Vec<(RestKey, String, Histogram)> =
            answers.into_iter().map(|(key, histogram)| (key.clone(), key.status.to_string(), histogram)).collect();
        let labelled = || {
            answers.iter().map(|(key, status, histogram)| {
                let mut labels: Labels<'_> = vec![("method", key.method), ("endpoint", key.endpoint), ("status", status.as_str())];
                if self.per_collection {
                    labels.push(("collection", &key.collection));
                }
                (labels, histogram)
            })
        };
        text.numbers(&f::REST_ANSWERS, labelled().map(|(labels, histogram)| (labels, histogram.count() as f64)));
        text.numbers(&f::REST_AVERAGE, labelled().map(|(labels, histogram)| (labels, histogram.average())));
        text.numbers(&f::REST_LEAST, labelled().map(|(labels, histogram)| (labels, histogram.least())));
        text.numbers(&f::REST_MOST, labelled().map(|(labels, histogram)| (labels, histogram.most())));
        text.histograms(&f::REST_DURATIONS, labelled());
    }

    fn system(&self, text: &mut Exposition<'_>) {
        let disk = self.directory.and_then(disk);
        text.single(&f::DISK_FREE, disk.map(|(free, _)| free));
        text.single(&f::DISK_TOTAL, disk.map(|(_, total)| total));
        let process = Process::now();
        text.single(&f::MEMORY_RESIDENT, process.resident_bytes);
        text.single(&f::MEMORY_LIMIT, self.memory_limit);
        text.single(&f::MEMORY_RESERVED, Some(self.memory_reserved));
        text.single(&f::START_TIME, process.started);
        text.single(&f::THREADS, process.threads);
        text.single(&f::OPEN_MMAPS, process.open_mmaps);
        text.single(&f::MAX_MMAPS, process.max_mmaps);
        text.single(&f::OPEN_FDS, process.open_fds);
        text.single(&f::MAX_FDS, process.max_fds);
        text.single(&f::MINOR_FAULTS, process.minor_faults);
        text.single(&f::MAJOR_FAULTS, process.major_faults);
    }
}

fn cluster(text: &mut Exposition<'_>, status: &ClusterStatus, replicas: &ReplicaFigures) {
    let transfers = |of: fn(&(u64, u64)) -> u64| {
        replicas.transfers.iter().map(move |(id, transfers)| (vec![("id", id.as_str())], of(transfers) as f64))
    };
    text.numbers(&f::TRANSFERS_IN, transfers(|transfers| transfers.0));
    text.numbers(&f::TRANSFERS_OUT, transfers(|transfers| transfers.1));
    text.single(&f::CLUSTER_PEERS, Some(status.peers.len() as u64));
    text.single(&f::CLUSTER_ALIVE, replicas.alive);
    text.single(&f::CLUSTER_LEADER, Some(u64::from(status.leader.is_some())));
    text.single(&f::CLUSTER_TERM, Some(status.term));
    let here = status.peer_id.to_string();
    text.numbers(&f::CLUSTER_COMMIT, [(vec![("peer_id", here.as_str())], status.commit as f64)]);
    text.single(&f::CLUSTER_PENDING, Some(status.pending));
    text.single(&f::CLUSTER_VOTER, Some(u64::from(status.is_voter)));
    let works = status.stopped.is_none();
    let states = [("working", works), ("stopped_with_error", !works)];
    text.numbers(&f::CLUSTER_WORKING, states.map(|(state, is)| (vec![("state", state)], f64::from(u8::from(is)))));
    let by_state = replicas.by_state.iter().map(|(state, &count)| (vec![("state", *state)], count as f64));
    text.numbers(&f::CLUSTER_REPLICAS, by_state);
    text.single(&f::CLUSTER_LOST, replicas.without_primary);
}

fn grpc(text: &mut Exposition<'_>, metrics: &Metrics) {
    let answers: Vec<(String, String, Histogram)> =
        metrics.grpc_answers().into_iter().map(|((method, status), histogram)| (method, status.to_string(), histogram)).collect();
    let labelled = |name: &'static str| {
        answers.iter().map(move |(method, status, histogram)| (vec![(name, method.as_str()), ("status", status.as_str())], histogram))
    };
    let numbers = |name, of: fn(&Histogram) -> f64| labelled(name).map(move |(labels, histogram)| (labels, of(histogram)));
    text.numbers(&f::GRPC_REQUESTS, numbers("method", |histogram| histogram.count() as f64));
    text.numbers(&f::GRPC_ANSWERS, numbers("endpoint", |histogram| histogram.count() as f64));
    text.numbers(&f::GRPC_AVERAGE, numbers("endpoint", Histogram::average));
    text.numbers(&f::GRPC_LEAST, numbers("endpoint", Histogram::least));
    text.numbers(&f::GRPC_MOST, numbers("endpoint", Histogram::most));
    text.histograms(&f::GRPC_DURATIONS, labelled("endpoint"));
}
