//! Loops of the SimSIMD library, for CPUs without loops of our own: there its NEON and SVE kernels are the best we know.

use simsimd::SpatialSimilarity;

use super::{Loop, Metric};
use crate::model::config::Datatype;

/// The loop, where SimSIMD has one.
pub(super) fn select(metric: Metric, datatype: Datatype) -> Option<Loop> {
    match (metric, datatype) {
        (Metric::Dot, Datatype::Float32) => Some(dot_f32),
        (Metric::Euclid, Datatype::Float32) => Some(euclid_f32),
        _ => None,
    }
}

/// Scores each row, taking the scalar loop for a row that is not aligned to its element.
fn each<T: bytemuck::AnyBitPattern>(query: &[f32], rows: &[&[u8]], out: &mut [f32], fallback: Loop, score: impl Fn(&[T]) -> Option<f64>) {
    for (row, out) in rows.iter().zip(out) {
        match bytemuck::try_cast_slice(row).ok().and_then(&score) {
            #[expect(clippy::cast_possible_truncation, reason = "scores are f32 everywhere")]
            Some(value) => *out = value as f32,
            None => fallback(query, &[row], std::slice::from_mut(out)),
        }
    }
}

fn dot_f32(query: &[f32], rows: &[&[u8]], out: &mut [f32]) {
    each::<f32>(query, rows, out, super::scalar::select(Metric::Dot, Datatype::Float32), |row| f32::dot(query, row));
}

fn euclid_f32(query: &[f32], rows: &[&[u8]], out: &mut [f32]) {
    each::<f32>(query, rows, out, super::scalar::select(Metric::Euclid, Datatype::Float32), |row| f32::l2sq(query, row).map(|d| -d));
}
