//! The REST dialect in process: what `vectordb.qdrant` hands the requests of the stock client to.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use vectordb_core::Options;
use vectordb_service::Settings;
use vectordb_service::rest::{self, Request, Response};

use crate::error::{exception, refused};
use crate::held::{Held, Owner};

/// A server without a socket.
#[pyclass(frozen, module = "vectordb._native")]
#[derive(Debug)]
pub(crate) struct Service {
    open: Mutex<Held<Arc<vectordb_service::Service>>>,
    owner: Owner,
}

#[pymethods]
impl Service {
    /// Opens a directory, or keeps everything in memory without one.
    #[new]
    fn new(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Self> {
        let owner = Owner::this();
        let mut settings = Settings::default();
        // Ids of frameworks are any short texts, and nobody else reads this directory over the wire.
        settings.allow_string_ids = true;
        // The caller is this process.
        settings.recover_any_file = true;
        let opened = py.detach(|| match path {
            Some(path) => vectordb_service::Service::open(&path, Options::default(), settings),
            None => vectordb_service::Service::in_memory(settings),
        });
        let service = opened.map_err(|error| refused(py, &error))?;
        Ok(Self { open: Mutex::new(Held::new(Arc::new(service), owner)), owner })
    }

    /// Answers a request: the status, the type of the body, and the body.
    fn handle<'py>(&self, py: Python<'py>, method: &str, target: &str, body: &[u8]) -> PyResult<(u16, &'static str, Bound<'py, PyBytes>)> {
        self.owner.check(py)?;
        let service = Arc::clone(self.open.lock().get(py)?);
        let (status, content_type, body) = py.detach(move || answer(&service, &Request::new(method, target, body)));
        Ok((status, content_type, PyBytes::new(py, &body)))
    }

    /// Gives the directory back; what is under way is finished first.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.owner.check(py)?;
        let ended = self.open.lock().end(py)?;
        py.detach(move || match ended.and_then(Arc::into_inner) {
            Some(service) => service.close(),
            // A request that is under way on another thread ends it.
            None => Ok(()),
        })
        .map_err(|error| exception(py, "InternalError", error.to_string()))
    }
}

/// Does what a request asks for, work that may follow the answer included: nobody waits behind it here.
fn answer(service: &vectordb_service::Service, request: &Request<'_>) -> (u16, &'static str, Vec<u8>) {
    let Response { status, content_type, mut body, file, later, .. } = rest::handle(service, request);
    if let Some(mut file) = file {
        body.clear();
        if let Err(error) = file.file.read_to_end(&mut body) {
            return (500, "text/plain; charset=utf-8", error.to_string().into_bytes());
        }
    }
    if let Some(later) = later {
        // Its failure shows in what it was to do, as over the network.
        let _ = later.run(service);
    }
    (status, content_type, body)
}
