//! Snapshots of collections of an embedded database, in the form of the service's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use vectordb_core::CollectionConfig;

use super::archive::{ArchivedCollection, Kind, Manifest, read, write};
use crate::error::{Result, ServiceError, failed};
use crate::shards::{CollectionEntry, ShardId};

/// Where the engine's snapshot of an embedded collection lies in the directory that is archived.
pub fn embedded_snapshot(directory: &Path) -> PathBuf {
    directory.join(Manifest::shard_directory(0, ShardId(0)))
}

/// Archives the engine's snapshot at [`embedded_snapshot`] of a directory as one of a collection with one shard. The file is there
/// when all of it is.
///
/// # Errors
/// Those of the disk.
pub fn pack_embedded(name: &str, config: CollectionConfig, directory: &Path, file: &Path) -> Result<()> {
    let mut entry = CollectionEntry::new();
    entry.add(1, None);
    let collection = ArchivedCollection { name: name.to_owned(), entry, shard_count: 1, config };
    let manifest = Manifest::new(Kind::Collection, vec![collection], BTreeMap::new());
    let mut aside = file.as_os_str().to_owned();
    aside.push(".part");
    let aside = PathBuf::from(aside);
    let written = File::create(&aside).map_err(|error| failed(&aside, &error)).and_then(|out| {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        write(&mut out, &manifest, directory)?;
        let out = out.into_inner().map_err(|error| failed(&aside, error.error()))?;
        out.sync_all().and_then(|()| std::fs::rename(&aside, file)).map_err(|error| failed(file, &error))
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    written
}

/// Takes an archive of a collection with one shard apart into an empty directory, and names the engine's snapshot in it.
///
/// # Errors
/// [`Fault::BadRequest`](crate::Fault::BadRequest) for anything else, naming what is wrong; those of the disk.
pub fn unpack_embedded(file: &Path, directory: &Path) -> Result<PathBuf> {
    let manifest = read(file, directory)?;
    match manifest.collections.as_slice() {
        [only] if only.shard_count == 1 && only.entry.shards.len() == 1 => {
            Ok(directory.join(Manifest::shard_directory(0, only.entry.shards[0].id)))
        }
        [only] => Err(ServiceError::request(format!(
            "the snapshot is of a collection of {} shards; only one of a single shard can be embedded",
            only.shard_count
        ))),
        several => Err(ServiceError::request(format!("the snapshot holds {} collections instead of one", several.len()))),
    }
}
