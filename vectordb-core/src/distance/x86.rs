//! Loops for x86-64: AVX2 with FMA and F16C, and AVX-512.
//!
//! Each loop takes four rows at a time, so that one load of the query serves four rows and eight independent sums hide
//! the latency of the multiply-adds. Measured in cache at 384 dimensions, that is 3 to 4 times the speed of one sum.
#![expect(unsafe_code, reason = "vector intrinsics")]

use std::arch::x86_64::*;
use std::sync::OnceLock;

use half::f16;

use super::scalar::cosine;
use super::{Loop, Metric};
use crate::model::config::Datatype;

/// What this CPU can do; asked once.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    None,
    Avx2,
    Avx512,
}

fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        match avx2 {
            true if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") => {
                Level::Avx512
            }
            true => Level::Avx2,
            false => Level::None,
        }
    })
}

/// The loop for this CPU, if it has the instructions.
pub(super) fn select(metric: Metric, datatype: Datatype) -> Option<Loop> {
    match level() {
        Level::Avx512 => Some(select_avx512(metric, datatype)),
        Level::Avx2 => Some(select_avx2(metric, datatype)),
        Level::None => None,
    }
}

/// Asks for all cache lines of a row.
#[inline]
pub(super) fn prefetch(row: &[u8]) {
    for line in row.chunks(64) {
        // SAFETY: SSE is part of x86-64, and a prefetch reads nothing and faults on nothing; the address is inside `row`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// Reads one element at `$row[$i]` as f32, for the dimensions behind the last full vector.
macro_rules! element {
    (f32, $row:ident, $i:expr) => {
        $row.cast::<f32>().add($i).read_unaligned()
    };
    (f16, $row:ident, $i:expr) => {
        $row.cast::<f16>().add($i).read_unaligned().to_f32()
    };
    (u8, $row:ident, $i:expr) => {
        f32::from(*$row.add($i))
    };
}

/// Loads 8 elements at `$row[$i]` as f32.
macro_rules! load8 {
    (f32, $row:ident, $i:expr) => {
        _mm256_loadu_ps($row.cast::<f32>().add($i))
    };
    (f16, $row:ident, $i:expr) => {
        _mm256_cvtph_ps(_mm_loadu_si128($row.cast::<f16>().add($i).cast()))
    };
    (u8, $row:ident, $i:expr) => {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64($row.add($i).cast())))
    };
}

/// Loads 16 elements at `$row[$i]` as f32.
macro_rules! load16 {
    (f32, $row:ident, $i:expr) => {
        _mm512_loadu_ps($row.cast::<f32>().add($i))
    };
    (f16, $row:ident, $i:expr) => {
        _mm512_cvtph_ps(_mm256_loadu_si256($row.cast::<f16>().add($i).cast()))
    };
    (u8, $row:ident, $i:expr) => {
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128($row.add($i).cast())))
    };
}

macro_rules! step8 {
    (dot, $sum:expr, $q:expr, $v:expr) => {
        _mm256_fmadd_ps($q, $v, $sum)
    };
    (euclid, $sum:expr, $q:expr, $v:expr) => {{
        let d = _mm256_sub_ps($q, $v);
        _mm256_fmadd_ps(d, d, $sum)
    }};
    (manhattan, $sum:expr, $q:expr, $v:expr) => {
        _mm256_add_ps($sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_sub_ps($q, $v)))
    };
    (square, $sum:expr, $q:expr, $v:expr) => {{
        let _ = $q;
        _mm256_fmadd_ps($v, $v, $sum)
    }};
}

macro_rules! step16 {
    (dot, $sum:expr, $q:expr, $v:expr) => {
        _mm512_fmadd_ps($q, $v, $sum)
    };
    (euclid, $sum:expr, $q:expr, $v:expr) => {{
        let d = _mm512_sub_ps($q, $v);
        _mm512_fmadd_ps(d, d, $sum)
    }};
    (manhattan, $sum:expr, $q:expr, $v:expr) => {
        _mm512_add_ps($sum, _mm512_abs_ps(_mm512_sub_ps($q, $v)))
    };
    (square, $sum:expr, $q:expr, $v:expr) => {{
        let _ = $q;
        _mm512_fmadd_ps($v, $v, $sum)
    }};
}

macro_rules! step1 {
    (dot, $q:expr, $v:expr) => {
        $q * $v
    };
    (euclid, $q:expr, $v:expr) => {
        ($q - $v) * ($q - $v)
    };
    (manhattan, $q:expr, $v:expr) => {
        ($q - $v).abs()
    };
    (square, $q:expr, $v:expr) => {{
        let _ = $q;
        $v * $v
    }};
}

/// Defines `$name`, which sums `$op` over the dimensions of `N` rows of `$element` at once.
macro_rules! sums {
    ($name:ident, $features:literal, $zero:ident, $width:literal, $load_query:ident, $load:ident, $step:ident, $reduce:ident, $add:ident, $element:tt, $op:tt) => {
        /// # Safety
        /// The CPU must have the features, and each row must hold `query.len()` elements.
        #[target_feature(enable = $features)]
        unsafe fn $name<const N: usize>(query: &[f32], rows: [*const u8; N]) -> [f32; N] {
            let (q, len) = (query.as_ptr().cast::<u8>(), query.len());
            let mut even = [$zero(); N];
            let mut odd = [$zero(); N];
            let mut i = 0;
            // SAFETY: every load starts at most one vector before `len`, inside the query and inside each row, as the caller promises.
            unsafe {
                while i + 2 * $width <= len {
                    let (q0, q1) = ($load_query!(f32, q, i), $load_query!(f32, q, i + $width));
                    for n in 0..N {
                        let row = rows[n];
                        even[n] = $step!($op, even[n], q0, $load!($element, row, i));
                        odd[n] = $step!($op, odd[n], q1, $load!($element, row, i + $width));
                    }
                    i += 2 * $width;
                }
                if i + $width <= len {
                    let q0 = $load_query!(f32, q, i);
                    for n in 0..N {
                        let row = rows[n];
                        even[n] = $step!($op, even[n], q0, $load!($element, row, i));
                    }
                    i += $width;
                }
                let mut out = [0.0; N];
                for n in 0..N {
                    let row = rows[n];
                    out[n] = $reduce($add(even[n], odd[n]));
                    for j in i..len {
                        out[n] += step1!($op, query[j], element!($element, row, j));
                    }
                }
                out
            }
        }
    };
}

#[target_feature(enable = "avx2,fma,f16c")]
fn reduce8(v: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
fn reduce16(v: __m512) -> f32 {
    _mm512_reduce_add_ps(v)
}

/// Defines the two loops of one metric and element, and the safe functions that the table points to.
macro_rules! kernel {
    ($avx2:ident, $avx512:ident, $avx2_run:ident, $avx512_run:ident, $element:tt, $op:tt, $finish:expr) => {
        sums!($avx2, "avx2,fma,f16c", _mm256_setzero_ps, 8, load8, load8, step8, reduce8, _mm256_add_ps, $element, $op);
        sums!(
            $avx512,
            "avx512f,avx512bw,avx512vl,avx2,fma,f16c",
            _mm512_setzero_ps,
            16,
            load16,
            load16,
            step16,
            reduce16,
            _mm512_add_ps,
            $element,
            $op
        );
        run!($avx2_run, $avx2, $finish);
        run!($avx512_run, $avx512, $finish);
    };
}

/// Defines a safe function over a row batch: rows in fours, the rest one by one.
macro_rules! run {
    ($name:ident, $sums:ident, $finish:expr) => {
        fn $name(query: &[f32], rows: &[&[u8]], out: &mut [f32]) {
            let finish: fn(f32) -> f32 = $finish;
            let (fours, rest) = rows.as_chunks::<4>();
            let (out_fours, out_rest) = out.as_chunks_mut::<4>();
            for (rows, out) in fours.iter().zip(out_fours) {
                // SAFETY: `select` hands this function out only on a CPU with the features; `Kernel::score_many` has checked the rows' lengths.
                *out = unsafe { $sums::<4>(query, rows.map(<[u8]>::as_ptr)) }.map(finish);
            }
            for (row, out) in rest.iter().zip(out_rest) {
                // SAFETY: as above.
                [*out] = unsafe { $sums::<1>(query, [row.as_ptr()]) }.map(finish);
            }
        }
    };
}

kernel!(dot_f32_avx2, dot_f32_avx512, run_dot_f32_avx2, run_dot_f32_avx512, f32, dot, |sum| sum);
kernel!(dot_f16_avx2, dot_f16_avx512, run_dot_f16_avx2, run_dot_f16_avx512, f16, dot, |sum| sum);
kernel!(dot_u8_avx2, dot_u8_avx512, run_dot_u8_avx2, run_dot_u8_avx512, u8, dot, |sum| sum);
kernel!(euclid_f32_avx2, euclid_f32_avx512, run_euclid_f32_avx2, run_euclid_f32_avx512, f32, euclid, |sum| -sum);
kernel!(euclid_f16_avx2, euclid_f16_avx512, run_euclid_f16_avx2, run_euclid_f16_avx512, f16, euclid, |sum| -sum);
kernel!(euclid_u8_avx2, euclid_u8_avx512, run_euclid_u8_avx2, run_euclid_u8_avx512, u8, euclid, |sum| -sum);
kernel!(manhattan_f32_avx2, manhattan_f32_avx512, run_manhattan_f32_avx2, run_manhattan_f32_avx512, f32, manhattan, |sum| -sum);
kernel!(manhattan_f16_avx2, manhattan_f16_avx512, run_manhattan_f16_avx2, run_manhattan_f16_avx512, f16, manhattan, |sum| -sum);
kernel!(manhattan_u8_avx2, manhattan_u8_avx512, run_manhattan_u8_avx2, run_manhattan_u8_avx512, u8, manhattan, |sum| -sum);
kernel!(square_f32_avx2, square_f32_avx512, run_square_f32_avx2, run_square_f32_avx512, f32, square, |sum| sum);
kernel!(square_f16_avx2, square_f16_avx512, run_square_f16_avx2, run_square_f16_avx512, f16, square, |sum| sum);
kernel!(square_u8_avx2, square_u8_avx512, run_square_u8_avx2, run_square_u8_avx512, u8, square, |sum| sum);

/// Defines a cosine loop from a dot and a square loop. Only vectors that are not stored normalised need it.
macro_rules! row_cosine {
    ($name:ident, $dot:ident, $square:ident) => {
        fn $name(query: &[f32], rows: &[&[u8]], out: &mut [f32]) {
            $dot(query, rows, out);
            let mut squared_length = [0.0];
            for (row, out) in rows.iter().zip(out) {
                $square(query, &[row], &mut squared_length);
                *out = cosine(*out, squared_length[0]);
            }
        }
    };
}

row_cosine!(cosine_f32_avx2, run_dot_f32_avx2, run_square_f32_avx2);
row_cosine!(cosine_f16_avx2, run_dot_f16_avx2, run_square_f16_avx2);
row_cosine!(cosine_u8_avx2, run_dot_u8_avx2, run_square_u8_avx2);
row_cosine!(cosine_f32_avx512, run_dot_f32_avx512, run_square_f32_avx512);
row_cosine!(cosine_f16_avx512, run_dot_f16_avx512, run_square_f16_avx512);
row_cosine!(cosine_u8_avx512, run_dot_u8_avx512, run_square_u8_avx512);

fn select_avx2(metric: Metric, datatype: Datatype) -> Loop {
    match (metric, datatype) {
        (Metric::Dot, Datatype::Float32) => run_dot_f32_avx2,
        (Metric::Dot, Datatype::Float16) => run_dot_f16_avx2,
        (Metric::Dot, Datatype::Uint8) => run_dot_u8_avx2,
        (Metric::RowCosine, Datatype::Float32) => cosine_f32_avx2,
        (Metric::RowCosine, Datatype::Float16) => cosine_f16_avx2,
        (Metric::RowCosine, Datatype::Uint8) => cosine_u8_avx2,
        (Metric::Euclid, Datatype::Float32) => run_euclid_f32_avx2,
        (Metric::Euclid, Datatype::Float16) => run_euclid_f16_avx2,
        (Metric::Euclid, Datatype::Uint8) => run_euclid_u8_avx2,
        (Metric::Manhattan, Datatype::Float32) => run_manhattan_f32_avx2,
        (Metric::Manhattan, Datatype::Float16) => run_manhattan_f16_avx2,
        (Metric::Manhattan, Datatype::Uint8) => run_manhattan_u8_avx2,
    }
}

fn select_avx512(metric: Metric, datatype: Datatype) -> Loop {
    match (metric, datatype) {
        (Metric::Dot, Datatype::Float32) => run_dot_f32_avx512,
        (Metric::Dot, Datatype::Float16) => run_dot_f16_avx512,
        (Metric::Dot, Datatype::Uint8) => run_dot_u8_avx512,
        (Metric::RowCosine, Datatype::Float32) => cosine_f32_avx512,
        (Metric::RowCosine, Datatype::Float16) => cosine_f16_avx512,
        (Metric::RowCosine, Datatype::Uint8) => cosine_u8_avx512,
        (Metric::Euclid, Datatype::Float32) => run_euclid_f32_avx512,
        (Metric::Euclid, Datatype::Float16) => run_euclid_f16_avx512,
        (Metric::Euclid, Datatype::Uint8) => run_euclid_u8_avx512,
        (Metric::Manhattan, Datatype::Float32) => run_manhattan_f32_avx512,
        (Metric::Manhattan, Datatype::Float16) => run_manhattan_f16_avx512,
        (Metric::Manhattan, Datatype::Uint8) => run_manhattan_u8_avx512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wide loops hide the narrow ones on a CPU that has both, so the narrow ones are tested by name.
    #[test]
    fn avx2_loops_agree_with_the_scalar_ones() {
        if level() == Level::None {
            return;
        }
        for len in [1, 7, 8, 9, 16, 31, 33, 100, 384] {
            let query: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin()).collect();
            let row: Vec<u8> = (0..len).flat_map(|i| (i as f32 * 0.11).cos().to_le_bytes()).collect();
            for metric in [Metric::Dot, Metric::RowCosine, Metric::Euclid, Metric::Manhattan] {
                let (mut fast, mut slow) = ([0.0; 5], [0.0; 5]);
                select_avx2(metric, Datatype::Float32)(&query, &[row.as_slice(); 5], &mut fast);
                super::super::scalar::select(metric, Datatype::Float32)(&query, &[row.as_slice(); 5], &mut slow);
                assert!(fast.iter().zip(&slow).all(|(a, b)| (a - b).abs() < 1e-3), "{metric:?} {len}");
            }
        }
    }
}
