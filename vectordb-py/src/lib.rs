//! The native part of the Python package `vectordb`: it converts what comes from Python and what goes there, and lets go of the
//! interpreter's lock for everything in between. All that a user sees is Python, in `python/vectordb`.
//!
//! Files: `convert` (ids, vectors, payloads, filters), `error` (exceptions), `database`, `collection`, `hits` (answers),
//! `service` (the REST dialect in process).

mod collection;
mod convert;
mod database;
mod error;
mod hits;
mod service;

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

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
