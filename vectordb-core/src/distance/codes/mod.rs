//! Scoring codes: rows of 1, 2, 4 or 8 bits a dimension against a query of bytes.
//!
//! A row is `f32 scale | f32 bias | code`. With `slots = 8 / bits` and `w` bytes of code, bits `g * bits ..` of byte `j` are
//! dimension `g * w + j`: the query stays in its natural order, a slot is one shift and one mask away, and every instruction
//! works on whole registers. A row's score is
//!
//! ```text
//! scale * (query.scale * Σ code[i] * query.values[i] + query.offset) + bias + query.bias
//! ```
//!
//! which, with what `quantization` puts into the numbers, estimates a dot product or minus half a squared distance.

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Bytes before the code in a row.
pub(crate) const HEADER: usize = 8;
/// Codes are padded to a multiple of this many bytes.
const PADDING: usize = 16;

/// Bits of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    pub(crate) fn bits(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Dimensions in a byte.
    pub(crate) fn slots(self) -> usize {
        8 / self.bits()
    }

    /// Bytes of the code of so many dimensions.
    pub(crate) fn code_bytes(self, dim: usize) -> usize {
        dim.div_ceil(self.slots()).next_multiple_of(PADDING)
    }

    /// Bytes of a row.
    pub(crate) fn stride(self, dim: usize) -> usize {
        HEADER + self.code_bytes(dim)
    }

    /// Puts one number of each dimension into a code.
    pub(crate) fn pack(self, numbers: &[u8], code: &mut [u8]) {
        let bytes = code.len();
        code.fill(0);
        for (slot, numbers) in numbers.chunks(bytes.max(1)).enumerate() {
            let shift = slot * self.bits();
            code.iter_mut().zip(numbers).for_each(|(byte, number)| *byte |= number << shift);
        }
    }

    /// The numbers of a code, those of the padding included.
    pub(crate) fn unpack<'a>(self, code: &'a [u8]) -> impl Iterator<Item = u8> + 'a {
        let mask = u8::MAX >> (8 - self.bits());
        (0..self.slots()).flat_map(move |slot| code.iter().map(move |byte| (byte >> (slot * self.bits())) & mask))
    }
}

/// A query against codes.
#[derive(Debug, Clone)]
pub(crate) struct CodeQuery {
    pub(crate) width: Width,
    /// One number, from -127 to 127, for each place of a code; 0 for the padding.
    pub(crate) values: Vec<i8>,
    pub(crate) scale: f32,
    pub(crate) offset: f32,
    pub(crate) bias: f32,
}

/// Rows of codes, one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeRows<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) stride: usize,
}

impl<'a> CodeRows<'a> {
    #[inline]
    pub(crate) fn get(&self, row: u32) -> &'a [u8] {
        let start = row as usize * self.stride;
        self.bytes.get(start..start + self.stride).unwrap_or_default()
    }

    /// Asks the CPU to load a row, all of it: small rows far apart are what the hardware cannot foresee.
    #[inline]
    pub(crate) fn prefetch(&self, row: u32) {
        super::prefetch(self.get(row));
    }
}

/// Scores rows whose codes are as long as the query's values need and that lie inside `rows.bytes`.
type Loop = fn(query: &CodeQuery, rows: CodeRows<'_>, wanted: &[u32], out: &mut [f32]);

/// The scoring loop of a width on this CPU.
#[derive(Clone, Copy)]
pub(crate) struct CodeKernel {
    run: Loop,
}

impl CodeKernel {
    /// The fastest loop this CPU has.
    pub(crate) fn select(width: Width) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(run) = x86::select(width) {
            return Self { run };
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(run) = neon::select(width) {
            return Self { run };
        }
        let _ = width;
        Self { run: scalar }
    }

    /// Scores rows; larger is closer. A row that does not exist scores minus infinity, and so do all rows asked for with it.
    #[inline]
    pub(crate) fn score_many(&self, query: &CodeQuery, rows: CodeRows<'_>, wanted: &[u32], out: &mut [f32]) {
        // The loops read without looking, so these checks are what keeps them inside.
        let code_bytes = rows.stride.wrapping_sub(HEADER);
        let fits = |&row: &u32| (row as usize + 1) * rows.stride <= rows.bytes.len();
        let whole = query.values.len() == code_bytes.wrapping_mul(query.width.slots()) && code_bytes.is_multiple_of(PADDING);
        if whole && out.len() == wanted.len() && wanted.iter().all(fits) {
            (self.run)(query, rows, wanted, out);
        } else {
            out.fill(f32::NEG_INFINITY);
        }
    }
}

impl std::fmt::Debug for CodeKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeKernel")
    }
}

impl CodeQuery {
    /// The score of a row with this sum of products.
    #[inline(always)]
    fn score(&self, header: &[u8; HEADER], sum: i32) -> f32 {
        let [a, b, c, d, e, f, g, h] = *header;
        let (scale, bias) = (f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]));
        scale * (self.scale * sum as f32 + self.offset) + bias + self.bias
    }
}

/// The portable loop, the oracle of all others.
fn scalar(query: &CodeQuery, rows: CodeRows<'_>, wanted: &[u32], out: &mut [f32]) {
    for (out, &row) in out.iter_mut().zip(wanted) {
        let Some((header, code)) = rows.get(row).split_first_chunk::<HEADER>() else { continue };
        let sum = query.width.unpack(code).zip(&query.values).map(|(number, value)| i32::from(number) * i32::from(*value)).sum();
        *out = query.score(header, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTHS: [Width; 4] = [Width::One, Width::Two, Width::Four, Width::Eight];

    /// Queries and rows of arbitrary bytes, the extreme ones among them.
    pub(super) fn check(width: Width, dim: usize, run: Loop) {
        let mut state = dim as u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let code_bytes = width.code_bytes(dim);
        let stride = width.stride(dim);
        let mut bytes = Vec::new();
        for row in 0..13u32 {
            bytes.extend_from_slice(&(0.5 + row as f32).to_le_bytes());
            bytes.extend_from_slice(&(row as f32 - 3.0).to_le_bytes());
            bytes.extend((0..code_bytes).map(|_| match row {
                0 => 0,
                1 => u8::MAX,
                _ => next() as u8,
            }));
        }
        let values = (0..code_bytes * width.slots()).map(|i| match dim % 3 {
            0 => 127,
            1 => -127,
            _ => (next() % 255) as i8 ^ (i as i8 & 1),
        });
        let query = CodeQuery { width, values: values.map(|v: i8| v.max(-127)).collect(), scale: 0.01, offset: -1.0, bias: 2.0 };
        let rows = CodeRows { bytes: &bytes, stride };
        for count in 0..=13 {
            let wanted: Vec<u32> = (0..count).map(|i| (i * 5) % 13).collect();
            let (mut fast, mut slow) = (vec![0.0; wanted.len()], vec![0.0; wanted.len()]);
            run(&query, rows, &wanted, &mut fast);
            scalar(&query, rows, &wanted, &mut slow);
            for (a, b) in fast.iter().zip(&slow) {
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{width:?} {dim}: {a} instead of {b}");
            }
        }
    }

    #[test]
    fn every_loop_agrees_with_the_scalar_one() {
        for width in WIDTHS {
            for dim in (1..70).chain([96, 127, 128, 300, 384, 768, 1000, 1536, 1537]) {
                check(width, dim, CodeKernel::select(width).run);
            }
        }
    }

    #[test]
    fn codes_unpack_to_what_was_packed() {
        for width in WIDTHS {
            let numbers: Vec<u8> = (0..201u8).map(|n| n.wrapping_mul(37) >> (8 - width.bits())).collect();
            let mut code = vec![0xAA; width.code_bytes(numbers.len())];
            width.pack(&numbers, &mut code);
            assert!(width.unpack(&code).take(numbers.len()).eq(numbers));
        }
    }

    #[test]
    fn rows_outside_are_never_read() {
        let query = CodeQuery { width: Width::Eight, values: vec![1; 16], scale: 1.0, offset: 0.0, bias: 0.0 };
        let rows = CodeRows { bytes: &[0; 47], stride: 24 };
        let mut out = [0.0; 2];
        CodeKernel::select(Width::Eight).score_many(&query, rows, &[0, 1], &mut out);
        assert_eq!(out, [f32::NEG_INFINITY; 2]);
    }
}
