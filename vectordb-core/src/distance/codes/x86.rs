//! Loops for x86-64: AVX2, and AVX-512 with VNNI.
//!
//! Four rows at a time share each load of the query and keep four independent sums going. Products of codes and query
//! bytes are exact: `vpdpbusd` sums them in 32 bits; with AVX2 a pair of products stays below 2^15 (8-bit codes lend their
//! sign to the query instead, |c - 128| ≤ 127 as `quantization` promises).
#![expect(unsafe_code, reason = "vector intrinsics")]

use std::arch::x86_64::*;
use std::sync::OnceLock;

use super::{CodeQuery, CodeRows, HEADER, Loop, Width};

/// What this CPU can do; asked once.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    None,
    Avx2,
    Vnni,
}

fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl");
        match is_x86_feature_detected!("avx2") {
            true if wide && is_x86_feature_detected!("avx512vnni") => Level::Vnni,
            true => Level::Avx2,
            false => Level::None,
        }
    })
}

/// The loop for this CPU, if it has the instructions.
pub(super) fn select(width: Width) -> Option<Loop> {
    match level() {
        Level::Vnni => Some(select_vnni(width)),
        Level::Avx2 => Some(select_avx2(width)),
        Level::None => None,
    }
}

fn select_vnni(width: Width) -> Loop {
    match width {
        Width::One => run_vnni::<1>,
        Width::Two => run_vnni::<2>,
        Width::Four => run_vnni::<4>,
        Width::Eight => run_vnni::<8>,
    }
}

fn select_avx2(width: Width) -> Loop {
    match width {
        Width::One => run_avx2::<1>,
        Width::Two => run_avx2::<2>,
        Width::Four => run_avx2::<4>,
        Width::Eight => run_avx2::<8>,
    }
}

fn run_vnni<const BITS: u32>(query: &CodeQuery, rows: CodeRows<'_>, wanted: &[u32], out: &mut [f32]) {
    // SAFETY: `select` hands this function out only on a CPU with the features; `CodeKernel::score_many` has checked lengths.
    unsafe { vnni::<BITS>(query, rows, wanted, out) }
}

fn run_avx2<const BITS: u32>(query: &CodeQuery, rows: CodeRows<'_>, wanted: &[u32], out: &mut [f32]) {
    // SAFETY: as above.
    unsafe { avx2::<BITS>(query, rows, wanted, out) }
}

/// Defines the loop over the wanted rows: in fours, then one by one.
macro_rules! over_rows {
    ($name:ident, $sums:ident, $features:literal) => {
        /// # Safety
        /// The CPU must have the features; every wanted row must lie in `rows`, and its code have a byte for each slot of the query.
        #[target_feature(enable = $features)]
        unsafe fn $name<const BITS: u32>(query: &CodeQuery, rows: CodeRows<'_>, wanted: &[u32], out: &mut [f32]) {
            let code_bytes = rows.stride - HEADER;
            let (fours, rest) = wanted.as_chunks::<4>();
            let (out_fours, out_rest) = out.as_chunks_mut::<4>();
            // SAFETY: the caller promises that the rows lie inside, so each address does, and so do header and code.
            unsafe {
                let address = |row: u32| rows.bytes.as_ptr().add(row as usize * rows.stride);
                for (four, out) in fours.iter().zip(out_fours) {
                    let at = four.map(address);
                    let sums = $sums::<BITS, 4>(&query.values, at.map(|row| row.add(HEADER)), code_bytes);
                    for n in 0..4 {
                        out[n] = query.score(&*at[n].cast(), sums[n]);
                    }
                }
                for (&one, out) in rest.iter().zip(out_rest) {
                    let at = address(one);
                    let [sum] = $sums::<BITS, 1>(&query.values, [at.add(HEADER)], code_bytes);
                    *out = query.score(&*at.cast(), sum);
                }
            }
        }
    };
}

over_rows!(vnni, sums_vnni, "avx512f,avx512bw,avx512vl,avx512vnni,avx2");
over_rows!(avx2, sums_avx2, "avx2");

/// # Safety
/// The CPU must have the features; each code must have `bytes` bytes, and the query `bytes * 8 / BITS` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
unsafe fn sums_vnni<const BITS: u32, const N: usize>(query: &[i8], codes: [*const u8; N], bytes: usize) -> [i32; N] {
    let slots = 8 / BITS as usize;
    let mask = _mm512_set1_epi8((0xFFu32 >> (8 - BITS)) as i8);
    let mut sums = [_mm512_setzero_si512(); N];
    let mut at = 0;
    // SAFETY: full loads end at most at `bytes` of a code and of a slot of the query; the last ones are masked to stay inside.
    unsafe {
        while at + 64 <= bytes {
            let mut parts: [__m512i; N] = std::array::from_fn(|n| _mm512_loadu_si512(codes[n].add(at).cast()));
            for slot in 0..slots {
                let values = _mm512_loadu_si512(query.as_ptr().add(slot * bytes + at).cast());
                for n in 0..N {
                    let numbers = if BITS == 8 { parts[n] } else { _mm512_and_si512(parts[n], mask) };
                    sums[n] = _mm512_dpbusd_epi32(sums[n], numbers, values);
                    parts[n] = _mm512_srli_epi16::<BITS>(parts[n]);
                }
            }
            at += 64;
        }
        if at < bytes {
            let inside = u64::MAX >> (64 - (bytes - at));
            let mut parts: [__m512i; N] = std::array::from_fn(|n| _mm512_maskz_loadu_epi8(inside, codes[n].add(at).cast()));
            for slot in 0..slots {
                let values = _mm512_maskz_loadu_epi8(inside, query.as_ptr().add(slot * bytes + at));
                for n in 0..N {
                    let numbers = if BITS == 8 { parts[n] } else { _mm512_and_si512(parts[n], mask) };
                    sums[n] = _mm512_dpbusd_epi32(sums[n], numbers, values);
                    parts[n] = _mm512_srli_epi16::<BITS>(parts[n]);
                }
            }
        }
    }
    totals_vnni(sums)
}

/// The sum of each register's numbers. Four registers are folded into one another, which takes as many steps as one alone.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
fn totals_vnni<const N: usize>(sums: [__m512i; N]) -> [i32; N] {
    let Some(&[a, b, c, d]) = sums.first_chunk::<4>() else {
        return std::array::from_fn(|n| _mm512_reduce_add_epi32(sums[n]));
    };
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let quarters = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let halves = _mm256_add_epi32(_mm512_castsi512_si256(quarters), _mm512_extracti64x4_epi64::<1>(quarters));
    let whole = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
    let mut totals = [0; 4];
    // SAFETY: four numbers of 32 bits are as many bytes as the register has.
    unsafe { _mm_storeu_si128(totals.as_mut_ptr().cast(), whole) };
    std::array::from_fn(|n| totals[n])
}

/// # Safety
/// As [`sums_vnni`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums_avx2<const BITS: u32, const N: usize>(query: &[i8], codes: [*const u8; N], bytes: usize) -> [i32; N] {
    let mut sums = [_mm256_setzero_si256(); N];
    let mut at = 0;
    // SAFETY: loads end at most at `bytes` of a code and of a slot of the query; what is left then is 16 bytes, for which
    // half a register is loaded.
    unsafe {
        while at + 32 <= bytes {
            let parts = std::array::from_fn(|n| _mm256_loadu_si256(codes[n].add(at).cast()));
            let values = |slot: usize| _mm256_loadu_si256(query.as_ptr().add(slot * bytes + at).cast());
            step_avx2::<BITS, N>(&mut sums, parts, values);
            at += 32;
        }
        if at < bytes {
            let parts = std::array::from_fn(|n| _mm256_zextsi128_si256(_mm_loadu_si128(codes[n].add(at).cast())));
            let values = |slot: usize| _mm256_zextsi128_si256(_mm_loadu_si128(query.as_ptr().add(slot * bytes + at).cast()));
            step_avx2::<BITS, N>(&mut sums, parts, values);
        }
    }
    std::array::from_fn(|n| {
        let half = _mm_add_epi32(_mm256_castsi256_si128(sums[n]), _mm256_extracti128_si256::<1>(sums[n]));
        let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b1110>(half));
        _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<0b01>(quarter)))
    })
}

/// Adds the products of one register of each code.
#[inline]
#[target_feature(enable = "avx2")]
fn step_avx2<const BITS: u32, const N: usize>(sums: &mut [__m256i; N], mut parts: [__m256i; N], values: impl Fn(usize) -> __m256i) {
    let mask = _mm256_set1_epi8((0xFFu32 >> (8 - BITS)) as i8);
    let ones = _mm256_set1_epi16(1);
    let shift = _mm_cvtsi32_si128(BITS as i32);
    for slot in 0..8 / BITS as usize {
        let values = values(slot);
        for n in 0..N {
            let pairs = if BITS == 8 {
                // c * v = |c - 128| * (v with the sign of c - 128) + 128 * v; the pairs of the second product are added apart.
                let centred = _mm256_xor_si256(parts[n], _mm256_set1_epi8(i8::MIN));
                let product = _mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(values, centred));
                let pair_sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), values);
                sums[n] = _mm256_add_epi32(sums[n], _mm256_slli_epi32::<7>(_mm256_madd_epi16(pair_sums, ones)));
                product
            } else {
                _mm256_maddubs_epi16(_mm256_and_si256(parts[n], mask), values)
            };
            sums[n] = _mm256_add_epi32(sums[n], _mm256_madd_epi16(pairs, ones));
            parts[n] = _mm256_srl_epi16(parts[n], shift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    /// The wide loops hide the narrow ones on a CPU that has both, so the narrow ones are tested by name.
    #[test]
    fn avx2_loops_agree_with_the_scalar_one() {
        if level() == Level::None {
            return;
        }
        for width in [Width::One, Width::Two, Width::Four, Width::Eight] {
            for dim in (1..70).chain([128, 300, 384, 1000, 1536]) {
                check(width, dim, select_avx2(width));
            }
        }
    }
}
