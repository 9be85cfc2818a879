//! Another number of shards for a collection that is read and written meanwhile.
//!
//! In a cluster the cluster does it. Here it is one thread: it copies the points of the old shards into new ones, then whatever was
//! written meanwhile, and again, until little is left; for that little writers wait, and one write of the catalog puts the new
//! shards in the place of the old. Reads see the old shards until then, and the new ones from then on. An interruption leaves the
//! old shards, and the wish, which is begun anew when the directory is opened next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use vectordb_core::{Database, Lsn, PayloadSelector, PointId, ShardingMethod, Update, VectorSelector};

use super::collections::MAX_SHARDS;
use super::{Service, sharded};
use crate::access::{Access, CollectionAccess};
use crate::cluster::ReshardingState;
use crate::error::{Fault, Result, ServiceError};
use crate::shards::{
    Catalog, CollectionEntry, Resharding, Shard, ShardEntry, ShardId, ShardKey, ShardedCollection, Touched, Writing, reads, taken_over,
    whole_points,
};

/// Points of one write.
const PAGE: usize = 256;
/// Points that may be left when writers begin to wait.
const FEW: usize = 256;
/// How long old shards wait for readers that have not finished.
const READERS: Duration = Duration::from_secs(60);

/// How many shards are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardCount {
    /// So many.
    Exactly(u32),
    /// One more than there are.
    OneMore,
    /// One fewer.
    OneFewer,
}

/// The reshardings of a service that stands alone, by collection.
#[derive(Debug, Default)]
pub(super) struct Reshardings(Arc<Mutex<BTreeMap<String, Running>>>);

#[derive(Debug)]
struct Running {
    state: ReshardingState,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Set when the thread is to end. Nothing else hangs on when it sees that.
#[derive(Debug, Default)]
struct Stop {
    /// The wish is given up.
    aborted: AtomicBool,
    /// The service closes; the wish stays.
    closing: AtomicBool,
}

impl Stop {
    fn check(&self) -> Result<()> {
        let stops = self.aborted.load(Ordering::Relaxed) || self.closing.load(Ordering::Relaxed);
        if stops { Err(ServiceError::new(Fault::Unavailable, "it was stopped")) } else { Ok(()) }
    }
}

impl Reshardings {
    /// Ends one, and returns when nothing of it is left; false when there is none.
    fn abort(&self, name: &str) -> bool {
        let thread = {
            let mut running = self.0.lock();
            let Some(running) = running.get_mut(name) else { return false };
            running.stop.aborted.store(true, Ordering::Relaxed);
            running.thread.take()
        };
        if let Some(thread) = thread {
            // What it met it has said.
            drop(thread.join());
        }
        true
    }

    /// Ends all of them; they are begun anew when the directory is opened next.
    pub(super) fn close(&self) {
        let running = std::mem::take(&mut *self.0.lock());
        running.values().for_each(|running| running.stop.closing.store(true, Ordering::Relaxed));
        for thread in running.into_values().filter_map(|running| running.thread) {
            // What it met it has said.
            drop(thread.join());
        }
    }
}

impl Drop for Reshardings {
    fn drop(&mut self) {
        self.close();
    }
}

impl Service {
    /// Begins to spread the points of a collection, or of one of its shard keys, over another number of shards; false when it has
    /// that number. Reads and writes go on. It is done when [`reshardings`](Self::reshardings) tells of none any more.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] while one is under way, for the last shard, and for a collection with shard keys without one of them;
    /// [`Fault::Validation`] for a number out of range; [`Fault::OutOfSpace`].
    pub fn reshard(&self, name: &str, key: Option<&ShardKey>, wanted: ShardCount, access: &Access) -> Result<bool> {
        let (collection, count) = self.resharded(name, key, wanted, access)?;
        let Some(count) = count else { return Ok(false) };
        self.check_disk()?;
        match self.cluster()? {
            Some(cluster) => cluster.reshard(&collection.name, key, count)?,
            None => self.reshard_here(&collection.name, Resharding { key: key.cloned(), count })?,
        }
        Ok(true)
    }

    /// The collection, and how many shards it would get; none when there is nothing to do.
    pub(crate) fn resharded(
        &self,
        name: &str,
        key: Option<&ShardKey>,
        wanted: ShardCount,
        access: &Access,
    ) -> Result<(Arc<ShardedCollection>, Option<u32>)> {
        access.check_manage()?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        let custom = collection.config().sharding_method == Some(ShardingMethod::Custom);
        match key {
            None if custom => {
                return Err(ServiceError::request("where there are shard keys, `start_resharding` names one: each has shards of its own"));
            }
            Some(_) if !custom => return Err(ServiceError::input("Shard key cannot be used with automatic sharding")),
            Some(unknown) if !collection.has_key(unknown) => return Err(ServiceError::input(format!("Shard key {unknown} not found"))),
            _ => {}
        }
        if !self.reshardings(name, access)?.is_empty() {
            return Err(ServiceError::resharding(&collection.name));
        }
        let now = collection.shards.iter().filter(|shard| shard.key.as_ref() == key).count();
        let now = u32::try_from(now).map_err(|_| ServiceError::internal("more shards than there can be"))?;
        let count = match wanted {
            ShardCount::Exactly(count) => count,
            ShardCount::OneMore => now + 1,
            ShardCount::OneFewer if now == 1 => return Err(ServiceError::request("the last shard does not go")),
            ShardCount::OneFewer => now - 1,
        };
        if count == 0 || count > MAX_SHARDS {
            return Err(ServiceError::validation("shard_number", format!("value {count} invalid, must be from 1 to {MAX_SHARDS}")));
        }
        Ok((collection, (count != now).then_some(count)))
    }

    /// Gives up a resharding: the collection keeps the shards that it has.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] when there is none, or when it cannot be undone any more.
    pub fn abort_resharding(&self, name: &str, access: &Access) -> Result<()> {
        access.check_manage()?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        if let Some(cluster) = self.cluster()? {
            return cluster.abort_resharding(&collection.name);
        }
        let none = || Err(ServiceError::request(format!("Collection `{}` is not being resharded", collection.name)));
        if !self.reshardings.abort(&collection.name) {
            return none();
        }
        // It may have been done just then.
        let now = self.stored_collection(&collection.name)?;
        if Arc::ptr_eq(&now, &collection) { Ok(()) } else { none() }
    }

    /// What is under way in a collection.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    pub fn reshardings(&self, name: &str, access: &Access) -> Result<Vec<ReshardingState>> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        match self.cluster()? {
            Some(cluster) => cluster.reshardings(&collection.name),
            None => Ok(self.reshardings.0.lock().get(&collection.name).map(|running| running.state.clone()).into_iter().collect()),
        }
    }

    /// Ends the resharding of a collection that goes.
    pub(super) fn end_resharding(&self, name: &str) {
        self.reshardings.abort(name);
    }

    /// Begins anew what an interruption left unfinished.
    pub(super) fn resume_reshardings(&self) -> Result<()> {
        let entries = self.catalog.lock().entries.clone();
        let wishes = entries.collections.into_iter().filter_map(|(name, entry)| Some((name, entry.resharding?)));
        for (name, wish) in wishes {
            self.reshard_here(&name, wish)?;
        }
        Ok(())
    }

    fn reshard_here(&self, name: &str, wish: Resharding) -> Result<()> {
        // Held until it is listed, so that there is one at a time.
        let mut all = self.reshardings.0.lock();
        if all.contains_key(name) {
            return Err(ServiceError::resharding(name));
        }
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        let entry = entries.collections.get_mut(name).ok_or_else(|| ServiceError::no_collection(name))?;
        let before = entry.shards.len();
        let old = entry.shards.iter().filter(|shard| shard.key == wish.key).count();
        let new = entry.add(wish.count, wish.key.as_ref());
        // Listed when they are whole.
        entry.shards.truncate(before);
        entry.resharding = Some(wish.clone());
        catalog.replace(entries)?;
        let stop = Arc::new(Stop::default());
        let state = ReshardingState {
            up: wish.count as usize > old,
            shard: new.first().map_or(ShardId(0), |shard| shard.id),
            peer: self.peer_id,
            key: wish.key.clone(),
        };
        let job = Job {
            db: self.db.clone(),
            catalog: Arc::clone(&self.catalog),
            collections: Arc::clone(&self.collections),
            name: name.to_owned(),
            wish,
            new,
            stop: Arc::clone(&stop),
        };
        let (listed, name) = (Arc::clone(&self.reshardings.0), name.to_owned());
        let thread = std::thread::Builder::new().name("resharding".to_owned()).spawn({
            let name = name.clone();
            move || {
                job.run();
                listed.lock().remove(&name);
            }
        });
        let thread = thread.map_err(|error| ServiceError::internal(error.to_string()))?;
        all.insert(name, Running { state, stop, thread: Some(thread) });
        Ok(())
    }
}

/// One resharding.
struct Job {
    db: Database,
    catalog: Arc<Mutex<Catalog>>,
    collections: Arc<RwLock<BTreeMap<String, Arc<ShardedCollection>>>>,
    name: String,
    wish: Resharding,
    /// The shards to be made.
    new: Vec<ShardEntry>,
    stop: Arc<Stop>,
}

impl Job {
    fn run(&self) {
        let begun = Instant::now();
        let Some(collection) = self.begin() else { return };
        match self.work(&collection) {
            Ok(()) => {
                tracing::info!(collection = self.name, shards = self.wish.count, took = ?begun.elapsed(), "resharded");
                self.drop_old(&collection);
            }
            Err(error) => {
                tracing::warn!(collection = self.name, %error, "the resharding came to nothing");
                self.give_up(&collection);
            }
        }
    }

    /// From the answer on, what is written is noted.
    fn begin(&self) -> Option<Arc<ShardedCollection>> {
        loop {
            let collection = self.collections.read().get(&self.name).cloned()?;
            let mut writing = collection.writing.write();
            // Another may have taken its place meanwhile.
            if self.collections.read().get(&self.name).is_some_and(|now| Arc::ptr_eq(now, &collection)) {
                *writing = Writing::Noted(Mutex::new(Touched::default()));
                drop(writing);
                return Some(collection);
            }
        }
    }

    fn old<'c>(&self, collection: &'c ShardedCollection) -> Vec<&'c Shard> {
        collection.shards.iter().filter(|shard| shard.key == self.wish.key).collect()
    }

    fn work(&self, collection: &ShardedCollection) -> Result<()> {
        let mut config = collection.config();
        if self.wish.key.is_none() {
            config.shard_number = self.wish.count;
        }
        let make = |entry: &ShardEntry| Ok(Shard::new(entry, self.db.create_collection(&entry.core_name(&self.name), config.clone())?));
        let new = self.new.iter().map(make).collect::<Result<Vec<_>>>()?;
        for shard in self.old(collection) {
            let mut page = whole_points(PAGE);
            loop {
                self.stop.check()?;
                let read = shard.data.scroll(&page)?;
                self.write(&new, taken_over(read.records, &[], &self.ids()))?;
                page.offset = read.next_offset;
                if page.offset.is_none() {
                    break;
                }
            }
        }
        loop {
            self.stop.check()?;
            let (ids, left) = match &*collection.writing.read() {
                Writing::Noted(touched) => {
                    let mut touched = touched.lock();
                    (touched.take(PAGE, Lsn::ZERO), touched.len())
                }
                _ => return Err(ServiceError::internal("nobody noted what was written")),
            };
            self.take_over(collection, &new, &ids)?;
            if left <= FEW {
                return self.switch(collection, &new);
            }
        }
    }

    fn ids(&self) -> Vec<ShardId> {
        self.new.iter().map(|shard| shard.id).collect()
    }

    fn take_over(&self, collection: &ShardedCollection, new: &[Shard], ids: &[PointId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let records = reads::retrieve(&self.old(collection), ids, &PayloadSelector::All, &VectorSelector::All)?;
        self.write(new, taken_over(records, ids, &self.ids()))
    }

    fn write(&self, new: &[Shard], parts: Vec<Vec<Update>>) -> Result<()> {
        let mut parts = new.iter().zip(parts).filter(|(_, updates)| !updates.is_empty());
        parts.try_for_each(|(shard, updates)| shard.data.apply(updates).map(drop))
    }

    /// Takes over the rest while nobody writes, and puts the new shards in the place of the old.
    fn switch(&self, collection: &ShardedCollection, new: &[Shard]) -> Result<()> {
        let mut writing = collection.writing.write();
        if let Writing::Noted(touched) = &mut *writing {
            while !touched.get_mut().is_empty() {
                let ids = touched.get_mut().take(PAGE, Lsn::ZERO);
                self.take_over(collection, new, &ids)?;
            }
        }
        let mut catalog = self.catalog.lock();
        self.stop.check()?;
        let mut entries = catalog.entries.clone();
        let entry = entries.collections.get_mut(&self.name).ok_or_else(|| ServiceError::no_collection(&self.name))?;
        if entry.shards != collection.shards.iter().map(Shard::entry).collect::<Vec<_>>() {
            return Err(ServiceError::internal("the collection has other shards than it had"));
        }
        entry.shards.retain(|shard| shard.key != self.wish.key);
        entry.shards.extend(self.new.iter().cloned());
        entry.resharding = None;
        let entry: CollectionEntry = entry.clone();
        let replacement = sharded(&self.db, &self.name, &entry)?;
        catalog.replace(entries)?;
        self.collections.write().insert(self.name.clone(), Arc::new(replacement));
        *writing = Writing::Over;
        Ok(())
    }

    /// Drops the old shards when nobody reads them any more. What stays is not listed, and goes when the directory is opened next.
    fn drop_old(&self, collection: &Arc<ShardedCollection>) {
        let begun = Instant::now();
        while Arc::strong_count(collection) > 1 && begun.elapsed() < READERS && !self.stop.closing.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        for shard in self.old(collection) {
            drop(self.db.drop_collection(&shard.entry().core_name(&self.name)));
        }
    }

    fn give_up(&self, collection: &ShardedCollection) {
        for shard in &self.new {
            // What stays is not listed.
            drop(self.db.drop_collection(&shard.core_name(&self.name)));
        }
        *collection.writing.write() = Writing::Plain;
        if self.stop.closing.load(Ordering::Relaxed) {
            return;
        }
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        if let Some(entry) = entries.collections.get_mut(&self.name) {
            entry.resharding = None;
            if let Err(error) = catalog.replace(entries) {
                tracing::warn!(collection = self.name, %error, "the resharding is begun anew at the next start");
            }
        }
    }
}
