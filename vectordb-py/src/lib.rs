//! The native part of the Python package `vectordb`: it converts what comes from Python and what goes there, and lets go of the
//! interpreter's lock for everything in between. All that a user sees is Python, in `python/vectordb`.
//!
//! Files: `json`, `convert` (ids, vectors, filters, points), `batch` (points to be written), `error` (exceptions), `held` (what a child
//! process must not touch), `turns` (of other threads), `database`, `collection`, `hits` (answers), `snapshot` (collections as files), `service` (the REST dialect
//! in process).
#![forbid(unsafe_code)]

mod batch;
mod collection;
mod convert;
mod database;
mod error;
mod held;
mod hits;
mod json;
mod service;
mod snapshot;
mod turns;

use pyo3::prelude::*;

/// The module `vectordb._native`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::collection::Collection;
    #[pymodule_export]
    use super::database::Database;
    #[pymodule_export]
    use super::hits::{Hit, Hits};
    #[pymodule_export]
    use super::service::Service;
    use super::*;

    /// A filter in its JSON form.
    #[pyfunction]
    fn filter_json<'py>(py: Python<'py>, filter: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let read = super::convert::filter(Some(filter))?.unwrap_or_default();
        super::json::object(py, &read.to_json())
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
