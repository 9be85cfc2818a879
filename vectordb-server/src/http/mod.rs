//! The REST door: sockets, limits and compression around [`vectordb_service::rest`].

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::decompression::RequestDecompressionLayer;
use vectordb_service::{Access, Service, ServiceError, rest};

use crate::config::ServiceConfig;

/// Bytes of a megabyte, as limits count them.
const MEGABYTE: usize = 1024 * 1024;

/// What every request needs.
#[derive(Debug, Clone)]
struct Door {
    service: Arc<Service>,
    most_bytes: usize,
}

/// Answers requests until told to stop, and then those that have begun.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, config: ServiceConfig, mut stopped: watch::Receiver<bool>) {
    let door = Door { service, most_bytes: config.max_request_size_mb.saturating_mul(MEGABYTE) };
    let mut router = Router::new().fallback(answer).with_state(door);
    router = router.layer(RequestDecompressionLayer::new()).layer(CompressionLayer::new());
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

/// Reads a request, has it answered on a thread that may block, and sends the answer.
async fn answer(State(door): State<Door>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, door.most_bytes).await else {
        let limit = door.most_bytes;
        let error = ServiceError::request(format!("the body is larger than allowed (limit: {limit} bytes)"));
        return respond(rest::Response { status: StatusCode::PAYLOAD_TOO_LARGE.as_u16(), ..rest::refusal(&error) });
    };
    let answered = tokio::task::spawn_blocking(move || {
        let request = rest::Request {
            method: head.method,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or(""),
            headers: head.headers,
            body: &body,
            access: Access::Manage,
        };
        rest::handle(&door.service, &request)
    });
    match answered.await {
        Ok(response) => respond(response),
        Err(error) => {
            tracing::error!(%error, "a request failed");
            respond(rest::refusal(&ServiceError::internal("the request was cut short")))
        }
    }
}

fn respond(response: rest::Response) -> Response {
    let mut answer = Response::new(Body::from(response.body));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    if let Some(seconds) = response.retry_after_secs {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
