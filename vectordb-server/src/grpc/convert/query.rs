//! Queries of every kind, with their prefetches, and the questions beside them.

use vectordb_core::{
    Bm25Params, ContextPair, FacetRequest, FeedbackItem, Filter, GroupLookup, GroupsRequest, LookupLocation, MAX_PREFETCH_DEPTH,
    MatrixRequest, Mmr, NaiveFeedback, OrderBy, OrderValue, PayloadPath, Prefetch, QuantizationParams, Query, QueryRequest,
    RecommendStrategy, Rrf, ScrollRequest, SearchParams, SearchTarget, TextQuery, TextQueryScoring, Value,
};
use vectordb_service::{Result, ServiceError};

use super::{at_least_one, count, filter, formula, moment, needed, one_of, parsed_moment, point, refused, vector};
use crate::wire;
use crate::wire::query::Variant;

/// Results where nothing is said of their number.
const LIMIT: u64 = 10;
/// Hits of a group where nothing is said of their number.
const GROUP_SIZE: u64 = 3;
/// Share of matches up to which `acorn` counts when it says nothing else, as in JSON.
const ACORN_SHARE: f64 = 0.4;

pub(crate) fn query_request(request: wire::QueryPoints) -> Result<QueryRequest> {
    Ok(QueryRequest {
        prefetch: prefetches(request.prefetch, 1)?,
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?,
        params: request.params.map(params).transpose()?.unwrap_or_default(),
        score_threshold: request.score_threshold,
        limit: at_least_one("limit", request.limit.unwrap_or(LIMIT))?,
        offset: count(request.offset.unwrap_or(0)),
        with_payload: point::payload_selector(request.with_payload, false),
        with_vectors: point::vector_selector(request.with_vectors),
        lookup_from: request.lookup_from.map(location),
        ..QueryRequest::new(request.query.map(query).transpose()?)
    })
}

pub(crate) fn groups_request(request: wire::QueryPointGroups) -> Result<GroupsRequest> {
    let query = QueryRequest {
        prefetch: prefetches(request.prefetch, 1)?,
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?,
        params: request.params.map(params).transpose()?.unwrap_or_default(),
        score_threshold: request.score_threshold,
        limit: at_least_one("limit", request.limit.unwrap_or(LIMIT))?,
        with_payload: point::payload_selector(request.with_payload, false),
        with_vectors: point::vector_selector(request.with_vectors),
        lookup_from: request.lookup_from.map(location),
        ..QueryRequest::new(request.query.map(query).transpose()?)
    };
    Ok(GroupsRequest {
        query,
        group_by: PayloadPath::parse(&request.group_by)?,
        group_size: at_least_one("group_size", request.group_size.unwrap_or(GROUP_SIZE))?,
        with_lookup: request.with_lookup.map(group_lookup),
    })
}

pub(crate) fn scroll_request(request: wire::ScrollPoints) -> Result<ScrollRequest> {
    Ok(ScrollRequest {
        filter: optional(request.filter)?,
        limit: at_least_one("limit", request.limit.map_or(LIMIT, u64::from))?,
        offset: request.offset.map(point::point_id).transpose()?,
        order_by: request.order_by.map(order_by).transpose()?,
        with_payload: point::payload_selector(request.with_payload, true),
        with_vectors: point::vector_selector(request.with_vectors),
        ..ScrollRequest::default()
    })
}

pub(crate) fn facet_request(request: wire::FacetCounts) -> Result<FacetRequest> {
    Ok(FacetRequest {
        key: PayloadPath::parse(&request.key)?,
        filter: optional(request.filter)?,
        limit: at_least_one("limit", request.limit.unwrap_or(LIMIT))?,
        exact: request.exact.unwrap_or(false),
        budget: vectordb_core::Budget::default(),
    })
}

/// The value of a facet.
pub(crate) fn facet_value(value: Value) -> Option<wire::FacetValue> {
    use wire::facet_value::Variant;
    let variant = match value {
        Value::String(text) => Variant::StringValue(text),
        Value::Bool(flag) => Variant::BoolValue(flag),
        Value::Number(number) => Variant::IntegerValue(number.as_i64()?),
        _ => return None,
    };
    Some(wire::FacetValue { variant: Some(variant) })
}

pub(crate) fn matrix_request(request: wire::SearchMatrixPoints) -> Result<MatrixRequest> {
    Ok(MatrixRequest {
        filter: optional(request.filter)?,
        sample: count(request.sample.unwrap_or(10)),
        limit: count(request.limit.unwrap_or(3)),
        using: request.using.unwrap_or_default(),
        seed: None,
        budget: vectordb_core::Budget::default(),
    })
}

pub(crate) fn optional(one: Option<wire::Filter>) -> Result<Option<Filter>> {
    one.map(filter::filter).transpose()
}

fn prefetches(list: Vec<wire::PrefetchQuery>, depth: usize) -> Result<Vec<Prefetch>> {
    if depth > MAX_PREFETCH_DEPTH && !list.is_empty() {
        return Err(refused("prefetches", format!("nest deeper than {MAX_PREFETCH_DEPTH} levels")));
    }
    let one = |one: wire::PrefetchQuery| {
        Ok(Prefetch {
            prefetch: prefetches(one.prefetch, depth + 1)?,
            query: one.query.map(query).transpose()?,
            using: one.using.unwrap_or_default(),
            filter: optional(one.filter)?,
            params: one.params.map(params).transpose()?.unwrap_or_default(),
            score_threshold: one.score_threshold,
            limit: count(one.limit.unwrap_or(LIMIT)),
            lookup_from: one.lookup_from.map(location),
        })
    };
    list.into_iter().map(one).collect()
}

pub(super) fn location(from: wire::LookupLocation) -> LookupLocation {
    LookupLocation { collection: from.collection_name, vector: from.vector_name.unwrap_or_default() }
}

pub(super) fn group_lookup(lookup: wire::WithLookup) -> GroupLookup {
    GroupLookup {
        collection: lookup.collection,
        with_payload: point::payload_selector(lookup.with_payload, true),
        with_vectors: point::vector_selector(lookup.with_vectors),
    }
}

pub(super) fn params(params: wire::SearchParams) -> Result<SearchParams> {
    let quantization = |params: wire::QuantizationSearchParams| QuantizationParams {
        ignore: params.ignore.unwrap_or(false),
        rescore: params.rescore,
        oversampling: params.oversampling,
    };
    let acorn = params.acorn.filter(|acorn| acorn.enable == Some(true));
    Ok(SearchParams {
        hnsw_ef: params.hnsw_ef.map(count),
        exact: params.exact.unwrap_or(false),
        indexed_only: params.indexed_only.unwrap_or(false),
        quantization: params.quantization.map(quantization).unwrap_or_default(),
        idf_corpus: optional(params.idf.and_then(|idf| idf.corpus))?,
        acorn: acorn.map(|acorn| acorn.max_selectivity.unwrap_or(ACORN_SHARE)),
        ..SearchParams::default()
    })
}

fn query(query: wire::Query) -> Result<Query> {
    Ok(match needed(query.variant, "query")? {
        Variant::Nearest(input) => Query::Nearest { target: vector::target(input)?, mmr: None },
        Variant::NearestWithMmr(nearest) => Query::Nearest { target: target(nearest.nearest, "nearest")?, mmr: nearest.mmr.map(mmr) },
        Variant::Recommend(recommend) => Query::Recommend {
            positive: targets(recommend.positive)?,
            negative: targets(recommend.negative)?,
            strategy: strategy(recommend.strategy)?,
        },
        Variant::Discover(discover) => {
            Query::Discover { target: target(discover.target, "discover.target")?, context: pairs(discover.context.unwrap_or_default())? }
        }
        Variant::Context(context) => Query::Context(pairs(context)?),
        Variant::RelevanceFeedback(feedback) => relevance(feedback)?,
        Variant::Text(text) => Query::Text(words(text)),
        Variant::OrderBy(order) => Query::OrderBy(order_by(order)?),
        Variant::Fusion(kind) => match one_of("fusion", kind)? {
            wire::Fusion::Rrf => Query::Rrf(Rrf::default()),
            wire::Fusion::Dbsf => Query::Dbsf,
        },
        Variant::Rrf(rrf) => Query::Rrf(Rrf { k: rrf.k, weights: Some(rrf.weights).filter(|weights| !weights.is_empty()) }),
        Variant::Formula(of) => Query::Formula(formula::formula(of)?),
        Variant::Sample(kind) => match one_of("sample", kind)? {
            wire::Sample::Random => Query::Sample { seed: None },
        },
    })
}

fn target(input: Option<wire::VectorInput>, name: &str) -> Result<SearchTarget> {
    vector::target(needed(input, name)?)
}

fn targets(inputs: Vec<wire::VectorInput>) -> Result<Vec<SearchTarget>> {
    inputs.into_iter().map(vector::target).collect()
}

fn mmr(mmr: wire::Mmr) -> Mmr {
    Mmr { diversity: mmr.diversity, candidates_limit: mmr.candidates_limit.map(|limit| count(limit.into())) }
}

pub(super) fn strategy(strategy: Option<i32>) -> Result<RecommendStrategy> {
    Ok(match strategy.map(|strategy| one_of("strategy", strategy)).transpose()? {
        None | Some(wire::RecommendStrategy::AverageVector) => RecommendStrategy::AverageVector,
        Some(wire::RecommendStrategy::BestScore) => RecommendStrategy::BestScore,
        Some(wire::RecommendStrategy::SumScores) => RecommendStrategy::SumScores,
    })
}

fn pairs(context: wire::ContextInput) -> Result<Vec<ContextPair>> {
    let one = |pair: wire::ContextInputPair| {
        Ok(ContextPair { positive: target(pair.positive, "context.positive")?, negative: target(pair.negative, "context.negative")? })
    };
    context.pairs.into_iter().map(one).collect()
}

fn relevance(input: wire::RelevanceFeedbackInput) -> Result<Query> {
    use wire::feedback_strategy::Variant;
    let item =
        |item: wire::FeedbackItem| Ok(FeedbackItem { example: target(item.example, "relevance_feedback.example")?, score: item.score });
    let strategy = input.strategy.and_then(|strategy| strategy.variant);
    let Variant::Naive(wire::NaiveFeedbackStrategy { a, b, c }) = needed(strategy, "relevance_feedback.strategy")?;
    Ok(Query::RelevanceFeedback {
        target: target(input.target, "relevance_feedback.target")?,
        feedback: input.feedback.into_iter().map(item).collect::<Result<_>>()?,
        strategy: NaiveFeedback { a, b, c },
    })
}

fn words(text: wire::TextQuery) -> TextQuery {
    use wire::text_query::Scoring;
    let scoring = match text.scoring {
        None => TextQueryScoring::default(),
        Some(Scoring::Bm25(wire::Bm25Params { k, b })) => TextQueryScoring::Bm25(Bm25Params { k, b }),
    };
    TextQuery { query: text.query, scoring }
}

fn order_by(order: wire::OrderBy) -> Result<OrderBy> {
    use wire::start_from::Value;
    let start = |start: wire::StartFrom| {
        Ok::<_, ServiceError>(match needed(start.value, "order_by.start_from")? {
            Value::Float(number) => OrderValue::Float(number),
            Value::Integer(number) => OrderValue::Integer(number),
            Value::Timestamp(timestamp) => OrderValue::DateTime(moment(timestamp)?),
            Value::Datetime(text) => OrderValue::DateTime(parsed_moment(&text)?),
        })
    };
    let direction = order.direction.map(|direction| one_of("direction", direction)).transpose()?;
    Ok(OrderBy {
        key: PayloadPath::parse(&order.key)?,
        descending: direction == Some(wire::Direction::Desc),
        start_from: order.start_from.map(start).transpose()?,
    })
}
