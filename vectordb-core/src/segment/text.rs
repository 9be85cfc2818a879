//! Texts of a segment ranked by BM25 (Robertson & Zaragoza 2009).
//!
//! The lists of the words are added up in windows of rows. Words whose lists together cannot lift a row to the worst of the best
//! so far are not gone through: they are looked up for rows that the other words made promising (MaxScore: Turtle & Flood
//! 1995). Where a filter leaves few rows, all words are looked up for each of them. Both ways are exact.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use super::search::Trace;
use super::{CompiledFilter, Matcher, Segment};
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::explain::{Way, Work};
use crate::model::payload::PayloadPath;
use crate::model::point::{Lsn, by_score_then_id};
use crate::model::query::Budget;
use crate::payload::index::{Occurrences, RankedWords, Texts};

/// Rows whose scores are added up at once.
const WINDOW: u32 = 4096;
/// The same as a length.
const WINDOW_ROWS: usize = WINDOW as usize;
/// Numbers of lists that cost as much as looking one word up for one row.
const ENTRIES_OF_A_LOOKUP: u64 = 8;
/// What bounds are widened by, so that rounding never hides a row.
const SLACK: f64 = 1.0 + 1e-6;

/// How many texts there are, and how many hold each word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TextCounts {
    pub(crate) texts: Texts,
    /// In the order of the words.
    pub(crate) holding: Vec<u64>,
}

impl TextCounts {
    /// Adds the texts of a segment that are live and satisfy a filter. `O(words)` without dead rows and filter, otherwise
    /// `O(rows)`.
    ///
    /// # Errors
    /// Unreadable payloads.
    pub(crate) fn add(
        &mut self,
        segment: &dyn Segment,
        key: &PayloadPath,
        words: &[String],
        filter: Option<&CompiledFilter>,
        at: Lsn,
    ) -> Result<()> {
        let matcher = Matcher::new(segment, filter, at);
        let visible = segment.rows(at);
        let mut some = None;
        if !matcher.accepts_all() {
            let mut rows = RoaringBitmap::new();
            matcher.each(&mut |row| Ok(rows.insert(row)))?;
            some = Some(rows);
        }
        self.holding.resize(words.len(), 0);
        segment.with_indexes(&mut |indexes| {
            let Some(index) = indexes.field(key).and_then(|field| field.ranked()) else { return };
            // A row may have come since.
            if some.is_none() && index.rows() > visible {
                some = Some((0..visible).collect());
            }
            let texts = some.as_ref().map_or_else(|| index.texts(), |rows| index.texts_of(rows));
            self.texts.count += texts.count;
            self.texts.words += texts.words;
            for (word, holding) in words.iter().zip(&mut self.holding) {
                let rows = index.word(word);
                *holding += rows.map_or(0, |rows| some.as_ref().map_or_else(|| rows.rows_below(visible), |some| rows.rows_among(some)));
            }
        });
        Ok(())
    }
}

/// A word of a query and its weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryWord {
    pub(crate) word: String,
    pub(crate) idf: f64,
}

/// A ranking of texts as every segment gets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextLeaf<'a> {
    pub(crate) key: &'a PayloadPath,
    pub(crate) words: &'a [QueryWord],
    pub(crate) k: f64,
    pub(crate) b: f64,
    /// Words of a text, in the mean.
    pub(crate) mean: f64,
    /// Rows wanted.
    pub(crate) limit: usize,
    pub(crate) threshold: Option<f32>,
    pub(crate) filter: Option<&'a CompiledFilter>,
    pub(crate) at: Lsn,
    pub(crate) budget: &'a Budget,
}

impl TextLeaf<'_> {
    /// What a word adds to the score of a text of `length` words that holds it `count` times; rises with the count.
    #[inline]
    fn part(&self, idf: f64, count: u32, length: u32) -> f64 {
        let count = f64::from(count);
        idf * count * (self.k + 1.0) / (count + self.k * (1.0 - self.b + self.b * f64::from(length) / self.mean))
    }
}

/// A row that ranks high.
#[derive(Debug, Clone)]
pub(crate) struct TextHit {
    pub(crate) score: f32,
    pub(crate) id: PointId,
    pub(crate) row: u32,
}

/// The better one is greater: equal scores in the order of ids, so that pages of an answer fit together.
impl Ord for TextHit {
    fn cmp(&self, other: &Self) -> Ordering {
        by_score_then_id((other.score, &other.id), (self.score, &self.id))
    }
}

impl PartialOrd for TextHit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for TextHit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for TextHit {}

/// The best rows of a segment that hold any of the words, in no order.
///
/// # Errors
/// Unreadable payloads, and the budget's.
pub(crate) fn rank_texts(segment: &dyn Segment, leaf: &TextLeaf<'_>) -> Result<(Vec<TextHit>, Trace)> {
    leaf.budget.check()?;
    if leaf.limit == 0 {
        return Ok(Default::default());
    }
    let matcher = Matcher::new(segment, leaf.filter, leaf.at);
    let mut result = Ok(Default::default());
    segment.with_indexes(&mut |indexes| {
        if let Some(index) = indexes.field(leaf.key).and_then(|field| field.ranked()) {
            result = Ranking::new(segment, leaf, index, &matcher).run();
        }
    });
    result
}

/// A word that occurs in the segment.
struct List<'a> {
    idf: f64,
    rows: Occurrences<'a>,
    /// The most that it adds to a score.
    bound: f64,
    /// The sum of this bound and those of the lists before.
    until: f64,
}

struct Ranking<'a> {
    leaf: &'a TextLeaf<'a>,
    index: &'a RankedWords,
    matcher: &'a Matcher<'a>,
    visible: u32,
    /// By their bounds, the smallest first.
    lists: Vec<List<'a>>,
    best: Best<'a>,
    work: Work,
}

impl<'a> Ranking<'a> {
    fn new(segment: &'a dyn Segment, leaf: &'a TextLeaf<'a>, index: &'a RankedWords, matcher: &'a Matcher<'a>) -> Self {
        let list = |word: &QueryWord| {
            let rows = index.word(&word.word)?;
            // A text is at least as long as a word occurs in it, and what a word adds rises with both together.
            let bound = leaf.part(word.idf, rows.most(), rows.most());
            Some(List { idf: word.idf, rows, bound, until: 0.0 })
        };
        let mut lists: Vec<List<'a>> = leaf.words.iter().filter_map(list).collect();
        lists.sort_by(|a, b| a.bound.total_cmp(&b.bound));
        let mut until = 0.0;
        for list in &mut lists {
            until += list.bound;
            list.until = until;
        }
        let (visible, best) = (segment.rows(leaf.at), Best::new(segment, leaf));
        Self { leaf, index, matcher, visible, lists, best, work: Work::default() }
    }

    fn run(mut self) -> Result<(Vec<TextHit>, Trace)> {
        let entries: u64 = self.lists.iter().map(|list| list.rows.rows_below(self.visible)).sum();
        let lookups = self.matcher.upper_bound() as u64 * self.lists.len() as u64;
        let way = if self.matcher.is_filtered() && lookups.saturating_mul(ENTRIES_OF_A_LOOKUP) < entries {
            self.each_match()?;
            Way::Scan
        } else {
            self.windows()?;
            Way::Lists
        };
        let (estimated, indexed) = (self.matcher.upper_bound(), self.matcher.is_exact());
        Ok((self.best.into_hits(), Trace { way, ef: 0, estimated, indexed, work: self.work }))
    }

    /// Scores the rows that satisfy the filter one by one.
    fn each_match(&mut self) -> Result<()> {
        let Self { leaf, index, matcher, visible, lists, best, work } = self;
        matcher.each_in(0..*visible, |row| {
            if work.texts.is_multiple_of(u64::from(WINDOW)) {
                leaf.budget.check()?;
            }
            work.texts += 1;
            let length = index.length(row);
            let counts = lists.iter().map(|list| (list.idf, list.rows.count(row))).filter(|&(_, count)| count > 0);
            let score: f64 = counts.map(|(idf, count)| leaf.part(idf, count, length)).sum();
            if score > 0.0 {
                best.offer(row, score, |_| Ok(true))?;
            }
            Ok::<(), Error>(())
        })
    }

    /// Adds lists up, window after window.
    fn windows(&mut self) -> Result<()> {
        let mut scores = vec![0.0f64; WINDOW_ROWS];
        for start in (0..self.visible).step_by(WINDOW_ROWS) {
            self.leaf.budget.check()?;
            let end = self.visible.min(start.saturating_add(WINDOW));
            let floor = self.best.floor();
            let passive = self.lists.partition_point(|list| list.until * SLACK < floor);
            if passive == self.lists.len() {
                return Ok(());
            }
            let mut touched = [0u64; WINDOW_ROWS / 64];
            for list in &self.lists[passive..] {
                let (leaf, index, work) = (self.leaf, self.index, &mut self.work);
                list.rows.each_in(start..end, |row, count| {
                    let at = (row - start) as usize;
                    scores[at] += leaf.part(list.idf, count, index.length(row));
                    touched[at / 64] |= 1 << (at % 64);
                    work.entries += 1;
                });
            }
            for (first, word) in (start..).step_by(64).zip(touched) {
                self.offer(first, word, &mut scores[(first - start) as usize..][..64], passive)?;
            }
        }
        Ok(())
    }

    /// Completes the scores of 64 rows by the lists that were not gone through, and forgets them.
    fn offer(&mut self, first: u32, mut touched: u64, scores: &mut [f64], passive: usize) -> Result<()> {
        while touched != 0 {
            let bit = touched.trailing_zeros();
            touched &= touched - 1;
            let row = first + bit;
            let mut score = std::mem::take(&mut scores[bit as usize]);
            let floor = self.best.floor();
            let mut rest = self.lists[..passive].iter().rev();
            let promising = rest.all(|list| {
                if (score + list.until) * SLACK < floor {
                    return false;
                }
                self.work.entries += 1;
                let count = list.rows.count(row);
                if count > 0 {
                    score += self.leaf.part(list.idf, count, self.index.length(row));
                }
                true
            });
            if promising {
                self.best.offer(row, score, |row| self.matcher.accepts(row))?;
            }
        }
        Ok(())
    }
}

/// The best rows so far.
struct Best<'a> {
    segment: &'a dyn Segment,
    limit: usize,
    least: f32,
    heap: BinaryHeap<Reverse<TextHit>>,
}

impl<'a> Best<'a> {
    fn new(segment: &'a dyn Segment, leaf: &TextLeaf<'_>) -> Self {
        Self { segment, limit: leaf.limit, least: leaf.threshold.unwrap_or(f32::NEG_INFINITY), heap: BinaryHeap::new() }
    }

    /// What a row must reach to get in.
    fn floor(&self) -> f64 {
        let worst = self.heap.peek().filter(|_| self.heap.len() >= self.limit);
        worst.map_or(self.least, |Reverse(worst)| worst.score.max(self.least)).into()
    }

    fn offer(&mut self, row: u32, score: f64, accepts: impl Fn(u32) -> Result<bool>) -> Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
        let score = score as f32;
        if f64::from(score) < self.floor() {
            return Ok(());
        }
        let hit = TextHit { score, id: self.segment.id(row), row };
        let full = self.heap.len() >= self.limit;
        if (full && self.heap.peek().is_some_and(|Reverse(worst)| hit <= *worst)) || !accepts(row)? {
            return Ok(());
        }
        if full {
            self.heap.pop();
        }
        self.heap.push(Reverse(hit));
        Ok(())
    }

    fn into_hits(self) -> Vec<TextHit> {
        self.heap.into_iter().map(|Reverse(hit)| hit).collect()
    }
}
