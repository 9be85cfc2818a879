//! Which of many candidates become neighbours: algorithm 4 of the paper, with pruned candidates filling what is left.

use crate::vectors::{RowScorer, Rows, Space};

/// Keeps at most `keep` of the candidates, given best first: one that is closer to a kept neighbour than to the row itself is
/// reached through that neighbour and left out, unless there is room in the end.
pub(super) fn select(space: Space, rows: Rows<'_>, candidates: &[(f32, u32)], keep: usize) -> Vec<u32> {
    if candidates.len() <= keep {
        return candidates.iter().map(|&(_, row)| row).collect();
    }
    let mut kept: Vec<u32> = Vec::with_capacity(keep);
    let mut pruned: Vec<u32> = Vec::new();
    for &(score, row) in candidates {
        if kept.len() == keep {
            break;
        }
        if kept.is_empty() || !is_shadowed(space, rows, row, score, &kept) {
            kept.push(row);
        } else {
            pruned.push(row);
        }
    }
    let room = keep - kept.len();
    kept.extend(pruned.into_iter().take(room));
    kept
}

/// Whether a kept neighbour is closer to the candidate than the candidate is to its row.
fn is_shadowed(space: Space, rows: Rows<'_>, candidate: u32, score: f32, kept: &[u32]) -> bool {
    let scorer = RowScorer::of_row(space, candidate, rows);
    let mut scores = [0.0; 8];
    kept.chunks(8).any(|chunk| {
        scorer.score_many(chunk, &mut scores[..chunk.len()]);
        scores[..chunk.len()].iter().any(|&between| between > score)
    })
}
