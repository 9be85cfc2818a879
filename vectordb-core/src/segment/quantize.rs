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
/// Share of the true neighbours that must be among twice as many of the codes' best.
const TRIAL_GOAL: f64 = 0.985;
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

/// Bytes of a row's code in a field of so many bytes of vectors, if it gets codes, and where they live. Where the data decide
/// how wide codes are, they are taken to choose 4 bits.
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
    match wanted {
        Wanted::Exactly(width) => Some(learn(width)),
        _ if !to_stay => (field.space.datatype != Datatype::Uint8).then(|| learn(Width::Eight)),
        // Codes of 8 bits would not be smaller than bytes.
        _ if field.space.datatype == Datatype::Uint8 => Some(learn(Width::Four)).filter(|codec| keeps_neighbours(codec, &sample)),
        _ => [Width::Four, Width::Eight].into_iter().map(learn).find(|codec| keeps_neighbours(codec, &sample)),
    }
}

fn sample(segment: &dyn Segment, name: &str, field: &Field<'_>, rows: u32, most: usize) -> Vec<f32> {
    let step = (rows as usize / most).max(1);
    let some = (0..rows).step_by(step).filter(|&row| field.complete || segment.has_vector(name, row));
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

/// Tries a codec on a sample: do the best rows by code hold the best rows by vector?
fn keeps_neighbours(codec: &Codec, sample: &[f32]) -> bool {
    let dim = codec.dim();
    let count = sample.len() / dim;
    let step = (count / TRIAL_ROWS).max(1);
    let rows: Vec<&[f32]> = sample.chunks_exact(dim).step_by(step).collect();
    let (mut bytes, mut scratch) = (Vec::with_capacity(rows.len() * codec.stride()), Scratch::default());
    rows.iter().for_each(|row| codec.encode(row, &mut scratch, &mut bytes));
    let codes = CodeRows { bytes: &bytes, stride: codec.stride() };
    let all: Vec<u32> = (0u32..).take(rows.len()).collect();
    let (mut held, mut asked) = (0, 0);
    for query in (0..rows.len()).step_by((rows.len() / TRIAL_QUERIES).max(1)) {
        let mut estimates = vec![0.0; all.len()];
        codec.kernel().score_many(&codec.query(rows[query]), codes, &all, &mut estimates);
        let exact: Vec<f32> = rows.iter().map(|row| codec.exact(rows[query], row)).collect();
        // The query itself is a row, and always found.
        let best = |scores: &[f32], k: usize| {
            let mut order = all.clone();
            order.retain(|&row| row as usize != query);
            let k = k.min(order.len());
            if k > 0 && k < order.len() {
                order.select_nth_unstable_by(k - 1, |&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
            }
            order.truncate(k);
            order
        };
        let candidates = best(&estimates, 2 * TRIAL_NEIGHBOURS);
        let true_ones = best(&exact, TRIAL_NEIGHBOURS);
        // Of equal rows it does not matter which are found.
        let worst = candidates.iter().map(|&row| exact[row as usize]).fold(f32::INFINITY, f32::min);
        asked += true_ones.len();
        held += true_ones.iter().filter(|row| candidates.contains(row) || exact[**row as usize] <= worst).count();
    }
    held as f64 >= TRIAL_GOAL * asked as f64
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
