//! A segment of files that never change, mapped into memory.
//!
//! What the engine walks through (ids, presence, tombstones) is checked whole when the segment opens. Vectors and payloads
//! are large and are checked by [`Sealed::verify`]. Graph and payload indexes are derived data: a damaged one is dropped and
//! built again from the rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use roaring::RoaringBitmap;

use super::files::{GroupsMeta, SegmentId, SegmentMeta, kind};
use super::ids::IdTable;
use super::selection::SelectionCache;
use super::sparse::{SealedSparse, SparseField};
use super::{Calibrations, Field, Segment, Tombstones};
use crate::error::{Error, Result};
use crate::graph::{Graph, Links};
use crate::model::PointId;
use crate::model::config::{CollectionConfig, HnswConfig, Memory, VectorParams};
use crate::model::memory::{ComponentMemory, MemoryReport};
use crate::model::payload::Payload;
use crate::model::point::Lsn;
use crate::model::quantization::QuantizationConfig;
use crate::payload::index::FieldIndexes;
use crate::quantization::Codes;
use crate::sparse::SparseRow;
use crate::storage::allowance::{Allowance, Reservation};
use crate::storage::fs::FsRef;
use crate::storage::heap;
use crate::storage::mmap::as_numbers;
use crate::storage::placed::Placed;
use crate::storage::sealed_file::{Check, SealedFile};
use crate::storage::smaps::Smaps;
use crate::vectors::{Groups, Rows, Space};

pub(super) const ROWS_FILE: &str = "rows";
pub(super) const PAYLOAD_FILE: &str = "payload";

/// A sealed segment. Cloning shares the files and the tombstones.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    meta: SegmentMeta,
    files: Arc<Files>,
    /// Where payloads are to live.
    placement: Memory,
    fields: BTreeMap<String, Arc<SealedField>>,
    sparse: BTreeMap<String, Arc<SealedSparse>>,
    indexes: Arc<FieldIndexes>,
    /// The memory they take.
    held: Arc<Reservation>,
    /// What these indexes found for the last filters.
    selections: Arc<SelectionCache>,
    /// Whether the indexes lie in a file; else they were built in memory and wait for a job to write them.
    indexes_saved: bool,
    tombstones: Arc<Tombstones>,
}

#[derive(Debug, Clone)]
struct Files {
    path: PathBuf,
    ids: IdTable,
    rows: Arc<SealedFile>,
    payload: Arc<Placed>,
}

#[derive(Debug, Clone)]
struct SealedField {
    space: Space,
    vectors: Arc<Placed>,
    /// First row of each point, and the number of rows; set where points have several.
    groups: Option<Arc<Vec<u32>>>,
    present: Option<Arc<RoaringBitmap>>,
    graph: Option<Arc<Graph>>,
    codes: Option<Arc<Codes>>,
    /// What was learned about lengths of candidate lists.
    calibrations: Arc<Calibrations>,
    placement: Placement,
}

/// Pins what is to be pinned and fits, the most useful parts of all segments first; true when anything was pinned.
pub(crate) fn pin_all(segments: &mut [Sealed], allowance: &Arc<Allowance>) -> bool {
    let mut any = false;
    for part in [Part::Graph, Part::Codes, Part::Postings, Part::Vectors, Part::Payload] {
        for sealed in &mut *segments {
            any |= sealed.pin(part, allowance);
        }
    }
    any
}

/// What can be pinned in memory, in the order of what a byte of it brings to searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Graph,
    Codes,
    /// Lists of sparse vectors.
    Postings,
    Vectors,
    Payload,
}

impl Sealed {
    /// Opens a segment's files; rows in its tombstone file are dead since `at`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when base data is damaged or does not fit the metadata.
    ///
    /// All files are mapped; [`pin_all`] copies what is to be pinned.
    pub(crate) fn open(fs: &FsRef, collection: &Path, meta: SegmentMeta, config: &CollectionConfig, at: Lsn) -> Result<Self> {
        let path = super::directory(collection, meta.id);
        let rows = SealedFile::open(fs, &path.join(ROWS_FILE), kind::ROWS, Check::Everything)?;
        let ids = IdTable::open(rows.data()).filter(|ids| ids.rows() == meta.rows);
        let ids = ids.ok_or_else(|| Error::corrupt(path.join(ROWS_FILE), 0, "not an id table of this segment's rows"))?;
        let payload = SealedFile::open(fs, &path.join(PAYLOAD_FILE), kind::PAYLOAD, Check::Structure)?;
        let tombstones = match &meta.tombstones {
            Some(name) => Tombstones::of(&read_bitmap(fs, &path.join(name), kind::TOMBSTONES)?, at),
            None => Tombstones::new(),
        };
        let mut fields = BTreeMap::new();
        for field in &meta.fields {
            if let Some(params) = config.vectors.get(&field.name) {
                let space = Space::of(params);
                fields.insert(
                    field.name.clone(),
                    Arc::new(SealedField::open(fs, &path, field, space, Placement::of(config, params), meta.rows)?),
                );
            }
        }
        let mut sparse = BTreeMap::new();
        for field in &meta.sparse {
            if let Some(params) = config.sparse_vectors.get(&field.name) {
                sparse.insert(field.name.clone(), Arc::new(SealedSparse::open(fs, &path, field, params, meta.rows)?));
            }
        }
        let mut sealed = Self {
            sparse,
            files: Arc::new(Files { path, ids, rows: Arc::new(rows), payload: Arc::new(Placed::Mapped(payload)) }),
            placement: config.payload_placement(),
            held: Arc::new(Reservation::none()),
            fields,
            indexes: Arc::new(FieldIndexes::new(&BTreeMap::new())?),
            selections: Arc::default(),
            indexes_saved: false,
            tombstones: Arc::new(tombstones),
            meta,
        };
        match sealed.read_indexes(fs, config) {
            Some(indexes) => {
                sealed.indexes = Arc::new(indexes);
                sealed.indexes_saved = true;
            }
            None => sealed = sealed.reindexed(config)?,
        }
        Ok(sealed)
    }

    /// Copies a part into memory of our own, where it is to be pinned and there is room; true when anything was copied.
    fn pin(&mut self, part: Part, allowance: &Arc<Allowance>) -> bool {
        if part == Part::Payload {
            let payload = &self.files.payload;
            let wanted = self.placement == Memory::Pinned && payload.fits(allowance) && payload.verify().is_ok();
            let Some(hot) = wanted.then(|| self.files.payload.hot(allowance)).flatten() else { return false };
            self.files = Arc::new(Files { payload: Arc::new(hot), ..(*self.files).clone() });
            return true;
        }
        let mut any = false;
        if part == Part::Postings {
            for field in self.sparse.values_mut() {
                let mut pinned = (**field).clone();
                if pinned.pin(self.meta.rows, allowance) {
                    *field = Arc::new(pinned);
                    any = true;
                }
            }
            return any;
        }
        for field in self.fields.values_mut() {
            let mut pinned = (**field).clone();
            if pinned.pin(part, self.meta.rows, allowance) {
                *field = Arc::new(pinned);
                any = true;
            }
        }
        any
    }

    /// Tells the system how what stayed mapped will be read, and counts what must be in memory.
    pub(crate) fn settle(&mut self, allowance: &Arc<Allowance>) {
        self.files.payload.settle(self.placement);
        self.fields.values().for_each(|field| field.settle());
        self.sparse.values().for_each(|field| field.settle());
        self.count(allowance);
    }

    /// Counts the payload indexes against what the database may take.
    pub(crate) fn count(&mut self, allowance: &Arc<Allowance>) {
        self.held = Arc::new(allowance.take(self.indexes.memory_bytes() as u64));
    }

    /// Bytes of the payload indexes, as last counted.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.held.bytes()
    }

    /// The segment with the parts another one of the same files has pinned.
    pub(crate) fn with_parts_of(&self, other: &Self) -> Self {
        let mut sealed = self.clone();
        sealed.files = Arc::clone(&other.files);
        for (name, field) in &mut sealed.fields {
            if let Some(pinned) = other.fields.get(name) {
                *field = Arc::clone(pinned);
            }
        }
        for (name, field) in &mut sealed.sparse {
            if let Some(pinned) = other.sparse.get(name) {
                *field = Arc::clone(pinned);
            }
        }
        sealed
    }

    /// The saved indexes, if they are whole and those the configuration asks for.
    fn read_indexes(&self, fs: &FsRef, config: &CollectionConfig) -> Option<FieldIndexes> {
        let path = self.files.path.join(self.meta.indexes.as_ref()?);
        let file = SealedFile::open(fs, &path, kind::INDEXES, Check::Everything).ok()?;
        FieldIndexes::decode(file.data(), &config.payload_schema).ok()
    }

    /// The segment with payload indexes built in memory for a changed schema. Walks all payloads, unless nothing is indexed.
    pub(crate) fn reindexed(&self, config: &CollectionConfig) -> Result<Self> {
        let mut indexes = FieldIndexes::new(&config.payload_schema)?;
        if !config.payload_schema.is_empty() {
            for row in 0..self.meta.rows {
                indexes.add(row, &*self.payload(row)?);
            }
        }
        let nothing_to_save = config.payload_schema.is_empty() && self.meta.indexes.is_none();
        Ok(Self {
            indexes: Arc::new(indexes),
            held: Arc::new(Reservation::none()),
            selections: Arc::default(),
            indexes_saved: nothing_to_save,
            ..self.clone()
        })
    }

    /// The segment without a vector field; its files go with the next merge.
    pub(crate) fn without_field(&self, name: &str) -> Self {
        let mut sealed = self.clone();
        sealed.fields.remove(name);
        sealed.selections = Arc::default();
        sealed.meta.fields.retain(|field| field.name != name);
        sealed.sparse.remove(name);
        sealed.meta.sparse.retain(|field| field.name != name);
        sealed
    }

    /// The segment with the metadata a job has just made durable for `written`, a copy of this segment taken when it began.
    pub(crate) fn with_meta(&self, meta: SegmentMeta, written: &Self) -> Self {
        // Indexes that were rebuilt meanwhile are not those in the file.
        let indexes_saved = self.indexes_saved || (meta.indexes.is_some() && Arc::ptr_eq(&self.indexes, &written.indexes));
        Self { meta, indexes_saved, ..self.clone() }
    }

    pub(crate) fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    pub(crate) fn segment_id(&self) -> SegmentId {
        self.meta.id
    }

    /// Whether every field that is large enough for a graph has one of the configured shape, and the configured codes.
    pub(crate) fn is_indexed(&self, config: &CollectionConfig) -> bool {
        self.meta.fields.iter().all(|meta| {
            let Some((params, open)) = config.vectors.get(&meta.name).zip(self.fields.get(&meta.name)) else { return true };
            let wanted = super::build::graph_wanted(config, params, meta.stored());
            let codes = super::quantize::alike(meta.quantization.as_ref(), config.quantization_of(params));
            wanted.is_none_or(|linking| {
                // Where no tenant is large, there is nothing to link.
                let linked =
                    open.graph.as_ref().map_or(linking.by_tenant && meta.graph.is_none(), |graph| graph.is_divided() == linking.by_tenant);
                codes && linked && meta.graph_params == Some(linking.shape)
            })
        })
    }

    /// Fields whose searches wait for them to learn.
    pub(crate) fn due_lessons(&self) -> Vec<String> {
        let due = |(_, field): &(&String, &Arc<SealedField>)| field.graph.is_some() && field.calibrations.is_due();
        self.fields.iter().filter(due).map(|(name, _)| name.clone()).collect()
    }

    /// Lets a field learn; what a file is to keep of it.
    ///
    /// # Errors
    /// Unreadable files, and [`Error::Cancelled`].
    pub(crate) fn learn(&self, name: &str, full_scan_bytes: usize, cancel: &AtomicBool) -> Result<Option<Vec<u8>>> {
        self.fields.get(name).map(|field| field.calibrations.learn(self, name, full_scan_bytes, cancel)).transpose()
    }

    pub(crate) fn total_rows(&self) -> u32 {
        self.meta.rows
    }

    pub(crate) fn indexes(&self) -> &FieldIndexes {
        &self.indexes
    }

    pub(crate) fn indexes_saved(&self) -> bool {
        self.indexes_saved
    }

    /// Bytes of vectors, and of those among them that have a graph.
    pub(crate) fn vector_bytes(&self) -> (usize, usize) {
        let sparse = self.sparse.values().map(|field| field.rows.entries() * 8).sum();
        self.meta.fields.iter().filter_map(|field| Some((field, self.fields.get(&field.name)?))).fold(
            (sparse, 0),
            |(all, linked), (meta, field)| {
                let bytes = meta.stored() as usize * field.space.stride();
                let is_linked = field.graph.is_some() || (meta.graph.is_none() && meta.graph_params.is_some());
                (all + bytes, linked + if is_linked { bytes } else { 0 })
            },
        )
    }

    /// Bytes of memory, by component.
    pub(crate) fn memory(&self, smaps: &Smaps) -> MemoryReport {
        let mut report = MemoryReport::default();
        for field in self.fields.values() {
            report.vectors += field.vectors.memory(smaps);
            report.vectors += ComponentMemory::anonymous(field.present.as_ref().map_or(0, |present| heap::bitmap(present)));
            report.vectors += ComponentMemory::anonymous(field.groups.as_ref().map_or(0, |firsts| heap::vec::<u32>(firsts.len())));
            if let Some(codes) = &field.codes {
                report.codes += codes.placed().memory(smaps);
            }
            if let Some(graph) = &field.graph {
                report.graph += graph.placed().memory(smaps);
                report.caches += ComponentMemory::anonymous(graph.kept_bytes());
            }
        }
        self.sparse.values().for_each(|field| field.count_memory(smaps, &mut report));
        report.payload = self.files.payload.memory(smaps);
        report.ids = self.files.rows.memory(smaps);
        report.payload_indexes = ComponentMemory::anonymous(self.indexes.memory_bytes());
        report.tombstones = ComponentMemory::anonymous(self.tombstones.memory_bytes());
        report.caches += ComponentMemory::anonymous(self.selections.memory_bytes());
        report
    }

    /// Checks every byte of every file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming file and offset of the first damage, derived data included.
    pub(crate) fn verify(&self, fs: &FsRef) -> Result<()> {
        self.verify_rows()?;
        // Copies in memory say nothing about the files.
        if !self.files.payload.is_mapped() {
            SealedFile::open(fs, &self.files.path.join(PAYLOAD_FILE), kind::PAYLOAD, Check::Everything)?;
        }
        for row in 0..self.meta.rows {
            self.payload(row)?;
        }
        for field in &self.meta.fields {
            if self.fields.get(&field.name).is_some_and(|open| !open.vectors.is_mapped()) {
                SealedFile::open(fs, &self.files.path.join(&field.vectors), kind::VECTORS, Check::Everything)?;
            }
            if let Some(codes) = &field.codes {
                SealedFile::open(fs, &self.files.path.join(codes), kind::CODES, Check::Everything)?;
            }
            if let Some(graph) = &field.graph {
                SealedFile::open(fs, &self.files.path.join(graph), kind::GRAPH, Check::Everything)?;
            }
            if let Some(lengths) = &field.lengths {
                SealedFile::open(fs, &self.files.path.join(lengths), kind::LENGTHS, Check::Everything)?;
            }
        }
        for postings in self.meta.sparse.iter().filter_map(|field| field.postings.as_ref()) {
            SealedFile::open(fs, &self.files.path.join(postings), kind::POSTINGS, Check::Everything)?;
        }
        if let Some(indexes) = &self.meta.indexes {
            SealedFile::open(fs, &self.files.path.join(indexes), kind::INDEXES, Check::Everything)?;
        }
        Ok(())
    }

    /// Checks every byte that new files are made of, so that no damage gets a fresh checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming file and offset of the first damage.
    pub(crate) fn verify_rows(&self) -> Result<()> {
        self.files.rows.verify()?;
        self.files.payload.verify()?;
        self.sparse.values().try_for_each(|field| field.rows.placed().verify())?;
        self.fields.values().try_for_each(|field| field.vectors.verify())
    }

    fn payload_bytes(&self, row: u32) -> Option<&[u8]> {
        let data: &[u8] = &self.files.payload;
        let offsets: &[u64] = as_numbers(data.get(..(self.meta.rows as usize + 1) * 8)?)?;
        let from = usize::try_from(*offsets.get(row as usize)?).ok()?;
        let to = usize::try_from(*offsets.get(row as usize + 1)?).ok()?;
        data.get(from..to)
    }
}

impl SealedField {
    fn open(fs: &FsRef, path: &Path, meta: &super::FieldMeta, space: Space, placement: Placement, rows: u32) -> Result<Self> {
        let vectors = SealedFile::open(fs, &path.join(&meta.vectors), kind::VECTORS, Check::Structure)?;
        let groups = meta.groups.as_ref().map(|groups| read_groups(fs, path, groups, rows)).transpose()?;
        let stored = groups.as_ref().map_or(Some(rows), |firsts| firsts.last().copied()).unwrap_or_default();
        if vectors.data().len() != stored as usize * space.stride() {
            return Err(Error::corrupt(path.join(&meta.vectors), 0, "not as many bytes as the segment's rows need"));
        }
        let present = match &meta.present {
            Some(name) => Some(Arc::new(read_bitmap(fs, &path.join(name), kind::PRESENT)?)),
            None => None,
        };
        // Codes and graph are derived data: without them the field is scanned until the next merge makes new ones.
        let derived = |name: &str, kind: u32| SealedFile::open(fs, &path.join(name), kind, Check::Everything).ok().map(Placed::Mapped);
        let codes = meta.codes.as_ref().and_then(|name| Codes::open(derived(name, kind::CODES)?, stored)).map(Arc::new);
        let graph = meta.graph.as_ref().and_then(|name| graph_of(derived(name, kind::GRAPH)?, rows));
        let lengths = meta.lengths.as_ref().and_then(|name| derived(name, kind::LENGTHS));
        let calibrations = Calibrations::open(lengths.as_deref());
        Ok(Self {
            space,
            vectors: Arc::new(Placed::Mapped(vectors)),
            groups,
            present,
            graph,
            codes,
            calibrations: Arc::new(calibrations),
            placement,
        })
    }

    /// Copies a part into memory of our own; true when it was to be pinned and there was room.
    fn pin(&mut self, part: Part, rows: u32, allowance: &Arc<Allowance>) -> bool {
        let Placement { vectors, codes, graph } = self.placement;
        match part {
            Part::Graph if graph == Memory::Pinned => {
                let hot = self.graph.as_ref().and_then(|graph| graph_of(graph.placed().hot(allowance)?, rows));
                hot.map(|hot| self.graph = Some(hot)).is_some()
            }
            Part::Codes if codes == Memory::Pinned => {
                let stored = self.groups.as_ref().map_or(Some(rows), |firsts| firsts.last().copied()).unwrap_or_default();
                let hot = self.codes.as_ref().and_then(|codes| Codes::open(codes.placed().hot(allowance)?, stored));
                hot.map(|hot| self.codes = Some(Arc::new(hot))).is_some()
            }
            Part::Vectors if vectors == Some(Memory::Pinned) && self.vectors.fits(allowance) && self.vectors.verify().is_ok() => {
                self.vectors.hot(allowance).map(|hot| self.vectors = Arc::new(hot)).is_some()
            }
            Part::Graph | Part::Codes | Part::Postings | Part::Vectors | Part::Payload => false,
        }
    }

    fn settle(&self) {
        if let Some(graph) = &self.graph {
            graph.placed().settle(self.placement.graph);
        }
        if let Some(codes) = &self.codes {
            codes.placed().settle(self.placement.codes);
        }
        if let Some(vectors) = self.placement.vectors {
            self.vectors.settle(vectors);
        }
    }
}

/// Where a graph is to live.
pub(crate) fn graph_placement(hnsw: &HnswConfig) -> Memory {
    hnsw.memory.unwrap_or(if hnsw.on_disk == Some(true) { Memory::Cold } else { Memory::Pinned })
}

fn graph_of(links: Placed, rows: u32) -> Option<Arc<Graph>> {
    let graph = Links::open(links).map(Graph::new)?;
    let fits = graph.rows() == rows as usize || (graph.is_divided() && graph.rows() < rows as usize);
    fits.then(|| Arc::new(graph))
}

/// Where the parts of a field are to live.
#[derive(Debug, Clone, Copy)]
struct Placement {
    /// Nothing leaves it to the page cache, which reads nothing ahead.
    vectors: Option<Memory>,
    codes: Memory,
    graph: Memory,
}

impl Placement {
    fn of(config: &CollectionConfig, params: &VectorParams) -> Self {
        let hnsw = config.hnsw_of(params);
        Self {
            vectors: params.placement(),
            codes: config.quantization_of(params).and_then(QuantizationConfig::memory).unwrap_or(Memory::Pinned),
            graph: graph_placement(&hnsw),
        }
    }
}

/// The first row of each point, and the number of rows.
fn read_groups(fs: &FsRef, path: &Path, meta: &GroupsMeta, points: u32) -> Result<Arc<Vec<u32>>> {
    let path = path.join(&meta.file);
    let file = SealedFile::open(fs, &path, kind::GROUPS, Check::Everything)?;
    let firsts: Vec<u32> = file.data().as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    if firsts.len() != points as usize + 1 || !firsts.is_sorted() || firsts.last() != Some(&meta.rows) {
        return Err(Error::corrupt(path, 0, "not the groups of this segment's rows"));
    }
    Ok(Arc::new(firsts))
}

pub(super) fn read_bitmap(fs: &FsRef, path: &Path, kind: u32) -> Result<RoaringBitmap> {
    let file = SealedFile::open(fs, path, kind, Check::Everything)?;
    RoaringBitmap::deserialize_from(file.data()).map_err(|error| Error::corrupt(path, 0, error.to_string()))
}

impl Segment for Sealed {
    fn rows(&self, _at: Lsn) -> u32 {
        self.meta.rows
    }

    fn number(&self) -> Option<u64> {
        Some(self.meta.id.0)
    }

    fn id(&self, row: u32) -> PointId {
        self.files.ids.id(self.files.rows.data(), row)
    }

    fn version(&self, row: u32) -> Lsn {
        self.files.ids.version(self.files.rows.data(), row)
    }

    fn payload(&self, row: u32) -> Result<Cow<'_, Payload>> {
        let corrupt = |what: String| Error::corrupt(self.files.path.join(PAYLOAD_FILE), u64::from(row) * 8, what);
        let bytes = self.payload_bytes(row).ok_or_else(|| corrupt(format!("row {row} lies outside of the file")))?;
        if bytes.is_empty() {
            return Ok(Cow::Owned(Payload::new()));
        }
        serde_json::from_slice(bytes).map(Cow::Owned).map_err(|error| corrupt(format!("row {row}: {error}")))
    }

    fn payload_text(&self, row: u32) -> Result<Cow<'_, [u8]>> {
        let outside =
            || Error::corrupt(self.files.path.join(PAYLOAD_FILE), u64::from(row) * 8, format!("row {row} lies outside of the file"));
        self.payload_bytes(row).map(Cow::Borrowed).ok_or_else(outside)
    }

    fn find(&self, id: &PointId, at: Lsn) -> Option<u32> {
        self.files.ids.find(self.files.rows.data(), id).filter(|&row| self.tombstones.is_live(row, at))
    }

    fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        let field = self.fields.get(name)?;
        let rows = Rows::Flat { bytes: &field.vectors, stride: field.space.stride() };
        Some(Field {
            space: field.space,
            rows,
            groups: field.groups.as_ref().map(|firsts| Groups::Flat(firsts)),
            complete: field.present.is_none(),
            graph: field.graph.as_deref(),
            codes: field.codes.as_deref(),
        })
    }

    fn field_names(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    fn has_vector(&self, name: &str, row: u32) -> bool {
        match self.fields.get(name) {
            Some(field) => field.present.as_ref().is_none_or(|present| present.contains(row)),
            None => self.sparse.get(name).is_some_and(|field| field.has(row)),
        }
    }

    fn sparse(&self, name: &str) -> Option<SparseField<'_>> {
        self.sparse.get(name).map(|field| field.field())
    }

    fn sparse_names(&self) -> Vec<String> {
        self.sparse.keys().cloned().collect()
    }

    fn sparse_row(&self, name: &str, row: u32) -> SparseRow<'_> {
        self.sparse.get(name).map_or_else(SparseRow::default, |field| field.rows.get(row))
    }

    fn scanned(&self, name: &str) {
        if let Some(field) = self.fields.get(name).filter(|field| field.placement.vectors == Some(Memory::Cold)) {
            field.vectors.release();
        }
    }

    fn read_unmapped(&self, name: &str, rows: &[u32], into: &mut Vec<u64>) -> bool {
        let Some(field) = self.fields.get(name).filter(|field| field.placement.vectors == Some(Memory::Cold)) else { return false };
        if field.groups.is_some() {
            return false;
        }
        let stride = field.space.stride();
        into.resize((rows.len() * stride).div_ceil(8), 0);
        let slots = bytemuck::cast_slice_mut(into).chunks_exact_mut(stride);
        rows.iter().zip(slots).all(|(&row, slot)| field.vectors.read_unmapped(row as usize * stride, slot))
    }

    fn calibrations(&self, name: &str) -> Option<&Calibrations> {
        self.fields.get(name).filter(|field| field.graph.is_some()).map(|field| &*field.calibrations)
    }

    fn selections(&self) -> Option<&SelectionCache> {
        Some(&self.selections)
    }

    fn with_indexes(&self, run: &mut dyn FnMut(&FieldIndexes)) {
        run(&self.indexes);
    }

    fn by_id(&self, from: Option<&PointId>, visit: &mut dyn FnMut(u32) -> bool) {
        let bytes = self.files.rows.data();
        let start = from.map_or(0, |id| self.files.ids.lower_bound(bytes, id));
        for &row in self.files.ids.by_id(bytes).get(start..).unwrap_or_default() {
            if !visit(row) {
                return;
            }
        }
    }
}
