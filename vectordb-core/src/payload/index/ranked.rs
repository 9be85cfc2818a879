//! The words of texts that are ranked.

use std::collections::BTreeMap;
use std::ops::Range;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::postings::Posting;
use super::words::Words;
use crate::error::Result;
use crate::model::config::TextIndexParams;
use crate::storage::heap;

/// Word → rows, how often a word occurs in each of them, and how many words each row has. All texts of a row are one text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RankedWords {
    words: Words,
    /// Of the words that occur in a row more than once. Most words of most texts do not, so that the rest needs no number.
    repeats: BTreeMap<String, Repeats>,
    /// Words of each row.
    lengths: Vec<u32>,
    /// Rows with words, and all their words.
    texts: Texts,
}

/// The rows that hold a word more than once.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Repeats {
    /// Rows, ascending, with the number of occurrences.
    rows: Vec<(u32, u32)>,
    /// The largest number.
    most: u32,
}

/// How many rows have words, and how many words they have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Texts {
    pub(crate) count: u64,
    pub(crate) words: u64,
}

impl Texts {
    fn add(&mut self, length: u32) {
        self.count += u64::from(length > 0);
        self.words += u64::from(length);
    }
}

impl RankedWords {
    pub(super) fn new(params: &TextIndexParams) -> Result<Self> {
        Ok(Self { words: Words::new(params)?, repeats: BTreeMap::new(), lengths: Vec::new(), texts: Texts::default() })
    }

    pub(super) fn add(&mut self, row: u32, text: &str) {
        let Self { words, repeats, lengths, texts } = self;
        let mut added = 0u32;
        words.add_telling(row, text, &mut |word, fresh| {
            added += 1;
            if !fresh {
                repeat(repeats, word, row);
            }
        });
        if added > 0 {
            lengths.resize(lengths.len().max(row as usize + 1), 0);
            let length = &mut lengths[row as usize];
            texts.count += u64::from(*length == 0);
            texts.words += u64::from(added);
            *length = length.saturating_add(added);
        }
    }

    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    /// Where a word occurs; nothing when it does not.
    pub(crate) fn word(&self, word: &str) -> Option<Occurrences<'_>> {
        let rows = self.words.posting(word)?;
        Some(Occurrences { rows, repeats: self.repeats.get(word) })
    }

    /// Words of a row; 0 when it has none.
    #[inline]
    pub(crate) fn length(&self, row: u32) -> u32 {
        self.lengths.get(row as usize).copied().unwrap_or(0)
    }

    /// Rows up to the last one with words.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.lengths.len()).unwrap_or(u32::MAX)
    }

    /// The texts of all rows.
    pub(crate) fn texts(&self) -> Texts {
        self.texts
    }

    /// The texts of some rows.
    pub(crate) fn texts_of(&self, rows: &RoaringBitmap) -> Texts {
        let mut texts = Texts::default();
        rows.iter().for_each(|row| texts.add(self.length(row)));
        texts
    }

    pub(super) fn shrink(&mut self) {
        self.lengths.shrink_to_fit();
        self.repeats.values_mut().for_each(|repeats| repeats.rows.shrink_to_fit());
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let owned = |(word, repeats): (&String, &Repeats)| heap::block(word.capacity()) + heap::vec::<(u32, u32)>(repeats.rows.capacity());
        let repeats = heap::tree::<String, Repeats>(self.repeats.len()) + self.repeats.iter().map(owned).sum::<usize>();
        self.words.memory_bytes() + repeats + heap::vec::<u32>(self.lengths.capacity())
    }
}

/// Counts a word that a row holds already.
fn repeat(repeats: &mut BTreeMap<String, Repeats>, word: &str, row: u32) {
    if !repeats.contains_key(word) {
        repeats.insert(word.to_owned(), Repeats::default());
    }
    if let Some(Repeats { rows, most }) = repeats.get_mut(word) {
        match rows.last_mut() {
            Some((last, count)) if *last == row => *count = count.saturating_add(1),
            _ => rows.push((row, 2)),
        }
        *most = rows.last().map_or(*most, |&(_, count)| count.max(*most));
    }
}

/// The rows of a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurrences<'a> {
    rows: &'a Posting,
    repeats: Option<&'a Repeats>,
}

impl Occurrences<'_> {
    /// The largest number of occurrences in one row.
    pub(crate) fn most(&self) -> u32 {
        self.repeats.map_or(1, |repeats| repeats.most.max(1))
    }

    /// Rows below one.
    pub(crate) fn rows_below(&self, row: u32) -> u64 {
        self.rows.count_below(row)
    }

    /// Rows among some.
    pub(crate) fn rows_among(&self, rows: &RoaringBitmap) -> u64 {
        self.rows.count_among(rows)
    }

    /// Occurrences in a row.
    pub(crate) fn count(&self, row: u32) -> u32 {
        if !self.rows.contains(row) {
            return 0;
        }
        let repeats = self.repeats.map_or(&[][..], |repeats| &repeats.rows);
        repeats.binary_search_by_key(&row, |&(row, _)| row).map_or(1, |at| repeats[at].1)
    }

    /// Gives the rows inside a range, ascending, with the number of occurrences.
    #[inline]
    pub(crate) fn each_in(&self, range: Range<u32>, mut visit: impl FnMut(u32, u32)) {
        let repeats = self.repeats.map_or(&[][..], |repeats| &repeats.rows);
        let mut rest = &repeats[repeats.partition_point(|&(row, _)| row < range.start)..];
        self.rows.each_in(range, |row| match rest.split_first() {
            Some((&(repeated, count), others)) if repeated == row => {
                rest = others;
                visit(row, count);
            }
            _ => visit(row, 1),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_over_all_texts_of_a_row() {
        let mut words = RankedWords::new(&TextIndexParams::default()).expect("good settings");
        for (row, text) in [(1, "a b a"), (1, "a c"), (4, "c, c"), (9, ""), (10, "a")] {
            words.add(row, text);
        }
        assert_eq!(words.texts(), Texts { count: 3, words: 8 });
        assert_eq!([0, 1, 4, 9, 10, 11].map(|row| words.length(row)), [0, 5, 2, 0, 1, 0]);
        let of = |word| {
            let mut found = Vec::new();
            words.word(word).expect("there").each_in(0..100, |row, count| found.push((row, count)));
            found
        };
        assert_eq!((of("a"), of("b"), of("c")), (vec![(1, 3), (10, 1)], vec![(1, 1)], vec![(1, 1), (4, 2)]));
        let a = words.word("a").expect("there");
        assert_eq!((a.most(), a.rows_below(10), a.count(1), a.count(4), a.count(10)), (3, 1, 3, 0, 1));
        assert_eq!(words.texts_of(&RoaringBitmap::from_iter([0, 4, 10])), Texts { count: 2, words: 3 });
        assert!(words.word("d").is_none());
    }
}
