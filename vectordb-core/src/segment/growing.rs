//! The segment that takes writes: in memory, durable through the log alone, searched by scanning.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::append::AppendVec;
use super::sparse::{GrowingSparse, SparseField};
use super::{Field, Segment, Tombstones};
use crate::error::Result;
use crate::model::PointId;
use crate::model::config::{CollectionConfig, VectorParams};
use crate::model::payload::Payload;
use crate::model::point::Lsn;
use crate::model::vector::{SparseVector, Vector, Vectors};
use crate::payload::index::FieldIndexes;
use crate::sparse::SparseRow;
use crate::storage::allowance::{Allowance, Reservation};
use crate::storage::heap;
use crate::vectors::{Groups, Rows, RowsBuf, Space};

/// First row and number of rows.
const GROUP_BYTES: usize = 8;
/// A number of a sparse vector in its row and in its list.
const SPARSE_ENTRY_BYTES: usize = 16;

/// Rows in memory. One writer appends, any number of readers look.
#[derive(Debug)]
pub(crate) struct Growing {
    rows: AppendVec<Row>,
    /// Newest row of each id; older ones hang on it by [`Row::previous`].
    ids: RwLock<BTreeMap<PointId, u32>>,
    fields: BTreeMap<String, GrowingField>,
    sparse: BTreeMap<String, GrowingSparse>,
    indexes: RwLock<FieldIndexes>,
    tombstones: Tombstones,
    vector_bytes: AtomicUsize,
    payload_bytes: AtomicUsize,
    /// What ids and payloads own on the heap.
    owned_bytes: AtomicUsize,
    /// What is counted of it against the database's limit.
    held: Reservation,
}

#[derive(Debug)]
struct Row {
    id: PointId,
    version: Lsn,
    payload: Payload,
    /// The row this id had before, in this segment.
    previous: Option<u32>,
    /// Fields the row has a vector in, by their position among the segment's fields.
    present: Box<[u64]>,
    /// By their slots; empty ones for fields the row has no vector in.
    sparse: Box<[SparseVector]>,
}

impl Row {
    fn has(&self, position: usize) -> bool {
        self.present[position / 64] & (1 << (position % 64)) != 0
    }
}

#[derive(Debug)]
struct GrowingField {
    position: usize,
    space: Space,
    rows: RowsBuf,
    /// First row and number of rows of each point, where a point has several.
    groups: Option<RowsBuf>,
    missing: AtomicU32,
    /// Set when the vector is removed from the collection. Relaxed: readers of an older view may or may not see it.
    dropped: AtomicBool,
}

impl GrowingField {
    /// Takes a point's vector in, before readers see the point; the bytes it takes.
    fn add(&self, vector: Option<&Vector>) -> usize {
        if vector.is_none() {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
        let stride = self.space.stride();
        let Some(groups) = &self.groups else {
            let bytes = vector.and_then(Vector::as_dense).map(|values| self.space.encode(values));
            self.rows.push(&bytes.unwrap_or_default());
            return stride;
        };
        let first = self.rows.len();
        if let Some(vector) = vector.and_then(Vector::as_multi) {
            vector.rows().for_each(|row| self.rows.push(&self.space.encode(row)));
        }
        let count = self.rows.len() - first;
        groups.push(&[first.to_le_bytes(), count.to_le_bytes()].concat());
        count as usize * stride + GROUP_BYTES
    }

    fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes() + self.groups.as_ref().map_or(0, RowsBuf::memory_bytes)
    }
}

impl Growing {
    /// An empty segment with the fields and indexes of a configuration.
    ///
    /// # Errors
    /// Those of a payload index whose settings cannot be used.
    pub(crate) fn new(config: &CollectionConfig, allowance: &Arc<Allowance>) -> Result<Self> {
        let field = |(position, (name, params)): (usize, (&String, &VectorParams))| {
            let space = Space::of(params);
            (
                name.clone(),
                GrowingField {
                    position,
                    space,
                    rows: RowsBuf::new(space.stride()),
                    groups: params.multivector_config.map(|_| RowsBuf::new(GROUP_BYTES)),
                    missing: AtomicU32::new(0),
                    dropped: AtomicBool::new(false),
                },
            )
        };
        let dense = config.vectors.len();
        let sparse = config.sparse_vectors.keys().enumerate();
        Ok(Self {
            sparse: sparse.map(|(slot, name)| (name.clone(), GrowingSparse::new(dense + slot, slot))).collect(),
            rows: AppendVec::new(),
            ids: RwLock::new(BTreeMap::new()),
            fields: config.vectors.iter().enumerate().map(field).collect(),
            indexes: RwLock::new(FieldIndexes::new(&config.payload_schema)?),
            tombstones: Tombstones::new(),
            vector_bytes: AtomicUsize::new(0),
            payload_bytes: AtomicUsize::new(0),
            owned_bytes: AtomicUsize::new(0),
            held: allowance.take(0),
        })
    }

    /// Appends a point; readers see it when its lsn is published. Vectors of unknown names are left out.
    pub(crate) fn insert(&self, id: PointId, version: Lsn, vectors: &Vectors, payload: Payload, payload_bytes: usize) -> u32 {
        let row = self.rows.len();
        let mut present = vec![0u64; (self.fields.len() + self.sparse.len()).div_ceil(64)].into_boxed_slice();
        let mut bytes = 0;
        for (name, field) in &self.fields {
            let vector = vectors.get(name);
            bytes += field.add(vector);
            if vector.is_some() {
                present[field.position / 64] |= 1 << (field.position % 64);
            }
        }
        let mut sparse = Vec::with_capacity(self.sparse.len());
        for (name, field) in &self.sparse {
            let vector = vectors.get(name).and_then(Vector::as_sparse);
            if let Some(vector) = vector {
                present[field.position / 64] |= 1 << (field.position % 64);
                bytes += vector.indices().len() * SPARSE_ENTRY_BYTES;
            }
            field.add(row, vector);
            sparse.push(vector.cloned().unwrap_or_default());
        }
        if !payload.is_empty() {
            self.indexes.write().add(row, &payload);
        }
        let entries: usize = sparse.iter().map(|vector| heap::vec::<u64>(vector.indices().len())).sum();
        let owned = owned_bytes(&id, &payload) + heap::vec::<u64>(present.len()) + heap::vec::<SparseVector>(sparse.len()) + entries;
        let mut ids = self.ids.write();
        let previous = ids.insert(id.clone(), row);
        self.rows.push(Row { id, version, payload, previous, present, sparse: sparse.into() });
        drop(ids);
        self.vector_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.payload_bytes.fetch_add(payload_bytes + 64, Ordering::Relaxed);
        self.owned_bytes.fetch_add(owned, Ordering::Relaxed);
        self.held.set(self.counted_bytes() as u64);
        row
    }

    /// Replaces the payload indexes by those of a new schema; returns when all rows are in them.
    pub(crate) fn reindex(&self, config: &CollectionConfig) -> Result<()> {
        let mut indexes = FieldIndexes::new(&config.payload_schema)?;
        for row in 0..self.rows.len() {
            if let Some(row_data) = self.rows.get(row) {
                indexes.add(row, &row_data.payload);
            }
        }
        *self.indexes.write() = indexes;
        Ok(())
    }

    /// Hides a vector field for ever, also from a new one of its name.
    pub(crate) fn drop_field(&self, name: &str) {
        if let Some(field) = self.fields.get(name) {
            field.dropped.store(true, Ordering::Relaxed);
        }
        if let Some(field) = self.sparse.get(name) {
            field.dropped.store(true, Ordering::Relaxed);
        }
    }

    fn open_field(&self, name: &str) -> Option<&GrowingField> {
        self.fields.get(name).filter(|field| !field.dropped.load(Ordering::Relaxed))
    }

    fn open_sparse(&self, name: &str) -> Option<&GrowingSparse> {
        self.sparse.get(name).filter(|field| !field.dropped.load(Ordering::Relaxed))
    }

    pub(crate) fn len(&self) -> u32 {
        self.rows.len()
    }

    /// Bytes of all vectors, the empty places of missing ones included.
    pub(crate) fn vector_bytes(&self) -> usize {
        self.vector_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of memory; walks through the payload indexes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let lists: usize = self.sparse.values().map(GrowingSparse::memory_bytes).sum();
        self.column_bytes() + lists + self.indexes.read().memory_bytes() + self.tombstones.memory_bytes()
    }

    /// Vectors, rows and ids.
    fn column_bytes(&self) -> usize {
        let vectors: usize = self.fields.values().map(GrowingField::memory_bytes).sum();
        let ids = heap::tree::<PointId, u32>(self.rows.len() as usize);
        vectors + self.rows.memory_bytes() + ids + self.owned_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of memory, about: what the indexes take is guessed, since this is asked for every row.
    pub(crate) fn counted_bytes(&self) -> usize {
        self.column_bytes() + self.payload_bytes.load(Ordering::Relaxed) / 2
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes.load(Ordering::Relaxed)
    }
}

/// What an id and a payload own on the heap.
pub(crate) fn owned_bytes(id: &PointId, payload: &Payload) -> usize {
    // An id of text is there twice: in the row, and in the tree of ids.
    let id = if let PointId::Str(text) = id { 2 * heap::block(text.len()) } else { 0 };
    id + heap::payload(payload)
}

impl Segment for Growing {
    fn rows(&self, at: Lsn) -> u32 {
        // The common reader is at the newest lsn, for which the last row answers alone.
        let len = self.rows.len();
        match len.checked_sub(1).and_then(|last| self.rows.get(last)) {
            Some(last) if last.version > at => self.rows.partition_point(|row| row.version <= at),
            _ => len,
        }
    }

    fn id(&self, row: u32) -> PointId {
        self.rows.get(row).map_or(PointId::Num(0), |row| row.id.clone())
    }

    fn version(&self, row: u32) -> Lsn {
        self.rows.get(row).map_or(Lsn::ZERO, |row| row.version)
    }

    fn payload(&self, row: u32) -> Result<Cow<'_, Payload>> {
        Ok(match self.rows.get(row) {
            Some(row) => Cow::Borrowed(&row.payload),
            // Only reached through a row number from outside the segment.
            None => Cow::Owned(Payload::new()),
        })
    }

    fn find(&self, id: &PointId, at: Lsn) -> Option<u32> {
        let mut newest = self.ids.read().get(id).copied();
        while let Some(row) = newest {
            let data = self.rows.get(row)?;
            if data.version <= at {
                return self.tombstones.is_live(row, at).then_some(row);
            }
            newest = data.previous;
        }
        None
    }

    fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        let field = self.open_field(name)?;
        // Missing vectors of rows newer than the reader's lsn only cost a look at each row.
        let complete = field.missing.load(Ordering::Relaxed) == 0;
        let groups = field.groups.as_ref().map(Groups::Chunked);
        Some(Field { space: field.space, rows: Rows::Chunked(&field.rows), groups, complete, graph: None, codes: None })
    }

    fn field_names(&self) -> Vec<String> {
        self.fields.keys().filter(|name| self.open_field(name).is_some()).cloned().collect()
    }

    fn has_vector(&self, name: &str, row: u32) -> bool {
        let dense = self.open_field(name).map(|field| field.position);
        let Some(position) = dense.or_else(|| self.open_sparse(name).map(|field| field.position)) else { return false };
        self.rows.get(row).is_some_and(|row| row.has(position))
    }

    fn sparse(&self, name: &str) -> Option<SparseField<'_>> {
        self.open_sparse(name).map(GrowingSparse::field)
    }

    fn sparse_names(&self) -> Vec<String> {
        self.sparse.keys().filter(|name| self.open_sparse(name).is_some()).cloned().collect()
    }

    fn sparse_row(&self, name: &str, row: u32) -> SparseRow<'_> {
        let found = self.open_sparse(name).zip(self.rows.get(row)).and_then(|(field, row)| row.sparse.get(field.slot));
        found.map_or_else(SparseRow::default, SparseRow::of)
    }

    fn with_indexes(&self, run: &mut dyn FnMut(&FieldIndexes)) {
        run(&self.indexes.read());
    }

    fn by_id(&self, from: Option<&PointId>, visit: &mut dyn FnMut(u32) -> bool) {
        let ids = self.ids.read();
        let start = from.map_or(Bound::Unbounded, Bound::Included);
        for (_, &newest) in ids.range::<PointId, _>((start, Bound::Unbounded)) {
            let mut row = Some(newest);
            while let Some(version) = row {
                if !visit(version) {
                    return;
                }
                row = self.rows.get(version).and_then(|row| row.previous);
            }
        }
    }
}
