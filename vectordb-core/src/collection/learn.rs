//! Learning, in the background, how long candidate lists must be for the recalls that searches ask for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::graph::BuildControl;
use crate::segment::{self, SegmentId, SegmentMeta};

use super::jobs::Commit;
use super::view::View;
use super::{Collection, JobKind, Running};

impl Collection {
    /// Learns what searches over a segment have asked for, and keeps it in files. The caller holds the maintenance lock.
    pub(super) fn learn(&self, view: &View, id: SegmentId) -> Result<()> {
        let Some(sealed) = view.sealed.iter().find(|sealed| sealed.segment_id() == id) else { return Ok(()) };
        let control = Arc::new(BuildControl::default());
        let total = sealed.total_rows().into();
        *self.progress.lock() = Some(Running { kind: JobKind::Learn, total, reserved: 0, control: Arc::clone(&control) });
        let generation = self.generations.load(Ordering::Relaxed) + 1;
        let path = segment::directory(&self.path, id);
        let mut meta = sealed.meta().clone();
        for name in sealed.due_lessons() {
            let Some(params) = view.config.vectors.get(&name) else { continue };
            let full_scan_bytes = view.config.hnsw_of(params).full_scan_threshold.saturating_mul(1024);
            let lesson = || sealed.learn(&name, full_scan_bytes, &control.cancel);
            let Some(learned) = self.around.pools.build()?.install(lesson)? else { continue };
            let Some(number) = meta.fields.iter().position(|field| field.name == name) else { continue };
            let (file, bytes) = segment::write_lengths(&self.around.fs, &path, &learned, number, generation)?;
            meta.fields[number].lengths = Some(file);
            meta = SegmentMeta { bytes: meta.bytes + bytes, ..meta };
        }
        self.around.fs.sync_dir(&path)?;
        let manifest = Arc::clone(&self.writer.lock().manifest);
        self.commit(Commit {
            lsn: manifest.lsn,
            config: Arc::new(manifest.config.clone()),
            removed: Vec::new(),
            unfreeze: false,
            built: None,
            changed: vec![meta],
        })
    }
}
