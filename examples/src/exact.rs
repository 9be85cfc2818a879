//! Exact nearest neighbours by looking at every vector, and how much of them another search found.

use crate::npy::Matrix;

/// The rows with the largest inner product with a query, best first, among those `keep` holds for.
pub fn nearest(vectors: &Matrix, query: &[f32], limit: usize, keep: impl Fn(usize) -> bool) -> Vec<(usize, f32)> {
    let candidates = vectors.rows().enumerate().filter(|&(row, _)| keep(row));
    let mut scored: Vec<(usize, f32)> = candidates.map(|(row, vector)| (row, dot(vector, query))).collect();
    let better = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if scored.len() > limit {
        scored.select_nth_unstable_by(limit, better);
        scored.truncate(limit);
    }
    scored.sort_unstable_by(better);
    scored
}

/// How many of the found rows belong to the best, out of how many could. A row that scores as well as the worst of
/// `best` counts, because which of two equal rows comes first is nobody's fault.
pub fn found(vectors: &Matrix, query: &[f32], best: &[(usize, f32)], rows: &[usize]) -> (usize, usize) {
    let Some(&(_, worst)) = best.last() else { return (0, 0) };
    // Two loops over the same numbers in another order differ in the last bits.
    let good = rows.iter().filter(|&&row| dot(vectors.row(row), query) >= worst - 1e-6).count();
    (good.min(best.len()), best.len())
}

/// Inner product in eight lanes, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// A share of measured times: `quantile(&mut times, 0.5)` is the median. 0 when there are none.
pub fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    let index = (times.len().saturating_sub(1) as f64 * share).round() as usize;
    times.get(index).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first() {
        let vectors = Matrix { dim: 2, values: vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8, 0.8, 0.6] };
        let rows = |keep: fn(usize) -> bool| nearest(&vectors, &[1.0, 0.0], 2, keep).iter().map(|&(row, _)| row).collect::<Vec<_>>();
        assert_eq!(rows(|_| true), [0, 3]);
        assert_eq!(rows(|row| row != 0), [3, 2]);
        assert_eq!(rows(|row| row == 1), [1]);
    }

    #[test]
    fn equal_rows_count_as_found() {
        let vectors = Matrix { dim: 1, values: vec![1.0, 1.0, 0.5] };
        let best = nearest(&vectors, &[1.0], 1, |_| true);
        assert_eq!(found(&vectors, &[1.0], &best, &[1]), (1, 1));
        assert_eq!(found(&vectors, &[1.0], &best, &[2]), (0, 1));
    }

    #[test]
    fn quantiles_of_few_times() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
