//! Names of a sealed segment's files, and what the manifest says of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::graph::GraphParams;
use crate::model::quantization::QuantizationConfig;

/// Number of a segment, unique in its collection for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SegmentId(pub(crate) u64);

/// What is inside a file; stands in its header.
pub(super) mod kind {
    pub(in crate::segment) const ROWS: u32 = 1;
    pub(in crate::segment) const PAYLOAD: u32 = 2;
    pub(in crate::segment) const VECTORS: u32 = 3;
    pub(in crate::segment) const PRESENT: u32 = 4;
    pub(in crate::segment) const GRAPH: u32 = 5;
    pub(in crate::segment) const INDEXES: u32 = 6;
    pub(in crate::segment) const TOMBSTONES: u32 = 7;
    pub(in crate::segment) const CODES: u32 = 8;
    pub(in crate::segment) const SPARSE: u32 = 9;
    pub(in crate::segment) const POSTINGS: u32 = 10;
    pub(in crate::segment) const GROUPS: u32 = 11;
    pub(in crate::segment) const LENGTHS: u32 = 12;
}

/// A sealed segment as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentMeta {
    pub(crate) id: SegmentId,
    pub(crate) rows: u32,
    pub(crate) fields: Vec<FieldMeta>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sparse: Vec<SparseMeta>,
    /// File of the payload indexes.
    pub(crate) indexes: Option<String>,
    /// File of the rows dead at the manifest's lsn; none when all are alive.
    pub(crate) tombstones: Option<String>,
    /// Rows in that file.
    pub(crate) dead: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
}

/// A vector field of a sealed segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FieldMeta {
    pub(crate) name: String,
    pub(crate) vectors: String,
    /// Set where points have several rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<GroupsMeta>,
    /// File of the rows that have a vector; none when all have.
    pub(crate) present: Option<String>,
    /// File of the rows' codes, if the field is searched by codes.
    pub(crate) codes: Option<String>,
    /// What was configured when the codes were made, or left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quantization: Option<QuantizationConfig>,
    pub(crate) graph: Option<String>,
    pub(crate) graph_params: Option<GraphParams>,
    /// File of what was learned about lengths of candidate lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lengths: Option<String>,
    /// Rows that have a vector.
    pub(crate) count: u32,
}

/// Which rows belong to which point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupsMeta {
    pub(crate) file: String,
    /// Rows of all points.
    pub(crate) rows: u32,
}

impl FieldMeta {
    /// Vectors that were stored: one for each point that has one, or as many as its multivector has.
    pub(crate) fn stored(&self) -> u32 {
        self.groups.as_ref().map_or(self.count, |groups| groups.rows)
    }
}

/// A sparse vector field of a sealed segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SparseMeta {
    pub(crate) name: String,
    /// File of the vectors, row by row.
    pub(crate) vectors: String,
    /// File of the rows that have a vector; none when all have.
    pub(crate) present: Option<String>,
    /// File of the lists.
    pub(crate) postings: Option<String>,
    /// Rows that have a vector.
    pub(crate) count: u32,
}

impl SegmentMeta {
    /// Names of all files, in the segment's directory.
    pub(crate) fn file_names(&self) -> Vec<&str> {
        let mut names = vec![super::sealed::ROWS_FILE, super::sealed::PAYLOAD_FILE];
        for field in &self.fields {
            names.push(&field.vectors);
            names.extend(field.groups.as_ref().map(|groups| groups.file.as_str()));
            names.extend(field.present.as_deref());
            names.extend(field.codes.as_deref());
            names.extend(field.graph.as_deref());
            names.extend(field.lengths.as_deref());
        }
        for field in &self.sparse {
            names.push(&field.vectors);
            names.extend(field.present.as_deref());
            names.extend(field.postings.as_deref());
        }
        names.extend(self.indexes.as_deref());
        names.extend(self.tombstones.as_deref());
        names
    }
}

/// The directory of a segment.
pub(crate) fn directory(collection: &Path, id: SegmentId) -> PathBuf {
    collection.join("segments").join(format!("{:010}", id.0))
}
