//! Values in order, for ranges and for walks in the order of a field.
//!
//! Pairs of value and row, sorted; new pairs wait in a short unsorted list that every question looks through.

use std::cmp::Ordering;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::model::filter::Range;
use crate::model::payload::{DateTime, Value};
use crate::model::query::OrderValue;
use crate::storage::heap;

/// New pairs are sorted in when there are more than this, or than an eighth of the sorted ones.
const MOST_FRESH: usize = 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Numbers<N> {
    sorted: Vec<(N, u32)>,
    fresh: Vec<(N, u32)>,
}

impl<N> Default for Numbers<N> {
    fn default() -> Self {
        Self { sorted: Vec::new(), fresh: Vec::new() }
    }
}

/// Numbers that an index can hold. JSON knows neither NaN nor infinities, so floats have a total order too.
pub(super) trait Number: Copy + PartialOrd {
    fn order(self, other: Self) -> Ordering;
    /// The value an ordered walk starts from, in this kind of number.
    fn from_order(from: OrderValue) -> Self;
}

impl Number for i64 {
    fn order(self, other: Self) -> Ordering {
        self.cmp(&other)
    }

    fn from_order(from: OrderValue) -> Self {
        match from {
            OrderValue::Integer(number) | OrderValue::DateTime(DateTime(number)) => number,
            #[expect(clippy::cast_possible_truncation, reason = "a bound beyond all integers is the largest integer")]
            OrderValue::Float(number) => number as Self,
        }
    }
}

impl Number for f64 {
    fn order(self, other: Self) -> Ordering {
        self.total_cmp(&other)
    }

    fn from_order(from: OrderValue) -> Self {
        match from {
            #[expect(clippy::cast_precision_loss, reason = "the field holds floats")]
            OrderValue::Integer(number) | OrderValue::DateTime(DateTime(number)) => number as Self,
            OrderValue::Float(number) => number,
        }
    }
}

/// A value that rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum OrderKey {
    Integer(i64),
    Float(f64),
    /// Microseconds since 1970.
    DateTime(i64),
}

impl OrderKey {
    pub(crate) fn to_json(self) -> Value {
        match self {
            Self::Integer(number) | Self::DateTime(number) => number.into(),
            Self::Float(number) => number.into(),
        }
    }
}

impl<N: Number> Numbers<N> {
    pub(super) fn add(&mut self, row: u32, value: N) {
        self.fresh.push((value, row));
        if self.fresh.len() > MOST_FRESH.max(self.sorted.len() / 8) {
            self.sorted.append(&mut self.fresh);
            // Merging two sorted runs is what this sort is good at.
            self.sorted.sort_by(compare);
        }
    }

    pub(super) fn equal(&self, value: N) -> RoaringBitmap {
        self.between(|other| other.order(value) == Ordering::Less, |other| other.order(value) == Ordering::Greater)
    }

    /// Rows with a value in a range, compared as another kind of number.
    pub(super) fn range<T: PartialOrd>(&self, range: &Range<T>, to: impl Fn(N) -> T) -> RoaringBitmap {
        use Ordering::{Equal, Greater, Less};
        // What is not inside a bound is outside of it, also where the two do not compare, as in `Range::contains`.
        let outside = |bound: &Option<T>, inside: &[Ordering], value: N| {
            bound.as_ref().is_some_and(|bound| !to(value).partial_cmp(bound).is_some_and(|order| inside.contains(&order)))
        };
        let below = |value| outside(&range.gt, &[Greater], value) || outside(&range.gte, &[Greater, Equal], value);
        let above = |value| outside(&range.lt, &[Less], value) || outside(&range.lte, &[Less, Equal], value);
        self.between(below, above)
    }

    /// Rows whose value is neither below nor above; both tests are monotone.
    fn between(&self, below: impl Fn(N) -> bool, above: impl Fn(N) -> bool) -> RoaringBitmap {
        let from = self.sorted.partition_point(|&(value, _)| below(value));
        let to = from + self.sorted[from..].partition_point(|&(value, _)| !above(value));
        let sorted = self.sorted[from..to].iter();
        sorted.chain(self.fresh.iter().filter(|&&(value, _)| !below(value) && !above(value))).map(|&(_, row)| row).collect()
    }

    /// Rows with a value that satisfies a test.
    pub(super) fn matching(&self, test: impl Fn(N) -> bool) -> RoaringBitmap {
        self.sorted.iter().chain(&self.fresh).filter(|&&(value, _)| test(value)).map(|&(_, row)| row).collect()
    }

    /// All pairs from a value on, in order.
    pub(super) fn ordered<'a>(
        &'a self,
        descending: bool,
        from: Option<OrderValue>,
        key: impl Fn(N) -> OrderKey + 'a,
    ) -> Box<dyn Iterator<Item = (OrderKey, u32)> + 'a> {
        let mut pairs = std::borrow::Cow::Borrowed(&self.sorted);
        if !self.fresh.is_empty() {
            let all = pairs.to_mut();
            all.extend_from_slice(&self.fresh);
            all.sort_by(compare);
        }
        let from = from.map(N::from_order);
        let (start, end) = match from {
            None => (0, pairs.len()),
            Some(from) if descending => (0, pairs.partition_point(|&(value, _)| value.order(from) != Ordering::Greater)),
            Some(from) => (pairs.partition_point(|&(value, _)| value.order(from) == Ordering::Less), pairs.len()),
        };
        let count = end - start;
        Box::new((0..count).map(move |step| {
            let (value, row) = pairs[if descending { end - 1 - step } else { start + step }];
            (key(value), row)
        }))
    }

    pub(super) fn shrink(&mut self) {
        self.sorted.shrink_to_fit();
        self.fresh.shrink_to_fit();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        heap::vec::<(N, u32)>(self.sorted.capacity()) + heap::vec::<(N, u32)>(self.fresh.capacity())
    }
}

fn compare<N: Number>(a: &(N, u32), b: &(N, u32)) -> Ordering {
    a.0.order(b.0).then(a.1.cmp(&b.1))
}
