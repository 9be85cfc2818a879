//! Files that never change again, as slices. All unsafe code of mapping lives here.

use std::fmt;
use std::fs::File;
use std::ops::Deref;

use bytemuck::{AnyBitPattern, NoUninit};

/// The bytes of an immutable file, aligned for every number type.
pub struct Mmap(Source);

enum Source {
    Mapped(memmap2::Mmap),
    Owned { words: Vec<u64>, len: usize },
}

impl Mmap {
    /// Maps a file.
    ///
    /// # Errors
    /// Whatever the operating system says.
    #[expect(unsafe_code, reason = "mapping a file is unsafe: nobody may shrink it meanwhile")]
    pub(crate) fn of(file: &File) -> std::io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::from(Vec::new()));
        }
        // SAFETY: only sealed files are mapped. This process never writes to them again, it only unlinks them, which
        // leaves the mapping valid; the directory's lock keeps other writers out.
        unsafe { memmap2::Mmap::map(file) }.map(|map| Self(Source::Mapped(map)))
    }

    /// Tells the kernel that rows are read in no order, so that it reads no neighbours ahead.
    pub(crate) fn advise_random(&self) {
        #[cfg(unix)]
        if let Source::Mapped(map) = &self.0 {
            // Advice only: without it the kernel reads more than is needed, and nothing breaks.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }
}

impl From<Vec<u8>> for Mmap {
    fn from(bytes: Vec<u8>) -> Self {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(&bytes);
        Self(Source::Owned { words, len: bytes.len() })
    }
}

impl Deref for Mmap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Mapped(map) => map,
            Source::Owned { words, len } => &bytemuck::cast_slice(words)[..*len],
        }
    }
}

impl AsRef<[u8]> for Mmap {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Mmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mmap({} bytes)", self.len())
    }
}

/// Bytes as numbers; `None` when the length or the alignment does not fit.
pub(crate) fn as_numbers<T: AnyBitPattern + NoUninit>(bytes: &[u8]) -> Option<&[T]> {
    bytemuck::try_cast_slice(bytes).ok()
}
