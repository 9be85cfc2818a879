//! Choosing among the nearest by how different they are from each other.

use super::{Found, Reading};
use crate::error::{Error, Result};
use crate::vectors::{RowScorer, Scorer, Space};

/// Orders hits by maximal marginal relevance: at each step the one whose closeness to the query, less its closeness to what was
/// chosen before, is the largest. `O(n²)` scores for `n` hits.
///
/// # Errors
/// [`Error::InvalidQuery`] for a diversity that is not between 0 and 1.
pub(super) fn choose<'a>(
    reading: &Reading<'a>,
    using: &str,
    query: &[f32],
    hits: Vec<Found<'a>>,
    diversity: f32,
    most: usize,
) -> Result<Vec<Found<'a>>> {
    if !(0.0..=1.0).contains(&diversity) {
        return Err(Error::query(format!("the diversity is {diversity}, not between 0 and 1")));
    }
    let space = Space::of(reading.config.vector(using)?);
    let relevance = scores(space, using, query, &hits);
    let mut nearest_chosen = vec![f32::NEG_INFINITY; hits.len()];
    let mut left: Vec<usize> = (0..hits.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < most {
        let worth = |at: usize| match chosen.is_empty() {
            true => relevance[at],
            false => (1.0 - diversity) * relevance[at] - diversity * nearest_chosen[at],
        };
        let Some(place) = (0..left.len()).max_by(|&a, &b| worth(left[a]).total_cmp(&worth(left[b]))) else { break };
        let next = left.swap_remove(place);
        chosen.push(next);
        let Some(field) = hits[next].segment.field(using) else { continue };
        let vector = field.space.decode(field.rows.get(hits[next].row));
        for (nearest, score) in nearest_chosen.iter_mut().zip(scores(space, using, &vector, &hits)) {
            *nearest = nearest.max(score);
        }
    }
    let mut hits: Vec<Option<Found<'a>>> = hits.into_iter().map(Some).collect();
    Ok(chosen.into_iter().filter_map(|at| hits[at].take()).collect())
}

/// The inner score of each hit against a vector, which is made ready once for neighbouring hits of a segment.
pub(super) fn scores(space: Space, using: &str, vector: &[f32], hits: &[Found<'_>]) -> Vec<f32> {
    let mut scores = vec![f32::NEG_INFINITY; hits.len()];
    let mut rest = &mut *scores;
    for hits in hits.chunk_by(|a, b| std::ptr::addr_eq(a.segment, b.segment)) {
        let (these, others) = rest.split_at_mut(hits.len());
        if let Some(field) = hits[0].segment.field(using).filter(|field| field.space.dim == vector.len()) {
            let rows: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
            RowScorer::new(space, vector, field.rows).score_many(&rows, these);
        }
        rest = others;
    }
    scores
}
