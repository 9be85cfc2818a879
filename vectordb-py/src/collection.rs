//! The points of one name: writing and asking.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use numpy::PyUntypedArrayMethods;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;
use vectordb_core::{
    Budget, ConfigDiff, FacetRequest, FieldSchema, Filter, GroupsRequest, Payload, PayloadPath, Point, PointId, QueryRequest,
    ScrollRequest, SearchParams, SearchRequest, SearchTarget, Target, Update, UpsertMode, Vectors,
};

use crate::convert::{Column, filter, id, id_object, ids, json, list, object, payload_selector, vector, vector_selector};
use crate::error::{Owner, exception, in_row, raised, released};
use crate::hits::{Hits, record};

/// Rows that are read from Python before other threads get a turn.
const ROWS_AT_ONCE: usize = 256;

/// A collection of an open database.
#[pyclass(frozen, module = "vectordb._native")]
#[derive(Debug)]
pub(crate) struct Collection {
    open: vectordb_core::Collection,
    owner: Owner,
}

impl Collection {
    pub(crate) fn new(open: vectordb_core::Collection, owner: Owner) -> Self {
        Self { open, owner }
    }

    fn run<T: Send>(&self, py: Python<'_>, run: impl FnOnce(&vectordb_core::Collection) -> vectordb_core::Result<T> + Send) -> PyResult<T> {
        released(py, self.owner, || run(&self.open))
    }

    fn read<T>(py: Python<'_>, read: vectordb_core::Result<T>) -> PyResult<T> {
        read.map_err(|error| raised(py, &error, &[]))
    }
}

/// What is asked beside the vector, as keyword arguments.
#[derive(FromPyObject)]
struct Asked<'py> {
    #[pyo3(item)]
    limit: usize,
    #[pyo3(item)]
    offset: usize,
    #[pyo3(item)]
    using: String,
    #[pyo3(item)]
    filter: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    ef: Option<usize>,
    #[pyo3(item)]
    recall: Option<f64>,
    #[pyo3(item)]
    exact: bool,
    #[pyo3(item)]
    score_threshold: Option<f32>,
    #[pyo3(item)]
    with_payload: Bound<'py, PyAny>,
    #[pyo3(item)]
    with_vectors: Bound<'py, PyAny>,
    #[pyo3(item)]
    timeout: Option<f64>,
}

impl Asked<'_> {
    fn request(&self, target: SearchTarget) -> PyResult<SearchRequest> {
        let mut request = SearchRequest::new(target);
        request.limit = self.limit;
        request.offset = self.offset;
        request.using.clone_from(&self.using);
        request.filter = filter(self.filter.as_ref())?;
        request.params = SearchParams { hnsw_ef: self.ef, recall: self.recall, exact: self.exact, ..SearchParams::default() };
        request.score_threshold = self.score_threshold;
        request.with_payload = payload_selector(Some(&self.with_payload))?;
        request.with_vectors = vector_selector(Some(&self.with_vectors))?;
        request.budget = budget(self.timeout)?;
        Ok(request)
    }
}

fn budget(timeout: Option<f64>) -> PyResult<Budget> {
    let Some(seconds) = timeout else { return Ok(Budget::default()) };
    let time = Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(format!("timeout: {error}")))?;
    Ok(Budget { deadline: Instant::now().checked_add(time), cancel: None })
}

/// The points that an update is about: ids, or a filter.
fn target(ids_given: Option<&Bound<'_, PyAny>>, filter_given: Option<&Bound<'_, PyAny>>) -> PyResult<Target> {
    match (ids_given, filter(filter_given)?) {
        (Some(given), None) => ids(given).map(Target::Ids),
        (None, Some(filter)) => Ok(Target::Filter(filter)),
        _ => Err(PyTypeError::new_err("give either `ids` or `filter`")),
    }
}

fn payload(value: &Bound<'_, PyAny>) -> PyResult<Payload> {
    match json(value)? {
        Value::Object(map) => Ok(map),
        _ => Err(exception(value.py(), "InvalidPayload", format!("a payload is a dict, not {}", value.get_type().name()?))),
    }
}

/// The points of a batch, with the lock let go of now and then.
fn points(
    py: Python<'_>,
    ids: &[PointId],
    columns: &[(String, Column<'_>)],
    payloads: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Point>> {
    for (name, column) in columns {
        if column.len() != ids.len() {
            let of = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
            return Err(exception(py, "LengthMismatch", format!("{} vectors{of} for {} ids", column.len(), ids.len())));
        }
    }
    let payloads: Option<Vec<Bound<'_, PyAny>>> = payloads.map(|some| some.try_iter()?.collect()).transpose()?;
    if let Some(some) = payloads.as_ref().filter(|some| some.len() != ids.len()) {
        return Err(exception(py, "LengthMismatch", format!("{} payloads for {} ids", some.len(), ids.len())));
    }
    let mut points = Vec::with_capacity(ids.len());
    for (row, id) in ids.iter().enumerate() {
        if row % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 {
            py.detach(|| ());
        }
        let mut point = Point::bare(id.clone());
        for (name, column) in columns {
            match column.get(row) {
                Ok(Some(vector)) => point.vectors.insert(name.clone(), vector),
                Ok(None) => {}
                Err(error) => return Err(in_row(py, "InvalidVector", row, id, error.value(py))),
            }
        }
        if let Some(given) = payloads.as_ref().map(|some| &some[row]).filter(|given| !given.is_none()) {
            point.payload = payload(given).map_err(|error| in_row(py, "InvalidPayload", row, id, error.value(py)))?;
        }
        points.push(point);
    }
    Ok(points)
}

#[pymethods]
impl Collection {
    #[getter]
    fn name(&self) -> String {
        self.open.name()
    }

    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.owner.check(py)?;
        object(py, &self.open.config())
    }

    fn update_config(&self, py: Python<'_>, diff: &Bound<'_, PyDict>) -> PyResult<()> {
        let invalid = |error: serde_json::Error| exception(py, "InvalidConfig", format!("invalid configuration: {error}"));
        let diff: ConfigDiff = serde_json::from_value(json(diff)?).map_err(invalid)?;
        self.run(py, move |open| open.update_config(&diff))
    }

    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, &self.run(py, vectordb_core::Collection::info)?)
    }

    /// Writes points; `mode` is `upsert`, `insert` or `update`.
    fn upsert(
        &self,
        py: Python<'_>,
        point_ids: &Bound<'_, PyAny>,
        columns: &Bound<'_, PyDict>,
        payloads: Option<&Bound<'_, PyAny>>,
        mode: &str,
    ) -> PyResult<u64> {
        self.owner.check(py)?;
        let mode = match mode {
            "upsert" => UpsertMode::Upsert,
            "insert" => UpsertMode::InsertOnly,
            "update" => UpsertMode::UpdateOnly,
            other => return Err(PyValueError::new_err(format!("mode is `upsert`, `insert` or `update`, not `{other}`"))),
        };
        let ids = ids(point_ids)?;
        let columns = columns.iter().map(|(name, column)| Ok((name.extract()?, Column::new(&column)?))).collect::<PyResult<Vec<_>>>()?;
        let points = points(py, &ids, &columns, payloads)?;
        let written = py.detach(|| self.open.apply([Update::Upsert { points, mode, condition: None }]));
        written.map(|result| result.lsn.0).map_err(|error| raised(py, &error, &ids))
    }

    /// Replaces single vectors of points.
    fn update_vectors(&self, py: Python<'_>, point_ids: &Bound<'_, PyAny>, columns: &Bound<'_, PyDict>) -> PyResult<()> {
        let ids = ids(point_ids)?;
        let columns = columns.iter().map(|(name, column)| Ok((name.extract()?, Column::new(&column)?))).collect::<PyResult<Vec<_>>>()?;
        let points: Vec<(PointId, Vectors)> =
            points(py, &ids, &columns, None)?.into_iter().map(|point| (point.id, point.vectors)).collect();
        let written = py.detach(|| self.open.apply([Update::UpdateVectors { points, condition: None }]));
        written.map(drop).map_err(|error| raised(py, &error, &ids))
    }

    #[pyo3(signature = (ids, filter))]
    fn delete(&self, py: Python<'_>, ids: Option<&Bound<'_, PyAny>>, filter: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let target = target(ids, filter)?;
        self.run(py, move |open| open.delete(target)).map(drop)
    }

    /// Changes payloads: `how` is `set`, `overwrite`, `delete` (of keys) or `clear`.
    #[pyo3(signature = (how, ids, filter, payload_given, keys))]
    fn change_payload(
        &self,
        py: Python<'_>,
        how: &str,
        ids: Option<&Bound<'_, PyAny>>,
        filter: Option<&Bound<'_, PyAny>>,
        payload_given: Option<&Bound<'_, PyAny>>,
        keys: Vec<String>,
    ) -> PyResult<()> {
        let target = target(ids, filter)?;
        let payload = || payload_given.map_or_else(|| Ok(Payload::new()), payload);
        let update = match how {
            "set" => Update::SetPayload { target, payload: payload()?, key: None },
            "overwrite" => Update::OverwritePayload { target, payload: payload()?, key: None },
            "delete" => {
                let keys = keys.iter().map(|key| PayloadPath::parse(key)).collect::<vectordb_core::Result<_>>();
                Update::DeletePayload { target, keys: Self::read(py, keys)? }
            }
            _ => Update::ClearPayload(target),
        };
        self.run(py, move |open| open.apply([update])).map(drop)
    }

    fn create_index(&self, py: Python<'_>, field: String, schema: &Bound<'_, PyAny>) -> PyResult<()> {
        let invalid = |error: serde_json::Error| exception(py, "InvalidConfig", format!("invalid index: {error}"));
        let schema: FieldSchema = serde_json::from_value(json(schema)?).map_err(invalid)?;
        self.run(py, move |open| open.create_index(&field, schema))
    }

    fn drop_index(&self, py: Python<'_>, field: String) -> PyResult<()> {
        self.run(py, move |open| open.drop_index(&field))
    }

    /// The points nearest to a vector, or to a stored point.
    #[pyo3(signature = (query, near, asked))]
    fn search(&self, py: Python<'_>, query: Option<&Bound<'_, PyAny>>, near: Option<&Bound<'_, PyAny>>, asked: Asked<'_>) -> PyResult<Hits> {
        let target = match (query, near) {
            (Some(query), None) => SearchTarget::from(vector(query)?),
            (None, Some(near)) => SearchTarget::from(id(near)?),
            _ => return Err(PyTypeError::new_err("search for a vector, or with `near` for the points like a stored one")),
        };
        let request = asked.request(target)?;
        self.run(py, move |open| open.query(&request)).map(Hits::new)
    }

    /// The same for every row of an array or every vector of a sequence, on all processors.
    fn search_batch(&self, py: Python<'_>, queries: &Bound<'_, PyAny>, asked: Asked<'_>) -> PyResult<Vec<Hits>> {
        let column = Column::new(queries)?;
        let first = asked.request(SearchTarget::from(vec![0.0]))?;
        let mut requests = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            let vector = column.get(row)?.ok_or_else(|| exception(py, "InvalidVector", format!("query {row} is None")))?;
            requests.push(SearchRequest { target: SearchTarget::from(vector), ..first.clone() });
        }
        let found = self.run(py, move |open| open.query_batch(&requests))?;
        Ok(found.into_iter().map(Hits::new).collect())
    }

    /// A query of any kind in its JSON form.
    fn query(&self, py: Python<'_>, request: &Bound<'_, PyDict>) -> PyResult<Hits> {
        let request = Self::read(py, QueryRequest::from_json(&json(request)?))?;
        self.run(py, move |open| open.query_points(&request)).map(Hits::new)
    }

    /// How a query is answered.
    fn explain<'py>(&self, py: Python<'py>, request: &Bound<'py, PyDict>, counting: bool) -> PyResult<Bound<'py, PyAny>> {
        let request = Self::read(py, QueryRequest::from_json(&json(request)?))?;
        let told = self.run(py, move |open| open.explain(&request, counting))?;
        let dict = PyDict::new(py);
        dict.set_item("searches", object(py, &told.searches)?)?;
        dict.set_item("advice", told.advice)?;
        dict.set_item("seconds", told.elapsed.as_secs_f64())?;
        dict.set_item("hits", Hits::new(told.hits))?;
        Ok(dict.into_any())
    }

    /// Groups of hits that share a value.
    fn groups<'py>(&self, py: Python<'py>, request: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyList>> {
        let request = Self::read(py, GroupsRequest::from_json(&json(request)?))?;
        let groups = self.run(py, move |open| open.groups(&request))?;
        list(
            py,
            groups.into_iter().map(|group| {
                let dict = PyDict::new(py);
                dict.set_item("id", object(py, &group.id)?)?;
                dict.set_item("hits", Hits::new(group.hits))?;
                dict.set_item("lookup", group.lookup.as_ref().map(|lookup| record(py, lookup)).transpose()?)?;
                Ok(dict.into_any())
            }),
        )
    }

    /// Values and how many points have them.
    fn facet<'py>(&self, py: Python<'py>, request: &Bound<'py, PyDict>) -> PyResult<Vec<(Bound<'py, PyAny>, u64)>> {
        let request = Self::read(py, FacetRequest::from_json(&json(request)?))?;
        let hits = self.run(py, move |open| open.facet(&request))?;
        hits.into_iter().map(|hit| Ok((object(py, &hit.value)?, hit.count))).collect()
    }

    #[pyo3(signature = (filter_given, exact))]
    fn count(&self, py: Python<'_>, filter_given: Option<&Bound<'_, PyAny>>, exact: bool) -> PyResult<u64> {
        let filter: Option<Filter> = filter(filter_given)?;
        self.run(py, move |open| open.count(filter.as_ref(), exact))
    }

    fn retrieve<'py>(
        &self,
        py: Python<'py>,
        point_ids: &Bound<'py, PyAny>,
        with_payload: &Bound<'py, PyAny>,
        with_vectors: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let ids = ids(point_ids)?;
        let (payload, vectors) = (payload_selector(Some(with_payload))?, vector_selector(Some(with_vectors))?);
        let records = self.run(py, move |open| open.retrieve(&ids, &payload, &vectors))?;
        list(py, records.iter().map(|found| record(py, found)))
    }

    /// A page of points by id, and the id that the next page begins with.
    #[pyo3(signature = (filter_given, limit, offset, with_payload, with_vectors))]
    fn scroll<'py>(
        &self,
        py: Python<'py>,
        filter_given: Option<&Bound<'py, PyAny>>,
        limit: usize,
        offset: Option<&Bound<'py, PyAny>>,
        with_payload: &Bound<'py, PyAny>,
        with_vectors: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyList>, Option<Bound<'py, PyAny>>)> {
        let request = ScrollRequest {
            filter: filter(filter_given)?,
            limit,
            offset: offset.map(id).transpose()?,
            with_payload: payload_selector(Some(with_payload))?,
            with_vectors: vector_selector(Some(with_vectors))?,
            ..ScrollRequest::default()
        };
        let page = self.run(py, move |open| open.scroll(&request))?;
        let next = page.next_offset.as_ref().map(|id| id_object(py, id)).transpose()?;
        Ok((list(py, page.records.iter().map(|found| record(py, found)))?, next))
    }

    fn optimize(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, vectordb_core::Collection::optimize)
    }

    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, vectordb_core::Collection::verify)
    }

    fn snapshot(&self, py: Python<'_>, directory: PathBuf) -> PyResult<u64> {
        self.run(py, move |open| open.snapshot(directory)).map(|lsn| lsn.0)
    }
}
