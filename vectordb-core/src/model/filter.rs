//! Filters: which points a read or a write is about.
//!
//! A filter is three lists of conditions and a "at least n of these" clause; all four must hold. Conditions on a field
//! look at every value its path leads to and hold when *any* of them does; arrays are looked into.

use std::ops::{BitAnd, BitOr, Not};

use super::payload::{DateTime, GeoPoint, PayloadPath};
use super::point::PointId;
use serde::{Deserialize, Serialize};

/// Deepest nesting of filters.
pub const MAX_FILTER_DEPTH: usize = 16;
/// Most conditions of one filter, nested ones included.
pub const MAX_FILTER_CONDITIONS: usize = 4096;

/// A combination of conditions; the empty filter holds for every point.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// All of these hold.
    pub must: Vec<Condition>,
    /// At least one of these holds, if there are any.
    pub should: Vec<Condition>,
    /// None of these holds.
    pub must_not: Vec<Condition>,
    /// At least `min_count` of these hold.
    pub min_should: Option<MinShould>,
}

/// "At least `min_count` of the conditions hold."
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinShould {
    /// The conditions counted.
    pub conditions: Vec<Condition>,
    /// How many of them must hold.
    pub min_count: usize,
}

/// One test of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Condition {
    /// A test of a payload field.
    Field {
        /// Where the values are.
        key: PayloadPath,
        /// What is asked of them.
        test: FieldTest,
    },
    /// The field is missing, null, `[]`, or a list of only nulls.
    IsEmpty(PayloadPath),
    /// The field is null, or a list that holds a null.
    IsNull(PayloadPath),
    /// The point's id is one of these.
    HasId(Vec<PointId>),
    /// The point has the vector of this name (`""` is the unnamed one).
    HasVector(String),
    /// One element of the array at `key` satisfies the whole filter, whose paths start at the element.
    Nested {
        /// The array.
        key: PayloadPath,
        /// What an element must satisfy.
        filter: Box<Filter>,
    },
    /// A filter inside a filter.
    Filter(Box<Filter>),
    /// The point falls in part `index` of `total` equal parts of all ids (SipHash-2-4 with a zero key over the id's bytes).
    Slice {
        /// How many parts.
        total: u64,
        /// Which part.
        index: u64,
    },
}

/// What is asked of the values of a field; holds when any value satisfies it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FieldTest {
    /// Equal to a string, an integer or a boolean.
    Value(MatchValue),
    /// Equal to one of these.
    Any(MatchSet),
    /// Some value, not null, is none of these; a value of another kind is none of them.
    Except(MatchSet),
    /// The text holds all words of this one; without a text index: holds it as a substring, case-sensitive.
    Text(String),
    /// The text holds at least one word of this one.
    TextAny(String),
    /// The text holds these words one after another.
    Phrase(String),
    /// The string starts with this.
    Prefix(String),
    /// The string holds this, case-sensitive.
    Substring(String),
    /// A number in a range.
    Range(Range<f64>),
    /// A moment in a range.
    DateTimeRange(Range<DateTime>),
    /// A place in a box; a box whose left is east of its right crosses the antimeridian.
    GeoBoundingBox {
        /// North-west corner.
        top_left: GeoPoint,
        /// South-east corner.
        bottom_right: GeoPoint,
    },
    /// A place within a distance.
    GeoRadius {
        /// The middle.
        center: GeoPoint,
        /// Metres.
        radius: f64,
    },
    /// A place inside a polygon and outside of its holes.
    GeoPolygon {
        /// The outer ring.
        exterior: Vec<GeoPoint>,
        /// The holes.
        interiors: Vec<Vec<GeoPoint>>,
    },
    /// The number of values: of an array its length, of null 0, of anything else 1.
    ValuesCount(Range<u64>),
}

/// A value that a field can be equal to. Integers and floats are different: `2` does not match a stored `2.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MatchValue {
    /// A string, also a UUID.
    Keyword(String),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Bool(bool),
}

impl From<&str> for MatchValue {
    fn from(text: &str) -> Self {
        Self::Keyword(text.into())
    }
}

impl From<String> for MatchValue {
    fn from(text: String) -> Self {
        Self::Keyword(text)
    }
}

impl From<i64> for MatchValue {
    fn from(num: i64) -> Self {
        Self::Integer(num)
    }
}

impl From<i32> for MatchValue {
    fn from(num: i32) -> Self {
        Self::Integer(num.into())
    }
}

impl From<bool> for MatchValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// A set of strings or of integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchSet {
    /// Strings.
    Keywords(Vec<String>),
    /// Integers.
    Integers(Vec<i64>),
}

/// A range with any of its four bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range<T> {
    /// Greater than.
    pub gt: Option<T>,
    /// Greater than or equal.
    pub gte: Option<T>,
    /// Less than.
    pub lt: Option<T>,
    /// Less than or equal.
    pub lte: Option<T>,
}

impl<T> Default for Range<T> {
    fn default() -> Self {
        Self { gt: None, gte: None, lt: None, lte: None }
    }
}

impl<T: PartialOrd> Range<T> {
    /// Whether the value satisfies all bounds.
    pub fn contains(&self, value: &T) -> bool {
        self.gt.as_ref().is_none_or(|bound| value > bound)
            && self.gte.as_ref().is_none_or(|bound| value >= bound)
            && self.lt.as_ref().is_none_or(|bound| value < bound)
            && self.lte.as_ref().is_none_or(|bound| value <= bound)
    }
}

impl Filter {
    /// A filter of conditions that all must hold.
    pub fn must(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self { must: conditions.into_iter().collect(), ..Self::default() }
    }

    /// A filter of conditions of which at least one must hold.
    pub fn should(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self { should: conditions.into_iter().collect(), ..Self::default() }
    }

    /// A filter of conditions of which none may hold.
    pub fn must_not(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self { must_not: conditions.into_iter().collect(), ..Self::default() }
    }

    /// Whether the filter has no condition and so holds for every point.
    pub fn is_empty(&self) -> bool {
        self.must.is_empty() && self.should.is_empty() && self.must_not.is_empty() && self.min_should.is_none()
    }

    /// The filter of a query inside another: the clauses of both side by side, so that `should` clauses are alternatives of
    /// each other and `must` clauses hold together.
    #[must_use]
    pub fn merged(outer: Option<&Self>, inner: Option<&Self>) -> Option<Self> {
        let (outer, inner) = match (outer, inner) {
            (None, one) | (one, None) => return one.cloned(),
            (Some(outer), Some(inner)) => (outer.clone(), inner.clone()),
        };
        let joined = |a: Vec<Condition>, b: Vec<Condition>| a.into_iter().chain(b).collect();
        let min_should = match (outer.min_should, inner.min_should) {
            (None, one) | (one, None) => one,
            (Some(a), Some(b)) => {
                Some(MinShould { min_count: a.min_count.max(b.min_count), conditions: joined(a.conditions, b.conditions) })
            }
        };
        Some(Self {
            must: joined(outer.must, inner.must),
            should: joined(outer.should, inner.should),
            must_not: joined(outer.must_not, inner.must_not),
            min_should,
        })
    }

    pub(super) fn into_condition(mut self) -> Condition {
        if self.should.is_empty() && self.must_not.is_empty() && self.min_should.is_none() && self.must.len() == 1 {
            return self.must.swap_remove(0);
        }
        Condition::Filter(Box::new(self))
    }
}

impl From<Condition> for Filter {
    fn from(condition: Condition) -> Self {
        Self::must([condition])
    }
}

impl BitAnd for Filter {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self::must([self.into_condition(), other.into_condition()])
    }
}

impl BitOr for Filter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self::should([self.into_condition(), other.into_condition()])
    }
}

impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::must_not([self.into_condition()])
    }
}
