//! Doing what the planner says, and committing it.
//!
//! A job writes new files while readers and the writer go on; nothing refers to the files until a new manifest is durable.
//! Then the view is swapped under the writer lock, and rows that died meanwhile are stamped in the new segment too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::graph::BuildControl;
use crate::model::config::{CollectionConfig, Durability};
use crate::model::point::Lsn;
use crate::segment::{self, Built, Input, Sealed, Segment, SegmentBuilder, SegmentId, SegmentMeta, pin_all};
use crate::storage::mmap::give_back_freed;

use super::maintain::{Effort, Job, Plan, Sizes, plan};
use super::manifest::{Manifest, file_name};
use super::view::View;
use super::{Collection, JobKind, Running};

/// What a job has prepared.
pub(super) struct Commit {
    /// The files' new lsn and the configuration at it.
    pub(super) lsn: Lsn,
    pub(super) config: Arc<CollectionConfig>,
    /// Sealed segments that the new one replaces.
    pub(super) removed: Vec<SegmentId>,
    /// Whether the oldest frozen segment is now sealed.
    pub(super) unfreeze: bool,
    pub(super) built: Option<(Built, Vec<Input>)>,
    /// New metadata of segments that stay.
    pub(super) changed: Vec<SegmentMeta>,
}

impl Collection {
    /// What the background would do now.
    pub(super) fn next_job(&self) -> Option<Job> {
        self.planned(Effort::Background).job
    }

    pub(super) fn planned(&self, effort: Effort) -> Plan {
        let view = self.view.load();
        let Some(frozen) = self.sealable(&view.frozen) else { return Plan::default() };
        let sizes: Vec<Sizes> = view.sealed.iter().map(|sealed| sizes(sealed, &view.config)).collect();
        plan(frozen, &sizes, &view.config, effort, self.around.allowance.job_room())
    }

    /// Runs the next job, if there is one; true when there was.
    ///
    /// # Errors
    /// Those of the job. The collection stays as it was.
    pub(crate) fn maintain(&self) -> Result<bool> {
        self.check_maintainable()?;
        self.expire()?;
        self.run_next(Effort::Background)
    }

    /// Seals, indexes, merges and cleans until nothing is left to do.
    ///
    /// # Errors
    /// Those of the first job that fails.
    pub(crate) fn optimize(&self) -> Result<()> {
        self.check_maintainable()?;
        self.expire()?;
        self.freeze_growing()?;
        self.stop_young_merge();
        while self.run_next(Effort::Full)? {}
        if let Some((_, required_bytes)) = self.planned(Effort::Full).deferred {
            return Err(self.out_of_memory(required_bytes));
        }
        let _alone = self.maintenance.lock();
        self.checkpoint()
    }

    /// Stops a merge that has not come far: what it merges is merged with everything else in a moment.
    fn stop_young_merge(&self) {
        if let Some(running) = &*self.progress.lock()
            && running.kind == JobKind::Merge
            && running.control.done.load(Ordering::Relaxed) < running.total / 2
        {
            running.control.cancel.store(true, Ordering::Relaxed);
        }
    }

    fn out_of_memory(&self, required_bytes: u64) -> Error {
        let allowance = &self.around.allowance;
        let limit_bytes = allowance.limit().unwrap_or(u64::MAX);
        Error::OutOfMemory { what: "building a segment", required_bytes, available_bytes: allowance.job_room(), limit_bytes }
    }

    fn check_maintainable(&self) -> Result<()> {
        self.check_open()?;
        if self.around.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    pub(super) fn run_next(&self, effort: Effort) -> Result<bool> {
        self.check_maintainable()?;
        let _alone = self.maintenance.lock();
        // It may have been closed meanwhile, and its files be in other hands.
        self.check_open()?;
        self.check_unpoisoned()?;
        self.shorten_log()?;
        let Some(job) = self.planned(effort).job else { return Ok(false) };
        let result = self.run(&job, effort);
        *self.progress.lock() = None;
        if effort == Effort::Idle {
            self.around.leisure.end();
        }
        self.backlog.1.notify_all();
        match result {
            // A cancelled job is planned again when its reason is gone.
            Err(Error::Cancelled) => Ok(true),
            Err(error) => {
                *self.last_error.lock() = Some(error.clone());
                Err(error)
            }
            Ok(()) => {
                *self.last_error.lock() = None;
                self.pin_what_fits();
                // What merges leave behind is large; after sealing, the next segment is about to need it again.
                if job != Job::Seal || self.around.allowance.is_short() {
                    give_back_freed();
                }
                Ok(true)
            }
        }
    }

    /// Pins what had no room before the job gave memory back. The caller holds the maintenance lock.
    fn pin_what_fits(&self) {
        let allowance = &self.around.allowance;
        if allowance.limit().is_none() {
            return;
        }
        let mut pinned: Vec<Sealed> = self.view.load().sealed.iter().map(|sealed| (**sealed).clone()).collect();
        if !pin_all(&mut pinned, allowance) {
            return;
        }
        let _writer = self.writer.lock();
        let mut view = (*self.view.load()).clone();
        for sealed in &mut view.sealed {
            if let Some(pinned) = pinned.iter().find(|pinned| pinned.segment_id() == sealed.segment_id()) {
                *sealed = Arc::new(sealed.with_parts_of(pinned));
            }
        }
        self.view.store(view);
    }

    /// After a write that may not have reached the disk, memory may be ahead of what a restart finds (a vector dropped, an
    /// index added), and files must not be made of it.
    fn check_unpoisoned(&self) -> Result<()> {
        match &self.writer.lock().poisoned {
            Some(reason) => Err(Error::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Freezes what is growing.
    pub(super) fn freeze_growing(&self) -> Result<()> {
        let writer = self.writer.lock();
        let view = self.view.load();
        self.freeze(&view, writer.applied)
    }

    /// Moves the files forward when the log has grown long although little was inserted, as deletes do.
    fn shorten_log(&self) -> Result<()> {
        let limit = 4 * ((self.config().wal_config.wal_capacity_mb as u64) << 20);
        if self.wal.as_ref().is_none_or(|wal| wal.bytes() <= limit) {
            return Ok(());
        }
        self.freeze_growing()?;
        if self.view.load().frozen.is_empty() { self.checkpoint() } else { Ok(()) }
    }

    /// Writes a manifest at the newest lsn, if all rows are in files. The caller holds the maintenance lock.
    fn checkpoint(&self) -> Result<()> {
        let (lsn, config) = {
            let writer = self.writer.lock();
            let view = self.view.load();
            if writer.applied == writer.manifest.lsn || !view.frozen.is_empty() || view.growing.len() > 0 {
                return Ok(());
            }
            (writer.applied, Arc::clone(&view.config))
        };
        self.wait_published(lsn)?;
        self.commit(Commit { lsn, config, removed: Vec::new(), unfreeze: false, built: None, changed: Vec::new() })
    }

    fn run(&self, job: &Job, effort: Effort) -> Result<()> {
        let view = self.view.load();
        match job {
            Job::Seal => self.seal(&view),
            Job::SaveIndexes(id) => self.save_indexes(&view, *id),
            Job::Merge(ids) => self.rewrite(&view, ids, JobKind::Merge, effort),
            Job::Vacuum(id) => self.rewrite(&view, &[*id], JobKind::Vacuum, effort),
            Job::Learn(id) => self.learn(&view, *id),
        }
    }

    fn seal(&self, view: &View) -> Result<()> {
        let Some(frozen) = view.frozen.first() else { return Ok(()) };
        self.wait_published(frozen.last)?;
        let inputs = vec![Input { segment: Arc::clone(&frozen.segment) as Arc<dyn Segment> }];
        let built = self.build(view, &inputs, frozen.last, JobKind::Seal, Effort::Background)?;
        self.commit(Commit {
            lsn: frozen.last,
            config: Arc::clone(&frozen.config),
            removed: Vec::new(),
            unfreeze: true,
            built: Some((built, inputs)),
            changed: Vec::new(),
        })
    }

    fn rewrite(&self, view: &View, ids: &[SegmentId], kind: JobKind, effort: Effort) -> Result<()> {
        // Dead rows can only be left out when the files' lsn has passed their death; so the files are brought forward first.
        if kind == JobKind::Vacuum {
            self.freeze_growing()?;
            while !self.view.load().frozen.is_empty() {
                self.seal(&self.view.load())?;
            }
            self.checkpoint()?;
        }
        let manifest = Arc::clone(&self.writer.lock().manifest);
        let sources = || view.sealed.iter().filter(|sealed| ids.contains(&sealed.segment_id()));
        sources().try_for_each(|sealed| sealed.verify_rows())?;
        let inputs: Vec<Input> = sources().map(|sealed| Input { segment: Arc::clone(sealed) as Arc<dyn Segment> }).collect();
        let built = self.build(view, &inputs, manifest.lsn, kind, effort)?;
        self.commit(Commit {
            lsn: manifest.lsn,
            config: Arc::new(manifest.config.clone()),
            removed: ids.to_vec(),
            unfreeze: false,
            built: Some((built, inputs)),
            changed: Vec::new(),
        })
    }

    fn save_indexes(&self, view: &View, id: SegmentId) -> Result<()> {
        let Some(sealed) = view.sealed.iter().find(|sealed| sealed.segment_id() == id) else { return Ok(()) };
        let path = segment::directory(&self.path, id);
        let generation = self.generations.load(Ordering::Relaxed) + 1;
        let (name, bytes) = segment::write_indexes(&self.around.fs, &path, sealed.indexes(), generation)?;
        self.around.fs.sync_dir(&path)?;
        let meta = SegmentMeta { indexes: Some(name), bytes: sealed.meta().bytes + bytes, ..sealed.meta().clone() };
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

    fn build(&self, view: &View, inputs: &[Input], at: Lsn, kind: JobKind, effort: Effort) -> Result<Built> {
        let control = Arc::new(BuildControl::default());
        let total = inputs.iter().map(|input| u64::from(input.segment.rows(at))).sum();
        let allowance = &self.around.allowance;
        let rows: u64 = inputs.iter().map(|input| segment::build_bytes(&*input.segment, &view.config, at)).sum();
        let least = rows + allowance.job_bytes();
        let _held = allowance.take(least);
        if effort == Effort::Idle {
            self.around.leisure.begin(&control);
        }
        *self.progress.lock() = Some(Running { kind, total, reserved: least, control: Arc::clone(&control) });
        let id = SegmentId(self.next_segment.fetch_add(1, Ordering::Relaxed));
        let builder = SegmentBuilder {
            fs: &self.around.fs,
            collection: &self.path,
            id,
            config: &view.config,
            at,
            control: &control,
            pool: self.around.pools.build()?,
            allowance,
        };
        let mut built = builder.build(inputs)?;
        pin_all(std::slice::from_mut(&mut built.sealed), allowance);
        built.sealed.settle(allowance);
        Ok(built)
    }

    /// Makes a job's result durable, then visible. The caller holds the maintenance lock.
    pub(super) fn commit(&self, commit: Commit) -> Result<()> {
        if let Some(wal) = &self.wal {
            wal.commit(commit.lsn, Durability::Sync)?;
        }
        if !self.around.replicated {
            self.published.fetch_max(commit.lsn.0, Ordering::AcqRel);
        }
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        let before = self.view.load();
        let metas = self.metas_at(&before, &commit, generation)?;
        let manifest = Manifest {
            generation,
            lsn: commit.lsn,
            config: (*commit.config).clone(),
            segments: metas.values().cloned().collect(),
            next_segment: self.next_segment.load(Ordering::Relaxed),
        };
        manifest.save(&self.around.fs, &self.path)?;
        let replaced = self.swap(&before, commit, metas, manifest)?;
        self.remove_unused(&replaced)
    }

    /// Metadata of all segments at the commit's lsn, with tombstone files written where rows have died since the last one.
    fn metas_at(&self, view: &View, commit: &Commit, generation: u64) -> Result<BTreeMap<SegmentId, SegmentMeta>> {
        let mut metas = BTreeMap::new();
        for sealed in view.sealed.iter().filter(|sealed| !commit.removed.contains(&sealed.segment_id())) {
            let changed = commit.changed.iter().find(|meta| meta.id == sealed.segment_id());
            let mut meta = changed.unwrap_or(sealed.meta()).clone();
            let dead = sealed.tombstones().dead_at(meta.rows, commit.lsn);
            if dead.len() != meta.dead {
                let path = segment::directory(&self.path, meta.id);
                meta.tombstones = Some(segment::write_tombstones(&self.around.fs, &path, &dead, generation)?);
                meta.dead = dead.len();
                self.around.fs.sync_dir(&path)?;
            }
            metas.insert(meta.id, meta);
        }
        if let Some((built, _)) = commit.built.as_ref().filter(|(built, _)| built.sealed.total_rows() > 0) {
            metas.insert(built.sealed.segment_id(), built.sealed.meta().clone());
        }
        Ok(metas)
    }

    /// Swaps the view; returns the manifest that was replaced.
    fn swap(&self, before: &View, commit: Commit, metas: BTreeMap<SegmentId, SegmentMeta>, manifest: Manifest) -> Result<Arc<Manifest>> {
        let mut writer = self.writer.lock();
        let now = self.view.load();
        let mut view = (*now).clone();
        view.sealed.retain(|sealed| !commit.removed.contains(&sealed.segment_id()));
        for sealed in &mut view.sealed {
            let id = sealed.segment_id();
            let written = before.sealed.iter().find(|old| old.segment_id() == id);
            if let (Some(meta), Some(written)) = (metas.get(&id), written)
                && meta != sealed.meta()
            {
                *sealed = Arc::new(sealed.with_meta(meta.clone(), written));
            }
        }
        if commit.unfreeze {
            view.frozen.remove(0);
        }
        if let Some((built, inputs)) = commit.built
            && built.sealed.total_rows() > 0
        {
            carry_over(&built, &inputs);
            let adapted = before.config.payload_schema != now.config.payload_schema;
            let mut sealed = built.sealed;
            if adapted {
                sealed = sealed.reindexed(&now.config)?;
                sealed.count(&self.around.allowance);
            }
            view.sealed.push(Arc::new(sealed));
        }
        view.floor = view.floor.max(manifest.lsn);
        self.view.store(view);
        Ok(std::mem::replace(&mut writer.manifest, Arc::new(manifest)))
    }

    /// Removes what only the replaced manifest named, and the log that the new one covers.
    fn remove_unused(&self, replaced: &Manifest) -> Result<()> {
        let _no_snapshot = self.removal.write();
        let manifest = Arc::clone(&self.writer.lock().manifest);
        let fs = &self.around.fs;
        let kept = manifest.files(&self.path);
        for file in replaced.files(&self.path).iter().filter(|file| !kept.contains(file)) {
            fs.remove(file)?;
        }
        let is_kept = |id: SegmentId| manifest.segments.iter().any(|segment| segment.id == id);
        let gone: Vec<PathBuf> = replaced
            .segments
            .iter()
            .filter(|segment| !is_kept(segment.id))
            .map(|segment| segment::directory(&self.path, segment.id))
            .collect();
        gone.iter().try_for_each(|directory| fs.remove_dir_all(directory))?;
        fs.remove(&self.path.join(file_name(replaced.generation)))?;
        if let Some(wal) = &self.wal {
            wal.release(manifest.lsn, manifest.config.wal_config.wal_retain_closed)?;
        }
        Ok(())
    }
}

/// Stamps rows of the new segment that died in an input since the new segment's lsn. The caller holds the writer lock.
fn carry_over(built: &Built, inputs: &[Input]) {
    for (number, input) in inputs.iter().enumerate() {
        let tombstones = input.segment.tombstones();
        if tombstones.dead() == 0 {
            continue;
        }
        for row in 0..input.segment.rows(Lsn(u64::MAX)) {
            if let (Some(new), Some(deleted)) = (built.new_row(number, row), tombstones.deleted_at(row)) {
                built.sealed.tombstones().kill(new, deleted);
            }
        }
    }
}

fn sizes(sealed: &Sealed, config: &CollectionConfig) -> Sizes {
    let (bytes, linked) = sealed.vector_bytes();
    Sizes {
        id: sealed.segment_id(),
        rows: sealed.total_rows().into(),
        dead: sealed.tombstones().dead(),
        bytes: bytes as u64,
        indexed: sealed.is_indexed(config),
        has_graph: linked > 0,
        indexes_saved: sealed.indexes_saved(),
        lessons_due: !sealed.due_lessons().is_empty(),
        build_bytes: segment::build_bytes(sealed, config, Lsn(u64::MAX)) + 2 * sealed.index_bytes(),
    }
}
