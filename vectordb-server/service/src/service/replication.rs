//! Points of one shard key in another as well: a tenant that gets shards of its own.
//!
//! The points are walked over until a walk finds nothing that the one before had not brought: each walk looks at all ids and their
//! versions, and brings what is new or has another version. So at some moment between the last two walks the target had
//! everything, and nobody had to wait.

use std::collections::{HashMap, HashSet};

use vectordb_core::{Filter, Lsn, PayloadSelector, Point, PointId, ScrollRequest, ShardingMethod, Target, Update, VectorSelector};

use super::Service;
use super::points::WriteOptions;
use crate::access::{Access, CollectionAccess};
use crate::error::{Fault, Result, ServiceError};
use crate::shards::{ShardKey, reads};

/// Points of one write.
const PAGE: usize = 256;
/// Ids of one page of a walk.
const IDS: usize = 10_000;
/// Walks after which it is given up: what changes as fast as it can be brought over comes to no end.
const MOST_WALKS: usize = 20;

impl Service {
    /// Brings the points of one shard key for which a filter holds into another key as well, whatever is written meanwhile. What the
    /// other key has of the same ids is replaced.
    ///
    /// # Errors
    /// [`Fault::BadInput`] for unknown keys and for a collection without any, [`Fault::Unavailable`] when the points change as
    /// fast as they are brought over, and those of reads and writes; the other key has some of the points then.
    pub fn replicate_points(&self, name: &str, from: &ShardKey, to: &ShardKey, filter: Option<&Filter>, access: &Access) -> Result<()> {
        access.check_manage()?;
        let collection = self.collection(name, access, CollectionAccess::Write)?;
        if collection.config().sharding_method != Some(ShardingMethod::Custom) {
            return Err(ServiceError::input("Shard key cannot be used with automatic sharding"));
        }
        collection.chosen(Some(&[from.clone(), to.clone()]))?;
        if from == to {
            return Err(ServiceError::request("a shard key cannot be replicated to itself"));
        }
        let mut brought: HashMap<PointId, Lsn> = HashMap::new();
        for _ in 0..MOST_WALKS {
            let (changed, gone) = self.unlike(name, from, filter, &brought, access)?;
            if changed.is_empty() && gone.is_empty() {
                return Ok(());
            }
            for ids in changed.chunks(PAGE) {
                self.bring(name, from, to, ids, &mut brought, access)?;
            }
            for id in &gone {
                brought.remove(id);
            }
            if !gone.is_empty() {
                self.update(name, vec![Update::Delete(Target::Ids(gone))], &into(to), access)?;
            }
        }
        Err(ServiceError::new(Fault::Unavailable, "the points change as fast as they are replicated"))
    }

    /// Ids that have other versions than were brought, and those of points that were brought and are there no more.
    fn unlike(
        &self,
        name: &str,
        from: &ShardKey,
        filter: Option<&Filter>,
        brought: &HashMap<PointId, Lsn>,
        access: &Access,
    ) -> Result<(Vec<PointId>, Vec<PointId>)> {
        let mut page = ScrollRequest {
            filter: filter.cloned(),
            limit: IDS,
            with_payload: PayloadSelector::None,
            with_vectors: VectorSelector::None,
            ..ScrollRequest::default()
        };
        let (mut changed, mut seen) = (Vec::new(), HashSet::new());
        loop {
            let collection = self.collection(name, access, CollectionAccess::Read)?;
            let read = reads::scroll(&collection.chosen(Some(std::slice::from_ref(from)))?, &page)?;
            for record in read.records {
                if brought.get(&record.id) != Some(&record.version) {
                    changed.push(record.id.clone());
                }
                seen.insert(record.id);
            }
            page.offset = read.next_offset;
            if page.offset.is_none() {
                break;
            }
        }
        let gone = brought.keys().filter(|id| !seen.contains(*id)).cloned().collect();
        Ok((changed, gone))
    }

    fn bring(
        &self,
        name: &str,
        from: &ShardKey,
        to: &ShardKey,
        ids: &[PointId],
        brought: &mut HashMap<PointId, Lsn>,
        access: &Access,
    ) -> Result<()> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        let shards = collection.chosen(Some(std::slice::from_ref(from)))?;
        let records = reads::retrieve(&shards, ids, &PayloadSelector::All, &VectorSelector::All)?;
        let versions: Vec<(PointId, Lsn)> = records.iter().map(|record| (record.id.clone(), record.version)).collect();
        let points: Vec<Point> = records
            .into_iter()
            .map(|record| Point { id: record.id, vectors: record.vectors.unwrap_or_default(), payload: record.payload.unwrap_or_default() })
            .collect();
        if !points.is_empty() {
            self.update(name, vec![Update::upsert(points)], &into(to), access)?;
        }
        brought.extend(versions);
        Ok(())
    }
}

fn into(key: &ShardKey) -> WriteOptions {
    WriteOptions { shard_keys: vec![key.clone()] }
}
