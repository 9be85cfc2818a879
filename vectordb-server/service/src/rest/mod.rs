//! The REST dialect of the Qdrant API as plain functions: a request in, an answer out, on the calling thread.
//!
//! Files: `call` (one request with what its path and query say), `reply` (envelopes), `routes` (the table of operations), and a
//! file for each kind of thing: `collections`, `aliases`, `points`, `queries`, `legacy` (older searches), `cluster`, `about`
//! (the service itself), `snapshots`, `backups` (ours alone); `json` reads and writes the parts of bodies, `openapi` describes it
//! all.

mod about;
mod aliases;
mod backups;
mod call;
mod cluster;
mod collections;
mod json;
mod legacy;
mod openapi;
mod points;
mod queries;
mod reply;
mod routes;
mod snapshots;

use std::path::Path;

use http::{HeaderMap, Method};

use crate::access::Access;
use crate::error::{Fault, Result, ServiceError};
use crate::service::{Explanations, Service};
use crate::snapshots::SnapshotFile;

use call::Call;
pub use call::{EXPLAIN, RECALL, recall, wish};
pub use json::{collection_config, config_diff, field_schema, new_vector};
use reply::Reply;
pub use routes::{Operation, methods, operations};

/// A request as a door got it.
#[derive(Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The path, percent-encoded, without the query.
    pub path: &'r str,
    /// The query without its question mark.
    pub query: &'r str,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, uncompressed.
    pub body: &'r [u8],
    /// A file that came in place of a body, for operations that [take one](Operation::takes_file).
    pub upload: Option<&'r Path>,
    /// What the caller may do.
    pub access: Access,
}

impl<'r> Request<'r> {
    /// A request of a caller who may do everything.
    ///
    /// # Panics
    /// Never; a method that is none is taken for one that no operation has.
    pub fn new(method: &str, target: &'r str, body: &'r [u8]) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::TRACE);
        Self { method, path, query, headers: HeaderMap::new(), body, upload: None, access: Access::Manage }
    }
}

/// An answer as a door gives it.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// Seconds to wait, where the status asks for patience.
    pub retry_after_secs: Option<u64>,
    /// The body, if it is no file.
    pub body: Vec<u8>,
    /// The file that is the body.
    pub file: Option<SnapshotFile>,
    /// Work that was accepted, for the door to do after it sent the answer.
    pub later: Option<Later>,
    /// The collection of the path; none where the path has none.
    pub collection: Option<String>,
    /// The operation, as in `PUT /collections/{collection_name}`; none for an unknown path.
    pub operation: Option<&'static Operation>,
}

impl Response {
    /// Counts this answer among the metrics of a service; one to a path that no operation has is not counted.
    pub fn count(&self, service: &Service, took: std::time::Duration) {
        if let Some(operation) = self.operation {
            service.count_rest((operation.method, operation.path), self.status, self.collection.as_deref(), took);
        }
    }
}

/// Work that goes on after an answer.
pub struct Later(Box<Work>);

type Work = dyn FnOnce(&Service) -> Result<()> + Send;

impl Later {
    pub(crate) fn new(work: impl FnOnce(&Service) -> Result<()> + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    /// Does it, on the calling thread.
    ///
    /// # Errors
    /// Those of the operation, which nobody is waiting for any more.
    pub fn run(self, service: &Service) -> Result<()> {
        (self.0)(service)
    }
}

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Later")
    }
}

/// The operation of a method and a path, if there is one.
pub fn operation(method: &Method, path: &str) -> Option<&'static Operation> {
    routes::find(method, path).ok().map(|(operation, _)| operation)
}

/// Does what a request asks for.
pub fn handle(service: &Service, request: &Request<'_>) -> Response {
    let started = std::time::Instant::now();
    let collection: Option<String>;
    let mut explained = Vec::new();
    let (operation, result) = match routes::find(&request.method, request.path) {
        Ok((operation, params)) => {
            collection = params.iter().find(|(name, _)| *name == "collection_name").map(|(_, name)| name.clone());
            let call = Call::new(service, request, params);
            let answered = call.and_then(|call| {
                let answered = (operation.run)(&call);
                explained = call.explanations.as_ref().map(Explanations::take).unwrap_or_default();
                answered
            });
            (Some(operation), answered)
        }
        Err(status) => return plain(status, ""),
    };
    let reply = result.unwrap_or_else(|error| Reply::error(&error));
    let mut response = reply.into_response(started, &explained);
    response.operation = operation;
    response.collection = collection;
    response
}

/// An answer without an envelope.
fn plain(status: u16, text: &str) -> Response {
    Response {
        status,
        content_type: "text/plain; charset=utf-8",
        retry_after_secs: None,
        body: text.as_bytes().to_vec(),
        file: None,
        later: None,
        collection: None,
        operation: None,
    }
}

/// The answer to a request that a door turned away by itself.
pub fn refusal(error: &ServiceError) -> Response {
    match error.fault {
        Fault::Unauthenticated | Fault::Forbidden => plain(error.fault.status().as_u16(), &error.message),
        _ => Reply::error(error).into_response(std::time::Instant::now(), &[]),
    }
}
