//! A cluster that only says what it is, for what a node tells of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use vectordb_core::{CollectionConfig, ConfigDiff, Options};
use vectordb_service::{
    Access, Cluster, ClusterStatus, Fault, PeerStatus, ReplicaFigures, ReplicaOperation, ReplicaState, ReshardingState, Result, Service,
    ServiceError, Settings, ShardKey, ShardSums, SnapshotDescription, SnapshotFile, SnapshotScope,
};

/// A service that is the second of two peers, and leads.
pub(crate) fn leader(directory: &Path, settings: Settings) -> Service {
    let service = Service::open_node(directory, Options::default(), settings, 2).expect("a node");
    service.join(Arc::new(Told { has_shown_all: true }));
    service
}

/// Answers questions, and does nothing.
#[derive(Debug)]
struct Told {
    has_shown_all: bool,
}

fn nothing<T>() -> Result<T> {
    Err(ServiceError::new(Fault::Unavailable, "nothing is done here"))
}

impl Cluster for Told {
    fn create_collection(&self, _: &str, _: &CollectionConfig, _: u32) -> Result<()> {
        nothing()
    }

    fn delete_collection(&self, _: &str) -> Result<bool> {
        nothing()
    }

    fn update_config(&self, _: &str, _: &ConfigDiff) -> Result<()> {
        nothing()
    }

    fn rename(&self, _: &str, _: &str) -> Result<()> {
        nothing()
    }

    fn snapshots(&self, _: &SnapshotScope) -> Vec<SnapshotDescription> {
        Vec::new()
    }

    fn open_snapshot(&self, _: &SnapshotScope, _: &str) -> Result<SnapshotFile> {
        nothing()
    }

    fn delete_snapshot(&self, _: &SnapshotScope, _: &str) -> Result<()> {
        nothing()
    }

    fn set_aliases(&self, _: BTreeMap<String, String>) -> Result<()> {
        nothing()
    }

    fn create_shard_key(&self, _: &str, _: &ShardKey, _: u32) -> Result<()> {
        nothing()
    }

    fn delete_shard_key(&self, _: &str, _: &ShardKey) -> Result<()> {
        nothing()
    }

    fn reshard(&self, _: &str, _: Option<&ShardKey>, _: u32) -> Result<()> {
        nothing()
    }

    fn abort_resharding(&self, _: &str) -> Result<()> {
        nothing()
    }

    fn reshardings(&self, _: &str) -> Result<Vec<ReshardingState>> {
        nothing()
    }

    fn operate(&self, _: &str, _: &ReplicaOperation) -> Result<()> {
        nothing()
    }

    fn verify(&self, _: &str, _: bool) -> Result<Vec<ShardSums>> {
        nothing()
    }

    fn remove_peer(&self, _: u64, _: bool) -> Result<()> {
        nothing()
    }

    fn set_draining(&self, _: u64, _: bool) -> Result<()> {
        nothing()
    }

    fn pause_balance(&self, _: bool) -> Result<()> {
        nothing()
    }

    fn status(&self) -> ClusterStatus {
        let peer = |n: u64| {
            let uri = format!("http://peer{n}:6335/");
            (n, PeerStatus { uri, version: "1.20.0".to_owned(), draining: false, zone: None, replicas: 3 })
        };
        ClusterStatus {
            peer_id: 2,
            peers: [peer(1), peer(2)].into(),
            leader: Some(2),
            term: 7,
            commit: 41,
            pending: 3,
            role: "Leader",
            is_voter: true,
            balance_paused: false,
            stopped: None,
        }
    }

    fn replicas(&self, _: &str) -> Result<Vec<ReplicaState>> {
        nothing()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn has_shown_all(&self) -> bool {
        self.has_shown_all
    }

    fn figures(&self) -> ReplicaFigures {
        ReplicaFigures {
            by_state: [("Active", 4), ("Dead", 1), ("Partial", 1)].into(),
            active: Some((1, 2)),
            transfers: [("docs".to_owned(), (1, 0))].into(),
            alive: Some(1),
            without_primary: Some(0),
        }
    }
}

#[test]
fn a_node_says_that_a_collection_is_missing_when_it_can_know() {
    for (has_shown_all, expected) in [(None, Fault::Unavailable), (Some(false), Fault::Unavailable), (Some(true), Fault::NotFound)] {
        let directory = tempfile::tempdir().expect("a directory");
        let service = Service::open_node(directory.path(), Options::default(), Settings::default(), 2).expect("a node");
        if let Some(has_shown_all) = has_shown_all {
            service.join(Arc::new(Told { has_shown_all }));
        }
        let error = service.state("docs", &Access::Manage).expect_err("there is none");
        assert_eq!(error.fault, expected, "{error}");
    }
}
