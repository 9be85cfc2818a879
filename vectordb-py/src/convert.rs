//! Ids, vectors, payloads and filters from Python and to Python.

use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyAnyMethods, PyBool, PyDict, PyInt, PyList, PyString};
use pythonize::{depythonize, pythonize};
use serde_json::Value;
use uuid::Uuid;
use vectordb_core::{Filter, MultiVector, PayloadSelector, PointId, SparseVector, Vector, VectorSelector, Vectors};

use crate::error::{exception, raised};

/// An id: an `int` from 0 on, a `uuid.UUID`, or a `str`; what numpy has for these as well.
pub(crate) fn id(value: &Bound<'_, PyAny>) -> PyResult<PointId> {
    let py = value.py();
    if let Ok(text) = value.cast::<PyString>() {
        return PointId::parse(text.to_str()?).map_err(|error| raised(py, &error, &[]));
    }
    if value.is_instance_of::<PyBool>() {
        return Err(exception(py, "InvalidId", "an id is an int, a UUID or a str, not a bool"));
    }
    if let Ok(number) = value.extract::<u64>() {
        return Ok(PointId::Num(number));
    }
    if let Ok(uuid) = value.extract::<Uuid>() {
        return Ok(PointId::Uuid(uuid));
    }
    let reason = match value.cast::<PyInt>() {
        Ok(number) => format!("the id {number} is not between 0 and 2**64 - 1"),
        Err(_) => format!("an id is an int, a UUID or a str, not {}", value.get_type().name()?),
    };
    Err(exception(py, "InvalidId", reason))
}

/// Ids of any iterable, or of an integer array.
pub(crate) fn ids(values: &Bound<'_, PyAny>) -> PyResult<Vec<PointId>> {
    if let Ok(array) = values.extract::<PyReadonlyArray1<'_, u64>>() {
        return Ok(array.as_array().iter().map(|&number| PointId::Num(number)).collect());
    }
    if values.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("ids are a sequence; a str is one id"));
    }
    values.try_iter()?.map(|value| id(&value?)).collect()
}

/// An id as Python has it: UUIDs and other texts as `str`.
pub(crate) fn id_object<'py>(py: Python<'py>, id: &PointId) -> PyResult<Bound<'py, PyAny>> {
    match id {
        PointId::Num(number) => Ok(number.into_pyobject(py)?.into_any()),
        PointId::Uuid(uuid) => Ok(PyString::new(py, &uuid.hyphenated().to_string()).into_any()),
        PointId::Str(text) => Ok(PyString::new(py, text).into_any()),
    }
}

/// JSON of dicts, lists and plain values.
pub(crate) fn json(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    depythonize(value).map_err(|error| exception(value.py(), "InvalidPayload", error.to_string()))
}

/// What JSON is in Python.
pub(crate) fn object<'py>(py: Python<'py>, value: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    pythonize(py, value).map_err(|error| exception(py, "InternalError", error.to_string()))
}

/// A filter: nothing, its text form, a dict of the JSON form, or anything with `to_dict()` or `model_dump()`.
pub(crate) fn filter(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Filter>> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    let py = value.py();
    let read = if let Ok(text) = value.cast::<PyString>() {
        Filter::parse(text.to_str()?)
    } else if value.is_instance_of::<PyDict>() {
        Filter::from_json(&json(value)?)
    } else if value.hasattr("to_dict")? {
        Filter::from_json(&json(&value.call_method0("to_dict")?)?)
    } else if value.hasattr("model_dump")? {
        let options = PyDict::new(py);
        options.set_item("mode", "json")?;
        options.set_item("exclude_none", true)?;
        Filter::from_json(&json(&value.call_method("model_dump", (), Some(&options))?)?)
    } else {
        let reason = format!("a filter is an expression of F, a str, a dict or a model of qdrant_client, not {}", value.get_type().name()?);
        return Err(exception(py, "InvalidFilter", reason));
    };
    read.map(Some).map_err(|error| raised(py, &error, &[]))
}

/// A vector as a query or as one of a point: one-dimensional numbers are dense, two-dimensional ones several vectors; a dict with
/// `indices` and `values`, or an object with these, is sparse.
pub(crate) fn vector(value: &Bound<'_, PyAny>) -> PyResult<Vector> {
    let py = value.py();
    if let Ok(array) = value.extract::<PyReadonlyArray1<'_, f32>>() {
        return Ok(Vector::from(array.as_array().to_vec()));
    }
    if let Ok(array) = value.extract::<PyReadonlyArray2<'_, f32>>() {
        let values = array.as_array().iter().copied().collect();
        return MultiVector::flat(array.shape()[1], values).map(Vector::from).map_err(|error| raised(py, &error, &[]));
    }
    if let Some((indices, values)) = sparse_parts(value)? {
        let indices: Vec<u32> = indices.extract().map_err(|error| invalid_vector(py, "indices", &error))?;
        let values: Vec<f32> = values.extract().map_err(|error| invalid_vector(py, "values", &error))?;
        return SparseVector::new(indices, values).map(Vector::from).map_err(|error| raised(py, &error, &[]));
    }
    let array = float_array(value)?;
    match array.ndim() {
        1 | 2 => vector(array.as_any()),
        other => Err(exception(py, "InvalidVector", format!("a vector has one dimension, or two if it is several; this has {other}"))),
    }
}

fn invalid_vector(py: Python<'_>, what: &str, error: &PyErr) -> PyErr {
    exception(py, "InvalidVector", format!("the {what} of a sparse vector: {error}"))
}

fn sparse_parts<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    if let Ok(dict) = value.cast::<PyDict>() {
        return match (dict.get_item("indices")?, dict.get_item("values")?) {
            (Some(indices), Some(values)) => Ok(Some((listed(indices)?, listed(values)?))),
            _ => Err(exception(value.py(), "InvalidVector", "a sparse vector is a dict with `indices` and `values`")),
        };
    }
    // A list has no attribute `indices`, and neither has an array.
    match (value.getattr_opt("indices")?, value.getattr_opt("values")?) {
        (Some(indices), Some(values)) if !values.is_callable() => Ok(Some((listed(indices)?, listed(values)?))),
        _ => Ok(None),
    }
}

fn listed(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if value.hasattr("tolist")? { value.call_method0("tolist") } else { Ok(value) }
}

/// Any numbers as an array of 32-bit floats, without a copy where they are one.
fn float_array<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let py = value.py();
    if value.is_instance_of::<PyString>() || value.is_none() {
        let reason = format!("a vector is numbers, not {}", value.get_type().name()?);
        return Err(exception(py, "InvalidVector", reason));
    }
    let made = py.import("numpy")?.call_method1("asarray", (value, "float32"));
    let array = made.map_err(|error| exception(py, "InvalidVector", format!("not a vector of numbers: {error}")))?;
    array.cast_into::<PyArrayDyn<f32>>().map_err(|error| exception(py, "InvalidVector", error.to_string()))
}

/// One vector of each point of a batch.
pub(crate) enum Column<'py> {
    /// A row of an array each.
    Rows(PyReadonlyArray2<'py, f32>),
    /// One by one; `None` where a point has none.
    Each(Vec<Bound<'py, PyAny>>),
}

impl<'py> Column<'py> {
    /// Reads a column: an array with a row for each point, or a sequence with a vector for each.
    pub(crate) fn new(value: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = value.extract::<PyReadonlyArray2<'py, f32>>() {
            return Ok(Self::Rows(array));
        }
        if value.hasattr("ndim")? && value.getattr("ndim")?.extract::<usize>()? == 2 {
            let array = float_array(value)?;
            return Ok(Self::Rows(array.into_any().extract::<PyReadonlyArray2<'py, f32>>()?));
        }
        value.try_iter()?.collect::<PyResult<_>>().map(Self::Each)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Rows(array) => array.shape()[0],
            Self::Each(values) => values.len(),
        }
    }

    /// The vector of a point.
    pub(crate) fn get(&self, row: usize) -> PyResult<Option<Vector>> {
        match self {
            Self::Rows(array) => Ok(Some(match array.as_slice() {
                Ok(values) => {
                    let dim = array.shape()[1];
                    Vector::from(&values[row * dim..(row + 1) * dim])
                }
                Err(_) => Vector::from(array.as_array().row(row).to_vec()),
            })),
            Self::Each(values) if values[row].is_none() => Ok(None),
            Self::Each(values) => vector(&values[row]).map(Some),
        }
    }
}

/// Which payload comes back: all, none, or some paths.
pub(crate) fn payload_selector(value: Option<&Bound<'_, PyAny>>) -> PyResult<PayloadSelector> {
    let Some(value) = value else { return Ok(PayloadSelector::All) };
    if let Ok(all) = value.extract::<bool>() {
        return Ok(PayloadSelector::from(all));
    }
    value.extract::<Vec<String>>().map(PayloadSelector::Include)
}

/// Which vectors come back: all, none, or some names.
pub(crate) fn vector_selector(value: Option<&Bound<'_, PyAny>>) -> PyResult<VectorSelector> {
    let Some(value) = value else { return Ok(VectorSelector::None) };
    if let Ok(all) = value.extract::<bool>() {
        return Ok(VectorSelector::from(all));
    }
    value.extract::<Vec<String>>().map(VectorSelector::Names)
}

/// Vectors as Python has them: the unnamed one alone by itself, or a dict by names.
pub(crate) fn vectors_object<'py>(py: Python<'py>, vectors: &Vectors) -> PyResult<Bound<'py, PyAny>> {
    if let (1, Some(only)) = (vectors.len(), vectors.get("")) {
        return vector_object(py, only);
    }
    let named = PyDict::new(py);
    for (name, vector) in vectors.iter() {
        named.set_item(name, vector_object(py, vector)?)?;
    }
    Ok(named.into_any())
}

fn vector_object<'py>(py: Python<'py>, vector: &Vector) -> PyResult<Bound<'py, PyAny>> {
    if let Some(values) = vector.as_dense() {
        return Ok(PyArray1::from_slice(py, values).into_any());
    }
    if let Some(sparse) = vector.as_sparse() {
        let parts = PyDict::new(py);
        parts.set_item("indices", PyArray1::from_slice(py, sparse.indices()))?;
        parts.set_item("values", PyArray1::from_slice(py, sparse.values()))?;
        return Ok(parts.into_any());
    }
    let Some(several) = vector.as_multi() else { return object(py, &vector.to_json()) };
    let array = PyArray1::from_slice(py, several.values());
    Ok(array.reshape([several.values().len() / several.dim().max(1), several.dim()])?.into_any())
}

/// Values of a list.
pub(crate) fn list<'py>(py: Python<'py>, values: impl IntoIterator<Item = PyResult<Bound<'py, PyAny>>>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, values.into_iter().collect::<PyResult<Vec<_>>>()?)
}
