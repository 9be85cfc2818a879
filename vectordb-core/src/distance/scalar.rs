//! Portable loops: slow, obvious, and the oracle of all others.

use half::f16;

use super::{Loop, Metric};
use crate::model::config::Datatype;

/// The loop for a metric and an element type; there is one for each.
pub(super) fn select(metric: Metric, datatype: Datatype) -> Loop {
    match datatype {
        Datatype::Float32 => of_f32(metric),
        Datatype::Float16 => of_f16(metric),
        Datatype::Uint8 => of_u8(metric),
    }
}

macro_rules! loops {
    ($metric:expr, $bytes:literal, $read:expr) => {
        match $metric {
            Metric::Dot => |query, rows, out| each_row(rows, out, |row| fold::<$bytes>(query, row, $read, |q, v| q * v)),
            Metric::RowCosine => |query, rows, out| {
                each_row(rows, out, |row| {
                    let dot = fold::<$bytes>(query, row, $read, |q, v| q * v);
                    cosine(dot, fold::<$bytes>(query, row, $read, |_, v| v * v))
                });
            },
            Metric::Euclid => |query, rows, out| each_row(rows, out, |row| -fold::<$bytes>(query, row, $read, |q, v| (q - v) * (q - v))),
            Metric::Manhattan => |query, rows, out| each_row(rows, out, |row| -fold::<$bytes>(query, row, $read, |q, v| (q - v).abs())),
        }
    };
}

fn of_f32(metric: Metric) -> Loop {
    loops!(metric, 4, |bytes: &[u8; 4]| f32::from_le_bytes(*bytes))
}

fn of_f16(metric: Metric) -> Loop {
    loops!(metric, 2, |bytes: &[u8; 2]| f16::from_le_bytes(*bytes).to_f32())
}

fn of_u8(metric: Metric) -> Loop {
    loops!(metric, 1, |bytes: &[u8; 1]| f32::from(bytes[0]))
}

/// A dot product with a row of this squared length, as a cosine; a row of zeros is like nothing.
pub(super) fn cosine(dot: f32, squared_length: f32) -> f32 {
    if squared_length > 0.0 { dot / squared_length.sqrt() } else { 0.0 }
}

fn each_row(rows: &[&[u8]], out: &mut [f32], score: impl Fn(&[u8]) -> f32) {
    for (row, out) in rows.iter().zip(out) {
        *out = score(row);
    }
}

fn fold<const N: usize>(query: &[f32], row: &[u8], read: impl Fn(&[u8; N]) -> f32, step: impl Fn(f32, f32) -> f32) -> f32 {
    let (elements, _) = row.as_chunks::<N>();
    query.iter().zip(elements).map(|(&q, bytes)| step(q, read(bytes))).sum()
}
