//! Adjacency as it lies in a file and in memory: one fixed-size list of the lowest level for each row, and lists of the
//! upper levels for the few rows that have them.
//!
//! A file may hold several graphs, each over a part of the rows that lie side by side; none has a link into another. There may
//! be rows behind the last part, which have no lists.
//!
//! ```text
//! 0   u32 rows | u32 m | u32 ef_construct | u32 entry (none = 2^32 - 1) | u32 upper rows | u32 words of upper lists |
//!     u32 parts (0 = one graph over all rows) | u32 × 9 zero
//! 64  u32 lowest[rows][2 m]          unused slots hold 2^32 - 1 and stand at the end
//!     u32 upper_row[upper rows]      ascending
//!     u32 upper_at[upper rows + 1]   where a row's lists begin, in words; (next - this) / m levels
//!     u32 upper[words]
//!     u32 part[parts][3]             first row, row after the last, entry; ascending
//! ```

use std::ops::Range;

use crate::error::Result;
use crate::storage::mmap::as_numbers;
use crate::storage::placed::Placed;

use super::GraphParams;

/// Fills unused slots, and stands for "no row".
pub(super) const NONE: u32 = u32::MAX;
const HEADER_WORDS: usize = 16;
const PART_WORDS: usize = 3;

/// Rows that have a graph of their own, and the row that its walks begin at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) rows: Range<u32>,
    pub(super) entry: u32,
}

/// Adjacency over any bytes that hold the layout above.
pub(crate) struct Links {
    words: Placed,
    rows: usize,
    params: GraphParams,
    entry: u32,
    upper_rows: usize,
    /// Ascending; empty where one graph leads to all rows.
    parts: Vec<Part>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({} rows, {:?})", self.rows, self.params)
    }
}

impl Links {
    /// Reads the layout; nothing when the bytes cannot be one. Links to rows that do not exist are harmless: walks pass them over.
    pub(crate) fn open(words: Placed) -> Option<Self> {
        let numbers: &[u32] = as_numbers(&words)?;
        let header = numbers.get(..HEADER_WORDS)?;
        let [rows, m, ef_construct, entry, upper_rows, upper_words, parts] = *header.first_chunk()?;
        let (rows, upper_rows) = (rows as usize, upper_rows as usize);
        let lowest = rows.checked_mul(m as usize)?.checked_mul(2)?;
        let linked = HEADER_WORDS.checked_add(lowest)?.checked_add(2 * upper_rows + 1)?.checked_add(upper_words as usize)?;
        let expected = linked.checked_add((parts as usize).checked_mul(PART_WORDS)?)?;
        if m == 0 || numbers.len() != expected || (entry != NONE && entry as usize >= rows) {
            return None;
        }
        let parts = read_parts(numbers.get(linked..)?, rows)?;
        Some(Self { rows, params: GraphParams { m, ef_construct }, entry, upper_rows, parts, words })
    }

    /// The graphs of parts of the rows; none where one graph leads to all.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    #[inline]
    fn numbers(&self) -> &[u32] {
        // `open` has cast the same bytes before.
        as_numbers(&self.words).unwrap_or_default()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn placed(&self) -> &Placed {
        &self.words
    }

    pub(crate) fn params(&self) -> GraphParams {
        self.params
    }

    /// The row that walks of the graph over all rows begin at.
    pub(super) fn entry(&self) -> Option<u32> {
        (self.entry != NONE).then_some(self.entry)
    }

    fn upper_at(&self, row: u32) -> Option<(usize, usize)> {
        let numbers = self.numbers();
        let start = HEADER_WORDS + self.rows * self.params.links_at(0);
        let rows = numbers.get(start..start + self.upper_rows)?;
        let index = rows.binary_search(&row).ok()?;
        let bounds = numbers.get(start + self.upper_rows + index..)?;
        let base = start + 2 * self.upper_rows + 1;
        Some((base + bounds[0] as usize, base + *bounds.get(1)? as usize))
    }

    /// Levels of a row above the lowest.
    pub(super) fn levels(&self, row: u32) -> usize {
        self.upper_at(row).map_or(0, |(from, to)| to.saturating_sub(from) / self.params.m as usize)
    }

    /// Neighbours of a row, without the unused slots.
    #[inline]
    pub(super) fn of(&self, row: u32, level: usize) -> &[u32] {
        let list = if level == 0 { self.lowest(row) } else { self.upper(row, level) };
        let used = list.iter().position(|&link| link == NONE).unwrap_or(list.len());
        &list[..used]
    }

    #[inline]
    fn lowest(&self, row: u32) -> &[u32] {
        let width = self.params.links_at(0);
        let from = HEADER_WORDS + row as usize * width;
        if row as usize >= self.rows { &[] } else { self.numbers().get(from..from + width).unwrap_or_default() }
    }

    fn upper(&self, row: u32, level: usize) -> &[u32] {
        let width = self.params.links_at(level);
        let Some((from, to)) = self.upper_at(row) else { return &[] };
        let start = from + (level - 1) * width;
        if start + width > to { &[] } else { self.numbers().get(start..start + width).unwrap_or_default() }
    }

    /// Asks the CPU to load a row's list of the lowest level.
    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        crate::distance::prefetch(bytemuck::cast_slice(self.lowest(row)));
    }
}

/// Parts that follow each other, each with an entry of its own; nothing when they do not.
fn read_parts(words: &[u32], rows: usize) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::with_capacity(words.len() / PART_WORDS);
    for &[from, to, entry] in words.as_chunks::<PART_WORDS>().0 {
        let after = parts.last().map_or(0, |part| part.rows.end);
        if from < after || to as usize > rows || !(from..to).contains(&entry) {
            return None;
        }
        parts.push(Part { rows: from..to, entry });
    }
    Some(parts)
}

/// What the header and the end of a file say of walks' beginnings.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entries<'a> {
    /// Of one graph over all rows, if it has any.
    Whole(Option<u32>),
    /// Of graphs over parts.
    Parts(&'a [Part]),
}

/// Writes the layout: `lowest` gives a row's neighbours, `upper` the lists of the rows that have upper levels, ascending.
pub(super) fn encode(
    params: GraphParams,
    entries: Entries<'_>,
    rows: u32,
    lowest: impl Fn(u32) -> Vec<u32>,
    upper: &[(u32, Vec<Vec<u32>>)],
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut write = |numbers: &[u32]| sink(bytemuck::cast_slice(numbers));
    let m = params.m as usize;
    let upper_words: usize = upper.iter().map(|(_, levels)| levels.len() * m).sum();
    let (entry, parts) = match entries {
        Entries::Whole(entry) => (entry.unwrap_or(NONE), &[][..]),
        Entries::Parts(parts) => (NONE, parts),
    };
    let mut header = [0; HEADER_WORDS];
    let counts = [rows, params.m, params.ef_construct, entry, count(upper.len()), count(upper_words), count(parts.len())];
    header[..counts.len()].copy_from_slice(&counts);
    write(&header)?;
    for row in 0..rows {
        write(&padded(lowest(row), params.links_at(0)))?;
    }
    write(&upper.iter().map(|(row, _)| *row).collect::<Vec<_>>())?;
    let mut at = 0;
    let mut bounds = vec![0];
    for (_, levels) in upper {
        at += levels.len() * m;
        bounds.push(count(at));
    }
    write(&bounds)?;
    for (_, levels) in upper {
        for list in levels {
            write(&padded(list.clone(), m))?;
        }
    }
    parts.iter().try_for_each(|part| write(&[part.rows.start, part.rows.end, part.entry]))
}

fn padded(mut list: Vec<u32>, width: usize) -> Vec<u32> {
    list.resize(width, NONE);
    list
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(NONE)
}
