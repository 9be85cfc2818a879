//! Metrics and telemetry: what is counted, and what is looked up when it is asked for. Nothing is sent anywhere.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::time::Duration;

use serde_json::{Value, json};
use siphasher::sip::SipHasher13;
use vectordb_core::{Condition, Filter};

use super::Service;
use crate::access::Access;
use crate::error::Result;
use crate::metrics::{CollectionFigures, Histogram, Metrics, Report, RestKey};
use crate::shards::ShardedCollection;

impl Service {
    /// Counters and histograms, for doors that count.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Counts an answer of REST. A collection that does not exist is not named, so that strangers cannot make names.
    pub(crate) fn count_rest(
        &self,
        (method, endpoint): (&'static str, &'static str),
        status: u16,
        collection: Option<&str>,
        took: Duration,
    ) {
        let collection = collection.and_then(|name| self.found(name)).map_or(String::new(), |found| found.name.clone());
        self.metrics.rest(RestKey { method, endpoint, status, collection }, took);
    }

    /// All metrics as text for Prometheus; answers of REST told apart by collection, or not.
    ///
    /// # Errors
    /// [`Fault::Forbidden`](crate::Fault::Forbidden) for who may not read everything.
    pub fn metrics_text(&self, per_collection: bool, access: &Access) -> Result<String> {
        access.check_global_read()?;
        let memory = self.db.memory()?;
        let report = Report {
            prefix: &self.settings.metrics_prefix,
            title: &self.settings.title,
            version: &self.settings.version,
            directory: self.directory.as_deref(),
            collections: self.figures(),
            snapshots: self.snapshot_activity(),
            memory_limit: memory.limit_bytes,
            memory_reserved: memory.reserved_bytes,
            per_collection,
            is_node: self.cluster.is_some(),
            // A node that is starting has nothing to say yet.
            cluster: self.cluster().ok().flatten().map(|cluster| (cluster.status(), cluster.figures())),
        };
        Ok(report.text(&self.metrics))
    }

    /// Of collections that are dropped while they are counted, nothing is said.
    fn figures(&self) -> BTreeMap<String, CollectionFigures> {
        let collections: Vec<_> = self.collections.read().values().cloned().collect();
        collections.into_iter().filter_map(|collection| Some((collection.name.clone(), figures_of(&collection).ok()?))).collect()
    }

    /// What the service does, for people and tools: more with each level of details.
    ///
    /// # Errors
    /// [`Fault::Forbidden`](crate::Fault::Forbidden) for who may not read everything.
    pub fn telemetry(&self, details: u64, anonymize: bool, access: &Access) -> Result<Value> {
        access.check_global_read()?;
        let figures = self.figures();
        let peer = self.peer_id.to_string();
        let mut collections = json!({"number_of_collections": figures.len()});
        if details > 0 {
            let named = figures.iter().map(|(name, figures)| {
                let id = if anonymize { hidden(name) } else { name.clone() };
                let vectors: u64 = figures.vectors.values().sum();
                json!({"id": id, "points_count": figures.points, "vectors": vectors})
            });
            collections["collections"] = named.collect();
        }
        let mut rest: BTreeMap<String, BTreeMap<String, Histogram>> = BTreeMap::new();
        for (key, histogram) in self.metrics.rest_answers() {
            let endpoint = rest.entry(format!("{} {}", key.method, key.endpoint)).or_default();
            endpoint.entry(key.status.to_string()).or_default().merge(&histogram);
        }
        let mut grpc: BTreeMap<String, BTreeMap<String, Histogram>> = BTreeMap::new();
        for ((method, status), histogram) in self.metrics.grpc_answers() {
            grpc.entry(method).or_default().entry(status.to_string()).or_default().merge(&histogram);
        }
        Ok(json!({
            "id": if anonymize { hidden(&peer) } else { peer.clone() },
            "app": {
                "name": self.settings.title,
                "version": self.settings.version,
                "features": {"debug": cfg!(debug_assertions), "service_debug_feature": false, "recovery_mode": false, "staging": false},
                "uptime_secs": self.started.elapsed().as_secs(),
            },
            "collections": collections,
            "cluster": self.cluster_telemetry(&peer),
            "requests": {"rest": {"responses": durations(&rest)}, "grpc": {"responses": durations(&grpc)}},
            "hardware": {"collection_data": {}},
        }))
    }
}

impl Service {
    fn cluster_telemetry(&self, here: &str) -> Value {
        let Ok(Some(cluster)) = self.cluster() else {
            return json!({
                "enabled": false,
                "peers": {here: {"uri": ""}},
                "peer_metadata": {here: {"version": self.settings.version}},
            });
        };
        let status = cluster.status();
        let versions: BTreeMap<&u64, Value> = status.peers.keys().map(|peer| (peer, json!({"version": self.settings.version}))).collect();
        json!({
            "enabled": true,
            "status": {
                "number_of_peers": status.peers.len(),
                "term": status.term,
                "commit": status.commit,
                "pending_operations": status.pending,
                "role": status.role,
                "is_voter": status.is_voter,
                "peer_id": status.peer_id,
            },
            "peers": status.peers,
            "peer_metadata": versions,
        })
    }
}

fn figures_of(collection: &ShardedCollection) -> Result<CollectionFigures> {
    let mut figures = CollectionFigures { poisoned: collection.is_poisoned(), ..CollectionFigures::default() };
    let config = collection.config();
    for shard in &collection.shards {
        figures.points += shard.data.count(None, true)?;
        for name in config.vectors.keys().chain(config.sparse_vectors.keys()) {
            let with_vector = Filter::must([Condition::HasVector(name.clone())]);
            *figures.vectors.entry(name.clone()).or_default() += shard.data.count(Some(&with_vector), false)?;
        }
    }
    Ok(figures)
}

fn durations(answers: &BTreeMap<String, BTreeMap<String, Histogram>>) -> Value {
    let of = |histogram: &Histogram| {
        json!({
            "count": histogram.count(),
            "avg_duration_micros": histogram.average() * 1e6,
            "min_duration_micros": histogram.least() * 1e6,
            "max_duration_micros": histogram.most() * 1e6,
            "total_duration_micros": (histogram.sum * 1e6) as u64,
        })
    };
    let statuses = |statuses: &BTreeMap<String, Histogram>| -> Value {
        statuses.iter().map(|(status, histogram)| (status.clone(), of(histogram))).collect::<serde_json::Map<_, _>>().into()
    };
    answers.iter().map(|(endpoint, answers)| (endpoint.clone(), statuses(answers))).collect::<serde_json::Map<_, _>>().into()
}

/// A name that tells nothing but that it is the same one.
fn hidden(name: &str) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    format!("{:016x}", hasher.finish())
}
