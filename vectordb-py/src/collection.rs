//! The points of one name: writing and asking.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json as json_of};
use vectordb_core::{
    Budget, ConfigDiff, FacetRequest, FieldSchema, GroupsRequest, MatrixRequest, PayloadPath, PointId, Query, QueryRequest, ScrollRequest,
    SearchParams, SearchRequest, SearchTarget, Target, Update, UpsertMode, Vectors,
};

use crate::batch::{columns, payload, points};
use crate::convert::{Column, Parts, filter, id, id_object, ids, parts, payload_selector, vector, vector_selector};
use crate::error::{exception, raised, released};
use crate::held::{Held, Owner};
use crate::hits::Hits;
use crate::json::{described, json, object};
use crate::turns::Turns;

/// A collection of an open database.
#[pyclass(frozen, module = "vectordb._native")]
#[derive(Debug)]
pub(crate) struct Collection {
    open: Held<vectordb_core::Collection>,
    owner: Owner,
}

impl Collection {
    pub(crate) fn new(open: vectordb_core::Collection, owner: Owner) -> Self {
        Self { open: Held::new(open, owner), owner }
    }

    fn run<T: Send>(&self, py: Python<'_>, run: impl FnOnce(&vectordb_core::Collection) -> vectordb_core::Result<T> + Send) -> PyResult<T> {
        let open = self.open.get(py)?;
        released(py, self.owner, || run(open))
    }

    /// Applies an update to points, and names the row of the one that cannot be written.
    fn apply(&self, py: Python<'_>, ids: &[PointId], update: Update) -> PyResult<()> {
        let open = self.open.get(py)?;
        let written = py.detach(|| open.apply([update]));
        written.map(drop).map_err(|error| raised(py, &error, ids))
    }
}

fn checked<T>(py: Python<'_>, read: vectordb_core::Result<T>) -> PyResult<T> {
    read.map_err(|error| raised(py, &error, &[]))
}

/// A value, the hits that share it, and the point that was looked up for it.
type Group<'py> = (Bound<'py, PyAny>, Hits, Option<Parts<'py>>);
/// Two ids and a score.
type Pair<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, f32);

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
        request.with_payload = payload_selector(&self.with_payload)?;
        request.with_vectors = vector_selector(&self.with_vectors)?;
        request.budget = budget(self.timeout)?;
        Ok(request)
    }
}

/// A step of a walk, as keyword arguments.
#[derive(FromPyObject)]
struct Step<'py> {
    #[pyo3(item)]
    filter: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    limit: usize,
    #[pyo3(item)]
    offset: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    order_by: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    with_payload: Bound<'py, PyAny>,
    #[pyo3(item)]
    with_vectors: Bound<'py, PyAny>,
}

impl Step<'_> {
    fn request(&self, py: Python<'_>) -> PyResult<ScrollRequest> {
        let order_by = self.order_by.as_ref().map(|order| json(order, "InvalidQuery")).transpose()?;
        Ok(ScrollRequest {
            filter: filter(self.filter.as_ref())?,
            limit: self.limit,
            offset: self.offset.as_ref().map(id).transpose()?,
            order_by: order_by.map(|order| order_of(py, &order)).transpose()?,
            with_payload: payload_selector(&self.with_payload)?,
            with_vectors: vector_selector(&self.with_vectors)?,
            ..ScrollRequest::default()
        })
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

/// Reads settings of their JSON form.
fn settings<T: serde::de::DeserializeOwned>(value: &Bound<'_, PyAny>, what: &str) -> PyResult<T> {
    let read = serde_json::from_value(json(value, "InvalidConfig")?);
    read.map_err(|error| exception(value.py(), "InvalidConfig", format!("invalid {what}: {error}")))
}

/// Writing.
#[pymethods]
impl Collection {
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.open.get(py)?.name())
    }

    /// The configuration in its JSON form.
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        described(py, &self.open.get(py)?.config())
    }

    fn update_config(&self, py: Python<'_>, diff: &Bound<'_, PyAny>) -> PyResult<()> {
        let diff: ConfigDiff = settings(diff, "configuration")?;
        self.run(py, move |open| open.update_config(&diff))
    }

    /// State, sizes and progress.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        described(py, &self.run(py, vectordb_core::Collection::info)?)
    }

    /// Writes points, all or none; `mode` is `upsert`, `insert` or `update`.
    fn upsert(
        &self,
        py: Python<'_>,
        point_ids: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyDict>,
        payloads: Option<&Bound<'_, PyAny>>,
        mode: &str,
    ) -> PyResult<usize> {
        self.owner.check(py)?;
        let mode = match mode {
            "upsert" => UpsertMode::Upsert,
            "insert" => UpsertMode::InsertOnly,
            "update" => UpsertMode::UpdateOnly,
            other => return Err(PyValueError::new_err(format!("mode is `upsert`, `insert` or `update`, not `{other}`"))),
        };
        let ids = ids(point_ids)?;
        let points = points(py, &ids, &columns(vectors)?, payloads)?;
        self.apply(py, &ids, Update::Upsert { points, mode, condition: None })?;
        Ok(ids.len())
    }

    /// Replaces single vectors of points.
    fn update_vectors(&self, py: Python<'_>, point_ids: &Bound<'_, PyAny>, vectors: &Bound<'_, PyDict>) -> PyResult<()> {
        self.owner.check(py)?;
        let ids = ids(point_ids)?;
        let points = points(py, &ids, &columns(vectors)?, None)?;
        let points: Vec<(PointId, Vectors)> = points.into_iter().map(|point| (point.id, point.vectors)).collect();
        self.apply(py, &ids, Update::UpdateVectors { points, condition: None })
    }

    /// Removes single vectors of points.
    fn delete_vectors(
        &self,
        py: Python<'_>,
        names: Vec<String>,
        ids: Option<&Bound<'_, PyAny>>,
        filter: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let target = target(ids, filter)?;
        self.apply(py, &[], Update::DeleteVectors { target, names })
    }

    fn delete(&self, py: Python<'_>, ids: Option<&Bound<'_, PyAny>>, filter: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let target = target(ids, filter)?;
        self.apply(py, &[], Update::Delete(target))
    }

    /// Changes payloads: `how` is `set` or `overwrite` (at the first of the keys, if there is one), `delete` (of keys) or `clear`.
    fn change_payload(
        &self,
        py: Python<'_>,
        how: &str,
        ids: Option<&Bound<'_, PyAny>>,
        filter: Option<&Bound<'_, PyAny>>,
        given: Option<&Bound<'_, PyAny>>,
        keys: Vec<String>,
    ) -> PyResult<()> {
        let target = target(ids, filter)?;
        let paths = keys.iter().map(|key| PayloadPath::parse(key)).collect::<vectordb_core::Result<Vec<_>>>();
        let paths = checked(py, paths)?;
        let key = paths.first().cloned();
        let given = given.map(payload).transpose()?.unwrap_or_default();
        let update = match how {
            "set" => Update::SetPayload { target, payload: given, key },
            "overwrite" => Update::OverwritePayload { target, payload: given, key },
            "delete" => Update::DeletePayload { target, keys: paths },
            _ => Update::ClearPayload(target),
        };
        self.apply(py, &[], update)
    }

    fn create_index(&self, py: Python<'_>, field: String, schema: &Bound<'_, PyAny>) -> PyResult<()> {
        let schema: FieldSchema = settings(schema, "index")?;
        self.run(py, move |open| open.create_index(&field, schema))
    }

    fn drop_index(&self, py: Python<'_>, field: String) -> PyResult<()> {
        self.run(py, move |open| open.drop_index(&field))
    }

    /// Adds a named vector to the collection.
    fn create_vector(&self, py: Python<'_>, name: String, params: &Bound<'_, PyAny>, sparse: bool) -> PyResult<()> {
        let update = if sparse {
            Update::CreateSparseVector { name, params: settings(params, "sparse vector")? }
        } else {
            Update::CreateVector { name, params: settings(params, "vector")? }
        };
        self.apply(py, &[], update)
    }

    /// Removes a named vector from the collection and from every point.
    fn drop_vector(&self, py: Python<'_>, name: String) -> PyResult<()> {
        self.apply(py, &[], Update::DropVector { name })
    }

    fn optimize(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, vectordb_core::Collection::optimize)
    }

    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, vectordb_core::Collection::verify)
    }

    /// The points nearest to a vector, or to a stored point.
    fn search(
        &self,
        py: Python<'_>,
        query: Option<&Bound<'_, PyAny>>,
        near: Option<&Bound<'_, PyAny>>,
        asked: Asked<'_>,
    ) -> PyResult<Hits> {
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
        self.owner.check(py)?;
        let column = Column::new(queries)?;
        let first = asked.request(SearchTarget::from(vec![0.0]))?;
        let mut requests = Vec::with_capacity(column.len());
        let mut turns = Turns::new();
        for row in 0..column.len() {
            turns.row(py);
            let vector = column.get(row)?.ok_or_else(|| exception(py, "InvalidVector", format!("query {row} is None")))?;
            requests.push(SearchRequest { target: SearchTarget::from(vector), ..first.clone() });
        }
        let found = self.run(py, move |open| open.query_batch(&requests))?;
        Ok(found.into_iter().map(Hits::new).collect())
    }

    /// A query of any kind in its JSON form.
    fn query(&self, py: Python<'_>, request: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<Hits> {
        let mut request = checked(py, QueryRequest::from_json(&json(request, "InvalidQuery")?))?;
        request.budget = budget(timeout)?;
        self.run(py, move |open| open.query_points(&request)).map(Hits::new)
    }

    /// How a query is answered: the plans of its searches, advice, seconds, and the hits.
    fn explain<'py>(
        &self,
        py: Python<'py>,
        request: &Bound<'py, PyAny>,
        counting: bool,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<String>, f64, Hits)> {
        let request = checked(py, QueryRequest::from_json(&json(request, "InvalidQuery")?))?;
        let told = self.run(py, move |open| open.explain(&request, counting))?;
        Ok((described(py, &told.searches)?, told.advice, told.elapsed.as_secs_f64(), Hits::new(told.hits)))
    }

    /// Groups of hits that share a value.
    fn groups<'py>(&self, py: Python<'py>, request: &Bound<'py, PyAny>) -> PyResult<Vec<Group<'py>>> {
        let request = checked(py, GroupsRequest::from_json(&json(request, "InvalidQuery")?))?;
        let groups = self.run(py, move |open| open.groups(&request))?;
        let read = groups.into_iter().map(|group| {
            let lookup = group.lookup.as_ref().map(|lookup| parts(py, lookup)).transpose()?;
            Ok((object(py, &group.id)?, Hits::new(group.hits), lookup))
        });
        read.collect()
    }

    /// Values and how many points have them.
    fn facet<'py>(&self, py: Python<'py>, request: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, u64)>> {
        let request = checked(py, FacetRequest::from_json(&json(request, "InvalidQuery")?))?;
        let hits = self.run(py, move |open| open.facet(&request))?;
        hits.into_iter().map(|hit| Ok((object(py, &hit.value)?, hit.count))).collect()
    }

    /// The nearest neighbours of a sample among themselves, as pairs of ids with a score.
    fn distance_matrix<'py>(&self, py: Python<'py>, request: &Bound<'py, PyAny>) -> PyResult<Vec<Pair<'py>>> {
        let request = checked(py, MatrixRequest::from_json(&json(request, "InvalidQuery")?))?;
        let matrix = self.run(py, move |open| open.distance_matrix(&request))?;
        matrix.pairs().map(|(of, to, score)| Ok((id_object(py, of)?, id_object(py, to)?, score))).collect()
    }

    fn count(&self, py: Python<'_>, filter_given: Option<&Bound<'_, PyAny>>, exact: bool) -> PyResult<u64> {
        let filter = filter(filter_given)?;
        self.run(py, move |open| open.count(filter.as_ref(), exact))
    }

    /// Points by their ids, in parts; those that do not exist are left out.
    fn retrieve<'py>(
        &self,
        py: Python<'py>,
        point_ids: &Bound<'py, PyAny>,
        with_payload: &Bound<'py, PyAny>,
        with_vectors: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Parts<'py>>> {
        let ids = ids(point_ids)?;
        let (payload, vectors) = (payload_selector(with_payload)?, vector_selector(with_vectors)?);
        let records = self.run(py, move |open| open.retrieve(&ids, &payload, &vectors))?;
        records.iter().map(|found| parts(py, found)).collect()
    }

    /// A page of points in parts, and the id that the next page begins with.
    fn scroll<'py>(&self, py: Python<'py>, step: Step<'py>) -> PyResult<(Vec<Parts<'py>>, Option<Bound<'py, PyAny>>)> {
        let request = step.request(py)?;
        let page = self.run(py, move |open| open.scroll(&request))?;
        let next = page.next_offset.as_ref().map(|id| id_object(py, id)).transpose()?;
        Ok((page.records.iter().map(|found| parts(py, found)).collect::<PyResult<_>>()?, next))
    }
}

/// An order in its JSON form: a path, or an object with `key`, `direction` and `start_from`.
fn order_of(py: Python<'_>, order: &Value) -> PyResult<vectordb_core::OrderBy> {
    let request = checked(py, QueryRequest::from_json(&json_of!({"query": {"order_by": order}})))?;
    match request.query {
        Some(Query::OrderBy(order)) => Ok(order),
        _ => Err(exception(py, "InvalidQuery", "order_by is a path or an object with `key`")),
    }
}
