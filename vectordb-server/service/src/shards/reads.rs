//! Questions to several shards: each is asked, and the answers are merged.
//!
//! With one shard the engine's own answer is handed on as it is.

use std::cmp::Ordering;
use std::collections::HashMap;

use tracing::Span;
use vectordb_core::{
    Condition, DistanceMatrix, Explanation, FacetHit, FacetRequest, FieldTest, Filter, GroupsRequest, MAX_RESULTS, MatchValue,
    MatrixRequest, OrderBy, PayloadSelector, PointGroup, PointId, Prefetch, Query, QueryRequest, Record, ScoredPoint, ScrollPage,
    ScrollRequest, SearchTarget, Value, VectorSelector,
};

use super::ask::{Answer, Question, ask_each};
use super::collection::Shard;
use super::ring::ShardId;
use super::tree;
use crate::error::Result;

/// Records of a page when no limit is given.
const PAGE: usize = 10;

/// The records of those ids that exist, in the order asked for, each once.
pub(crate) fn retrieve(shards: &[&Shard], ids: &[PointId], payload: &PayloadSelector, vectors: &VectorSelector) -> Result<Vec<Record>> {
    let question = Question::Retrieve { ids: ids.to_vec(), payload: payload.clone(), vectors: vectors.clone() };
    let mut answers = ask_each!(shards, "shard retrieve", question, Answer::Records)?;
    if answers.len() == 1 {
        return Ok(answers.remove(0));
    }
    let mut found: HashMap<PointId, Record> = answers.into_iter().flatten().map(|record| (record.id.clone(), record)).collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// How many points satisfy a filter.
pub(crate) fn count(shards: &[&Shard], filter: Option<&Filter>, exact: bool) -> Result<u64> {
    let question = Question::Count { filter: filter.cloned(), exact };
    Ok(ask_each!(shards, "shard count", question, Answer::Count)?.into_iter().sum())
}

/// One page of a walk.
pub(crate) fn scroll(shards: &[&Shard], request: &ScrollRequest) -> Result<ScrollPage> {
    let mut pages = ask_each!(shards, "shard scroll", Question::Scroll(request.clone()), Answer::Page)?;
    if pages.len() == 1 {
        return Ok(pages.remove(0));
    }
    let limit = if request.limit == 0 { PAGE } else { request.limit };
    let mut next: Option<PointId> = pages.iter().filter_map(|page| page.next_offset.clone()).min();
    let mut records: Vec<Record> = pages.into_iter().flat_map(|page| page.records).collect();
    match &request.order_by {
        Some(order) => records.sort_by(|a, b| by_value(order, (&a.order_value, &a.id), (&b.order_value, &b.id))),
        None => records.sort_by(|a, b| a.id.cmp(&b.id)),
    }
    if request.order_by.is_none() && records.len() > limit {
        next = next.into_iter().chain([records[limit].id.clone()]).min();
    }
    records.truncate(limit);
    Ok(ScrollPage { records, next_offset: next })
}

/// The order of a walk by a field; what the engine orders by are numbers, or moments as text that sorts like moments.
fn by_value(order: &OrderBy, a: (&Option<Value>, &PointId), b: (&Option<Value>, &PointId)) -> Ordering {
    let by_value = match (a.0, b.0) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        _ => Ordering::Equal,
    };
    (if order.descending { by_value.reverse() } else { by_value }).then_with(|| a.1.cmp(b.1))
}

/// The best points of a query of any kind.
pub(crate) fn query(shards: &[&Shard], request: &QueryRequest) -> Result<Vec<ScoredPoint>> {
    match shards {
        [shard] => shard.step(&Span::current(), "shard query", |data| data.query_points(request)),
        _ => tree::query(shards, request),
    }
}

/// An answer, and how each shard found its part of it.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) hits: Vec<ScoredPoint>,
    pub(crate) shards: Vec<(ShardId, Explanation)>,
}

/// The best points of a query of any kind, and how each shard found its hits. Of several shards each tells of the query by itself,
/// as it would answer it alone.
pub(crate) fn explained(shards: &[&Shard], request: &QueryRequest) -> Result<Explained> {
    let ids = shards.iter().map(|shard| shard.id);
    if let [shard] = shards {
        let explanation = shard.step(&Span::current(), "shard explain", |data| data.explain(request))?;
        return Ok(Explained { hits: explanation.hits.clone(), shards: vec![(shard.id, explanation)] });
    }
    let mut alone = tree::without_ids(shards, request)?;
    alone.params.corpus = tree::counted(shards, &alone)?;
    let explanations = ask_each!(shards, "shard explain", Question::Explain(Box::new(alone)), Answer::Explanation)?;
    let explanations = explanations.into_iter().map(|explanation| *explanation);
    Ok(Explained { hits: tree::query(shards, request)?, shards: ids.zip(explanations).collect() })
}

/// How the hits of a query that looks at points themselves are ordered.
pub(crate) fn merged(request: &QueryRequest, larger_is_closer: bool, answers: Vec<Vec<ScoredPoint>>) -> Vec<ScoredPoint> {
    let mut hits: Vec<ScoredPoint> = answers.into_iter().flatten().collect();
    match &request.query {
        None => hits.sort_by(|a, b| a.id.cmp(&b.id)),
        Some(Query::Given(given)) => {
            let places: HashMap<&PointId, usize> = given.iter().enumerate().map(|(place, (id, _))| (id, place)).collect();
            hits.sort_by_key(|hit| places.get(&hit.id).copied());
        }
        Some(Query::OrderBy(order)) => hits.sort_by(|a, b| by_value(order, (&a.order_value, &a.id), (&b.order_value, &b.id))),
        Some(_) => hits.sort_by(|a, b| {
            let by_score = if larger_is_closer { b.score.total_cmp(&a.score) } else { a.score.total_cmp(&b.score) };
            by_score.then_with(|| a.id.cmp(&b.id))
        }),
    }
    hits
}

/// The most frequent values of a field.
pub(crate) fn facet(shards: &[&Shard], request: &FacetRequest) -> Result<Vec<FacetHit>> {
    if let [shard] = shards {
        return shard.step(&Span::current(), "shard facet", |data| data.facet(request));
    }
    // A value may be rare in each shard and frequent in all, so nothing is cut before the sum.
    let whole = FacetRequest { limit: MAX_RESULTS, ..request.clone() };
    let mut counts: HashMap<String, FacetHit> = HashMap::new();
    for hit in ask_each!(shards, "shard facet", Question::Facet(whole), Answer::Facets)?.into_iter().flatten() {
        counts.entry(hit.value.to_string()).and_modify(|sum| sum.count += hit.count).or_insert(hit);
    }
    let mut hits: Vec<FacetHit> = counts.into_values().collect();
    hits.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| by_json(&a.value, &b.value)));
    hits.truncate(request.limit);
    Ok(hits)
}

/// The order of values of equal counts.
fn by_json(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

/// Hits in groups.
///
/// A group that is among the best of all is among the best of the shard that has its best hit, so each shard is asked for as
/// many groups as are wanted, and then all shards for the hits of the groups that were chosen.
pub(crate) fn groups(shards: &[&Shard], request: &GroupsRequest) -> Result<Vec<PointGroup>> {
    if let [shard] = shards {
        return shard.step(&Span::current(), "shard groups", |data| data.groups(request));
    }
    let closer = tree::larger_is_closer(shards, &request.query);
    // What a fusion or a formula gives depends on all points, so it is asked for all of them.
    let query = if request.query.prefetch.is_empty() {
        let mut query = tree::without_ids(shards, &request.query)?;
        query.params.corpus = tree::counted(shards, &query)?;
        query
    } else {
        let most = usize::try_from(count(shards, None, false)?).unwrap_or(MAX_RESULTS).clamp(1, MAX_RESULTS);
        let mut whole = QueryRequest { limit: most, with_payload: PayloadSelector::None, ..request.query.clone() };
        let mut left: Vec<&mut Prefetch> = whole.prefetch.iter_mut().collect();
        while let Some(Prefetch { prefetch, limit, .. }) = left.pop() {
            *limit = most;
            left.extend(prefetch);
        }
        let given = tree::query(shards, &whole)?.into_iter().map(|hit| (hit.id, hit.score)).collect();
        // They are not filtered again: alternatives of the filters of prefetches count as well.
        QueryRequest { prefetch: Vec::new(), query: Some(Query::Given(given)), filter: None, ..request.query.clone() }
    };
    let asked = GroupsRequest { query, with_lookup: None, ..request.clone() };
    let mut best: HashMap<String, (f32, Value)> = HashMap::new();
    for group in ask_each!(shards, "shard groups", Question::Groups(Box::new(asked.clone())), Answer::Groups)?.into_iter().flatten() {
        let Some(score) = group.hits.first().map(|hit| if closer { hit.score } else { -hit.score }) else { continue };
        let entry = best.entry(group.id.to_string()).or_insert((score, group.id));
        entry.0 = entry.0.max(score);
    }
    let mut best: Vec<(f32, Value)> = best.into_values().collect();
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| by_json(&a.1, &b.1)));
    let ids = best.into_iter().take(asked.query.limit).map(|(_, id)| id);
    let mut groups = Vec::new();
    for id in ids {
        let Some(test) = group_test(&id) else { continue };
        let member = Filter::must([Condition::Field { key: request.group_by.clone(), test }]);
        let mut query = asked.query.clone();
        query.filter = Filter::merged(query.filter.as_ref(), Some(&member));
        query.limit = request.group_size;
        groups.push(PointGroup { id, hits: tree::query(shards, &query)?, lookup: None });
    }
    Ok(groups)
}

fn group_test(id: &Value) -> Option<FieldTest> {
    match id {
        Value::String(text) => Some(FieldTest::Value(MatchValue::Keyword(text.clone()))),
        Value::Number(number) => number.as_i64().map(|number| FieldTest::Value(MatchValue::Integer(number))),
        _ => None,
    }
}

/// Distances between points of a sample of all shards.
pub(crate) fn distance_matrix(shards: &[&Shard], request: &MatrixRequest) -> Result<DistanceMatrix> {
    if let [shard] = shards {
        return shard.step(&Span::current(), "shard matrix", |data| data.distance_matrix(request));
    }
    let with_vector = Filter::must([Condition::HasVector(request.using.clone())]);
    let sample = QueryRequest {
        filter: Filter::merged(request.filter.as_ref(), Some(&with_vector)),
        limit: request.sample,
        with_payload: PayloadSelector::None,
        budget: request.budget.clone(),
        ..QueryRequest::new(Query::Sample { seed: request.seed })
    };
    let mut ids: Vec<PointId> = tree::query(shards, &sample)?.into_iter().map(|hit| hit.id).collect();
    if ids.len() < 2 {
        return Ok(DistanceMatrix::default());
    }
    ids.sort();
    let places: HashMap<PointId, usize> = ids.iter().cloned().enumerate().map(|(place, id)| (id, place)).collect();
    let mut rows = Vec::with_capacity(ids.len());
    for id in &ids {
        let mut near = QueryRequest::new(Query::Nearest { target: SearchTarget::Id(id.clone()), mmr: None });
        near.using.clone_from(&request.using);
        near.filter = Some(Filter::must([Condition::HasId(ids.clone())]));
        near.limit = request.limit;
        near.with_payload = PayloadSelector::None;
        near.budget = request.budget.clone();
        near.params.exact = true;
        let hits = tree::query(shards, &near)?;
        rows.push(hits.into_iter().filter_map(|hit| Some((*places.get(&hit.id)?, hit.score))).collect());
    }
    Ok(DistanceMatrix { ids, rows })
}
