//! An embedded vector database.
#![deny(unsafe_code)]

mod collection;
mod database;
mod distance;
mod error;
mod filter;
mod graph;
mod model;
mod payload;
#[cfg(feature = "linalg")]
mod quantization;
mod query;
mod segment;
mod storage;
mod vectors;
mod wal;

pub use collection::{CollectionInfo, FieldInfo, JobKind, JobProgress, SegmentInfo, SegmentKind, Status, UpdateResult};
pub use database::{Background, Collection, CollectionBuilder, Database, Options, Search};
pub use error::{Error, ErrorKind, Result};
pub use model::config::{
    CollectionConfig, ConfigDiff, Datatype, Distance, Durability, FieldPlacement, FieldSchema, HnswConfig, HnswConfigDiff,
    IntegerIndexParams, KeywordIndexParams, Memory, MultiVectorComparator, MultiVectorConfig, OptimizersConfig, QuantizationConfig,
    ShardingMethod, SparseVectorParams, Stopwords, TextIndexParams, Tokenizer, VectorDiff, VectorParams, WalConfig,
};
pub use model::filter::{Condition, FieldTest, Filter, MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH, MatchSet, MatchValue, MinShould, Range};
pub use model::filter_build::{Field, field, has_id, has_vector};
pub use model::payload::{DateTime, GeoPoint, PathStep, Payload, PayloadPath, Value};
pub use model::point::{Lsn, MAX_STRING_ID_BYTES, PayloadSelector, Point, PointId, Record, ScoredPoint, VectorSelector};
pub use model::query::{
    Budget, MAX_RESULTS, OrderBy, OrderValue, ScrollPage, ScrollRequest, SearchParams, SearchRequest, Strategy, Target as SearchTarget,
};
pub use model::update::{Target, Update, UpsertMode};
pub use model::vector::{MAX_DIMENSIONS, MAX_VECTOR_NAME_BYTES, UNNAMED, Vector, Vectors};
pub use storage::fs::{File, Fs, FsRef, MemFs, StdFs};
pub use storage::mmap::Mmap;
