//! The unit of search: a set of rows that only loses rows once it is sealed.
//!
//! A segment is either [`Growing`], in memory and appended to by the collection's writer, or [`Sealed`], files that never
//! change. A row is live at lsn `v` when `inserted ≤ v < deleted`; the only thing that ever changes about a sealed row is its
//! tombstone. A reader that holds an lsn therefore sees exactly that state, whatever the writer does meanwhile.
//!
//! Files: `growing`, `sealed` (the two kinds), `append` (rows with stable addresses), `tombstones`, `ids` (the id table),
//! `build` (inputs → files, used by seal and merge alike), `order` (rows of a cluster side by side),
//! `quantize` (codes), `calibrate`, `lesson` and `division` (candidate lists for a recall: what was learned, learning it, and
//! rows that stand for a filter), `files` (names and metadata), `matcher` (a filter over a segment), `selection` (the rows an index found), `search` (plan → walk or scan → hits),
//! `scan`, `sparse` (fields of sparse vectors and searches over them), `text` (rankings of texts).

mod append;
mod build;
mod calibrate;
mod division;
mod files;
mod growing;
mod ids;
mod lesson;
mod matcher;
#[cfg(feature = "linalg")]
mod order;
mod quantize;
mod scan;
mod sealed;
mod search;
mod selection;
mod sparse;
mod text;
mod tombstones;

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::PointId;
use crate::model::payload::Payload;
use crate::model::point::Lsn;
use crate::model::vector::{MultiVector, Vector, Vectors};
use crate::payload::index::FieldIndexes;
use crate::quantization::Codes;
use crate::sparse::SparseRow;
use crate::vectors::{Groups, Rows, Space};
use selection::SelectionCache;

pub(crate) use build::{Built, Input, SegmentBuilder, build_bytes, write_indexes, write_lengths, write_tombstones};
pub(crate) use calibrate::Calibrations;
pub(crate) use files::{FieldMeta, SegmentId, SegmentMeta, directory};
pub(crate) use growing::{Growing, owned_bytes};
pub(crate) use matcher::{CompiledFilter, Matcher};
pub(crate) use quantize::code_stride;
pub(crate) use sealed::{Sealed, graph_placement, pin_all};
pub(crate) use search::{Leaf, Trace, search};
pub(crate) use sparse::SparseField;
pub(crate) use text::{QueryWord, TextCounts, TextLeaf, rank_texts};
pub(crate) use tombstones::Tombstones;

/// A vector field of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) space: Space,
    pub(crate) rows: Rows<'a>,
    /// Set where a point has several rows.
    pub(crate) groups: Option<Groups<'a>>,
    /// Whether every row has a vector in this field.
    pub(crate) complete: bool,
    pub(crate) graph: Option<&'a Graph>,
    pub(crate) codes: Option<&'a Codes>,
}

impl Field<'_> {
    /// The vector of a point as the user gets it.
    pub(crate) fn vector(&self, point: u32) -> Vector {
        let decode = |row| self.space.decode(self.rows.get(row));
        match self.groups {
            None => Vector::Dense(decode(point)),
            Some(groups) => {
                let values = groups.range(point).flat_map(decode).collect();
                MultiVector::flat(self.space.dim, values).map_or_else(|_| Vector::Dense(Vec::new()), Vector::Multi)
            }
        }
    }

    /// Rows of the first points.
    pub(crate) fn rows_of(&self, points: u32) -> u32 {
        self.groups.map_or(points, |groups| groups.rows_of(points))
    }
}

/// What reads need of a segment.
pub(crate) trait Segment: Send + Sync + fmt::Debug {
    /// Rows inserted up to an lsn: rows `0..n`, live or not.
    fn rows(&self, at: Lsn) -> u32;
    fn id(&self, row: u32) -> PointId;
    /// The number of a sealed segment.
    fn number(&self) -> Option<u64> {
        None
    }
    /// Lsn of the row's insertion, which is the version of its point.
    fn version(&self, row: u32) -> Lsn;
    fn payload(&self, row: u32) -> Result<Cow<'_, Payload>>;
    /// The payload as JSON text; empty when the payload is.
    fn payload_text(&self, row: u32) -> Result<Cow<'_, [u8]>> {
        let payload = self.payload(row)?;
        if payload.is_empty() {
            return Ok(Cow::default());
        }
        serde_json::to_vec(&*payload).map(Cow::Owned).map_err(|error| Error::Internal { what: error.to_string() })
    }
    /// The row of a point that is live at an lsn.
    fn find(&self, id: &PointId, at: Lsn) -> Option<u32>;
    fn tombstones(&self) -> &Tombstones;
    fn field(&self, name: &str) -> Option<Field<'_>>;
    fn field_names(&self) -> Vec<String>;
    fn sparse(&self, name: &str) -> Option<SparseField<'_>>;
    fn sparse_names(&self) -> Vec<String>;
    /// The sparse vector of a row; empty when it has none.
    fn sparse_row(&self, name: &str, row: u32) -> SparseRow<'_>;
    /// Whether a row has a vector of this name, of any kind.
    fn has_vector(&self, name: &str, row: u32) -> bool;
    /// Told when all vectors of a field have been read, so that those that are to stay on disk can go.
    fn scanned(&self, _name: &str) {}
    /// Reads vectors that are to stay on disk without mapping them, one after another; false when they are not such.
    fn read_unmapped(&self, _name: &str, _rows: &[u32], _into: &mut Vec<u64>) -> bool {
        false
    }
    /// Where a field keeps what was learned about the lengths of candidate lists, if it has a graph.
    fn calibrations(&self, _name: &str) -> Option<&Calibrations> {
        None
    }
    /// Selections of earlier filters, where rows never change.
    fn selections(&self) -> Option<&SelectionCache> {
        None
    }
    /// Runs with the payload indexes. They may hold rows newer than the reader's lsn.
    fn with_indexes(&self, run: &mut dyn FnMut(&FieldIndexes));
    /// Rows in the order of their ids, from the first id that is not below `from`; dead rows and old versions included.
    fn by_id(&self, from: Option<&PointId>, visit: &mut dyn FnMut(u32) -> bool);

    /// The vectors of a row whose names are wanted.
    fn vectors(&self, row: u32, wanted: &dyn Fn(&str) -> bool) -> Vectors {
        let mut vectors = Vectors::default();
        for name in self.field_names() {
            if wanted(&name)
                && self.has_vector(&name, row)
                && let Some(field) = self.field(&name)
            {
                vectors.insert(name, field.vector(row));
            }
        }
        for name in self.sparse_names().into_iter().filter(|name| wanted(name) && self.has_vector(name, row)) {
            let vector = self.sparse_row(&name, row).to_vector();
            vectors.insert(name, vector);
        }
        vectors
    }
}
