//! Points that are to be written, from columns of ids, vectors and payloads.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::Value;
use vectordb_core::{Payload, Point, PointId};

use crate::convert::Column;
use crate::error::{exception, in_row};
use crate::json::json;
use crate::turns::Turns;

/// Vectors by name, `""` for the unnamed one.
pub(crate) fn columns<'py>(vectors: &Bound<'py, PyDict>) -> PyResult<Vec<(String, Column<'py>)>> {
    vectors.iter().map(|(name, column)| Ok((name.extract()?, Column::new(&column)?))).collect()
}

/// A payload of a dict.
pub(crate) fn payload(value: &Bound<'_, PyAny>) -> PyResult<Payload> {
    // Anything else that turns into a JSON object would do so by accident.
    let is_dict = value.is_instance_of::<PyDict>() || value.hasattr("model_dump")?;
    match is_dict.then(|| json(value, "InvalidPayload")).transpose()? {
        Some(Value::Object(map)) => Ok(map),
        _ => Err(exception(value.py(), "InvalidPayload", format!("a payload is a dict, not {}", value.get_type().name()?))),
    }
}

/// The points of a batch, with the lock let go of now and then.
///
/// # Errors
/// `LengthMismatch`, and `InvalidVector` or `InvalidPayload` of the first row that is wrong.
pub(crate) fn points(
    py: Python<'_>,
    ids: &[PointId],
    columns: &[(String, Column<'_>)],
    payloads: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Point>> {
    let of_other_length = |count: usize, what: &str| exception(py, "LengthMismatch", format!("{count} {what} for {} ids", ids.len()));
    if let Some((name, column)) = columns.iter().find(|(_, column)| column.len() != ids.len()) {
        let what = if name.is_empty() { "vectors".to_owned() } else { format!("vectors `{name}`") };
        return Err(of_other_length(column.len(), &what));
    }
    let payloads = payloads.map(each_payload).transpose()?;
    if let Some(some) = payloads.as_ref().filter(|some| some.len() != ids.len()) {
        return Err(of_other_length(some.len(), "payloads"));
    }
    let mut points = Vec::with_capacity(ids.len());
    let mut turns = Turns::new();
    for (row, id) in ids.iter().enumerate() {
        turns.row(py);
        let mut point = Point::bare(id.clone());
        for (name, column) in columns {
            match column.get(row) {
                Ok(Some(vector)) => point.vectors.insert(name.clone(), vector),
                Ok(None) => {}
                Err(error) => return Err(in_row(py, "InvalidVector", row, Some(id), error.value(py))),
            }
        }
        if let Some(given) = payloads.as_ref().map(|some| &some[row]).filter(|given| !given.is_none()) {
            point.payload = payload(given).map_err(|error| in_row(py, "InvalidPayload", row, Some(id), error.value(py)))?;
        }
        points.push(point);
    }
    Ok(points)
}

fn each_payload<'py>(payloads: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if payloads.is_instance_of::<PyDict>() || payloads.is_instance_of::<PyString>() {
        return Err(exception(payloads.py(), "InvalidPayload", "payloads are a sequence with a dict for each id"));
    }
    payloads.try_iter()?.collect()
}
