//! Walks over points, in the order of their ids or of a payload field.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Found, Reading, hydrate};
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::FieldSchema;
use crate::model::filter::Filter;
use crate::model::point::Record;
use crate::model::query::{Budget, MAX_RESULTS, OrderBy, ScrollPage, ScrollRequest};
use crate::payload::index::OrderKey;
use crate::segment::{Matcher, Segment};

const DEFAULT_LIMIT: usize = 10;
/// A page that would look at more than this many rows for each it returns sorts the matches instead of walking by id.
const SPARSE: usize = 8;

/// One page.
///
/// # Errors
/// [`Error::InvalidQuery`] for `offset` together with `order_by` and for a field without a fitting index, those of the
/// filter, and the budget's.
pub(crate) fn scroll(reading: &Reading<'_>, request: &ScrollRequest) -> Result<ScrollPage> {
    hydrate::check_selectors(reading.config, &request.with_payload, &request.with_vectors)?;
    let limit = if request.limit == 0 { DEFAULT_LIMIT } else { request.limit };
    if limit > MAX_RESULTS {
        return Err(Error::LimitExceeded { what: "limit", actual: limit as u64, limit: MAX_RESULTS as u64 });
    }
    match &request.order_by {
        Some(_) if request.offset.is_some() => Err(Error::query("`offset` cannot be used together with `order_by`")),
        Some(order) => by_field(reading, request, order, limit),
        None => by_id(reading, request, limit),
    }
}

fn by_id(reading: &Reading<'_>, request: &ScrollRequest, limit: usize) -> Result<ScrollPage> {
    let mut found = ids_from(reading, request.filter.as_ref(), request.offset.as_ref(), limit + 1, &request.budget)?;
    let next_offset = found.get(limit).map(|hit| hit.id.clone());
    found.truncate(limit);
    Ok(ScrollPage { records: records(found, request)?, next_offset })
}

fn records(found: Vec<Found<'_>>, request: &ScrollRequest) -> Result<Vec<Record>> {
    let record = |hit: Found<'_>| {
        let record = hydrate::record(hit.segment, hit.row, &request.with_payload, &request.with_vectors)?;
        Ok(Record { order_value: hit.order_value, ..record })
    };
    found.into_iter().map(record).collect()
}

/// The first points in the order of ids; every score is 1.
pub(super) fn first_ids<'a>(reading: &Reading<'a>, filter: Option<&Filter>, most: usize, budget: &Budget) -> Result<Vec<Found<'a>>> {
    ids_from(reading, filter, None, most, budget)
}

/// Merges the segments' id orders.
fn ids_from<'a>(
    reading: &Reading<'a>,
    filter: Option<&Filter>,
    offset: Option<&PointId>,
    most: usize,
    budget: &Budget,
) -> Result<Vec<Found<'a>>> {
    let filter = reading.compile(filter)?;
    let mut found: Vec<Found<'a>> = Vec::new();
    for &segment in &reading.segments {
        budget.check()?;
        let matcher = Matcher::new(segment, filter.as_ref(), reading.at);
        let first = if most == 0 { Vec::new() } else { first_by_id(segment, &matcher, offset, budget, most)? };
        found.extend(first.into_iter().map(|(id, row)| Found { segment, row, id, score: 1.0, order_value: None }));
    }
    found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    found.truncate(most);
    Ok(found)
}

fn first_by_id(
    segment: &dyn Segment,
    matcher: &Matcher<'_>,
    offset: Option<&PointId>,
    budget: &Budget,
    most: usize,
) -> Result<Vec<(PointId, u32)>> {
    if matcher.is_filtered() && matcher.upper_bound() < segment.rows(crate::model::point::Lsn(u64::MAX)) as usize / SPARSE {
        return first_of_few(segment, matcher, offset, most);
    }
    let mut found = Vec::new();
    let mut result = Ok(());
    let mut seen = 0u32;
    segment.by_id(offset, &mut |row| {
        seen += 1;
        let step = if seen.is_multiple_of(1024) { budget.check() } else { Ok(()) };
        match step.and_then(|()| matcher.accepts(row)) {
            Ok(true) => found.push((segment.id(row), row)),
            Ok(false) => {}
            Err(error) => result = Err(error),
        }
        result.is_ok() && found.len() < most
    });
    result.map(|()| found)
}

/// The smallest ids of few matches, kept in a heap.
fn first_of_few(segment: &dyn Segment, matcher: &Matcher<'_>, offset: Option<&PointId>, most: usize) -> Result<Vec<(PointId, u32)>> {
    let mut smallest = BinaryHeap::new();
    matcher.each(&mut |row| {
        let id = segment.id(row);
        if offset.is_none_or(|offset| id >= *offset) {
            smallest.push((id, row));
            if smallest.len() > most {
                smallest.pop();
            }
        }
        Ok(true)
    })?;
    Ok(smallest.into_vec())
}

/// A value of a row; rows with several values come once for each.
struct Ordered<'a> {
    key: OrderKey,
    id: PointId,
    segment: &'a dyn Segment,
    row: u32,
}

fn by_field(reading: &Reading<'_>, request: &ScrollRequest, order: &OrderBy, limit: usize) -> Result<ScrollPage> {
    let found = first_values(reading, request.filter.as_ref(), order, limit, &request.budget)?;
    Ok(ScrollPage { records: records(found, request)?, next_offset: None })
}

/// The first points in the order of a field; every score is 1.
pub(super) fn first_values<'a>(
    reading: &Reading<'a>,
    filter: Option<&Filter>,
    order: &OrderBy,
    limit: usize,
    budget: &Budget,
) -> Result<Vec<Found<'a>>> {
    let schema = reading.config.payload_schema.get(&order.key.to_string());
    if !matches!(schema, Some(FieldSchema::Integer(_) | FieldSchema::Float(_) | FieldSchema::Datetime(_))) {
        return Err(Error::query(format!("no range index for `order_by` key `{}`: create an integer, float or datetime index", order.key)));
    }
    let filter = reading.compile(filter)?;
    let mut found: Vec<Ordered<'a>> = Vec::new();
    for &segment in &reading.segments {
        budget.check()?;
        let matcher = Matcher::new(segment, filter.as_ref(), reading.at);
        first_by_field(segment, &matcher, order, limit, &mut found)?;
    }
    found.sort_by(|a, b| {
        let by_key = a.key.partial_cmp(&b.key).unwrap_or(Ordering::Equal);
        (if order.descending { by_key.reverse() } else { by_key }).then_with(|| a.id.cmp(&b.id))
    });
    found.truncate(limit);
    let hit =
        |each: Ordered<'a>| Found { segment: each.segment, row: each.row, id: each.id, score: 1.0, order_value: Some(each.key.to_json()) };
    Ok(found.into_iter().map(hit).collect())
}

/// The segment's first `limit` rows in the field's order, with all rows of the last value, so that ties are cut by id.
fn first_by_field<'a>(
    segment: &'a dyn Segment,
    matcher: &Matcher<'_>,
    order: &OrderBy,
    limit: usize,
    found: &mut Vec<Ordered<'a>>,
) -> Result<()> {
    let mut result = Ok(());
    segment.with_indexes(&mut |indexes| {
        let Some(field) = indexes.field(&order.key) else { return };
        let mut taken: Vec<Ordered<'a>> = Vec::new();
        for (key, row) in field.ordered(order.descending, order.start_from) {
            if taken.len() >= limit && taken.last().is_some_and(|last| last.key != key) {
                break;
            }
            match matcher.accepts(row) {
                Ok(true) => taken.push(Ordered { key, id: segment.id(row), segment, row }),
                Ok(false) => {}
                Err(error) => {
                    result = Err(error);
                    return;
                }
            }
        }
        found.extend(taken);
    });
    result
}
