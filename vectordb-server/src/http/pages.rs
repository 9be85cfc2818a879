//! The dashboard at `/dashboard`, and the page of the API at `/docs`. Anybody may have them; what they show asks for the key.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::dashboard::{POLICY, Page, page};

pub(super) fn routes() -> Router {
    Router::new()
        // Its parts are named relative to it, so that it works behind a proxy that adds to the path, too.
        .route("/dashboard", get(async || Redirect::permanent("dashboard/")))
        .route("/dashboard/", get(async || answer(page(""))))
        .route("/dashboard/{*name}", get(async |Path(name): Path<String>| answer(page(&name))))
        .route("/docs", get(async || answer(page("docs.html"))))
}

fn answer(page: Option<&'static Page>) -> Response {
    let Some(page) = page else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (header::CONTENT_TYPE, page.content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A newer server has newer pages.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page.text).into_response()
}
