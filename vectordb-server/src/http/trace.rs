//! Ids of requests, and the log of slow ones.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use vectordb_service::rest;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a caller, in bytes.
const MAX_BYTES: usize = 128;

/// The id that the caller gave, if it is plain and short, or a new one.
pub(super) fn id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = given.filter(|id| (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    plain.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// Writes the id into the headers of an answer.
pub(super) fn name(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Logs an answer that was long in coming.
pub(super) fn slow(id: &str, response: &rest::Response, took: Duration) {
    let operation = response.operation.map_or_else(|| "unknown".to_owned(), |operation| format!("{operation:?}"));
    let collection = response.collection.as_deref().unwrap_or_default();
    tracing::warn!(request_id = id, operation, collection, status = response.status, seconds = took.as_secs_f64(), "slow request");
}
