//! The shards of a collection.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tracing::Span;
use vectordb_core::{Collection, CollectionConfig, ConfigDiff, Lsn, PointId, Update, UpdateResult};

use super::ask::{HeldShard, ShardData, ShardRoute, Written};
use super::catalog::ShardEntry;
use super::migration::{Touched, filters, is_about_points, matching, named};
use super::ring::{ShardId, ShardKey, shard_of};
use super::split::split;
use crate::error::{Fault, Result, ServiceError};
use crate::limits::Gate;

/// How often shards are asked to stand still together.
const CUTS: u32 = 5;
/// How long to wait before they are asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Stands between a collection's name and the number of a shard; no name holds it.
const SEPARATOR: char = '\u{1F}';

/// The name of a shard in the engine: that of the collection for the first, so that a collection of one shard is the very
/// collection that the embedded engine opens. What replaced a shard's data stands under a name with a number of its own.
pub(crate) fn core_name(collection: &str, shard: ShardId, generation: u32) -> String {
    match (shard.0, generation) {
        (0, 0) => collection.to_owned(),
        (_, 0) => format!("{collection}{SEPARATOR}{shard}"),
        _ => format!("{collection}{SEPARATOR}{shard}{SEPARATOR}{generation}"),
    }
}

/// A shard on this node.
#[derive(Debug, Clone)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) key: Option<ShardKey>,
    pub(crate) generation: u32,
    pub(crate) data: ShardData,
}

impl Shard {
    pub(crate) fn new(entry: &ShardEntry, data: Collection) -> Self {
        Self { id: entry.id, key: entry.key.clone(), generation: entry.generation, data: ShardData::Here(data) }
    }

    /// Asks the shard, or changes it, as a step of the caller's trace.
    pub(super) fn step<R>(&self, caller: &Span, operation: &'static str, work: impl FnOnce(&ShardData) -> R) -> R {
        tracing::debug_span!(parent: caller, "shard", operation, shard = self.id.0).in_scope(|| work(&self.data))
    }

    /// A shard whose replicas lie anywhere in a cluster.
    pub(crate) fn routed(id: ShardId, key: Option<ShardKey>, route: Arc<dyn ShardRoute>) -> Self {
        Self { id, key, generation: 0, data: ShardData::Routed(route) }
    }

    pub(crate) fn entry(&self) -> ShardEntry {
        ShardEntry { id: self.id, key: self.key.clone(), generation: self.generation }
    }
}

/// How the shards of this node are written. In a cluster each shard's primary knows by itself.
#[derive(Debug)]
pub(crate) enum Writing {
    Plain,
    /// Their points are on their way to other shards; what is written is noted.
    Noted(Mutex<Touched>),
    /// Other shards have the points.
    Over,
}

/// What came of updates.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) result: UpdateResult,
    /// What was not done, because other shards have the points now.
    pub(crate) moved: Vec<Moved>,
}

/// Updates that are still to be applied.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) updates: Vec<Update>,
    /// They were the part of one shard among these; none: of all.
    pub(crate) part: Option<(ShardId, Vec<ShardId>)>,
}

/// A collection as a set of shards; immutable: when shards come or go, another takes its place.
#[derive(Debug)]
pub(crate) struct ShardedCollection {
    pub(crate) name: String,
    pub(crate) created_at: String,
    pub(crate) shards: Vec<Shard>,
    /// Strict mode.
    pub(crate) gate: Gate,
    /// Held by those who write, and alone by who takes the points elsewhere.
    pub(crate) writing: RwLock<Writing>,
    /// A write failed so that no more are taken until the data is opened again. It only ever turns true; nothing hangs on when
    /// that is seen.
    poisoned: AtomicBool,
}

impl Applied {
    fn nothing(updates: Vec<Update>) -> Self {
        Self { result: UpdateResult { lsn: Lsn::ZERO, points: 0 }, moved: vec![Moved { updates, part: None }] }
    }
}

impl ShardedCollection {
    pub(crate) fn new(name: &str, created_at: &str, shards: Vec<Shard>) -> Self {
        let config = shards.first().map(|shard| shard.data.config()).unwrap_or_default();
        Self {
            name: name.to_owned(),
            created_at: created_at.to_owned(),
            shards,
            gate: Gate::new(&config),
            writing: RwLock::new(Writing::Plain),
            poisoned: AtomicBool::new(false),
        }
    }

    /// The shards of some keys, or all where none are asked for.
    ///
    /// # Errors
    /// An unknown key, and a collection without any shard.
    pub(crate) fn chosen(&self, keys: Option<&[ShardKey]>) -> Result<Vec<&Shard>> {
        let Some(keys) = keys.filter(|keys| !keys.is_empty()) else { return Ok(self.shards.iter().collect()) };
        if let Some(unknown) = keys.iter().find(|&key| !self.has_key(key)) {
            return Err(ServiceError::input(format!("Shard key {unknown} not found")));
        }
        Ok(self.shards.iter().filter(|shard| shard.key.as_ref().is_some_and(|key| keys.contains(key))).collect())
    }

    pub(crate) fn has_key(&self, key: &ShardKey) -> bool {
        self.shards.iter().any(|shard| shard.key.as_ref() == Some(key))
    }

    /// Where to write: to the shards of the key given, of which there must be one exactly where there are keys.
    ///
    /// # Errors
    /// A key too many or too few, and an unknown one.
    pub(crate) fn writable(&self, keys: Option<&[ShardKey]>, custom: bool) -> Result<Vec<&Shard>> {
        let given = keys.map_or(0, <[ShardKey]>::len);
        match (custom, given) {
            (true, 0) => Err(ServiceError::input("Shard key not specified")),
            (false, 1..) => Err(ServiceError::input("Shard key cannot be used with automatic sharding")),
            _ => self.chosen(keys),
        }
    }

    /// Applies updates to the shards they concern, and waits until all have them. Each shard takes its part as a whole or not at
    /// all.
    ///
    /// # Errors
    /// That of the first shard that refused.
    pub(crate) fn apply(&self, shards: &[&Shard], updates: Vec<Update>) -> Result<Applied> {
        let writing = self.writing.read();
        match &*writing {
            Writing::Plain => return self.apply_parts(shards, updates),
            Writing::Over => return Ok(Applied::nothing(updates)),
            Writing::Noted(_) if !updates.iter().all(is_about_points) => return Err(ServiceError::resharding(&self.name)),
            Writing::Noted(touched) if filters(&updates).next().is_none() => {
                let ids = named(&updates);
                let applied = self.apply_parts(shards, updates);
                // Behind the write, so that whoever takes them out reads what it wrote; also of one that failed, perhaps half done.
                touched.lock().note(ids, Lsn::ZERO);
                return applied;
            }
            Writing::Noted(_) => {}
        }
        drop(writing);
        // What a filter will hold for is known only while nobody else writes.
        let mut writing = self.writing.write();
        match &mut *writing {
            Writing::Plain => self.apply_parts(shards, updates),
            Writing::Over => Ok(Applied::nothing(updates)),
            Writing::Noted(touched) => {
                let mut ids = named(&updates);
                for shard in shards {
                    let data = shard.data.local()?;
                    for filter in filters(&updates) {
                        ids.extend(matching(&data, filter)?);
                    }
                }
                let applied = self.apply_parts(shards, updates);
                touched.get_mut().note(ids, Lsn::ZERO);
                applied
            }
        }
    }

    fn apply_parts(&self, shards: &[&Shard], updates: Vec<Update>) -> Result<Applied> {
        let ids: Vec<ShardId> = shards.iter().map(|shard| shard.id).collect();
        let place = |id: &PointId| shard_of(id, &ids);
        let parts = split(updates, shards.len(), &place);
        let work: Vec<_> = shards.iter().zip(parts).filter(|(_, part)| !part.is_empty() || shards.len() == 1).collect();
        let caller = Span::current();
        let results = on_each(work, |(shard, part)| {
            let written = shard.step(&caller, "shard update", |data| data.apply(part).inspect_err(|error| self.note(data, error)));
            (shard.id, written)
        });
        let mut applied = Applied { result: UpdateResult { lsn: Lsn::ZERO, points: 0 }, moved: Vec::new() };
        for (shard, written) in results {
            match written? {
                Written::Done(result) => {
                    applied.result.lsn = applied.result.lsn.max(result.lsn);
                    applied.result.points += result.points;
                }
                Written::Moved(updates) => applied.moved.push(Moved { updates, part: Some((shard, ids.clone())) }),
            }
        }
        Ok(applied)
    }

    /// Whether a failed write keeps a shard from taking more.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Notes what an error means for later writes. The write that fails is told why, those after it that it did.
    fn note(&self, shard: &ShardData, error: &ServiceError) {
        let serious = matches!(error.fault, Fault::Internal | Fault::Unavailable | Fault::OutOfSpace);
        if serious && shard.local().is_ok_and(|data| data.info().is_ok_and(|info| info.error.is_some())) {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }

    /// Writes the files of shards into new directories, all as they are at one moment: nothing that was written to one of them after a
    /// write to another had been acknowledged is there without that.
    ///
    /// # Errors
    /// Those of the disk, and [`Fault::Unavailable`] when there was no such moment.
    pub(crate) fn copy_files(&self, shards: &[&Shard], place: impl Fn(ShardId) -> PathBuf) -> Result<()> {
        let routes: Option<Vec<_>> = shards.iter().map(|shard| shard.data.route()).collect();
        let Some(routes) = routes.filter(|routes| routes.len() > 1) else {
            let _nobody_writes = (shards.len() > 1).then(|| self.writing.write());
            return shards.iter().try_for_each(|shard| shard.data.copy_files(&place(shard.id)));
        };
        let mut tried = 1;
        let held = loop {
            match held_at_once(&routes) {
                Ok(held) => break held,
                // Another primary, or a write that hung: the next one will be well.
                Err(error) if error.fault == Fault::Unavailable && tried < CUTS => {
                    tracing::info!(collection = self.name, %error, "the shards did not stand still together; once more");
                    tried += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        };
        shards.iter().zip(&held).try_for_each(|(shard, held)| held.copy_files(&place(shard.id)))
    }

    /// Changes the configuration of every shard.
    ///
    /// # Errors
    /// Those of the change, which are found at the first shard.
    pub(crate) fn update_config(&self, diff: &ConfigDiff) -> Result<()> {
        let _not_while_points_move = self.settled()?;
        let changed = self.shards.iter().try_for_each(|shard| shard.data.update_config(diff));
        self.gate.change(&self.config());
        changed
    }

    /// Sees to it that shards stay where they are, and what they are made of stays what it is to shards to come, until the answer
    /// is dropped.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] while points move to other shards.
    pub(crate) fn settled(&self) -> Result<RwLockReadGuard<'_, Writing>> {
        let writing = self.writing.read();
        if matches!(*writing, Writing::Plain) { Ok(writing) } else { Err(ServiceError::resharding(&self.name)) }
    }

    /// The configuration, which is the same in all shards.
    pub(crate) fn config(&self) -> CollectionConfig {
        self.shards.first().map(|shard| shard.data.config()).unwrap_or_default()
    }
}

/// The files of shards at a moment at which none of them took writes.
fn held_at_once(routes: &[&dyn ShardRoute]) -> Result<Vec<Box<dyn HeldShard>>> {
    let held: Result<Vec<_>> = on_each(routes.to_vec(), |route| route.hold()).into_iter().collect();
    let held = held?;
    let released: Result<()> = on_each(held.iter().collect(), |held| held.release()).into_iter().collect();
    released.map(|()| held)
}

/// Does something with each of several things, beside each other when there is more than one; the first on this thread.
pub fn on_each<T: Send, R: Send>(things: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let work = &work;
    let mut things = things.into_iter();
    let Some(first) = things.next() else { return Vec::new() };
    std::thread::scope(|scope| {
        let threads: Vec<_> = things.map(|thing| scope.spawn(move || work(thing))).collect();
        let mut done = vec![work(first)];
        // A panic of the work is one of the caller.
        done.extend(threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))));
        done
    })
}
