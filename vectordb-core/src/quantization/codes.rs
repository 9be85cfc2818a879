//! Codes of a field's rows, as they lie in a file and in memory.
//!
//! ```text
//! 0   u32 bits | u32 dimensions | u32 euclid (0 or 1) | u32 rows | u64 seed of the rotation | u32 clusters | f32 depth | zero up to 64
//! 64  f32 mean[dimensions], zero up to a multiple of 64
//!     rows: see `distance::codes`
//!     centers of the clusters, in the form of rows
//!     u32 first row of each cluster, and the number of rows; nothing when there are no clusters
//! ```
//!
//! Rows of a cluster lie together, so a cluster is a range of rows.

use crate::distance::{CodeRows, Width};
use crate::storage::placed::Placed;

use super::codec::{Codec, Scratch};

const HEADER_BYTES: usize = 64;

/// Where clusters of rows begin, and what is in their middle.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    /// `n × dim`, row-major.
    pub(crate) centers: Vec<f32>,
    /// First row of each cluster, and the number of rows; empty when rows are not in clusters.
    pub(crate) bounds: Vec<u32>,
}

impl Clusters {
    fn count(&self) -> u32 {
        u32::try_from(self.bounds.len().saturating_sub(1)).unwrap_or_default()
    }
}

/// Codes over any bytes that hold the layout above.
#[derive(Debug)]
pub(crate) struct Codes {
    codec: Codec,
    bytes: Placed,
    /// Where the rows begin.
    start: usize,
    rows: u32,
    /// First row of each cluster, and the number of rows.
    bounds: Vec<u32>,
}

impl Codes {
    /// Reads the layout; nothing when the bytes cannot be one.
    pub(crate) fn open(bytes: Placed, rows: u32) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
        let width = match word(0)? {
            1 => Width::One,
            2 => Width::Two,
            4 => Width::Four,
            8 => Width::Eight,
            _ => return None,
        };
        let dim = usize::try_from(word(4)?).ok()?;
        let seed = u64::from(word(16)?) | u64::from(word(20)?) << 32;
        let means = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(dim.checked_mul(4)?)?)?;
        let mean = means.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let start = start(dim);
        let clusters = word(24)?;
        let bounds_at = start.checked_add((rows as usize).checked_add(clusters as usize)?.checked_mul(width.stride(dim))?)?;
        let bounds: Vec<u32> = bytes.get(bounds_at..)?.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let bounds_wanted = if clusters > 0 { clusters as usize + 1 } else { 0 };
        let ordered =
            bounds.is_sorted() && bounds.first().is_none_or(|first| *first == 0) && bounds.last().is_none_or(|last| *last == rows);
        if word(12)? != rows || word(8)? > 1 || bounds.len() != bounds_wanted || !ordered || bytes.len() != bounds_at + bounds_wanted * 4 {
            return None;
        }
        let codec = Codec::new(mean, width, word(8)? == 1, seed).with_depth(f32::from_bits(word(28)?));
        Some(Self { codec, bytes, start, rows, bounds })
    }

    /// Number of clusters; 0 when the rows are not in clusters.
    pub(crate) fn clusters(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// The rows of a cluster.
    pub(crate) fn cluster(&self, cluster: usize) -> std::ops::Range<u32> {
        match self.bounds.get(cluster..cluster + 2) {
            Some(&[from, to]) => from..to,
            _ => 0..0,
        }
    }

    /// Rows whose codes are the clusters' centers, in the order of clusters.
    pub(crate) fn centers(&self) -> std::ops::Range<u32> {
        self.rows..self.rows + u32::try_from(self.clusters()).unwrap_or_default()
    }

    pub(crate) fn codec(&self) -> &Codec {
        &self.codec
    }

    #[inline]
    pub(crate) fn rows(&self) -> CodeRows<'_> {
        CodeRows { bytes: self.bytes.get(self.start..).unwrap_or_default(), stride: self.codec.stride() }
    }

    /// What stands behind the rows.
    pub(crate) fn tail(codec: &Codec, clusters: &Clusters) -> Vec<u8> {
        let (mut tail, mut scratch) = (Vec::new(), Scratch::default());
        clusters.centers.chunks_exact(codec.dim()).for_each(|center| codec.encode(center, &mut scratch, &mut tail));
        clusters.bounds.iter().for_each(|bound| tail.extend_from_slice(&bound.to_le_bytes()));
        tail
    }

    /// Where the codes lie.
    pub(crate) fn placed(&self) -> &Placed {
        &self.bytes
    }

    /// What stands before the rows.
    pub(crate) fn head(codec: &Codec, rows: u32, clusters: &Clusters) -> Vec<u8> {
        let mut head = Vec::with_capacity(start(codec.dim()));
        #[expect(clippy::cast_possible_truncation, reason = "bits and dimensions are small")]
        for word in [codec.width().bits() as u32, codec.dim() as u32, u32::from(codec.euclid()), rows] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        head.extend_from_slice(&codec.seed().to_le_bytes());
        head.extend_from_slice(&clusters.count().to_le_bytes());
        head.extend_from_slice(&codec.depth().to_le_bytes());
        head.resize(HEADER_BYTES, 0);
        codec.mean().iter().for_each(|mean| head.extend_from_slice(&mean.to_le_bytes()));
        head.resize(start(codec.dim()), 0);
        head
    }
}

fn start(dim: usize) -> usize {
    (HEADER_BYTES + dim * 4).next_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use super::super::codec::Scratch;
    use super::*;
    use crate::storage::mmap::Mmap;

    #[test]
    fn codes_come_back_and_damage_is_noticed() {
        let codec = Codec::learn(&[0.5; 20], 20, Width::Four, true, 77);
        let clusters = Clusters { centers: vec![0.5; 40], bounds: vec![0, 1, 2] };
        let mut bytes = Codes::head(&codec, 2, &clusters);
        let mut scratch = Scratch::default();
        codec.encode(&[1.0; 20], &mut scratch, &mut bytes);
        codec.encode(&[-1.0; 20], &mut scratch, &mut bytes);
        bytes.extend(Codes::tail(&codec, &clusters));
        let open = |bytes: &[u8], rows| Codes::open(Placed::from(Mmap::from(bytes.to_vec())), rows);
        let codes = open(&bytes, 2).expect("what was written opens");
        assert_eq!((codes.codec().seed(), codes.codec().width(), codes.rows().get(1).len()), (77, Width::Four, codec.stride()));
        assert_eq!((codes.clusters(), codes.cluster(0), codes.cluster(1), codes.cluster(2), codes.centers()), (2, 0..1, 1..2, 0..0, 2..4));
        assert!(open(&bytes, 3).is_none());
        for len in 0..bytes.len() {
            assert!(open(&bytes[..len], 2).is_none(), "cut to {len}");
        }
    }
}
