//! Messages to the engine's model and back, once and without a detour.
//!
//! Files, one noun each: `point` (ids, payloads, what reads give back), `vector`, `filter`, `query` (with prefetches and what is
//! asked beside it), `formula`, `legacy` (the searches from before queries), `update` (what writes ask for), `config` (what
//! collections are made of), `info` (what they say about themselves).

pub(super) mod config;
pub(super) mod filter;
mod formula;
pub(super) mod info;
pub(super) mod legacy;
pub(super) mod point;
pub(super) mod query;
pub(super) mod update;
pub(super) mod vector;

use std::fmt::Display;

use vectordb_core::DateTime;
use vectordb_service::{Result, ServiceError};

/// A part that must be there.
pub(super) fn needed<T>(part: Option<T>, name: &str) -> Result<T> {
    part.ok_or_else(|| ServiceError::request(format!("`{name}` is missing")))
}

/// A number of things, as many as this machine can count.
fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A number of things of which at least one is wanted.
///
/// # Errors
/// [`Fault::Validation`](vectordb_service::Fault::Validation) for 0.
fn at_least_one(field: &str, number: u64) -> Result<usize> {
    match number {
        0 => Err(ServiceError::validation(field, "value 0 invalid, must be 1 or larger")),
        number => Ok(count(number)),
    }
}

/// A value of an enumeration.
///
/// # Errors
/// [`Fault::BadRequest`](vectordb_service::Fault::BadRequest) for a number that stands for nothing.
pub(super) fn one_of<T: TryFrom<i32>>(field: &str, number: i32) -> Result<T> {
    T::try_from(number).map_err(|_| ServiceError::request(format!("{number} stands for no `{field}`")))
}

/// A moment in microseconds, as far as they reach.
fn moment(timestamp: prost_types::Timestamp) -> Result<DateTime> {
    let micros = timestamp.seconds.checked_mul(1_000_000);
    let micros = micros.and_then(|micros| micros.checked_add(i64::from(timestamp.nanos / 1000)));
    micros.map(DateTime).ok_or_else(|| refused("the moment", "lies out of range"))
}

/// A moment in words.
fn parsed_moment(text: &str) -> Result<DateTime> {
    DateTime::parse(text).ok_or_else(|| refused(text, "is no moment like 2024-01-31T12:00:00Z"))
}

fn refused(what: impl Display, why: impl Display) -> ServiceError {
    ServiceError::input(format!("{what} {why}"))
}
