//! Append-only columns whose elements never move, so that readers need no lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::storage::heap;

const FIRST_CHUNK: usize = 64;
/// Chunks up to 2^32 elements.
const CHUNKS: usize = 27;

/// Chunk and place of an element: chunk 0 holds 0..64, chunk 1 64..128, chunk 2 128..256, and so on.
pub(super) fn place(index: u32) -> (usize, usize) {
    let index = index as usize;
    if index < FIRST_CHUNK {
        return (0, index);
    }
    let chunk = (index / FIRST_CHUNK).ilog2() as usize + 1;
    (chunk, index - (FIRST_CHUNK << (chunk - 1)))
}

/// Chunks that are made when their first element is touched.
#[derive(Debug)]
pub(super) struct Chunks<T>([OnceLock<Box<[T]>>; CHUNKS]);

impl<T: Default> Chunks<T> {
    pub(super) fn new() -> Self {
        Self([const { OnceLock::new() }; CHUNKS])
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let (chunk, offset) = place(index);
        self.0[chunk].get().map(|chunk| &chunk[offset])
    }

    pub(super) fn get_or_make(&self, index: u32) -> &T {
        let (chunk, offset) = place(index);
        let make = || (0..FIRST_CHUNK << chunk.saturating_sub(1)).map(|_| T::default()).collect();
        &self.0[chunk].get_or_init(make)[offset]
    }

    /// Bytes allocated, what the elements own aside.
    pub(super) fn memory_bytes(&self) -> usize {
        self.0.iter().filter_map(OnceLock::get).map(|chunk| heap::vec::<T>(chunk.len())).sum()
    }
}

/// A vector that only grows and never moves its elements.
#[derive(Debug)]
pub(super) struct AppendVec<T> {
    chunks: Chunks<OnceLock<T>>,
    /// Elements that are set. Stored (Release) after the element, loaded (Acquire) before it.
    len: AtomicU32,
}

impl<T> AppendVec<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Chunks::new(), len: AtomicU32::new(0) }
    }

    pub(super) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Appends an element and returns its index. One writer at a time; of two, the later one's element would be lost.
    pub(super) fn push(&self, value: T) -> u32 {
        let index = self.len.load(Ordering::Relaxed);
        let set = self.chunks.get_or_make(index).set(value);
        debug_assert!(set.is_ok(), "two writers at once");
        self.len.store(index + 1, Ordering::Release);
        index
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get(index)?.get()
    }

    /// Bytes allocated, what the elements own aside.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes()
    }

    /// Number of leading elements for which the test holds; they must come before all others.
    pub(super) fn partition_point(&self, holds: impl Fn(&T) -> bool) -> u32 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&holds) { low = middle + 1 } else { high = middle }
        }
        low
    }
}
