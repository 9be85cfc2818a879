//! Archived shards as points of a cluster's collection: their number and places there have nothing to do with what they were.

use std::path::Path;

use vectordb_core::{Background, CollectionConfig, Database, Options, PayloadSelector, Point, ScrollRequest, Update, VectorSelector};

use super::points::WriteOptions;
use super::{NewCollection, Service};
use crate::access::Access;
use crate::error::{Result, ServiceError, failed};
use crate::shards::ShardKey;
use crate::snapshots::{ArchivedCollection, Manifest};

/// Points of one write.
const PAGE: usize = 256;
/// Below the directory of the archive: the engine's, while its collections are read.
const OPENED: &str = "opened";

impl Service {
    /// Makes a collection of an archived one, or puts it in the place of the one of that name, which keeps its number of shards
    /// and of replicas. It is filled under another name, and gets its own in one step.
    pub(super) fn refill(&self, name: &str, archived: &ArchivedCollection, unpacked: &Path, at: usize) -> Result<()> {
        let Some(cluster) = self.cluster()? else { return Err(ServiceError::alone()) };
        let present = self.collections.read().get(name).map(|present| (present.config(), present.shards.len()));
        let keys: Vec<ShardKey> = archived.entry.shards.iter().filter_map(|shard| shard.key.clone()).collect();
        let mut config = archived.config.clone();
        if let Some((present, _)) = &present {
            check_vectors(&archived.config, present)?;
            config = present.clone();
        }
        let shards = present.as_ref().map_or(archived.entry.shards.len(), |(_, shards)| *shards);
        let shards = if keys.is_empty() { shards } else { config.shard_number as usize };
        let temporary = format!("{}-{}", &name[..name.floor_char_boundary(200)], uuid::Uuid::new_v4());
        let new = NewCollection { name: temporary.clone(), config, shard_number: u32::try_from(shards).ok() };
        self.create_collection(new, &Access::Manage)?;
        let filled = self.fill(&temporary, archived, unpacked, at).and_then(|()| cluster.rename(&temporary, name));
        if filled.is_err() {
            drop(cluster.delete_collection(&temporary));
        }
        filled
    }

    fn fill(&self, name: &str, archived: &ArchivedCollection, unpacked: &Path, at: usize) -> Result<()> {
        let opened = unpacked.join(OPENED);
        let db = Database::open_with(&opened, Options::default().background(Background::Manual))?;
        let mut made: Vec<&ShardKey> = Vec::new();
        for shard in &archived.entry.shards {
            let data = db.restore("shard", unpacked.join(Manifest::shard_directory(at, shard.id)))?;
            if let Some(key) = shard.key.as_ref().filter(|key| !made.contains(key)) {
                made.push(key);
                let shards = archived.entry.shards.iter().filter(|other| other.key.as_ref() == Some(key)).count();
                let new = super::NewShardKey { key: key.clone(), shards: u32::try_from(shards).ok() };
                self.create_shard_key(name, &new, &Access::Manage)?;
            }
            let options = WriteOptions { shard_keys: shard.key.iter().cloned().collect() };
            let mut page = ScrollRequest {
                limit: PAGE,
                with_payload: PayloadSelector::All,
                with_vectors: VectorSelector::All,
                ..ScrollRequest::default()
            };
            loop {
                let read = data.scroll(&page)?;
                let points = read.records.into_iter().map(|record| Point {
                    id: record.id,
                    vectors: record.vectors.unwrap_or_default(),
                    payload: record.payload.unwrap_or_default(),
                });
                let points: Vec<Point> = points.collect();
                if !points.is_empty() {
                    self.update(name, vec![Update::upsert(points)], &options, &Access::Manage)?;
                }
                page.offset = read.next_offset;
                if page.offset.is_none() {
                    break;
                }
            }
            drop(data);
            db.drop_collection("shard")?;
        }
        db.close()?;
        std::fs::remove_dir_all(&opened).map_err(|error| failed(&opened, &error))
    }
}

fn check_vectors(archived: &CollectionConfig, present: &CollectionConfig) -> Result<()> {
    let shape = |config: &CollectionConfig| -> Vec<(String, usize)> {
        let dense = config.vectors.iter().map(|(name, params)| (name.clone(), params.size));
        dense.chain(config.sparse_vectors.keys().map(|name| (name.clone(), 0))).collect()
    };
    if shape(archived) == shape(present) {
        return Ok(());
    }
    let message = "Snapshot is not compatible with existing collection: its vectors are not those of the collection";
    Err(ServiceError::request(message))
}
