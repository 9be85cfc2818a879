//! What primaries and backups say to each other.

use serde::{Deserialize, Serialize};
use vectordb_core::Lsn;
use vectordb_service::ServiceError;

use crate::cluster::state::{Member, ShardRef};

/// Bytes of frames of one message.
const MESSAGE_BYTES: usize = 4 << 20;

/// A frame as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub(crate) lsn: Lsn,
    pub(crate) epoch: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
}

/// What a primary sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Append {
    pub(crate) shard: ShardRef,
    pub(crate) epoch: u64,
    /// The batch before the frames, and its epoch; 0 where the primary has it in files only.
    pub(crate) after: Lsn,
    pub(crate) after_epoch: u64,
    pub(crate) frames: Vec<Frame>,
    /// The primary's last batch.
    pub(crate) last: Lsn,
    pub(crate) commit: Lsn,
    /// Whether the primary has committed everything that its predecessor may have acknowledged.
    pub(crate) settled: bool,
    /// Whether no member that counts has a batch of an earlier primary that this one lacks.
    #[serde(default)]
    pub(crate) purged: bool,
    /// The epoch in which an operator last chose the primary.
    #[serde(default)]
    pub(crate) chosen: u64,
    /// Of the questions whether it is still the primary, the last one that came before the message. It stays where it is.
    #[serde(skip)]
    pub(crate) question: u64,
}

/// What a backup says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendReply {
    /// It has everything of the primary's log up to here, on stable storage, and shows it up to there.
    Has {
        member: Member,
        upto: Lsn,
        shown: Lsn,
        /// It is about to stop, and is not to be waited for.
        #[serde(default)]
        leaving: bool,
    },
    /// It wants what follows on this.
    Wants { after: Lsn },
    /// Its disk has no room for what follows on this.
    Full { member: Member, after: Lsn },
    /// It knows of a newer epoch.
    Stale { epoch: u64 },
    /// It has no replica of the shard, or none that works.
    Absent,
}

impl AppendReply {
    /// The same from a node that may be about to stop.
    pub(crate) fn by_one_that(self, leaves: bool) -> Self {
        match self {
            Self::Has { member, upto, shown, .. } => Self::Has { member, upto, shown, leaving: leaves },
            other => other,
        }
    }
}

/// As many frames as one message holds.
pub(super) fn up_to_a_message(frames: impl Iterator<Item = vectordb_core::Result<Frame>>) -> Result<Vec<Frame>, ServiceError> {
    let (mut message, mut bytes) = (Vec::new(), 0);
    for frame in frames {
        let frame = frame?;
        bytes += frame.body.len();
        message.push(frame);
        if bytes >= MESSAGE_BYTES {
            break;
        }
    }
    Ok(message)
}
