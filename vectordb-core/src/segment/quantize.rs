//! The codes of a segment's rows: how wide they are, and their file.

use rayon::prelude::*;

use super::{Field, Segment};
use crate::distance::{CodeRows, Metric, Width};
use crate::error::Result;
use crate::model::config::{CollectionConfig, Datatype, Distance, Memory, VectorParams};
use crate::model::quantization::{BinaryEncoding, Compression, QuantizationConfig, TurboBits};
use crate::quantization::{Codec, Scratch};

/// Fields of fewer bytes are searched by their vectors: they fit the caches as they are.
const LEAST_BYTES: usize = 1 << 20;
/// Rows that the mean is learned from, and rows and queries that widths are tried on.
const MEAN_SAMPLE: usize = 16_384;
const TRIAL_ROWS: usize = 8192;
const TRIAL_QUERIES: usize = 64;
const TRIAL_NEIGHBOURS: usize = 10;
/// Share of the true neighbours that must be among the codes' best, as many as are scored again.
const TRIAL_GOAL: f64 = 0.985;
/// How many times as many rows may be scored again as are wanted. A sample is not as dense as all rows, so the step behind the
/// one that is enough for it is taken.
const DEPTHS: [f32; 12] = [1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0];
/// A width is chosen by itself only if so little is enough, and the narrowest one only for vectors so long that reading a row
/// costs more than scoring a few more rows again.
const MOST_DEPTH: f32 = 2.0;
const MOST_DEPTH_OF_TWO: f32 = 3.0;
const LEAST_DIM_OF_TWO: usize = 768;
/// Rows encoded at once.
const BATCH: usize = 4096;

/// What a configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Auto,
    Exactly(Width),
    Nothing,
}

fn wanted(config: Option<&QuantizationConfig>) -> Wanted {
    let Some(config) = config else { return Wanted::Auto };
    Wanted::Exactly(match config {
        QuantizationConfig::Off => return Wanted::Nothing,
        QuantizationConfig::Scalar(_) => Width::Eight,
        QuantizationConfig::Product(product) => match product.compression {
            Compression::X4 => Width::Eight,
            Compression::X8 => Width::Four,
            Compression::X16 => Width::Two,
            Compression::X32 | Compression::X64 => Width::One,
        },
        QuantizationConfig::Binary(binary) => match binary.encoding.unwrap_or_default() {
            BinaryEncoding::OneBit => Width::One,
            BinaryEncoding::OneAndHalfBits | BinaryEncoding::TwoBits => Width::Two,
        },
        QuantizationConfig::Turbo(turbo) => match turbo.bits.unwrap_or_default() {
            TurboBits::Bits1 => Width::One,
            TurboBits::Bits1Half | TurboBits::Bits2 => Width::Two,
            TurboBits::Bits4 => Width::Four,
        },
    })
}

/// Whether two configurations ask for the same codes, wherever those are to live.
pub(super) fn alike(one: Option<&QuantizationConfig>, other: Option<&QuantizationConfig>) -> bool {
    wanted(one) == wanted(other)
}

/// Bytes of a row's code in a field of so many bytes of vectors, if it gets codes, and where they live. Where the data decide
/// how wide codes are, they are taken to choose 4 bits, which is more than wide vectors need as a rule.
pub(crate) fn code_stride(config: &CollectionConfig, params: &VectorParams, bytes: u64) -> (Option<usize>, Memory) {
    let quantization = config.quantization_of(params);
    let memory = quantization.and_then(QuantizationConfig::memory).unwrap_or(Memory::Pinned);
    let width = match wanted(quantization) {
        Wanted::Exactly(width) => Some(width),
        Wanted::Auto => Some(Width::Four),
        Wanted::Nothing => None,
    };
    let possible = params.distance != Distance::Manhattan && params.size >= 8 && bytes >= LEAST_BYTES as u64;
    (width.filter(|_| possible).map(|width| width.stride(params.size)), memory)
}

/// Whether codes can stand for vectors of a space.
fn can_encode(field: &Field<'_>) -> bool {
    // Sums of absolute differences are not kept by a rotation.
    field.space.metric != Metric::Manhattan && field.space.dim >= 8
}

/// The codec for a field of so many rows; nothing when it is better searched by its vectors.
///
/// A field that will have a graph is there to stay, and worth a trial. Others wait to be merged: they get codes that need none.
pub(super) fn choose(
    segment: &dyn Segment,
    name: &str,
    rows: u32,
    config: Option<&QuantizationConfig>,
    seed: u64,
    to_stay: bool,
    most_sample: usize,
) -> Option<Codec> {
    let field = segment.field(name)?;
    let wanted = wanted(config);
    if wanted == Wanted::Nothing || !can_encode(&field) || rows as usize * field.space.stride() < LEAST_BYTES {
        return None;
    }
    let sample = sample(segment, name, &field, rows, MEAN_SAMPLE.min(most_sample));
    let learn = |width| Codec::learn(&sample, field.space.dim, width, field.space.metric == Metric::Euclid, seed);
    let small_enough = |codec: &Codec| needed_depth(codec, &sample) <= MOST_DEPTH;
    // A narrow codec as deep as it must be, if that is no more than allowed.
    let fitted = |width, most| {
        let codec = learn(width);
        let needed = needed_depth(&codec, &sample);
        let next = DEPTHS.into_iter().find(|&depth| depth > needed).unwrap_or(needed);
        (needed <= most).then(|| codec.with_depth(next))
    };
    match wanted {
        Wanted::Exactly(width @ (Width::Four | Width::Eight)) => Some(learn(width)),
        Wanted::Exactly(width) => fitted(width, f32::INFINITY),
        _ if !to_stay => (field.space.datatype != Datatype::Uint8).then(|| learn(Width::Eight)),
        // Codes of 8 bits would not be smaller than bytes.
        _ if field.space.datatype == Datatype::Uint8 => Some(learn(Width::Four)).filter(small_enough),
        _ => Some(Width::Two)
            .filter(|_| field.space.dim >= LEAST_DIM_OF_TWO)
            .and_then(|width| fitted(width, MOST_DEPTH_OF_TWO))
            .or_else(|| [Width::Four, Width::Eight].into_iter().map(learn).find(small_enough)),
    }
}

fn sample(segment: &dyn Segment, name: &str, field: &Field<'_>, rows: u32, most: usize) -> Vec<f32> {
    let step = (rows as usize / most).max(1);
    let some = (0..rows).step_by(step).filter(|&row| field.complete || field.groups.is_some() || segment.has_vector(name, row));
    let mut sample = Vec::with_capacity((rows as usize).div_ceil(step) * field.space.dim);
    some.for_each(|row| sample.extend(vector(field, row)));
    sample
}

/// A row as the codec wants it: with length 1 in spaces that compare directions.
pub(super) fn vector(field: &Field<'_>, row: u32) -> Vec<f32> {
    let mut vector = field.space.decode(field.rows.get(row));
    if field.space.metric == Metric::RowCosine {
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|value| *value /= length);
        }
    }
    vector
}

/// Tries a codec on a sample: of how many times as many rows by code are the best by vector a part?
fn needed_depth(codec: &Codec, sample: &[f32]) -> f32 {
    let dim = codec.dim();
    let count = sample.len() / dim;
    let step = (count / TRIAL_ROWS).max(1);
    let rows: Vec<&[f32]> = sample.chunks_exact(dim).step_by(step).collect();
    let (mut bytes, mut scratch) = (Vec::with_capacity(rows.len() * codec.stride()), Scratch::default());
    rows.iter().for_each(|row| codec.encode(row, &mut scratch, &mut bytes));
    let codes = CodeRows { bytes: &bytes, stride: codec.stride() };
    let all: Vec<u32> = (0u32..).take(rows.len()).collect();
    // How many rows the codes put before each true neighbour.
    let mut ranks: Vec<usize> = Vec::new();
    for query in (0..rows.len()).step_by((rows.len() / TRIAL_QUERIES).max(1)) {
        let mut estimates = vec![0.0; all.len()];
        codec.kernel().score_many(&codec.query(rows[query]), codes, &all, &mut estimates);
        let exact: Vec<f32> = rows.iter().map(|row| codec.exact(rows[query], row)).collect();
        // The query itself is a row, and always found.
        let mut order: Vec<u32> = all.iter().copied().filter(|&row| row as usize != query).collect();
        let k = TRIAL_NEIGHBOURS.min(order.len());
        if k < order.len() {
            order.select_nth_unstable_by(k, |&a, &b| exact[b as usize].total_cmp(&exact[a as usize]));
        }
        for &neighbour in &order[..k] {
            let (estimate, truth) = (estimates[neighbour as usize], exact[neighbour as usize]);
            // Of equal rows it does not matter which are found.
            let before = |row: &&u32| estimates[**row as usize] > estimate && exact[**row as usize] < truth;
            ranks.push(order.iter().filter(before).count() + 1);
        }
    }
    ranks.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number of ranks")]
    let enough = ranks.get((ranks.len() as f64 * TRIAL_GOAL) as usize).or(ranks.last()).copied().unwrap_or(1);
    DEPTHS.into_iter().find(|depth| depth * TRIAL_NEIGHBOURS as f32 >= enough as f32 + (TRIAL_NEIGHBOURS - 1) as f32).unwrap_or(f32::MAX)
}

/// Gives the codes of a field's rows, part by part.
pub(super) fn encode(
    segment: &dyn Segment,
    name: &str,
    codec: &Codec,
    rows: u32,
    pool: &rayon::ThreadPool,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let Some(field) = segment.field(name) else { return Ok(()) };
    let numbers: Vec<u32> = (0..rows).collect();
    // A few batches at a time, so that memory stays small and every thread has work.
    for batches in numbers.chunks(BATCH * 4) {
        let encoded: Vec<Vec<u8>> = pool.install(|| {
            batches
                .par_chunks(BATCH / 4)
                .map(|rows| {
                    let (mut bytes, mut scratch) = (Vec::with_capacity(rows.len() * codec.stride()), Scratch::default());
                    rows.iter().for_each(|&row| codec.encode(&vector(&field, row), &mut scratch, &mut bytes));
                    bytes
                })
                .collect()
        });
        encoded.iter().try_for_each(|part| sink(part))?;
    }
    Ok(())
}
