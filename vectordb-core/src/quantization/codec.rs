//! Rotated codes with a scale for each vector: *RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound
//! for Approximate Nearest Neighbor Search*, Gao & Long, 2024, and *Practical and Asymptotically Optimal Quantization of
//! High-Dimensional Vectors*, Gao et al., 2025.
//!
//! A vector is centred, rotated by a random rotation, and put on a grid whose step is fitted to it. With `y` the rotated
//! vector and `v` the centres of its cells, `f = |y|² / <v, y>` makes `f <v, q>` an unbiased estimate of `<y, q>`: the part of
//! `v` across `y` points anywhere after a random rotation.
//!
//! The numbers of a row are `f` and a bias, so that a score estimates `<x, q>`, or `-|x - q|² / 2` for Euclidean spaces.

use crate::distance::{CodeKernel, CodeQuery, HEADER, Width, centre_codes, dot, fit_grid, largest, quantize, to_bytes};

use super::rotation::Rotation;

/// Learned from a sample: how vectors of a field become codes.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    width: Width,
    euclid: bool,
    rotation: Rotation,
    mean: Vec<f32>,
    mean_square: f32,
    kernel: CodeKernel,
    /// How many times as many rows must be scored again as are wanted.
    depth: f32,
}

/// Memory for encoding one vector after another.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    rotated: Vec<f32>,
    numbers: Vec<u8>,
}

impl Codec {
    /// Codes around the mean of a sample (`n × dim`, row-major) in a space of dot products, or a Euclidean one.
    pub(crate) fn learn(sample: &[f32], dim: usize, width: Width, euclid: bool, seed: u64) -> Self {
        let mut sums = vec![0.0f64; dim];
        for row in sample.chunks_exact(dim) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let count = (sample.len() / dim.max(1)).max(1) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 numbers fits in one")]
        let mean = sums.into_iter().map(|sum| (sum / count) as f32).collect();
        Self::new(mean, width, euclid, seed)
    }

    pub(super) fn new(mean: Vec<f32>, width: Width, euclid: bool, seed: u64) -> Self {
        let mean_square = mean.iter().map(|v| v * v).sum();
        Self {
            width,
            euclid,
            rotation: Rotation::new(mean.len(), seed),
            mean,
            mean_square,
            kernel: CodeKernel::select(width),
            depth: usual_depth(width),
        }
    }

    /// The same with another width.
    pub(crate) fn with_width(&self, width: Width) -> Self {
        Self { width, kernel: CodeKernel::select(width), depth: usual_depth(width), ..self.clone() }
    }

    /// The same for data that needs more or fewer rows scored again; what makes no sense is left out.
    pub(crate) fn with_depth(&self, depth: f32) -> Self {
        let depth = if (1.0..=1e4).contains(&depth) { depth } else { usual_depth(self.width) };
        Self { depth, ..self.clone() }
    }

    /// How many times as many rows must be scored again as are wanted, for the codes to lose next to nothing.
    pub(crate) fn depth(&self) -> f32 {
        self.depth
    }

    pub(crate) fn width(&self) -> Width {
        self.width
    }

    pub(crate) fn dim(&self) -> usize {
        self.mean.len()
    }

    pub(super) fn euclid(&self) -> bool {
        self.euclid
    }

    pub(super) fn seed(&self) -> u64 {
        self.rotation.seed()
    }

    pub(super) fn mean(&self) -> &[f32] {
        &self.mean
    }

    pub(crate) fn kernel(&self) -> CodeKernel {
        self.kernel
    }

    /// Bytes of a row.
    pub(crate) fn stride(&self) -> usize {
        self.width.stride(self.dim())
    }

    /// Half the number of cells of a dimension.
    fn half(&self) -> f32 {
        (1u32 << (self.width.bits() - 1)) as f32
    }

    /// Centres a vector into the scratch; returns its row's bias.
    fn centre(&self, vector: &[f32], scratch: &mut Scratch) -> f32 {
        scratch.rotated.clear();
        scratch.rotated.extend(vector.iter().zip(&self.mean).map(|(value, mean)| value - mean));
        if self.euclid { -square(&scratch.rotated) / 2.0 } else { dot(&scratch.rotated, &self.mean) }
    }

    /// Appends the row of a vector.
    pub(crate) fn encode(&self, vector: &[f32], scratch: &mut Scratch, out: &mut Vec<u8>) {
        let bias = self.centre(vector, scratch);
        self.rotation.apply(&mut scratch.rotated);
        let length = square(&scratch.rotated);
        let (cells_per_unit, product) = self.fit(&scratch.rotated, length);
        let scale = if product > 0.0 { length / product } else { 0.0 };
        scratch.numbers.resize(self.dim(), 0);
        quantize(&scratch.rotated, cells_per_unit, self.half(), &mut scratch.numbers);
        let start = out.len();
        out.resize(start + self.stride(), 0);
        let (header, code) = out[start..].split_at_mut(HEADER);
        header[..4].copy_from_slice(&scale.to_le_bytes());
        header[4..].copy_from_slice(&bias.to_le_bytes());
        self.width.pack(&scratch.numbers, code);
    }

    /// The grid that fits best, in cells per unit, and the dot product of vector and cells.
    fn fit(&self, rotated: &[f32], length: f32) -> (f32, f32) {
        let deviation = (length / rotated.len().max(1) as f32).sqrt();
        if deviation < f32::MIN_POSITIVE {
            return (0.0, 0.0);
        }
        let half = self.half();
        // Rotated coordinates are nearly normal; these are the steps around the best one for normal numbers (Max, 1960),
        // in standard deviations.
        let steps: &[f32] = match self.width {
            Width::One => &[1.0],
            Width::Two => &[0.8, 0.9, 1.0, 1.1, 1.25],
            Width::Four => &[0.25, 0.29, 0.33, 0.37, 0.42],
            Width::Eight => &[],
        };
        let of_step = |cells_per_unit: f32| {
            let (product, square) = fit_grid(rotated, cells_per_unit, half);
            (product * product / square, cells_per_unit, product)
        };
        let best = steps.iter().map(|step| of_step(1.0 / (step * deviation))).max_by(|a, b| a.0.total_cmp(&b.0));
        let (_, cells_per_unit, product) = best.unwrap_or_else(|| of_step((half - 0.01) / largest(rotated)));
        (cells_per_unit, product)
    }

    /// What the codes' scores estimate.
    pub(crate) fn exact(&self, query: &[f32], vector: &[f32]) -> f32 {
        let product = dot(query, vector);
        if self.euclid { product - (square(query) + square(vector)) / 2.0 } else { product }
    }

    /// A vector as a query.
    pub(crate) fn query(&self, vector: &[f32]) -> CodeQuery {
        let mut scratch = Scratch::default();
        let bias = self.centre(vector, &mut scratch);
        let bias = if self.euclid { bias } else { bias + self.mean_square };
        self.rotation.apply(&mut scratch.rotated);
        let mut values = vec![0; self.width.code_bytes(self.dim()) * self.width.slots()];
        let most = largest(&scratch.rotated);
        let scale = if most > 0.0 { most / 127.0 } else { 0.0 };
        let sum = if scale > 0.0 { to_bytes(&scratch.rotated, 1.0 / scale, &mut values) } else { 0 };
        CodeQuery { width: self.width, values, scale, offset: scale * sum as f32 * (0.5 - self.half()), bias }
    }

    /// A row as a query, into memory that is used again.
    pub(crate) fn query_of_row(&self, row: &[u8], query: &mut CodeQuery) {
        let Some((header, code)) = row.split_first_chunk::<HEADER>() else { return };
        let [a, b, c, d, e, f, g, h] = *header;
        let (scale, bias) = (f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]));
        let cells = 1i16 << self.width.bits();
        // Centres are half-odd; doubled they are whole, but for 8 bits too large for a byte. There half a cell is nothing.
        let (factor, shift) = if self.width == Width::Eight { (1, 128) } else { (2, cells - 1) };
        query.width = self.width;
        query.values.resize(code.len() * self.width.slots(), 0);
        let mut sum = 0;
        for (place, values) in (0..).zip(query.values.chunks_exact_mut(code.len().max(1))) {
            sum += centre_codes(code, self.width.bits(), place, factor, shift, values);
        }
        // The padding is nothing, whatever number it holds.
        for value in &mut query.values[self.dim()..] {
            sum -= i32::from(std::mem::take(value));
        }
        query.scale = scale / f32::from(factor);
        query.offset = query.scale * sum as f32 * (0.5 - self.half());
        query.bias = if self.euclid { bias } else { bias + self.mean_square };
    }
}

/// What a width needs on embeddings of some hundred dimensions.
fn usual_depth(width: Width) -> f32 {
    match width {
        Width::Eight => 1.5,
        Width::Four => 2.0,
        Width::Two => 4.0,
        Width::One => 8.0,
    }
}

fn square(values: &[f32]) -> f32 {
    dot(values, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::CodeRows;

    const WIDTHS: [Width; 4] = [Width::One, Width::Two, Width::Four, Width::Eight];

    fn vectors(count: usize, dim: usize) -> Vec<f32> {
        let mut state = 5u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.4
        };
        // Dimensions of very different weight, which is what the rotation is for.
        (0..count * dim).map(|i| next() * if (i % dim).is_multiple_of(7) { 3.0 } else { 0.5 }).collect()
    }

    fn truth(a: &[f32], b: &[f32], euclid: bool) -> f32 {
        if euclid { -a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>() / 2.0 } else { dot(a, b) }
    }

    /// The estimates' error, in standard deviations of the true scores.
    fn error(width: Width, dim: usize, euclid: bool, by_row: bool) -> f32 {
        let data = vectors(300, dim);
        let codec = Codec::learn(&data, dim, width, euclid, 3);
        let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
        data.chunks_exact(dim).for_each(|vector| codec.encode(vector, &mut scratch, &mut bytes));
        let rows = CodeRows { bytes: &bytes, stride: codec.stride() };
        let wanted: Vec<u32> = (10..300).collect();
        let (mut errors, mut spread) = (0.0, 0.0);
        for n in 0..10 {
            let query = &data[n * dim..][..dim];
            let mut prepared = codec.query(query);
            if by_row {
                codec.query_of_row(rows.get(n as u32), &mut prepared);
            }
            let mut scores = vec![0.0; wanted.len()];
            codec.kernel().score_many(&prepared, rows, &wanted, &mut scores);
            let truths: Vec<f32> = wanted.iter().map(|&row| truth(query, &data[row as usize * dim..][..dim], euclid)).collect();
            let mean = truths.iter().sum::<f32>() / truths.len() as f32;
            errors += scores.iter().zip(&truths).map(|(score, truth)| (score - truth).powi(2)).sum::<f32>();
            spread += truths.iter().map(|truth| (truth - mean).powi(2)).sum::<f32>();
        }
        (errors / spread).sqrt()
    }

    #[test]
    fn estimates_are_as_good_as_their_bits() {
        for dim in [64, 100, 384] {
            for euclid in [false, true] {
                for (width, most) in WIDTHS.into_iter().zip([0.9, 0.45, 0.14, 0.02]) {
                    let found = error(width, dim, euclid, false);
                    assert!(found < most, "{width:?}, {dim} dimensions: error {found}");
                }
                for (width, most) in WIDTHS.into_iter().zip([1.4, 0.6, 0.18, 0.03]) {
                    let found = error(width, dim, euclid, true);
                    assert!(found < most, "{width:?}, {dim} dimensions, row against row: error {found}");
                }
            }
        }
    }

    #[test]
    fn vectors_equal_to_the_mean_and_zeros_have_finite_scores() {
        for width in WIDTHS {
            let codec = Codec::learn(&[1.0, 2.0, 3.0, 4.0], 4, width, true, 1);
            let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
            codec.encode(&[1.0, 2.0, 3.0, 4.0], &mut scratch, &mut bytes);
            codec.encode(&[0.0; 4], &mut scratch, &mut bytes);
            let mut scores = [0.0; 2];
            let rows = CodeRows { bytes: &bytes, stride: codec.stride() };
            codec.kernel().score_many(&codec.query(&[1.0, 2.0, 3.0, 4.0]), rows, &[0, 1], &mut scores);
            assert!(scores[0].abs() < 1e-6 && (scores[1] + 15.0).abs() < 4.0, "{width:?}: {scores:?}");
        }
    }
}
