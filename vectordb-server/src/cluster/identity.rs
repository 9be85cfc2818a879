//! Who this node is: kept beside its data, so that it is the same after a restart and another on another disk.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::{Member, PeerId};

const FILE: &str = "node.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) peer_id: PeerId,
    disk: Uuid,
}

impl Identity {
    /// Reads who the node of a directory is, or makes somebody new; `wanted` is a number that the settings give.
    pub(crate) fn of(directory: &Path, wanted: Option<PeerId>) -> std::io::Result<Self> {
        let file = directory.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // 53 bits, so that the number survives as a JSON number in every language.
                let random = (Uuid::new_v4().as_u64_pair().0 >> 11).max(1);
                let identity = Self { peer_id: wanted.unwrap_or(random), disk: Uuid::new_v4() };
                std::fs::create_dir_all(directory)?;
                let new = file.with_extension("json.new");
                let mut out = std::fs::File::create(&new)?;
                out.write_all(&serde_json::to_vec(&identity)?)?;
                out.sync_all()?;
                std::fs::rename(&new, &file)?;
                std::fs::File::open(directory)?.sync_all()?;
                Ok(identity)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn member(self) -> Member {
        Member { peer: self.peer_id, disk: self.disk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stays_who_it_is_and_an_empty_disk_is_somebody_else() {
        let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let first = Identity::of(one.path(), None).expect("somebody new");
        assert_eq!(Identity::of(one.path(), Some(7)).expect("the same"), first);
        assert!(first.peer_id < 1 << 53);
        let again = Identity::of(other.path(), Some(first.peer_id)).expect("another disk");
        assert_eq!(again.peer_id, first.peer_id);
        assert_ne!(again.member(), first.member());
    }
}
