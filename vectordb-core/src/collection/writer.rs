//! The only code that changes a collection.
//!
//! A write is prepared and logged under the writer lock, applied to memory under the same lock, and made durable after it:
//! many writers share one sync. Readers see it when it is durable, because `published` moves only then. What is applied but
//! not yet durable is visible to later writers alone, whose own acknowledgement waits for everything before them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::{CollectionConfig, ConfigDiff, Durability, VectorParams};
use crate::model::point::{Lsn, Point};
use crate::model::update::{Change, Update};
use crate::model::vector::{Vector, Vectors};
use crate::segment::{Growing, owned_bytes};
use crate::storage::codec;

use super::maintain;
use super::manifest::Manifest;
use super::prepare::{Content, Pending};
use super::view::{Frozen, View};
use super::{Collection, UpdateResult};

/// What the writer lock guards.
#[derive(Debug)]
pub(super) struct WriterState {
    /// Lsn of the last applied batch.
    pub(super) applied: Lsn,
    /// What the files hold; the log goes on behind it.
    pub(super) manifest: Arc<Manifest>,
    /// Set when a write failed in a way that leaves durability unknown.
    pub(super) poisoned: Option<String>,
}

/// A batch in the log.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) lsn: Lsn,
    pub(super) body: Vec<u8>,
    pub(super) points: u64,
    /// What the collection asks for.
    pub(super) durability: Durability,
}

/// Free space below which writes that add data are refused, so that deletes and maintenance still find room.
pub(super) const RESERVED_BYTES: u64 = 64 << 20;
/// Memory of a point beside its vectors, its payload and its id's text; and of its value in a payload index.
const POINT_BYTES: usize = 256;
const INDEXED_BYTES: u64 = 64;
/// Most bytes of one batch in the log.
const MAX_BATCH_BYTES: u64 = 1 << 30;

impl Collection {
    /// Applies a batch as a whole: validate, log, apply, wait until durable, publish.
    pub(super) fn write(&self, updates: Vec<Update>) -> Result<UpdateResult> {
        self.check_writable()?;
        self.wait_for_backlog(2 * needed_bytes(&updates, &self.config()));
        self.write_now(updates)
    }

    /// The same without waiting for maintenance, for maintenance itself.
    pub(super) fn write_now(&self, updates: Vec<Update>) -> Result<UpdateResult> {
        self.check_writable()?;
        // A job may be writing the very vectors that are to go, so it is stopped; it will be planned again without them.
        let drops_vectors = updates.iter().any(|update| matches!(update, Update::DropVector { .. }));
        let _no_job = drops_vectors.then(|| {
            self.cancel_job();
            self.maintenance.lock()
        });
        let logged = self.log(updates, 0)?;
        // Files made from now on lack the vectors, so no restart may find the collection still having them.
        self.make_durable(logged.lsn, if drops_vectors { Durability::Sync } else { logged.durability })?;
        self.wake_if_due();
        Ok(UpdateResult { lsn: logged.lsn, points: logged.points })
    }

    /// Validates, logs and applies a batch; nobody sees it before it is published.
    pub(super) fn log(&self, updates: Vec<Update>, epoch: u64) -> Result<Logged> {
        self.check_writable()?;
        // What the batch takes while it is prepared and logged; what stays of it is counted by the growing segment.
        let _held = self.around.allowance.take(needed_bytes(&updates, &self.config()));
        let adds = updates.iter().any(|update| !matches!(update, Update::Delete(_) | Update::ClearPayload(_)));
        if adds {
            self.check_space(RESERVED_BYTES)?;
        }
        let mut writer = self.writer.lock();
        self.check_open()?;
        if let Some(reason) = &writer.poisoned {
            return Err(Error::Poisoned { reason: reason.clone() });
        }
        let view = self.view.load();
        let mut pending = Pending::new(&view, writer.applied);
        let mut changes = Vec::with_capacity(updates.len());
        for update in updates {
            let change = pending.resolve(update)?;
            pending.change(&change)?;
            changes.push(change);
        }
        if adds {
            self.check_memory(&pending, &view)?;
        }
        let durability = pending.config.durability;
        let lsn = writer.applied.next();
        let body = codec::encode(&changes)?;
        if body.len() as u64 > MAX_BATCH_BYTES {
            return Err(Error::LimitExceeded { what: "bytes of a batch", actual: body.len() as u64, limit: MAX_BATCH_BYTES });
        }
        if let Some(wal) = &self.wal {
            wal.append(lsn, epoch, &body)?;
        }
        self.epochs.lock().note(lsn, epoch);
        drop(changes);
        let points = self.apply_logged(&mut writer, lsn, pending)?;
        Ok(Logged { lsn, body, points, durability })
    }

    /// Changes the configuration: a logged update like any other.
    pub(super) fn reconfigure(&self, diff: &ConfigDiff) -> Result<()> {
        let logged = self.log_config(diff, 0)?;
        self.make_durable(logged.lsn, logged.durability)?;
        self.wake_if_due();
        Ok(())
    }

    /// Logs and applies a change of the configuration; it counts when it is published.
    pub(super) fn log_config(&self, diff: &ConfigDiff, epoch: u64) -> Result<Logged> {
        self.check_writable()?;
        let mut writer = self.writer.lock();
        self.check_open()?;
        let view = self.view.load();
        let config = diff.applied_to(&view.config)?;
        let mut pending = Pending::new(&view, writer.applied);
        let change = Change::Configure(Box::new(config));
        pending.change(&change)?;
        // The stricter of the old and the new mode: a change to `sync` must itself be durable.
        let durability = if view.config.durability == Durability::Sync { Durability::Sync } else { pending.config.durability };
        let lsn = writer.applied.next();
        let body = codec::encode(&vec![change])?;
        if let Some(wal) = &self.wal {
            wal.append(lsn, epoch, &body)?;
        }
        self.epochs.lock().note(lsn, epoch);
        let points = self.apply_logged(&mut writer, lsn, pending)?;
        Ok(Logged { lsn, body, points, durability })
    }

    /// Applies a batch that the log has taken. A failure leaves memory behind the log, so nothing more is written until the
    /// collection is reopened, which applies the batch again.
    fn apply_logged(&self, writer: &mut WriterState, lsn: Lsn, pending: Pending<'_>) -> Result<u64> {
        let points = self.apply_effects(lsn, pending).inspect_err(|error| writer.poisoned = Some(error.to_string()))?;
        writer.applied = lsn;
        Ok(points)
    }

    /// Applies a logged batch: replay, and readers that follow a writer. The caller holds the writer lock.
    pub(super) fn replay(&self, writer: &mut WriterState, lsn: Lsn, body: &[u8], file: &std::path::Path) -> Result<()> {
        self.replay_changes(writer, lsn, &Self::changes(body, file)?)
    }

    pub(super) fn changes(body: &[u8], file: &std::path::Path) -> Result<Vec<Change>> {
        codec::decode(body, file, 0)
    }

    pub(super) fn replay_changes(&self, writer: &mut WriterState, lsn: Lsn, changes: &[Change]) -> Result<()> {
        let view = self.view.load();
        let mut pending = Pending::new(&view, writer.applied);
        changes.iter().try_for_each(|change| pending.change(change))?;
        self.apply_effects(lsn, pending)?;
        writer.applied = lsn;
        Ok(())
    }

    /// Puts prepared effects into memory. The caller holds the writer lock and has logged them.
    fn apply_effects(&self, lsn: Lsn, pending: Pending<'_>) -> Result<u64> {
        let at = Lsn(lsn.0 - 1);
        if pending.configured {
            self.switch_config(at, &pending.config)?;
            self.configured.store(lsn.0, Ordering::Release);
        }
        let view = self.view.load();
        let mut touched = 0;
        for (id, content) in pending.points {
            let old = view.segments().find_map(|segment| Some((segment, segment.find(&id, at)?)));
            if old.is_none() && content.is_none() {
                continue;
            }
            touched += 1;
            if let Some((segment, row)) = old {
                segment.tombstones().kill(row, lsn);
            }
            if let Some(Content { vectors, payload }) = content {
                let bytes = approximate_bytes(&id, &payload);
                view.growing.insert(id, lsn, &vectors, payload, bytes);
            }
        }
        if maintain::is_full(&view.growing, self.around.allowance.part(16)) {
            self.freeze(&view, lsn)?;
        }
        Ok(touched)
    }

    /// Makes a new growing segment; the old one waits to be sealed. The caller holds the writer lock.
    pub(super) fn freeze(&self, view: &View, last: Lsn) -> Result<()> {
        let mut new = view.clone();
        if view.growing.len() > 0 {
            new.frozen.push(Frozen { segment: Arc::clone(&view.growing), last, config: Arc::clone(&view.config) });
            new.growing = Arc::new(Growing::new(&view.config, &self.around.allowance)?);
            self.view.store(new);
        }
        Ok(())
    }

    /// Takes over a configuration: new vectors begin a new growing segment, new payload indexes are built in memory.
    fn switch_config(&self, at: Lsn, config: &CollectionConfig) -> Result<()> {
        let old = self.view.load();
        let config = Arc::new(config.clone());
        let mut view = View { config: Arc::clone(&config), ..(*old).clone() };
        if old.config.payload_schema != config.payload_schema {
            for sealed in &mut view.sealed {
                let mut reindexed = sealed.reindexed(&config)?;
                reindexed.count(&self.around.allowance);
                *sealed = Arc::new(reindexed);
            }
            for frozen in &view.frozen {
                frozen.segment.reindex(&config)?;
            }
            view.growing.reindex(&config)?;
        }
        let shape = |config: &CollectionConfig| -> Vec<(String, usize, _)> {
            let dense = config.vectors.iter().map(|(name, params)| (name.clone(), params.stride(), Some(params.distance)));
            dense.chain(config.sparse_vectors.keys().map(|name| (name.clone(), 0, None))).collect()
        };
        if shape(&old.config) != shape(&config) {
            for name in old.config.vector_names().filter(|name| !config.has_vector(name)) {
                for sealed in &mut view.sealed {
                    *sealed = Arc::new(sealed.without_field(name));
                }
                view.frozen.iter().for_each(|frozen| frozen.segment.drop_field(name));
                view.growing.drop_field(name);
            }
            if view.growing.len() > 0 {
                view.frozen.push(Frozen { segment: Arc::clone(&view.growing), last: at, config: Arc::clone(&old.config) });
            }
            view.growing = Arc::new(Growing::new(&config, &self.around.allowance)?);
        }
        self.view.store(view);
        Ok(())
    }

    fn make_durable(&self, lsn: Lsn, durability: Durability) -> Result<()> {
        if let Some(wal) = &self.wal
            && let Err(error) = wal.commit(lsn, durability)
        {
            self.writer.lock().poisoned.get_or_insert_with(|| error.to_string());
            return Err(error);
        }
        // Every batch up to `lsn` is logged and applied: both happen under the writer lock, in order.
        self.published.fetch_max(lsn.0, Ordering::AcqRel);
        Ok(())
    }

    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.around.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Refuses what would take the last bytes of the disk.
    pub(super) fn check_space(&self, required_bytes: u64) -> Result<()> {
        if self.wal.is_none() {
            return Ok(());
        }
        let available_bytes = self.around.fs.available_bytes(&self.path)?;
        if available_bytes < required_bytes {
            return Err(Error::DiskFull { path: self.path.clone(), available_bytes, required_bytes });
        }
        Ok(())
    }

    /// Refuses a batch whose points would not fit into memory. The log does not have it yet.
    fn check_memory(&self, pending: &Pending<'_>, view: &View) -> Result<()> {
        let allowance = &self.around.allowance;
        let Some(limit_bytes) = allowance.limit() else { return Ok(()) };
        let point = |(id, content): (&PointId, &Option<Content>)| {
            let bytes =
                |content: &Content| POINT_BYTES + vector_bytes(&pending.config, &content.vectors) + owned_bytes(id, &content.payload);
            content.as_ref().map_or(0, bytes)
        };
        let mut required_bytes = pending.points.iter().map(point).sum::<usize>() as u64;
        if pending.config.payload_schema.len() > view.config.payload_schema.len() {
            required_bytes += view.segments().map(|segment| u64::from(segment.rows(Lsn(u64::MAX)))).sum::<u64>() * INDEXED_BYTES;
        }
        let available_bytes = allowance.available();
        if required_bytes > available_bytes {
            return Err(Error::OutOfMemory { what: "an update", required_bytes, available_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Holds a writer back while more waits to be sealed and indexed than searches should have to scan, or while jobs may
    /// still give memory back that its batch needs.
    pub(super) fn wait_for_backlog(&self, needed_bytes: u64) {
        let Some(wake) = &self.around.wake else { return };
        let allowance = &self.around.allowance;
        let mut guard = self.backlog.0.lock();
        let is_full = || {
            let view = self.view.load();
            let short = !view.frozen.is_empty() && (allowance.is_short() || needed_bytes > allowance.available());
            short || maintain::backlog_is_full(&view, allowance.part(2))
        };
        while is_full() && self.has_work() && self.last_error.lock().is_none() && !self.closed.load(Ordering::Acquire) {
            wake();
            self.around.leisure.stop();
            self.backlog.1.wait_for(&mut guard, Duration::from_millis(200));
        }
    }

    /// Whether the background has anything to do that it can.
    fn has_work(&self) -> bool {
        self.progress.lock().is_some() || self.next_job().is_some()
    }

    pub(super) fn wake_if_due(&self) {
        if let Some(wake) = &self.around.wake
            && (!self.view.load().frozen.is_empty() || self.next_job().is_some())
        {
            wake();
        }
    }
}

/// Memory that the points of updates will take, as far as it is known before they are resolved.
pub(super) fn needed_bytes(updates: &[Update], config: &CollectionConfig) -> u64 {
    let upserts = updates.iter().filter_map(|update| if let Update::Upsert { points, .. } = update { Some(points) } else { None });
    let bytes = |point: &Point| POINT_BYTES + vector_bytes(config, &point.vectors) + owned_bytes(&point.id, &point.payload);
    upserts.flatten().map(bytes).sum::<usize>() as u64
}

/// Memory that a point's vectors take in a growing segment. Dense ones take their place also where they are missing; numbers of
/// sparse ones lie in the row and in a list.
fn vector_bytes(config: &CollectionConfig, vectors: &Vectors) -> usize {
    let dense: usize = config.vectors.values().filter(|params| params.multivector_config.is_none()).map(VectorParams::stride).sum();
    let others = vectors.iter().map(|(_, vector)| match vector {
        Vector::Dense(_) => 0,
        Vector::Sparse(_) => 2 * vector.bytes(),
        Vector::Multi(_) => vector.bytes(),
    });
    dense + others.sum::<usize>()
}

fn approximate_bytes(id: &PointId, payload: &crate::model::payload::Payload) -> usize {
    fn size(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::String(text) => 24 + text.len(),
            serde_json::Value::Array(items) => 24 + items.iter().map(size).sum::<usize>(),
            serde_json::Value::Object(map) => map.iter().map(|(key, value)| 48 + key.len() + size(value)).sum(),
            _ => 24,
        }
    }
    let id = if let PointId::Str(text) = id { text.len() } else { 16 };
    id + payload.iter().map(|(key, value)| 48 + key.len() + size(value)).sum::<usize>()
}
