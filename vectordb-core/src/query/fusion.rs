//! One ranking out of several.

use rustc_hash::FxHashMap;

use super::Found;
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::point::{ScoredPoint, by_score_then_id};
use crate::model::ranking::{Query, Rrf};

/// The constant of reciprocal rank fusion when none is given.
const RANK_CONSTANT: u32 = 2;
/// Half the width of the interval that scores are scaled from, in standard deviations.
const DEVIATIONS: f64 = 3.0;
/// The score of a point of a list whose scores do not differ.
const MIDDLE: f64 = 0.5;

/// Fuses lists of hits that were found elsewhere, as a query of the kind would fuse those of its prefetches: for what asks several
/// collections and merges.
///
/// # Errors
/// [`Error::InvalidQuery`] for a query that is no fusion, and for a wrong number of weights.
pub fn fuse(query: &Query, lists: Vec<Vec<ScoredPoint>>) -> Result<Vec<ScoredPoint>> {
    match query {
        Query::Rrf(rrf) => by_rank(lists, rrf),
        Query::Dbsf => Ok(by_distribution(lists)),
        _ => Err(Error::query("the query is no fusion")),
    }
}

/// A hit whose score can be replaced.
pub(super) trait Scored {
    fn id(&self) -> &PointId;
    fn score(&self) -> f32;
    fn scored(self, score: f32) -> Self;
}

impl Scored for Found<'_> {
    fn id(&self) -> &PointId {
        &self.id
    }

    fn score(&self) -> f32 {
        self.score
    }

    fn scored(self, score: f32) -> Self {
        Self { score, ..self }
    }
}

impl Scored for ScoredPoint {
    fn id(&self) -> &PointId {
        &self.id
    }

    fn score(&self) -> f32 {
        self.score
    }

    fn scored(self, score: f32) -> Self {
        Self { score, ..self }
    }
}

/// Fuses by ranks.
///
/// # Errors
/// [`Error::InvalidQuery`] for a wrong number of weights.
pub(super) fn by_rank<H: Scored>(lists: Vec<Vec<H>>, rrf: &Rrf) -> Result<Vec<H>> {
    if let Some(weights) = rrf.weights.as_ref().filter(|weights| weights.len() != lists.len()) {
        return Err(Error::query(format!("{} weights for {} prefetches", weights.len(), lists.len())));
    }
    let constant = f64::from(rrf.k.unwrap_or(RANK_CONSTANT));
    let scored = lists.into_iter().enumerate().map(|(list, found)| {
        let weight = rrf.weights.as_ref().map_or(1.0, |weights| f64::from(weights[list]));
        let score = move |place: usize| if weight > 0.0 { 1.0 / ((place as f64 + 1.0) / weight + constant - 1.0) } else { 0.0 };
        found.into_iter().enumerate().map(|(place, hit)| (hit, score(place))).collect()
    });
    Ok(summed(scored))
}

/// Fuses by scores, scaled so that each list's mean is one half and three standard deviations around it are 0 and 1.
pub(super) fn by_distribution<H: Scored>(lists: Vec<Vec<H>>) -> Vec<H> {
    summed(lists.into_iter().map(|found| {
        let scores: Vec<f64> = found.iter().map(|hit| f64::from(hit.score())).collect();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (scores.len() as f64 - 1.0);
        let reach = DEVIATIONS * variance.sqrt();
        // A list of one has no variance at all.
        let scale = |score: f64| if reach > 0.0 { (score - mean + reach) / (2.0 * reach) } else { MIDDLE };
        found.into_iter().zip(scores.iter().map(|&score| scale(score))).collect()
    }))
}

/// Adds up the scores of points that are in several lists.
fn summed<H: Scored>(lists: impl Iterator<Item = Vec<(H, f64)>>) -> Vec<H> {
    let mut places: FxHashMap<PointId, usize> = FxHashMap::default();
    let mut fused: Vec<(H, f64)> = Vec::new();
    for (hit, score) in lists.flatten() {
        match places.get(hit.id()) {
            Some(&place) => fused[place].1 += score,
            None => {
                places.insert(hit.id().clone(), fused.len());
                fused.push((hit, score));
            }
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    let mut fused: Vec<H> = fused.into_iter().map(|(hit, score)| hit.scored(score as f32)).collect();
    fused.sort_by(|a, b| by_score_then_id((a.score(), a.id()), (b.score(), b.id())));
    fused
}
