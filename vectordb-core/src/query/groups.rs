//! Hits in groups.

use rustc_hash::FxHashMap;

use super::stages::Stage;
use super::{Found, Reading, hydrate};
use crate::error::{Error, Result};
use crate::model::filter::{Condition, FieldTest, MatchValue};
use crate::model::payload::{PayloadPath, Value};
use crate::model::query::MAX_RESULTS;
use crate::model::ranking::{GroupsRequest, PointGroup};
use crate::payload::path;

/// How many times more hits are looked at when they were in too few groups.
const GROWTH: usize = 4;

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
    for (what, asked) in [("limit", query.limit), ("group_size", request.group_size)] {
        if asked > MAX_RESULTS {
            return Err(Error::LimitExceeded { what, actual: asked as u64, limit: MAX_RESULTS as u64 });
        }
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
        Ok(PointGroup { id: group.id.into_value(), hits, lookup: None })
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
