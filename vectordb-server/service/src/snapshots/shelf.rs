//! Where snapshots lie: `ROOT/COLLECTION/NAME.snapshot`, `ROOT/COLLECTION/shards/ID/NAME.snapshot` and, of everything,
//! `ROOT/NAME.snapshot`; beside each its SHA-256 in `NAME.snapshot.checksum`. In a bucket the root is `snapshots`, and the directory
//! has only what is on its way there.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::away::{bring, in_bucket, key};
use crate::bucket::Bucket;
use crate::error::{Fault, Result, ServiceError, failed};
use crate::shards::ShardId;

pub(super) const SNAPSHOT: &str = ".snapshot";
pub(super) const CHECKSUM: &str = ".checksum";
/// Ends the names of files that are being written.
const PART: &str = ".part";
/// Longest name of a file that file systems take, in bytes, less what is put around a snapshot's name.
const MAX_NAME_BYTES: usize = 255 - CHECKSUM.len() - PART.len();

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SnapshotScope {
    /// A collection.
    Collection(String),
    /// One shard of a collection.
    Shard(String, ShardId),
    /// All collections and the aliases.
    Full,
}

/// A snapshot that lies on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotDescription {
    /// The name of its file.
    pub name: String,
    /// When it was made, in UTC: `YYYY-MM-DDTHH:MM:SS`.
    pub creation_time: Option<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file, in hexadecimal digits; none when its side file is gone.
    pub checksum: Option<String>,
}

/// A snapshot that is open for reading.
#[derive(Debug)]
pub struct SnapshotFile {
    /// Its name.
    pub name: String,
    /// Its bytes, from the beginning.
    pub file: File,
    /// How many bytes.
    pub size: u64,
}

impl SnapshotScope {
    /// The collection, if it is one.
    pub fn collection(&self) -> Option<&str> {
        match self {
            Self::Collection(name) | Self::Shard(name, _) => Some(name),
            Self::Full => None,
        }
    }

    /// The name of a snapshot made at a time, which no other peer gives to one of its own.
    pub(crate) fn name(&self, peer_id: u64, at: jiff::Timestamp) -> String {
        let at = at.strftime("%Y-%m-%d-%H-%M-%S");
        match self {
            Self::Collection(name) => format!("{name}-{peer_id}-{at}{SNAPSHOT}"),
            Self::Shard(name, shard) => format!("{name}-shard-{shard}-{peer_id}-{at}{SNAPSHOT}"),
            Self::Full => format!("full-snapshot-{peer_id}-{at}{SNAPSHOT}"),
        }
    }
}

/// The place of all snapshots.
#[derive(Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
    /// Where they are brought; none: they stay in the directory.
    bucket: Option<Arc<dyn Bucket>>,
}

impl Shelf {
    pub(crate) fn new(root: PathBuf, bucket: Option<Arc<dyn Bucket>>) -> Self {
        Self { root, bucket }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Removes what an interrupted process was writing. Whoever opens the data is the only one who writes here.
    pub(crate) fn sweep(&self) -> Result<()> {
        let mut left = vec![(self.root.clone(), 0)];
        while let Some((directory, depth)) = left.pop() {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&directory, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed(&directory, &error))?;
                let path = entry.path();
                let kind = entry.file_type().map_err(|error| failed(&path, &error))?;
                let name = entry.file_name();
                if kind.is_dir() && depth < 3 {
                    left.push((path, depth + 1));
                } else if kind.is_file() && name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(PART)) {
                    std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
                }
            }
        }
        Ok(())
    }

    fn directory(&self, scope: &SnapshotScope) -> Result<PathBuf> {
        // Every other name of a collection is a plain name of a directory.
        if let Some(name @ ("." | "..")) = scope.collection() {
            return Err(ServiceError::request(format!("a collection named `{name}` has no place for snapshots")));
        }
        Ok(match scope {
            SnapshotScope::Collection(name) => self.root.join(name),
            SnapshotScope::Shard(name, shard) => self.root.join(name).join("shards").join(shard.to_string()),
            SnapshotScope::Full => self.root.clone(),
        })
    }

    /// The path of a snapshot that exists.
    fn find(&self, scope: &SnapshotScope, name: &str) -> Result<PathBuf> {
        if !is_name(name) {
            return Err(missing(name));
        }
        let path = self.directory(scope)?.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(path),
            Ok(_) => Err(missing(name)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing(name)),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Makes a snapshot of what `write` writes. Its name shows the time; if there is one of this second, of a later one.
    pub(crate) fn create(
        &self,
        scope: &SnapshotScope,
        peer_id: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<SnapshotDescription> {
        let directory = self.directory(scope)?;
        std::fs::create_dir_all(&directory).map_err(|error| failed(&directory, &error))?;
        let known = match &self.bucket {
            Some(_) => self.list(scope)?.into_iter().map(|snapshot| snapshot.name).collect(),
            None => Vec::new(),
        };
        let (name, part) = reserve(&directory, scope, peer_id, &known)?;
        let fail = |error: std::io::Error| failed(&part.0, &error);
        let file = File::options().write(true).open(&part.0).map_err(fail)?;
        let mut out = Hashing { out: BufWriter::with_capacity(1 << 20, file), digest: Sha256::new() };
        write(&mut out)?;
        let file = out.out.into_inner().map_err(|error| fail(error.into_error()))?;
        file.sync_all().map_err(fail)?;
        let checksum = hex(&out.digest.finalize());
        let path = directory.join(&name);
        let side = beside(&path);
        // The checksum first: one without a snapshot is passed over, a snapshot without one is incomplete.
        let placed = std::fs::write(&side, &checksum)
            .and_then(|()| File::open(&side)?.sync_all())
            .and_then(|()| std::fs::rename(&part.0, &path))
            .and_then(|()| File::open(&directory)?.sync_all());
        if let Err(error) = placed {
            let _ = std::fs::remove_file(&side);
            return Err(failed(&path, &error));
        }
        let made = describe(&path, &name)?;
        if let Some(bucket) = &self.bucket {
            let brought = bring(&**bucket, &key(scope, &name), &path, checksum);
            // Here it is of no more use, whether it got there or not.
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_file(&side);
            brought?;
        }
        Ok(made)
    }

    /// The snapshots of a scope, oldest name first.
    pub(crate) fn list(&self, scope: &SnapshotScope) -> Result<Vec<SnapshotDescription>> {
        let mut found = match &self.bucket {
            Some(bucket) => in_bucket(&**bucket, scope)?,
            None => self.in_directory(scope)?,
        };
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn in_directory(&self, scope: &SnapshotScope) -> Result<Vec<SnapshotDescription>> {
        let directory = self.directory(scope)?;
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&directory, &error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(&directory, &error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_name(&name) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                match describe(&entry.path(), &name) {
                    Ok(description) => found.push(description),
                    // Deleted meanwhile.
                    Err(error) if error.fault == Fault::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn delete(&self, scope: &SnapshotScope, name: &str) -> Result<()> {
        if let Some(bucket) = &self.bucket {
            if !self.list(scope)?.iter().any(|snapshot| snapshot.name == name) {
                return Err(missing(name));
            }
            let key = key(scope, name);
            return bucket.delete(&[format!("{key}{CHECKSUM}"), key]);
        }
        let path = self.find(scope, name)?;
        std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        // A checksum without its snapshot is passed over.
        let _ = std::fs::remove_file(beside(&path));
        Ok(())
    }

    /// Opens a snapshot; one in a bucket is fetched first, into a file that goes when it is closed.
    pub(crate) fn open(&self, scope: &SnapshotScope, name: &str) -> Result<SnapshotFile> {
        let (path, fetched) = match &self.bucket {
            Some(bucket) => self.fetched(&**bucket, scope, name).map(|part| (part.0.clone(), Some(part)))?,
            None => (self.find(scope, name)?, None),
        };
        let file = File::open(&path).map_err(|error| failed(&path, &error))?;
        drop(fetched);
        let size = file.metadata().map_err(|error| failed(&path, &error))?.len();
        Ok(SnapshotFile { name: name.to_owned(), file, size })
    }
}

impl Shelf {
    /// Fetches a snapshot into a file of its own.
    fn fetched(&self, bucket: &dyn Bucket, scope: &SnapshotScope, name: &str) -> Result<Part> {
        self.directory(scope)?;
        std::fs::create_dir_all(&self.root).map_err(|error| failed(&self.root, &error))?;
        let part = Part(self.root.join(format!(".{}{PART}", uuid::Uuid::new_v4().simple())));
        if is_name(name) && bucket.get_file(&key(scope, name), &part.0)? { Ok(part) } else { Err(missing(name)) }
    }
}

fn missing(name: &str) -> ServiceError {
    ServiceError::new(Fault::NotFound, format!("Snapshot {name} not found"))
}

/// Whether this can be the name of a snapshot, and of nothing that lies elsewhere.
pub(super) fn is_name(name: &str) -> bool {
    name.ends_with(SNAPSHOT) && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// A file that is removed, unless it got its name meanwhile.
#[derive(Debug)]
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After the renaming there is nothing of this name.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A name that nothing has, and the file under which it is written.
fn reserve(directory: &Path, scope: &SnapshotScope, peer_id: u64, known: &[String]) -> Result<(String, Part)> {
    let mut at = jiff::Timestamp::now();
    loop {
        let name = scope.name(peer_id, at);
        if name.len() > MAX_NAME_BYTES {
            return Err(ServiceError::request(format!("the collection's name is too long for a snapshot's: {} bytes", name.len())));
        }
        let part = directory.join(format!(".{name}{PART}"));
        match File::create_new(&part) {
            // The name may have been taken between the look and now, so look again while no one else can take it.
            Ok(_) if !known.contains(&name) && !directory.join(&name).exists() => return Ok((name, Part(part))),
            Ok(_) => drop(Part(part)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&part, &error)),
        }
        at = at.saturating_add(jiff::SignedDuration::from_secs(1)).map_err(|error| ServiceError::internal(error.to_string()))?;
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(CHECKSUM);
    name.into()
}

fn describe(path: &Path, name: &str) -> Result<SnapshotDescription> {
    let metadata = std::fs::metadata(path).map_err(|error| failed(path, &error))?;
    let made = metadata.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
    let creation_time = made.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S").to_string());
    let checksum = std::fs::read_to_string(beside(path)).ok().map(|text| text.trim().to_owned());
    Ok(SnapshotDescription { name: name.to_owned(), creation_time, size: metadata.len(), checksum })
}

/// A writer that takes a digest of what goes through it.
struct Hashing<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// The SHA-256 of a file.
pub(crate) fn checksum(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|error| failed(path, &error))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|error| failed(path, &error))? {
            0 => return Ok(hex(&digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> SnapshotScope {
        SnapshotScope::Collection("books".into())
    }

    #[test]
    fn a_snapshot_has_its_name_only_when_it_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(dir.path().join("snapshots"), None);
        let made = shelf.create(&books(), 7, |out| out.write_all(b"abc").map_err(|e| failed(Path::new(""), &e))).expect("it is made");
        assert!(made.name.starts_with("books-7-") && made.name.ends_with(".snapshot"), "{}", made.name);
        // FIPS 180-2, appendix B.1.
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((made.size, made.checksum.as_deref()), (3, Some(sha)));
        assert_eq!(checksum(&shelf.find(&books(), &made.name).expect("it is there")).expect("a digest"), sha);
        let again = shelf.create(&books(), 7, |_| Ok(())).expect("a second one in the same second");
        assert!(again.name > made.name);
        let failed = shelf.create(&books(), 7, |out| {
            out.write_all(&[1; 1 << 21]).expect("room");
            Err(ServiceError::internal("cut short"))
        });
        assert!(failed.is_err());
        assert_eq!(shelf.list(&books()).expect("a list"), [made.clone(), again.clone()]);
        let left = std::fs::read_dir(shelf.root().join("books")).expect("a directory").count();
        assert_eq!(left, 4, "two snapshots, two checksums");
        shelf.delete(&books(), &made.name).expect("it goes");
        assert_eq!(shelf.delete(&books(), &made.name).expect_err("it is gone").fault, Fault::NotFound);
        assert_eq!(shelf.list(&books()).expect("a list"), [again]);
    }

    #[test]
    fn names_lead_nowhere_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(dir.path().join("snapshots"), None);
        std::fs::create_dir_all(dir.path().join("snapshots/books")).expect("directories");
        std::fs::write(dir.path().join("secret.snapshot"), b"secret").expect("a file");
        std::fs::write(dir.path().join("snapshots/books/.x.snapshot"), b"hidden").expect("a file");
        for name in ["../../secret.snapshot", "..\\secret.snapshot", "/etc/passwd", "", "..", ".x.snapshot", "books\0.snapshot"] {
            assert_eq!(shelf.open(&books(), name).expect_err("it is not found").fault, Fault::NotFound, "{name}");
            assert_eq!(shelf.delete(&books(), name).expect_err("it is not found").fault, Fault::NotFound, "{name}");
        }
        for name in [".", ".."] {
            let scope = SnapshotScope::Collection(name.into());
            assert_eq!(shelf.list(&scope).expect_err("it is refused").fault, Fault::BadRequest);
        }
    }

    #[test]
    fn sweeping_removes_what_was_being_written_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(dir.path().to_path_buf(), None);
        let shards = dir.path().join("books/shards/0");
        std::fs::create_dir_all(&shards).expect("directories");
        for file in [".a.snapshot.part", "a.snapshot", "books/.b.snapshot.part", "books/shards/0/.c.snapshot.part", "books/b.part"] {
            std::fs::write(dir.path().join(file), b"x").expect("a file");
        }
        shelf.sweep().expect("it is swept");
        let left = |path: &Path| std::fs::read_dir(path).expect("a directory").count();
        assert_eq!((left(dir.path()), left(&dir.path().join("books")), left(&shards)), (2, 2, 0));
    }

    #[test]
    fn in_a_bucket_snapshots_are_made_listed_opened_and_deleted_alike() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("place");
        let root = dir.path().join("snapshots");
        let shelf = Shelf::new(root.clone(), Some(Arc::new(crate::bucket::DirectoryBucket::new(&place))));
        let odd = SnapshotScope::Collection("Bücher & more=1".into());
        let shard = SnapshotScope::Shard("books".into(), ShardId(3));
        for scope in [books(), odd.clone(), shard, SnapshotScope::Full] {
            let write = |out: &mut dyn Write| out.write_all(b"abc").map_err(|error| failed(Path::new(""), &error));
            let made = shelf.create(&scope, 7, write).expect("it is made");
            let again = shelf.create(&scope, 7, write).expect("a second one in the same second");
            assert_eq!(shelf.list(&scope).expect("a list").iter().map(|each| &each.name).collect::<Vec<_>>(), [&made.name, &again.name]);
            let listed = shelf.list(&scope).expect("a list").remove(0);
            assert_eq!((listed.size, &listed.checksum), (3, &made.checksum));
            assert_eq!(listed.creation_time.map(|time| time.len()), Some(19));
            let mut text = String::new();
            shelf.open(&scope, &made.name).expect("it is there").file.read_to_string(&mut text).expect("text");
            assert_eq!(text, "abc");
            shelf.delete(&scope, &made.name).expect("it goes");
            assert_eq!(shelf.delete(&scope, &made.name).expect_err("it is gone").fault, Fault::NotFound);
            assert_eq!(shelf.open(&scope, &made.name).expect_err("it is gone").fault, Fault::NotFound);
            assert_eq!(shelf.list(&scope).expect("a list").len(), 1);
        }
        let left = |path: &Path| {
            std::fs::read_dir(path).expect("a directory").filter(|entry| entry.as_ref().is_ok_and(|e| e.path().is_file())).count()
        };
        assert_eq!((left(&root), left(&root.join("books")), left(&place.join("snapshots/books"))), (0, 0, 2));
        assert_eq!(shelf.open(&odd, "../x.snapshot").expect_err("it is not found").fault, Fault::NotFound);
    }
}
