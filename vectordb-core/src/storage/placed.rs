//! Where the content of a sealed file lives while it is used: mapped, or copied into memory.
//!
//! What every search touches at random is copied: anonymous memory can have huge pages (a walk over small rows is twice as
//! fast with them), never faults, and is not given up when the page cache is short.

use std::ops::Deref;
use std::sync::Arc;

use super::allowance::{Allowance, Reservation};
use super::mmap::Mmap;
use super::sealed_file::SealedFile;
use super::smaps::Smaps;
use crate::error::Result;
use crate::model::config::Memory;
use crate::model::memory::ComponentMemory;

/// The content of a sealed file.
#[derive(Debug)]
pub(crate) enum Placed {
    /// In the page cache, as long as there is room.
    Mapped(SealedFile),
    /// In memory of our own.
    Hot { bytes: Mmap, _held: Reservation },
}

impl Placed {
    /// A copy of a mapped file's content in memory of our own; nothing when there is no room, or it is such a copy already.
    pub(crate) fn hot(&self, allowance: &Arc<Allowance>) -> Option<Self> {
        self.copied(|bytes| allowance.try_take_for_long(bytes))
    }

    /// As [`Placed::hot`], for the time of a job.
    pub(crate) fn hot_for_now(&self, allowance: &Arc<Allowance>) -> Option<Self> {
        self.copied(|bytes| allowance.try_take(bytes))
    }

    fn copied(&self, take: impl FnOnce(u64) -> Option<Reservation>) -> Option<Self> {
        let Self::Mapped(file) = self else { return None };
        let held = take(Mmap::hot_bytes(file.data().len()) as u64)?;
        Mmap::hot(file.data()).ok().map(|bytes| Self::held(bytes, held))
    }

    /// Memory of our own that has been taken.
    pub(crate) fn held(bytes: Mmap, held: Reservation) -> Self {
        Self::Hot { bytes, _held: held }
    }

    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapped(_))
    }

    /// Whether there is a mapped file, and room for a copy of it.
    pub(crate) fn fits(&self, allowance: &Arc<Allowance>) -> bool {
        matches!(self, Self::Mapped(file) if Mmap::hot_bytes(file.data().len()) as u64 <= allowance.available_for_long())
    }

    /// Says how a mapped file will be read from now on. What was read of it before to check it is given back, unless it is
    /// wanted in the page cache.
    pub(crate) fn settle(&self, memory: Memory) {
        if let Self::Mapped(file) = self {
            if memory == Memory::Cached {
                file.advise(Memory::Cached);
            } else {
                file.advise(Memory::Cold);
                file.release();
            }
        }
    }

    /// Checks every block of a mapped file; copies were made of checked ones.
    pub(crate) fn verify(&self) -> Result<()> {
        if let Self::Mapped(file) = self { file.verify() } else { Ok(()) }
    }

    /// Gives the pages of a mapped file back; reading brings them again.
    pub(crate) fn release(&self) {
        if let Self::Mapped(file) = self {
            file.release();
        }
    }

    /// Reads a part of a large mapped file without mapping it; false when it is not such a file.
    pub(crate) fn read_unmapped(&self, at: usize, into: &mut [u8]) -> bool {
        matches!(self, Self::Mapped(file) if file.read_unmapped(at, into))
    }

    /// What is in memory of it.
    pub(crate) fn memory(&self, smaps: &Smaps) -> ComponentMemory {
        match self {
            Self::Mapped(file) => file.memory(smaps),
            Self::Hot { bytes, .. } => bytes.memory(smaps),
        }
    }
}

impl From<Mmap> for Placed {
    fn from(bytes: Mmap) -> Self {
        Self::held(bytes, Reservation::none())
    }
}

impl Deref for Placed {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file.data(),
            Self::Hot { bytes, .. } => bytes,
        }
    }
}
