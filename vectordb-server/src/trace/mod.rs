//! What can be seen of requests from outside: their ids, the log, and traces.
//!
//! Files: `context` (a request's place in a trace), `otlp` (traces for a collector).

mod context;
mod otlp;

use std::time::Duration;

use tracing::{Level, Span};
use tracing_subscriber::filter::{EnvFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub(crate) use context::{Context, TRACEPARENT};

use crate::config::Config;

/// The header, or the metadata, that names a request.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// Longest id that is taken from a caller, in bytes.
const MAX_BYTES: usize = 128;
/// The name of the span around a request.
const REQUEST: &str = "request";

/// The id that the caller gave, if it is plain and short, or a new one.
pub(crate) fn id(given: Option<&str>) -> String {
    let plain = given.filter(|id| (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    plain.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// The span around a request: what is logged and traced inside of it carries the request's ids.
pub(crate) fn span(context: &Context, request_id: &str, operation: &str) -> Span {
    tracing::info_span!(
        REQUEST,
        request_id,
        trace_id = format!("{:032x}", context.trace),
        span_id = format!("{:016x}", context.span),
        parent_id = context.parent.map(|parent| format!("{parent:016x}")),
        sampled = context.sampled,
        operation,
        status = tracing::field::Empty,
        failed = tracing::field::Empty,
    )
}

/// Says what came out of a request: its status, and whether that is a fault of ours.
pub(crate) fn ended(span: &Span, status: i32, failed: bool) {
    span.record("status", i64::from(status));
    span.record("failed", failed);
}

/// Logs an answer that was long in coming.
pub(crate) fn slow(id: &str, operation: &str, collection: &str, status: i32, took: Duration) {
    tracing::warn!(request_id = id, operation, collection, status, seconds = took.as_secs_f64(), "slow request");
}

/// Why nothing would be seen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter is none.
    #[error("log_level: {0}")]
    Filter(#[from] ParseError),
    /// There is a log already.
    #[error(transparent)]
    Taken(#[from] tracing_subscriber::util::TryInitError),
    /// A thread cannot be made.
    #[error("no thread for traces: {0}")]
    Thread(#[from] std::io::Error),
}

/// The log and the traces of this process, as long as it is held; it then waits until the traces are sent.
#[derive(Debug)]
pub struct Logs {
    sender: Option<otlp::Sender>,
}

impl Logs {
    /// Begins the log of this process, and sends traces where the settings say to whom.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn start(config: &Config) -> Result<Self, LogError> {
        let filter = EnvFilter::try_new(config.log_level.as_deref().unwrap_or("info").to_lowercase())?;
        let text = fmt::layer().with_target(false);
        let log = if config.logger.format.as_deref() == Some("json") { text.json().boxed() } else { text.boxed() };
        let (traces, sender) = match config.telemetry.endpoint() {
            Some(endpoint) => {
                let (gather, sender) = otlp::start(&config.telemetry, &endpoint)?;
                let ours = Targets::new().with_target("vectordb_server", Level::INFO).with_target("vectordb_service", Level::DEBUG);
                (Some(gather.with_filter(ours)), Some(sender))
            }
            None => (None, None),
        };
        tracing_subscriber::registry().with(log.with_filter(filter)).with(traces).try_init()?;
        Ok(Self { sender })
    }

    /// Waits until everything is sent.
    pub fn finish(self) {
        if let Some(sender) = self.sender {
            sender.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ids_are_kept_and_others_replaced() {
        assert_eq!(id(Some("job-7/3")), "job-7/3");
        let long = "x".repeat(MAX_BYTES + 1);
        for strange in [None, Some(""), Some("a b"), Some("a\n"), Some("ä"), Some(long.as_str())] {
            assert_eq!(id(strange).len(), 36, "{strange:?}");
        }
    }
}
