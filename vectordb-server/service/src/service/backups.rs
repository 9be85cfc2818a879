//! Backups of the data, and data from them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Service;
use super::collections::check_name;
use crate::access::{Access, CollectionAccess};
use crate::backup::{BackupDescription, BackupManifest, CollectionDescription, Progress, PruneReport, Repository, Source, Stored};
use crate::bucket::{Bucket, DirectoryBucket};
use crate::digest::{ContentDigest, digest_of};
use crate::error::{Fault, Result, ServiceError, failed};
use crate::shards::ShardedCollection;

/// Opens buckets by their location, as in `s3://bucket/prefix`; the door that can speak to other hosts gives one to
/// [`Settings`](crate::Settings::buckets).
#[derive(Clone)]
pub struct Buckets(Arc<Opener>);

type Opener = dyn Fn(&str) -> Result<Arc<dyn Bucket>> + Send + Sync;

impl Buckets {
    /// By a function of the location.
    pub fn new(open: impl Fn(&str) -> Result<Arc<dyn Bucket>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    /// The bucket of a location.
    ///
    /// # Errors
    /// Those of the opener.
    pub fn open(&self, location: &str) -> Result<Arc<dyn Bucket>> {
        (self.0)(location)
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buckets")
    }
}

/// What to back up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupRequest {
    /// Names or aliases; empty: everything, with the aliases.
    pub collections: Vec<String>,
    /// How many backups to keep, this one among them; none: all.
    pub keep: Option<usize>,
}

/// What was backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// What was stored.
    #[serde(flatten)]
    pub stored: Stored,
    /// What was deleted, if anything was to be.
    pub pruned: Option<PruneReport>,
}

/// What to restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The name of the backup; none: the newest.
    pub backup: Option<String>,
    /// Names in the backup and the names that the collections are to have here; empty: everything, with the aliases.
    pub collections: BTreeMap<String, String>,
    /// Whether collections that are here are replaced.
    pub replace: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The backup.
    pub backup: String,
    /// The collections under the names that they have here.
    pub collections: Vec<CollectionDescription>,
}

/// Below a scratch directory: linked or fetched files, and places to look into them.
const FILES: &str = "files";
const CHECKED: &str = "checked";
/// In the directory of snapshots, where backups lie if nothing else is said.
const BACKUPS: &str = "backups";

impl Service {
    /// The backups of a place: `s3://BUCKET/PREFIX`, or a directory below that of snapshots. None: as in the settings.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for directories elsewhere, [`Fault::BadRequest`] for a place that cannot be reached.
    pub fn repository(&self, location: Option<&str>, access: &Access) -> Result<Repository> {
        access.check_manage()?;
        let configured = self.settings.backup_location.as_deref();
        let Some(location) = location.or(configured) else {
            return Ok(Repository::new(Arc::new(DirectoryBucket::new(self.shelf()?.root().join(BACKUPS)))));
        };
        if location.starts_with("s3://") {
            let Some(buckets) = &self.settings.buckets else {
                return Err(ServiceError::request("this process cannot reach buckets"));
            };
            return Ok(Repository::new(buckets.open(location)?));
        }
        // What the operator set may lie anywhere, what a caller names may not.
        let path = if Some(location) == configured { PathBuf::from(location) } else { self.below_snapshots(location)? };
        Ok(Repository::new(Arc::new(DirectoryBucket::new(path))))
    }

    /// A directory that need not exist yet, in that of snapshots.
    fn below_snapshots(&self, location: &str) -> Result<PathBuf> {
        location.parse::<DirectoryBucket>()?;
        let root = self.shelf()?.root();
        let path = root.join(location.strip_prefix("file://").unwrap_or(location));
        let plain =
            |below: &Path| below.components().next().is_some() && below.components().all(|part| matches!(part, Component::Normal(_)));
        let inside = path.strip_prefix(root).is_ok_and(plain);
        // The part that exists may be a link to elsewhere.
        let exists = path.ancestors().find_map(|each| std::fs::canonicalize(each).ok());
        let real = std::fs::canonicalize(root).ok();
        let inside = inside && real.is_none_or(|root| exists.is_some_and(|path| path.starts_with(root)));
        if inside { Ok(path) } else { Err(ServiceError::new(Fault::Forbidden, "a directory for backups must be in that of snapshots")) }
    }

    /// Backs up the data as it is now. Writes go on meanwhile, but for the moment at which each collection is in it.
    ///
    /// # Errors
    /// [`Fault::NotFound`] for an unknown collection, [`Fault::BadRequest`] for a service in memory and a place that cannot be
    /// reached, [`Fault::Unavailable`] when another writes there.
    pub fn back_up(&self, to: &Repository, request: &BackupRequest, progress: Progress<'_>, access: &Access) -> Result<BackupReport> {
        access.check_manage()?;
        if request.keep == Some(0) {
            return Err(ServiceError::request("at least one backup is kept"));
        }
        let done = self.backed_up(to, request, progress);
        self.metrics.backup(done.as_ref().ok().map(|_| jiff::Timestamp::now()));
        done
    }

    fn backed_up(&self, to: &Repository, request: &BackupRequest, progress: Progress<'_>) -> Result<BackupReport> {
        let _running = self.activity("", |activity| &mut activity.creating);
        let collections = self.chosen(&request.collections)?;
        let aliases = if request.collections.is_empty() { self.aliases.read().clone() } else { BTreeMap::new() };
        let scratch = self.scratch()?;
        let files = scratch.path().join(FILES);
        std::fs::create_dir(&files).map_err(|error| failed(&files, &error))?;
        let created_at = jiff::Timestamp::now();
        let archived = self.link(&collections, None, &files)?;
        let checked = scratch.path().join(CHECKED);
        let source = Source { files: &files, collections: archived, aliases, created_at, scratch: &checked };
        let stored = to.store(&source, progress)?;
        let pruned = request.keep.map(|keep| to.prune(keep)).transpose()?;
        Ok(BackupReport { stored, pruned })
    }

    /// Each collection of some names once, or all.
    fn chosen(&self, names: &[String]) -> Result<Vec<Arc<ShardedCollection>>> {
        if names.is_empty() {
            return Ok(self.collections.read().values().map(Arc::clone).collect());
        }
        let mut chosen = BTreeMap::new();
        for name in names {
            let found = self.found(name).ok_or_else(|| ServiceError::no_collection(name))?;
            chosen.insert(found.name.clone(), found);
        }
        Ok(chosen.into_values().collect())
    }

    /// Makes collections of a backup. Everything is fetched and compared with its sums, the content with its digest, before
    /// anything is made or replaced; the old data of a collection is there, whole, until the new is.
    ///
    /// # Errors
    /// [`Fault::NotFound`] for an unknown backup or a collection that is not in it, [`Fault::AlreadyExists`] when a collection is
    /// here and nothing is to be replaced, [`Fault::BadRequest`] for a damaged backup.
    pub fn restore_backup(
        &self,
        from: &Repository,
        request: &RestoreRequest,
        progress: Progress<'_>,
        access: &Access,
    ) -> Result<RestoreReport> {
        access.check_manage()?;
        let (backup, manifest) = from.manifest(request.backup.as_deref())?;
        let chosen = self.targets(&backup, &manifest, request)?;
        let scratch = self.scratch()?;
        let files = scratch.path().join(FILES);
        std::fs::create_dir(&files).map_err(|error| failed(&files, &error))?;
        from.fetch(&manifest, &chosen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), &files, progress)?;
        for (at, _) in &chosen {
            check_content(&manifest, *at, &files, &scratch.path().join(CHECKED))?;
        }
        let described = BackupDescription::of(&backup, &manifest);
        let mut collections = Vec::with_capacity(chosen.len());
        for (at, name) in chosen {
            self.install(&name, &manifest.collections[at].archived, &files, at)?;
            collections.push(CollectionDescription { name, ..described.collections[at].clone() });
        }
        if request.collections.is_empty() {
            self.add_aliases(&manifest.aliases)?;
        }
        Ok(RestoreReport { backup, collections })
    }

    /// Numbers of collections in a manifest, and the names that they get, if they may have them.
    fn targets(&self, backup: &str, manifest: &BackupManifest, request: &RestoreRequest) -> Result<Vec<(usize, String)>> {
        let names = manifest.collections.iter().map(|collection| &collection.archived.name);
        if let Some(unknown) = request.collections.keys().find(|wanted| !names.clone().any(|name| name == *wanted)) {
            return Err(ServiceError::new(Fault::NotFound, format!("there is no collection `{unknown}` in the backup {backup}")));
        }
        let all = request.collections.is_empty();
        let renamed = names.enumerate().filter_map(|(at, name)| Some((at, request.collections.get(name).or(all.then_some(name))?.clone())));
        let chosen: Vec<(usize, String)> = renamed.collect();
        for (position, (at, name)) in chosen.iter().enumerate() {
            check_name(name)?;
            if chosen[..position].iter().any(|(_, earlier)| earlier == name) {
                return Err(ServiceError::request(format!("two collections cannot both become `{name}`")));
            }
            let Some(here) = self.found(name) else { continue };
            if !request.replace || here.name != *name {
                return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{name}` already exists!")));
            }
            let there = manifest.collections[*at].archived.entry.shards.len();
            // A cluster spreads the points anew.
            if self.cluster.is_none() && here.shards.len() != there {
                let here = here.shards.len();
                return Err(ServiceError::request(format!("the collection `{name}` has {here} shards, the backup of it has {there}")));
            }
        }
        Ok(chosen)
    }

    /// The sum of a collection's content, the same for the same points in however many shards. Reads everything.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    pub fn digest(&self, name: &str, access: &Access) -> Result<ContentDigest> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        let mut digest = ContentDigest::default();
        for shard in &collection.shards {
            digest.add(digest_of(&shard.data.local()?)?);
        }
        Ok(digest)
    }
}

/// Whether fetched files hold what was backed up.
fn check_content(manifest: &BackupManifest, at: usize, files: &Path, scratch: &Path) -> Result<()> {
    let collection = &manifest.collections[at];
    let found = manifest.fetched_digest(at, files, scratch)?;
    if found == collection.digest {
        return Ok(());
    }
    let name = &collection.archived.name;
    Err(ServiceError::request(format!(
        "the content of `{name}` is not what was backed up: its digest is {found}, not {}",
        collection.digest
    )))
}
