//! How much memory and disk a collection will take, before it is made.
//!
//! The formulas follow the layouts of the files (`docs/format.md`) and hold for a collection at rest in one segment, as
//! [`Collection::optimize`](crate::Collection::optimize) leaves it. Writing takes more for a while: segments that are not
//! sealed, the log, and what jobs build with.

use serde::Serialize;

use crate::model::config::{CollectionConfig, FieldSchema, Memory, VectorParams};
use crate::segment::{code_stride, graph_placement};
use crate::storage::heap;

/// Bytes of a sealed file beside its data: header, checksums of its blocks, footer.
const FILE_BYTES: u64 = 4096 + 24;
const BLOCK_BYTES: u64 = 64 << 10;
/// Copies in memory from this size on are made of whole huge pages.
const HUGE_PAGE: u64 = 2 << 20;
/// Rows of a bitmap's container, bytes of one that is full, and the most rows that are kept as numbers of two bytes.
const CONTAINER_ROWS: u64 = 1 << 16;
const CONTAINER_BYTES: u64 = 8192;
const MOST_NUMBERS: u64 = 4096;
/// Clusters that rows are sorted into: between these, the square root of the rows.
const CLUSTERS: std::ops::RangeInclusive<u64> = 16..=1024;

/// What a collection will hold.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// Points.
    pub points: u64,
    /// Bytes of a point's payload as JSON text, on average.
    pub payload_bytes: u64,
    /// Bytes of a point's id where ids are texts or UUIDs; 0 where all are numbers.
    pub id_bytes: u64,
    /// The payload fields that are indexed.
    pub indexed: Vec<IndexedField>,
}

/// What is known of an indexed payload field; every point has one value in it.
#[derive(Debug, Clone)]
pub struct IndexedField {
    /// Its kind.
    pub schema: FieldSchema,
    /// How many different values there are; for texts, how many words.
    pub distinct: u64,
    /// Bytes of a value; for texts, of a word. Only strings have a size that depends on them.
    pub value_bytes: u64,
    /// Values of a point; for texts, words.
    pub per_point: u64,
}

impl IndexedField {
    /// One value a point, of so many different ones.
    pub fn new(schema: FieldSchema, distinct: u64, value_bytes: u64) -> Self {
        Self { schema, distinct, value_bytes, per_point: 1 }
    }
}

/// Bytes of one component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ComponentSize {
    /// Memory of our own.
    pub anonymous_bytes: u64,
    /// Mapped files, which are in memory as far as they are used and the system has room.
    pub mapped_bytes: u64,
    /// Files on disk.
    pub disk_bytes: u64,
}

/// Bytes of a collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SizeEstimate {
    /// Memory that it takes however little is asked of it: what is pinned, payload indexes, and the tables of ids.
    pub resident_bytes: u64,
    /// Mapped files beside that: in memory as far as they are used and there is room.
    pub mapped_bytes: u64,
    /// Files on disk, the log and the manifest aside.
    pub disk_bytes: u64,
    /// Vectors.
    pub vectors: ComponentSize,
    /// Codes, of 4 bits a dimension where the data decide; where they ask for 8, it is nearly twice as much, and half as much
    /// where they are content with 2, as those of 768 dimensions and more often are.
    pub codes: ComponentSize,
    /// Graphs.
    pub graph: ComponentSize,
    /// Payloads.
    pub payload: ComponentSize,
    /// Payload indexes.
    pub payload_indexes: ComponentSize,
    /// Tables of ids and versions.
    pub ids: ComponentSize,
}

/// Estimates what a collection of a configuration takes with all pinned parts in memory, as they are when they fit into the
/// [`MemoryLimit`](crate::MemoryLimit).
///
/// ```
/// use vectordb_core::sizing::{IndexedField, Workload, estimate};
/// use vectordb_core::{CollectionConfig, Distance, FieldSchema};
///
/// let config = CollectionConfig::unnamed(768, Distance::Cosine);
/// let work = Workload {
///     points: 1_000_000,
///     payload_bytes: 200,
///     indexed: vec![IndexedField::new(FieldSchema::integer(), 100, 8)],
///     ..Workload::default()
/// };
/// let size = estimate(&config, &work);
/// // Codes of 4 bits and the graph stay in memory; the vectors are on disk.
/// assert!((500 << 20..700 << 20).contains(&size.resident_bytes));
/// assert!((3 << 30..5_u64 << 30).contains(&size.disk_bytes));
/// ```
pub fn estimate(config: &CollectionConfig, work: &Workload) -> SizeEstimate {
    let mut size = SizeEstimate::default();
    for params in config.vectors.values() {
        let [vectors, codes, graph] = field(config, params, work.points);
        add(&mut size.vectors, vectors);
        add(&mut size.codes, codes);
        add(&mut size.graph, graph);
    }
    size.payload = placed((work.points + 1) * 8 + work.points * work.payload_bytes, Some(config.payload_placement()));
    size.payload_indexes = indexes(work);
    let each_id = if work.id_bytes == 0 { 20 } else { 20 + 8 + 1 + work.id_bytes };
    size.ids = placed(16 + work.points * each_id, None);
    let parts = [size.vectors, size.codes, size.graph, size.payload, size.payload_indexes, size.ids];
    size.disk_bytes = parts.iter().map(|part| part.disk_bytes).sum();
    size.resident_bytes = parts.iter().map(|part| part.anonymous_bytes).sum::<u64>() + size.ids.mapped_bytes;
    size.mapped_bytes = parts.iter().map(|part| part.mapped_bytes).sum::<u64>() - size.ids.mapped_bytes;
    size
}

fn add(sum: &mut ComponentSize, part: ComponentSize) {
    sum.anonymous_bytes += part.anonymous_bytes;
    sum.mapped_bytes += part.mapped_bytes;
    sum.disk_bytes += part.disk_bytes;
}

/// A file of so many bytes of data, where it is to live.
fn placed(data_bytes: u64, memory: Option<Memory>) -> ComponentSize {
    let disk_bytes = FILE_BYTES + data_bytes + data_bytes.div_ceil(BLOCK_BYTES) * 4;
    if memory == Some(Memory::Pinned) {
        let copy = if data_bytes < HUGE_PAGE { data_bytes } else { data_bytes.next_multiple_of(HUGE_PAGE) };
        ComponentSize { anonymous_bytes: copy, mapped_bytes: 0, disk_bytes }
    } else {
        ComponentSize { anonymous_bytes: 0, mapped_bytes: disk_bytes, disk_bytes }
    }
}

/// Vectors, codes and graph of a field.
fn field(config: &CollectionConfig, params: &VectorParams, points: u64) -> [ComponentSize; 3] {
    let vectors = points * params.stride() as u64;
    let hnsw = config.hnsw_of(params);
    let threshold = config.optimizers_config.indexing_threshold.unwrap_or(10_000) as u64 * 1024;
    let m = hnsw.m as u64;
    let linked = m > 0 && threshold > 0 && vectors >= threshold && points > 1;
    let (stride, memory) = code_stride(config, params, vectors);
    let codes = stride.map(|stride| {
        let clusters = if linked && cfg!(feature = "linalg") { points.isqrt().clamp(*CLUSTERS.start(), *CLUSTERS.end()) } else { 0 };
        let head = (64 + params.size as u64 * 4).next_multiple_of(64);
        placed(head + (points + clusters) * stride as u64 + clusters * 4, Some(memory))
    });
    let graph = linked.then(|| {
        // A row reaches the next level with a chance of 1 in m, so 1 in m - 1 lists lies above the lowest level.
        let upper_rows = points / m.max(2);
        let words = 16 + points * 2 * m + 2 * upper_rows + points * m / (m.max(2) - 1);
        placed(words * 4, Some(graph_placement(&hnsw)))
    });
    [placed(vectors, params.placement()), codes.unwrap_or_default(), graph.unwrap_or_default()]
}

/// Payload indexes are held in memory, and one file keeps them all.
fn indexes(work: &Workload) -> ComponentSize {
    if work.indexed.is_empty() {
        return ComponentSize::default();
    }
    let (mut memory, mut file) = (0, 0);
    for field in &work.indexed {
        let values = work.points * field.per_point;
        // Which rows have values at all, and which have values that are indexed.
        let rows = 2 * bitmap(work.points, work.points);
        let (in_memory, in_file) = match field.schema {
            FieldSchema::Integer(_) | FieldSchema::Float(_) | FieldSchema::Datetime(_) => (values * 16, values * 8),
            FieldSchema::Geo(_) => (values * 32, values * 24),
            FieldSchema::Bool(_) => postings(field, values, work.points, heap::tree::<bool, [u64; 4]>(2)),
            FieldSchema::Uuid(_) => postings(field, values, work.points, tree(field.distinct, heap::tree::<u128, [u64; 4]>)),
            FieldSchema::Keyword(_) | FieldSchema::Text(_) => {
                let (memory, file) = postings(field, values, work.points, tree(field.distinct, heap::tree::<String, [u64; 4]>));
                let text = heap::block(usize::try_from(field.value_bytes).unwrap_or(usize::MAX / 2)) as u64;
                (memory + field.distinct * text, file)
            }
        };
        memory += rows + in_memory;
        file += rows + in_file;
    }
    ComponentSize { anonymous_bytes: memory, mapped_bytes: 0, disk_bytes: FILE_BYTES + file + file.div_ceil(BLOCK_BYTES) * 4 }
}

fn tree(distinct: u64, bytes: impl Fn(usize) -> usize) -> usize {
    bytes(usize::try_from(distinct).unwrap_or(usize::MAX))
}

/// The rows of each value, in memory and in a file.
fn postings(field: &IndexedField, values: u64, points: u64, tree: usize) -> (u64, u64) {
    let each = values / field.distinct.max(1);
    let rows = if each <= 1 { 0 } else { field.distinct * bitmap(each, points) };
    (tree as u64 + rows, field.distinct * (field.value_bytes + 4) + rows)
}

/// A bitmap of so many rows of a segment, evenly spread.
fn bitmap(rows: u64, points: u64) -> u64 {
    let containers = points.div_ceil(CONTAINER_ROWS).min(rows).max(1);
    let each = rows / containers;
    containers * (56 + if each <= MOST_NUMBERS { (each * 2).max(16) } else { CONTAINER_BYTES })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Distance;

    #[test]
    fn pinned_vectors_are_counted_as_memory_and_cold_graphs_are_not() {
        let mut config = CollectionConfig::unnamed(64, Distance::Dot);
        let work = Workload { points: 100_000, ..Workload::default() };
        let mapped = estimate(&config, &work);
        assert!(mapped.vectors.anonymous_bytes == 0 && mapped.graph.anonymous_bytes > 12_800_000);
        config.hnsw_config.memory = Some(Memory::Cold);
        config.vectors.values_mut().for_each(|params| params.memory = Some(Memory::Pinned));
        let pinned = estimate(&config, &work);
        assert!(pinned.vectors.anonymous_bytes >= 25_600_000 && pinned.graph.anonymous_bytes == 0);
        assert_eq!(pinned.disk_bytes, mapped.disk_bytes);
    }

    #[test]
    fn nothing_takes_nearly_nothing() {
        let size = estimate(&CollectionConfig::unnamed(4, Distance::Dot), &Workload::default());
        assert!(size.disk_bytes < 20_000, "{size:?}");
    }
}
