use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::storage::fs::{Fs, MemFs};
use crate::storage::mmap::Mmap;

const DIR: &str = "log";

fn memory() -> FsRef {
    Arc::new(MemFs::default())
}

fn filled(fs: &FsRef, upto: u64, capacity: u64) -> Wal {
    let wal = Wal::open(Arc::clone(fs), Path::new(DIR), Lsn::ZERO, capacity).expect("an empty log opens");
    for lsn in 1..=upto {
        wal.append(Lsn(lsn), 3, &body(lsn)).expect("appending works");
        wal.commit(Lsn(lsn), Durability::Sync).expect("and committing");
    }
    wal
}

fn body(lsn: u64) -> Vec<u8> {
    vec![lsn as u8; (lsn * 13 % 50) as usize]
}

fn read(fs: &FsRef, after: u64) -> Result<Vec<u64>> {
    Tail::open(Arc::clone(fs), Path::new(DIR), Lsn(after))?
        .map(|frame| {
            frame.map(|frame| {
                assert_eq!(frame.body, body(frame.lsn.0));
                assert_eq!(frame.epoch, 3);
                frame.lsn.0
            })
        })
        .collect()
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[test]
fn frames_come_back_over_many_files() {
    let fs = memory();
    let wal = filled(&fs, 50, 200);
    assert!(wal.bytes() > 1000);
    for after in [0, 1, 25, 49, 50] {
        assert_eq!(read(&fs, after).expect("an intact log"), range(after + 1, 50));
    }
}

#[test]
fn a_reopened_log_goes_on() {
    let fs = memory();
    drop(filled(&fs, 5, 1000));
    for last in 5..10 {
        let wal = Wal::open(Arc::clone(&fs), Path::new(DIR), Lsn(last), 1000).expect("it opens");
        wal.append(Lsn(last + 1), 3, &body(last + 1)).expect("appending works");
        wal.commit(Lsn(last + 1), Durability::Sync).expect("and committing");
    }
    assert_eq!(read(&fs, 0).expect("an intact log"), range(1, 10));
}

#[test]
fn released_files_are_gone_and_the_rest_is_whole() {
    let fs = memory();
    let wal = filled(&fs, 50, 200);
    wal.release(Lsn(30), 0).expect("files can be removed");
    assert_eq!(read(&fs, 30).expect("what is needed is there"), range(31, 50));
    assert!(matches!(read(&fs, 0), Err(Error::Corrupt { .. })), "a gap is damage");
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_frame_gives_the_frames_before() {
    let fs = memory();
    drop(filled(&fs, 9, 1 << 20));
    let path = Path::new(DIR).join(file_name(Lsn(1)));
    let whole = fs.read(&path).expect("the file is there");
    let last = whole.len() - (32 + body(9).len()).next_multiple_of(8);
    for len in last..whole.len() {
        let file = fs.create(&path).expect("memory takes files");
        file.write_at(0, &whole[..len]).expect("and bytes");
        assert_eq!(read(&fs, 0).expect("a torn tail is no damage"), range(1, 8), "cut to {len}");
        let wal = Wal::open(Arc::clone(&fs), Path::new(DIR), Lsn(8), 1 << 20).expect("it opens");
        wal.append(Lsn(9), 3, &body(9)).expect("appending works");
        wal.commit(Lsn(9), Durability::Sync).expect("and committing");
        assert_eq!(read(&fs, 0).expect("an intact log"), range(1, 9));
        fs.remove(&Path::new(DIR).join(file_name(Lsn(9)))).expect("it is there");
    }
}

#[test]
fn a_flipped_bit_before_the_end_is_damage() {
    let fs = memory();
    drop(filled(&fs, 9, 1 << 20));
    let path = Path::new(DIR).join(file_name(Lsn(1)));
    let whole = fs.read(&path).expect("the file is there");
    let last = whole.len() - (32 + body(9).len()).next_multiple_of(8);
    for at in file::HEADER_BYTES..last {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        fs.open(&path).and_then(|file| file.write_at(0, &flipped)).expect("memory takes bytes");
        assert!(matches!(read(&fs, 0), Err(Error::Corrupt { .. })), "byte {at}");
    }
}

#[test]
fn frames_of_one_group_may_be_torn_in_any_order() {
    let fs = memory();
    let wal = filled(&fs, 3, 1 << 20);
    for lsn in 4..=6 {
        wal.append(Lsn(lsn), 3, &body(lsn)).expect("appending works");
    }
    wal.commit(Lsn(6), Durability::Sync).expect("one group");
    let path = Path::new(DIR).join(file_name(Lsn(1)));
    let mut bytes = fs.read(&path).expect("the file is there");
    let group: usize = (4..=6).map(|lsn| (32 + body(lsn).len()).next_multiple_of(8)).sum();
    let at = bytes.len() - group;
    bytes[at] ^= 1;
    fs.open(&path).and_then(|file| file.write_at(0, &bytes)).expect("memory takes bytes");
    assert_eq!(read(&fs, 0).expect("nothing proves that frame 4 was durable"), range(1, 3));
}

#[test]
fn a_lost_end_is_noticed_after_a_clean_close() {
    let fs = memory();
    filled(&fs, 9, 1 << 20).close().expect("closing works");
    let path = Path::new(DIR).join(file_name(Lsn(1)));
    assert_eq!(read(&fs, 0).expect("an intact log"), range(1, 9));
    let len = fs.len(&path).expect("it is there").expect("and has a length");
    fs.open(&path).and_then(|file| file.set_len(len - 1)).expect("memory can be cut");
    assert!(matches!(read(&fs, 0), Err(Error::Corrupt { .. })));
}

/// Counts syncs, and fails one when told to.
#[derive(Debug)]
struct Watched {
    inner: MemFs,
    syncs: Arc<AtomicUsize>,
    fail_next: Arc<AtomicBool>,
}

struct WatchedFile {
    inner: Box<dyn File>,
    syncs: Arc<AtomicUsize>,
    fail_next: Arc<AtomicBool>,
}

impl File for WatchedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inner.write_at(offset, bytes)
    }
    fn sync(&self) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        // As slow as a disk, so that others come to wait.
        std::thread::sleep(std::time::Duration::from_micros(300));
        if self.fail_next.swap(false, Ordering::Relaxed) {
            return Err(Error::io("log", std::io::Error::from_raw_os_error(5)));
        }
        self.inner.sync()
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.inner.set_len(len)
    }
}

impl Fs for Watched {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let (syncs, fail_next) = (Arc::clone(&self.syncs), Arc::clone(&self.fail_next));
        Ok(Box::new(WatchedFile { inner: self.inner.create(path)?, syncs, fail_next }))
    }
    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        self.inner.open(path)
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
    fn available_bytes(&self, dir: &Path) -> Result<u64> {
        self.inner.available_bytes(dir)
    }
}

fn watched() -> (Wal, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let (syncs, fail_next) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let fs = Watched { inner: MemFs::default(), syncs: Arc::clone(&syncs), fail_next: Arc::clone(&fail_next) };
    let wal = Wal::open(Arc::new(fs), Path::new(DIR), Lsn::ZERO, 1 << 20).expect("an empty log opens");
    (wal, syncs, fail_next)
}

#[test]
fn writers_share_syncs() {
    let (wal, syncs, _) = watched();
    let next = Mutex::new(0u64);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let lsn = {
                        let mut next = next.lock();
                        *next += 1;
                        wal.append(Lsn(*next), 0, b"x").expect("appending works");
                        Lsn(*next)
                    };
                    wal.commit(lsn, Durability::Sync).expect("and committing");
                }
            });
        }
    });
    let syncs = syncs.load(Ordering::Relaxed);
    assert!(syncs < 300, "{syncs} syncs for 400 commits");
}

#[test]
fn a_failed_sync_poisons_and_is_never_repeated() {
    let (wal, syncs, fail_next) = watched();
    wal.append(Lsn(1), 0, b"x").and_then(|()| wal.commit(Lsn(1), Durability::Sync)).expect("the disk is fine");
    fail_next.store(true, Ordering::Relaxed);
    wal.append(Lsn(2), 0, b"x").expect("memory is fine");
    assert!(matches!(wal.commit(Lsn(2), Durability::Sync), Err(Error::Io { .. })));
    let before = syncs.load(Ordering::Relaxed);
    assert!(matches!(wal.commit(Lsn(2), Durability::Sync), Err(Error::Poisoned { .. })));
    assert!(matches!(wal.append(Lsn(3), 0, b"x"), Err(Error::Poisoned { .. })));
    assert_eq!(syncs.load(Ordering::Relaxed), before);
}
