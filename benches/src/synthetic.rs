//! Synthetic vectors with the traits that make real ones searchable, the same for every run with the same seed.
//!
//! Uniform noise has no near neighbours worth finding. Here a vector belongs to one of many clusters of different sizes
//! and lies in the cluster's own subspace of few dimensions, with a little noise in all. Values are whole numbers from 0
//! to 255, like the histograms of image features, so that sums of squares are exact in float32.

/// A small generator of random numbers (Steele, Lea & Flood 2014: SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for a seed; `stream` tells generators of one seed apart.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    /// 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias is below end / 2^64.
        self.next() % end
    }

    /// A number from 0 to 1, without 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Nearly normally distributed, by the sum of four uniform numbers: smooth enough for clusters, and four times as
    /// fast as an exact method, which counts when a base of vectors is made again for every exact search.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|part| (bits >> (part * 16)) & 0xffff).sum();
        // Four uniform numbers have mean 2 and variance 1/3.
        (sum as f32 / 65536.0 - 2.0) * 1.732_050_8
    }
}

const CLUSTERS: u64 = 400;
const LATENT: usize = 14;

/// A source of vectors: any of 2^64, each made when asked for.
#[derive(Debug)]
pub struct Source {
    seed: u64,
    dim: usize,
    /// `CLUSTERS` × `dim`.
    centres: Vec<f32>,
    /// `CLUSTERS` × `LATENT` × `dim`.
    bases: Vec<f32>,
}

/// Numbers of vectors from here on are queries: no base is ever that large.
pub const QUERIES: u64 = 1 << 60;

impl Source {
    /// A source of vectors of `dim` values.
    pub fn new(seed: u64, dim: usize) -> Self {
        let mut random = Random::new(seed, u64::MAX);
        let clusters = CLUSTERS as usize;
        // Centres share a coarse structure too: they lie near a few axes.
        let axes: Vec<f32> = (0..LATENT * dim).map(|_| random.normal()).collect();
        let mut centres = vec![0.0; clusters * dim];
        for centre in centres.chunks_exact_mut(dim) {
            centre.fill(70.0);
            for axis in axes.chunks_exact(dim) {
                let weight = random.normal() * 9.0;
                centre.iter_mut().zip(axis).for_each(|(value, axis)| *value += weight * axis);
            }
        }
        let bases = (0..clusters * LATENT * dim).map(|_| random.normal()).collect();
        Self { seed, dim, centres, bases }
    }

    /// A vector by its number.
    pub fn vector(&self, number: u64) -> Vec<f32> {
        let mut vector = vec![0.0; self.dim];
        self.fill(number, &mut vector);
        vector
    }

    /// Writes a vector of this source's dimensions.
    pub fn fill(&self, number: u64, vector: &mut [f32]) {
        let mut random = Random::new(self.seed, number);
        // Squared, so that some clusters have many times the points of others.
        let share = random.unit();
        let cluster = (share * share * CLUSTERS as f32) as usize;
        vector.copy_from_slice(&self.centres[cluster * self.dim..(cluster + 1) * self.dim]);
        for (depth, axis) in self.bases[cluster * LATENT * self.dim..].chunks_exact(self.dim).take(LATENT).enumerate() {
            let weight = random.normal() * 8.0 / (1.0 + depth as f32 * 0.3);
            vector.iter_mut().zip(axis).for_each(|(value, axis)| *value += weight * axis);
        }
        for value in vector {
            *value = (*value + random.normal() * 3.0).round().clamp(0.0, 255.0);
        }
    }

    /// A query: a vector of the same kind that no base holds.
    pub fn query(&self, number: u64) -> Vec<f32> {
        self.vector(QUERIES + number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::distance;

    #[test]
    fn a_seed_says_everything() {
        let [a, b, c] = [1, 1, 2].map(|seed| Source::new(seed, 32).vector(77));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn vectors_have_near_neighbours_and_far_strangers() {
        let source = Source::new(1, 64);
        let base: Vec<Vec<f32>> = (0..4000).map(|number| source.vector(number)).collect();
        let contrast = |query: u64| {
            let query = source.query(query);
            let mut distances: Vec<f32> = base.iter().map(|vector| distance(vector, &query).sqrt()).collect();
            distances.sort_by(f32::total_cmp);
            distances[distances.len() / 2] / distances[0]
        };
        let mean = (0..50).map(contrast).sum::<f32>() / 50.0;
        // Uniform noise in 64 dimensions is below 1.5.
        assert!(mean > 1.8, "the median is only {mean} times as far as the nearest");
        assert!(base.iter().flatten().all(|value| (0.0..=255.0).contains(value) && value.fract() == 0.0));
        let clipped = base.iter().flatten().filter(|&&value| value == 0.0 || value == 255.0).count();
        assert!(clipped < 4000 * 64 / 5, "{clipped} values are cut off");
    }
}
