//! A query of queries over several shards.
//!
//! What depends on all points (a fusion, a formula over scores of lists) must see the lists of all shards, so the tree is walked
//! here, from the leaves: each leaf is asked of every shard, and its merged answer is handed to the query above it as points
//! with given scores.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use vectordb_core::{
    Background, CollectionConfig, Condition, CorpusCounts, Database, Filter, MAX_PREFETCH_DEPTH, Mmr, Modifier, Options, PayloadSelector,
    Point, PointId, Prefetch, Query, QueryRequest, RecommendStrategy, ScoredPoint, SearchParams, SearchTarget, SparseVectorParams,
    VectorSelector, fuse,
};

use super::ask::{Answer, Question, ask_each};
use super::collection::Shard;
use super::reads::{merged, retrieve};
use crate::error::{Result, ServiceError};

/// Hits of a shard that come with their payloads, and shards that send them: of ten times as many payloads as are wanted the most are
/// sent in vain.
const HITS_AT_ONCE: usize = 100;
const MOST_AT_ONCE: usize = 10;

/// The best points of a query of any kind, over two shards or more.
pub(crate) fn query(shards: &[&Shard], request: &QueryRequest) -> Result<Vec<ScoredPoint>> {
    let request = without_ids(shards, request)?;
    let node = Node {
        prefetch: &request.prefetch,
        query: request.query.as_ref(),
        using: &request.using,
        filter: request.filter.clone(),
        params: &request.params,
        threshold: request.score_threshold,
        limit: request.limit,
        offset: request.offset,
    };
    let at_once = is_asked_at_once(shards.len(), &request);
    let hits = Walk { shards, root: &request, at_once }.run(&node, 0)?;
    if at_once { Ok(hits) } else { hydrated(shards, hits, &request) }
}

/// Whether every shard sends the payloads of all its hits at once, of which most are not among the best of all, so that the shards need
/// not be asked for them again.
fn is_asked_at_once(shards: usize, request: &QueryRequest) -> bool {
    let is_leaf = !matches!(request.query, Some(Query::Sample { .. } | Query::Nearest { mmr: Some(_), .. }));
    let few = shards <= MOST_AT_ONCE && request.offset.saturating_add(request.limit) <= HITS_AT_ONCE;
    few && is_leaf && request.prefetch.is_empty() && request.with_vectors == VectorSelector::None
}

/// Whether the scores of a query's hits grow with closeness.
pub(crate) fn larger_is_closer(shards: &[&Shard], request: &QueryRequest) -> bool {
    shards.first().is_none_or(|shard| grows(&shard.data.config(), request.query.as_ref(), &request.using))
}

fn grows(config: &CollectionConfig, query: Option<&Query>, using: &str) -> bool {
    let by_distance = matches!(query, Some(Query::Nearest { .. } | Query::Recommend { strategy: RecommendStrategy::AverageVector, .. }));
    !by_distance || config.vectors.get(using).is_none_or(|params| params.distance.larger_is_closer())
}

/// The request with the points that it names replaced by their vectors, which may lie in any shard. They stay no answers.
///
/// # Errors
/// A point that does not exist, or does not have the vector.
pub(crate) fn without_ids(shards: &[&Shard], request: &QueryRequest) -> Result<QueryRequest> {
    let mut request = request.clone();
    let QueryRequest { query, using, filter, prefetch, .. } = &mut request;
    replace_ids(shards, query.as_mut(), using, filter)?;
    let mut left: Vec<&mut Prefetch> = prefetch.iter_mut().collect();
    while let Some(Prefetch { prefetch, query, using, filter, .. }) = left.pop() {
        replace_ids(shards, query.as_mut(), using, filter)?;
        left.extend(prefetch);
    }
    Ok(request)
}

fn replace_ids(shards: &[&Shard], query: Option<&mut Query>, using: &str, filter: &mut Option<Filter>) -> Result<()> {
    let Some(query) = query else { return Ok(()) };
    let mentioned = query.mentioned();
    if mentioned.is_empty() {
        return Ok(());
    }
    let records = retrieve(shards, &mentioned, &PayloadSelector::None, &VectorSelector::Names(vec![using.to_owned()]))?;
    let mut vectors: HashMap<PointId, _> = records.into_iter().map(|record| (record.id, record.vectors)).collect();
    for target in query.targets_mut() {
        let SearchTarget::Id(id) = target else { continue };
        let found = vectors.get_mut(id).ok_or_else(|| vectordb_core::Error::PointNotFound { id: id.to_string() })?;
        let vector = found.as_ref().and_then(|vectors| vectors.get(using)).cloned();
        let vector = vector.ok_or_else(|| ServiceError::input(format!("point {id} has no vector `{using}`")))?;
        *target = SearchTarget::Vector(vector);
    }
    let others = Filter::must_not([Condition::HasId(mentioned)]);
    *filter = Filter::merged(filter.as_ref(), Some(&others));
    Ok(())
}

/// A query of the tree, with the filters of those around it.
struct Node<'q> {
    prefetch: &'q [Prefetch],
    query: Option<&'q Query>,
    using: &'q str,
    filter: Option<Filter>,
    params: &'q SearchParams,
    threshold: Option<f32>,
    limit: usize,
    offset: usize,
}

struct Walk<'w> {
    shards: &'w [&'w Shard],
    /// Whose budget holds.
    root: &'w QueryRequest,
    /// Whether hits come with their payloads.
    at_once: bool,
}

impl Walk<'_> {
    /// Ids and scores of a node's answer.
    fn run(&self, node: &Node<'_>, depth: usize) -> Result<Vec<ScoredPoint>> {
        if depth > MAX_PREFETCH_DEPTH {
            return Err(ServiceError::input(format!("prefetches nested deeper than {MAX_PREFETCH_DEPTH} levels")));
        }
        if node.prefetch.is_empty() {
            return self.leaf(node);
        }
        let mut lists = Vec::with_capacity(node.prefetch.len());
        for prefetch in node.prefetch {
            let inner = Node {
                prefetch: &prefetch.prefetch,
                query: prefetch.query.as_ref(),
                using: &prefetch.using,
                filter: Filter::merged(node.filter.as_ref(), prefetch.filter.as_ref()),
                params: &prefetch.params,
                threshold: prefetch.score_threshold,
                limit: prefetch.limit,
                offset: 0,
            };
            lists.push(self.run(&inner, depth + 1)?);
        }
        match node.query {
            None => Err(ServiceError::input("prefetches need a query that ranks their points")),
            Some(fusion @ (Query::Rrf(_) | Query::Dbsf)) => {
                if !node.using.is_empty() {
                    return Err(ServiceError::input("a fusion looks at no vector: `using` has no place in it"));
                }
                let worst = node.threshold.unwrap_or(f32::NEG_INFINITY);
                let fused = fuse(fusion, lists)?.into_iter().take(node.offset + node.limit);
                Ok(fused.filter(|hit| hit.score >= worst).skip(node.offset).collect())
            }
            Some(Query::Formula(_)) => {
                let given = |list: Vec<ScoredPoint>| {
                    let limit = list.len();
                    let query = Query::Given(list.into_iter().map(|hit| (hit.id, hit.score)).collect());
                    Prefetch { query: Some(query), limit, ..Prefetch::default() }
                };
                // What the prefetches found is not filtered again: alternatives of their filters count as well.
                self.ask(&Node { filter: None, ..*node }, lists.into_iter().map(given).collect())
            }
            Some(_) => {
                let ids: std::collections::BTreeSet<PointId> = lists.into_iter().flatten().map(|hit| hit.id).collect();
                if ids.is_empty() {
                    return Ok(Vec::new());
                }
                let these = Filter::must([Condition::HasId(ids.into_iter().collect())]);
                let params = SearchParams { exact: true, indexed_only: false, ..node.params.clone() };
                let filter = Filter::merged(node.filter.as_ref(), Some(&these));
                self.leaf(&Node { prefetch: &[], filter, params: &params, ..*node })
            }
        }
    }

    /// A query over points.
    fn leaf(&self, node: &Node<'_>) -> Result<Vec<ScoredPoint>> {
        match node.query {
            Some(Query::Sample { seed }) => self.sample(node, *seed),
            Some(Query::Nearest { mmr: Some(mmr), .. }) => self.diverse(node, mmr),
            _ => self.ask(node, Vec::new()),
        }
    }

    /// Asks every shard and merges; hits come without payloads, unless all is asked at once.
    fn ask(&self, node: &Node<'_>, prefetch: Vec<Prefetch>) -> Result<Vec<ScoredPoint>> {
        let mut request = QueryRequest { prefetch, limit: node.offset + node.limit, ..self.request(node) };
        request.params.corpus = counted(self.shards, &request)?;
        let closer = larger_is_closer(self.shards, &request);
        let answers = ask_each!(self.shards, "shard query", Question::Query(Box::new(request.clone())), Answer::Points)?;
        let mut hits = merged(&request, closer, answers);
        hits.truncate(request.limit);
        Ok(hits.into_iter().skip(node.offset).collect())
    }

    fn request(&self, node: &Node<'_>) -> QueryRequest {
        QueryRequest {
            using: node.using.to_owned(),
            filter: node.filter.clone(),
            params: node.params.clone(),
            score_threshold: node.threshold,
            with_payload: if self.at_once { self.root.with_payload.clone() } else { PayloadSelector::None },
            budget: self.root.budget.clone(),
            ..QueryRequest::new(node.query.cloned())
        }
    }

    /// A sample of each shard, from which each place is drawn with the weight of what is left of its shard.
    fn sample(&self, node: &Node<'_>, seed: Option<u64>) -> Result<Vec<ScoredPoint>> {
        let request = QueryRequest { limit: node.limit, ..self.request(node) };
        let mut left = ask_each!(self.shards, "shard count", Question::Count { filter: node.filter.clone(), exact: false }, Answer::Count)?;
        let samples = ask_each!(self.shards, "shard query", Question::Query(Box::new(request)), Answer::Points)?;
        let mut samples: Vec<_> = samples.into_iter().map(Vec::into_iter).collect();
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        let mut drawn = Vec::with_capacity(node.limit.min(1024));
        for place in 0..node.limit as u64 {
            let total: u64 = left.iter().sum();
            if total == 0 {
                break;
            }
            let mut at = super::ring::mixed(seed ^ super::ring::mixed(place)) % total;
            let shard = left.iter().position(|&count| {
                let here = at < count;
                at = if here { at } else { at - count };
                here
            });
            let Some(shard) = shard else { break };
            match samples[shard].next() {
                Some(hit) => {
                    drawn.push(hit);
                    left[shard] -= 1;
                }
                None => left[shard] = 0,
            }
        }
        // Counts are estimates: what was not drawn for them fills the rest.
        let missing = node.limit.saturating_sub(drawn.len());
        drawn.extend(samples.into_iter().flatten().take(missing));
        Ok(drawn)
    }

    /// The nearest of all shards, chosen for their difference by the engine in a collection of their own.
    fn diverse(&self, node: &Node<'_>, mmr: &Mmr) -> Result<Vec<ScoredPoint>> {
        let Some(Query::Nearest { target, .. }) = node.query else { return Ok(Vec::new()) };
        let plain = Query::Nearest { target: target.clone(), mmr: None };
        let candidates = Node {
            query: Some(&plain),
            limit: mmr.candidates_limit.unwrap_or(node.limit),
            offset: 0,
            prefetch: &[],
            filter: node.filter.clone(),
            ..*node
        };
        let hits = self.ask(&candidates, Vec::new())?;
        let ids: Vec<PointId> = hits.iter().map(|hit| hit.id.clone()).collect();
        let records = retrieve(self.shards, &ids, &PayloadSelector::None, &VectorSelector::Names(vec![node.using.to_owned()]))?;
        let mut places: HashMap<PointId, usize> = ids.into_iter().enumerate().map(|(place, id)| (id, place)).collect();
        let points = records.into_iter().filter_map(|record| {
            let place = places.remove(&record.id)?;
            Some(Point { id: (place as u64).into(), vectors: record.vectors?, payload: vectordb_core::Payload::new() })
        });
        let options = Options::default().background(Background::Manual).threads(1);
        let db = Database::open_with("diverse", options.fs(std::sync::Arc::new(vectordb_core::MemFs::default())))?;
        let few = db.create_collection("few", self.config_of_few(node.using))?;
        few.upsert(points)?;
        let mut request =
            QueryRequest::new(Query::Nearest { target: target.clone(), mmr: Some(Mmr { candidates_limit: Some(hits.len()), ..*mmr }) });
        request.using = node.using.to_owned();
        request.limit = node.offset + node.limit;
        let chosen = few.query_points(&request)?;
        let place = |hit: &ScoredPoint| if let PointId::Num(place) = hit.id { usize::try_from(place).ok() } else { None };
        Ok(chosen.iter().filter_map(|hit| hits.get(place(hit)?).cloned()).skip(node.offset).collect())
    }

    /// A collection of the one vector, without an index; weights of sparse dimensions are those that the scores have already.
    fn config_of_few(&self, using: &str) -> CollectionConfig {
        let whole = self.shards.first().map(|shard| shard.data.config()).unwrap_or_default();
        let mut config = CollectionConfig::default();
        match whole.vectors.get(using) {
            Some(params) => drop(config.vectors.insert(using.to_owned(), params.clone())),
            None => drop(config.sparse_vectors.insert(using.to_owned(), SparseVectorParams::default())),
        }
        config.hnsw_config.m = 0;
        config
    }
}

/// What the query is weighted by, counted over all shards, unless it was already; none if it is not weighted.
pub(crate) fn counted(shards: &[&Shard], request: &QueryRequest) -> Result<Option<Arc<CorpusCounts>>> {
    if let Some(counts) = &request.params.corpus {
        return Ok(Some(Arc::clone(counts)));
    }
    let config = shards.first().map(|shard| shard.data.config()).unwrap_or_default();
    let idf = config.sparse_vectors.get(&request.using).is_some_and(|params| params.modifier == Some(Modifier::Idf));
    if !idf && !matches!(request.query, Some(Query::Text(_))) {
        return Ok(None);
    }
    let mut counts = CorpusCounts::default();
    for part in ask_each!(shards, "shard counts", Question::Counts(Box::new(request.clone())), Answer::Counts)? {
        counts.add(&part);
    }
    Ok(Some(Arc::new(counts)))
}

/// Hits with the payloads and vectors that were asked for.
fn hydrated(shards: &[&Shard], hits: Vec<ScoredPoint>, request: &QueryRequest) -> Result<Vec<ScoredPoint>> {
    if request.with_payload == PayloadSelector::None && request.with_vectors == VectorSelector::None {
        return Ok(hits);
    }
    let ids: Vec<PointId> = hits.iter().map(|hit| hit.id.clone()).collect();
    let records = retrieve(shards, &ids, &request.with_payload, &request.with_vectors)?;
    let mut records: HashMap<PointId, _> = records.into_iter().map(|record| (record.id.clone(), record)).collect();
    let with = |hit: ScoredPoint| {
        // What was deleted since it was found is no answer any more.
        let record = if request.query.as_ref().is_some_and(|query| matches!(query, Query::OrderBy(_))) {
            records.get(&hit.id).cloned()
        } else {
            records.remove(&hit.id)
        }?;
        Some(ScoredPoint { payload: record.payload, vectors: record.vectors, ..hit })
    };
    Ok(hits.into_iter().filter_map(with).collect())
}
