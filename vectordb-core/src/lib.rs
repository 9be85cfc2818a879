//! An embedded vector database.
#![deny(unsafe_code)]

mod distance;
mod error;
mod graph;
mod model;
mod storage;
mod vectors;

pub use error::{Error, ErrorKind, Result};
pub use model::config::{
    CollectionConfig, ConfigDiff, Datatype, Distance, Durability, FieldPlacement, FieldSchema, HnswConfig, HnswConfigDiff,
    IntegerIndexParams, KeywordIndexParams, Memory, MultiVectorComparator, MultiVectorConfig, OptimizersConfig, QuantizationConfig,
    ShardingMethod, SparseVectorParams, Stopwords, TextIndexParams, Tokenizer, VectorDiff, VectorParams, WalConfig,
};
pub use model::filter::{Condition, FieldTest, Filter, MatchSet, MatchValue, MinShould, Range};
pub use model::payload::{DateTime, GeoPoint, PathStep, Payload, PayloadPath, Value};
pub use model::point::{Lsn, PayloadSelector, Point, PointId, Record, ScoredPoint, VectorSelector};
pub use model::query::{
    Budget, OrderBy, OrderValue, ScrollPage, ScrollRequest, SearchParams, SearchRequest, Strategy, Target as SearchTarget,
};
pub use model::update::{Target, Update, UpsertMode};
pub use model::vector::{UNNAMED, Vector, Vectors};
pub use storage::fs::{File, Fs, FsRef};
pub use storage::mmap::Mmap;
