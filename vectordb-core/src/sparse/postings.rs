//! Lists as a file.
//!
//! All list data comes first, in 32-bit words: for each list its rows, its values, and for lists of at least as many rows as
//! there are blocks, where each block begins and the bounds of the blocks. Then the directory: for each list, ascending by
//! dimension, dimension, number of rows and largest value, then the word at which each list begins, and at the end the number
//! of rows of the segment and of lists.

use rustc_hash::FxHashMap;

use super::{BLOCK, Blocks, List, SparseRow};
use crate::error::Result;
use crate::storage::mmap::as_numbers;
use crate::storage::placed::Placed;

/// Entries that are gathered in memory at once while lists are made.
const MOST_GATHERED: usize = 1 << 24;
const FOOTER: usize = 16;

/// The lists of a sealed segment.
#[derive(Debug)]
pub(crate) struct Postings {
    bytes: Placed,
    blocks: usize,
    lists: usize,
    /// Byte at which the directory begins.
    directory: usize,
}

/// What the directory says of a list.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Entry {
    index: u32,
    count: u32,
    /// Negative when the list holds negative values.
    largest: f32,
}

impl Postings {
    /// The lists of a file; nothing when its parts do not fit together or belong to another number of rows.
    pub(crate) fn open(bytes: Placed, rows: u32) -> Option<Self> {
        let [of_rows, lists]: [u64; 2] = as_numbers(bytes.get(bytes.len().checked_sub(FOOTER)?..)?)?.try_into().ok()?;
        let lists = usize::try_from(lists).ok()?;
        let directory = bytes.len().checked_sub(FOOTER + lists.checked_mul(size_of::<Entry>() + 8)? + padding(lists))?;
        let postings = Self { bytes, blocks: blocks_of(rows), lists, directory };
        let whole = of_rows == u64::from(rows) && postings.entries().is_some() && postings.starts().is_some();
        whole.then_some(postings)
    }

    pub(crate) fn placed(&self) -> &Placed {
        &self.bytes
    }

    fn entries(&self) -> Option<&[Entry]> {
        bytemuck::try_cast_slice(self.bytes.get(self.directory..self.directory + self.lists * size_of::<Entry>())?).ok()
    }

    fn starts(&self) -> Option<&[u64]> {
        let at = self.directory + self.lists * size_of::<Entry>() + padding(self.lists);
        as_numbers(self.bytes.get(at..at + self.lists * 8)?)
    }

    pub(super) fn list(&self, index: u32) -> List<'_> {
        self.find(index).unwrap_or_default()
    }

    fn find(&self, index: u32) -> Option<List<'_>> {
        let entries = self.entries()?;
        let at = entries.binary_search_by_key(&index, |entry| entry.index).ok()?;
        let (entry, start) = (entries[at], usize::try_from(self.starts()?[at]).ok()?);
        let count = entry.count as usize;
        let words: &[u32] = as_numbers(self.bytes.get(..self.directory)?.get(start * 4..)?)?;
        let (rows, rest) = words.split_at_checked(count)?;
        let (values, rest) = rest.split_at_checked(count)?;
        let blocks = if count >= self.blocks {
            let (starts, rest) = rest.split_at_checked(self.blocks + 1)?;
            Some(Blocks { starts, bounds: bytemuck::cast_slice::<u32, u8>(rest).get(..self.blocks)? })
        } else {
            None
        };
        Some(List { rows, values: bytemuck::cast_slice(values), largest: (entry.largest >= 0.0).then_some(entry.largest), blocks })
    }
}

fn blocks_of(rows: u32) -> usize {
    (rows as usize).div_ceil(BLOCK)
}

/// Bytes between the entries and what needs eight of them.
fn padding(lists: usize) -> usize {
    (lists * size_of::<Entry>()).next_multiple_of(8) - lists * size_of::<Entry>()
}

/// Makes the lists of rows. Rows are read once, and again for every sixteen million numbers of them.
///
/// # Errors
/// Those of `write`.
pub(crate) fn write_postings<'a>(rows: u32, row: &dyn Fn(u32) -> SparseRow<'a>, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut counts: FxHashMap<u32, u32> = FxHashMap::default();
    for at in 0..rows {
        row(at).indices.iter().for_each(|&index| *counts.entry(index).or_default() += 1);
    }
    let mut counts: Vec<(u32, u32)> = counts.into_iter().collect();
    counts.sort_unstable();
    let mut directory = Vec::with_capacity(counts.len());
    let mut starts: Vec<u64> = Vec::with_capacity(counts.len());
    let mut word = 0u64;
    let mut rest = &*counts;
    while !rest.is_empty() {
        let mut gathered = 0;
        let fits = rest.iter().take_while(|(_, count)| {
            gathered += *count as usize;
            gathered <= MOST_GATHERED
        });
        let (part, others) = rest.split_at(fits.count().max(1));
        for (&(index, count), (rows_of, values)) in part.iter().zip(gather(rows, row, part)) {
            let list = encode(rows, &rows_of, &values);
            write(bytemuck::cast_slice(&list))?;
            let smallest = values.iter().copied().fold(f32::INFINITY, f32::min);
            let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            // A list of zeros alone bounds nothing.
            let largest = if smallest < 0.0 || largest <= 0.0 { -1.0 } else { largest };
            directory.push(Entry { index, count, largest });
            starts.push(word);
            word += list.len() as u64;
        }
        rest = others;
    }
    if word % 2 == 1 {
        // What follows needs eight bytes.
        write(&[0; 4])?;
    }
    write(bytemuck::cast_slice(&directory))?;
    write(&[0; 8][..padding(directory.len())])?;
    write(bytemuck::cast_slice(&starts))?;
    write(bytemuck::cast_slice(&[u64::from(rows), directory.len() as u64]))
}

/// The lists of some dimensions.
fn gather<'a>(rows: u32, row: &dyn Fn(u32) -> SparseRow<'a>, part: &[(u32, u32)]) -> Vec<(Vec<u32>, Vec<f32>)> {
    let empty = |&(_, count): &(u32, u32)| (Vec::with_capacity(count as usize), Vec::with_capacity(count as usize));
    let mut lists: Vec<(Vec<u32>, Vec<f32>)> = part.iter().map(empty).collect();
    let (Some(&(first, _)), Some(&(last, _))) = (part.first(), part.last()) else { return lists };
    let places: FxHashMap<u32, usize> = part.iter().enumerate().map(|(at, &(index, _))| (index, at)).collect();
    for number in 0..rows {
        let vector = row(number);
        let from = vector.indices.partition_point(|&index| index < first);
        let to = vector.indices.partition_point(|&index| index <= last);
        for (index, &value) in vector.indices[from..to].iter().zip(&vector.values[from..to]) {
            if let Some(&at) = places.get(index) {
                lists[at].0.push(number);
                lists[at].1.push(value);
            }
        }
    }
    lists
}

/// One list in words.
fn encode(rows: u32, rows_of: &[u32], values: &[f32]) -> Vec<u32> {
    let blocks = blocks_of(rows);
    let mut words = [rows_of, bytemuck::cast_slice(values)].concat();
    if rows_of.len() < blocks {
        return words;
    }
    let largest = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut bounds = vec![0u8; blocks.next_multiple_of(4)];
    let mut at = 0;
    for (block, most) in bounds.iter_mut().enumerate().take(blocks) {
        words.push(u32::try_from(at).unwrap_or(u32::MAX));
        while let Some(value) = rows_of.get(at).filter(|&&row| row as usize / BLOCK == block).map(|_| values[at]) {
            // At least one, so that a block of zeros is not taken for an empty one.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 255")]
            let bound = (value / largest * 255.0).ceil().clamp(1.0, 255.0) as u8;
            *most = bound.max(*most);
            at += 1;
        }
    }
    words.push(u32::try_from(at).unwrap_or(u32::MAX));
    words.extend(bounds.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)));
    words
}
