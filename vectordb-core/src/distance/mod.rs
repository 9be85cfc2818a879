//! Scoring loops: one query against a batch of rows.
//!
//! A [`Kernel`] is a pointer to such a loop, chosen once per query for metric, element type and CPU. Pointing at the loop
//! and not at the distance keeps metric and element *data* instead of types at no measurable price. A score inside the
//! engine is always "larger is closer"; [`Metric::user_score`] turns it into the user's number at the very end.
//!
//! Files: `scalar` holds the portable loops, which are the oracle of all others; `x86` those for AVX2 and AVX-512;
//! `portable` those of the SimSIMD library, used on CPUs for which we have no loop of our own.

mod codes;
#[cfg(all(feature = "simsimd", target_arch = "aarch64"))]
mod portable;
mod scalar;
mod transform;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::model::config::{Datatype, Distance};

pub(crate) use codes::{CodeKernel, CodeQuery, CodeRows, HEADER, Width};
pub(crate) use transform::{centre_codes, dot, fit_grid, hadamard, largest, quantize, to_bytes};

/// A loop that scores rows of raw elements against a query: one score for each row.
///
/// Every row has `query.len()` elements, and `out` is as long as `rows`; [`Kernel::score_many`] checks both.
type Loop = fn(query: &[f32], rows: &[&[u8]], out: &mut [f32]);

/// How two vectors are compared inside the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Dot product; also Cosine, whose vectors are stored with length 1.
    Dot,
    /// Dot product divided by the row's length: Cosine over elements that cannot hold a normalised vector.
    RowCosine,
    /// Minus the squared Euclidean distance.
    Euclid,
    /// Minus the sum of absolute differences.
    Manhattan,
}

impl Metric {
    /// The metric of a vector field.
    pub(crate) fn of(distance: Distance, datatype: Datatype) -> Self {
        match (distance, datatype) {
            (Distance::Cosine, Datatype::Uint8) => Self::RowCosine,
            (Distance::Cosine | Distance::Dot, _) => Self::Dot,
            (Distance::Euclid, _) => Self::Euclid,
            (Distance::Manhattan, _) => Self::Manhattan,
        }
    }

    /// The number a user sees for an inner score.
    pub(crate) fn user_score(self, score: f32) -> f32 {
        match self {
            Self::Dot | Self::RowCosine => score,
            Self::Euclid => (-score).max(0.0).sqrt(),
            Self::Manhattan => -score,
        }
    }

    /// The inner score of a user's number.
    pub(crate) fn inner_score(self, score: f32) -> f32 {
        match self {
            Self::Dot | Self::RowCosine => score,
            // A negative distance is closer than anything, so its sign must stay.
            Self::Euclid => -(score * score.abs()),
            Self::Manhattan => -score,
        }
    }
}

/// The scoring loop for a metric, an element type and this CPU.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    run: Loop,
    element_bytes: usize,
}

impl Kernel {
    /// The fastest loop this CPU has.
    pub(crate) fn select(metric: Metric, datatype: Datatype) -> Self {
        Self { run: fastest(metric, datatype), element_bytes: datatype.bytes() }
    }

    /// The portable loop, the oracle of the others.
    #[cfg(test)]
    pub(crate) fn scalar(metric: Metric, datatype: Datatype) -> Self {
        Self { run: scalar::select(metric, datatype), element_bytes: datatype.bytes() }
    }

    /// Scores rows; `rows[i]` must hold `query.len()` elements. A row of another length scores minus infinity.
    pub(crate) fn score_many(&self, query: &[f32], rows: &[&[u8]], out: &mut [f32]) {
        let stride = query.len() * self.element_bytes;
        // The loops read `query.len()` elements of each row without looking at its length, so this check is what keeps
        // them inside: it costs a compare for each row against hundreds of instructions of scoring.
        if out.len() == rows.len() && rows.iter().all(|row| row.len() == stride) {
            (self.run)(query, rows, out);
        } else {
            out.fill(f32::NEG_INFINITY);
        }
    }

    /// Scores one row.
    #[cfg(test)]
    pub(crate) fn score(&self, query: &[f32], row: &[u8]) -> f32 {
        let mut out = [0.0];
        self.score_many(query, &[row], &mut out);
        out[0]
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({} bytes an element)", self.element_bytes)
    }
}

fn fastest(metric: Metric, datatype: Datatype) -> Loop {
    #[cfg(target_arch = "x86_64")]
    if let Some(run) = x86::select(metric, datatype) {
        return run;
    }
    #[cfg(all(feature = "simsimd", target_arch = "aarch64"))]
    if let Some(run) = portable::select(metric, datatype) {
        return run;
    }
    scalar::select(metric, datatype)
}

/// Asks the CPU to load a row, all of it: rows of small elements gain most, large ones lose nothing.
#[inline]
pub(crate) fn prefetch(row: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(row);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    const METRICS: [Metric; 4] = [Metric::Dot, Metric::RowCosine, Metric::Euclid, Metric::Manhattan];

    fn encode(values: &[f32], datatype: Datatype) -> Vec<u8> {
        match datatype {
            Datatype::Float32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Datatype::Float16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            Datatype::Uint8 => values.iter().map(|&v| (v.abs() * 60.0) as u8).collect(),
        }
    }

    #[test]
    fn every_kernel_agrees_with_the_scalar_one() {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 * 2.0 - 2.0
        };
        for len in (0..70).chain([96, 127, 128, 129, 255, 384, 1536, 1537]) {
            let query: Vec<f32> = (0..len).map(|_| next()).collect();
            for datatype in [Datatype::Float32, Datatype::Float16, Datatype::Uint8] {
                let rows: Vec<Vec<u8>> = (0..11).map(|_| encode(&(0..len).map(|_| next()).collect::<Vec<_>>(), datatype)).collect();
                let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
                for metric in METRICS {
                    for count in 0..rows.len() {
                        let (mut fast, mut slow) = (vec![0.0; count], vec![0.0; count]);
                        Kernel::select(metric, datatype).score_many(&query, &rows[..count], &mut fast);
                        Kernel::scalar(metric, datatype).score_many(&query, &rows[..count], &mut slow);
                        for (fast, slow) in fast.iter().zip(&slow) {
                            let error = (fast - slow).abs() / (1.0 + slow.abs());
                            assert!(error < 1e-4, "{metric:?} {datatype:?} len {len}: {fast} instead of {slow}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_of_the_wrong_length_is_never_read() {
        let kernel = Kernel::select(Metric::Dot, Datatype::Float32);
        assert_eq!(kernel.score(&[1.0; 8], &[0; 31]), f32::NEG_INFINITY);
    }

    #[test]
    fn user_scores_round_trip() {
        for metric in METRICS {
            assert!((metric.user_score(metric.inner_score(0.75)) - 0.75).abs() < 1e-6);
        }
    }
}
