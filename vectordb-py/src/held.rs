//! What only the process that made it may use, and end.

use pyo3::prelude::*;

use crate::error::exception;

/// The process that made something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner(u32);

impl Owner {
    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    fn is_here(self) -> bool {
        std::process::id() == self.0
    }

    /// # Errors
    /// `Forked` in a child of the process: threads and locks of the engine are not there, and what waits for them waits forever.
    pub(crate) fn check(self, py: Python<'_>) -> PyResult<()> {
        if self.is_here() {
            return Ok(());
        }
        let message = format!("process {} opened the database and then forked; open it again in this process, read_only=True", self.0);
        Err(exception(py, "Forked", message))
    }
}

/// A part of the engine that ends with this, unless a child of its process lets go of it.
#[derive(Debug)]
pub(crate) struct Held<T: Send> {
    value: Option<T>,
    owner: Owner,
}

impl<T: Send> Held<T> {
    pub(crate) fn new(value: T, owner: Owner) -> Self {
        Self { value: Some(value), owner }
    }

    /// # Errors
    /// `Forked` in a child of the process that made it, and `Closed` after [`Held::end`].
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<&T> {
        self.owner.check(py)?;
        self.value.as_ref().ok_or_else(|| exception(py, "Closed", "the database is closed"))
    }

    /// Takes the value out, in the process that may end it.
    pub(crate) fn end(&mut self, py: Python<'_>) -> PyResult<Option<T>> {
        self.owner.check(py)?;
        Ok(self.value.take())
    }
}

impl<T: Send> Drop for Held<T> {
    fn drop(&mut self) {
        let mut value = self.value.take();
        if !self.owner.is_here() {
            std::mem::forget(value);
            return;
        }
        // The last handle of a database waits for its threads; those of Python go on meanwhile.
        let _ = Python::try_attach(|py| py.detach(|| value.take()));
    }
}
