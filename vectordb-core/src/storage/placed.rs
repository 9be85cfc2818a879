//! Where the content of a sealed file lives while it is used: mapped, or copied into memory.
//!
//! What every search touches at random is copied: anonymous memory can have huge pages (a walk over small rows is twice as
//! fast with them), never faults, and is not given up when the page cache is short.

use std::ops::Deref;

use super::mmap::Mmap;
use super::sealed_file::SealedFile;

/// The content of a sealed file.
#[derive(Debug)]
pub(crate) enum Placed {
    /// In the page cache, as long as there is room.
    Mapped(SealedFile),
    /// In memory of our own.
    Hot(Mmap),
}

impl Placed {
    /// Copies the content into memory of our own.
    pub(crate) fn hot(file: &SealedFile) -> std::io::Result<Self> {
        Mmap::hot(file.data()).map(Self::Hot)
    }

    /// Bytes of memory of our own.
    pub(crate) fn memory_bytes(&self) -> usize {
        if let Self::Hot(bytes) = self { bytes.len() } else { 0 }
    }
}

impl From<Mmap> for Placed {
    fn from(bytes: Mmap) -> Self {
        Self::Hot(bytes)
    }
}

impl Deref for Placed {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file.data(),
            Self::Hot(bytes) => bytes,
        }
    }
}
