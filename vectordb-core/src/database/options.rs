//! How a database is opened.

use std::sync::Arc;

use crate::model::memory::MemoryLimit;
use crate::storage::clock::Clock;
use crate::storage::fs::{FsRef, StdFs};

/// Who does the background work: sealing, indexing, merging, cleaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Background {
    /// A thread of the database.
    #[default]
    Thread,
    /// The caller, by [`Collection::maintain`](crate::Collection::maintain); nothing happens by itself, which makes tests repeatable.
    Manual,
}

/// How a database is opened.
///
/// ```
/// use vectordb_core::{Background, Options};
/// let options = Options::default().background(Background::Manual).threads(2);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The file system; the operating system's by default.
    pub fs: FsRef,
    /// Who does the background work.
    pub background: Background,
    /// Threads for batches of queries and for building; 0 is as many as the machine has.
    pub threads: usize,
    /// Open for reading beside a writer.
    pub read_only: bool,
    /// Batches are published by whoever replicates them: see [`Options::replicated`].
    pub replicated: bool,
    /// Make the directory when it is not there.
    pub create: bool,
    /// Memory of its own that the database may take.
    pub memory_limit: MemoryLimit,
    /// What tells the time, for points that expire; the system's clock by default.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fs: Arc::new(StdFs),
            background: Background::Thread,
            threads: 0,
            read_only: false,
            replicated: false,
            create: true,
            memory_limit: MemoryLimit::default(),
            clock: Clock::default(),
        }
    }
}

impl Options {
    /// Sets the file system.
    #[must_use]
    pub fn fs(mut self, fs: FsRef) -> Self {
        self.fs = fs;
        self
    }

    /// Sets who does the background work.
    #[must_use]
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the number of threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Opens for reading only.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets whether the collections are replicas of a cluster's shards. Their batches are visible only when they are published
    /// ([`Collection::publish`](crate::Collection::publish)), which someone who knows of the other replicas does; after opening,
    /// what lies in files is.
    #[must_use]
    pub fn replicated(mut self, replicated: bool) -> Self {
        self.replicated = replicated;
        self
    }

    /// Sets how much memory of its own the database may take. Under a limit less is pinned, segments are sealed earlier,
    /// writers wait, jobs build with less memory or later, and in the end updates are refused with
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory); reads go on.
    ///
    /// ```
    /// use vectordb_core::{MemoryLimit, Options};
    /// let options = Options::default().memory_limit(MemoryLimit::Bytes(256 << 20));
    /// assert_eq!(options.memory_limit, MemoryLimit::Bytes(256 << 20));
    /// ```
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.memory_limit = limit;
        self
    }

    /// Sets whether a missing directory is made.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }
}
