//! Ids, vectors and filters from Python, and points to Python.

use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use uuid::Uuid;
use vectordb_core::{Filter, MultiVector, PayloadSelector, PointId, Record, SparseVector, Vector, VectorSelector, Vectors};

use crate::error::{exception, in_row, raised};
use crate::json::{dict, json, object};
use crate::turns::Turns;

/// An id: an `int` from 0 on, a `uuid.UUID`, or a `str`; what numpy has for these as well.
pub(crate) fn id(value: &Bound<'_, PyAny>) -> PyResult<PointId> {
    let py = value.py();
    if let Ok(text) = value.cast::<PyString>() {
        return PointId::parse(text.to_str()?).map_err(|error| exception(py, "InvalidId", error.to_string()));
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
    if !values.is_instance_of::<PyList>()
        && let Ok(array) = values.extract::<PyReadonlyArray1<'_, u64>>()
    {
        return Ok(array.as_array().iter().map(|&number| PointId::Num(number)).collect());
    }
    if values.is_instance_of::<PyString>() || values.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err("ids are a sequence of ids, not one of them"));
    }
    let mut read = Vec::with_capacity(values.len().unwrap_or(0));
    let mut turns = Turns::new();
    for (row, value) in values.try_iter()?.enumerate() {
        turns.row(values.py());
        read.push(id(&value?).map_err(|error| in_row(values.py(), "InvalidId", row, None, error.value(values.py())))?);
    }
    Ok(read)
}

/// An id as Python has it: UUIDs and other texts as `str`.
pub(crate) fn id_object<'py>(py: Python<'py>, id: &PointId) -> PyResult<Bound<'py, PyAny>> {
    match id {
        PointId::Num(number) => Ok(number.into_pyobject(py)?.into_any()),
        PointId::Uuid(uuid) => Ok(PyString::new(py, &uuid.hyphenated().to_string()).into_any()),
        PointId::Str(text) => Ok(PyString::new(py, text).into_any()),
    }
}

/// A filter: nothing, its text form, a dict of the JSON form, or anything with `to_dict()` or `model_dump()`.
pub(crate) fn filter(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Filter>> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    let py = value.py();
    let read = if let Ok(text) = value.cast::<PyString>() {
        Filter::parse(text.to_str()?)
    } else if value.is_instance_of::<PyDict>() || value.hasattr("to_dict")? || value.hasattr("model_dump")? {
        Filter::from_json(&json(value, "InvalidFilter")?)
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
    if let Ok(numbers) = value.cast::<PyList>() {
        // Lists of floats are the usual case, and need no array.
        if numbers.get_item(0).is_ok_and(|first| first.is_instance_of::<pyo3::types::PyFloat>())
            && let Ok(values) = numbers.extract::<Vec<f32>>()
        {
            return Ok(Vector::from(values));
        }
    } else {
        if let Ok(array) = value.extract::<PyReadonlyArray1<'_, f32>>() {
            return Ok(Vector::from(array.as_array().to_vec()));
        }
        if let Some((indices, values)) = sparse_parts(value)? {
            let indices: Vec<u32> = indices.extract().map_err(|error| invalid_vector(py, "indices", &error))?;
            let values: Vec<f32> = values.extract().map_err(|error| invalid_vector(py, "values", &error))?;
            return SparseVector::new(indices, values).map(Vector::from).map_err(|error| raised(py, &error, &[]));
        }
    }
    let array = float_array(value)?;
    match array.ndim() {
        1 => Ok(Vector::from(array.extract::<PyReadonlyArray1<'_, f32>>()?.as_array().to_vec())),
        2 => {
            let values = array.extract::<PyReadonlyArray2<'_, f32>>()?.as_array().iter().copied().collect();
            MultiVector::flat(array.shape()[1], values).map(Vector::from).map_err(|error| raised(py, &error, &[]))
        }
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
    let not_numbers = |what: &dyn std::fmt::Display| exception(py, "InvalidVector", format!("a vector is numbers, not {what}"));
    if value.is_none() || value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() {
        return Err(not_numbers(&value.get_type().name()?));
    }
    let numpy = py.import("numpy")?;
    let made = numpy.call_method1("asarray", (value,));
    let array = made.map_err(|error| exception(py, "InvalidVector", format!("not a vector of numbers: {}", error.value(py))))?;
    // An empty list becomes an array of 64-bit floats. Texts and objects would be converted, and complex numbers cut in half.
    let dtype = array.getattr("dtype")?;
    if !"fiu".contains(&dtype.getattr("kind")?.extract::<String>()?) {
        return Err(not_numbers(&format!("of dtype {dtype}")));
    }
    let array = numpy.call_method1("asarray", (array, "float32"))?;
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
        if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            return value.try_iter()?.collect::<PyResult<_>>().map(Self::Each);
        }
        if let Ok(array) = value.extract::<PyReadonlyArray2<'py, f32>>() {
            return Ok(Self::Rows(array));
        }
        if let Some(ndim) = value.getattr_opt("ndim")?.and_then(|ndim| ndim.extract::<usize>().ok()) {
            if ndim == 2 {
                return Ok(Self::Rows(float_array(value)?.extract::<PyReadonlyArray2<'py, f32>>()?));
            }
            let is_objects = value.getattr("dtype")?.getattr_opt("kind")?.is_some_and(|kind| kind.eq("O").unwrap_or(false));
            if ndim < 2 && !is_objects {
                let reason = format!("vectors are an array with a row for each point; this has {ndim} dimensions");
                return Err(exception(value.py(), "InvalidVector", reason));
            }
        }
        if value.is_none() || value.is_instance_of::<PyString>() || value.is_instance_of::<PyDict>() {
            let reason = format!("vectors are an array or a sequence of vectors, not {}", value.get_type().name()?);
            return Err(exception(value.py(), "InvalidVector", reason));
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
            // A row that lies in one piece is copied as such.
            Self::Rows(array) => Ok(Some(Vector::from(array.as_array().row(row).to_vec()))),
            Self::Each(values) if values[row].is_none() => Ok(None),
            Self::Each(values) => vector(&values[row]).map(Some),
        }
    }
}

/// Which payload comes back: all, none, or some paths.
pub(crate) fn payload_selector(value: &Bound<'_, PyAny>) -> PyResult<PayloadSelector> {
    if let Ok(all) = value.extract::<bool>() {
        return Ok(PayloadSelector::from(all));
    }
    names(value, "with_payload").map(PayloadSelector::Include)
}

/// Which vectors come back: all, none, or some names.
pub(crate) fn vector_selector(value: &Bound<'_, PyAny>) -> PyResult<VectorSelector> {
    if let Ok(all) = value.extract::<bool>() {
        return Ok(VectorSelector::from(all));
    }
    names(value, "with_vectors").map(VectorSelector::Names)
}

fn names(value: &Bound<'_, PyAny>, of: &str) -> PyResult<Vec<String>> {
    value.extract().map_err(|_| PyTypeError::new_err(format!("{of} is a bool or a list of str")))
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

/// The parts of a stored point: id, payload, vectors, and the value it was ordered by.
pub(crate) type Parts<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyDict>>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

/// A stored point in parts.
pub(crate) fn parts<'py>(py: Python<'py>, record: &Record) -> PyResult<Parts<'py>> {
    let payload = record.payload.as_ref().map(|payload| dict(py, payload)).transpose()?;
    let vectors = record.vectors.as_ref().map(|vectors| vectors_object(py, vectors)).transpose()?;
    let order_value = record.order_value.as_ref().map(|value| object(py, value)).transpose()?;
    Ok((id_object(py, &record.id)?, payload, vectors, order_value))
}
