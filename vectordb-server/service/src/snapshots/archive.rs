//! One tar archive with a manifest in front.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use vectordb_core::CollectionConfig;

use crate::error::{Result, ServiceError, failed};
use crate::shards::{CollectionEntry, ShardId};

/// Version of the archive's form.
const FORMAT: u32 = 1;
/// The first file of every archive.
const MANIFEST: &str = "vectordb-snapshot.json";
/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// How much is in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// One collection with all its shards.
    Collection,
    /// One shard of one collection.
    Shard,
    /// Every collection, and the aliases.
    Full,
}

/// What an archive says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    pub(crate) kind: Kind,
    /// Version of the program that wrote it.
    written_by: String,
    /// RFC 3339.
    created_at: String,
    pub(crate) collections: Vec<ArchivedCollection>,
    /// Alias → collection.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, String>,
}

/// A collection in an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ArchivedCollection {
    pub(crate) name: String,
    /// Its shards that are in the archive.
    pub(crate) entry: CollectionEntry,
    /// How many shards the collection has, in the archive or not.
    pub(crate) shard_count: usize,
    pub(crate) config: CollectionConfig,
}

impl Manifest {
    pub(crate) fn new(kind: Kind, collections: Vec<ArchivedCollection>, aliases: BTreeMap<String, String>) -> Self {
        let created_at = jiff::Timestamp::now().to_string();
        Self { format: FORMAT, kind, written_by: env!("CARGO_PKG_VERSION").to_owned(), created_at, collections, aliases }
    }

    /// Where the files of a shard are, inside the archive.
    pub(crate) fn shard_directory(collection: usize, shard: ShardId) -> PathBuf {
        PathBuf::from(collection.to_string()).join(shard.to_string())
    }
}

/// Writes an archive of everything in a directory, which is laid out as [`Manifest::shard_directory`] says.
pub(crate) fn write(out: &mut dyn Write, manifest: &Manifest, source: &Path) -> Result<()> {
    let json = serde_json::to_vec_pretty(manifest).map_err(|error| ServiceError::internal(error.to_string()))?;
    let files = files(source)?;
    let written = (|| {
        let mut archive = tar::Builder::new(out);
        append(&mut archive, Path::new(MANIFEST), json.len() as u64, &json[..])?;
        for relative in &files {
            let file = File::open(source.join(relative))?;
            let bytes = file.metadata()?.len();
            append(&mut archive, relative, bytes, file)?;
        }
        archive.into_inner()?.flush()
    })();
    written.map_err(|error| failed(source, &error))
}

/// Owner and times are left out: they say nothing about the data.
fn append(archive: &mut tar::Builder<impl Write>, name: &Path, bytes: u64, content: impl Read) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, content.take(bytes))
}

/// Every file below a directory, relative to it, in order.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(relative) = left.pop() {
        let directory = root.join(&relative);
        let entries = std::fs::read_dir(&directory).map_err(|error| failed(&directory, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed(&directory, &error))?;
            let name = relative.join(entry.file_name());
            let kind = entry.file_type().map_err(|error| failed(&directory, &error))?;
            if kind.is_dir() { left.push(name) } else { found.push(name) }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Takes an archive apart into an empty directory, and says what it holds.
///
/// # Errors
/// [`Fault::BadRequest`](crate::Fault::BadRequest) for anything but a whole archive of plain files, naming what is wrong.
pub(crate) fn read(path: &Path, target: &Path) -> Result<Manifest> {
    let file = File::open(path).map_err(|error| failed(path, &error))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    let mut entries = archive.entries().map_err(bad_tar)?;
    let first = entries.next().ok_or_else(|| bad("it is empty"))?.map_err(bad_tar)?;
    let manifest = read_manifest(first)?;
    let mut seen = BTreeSet::new();
    for entry in entries {
        let mut entry = entry.map_err(bad_tar)?;
        let name = plain_name(&entry)?;
        if !seen.insert(name.clone()) {
            return Err(bad(format!("it holds {} twice", name.display())));
        }
        let copy = target.join(&name);
        let directory = copy.parent().unwrap_or(target);
        std::fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
        let mut file = File::create_new(&copy).map_err(|error| failed(&copy, &error))?;
        let expected = entry.size();
        let copied = std::io::copy(&mut entry, &mut file).map_err(|error| failed(&copy, &error))?;
        if copied != expected {
            return Err(bad(format!("{} is cut off after {copied} of {expected} bytes", name.display())));
        }
        file.sync_all().map_err(|error| failed(&copy, &error))?;
    }
    for (at, collection) in manifest.collections.iter().enumerate() {
        for shard in &collection.entry.shards {
            if !target.join(Manifest::shard_directory(at, shard.id)).is_dir() {
                return Err(bad(format!("shard {} of {} is missing", shard.id, collection.name)));
            }
        }
    }
    Ok(manifest)
}

fn read_manifest(entry: tar::Entry<'_, impl Read>) -> Result<Manifest> {
    if entry.path().map_err(bad_tar)? != Path::new(MANIFEST) {
        return Err(bad(format!("it does not begin with {MANIFEST}: snapshots of other programs cannot be read")));
    }
    let mut json = Vec::new();
    entry.take(MAX_MANIFEST_BYTES).read_to_end(&mut json).map_err(bad_tar)?;
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let form = |error: serde_json::Error| bad(format!("{MANIFEST}: {error}"));
    let Version { format } = serde_json::from_slice(&json).map_err(form)?;
    if format > FORMAT {
        return Err(bad(format!("it has format {format}, this version reads up to {FORMAT}")));
    }
    let manifest: Manifest = serde_json::from_slice(&json).map_err(form)?;
    let empty = manifest.collections.iter().find(|collection| collection.entry.shards.is_empty());
    if let Some(empty) = empty {
        return Err(bad(format!("collection {} has no shard", empty.name)));
    }
    if manifest.kind != Kind::Full && manifest.collections.len() != 1 {
        return Err(bad(format!("it holds {} collections instead of one", manifest.collections.len())));
    }
    Ok(manifest)
}

/// The name of an entry, if it is a plain file below the directory.
fn plain_name(entry: &tar::Entry<'_, impl Read>) -> Result<PathBuf> {
    let name = entry.path().map_err(bad_tar)?.into_owned();
    if entry.header().entry_type() != tar::EntryType::Regular {
        return Err(bad(format!("{} is not a plain file", name.display())));
    }
    if name.components().next().is_none() || !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(bad(format!("{} leads out of the snapshot", name.display())));
    }
    Ok(name)
}

fn bad(what: impl std::fmt::Display) -> ServiceError {
    ServiceError::request(format!("the snapshot cannot be read: {what}"))
}

fn bad_tar(error: std::io::Error) -> ServiceError {
    bad(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mut entry = CollectionEntry::new();
        entry.add(1, None);
        let collection = ArchivedCollection { name: "books".into(), entry, shard_count: 1, config: CollectionConfig::default() };
        Manifest::new(Kind::Collection, vec![collection], BTreeMap::new())
    }

    fn archive(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut builder = tar::Builder::new(Vec::new());
        let json = serde_json::to_vec(&manifest()).expect("it is JSON");
        append(&mut builder, Path::new(MANIFEST), json.len() as u64, &json[..]).expect("the manifest");
        build(&mut builder);
        let path = dir.path().join("a.snapshot");
        std::fs::write(&path, builder.into_inner().expect("an archive")).expect("it is written");
        (dir, path)
    }

    fn refusal(path: &Path) -> String {
        let target = tempfile::tempdir().expect("a directory");
        let error = read(path, target.path()).expect_err("it is refused");
        assert_eq!(error.fault, crate::Fault::BadRequest, "{error}");
        assert!(std::fs::read_dir(target.path()).expect("it is there").all(|entry| entry.expect("an entry").file_name() == "0"));
        error.to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let (source, target) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let deep = source.path().join("0/0/segments/1");
        std::fs::create_dir_all(&deep).expect("directories");
        std::fs::write(deep.join("rows"), [7; 3000]).expect("a file");
        std::fs::write(source.path().join("0/0/empty"), []).expect("a file");
        let mut bytes = Vec::new();
        write(&mut bytes, &manifest(), source.path()).expect("it is written");
        let path = source.path().join("a.snapshot");
        std::fs::write(&path, &bytes).expect("a file");
        let found = read(&path, target.path()).expect("it is read");
        assert_eq!((found.kind, found.collections[0].name.as_str()), (Kind::Collection, "books"));
        assert_eq!(files(target.path()).expect("files"), [PathBuf::from("0/0/empty"), PathBuf::from("0/0/segments/1/rows")]);
        assert_eq!(std::fs::read(target.path().join("0/0/segments/1/rows")).expect("a file"), [7; 3000]);
        // Every cut is noticed, unless only the padding behind the last file is gone.
        for cut in [0, 100, 600, bytes.len() / 2, bytes.len() - 3000] {
            std::fs::write(&path, &bytes[..cut]).expect("a file");
            assert!(read(&path, tempfile::tempdir().expect("a directory").path()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn links_and_names_that_lead_outside_are_refused() {
        let named = |name: &str, kind: tar::EntryType| {
            let (name, mut header) = (name.to_owned(), tar::Header::new_gnu());
            header.set_entry_type(kind);
            header.set_size(0);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/passwd").expect("a link");
            }
            header.set_cksum();
            archive(move |builder| builder.append(&header, std::io::empty()).expect("an entry"))
        };
        for name in ["../outside", "/outside", "0/../../outside"] {
            let (_dir, path) = named(name, tar::EntryType::Regular);
            assert!(refusal(&path).contains("leads out"), "{name}");
        }
        let (_dir, path) = named("0/link", tar::EntryType::Symlink);
        assert!(refusal(&path).contains("not a plain file"));
        let (_dir, path) = archive(|builder| {
            for _ in 0..2 {
                append(builder, Path::new("0/0/twice"), 1, &b"x"[..]).expect("an entry");
            }
        });
        assert!(refusal(&path).contains("twice"));
        let (_dir, path) = archive(|_| {});
        assert!(refusal(&path).contains("shard 0 of books is missing"));
        std::fs::write(&path, b"no archive at all").expect("a file");
        assert!(refusal(&path).contains("cannot be read"));
    }
}
