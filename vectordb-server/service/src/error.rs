//! What can go wrong, as clients are told: one table from the cause to the HTTP status, the gRPC code and the words before the
//! message.

use std::path::Path;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Result of every fallible call of this crate.
pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

/// What went wrong, by what a client can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Fault {
    /// The request makes no sense for this collection.
    BadInput,
    /// The request makes no sense at all.
    BadRequest,
    /// The body is no JSON, or of another form.
    Format,
    /// A setting is out of its range.
    Validation,
    /// The thing asked for does not exist.
    NotFound,
    /// A thing of this name exists already.
    AlreadyExists,
    /// The caller may not do this.
    Forbidden,
    /// The caller did not say who he is.
    Unauthenticated,
    /// The deadline passed.
    Timeout,
    /// Only a cluster can do this.
    NotDistributed,
    /// Too many requests.
    RateLimited {
        /// Whole seconds after which another try makes sense.
        retry_after_secs: u64,
    },
    /// Not now; another try may succeed.
    Unavailable,
    /// The disk or the memory is full.
    OutOfSpace,
    /// A fault of ours.
    Internal,
}

/// A failed call: what kind of fault it was, and the facts for a person.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[error("{}{message}", .fault.prefix())]
pub struct ServiceError {
    /// What kind of fault.
    pub fault: Fault,
    /// The facts.
    pub message: String,
}

/// Numbers of gRPC status codes, of which this crate knows no more.
pub mod grpc_code {
    #![expect(missing_docs, reason = "the names are those of the gRPC specification")]
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const DEADLINE_EXCEEDED: i32 = 4;
    pub const NOT_FOUND: i32 = 5;
    pub const ALREADY_EXISTS: i32 = 6;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    pub const UNIMPLEMENTED: i32 = 12;
    pub const INTERNAL: i32 = 13;
    pub const UNAVAILABLE: i32 = 14;
    pub const UNAUTHENTICATED: i32 = 16;
}

impl Fault {
    /// Status, code and prefix of the message, in this order.
    fn row(self) -> (StatusCode, i32, &'static str) {
        use grpc_code as code;
        match self {
            Self::BadInput => (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, "Wrong input: "),
            Self::BadRequest => (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, "Bad request: "),
            Self::Format => (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, "Format error in JSON body: "),
            Self::Validation => (StatusCode::UNPROCESSABLE_ENTITY, code::INVALID_ARGUMENT, "Validation error in JSON body: "),
            Self::NotFound => (StatusCode::NOT_FOUND, code::NOT_FOUND, "Not found: "),
            Self::AlreadyExists => (StatusCode::CONFLICT, code::ALREADY_EXISTS, "Wrong input: "),
            Self::Forbidden => (StatusCode::FORBIDDEN, code::PERMISSION_DENIED, "Forbidden: "),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED, ""),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, code::DEADLINE_EXCEEDED, "Timeout: "),
            Self::NotDistributed => (StatusCode::METHOD_NOT_ALLOWED, code::UNIMPLEMENTED, ""),
            Self::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, code::RESOURCE_EXHAUSTED, "Rate limiting exceeded: "),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE, "Shard temporarily unavailable: "),
            Self::OutOfSpace => (StatusCode::INSUFFICIENT_STORAGE, code::RESOURCE_EXHAUSTED, "Insufficient storage: "),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "Service internal error: "),
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The gRPC status code.
    pub fn grpc_code(self) -> i32 {
        self.row().1
    }

    /// What stands before the message.
    pub fn prefix(self) -> &'static str {
        self.row().2
    }
}

impl ServiceError {
    /// A fault with its facts.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }

    /// A request that makes no sense for this collection.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Fault::BadInput, message)
    }

    /// A request that makes no sense at all.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(Fault::BadRequest, message)
    }

    /// A setting out of its range.
    pub fn validation(field: impl std::fmt::Display, reason: impl std::fmt::Display) -> Self {
        Self::new(Fault::Validation, format!("[{field}: {reason}]"))
    }

    /// A collection or an alias that does not exist.
    pub fn no_collection(name: &str) -> Self {
        Self::new(Fault::NotFound, format!("Collection `{name}` doesn't exist!"))
    }

    /// What a node that is alone does not do.
    pub fn alone() -> Self {
        Self::new(Fault::NotDistributed, "Distributed mode is disabled: this node is alone")
    }

    /// What cannot be done to a collection while its points move to other shards.
    pub fn resharding(collection: &str) -> Self {
        Self::request(format!("Collection `{collection}` is being resharded: wait until that is done, or abort it"))
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Fault::Internal, message)
    }
}

impl From<vectordb_core::Error> for ServiceError {
    fn from(error: vectordb_core::Error) -> Self {
        use vectordb_core::Error as E;
        let text = error.to_string();
        match error {
            E::CollectionNotFound { name } => Self::no_collection(&name),
            E::CollectionExists { name } => Self::new(Fault::AlreadyExists, format!("Collection `{name}` already exists!")),
            E::PointNotFound { id } => Self::new(Fault::NotFound, format!("No point with id {id} found")),
            E::VectorNotFound { name } => Self::input(format!("Not existing vector name error: {name}")),
            E::DimensionMismatch { expected, actual, .. } => {
                Self::input(format!("Vector dimension error: expected dim: {expected}, got {actual} ({text})"))
            }
            E::InvalidConfig { field, reason } => Self::validation(field, reason),
            E::InvalidVector { .. }
            | E::WrongVectorKind { .. }
            | E::InvalidName { .. }
            | E::InvalidFilter { .. }
            | E::InvalidPayload { .. }
            | E::InvalidQuery { .. }
            | E::UnknownModel { .. }
            | E::LimitExceeded { .. }
            | E::Unsupported { .. } => Self::input(text),
            E::DiskFull { .. } | E::OutOfMemory { .. } => Self::new(Fault::OutOfSpace, text),
            E::Locked { .. } | E::Poisoned { .. } => Self::new(Fault::Unavailable, text),
            E::ReadOnly => Self::new(Fault::Forbidden, text),
            E::Closed { .. } => Self::new(Fault::NotFound, text),
            E::Timeout | E::Cancelled => Self::new(Fault::Timeout, text),
            _ => Self::internal(text),
        }
    }
}

/// What a failure of the file system means to a caller.
pub(crate) fn failed(path: &Path, error: &std::io::Error) -> ServiceError {
    let fault = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Fault::OutOfSpace,
        std::io::ErrorKind::NotFound => Fault::NotFound,
        _ => Fault::Internal,
    };
    ServiceError::new(fault, format!("{}: {error}", path.display()))
}
