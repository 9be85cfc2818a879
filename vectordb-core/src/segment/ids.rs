//! The id table of a sealed segment: row → id and version, and id → row.
//!
//! ```text
//! 0   u32 rows | u32 form (0: all ids are numbers, 1: mixed) | u64 bytes of text
//! 16  u64 version[rows]
//!     u64 low[rows]            the number; low half of the UUID; offset and length of the text, packed
//!     u64 high[rows]           mixed form only: high half of the UUID
//!     u32 by_id[rows], padded to 8 bytes        rows in the order of their ids
//!     u8  tag[rows], padded    mixed form only: 0 number, 1 UUID, 2 text
//!     u8  text[bytes of text]  mixed form only
//! ```

use std::cmp::Ordering;
use std::ops::Range;

use uuid::Uuid;

use crate::error::Result;
use crate::model::PointId;
use crate::model::point::Lsn;
use crate::storage::mmap::as_numbers;

/// A reader over the bytes of the layout above.
#[derive(Debug, Clone)]
pub(super) struct IdTable {
    rows: u32,
    versions: Range<usize>,
    low: Range<usize>,
    high: Option<Range<usize>>,
    by_id: Range<usize>,
    tags: Range<usize>,
    text: Range<usize>,
}

impl IdTable {
    /// Finds the parts; nothing when the lengths do not add up.
    pub(super) fn open(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; 16] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (rows, form) = (word(0), word(4));
        let text_bytes = usize::try_from(u64::from(word(8)) | u64::from(word(12)) << 32).ok()?;
        let n = rows as usize;
        let mut at = 16usize;
        let mut part = |len: usize| {
            let range = at..at.checked_add(len)?;
            at = range.end.checked_next_multiple_of(8)?;
            Some(range)
        };
        let mixed = form == 1;
        let table = Self {
            rows,
            versions: part(8 * n)?,
            low: part(8 * n)?,
            high: if mixed { Some(part(8 * n)?) } else { None },
            by_id: part(4 * n)?,
            tags: part(if mixed { n } else { 0 })?,
            text: part(if mixed { text_bytes } else { 0 })?,
        };
        (form <= 1 && bytes.len() == at).then_some(table)
    }

    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    fn u64_at(bytes: &[u8], range: &Range<usize>, row: u32) -> u64 {
        as_numbers::<u64>(&bytes[range.clone()]).and_then(|numbers| numbers.get(row as usize)).copied().unwrap_or(0)
    }

    pub(super) fn version(&self, bytes: &[u8], row: u32) -> Lsn {
        Lsn(Self::u64_at(bytes, &self.versions, row))
    }

    pub(super) fn id(&self, bytes: &[u8], row: u32) -> PointId {
        let low = Self::u64_at(bytes, &self.low, row);
        let Some(high) = &self.high else { return PointId::Num(low) };
        match bytes[self.tags.clone()].get(row as usize) {
            Some(1) => PointId::Uuid(Uuid::from_u64_pair(Self::u64_at(bytes, high, row), low)),
            Some(2) => PointId::Str(self.text_at(bytes, low).into()),
            _ => PointId::Num(low),
        }
    }

    fn text_at<'a>(&self, bytes: &'a [u8], packed: u64) -> &'a str {
        let (from, len) = unpack(packed);
        let text = bytes[self.text.clone()].get(from..from + len).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// Rows in the order of their ids.
    pub(super) fn by_id<'a>(&self, bytes: &'a [u8]) -> &'a [u32] {
        as_numbers(&bytes[self.by_id.clone()]).unwrap_or_default()
    }

    /// Position in `by_id` of the first row whose id is not below the given one.
    pub(super) fn lower_bound(&self, bytes: &[u8], id: &PointId) -> usize {
        self.by_id(bytes).partition_point(|&row| self.compare(bytes, row, id) == Ordering::Less)
    }

    /// The row of an id.
    pub(super) fn find(&self, bytes: &[u8], id: &PointId) -> Option<u32> {
        let row = *self.by_id(bytes).get(self.lower_bound(bytes, id))?;
        (self.compare(bytes, row, id) == Ordering::Equal).then_some(row)
    }

    fn compare(&self, bytes: &[u8], row: u32, id: &PointId) -> Ordering {
        match (self.high.is_none(), id) {
            (true, PointId::Num(num)) => Self::u64_at(bytes, &self.low, row).cmp(num),
            (true, _) => Ordering::Less,
            _ => self.id(bytes, row).cmp(id),
        }
    }
}

fn unpack(packed: u64) -> (usize, usize) {
    // Lengths fit 16 bits (an id has at most 256 bytes), offsets 48.
    ((packed >> 16) as usize, (packed & 0xFFFF) as usize)
}

/// Writes the layout.
pub(super) fn encode(ids: &[PointId], versions: &[Lsn], sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mixed = ids.iter().any(|id| !matches!(id, PointId::Num(_)));
    let (mut low, mut high, mut tags, mut text) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let (tag, low_half, high_half) = match id {
            PointId::Num(num) => (0u8, *num, 0),
            PointId::Uuid(uuid) => {
                let (high, low) = uuid.as_u64_pair();
                (1, low, high)
            }
            PointId::Str(string) => {
                let at = text.len() as u64;
                text.extend_from_slice(string.as_bytes());
                (2, at << 16 | string.len() as u64, 0)
            }
        };
        tags.push(tag);
        low.push(low_half);
        high.push(high_half);
    }
    let mut by_id: Vec<u32> = (0..).take(ids.len()).collect();
    by_id.sort_unstable_by(|&a, &b| ids[a as usize].cmp(&ids[b as usize]));

    let rows = by_id.len() as u64;
    sink(&(rows | u64::from(mixed) << 32).to_le_bytes())?;
    sink(&(text.len() as u64).to_le_bytes())?;
    sink(bytemuck::cast_slice(&versions.iter().map(|version| version.0).collect::<Vec<_>>()))?;
    sink(bytemuck::cast_slice(&low))?;
    if mixed {
        sink(bytemuck::cast_slice(&high))?;
    }
    let mut padded = |bytes: &[u8]| {
        sink(bytes)?;
        sink(&[0; 8][..bytes.len().next_multiple_of(8) - bytes.len()])
    };
    padded(bytemuck::cast_slice(&by_id))?;
    if mixed {
        padded(&tags)?;
        padded(&text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::mmap::Mmap;

    fn table(ids: &[PointId]) -> (IdTable, Mmap) {
        let versions: Vec<Lsn> = (0..ids.len() as u64).map(Lsn).collect();
        let mut bytes = Vec::new();
        encode(ids, &versions, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .expect("a vector takes everything");
        let bytes = Mmap::from(bytes);
        (IdTable::open(&bytes).expect("what was written opens"), bytes)
    }

    #[test]
    fn ids_of_every_kind_are_found() {
        let numbers: Vec<PointId> = [7u64, 3, u64::MAX, 0].map(PointId::from).to_vec();
        let mut mixed = numbers.clone();
        mixed.extend(["zebra", "936da01f-9abd-4d9d-80c7-02af85c822a8", "ant", "äöü"].map(PointId::from));
        for ids in [numbers, mixed, vec![]] {
            let (table, bytes) = table(&ids);
            for (row, id) in (0u32..).zip(&ids) {
                assert_eq!(table.find(&bytes, id), Some(row));
                assert_eq!(table.id(&bytes, row), *id);
                assert_eq!(table.version(&bytes, row), Lsn(u64::from(row)));
            }
            assert_eq!(table.find(&bytes, &PointId::from("absent")), None);
            assert_eq!(table.find(&bytes, &PointId::from(5)), None);
            let mut sorted = ids.clone();
            sorted.sort();
            assert_eq!(table.by_id(&bytes).iter().map(|&row| ids[row as usize].clone()).collect::<Vec<_>>(), sorted);
        }
    }

    #[test]
    fn cut_tables_are_refused() {
        let (_, bytes) = table(&[PointId::from(1), PointId::from("x")]);
        for len in 0..bytes.len() {
            assert!(IdTable::open(&bytes[..len]).is_none(), "{len} bytes");
        }
    }
}
