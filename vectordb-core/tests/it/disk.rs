//! A disk that runs full, fails, or gives back something else than was written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vectordb_core::*;

use crate::support::{Random, manual, small_segments};

/// A file system in memory that can be told to run full.
#[derive(Debug, Default)]
struct Tight {
    inner: MemFs,
    /// Bytes left, as the file system reports them.
    left: AtomicU64,
    /// Whether writes fail.
    full: Arc<AtomicBool>,
}

struct TightFile {
    inner: Box<dyn File>,
    full: Arc<AtomicBool>,
}

fn no_space<T>(path: &Path) -> Result<T> {
    Err(Error::DiskFull { path: path.into(), available_bytes: 0, required_bytes: 0 })
}

impl File for TightFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.full.load(Ordering::Relaxed) { no_space(Path::new("file")) } else { self.inner.write_at(offset, bytes) }
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.inner.set_len(len)
    }
}

impl Fs for Tight {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(Box::new(TightFile { inner: self.inner.create(path)?, full: Arc::clone(&self.full) }))
    }
    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        Ok(Box::new(TightFile { inner: self.inner.open(path)?, full: Arc::clone(&self.full) }))
    }
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.inner.read(path)
    }
    fn map(&self, path: &Path) -> Result<Mmap> {
        self.inner.map(path)
    }
    fn len(&self, path: &Path) -> Result<Option<u64>> {
        self.inner.len(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.inner.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.inner.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.hard_link(from, to)
    }
    fn remove(&self, path: &Path) -> Result<()> {
        self.inner.remove(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> Result<()> {
        self.inner.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.inner.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>> {
        self.inner.lock(path)
    }
    fn available_bytes(&self, _dir: &Path) -> Result<u64> {
        Ok(self.left.load(Ordering::Relaxed))
    }
}

fn points(from: u64, to: u64) -> Vec<Point> {
    let mut random = Random::new(from + 1);
    (from..to).map(|id| Point::new(id, random.vector(4)).with("n", id)).collect()
}

/// Some of the points with a sparse vector, some with a multivector.
fn of_all_kinds(from: u64, to: u64) -> impl Iterator<Item = Point> {
    points(from, to).into_iter().zip(from..).map(|(point, id)| {
        let point = if id % 3 == 0 {
            let index = u32::try_from(id % 7).expect("small");
            point.vector("words", SparseVector::new(vec![index, 50], vec![1.0, 0.5]).expect("good"))
        } else {
            point
        };
        if id % 2 == 0 { point.vector("several", MultiVector::new(vec![vec![1.0, 2.0]; 3]).expect("good")) } else { point }
    })
}

#[test]
fn a_nearly_full_disk_refuses_points_but_not_deletes_and_heals_by_itself() {
    let fs = Arc::new(Tight::default());
    fs.left.store(1 << 40, Ordering::Relaxed);
    let db = manual(Arc::clone(&fs) as FsRef);
    let collection = db.create_collection("c", small_segments(4, Distance::Dot)).expect("it is made");
    collection.upsert(points(0, 100)).expect("there is room");
    fs.left.store(1 << 10, Ordering::Relaxed);
    let refused = collection.upsert(points(100, 101));
    assert!(matches!(refused, Err(Error::DiskFull { available_bytes: 1024, .. })), "{refused:?}");
    assert_eq!(refused.map(drop).expect_err("refused").kind(), ErrorKind::Unavailable);
    collection.delete([PointId::from(5)]).expect("deletes need little");
    assert_eq!(collection.search([1.0; 4]).limit(200).run().expect("reads go on").len(), 99);
    fs.left.store(1 << 40, Ordering::Relaxed);
    collection.upsert(points(100, 101)).expect("writes go on without a restart");
}

#[test]
fn a_full_disk_in_the_middle_of_a_write_loses_nothing_acknowledged() {
    let fs = Arc::new(Tight::default());
    fs.left.store(1 << 40, Ordering::Relaxed);
    let db = manual(Arc::clone(&fs) as FsRef);
    let collection = db.create_collection("c", small_segments(4, Distance::Dot)).expect("it is made");
    collection.upsert(points(0, 100)).expect("there is room");
    fs.full.store(true, Ordering::Relaxed);
    assert!(matches!(collection.upsert(points(100, 200)), Err(Error::DiskFull { .. })));
    assert!(matches!(collection.upsert(points(100, 200)), Err(Error::Poisoned { .. })), "durability is unknown from here on");
    assert!(collection.optimize().is_err());
    assert_eq!(collection.count(None, true).expect("reads go on"), 100);
    assert_eq!(collection.info().expect("info works").status, Status::Red);
    drop((collection, db));
    fs.full.store(false, Ordering::Relaxed);
    let db = manual(fs as FsRef);
    let collection = db.get("c").expect("it is there");
    assert_eq!(collection.count(None, true).expect("counting works"), 100);
    collection.upsert(points(100, 200)).expect("reopening heals");
    collection.optimize().expect("optimizing works");
}

#[test]
fn a_failed_job_changes_nothing_and_is_repeated() {
    let fs = Arc::new(Tight::default());
    fs.left.store(1 << 40, Ordering::Relaxed);
    let db = manual(Arc::clone(&fs) as FsRef);
    let mut config = small_segments(4, Distance::Dot);
    config.durability = Durability::Os;
    let collection = db.create_collection("c", config).expect("it is made");
    collection.upsert(points(0, 300)).expect("there is room");
    collection.optimize().expect("optimizing works");
    collection.delete([PointId::from(5)]).expect("deleting works");
    fs.full.store(true, Ordering::Relaxed);
    assert!(collection.optimize().is_err());
    assert_eq!(collection.count(None, true).expect("reads go on"), 299);
    fs.full.store(false, Ordering::Relaxed);
    collection.optimize().expect("the next try works");
    assert_eq!(collection.info().expect("info works").segments.iter().map(|segment| segment.deleted).sum::<u64>(), 0);
}

/// All files of a database, by path.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory").flatten() {
            if entry.path().is_dir() { left.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}

/// Opens, checks and reads everything.
fn dump(dir: &Path) -> Result<Vec<Record>> {
    let db = Database::open_with(dir, Options::default().background(Background::Manual).threads(1))?;
    let collection = db.get("c")?;
    collection.verify()?;
    let everything = ScrollRequest { limit: 10_000, with_vectors: true.into(), ..ScrollRequest::default() };
    collection.scroll(&everything).map(|page| page.records)
}

#[test]
fn damaged_and_cut_files_are_noticed_or_do_no_harm() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let original = dir.path().join("original");
    {
        let db = Database::open_with(&original, Options::default().background(Background::Manual)).expect("it opens");
        let mut config = small_segments(4, Distance::Dot);
        config.sparse_vectors.insert("words".into(), SparseVectorParams::default());
        let mut several = VectorParams::new(2, Distance::Dot);
        several.multivector_config = Some(MultiVectorConfig { comparator: MultiVectorComparator::MaxSim });
        config.vectors.insert("several".into(), several);
        let collection = db.create_collection("c", config).expect("it is made");
        collection.create_index("n", FieldSchema::integer()).expect("indexing works");
        collection.upsert(of_all_kinds(0, 200)).expect("good points");
        collection.optimize().expect("optimizing works");
        collection.upsert(of_all_kinds(150, 260)).expect("good points");
        db.close().expect("closing works");
    }
    let expected = dump(&original).expect("the original is whole");
    assert_eq!(expected.len(), 260);
    let copy = dir.path().join("copy");
    for file in files(&original).iter().filter(|file| !file.ends_with("LOCK")) {
        let whole = std::fs::read(file).expect("a file");
        let damaged = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        };
        let places = [0, 5, 9, whole.len() / 3, whole.len() / 2, whole.len() - 1];
        let mutations = places.map(damaged).into_iter().chain([0, 10, whole.len() / 2, whole.len() - 1].map(|len| whole[..len].to_vec()));
        for (number, bytes) in mutations.enumerate() {
            let _ = std::fs::remove_dir_all(&copy);
            for source in files(&original) {
                let target = copy.join(source.strip_prefix(&original).expect("a path below"));
                std::fs::create_dir_all(target.parent().expect("a directory")).expect("room for a directory");
                std::fs::copy(&source, &target).expect("room for a file");
            }
            std::fs::create_dir_all(copy.join("collections/0000000000/segments")).expect("room for a directory");
            std::fs::write(copy.join(file.strip_prefix(&original).expect("a path below")), bytes).expect("room for a file");
            match dump(&copy) {
                Ok(records) => assert_eq!(records, expected, "{} mutation {number} changed the answer", file.display()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{}: {error}", file.display()),
            }
        }
    }
}

#[test]
fn a_merge_refuses_damaged_rows_instead_of_sealing_them() {
    let fs: FsRef = Arc::new(MemFs::default());
    let db = manual(Arc::clone(&fs));
    let collection = db.create_collection("c", small_segments(4, Distance::Dot)).expect("it is made");
    collection.upsert(points(0, 200)).expect("good points");
    collection.optimize().expect("optimizing works");
    drop((collection, db));
    let file = Path::new("db/collections/0000000000/segments/0000000001/vectors-0");
    let byte = fs.read(file).expect("it is there")[4096 + 77];
    fs.open(file).expect("it is there").write_at(4096 + 77, &[byte ^ 1]).expect("memory takes bytes");
    let db = manual(fs);
    let collection = db.get("c").expect("blocks of vectors are not read at opening");
    collection.delete([PointId::from(3)]).expect("deleting works");
    let failed = collection.optimize().expect_err("the vacuum reads every row");
    assert_eq!(failed.kind(), ErrorKind::Corrupt, "{failed}");
}
