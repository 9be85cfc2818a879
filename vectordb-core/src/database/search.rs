//! The builder of a search.

use std::time::Instant;

use super::Collection;
use crate::error::Result;
use crate::model::filter::Filter;
use crate::model::point::{PayloadSelector, ScoredPoint, VectorSelector};
use crate::model::query::{SearchRequest, Strategy, Target};

/// A nearest-neighbour search being put together; made by [`Collection::search`].
///
/// Without settings it gives the ten nearest points with their payloads.
#[derive(Debug, Clone)]
#[must_use = "a search does nothing until `run`"]
pub struct Search<'a> {
    collection: &'a Collection,
    request: SearchRequest,
}

impl<'a> Search<'a> {
    pub(super) fn new(collection: &'a Collection, target: Target) -> Self {
        Self { collection, request: SearchRequest::new(target) }
    }

    /// Only points that satisfy a filter. If `limit` points do, `limit` points come back, however few they are among all.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.request.filter = Some(filter.into());
        self
    }

    /// Most hits; 10 if nothing is said.
    pub fn limit(mut self, limit: usize) -> Self {
        self.request.limit = limit;
        self
    }

    /// Hits to leave out at the front.
    pub fn offset(mut self, offset: usize) -> Self {
        self.request.offset = offset;
        self
    }

    /// Which vector to search; the unnamed one if nothing is said.
    pub fn using(mut self, name: impl Into<String>) -> Self {
        self.request.using = name.into();
        self
    }

    /// Size of the graph's candidate list: larger finds more and takes longer.
    pub fn ef(mut self, ef: usize) -> Self {
        self.request.params.hnsw_ef = Some(ef);
        self
    }

    /// The share of the true nearest points that is to be found, instead of a candidate list: see
    /// [`SearchParams::recall`](crate::SearchParams::recall).
    pub fn recall(mut self, recall: f64) -> Self {
        self.request.params.recall = Some(recall);
        self
    }

    /// Score every point instead of walking the graph.
    pub fn exact(mut self, exact: bool) -> Self {
        self.request.params.exact = exact;
        self
    }

    /// Forces the way a filtered search takes, for tests and measurements.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.request.params.strategy = Some(strategy);
        self
    }

    /// The worst score to return: a minimum for similarities, a maximum for distances.
    pub fn score_threshold(mut self, score: f32) -> Self {
        self.request.score_threshold = Some(score);
        self
    }

    /// Which payload to return; all if nothing is said.
    pub fn with_payload(mut self, selector: impl Into<PayloadSelector>) -> Self {
        self.request.with_payload = selector.into();
        self
    }

    /// Which vectors to return; none if nothing is said.
    pub fn with_vectors(mut self, selector: impl Into<VectorSelector>) -> Self {
        self.request.with_vectors = selector.into();
        self
    }

    /// Give up at this moment.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.request.budget.deadline = Some(deadline);
        self
    }

    /// The request as it stands, for [`Collection::query_batch`].
    pub fn request(self) -> SearchRequest {
        self.request
    }

    /// Runs the search: hits, best first, equal scores in the order of ids.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`](crate::Error::DimensionMismatch), [`Error::InvalidVector`](crate::Error::InvalidVector),
    /// [`Error::VectorNotFound`](crate::Error::VectorNotFound), [`Error::InvalidFilter`](crate::Error::InvalidFilter),
    /// [`Error::Timeout`](crate::Error::Timeout).
    pub fn run(self) -> Result<Vec<ScoredPoint>> {
        self.collection.query(&self.request)
    }
}
