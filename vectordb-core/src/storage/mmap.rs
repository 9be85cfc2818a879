//! Files that never change again, as slices. All unsafe code of mapping lives here.

use std::fmt;
use std::fs::File;
use std::ops::Deref;

use bytemuck::{AnyBitPattern, NoUninit};

/// The bytes of an immutable file, aligned for every number type.
pub struct Mmap(Source);

const HUGE_PAGE: usize = 2 << 20;

enum Source {
    Mapped(memmap2::Mmap),
    Owned {
        words: Vec<u64>,
        len: usize,
    },
    /// Anonymous memory, in huge pages where the system gives them.
    Anonymous {
        map: memmap2::MmapMut,
        len: usize,
    },
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

    /// Copies bytes into anonymous memory that asks for huge pages.
    ///
    /// # Errors
    /// When the system has no memory left for us.
    pub(crate) fn hot(bytes: &[u8]) -> std::io::Result<Self> {
        if bytes.len() < HUGE_PAGE {
            return Ok(Self::from(bytes.to_vec()));
        }
        // Whole huge pages only: the tail of a mapping that is no multiple of them would be made of small ones.
        let mut map = memmap2::MmapMut::map_anon(bytes.len().next_multiple_of(HUGE_PAGE))?;
        #[cfg(target_os = "linux")]
        // Advice only: without it pages are small, and walks are slower.
        let _ = map.advise(memmap2::Advice::HugePage);
        map[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(Source::Anonymous { map, len: bytes.len() }))
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
            Source::Anonymous { map, len } => &map[..*len],
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
