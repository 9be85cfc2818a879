//! Nearest-neighbour searches: every segment's best, merged.

use std::borrow::Cow;

use rayon::prelude::*;

use super::examples::Examples;
use super::explain::Recorder;
use super::{Found, Reading, hydrate};
use crate::distance::Metric;
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::VectorKind;
use crate::model::explain::SearchPlan;
use crate::model::point::{ScoredPoint, by_score_then_id};
use crate::model::query::{Budget, MAX_RESULTS, SearchParams, SearchRequest};
use crate::segment::{self, Calibrations, CompiledFilter, Leaf};
use crate::vectors::{Probe, Space};

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
    hydrate::check_selectors(reading.config, &request.with_payload, &request.with_vectors)?;
    check_numbers(request.score_threshold, request.offset, request.limit)?;
    let filter = reading.compile(request.filter.as_ref())?;
    let mut examples = Examples::new(reading, &request.using)?;
    let probe = Probe::one(examples.vector(&request.target)?);
    let probe = examples.weighted(probe, &request.params)?;
    let ask = Ask {
        using: &request.using,
        probe: &probe,
        k: request.offset + request.limit,
        params: &request.params,
        threshold: request.score_threshold,
        exclude: &examples.mentioned,
        filter: filter.as_ref(),
        budget: &request.budget,
    };
    let found = best(reading, &ask)?.into_iter().skip(request.offset);
    found.map(|hit| hydrate::scored(hit, &request.with_payload, &request.with_vectors)).collect()
}

/// Many searches on all threads of the pool; answers in the order of the requests.
///
/// # Errors
/// That of the first search that fails.
pub(crate) fn search_batch(reading: &Reading<'_>, requests: &[SearchRequest], pool: &rayon::ThreadPool) -> Result<Vec<Vec<ScoredPoint>>> {
    pool.install(|| requests.par_iter().map(|request| search(reading, request)).collect())
}

/// What every segment is asked for.
pub(super) struct Ask<'q> {
    pub(super) using: &'q str,
    pub(super) probe: &'q Probe<'q>,
    /// Points wanted.
    pub(super) k: usize,
    pub(super) params: &'q SearchParams,
    /// Worst score wanted, in the user's numbers.
    pub(super) threshold: Option<f32>,
    pub(super) exclude: &'q [PointId],
    pub(super) filter: Option<&'q CompiledFilter>,
    pub(super) budget: &'q Budget,
}

/// The best points of all segments, with the user's scores.
pub(super) fn best<'a>(reading: &Reading<'a>, ask: &Ask<'_>) -> Result<Vec<Found<'a>>> {
    if let Some(recall) = ask.params.recall.filter(|recall| !(*recall > 0.0 && *recall <= 1.0)) {
        return Err(Error::query(format!("the recall is {recall}, not above 0 and at most 1")));
    }
    if let Some(factor) = ask.params.quantization.oversampling.filter(|factor| !factor.is_finite() || *factor < 1.0) {
        return Err(Error::query(format!("the oversampling is {factor}, not a number of at least 1")));
    }
    let kind = reading.config.kind_of(ask.using)?;
    let (hnsw, metric) = match kind {
        VectorKind::Dense(params) | VectorKind::Multi(params) => (Cow::Owned(reading.config.hnsw_of(params)), Space::of(params).metric),
        VectorKind::Sparse(_) => (Cow::Borrowed(&reading.config.hnsw_config), Metric::Dot),
    };
    let full_scan_rows = match kind {
        VectorKind::Sparse(params) => params.index.as_ref().and_then(|index| index.full_scan_threshold),
        VectorKind::Dense(_) | VectorKind::Multi(_) => None,
    };
    let leaf = Leaf {
        field: ask.using,
        query: ask.probe,
        k: ask.k,
        ef: ask.params.hnsw_ef.unwrap_or(hnsw.ef_construct.max(LEAST_EF)).clamp(1, MOST_EF),
        exact: ask.params.exact || ask.params.recall == Some(1.0),
        indexed_only: ask.params.indexed_only,
        quantization: ask.params.quantization,
        strategy: ask.params.strategy,
        acorn: ask.params.acorn,
        recall: ask.params.recall.filter(|_| ask.params.hnsw_ef.is_none()),
        threshold: ask.threshold.map(|score| ask.probe.inner_score(metric, score)),
        exclude: ask.exclude,
        filter: ask.filter,
        full_scan_bytes: hnsw.full_scan_threshold.saturating_mul(1024),
        full_scan_rows,
        at: reading.at,
        budget: ask.budget,
    };
    let mut found = Vec::new();
    let mut recorder = Recorder::start(reading, || SearchPlan {
        using: ask.using.to_owned(),
        limit: ask.k,
        filtered: ask.filter.is_some(),
        recall: ask.params.recall,
        ..SearchPlan::default()
    });
    for &segment in &reading.segments {
        let (hits, trace) = segment::search(segment, &leaf)?;
        if let Some(recorder) = &mut recorder {
            recorder.add(segment, ask.filter, reading.at, &trace)?;
        }
        // Segments learn in the background what searches ask for.
        if leaf.recall.is_some()
            && let Some(wake) = reading.wake
            && segment.calibrations(leaf.field).is_some_and(Calibrations::is_due)
        {
            (wake.0)();
        }
        found.extend(hits.into_iter().map(|hit| Found::new(segment, hit.row, hit.score)));
    }
    found.sort_unstable_by(|a, b| by_score_then_id((a.score, &a.id), (b.score, &b.id)));
    found.truncate(ask.k);
    found.iter_mut().for_each(|hit| hit.score = ask.probe.user_score(metric, hit.score));
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    Ok(found)
}

/// Refuses thresholds that are no numbers and more results than one query gives.
pub(super) fn check_numbers(threshold: Option<f32>, offset: usize, limit: usize) -> Result<()> {
    if threshold.is_some_and(f32::is_nan) {
        return Err(Error::query("the score threshold is not a number"));
    }
    let wanted = offset.saturating_add(limit);
    if wanted > MAX_RESULTS {
        return Err(Error::LimitExceeded { what: "limit + offset", actual: wanted as u64, limit: MAX_RESULTS as u64 });
    }
    Ok(())
}
