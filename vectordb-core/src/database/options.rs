//! How a database is opened.

use std::sync::Arc;

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
    /// Make the directory when it is not there.
    pub create: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { fs: Arc::new(StdFs), background: Background::Thread, threads: 0, read_only: false, create: true }
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

    /// Sets whether a missing directory is made.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }
}
