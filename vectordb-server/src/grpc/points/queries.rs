//! Points by rank, in the words of queries and in those from before them.

use vectordb_core::{GroupsRequest, QueryRequest, ScoredPoint};
use vectordb_service::{ReadOptions, Result};

use super::super::call::Call;
use super::super::convert::{legacy, point, query};
use crate::wire;

/// A request that is ready to be asked.
struct Asked<R> {
    collection: String,
    options: ReadOptions,
    request: R,
}

impl Asked<QueryRequest> {
    fn hits(self, call: &Call<'_>) -> Result<Vec<ScoredPoint>> {
        call.service.query(&self.collection, self.request, &self.options, call.access)
    }
}

impl Asked<GroupsRequest> {
    fn groups(self, call: &Call<'_>) -> Result<wire::GroupsResult> {
        Ok(point::groups(call.service.groups(&self.collection, self.request, &self.options, call.access)?))
    }
}

/// The parts that all these messages have: takes the collection, the shard keys and the timeout, and reads the rest.
macro_rules! asked {
    ($call:expr, $message:expr, $read:path) => {{
        let mut message = $message;
        let collection = std::mem::take(&mut message.collection_name);
        let options = $call.reading(&collection, message.shard_key_selector.take(), message.timeout, message.read_consistency)?;
        Ok(Asked { collection, options, request: $read(message)? })
    }};
}

fn query_asked(call: &Call<'_>, message: wire::QueryPoints) -> Result<Asked<QueryRequest>> {
    asked!(call, message, query::query_request)
}

fn search_asked(call: &Call<'_>, message: wire::SearchPoints) -> Result<Asked<QueryRequest>> {
    asked!(call, message, legacy::search)
}

fn recommend_asked(call: &Call<'_>, message: wire::RecommendPoints) -> Result<Asked<QueryRequest>> {
    asked!(call, message, legacy::recommend)
}

fn discover_asked(call: &Call<'_>, message: wire::DiscoverPoints) -> Result<Asked<QueryRequest>> {
    asked!(call, message, legacy::discover)
}

/// The answers of a batch, whose collection, timeout and consistency are those of the requests that name none.
macro_rules! batch {
    ($call:expr, $messages:expr, $batch:expr, $asked:path) => {{
        let mut messages = $messages;
        for message in &mut messages {
            if message.collection_name.is_empty() {
                message.collection_name.clone_from(&$batch.collection_name);
            }
            message.timeout = message.timeout.or($batch.timeout);
            message.read_consistency = message.read_consistency.or($batch.read_consistency);
        }
        let answer = |message| Ok(wire::BatchResult { result: point::scored($asked($call, message)?.hits($call)?) });
        $call.service.search_batch(&$batch.collection_name, messages, $call.access, answer)?
    }};
}

pub(super) fn query(call: &Call<'_>, message: wire::QueryPoints) -> Result<wire::QueryResponse> {
    let hits = query_asked(call, message)?.hits(call)?;
    Ok(wire::QueryResponse { result: point::scored(hits), ..Default::default() })
}

pub(super) fn query_batch(call: &Call<'_>, message: wire::QueryBatchPoints) -> Result<wire::QueryBatchResponse> {
    let result = batch!(call, message.query_points, message, query_asked);
    Ok(wire::QueryBatchResponse { result, ..Default::default() })
}

pub(super) fn query_groups(call: &Call<'_>, message: wire::QueryPointGroups) -> Result<wire::QueryGroupsResponse> {
    let asked: Result<Asked<GroupsRequest>> = asked!(call, message, query::groups_request);
    Ok(wire::QueryGroupsResponse { result: Some(asked?.groups(call)?), ..Default::default() })
}

pub(super) fn search(call: &Call<'_>, message: wire::SearchPoints) -> Result<wire::SearchResponse> {
    let hits = search_asked(call, message)?.hits(call)?;
    Ok(wire::SearchResponse { result: point::scored(hits), ..Default::default() })
}

pub(super) fn search_batch(call: &Call<'_>, message: wire::SearchBatchPoints) -> Result<wire::SearchBatchResponse> {
    let result = batch!(call, message.search_points, message, search_asked);
    Ok(wire::SearchBatchResponse { result, ..Default::default() })
}

pub(super) fn search_groups(call: &Call<'_>, message: wire::SearchPointGroups) -> Result<wire::SearchGroupsResponse> {
    let asked: Result<Asked<GroupsRequest>> = asked!(call, message, legacy::search_groups);
    Ok(wire::SearchGroupsResponse { result: Some(asked?.groups(call)?), ..Default::default() })
}

pub(super) fn recommend(call: &Call<'_>, message: wire::RecommendPoints) -> Result<wire::RecommendResponse> {
    let hits = recommend_asked(call, message)?.hits(call)?;
    Ok(wire::RecommendResponse { result: point::scored(hits), ..Default::default() })
}

pub(super) fn recommend_batch(call: &Call<'_>, message: wire::RecommendBatchPoints) -> Result<wire::RecommendBatchResponse> {
    let result = batch!(call, message.recommend_points, message, recommend_asked);
    Ok(wire::RecommendBatchResponse { result, ..Default::default() })
}

pub(super) fn recommend_groups(call: &Call<'_>, message: wire::RecommendPointGroups) -> Result<wire::RecommendGroupsResponse> {
    let asked: Result<Asked<GroupsRequest>> = asked!(call, message, legacy::recommend_groups);
    Ok(wire::RecommendGroupsResponse { result: Some(asked?.groups(call)?), ..Default::default() })
}

pub(super) fn discover(call: &Call<'_>, message: wire::DiscoverPoints) -> Result<wire::DiscoverResponse> {
    let hits = discover_asked(call, message)?.hits(call)?;
    Ok(wire::DiscoverResponse { result: point::scored(hits), ..Default::default() })
}

pub(super) fn discover_batch(call: &Call<'_>, message: wire::DiscoverBatchPoints) -> Result<wire::DiscoverBatchResponse> {
    let result = batch!(call, message.discover_points, message, discover_asked);
    Ok(wire::DiscoverBatchResponse { result, ..Default::default() })
}
