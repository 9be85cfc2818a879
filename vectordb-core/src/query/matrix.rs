//! Distances between points of a sample.

use std::borrow::Cow;

use super::Reading;
use super::diverse::{scores, vector_of};
use super::examples::Examples;
use super::sample::sample;
use crate::distance::Metric;
use crate::error::{Error, Result};
use crate::model::config::VectorKind;
use crate::model::filter::{Condition, Filter};
use crate::model::point::by_score_then_id;
use crate::model::query::{MAX_RESULTS, MAX_SAMPLED, SearchParams};
use crate::model::ranking::{DistanceMatrix, MatrixRequest};
use crate::vectors::{Probe, Space};

/// The nearest neighbours of sampled points among themselves; empty for fewer than two points.
///
/// # Errors
/// [`Error::VectorNotFound`], [`Error::LimitExceeded`], those of the filter, and the budget's.
pub(crate) fn distance_matrix(reading: &Reading<'_>, request: &MatrixRequest) -> Result<DistanceMatrix> {
    let metric = match reading.config.kind_of(&request.using)? {
        VectorKind::Dense(params) | VectorKind::Multi(params) => Space::of(params).metric,
        VectorKind::Sparse(_) => Metric::Dot,
    };
    for (what, asked, most) in [("sample", request.sample, MAX_SAMPLED), ("limit", request.limit, MAX_RESULTS)] {
        if asked > most {
            return Err(Error::LimitExceeded { what, actual: asked as u64, limit: most as u64 });
        }
    }
    let examples = Examples::new(reading, &request.using)?;
    let with_vector = Filter::must([Condition::HasVector(request.using.clone())]);
    let filter = Filter::merged(request.filter.as_ref(), Some(&with_vector));
    let mut sampled = sample(reading, filter.as_ref(), request.sample, request.seed, &request.budget)?;
    if sampled.len() < 2 {
        return Ok(DistanceMatrix::default());
    }
    sampled.sort_by(|a, b| a.id.cmp(&b.id));
    let mut rows = Vec::with_capacity(sampled.len());
    for (at, hit) in sampled.iter().enumerate() {
        request.budget.check()?;
        let Some(vector) = vector_of(&request.using, hit) else { continue };
        let probe = examples.weighted(Probe::one(Cow::Owned(vector)), &SearchParams::default())?;
        let mut row: Vec<(usize, f32)> = scores(&request.using, &probe, &sampled).into_iter().enumerate().collect();
        row.remove(at);
        row.retain(|&(_, score)| score > f32::NEG_INFINITY);
        row.sort_by(|a, b| by_score_then_id((a.1, &sampled[a.0].id), (b.1, &sampled[b.0].id)));
        row.truncate(request.limit);
        rows.push(row.into_iter().map(|(other, score)| (other, metric.user_score(score))).collect());
    }
    Ok(DistanceMatrix { ids: sampled.into_iter().map(|hit| hit.id).collect(), rows })
}
