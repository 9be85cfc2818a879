//! The sparse vectors of a sealed segment, row by row.
//!
//! A file holds the offsets of `rows + 1` vectors as u64, then all indices as u32, then all values as f32.

use super::SparseRow;
use crate::error::Result;
use crate::storage::mmap::as_numbers;
use crate::storage::placed::Placed;

/// Numbers written at once.
const CHUNK: usize = 1 << 14;

/// The vectors of all rows.
#[derive(Debug)]
pub(crate) struct SparseRows {
    bytes: Placed,
    rows: usize,
    entries: usize,
}

impl SparseRows {
    /// The rows of a file; nothing when it does not hold as many.
    pub(crate) fn open(bytes: Placed, rows: u32) -> Option<Self> {
        let rows = rows as usize;
        let offsets: &[u64] = as_numbers(bytes.get(..(rows + 1) * 8)?)?;
        let entries = usize::try_from(*offsets.last()?).ok()?;
        let whole = bytes.len() == (rows + 1) * 8 + entries.checked_mul(8)? && offsets.is_sorted();
        whole.then_some(Self { bytes, rows, entries })
    }

    pub(crate) fn placed(&self) -> &Placed {
        &self.bytes
    }

    /// Numbers of all vectors.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// The vector of a row; empty for one that has none.
    pub(crate) fn get(&self, row: u32) -> SparseRow<'_> {
        self.find(row as usize).unwrap_or_default()
    }

    fn find(&self, row: usize) -> Option<SparseRow<'_>> {
        let offsets: &[u64] = as_numbers(self.bytes.get(..(self.rows + 1) * 8)?)?;
        let range = usize::try_from(*offsets.get(row)?).ok()?..usize::try_from(*offsets.get(row + 1)?).ok()?;
        let numbers = self.bytes.get((self.rows + 1) * 8..)?;
        let (indices, values) = numbers.split_at_checked(self.entries * 4)?;
        Some(SparseRow { indices: as_numbers::<u32>(indices)?.get(range.clone())?, values: as_numbers::<f32>(values)?.get(range)? })
    }
}

/// Writes the vectors of rows, which are asked for three times so that they need not all be in memory at once.
///
/// # Errors
/// Those of `write`.
pub(crate) fn write_rows<'a>(rows: u32, row: &dyn Fn(u32) -> SparseRow<'a>, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut end = 0u64;
    let mut offsets = Vec::with_capacity(CHUNK);
    offsets.push(end);
    for at in 0..rows {
        end += row(at).indices.len() as u64;
        offsets.push(end);
        if offsets.len() >= CHUNK {
            write(bytemuck::cast_slice(&offsets))?;
            offsets.clear();
        }
    }
    write(bytemuck::cast_slice(&offsets))?;
    (0..rows).try_for_each(|at| write(bytemuck::cast_slice(row(at).indices)))?;
    (0..rows).try_for_each(|at| write(bytemuck::cast_slice(row(at).values)))
}
