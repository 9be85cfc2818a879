//! Answers in their envelope.

use std::time::Instant;

use serde::Serialize;
use vectordb_core::Value;

use super::{Later, Response};
use crate::error::{Fault, Result, ServiceError};
use crate::snapshots::SnapshotFile;

const JSON: &str = "application/json";

/// What an operation answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// The beginning of an envelope with its result, so that large ones are not copied into it.
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
        Ok(Self::Result(begun(result)?))
    }

    /// JSON without an envelope.
    pub(super) fn bare<T: Serialize + ?Sized>(result: &T) -> Result<Self> {
        Ok(Self::Bare(encoded(result)?))
    }

    pub(super) fn error(error: &ServiceError) -> Self {
        Self::Error(error.fault, error.to_string())
    }

    /// The answer as it is sent, with what is to be told of how it was found.
    pub(super) fn into_response(self, started: Instant, explained: &[Value]) -> Response {
        let mut response = super::plain(200, "");
        response.content_type = JSON;
        match self {
            Self::Result(body) => response.body = body,
            Self::Bare(body) => {
                response.body = body;
                return response;
            }
            Self::Text(text) => {
                response.content_type = "text/plain; charset=utf-8";
                response.body = text.into_bytes();
                return response;
            }
            Self::File(file) => {
                response.content_type = "application/octet-stream";
                response.file = Some(file);
                return response;
            }
            Self::Accepted(later) => {
                response.status = 202;
                response.body = b"{\"status\":\"accepted\"".to_vec();
                response.later = Some(later);
            }
            Self::Error(fault, message) => {
                response.status = fault.status().as_u16();
                response.body = format!("{{\"status\":{}", serde_json::json!({"error": message})).into_bytes();
                if let Fault::RateLimited { retry_after_secs } = fault {
                    response.retry_after_secs = Some(retry_after_secs);
                }
            }
        }
        if !explained.is_empty() {
            response.body.extend_from_slice(format!(",\"explain\":{}", Value::from(explained)).as_bytes());
        }
        response.body.extend_from_slice(format!(",\"time\":{}}}", started.elapsed().as_secs_f64()).as_bytes());
        response
    }
}

/// An envelope from its beginning to the status; what else there is to say follows when it is sent.
fn begun<T: Serialize + ?Sized>(result: &T) -> Result<Vec<u8>> {
    let mut body = b"{\"result\":".to_vec();
    serde_json::to_writer(&mut body, result).map_err(|error| ServiceError::internal(error.to_string()))?;
    body.extend_from_slice(b",\"status\":\"ok\"");
    Ok(body)
}

fn encoded<T: Serialize + ?Sized>(result: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(result).map_err(|error| ServiceError::internal(error.to_string()))
}
