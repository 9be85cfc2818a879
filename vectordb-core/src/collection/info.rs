//! What a collection says about itself.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::config::{CollectionConfig, FieldSchema};
use crate::model::memory::{ComponentMemory, MemoryReport};
use crate::model::point::Lsn;
use crate::segment::Segment;
use crate::storage::smaps::Smaps;

use super::maintain::Effort;
use super::{Collection, View};

/// Whether a collection is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing waits to be done.
    Green,
    /// Background work is under way or waits.
    Yellow,
    /// The last job or write failed; see [`CollectionInfo::error`].
    Red,
}

/// A collection's figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionInfo {
    /// Whether work is going on.
    pub status: Status,
    /// Points, exactly.
    pub points: u64,
    /// Vectors that a graph leads to.
    pub indexed_vectors: u64,
    /// The segments, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Lsn of the newest update that reads see.
    pub lsn: Lsn,
    /// Bytes of all files, the log included.
    pub disk_bytes: u64,
    /// Bytes of memory that the engine holds itself. [`Collection::memory`](crate::Collection::memory) tells more, and looks at every
    /// page for that.
    pub memory_bytes: u64,
    /// Segments that wait to be sealed.
    pub pending_seals: usize,
    /// The job under way.
    pub running_job: Option<JobProgress>,
    /// A job that is due, but waits for memory.
    pub deferred_job: Option<DeferredJob>,
    /// What made the status red.
    pub error: Option<String>,
    /// Payload indexes by path.
    pub payload_schema: BTreeMap<String, FieldInfo>,
    /// The configuration.
    pub config: CollectionConfig,
}

/// A payload index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FieldInfo {
    /// Its settings.
    pub schema: FieldSchema,
    /// Points that have values in it.
    pub points: u64,
}

/// A segment's figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Where it is in its life.
    pub kind: SegmentKind,
    /// Rows, dead ones included.
    pub rows: u64,
    /// Dead rows.
    pub deleted: u64,
    /// Whether graphs lead to its vectors.
    pub indexed: bool,
    /// Bytes on disk, or of memory for segments that are not on disk yet.
    pub bytes: u64,
}

/// Where a segment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentKind {
    /// Takes writes.
    Growing,
    /// Waits to be sealed.
    Frozen,
    /// In files.
    Sealed,
}

/// What kind of job is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Turning a full growing segment into files.
    Seal,
    /// Making one segment of several, with a graph.
    Merge,
    /// Rewriting a segment without its dead rows.
    Vacuum,
    /// Learning how long candidate lists must be for the recalls that searches ask for.
    Learn,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// What it does.
    pub kind: JobKind,
    /// Rows put into the graph so far.
    pub done: u64,
    /// Rows of its inputs.
    pub total: u64,
}

/// A job that takes more memory than the database may have. It is done when there is enough; until then the rows it is about
/// are searched as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeferredJob {
    /// What it would do.
    pub kind: JobKind,
    /// Bytes of memory it takes.
    pub required_bytes: u64,
    /// Bytes that were left when this was told.
    pub available_bytes: u64,
}

impl Collection {
    pub(super) fn memory_of(&self, view: &View, smaps: &Smaps) -> MemoryReport {
        let mut report = MemoryReport::default();
        view.sealed.iter().for_each(|sealed| report += sealed.memory(smaps));
        let in_memory = view.frozen.iter().map(|frozen| &frozen.segment).chain([&view.growing]);
        in_memory.for_each(|segment| report.growing += ComponentMemory::anonymous(segment.memory_bytes()));
        report.log = ComponentMemory::anonymous(self.wal.as_ref().map_or(0, crate::wal::Wal::memory_bytes));
        report.job_bytes = self.progress.lock().as_ref().map_or(0, |running| running.reserved);
        report
    }

    pub(crate) fn info(&self) -> Result<CollectionInfo> {
        let (view, at) = self.read()?;
        let mut segments = Vec::new();
        for sealed in &view.sealed {
            segments.push(SegmentInfo {
                kind: SegmentKind::Sealed,
                rows: sealed.total_rows().into(),
                deleted: sealed.tombstones().dead(),
                indexed: sealed.vector_bytes().1 > 0,
                bytes: sealed.meta().bytes,
            });
        }
        let in_memory = view.frozen.iter().map(|frozen| (SegmentKind::Frozen, &frozen.segment));
        for (kind, segment) in in_memory.chain([(SegmentKind::Growing, &view.growing)]) {
            let bytes = segment.memory_bytes() as u64;
            segments.push(SegmentInfo { kind, rows: segment.len().into(), deleted: segment.tombstones().dead(), indexed: false, bytes });
        }
        let running_job = self.progress.lock().as_ref().map(|running| JobProgress {
            kind: running.kind,
            done: running.control.done.load(Ordering::Relaxed),
            total: running.total,
        });
        let poisoned = self.writer.lock().poisoned.clone();
        let error = poisoned.or_else(|| self.last_error.lock().as_ref().map(ToString::to_string));
        let plan = self.planned(Effort::Background);
        let available_bytes = self.around.allowance.job_room();
        // What a running job holds is no reason to defer it.
        let deferred_job = plan.deferred.filter(|_| running_job.is_none()).map(|(kind, required_bytes)| DeferredJob {
            kind,
            required_bytes,
            available_bytes,
        });
        let busy = running_job.is_some() || plan.job.is_some() || deferred_job.is_some();
        Ok(CollectionInfo {
            status: if error.is_some() {
                Status::Red
            } else if busy {
                Status::Yellow
            } else {
                Status::Green
            },
            points: self.count(None, true)?,
            indexed_vectors: indexed_vectors(&view),
            segments,
            lsn: at,
            disk_bytes: self.bytes_on_disk(&view),
            // Without a look at the pages, which takes the system up to a second where there are many, and many ask often.
            memory_bytes: self.memory_of(&view, &Smaps::default()).total().anonymous_bytes,
            pending_seals: view.frozen.len(),
            running_job,
            deferred_job,
            error,
            payload_schema: field_infos(&view),
            config: (*view.config).clone(),
        })
    }

    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        Ok(self.bytes_on_disk(&self.read()?.0))
    }

    fn bytes_on_disk(&self, view: &super::View) -> u64 {
        let sealed: u64 = view.sealed.iter().map(|sealed| sealed.meta().bytes).sum();
        sealed + self.wal.as_ref().map_or(0, crate::wal::Wal::bytes)
    }
}

fn indexed_vectors(view: &super::View) -> u64 {
    let linked = |sealed: &crate::segment::Sealed| -> u64 {
        sealed
            .meta()
            .fields
            .iter()
            .filter(|field| sealed.field(&field.name).is_some_and(|open| open.graph.is_some()))
            .map(|field| u64::from(field.count))
            .sum()
    };
    view.sealed.iter().map(|sealed| linked(sealed)).sum()
}

fn field_infos(view: &super::View) -> BTreeMap<String, FieldInfo> {
    let mut infos = BTreeMap::new();
    for (key, schema) in &view.config.payload_schema {
        let mut points = 0;
        if let Ok(path) = key.parse() {
            for segment in view.segments() {
                segment.with_indexes(&mut |indexes| points += indexes.points_with_values(&path));
            }
        }
        infos.insert(key.clone(), FieldInfo { schema: schema.clone(), points });
    }
    infos
}
