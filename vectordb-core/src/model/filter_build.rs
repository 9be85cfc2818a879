//! Filters as expressions: `field("lang").eq("en") & field("year").ge(2020)`.

use super::filter::{Condition, FieldTest, Filter, MatchSet, MatchValue, Range};
use super::payload::{DateTime, GeoPoint, PayloadPath};
use super::point::PointId;

/// A payload field about which something is to be said; made by [`field`].
#[derive(Debug, Clone)]
pub struct Field {
    key: PayloadPath,
}

/// Begins a condition on a payload field. Combine conditions with `&`, `|` and `!`.
///
/// A path that cannot be parsed is taken as the name of one key, as it stands.
///
/// ```
/// use vectordb_core::{Filter, field};
/// let recent = field("year").ge(2020) & !field("lang").any(["de", "fr"]);
/// assert_eq!(recent, Filter::parse("year >= 2020 AND NOT lang IN ['de', 'fr']")?);
/// # Ok::<(), vectordb_core::Error>(())
/// ```
pub fn field(path: &str) -> Field {
    Field { key: PayloadPath::parse(path).unwrap_or_else(|_| PayloadPath::key(path)) }
}

/// Points with one of these ids.
pub fn has_id<T: Into<PointId>>(ids: impl IntoIterator<Item = T>) -> Filter {
    Condition::HasId(ids.into_iter().map(Into::into).collect()).into()
}

/// Points that have the vector of this name (`""` is the unnamed one).
pub fn has_vector(name: impl Into<String>) -> Filter {
    Condition::HasVector(name.into()).into()
}

impl Field {
    fn test(self, test: FieldTest) -> Filter {
        Condition::Field { key: self.key, test }.into()
    }

    /// Some value equals this string, integer or boolean.
    pub fn eq(self, value: impl Into<MatchValue>) -> Filter {
        self.test(FieldTest::Value(value.into()))
    }

    /// No value equals this one; also holds for points without the field.
    pub fn ne(self, value: impl Into<MatchValue>) -> Filter {
        !self.eq(value)
    }

    /// Some value is one of these strings.
    pub fn any<T: Into<String>>(self, values: impl IntoIterator<Item = T>) -> Filter {
        self.test(FieldTest::Any(MatchSet::Keywords(values.into_iter().map(Into::into).collect())))
    }

    /// Some value is one of these integers.
    pub fn any_of(self, values: impl IntoIterator<Item = i64>) -> Filter {
        self.test(FieldTest::Any(MatchSet::Integers(values.into_iter().collect())))
    }

    /// Some value is none of these strings.
    pub fn except<T: Into<String>>(self, values: impl IntoIterator<Item = T>) -> Filter {
        self.test(FieldTest::Except(MatchSet::Keywords(values.into_iter().map(Into::into).collect())))
    }

    /// Some number is at least this.
    pub fn ge(self, bound: impl Into<f64>) -> Filter {
        self.range(Range { gte: Some(bound.into()), ..Range::default() })
    }

    /// Some number is greater than this.
    pub fn gt(self, bound: impl Into<f64>) -> Filter {
        self.range(Range { gt: Some(bound.into()), ..Range::default() })
    }

    /// Some number is at most this.
    pub fn le(self, bound: impl Into<f64>) -> Filter {
        self.range(Range { lte: Some(bound.into()), ..Range::default() })
    }

    /// Some number is less than this.
    pub fn lt(self, bound: impl Into<f64>) -> Filter {
        self.range(Range { lt: Some(bound.into()), ..Range::default() })
    }

    /// Some number is in a range.
    pub fn range(self, range: Range<f64>) -> Filter {
        self.test(FieldTest::Range(range))
    }

    /// Some moment is in a range.
    pub fn during(self, range: Range<DateTime>) -> Filter {
        self.test(FieldTest::DateTimeRange(range))
    }

    /// Some moment is this one or later.
    pub fn since(self, moment: DateTime) -> Filter {
        self.during(Range { gte: Some(moment), ..Range::default() })
    }

    /// Some moment is before this one.
    pub fn before(self, moment: DateTime) -> Filter {
        self.during(Range { lt: Some(moment), ..Range::default() })
    }

    /// The text holds all words; without a text index: holds the text as it stands.
    pub fn text(self, words: impl Into<String>) -> Filter {
        self.test(FieldTest::Text(words.into()))
    }

    /// The text holds at least one of the words.
    pub fn text_any(self, words: impl Into<String>) -> Filter {
        self.test(FieldTest::TextAny(words.into()))
    }

    /// The text holds the words one after another.
    pub fn phrase(self, words: impl Into<String>) -> Filter {
        self.test(FieldTest::Phrase(words.into()))
    }

    /// Some string starts with this.
    pub fn prefix(self, prefix: impl Into<String>) -> Filter {
        self.test(FieldTest::Prefix(prefix.into()))
    }

    /// Some string holds this.
    pub fn contains(self, part: impl Into<String>) -> Filter {
        self.test(FieldTest::Substring(part.into()))
    }

    /// The field is missing, null, `[]`, or a list of only nulls.
    pub fn is_empty(self) -> Filter {
        Condition::IsEmpty(self.key).into()
    }

    /// The field is null, or a list that holds a null.
    pub fn is_null(self) -> Filter {
        Condition::IsNull(self.key).into()
    }

    /// Some place lies within so many metres.
    pub fn within(self, center: GeoPoint, radius: f64) -> Filter {
        self.test(FieldTest::GeoRadius { center, radius })
    }

    /// Some place lies in a box.
    pub fn in_box(self, top_left: GeoPoint, bottom_right: GeoPoint) -> Filter {
        self.test(FieldTest::GeoBoundingBox { top_left, bottom_right })
    }

    /// Some place lies in a polygon without holes.
    pub fn in_polygon(self, exterior: impl IntoIterator<Item = GeoPoint>) -> Filter {
        self.test(FieldTest::GeoPolygon { exterior: exterior.into_iter().collect(), interiors: Vec::new() })
    }

    /// The number of values is in a range.
    pub fn count(self, range: Range<u64>) -> Filter {
        self.test(FieldTest::ValuesCount(range))
    }

    /// One element of the array satisfies the whole filter, whose paths start at the element.
    pub fn nested(self, filter: Filter) -> Filter {
        Condition::Nested { key: self.key, filter: Box::new(filter) }.into()
    }
}
