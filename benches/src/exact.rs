//! Exact nearest neighbours, the engine aside.

/// Squared Euclidean distance, in eight lanes, which the compiler turns into vector instructions.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            let difference = a[lane] - b[lane];
            lanes[lane] += difference * difference;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum::<f32>()
}

/// The smallest distances seen so far.
#[derive(Debug, Clone)]
pub struct Nearest {
    limit: usize,
    distances: Vec<f32>,
}

impl Nearest {
    /// Keeps `limit` distances.
    pub fn new(limit: usize) -> Self {
        Self { limit, distances: Vec::with_capacity(limit + 1) }
    }

    /// Offers a distance.
    pub fn offer(&mut self, distance: f32) {
        if self.distances.len() < self.limit || self.distances.last().is_some_and(|&worst| distance < worst) {
            let place = self.distances.partition_point(|&each| each <= distance);
            self.distances.insert(place, distance);
            self.distances.truncate(self.limit);
        }
    }

    /// How many of the found distances are among the smallest, out of how many could be. Equal distances are equally good.
    pub fn found(&self, distances: impl IntoIterator<Item = f32>) -> Found {
        let worst = self.worst();
        let good = distances.into_iter().filter(|&distance| distance <= worst).count();
        Found { good: good.min(self.distances.len()), all: self.distances.len() }
    }

    /// The largest of the smallest distances; minus infinity when there is none.
    pub fn worst(&self) -> f32 {
        self.distances.last().copied().unwrap_or(f32::NEG_INFINITY)
    }

    /// How many there are, at most the limit.
    pub fn len(&self) -> usize {
        self.distances.len()
    }

    /// Whether nothing was offered.
    pub fn is_empty(&self) -> bool {
        self.distances.is_empty()
    }
}

/// Neighbours found out of those there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Found.
    pub good: usize,
    /// There.
    pub all: usize,
}

impl Found {
    /// The share found; 1 when there was nothing to find.
    pub fn recall(self) -> f64 {
        if self.all == 0 { 1.0 } else { self.good as f64 / self.all as f64 }
    }
}

impl std::ops::AddAssign for Found {
    fn add_assign(&mut self, other: Self) {
        self.good += other.good;
        self.all += other.all;
    }
}

/// A share of measured times: `quantile(&mut times, 0.5)` is the median; 0 when there are none.
pub fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let index = (times.len().saturating_sub(1) as f64 * share).round() as usize;
    times.get(index).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_are_kept() {
        let mut nearest = Nearest::new(3);
        for distance in [5.0, 1.0, 4.0, 1.0, 9.0, 2.0] {
            nearest.offer(distance);
        }
        assert_eq!(nearest.distances, [1.0, 1.0, 2.0]);
        assert_eq!(nearest.found([1.0, 2.0, 4.0]), Found { good: 2, all: 3 });
        assert_eq!(nearest.found([2.0; 5]).recall(), 1.0);
    }

    #[test]
    fn distances_count_every_dimension() {
        let a: Vec<f32> = (0..19u8).map(f32::from).collect();
        assert_eq!(distance(&a, &[0.0; 19]), (0..19u16).map(|n| f32::from(n * n)).sum::<f32>());
    }
}
