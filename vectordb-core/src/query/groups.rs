//! Hits in groups, and counts of values.

use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::stages::Stage;
use super::{Found, Reading, hydrate};
use crate::error::{Error, Result};
use crate::model::filter::{Condition, FieldTest, MatchValue};
use crate::model::payload::{PayloadPath, Value};
use crate::model::query::MAX_RESULTS;
use crate::model::ranking::{FacetHit, FacetRequest, GroupsRequest, PointGroup};
use crate::payload::path;
use crate::segment::{Matcher, Segment};

/// How many times more hits are looked at when they were in too few groups.
const GROWTH: usize = 4;
/// Rows between two looks at the clock.
const BUDGET_EVERY: usize = 1024;

/// The best groups of a query: in the order of their best hits, each with its own best hits.
///
/// Looks at more and more hits until there are enough groups, then asks for the hits of each group that is not full yet. Over
/// prefetches it looks at all points at once.
///
/// # Errors
/// As [`query`](super::query), and [`Error::InvalidQuery`] for an offset.
pub(crate) fn groups(reading: &Reading<'_>, request: &GroupsRequest) -> Result<Vec<PointGroup>> {
    let query = &request.query;
    hydrate::check_selectors(reading.config, &query.with_payload, &query.with_vectors)?;
    if query.offset != 0 {
        return Err(Error::query("groups have no offset"));
    }
    if query.limit == 0 || request.group_size == 0 {
        return Err(Error::query("`limit` and `group_size` must be at least 1"));
    }
    let points: usize = reading.segments.iter().map(|segment| segment.rows(reading.at) as usize).sum();
    let most = points.clamp(1, MAX_RESULTS);
    let mut stage = Stage::of(query);
    stage.prefetched = Some(most);
    // Scores of a fusion depend on all that is prefetched, so nothing of it is cut, and all of it is looked at.
    let first = if query.prefetch.is_empty() { query.limit.saturating_mul(request.group_size).max(16) } else { most };
    let mut looked_at = first.min(most);
    let (mut groups, exhausted) = loop {
        stage.limit = looked_at;
        let found = stage.run(reading, 0)?;
        let exhausted = found.len() < looked_at || looked_at == most;
        let groups = Groups::of(found, request)?;
        if exhausted || groups.list.len() == query.limit {
            break (groups, exhausted);
        }
        looked_at = looked_at.saturating_mul(GROWTH).min(most);
    };
    if !exhausted {
        for group in &mut groups.list {
            if group.hits.len() < request.group_size {
                group.fill(reading, &stage, request, most)?;
            }
        }
    }
    let record = |hit: Found<'_>| hydrate::scored(hit, &query.with_payload, &query.with_vectors);
    let finished = |group: Group<'_>| {
        let hits = group.hits.into_iter().map(record).collect::<Result<_>>()?;
        Ok(PointGroup { id: group.id.into_value(), hits })
    };
    groups.list.into_iter().map(finished).collect()
}

/// The name of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum GroupId {
    Text(String),
    Number(i64),
    /// Above `i64::MAX`.
    Large(u64),
}

impl GroupId {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => number.as_i64().map(Self::Number).or_else(|| number.as_u64().map(Self::Large)),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Number(number) => number.into(),
            Self::Large(number) => number.into(),
        }
    }

    /// The condition that a point is of the group; none where filters know no such value.
    fn condition(&self, key: &PayloadPath) -> Option<Condition> {
        let value = match self {
            Self::Text(text) => MatchValue::Keyword(text.clone()),
            Self::Number(number) => MatchValue::Integer(*number),
            Self::Large(_) => return None,
        };
        Some(Condition::Field { key: key.clone(), test: FieldTest::Value(value) })
    }
}

/// The groups a point is in: none when one of its values cannot name a group.
fn groups_of(hit: &Found<'_>, key: &PayloadPath) -> Result<Vec<GroupId>> {
    let payload = hit.segment.payload(hit.row)?;
    let (mut ids, mut bad) = (Vec::new(), false);
    path::visit(&payload, key, &mut |value| {
        path::each(value, &mut |value| match GroupId::of(value) {
            Some(id) if ids.contains(&id) => {}
            Some(id) => ids.push(id),
            None => bad = true,
        });
    });
    Ok(if bad { Vec::new() } else { ids })
}

struct Group<'a> {
    id: GroupId,
    hits: Vec<Found<'a>>,
}

impl<'a> Group<'a> {
    fn fill(&mut self, reading: &Reading<'a>, stage: &Stage<'_>, request: &GroupsRequest, most: usize) -> Result<()> {
        let Some(condition) = self.id.condition(&request.group_by) else { return Ok(()) };
        let mut limit = request.group_size;
        loop {
            let found = stage.narrowed(condition.clone(), limit).run(reading, 0)?;
            let exhausted = found.len() < limit || limit == most;
            self.hits.clear();
            for hit in found {
                if groups_of(&hit, &request.group_by)?.contains(&self.id) {
                    self.hits.push(hit);
                }
            }
            if exhausted || self.hits.len() >= request.group_size {
                self.hits.truncate(request.group_size);
                return Ok(());
            }
            limit = limit.saturating_mul(GROWTH).min(most);
        }
    }
}

struct Groups<'a> {
    list: Vec<Group<'a>>,
}

impl<'a> Groups<'a> {
    fn of(found: Vec<Found<'a>>, request: &GroupsRequest) -> Result<Self> {
        let mut places: FxHashMap<GroupId, usize> = FxHashMap::default();
        let mut list: Vec<Group<'a>> = Vec::new();
        for hit in found {
            for id in groups_of(&hit, &request.group_by)? {
                let place = *places.entry(id.clone()).or_insert(list.len());
                if place == list.len() && place < request.query.limit {
                    list.push(Group { id, hits: Vec::new() });
                }
                if let Some(group) = list.get_mut(place).filter(|group| group.hits.len() < request.group_size) {
                    group.hits.push(hit.clone());
                }
            }
        }
        Ok(Self { list })
    }
}

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
        let rows = if matcher.accepts_all() { None } else { Some(accepted(&matcher, request)?) };
        match count_by_index(segment, rows.as_ref(), request, &mut counts) {
            Some(foreign) => count_by_payload(segment, &foreign, request, &mut counts)?,
            None => {
                let rows = rows.unwrap_or_else(|| (0..segment.rows(reading.at)).collect());
                count_by_payload(segment, &rows, request, &mut counts)?;
            }
        }
    }
    let mut hits: Vec<(FacetValue, u64)> = counts.into_iter().collect();
    hits.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    hits.truncate(request.limit);
    Ok(hits.into_iter().map(|(value, count)| FacetHit { value: value.into_value(), count }).collect())
}

fn accepted(matcher: &Matcher<'_>, request: &FacetRequest) -> Result<RoaringBitmap> {
    let mut rows = RoaringBitmap::new();
    let mut seen = 0usize;
    matcher.each(&mut |row| {
        seen += 1;
        if seen.is_multiple_of(BUDGET_EVERY) {
            request.budget.check()?;
        }
        rows.insert(row);
        Ok(true)
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
            let known = known - index.foreign();
            let count = rows.map_or_else(|| known.len(), |rows| rows.intersection_len(&known));
            if count > 0 {
                *counts.entry(value).or_default() += count;
            }
        };
        let whole = index.each_value(&mut |value, known| match FacetValue::of(&value) {
            Some(FacetValue::Text(text)) if Uuid::try_parse(&text).is_ok() => *uuids.entry(FacetValue::Text(text)).or_default() |= known,
            Some(value) => count(value, &known),
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
