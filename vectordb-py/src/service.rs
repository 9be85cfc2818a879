//! The REST dialect in process: what `vectordb.qdrant` hands the requests of the stock client to.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use vectordb_core::Options;
use vectordb_service::rest::{self, Request};
use vectordb_service::{Fault, ServiceError, Settings};

use crate::error::{Owner, exception};

/// A server without a socket.
#[pyclass(frozen, module = "vectordb._native")]
pub(crate) struct Service {
    service: parking_lot::Mutex<Option<std::sync::Arc<vectordb_service::Service>>>,
    owner: Owner,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

#[pymethods]
impl Service {
    /// Opens a directory, or keeps everything in memory without one.
    #[new]
    fn new(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Self> {
        let opened = py.detach(|| match path {
            Some(path) => vectordb_service::Service::open(&path, Options::default(), Settings::default()),
            None => vectordb_service::Service::in_memory(Settings::default()),
        });
        let service = opened.map_err(|error| refused(py, &error))?;
        Ok(Self { service: parking_lot::Mutex::new(Some(std::sync::Arc::new(service))), owner: Owner::this() })
    }

    /// Answers a request: the status, the type of the body, and the body.
    fn handle<'py>(&self, py: Python<'py>, method: &str, target: &str, body: &[u8]) -> PyResult<(u16, &'static str, Bound<'py, PyBytes>)> {
        self.owner.check(py)?;
        let service = self.service.lock().clone().ok_or_else(|| exception(py, "Closed", "the database is closed"))?;
        let answer = py.detach(|| rest::handle(&service, &Request::new(method, target, body)));
        Ok((answer.status, answer.content_type, PyBytes::new(py, &answer.body)))
    }

    /// Gives the directory back; what is under way is finished first.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.owner.check(py)?;
        let service = self.service.lock().take();
        py.detach(|| drop(service));
        Ok(())
    }
}

fn refused(py: Python<'_>, error: &ServiceError) -> PyErr {
    let class = match error.fault {
        Fault::Unavailable => "Locked",
        Fault::OutOfSpace => "DiskFull",
        _ => "Error",
    };
    exception(py, class, error.to_string())
}
