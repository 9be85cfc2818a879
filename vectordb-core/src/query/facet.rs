//! How often each value of a field occurs.

use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::Reading;
use crate::error::{Error, Result};
use crate::model::payload::Value;
use crate::model::query::MAX_RESULTS;
use crate::model::ranking::{FacetHit, FacetRequest};
use crate::payload::index::FieldIndex;
use crate::payload::path;
use crate::segment::{Matcher, Segment};

/// Rows between two looks at the clock.
const BUDGET_EVERY: usize = 1024;
/// Rows of a segment up to which every payload is read even for an estimate; of more about so many are.
const SAMPLE: usize = 16_384;

/// The most frequent values of a field among the points of a filter; equal counts in the order of values.
///
/// # Errors
/// [`Error::LimitExceeded`], those of the filter, and the budget's.
pub(crate) fn facet(reading: &Reading<'_>, request: &FacetRequest) -> Result<Vec<FacetHit>> {
    if request.limit > MAX_RESULTS {
        return Err(Error::LimitExceeded { what: "limit", actual: request.limit as u64, limit: MAX_RESULTS as u64 });
    }
    let filter = reading.compile(request.filter.as_ref())?;
    let mut counts: FxHashMap<FacetValue, u64> = FxHashMap::default();
    for &segment in &reading.segments {
        request.budget.check()?;
        let matcher = Matcher::new(segment, filter.as_ref(), reading.at);
        let step = step(segment, &matcher, request);
        let rows = if matcher.accepts_all() && step == 1 { None } else { Some(accepted(&matcher, step, request)?) };
        let mut here: FxHashMap<FacetValue, u64> = FxHashMap::default();
        match count_by_index(segment, rows.as_ref(), request, &mut here) {
            Some(foreign) => count_by_payload(segment, &foreign, request, &mut here)?,
            None => {
                let rows = rows.unwrap_or_else(|| (0..segment.rows(reading.at)).collect());
                count_by_payload(segment, &rows, request, &mut here)?;
            }
        }
        here.into_iter().for_each(|(value, count)| *counts.entry(value).or_default() += count * step as u64);
    }
    let mut hits: Vec<(FacetValue, u64)> = counts.into_iter().collect();
    hits.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    hits.truncate(request.limit);
    Ok(hits.into_iter().map(|(value, count)| FacetHit { value: value.into_value(), count }).collect())
}

/// Of how many rows that may match one is looked at: of all, unless estimates will do and payloads would have to be read.
fn step(segment: &dyn Segment, matcher: &Matcher<'_>, request: &FacetRequest) -> usize {
    let mut indexed = matcher.is_exact();
    segment.with_indexes(&mut |indexes| indexed &= indexes.field(&request.key).is_some_and(FieldIndex::holds_values));
    // An odd step, so that what alternates in the rows is not mistaken for the whole.
    if request.exact || indexed || matcher.upper_bound() <= SAMPLE { 1 } else { (matcher.upper_bound() / SAMPLE) | 1 }
}

fn accepted(matcher: &Matcher<'_>, step: usize, request: &FacetRequest) -> Result<RoaringBitmap> {
    let mut rows = RoaringBitmap::new();
    let mut seen = 0usize;
    matcher.each_of(step, &mut |row| {
        seen += 1;
        if seen.is_multiple_of(BUDGET_EVERY) {
            request.budget.check()?;
        }
        rows.insert(row);
        Ok(())
    })?;
    Ok(rows)
}

/// Counts what the index of the field knows, among some rows or all; returns the rows that it does not know all values of.
fn count_by_index(
    segment: &dyn Segment,
    rows: Option<&RoaringBitmap>,
    request: &FacetRequest,
    counts: &mut FxHashMap<FacetValue, u64>,
) -> Option<RoaringBitmap> {
    let mut unknown = None;
    segment.with_indexes(&mut |indexes| {
        let Some(index) = indexes.field(&request.key) else { return };
        // A UUID may be written in several ways, so its rows are joined before they are counted.
        let mut uuids: FxHashMap<FacetValue, RoaringBitmap> = FxHashMap::default();
        let mut count = |value: FacetValue, known: &RoaringBitmap| {
            // Rows that the index does not know whole are counted by their payloads.
            let foreign = index.foreign();
            let count = match rows {
                None => known.difference_len(foreign),
                Some(rows) if foreign.is_empty() => rows.intersection_len(known),
                Some(rows) => rows.intersection_len(&(known - foreign)),
            };
            if count > 0 {
                *counts.entry(value).or_default() += count;
            }
        };
        let whole = index.each_value(&mut |value, known| match FacetValue::of(&value) {
            Some(FacetValue::Text(text)) if Uuid::try_parse(&text).is_ok() => *uuids.entry(FacetValue::Text(text)).or_default() |= known,
            Some(value) => count(value, known),
            None => {}
        });
        if whole {
            uuids.into_iter().for_each(|(value, known)| count(value, &known));
            unknown = Some(rows.map_or_else(|| index.foreign().clone(), |rows| rows & index.foreign()));
        }
    });
    unknown
}

fn count_by_payload(
    segment: &dyn Segment,
    rows: &RoaringBitmap,
    request: &FacetRequest,
    counts: &mut FxHashMap<FacetValue, u64>,
) -> Result<()> {
    for (seen, row) in rows.iter().enumerate() {
        if seen.is_multiple_of(BUDGET_EVERY) {
            request.budget.check()?;
        }
        let payload = segment.payload(row)?;
        let mut values: FxHashSet<FacetValue> = FxHashSet::default();
        path::visit(&payload, &request.key, &mut |value| {
            path::each(value, &mut |value| values.extend(FacetValue::of(value)));
        });
        values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
    }
    Ok(())
}

/// A value that is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum FacetValue {
    Bool(bool),
    Integer(i64),
    Text(String),
}

impl FacetValue {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Number(number) => number.as_i64().map(Self::Integer),
            // However a UUID is written, it is the same one.
            Value::String(text) => Some(Self::Text(Uuid::try_parse(text).map_or_else(|_| text.clone(), |uuid| uuid.to_string()))),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Bool(flag) => flag.into(),
            Self::Integer(number) => number.into(),
            Self::Text(text) => text.into(),
        }
    }
}
