//! Answers: points with scores, turned into Python objects when they are looked at.

use std::sync::Arc;

use numpy::PyArray1;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PySlice, PySliceMethods};
use vectordb_core::ScoredPoint;

use crate::convert::{id_object, vectors_object};
use crate::json::{dict, list, object};

/// Points found, best first.
#[pyclass(frozen, sequence, module = "vectordb")]
#[derive(Debug, Clone)]
pub(crate) struct Hits {
    found: Arc<[ScoredPoint]>,
}

impl Hits {
    pub(crate) fn new(found: Vec<ScoredPoint>) -> Self {
        Self { found: found.into() }
    }

    fn hit(&self, at: usize) -> Hit {
        Hit { found: Arc::clone(&self.found), at }
    }
}

#[pymethods]
impl Hits {
    fn __len__(&self) -> usize {
        self.found.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, at: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(slice) = at.cast::<PySlice>() {
            let bounds = slice.indices(self.found.len() as isize)?;
            let places = (0..bounds.slicelength).map(|step| (bounds.start + step as isize * bounds.step) as usize);
            let some: Vec<ScoredPoint> = places.filter_map(|at| self.found.get(at).cloned()).collect();
            return Ok(Self::new(some).into_pyobject(py)?.into_any());
        }
        let at: isize = at.extract().map_err(|_| PyTypeError::new_err("hits have integer places"))?;
        let place = if at < 0 { at + self.found.len() as isize } else { at };
        let place = usize::try_from(place).ok().filter(|&place| place < self.found.len());
        let place = place.ok_or_else(|| PyIndexError::new_err(format!("hit {at} of {}", self.found.len())))?;
        Ok(self.hit(place).into_pyobject(py)?.into_any())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let hits = (0..self.found.len()).map(|at| Ok(self.hit(at).into_pyobject(py)?.into_any()));
        list(py, hits)?.try_iter()
    }

    /// The ids, best first.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, self.found.iter().map(|hit| id_object(py, &hit.id)))
    }

    /// The scores as an array.
    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_iter(py, self.found.iter().map(|hit| hit.score))
    }

    /// The payloads; `None` where they were not asked for.
    #[getter]
    fn payloads<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, (0..self.found.len()).map(|at| Ok(self.hit(at).payload(py)?.into_pyobject(py)?.into_any())))
    }

    /// Plain dicts.
    fn to_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, (0..self.found.len()).map(|at| Ok(self.hit(at).to_dict(py)?.into_any())))
    }

    /// A `pandas.DataFrame` with a row for each hit and a column for each key of the payloads.
    fn to_pandas<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("vectordb._tables")?.call_method1("to_pandas", (slf,))
    }

    /// A `pyarrow.Table` of the same form.
    fn to_arrow<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("vectordb._tables")?.call_method1("to_arrow", (slf,))
    }

    /// A `polars.DataFrame` of the same form.
    fn to_polars<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("vectordb._tables")?.call_method1("to_polars", (slf,))
    }

    fn _repr_html_<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("vectordb._tables")?.call_method1("hits_html", (slf,))
    }

    fn __repr__(&self) -> String {
        let first: Vec<String> = self.found.iter().take(3).map(|hit| format!("{}: {:.4}", hit.id, hit.score)).collect();
        let more = if self.found.len() > 3 { ", …" } else { "" };
        format!("Hits({} of {{{}{more}}})", self.found.len(), first.join(", "))
    }
}

/// One of the points found.
#[pyclass(frozen, module = "vectordb")]
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    found: Arc<[ScoredPoint]>,
    at: usize,
}

impl Hit {
    fn point(&self) -> &ScoredPoint {
        &self.found[self.at]
    }
}

#[pymethods]
impl Hit {
    /// The id.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        id_object(py, &self.point().id)
    }

    /// The score: similarity for cosine and dot, distance for euclid and manhattan.
    #[getter]
    fn score(&self) -> f32 {
        self.point().score
    }

    /// The payload, if it was asked for.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.point().payload.as_ref().map(|payload| dict(py, payload)).transpose()
    }

    /// The vector, or a dict of vectors by name, if asked for.
    #[getter]
    fn vector<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.point().vectors.as_ref().map(|vectors| vectors_object(py, vectors)).transpose()
    }

    /// The value the query was ordered by, if it was.
    #[getter]
    fn order_value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.point().order_value.as_ref().map(|value| object(py, value)).transpose()
    }

    /// A plain dict.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("id", self.id(py)?)?;
        dict.set_item("score", self.score())?;
        dict.set_item("payload", self.payload(py)?)?;
        if let Some(vector) = self.vector(py)? {
            dict.set_item("vector", vector)?;
        }
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Hit(id={}, score={:.6})", self.point().id, self.score())
    }
}
