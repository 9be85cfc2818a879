//! What the points of a query are ranked by, and queries made of queries.

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::formula::Formula;
use super::payload::{PayloadPath, Value};
use super::point::{PayloadSelector, PointId, Record, ScoredPoint, VectorSelector};
use super::query::{Budget, OrderBy, SearchParams, Target};
use super::text::TextQuery;

/// Most levels of prefetches inside prefetches.
pub const MAX_PREFETCH_DEPTH: usize = 16;

/// What points are ranked by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Query {
    /// Closeness to a vector or to a stored point.
    Nearest {
        /// What to be near to.
        target: Target,
        /// Choose among the nearest by how different they are from each other.
        mmr: Option<Mmr>,
    },
    /// Closeness to some examples and distance from others. Examples given by id are left out of the result.
    Recommend {
        /// What to be near to.
        positive: Vec<Target>,
        /// What to be far from.
        negative: Vec<Target>,
        /// How the examples count.
        strategy: RecommendStrategy,
    },
    /// Closeness to a target among the points on the right side of most pairs.
    Discover {
        /// What to be near to.
        target: Target,
        /// Each pair divides the space in two.
        context: Vec<ContextPair>,
    },
    /// Being on the right side of all pairs; the score is 0 there and falls with the distance from it.
    Context(Vec<ContextPair>),
    /// Closeness to a target, moved by how well earlier answers were liked.
    RelevanceFeedback {
        /// What to be near to.
        target: Target,
        /// Earlier answers with their marks.
        feedback: Vec<FeedbackItem>,
        /// Weights of the formula.
        strategy: NaiveFeedback,
    },
    /// The words of a payload field's texts, by BM25; `using` names the field. Only points that hold any of the words are found.
    Text(TextQuery),
    /// A payload field; every score is 1.
    OrderBy(OrderBy),
    /// Ranks in the prefetches (reciprocal rank fusion, Cormack, Clarke & Büttcher 2009).
    Rrf(Rrf),
    /// Scores of the prefetches, each list scaled by its mean and three standard deviations (distribution-based score fusion).
    Dbsf,
    /// A formula over scores of the prefetches and payload values.
    Formula(Formula),
    /// Chance; every score is 1.
    Sample {
        /// The same seed over the same points gives the same sample; `None` takes another one each time.
        seed: Option<u64>,
    },
    /// Points with scores that are known already, in this order: what other collections found, for a query over it. Only those
    /// that exist and satisfy the filter are answers.
    Given(Vec<(PointId, f32)>),
}

impl Query {
    /// The points named by id, which are no answers.
    pub fn mentioned(&self) -> Vec<PointId> {
        fn sides(pairs: &[ContextPair]) -> impl Iterator<Item = &Target> {
            pairs.iter().flat_map(|pair| [&pair.positive, &pair.negative])
        }
        let targets: Vec<&Target> = match self {
            Self::Nearest { target, .. } => vec![target],
            Self::Recommend { positive, negative, .. } => positive.iter().chain(negative).collect(),
            Self::Discover { target, context } => std::iter::once(target).chain(sides(context)).collect(),
            Self::Context(context) => sides(context).collect(),
            Self::RelevanceFeedback { target, feedback, .. } => {
                std::iter::once(target).chain(feedback.iter().map(|item| &item.example)).collect()
            }
            Self::Text(_) | Self::OrderBy(_) | Self::Rrf(_) | Self::Dbsf | Self::Formula(_) | Self::Sample { .. } | Self::Given(_) => {
                Vec::new()
            }
        };
        let id = |target: &Target| if let Target::Id(id) = target { Some(id.clone()) } else { None };
        targets.into_iter().filter_map(id).collect()
    }
}

impl Query {
    /// Everything that a query names by vector or id.
    pub fn targets_mut(&mut self) -> Vec<&mut Target> {
        fn sides(pairs: &mut [ContextPair]) -> impl Iterator<Item = &mut Target> {
            pairs.iter_mut().flat_map(|pair| [&mut pair.positive, &mut pair.negative])
        }
        match self {
            Self::Nearest { target, .. } => vec![target],
            Self::Recommend { positive, negative, .. } => positive.iter_mut().chain(negative).collect(),
            Self::Discover { target, context } => std::iter::once(target).chain(sides(context)).collect(),
            Self::Context(context) => sides(context).collect(),
            Self::RelevanceFeedback { target, feedback, .. } => {
                std::iter::once(target).chain(feedback.iter_mut().map(|item| &mut item.example)).collect()
            }
            Self::Text(_) | Self::OrderBy(_) | Self::Rrf(_) | Self::Dbsf | Self::Formula(_) | Self::Sample { .. } | Self::Given(_) => {
                Vec::new()
            }
        }
    }
}

impl<T: Into<Target>> From<T> for Query {
    fn from(target: T) -> Self {
        Self::Nearest { target: target.into(), mmr: None }
    }
}

/// Maximal marginal relevance (Carbonell & Goldstein 1998).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Mmr {
    /// From 0, closeness to the query alone, to 1, difference from what was chosen alone; `None` is one half.
    pub diversity: Option<f32>,
    /// Nearest points to choose from; `None` is the limit.
    pub candidates_limit: Option<usize>,
}

/// How the examples of a recommendation count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum RecommendStrategy {
    /// The nearest to `2 · mean(positive) − mean(negative)`; to `mean(positive)` without negatives.
    #[default]
    AverageVector,
    /// The best of the positive scores, unless a negative one is better: then minus that. Both squeezed between 0 and 1.
    BestScore,
    /// The sum of the positive scores minus that of the negative ones.
    SumScores,
}

/// Two examples: what is wanted is closer to the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextPair {
    /// The wanted side.
    pub positive: Target,
    /// The other side.
    pub negative: Target,
}

/// An earlier answer and how well it was liked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedbackItem {
    /// The answer.
    pub example: Target,
    /// Its mark; only differences between marks count.
    pub score: f32,
}

/// Weights of relevance feedback: `a · s(target) + Σ (mark difference)^b · c · (s(better) − s(worse))` over all pairs of answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NaiveFeedback {
    /// Weight of the target.
    pub a: f32,
    /// Power of the difference between two marks.
    pub b: f32,
    /// Weight of a pair.
    pub c: f32,
}

/// Reciprocal rank fusion: a point at position `p ≥ 0` of a list of weight `w` gets `1 / ((p + 1) / w + k − 1)` for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rrf {
    /// `None` is 2.
    pub k: Option<u32>,
    /// One for each prefetch; `None` is 1 for each.
    pub weights: Option<Vec<f32>>,
}

/// A query whose answer is the material of another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prefetch {
    /// Its own material.
    pub prefetch: Vec<Prefetch>,
    /// What points are ranked by; `None` is the order of ids.
    pub query: Option<Query>,
    /// Which vector, or which payload field for texts; `""` is the unnamed vector.
    pub using: String,
    /// Only points that satisfy this, and the filters of the queries around it.
    pub filter: Option<Filter>,
    /// Settings of the search.
    pub params: SearchParams,
    /// The worst score to return.
    pub score_threshold: Option<f32>,
    /// Most points.
    pub limit: usize,
    /// Ids in the query are those of another collection's points.
    pub lookup_from: Option<LookupLocation>,
}

/// Vectors of another collection that the ids of a query stand for. These points are not left out of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupLocation {
    /// The collection.
    pub collection: String,
    /// Which of its vectors; `""` is the unnamed one.
    pub vector: String,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self {
            prefetch: Vec::new(),
            query: None,
            using: String::new(),
            filter: None,
            params: SearchParams::default(),
            score_threshold: None,
            limit: 10,
            lookup_from: None,
        }
    }
}

/// A query of any kind, over all points or over the answers of other queries.
///
/// Over prefetches, fusions and formulas rank the points in any of them; every other kind ranks those points anew, exactly.
///
/// ```
/// use vectordb_core::{Database, Point, Prefetch, Query, QueryRequest, Rrf};
/// # let dir = tempfile::tempdir().unwrap();
/// let db = Database::open(dir.path())?;
/// let books = db.collection("books").dim(2).create()?;
/// books.upsert((0..20u64).map(|n| Point::new(n, [n as f32, 1.0]).with("year", 1990 + n)))?;
/// let near = |x: f32| Prefetch { query: Some(Query::from([x, 1.0])), ..Prefetch::default() };
/// let both = QueryRequest { prefetch: vec![near(1.0), near(9.0)], ..QueryRequest::new(Query::Rrf(Rrf::default())) };
/// assert_eq!(books.query_points(&both)?.len(), 10);
/// # Ok::<(), vectordb_core::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueryRequest {
    /// Queries whose answers are ranked; empty: all points are.
    pub prefetch: Vec<Prefetch>,
    /// What points are ranked by; `None` is the order of ids.
    pub query: Option<Query>,
    /// Which vector, or which payload field for texts; `""` is the unnamed vector.
    pub using: String,
    /// Only points that satisfy this; holds for prefetches as well.
    pub filter: Option<Filter>,
    /// Settings of the search.
    pub params: SearchParams,
    /// The worst score to return: a minimum, or a maximum for plain distances.
    pub score_threshold: Option<f32>,
    /// Most hits.
    pub limit: usize,
    /// Hits to leave out at the front.
    pub offset: usize,
    /// Which payload to return.
    pub with_payload: PayloadSelector,
    /// Which vectors to return.
    pub with_vectors: VectorSelector,
    /// Ids in the query are those of another collection's points.
    pub lookup_from: Option<LookupLocation>,
    /// When to give up.
    #[serde(skip)]
    pub budget: Budget,
}

impl QueryRequest {
    /// The ten best points with their payloads.
    pub fn new(query: impl Into<Option<Query>>) -> Self {
        Self {
            prefetch: Vec::new(),
            query: query.into(),
            using: String::new(),
            filter: None,
            params: SearchParams::default(),
            score_threshold: None,
            limit: 10,
            offset: 0,
            with_payload: PayloadSelector::All,
            with_vectors: VectorSelector::None,
            lookup_from: None,
            budget: Budget::default(),
        }
    }
}

/// Points of another collection that belong to groups: their ids are the values that the groups share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupLookup {
    /// The collection.
    pub collection: String,
    /// Payload to return.
    pub with_payload: PayloadSelector,
    /// Vectors to return.
    pub with_vectors: VectorSelector,
}

/// A query whose hits come in groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupsRequest {
    /// The query; its `limit` is the number of groups, its `offset` must be 0.
    pub query: QueryRequest,
    /// The field whose values name the groups: strings and integers. A point with several values is in several groups.
    pub group_by: PayloadPath,
    /// Most hits of a group.
    pub group_size: usize,
    /// Where the point that a group is about is found.
    pub with_lookup: Option<GroupLookup>,
}

/// A group of hits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointGroup {
    /// The value they share.
    pub id: Value,
    /// Best first.
    pub hits: Vec<ScoredPoint>,
    /// The point that the group is about, when it was asked for and exists.
    pub lookup: Option<Record>,
}

/// How often each value of a field occurs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FacetRequest {
    /// The field: strings, integers and booleans are counted, each once for a point.
    pub key: PayloadPath,
    /// Only points that satisfy this.
    pub filter: Option<Filter>,
    /// Most values.
    pub limit: usize,
    /// Count every point. Otherwise, where the payloads of many points would have to be read because no index knows the field or
    /// the filter, a part of them is, and counts are estimates: within about a tenth for values that a hundredth of the points
    /// have, and rare values may be missing.
    pub exact: bool,
    /// When to give up.
    #[serde(skip)]
    pub budget: Budget,
}

/// A value and how many points have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FacetHit {
    /// The value.
    pub value: Value,
    /// Points that have it.
    pub count: u64,
}

/// The nearest neighbours of a sample among itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MatrixRequest {
    /// Only points that satisfy this.
    pub filter: Option<Filter>,
    /// Points in the sample.
    pub sample: usize,
    /// Neighbours of each.
    pub limit: usize,
    /// Which vector; `""` is the unnamed one.
    pub using: String,
    /// The same seed over the same points gives the same sample.
    pub seed: Option<u64>,
    /// When to give up.
    #[serde(skip)]
    pub budget: Budget,
}

/// A sparse matrix of scores between sampled points.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DistanceMatrix {
    /// The sample, in the order of ids.
    pub ids: Vec<PointId>,
    /// For each of `ids` the positions in `ids` of its nearest and their scores, best first.
    pub rows: Vec<Vec<(usize, f32)>>,
}

impl DistanceMatrix {
    /// The entries as pairs of ids with a score, row by row.
    pub fn pairs(&self) -> impl Iterator<Item = (&PointId, &PointId, f32)> {
        let of = |at: usize| self.ids.get(at);
        self.ids.iter().zip(&self.rows).flat_map(move |(a, row)| row.iter().filter_map(move |&(b, score)| Some((a, of(b)?, score))))
    }
}
