//! Files that never change again, as slices, and memory that goes back to the system. All unsafe code of that lives here.

use std::fmt;
use std::fs::File;
use std::ops::Deref;

use bytemuck::{AnyBitPattern, NoUninit};

use super::heap;
use super::smaps::Smaps;
use crate::model::config::Memory;
use crate::model::memory::ComponentMemory;

/// The bytes of an immutable file, aligned for every number type.
pub struct Mmap(Source);

const HUGE_PAGE: usize = 2 << 20;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BLOCK: std::ffi::c_int = 256 << 10;

/// Files of so many bytes can be read without their mapping, which costs a descriptor each.
const LEAST_READ: u64 = 64 << 20;

enum Source {
    Mapped {
        map: memmap2::Mmap,
        file: Option<File>,
    },
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
    pub(crate) fn of(file: File) -> std::io::Result<Self> {
        let len = file.metadata()?.len();
        if len == 0 {
            return Ok(Self::from(Vec::new()));
        }
        // SAFETY: only sealed files are mapped. This process never writes to them again, it only unlinks them, which
        // leaves the mapping valid; the directory's lock keeps other writers out.
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        Ok(Self(Source::Mapped { map, file: (len >= LEAST_READ).then_some(file) }))
    }

    /// Bytes of memory that a copy of so many takes.
    pub(crate) fn hot_bytes(len: usize) -> usize {
        // Whole huge pages only: the tail of a mapping that is no multiple of them would be made of small ones.
        if len < HUGE_PAGE { len } else { len.next_multiple_of(HUGE_PAGE) }
    }

    /// Copies bytes into anonymous memory that asks for huge pages.
    ///
    /// # Errors
    /// When the system has no memory left for us.
    pub(crate) fn hot(bytes: &[u8]) -> std::io::Result<Self> {
        if bytes.len() < HUGE_PAGE {
            return Ok(Self::from(bytes.to_vec()));
        }
        let mut map = memmap2::MmapMut::map_anon(Self::hot_bytes(bytes.len()))?;
        #[cfg(target_os = "linux")]
        // Advice only: without it pages are small, and walks are slower.
        let _ = map.advise(memmap2::Advice::HugePage);
        map[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(Source::Anonymous { map, len: bytes.len() }))
    }

    /// Tells the kernel how a file will be read: in no order, so that it reads no neighbours ahead, or all of it soon.
    pub(crate) fn advise(&self, memory: Memory) {
        #[cfg(unix)]
        if let Source::Mapped { map, .. } = &self.0 {
            let advice = match memory {
                Memory::Cold => memmap2::Advice::Random,
                Memory::Cached | Memory::Pinned => memmap2::Advice::WillNeed,
            };
            // Advice only: without it the kernel reads more than is needed or later, and nothing breaks.
            let _ = map.advise(advice);
        }
        #[cfg(not(unix))]
        let _ = memory;
    }

    /// Gives a file's pages back: they stay in the page cache while there is room, and are mapped again when they are read.
    #[cfg_attr(unix, expect(unsafe_code, reason = "the same advice would empty memory that is not a file"))]
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        if let Source::Mapped { map, .. } = &self.0 {
            // SAFETY: the mapping is shared and read-only, and of a file that never changes, so the pages that come back hold
            // what those that go held; slices into the mapping stay valid. Advice only: a failure changes nothing.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }

    /// Reads a part of a large file without mapping it: a page touched through the mapping brings up to 16 pages into it, which
    /// count as memory of this process. False when it is not such a file, or the part could not be read.
    pub(crate) fn read_unmapped(&self, at: usize, into: &mut [u8]) -> bool {
        match &self.0 {
            #[cfg(unix)]
            Source::Mapped { file: Some(file), .. } => std::os::unix::fs::FileExt::read_exact_at(file, into, at as u64).is_ok(),
            _ => false,
        }
    }

    /// What is in memory of it.
    pub(crate) fn memory(&self, smaps: &Smaps) -> ComponentMemory {
        let resident = |bytes: &[u8]| {
            let start = bytes.as_ptr().addr();
            smaps.resident(start..start + bytes.len())
        };
        match &self.0 {
            Source::Mapped { map, .. } => {
                ComponentMemory { anonymous_bytes: 0, mapped_resident_bytes: resident(map), mapped_bytes: map.len() as u64 }
            }
            Source::Anonymous { map, len } => {
                let bytes = if smaps.is_known() { resident(map) } else { *len as u64 };
                ComponentMemory { anonymous_bytes: bytes, ..ComponentMemory::default() }
            }
            Source::Owned { words, .. } => ComponentMemory::anonymous(heap::vec::<u64>(words.capacity())),
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
            Source::Mapped { map, .. } => map,
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

/// Gives the pages of freed blocks back to the system. The allocator of glibc keeps them, a hundred megabytes after a merge of
/// 50,000 vectors of 256 dimensions; others give them back by themselves. Takes some milliseconds.
#[cfg_attr(all(target_os = "linux", target_env = "gnu"), expect(unsafe_code, reason = "a function of the C library"))]
pub(crate) fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: the declaration is that of `malloc.h`: `int malloc_trim(size_t)`.
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: any thread may call it at any time; it takes the locks it needs and touches free blocks alone. Whether it
        // found any makes no difference.
        let _ = unsafe { malloc_trim(0) };
    }
}

/// Has large blocks mapped one by one, so that they go back to the system when they are freed. By itself the allocator of glibc
/// stops doing so for blocks up to 32 MB once one such block was freed, and keeps several times what is in use.
#[cfg_attr(all(target_os = "linux", target_env = "gnu"), expect(unsafe_code, reason = "a function of the C library"))]
pub(crate) fn map_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const M_TRIM_THRESHOLD: std::ffi::c_int = -1;
        const M_MMAP_THRESHOLD: std::ffi::c_int = -3;
        // SAFETY: the declaration is that of `malloc.h`: `int mallopt(int, int)`.
        unsafe extern "C" {
            fn mallopt(option: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
        }
        for option in [M_MMAP_THRESHOLD, M_TRIM_THRESHOLD] {
            // SAFETY: any thread may call it at any time; both options and values are among those it documents. A refusal
            // leaves things as they are.
            let _ = unsafe { mallopt(option, LARGE_BLOCK) };
        }
    }
}

/// Bytes as numbers; `None` when the length or the alignment does not fit.
pub(crate) fn as_numbers<T: AnyBitPattern + NoUninit>(bytes: &[u8]) -> Option<&[T]> {
    bytemuck::try_cast_slice(bytes).ok()
}
