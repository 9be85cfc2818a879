//! Strict mode: what a collection's owner does not let callers do, so that none of them takes the server away from the others.
//!
//! A collection keeps its limits in its configuration, as clients sent them. Here they are read, and requests held against
//! them: pure functions of the request, the limits, and what the collection is. Nothing is limited where nothing is said.
//!
//! Files: `mode` (the limits), `filters` (conditions, and the indexes that they need), `reads`, `writes`, `rate` (requests in a
//! minute), `gate` (all of it for one collection). And `quota`: what the whole node may take.

mod filters;
mod gate;
mod mode;
mod quota;
mod rate;
mod reads;
mod writes;

use crate::error::ServiceError;

pub(crate) use gate::Gate;
pub(crate) use mode::StrictMode;
pub(crate) use quota::QuotaGate;
pub use quota::{Quota, QuotaUsage};
pub(crate) use reads::{Read, check_batch, check_timeout};
pub(crate) use writes::{Size, target_of, vector_bytes};

/// A request that a limit does not let through, and what its sender can do about it.
fn refused(what: impl std::fmt::Display, help: impl std::fmt::Display) -> ServiceError {
    ServiceError::request(format!("{what}. Help: {help}."))
}
