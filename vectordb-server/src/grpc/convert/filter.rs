//! Filters.

use vectordb_core::{Condition, FieldTest, Filter, GeoPoint, MAX_FILTER_DEPTH, MatchSet, MatchValue, MinShould, PayloadPath, Range};
use vectordb_service::{Result, ServiceError};

use super::{count, moment, needed, point, refused};
use crate::wire;
use crate::wire::condition::ConditionOneOf;

pub(crate) fn filter(filter: wire::Filter) -> Result<Filter> {
    nested(filter, 0)
}

/// A condition by itself, as formulas have them.
pub(super) fn condition(one: wire::Condition) -> Result<Condition> {
    inner(one, 0)
}

fn nested(filter: wire::Filter, depth: usize) -> Result<Filter> {
    if depth >= MAX_FILTER_DEPTH {
        return Err(refused("the filter", format!("nests deeper than {MAX_FILTER_DEPTH} levels")));
    }
    let conditions = |list: Vec<wire::Condition>| list.into_iter().map(|one| inner(one, depth)).collect::<Result<Vec<_>>>();
    let min_should = |min: wire::MinShould| {
        let (wanted, min_count) = (conditions(min.conditions)?, count(min.min_count));
        Ok::<_, ServiceError>(MinShould { conditions: wanted, min_count })
    };
    Ok(Filter {
        must: conditions(filter.must)?,
        should: conditions(filter.should)?,
        must_not: conditions(filter.must_not)?,
        min_should: filter.min_should.map(min_should).transpose()?,
    })
}

fn inner(condition: wire::Condition, depth: usize) -> Result<Condition> {
    Ok(match needed(condition.condition_one_of, "condition")? {
        ConditionOneOf::Field(condition) => field(condition)?,
        ConditionOneOf::IsEmpty(condition) => Condition::IsEmpty(PayloadPath::parse(&condition.key)?),
        ConditionOneOf::IsNull(condition) => Condition::IsNull(PayloadPath::parse(&condition.key)?),
        ConditionOneOf::HasId(condition) => Condition::HasId(point::point_ids(condition.has_id)?),
        ConditionOneOf::HasVector(condition) => Condition::HasVector(condition.has_vector),
        ConditionOneOf::Nested(condition) => Condition::Nested {
            key: PayloadPath::parse(&condition.key)?,
            filter: Box::new(nested(needed(condition.filter, "nested.filter")?, depth + 1)?),
        },
        ConditionOneOf::Filter(filter) => Condition::Filter(Box::new(nested(filter, depth + 1)?)),
        ConditionOneOf::Slice(wire::SliceCondition { total, index }) if index < total => {
            Condition::Slice { total: total.into(), index: index.into() }
        }
        ConditionOneOf::Slice(slice) => return Err(refused(format!("slice {} of {}", slice.index, slice.total), "does not exist")),
    })
}

/// All tests of one field must hold, though not by the same value.
fn field(condition: wire::FieldCondition) -> Result<Condition> {
    let key = PayloadPath::parse(&condition.key)?;
    let mut tests = Vec::new();
    tests.extend(condition.r#match.map(matching).transpose()?);
    tests.extend(condition.range.map(|range| {
        let wire::Range { lt, gt, gte, lte } = range;
        FieldTest::Range(Range { gt, gte, lt, lte })
    }));
    tests.extend(condition.datetime_range.map(moments).transpose()?);
    tests.extend(condition.values_count.map(|range| {
        let wire::ValuesCount { lt, gt, gte, lte } = range;
        FieldTest::ValuesCount(Range { gt, gte, lt, lte })
    }));
    tests.extend(condition.geo_bounding_box.map(bounding_box).transpose()?);
    tests.extend(condition.geo_radius.map(radius).transpose()?);
    tests.extend(condition.geo_polygon.map(polygon).transpose()?);
    let mut found: Vec<Condition> = tests.into_iter().map(|test| Condition::Field { key: key.clone(), test }).collect();
    let or_not = |wanted: bool, condition: Condition| match wanted {
        true => condition,
        false => Condition::Filter(Box::new(Filter::must_not([condition]))),
    };
    found.extend(condition.is_empty.map(|wanted| or_not(wanted, Condition::IsEmpty(key.clone()))));
    found.extend(condition.is_null.map(|wanted| or_not(wanted, Condition::IsNull(key.clone()))));
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(refused(format!("the condition on `{key}`"), "tests nothing")),
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            found.push(last);
            Ok(Condition::Filter(Box::new(Filter::must(found))))
        }
    }
}

fn matching(test: wire::Match) -> Result<FieldTest> {
    use wire::r#match::MatchValue as Kind;
    Ok(match needed(test.match_value, "match")? {
        Kind::Keyword(text) => FieldTest::Value(MatchValue::Keyword(text)),
        Kind::Integer(number) => FieldTest::Value(MatchValue::Integer(number)),
        Kind::Boolean(flag) => FieldTest::Value(MatchValue::Bool(flag)),
        Kind::Keywords(any) => FieldTest::Any(MatchSet::Keywords(any.strings)),
        Kind::Integers(any) => FieldTest::Any(MatchSet::Integers(any.integers)),
        Kind::ExceptKeywords(except) => FieldTest::Except(MatchSet::Keywords(except.strings)),
        Kind::ExceptIntegers(except) => FieldTest::Except(MatchSet::Integers(except.integers)),
        Kind::Text(text) => FieldTest::Text(text),
        Kind::TextAny(text) => FieldTest::TextAny(text),
        Kind::Phrase(text) => FieldTest::Phrase(text),
        Kind::Prefix(text) => FieldTest::Prefix(text),
        Kind::Substring(text) => FieldTest::Substring(text),
    })
}

fn moments(range: wire::DatetimeRange) -> Result<FieldTest> {
    let bound = |bound: Option<prost_types::Timestamp>| bound.map(moment).transpose();
    let wire::DatetimeRange { lt, gt, gte, lte } = range;
    Ok(FieldTest::DateTimeRange(Range { gt: bound(gt)?, gte: bound(gte)?, lt: bound(lt)?, lte: bound(lte)? }))
}

pub(super) fn place(place: wire::GeoPoint) -> Result<GeoPoint> {
    Ok(GeoPoint::new(place.lon, place.lat)?)
}

fn bounding_box(area: wire::GeoBoundingBox) -> Result<FieldTest> {
    Ok(FieldTest::GeoBoundingBox {
        top_left: place(needed(area.top_left, "top_left")?)?,
        bottom_right: place(needed(area.bottom_right, "bottom_right")?)?,
    })
}

fn radius(area: wire::GeoRadius) -> Result<FieldTest> {
    let radius = f64::from(area.radius);
    if radius.is_nan() || radius < 0.0 {
        return Err(refused(format!("the radius {radius}"), "is no number of metres from 0 on"));
    }
    Ok(FieldTest::GeoRadius { center: place(needed(area.center, "center")?)?, radius })
}

fn polygon(area: wire::GeoPolygon) -> Result<FieldTest> {
    Ok(FieldTest::GeoPolygon {
        exterior: ring(needed(area.exterior, "exterior")?)?,
        interiors: area.interiors.into_iter().map(ring).collect::<Result<_>>()?,
    })
}

fn ring(line: wire::GeoLineString) -> Result<Vec<GeoPoint>> {
    let ring: Vec<GeoPoint> = line.points.into_iter().map(place).collect::<Result<_>>()?;
    if ring.len() < 4 || ring.first() != ring.last() {
        return Err(refused("a ring", "has at least four points, and its first is its last"));
    }
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(condition: wire::FieldCondition) -> wire::Condition {
        wire::Condition { condition_one_of: Some(ConditionOneOf::Field(condition)) }
    }

    #[test]
    fn several_tests_of_a_field_are_all_asked() {
        let condition = wire::FieldCondition {
            key: "a".to_owned(),
            range: Some(wire::Range { gte: Some(1.0), ..wire::Range::default() }),
            is_null: Some(false),
            ..wire::FieldCondition::default()
        };
        let read = filter(wire::Filter { must: vec![field_of(condition)], ..wire::Filter::default() }).expect("a filter");
        let json =
            serde_json::json!({"must": [{"must": [{"key": "a", "range": {"gte": 1.0}}, {"must_not": [{"is_null": {"key": "a"}}]}]}]});
        assert_eq!(read.to_json(), json);
        assert!(condition_of_nothing().is_err());
    }

    fn condition_of_nothing() -> Result<Condition> {
        condition(field_of(wire::FieldCondition { key: "a".to_owned(), ..wire::FieldCondition::default() }))
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| {
            (1..levels).fold(wire::Filter::default(), |inner, _| {
                let condition = wire::Condition { condition_one_of: Some(ConditionOneOf::Filter(inner)) };
                wire::Filter { must: vec![condition], ..wire::Filter::default() }
            })
        };
        assert!(filter(deep(MAX_FILTER_DEPTH)).is_ok());
        assert!(filter(deep(MAX_FILTER_DEPTH + 1)).is_err());
    }
}
