//! Where rows lie: in one piece (a sealed file), or in chunks that only grow (the growing segment).
#![expect(unsafe_code, reason = "readers share chunks with the writer, which never touches a published row again")]

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::storage::heap;

/// Rows of the first chunk; each further chunk doubles what there is.
const FIRST_CHUNK: usize = 64;
/// Chunks up to 2^32 rows.
const CHUNKS: usize = 27;

/// Fixed-size rows that one writer appends while any number of readers look at those already there.
///
/// Addresses are stable: a chunk is never moved, so a reader needs no lock.
pub(crate) struct RowsBuf {
    stride: usize,
    chunks: [OnceLock<Chunk>; CHUNKS],
    /// Rows that are complete. The writer stores it (Release) after the row's bytes; readers load it (Acquire) before them.
    len: AtomicU32,
    /// Held while a row is appended: uncontended, since a segment has one writer, and what makes `push` sound without that.
    appending: Mutex<()>,
}

/// Words instead of bytes, so that rows whose stride is a multiple of four are aligned for f32.
struct Chunk(Box<[UnsafeCell<u64>]>);

// SAFETY: bytes of a row are written once, before `len` covers the row, and only read afterwards; `RowsBuf` upholds that.
unsafe impl Sync for Chunk {}

impl RowsBuf {
    pub(crate) fn new(stride: usize) -> Self {
        Self { stride, chunks: [const { OnceLock::new() }; CHUNKS], len: AtomicU32::new(0), appending: Mutex::new(()) }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Appends a row; a row of another length is cut or filled with zeros.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let _alone = self.appending.lock();
        let row = self.len.load(Ordering::Relaxed);
        let (index, offset) = place(row);
        let words = (chunk_rows(index) * self.stride).div_ceil(8);
        let chunk = self.chunks[index].get_or_init(|| Chunk((0..words).map(|_| UnsafeCell::new(0)).collect()));
        let count = bytes.len().min(self.stride);
        // SAFETY: the row lies inside the chunk, whose size is `chunk_rows * stride`; it is not covered by `len` yet, so no
        // reader looks at it; `appending` keeps other writers out.
        unsafe {
            let base = UnsafeCell::raw_get(chunk.0.as_ptr()).cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(offset * self.stride), count);
        }
        self.len.store(row + 1, Ordering::Release);
    }

    /// A row, or nothing for one that is not there yet.
    pub(crate) fn get(&self, row: u32) -> &[u8] {
        if row >= self.len() {
            return &[];
        }
        let (index, offset) = place(row);
        let Some(chunk) = self.chunks[index].get() else { return &[] };
        // SAFETY: `len` covers the row, so its bytes are complete and never change again; they lie inside the chunk.
        unsafe {
            let base = UnsafeCell::raw_get(chunk.0.as_ptr()).cast::<u8>();
            std::slice::from_raw_parts(base.add(offset * self.stride), self.stride)
        }
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunks.iter().filter_map(OnceLock::get).map(|chunk| heap::vec::<u64>(chunk.0.len())).sum()
    }
}

impl fmt::Debug for RowsBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsBuf({} rows of {} bytes)", self.len(), self.stride)
    }
}

/// Chunk of a row, and the row's place in it: chunk 0 holds rows 0..64, chunk 1 64..128, chunk 2 128..256, and so on.
fn place(row: u32) -> (usize, usize) {
    let row = row as usize;
    if row < FIRST_CHUNK {
        return (0, row);
    }
    let index = (row / FIRST_CHUNK).ilog2() as usize + 1;
    (index, row - (FIRST_CHUNK << (index - 1)))
}

fn chunk_rows(index: usize) -> usize {
    FIRST_CHUNK << index.saturating_sub(1)
}

/// A view of rows for scoring.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// One after another in one slice.
    Flat { bytes: &'a [u8], stride: usize },
    /// In the chunks of a growing segment.
    Chunked(&'a RowsBuf),
}

impl<'a> Rows<'a> {
    /// A row, or an empty slice for one that does not exist.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> &'a [u8] {
        match *self {
            Self::Flat { bytes, stride } => {
                let start = row as usize * stride;
                bytes.get(start..start + stride).unwrap_or_default()
            }
            Self::Chunked(rows) => rows.get(row),
        }
    }
}

/// Which rows belong to which point, where a point has several.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Groups<'a> {
    /// The first row of each point, and the number of rows.
    Flat(&'a [u32]),
    /// First row and number of rows of each point of a growing segment.
    Chunked(&'a RowsBuf),
}

impl Groups<'_> {
    /// The rows of a point.
    #[inline]
    pub(crate) fn range(&self, point: u32) -> std::ops::Range<u32> {
        match self {
            Self::Flat(firsts) => match firsts.get(point as usize..point as usize + 2) {
                Some(&[from, to]) => from..to,
                _ => 0..0,
            },
            Self::Chunked(rows) => match rows.get(point).as_chunks::<4>().0 {
                [from, count] => {
                    let from = u32::from_le_bytes(*from);
                    from..from + u32::from_le_bytes(*count)
                }
                _ => 0..0,
            },
        }
    }

    /// Rows of the first points.
    pub(crate) fn rows_of(&self, points: u32) -> u32 {
        points.checked_sub(1).map_or(0, |last| self.range(last).end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let rows = RowsBuf::new(12);
        for row in 0..5000u32 {
            rows.push(&[row.to_le_bytes(); 3].concat());
        }
        assert_eq!(rows.len(), 5000);
        for row in 0..5000u32 {
            assert_eq!(rows.get(row), [row.to_le_bytes(); 3].concat(), "row {row}");
        }
        assert!(rows.get(5000).is_empty());
        assert!(rows.memory_bytes() >= 5000 * 12);
    }

    #[test]
    fn readers_see_whole_rows_while_a_writer_appends() {
        let rows = RowsBuf::new(64);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..20_000u32).for_each(|row| rows.push(&[row.to_le_bytes(); 16].concat())));
            for _ in 0..2 {
                scope.spawn(|| {
                    while rows.len() < 20_000 {
                        let Some(last) = rows.len().checked_sub(1) else { continue };
                        assert!(rows.get(last).chunks(4).all(|part| part == last.to_le_bytes()));
                    }
                });
            }
        });
    }
}
