//! A directory of collections.

use std::path::PathBuf;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use vectordb_core::{CollectionConfig, MemoryLimit, Options};

use crate::collection::Collection;
use crate::convert::{json, object};
use crate::error::{Owner, exception, raised, released};

/// An open database.
#[pyclass(frozen, module = "vectordb._native")]
#[derive(Debug)]
pub(crate) struct Database {
    /// Nothing once it is closed.
    open: Mutex<Option<vectordb_core::Database>>,
    owner: Owner,
}

impl Database {
    fn get(&self, py: Python<'_>) -> PyResult<vectordb_core::Database> {
        self.owner.check(py)?;
        self.open.lock().clone().ok_or_else(|| exception(py, "Closed", "the database is closed"))
    }
}

/// A collection's configuration of its JSON form.
fn configuration(config: &Bound<'_, PyAny>) -> PyResult<CollectionConfig> {
    let invalid = |error: String| exception(config.py(), "InvalidConfig", error);
    serde_json::from_value(json(config)?).map_err(|error| invalid(format!("invalid configuration: {error}")))
}

#[pymethods]
impl Database {
    /// Opens a directory, or a database in memory without one.
    #[new]
    #[pyo3(signature = (path, *, read_only, create, threads, memory_limit))]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        read_only: bool,
        create: bool,
        threads: usize,
        memory_limit: Option<u64>,
    ) -> PyResult<Self> {
        let owner = Owner::this();
        let mut options = Options::default().read_only(read_only).create(create).threads(threads);
        if let Some(bytes) = memory_limit {
            options = options.memory_limit(MemoryLimit::Bytes(bytes));
        }
        let open = released(py, owner, move || match path {
            Some(path) => vectordb_core::Database::open_with(path, options),
            None => vectordb_core::Database::in_memory(),
        })?;
        Ok(Self { open: Mutex::new(Some(open)), owner })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.owner.check(py)?;
        let open = self.open.lock().take();
        open.map_or(Ok(()), |open| released(py, self.owner, move || open.close()))
    }

    #[getter]
    fn closed(&self) -> bool {
        self.open.lock().is_none()
    }

    fn collections(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.get(py)?.collections())
    }

    fn create_collection(&self, py: Python<'_>, name: String, config: &Bound<'_, PyDict>) -> PyResult<Collection> {
        let (open, config) = (self.get(py)?, configuration(config)?);
        released(py, self.owner, move || open.create_collection(&name, config)).map(|made| Collection::new(made, self.owner))
    }

    /// The collection of a name, made if there is none; it must have the same vectors otherwise.
    fn open_or_create(&self, py: Python<'_>, name: String, config: &Bound<'_, PyDict>) -> PyResult<Collection> {
        let (open, config) = (self.get(py)?, configuration(config)?);
        released(py, self.owner, move || open.collection(&name).config(config).open_or_create())
            .map(|made| Collection::new(made, self.owner))
    }

    fn collection(&self, py: Python<'_>, name: &str) -> PyResult<Collection> {
        let found = self.get(py)?.get(name).map_err(|error| raised(py, &error, &[]))?;
        Ok(Collection::new(found, self.owner))
    }

    fn drop_collection(&self, py: Python<'_>, name: String) -> PyResult<bool> {
        let open = self.get(py)?;
        released(py, self.owner, move || open.drop_collection(&name))
    }

    fn restore(&self, py: Python<'_>, name: String, snapshot: PathBuf) -> PyResult<Collection> {
        let open = self.get(py)?;
        released(py, self.owner, move || open.restore(&name, snapshot)).map(|made| Collection::new(made, self.owner))
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.get(py)?;
        released(py, self.owner, move || open.refresh())
    }

    fn memory<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let open = self.get(py)?;
        object(py, &released(py, self.owner, move || open.memory())?)
    }
}
