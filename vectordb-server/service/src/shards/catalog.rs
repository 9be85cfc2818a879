//! What is known of collections beside what the engine keeps: their shards, when they were made, and their aliases.
//!
//! One JSON file, replaced as a whole. A collection is listed after all its shards exist and is no longer listed once the
//! first of them is dropped, so an interruption leaves shards that are not listed, and [`Entries::sorted`] finds them.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::collection::core_name;
use super::ring::{ShardId, ShardKey};
use crate::error::{Fault, Result, ServiceError};
use crate::limits::Quota;

const FILE: &str = "service.json";
/// Version of the file's form.
const FORMAT: u32 = 1;

/// A shard as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShardEntry {
    pub(crate) id: ShardId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) key: Option<ShardKey>,
    /// How often its data was replaced as a whole; each time it gets another name in the engine.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) generation: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ShardEntry {
    /// The name of the shard in the engine.
    pub(crate) fn core_name(&self, collection: &str) -> String {
        core_name(collection, self.id, self.generation)
    }
}

/// A collection as it is listed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct CollectionEntry {
    /// RFC 3339.
    pub(crate) created_at: String,
    pub(crate) shards: Vec<ShardEntry>,
    /// The number of the next shard; numbers are not used again.
    pub(crate) next_shard: u32,
    /// What is under way, to be begun anew when the directory is opened again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) resharding: Option<Resharding>,
}

/// Another number of shards that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resharding {
    /// Of these shards; none where a hash spreads the points over all of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) key: Option<ShardKey>,
    /// So many.
    pub(crate) count: u32,
}

impl CollectionEntry {
    /// A collection made now.
    pub(crate) fn new() -> Self {
        Self { created_at: jiff::Timestamp::now().to_string(), ..Self::default() }
    }

    /// Adds shards of a key.
    pub(crate) fn add(&mut self, count: u32, key: Option<&ShardKey>) -> Vec<ShardEntry> {
        let added: Vec<ShardEntry> =
            (0..count).map(|n| ShardEntry { id: ShardId(self.next_shard + n), key: key.cloned(), generation: 0 }).collect();
        self.next_shard += count;
        self.shards.extend(added.iter().cloned());
        added
    }
}

/// Everything listed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Entries {
    format: u32,
    /// The identity of this peer.
    pub(crate) peer_id: u64,
    pub(crate) collections: BTreeMap<String, CollectionEntry>,
    /// Alias → collection.
    pub(crate) aliases: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) quota: Quota,
}

impl Entries {
    fn new() -> Self {
        // 53 bits, so that the number survives as a JSON number in every language.
        let peer_id = (uuid::Uuid::new_v4().as_u64_pair().0 >> 11).max(1);
        Self { format: FORMAT, peer_id, ..Self::default() }
    }

    /// Brings the list in line with the collections the engine has: what the embedded engine made becomes a collection of one
    /// shard. Gives back the engine's collections that are left over from an interruption.
    pub(crate) fn sorted(&mut self, existing: &[String], stands_alone: impl Fn(&str) -> bool) -> Vec<String> {
        self.collections.retain(|name, entry| entry.shards.iter().all(|shard| existing.contains(&shard.core_name(name))));
        let listed: Vec<String> =
            self.collections.iter().flat_map(|(name, entry)| entry.shards.iter().map(|shard| shard.core_name(name))).collect();
        let mut left_over = Vec::new();
        for name in existing.iter().filter(|name| !listed.contains(name)) {
            // A listed name that is not where its collection is now holds what was replaced.
            if !self.collections.contains_key(name) && stands_alone(name) {
                let mut entry = CollectionEntry::new();
                entry.add(1, None);
                self.collections.insert(name.clone(), entry);
            } else {
                left_over.push(name.clone());
            }
        }
        let collections = &self.collections;
        self.aliases.retain(|_, collection| collections.contains_key(collection));
        left_over
    }
}

/// The list and its file.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// None in memory.
    path: Option<PathBuf>,
    pub(crate) entries: Entries,
}

impl Catalog {
    pub(crate) fn exists(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Reads the list of a directory, or begins one; without a directory it lives in memory alone.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self> {
        let path = directory.map(|directory| directory.join(FILE));
        let text = match &path {
            None => None,
            Some(path) => match std::fs::read(path) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(failed(path, &error)),
            },
        };
        let entries = match (text, &path) {
            (Some(text), Some(path)) => serde_json::from_slice(&text).map_err(|error| failed(path, &error))?,
            _ => Entries::new(),
        };
        if entries.format > FORMAT {
            return Err(ServiceError::internal(format!("{FILE} has format {}, this version reads up to {FORMAT}", entries.format)));
        }
        Ok(Self { path, entries })
    }

    /// Replaces the list; what was stays when the new one cannot be made durable.
    pub(crate) fn replace(&mut self, entries: Entries) -> Result<()> {
        if let Some(path) = &self.path {
            write(path, &entries).map_err(|error| match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ServiceError::new(Fault::OutOfSpace, error.to_string()),
                _ => failed(path, &error),
            })?;
        }
        self.entries = entries;
        Ok(())
    }
}

fn write(path: &Path, entries: &Entries) -> std::io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(entries)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}

fn failed(path: &Path, error: &dyn std::error::Error) -> ServiceError {
    ServiceError::internal(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_embedded_engine_made_is_listed_and_leftovers_are_told() {
        let mut entries = Entries::new();
        let mut whole = CollectionEntry::new();
        whole.add(2, None);
        entries.collections.insert("whole".into(), whole.clone());
        entries.collections.insert("halved".into(), whole);
        entries.aliases.insert("gone".into(), "halved".into());
        let existing: Vec<String> =
            vec!["alone".into(), "whole".into(), core_name("whole", ShardId(1), 0), core_name("halved", ShardId(1), 0)];
        let left_over = entries.sorted(&existing, |name| name == "alone");
        assert_eq!(left_over, [core_name("halved", ShardId(1), 0)]);
        assert_eq!(entries.collections.keys().collect::<Vec<_>>(), ["alone", "whole"]);
        assert!(entries.aliases.is_empty());
    }

    #[test]
    fn what_was_replaced_does_not_come_back_under_its_old_name() {
        let mut entries = Entries::new();
        let mut entry = CollectionEntry::new();
        entry.add(1, None);
        entry.shards[0].generation = 1;
        entries.collections.insert("books".into(), entry.clone());
        let existing: Vec<String> = vec!["books".into(), core_name("books", ShardId(0), 1), core_name("books", ShardId(0), 2)];
        assert_eq!(entries.sorted(&existing, |name| name == "books"), ["books".to_owned(), core_name("books", ShardId(0), 2)]);
        assert_eq!(entries.collections["books"], entry);
    }

    #[test]
    fn the_list_survives_reopening_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut catalog = Catalog::open(Some(dir.path())).expect("a new list");
        let mut entries = catalog.entries.clone();
        entries.collections.insert("books".into(), CollectionEntry::new());
        catalog.replace(entries.clone()).expect("it is written");
        assert_eq!(Catalog::open(Some(dir.path())).expect("it is read").entries, entries);
        std::fs::write(dir.path().join(FILE), b"{").expect("it is damaged");
        assert!(Catalog::open(Some(dir.path())).is_err());
    }
}
