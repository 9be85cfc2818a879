//! A directory of collections.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use vectordb_core::{CollectionConfig, FsRef, MemFs, MemoryLimit, Options};

use crate::collection::Collection;
use crate::error::{exception, raised, released};
use crate::held::{Held, Owner};
use crate::json::{described, json};
use crate::snapshot::{export, import};

/// An open database.
#[pyclass(frozen, module = "vectordb._native")]
#[derive(Debug)]
pub(crate) struct Database {
    /// Nothing once it is closed.
    open: Mutex<Held<vectordb_core::Database>>,
    owner: Owner,
    /// Where its files are, if that is not the disk.
    memory: Option<FsRef>,
}

impl Database {
    fn get(&self, py: Python<'_>) -> PyResult<vectordb_core::Database> {
        // Before the lock: a child may have inherited it from a thread that is not there to let go of it.
        self.owner.check(py)?;
        self.open.lock().get(py).cloned()
    }
}

/// A collection's configuration of its JSON form.
fn configuration(config: &Bound<'_, PyAny>) -> PyResult<CollectionConfig> {
    let invalid = |error: serde_json::Error| exception(config.py(), "InvalidConfig", format!("invalid configuration: {error}"));
    serde_json::from_value(json(config, "InvalidConfig")?).map_err(invalid)
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
        let memory: Option<FsRef> = if path.is_some() { None } else { Some(Arc::new(MemFs::default())) };
        if let Some(fs) = &memory {
            options = options.fs(Arc::clone(fs));
        }
        let path = path.unwrap_or_else(|| PathBuf::from("memory"));
        let open = released(py, owner, move || vectordb_core::Database::open_with(path, options))?;
        Ok(Self { open: Mutex::new(Held::new(open, owner)), owner, memory })
    }

    /// Gives the directory back; what is under way is finished first.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.owner.check(py)?;
        let open = self.open.lock().end(py)?;
        open.map_or(Ok(()), |open| released(py, self.owner, move || open.close()))
    }

    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.owner.check(py)?;
        Ok(self.open.lock().get(py).is_err())
    }

    fn collections(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.get(py)?.collections())
    }

    fn create_collection(&self, py: Python<'_>, name: String, config: &Bound<'_, PyDict>) -> PyResult<Collection> {
        let (open, config) = (self.get(py)?, configuration(config)?);
        let made = released(py, self.owner, move || open.create_collection(&name, config))?;
        Ok(Collection::new(made, self.owner))
    }

    /// The collection of a name, made if there is none; it must have the same vectors otherwise.
    fn open_or_create(&self, py: Python<'_>, name: String, config: &Bound<'_, PyDict>) -> PyResult<Collection> {
        let (open, config) = (self.get(py)?, configuration(config)?);
        let made = released(py, self.owner, move || open.collection(&name).config(config).open_or_create())?;
        Ok(Collection::new(made, self.owner))
    }

    fn collection(&self, py: Python<'_>, name: &str) -> PyResult<Collection> {
        let found = self.get(py)?.get(name).map_err(|error| raised(py, &error, &[]))?;
        Ok(Collection::new(found, self.owner))
    }

    fn drop_collection(&self, py: Python<'_>, name: String) -> PyResult<bool> {
        let open = self.get(py)?;
        released(py, self.owner, move || open.drop_collection(&name))
    }

    /// Writes a collection to a file that the server recovers from.
    fn export(&self, py: Python<'_>, name: String, file: PathBuf) -> PyResult<()> {
        let (open, memory) = (self.get(py)?, self.memory.clone());
        py.detach(move || export(&open, memory.as_ref(), &name, &file)).map_err(|error| error.raised(py))
    }

    /// Makes a collection of a snapshot: a file, or a directory that the engine wrote.
    #[pyo3(name = "import_")]
    fn import(&self, py: Python<'_>, name: String, from: PathBuf) -> PyResult<Collection> {
        let (open, memory) = (self.get(py)?, self.memory.clone());
        let made = py.detach(move || import(&open, memory.as_ref(), &name, &from)).map_err(|error| error.raised(py))?;
        Ok(Collection::new(made, self.owner))
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.get(py)?;
        released(py, self.owner, move || open.refresh())
    }

    fn memory<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let open = self.get(py)?;
        described(py, &released(py, self.owner, move || open.memory())?)
    }
}
