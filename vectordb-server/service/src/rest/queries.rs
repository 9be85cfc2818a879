//! Queries of every kind, and analytics.

use serde::{Deserialize, Serialize};
use serde_json::json;
use vectordb_core::{FacetRequest, GroupsRequest, MatrixRequest, PointId, ScoredPoint, Value};

use super::call::Call;
use super::json::{GroupOut, QueryBody, ScoredOut, bad_form, check_lookup};
use super::reply::Reply;
use crate::error::{Result, ServiceError};

/// An answer of a query.
#[derive(Serialize)]
struct Points<'a> {
    points: Vec<ScoredOut<'a>>,
}

impl<'a> Points<'a> {
    fn of(hits: &'a [ScoredPoint]) -> Self {
        Self { points: hits.iter().map(ScoredOut).collect() }
    }
}

/// The hits of the query in a body.
pub(super) fn hits(call: &Call<'_>, mut body: QueryBody) -> Result<Vec<ScoredPoint>> {
    check_limit(&body.rest)?;
    let request = body.request()?;
    call.service.query(call.collection(), request, &call.reading(&body.rest)?, call.access)
}

/// The groups of the query in a body.
pub(super) fn grouped(call: &Call<'_>, body: &Value) -> Result<Reply> {
    check_limit(body)?;
    check_lookup(body)?;
    let groups = call.service.groups(call.collection(), GroupsRequest::from_json(body)?, &call.reading(body)?, call.access)?;
    #[derive(Serialize)]
    struct Groups<'a> {
        groups: Vec<GroupOut<'a>>,
    }
    Reply::of(&Groups { groups: groups.iter().map(GroupOut).collect() })
}

fn check_limit(body: &Value) -> Result<()> {
    match body.get("limit").and_then(Value::as_u64) {
        Some(0) => Err(ServiceError::validation("limit", "value 0 invalid, must be 1 or larger")),
        _ => Ok(()),
    }
}

/// The requests of a batch.
pub(super) fn searches(body: &Value) -> Result<&[Value]> {
    match body.get("searches") {
        Some(Value::Array(searches)) => Ok(searches),
        _ => Err(bad_form("missing field `searches`")),
    }
}

pub(super) fn query(call: &Call<'_>) -> Result<Reply> {
    let body = QueryBody::of(call.body).map_or_else(|| call.read(), Ok)?;
    Reply::of(&Points::of(&hits(call, body)?))
}

pub(super) fn query_batch(call: &Call<'_>) -> Result<Reply> {
    #[derive(Deserialize)]
    struct Body {
        searches: Vec<QueryBody>,
    }
    let body: Body = call.read()?;
    call.check_collection()?;
    let answers = call.service.search_batch(call.collection(), body.searches, call.access, |search| hits(call, search))?;
    Reply::of(&answers.iter().map(|hits| Points::of(hits)).collect::<Vec<_>>())
}

pub(super) fn groups(call: &Call<'_>) -> Result<Reply> {
    grouped(call, &call.json()?)
}

pub(super) fn facet(call: &Call<'_>) -> Result<Reply> {
    let body = call.json()?;
    let hits = call.service.facet(call.collection(), FacetRequest::from_json(&body)?, &call.reading(&body)?, call.access)?;
    let hits: Vec<Value> = hits.into_iter().map(|hit| json!({"value": hit.value, "count": hit.count})).collect();
    Reply::of(&json!({"hits": hits}))
}

fn matrix(call: &Call<'_>) -> Result<vectordb_core::DistanceMatrix> {
    let body = call.json()?;
    call.service.distance_matrix(call.collection(), MatrixRequest::from_json(&body)?, &call.reading(&body)?, call.access)
}

pub(super) fn matrix_pairs(call: &Call<'_>) -> Result<Reply> {
    let matrix = matrix(call)?;
    #[derive(Serialize)]
    struct Pair<'a> {
        a: &'a PointId,
        b: &'a PointId,
        score: f32,
    }
    Reply::of(&std::collections::BTreeMap::from([("pairs", matrix.pairs().map(|(a, b, score)| Pair { a, b, score }).collect::<Vec<_>>())]))
}

pub(super) fn matrix_offsets(call: &Call<'_>) -> Result<Reply> {
    #[derive(Default, Serialize)]
    struct Offsets {
        offsets_row: Vec<usize>,
        offsets_col: Vec<usize>,
        scores: Vec<f32>,
        ids: Vec<PointId>,
    }
    let matrix = matrix(call)?;
    let mut out = Offsets::default();
    for (row, entries) in matrix.rows.iter().enumerate() {
        for &(col, score) in entries {
            out.offsets_row.push(row);
            out.offsets_col.push(col);
            out.scores.push(score);
        }
    }
    Reply::of(&Offsets { ids: matrix.ids, ..out })
}
