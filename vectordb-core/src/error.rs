//! The errors of the engine: one enum whose variants carry the facts, and a coarse [`ErrorKind`] that tells a caller what to do.

use std::path::PathBuf;
use std::sync::Arc;

/// Result of every fallible call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with the facts needed to act on it.
///
/// Match on [`Error::kind`] to decide what to do, on the variant to tell a person.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No collection of this name exists.
    #[error("collection `{name}` does not exist")]
    CollectionNotFound {
        /// The name asked for.
        name: String,
    },
    /// A collection of this name exists already.
    #[error("collection `{name}` already exists")]
    CollectionExists {
        /// The name asked for.
        name: String,
    },
    /// No point has this id.
    #[error("no point with id {id} found")]
    PointNotFound {
        /// The id asked for, as text.
        id: String,
    },
    /// The collection has no vector of this name (`""` is the unnamed vector).
    #[error("vector name `{name}` is not configured for this collection")]
    VectorNotFound {
        /// The vector's name.
        name: String,
    },
    /// A vector has the wrong number of dimensions.
    #[error("{}vector `{vector}` has {actual} dimensions, the collection expects {expected}", at(.point))]
    DimensionMismatch {
        /// The point that carries the vector, when there is one.
        point: Option<String>,
        /// The vector's name.
        vector: String,
        /// Dimensions the collection was made for.
        expected: usize,
        /// Dimensions found.
        actual: usize,
    },
    /// A vector holds NaN, an infinity, or a value its element type cannot hold.
    #[error("{}vector `{vector}` holds {value} at dimension {dimension}: {reason}", at(.point))]
    InvalidVector {
        /// The point that carries the vector, when there is one.
        point: Option<String>,
        /// The vector's name.
        vector: String,
        /// Index of the first bad dimension.
        dimension: usize,
        /// The bad value.
        value: f32,
        /// Why it is refused.
        reason: &'static str,
    },
    /// A vector is of another kind than the collection's vector of its name.
    #[error("{}vector `{vector}` is {expected} and was given {actual}", at(.point))]
    WrongVectorKind {
        /// The point that carries the vector, when there is one.
        point: Option<String>,
        /// The vector's name.
        vector: String,
        /// The kind it has to be.
        expected: &'static str,
        /// The kind it is.
        actual: &'static str,
    },
    /// A name (collection, vector, field) or an id breaks the rules of its kind.
    #[error("invalid {what} `{value}`: {reason}")]
    InvalidName {
        /// What kind of name.
        what: &'static str,
        /// The offending text, cut to a readable length.
        value: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A configuration value is out of range or contradicts another.
    #[error("invalid configuration: {field}: {reason}")]
    InvalidConfig {
        /// Path of the setting, for example `hnsw_config.m`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A filter cannot be parsed or makes no sense.
    #[error("invalid filter at {position}: {reason}")]
    InvalidFilter {
        /// Path in the JSON form, or column in the text form.
        position: String,
        /// What is wrong there.
        reason: String,
    },
    /// A payload, a payload key or a payload value cannot be used.
    #[error("invalid payload: {reason}")]
    InvalidPayload {
        /// What is wrong.
        reason: String,
    },
    /// A query or one of its parameters makes no sense.
    #[error("invalid query: {reason}")]
    InvalidQuery {
        /// What is wrong.
        reason: String,
    },
    /// No model of this name makes vectors here.
    #[error("no model `{model}` makes vectors here; `qdrant/bm25` does, of texts")]
    UnknownModel {
        /// The name asked for.
        model: String,
    },
    /// Something is larger than the engine accepts.
    #[error("{what} is {actual}, the limit is {limit}")]
    LimitExceeded {
        /// What is too large.
        what: &'static str,
        /// The size found.
        actual: u64,
        /// The largest size accepted.
        limit: u64,
    },
    /// The feature is part of the data model but not of this version of the engine.
    #[error("{what} is not supported by this version")]
    Unsupported {
        /// The feature.
        what: String,
    },
    /// Another process holds the directory's writer lock.
    #[error("{} is open for writing in {}; open it read-only instead", .path.display(), holder(.pid))]
    Locked {
        /// The database directory.
        path: PathBuf,
        /// Process id of the holder, when it left one.
        pid: Option<u32>,
    },
    /// A write on a database that was opened read-only.
    #[error("the database is open read-only")]
    ReadOnly,
    /// The handle was closed, or its collection was dropped.
    #[error("{what} is closed")]
    Closed {
        /// What was closed.
        what: String,
    },
    /// An earlier write failed in a way that leaves durability unknown; reopen to go on.
    #[error("the collection refuses writes until it is reopened, because an earlier write failed: {reason}")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The disk is full, or nearly so; reads and deletes go on.
    #[error("disk full at {}: {available_bytes} bytes available, {required_bytes} needed", .path.display())]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// Bytes left for us.
        available_bytes: u64,
        /// Bytes that must stay free or are needed.
        required_bytes: u64,
    },
    /// The database may not take more memory; reads and deletes go on. See [`MemoryLimit`](crate::MemoryLimit).
    #[error("{what} needs {required_bytes} bytes of memory, {available_bytes} of {limit_bytes} are left")]
    OutOfMemory {
        /// What was to be done.
        what: &'static str,
        /// Bytes it needs.
        required_bytes: u64,
        /// Bytes that are left.
        available_bytes: u64,
        /// Bytes that the database may take.
        limit_bytes: u64,
    },
    /// A file does not hold what was written to it.
    #[error("{} is corrupt at offset {offset}: {what}", .file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Byte offset of the damage, as near as it is known.
        offset: u64,
        /// What was expected there.
        what: String,
    },
    /// A file was written by a version this one cannot read.
    #[error("{} has format {found}, this version reads up to {supported}", .file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
        /// Format version found.
        found: u32,
        /// Newest format version this build reads.
        supported: u32,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// The deadline passed before the answer was complete.
    #[error("the deadline passed")]
    Timeout,
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A fault of the engine itself; please report it.
    #[error("internal error: {what}")]
    Internal {
        /// What was found to be impossible.
        what: String,
    },
}

fn at(point: &Option<String>) -> String {
    point.as_ref().map(|id| format!("point {id}: ")).unwrap_or_default()
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The thing asked for does not exist.
    NotFound,
    /// The thing to be made exists already.
    AlreadyExists,
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// Not possible now: locked, disk or memory full, poisoned. May work later or after reopening.
    Unavailable,
    /// The deadline passed or the caller cancelled.
    Timeout,
    /// A file is damaged.
    Corrupt,
    /// The handle is closed or read-only.
    Closed,
    /// A fault of the machine or of the engine.
    Internal,
}

impl Error {
    /// The coarse kind of this error.
    pub fn kind(&self) -> ErrorKind {
        use Error as E;
        match self {
            E::CollectionNotFound { .. } | E::PointNotFound { .. } | E::VectorNotFound { .. } => ErrorKind::NotFound,
            E::CollectionExists { .. } => ErrorKind::AlreadyExists,
            E::DimensionMismatch { .. }
            | E::InvalidVector { .. }
            | E::WrongVectorKind { .. }
            | E::InvalidName { .. }
            | E::InvalidConfig { .. }
            | E::InvalidFilter { .. }
            | E::InvalidPayload { .. }
            | E::InvalidQuery { .. }
            | E::UnknownModel { .. }
            | E::LimitExceeded { .. }
            | E::Unsupported { .. } => ErrorKind::Invalid,
            E::Locked { .. } | E::Poisoned { .. } | E::DiskFull { .. } | E::OutOfMemory { .. } => ErrorKind::Unavailable,
            E::ReadOnly | E::Closed { .. } => ErrorKind::Closed,
            E::Timeout | E::Cancelled => ErrorKind::Timeout,
            E::Corrupt { .. } | E::UnknownFormat { .. } => ErrorKind::Corrupt,
            E::Io { .. } | E::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// An operating-system error at a path.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(file: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), offset, what: what.into() }
    }

    pub(crate) fn query(reason: impl Into<String>) -> Self {
        Self::InvalidQuery { reason: reason.into() }
    }

    pub(crate) fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidConfig { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn filter(position: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidFilter { position: position.into(), reason: reason.into() }
    }
}
