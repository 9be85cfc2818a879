//! A filter over one segment at one lsn.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::Segment;
use crate::error::{Error, Result};
use crate::filter::check::{Checker, RowView};
use crate::filter::estimate::{Candidates, SegmentView, candidates};
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
        Ok(Self { filter: filter.clone(), checker: Checker::new(filter, schema)? })
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
    candidates: Option<Candidates>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(segment: &'a dyn Segment, filter: Option<&'a CompiledFilter>, at: Lsn) -> Self {
        let visible = segment.rows(at);
        let mut found = None;
        if let Some(filter) = filter {
            segment.with_indexes(&mut |indexes| {
                found = candidates(&filter.filter, indexes, &IndexView { segment, at }, visible);
            });
        }
        let has_dead = segment.tombstones().dead() > 0;
        Self { segment, at, visible, has_dead, checker: filter.map(|filter| &filter.checker), candidates: found }
    }

    /// Whether anything but "all rows" is asked for.
    pub(crate) fn is_selective(&self) -> bool {
        self.checker.is_some() || self.has_dead
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.checker.is_some()
    }

    /// Whether the payload indexes alone answer the filter.
    pub(crate) fn is_exact(&self) -> bool {
        self.checker.is_none() || self.candidates.as_ref().is_some_and(|candidates| candidates.exact)
    }

    /// Most rows that can match: the candidates of the indexes, or all.
    pub(crate) fn upper_bound(&self) -> usize {
        let live = usize::try_from(u64::from(self.visible).saturating_sub(self.segment.tombstones().dead())).unwrap_or(usize::MAX);
        match &self.candidates {
            Some(candidates) => usize::try_from(candidates.rows.len()).unwrap_or(usize::MAX),
            // Dead rows of newer lsns make `live` too small; rows can still match.
            None if self.has_dead => live.max(1),
            None => self.visible as usize,
        }
    }

    /// Whether a row is live and satisfies the filter.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its payload cannot be read.
    pub(crate) fn accepts(&self, row: u32) -> Result<bool> {
        if row >= self.visible || (self.has_dead && !self.segment.tombstones().is_live(row, self.at)) {
            return Ok(false);
        }
        let Some(checker) = self.checker else { return Ok(true) };
        if let Some(candidates) = &self.candidates {
            let possible = candidates.rows.contains(row);
            if !possible || candidates.exact {
                return Ok(possible);
            }
        }
        let view = StoredRow::new(self.segment, row);
        let matches = checker.matches(&view);
        match view.failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(matches),
        }
    }

    /// Gives every accepted row, ascending, until `visit` returns false.
    ///
    /// # Errors
    /// As [`Matcher::accepts`], and whatever `visit` returns.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(u32) -> Result<bool>) -> Result<()> {
        let mut all = 0..self.visible;
        let mut some = self.candidates.as_ref().map(|candidates| candidates.rows.iter());
        while let Some(row) = some.as_mut().map_or_else(|| all.next(), Iterator::next) {
            if self.accepts(row)? && !visit(row)? {
                break;
            }
        }
        Ok(())
    }

    /// How many rows are accepted.
    ///
    /// # Errors
    /// As [`Matcher::accepts`].
    pub(crate) fn count(&self) -> Result<u64> {
        if self.is_exact() && !self.has_dead {
            return Ok(self.candidates.as_ref().map_or(u64::from(self.visible), |candidates| candidates.rows.len()));
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
            return self.count();
        }
        let bound = self.upper_bound();
        if bound <= SAMPLE {
            return self.count();
        }
        // An odd step, so that what alternates in the data is not mistaken for the whole.
        let (mut seen, mut accepted) = (0u64, 0u64);
        let possible: Box<dyn Iterator<Item = u32>> = match &self.candidates {
            Some(candidates) => Box::new(candidates.rows.iter()),
            None => Box::new(0..self.visible),
        };
        for row in possible.step_by((bound / SAMPLE) | 1) {
            seen += 1;
            accepted += u64::from(self.accepts(row)?);
        }
        Ok(bound as u64 * accepted / seen.max(1))
    }

    /// The candidates as a dense bitset when they are exact: the form a walk asks fastest.
    pub(crate) fn dense(&self) -> Option<Vec<u64>> {
        let candidates = self.candidates.as_ref().filter(|candidates| candidates.exact)?;
        let mut words = vec![0u64; (self.visible as usize).div_ceil(64)];
        for row in &candidates.rows {
            if let Some(word) = words.get_mut(row as usize / 64) {
                *word |= 1 << (row % 64);
            }
        }
        if self.has_dead {
            let dead = self.segment.tombstones().dead_at(self.visible, self.at);
            dead.iter().for_each(|row| words[row as usize / 64] &= !(1 << (row % 64)));
        }
        Some(words)
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
        let field = self.segment.field(name);
        match field {
            None => Some(RoaringBitmap::new()),
            Some(field) if field.complete => Some((0..self.segment.rows(self.at)).collect()),
            Some(_) => None,
        }
    }
}
