//! A random rotation that costs `d log d`: signs are flipped at random, and a Walsh–Hadamard transform mixes what follows
//! (Ailon & Chazelle 2009). The transform wants a power of two, so one round mixes the first dimensions and another the last.

use crate::distance::hadamard;

/// A rotation of vectors of one length; equal seeds make equal rotations.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    seed: u64,
    /// 1 or -1 for each dimension that a round mixes.
    signs: [Vec<f32>; 2],
}

impl Rotation {
    pub(crate) fn new(dim: usize, seed: u64) -> Self {
        let mixed = if dim == 0 { 0 } else { 1 << dim.ilog2() };
        let mut state = seed;
        let mut sign = || {
            // SplitMix64 (Steele, Lea & Flood 2014).
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut bits = state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            if (bits ^ (bits >> 31)) & 1 == 0 { 1.0 } else { -1.0 }
        };
        Self { seed, signs: std::array::from_fn(|_| (0..mixed).map(|_| sign()).collect()) }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Rotates a vector of the rotation's length.
    pub(crate) fn apply(&self, vector: &mut [f32]) {
        let [first, last] = &self.signs;
        let start = vector.len().saturating_sub(last.len());
        mix(&mut vector[..first.len()], first);
        mix(&mut vector[start..], last);
    }
}

fn mix(values: &mut [f32], signs: &[f32]) {
    values.iter_mut().zip(signs).for_each(|(value, sign)| *value *= sign);
    hadamard(values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_stay_and_energy_is_spread() {
        for dim in [1, 2, 3, 100, 384, 1536] {
            let mut vector = vec![0.0; dim];
            vector[dim / 2] = 2.0;
            Rotation::new(dim, 1).apply(&mut vector);
            let square: f32 = vector.iter().map(|v| v * v).sum();
            assert!((square - 4.0).abs() < 1e-4, "{dim}: {square}");
            if dim > 50 {
                assert!(vector.iter().all(|v| v.abs() < 0.8), "{dim}");
            }
        }
        Rotation::new(0, 1).apply(&mut []);
    }
}
