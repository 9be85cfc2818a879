//! What collections say about themselves.

use std::collections::BTreeMap;

use vectordb_core::{CollectionConfig, CollectionInfo, FieldInfo, MemoryReport, Status};

use super::Service;
use crate::access::{Access, CollectionAccess};
use crate::error::Result;
use crate::shards::{ShardId, ShardKey};

/// State and sizes of a collection, over all its shards.
#[derive(Debug, Clone)]
pub struct CollectionState {
    /// The name under which it is stored, which is not that of an alias.
    pub name: String,
    /// RFC 3339.
    pub created_at: String,
    /// The worst of the shards.
    pub status: Status,
    /// Why it is not green, when something failed.
    pub error: Option<String>,
    /// Points.
    pub points: u64,
    /// Vectors that a graph leads to.
    pub indexed_vectors: u64,
    /// Segments.
    pub segments: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Updates whose segments wait to be sealed.
    pub pending: usize,
    /// Payload indexes by field.
    pub payload_schema: BTreeMap<String, FieldInfo>,
    /// What it is made of.
    pub config: CollectionConfig,
    /// The shards by themselves.
    pub shards: Vec<ShardState>,
}

/// State of one shard.
#[derive(Debug, Clone)]
pub struct ShardState {
    /// Its number.
    pub id: ShardId,
    /// Its key.
    pub key: Option<ShardKey>,
    /// What the engine says about it.
    pub info: CollectionInfo,
}

impl Service {
    /// Memory of each shard by component.
    ///
    /// Takes the system a look at every page, some milliseconds for a gigabyte.
    ///
    /// # Errors
    /// [`Fault::NotFound`](crate::Fault::NotFound).
    pub fn memory(&self, name: &str, access: &Access) -> Result<Vec<(ShardId, MemoryReport)>> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        collection.shards.iter().map(|shard| Ok((shard.id, shard.data.memory()?))).collect()
    }

    /// State and sizes of a collection.
    ///
    /// # Errors
    /// [`Fault::NotFound`](crate::Fault::NotFound).
    pub fn state(&self, name: &str, access: &Access) -> Result<CollectionState> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        let mut shards = Vec::with_capacity(collection.shards.len());
        for shard in &collection.shards {
            shards.push(ShardState { id: shard.id, key: shard.key.clone(), info: shard.data.info()? });
        }
        let sum = |of: &dyn Fn(&CollectionInfo) -> u64| shards.iter().map(|shard| of(&shard.info)).sum();
        let mut payload_schema: BTreeMap<String, FieldInfo> = BTreeMap::new();
        for (field, info) in shards.iter().flat_map(|shard| &shard.info.payload_schema) {
            let points = payload_schema.get(field).map_or(0, |known| known.points) + info.points;
            payload_schema.insert(field.clone(), FieldInfo { points, ..info.clone() });
        }
        let worst = |a: Status, b: Status| match (a, b) {
            (Status::Red, _) | (_, Status::Red) => Status::Red,
            (Status::Yellow, _) | (_, Status::Yellow) => Status::Yellow,
            (Status::Green, Status::Green) => Status::Green,
        };
        Ok(CollectionState {
            name: collection.name.clone(),
            created_at: collection.created_at.clone(),
            status: shards.iter().map(|shard| shard.info.status).fold(Status::Green, worst),
            error: shards.iter().find_map(|shard| shard.info.error.clone()),
            points: sum(&|info| info.points),
            indexed_vectors: sum(&|info| info.indexed_vectors),
            segments: shards.iter().map(|shard| shard.info.segments.len()).sum(),
            disk_bytes: sum(&|info| info.disk_bytes),
            pending: shards.iter().map(|shard| shard.info.pending_seals).sum(),
            payload_schema,
            config: collection.config(),
            shards,
        })
    }
}
