//! Answers in their envelope.

use std::time::Instant;

use serde::Serialize;

use super::{Later, Response};
use crate::error::{Fault, Result, ServiceError};
use crate::snapshots::SnapshotFile;

const JSON: &str = "application/json";

/// What an operation answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// A result, as JSON, for the envelope.
    Result(Vec<u8>),
    /// JSON without an envelope.
    Bare(Vec<u8>),
    /// Text without an envelope.
    Text(String),
    /// A file without an envelope.
    File(SnapshotFile),
    /// Word that the work is taken on, and the work.
    Accepted(Later),
    /// An error for the envelope.
    Error(Fault, String),
}

impl Reply {
    /// A result.
    pub(super) fn of<T: Serialize + ?Sized>(result: &T) -> Result<Self> {
        Ok(Self::Result(encoded(result)?))
    }

    /// JSON without an envelope.
    pub(super) fn bare<T: Serialize + ?Sized>(result: &T) -> Result<Self> {
        Ok(Self::Bare(encoded(result)?))
    }

    pub(super) fn error(error: &ServiceError) -> Self {
        Self::Error(error.fault, error.to_string())
    }

    pub(super) fn into_response(self, started: Instant) -> Response {
        let time = started.elapsed().as_secs_f64();
        let envelope = |result: &[u8], status: &str| {
            let mut body = Vec::with_capacity(result.len() + 64);
            body.push(b'{');
            if !result.is_empty() {
                body.extend_from_slice(b"\"result\":");
                body.extend_from_slice(result);
                body.push(b',');
            }
            body.extend_from_slice(format!("\"status\":{status},\"time\":{time}}}").as_bytes());
            body
        };
        let (status, content_type, body) = match &self {
            Self::Result(result) => (200, JSON, envelope(result, "\"ok\"")),
            Self::Bare(json) => (200, JSON, json.clone()),
            Self::Text(text) => (200, "text/plain; charset=utf-8", text.clone().into_bytes()),
            Self::File(_) => (200, "application/octet-stream", Vec::new()),
            Self::Accepted(_) => (202, JSON, envelope(&[], "\"accepted\"")),
            Self::Error(fault, message) => {
                let status = serde_json::json!({"error": message}).to_string();
                (fault.status().as_u16(), JSON, envelope(&[], &status))
            }
        };
        let retry_after_secs = match &self {
            Self::Error(Fault::RateLimited { retry_after_secs }, _) => Some(*retry_after_secs),
            _ => None,
        };
        let (file, later) = match self {
            Self::File(file) => (Some(file), None),
            Self::Accepted(later) => (None, Some(later)),
            _ => (None, None),
        };
        Response { status, content_type, retry_after_secs, body, file, later, collection: None, operation: None }
    }
}

fn encoded<T: Serialize + ?Sized>(result: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(result).map_err(|error| ServiceError::internal(error.to_string()))
}
