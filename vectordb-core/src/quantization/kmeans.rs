//! K-means (Lloyd 1982), with the distances of a whole batch as one matrix product.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Rows compared with all centroids at once.
const BATCH: usize = 1024;

/// `k` centers of `dim` numbers each, row-major, and half the squared length of each.
#[derive(Debug)]
pub(crate) struct Centroids {
    dim: usize,
    centers: Vec<f32>,
    half_squares: Vec<f32>,
}

impl Centroids {
    /// Learns centers from a sample (`n × dim`, row-major) in some rounds. Costs `rounds * n * k * dim` multiplications.
    ///
    /// The first centers are rows spread evenly over the sample; a center that loses all its rows stays where it is.
    pub(crate) fn learn(sample: &[f32], dim: usize, k: usize, rounds: usize) -> Self {
        let rows = sample.len() / dim.max(1);
        let k = k.clamp(1, rows.max(1));
        let picked = (0..k).flat_map(|center| &sample[(center * rows / k) * dim..][..dim]);
        let mut centroids = Self { dim, centers: picked.copied().collect(), half_squares: Vec::new() };
        centroids.measure();
        for _ in 0..rounds {
            let nearest = centroids.nearest(sample);
            let mut sums = vec![0.0f32; k * dim];
            let mut counts = vec![0u32; k];
            for (row, &center) in sample.chunks_exact(dim).zip(&nearest) {
                counts[center as usize] += 1;
                let sum = &mut sums[center as usize * dim..][..dim];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            for (center, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let mean = sums[center * dim..][..dim].iter().map(|sum| sum / count as f32);
                centroids.centers[center * dim..][..dim].iter_mut().zip(mean).for_each(|(old, new)| *old = new);
            }
            centroids.measure();
        }
        centroids
    }

    /// The centers, row-major.
    pub(crate) fn centers(&self) -> &[f32] {
        &self.centers
    }

    fn measure(&mut self) {
        self.half_squares = self.centers.chunks_exact(self.dim).map(|center| center.iter().map(|v| v * v).sum::<f32>() / 2.0).collect();
    }

    /// The nearest center of each row, by Euclidean distance.
    pub(crate) fn nearest(&self, rows: &[f32]) -> Vec<u32> {
        let k = self.half_squares.len();
        let mut found = Vec::with_capacity(rows.len() / self.dim.max(1));
        let mut products = vec![0.0f32; BATCH * k];
        for batch in rows.chunks(BATCH * self.dim) {
            let count = batch.len() / self.dim;
            let products = &mut products[..count * k];
            let left = MatRef::from_row_major_slice(batch, count, self.dim);
            let right = MatRef::from_row_major_slice(&self.centers, k, self.dim);
            matmul(MatMut::from_row_major_slice_mut(products, count, k), Accum::Replace, left, right.transpose(), 1.0, Par::Seq);
            // |x - c|² is smallest where x·c - |c|²/2 is largest.
            found.extend(products.chunks_exact(k).map(|row| {
                let scores = row.iter().zip(&self.half_squares).map(|(product, half)| product - half);
                let best = (0u32..).zip(scores).max_by(|a, b| a.1.total_cmp(&b.1));
                best.map_or(0, |(center, _)| center)
            }));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_heaps_get_a_center_each() {
        let heaps = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]];
        let rows: Vec<f32> = (0..400).flat_map(|n| heaps[n / 100].map(|v| v + (n % 10) as f32 * 0.01)).collect();
        let nearest = Centroids::learn(&rows, 2, 4, 5).nearest(&rows);
        for heap in 0..4 {
            assert!(nearest[heap * 100..][..100].iter().all(|center| *center == nearest[heap * 100]));
        }
        assert_eq!(nearest.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn fewer_rows_than_centers_work() {
        assert_eq!(Centroids::learn(&[1.0, 2.0], 2, 8, 3).nearest(&[1.0, 2.0]), [0]);
        assert!(Centroids::learn(&[0.0; 30], 3, 4, 2).nearest(&[]).is_empty());
    }
}
