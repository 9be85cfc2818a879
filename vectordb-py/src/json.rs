//! JSON values from Python and to Python.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::error::exception;

/// Deepest nesting that is read; the engine takes less. It also ends what contains itself.
const MAX_DEPTH: usize = 128;

/// What cannot be JSON, and where in the value it is.
struct NotJson {
    path: String,
    reason: String,
}

impl NotJson {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    fn below(mut self, step: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{dot}{}", self.path);
        self
    }

    fn raised(&self, py: Python<'_>, class: &str) -> PyErr {
        let place = if self.path.is_empty() { String::new() } else { format!("`{}`: ", self.path) };
        exception(py, class, format!("{place}{}", self.reason))
    }
}

impl From<PyErr> for NotJson {
    fn from(error: PyErr) -> Self {
        Self::new(error.to_string())
    }
}

/// JSON of dicts, lists and plain values; also of moments, UUIDs, numpy's numbers and arrays, and models of pydantic.
///
/// # Errors
/// An exception of this class for NaN, infinities, integers beyond 64 bits, keys that are no `str`, and all other types.
pub(crate) fn json(value: &Bound<'_, PyAny>, class: &str) -> PyResult<Value> {
    read(value, 0).map_err(|error| error.raised(value.py(), class))
}

fn read(value: &Bound<'_, PyAny>, depth: usize) -> Result<Value, NotJson> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::String(text.to_str()?.to_owned()));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return integer(value);
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        let number = number.extract::<f64>()?;
        return Number::from_f64(number).map(Value::Number).ok_or_else(|| NotJson::new(format!("{number} is not a number in JSON")));
    }
    if depth == MAX_DEPTH {
        return Err(NotJson::new(format!("nested deeper than {MAX_DEPTH} levels")));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return object_of(dict, depth);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return array_of(value, depth);
    }
    other(value, depth)
}

fn integer(value: &Bound<'_, PyAny>) -> Result<Value, NotJson> {
    if let Ok(number) = value.extract::<i64>() {
        return Ok(Value::from(number));
    }
    value.extract::<u64>().map(Value::from).map_err(|_| NotJson::new("the integer has more than 64 bits"))
}

fn object_of(dict: &Bound<'_, PyDict>, depth: usize) -> Result<Value, NotJson> {
    let mut map = Map::new();
    for (key, value) in dict.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            return Err(NotJson::new(format!("a key is a str, not {}", key.get_type().name()?)));
        };
        let key = key.to_str()?;
        map.insert(key.to_owned(), read(&value, depth + 1).map_err(|error| error.below(key))?);
    }
    Ok(Value::Object(map))
}

fn array_of(values: &Bound<'_, PyAny>, depth: usize) -> Result<Value, NotJson> {
    let mut array = Vec::with_capacity(values.len()?);
    for (at, value) in values.try_iter()?.enumerate() {
        array.push(read(&value?, depth + 1).map_err(|error| error.below(&format!("[{at}]")))?);
    }
    Ok(Value::Array(array))
}

/// Types that are no JSON by themselves.
fn other(value: &Bound<'_, PyAny>, depth: usize) -> Result<Value, NotJson> {
    if let Ok(uuid) = value.extract::<Uuid>() {
        return Ok(Value::String(uuid.hyphenated().to_string()));
    }
    let py = value.py();
    let plain = if value.hasattr("isoformat")? {
        value.call_method0("isoformat")?
    } else if value.hasattr("tolist")? {
        // Numbers and arrays of numpy and of what is like it.
        value.call_method0("tolist")?
    } else if value.hasattr("model_dump")? {
        let options = PyDict::new(py);
        options.set_item("mode", "json")?;
        options.set_item("exclude_none", true)?;
        value.call_method("model_dump", (), Some(&options))?
    } else if value.hasattr("to_dict")? {
        value.call_method0("to_dict")?
    } else {
        return Err(NotJson::new(format!("a value of type {} cannot be JSON", value.get_type().name()?)));
    };
    read(&plain, depth + 1)
}

/// What JSON is in Python.
pub(crate) fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (None, Some(number)) => number.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(values) => list(py, values.iter().map(|value| object(py, value)))?.into_any(),
        Value::Object(map) => dict(py, map)?.into_any(),
    })
}

/// A JSON object as a dict.
pub(crate) fn dict<'py>(py: Python<'py>, map: &Map<String, Value>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in map {
        dict.set_item(key, object(py, value)?)?;
    }
    Ok(dict)
}

/// Anything that says of itself what it is, as plain dicts and lists.
pub(crate) fn described<'py>(py: Python<'py>, value: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(value).map_err(|error| exception(py, "InternalError", error.to_string()))?;
    object(py, &value)
}

/// Values as a list.
pub(crate) fn list<'py>(py: Python<'py>, values: impl IntoIterator<Item = PyResult<Bound<'py, PyAny>>>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, values.into_iter().collect::<PyResult<Vec<_>>>()?)
}
