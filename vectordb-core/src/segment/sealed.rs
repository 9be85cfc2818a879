//! A segment of files that never change, mapped into memory.
//!
//! What the engine walks through (ids, presence, tombstones) is checked whole when the segment opens. Vectors and payloads
//! are large and are checked by [`Sealed::verify`]. Graph and payload indexes are derived data: a damaged one is dropped and
//! built again from the rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::files::{SegmentId, SegmentMeta, kind};
use super::ids::IdTable;
use super::selection::SelectionCache;
use super::{Field, Segment, Tombstones};
use crate::error::{Error, Result};
use crate::graph::{Graph, Links};
use crate::model::PointId;
use crate::model::config::{CollectionConfig, Memory, VectorParams};
use crate::model::payload::Payload;
use crate::model::point::Lsn;
use crate::model::quantization::QuantizationConfig;
use crate::payload::index::FieldIndexes;
use crate::quantization::Codes;
use crate::storage::fs::FsRef;
use crate::storage::mmap::as_numbers;
use crate::storage::placed::Placed;
use crate::storage::sealed_file::{Check, SealedFile};
use crate::vectors::{Rows, Space};

pub(super) const ROWS_FILE: &str = "rows";
pub(super) const PAYLOAD_FILE: &str = "payload";

/// A sealed segment. Cloning shares the files and the tombstones.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    meta: SegmentMeta,
    files: Arc<Files>,
    fields: BTreeMap<String, Arc<SealedField>>,
    indexes: Arc<FieldIndexes>,
    /// What these indexes found for the last filters.
    selections: Arc<SelectionCache>,
    /// Whether the indexes lie in a file; else they were built in memory and wait for a job to write them.
    indexes_saved: bool,
    tombstones: Arc<Tombstones>,
}

#[derive(Debug)]
struct Files {
    path: PathBuf,
    ids: IdTable,
    rows: SealedFile,
    payload: SealedFile,
}

#[derive(Debug)]
struct SealedField {
    space: Space,
    vectors: SealedFile,
    present: Option<RoaringBitmap>,
    graph: Option<Graph>,
    codes: Option<Codes>,
}

impl Sealed {
    /// Opens a segment's files; rows in its tombstone file are dead since `at`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when base data is damaged or does not fit the metadata.
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
        let mut sealed = Self {
            files: Arc::new(Files { path, ids, rows, payload }),
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
        Ok(Self { indexes: Arc::new(indexes), selections: Arc::default(), indexes_saved: nothing_to_save, ..self.clone() })
    }

    /// The segment without a vector field; its files go with the next merge.
    pub(crate) fn without_field(&self, name: &str) -> Self {
        let mut sealed = self.clone();
        sealed.fields.remove(name);
        sealed.selections = Arc::default();
        sealed.meta.fields.retain(|field| field.name != name);
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
            let shape = super::build::graph_wanted(config, params, meta.count);
            let codes = super::quantize::alike(meta.quantization.as_ref(), config.quantization_of(params));
            shape.is_none_or(|shape| codes && open.graph.as_ref().is_some_and(|graph| graph.params() == shape))
        })
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
        self.meta.fields.iter().filter_map(|field| Some((field, self.fields.get(&field.name)?))).fold(
            (0, 0),
            |(all, linked), (meta, field)| {
                let bytes = meta.count as usize * field.space.stride();
                (all + bytes, linked + if field.graph.is_some() { bytes } else { 0 })
            },
        )
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let fields = self
            .fields
            .values()
            .map(|field| field.graph.as_ref().map_or(0, Graph::memory_bytes) + field.codes.as_ref().map_or(0, Codes::memory_bytes));
        fields.sum::<usize>() + self.indexes.memory_bytes() + self.tombstones.memory_bytes() + self.selections.memory_bytes()
    }

    /// Checks every byte of every file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming file and offset of the first damage, derived data included.
    pub(crate) fn verify(&self, fs: &FsRef) -> Result<()> {
        self.verify_rows()?;
        for row in 0..self.meta.rows {
            self.payload(row)?;
        }
        for field in &self.meta.fields {
            if let Some(codes) = &field.codes {
                SealedFile::open(fs, &self.files.path.join(codes), kind::CODES, Check::Everything)?;
            }
            if let Some(graph) = &field.graph {
                SealedFile::open(fs, &self.files.path.join(graph), kind::GRAPH, Check::Everything)?;
            }
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
        self.fields.values().try_for_each(|field| field.vectors.verify())
    }

    fn payload_bytes(&self, row: u32) -> Option<&[u8]> {
        let data = self.files.payload.data();
        let offsets: &[u64] = as_numbers(data.get(..(self.meta.rows as usize + 1) * 8)?)?;
        let from = usize::try_from(*offsets.get(row as usize)?).ok()?;
        let to = usize::try_from(*offsets.get(row as usize + 1)?).ok()?;
        data.get(from..to)
    }
}

impl SealedField {
    fn open(fs: &FsRef, path: &Path, meta: &super::FieldMeta, space: Space, placement: Placement, rows: u32) -> Result<Self> {
        let vectors = SealedFile::open(fs, &path.join(&meta.vectors), kind::VECTORS, Check::Structure)?;
        if vectors.data().len() != rows as usize * space.stride() {
            return Err(Error::corrupt(path.join(&meta.vectors), 0, "not as many bytes as the segment's rows need"));
        }
        let present = match &meta.present {
            Some(name) => Some(read_bitmap(fs, &path.join(name), kind::PRESENT)?),
            None => None,
        };
        // Codes and graph are derived data: without them the field is scanned until the next merge makes new ones.
        let derived = |name: &str, kind: u32, memory: Option<Memory>| {
            let file = SealedFile::open(fs, &path.join(name), kind, Check::Everything).ok()?;
            match memory.unwrap_or(Memory::Pinned) {
                Memory::Pinned => Placed::hot(&file).ok(),
                Memory::Cached | Memory::Cold => Some(Placed::Mapped(file)),
            }
        };
        let codes = meta.codes.as_ref().and_then(|name| Codes::open(derived(name, kind::CODES, placement.codes)?, rows));
        let graph = meta.graph.as_ref().and_then(|name| {
            Links::open(derived(name, kind::GRAPH, placement.graph)?).filter(|links| links.rows() == rows as usize).map(Graph::new)
        });
        Ok(Self { space, vectors, present, graph, codes })
    }
}

/// Where the parts of a field live.
#[derive(Debug, Clone, Copy, Default)]
struct Placement {
    codes: Option<Memory>,
    graph: Option<Memory>,
}

impl Placement {
    fn of(config: &CollectionConfig, params: &VectorParams) -> Self {
        let hnsw = config.hnsw_of(params);
        Self {
            codes: config.quantization_of(params).and_then(QuantizationConfig::memory),
            graph: hnsw.memory.or((hnsw.on_disk == Some(true)).then_some(Memory::Cold)),
        }
    }
}

fn read_bitmap(fs: &FsRef, path: &Path, kind: u32) -> Result<RoaringBitmap> {
    let file = SealedFile::open(fs, path, kind, Check::Everything)?;
    RoaringBitmap::deserialize_from(file.data()).map_err(|error| Error::corrupt(path, 0, error.to_string()))
}

impl Segment for Sealed {
    fn rows(&self, _at: Lsn) -> u32 {
        self.meta.rows
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

    fn find(&self, id: &PointId, at: Lsn) -> Option<u32> {
        self.files.ids.find(self.files.rows.data(), id).filter(|&row| self.tombstones.is_live(row, at))
    }

    fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        let field = self.fields.get(name)?;
        let rows = Rows::Flat { bytes: field.vectors.data(), stride: field.space.stride() };
        Some(Field {
            space: field.space,
            rows,
            complete: field.present.is_none(),
            graph: field.graph.as_ref(),
            codes: field.codes.as_ref(),
        })
    }

    fn field_names(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    fn has_vector(&self, name: &str, row: u32) -> bool {
        self.fields.get(name).is_some_and(|field| field.present.as_ref().is_none_or(|present| present.contains(row)))
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
