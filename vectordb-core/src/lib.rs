//! An embedded vector database: open a directory, store points with vectors and JSON payloads, search them by similarity and
//! by filter, in your own process. No async runtime, no network.
//!
//! ```
//! use vectordb_core::{Database, FieldSchema, Point, Result, field};
//!
//! # fn main() -> Result<()> {
//! # let dir = tempfile::tempdir().map_err(|error| vectordb_core::Error::io("tmp", error))?;
//! # let path = dir.path().join("books.vdb");
//! let db = Database::open(path)?;
//! let books = db.collection("books").dim(3).open_or_create()?;
//! books.create_index("year", FieldSchema::integer())?;
//! books.upsert([
//!     Point::new(1, [0.9, 0.1, 0.2]).with("title", "Dune").with("year", 1965),
//!     Point::new(2, [0.8, 0.3, 0.1]).with("title", "Solaris").with("year", 1961),
//! ])?;
//! let hits = books.search([0.9, 0.2, 0.1]).filter(field("year").ge(1962)).limit(2).run()?;
//! assert_eq!(hits[0].id, 1.into());
//! db.close()
//! # }
//! ```
//!
//! | To | use |
//! |---|---|
//! | open a directory, for writing or beside a writer | [`Database::open`], [`Database::open_read_only`], [`Options`] |
//! | make a collection | [`Database::collection`], [`CollectionConfig`] |
//! | write | [`Collection::upsert`], [`Collection::apply`] with [`Update`]s, in atomic batches |
//! | search | [`Collection::search`], [`Collection::query_batch`] |
//! | query in other ways | [`Collection::query_points`], [`QueryRequest`], [`Collection::groups`], [`Collection::explain`] |
//! | rank texts | [`FieldSchema::ranked_text`], [`TextQuery`], [`Bm25`] |
//! | filter | [`field`], [`Filter::parse`], [`Filter::from_json`] |
//! | read | [`Collection::get`], [`Collection::scroll`], [`Collection::count`] |
//! | watch and tidy | [`Collection::info`], [`Collection::optimize`], [`Collection::verify`] |
//! | plan and watch memory | [`sizing::estimate`], [`Database::memory`], [`Options::memory_limit`] |
//! | copy | [`Collection::snapshot`], [`Database::restore`] |
//!
//! Search is approximate by an HNSW graph (Malkov & Yashunin 2018) where there are enough rows, and exact below that and on
//! request. Every fallible call returns [`Error`]; [`Error::kind`] says what to do. Nothing panics on bad input.
//!
//! Features: `linalg` (default) uses `faer` to lay near rows side by side in large segments; without it everything works, with
//! rows in the order in which they came.
#![doc = ""]
#![doc = include_str!("../ARCHITECTURE.md")]
#![deny(unsafe_code)]

mod collection;
mod database;
mod distance;
mod error;
mod filter;
mod graph;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod model;
mod payload;
mod quantization;
mod query;
mod segment;
pub mod sizing;
mod sparse;
mod storage;
mod vectors;
mod wal;

pub use collection::{
    CollectionInfo, DeferredJob, FieldInfo, JobKind, JobProgress, LogFrame, LogPosition, SegmentInfo, SegmentKind, Staged, Status,
    UpdateResult,
};
pub use database::{Background, Collection, CollectionBuilder, Database, Options, Search};
pub use error::{Error, ErrorKind, Result};
pub use model::config::{
    CollectionConfig, ConfigDiff, Datatype, Distance, Durability, FieldPlacement, FieldSchema, HnswConfig, HnswConfigDiff,
    IntegerIndexParams, KeywordIndexParams, Memory, Modifier, MultiVectorComparator, MultiVectorConfig, OptimizersConfig, ShardingMethod,
    SparseIndexParams, SparseVectorParams, Stopwords, TextIndexParams, TextScoring, TextScoringParams, TextScoringType, Tokenizer,
    VectorDiff, VectorParams, WalConfig,
};
pub use model::corpus::CorpusCounts;
pub use model::explain::{Explanation, SearchPlan, SegmentPlan, Way, Work};
pub use model::filter::{Condition, FieldTest, Filter, MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH, MatchSet, MatchValue, MinShould, Range};
pub use model::filter_build::{Field, field, has_id, has_vector};
pub use model::formula::{DecayCurve, Expression, Formula};
pub use model::memory::{ComponentMemory, DatabaseMemory, MemoryLimit, MemoryReport, ProcessMemory};
pub use model::payload::{DateTime, GeoPoint, PathStep, Payload, PayloadPath, Value};
pub use model::point::{Lsn, MAX_STRING_ID_BYTES, PayloadSelector, Point, PointId, Record, ScoredPoint, VectorSelector};
pub use model::quantization::{
    BinaryEncoding, BinaryQuantization, Compression, ProductQuantization, QuantizationConfig, QuantizationParams, QueryEncoding,
    ScalarQuantization, ScalarType, TurboBits, TurboQuantization,
};
pub use model::query::{
    Budget, MAX_RESULTS, MAX_SAMPLED, OrderBy, OrderValue, ScrollPage, ScrollRequest, SearchParams, SearchRequest, Strategy,
    Target as SearchTarget,
};
pub use model::ranking::{
    ContextPair, DistanceMatrix, FacetHit, FacetRequest, FeedbackItem, GroupLookup, GroupsRequest, LookupLocation, MAX_PREFETCH_DEPTH,
    MatrixRequest, Mmr, NaiveFeedback, PointGroup, Prefetch, Query, QueryRequest, RecommendStrategy, Rrf,
};
pub use model::text::{Bm25Config, Bm25Params, Document, TextQuery, TextQueryScoring};
pub use model::update::{Target, Update, UpsertMode};
pub use model::vector::{MAX_DIMENSIONS, MAX_MULTIVECTOR_ROWS, MAX_VECTOR_NAME_BYTES, MultiVector, SparseVector, UNNAMED, Vector, Vectors};
pub use payload::bm25::Bm25;
pub use query::fuse;
pub use storage::clock::Clock;
pub use storage::fs::{File, Fs, FsRef, MemFs, StdFs};
pub use storage::mmap::Mmap;
pub use wal::{Journal, JournalRecord};
