//! Inputs → files and row maps. Sealing a growing segment and merging sealed ones are the same work.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::files::{FieldMeta, GroupsMeta, SegmentId, SegmentMeta, SparseMeta, kind};
use super::sealed::{PAYLOAD_FILE, ROWS_FILE};
use super::{Sealed, Segment, ids, quantize};
use crate::distance::Width;
use crate::error::{Error, Result};
use crate::graph::{self, BuildControl, BuildPlan, Extent, GraphParams, Reused};
use crate::model::PointId;
use crate::model::config::{CollectionConfig, FieldSchema, VectorParams};
use crate::model::payload::PayloadPath;
use crate::model::point::Lsn;
use crate::payload::index::FieldIndexes;
use crate::payload::path;
use crate::quantization::{Clusters, Codec, Codes};
use crate::sparse;
use crate::storage::allowance::Allowance;
use crate::storage::fs::FsRef;
use crate::storage::mmap::Mmap;
use crate::storage::placed::Placed;
use crate::storage::sealed_file::{Check, SealedFile, SealedWriter};
use crate::vectors::{CodeSet, Originals, Space};

/// A segment to take rows from.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) segment: Arc<dyn Segment>,
}

/// Share of live rows below which a graph is built anew instead of mended.
const LEAST_LIVE: f64 = 0.6;
/// Narrowest codes that graphs are built by. Links chosen by 4 bits are as good as those chosen by the vectors, wherever 4 bits
/// are enough to search by, in a fifth of the time; see `quantize::choose`.
const BUILD_WIDTH: Width = Width::Four;

/// Memory of a row in the lists of a builder.
const ROW_BYTES: u64 = 96;
/// Rows that a sample has however little memory there is.
const LEAST_SAMPLE: usize = 512;

/// Stands for a row that was not taken over.
const GONE: u32 = u32::MAX;

/// A new segment, and where the rows of its inputs went.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) sealed: Sealed,
    row_maps: Vec<Vec<u32>>,
}

impl Built {
    /// The new row of an input's row, if it was taken over.
    pub(crate) fn new_row(&self, input: usize, row: u32) -> Option<u32> {
        self.row_maps.get(input)?.get(row as usize).copied().filter(|&new| new != GONE)
    }
}

/// Writes one new segment.
pub(crate) struct SegmentBuilder<'a> {
    pub(crate) fs: &'a FsRef,
    pub(crate) collection: &'a Path,
    pub(crate) id: SegmentId,
    pub(crate) config: &'a CollectionConfig,
    /// Rows dead at this lsn are left out; the manifest that names the new segment must not be older.
    pub(crate) at: Lsn,
    pub(crate) control: &'a BuildControl,
    pub(crate) pool: &'a rayon::ThreadPool,
    pub(crate) allowance: &'a Arc<Allowance>,
}

/// The field that rows were sorted by, and the clusters they are in now.
#[derive(Debug, Default)]
struct Clustered {
    field: String,
    clusters: Clusters,
}

/// A row of an input.
pub(super) type Source = (usize, u32);

/// How the rows of a segment lie.
#[derive(Debug, Default)]
struct Order {
    /// Where they were sorted by the vectors of a field.
    clustered: Clustered,
    /// The rows of each tenant, where they were sorted by tenants, largest first.
    tenants: Vec<Range<u32>>,
}

/// A graph that a field is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linking {
    pub(super) shape: GraphParams,
    /// A graph for each large tenant instead of one for all.
    pub(super) by_tenant: bool,
}

impl SegmentBuilder<'_> {
    /// Writes all files and opens them. Nothing refers to them yet; a crash leaves a directory that the next open removes.
    ///
    /// # Errors
    /// Those of the file system, damaged inputs, and [`Error::Cancelled`].
    pub(crate) fn build(&self, inputs: &[Input]) -> Result<Built> {
        let path = super::directory(self.collection, self.id);
        self.fs.create_dir_all(&path)?;
        let sources = self.live_rows(inputs)?;
        let (sources, order) = match self.tenant_key(&sources)? {
            Some(key) => by_tenant(inputs, sources, &key)?,
            None => self.ordered(inputs, sources),
        };
        let row_maps = row_maps(inputs, &sources, self.at);
        let mut meta = SegmentMeta {
            id: self.id,
            rows: count_of(&sources),
            fields: Vec::new(),
            sparse: Vec::new(),
            indexes: None,
            tombstones: None,
            dead: 0,
            bytes: 0,
        };
        meta.bytes += self.write_rows(&path, inputs, &sources)?;
        meta.bytes += self.write_payload(&path, inputs, &sources)?;
        for (number, (name, params)) in self.config.vectors.iter().enumerate() {
            // A field that no input has costs no file.
            if inputs.iter().any(|input| input.segment.field(name).is_some()) {
                let (field, bytes) = self.write_vectors(&path, inputs, &sources, number, name, params)?;
                meta.fields.push(field);
                meta.bytes += bytes;
            }
        }
        for (number, name) in self.config.sparse_vectors.keys().enumerate() {
            if inputs.iter().any(|input| input.segment.sparse(name).is_some()) {
                let (field, bytes) = self.write_sparse(&path, inputs, &sources, number, name)?;
                meta.sparse.push(field);
                meta.bytes += bytes;
            }
        }
        self.fs.sync_dir(&path)?;
        let mut sealed = Sealed::open(self.fs, self.collection, meta, self.config, self.at)?;
        let meta = self.write_derived(&path, inputs, &row_maps, &sealed, &order)?;
        if meta != *sealed.meta() {
            sealed = Sealed::open(self.fs, self.collection, meta, self.config, self.at)?;
        }
        self.fs.sync_dir(&super::directory(self.collection, self.id).join(".."))?;
        Ok(Built { sealed, row_maps })
    }

    fn live_rows(&self, inputs: &[Input]) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for (input, each) in inputs.iter().enumerate() {
            let live = (0..each.segment.rows(self.at)).filter(|&row| each.segment.tombstones().is_live(row, self.at));
            sources.extend(live.map(|row| (input, row)));
        }
        if sources.len() >= 1 << 31 {
            return Err(Error::LimitExceeded { what: "rows of a segment", actual: sources.len() as u64, limit: (1 << 31) - 1 });
        }
        Ok(sources)
    }

    /// The field that tells tenants apart, where there will be no graph over all: searches are for one tenant then.
    fn tenant_key(&self, sources: &[Source]) -> Result<Option<PayloadPath>> {
        let linked = |params: &VectorParams| graph_wanted(self.config, params, count_of(sources)).is_some_and(|linking| !linking.by_tenant);
        match tenant_field(self.config) {
            Some(key) if !self.config.vectors.values().any(linked) => PayloadPath::parse(key).map(Some),
            _ => Ok(None),
        }
    }

    /// The rows in the order they will lie in: near ones near each other, when there will be a graph to walk along.
    #[cfg(feature = "linalg")]
    fn ordered(&self, inputs: &[Input], sources: Vec<Source>) -> (Vec<Source>, Order) {
        let count = u32::try_from(sources.len()).unwrap_or(GONE);
        let plain = self.config.vectors.iter().filter(|(_, params)| params.multivector_config.is_none());
        let linked = plain.filter(|(_, params)| graph_wanted(self.config, params, count).is_some_and(|linking| !linking.by_tenant));
        match linked.max_by_key(|(_, params)| params.stride()) {
            Some((name, params)) => {
                let (sources, clusters) =
                    super::order::by_cluster(inputs, sources, name, Space::of(params), self.pool, self.sample_rows(params));
                let clustered = Clustered { field: name.clone(), clusters };
                (sources, Order { clustered, ..Order::default() })
            }
            None => (sources, Order::default()),
        }
    }

    #[cfg(not(feature = "linalg"))]
    fn ordered(&self, _inputs: &[Input], sources: Vec<Source>) -> (Vec<Source>, Order) {
        (sources, Order::default())
    }

    fn write_rows(&self, path: &Path, inputs: &[Input], sources: &[Source]) -> Result<u64> {
        let ids: Vec<PointId> = sources.iter().map(|&(input, row)| inputs[input].segment.id(row)).collect();
        let versions: Vec<Lsn> = sources.iter().map(|&(input, row)| inputs[input].segment.version(row)).collect();
        self.write_file(path.join(ROWS_FILE), kind::ROWS, |file| ids::encode(&ids, &versions, &mut |part| file.write(part)))
    }

    fn write_payload(&self, path: &Path, inputs: &[Input], sources: &[Source]) -> Result<u64> {
        let mut at = (sources.len() as u64 + 1) * 8;
        let mut offsets = Vec::with_capacity(sources.len() + 1);
        offsets.push(at);
        // Asked for twice, so that payloads need not all be in memory at once.
        for &(input, row) in sources {
            at += inputs[input].segment.payload_text(row)?.len() as u64;
            offsets.push(at);
        }
        self.write_file(path.join(PAYLOAD_FILE), kind::PAYLOAD, |file| {
            file.write(bytemuck::cast_slice(&offsets))?;
            sources.iter().try_for_each(|&(input, row)| file.write(&inputs[input].segment.payload_text(row)?))
        })
    }

    fn write_vectors(
        &self,
        path: &Path,
        inputs: &[Input],
        sources: &[Source],
        number: usize,
        name: &str,
        params: &VectorParams,
    ) -> Result<(FieldMeta, u64)> {
        let stride = params.stride();
        let empty = vec![0; stride];
        let several = params.multivector_config.is_some();
        let mut present = RoaringBitmap::new();
        let mut firsts = vec![0u32];
        let vectors = format!("vectors-{number}");
        let mut bytes = self.write_file(path.join(&vectors), kind::VECTORS, |file| {
            for (new, &(input, row)) in (0u32..).zip(sources) {
                let segment = &inputs[input].segment;
                let mut stored = 0;
                match segment.field(name).filter(|_| segment.has_vector(name, row)) {
                    Some(field) => {
                        let rows = field.groups.map_or(row..row + 1, |groups| groups.range(row));
                        stored = rows.len();
                        rows.into_iter().try_for_each(|row| file.write(field.rows.get(row)))?;
                        present.insert(new);
                    }
                    None if several => {}
                    None => file.write(&empty)?,
                }
                firsts.push(next_first(&firsts, stored)?);
            }
            Ok(())
        })?;
        let groups = if several {
            let groups = GroupsMeta { file: format!("groups-{number}"), rows: firsts.last().copied().unwrap_or(0) };
            bytes += self.write_file(path.join(&groups.file), kind::GROUPS, |file| file.write(bytemuck::cast_slice(&firsts)))?;
            Some(groups)
        } else {
            None
        };
        let count = count(&present);
        let present = self.write_present(path.join(format!("present-{number}")), &present, sources.len(), &mut bytes)?;
        Ok((
            FieldMeta {
                name: name.to_owned(),
                vectors,
                groups,
                present,
                codes: None,
                quantization: None,
                graph: None,
                graph_params: None,
                lengths: None,
                count,
            },
            bytes,
        ))
    }

    /// Sparse vectors and their lists.
    fn write_sparse(&self, path: &Path, inputs: &[Input], sources: &[Source], number: usize, name: &str) -> Result<(SparseMeta, u64)> {
        let rows = count_of(sources);
        let row = |new: u32| {
            let (input, row) = sources[new as usize];
            inputs[input].segment.sparse_row(name, row)
        };
        let (vectors, postings) = (format!("sparse-{number}"), format!("postings-{number}"));
        let mut bytes =
            self.write_file(path.join(&vectors), kind::SPARSE, |file| sparse::write_rows(rows, &row, &mut |part| file.write(part)))?;
        bytes +=
            self.write_file(path.join(&postings), kind::POSTINGS, |file| sparse::write_postings(rows, &row, &mut |part| file.write(part)))?;
        let has = |&new: &u32| {
            let (input, row) = sources[new as usize];
            inputs[input].segment.has_vector(name, row)
        };
        let present: RoaringBitmap = (0..rows).filter(has).collect();
        let count = count(&present);
        let present = self.write_present(path.join(format!("sparse-present-{number}")), &present, sources.len(), &mut bytes)?;
        Ok((SparseMeta { name: name.to_owned(), vectors, present, postings: Some(postings), count }, bytes))
    }

    /// Writes which rows have a vector, unless all have; the name of the file.
    fn write_present(&self, path: PathBuf, present: &RoaringBitmap, rows: usize, bytes: &mut u64) -> Result<Option<String>> {
        if present.len() == rows as u64 {
            return Ok(None);
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        *bytes += self.write_bitmap(path, kind::PRESENT, present)?;
        Ok(name)
    }

    /// Codes and graphs where they are wanted, and the payload indexes.
    fn write_derived(&self, path: &Path, inputs: &[Input], row_maps: &[Vec<u32>], sealed: &Sealed, order: &Order) -> Result<SegmentMeta> {
        let clustered = &order.clustered;
        let mut meta = sealed.meta().clone();
        for (number, field) in meta.fields.iter_mut().enumerate() {
            let Some(params) = self.config.vectors.get(&field.name) else { continue };
            let stored = if field.groups.is_some() { field.stored() } else { meta.rows };
            let wanted = graph_wanted(self.config, params, field.stored());
            let codec = match (wanted, self.config.optimizers_config.indexing_threshold) {
                // Nothing is indexed yet, as while much is loaded: codes would only be made again.
                (None, Some(0)) => None,
                _ => quantize::choose(
                    sealed,
                    &field.name,
                    stored,
                    self.config.quantization_of(params),
                    self.id.0,
                    wanted.is_some(),
                    self.sample_rows(params),
                ),
            };
            if let Some(codec) = &codec {
                let file = format!("codes-{number}");
                let none = Clusters::default();
                let clusters = if clustered.field == field.name { &clustered.clusters } else { &none };
                meta.bytes += self.write_file(path.join(&file), kind::CODES, |file| {
                    file.write(&Codes::head(codec, stored, clusters))?;
                    quantize::encode(sealed, &field.name, codec, stored, self.pool, &mut |part| file.write(part))?;
                    file.write(&Codes::tail(codec, clusters))
                })?;
                field.codes = Some(file);
            }
            field.quantization = self.config.quantization_of(params).cloned();
            let Some(linking) = wanted else { continue };
            field.graph_params = Some(linking.shape);
            let parts = self.large_tenants(order, params);
            if linking.by_tenant && parts.is_empty() {
                continue;
            }
            let extent = if linking.by_tenant { Extent::Parts(&parts) } else { Extent::Whole(meta.rows) };
            let file = format!("graph-{number}");
            let written = field.codes.as_ref().map(|codes| path.join(codes));
            let codes = codec.map(|codec| self.build_codes(sealed, &field.name, codec, stored, written.as_deref())).transpose()?.flatten();
            let reused = largest_graph(inputs, row_maps, &field.name, linking, self.at);
            meta.bytes += self.write_graph(path.join(&file), sealed, &field.name, (linking.shape, extent), codes, reused)?;
            field.graph = Some(file);
        }
        if !self.config.payload_schema.is_empty() {
            let (file, bytes) = write_indexes(self.fs, path, sealed.indexes(), 0)?;
            meta.indexes = Some(file);
            meta.bytes += bytes;
        }
        self.fs.sync_dir(path)?;
        Ok(meta)
    }

    /// Tenants with so many vectors that a walk is faster than a scan of them.
    fn large_tenants(&self, order: &Order, params: &VectorParams) -> Vec<Range<u32>> {
        let threshold = self.config.hnsw_of(params).full_scan_threshold.saturating_mul(1024);
        let large = |tenant: &&Range<u32>| tenant.len() > 1 && tenant.len() * params.stride() >= threshold;
        order.tenants.iter().filter(large).cloned().collect()
    }

    fn write_graph(
        &self,
        path: PathBuf,
        sealed: &Sealed,
        name: &str,
        (params, extent): (GraphParams, Extent<'_>),
        codes: Option<Codes>,
        reused: Option<Reused<'_>>,
    ) -> Result<u64> {
        let Some(field) = sealed.field(name) else { return Ok(0) };
        let present: Vec<u32> = (0..sealed.total_rows()).filter(|&row| sealed.has_vector(name, row)).collect();
        let seed = self.id.0;
        self.write_file(path, kind::GRAPH, |file| {
            let mut sink = |part: &[u8]| file.write(part);
            match codes {
                Some(codes) => {
                    let set = CodeSet { codec: codes.codec(), rows: codes.rows(), groups: field.groups };
                    graph::build(
                        BuildPlan { params, set: &set, present: &present, extent, seed, reused },
                        self.control,
                        self.pool,
                        &mut sink,
                    )
                }
                None => {
                    let set = Originals { space: field.space, rows: field.rows, groups: field.groups };
                    graph::build(
                        BuildPlan { params, set: &set, present: &present, extent, seed, reused },
                        self.control,
                        self.pool,
                        &mut sink,
                    )
                }
            }
        })
    }

    /// Codes to build a graph by: those just written, if they are of the right width. Copies of codes are faster to build by, and
    /// take memory while it lasts; without room for one the file is read, or else the vectors are.
    fn build_codes(&self, sealed: &Sealed, name: &str, codec: Codec, total: u32, written: Option<&Path>) -> Result<Option<Codes>> {
        let width = if codec.width() == Width::Eight { Width::Eight } else { BUILD_WIDTH };
        let damaged = || Error::Internal { what: "codes that were just made cannot be read".to_owned() };
        if let Some(path) = written.filter(|_| codec.width() == width) {
            let file = Placed::Mapped(SealedFile::open(self.fs, path, kind::CODES, Check::Structure)?);
            let codes = file.hot_for_now(self.allowance).unwrap_or(file);
            return Codes::open(codes, total).ok_or_else(damaged).map(Some);
        }
        let codec = codec.with_width(width);
        let expected = (total as usize + 1) * codec.stride();
        // Twice, since they are gathered in one place and used in another.
        let Some(held) = self.allowance.try_take(2 * expected as u64) else { return Ok(None) };
        let mut bytes = Codes::head(&codec, total, &Clusters::default());
        bytes.reserve_exact(expected);
        quantize::encode(sealed, name, &codec, total, self.pool, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Codes::open(Placed::held(Mmap::from(bytes), held), total).ok_or_else(damaged).map(Some)
    }

    /// Rows of a field that samples may have: few enough for a copy of them as numbers to take a part of what is left.
    fn sample_rows(&self, params: &VectorParams) -> usize {
        let rows = self.allowance.available() / 16 / (params.size as u64 * 4).max(1);
        usize::try_from(rows).unwrap_or(usize::MAX).max(LEAST_SAMPLE)
    }

    fn write_file(&self, path: PathBuf, kind: u32, fill: impl FnOnce(&mut SealedWriter) -> Result<()>) -> Result<u64> {
        let mut file = SealedWriter::create(self.fs, &path, kind)?;
        fill(&mut file)?;
        file.finish()
    }

    fn write_bitmap(&self, path: PathBuf, kind: u32, rows: &RoaringBitmap) -> Result<u64> {
        write_bitmap(self.fs, &path, kind, rows)
    }
}

/// Where the next point's rows begin.
fn next_first(firsts: &[u32], stored: usize) -> Result<u32> {
    let next = firsts.last().map_or(0, |&last| u64::from(last)) + stored as u64;
    u32::try_from(next).map_err(|_| Error::LimitExceeded { what: "vectors of a segment", actual: next, limit: u64::from(u32::MAX) })
}

fn count_of(sources: &[Source]) -> u32 {
    u32::try_from(sources.len()).unwrap_or(GONE)
}

fn count(rows: &RoaringBitmap) -> u32 {
    u32::try_from(rows.len()).unwrap_or(u32::MAX)
}

/// Sorts rows by tenant, so that a tenant's vectors lie side by side; the largest tenants come first, so that lists of links need
/// not be kept for the others. Rows of one tenant keep their order.
fn by_tenant(inputs: &[Input], sources: Vec<Source>, key: &PayloadPath) -> Result<(Vec<Source>, Order)> {
    let mut rows_of: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for (input, row) in sources {
        let mut tenant = String::new();
        path::visit(&*inputs[input].segment.payload(row)?, key, &mut |value| {
            if let Some(text) = value.as_str() {
                text.clone_into(&mut tenant);
            }
        });
        rows_of.entry(tenant).or_default().push((input, row));
    }
    let mut tenants: Vec<Vec<Source>> = rows_of.into_values().collect();
    tenants.sort_by_key(|rows| Reverse(rows.len()));
    let mut end = 0;
    let ranges = tenants.iter().map(|rows| {
        let start = end;
        end += count_of(rows);
        start..end
    });
    let order = Order { tenants: ranges.collect(), ..Order::default() };
    Ok((tenants.concat(), order))
}

/// The graph over most of the rows, if it is worth taking over: large enough, and most of its rows still alive.
fn largest_graph<'a>(inputs: &'a [Input], row_maps: &'a [Vec<u32>], name: &str, linking: Linking, at: Lsn) -> Option<Reused<'a>> {
    let graphs = inputs.iter().zip(row_maps).filter_map(|(input, new_rows)| {
        let alike = |graph: &&graph::Graph| graph.params() == linking.shape && graph.is_divided() == linking.by_tenant;
        let graph = input.segment.field(name)?.graph.filter(alike)?;
        let live = new_rows.iter().filter(|&&new| new != GONE).count();
        let enough = live as f64 >= f64::from(input.segment.rows(at)) * LEAST_LIVE;
        enough.then_some((live, Reused { graph, new_rows }))
    });
    graphs.max_by_key(|(live, _)| *live).map(|(_, reused)| reused)
}

/// Where each input's rows went.
fn row_maps(inputs: &[Input], sources: &[Source], at: Lsn) -> Vec<Vec<u32>> {
    let mut maps: Vec<Vec<u32>> = inputs.iter().map(|input| vec![GONE; input.segment.rows(at) as usize]).collect();
    for (new, &(input, row)) in (0u32..).zip(sources) {
        maps[input][row as usize] = new;
    }
    maps
}

/// The graph a field of so many vectors gets, if it is large enough for one.
pub(super) fn graph_wanted(config: &CollectionConfig, params: &VectorParams, count: u32) -> Option<Linking> {
    let hnsw = config.hnsw_of(params);
    let threshold_kb = config.optimizers_config.indexing_threshold.unwrap_or(10_000);
    let large = threshold_kb > 0 && count as usize * params.stride() >= threshold_kb.saturating_mul(1024) && count > 1;
    let by_tenant = hnsw.m == 0 && tenant_field(config).is_some();
    let m = if by_tenant { hnsw.payload_m.unwrap_or(0) } else { hnsw.m };
    let shape = GraphParams { m: u32::try_from(m).ok()?, ef_construct: u32::try_from(hnsw.ef_construct).ok()? };
    (m > 0 && large).then_some(Linking { shape, by_tenant })
}

/// The field that tells tenants apart: that which is said to, or else the first that graphs may follow.
fn tenant_field(config: &CollectionConfig) -> Option<&str> {
    let keyword = |schema: &FieldSchema| match schema {
        FieldSchema::Keyword(params) | FieldSchema::Uuid(params) if params.placement.enable_hnsw != Some(false) => {
            Some(params.is_tenant == Some(true))
        }
        _ => None,
    };
    let said = config.payload_schema.iter().find(|(_, schema)| keyword(schema) == Some(true));
    let linked = config.hnsw_config.payload_m.is_some_and(|m| m > 0);
    let any = || config.payload_schema.iter().find(|(_, schema)| linked && keyword(schema).is_some());
    said.or_else(any).map(|(name, _)| name.as_str())
}

/// Bytes of memory that taking over a segment's live rows takes at least: lists of rows, ids and links. Temporary codes come
/// on top where there is room.
pub(crate) fn build_bytes(segment: &dyn Segment, config: &CollectionConfig, at: Lsn) -> u64 {
    let rows = u64::from(segment.rows(at));
    let links = |params: &VectorParams| {
        let hnsw = config.hnsw_of(params);
        let m = if hnsw.m > 0 { hnsw.m } else { hnsw.payload_m.unwrap_or(0) };
        // Twice `m` links of four bytes, and half of that to spare.
        if config.optimizers_config.indexing_threshold == Some(0) { 0 } else { 12 * m as u64 }
    };
    let each = ROW_BYTES + config.vectors.values().map(links).max().unwrap_or(0);
    rows * 4 + rows.saturating_sub(segment.tombstones().dead()) * each
}

fn write_bitmap(fs: &FsRef, path: &Path, kind: u32, rows: &RoaringBitmap) -> Result<u64> {
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    rows.serialize_into(&mut bytes).map_err(|error| Error::io(path, error))?;
    let mut file = SealedWriter::create(fs, path, kind)?;
    file.write(&bytes)?;
    file.finish()
}

/// Writes payload indexes into a segment's directory under a name of their own; the caller syncs the directory.
pub(crate) fn write_indexes(fs: &FsRef, path: &Path, indexes: &FieldIndexes, generation: u64) -> Result<(String, u64)> {
    let name = format!("indexes-{generation}");
    let mut file = SealedWriter::create(fs, &path.join(&name), kind::INDEXES)?;
    file.write(&indexes.encode()?)?;
    Ok((name, file.finish()?))
}

/// Writes what a field has learned about lengths of candidate lists; the caller syncs the directory.
pub(crate) fn write_lengths(fs: &FsRef, path: &Path, learned: &[u8], field: usize, generation: u64) -> Result<(String, u64)> {
    let name = format!("lengths-{field}-{generation}");
    let mut file = SealedWriter::create(fs, &path.join(&name), kind::LENGTHS)?;
    file.write(learned)?;
    Ok((name, file.finish()?))
}

/// Writes the rows dead at the manifest's lsn; the caller syncs the directory.
pub(crate) fn write_tombstones(fs: &FsRef, path: &Path, dead: &RoaringBitmap, generation: u64) -> Result<String> {
    let name = format!("tombstones-{generation}");
    write_bitmap(fs, &path.join(&name), kind::TOMBSTONES, dead)?;
    Ok(name)
}
