//! Agreement: one Raft group (Ongaro & Ousterhout 2014) of `openraft`, with its log in a journal of the engine.
//!
//! Files: `log` (votes and entries on disk), `machine` (what they come to), `network` (to the other members).

mod log;
mod machine;
mod network;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;

use super::client::PeerClient;
use super::state::{ClusterState, Command, Outcome, PeerId};

pub(crate) use log::Log;
pub(crate) use machine::Machine;
use network::Network;

openraft::declare_raft_types!(
    /// The kinds of things that are agreed on.
    pub(crate) Types:
        D = Command,
        R = Answered,
        NodeId = PeerId,
        Node = openraft::BasicNode,
        SnapshotData = Cursor<Vec<u8>>,
);

/// What a command came to; nothing for entries that are none.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Answered(pub(crate) Option<Outcome>);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type StorageError = openraft::StorageError<PeerId>;
pub(crate) type LogId = openraft::LogId<PeerId>;

/// Why agreement does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsensusError {
    /// Its files cannot be read.
    #[error(transparent)]
    Files(#[from] vectordb_core::Error),
    /// The state that was kept is none.
    #[error("{path}: {reason}")]
    State {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The consensus module does not start.
    #[error("{0}")]
    Start(String),
}

/// A member of the group, and the state that it has agreed to so far.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) raft: Raft,
    pub(crate) agreed: watch::Receiver<Agreed>,
}

/// The state after an entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agreed {
    pub(crate) index: u64,
    pub(crate) state: Arc<ClusterState>,
}

/// Entries behind the last snapshot from which there is a new one.
const ENTRIES_PER_SNAPSHOT: u64 = 512;

impl Group {
    /// Opens the files of a directory and takes part.
    pub(crate) async fn start(id: PeerId, directory: &Path, client: PeerClient) -> Result<Self, ConsensusError> {
        let config = Config {
            cluster_name: "vectordb".to_owned(),
            heartbeat_interval: 250,
            election_timeout_min: 1000,
            election_timeout_max: 2000,
            install_snapshot_timeout: 10_000,
            max_in_snapshot_log_to_keep: ENTRIES_PER_SNAPSHOT,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
            ..Config::default()
        };
        let config = config.validate().map_err(|error| ConsensusError::Start(error.to_string()))?;
        let (log, machine) = (Log::open(&directory.join("log"))?, Machine::open(&directory.join("state.json"))?);
        let agreed = machine.agreed();
        let raft = Raft::new(id, Arc::new(config), Network::new(client), log, machine);
        let raft = raft.await.map_err(|error| ConsensusError::Start(error.to_string()))?;
        Ok(Self { raft, agreed })
    }
}

#[cfg(test)]
mod tests {
    use openraft::StorageError;
    use openraft::testing::{StoreBuilder, Suite};

    use super::*;

    struct InDirectories;

    impl StoreBuilder<Types, Log, Machine, tempfile::TempDir> for InDirectories {
        async fn build(&self) -> Result<(tempfile::TempDir, Log, Machine), StorageError<PeerId>> {
            let dir = tempfile::tempdir().expect("a directory");
            let log = Log::open(&dir.path().join("log")).expect("a new log");
            let machine = Machine::open(&dir.path().join("state.json")).expect("a new state");
            Ok((dir, log, machine))
        }
    }

    #[test]
    fn the_store_keeps_what_the_consensus_module_needs() {
        Suite::test_all(InDirectories).expect("its own suite of tests passes");
    }
}
