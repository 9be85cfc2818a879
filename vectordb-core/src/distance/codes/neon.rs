//! Loops for 64-bit ARM: NEON, which every such CPU has.
#![expect(unsafe_code, reason = "vector intrinsics")]

use std::arch::aarch64::*;

use super::{CodeQuery, CodeRows, HEADER, Loop, Width};

/// The loop of a width.
pub(super) fn select(width: Width) -> Option<Loop> {
    Some(match width {
        Width::One => run::<1>,
        Width::Two => run::<2>,
        Width::Four => run::<4>,
        Width::Eight => run::<8>,
    })
}

fn run<const BITS: i32>(query: &CodeQuery, rows: CodeRows<'_>, wanted: &[u32], out: &mut [f32]) {
    for (out, &row) in out.iter_mut().zip(wanted) {
        let Some((header, code)) = rows.get(row).split_first_chunk::<HEADER>() else { continue };
        // SAFETY: NEON is part of the architecture; `CodeKernel::score_many` has checked that the query has a value for each
        // place of the code, and that the code is a multiple of 16 bytes.
        *out = query.score(header, unsafe { sum::<BITS>(&query.values, code) });
    }
}

/// # Safety
/// The code must be a multiple of 16 bytes, and the query have `8 / BITS` values for each.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sum<const BITS: i32>(query: &[i8], code: &[u8]) -> i32 {
    let mask = vdupq_n_u8(0xFF >> (8 - BITS));
    let centre = vdupq_n_u8(if BITS == 8 { 0x80 } else { 0 });
    let shift = vdupq_n_s8(-(BITS as i8));
    let mut sums = [vdupq_n_s32(0); 2];
    let (mut query_sum, mut at) = (vdupq_n_s32(0), 0);
    while at < code.len() {
        // SAFETY: `at` is a multiple of 16 below the length, which is one too; slots are as long as the code.
        unsafe {
            let mut part = vld1q_u8(code.as_ptr().add(at));
            for slot in 0..(8 / BITS) as usize {
                let values = vld1q_s8(query.as_ptr().add(slot * code.len() + at));
                // Codes of 8 bits are centred to fit signed bytes; 128 times the query's sum is added in the end.
                let numbers = vreinterpretq_s8_u8(veorq_u8(vandq_u8(part, mask), centre));
                sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(numbers), vget_low_s8(values)));
                sums[1] = vpadalq_s16(sums[1], vmull_high_s8(numbers, values));
                if BITS == 8 {
                    query_sum = vpadalq_s16(query_sum, vpaddlq_s8(values));
                } else {
                    part = vshlq_u8(part, shift);
                }
            }
        }
        at += 16;
    }
    let centred = vaddvq_s32(vaddq_s32(sums[0], sums[1]));
    if BITS == 8 { centred + 128 * vaddvq_s32(query_sum) } else { centred }
}
