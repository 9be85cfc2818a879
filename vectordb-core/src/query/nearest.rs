//! Nearest-neighbour searches: every segment's best, merged.

use std::borrow::Cow;

use rayon::prelude::*;

use super::{Reading, hydrate};
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::VectorParams;
use crate::model::point::{ScoredPoint, by_score_then_id};
use crate::model::query::{MAX_RESULTS, SearchRequest, Target};
use crate::model::vector::Vector;
use crate::segment::{self, CompiledFilter, Leaf, Segment};
use crate::vectors::Space;

/// Candidate list of a search that asks for none, at least. With the default graph it reaches a recall@10 of 0.99 on text
/// embeddings of 384 dimensions; see `examples/quickstart.rs`.
const LEAST_EF: usize = 128;
/// Largest candidate list a caller may ask for.
const MOST_EF: usize = 1 << 20;

/// The points nearest to a target.
///
/// # Errors
/// [`Error::VectorNotFound`], [`Error::DimensionMismatch`], [`Error::InvalidVector`], [`Error::PointNotFound`] for a target by
/// id, [`Error::InvalidQuery`], those of the filter, and the budget's.
pub(crate) fn search(reading: &Reading<'_>, request: &SearchRequest) -> Result<Vec<ScoredPoint>> {
    let params = reading.config.vector(&request.using)?;
    hydrate::check_selectors(reading.config, &request.with_payload, &request.with_vectors)?;
    check_numbers(request)?;
    let filter = reading.compile(request.filter.as_ref())?;
    let (query, exclude) = resolve(reading, request, params)?;
    let found = best(reading, request, params, &query, exclude, filter.as_ref())?;
    let metric = Space::of(params).metric;
    found
        .into_iter()
        .skip(request.offset)
        .map(|hit| {
            Ok(ScoredPoint {
                version: hit.segment.version(hit.row),
                payload: hydrate::payload(hit.segment, hit.row, &request.with_payload)?,
                vectors: hydrate::vectors(hit.segment, hit.row, &request.with_vectors),
                score: metric.user_score(hit.score),
                id: hit.id,
            })
        })
        .collect()
}

/// Many searches on all threads of the pool; answers in the order of the requests.
///
/// # Errors
/// That of the first search that fails.
pub(crate) fn search_batch(reading: &Reading<'_>, requests: &[SearchRequest], pool: &rayon::ThreadPool) -> Result<Vec<Vec<ScoredPoint>>> {
    pool.install(|| requests.par_iter().map(|request| search(reading, request)).collect())
}

struct Found<'a> {
    segment: &'a dyn Segment,
    row: u32,
    score: f32,
    id: PointId,
}

/// The best `offset + limit` points of all segments.
fn best<'a>(
    reading: &Reading<'a>,
    request: &SearchRequest,
    params: &VectorParams,
    query: &[f32],
    exclude: Option<&PointId>,
    filter: Option<&CompiledFilter>,
) -> Result<Vec<Found<'a>>> {
    let hnsw = reading.config.hnsw_of(params);
    let k = request.offset + request.limit;
    let leaf = Leaf {
        field: &request.using,
        query,
        k,
        ef: request.params.hnsw_ef.unwrap_or(hnsw.ef_construct.max(LEAST_EF)).clamp(1, MOST_EF),
        exact: request.params.exact,
        indexed_only: request.params.indexed_only,
        quantization: request.params.quantization,
        strategy: request.params.strategy,
        threshold: request.score_threshold.map(|score| Space::of(params).metric.inner_score(score)),
        exclude,
        filter,
        full_scan_bytes: hnsw.full_scan_threshold.saturating_mul(1024),
        at: reading.at,
        budget: &request.budget,
    };
    let mut found = Vec::new();
    for &segment in &reading.segments {
        let hits = segment::search(segment, &leaf)?;
        found.extend(hits.into_iter().map(|hit| Found { segment, row: hit.row, score: hit.score, id: segment.id(hit.row) }));
    }
    found.sort_unstable_by(|a, b| by_score_then_id((a.score, &a.id), (b.score, &b.id)));
    found.truncate(k);
    Ok(found)
}

/// The query vector, and the point to leave out when the target is one.
fn resolve<'r>(reading: &Reading<'_>, request: &'r SearchRequest, params: &VectorParams) -> Result<(Cow<'r, [f32]>, Option<&'r PointId>)> {
    match &request.target {
        Target::Vector(vector) => {
            // Any finite number may be asked for, whatever the element type can store.
            let askable = VectorParams { datatype: crate::model::config::Datatype::Float32, ..params.clone() };
            vector.validate(&request.using, &askable, None)?;
            Ok((Cow::Borrowed(vector.as_dense()), None))
        }
        Target::Id(id) => {
            let (segment, row) = reading.find(id).ok_or_else(|| Error::PointNotFound { id: id.to_string() })?;
            let mut vectors = segment.vectors(row, &|name| name == request.using);
            match vectors.remove(&request.using) {
                Some(Vector::Dense(values)) => Ok((Cow::Owned(values), Some(id))),
                None => Err(Error::query(format!("point {id} has no vector `{}`", request.using))),
            }
        }
    }
}

fn check_numbers(request: &SearchRequest) -> Result<()> {
    if request.score_threshold.is_some_and(f32::is_nan) {
        return Err(Error::query("the score threshold is not a number"));
    }
    let wanted = request.offset.saturating_add(request.limit);
    if wanted > MAX_RESULTS {
        return Err(Error::LimitExceeded { what: "limit + offset", actual: wanted as u64, limit: MAX_RESULTS as u64 });
    }
    Ok(())
}
