//! Questions to a collection.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::corpus::CorpusCounts;
use super::filter::Filter;
use super::payload::{DateTime, PayloadPath};
use super::point::{PayloadSelector, PointId, VectorSelector};
use super::quantization::QuantizationParams;
use super::text::Document;
use super::vector::Vector;

/// Largest `limit + offset` of one query.
pub const MAX_RESULTS: usize = 10_000_000;

/// Largest sample of a distance matrix.
pub const MAX_SAMPLED: usize = 10_000;

/// What a search is near to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Target {
    /// A vector.
    Vector(Vector),
    /// The vector of a stored point, which is itself left out of the result.
    Id(PointId),
    /// The vector that a model makes of a text as a query.
    Document(Document),
}

impl From<Document> for Target {
    fn from(document: Document) -> Self {
        Self::Document(document)
    }
}

impl From<Vector> for Target {
    fn from(vector: Vector) -> Self {
        Self::Vector(vector)
    }
}

impl From<Vec<f32>> for Target {
    fn from(values: Vec<f32>) -> Self {
        Self::Vector(values.into())
    }
}

impl From<&[f32]> for Target {
    fn from(values: &[f32]) -> Self {
        Self::Vector(values.into())
    }
}

impl From<&Vec<f32>> for Target {
    fn from(values: &Vec<f32>) -> Self {
        Self::Vector(values.as_slice().into())
    }
}

impl<const N: usize> From<&[f32; N]> for Target {
    fn from(values: &[f32; N]) -> Self {
        Self::Vector(values.as_slice().into())
    }
}

impl<const N: usize> From<[f32; N]> for Target {
    fn from(values: [f32; N]) -> Self {
        Self::Vector(values.into())
    }
}

impl From<PointId> for Target {
    fn from(id: PointId) -> Self {
        Self::Id(id)
    }
}

/// How a filtered search goes through a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// Score every point that satisfies the filter.
    Scan,
    /// Walk the graph over the points that satisfy the filter, two hops at a time.
    FilteredGraph,
    /// Walk the graph over all points and keep those that satisfy the filter.
    Graph,
    /// Score the points that satisfy the filter in the clusters near the query, until nearer ones are no longer found.
    Clusters,
}

/// Settings of one search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SearchParams {
    /// Size of the graph's candidate list; `None` takes the collection's `ef_construct`, and at least the limit.
    pub hnsw_ef: Option<usize>,
    /// The share of the true nearest points that is to be found, above 0 and at most 1: instead of `hnsw_ef`, which has precedence.
    /// Each segment learns how long its candidate list must be, in the background once such a search came, by searching for some
    /// of its own points, and once more when a few hundred queries came, from these: either takes seconds of a processor, and is
    /// kept in a file. Until then, and where maintenance never runs, a search goes by the list it would have without this.
    /// What was used stands in the [`Explanation`](crate::Explanation).
    pub recall: Option<f64>,
    /// Score every point instead of walking the graph.
    pub exact: bool,
    /// Search only segments that have a graph, or are too small to need one.
    pub indexed_only: bool,
    /// How codes are used.
    pub quantization: QuantizationParams,
    /// Points among which the rarity of a sparse vector's dimensions is counted; all if nothing is said.
    pub idf_corpus: Option<Filter>,
    /// What rarities are made of, where the points are a part of a whole that was counted already; instead of counting here.
    pub corpus: Option<Arc<CorpusCounts>>,
    /// Prefer a walk over matching points alone (ACORN, Patel et al. 2024) where at most this share of the points matches; without
    /// it the planner chooses among all ways.
    pub acorn: Option<f64>,
    /// Forces the strategy of filtered searches; `None` lets the planner choose. For tests and measurements.
    pub strategy: Option<Strategy>,
}

/// A nearest-neighbour search.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SearchRequest {
    /// What to be near to.
    pub target: Target,
    /// Which vector; `""` is the unnamed one.
    pub using: String,
    /// Only points that satisfy this.
    pub filter: Option<Filter>,
    /// Most hits.
    pub limit: usize,
    /// Hits to leave out at the front.
    pub offset: usize,
    /// The worst score to return, in the user's numbers: a minimum for similarities, a maximum for distances.
    pub score_threshold: Option<f32>,
    /// Settings of the search.
    pub params: SearchParams,
    /// Which payload to return.
    pub with_payload: PayloadSelector,
    /// Which vectors to return.
    pub with_vectors: VectorSelector,
    /// When to give up.
    #[serde(skip)]
    pub budget: Budget,
}

impl SearchRequest {
    /// The ten nearest points, with payloads.
    pub fn new(target: impl Into<Target>) -> Self {
        Self {
            target: target.into(),
            using: String::new(),
            filter: None,
            limit: 10,
            offset: 0,
            score_threshold: None,
            params: SearchParams::default(),
            with_payload: PayloadSelector::All,
            with_vectors: VectorSelector::None,
            budget: Budget::default(),
        }
    }
}

/// When a read gives up.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// Give up at this moment with [`Error::Timeout`](crate::Error::Timeout).
    pub deadline: Option<Instant>,
    /// Give up when this turns true with [`Error::Cancelled`](crate::Error::Cancelled).
    pub cancel: Option<Arc<AtomicBool>>,
}

/// The order of a scroll by a payload field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderBy {
    /// The field; it needs an integer, float or datetime index.
    pub key: PayloadPath,
    /// From large to small.
    pub descending: bool,
    /// The value to start from, inclusive.
    pub start_from: Option<OrderValue>,
}

/// A value to start an ordered scroll from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum OrderValue {
    /// An integer.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A moment.
    DateTime(DateTime),
}

/// A walk over the points of a collection.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ScrollRequest {
    /// Only points that satisfy this.
    pub filter: Option<Filter>,
    /// Most records of this page; 0 is 10.
    pub limit: usize,
    /// The first id of this page; not together with `order_by`.
    pub offset: Option<PointId>,
    /// Order by a payload field instead of by id.
    pub order_by: Option<OrderBy>,
    /// Which payload to return.
    pub with_payload: PayloadSelector,
    /// Which vectors to return.
    pub with_vectors: VectorSelector,
    /// When to give up.
    #[serde(skip)]
    pub budget: Budget,
}

/// One page of a scroll.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScrollPage {
    /// The records of this page.
    pub records: Vec<super::point::Record>,
    /// First id of the next page; `None` at the end and for ordered scrolls.
    pub next_offset: Option<PointId>,
}
