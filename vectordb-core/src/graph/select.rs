//! Which of many candidates become neighbours: algorithm 4 of the paper, with pruned candidates filling what is left.

use crate::vectors::{RowSet, Scorer};

/// Keeps at most `keep` of the candidates, given best first: one that is closer to a kept neighbour than to the row itself is
/// reached through that neighbour and left out, unless there is room in the end.
///
/// Each kept neighbour is compared with all candidates that are left at once: a query is prepared for every neighbour kept and
/// not for every candidate, and kernels get long batches.
pub(super) fn select(set: &impl RowSet, candidates: &[(f32, u32)], keep: usize) -> Vec<u32> {
    if candidates.len() <= keep {
        return candidates.iter().map(|&(_, row)| row).collect();
    }
    let mut kept: Vec<u32> = Vec::with_capacity(keep);
    let mut shadowed: Vec<(f32, u32)> = Vec::new();
    let mut open = candidates.to_vec();
    let (mut rows, mut scores) = (Vec::with_capacity(open.len()), Vec::with_capacity(open.len()));
    while kept.len() < keep && !open.is_empty() {
        let (_, nearest) = open.remove(0);
        kept.push(nearest);
        if kept.len() == keep {
            break;
        }
        rows.clear();
        rows.extend(open.iter().map(|&(_, row)| row));
        scores.clear();
        scores.resize(rows.len(), 0.0);
        set.scorer_of(nearest).score_many(&rows, &mut scores);
        let mut between = scores.iter();
        open.retain(|candidate| {
            let stays = between.next().is_none_or(|&between| between <= candidate.0);
            if !stays {
                shadowed.push(*candidate);
            }
            stays
        });
    }
    // The nearest of those left out fill what is left.
    shadowed.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let room = keep - kept.len();
    kept.extend(shadowed.into_iter().take(room).map(|(_, row)| row));
    kept
}
