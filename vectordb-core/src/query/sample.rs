//! Points chosen by chance, and the distances between them.

use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use rustc_hash::FxHasher;

use super::diverse::scores;
use super::{Found, Reading};
use crate::error::{Error, Result};
use crate::model::filter::{Condition, Filter};
use crate::model::point::by_score_then_id;
use crate::model::query::{Budget, MAX_RESULTS};
use crate::model::ranking::{DistanceMatrix, MatrixRequest};
use crate::segment::Matcher;
use crate::vectors::Space;

/// Largest sample of a distance matrix.
const MOST_SAMPLED: usize = 10_000;
/// Rows between two looks at the clock.
const BUDGET_EVERY: u32 = 4096;

/// Points of a filter chosen by chance, each with the same probability: those whose ids, hashed with the seed, are smallest.
///
/// # Errors
/// Those of the filter, and the budget's.
pub(super) fn sample<'a>(
    reading: &Reading<'a>,
    filter: Option<&Filter>,
    most: usize,
    seed: Option<u64>,
    budget: &Budget,
) -> Result<Vec<Found<'a>>> {
    let filter = reading.compile(filter)?;
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut smallest = BinaryHeap::new();
    for (number, &segment) in reading.segments.iter().enumerate() {
        budget.check()?;
        let mut seen = 0u32;
        Matcher::new(segment, filter.as_ref(), reading.at).each(&mut |row| {
            seen += 1;
            if seen.is_multiple_of(BUDGET_EVERY) {
                budget.check()?;
            }
            let mut hasher = FxHasher::default();
            (seed, segment.id(row)).hash(&mut hasher);
            smallest.push((mixed(hasher.finish()), number, row));
            if smallest.len() > most {
                smallest.pop();
            }
            Ok(true)
        })?;
    }
    let chosen = smallest.into_sorted_vec().into_iter();
    Ok(chosen.map(|(_, number, row)| Found::new(reading.segments[number], row, 1.0)).collect())
}

/// Spreads a hash over all 64 bits (the finalizer of SplitMix64, Steele, Lea & Flood 2014).
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The nearest neighbours of sampled points among themselves; empty for fewer than two points.
///
/// # Errors
/// [`Error::VectorNotFound`], [`Error::LimitExceeded`], those of the filter, and the budget's.
pub(crate) fn distance_matrix(reading: &Reading<'_>, request: &MatrixRequest) -> Result<DistanceMatrix> {
    let space = Space::of(reading.config.vector(&request.using)?);
    if request.sample > MOST_SAMPLED || request.limit > MAX_RESULTS {
        return Err(Error::LimitExceeded { what: "sample", actual: request.sample as u64, limit: MOST_SAMPLED as u64 });
    }
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
        let Some(field) = hit.segment.field(&request.using) else { continue };
        let vector = field.space.decode(field.rows.get(hit.row));
        let mut row: Vec<(usize, f32)> = scores(space, &request.using, &vector, &sampled).into_iter().enumerate().collect();
        row.remove(at);
        row.sort_by(|a, b| by_score_then_id((a.1, &sampled[a.0].id), (b.1, &sampled[b.0].id)));
        row.truncate(request.limit);
        rows.push(row.into_iter().map(|(other, score)| (other, space.metric.user_score(score))).collect());
    }
    Ok(DistanceMatrix { ids: sampled.into_iter().map(|hit| hit.id).collect(), rows })
}
