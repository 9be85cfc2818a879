//! Choosing among the nearest by how different they are from each other.

use std::borrow::Cow;

use super::Found;
use crate::error::{Error, Result};
use crate::model::vector::Vector;
use crate::sparse::SparseRow;
use crate::vectors::{Probe, Scorer};

/// Orders hits by maximal marginal relevance: at each step the one whose closeness to the query, less its closeness to what was
/// chosen before, is the largest. `O(n²)` scores for `n` hits.
///
/// # Errors
/// [`Error::InvalidQuery`] for a diversity that is not between 0 and 1.
pub(super) fn choose<'a>(using: &str, probe: &Probe<'_>, hits: Vec<Found<'a>>, diversity: f32, most: usize) -> Result<Vec<Found<'a>>> {
    if !(0.0..=1.0).contains(&diversity) {
        return Err(Error::query(format!("the diversity is {diversity}, not between 0 and 1")));
    }
    let relevance = closeness(using, probe, &hits);
    let mut nearest_chosen = vec![f32::NEG_INFINITY; hits.len()];
    let mut left: Vec<usize> = (0..hits.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < most {
        let worth = |at: usize| match chosen.is_empty() {
            true => relevance[at],
            // With zero added, since zeros of either sign are the same.
            false => (1.0 - diversity) * relevance[at] - diversity * nearest_chosen[at] + 0.0,
        };
        let Some(place) = (0..left.len()).max_by(|&a, &b| worth(left[a]).total_cmp(&worth(left[b]))) else { break };
        let next = left.swap_remove(place);
        chosen.push(next);
        let Some(vector) = vector_of(using, &hits[next]) else { continue };
        let closeness = match &vector {
            // From the candidate to the chosen one: the other way round is not the same.
            Vector::Multi(_) => hits.iter().map(|hit| close_to(using, hit, &hits[next])).collect(),
            _ => closeness(using, &Probe::one(Cow::Owned(vector)), &hits),
        };
        nearest_chosen.iter_mut().zip(closeness).for_each(|(nearest, score)| *nearest = nearest.max(score));
    }
    let mut hits: Vec<Option<Found<'a>>> = hits.into_iter().map(Some).collect();
    Ok(chosen.into_iter().filter_map(|at| hits[at].take()).collect())
}

/// Scores, with zero for sparse vectors that share no dimension.
fn closeness(using: &str, probe: &Probe<'_>, hits: &[Found<'_>]) -> Vec<f32> {
    scores(using, probe, hits).into_iter().map(|score| if score == f32::NEG_INFINITY { 0.0 } else { score }).collect()
}

fn close_to(using: &str, candidate: &Found<'_>, chosen: &Found<'_>) -> f32 {
    let vector = vector_of(using, candidate);
    let score = vector.and_then(|vector| scores(using, &Probe::one(Cow::Owned(vector)), std::slice::from_ref(chosen)).first().copied());
    score.unwrap_or(f32::NEG_INFINITY)
}

/// The vector of a hit.
pub(super) fn vector_of(using: &str, hit: &Found<'_>) -> Option<Vector> {
    hit.segment.vectors(hit.row, &|name| name == using).remove(using)
}

/// The inner score of each hit against a vector, which is made ready once for neighbouring hits of a segment; the least number
/// there is for hits without a vector and for sparse vectors that share no dimension.
pub(super) fn scores(using: &str, probe: &Probe<'_>, hits: &[Found<'_>]) -> Vec<f32> {
    let mut scores = vec![f32::NEG_INFINITY; hits.len()];
    let mut rest = &mut *scores;
    for hits in hits.chunk_by(|a, b| std::ptr::addr_eq(a.segment, b.segment)) {
        let (these, others) = rest.split_at_mut(hits.len());
        let segment = hits[0].segment;
        if let Some(field) = segment.field(using).filter(|field| probe.fits(field.space.dim, field.groups.is_some())) {
            let rows: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
            probe.row_scorer(field.space, field.rows, field.groups).score_many(&rows, these);
        } else if let [vector] = &*probe.vectors
            && let Some(vector) = vector.as_sparse().map(SparseRow::of)
        {
            let dot = |hit: &Found<'_>| vector.dot(&segment.sparse_row(using, hit.row)).unwrap_or(f32::NEG_INFINITY);
            these.iter_mut().zip(hits).for_each(|(score, hit)| *score = dot(hit));
        }
        rest = others;
    }
    scores
}
