//! The searches from before queries: each is a query in other words.

use vectordb_core::{ContextPair, GroupsRequest, PayloadPath, Query, QueryRequest, SearchTarget, SparseVector, Vector};
use vectordb_service::Result;

use super::query::{group_lookup, location, optional, params, strategy};
use super::{at_least_one, count, needed, point, vector};
use crate::wire;

pub(crate) fn search(request: wire::SearchPoints) -> Result<QueryRequest> {
    Ok(QueryRequest {
        using: request.vector_name.unwrap_or_default(),
        filter: optional(request.filter)?,
        params: request.params.map(params).transpose()?.unwrap_or_default(),
        score_threshold: request.score_threshold,
        limit: at_least_one("limit", request.limit)?,
        offset: count(request.offset.unwrap_or(0)),
        with_payload: point::payload_selector(request.with_payload, false),
        with_vectors: point::vector_selector(request.with_vectors),
        ..QueryRequest::new(nearest(request.vector, request.sparse_indices)?)
    })
}

pub(crate) fn search_groups(request: wire::SearchPointGroups) -> Result<GroupsRequest> {
    let query = QueryRequest {
        using: request.vector_name.unwrap_or_default(),
        filter: optional(request.filter)?,
        params: request.params.map(params).transpose()?.unwrap_or_default(),
        score_threshold: request.score_threshold,
        limit: at_least_one("limit", request.limit.into())?,
        with_payload: point::payload_selector(request.with_payload, false),
        with_vectors: point::vector_selector(request.with_vectors),
        ..QueryRequest::new(nearest(request.vector, request.sparse_indices)?)
    };
    Ok(GroupsRequest {
        query,
        group_by: PayloadPath::parse(&request.group_by)?,
        group_size: at_least_one("group_size", request.group_size.into())?,
        with_lookup: request.with_lookup.map(group_lookup),
    })
}

fn nearest(values: Vec<f32>, indices: Option<wire::SparseIndices>) -> Result<Query> {
    let vector = match indices {
        Some(indices) => SparseVector::new(indices.data, values)?.into(),
        None => Vector::Dense(values),
    };
    Ok(Query::Nearest { target: vector.into(), mmr: None })
}

/// Examples by id and by vector.
fn examples(ids: Vec<wire::PointId>, vectors: Vec<wire::Vector>) -> Result<Vec<SearchTarget>> {
    let ids = ids.into_iter().map(|id| point::point_id(id).map(SearchTarget::Id));
    ids.chain(vectors.into_iter().map(vector::example)).collect()
}

pub(crate) fn recommend(request: wire::RecommendPoints) -> Result<QueryRequest> {
    let query = Query::Recommend {
        positive: examples(request.positive, request.positive_vectors)?,
        negative: examples(request.negative, request.negative_vectors)?,
        strategy: strategy(request.strategy)?,
    };
    Ok(QueryRequest {
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?,
        params: request.params.map(params).transpose()?.unwrap_or_default(),
        score_threshold: request.score_threshold,
        limit: at_least_one("limit", request.limit)?,
        offset: count(request.offset.unwrap_or(0)),
        with_payload: point::payload_selector(request.with_payload, false),
        with_vectors: point::vector_selector(request.with_vectors),
        lookup_from: request.lookup_from.map(location),
        ..QueryRequest::new(query)
    })
}

pub(crate) fn recommend_groups(request: wire::RecommendPointGroups) -> Result<GroupsRequest> {
    let query = Query::Recommend {
        positive: examples(request.positive, request.positive_vectors)?,
        negative: examples(request.negative, request.negative_vectors)?,
        strategy: strategy(request.strategy)?,
    };
    let query = QueryRequest {
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?,
        params: request.params.map(params).transpose()?.unwrap_or_default(),
        score_threshold: request.score_threshold,
        limit: at_least_one("limit", request.limit.into())?,
        with_payload: point::payload_selector(request.with_payload, false),
        with_vectors: point::vector_selector(request.with_vectors),
        lookup_from: request.lookup_from.map(location),
        ..QueryRequest::new(query)
    };
    Ok(GroupsRequest {
        query,
        group_by: PayloadPath::parse(&request.group_by)?,
        group_size: at_least_one("group_size", request.group_size.into())?,
        with_lookup: request.with_lookup.map(group_lookup),
    })
}

pub(crate) fn discover(request: wire::DiscoverPoints) -> Result<QueryRequest> {
    let target = request.target.and_then(|target| target.target);
    let context = request.context.into_iter().map(pair).collect::<Result<_>>()?;
    let query = match target {
        Some(wire::target_vector::Target::Single(target)) => Query::Discover { target: example(target)?, context },
        None => Query::Context(context),
    };
    Ok(QueryRequest {
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?,
        params: request.params.map(params).transpose()?.unwrap_or_default(),
        limit: at_least_one("limit", request.limit)?,
        offset: count(request.offset.unwrap_or(0)),
        with_payload: point::payload_selector(request.with_payload, false),
        with_vectors: point::vector_selector(request.with_vectors),
        lookup_from: request.lookup_from.map(location),
        ..QueryRequest::new(query)
    })
}

fn pair(pair: wire::ContextExamplePair) -> Result<ContextPair> {
    let side = |side: Option<wire::VectorExample>, name: &str| example(needed(side, name)?);
    Ok(ContextPair { positive: side(pair.positive, "context.positive")?, negative: side(pair.negative, "context.negative")? })
}

fn example(example: wire::VectorExample) -> Result<SearchTarget> {
    use wire::vector_example::Example;
    match needed(example.example, "example")? {
        Example::Id(id) => point::point_id(id).map(SearchTarget::Id),
        Example::Vector(one) => vector::example(one),
    }
}
