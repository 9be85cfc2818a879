//! What a collection is made of. The field names are those of the Qdrant API, so that a wire adapter can echo them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::payload::{Payload, PayloadPath};
use super::quantization::QuantizationConfig;
use super::vector::{MAX_DIMENSIONS, MAX_VECTOR_NAME_BYTES};
use crate::error::{Error, Result};

/// How closeness is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Distance {
    /// Cosine similarity; vectors are stored normalised to length 1. Larger is closer.
    #[default]
    Cosine,
    /// Euclidean distance. Smaller is closer.
    Euclid,
    /// Dot product. Larger is closer.
    Dot,
    /// Sum of absolute differences. Smaller is closer.
    Manhattan,
}

impl Distance {
    /// Whether the user's number grows with closeness.
    pub fn larger_is_closer(self) -> bool {
        matches!(self, Self::Cosine | Self::Dot)
    }
}

/// How the numbers of a vector are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datatype {
    /// 4 bytes a dimension.
    #[default]
    Float32,
    /// 2 bytes a dimension, IEEE 754 half precision.
    Float16,
    /// 1 byte a dimension, integers 0 to 255; fractions are cut off.
    Uint8,
}

impl Datatype {
    /// Bytes per dimension.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 => 2,
            Self::Uint8 => 1,
        }
    }

    /// Whether a finite value fits.
    pub fn holds(self, value: f32) -> bool {
        match self {
            Self::Float32 => true,
            Self::Float16 => value.abs() <= 65504.0,
            Self::Uint8 => (0.0..256.0).contains(&value),
        }
    }
}

/// Where data lives: read from disk when needed, kept by the page cache, or pinned in memory.
///
/// Graphs and codes are pinned if nothing is said; vectors are then mapped and not read ahead. What does not fit into the
/// [`MemoryLimit`](crate::MemoryLimit) is mapped instead of pinned. Payload indexes are held in memory whatever is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// On disk, not read ahead; pages that a job or a scan of everything has read are given back.
    Cold,
    /// In the page cache as memory allows, and read into it when the segment is opened.
    Cached,
    /// In memory of our own, in huge pages where the system has them.
    Pinned,
}

/// The older way to say where something lives.
fn placed(on_disk: bool) -> Memory {
    if on_disk { Memory::Cold } else { Memory::Cached }
}

/// Similarity of two bags of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MultiVectorComparator {
    /// Sum over the query's vectors of the best similarity among the point's.
    MaxSim,
}

/// Configuration of multivectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiVectorConfig {
    /// How two multivectors are compared.
    pub comparator: MultiVectorComparator,
}

/// A dense vector of the collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorParams {
    /// Dimensions, 1 to 65,536.
    pub size: usize,
    /// How closeness is measured.
    pub distance: Distance,
    /// How the numbers are stored.
    #[serde(default)]
    pub datatype: Datatype,
    /// Graph settings that differ from the collection's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hnsw_config: Option<HnswConfigDiff>,
    /// Quantization that differs from the collection's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization_config: Option<QuantizationConfig>,
    /// Older form of `memory`: true is [`Memory::Cold`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<bool>,
    /// Where the original vectors live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Set for multivectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multivector_config: Option<MultiVectorConfig>,
}

impl VectorParams {
    /// A float32 vector.
    pub fn new(size: usize, distance: Distance) -> Self {
        Self {
            size,
            distance,
            datatype: Datatype::default(),
            hnsw_config: None,
            quantization_config: None,
            on_disk: None,
            memory: None,
            multivector_config: None,
        }
    }

    /// Sets the element type.
    #[must_use]
    pub fn datatype(mut self, datatype: Datatype) -> Self {
        self.datatype = datatype;
        self
    }

    /// Bytes of one stored vector.
    pub fn stride(&self) -> usize {
        self.size * self.datatype.bytes()
    }

    /// Where the vectors live, as far as the configuration says: `memory`, or else `on_disk`, of which false is
    /// [`Memory::Cached`].
    ///
    /// ```
    /// use vectordb_core::{Distance, Memory, VectorParams};
    /// let mut params = VectorParams::new(4, Distance::Dot);
    /// assert_eq!(params.placement(), None);
    /// params.on_disk = Some(true);
    /// assert_eq!(params.placement(), Some(Memory::Cold));
    /// params.memory = Some(Memory::Pinned);
    /// assert_eq!(params.placement(), Some(Memory::Pinned));
    /// ```
    pub fn placement(&self) -> Option<Memory> {
        self.memory.or(self.on_disk.map(placed))
    }

    fn validate(&self, name: &str) -> Result<()> {
        let field = |leaf: &str| if name.is_empty() { format!("vectors.{leaf}") } else { format!("vectors.{name}.{leaf}") };
        if self.size == 0 || self.size > MAX_DIMENSIONS {
            return Err(Error::config(field("size"), format!("value {} invalid, must be from 1 to {MAX_DIMENSIONS}", self.size)));
        }
        if let Some(quantization) = &self.quantization_config {
            quantization.validate(&field("quantization_config"))?;
        }
        self.hnsw_config.as_ref().map_or(Ok(()), |diff| HnswConfig::default().merged(diff).validate(&field("hnsw_config")))
    }
}

/// What a value of a sparse query is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modifier {
    /// Nothing.
    #[default]
    None,
    /// How rare its dimension is among the points that have the vector: `ln(1 + (n − df + 0.5) / (df + 0.5))`.
    Idf,
}

/// Settings of a sparse index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SparseIndexParams {
    /// Fewer matching points than this are scored one by one, without the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_scan_threshold: Option<usize>,
    /// Older form of `memory`: true is [`Memory::Cold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<bool>,
    /// Where the index lives; pinned if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Accepted for compatibility; the index holds values as float32, so that its scores are exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datatype: Option<Datatype>,
}

/// A sparse vector of the collection. Its similarity is the dot product.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SparseVectorParams {
    /// Index settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<SparseIndexParams>,
    /// How values of queries are weighted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modifier: Option<Modifier>,
}

impl SparseVectorParams {
    /// A vector whose queries are weighted by how rare their dimensions are, as BM25 needs it.
    pub fn idf() -> Self {
        Self { modifier: Some(Modifier::Idf), ..Self::default() }
    }

    /// Where the index lives: `memory`, or else `on_disk`, or else pinned.
    pub fn placement(&self) -> Memory {
        let index = self.index.as_ref();
        let older = |index: &SparseIndexParams| (index.on_disk == Some(true)).then_some(Memory::Cold);
        index.and_then(|index| index.memory.or(older(index))).unwrap_or(Memory::Pinned)
    }
}

/// A vector's parameters by its kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum VectorKind<'a> {
    Dense(&'a VectorParams),
    Multi(&'a VectorParams),
    Sparse(&'a SparseVectorParams),
}

impl VectorKind<'_> {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Dense(_) => "a dense vector",
            Self::Multi(_) => "a multivector",
            Self::Sparse(_) => "a sparse vector",
        }
    }
}

/// Settings of the HNSW graph (Malkov & Yashunin 2018).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HnswConfig {
    /// Links per point on the upper levels; twice as many on the lowest. 0 builds no graph.
    pub m: usize,
    /// Size of the candidate list while building, at least 4.
    pub ef_construct: usize,
    /// Segments whose vectors take less than this many kilobytes are scanned instead.
    pub full_scan_threshold: usize,
    /// Threads that build a graph; 0 chooses by itself.
    pub max_indexing_threads: usize,
    /// Older form of `memory`: true is [`Memory::Cold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<bool>,
    /// With `m` = 0: links per point of the graphs that large tenants get instead of one over all. A tenant is a value of the
    /// keyword or UUID index that `is_tenant`, or else of the first one; it is large from `full_scan_threshold` on. With a graph
    /// over all this is of no use, as filters keep their recall anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_m: Option<usize>,
    /// Keep vectors beside the links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline_storage: Option<bool>,
    /// Where the graph lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

impl Default for HnswConfig {
    fn default() -> Self {
        Self {
            m: 16,
            ef_construct: 100,
            full_scan_threshold: 10_000,
            max_indexing_threads: 0,
            on_disk: None,
            payload_m: None,
            inline_storage: None,
            memory: None,
        }
    }
}

impl HnswConfig {
    /// These settings with the given ones changed.
    #[must_use]
    pub fn merged(&self, diff: &HnswConfigDiff) -> Self {
        Self {
            m: diff.m.unwrap_or(self.m),
            ef_construct: diff.ef_construct.unwrap_or(self.ef_construct),
            full_scan_threshold: diff.full_scan_threshold.unwrap_or(self.full_scan_threshold),
            max_indexing_threads: diff.max_indexing_threads.unwrap_or(self.max_indexing_threads),
            on_disk: diff.on_disk.or(self.on_disk),
            payload_m: diff.payload_m.or(self.payload_m),
            inline_storage: diff.inline_storage.or(self.inline_storage),
            memory: diff.memory.or(self.memory),
        }
    }

    fn validate(&self, field: &str) -> Result<()> {
        if self.ef_construct < 4 || self.ef_construct > 100_000 {
            return Err(Error::config(
                format!("{field}.ef_construct"),
                format!("value {} invalid, must be from 4 to 100000", self.ef_construct),
            ));
        }
        for (name, links) in [("m", self.m), ("payload_m", self.payload_m.unwrap_or(0))] {
            if links > 10_000 {
                return Err(Error::config(format!("{field}.{name}"), format!("value {links} invalid, must be at most 10000")));
            }
        }
        Ok(())
    }
}

/// A change of [`HnswConfig`]: only the fields given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HnswConfigDiff {
    /// See [`HnswConfig::m`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub m: Option<usize>,
    /// See [`HnswConfig::ef_construct`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ef_construct: Option<usize>,
    /// See [`HnswConfig::full_scan_threshold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_scan_threshold: Option<usize>,
    /// See [`HnswConfig::max_indexing_threads`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_indexing_threads: Option<usize>,
    /// See [`HnswConfig::on_disk`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<bool>,
    /// See [`HnswConfig::payload_m`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_m: Option<usize>,
    /// See [`HnswConfig::inline_storage`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline_storage: Option<bool>,
    /// See [`HnswConfig::memory`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// When segments are sealed, merged and cleaned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OptimizersConfig {
    /// Share of deleted points from which a segment is rewritten.
    pub deleted_threshold: f64,
    /// Fewest points a segment must have to be rewritten for its deletes, at least 100.
    pub vacuum_min_vector_number: usize,
    /// Wished number of segments; 0 chooses by itself.
    pub default_segment_number: usize,
    /// Largest segment, in kilobytes of vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_segment_size: Option<usize>,
    /// Accepted for compatibility; sealed vectors are always memory-mapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memmap_threshold: Option<usize>,
    /// Kilobytes of vectors from which a segment gets a graph; 0 never builds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexing_threshold: Option<usize>,
    /// Accepted for compatibility; durability is set by [`CollectionConfig::durability`].
    pub flush_interval_sec: u64,
    /// Threads for background work: a number, or `"auto"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_optimization_threads: Option<serde_json::Value>,
    /// Accepted for compatibility; new points are always searchable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prevent_unoptimized: Option<bool>,
}

impl Default for OptimizersConfig {
    fn default() -> Self {
        Self {
            deleted_threshold: 0.2,
            vacuum_min_vector_number: 1000,
            default_segment_number: 0,
            max_segment_size: None,
            memmap_threshold: None,
            indexing_threshold: Some(10_000),
            flush_interval_sec: 5,
            max_optimization_threads: None,
            prevent_unoptimized: None,
        }
    }
}

impl OptimizersConfig {
    fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.deleted_threshold) {
            return Err(Error::config("optimizers_config.deleted_threshold", "must be from 0 to 1"));
        }
        if self.vacuum_min_vector_number < 100 {
            return Err(Error::config(
                "optimizers_config.vacuum_min_vector_number",
                format!("value {} invalid, must be at least 100", self.vacuum_min_vector_number),
            ));
        }
        Ok(())
    }
}

/// Settings of the write-ahead log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WalConfig {
    /// Megabytes after which a new log file is begun, at least 1.
    pub wal_capacity_mb: usize,
    /// Accepted for compatibility.
    pub wal_segments_ahead: usize,
    /// Closed log files kept although no longer needed.
    pub wal_retain_closed: usize,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self { wal_capacity_mb: 32, wal_segments_ahead: 0, wal_retain_closed: 1 }
    }
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it is on stable storage: survives power loss.
    #[default]
    Sync,
    /// When the operating system has it: survives the process, not power loss.
    Os,
    /// When it is in the process's memory: may be lost with the process.
    None,
}

/// How points are spread over shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardingMethod {
    /// By a hash of the id.
    Auto,
    /// By a key the user gives.
    Custom,
}

/// The configuration of a collection.
///
/// What one engine does not use itself (shards, replicas, strict mode) is kept and given back for the layers above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollectionConfig {
    /// Dense vectors by name; `""` is the unnamed one.
    pub vectors: BTreeMap<String, VectorParams>,
    /// Sparse vectors by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sparse_vectors: BTreeMap<String, SparseVectorParams>,
    /// Shards of the collection.
    pub shard_number: u32,
    /// How points are spread over shards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharding_method: Option<ShardingMethod>,
    /// Copies of each shard.
    pub replication_factor: u32,
    /// Copies that must take a write.
    pub write_consistency_factor: u32,
    /// Copies asked in addition by a read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_fan_out_factor: Option<u32>,
    /// Milliseconds before the additional copies are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_fan_out_delay_ms: Option<u64>,
    /// Older form of `payload_memory`.
    pub on_disk_payload: bool,
    /// Where payloads live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_memory: Option<Memory>,
    /// Graph settings.
    pub hnsw_config: HnswConfig,
    /// Maintenance settings.
    pub optimizers_config: OptimizersConfig,
    /// Log settings.
    pub wal_config: WalConfig,
    /// Compression of vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization_config: Option<QuantizationConfig>,
    /// Limits for the server's strict mode, kept as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_mode_config: Option<serde_json::Value>,
    /// Free metadata.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub metadata: Payload,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// A payload field with the moment at which a point expires. Expired points are in no answer, and are deleted by the next
    /// maintenance; points without the field live for ever. The field gets a datetime index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_field: Option<String>,
    /// Payload indexes by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub payload_schema: BTreeMap<String, FieldSchema>,
}

impl Default for CollectionConfig {
    fn default() -> Self {
        Self {
            vectors: BTreeMap::new(),
            sparse_vectors: BTreeMap::new(),
            shard_number: 1,
            sharding_method: None,
            replication_factor: 1,
            write_consistency_factor: 1,
            read_fan_out_factor: None,
            read_fan_out_delay_ms: None,
            on_disk_payload: true,
            payload_memory: None,
            hnsw_config: HnswConfig::default(),
            optimizers_config: OptimizersConfig::default(),
            wal_config: WalConfig::default(),
            quantization_config: None,
            strict_mode_config: None,
            metadata: Payload::new(),
            durability: Durability::default(),
            ttl_field: None,
            payload_schema: BTreeMap::new(),
        }
    }
}

impl CollectionConfig {
    /// A collection with one unnamed vector.
    pub fn unnamed(size: usize, distance: Distance) -> Self {
        Self { vectors: BTreeMap::from([(String::new(), VectorParams::new(size, distance))]), ..Self::default() }
    }

    /// The parameters of a dense vector or a multivector.
    ///
    /// # Errors
    /// [`Error::VectorNotFound`].
    pub fn vector(&self, name: &str) -> Result<&VectorParams> {
        self.vectors.get(name).ok_or_else(|| Error::VectorNotFound { name: name.into() })
    }

    /// The configuration with the indexes that its own settings need.
    #[must_use]
    pub(crate) fn completed(mut self) -> Self {
        if let Some(field) = &self.ttl_field {
            self.payload_schema.entry(field.clone()).or_insert_with(FieldSchema::datetime);
        }
        self
    }

    /// The parameters of a vector of any kind.
    ///
    /// # Errors
    /// [`Error::VectorNotFound`].
    pub(crate) fn kind_of(&self, name: &str) -> Result<VectorKind<'_>> {
        match (self.vectors.get(name), self.sparse_vectors.get(name)) {
            (Some(params), _) if params.multivector_config.is_some() => Ok(VectorKind::Multi(params)),
            (Some(params), _) => Ok(VectorKind::Dense(params)),
            (None, Some(params)) => Ok(VectorKind::Sparse(params)),
            (None, None) => Err(Error::VectorNotFound { name: name.into() }),
        }
    }

    /// Whether there is a vector of this name, of any kind.
    pub fn has_vector(&self, name: &str) -> bool {
        self.vectors.contains_key(name) || self.sparse_vectors.contains_key(name)
    }

    /// Names of the vectors of all kinds.
    pub(crate) fn vector_names(&self) -> impl Iterator<Item = &String> {
        self.vectors.keys().chain(self.sparse_vectors.keys())
    }

    /// Graph settings of a vector: the collection's with the vector's own changes.
    pub fn hnsw_of(&self, params: &VectorParams) -> HnswConfig {
        params.hnsw_config.as_ref().map_or_else(|| self.hnsw_config.clone(), |diff| self.hnsw_config.merged(diff))
    }

    /// Where payloads live: `payload_memory`, or else `on_disk_payload`, of which false is [`Memory::Cached`].
    ///
    /// ```
    /// use vectordb_core::{CollectionConfig, Memory};
    /// let config = CollectionConfig { on_disk_payload: false, ..CollectionConfig::default() };
    /// assert_eq!(config.payload_placement(), Memory::Cached);
    /// ```
    pub fn payload_placement(&self) -> Memory {
        self.payload_memory.unwrap_or(placed(self.on_disk_payload))
    }

    /// Quantization of a vector, if any is configured.
    pub fn quantization_of<'a>(&'a self, params: &'a VectorParams) -> Option<&'a QuantizationConfig> {
        params.quantization_config.as_ref().or(self.quantization_config.as_ref())
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the first bad field; [`Error::Unsupported`] for parts of the model this version lacks.
    pub fn validate(&self) -> Result<()> {
        for (name, params) in &self.vectors {
            check_vector_name(name)?;
            params.validate(name)?;
        }
        for name in self.sparse_vectors.keys() {
            check_vector_name(name)?;
            if self.vectors.contains_key(name) {
                return Err(Error::config(format!("sparse_vectors.{name}"), "a dense vector has the same name"));
            }
        }
        for (field, value) in [
            ("shard_number", self.shard_number),
            ("replication_factor", self.replication_factor),
            ("write_consistency_factor", self.write_consistency_factor),
        ] {
            if value == 0 {
                return Err(Error::config(field, "must be at least 1"));
            }
        }
        if let Some(field) = &self.ttl_field {
            let indexed = self.payload_schema.get(field).is_some_and(|schema| matches!(schema, FieldSchema::Datetime(_)));
            PayloadPath::parse(field)?;
            if !indexed {
                return Err(Error::config("ttl_field", format!("`{field}` has no datetime index")));
            }
        }
        if self.wal_config.wal_capacity_mb == 0 {
            return Err(Error::config("wal_config.wal_capacity_mb", "must be at least 1"));
        }
        self.hnsw_config.validate("hnsw_config")?;
        if let Some(quantization) = &self.quantization_config {
            quantization.validate("quantization_config")?;
        }
        self.optimizers_config.validate()
    }
}

/// Checks a vector's name.
pub(crate) fn check_vector_name(name: &str) -> Result<()> {
    if name.len() > MAX_VECTOR_NAME_BYTES {
        let value = name.chars().take(40).collect();
        return Err(Error::InvalidName { what: "vector name", value, reason: "a vector name has at most 200 bytes" });
    }
    Ok(())
}

/// A change of a live collection: only the fields given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigDiff {
    /// Changes of vectors by name.
    pub vectors: BTreeMap<String, VectorDiff>,
    /// Changes of sparse vectors by name; what is given replaces what was.
    pub sparse_vectors: BTreeMap<String, SparseVectorParams>,
    /// Changes of the graph's settings; graphs are rebuilt in the background when they change shape.
    pub hnsw_config: Option<HnswConfigDiff>,
    /// New maintenance settings.
    pub optimizers_config: Option<OptimizersConfig>,
    /// New compression: `None` leaves it, `Some(None)` removes it.
    pub quantization_config: Option<Option<QuantizationConfig>>,
    /// Number of copies.
    pub replication_factor: Option<u32>,
    /// Copies that must take a write.
    pub write_consistency_factor: Option<u32>,
    /// Copies asked in addition by a read.
    pub read_fan_out_factor: Option<u32>,
    /// Milliseconds before the additional copies are asked.
    pub read_fan_out_delay_ms: Option<u64>,
    /// Whether payloads stay on disk.
    pub on_disk_payload: Option<bool>,
    /// Strict mode limits.
    pub strict_mode_config: Option<serde_json::Value>,
    /// Metadata to merge; a null removes its key.
    pub metadata: Payload,
    /// When a write is acknowledged.
    pub durability: Option<Durability>,
    /// The field with the moment at which a point expires: `None` leaves it, `Some(None)` lets all points live for ever.
    pub ttl_field: Option<Option<String>>,
}

/// A change of one vector's settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VectorDiff {
    /// Graph settings.
    pub hnsw_config: Option<HnswConfigDiff>,
    /// Compression: `None` leaves it, `Some(None)` removes it.
    pub quantization_config: Option<Option<QuantizationConfig>>,
    /// Placement.
    pub on_disk: Option<bool>,
    /// Placement.
    pub memory: Option<Memory>,
}

impl ConfigDiff {
    /// The configuration after this change.
    ///
    /// # Errors
    /// [`Error::VectorNotFound`] for an unknown vector, and whatever [`CollectionConfig::validate`] finds.
    pub fn applied_to(&self, config: &CollectionConfig) -> Result<CollectionConfig> {
        let mut new = config.clone();
        for (name, diff) in &self.vectors {
            let params = new.vectors.get_mut(name).ok_or_else(|| Error::VectorNotFound { name: name.clone() })?;
            if let Some(hnsw) = &diff.hnsw_config {
                params.hnsw_config = Some(merge_diffs(params.hnsw_config.take().unwrap_or_default(), hnsw));
            }
            if let Some(quantization) = &diff.quantization_config {
                params.quantization_config = quantization.clone();
            }
            params.on_disk = diff.on_disk.or(params.on_disk);
            params.memory = diff.memory.or(params.memory);
        }
        for (name, diff) in &self.sparse_vectors {
            let params = new.sparse_vectors.get_mut(name).ok_or_else(|| Error::VectorNotFound { name: name.clone() })?;
            params.index = diff.index.clone().or(params.index.take());
            params.modifier = diff.modifier.or(params.modifier);
        }
        if let Some(diff) = &self.hnsw_config {
            new.hnsw_config = new.hnsw_config.merged(diff);
        }
        if let Some(optimizers) = &self.optimizers_config {
            new.optimizers_config = optimizers.clone();
        }
        if let Some(quantization) = &self.quantization_config {
            new.quantization_config = quantization.clone();
        }
        new.replication_factor = self.replication_factor.unwrap_or(new.replication_factor);
        new.write_consistency_factor = self.write_consistency_factor.unwrap_or(new.write_consistency_factor);
        new.read_fan_out_factor = self.read_fan_out_factor.or(new.read_fan_out_factor);
        new.read_fan_out_delay_ms = self.read_fan_out_delay_ms.or(new.read_fan_out_delay_ms);
        new.on_disk_payload = self.on_disk_payload.unwrap_or(new.on_disk_payload);
        new.durability = self.durability.unwrap_or(new.durability);
        if self.strict_mode_config.is_some() {
            new.strict_mode_config.clone_from(&self.strict_mode_config);
        }
        for (key, value) in &self.metadata {
            if value.is_null() {
                new.metadata.remove(key);
            } else {
                new.metadata.insert(key.clone(), value.clone());
            }
        }
        if let Some(field) = &self.ttl_field {
            new.ttl_field.clone_from(field);
        }
        let new = new.completed();
        new.validate()?;
        Ok(new)
    }
}

fn merge_diffs(old: HnswConfigDiff, new: &HnswConfigDiff) -> HnswConfigDiff {
    HnswConfigDiff {
        m: new.m.or(old.m),
        ef_construct: new.ef_construct.or(old.ef_construct),
        full_scan_threshold: new.full_scan_threshold.or(old.full_scan_threshold),
        max_indexing_threads: new.max_indexing_threads.or(old.max_indexing_threads),
        on_disk: new.on_disk.or(old.on_disk),
        payload_m: new.payload_m.or(old.payload_m),
        inline_storage: new.inline_storage.or(old.inline_storage),
        memory: new.memory.or(old.memory),
    }
}

/// What a payload index holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum FieldSchema {
    /// Strings, for equality and prefixes.
    Keyword(KeywordIndexParams),
    /// Integers, for equality and ranges.
    Integer(IntegerIndexParams),
    /// Numbers, for ranges.
    Float(FieldPlacement),
    /// Booleans.
    Bool(FieldPlacement),
    /// UUIDs in text form, for equality.
    Uuid(KeywordIndexParams),
    /// Moments in RFC 3339, for ranges.
    Datetime(IntegerIndexParams),
    /// Places `{"lon": …, "lat": …}`.
    Geo(FieldPlacement),
    /// Words of texts.
    Text(TextIndexParams),
}

impl FieldSchema {
    /// A keyword index with default settings.
    pub fn keyword() -> Self {
        Self::Keyword(KeywordIndexParams::default())
    }
    /// An integer index with default settings.
    pub fn integer() -> Self {
        Self::Integer(IntegerIndexParams::default())
    }
    /// A float index with default settings.
    pub fn float() -> Self {
        Self::Float(FieldPlacement::default())
    }
    /// A bool index with default settings.
    pub fn bool() -> Self {
        Self::Bool(FieldPlacement::default())
    }
    /// A UUID index with default settings.
    pub fn uuid() -> Self {
        Self::Uuid(KeywordIndexParams::default())
    }
    /// A datetime index with default settings.
    pub fn datetime() -> Self {
        Self::Datetime(IntegerIndexParams::default())
    }
    /// A geo index with default settings.
    pub fn geo() -> Self {
        Self::Geo(FieldPlacement::default())
    }
    /// A text index with default settings.
    pub fn text() -> Self {
        Self::Text(TextIndexParams::default())
    }
    /// A text index that ranks as well, with default settings otherwise.
    pub fn ranked_text() -> Self {
        Self::Text(TextIndexParams { scoring: Some(TextScoring::Flag(true)), ..TextIndexParams::default() })
    }

    /// The name of the kind, as on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Keyword(_) => "keyword",
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::Bool(_) => "bool",
            Self::Uuid(_) => "uuid",
            Self::Datetime(_) => "datetime",
            Self::Geo(_) => "geo",
            Self::Text(_) => "text",
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for contradictory settings.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Integer(params) if params.lookup == Some(false) && params.range == Some(false) => {
                Err(Error::config("field_schema", "an integer index needs `lookup` or `range`"))
            }
            Self::Text(params) if matches!((params.min_token_len, params.max_token_len), (Some(min), Some(max)) if min > max) => {
                Err(Error::config("field_schema.min_token_len", "must not exceed max_token_len"))
            }
            _ => Ok(()),
        }
    }
}

/// Where a payload index lives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldPlacement {
    /// Older form of `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<bool>,
    /// Where the index lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Whether the graph links points of equal values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_hnsw: Option<bool>,
}

/// Settings of a keyword or UUID index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeywordIndexParams {
    /// The field tells tenants apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_tenant: Option<bool>,
    /// Index prefixes too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<bool>,
    /// Where the index lives.
    #[serde(flatten)]
    pub placement: FieldPlacement,
}

/// Settings of an integer or datetime index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IntegerIndexParams {
    /// Serve equality; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup: Option<bool>,
    /// Serve ranges; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<bool>,
    /// Most searches filter by this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_principal: Option<bool>,
    /// Where the index lives.
    #[serde(flatten)]
    pub placement: FieldPlacement,
}

/// How a text is cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokenizer {
    /// At everything that is neither a letter nor a digit.
    #[default]
    Word,
    /// At white space.
    Whitespace,
    /// Like `word`, and every prefix of a word is a word too.
    Prefix,
    /// At Unicode word boundaries; scripts without spaces fall apart into characters.
    Multilingual,
}

/// Words left out of a text index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stopwords {
    /// Those of one language, by its English name.
    Language(String),
    /// Those of several languages, and some more.
    Set {
        /// English names of languages.
        #[serde(default)]
        languages: Vec<String>,
        /// More words.
        #[serde(default)]
        custom: Vec<String>,
    },
}

/// Settings of a text index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TextIndexParams {
    /// How texts are cut into words.
    pub tokenizer: Tokenizer,
    /// Fewest characters of a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_token_len: Option<usize>,
    /// Most characters of a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_token_len: Option<usize>,
    /// Ignore case; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// Take accents off letters; default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ascii_folding: Option<bool>,
    /// Keep word order for phrases; default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phrase_matching: Option<bool>,
    /// Words left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopwords: Option<Stopwords>,
    /// Reduce words to their stems: a language's English name, or `{"type": "snowball", "language": …}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stemmer: Option<serde_json::Value>,
    /// Keep what ranking by [`Query::Text`](crate::Query::Text) needs: how often words occur, and how long texts are; default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scoring: Option<TextScoring>,
    /// Where the index lives.
    #[serde(flatten)]
    pub placement: FieldPlacement,
}

impl TextIndexParams {
    /// Whether texts can be ranked by this index.
    pub fn ranks(&self) -> bool {
        !matches!(self.scoring, None | Some(TextScoring::Flag(false)))
    }
}

/// Whether a text index ranks, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum TextScoring {
    /// By BM25, or not at all.
    Flag(bool),
    /// By what is named.
    Params(TextScoringParams),
}

/// What a text index ranks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextScoringParams {
    /// The function.
    #[serde(rename = "type")]
    pub kind: TextScoringType,
}

/// Functions a text index ranks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TextScoringType {
    /// BM25; its parameters belong to each query.
    #[default]
    Bm25,
}
