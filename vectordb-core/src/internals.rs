//! Inner loops, for benchmarks alone. Nothing of this is promised to stay.

use crate::distance::{CodeQuery, CodeRows, Kernel, Metric, Width};
use crate::model::config::{Datatype, Distance};
use crate::quantization::{Codec, Scratch};
use crate::vectors::Space;

pub use crate::model::config::VectorParams;

/// Vectors of a field, as they are stored.
#[derive(Debug)]
pub struct Vectors {
    kernel: Kernel,
    stride: usize,
    bytes: Vec<u8>,
}

impl Vectors {
    /// Stores vectors.
    pub fn new(dim: usize, distance: Distance, datatype: Datatype, vectors: &[Vec<f32>]) -> Self {
        let space = Space::of(&VectorParams::new(dim, distance).datatype(datatype));
        let bytes = vectors.iter().flat_map(|vector| space.encode(vector)).collect();
        Self { kernel: Kernel::select(Metric::of(distance, datatype), datatype), stride: space.stride(), bytes }
    }

    /// Scores all of them, 32 at a time as a search does.
    pub fn score(&self, query: &[f32], out: &mut [f32]) {
        let rows: Vec<&[u8]> = self.bytes.chunks_exact(self.stride.max(1)).collect();
        for (rows, out) in rows.chunks(32).zip(out.chunks_mut(32)) {
            self.kernel.score_many(query, rows, out);
        }
    }
}

/// Vectors as codes.
#[derive(Debug)]
pub struct Codes {
    codec: Codec,
    bytes: Vec<u8>,
    rows: Vec<u32>,
}

/// A query over codes.
#[derive(Debug)]
pub struct Asked(CodeQuery);

impl Codes {
    /// Learns from vectors and encodes them, by 1, 2, 4 or 8 bits a dimension; any other number is taken as 8.
    pub fn new(dim: usize, bits: usize, vectors: &[Vec<f32>]) -> Self {
        let width = match bits {
            1 => Width::One,
            2 => Width::Two,
            4 => Width::Four,
            _ => Width::Eight,
        };
        let codec = Codec::learn(&vectors.concat(), dim, width, false, 1);
        let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
        vectors.iter().for_each(|vector| codec.encode(vector, &mut scratch, &mut bytes));
        Self { codec, bytes, rows: (0u32..).take(vectors.len()).collect() }
    }

    /// Encodes one more vector, without keeping it.
    pub fn encode(&self, vector: &[f32], out: &mut Vec<u8>) {
        out.clear();
        self.codec.encode(vector, &mut Scratch::default(), out);
    }

    /// Prepares a query.
    pub fn query(&self, vector: &[f32]) -> Asked {
        Asked(self.codec.query(vector))
    }

    /// Scores all codes.
    pub fn score(&self, query: &Asked, out: &mut [f32]) {
        let rows = CodeRows { bytes: &self.bytes, stride: self.codec.stride() };
        self.codec.kernel().score_many(&query.0, rows, &self.rows, out);
    }
}
