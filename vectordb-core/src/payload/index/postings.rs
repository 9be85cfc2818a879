//! Value → rows, for values that are looked up.

use std::borrow::{Borrow, Cow};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::storage::heap;

/// The rows of each value.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Postings<K: Ord> {
    rows: BTreeMap<K, Posting>,
}

/// Most values of a field like an id or a title have one row, for which a bitmap would be wasteful.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Posting {
    One(u32),
    Many(#[serde(with = "as_bytes")] RoaringBitmap),
}

impl Posting {
    /// False when the row was there.
    fn add(&mut self, row: u32) -> bool {
        match self {
            Self::One(only) if *only == row => false,
            Self::One(only) => {
                *self = Self::Many([*only, row].into_iter().collect());
                true
            }
            Self::Many(rows) => rows.insert(row),
        }
    }

    pub(super) fn contains(&self, row: u32) -> bool {
        match self {
            Self::One(only) => *only == row,
            Self::Many(rows) => rows.contains(row),
        }
    }

    /// How many rows lie below one.
    pub(super) fn count_below(&self, row: u32) -> u64 {
        match self {
            Self::One(only) => u64::from(*only < row),
            Self::Many(rows) => rows.range_cardinality(..row),
        }
    }

    /// How many of some rows.
    pub(super) fn count_among(&self, some: &RoaringBitmap) -> u64 {
        match self {
            Self::One(only) => u64::from(some.contains(*only)),
            Self::Many(rows) => rows.intersection_len(some),
        }
    }

    /// Gives the rows inside a range, ascending.
    pub(super) fn each_in(&self, range: Range<u32>, visit: impl FnMut(u32)) {
        match self {
            Self::One(only) => range.contains(only).then_some(*only).into_iter().for_each(visit),
            Self::Many(rows) => rows.range(range).for_each(visit),
        }
    }

    fn add_to(&self, all: &mut RoaringBitmap) {
        match self {
            Self::One(row) => drop(all.insert(*row)),
            Self::Many(rows) => *all |= rows,
        }
    }

    fn bitmap(&self) -> RoaringBitmap {
        match self {
            Self::One(row) => RoaringBitmap::from_iter([*row]),
            Self::Many(rows) => rows.clone(),
        }
    }
}

impl<K: Ord> Default for Postings<K> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<K: Ord> Postings<K> {
    /// Adds a row to a value; false when it was there.
    pub(super) fn add(&mut self, row: u32, value: K) -> bool {
        match self.rows.entry(value) {
            Entry::Occupied(mut posting) => posting.get_mut().add(row),
            Entry::Vacant(empty) => {
                empty.insert(Posting::One(row));
                true
            }
        }
    }

    pub(super) fn posting<Q: Ord + ?Sized>(&self, value: &Q) -> Option<&Posting>
    where
        K: Borrow<Q>,
    {
        self.rows.get(value)
    }

    /// Every value with its rows, in the order of values.
    pub(super) fn each(&self) -> impl Iterator<Item = (&K, Cow<'_, RoaringBitmap>)> {
        self.rows.iter().map(|(value, posting)| match posting {
            Posting::One(row) => (value, Cow::Owned(RoaringBitmap::from_iter([*row]))),
            Posting::Many(rows) => (value, Cow::Borrowed(rows)),
        })
    }

    /// Rows with a value.
    pub(super) fn get<Q: Ord + ?Sized>(&self, value: &Q) -> RoaringBitmap
    where
        K: Borrow<Q>,
    {
        self.rows.get(value).map(Posting::bitmap).unwrap_or_default()
    }

    /// Rows with any of some values.
    pub(super) fn any(&self, values: &[K]) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        values.iter().filter_map(|value| self.rows.get(value)).for_each(|posting| posting.add_to(&mut all));
        all
    }

    /// Rows with a value that is none of some.
    pub(super) fn except(&self, values: &[K]) -> RoaringBitmap {
        let values: BTreeSet<&K> = values.iter().collect();
        self.matching(|value| !values.contains(value))
    }

    /// Rows with a value that satisfies a test. Looks at every value once, which is still far fewer than there are rows.
    pub(super) fn matching(&self, test: impl Fn(&K) -> bool) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        self.rows.iter().filter(|(value, _)| test(value)).for_each(|(_, posting)| posting.add_to(&mut all));
        all
    }

    /// Bytes of memory; `extra` tells what a value owns.
    pub(super) fn memory_bytes(&self, extra: impl Fn(&K) -> usize) -> usize {
        let rows_of = |posting: &Posting| if let Posting::Many(rows) = posting { heap::bitmap(rows) } else { 0 };
        let owned: usize = self.rows.iter().map(|(value, posting)| extra(value) + rows_of(posting)).sum();
        heap::tree::<K, Posting>(self.rows.len()) + owned
    }
}

/// Bitmaps in their own portable format.
pub(super) mod as_bytes {
    use roaring::RoaringBitmap;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    pub(in crate::payload::index) fn serialize<S: Serializer>(rows: &RoaringBitmap, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(rows.serialized_size());
        rows.serialize_into(&mut bytes).map_err(ser::Error::custom)?;
        bytes.serialize(serializer)
    }

    pub(in crate::payload::index) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoaringBitmap, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        RoaringBitmap::deserialize_from(bytes.as_slice()).map_err(de::Error::custom)
    }
}
