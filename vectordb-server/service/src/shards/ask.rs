//! What a shard is asked, as values, so that it can be asked wherever it lies.

use serde::{Deserialize, Serialize};
use tracing::Span;
use vectordb_core::{
    Collection, CollectionConfig, CollectionInfo, ConfigDiff, CorpusCounts, DistanceMatrix, Explanation, FacetHit, FacetRequest, Filter,
    GroupsRequest, MatrixRequest, MemoryReport, PayloadSelector, PointGroup, PointId, QueryRequest, Record, ScoredPoint, ScrollPage,
    ScrollRequest, Update, UpdateResult, VectorSelector,
};

use super::collection::{Shard, on_each};
use crate::error::{Fault, Result, ServiceError};

/// A question to one shard. Budgets do not travel: who sends it gives the time that is left beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Question {
    /// The best points of a query.
    Query(Box<QueryRequest>),
    /// Points by their ids.
    Retrieve {
        /// The ids.
        ids: Vec<PointId>,
        /// Which payload to return.
        payload: PayloadSelector,
        /// Which vectors to return.
        vectors: VectorSelector,
    },
    /// How many points there are.
    Count {
        /// Only those that satisfy this.
        filter: Option<Filter>,
        /// Or about how many.
        exact: bool,
    },
    /// A page of a walk.
    Scroll(ScrollRequest),
    /// Values of a field and their counts.
    Facet(FacetRequest),
    /// Hits in groups.
    Groups(Box<GroupsRequest>),
    /// Distances among a sample.
    Matrix(MatrixRequest),
    /// State and sizes.
    Info,
    /// Memory by component.
    Memory,
    /// The best points of a query, and how they were found.
    Explain(Box<QueryRequest>),
    /// What a query is weighted by.
    Counts(Box<QueryRequest>),
}

/// How certain a read is of seeing every write that was acknowledged before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Consistency {
    /// Any in-sync replica is asked. One that is cut off from its primary may lag behind for some seconds.
    #[default]
    Usual,
    /// The primary is asked, which answers once every in-sync replica, of which there have to be so many, has told it that it still is
    /// the primary. Reads one after the other then never go back in time (Herlihy & Wing 1990: they are linearizable).
    Confirmed(u32),
}

/// The answer to a [`Question`] of the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Answer {
    /// To `Query`.
    Points(Vec<ScoredPoint>),
    /// To `Retrieve`.
    Records(Vec<Record>),
    /// To `Count`.
    Count(u64),
    /// To `Scroll`.
    Page(ScrollPage),
    /// To `Facet`.
    Facets(Vec<FacetHit>),
    /// To `Groups`.
    Groups(Vec<PointGroup>),
    /// To `Matrix`.
    Matrix(DistanceMatrix),
    /// To `Info`.
    Info(Box<CollectionInfo>),
    /// To `Memory`.
    Memory(Box<MemoryReport>),
    /// To `Explain`.
    Explanation(Box<Explanation>),
    /// To `Counts`.
    Counts(CorpusCounts),
}

impl Question {
    /// Answers from a collection of the engine.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn answer(&self, of: &Collection) -> Result<Answer> {
        Ok(match self {
            Self::Query(request) => Answer::Points(of.query_points(request)?),
            Self::Retrieve { ids, payload, vectors } => Answer::Records(of.retrieve(ids, payload, vectors)?),
            Self::Count { filter, exact } => Answer::Count(of.count(filter.as_ref(), *exact)?),
            Self::Scroll(request) => Answer::Page(of.scroll(request)?),
            Self::Facet(request) => Answer::Facets(of.facet(request)?),
            Self::Groups(request) => Answer::Groups(of.groups(request)?),
            Self::Matrix(request) => Answer::Matrix(of.distance_matrix(request)?),
            Self::Info => Answer::Info(Box::new(of.info()?)),
            Self::Memory => Answer::Memory(Box::new(of.memory()?)),
            Self::Explain(request) => Answer::Explanation(Box::new(of.explain(request, false)?)),
            Self::Counts(request) => Answer::Counts(of.corpus_counts(request)?),
        })
    }

    /// When whoever asks gives up.
    pub fn deadline(&self) -> Option<std::time::Instant> {
        match self {
            Self::Query(request) | Self::Explain(request) | Self::Counts(request) => request.budget.deadline,
            Self::Scroll(request) => request.budget.deadline,
            Self::Facet(request) => request.budget.deadline,
            Self::Groups(request) => request.query.budget.deadline,
            Self::Matrix(request) => request.budget.deadline,
            Self::Retrieve { .. } | Self::Count { .. } | Self::Info | Self::Memory => None,
        }
    }

    /// Sets when to give up, where that can be said.
    pub fn set_deadline(&mut self, deadline: Option<std::time::Instant>) {
        match self {
            Self::Query(request) | Self::Explain(request) | Self::Counts(request) => request.budget.deadline = deadline,
            Self::Scroll(request) => request.budget.deadline = deadline,
            Self::Facet(request) => request.budget.deadline = deadline,
            Self::Groups(request) => request.query.budget.deadline = deadline,
            Self::Matrix(request) => request.budget.deadline = deadline,
            Self::Retrieve { .. } | Self::Count { .. } | Self::Info | Self::Memory => {}
        }
    }
}

/// What came of updates of a shard.
#[derive(Debug, Clone)]
pub enum Written {
    /// They were applied.
    Done(UpdateResult),
    /// Nothing was done, and never will be here: other shards have the points now.
    Moved(Vec<Update>),
}

/// The way to a shard whose replicas lie anywhere in a cluster.
pub trait ShardRoute: std::any::Any + std::fmt::Debug + Send + Sync {
    /// Asks a replica that knows everything acknowledged.
    ///
    /// # Errors
    /// Those of the question, and [`Unavailable`](crate::Fault::Unavailable) when no such replica answers in time.
    fn ask(&self, question: &Question) -> Result<Answer>;

    /// Asks several shards the same, each by its way, of which this is one. Their answers in that order.
    fn ask_each(&self, ways: &[&dyn ShardRoute], question: &Question) -> Vec<Result<Answer>>;

    /// The same way for reads of another consistency, which are given up at some time, also where their questions do not say when.
    fn with(&self, consistency: Consistency, deadline: Option<std::time::Instant>) -> std::sync::Arc<dyn ShardRoute>;

    /// Applies updates in order, all or none; acknowledged by every in-sync replica when it returns. A shard whose points have
    /// moved on to others gives the updates back.
    ///
    /// # Errors
    /// Those of the updates, and [`Unavailable`](crate::Fault::Unavailable); whether it was done is then not known.
    fn update(&self, updates: Vec<Update>) -> Result<Written>;

    /// Changes the configuration.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    fn update_config(&self, diff: &ConfigDiff) -> Result<()>;

    /// The configuration, as the cluster has agreed on it.
    fn config(&self) -> CollectionConfig;

    /// Writes the files of the shard as they are now into a new directory.
    ///
    /// # Errors
    /// Those of the disk, and [`Unavailable`](crate::Fault::Unavailable).
    fn copy_files(&self, target: &std::path::Path) -> Result<()>;

    /// Lets the shard's writes wait and keeps its files as they are, for a copy of several shards at one moment.
    ///
    /// # Errors
    /// Those of the disk, and [`Unavailable`](crate::Fault::Unavailable) when writes that had begun do not end, or the primary changes.
    fn hold(&self) -> Result<Box<dyn HeldShard>>;

    /// The replica on this node, if there is one that knows everything acknowledged.
    fn local(&self) -> Option<Collection>;
}

/// A shard that [stands still](ShardRoute::hold). Its writes go on by themselves after some seconds, and what is not copied is forgotten
/// when this is dropped.
pub trait HeldShard: std::fmt::Debug + Send + Sync {
    /// Lets writes go on.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable) when it cannot be said that they waited until now.
    fn release(&self) -> Result<()>;

    /// Writes the files that were kept into a new directory, once.
    ///
    /// # Errors
    /// As [`ShardRoute::copy_files`].
    fn copy_files(&self, target: &std::path::Path) -> Result<()>;
}

/// The data of a shard: a collection of the engine here, or a way to wherever it is.
#[derive(Debug, Clone)]
pub(crate) enum ShardData {
    Here(Collection),
    Routed(std::sync::Arc<dyn ShardRoute>),
}

/// An answer of another kind than the question.
pub(super) fn strange() -> ServiceError {
    ServiceError::internal("a shard answered something else than it was asked")
}

macro_rules! asked {
    ($self:ident, $question:expr, $answer:path) => {
        match $self.ask(&$question)? {
            $answer(value) => Ok(value),
            _ => Err(strange()),
        }
    };
}

/// Asks each of some shards the same: `ask_each!(shards, "shard count", Question::..., Answer::Count)`.
macro_rules! ask_each {
    ($shards:expr, $operation:expr, $question:expr, $answer:path) => {
        $crate::shards::ask::answers_of($shards, $operation, &$question)?
            .into_iter()
            .map(|answer| match answer {
                $answer(value) => Ok(value),
                _ => Err($crate::shards::ask::strange()),
            })
            .collect::<Result<Vec<_>>>()
    };
}
pub(super) use ask_each;

/// Asks shards the same. Those of a cluster are asked together, so that each node gets one message.
pub(super) fn answers_of(shards: &[&Shard], operation: &'static str, question: &Question) -> Result<Vec<Answer>> {
    let caller = Span::current();
    let ways: Option<Vec<_>> = shards.iter().map(|shard| shard.data.route()).collect();
    let answers = match ways {
        Some(ways) if ways.len() > 1 => {
            let span = tracing::debug_span!(parent: &caller, "shards", operation, shards = ways.len());
            span.in_scope(|| ways[0].ask_each(&ways, question))
        }
        _ => on_each(shards.to_vec(), |shard| shard.step(&caller, operation, |data| data.ask(question))),
    };
    answers.into_iter().collect()
}

impl ShardData {
    fn ask(&self, question: &Question) -> Result<Answer> {
        match self {
            Self::Here(data) => question.answer(data),
            Self::Routed(route) => route.ask(question),
        }
    }

    pub(crate) fn query_points(&self, request: &QueryRequest) -> Result<Vec<ScoredPoint>> {
        match self {
            Self::Here(data) => Ok(data.query_points(request)?),
            Self::Routed(_) => asked!(self, Question::Query(Box::new(request.clone())), Answer::Points),
        }
    }

    pub(crate) fn count(&self, filter: Option<&Filter>, exact: bool) -> Result<u64> {
        match self {
            Self::Here(data) => Ok(data.count(filter, exact)?),
            Self::Routed(_) => asked!(self, Question::Count { filter: filter.cloned(), exact }, Answer::Count),
        }
    }

    pub(crate) fn scroll(&self, request: &ScrollRequest) -> Result<ScrollPage> {
        asked!(self, Question::Scroll(request.clone()), Answer::Page)
    }

    pub(crate) fn facet(&self, request: &FacetRequest) -> Result<Vec<FacetHit>> {
        asked!(self, Question::Facet(request.clone()), Answer::Facets)
    }

    pub(crate) fn groups(&self, request: &GroupsRequest) -> Result<Vec<PointGroup>> {
        asked!(self, Question::Groups(Box::new(request.clone())), Answer::Groups)
    }

    pub(crate) fn distance_matrix(&self, request: &MatrixRequest) -> Result<DistanceMatrix> {
        asked!(self, Question::Matrix(request.clone()), Answer::Matrix)
    }

    pub(crate) fn explain(&self, request: &QueryRequest) -> Result<Explanation> {
        asked!(self, Question::Explain(Box::new(request.clone())), Answer::Explanation).map(|explanation| *explanation)
    }

    pub(crate) fn info(&self) -> Result<CollectionInfo> {
        asked!(self, Question::Info, Answer::Info).map(|info| *info)
    }

    pub(crate) fn memory(&self) -> Result<MemoryReport> {
        asked!(self, Question::Memory, Answer::Memory).map(|memory| *memory)
    }

    pub(crate) fn apply(&self, updates: Vec<Update>) -> Result<Written> {
        match self {
            Self::Here(data) => Ok(Written::Done(data.apply(updates)?)),
            Self::Routed(route) => route.update(updates),
        }
    }

    pub(crate) fn update_config(&self, diff: &ConfigDiff) -> Result<()> {
        match self {
            Self::Here(data) => Ok(data.update_config(diff)?),
            Self::Routed(route) => route.update_config(diff),
        }
    }

    pub(crate) fn config(&self) -> CollectionConfig {
        match self {
            Self::Here(data) => data.config(),
            Self::Routed(route) => route.config(),
        }
    }

    pub(crate) fn copy_files(&self, target: &std::path::Path) -> Result<()> {
        match self {
            Self::Here(data) => Ok(data.snapshot(target).map(drop)?),
            Self::Routed(route) => route.copy_files(target),
        }
    }

    /// The same data for reads of another consistency, which are given up at some time. What is here and nowhere else has one
    /// consistency alone, and nobody to wait for.
    pub(crate) fn with(&self, consistency: Consistency, deadline: Option<std::time::Instant>) -> Self {
        match self {
            Self::Here(data) => Self::Here(data.clone()),
            Self::Routed(route) => Self::Routed(route.with(consistency, deadline)),
        }
    }

    /// The way to the shard, unless it is here and nowhere else.
    pub(crate) fn route(&self) -> Option<&dyn ShardRoute> {
        match self {
            Self::Here(_) => None,
            Self::Routed(route) => Some(&**route),
        }
    }

    /// Whether this goes a certain way.
    pub(crate) fn goes(&self, way: &std::sync::Arc<dyn ShardRoute>) -> bool {
        matches!(self, Self::Routed(route) if std::sync::Arc::ptr_eq(route, way))
    }

    /// The collection of the engine on this node.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable) when no replica lies here.
    pub(crate) fn local(&self) -> Result<Collection> {
        let local = match self {
            Self::Here(data) => Some(data.clone()),
            Self::Routed(route) => route.local(),
        };
        local.ok_or_else(|| ServiceError::new(Fault::Unavailable, "this node has no replica of the shard"))
    }
}
