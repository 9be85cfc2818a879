//! The REST door: sockets, limits and compression around [`vectordb_service::rest`].
//!
//! Files: `upload` (files that come in forms), `pages` (the dashboard).

mod pages;
mod upload;

use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header, request};
use axum::response::Response;
use axum::serve::Listener;
use http_body_util::LengthLimitError;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::cors::CorsLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tracing::{Instrument, Span};
use vectordb_service::{Access, Service, ServiceError, SnapshotFile, rest};

use crate::auth::{Auth, Identity};
use crate::config::ServiceConfig;
use crate::lane;
use crate::pace::{self, Pace};
use crate::trace::{self, Context, TRACEPARENT};
use upload::Upload;

/// Bytes of a megabyte, as limits count them.
const MEGABYTE: usize = 1024 * 1024;
/// Bytes of a file that are read at once.
const CHUNK: usize = 256 * 1024;

/// What every request needs.
#[derive(Debug, Clone)]
struct Door {
    service: Arc<Service>,
    auth: Auth,
    most_bytes: usize,
    /// Requests that take longer are logged.
    slow: Duration,
}

/// Answers requests until told to stop, and then those that have begun.
pub(crate) async fn serve<L: Listener<Addr: std::fmt::Debug>>(
    listener: L,
    service: Arc<Service>,
    auth: Auth,
    config: ServiceConfig,
    mut stopped: watch::Receiver<bool>,
) {
    let slow = Duration::try_from_secs_f64(config.slow_query_secs).unwrap_or(Duration::MAX);
    let door = Door { service, auth, most_bytes: config.max_request_size_mb.saturating_mul(MEGABYTE), slow };
    // Bodies in memory are limited by the door, files are not.
    let mut router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(door);
    if config.enable_static_content {
        router = router.merge(pages::routes());
    }
    // Files are sent as they are, so that their length and checksum are what was promised.
    let compressed = DefaultPredicate::new().and(NotForContentType::const_new("application/octet-stream"));
    router = router.layer(RequestDecompressionLayer::new()).layer(CompressionLayer::new().compress_when(compressed));
    if config.enable_cors {
        router = router.layer(CorsLayer::permissive());
    }
    let until = async move {
        // An error means that the server itself is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
        tracing::error!(%error, "the REST door is closed");
    }
}

/// Answers a request, counts it, and gives it back its id.
async fn answer(State(door): State<Door>, mut request: Request) -> Response {
    let (id, context) = {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        (trace::id(header(trace::REQUEST_ID)), Context::of(header(TRACEPARENT)))
    };
    request.extensions_mut().insert(context);
    let started = Instant::now();
    let path = request.uri().path();
    let operation = rest::operation(request.method(), path);
    let allowed = rest::methods(path).filter(|_| operation.is_none());
    let service = Arc::clone(&door.service);
    let slow = door.slow;
    let name = operation.map_or_else(|| "unknown".to_owned(), |operation| format!("{operation:?}"));
    let span = trace::span(&context, &id, &name);
    let mut response = answered(door, request, operation).instrument(span.clone()).await;
    // What was turned away is counted too.
    response.operation = response.operation.or(operation);
    let took = started.elapsed();
    trace::ended(&span, response.status.into(), response.status >= 500);
    response.count(&service, took);
    if took > slow {
        let collection = response.collection.as_deref().unwrap_or_default();
        span.in_scope(|| trace::slow(&id, &name, collection, response.status.into(), took));
    }
    let mut answer = respond(response);
    if let Some(allowed) = allowed.and_then(|methods| HeaderValue::from_str(&methods).ok()) {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(HeaderName::from_static(trace::REQUEST_ID), id);
    }
    answer
}

/// Reads a request and has it answered.
async fn answered(door: Door, request: Request, operation: Option<&'static rest::Operation>) -> rest::Response {
    let identity = match identify(&door, &request) {
        Ok(identity) => identity,
        Err(error) => return rest::refusal(&error),
    };
    let (head, body) = request.into_parts();
    if operation.is_some_and(rest::Operation::takes_file) {
        let form = Request::from_parts(head.clone(), body);
        return match upload::store(&door, identity.clone(), form).await {
            Ok(upload) => run(door, head, Vec::new(), Some(upload), identity, None).await,
            Err(error) => rest::refusal(&error),
        };
    }
    let body = match to_bytes(body, door.most_bytes).await {
        Ok(body) => body,
        Err(error) => return unread(&error, door.most_bytes),
    };
    let pace = operation.and_then(|operation| pace_of(&door, operation));
    run(door, head, body, None, identity, pace).await
}

/// The answer to a request whose body is too long, or cannot be read to its end.
fn unread(error: &axum::Error, limit: usize) -> rest::Response {
    let mut causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    if causes.any(|cause| cause.is::<LengthLimitError>()) {
        let error = ServiceError::request(format!("the body is larger than allowed (limit: {limit} bytes)"));
        return rest::Response { status: StatusCode::PAYLOAD_TOO_LARGE.as_u16(), ..rest::refusal(&error) };
    }
    rest::refusal(&ServiceError::request(format!("the body cannot be read: {error}")))
}

/// The pace of an operation that reads points and asks nobody else.
fn pace_of(door: &Door, operation: &rest::Operation) -> Option<&'static Pace> {
    static PACES: LazyLock<Vec<Pace>> = LazyLock::new(|| rest::operations().iter().map(|_| Pace::new()).collect());
    if !matches!(operation.kind, "read" | "search") || door.service.is_clustered() {
        return None;
    }
    PACES.get(rest::operations().iter().position(|known| std::ptr::eq(known, operation))?)
}

/// Who calls; none where anybody may.
fn identify(door: &Door, request: &Request) -> Result<Option<Identity>, ServiceError> {
    if Auth::is_exempt(request.uri().path()) {
        return Ok(None);
    }
    let headers = request.headers();
    door.auth.identify(|name| headers.get(name)?.to_str().ok()).map(Some)
}

impl Door {
    /// What a caller may do. May block.
    fn access(&self, identity: Option<Identity>) -> Result<Access, ServiceError> {
        // What anybody may see shows nothing of any collection.
        identity.map_or(Ok(Access::Collections(std::collections::BTreeMap::new())), |identity| self.auth.granted(identity))
    }
}

/// Has a request answered.
async fn run(
    door: Door,
    head: request::Parts,
    body: impl AsRef<[u8]> + Send + 'static,
    upload: Option<Upload>,
    identity: Option<Identity>,
    pace: Option<&'static Pace>,
) -> rest::Response {
    let context = head.extensions.get::<Context>().copied();
    let work = within(context, move || {
        let access = match door.access(identity) {
            Ok(access) => access,
            Err(error) => return rest::refusal(&error),
        };
        let request = rest::Request {
            method: head.method,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or(""),
            headers: head.headers,
            body: body.as_ref(),
            upload: upload.as_ref().map(|upload| &*upload.path),
            access,
        };
        let mut response = rest::handle(&door.service, &request);
        if let Some(later) = response.later.take() {
            go_on(&door, later, upload);
        }
        response
    });
    let cut_short = || rest::refusal(&ServiceError::internal("the request was cut short"));
    pace::done(pace, work).await.unwrap_or_else(cut_short)
}

/// Work on behalf of a request, wherever it is done.
fn within<R>(context: Option<Context>, work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let span = Span::current();
    move || match context {
        Some(context) => context.scope(|| span.in_scope(work)),
        None => span.in_scope(work),
    }
}

/// Does accepted work after the answer; the server waits for it before it stops.
fn go_on(door: &Door, later: rest::Later, upload: Option<Upload>) {
    let service = Arc::clone(&door.service);
    lane::CLIENTS.begin(within(Context::current(), move || {
        if let Err(error) = later.run(&service) {
            tracing::error!(%error, "accepted work failed");
        }
        drop(upload.map(|upload| upload.scratch));
    }));
}

fn respond(response: rest::Response) -> Response {
    let (body, length) = match response.file {
        Some(SnapshotFile { file, size, .. }) => {
            (Body::from_stream(ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK)), Some(size))
        }
        None => (Body::from(response.body), None),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(seconds) = response.retry_after_secs {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
