//! The rows that indexes find for a filter, in the form a search asks fastest, kept for the next search with the same filter.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::filter::{Condition, FieldTest, Filter};
use crate::payload::index::Candidates;
use crate::storage::heap;

/// Below this share of all rows a list of rows is smaller than a bit for each of them, and faster to go through.
const FEW: usize = 64;
/// Filters that are kept for a segment, and the memory they may take.
const MOST_KEPT: usize = 32;
const MOST_KEPT_BYTES: usize = 4 << 20;
/// Rows of one value that are looked up anew each time.
const FOUND_AT_ONCE: usize = 256;

/// Rows that may satisfy a filter.
#[derive(Debug)]
pub(super) struct Selection {
    rows: Rows,
    count: usize,
    /// Whether all of them do; else each must be checked.
    exact: bool,
}

#[derive(Debug)]
enum Rows {
    /// All of a range, as those of a tenant are in a segment that is sorted by tenants.
    Range(Range<u32>),
    /// Ascending.
    Few(Vec<u32>),
    /// A bit for each row of the segment.
    Many(Vec<u64>),
}

impl Selection {
    /// What an index found among the first `visible` rows.
    pub(super) fn new(found: &Candidates, visible: u32) -> Self {
        let count = usize::try_from(found.rows.len()).unwrap_or(usize::MAX);
        let range = found.rows.min().zip(found.rows.max()).map_or(0..0, |(first, last)| first..last.saturating_add(1));
        let rows = if range.len() == count {
            Rows::Range(range)
        } else if count < visible as usize / FEW {
            Rows::Few(found.rows.iter().collect())
        } else {
            let mut words = vec![0u64; (visible as usize).div_ceil(64)];
            for row in &found.rows {
                if let Some(word) = words.get_mut(row as usize / 64) {
                    *word |= 1 << (row % 64);
                }
            }
            Rows::Many(words)
        };
        Self { rows, count, exact: found.exact }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    #[inline]
    pub(super) fn contains(&self, row: u32) -> bool {
        match &self.rows {
            Rows::Range(range) => range.contains(&row),
            Rows::Few(rows) => rows.binary_search(&row).is_ok(),
            Rows::Many(words) => is_set(words, row),
        }
    }

    /// A bit for each of the first `visible` rows, unless they are few.
    pub(super) fn words(&self, visible: u32) -> Option<Cow<'_, [u64]>> {
        match &self.rows {
            Rows::Range(range) if range.len() >= visible as usize / FEW => {
                let mut words = vec![0; (visible as usize).div_ceil(64)];
                let whole = range.start.div_ceil(64) as usize..range.end as usize / 64;
                if whole.start < whole.end {
                    words[whole.clone()].fill(u64::MAX);
                }
                let ragged = (range.start..range.end.min(range.start.next_multiple_of(64))).chain(range.end / 64 * 64..range.end);
                ragged.filter(|row| range.contains(row)).for_each(|row| words[row as usize / 64] |= 1 << (row % 64));
                Some(Cow::Owned(words))
            }
            Rows::Range(_) | Rows::Few(_) => None,
            Rows::Many(words) => Some(Cow::Borrowed(words)),
        }
    }

    /// The row at a place among those that come ascending and apart from others; the number of places if that is their form.
    pub(super) fn places(&self) -> Option<usize> {
        match &self.rows {
            Rows::Range(range) => Some(range.len()),
            Rows::Few(rows) => Some(rows.len()),
            Rows::Many(_) => None,
        }
    }

    /// The row of one of the [`Selection::places`].
    pub(super) fn at_place(&self, place: usize) -> Option<u32> {
        match &self.rows {
            Rows::Range(range) => range.clone().nth(place),
            Rows::Few(rows) => rows.get(place).copied(),
            Rows::Many(_) => None,
        }
    }

    /// The range from the first row to the last.
    pub(super) fn span(&self) -> Range<u32> {
        match &self.rows {
            Rows::Range(range) => range.clone(),
            Rows::Few(rows) => rows.first().zip(rows.last()).map_or(0..0, |(&first, &last)| first..last + 1),
            Rows::Many(words) => {
                let row = |at: usize| u32::try_from(at * 64).unwrap_or(u32::MAX);
                let first = words.iter().position(|&word| word != 0).map_or(0, |at| row(at) + words[at].trailing_zeros());
                let end = words.iter().rposition(|&word| word != 0).map_or(0, |at| row(at) + 64 - words[at].leading_zeros());
                first..end
            }
        }
    }

    /// Gives the rows inside a range, ascending, until `visit` fails.
    pub(super) fn try_each<E>(&self, range: Range<u32>, mut visit: impl FnMut(u32) -> Result<(), E>) -> Result<(), E> {
        match &self.rows {
            Rows::Range(all) => (all.start.max(range.start)..all.end.min(range.end)).try_for_each(visit),
            Rows::Few(rows) => {
                let start = rows.partition_point(|&row| row < range.start);
                rows[start..].iter().take_while(|&&row| row < range.end).try_for_each(|&row| visit(row))
            }
            Rows::Many(words) => try_each_bit(words, range, visit),
        }
    }

    /// How many rows lie inside a range.
    pub(super) fn count_in(&self, range: Range<u32>) -> usize {
        match &self.rows {
            Rows::Range(all) => (all.start.max(range.start)..all.end.min(range.end)).len(),
            Rows::Few(rows) => rows.partition_point(|&row| row < range.end) - rows.partition_point(|&row| row < range.start),
            Rows::Many(words) => {
                let mut count = 0;
                each_word(words, range, |_, word| {
                    count += word.count_ones() as usize;
                    Ok::<(), std::convert::Infallible>(())
                })
                .unwrap_or_default();
                count
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.rows {
            Rows::Range(_) => 0,
            Rows::Few(rows) => heap::vec::<u32>(rows.capacity()),
            Rows::Many(words) => heap::vec::<u64>(words.capacity()),
        }
    }
}

#[inline]
pub(super) fn is_set(words: &[u64], row: u32) -> bool {
    words.get(row as usize / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
}

/// Gives each word that has rows inside a range, with the rows outside of it cleared, and the word's first row.
fn each_word<E>(words: &[u64], range: Range<u32>, mut visit: impl FnMut(u32, u64) -> Result<(), E>) -> Result<(), E> {
    if range.is_empty() {
        return Ok(());
    }
    let (first, last) = (range.start / 64, (range.end - 1) / 64);
    for (at, &word) in (first..=last).zip(words.get(first as usize..).unwrap_or_default()) {
        let mut word = word;
        if at == first {
            word &= u64::MAX << (range.start % 64);
        }
        if at == last {
            word &= u64::MAX >> (63 - (range.end - 1) % 64);
        }
        if word != 0 {
            visit(at * 64, word)?;
        }
    }
    Ok(())
}

fn try_each_bit<E>(words: &[u64], range: Range<u32>, mut visit: impl FnMut(u32) -> Result<(), E>) -> Result<(), E> {
    each_word(words, range, |base, mut word| {
        while word != 0 {
            visit(base + word.trailing_zeros())?;
            word &= word - 1;
        }
        Ok(())
    })
}

/// Selections of the last filters of a segment that never changes.
#[derive(Debug, Default)]
pub(crate) struct SelectionCache {
    /// The newest last.
    kept: Mutex<Vec<(Filter, Arc<Selection>)>>,
}

impl SelectionCache {
    /// The selection of a filter, found by `find` if it is not kept; `None` when `find` knows nothing.
    pub(super) fn get_or_find(&self, filter: &Filter, find: impl FnOnce() -> Option<Selection>) -> Option<Arc<Selection>> {
        {
            let mut kept = self.kept.lock();
            if let Some(at) = kept.iter().rposition(|(known, _)| known == filter) {
                kept[at..].rotate_left(1);
                return kept.last().map(|(_, selection)| selection.clone());
            }
        }
        let selection = Arc::new(find()?);
        if selection.memory_bytes() <= MOST_KEPT_BYTES && is_lasting(filter) && !is_found_at_once(filter, &selection) {
            let mut kept = self.kept.lock();
            kept.push((filter.clone(), selection.clone()));
            while kept.len() > MOST_KEPT || bytes(&kept) > MOST_KEPT_BYTES {
                kept.remove(0);
            }
        }
        Some(selection)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        bytes(&self.kept.lock())
    }
}

fn bytes(kept: &[(Filter, Arc<Selection>)]) -> usize {
    kept.iter().map(|(_, selection)| selection.memory_bytes()).sum()
}

/// Whether finding the rows takes no longer than finding them kept would: few rows of one value, as those of a small tenant.
fn is_found_at_once(filter: &Filter, selection: &Selection) -> bool {
    let Filter { must, should, must_not, min_should } = filter;
    let one_value = matches!(&must[..], [Condition::Field { test: FieldTest::Value(_), .. }]);
    one_value && should.is_empty() && must_not.is_empty() && min_should.is_none() && selection.len() <= FOUND_AT_ONCE
}

/// Whether a filter finds the same rows for ever. The row of an id is found only while it is alive.
fn is_lasting(filter: &Filter) -> bool {
    let lasting = |condition: &Condition| match condition {
        Condition::HasId(_) => false,
        Condition::Filter(filter) | Condition::Nested { filter, .. } => is_lasting(filter),
        Condition::Field { .. } | Condition::IsEmpty(_) | Condition::IsNull(_) | Condition::HasVector(_) | Condition::Slice { .. } => true,
    };
    let Filter { must, should, must_not, min_should } = filter;
    let some = min_should.iter().flat_map(|min| &min.conditions);
    must.iter().chain(should).chain(must_not).chain(some).all(lasting)
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::*;

    fn rows(selection: &Selection, range: Range<u32>) -> Vec<u32> {
        let mut rows = Vec::new();
        let result: Result<(), ()> = selection.try_each(range, |row| {
            rows.push(row);
            Ok(())
        });
        assert_eq!(result, Ok(()));
        rows
    }

    #[test]
    fn few_and_many_rows_give_the_same_answers() {
        let wanted: RoaringBitmap = [0, 1, 63, 64, 65, 127, 128, 500, 991].into_iter().collect();
        let many = Selection::new(&Candidates::exact(wanted.clone()), 500 + 64);
        let few = Selection::new(&Candidates::exact(wanted.clone()), 1 << 20);
        assert!(many.words(564).is_some() && few.words(1 << 20).is_none());
        for range in [0..0, 0..1, 1..64, 63..65, 64..128, 65..127, 100..564, 0..564] {
            let expected: Vec<u32> = wanted.iter().filter(|row| range.contains(row)).collect();
            for selection in [&many, &few] {
                assert_eq!(rows(selection, range.clone()), expected, "{range:?}");
                assert_eq!(selection.count_in(range.clone()), expected.len(), "{range:?}");
            }
        }
        assert_eq!((many.span(), few.span()), (0..501, 0..992));
        for row in 0..564 {
            assert_eq!(many.contains(row), wanted.contains(row));
            assert_eq!(few.contains(row), wanted.contains(row));
        }
    }

    #[test]
    fn rows_side_by_side_give_the_same_answers() {
        for wanted in [0..0, 5..6, 0..64, 63..65, 64..128, 70..90, 1..300, 100..564] {
            let found: RoaringBitmap = wanted.clone().collect();
            let range = Selection::new(&Candidates::exact(found), 564);
            assert_eq!((rows(&range, 0..564), range.span(), range.len()), (wanted.clone().collect(), wanted.clone(), wanted.len()));
            assert_eq!(rows(&range, 80..110), (80..110).filter(|row| wanted.contains(row)).collect::<Vec<_>>());
            assert_eq!(range.count_in(80..110), (80..110).filter(|row| wanted.contains(row)).count());
            assert_eq!((0..wanted.len()).filter_map(|place| range.at_place(place)).collect::<Vec<_>>(), wanted.clone().collect::<Vec<_>>());
            if let Some(words) = range.words(564) {
                assert!((0..564).all(|row| is_set(&words, row) == wanted.contains(&row)), "{wanted:?}");
            }
        }
    }

    #[test]
    fn the_cache_keeps_the_last_filters_that_last() {
        let cache = SelectionCache::default();
        let filter = |number: u32| crate::model::filter::Filter::parse(&format!("n > {number}")).expect("a filter");
        let mut found = 0;
        let mut ask = |filter: &Filter| {
            let selection = cache.get_or_find(filter, || {
                found += 1;
                Some(Selection::new(&Candidates::exact([1, 3].into_iter().collect()), 1000))
            });
            assert_eq!(selection.map(|selection| selection.len()), Some(2));
            found
        };
        assert_eq!((ask(&filter(1)), ask(&filter(1)), ask(&filter(2)), ask(&filter(1))), (1, 1, 2, 2));
        for number in 3..60 {
            ask(&filter(number));
        }
        assert_eq!(ask(&filter(1)), 60);
        let by_id = Filter { must: vec![Condition::HasId(vec![1u64.into()])], ..Filter::default() };
        assert_eq!((ask(&by_id), ask(&by_id)), (61, 62));
        // A row of one value is found as fast as it would be found here.
        let by_value = crate::model::filter::Filter::parse("n = 1").expect("a filter");
        assert_eq!((ask(&by_value), ask(&by_value)), (63, 64));
        assert!(cache.memory_bytes() > 0);
    }
}
