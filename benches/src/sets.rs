//! Sets of vectors with queries, exact answers and attributes, as directories of numpy files:
//! `base.npy`, `queries.npy` (float32), `gt_ids.npy` (int32, nearest first), `attrs.npy` (int32, two columns) and `meta.json`.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::marker::PhantomData;
use std::path::Path;

use bytemuck::AnyBitPattern;
use rayon::prelude::*;
use vectordb_core::Distance;
use vectordb_examples::npy;

/// The columns of `attrs.npy`: a number by chance, and one that near points have in common; both below a million.
pub const ATTRS: [&str; 2] = ["random", "correlated"];
/// Shares of points that filters of a measurement let through.
pub const SELECTIVITIES: [f64; 4] = [0.5, 0.1, 0.01, 0.001];
/// Different filters of a share.
const WINDOWS: usize = 8;

/// Rows of numbers in a mapped file.
#[derive(Debug)]
pub struct Rows<T> {
    map: memmap2::Mmap,
    start: usize,
    /// Numbers in a row.
    pub dim: usize,
    /// Rows.
    pub len: usize,
    number: PhantomData<T>,
}

impl<T: AnyBitPattern> Rows<T> {
    /// Maps a file whose numbers are of a numpy type.
    ///
    /// # Errors
    /// What the file system says, and `InvalidData` for another kind of file.
    pub fn open(path: &Path, kind: &str) -> Result<Self> {
        let bad = |what: &str| Error::new(ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let file = File::open(path)?;
        #[expect(unsafe_code, reason = "mapping a file is unsafe: nobody may change it meanwhile")]
        // SAFETY: a measurement reads its own input; whoever changes that meanwhile measures nothing anyway.
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        let header = npy::header(&map).ok_or_else(|| bad("not a C-ordered array of numpy"))?;
        let bytes = header.rows * header.dim * size_of::<T>();
        if header.kind != kind || map.len() != header.start + bytes {
            return Err(bad(&format!("{} numbers of type {} expected, found {}", header.rows * header.dim, kind, header.kind)));
        }
        Ok(Self { map, start: header.start, dim: header.dim, len: header.rows, number: PhantomData })
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, index: usize) -> &[T] {
        let size = self.dim * size_of::<T>();
        bytemuck::cast_slice(&self.map[self.start + index * size..][..size])
    }
}

/// A set of vectors.
#[derive(Debug)]
pub struct Set {
    /// The vectors.
    pub base: Rows<f32>,
    /// The queries.
    pub queries: Rows<f32>,
    /// Rows nearest to each query.
    pub truth: Rows<i32>,
    /// Two attributes of each row, from 0 to 999,999: one at random, one that follows the vectors' clusters.
    pub attrs: Rows<i32>,
    /// How closeness is measured.
    pub distance: Distance,
}

impl Set {
    /// Opens a directory.
    ///
    /// # Errors
    /// When a file is missing or of another kind.
    pub fn open(dir: &Path) -> Result<Self> {
        let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("meta.json"))?)?;
        let distance = match meta["metric"].as_str() {
            Some("cosine") => Distance::Cosine,
            Some("l2") => Distance::Euclid,
            other => return Err(Error::new(ErrorKind::InvalidData, format!("metric {other:?} is neither cosine nor l2"))),
        };
        let set = Self {
            base: Rows::open(&dir.join("base.npy"), "<f4")?,
            queries: Rows::open(&dir.join("queries.npy"), "<f4")?,
            truth: Rows::open(&dir.join("gt_ids.npy"), "<i4")?,
            attrs: Rows::open(&dir.join("attrs.npy"), "<i4")?,
            distance,
        };
        let fits =
            set.base.dim == set.queries.dim && set.truth.len == set.queries.len && set.attrs.len == set.base.len && set.attrs.dim == 2;
        if fits { Ok(set) } else { Err(Error::new(ErrorKind::InvalidData, "the shapes of the arrays do not fit together")) }
    }

    /// How close two vectors are; larger is closer.
    pub fn closeness(&self, a: &[f32], b: &[f32]) -> f32 {
        match self.distance {
            Distance::Euclid => -crate::exact::distance(a, b),
            _ => dot(a, b),
        }
    }

    /// The values that the filter of a query lets through.
    pub fn window(query: usize, selectivity: f64) -> std::ops::Range<i32> {
        let width = selectivity * 1e6;
        let from = ((query % WINDOWS) as f64 * (1e6 - width) / (WINDOWS - 1) as f64) as i32;
        from..from + width as i32
    }

    /// The rows nearest to each of some queries among those a query's filter accepts, by looking at all.
    pub fn exact(&self, queries: &[usize], limit: usize, accepts: impl Fn(usize, usize) -> bool + Sync) -> Vec<Vec<i32>> {
        queries
            .par_iter()
            .map(|&query| {
                let vector = self.queries.row(query);
                let rows = (0..self.base.len).filter(|&row| accepts(query, row));
                let mut scored: Vec<(f32, i32)> = rows.map(|row| (self.closeness(vector, self.base.row(row)), row as i32)).collect();
                let limit = limit.min(scored.len());
                if limit > 0 && limit < scored.len() {
                    scored.select_nth_unstable_by(limit - 1, |a, b| b.0.total_cmp(&a.0));
                }
                scored.truncate(limit);
                scored.into_iter().map(|(_, row)| row).collect()
            })
            .collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0.0f32; 16];
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
