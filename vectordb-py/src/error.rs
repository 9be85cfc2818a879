//! Errors of the engine as the exceptions of `vectordb.errors`.

use pyo3::prelude::*;
use vectordb_core::Error;
use vectordb_service::{Fault, ServiceError};

use crate::held::Owner;

/// An exception of `vectordb.errors` by its name.
pub(crate) fn exception(py: Python<'_>, class: &str, message: impl Into<String>) -> PyErr {
    let made = py.import("vectordb.errors").and_then(|errors| errors.getattr(class)).and_then(|class| class.call1((message.into(),)));
    made.map_or_else(|error| error, |exception| PyErr::from_value(exception))
}

/// The exception for an error of the engine; `rows` are the ids of a batch, of which the error may name one.
pub(crate) fn raised(py: Python<'_>, error: &Error, rows: &[vectordb_core::PointId]) -> PyErr {
    let class = match error {
        Error::CollectionNotFound { .. } => "CollectionNotFound",
        Error::CollectionExists { .. } => "CollectionExists",
        Error::PointNotFound { .. } => "PointNotFound",
        Error::VectorNotFound { .. } => "VectorNotFound",
        Error::DimensionMismatch { .. } => "DimensionMismatch",
        Error::InvalidVector { .. } => "InvalidVector",
        Error::WrongVectorKind { .. } => "WrongVectorKind",
        Error::InvalidName { .. } => "InvalidName",
        Error::InvalidConfig { .. } => "InvalidConfig",
        Error::InvalidFilter { .. } => "InvalidFilter",
        Error::InvalidPayload { .. } => "InvalidPayload",
        Error::InvalidQuery { .. } | Error::UnknownModel { .. } => "InvalidQuery",
        Error::LimitExceeded { .. } => "LimitExceeded",
        Error::Unsupported { .. } => "Unsupported",
        Error::Locked { .. } => "Locked",
        Error::ReadOnly => "ReadOnly",
        Error::Closed { .. } => "Closed",
        Error::DiskFull { .. } => "DiskFull",
        Error::OutOfMemory { .. } => "OutOfMemory",
        Error::Corrupt { .. } | Error::UnknownFormat { .. } => "Corrupted",
        Error::Io { .. } => "IoError",
        Error::Timeout => "Timeout",
        Error::Cancelled => "Cancelled",
        Error::Poisoned { .. } => "Poisoned",
        _ => "InternalError",
    };
    let named = match error {
        Error::DimensionMismatch { point, .. } | Error::InvalidVector { point, .. } | Error::WrongVectorKind { point, .. } => {
            point.as_ref()
        }
        _ => None,
    };
    let row = named.and_then(|name| rows.iter().position(|id| id.to_string() == *name));
    let message = row.map_or_else(|| error.to_string(), |row| format!("row {row}: {error}"));
    let raised = exception(py, class, message);
    if let Some(row) = row {
        // What says where, for programs.
        let _ = raised.value(py).setattr("row", row);
    }
    raised
}

/// Runs something without the interpreter's lock and raises what goes wrong.
pub(crate) fn released<T: Send>(py: Python<'_>, owner: Owner, run: impl FnOnce() -> vectordb_core::Result<T> + Send) -> PyResult<T> {
    owner.check(py)?;
    py.detach(run).map_err(|error| raised(py, &error, &[]))
}

/// What is wrong with a row of a batch.
pub(crate) fn in_row(
    py: Python<'_>,
    class: &str,
    row: usize,
    id: Option<&vectordb_core::PointId>,
    reason: impl std::fmt::Display,
) -> PyErr {
    let id = id.map(|id| format!(" (id {id})")).unwrap_or_default();
    let raised = exception(py, class, format!("row {row}{id}: {reason}"));
    let _ = raised.value(py).setattr("row", row);
    raised
}

/// The exception for what the service refuses.
pub(crate) fn refused(py: Python<'_>, error: &ServiceError) -> PyErr {
    let class = match error.fault {
        Fault::NotFound => "CollectionNotFound",
        Fault::AlreadyExists => "CollectionExists",
        Fault::Unavailable => "Locked",
        Fault::OutOfSpace => "DiskFull",
        Fault::BadRequest | Fault::BadInput | Fault::Validation | Fault::Format => "InvalidSnapshot",
        _ => "InternalError",
    };
    exception(py, class, error.message.clone())
}
