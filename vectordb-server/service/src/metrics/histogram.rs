//! How long things took.

use std::time::Duration;

/// Upper bounds of the buckets, in seconds; the last bucket has none.
pub(crate) const BOUNDS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0];

/// Counts of durations by bucket, with their sum and extremes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    pub(crate) sum: f64,
    extremes: Option<(f64, f64)>,
}

impl Histogram {
    pub(crate) fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.counts[BOUNDS.partition_point(|&bound| bound < seconds)] += 1;
        self.sum += seconds;
        let (least, most) = self.extremes.unwrap_or((seconds, seconds));
        self.extremes = Some((least.min(seconds), most.max(seconds)));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
        self.extremes = match (self.extremes, other.extremes) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds; zero when nothing was measured.
    pub(crate) fn average(&self) -> f64 {
        if self.count() == 0 { 0.0 } else { self.sum / self.count() as f64 }
    }

    /// Seconds; zero when nothing was measured.
    pub(crate) fn least(&self) -> f64 {
        self.extremes.map_or(0.0, |(least, _)| least)
    }

    /// Seconds; zero when nothing was measured.
    pub(crate) fn most(&self) -> f64 {
        self.extremes.map_or(0.0, |(_, most)| most)
    }

    /// Bounds, with how much is at most as large.
    pub(crate) fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts).map(move |(bound, count)| {
            total += count;
            (bound, total)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let mut histogram = Histogram::default();
        for millis in [1, 2, 3, 100, 101, 60_000] {
            histogram.add(Duration::from_millis(millis));
        }
        let at = |bound: f64| histogram.cumulated().find(|(found, _)| *found == bound).expect("a bucket").1;
        assert_eq!((at(0.001), at(0.002), at(0.005), at(0.1), at(0.2), at(50.0), at(f64::INFINITY)), (1, 2, 3, 4, 5, 5, 6));
        assert_eq!((histogram.count(), histogram.least(), histogram.most()), (6, 0.001, 60.0));
        let mut both = histogram.clone();
        both.merge(&histogram);
        both.merge(&Histogram::default());
        assert_eq!((both.count(), both.average(), both.most()), (12, histogram.average(), 60.0));
    }
}
