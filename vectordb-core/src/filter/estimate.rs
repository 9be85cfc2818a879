//! What the payload indexes know of a filter: a set of rows that holds every match, and whether it holds nothing else.

use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use crate::model::PointId;
use crate::model::filter::{Condition, Filter, MinShould};
use crate::model::payload::PayloadPath;
pub(crate) use crate::payload::index::Candidates;
use crate::payload::index::FieldIndexes;

/// What conditions on ids and vectors need to know of a segment.
pub(crate) trait SegmentView {
    fn row(&self, id: &PointId) -> Option<u32>;
    /// Rows that have a vector, if that is known without looking at each.
    fn vector_rows(&self, name: &str) -> Option<RoaringBitmap>;
}

/// Rows among the first `rows` that may satisfy a filter; nothing when no index says anything about it.
pub(crate) fn candidates(filter: &Filter, indexes: &FieldIndexes, segment: &dyn SegmentView, rows: u32) -> Option<Candidates> {
    let mut found = Estimator { indexes, segment, rows }.filter(filter, None)?;
    // Indexes of a growing segment may know of rows that are not part of the reader's state yet.
    found.rows.remove_range(rows..);
    Some(found)
}

struct Estimator<'a> {
    indexes: &'a FieldIndexes,
    segment: &'a dyn SegmentView,
    rows: u32,
}

/// Rows that satisfy what has been looked at so far; `None` is all rows.
struct Narrowing {
    rows: Option<RoaringBitmap>,
    exact: bool,
}

impl Narrowing {
    fn by(&mut self, found: Option<Candidates>) {
        match found {
            None => self.exact = false,
            Some(found) => {
                self.exact &= found.exact;
                self.rows = Some(match self.rows.take() {
                    None => found.rows,
                    Some(rows) => rows & found.rows,
                });
            }
        }
    }
}

impl Estimator<'_> {
    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.rows);
        all
    }

    /// `scope` is the path of the array element that nested paths start at.
    fn filter(&self, filter: &Filter, scope: Option<&PayloadPath>) -> Option<Candidates> {
        let mut narrowing = Narrowing { rows: None, exact: true };
        filter.must.iter().for_each(|condition| narrowing.by(self.condition(condition, scope)));
        if !filter.should.is_empty() {
            narrowing.by(self.any(&filter.should, scope));
        }
        if let Some(min) = &filter.min_should {
            narrowing.by(self.at_least(min, scope));
        }
        for condition in &filter.must_not {
            // Only what certainly satisfies the condition is certainly left out; and of an element of an array never, since
            // another element may not satisfy it.
            match self.condition(condition, scope).filter(|found| found.exact && scope.is_none()) {
                Some(found) => narrowing.rows = Some(narrowing.rows.take().unwrap_or_else(|| self.all()) - found.rows),
                None => narrowing.exact = false,
            }
        }
        match narrowing {
            Narrowing { rows: None, exact: false } => None,
            Narrowing { rows, exact } => Some(Candidates { rows: rows.unwrap_or_else(|| self.all()), exact }),
        }
    }

    fn any(&self, conditions: &[Condition], scope: Option<&PayloadPath>) -> Option<Candidates> {
        let mut all = Candidates::exact(RoaringBitmap::new());
        for condition in conditions {
            let found = self.condition(condition, scope)?;
            all.rows |= found.rows;
            all.exact &= found.exact;
        }
        Some(all)
    }

    fn at_least(&self, min: &MinShould, scope: Option<&PayloadPath>) -> Option<Candidates> {
        if min.min_count == 0 {
            return Some(Candidates::exact(self.all()));
        }
        let mut counts: FxHashMap<u32, usize> = FxHashMap::default();
        let mut exact = true;
        for condition in &min.conditions {
            let found = self.condition(condition, scope)?;
            exact &= found.exact;
            found.rows.iter().for_each(|row| *counts.entry(row).or_default() += 1);
        }
        let rows = counts.into_iter().filter(|&(_, count)| count >= min.min_count).map(|(row, _)| row).collect();
        Some(Candidates { rows, exact })
    }

    fn condition(&self, condition: &Condition, scope: Option<&PayloadPath>) -> Option<Candidates> {
        let index = |key: &PayloadPath| match scope {
            None => self.indexes.field(key),
            Some(scope) => self.indexes.field(&scope.join(key)),
        };
        match condition {
            Condition::Field { key, test } => index(key)?.candidates(test),
            // Of an element of an array the index of the whole field cannot tell what it lacks.
            Condition::IsEmpty(key) if scope.is_none() => Some(Candidates::exact(self.all() - index(key)?.filled())),
            Condition::IsEmpty(_) => None,
            Condition::IsNull(key) => Some(Candidates::exact(index(key)?.null().clone())),
            Condition::HasId(ids) => Some(Candidates::exact(ids.iter().filter_map(|id| self.segment.row(id)).collect())),
            Condition::HasVector(name) => self.segment.vector_rows(name).map(Candidates::exact),
            Condition::Filter(filter) => self.filter(filter, scope),
            Condition::Nested { key, filter } => self.nested(&scope.map_or_else(|| key.each(), |scope| scope.join(&key.each())), filter),
            Condition::Slice { .. } => None,
        }
    }

    /// Each condition that must hold for some element holds for some element; that all do for the same one must be checked.
    fn nested(&self, key: &PayloadPath, filter: &Filter) -> Option<Candidates> {
        let mut narrowing = Narrowing { rows: None, exact: false };
        filter.must.iter().for_each(|condition| narrowing.by(self.condition(condition, Some(key))));
        if !filter.should.is_empty() {
            narrowing.by(self.any(&filter.should, Some(key)));
        }
        narrowing.rows.map(|rows| Candidates { rows, exact: false })
    }
}
