//! A filter over one segment at one lsn.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Segment;
use super::selection::Selection;
use crate::error::{Error, Result};
use crate::filter::check::{Checker, RowView};
use crate::filter::estimate::{SegmentView, candidates};
use crate::model::PointId;
use crate::model::config::FieldSchema;
use crate::model::filter::Filter;
use crate::model::payload::Payload;
use crate::model::point::Lsn;

/// Rows looked at to learn how selective a filter is that no index knows.
const SAMPLE: usize = 64;

/// A filter made ready once for all segments of a query.
#[derive(Debug)]
pub(crate) struct CompiledFilter {
    filter: Filter,
    checker: Checker,
}

impl CompiledFilter {
    /// # Errors
    /// [`Error::InvalidFilter`] and [`Error::LimitExceeded`] for filters that make no sense or are too large.
    pub(crate) fn new(filter: &Filter, schema: &BTreeMap<String, FieldSchema>) -> Result<Self> {
        Self::of(filter.clone(), schema)
    }

    /// # Errors
    /// As [`CompiledFilter::new`].
    pub(crate) fn of(filter: Filter, schema: &BTreeMap<String, FieldSchema>) -> Result<Self> {
        Ok(Self { checker: Checker::new(&filter, schema)?, filter })
    }

    /// Whether a row satisfies the filter, live or not.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its payload cannot be read.
    pub(crate) fn matches_row(&self, segment: &dyn Segment, row: u32) -> Result<bool> {
        check(&self.checker, segment, row)
    }

    /// Whether a point that is in no segment yet satisfies the filter.
    pub(crate) fn matches(&self, row: &dyn RowView) -> bool {
        self.checker.matches(row)
    }
}

/// Which rows of a segment are live at an lsn and satisfy a filter.
pub(crate) struct Matcher<'a> {
    segment: &'a dyn Segment,
    at: Lsn,
    visible: u32,
    has_dead: bool,
    checker: Option<&'a Checker>,
    selection: Option<Arc<Selection>>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(segment: &'a dyn Segment, filter: Option<&'a CompiledFilter>, at: Lsn) -> Self {
        let visible = segment.rows(at);
        let selection = filter.and_then(|filter| {
            let find = || {
                let mut found = None;
                segment.with_indexes(&mut |indexes| {
                    found = candidates(&filter.filter, indexes, &IndexView { segment, at }, visible);
                });
                found.map(|found| Selection::new(&found, visible))
            };
            match segment.selections() {
                Some(cache) => cache.get_or_find(&filter.filter, find),
                None => find().map(Arc::new),
            }
        });
        let has_dead = segment.tombstones().dead() > 0;
        Self { segment, at, visible, has_dead, checker: filter.map(|filter| &filter.checker), selection }
    }

    /// Rows chosen by other means than a filter.
    pub(super) fn of_rows(segment: &'a dyn Segment, rows: Arc<Selection>, at: Lsn) -> Self {
        let visible = segment.rows(at);
        Self { segment, at, visible, has_dead: segment.tombstones().dead() > 0, checker: None, selection: Some(rows) }
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.checker.is_some() || self.selection.is_some()
    }

    pub(super) fn has_dead(&self) -> bool {
        self.has_dead
    }

    /// Whether every row of the segment is live and there is no filter.
    pub(crate) fn accepts_all(&self) -> bool {
        !self.is_filtered() && !self.has_dead && self.visible == self.segment.rows(Lsn(u64::MAX))
    }

    /// Whether the payload indexes alone answer the filter.
    pub(crate) fn is_exact(&self) -> bool {
        !self.is_filtered() || self.selection.as_ref().is_some_and(|selection| selection.is_exact())
    }

    /// Most rows that can match: the candidates of the indexes, or all.
    pub(crate) fn upper_bound(&self) -> usize {
        let live = usize::try_from(u64::from(self.visible).saturating_sub(self.segment.tombstones().dead())).unwrap_or(usize::MAX);
        match &self.selection {
            Some(selection) => selection.len(),
            // Dead rows of newer lsns make `live` too small; rows can still match.
            None if self.has_dead => live.max(1),
            None => self.visible as usize,
        }
    }

    #[inline]
    fn is_live(&self, row: u32) -> bool {
        row < self.visible && (!self.has_dead || self.segment.tombstones().is_live(row, self.at))
    }

    /// Whether a row is live and satisfies the filter.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its payload cannot be read.
    #[inline]
    pub(crate) fn accepts(&self, row: u32) -> Result<bool> {
        if !self.is_live(row) {
            return Ok(false);
        }
        if let Some(selection) = &self.selection {
            let possible = selection.contains(row);
            if !possible || selection.is_exact() {
                return Ok(possible);
            }
        }
        let Some(checker) = self.checker else { return Ok(true) };
        check(checker, self.segment, row)
    }

    /// Gives every accepted row, ascending, until `visit` returns false.
    ///
    /// # Errors
    /// As [`Matcher::accepts`], and whatever `visit` returns.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(u32) -> Result<bool>) -> Result<()> {
        let step = |row| if visit(row).map_err(Some)? { Ok(()) } else { Err(None) };
        match self.each_in(0..self.visible, step) {
            Ok(()) | Err(None) => Ok(()),
            Err(Some(error)) => Err(error),
        }
    }

    /// Gives every accepted row in a range, ascending, until `visit` fails.
    pub(super) fn each_in<E: From<Error>>(
        &self,
        range: Range<u32>,
        mut visit: impl FnMut(u32) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let range = range.start..range.end.min(self.visible);
        match &self.selection {
            Some(selection) if selection.is_exact() => selection.try_each(range, |row| if self.is_live(row) { visit(row) } else { Ok(()) }),
            Some(selection) => selection.try_each(range, |row| if self.accepts(row)? { visit(row) } else { Ok(()) }),
            None => range.into_iter().try_for_each(|row| if self.accepts(row)? { visit(row) } else { Ok(()) }),
        }
    }

    /// Gives the accepted ones among every `step`th of the rows that can match, ascending, until `visit` fails.
    ///
    /// # Errors
    /// As [`Matcher::accepts`], and whatever `visit` returns.
    pub(crate) fn each_of(&self, step: usize, visit: &mut dyn FnMut(u32) -> Result<()>) -> Result<()> {
        let mut at = 0;
        let look = |row| {
            at += 1;
            if (at - 1) % step == 0 && self.accepts(row)? { visit(row) } else { Ok(()) }
        };
        match &self.selection {
            Some(selection) => selection.try_each(0..self.visible, look),
            None => (0..self.visible).try_for_each(look),
        }
    }

    /// Places that [`Matcher::drawn`] gives rows for: every accepted row has one.
    pub(crate) fn drawable(&self) -> usize {
        self.selection.as_ref().and_then(|selection| selection.places()).unwrap_or(self.visible as usize)
    }

    /// The row of a place, if it is accepted.
    ///
    /// # Errors
    /// As [`Matcher::accepts`].
    pub(crate) fn drawn(&self, place: usize) -> Result<Option<u32>> {
        let row = match self.selection.as_ref().filter(|selection| selection.places().is_some()) {
            Some(selection) => selection.at_place(place),
            None => u32::try_from(place).ok(),
        };
        row.map_or(Ok(None), |row| Ok(self.accepts(row)?.then_some(row)))
    }

    /// How many rows are accepted.
    ///
    /// # Errors
    /// As [`Matcher::accepts`].
    pub(crate) fn count(&self) -> Result<u64> {
        if self.is_exact() && !self.has_dead {
            return Ok(self.upper_bound() as u64);
        }
        let mut count = 0;
        self.each(&mut |_| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    /// How many rows are accepted, about: the indexes' word, or a sample where they have none.
    ///
    /// # Errors
    /// As [`Matcher::accepts`].
    pub(crate) fn estimate(&self) -> Result<u64> {
        if self.is_exact() {
            let found = self.upper_bound() as u64;
            if !self.has_dead || found <= SAMPLE as u64 {
                return self.count();
            }
            // Of the rows found as many are taken for dead as of all.
            let live = u64::from(self.visible).saturating_sub(self.segment.tombstones().dead());
            return Ok(if self.selection.is_none() { found } else { (found * live).div_ceil(u64::from(self.visible).max(1)) });
        }
        let bound = self.upper_bound();
        if bound <= SAMPLE {
            return self.count();
        }
        // An odd step, so that what alternates in the data is not mistaken for the whole.
        let (mut seen, mut accepted) = (0u64, 0u64);
        let step = (bound / SAMPLE) | 1;
        let mut at = 0;
        let mut look = |row| {
            if at % step == 0 {
                seen += 1;
                accepted += u64::from(self.accepts(row)?);
            }
            at += 1;
            Ok::<(), Error>(())
        };
        match &self.selection {
            Some(selection) => selection.try_each(0..self.visible, look)?,
            None => (0..self.visible).try_for_each(&mut look)?,
        }
        Ok(bound as u64 * accepted / seen.max(1))
    }

    /// A range that holds every row that can match.
    pub(super) fn span(&self) -> Range<u32> {
        self.selection.as_ref().map_or(0..self.visible, |selection| selection.span())
    }

    /// Rows of a range that the indexes take for possible, dead ones included.
    pub(super) fn possible_in(&self, range: Range<u32>) -> usize {
        match &self.selection {
            Some(selection) => selection.count_in(range),
            None => range.len(),
        }
    }

    /// A bit for each accepted row, when the indexes alone know them: the form a walk asks fastest.
    pub(super) fn dense(&self) -> Option<Cow<'_, [u64]>> {
        let selection = self.selection.as_ref().filter(|selection| selection.is_exact())?;
        let words = selection.words(self.visible)?;
        if !self.has_dead {
            return Some(words);
        }
        let mut live = words.into_owned();
        for (at, word) in (0u32..).zip(&mut live).filter(|(_, word)| **word != 0) {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !self.is_live(at * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
        Some(Cow::Owned(live))
    }
}

fn check(checker: &Checker, segment: &dyn Segment, row: u32) -> Result<bool> {
    let view = StoredRow::new(segment, row);
    let matches = checker.matches(&view);
    match view.failure.into_inner() {
        Some(error) => Err(error),
        None => Ok(matches),
    }
}

/// A stored row as the checker sees it; the payload is read when the filter first asks for it.
struct StoredRow<'a> {
    segment: &'a dyn Segment,
    row: u32,
    id: OnceCell<PointId>,
    payload: OnceCell<Cow<'a, Payload>>,
    failure: RefCell<Option<Error>>,
}

impl<'a> StoredRow<'a> {
    fn new(segment: &'a dyn Segment, row: u32) -> Self {
        Self { segment, row, id: OnceCell::new(), payload: OnceCell::new(), failure: RefCell::new(None) }
    }
}

impl RowView for StoredRow<'_> {
    fn id(&self) -> &PointId {
        self.id.get_or_init(|| self.segment.id(self.row))
    }

    fn payload(&self) -> &Payload {
        self.payload.get_or_init(|| {
            self.segment.payload(self.row).unwrap_or_else(|error| {
                *self.failure.borrow_mut() = Some(error);
                Cow::Owned(Payload::new())
            })
        })
    }

    fn has_vector(&self, name: &str) -> bool {
        self.segment.has_vector(name, self.row)
    }
}

/// What the indexes need to know of the segment's ids and vectors.
struct IndexView<'a> {
    segment: &'a dyn Segment,
    at: Lsn,
}

impl SegmentView for IndexView<'_> {
    fn row(&self, id: &PointId) -> Option<u32> {
        self.segment.find(id, self.at)
    }

    fn vector_rows(&self, name: &str) -> Option<RoaringBitmap> {
        let dense = self.segment.field(name).map(|field| field.complete);
        match dense.or_else(|| self.segment.sparse(name).map(|field| field.complete)) {
            None => Some(RoaringBitmap::new()),
            Some(true) => Some((0..self.segment.rows(self.at)).collect()),
            Some(false) => None,
        }
    }
}
