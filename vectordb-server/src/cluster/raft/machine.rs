//! The state that entries come to: in memory, with the last snapshot in a file.

use std::io::{Cursor, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{
    BasicNode, Entry, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageIOError, StoredMembership,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Agreed, Answered, ConsensusError, LogId, StorageError, Types};
use crate::cluster::state::{ClusterState, PeerId};

type Membership = StoredMembership<PeerId, BasicNode>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Applied {
    last: Option<LogId>,
    membership: Membership,
    state: ClusterState,
}

/// What the file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    id: String,
    applied: Applied,
}

/// The state of the group's member. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    path: PathBuf,
    applied: Arc<Mutex<Applied>>,
    kept: Arc<Mutex<Option<Kept>>>,
    agreed: Arc<watch::Sender<Agreed>>,
}

impl Machine {
    /// Reads the snapshot of a file, if there is one.
    ///
    /// # Errors
    /// A file that is no snapshot.
    pub(crate) fn open(path: &Path) -> Result<Self, ConsensusError> {
        let wrong = |reason: String| ConsensusError::State { path: path.to_path_buf(), reason };
        let kept: Option<Kept> = match std::fs::read(path) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(wrong(error.to_string())),
        };
        let applied = kept.as_ref().map(|kept| kept.applied.clone()).unwrap_or_default();
        let machine = Self {
            path: path.to_path_buf(),
            applied: Arc::new(Mutex::new(applied)),
            kept: Arc::new(Mutex::new(kept)),
            agreed: Arc::new(watch::Sender::new(Agreed::default())),
        };
        machine.tell();
        Ok(machine)
    }

    /// The newest state, whenever it changes.
    pub(crate) fn agreed(&self) -> watch::Receiver<Agreed> {
        self.agreed.subscribe()
    }

    fn tell(&self) {
        let applied = self.applied.lock();
        let index = applied.last.map_or(0, |last| last.index);
        self.agreed.send_replace(Agreed { index, state: Arc::new(applied.state.clone()) });
    }

    /// Puts a snapshot into the file; durable when it returns.
    async fn keep(&self, kept: Kept) -> Result<(), StorageError> {
        let path = self.path.clone();
        let copy = kept.clone();
        let written =
            tokio::task::spawn_blocking(move || write(&path, &copy)).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|error| StorageError::from(StorageIOError::write_snapshot(None, openraft::AnyError::new(&error))))?;
        *self.kept.lock() = Some(kept);
        Ok(())
    }
}

fn write(path: &Path, kept: &Kept) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let new = path.with_extension("json.new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(kept)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(directory)?.sync_all()
}

#[expect(clippy::result_large_err, reason = "the error is that of the consensus module")]
fn snapshot(kept: &Kept) -> Result<Snapshot<Types>, StorageError> {
    let wrong = |error: serde_json::Error| StorageError::from(StorageIOError::read_snapshot(None, openraft::AnyError::new(&error)));
    let bytes = serde_json::to_vec(&kept.applied).map_err(wrong)?;
    let meta =
        SnapshotMeta { last_log_id: kept.applied.last, last_membership: kept.applied.membership.clone(), snapshot_id: kept.id.clone() };
    Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let applied = self.applied.lock().clone();
        let place = applied.last.map_or_else(|| "0".to_owned(), |last| format!("{}-{}", last.leader_id, last.index));
        let kept = Kept { id: format!("{place}-{}", uuid::Uuid::new_v4()), applied };
        self.keep(kept.clone()).await?;
        snapshot(&kept)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        let applied = self.applied.lock();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answered>, StorageError>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut answers = Vec::new();
        {
            let mut applied = self.applied.lock();
            for entry in entries {
                applied.last = Some(entry.log_id);
                answers.push(Answered(match entry.payload {
                    EntryPayload::Blank => None,
                    EntryPayload::Normal(command) => Some(applied.state.apply(&command)),
                    EntryPayload::Membership(membership) => {
                        applied.membership = Membership::new(Some(entry.log_id), membership);
                        None
                    }
                }));
            }
        }
        self.tell();
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<PeerId, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let wrong = |error: serde_json::Error| {
            StorageError::from(StorageIOError::read_snapshot(Some(meta.signature()), openraft::AnyError::new(&error)))
        };
        let applied: Applied = serde_json::from_slice(snapshot.get_ref()).map_err(wrong)?;
        let applied = Applied { last: meta.last_log_id, membership: meta.last_membership.clone(), state: applied.state };
        self.keep(Kept { id: meta.snapshot_id.clone(), applied: applied.clone() }).await?;
        *self.applied.lock() = applied;
        self.tell();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        self.kept.lock().as_ref().map(snapshot).transpose()
    }
}
