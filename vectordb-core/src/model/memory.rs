//! How much memory is taken, by what, and how much may be.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How much memory of its own a database may take.
///
/// The limit is on anonymous memory: hot copies, segments that take writes, payload indexes, and what jobs build with. Mapped
/// files come on top; the system takes their pages back when it needs them. With a limit that somebody has set (bytes, or a
/// control group's) the allocator of glibc is told to map blocks of 256 KB and more one by one, in the whole process, so that
/// what is freed is free.
///
/// ```
/// use vectordb_core::{Database, MemoryLimit, Options};
/// # fn main() -> vectordb_core::Result<()> {
/// # let dir = tempfile::tempdir().map_err(|error| vectordb_core::Error::io("tmp", error))?;
/// let options = Options::default().memory_limit(MemoryLimit::Bytes(512 << 20));
/// let db = Database::open_with(dir.path().join("small.vdb"), options)?;
/// assert_eq!(db.memory()?.limit_bytes, Some(512 << 20));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryLimit {
    /// Four fifths of what the control group (version 1 or 2) allows the process, or of the machine's memory when no group
    /// limits it. Where neither can be told, as [`MemoryLimit::Unlimited`].
    #[default]
    Auto,
    /// As much as it wants.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

/// Memory of one component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentMemory {
    /// Memory of our own: on the heap, by what was allocated, or in hot copies, by the pages that are there.
    pub anonymous_bytes: u64,
    /// Pages of mapped files that this process has now, as `/proc/self/smaps` counts them; 0 where there is no such file.
    pub mapped_resident_bytes: u64,
    /// Bytes of the files that are mapped.
    pub mapped_bytes: u64,
}

impl ComponentMemory {
    pub(crate) fn anonymous(bytes: usize) -> Self {
        Self { anonymous_bytes: bytes as u64, ..Self::default() }
    }

    /// Everything that is in memory now.
    ///
    /// ```
    /// let part = vectordb_core::ComponentMemory { anonymous_bytes: 10, mapped_resident_bytes: 5, mapped_bytes: 100 };
    /// assert_eq!(part.resident_bytes(), 15);
    /// ```
    pub fn resident_bytes(&self) -> u64 {
        self.anonymous_bytes + self.mapped_resident_bytes
    }
}

impl AddAssign for ComponentMemory {
    fn add_assign(&mut self, other: Self) {
        self.anonymous_bytes += other.anonymous_bytes;
        self.mapped_resident_bytes += other.mapped_resident_bytes;
        self.mapped_bytes += other.mapped_bytes;
    }
}

/// Memory of a collection, by component.
///
/// Mapped pages and hot copies are measured. What lies on the heap is counted: capacities of vectors, nodes of trees,
/// containers of bitmaps, with the header and the rounding that allocators add to each block.
///
/// ```
/// use vectordb_core::{Database, Point};
/// # fn main() -> vectordb_core::Result<()> {
/// let db = Database::in_memory()?;
/// let docs = db.collection("docs").dim(64).open_or_create()?;
/// docs.upsert((0..1000).map(|id| Point::new(id, vec![0.5; 64])))?;
/// let memory = docs.memory()?;
/// assert!(memory.growing.anonymous_bytes >= 1000 * 64 * 4);
/// assert_eq!(memory.total().resident_bytes(), memory.components().iter().map(|(_, part)| part.resident_bytes()).sum::<u64>());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryReport {
    /// Vectors of sealed segments, and which rows have them.
    pub vectors: ComponentMemory,
    /// Codes that vectors are searched by.
    pub codes: ComponentMemory,
    /// Graphs.
    pub graph: ComponentMemory,
    /// Lists of sparse vectors.
    pub sparse_indexes: ComponentMemory,
    /// Payloads of sealed segments.
    pub payload: ComponentMemory,
    /// Payload indexes of sealed segments.
    pub payload_indexes: ComponentMemory,
    /// Tables of ids and versions of sealed segments.
    pub ids: ComponentMemory,
    /// When rows of sealed segments died.
    pub tombstones: ComponentMemory,
    /// Segments that are not sealed yet, with everything in them.
    pub growing: ComponentMemory,
    /// What waits to be written to the log.
    pub log: ComponentMemory,
    /// Kept to be used again: sets of visited rows, selections of filters.
    pub caches: ComponentMemory,
    /// What the running job is expected to take at most; not part of [`MemoryReport::total`].
    pub job_bytes: u64,
}

impl MemoryReport {
    /// The components by name.
    pub fn components(&self) -> [(&'static str, ComponentMemory); 11] {
        [
            ("vectors", self.vectors),
            ("codes", self.codes),
            ("graph", self.graph),
            ("sparse_indexes", self.sparse_indexes),
            ("payload", self.payload),
            ("payload_indexes", self.payload_indexes),
            ("ids", self.ids),
            ("tombstones", self.tombstones),
            ("growing", self.growing),
            ("log", self.log),
            ("caches", self.caches),
        ]
    }

    /// The sum of all components.
    pub fn total(&self) -> ComponentMemory {
        let mut total = ComponentMemory::default();
        self.components().into_iter().for_each(|(_, part)| total += part);
        total
    }
}

impl AddAssign for MemoryReport {
    fn add_assign(&mut self, other: Self) {
        self.vectors += other.vectors;
        self.codes += other.codes;
        self.graph += other.graph;
        self.sparse_indexes += other.sparse_indexes;
        self.payload += other.payload;
        self.payload_indexes += other.payload_indexes;
        self.ids += other.ids;
        self.tombstones += other.tombstones;
        self.growing += other.growing;
        self.log += other.log;
        self.caches += other.caches;
        self.job_bytes += other.job_bytes;
    }
}

/// What the process has in memory beside the database. Linux only.
///
/// `code_bytes` and `stack_bytes` are measured by `/proc/self/smaps`. `allocator_bytes` and `unaccounted_bytes` are what is
/// left of the resident set when everything counted or measured is taken off; together with that they add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessMemory {
    /// The resident set of the process, measured.
    pub resident_bytes: u64,
    /// Programs and libraries: mappings of files of which a part is executable. Measured.
    pub code_bytes: u64,
    /// Stacks of threads: the main stack, and mappings right above a guard page. Measured.
    pub stack_bytes: u64,
    /// What is left inside the arenas of the allocator: free blocks it keeps, and small blocks that nobody counted, those of
    /// the rest of the process among them. A remainder, at most the arenas' measured size. With an allocator whose arenas
    /// cannot be told (others than that of glibc) it is a part of `unaccounted_bytes`.
    pub allocator_bytes: u64,
    /// What is left beside all of that. A remainder.
    pub unaccounted_bytes: u64,
}

/// Memory of a database: its collections, and the process around it.
///
/// ```
/// # fn main() -> vectordb_core::Result<()> {
/// let db = vectordb_core::Database::in_memory()?;
/// db.collection("docs").dim(4).open_or_create()?;
/// let memory = db.memory()?;
/// assert!(memory.collections.contains_key("docs"));
/// if let Some(process) = memory.process {
///     let known = memory.total.total().resident_bytes() + process.code_bytes + process.stack_bytes;
///     assert!(known <= process.resident_bytes);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DatabaseMemory {
    /// The collections by name.
    pub collections: BTreeMap<String, MemoryReport>,
    /// The sum of all collections.
    pub total: MemoryReport,
    /// The process; `None` where the system does not tell.
    pub process: Option<ProcessMemory>,
    /// Memory of its own that the database may take; `None` is as much as it wants.
    pub limit_bytes: Option<u64>,
    /// What counts against the limit now: reserved for hot copies, indexes, segments that take writes, jobs, and the process.
    pub reserved_bytes: u64,
}
