//! How long the disk takes to make logs durable.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use vectordb_core::{File, Fs, FsRef, Mmap};

use super::Histogram;

/// The directory of a collection's log.
const LOG: &str = "wal";

type Engine<T> = vectordb_core::Result<T>;

/// Times of syncs of logs, wherever they happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogSyncs(Arc<Mutex<Histogram>>);

impl LogSyncs {
    pub(crate) fn histogram(&self) -> Histogram {
        self.0.lock().clone()
    }

    /// The same file system, whose syncs of logs are timed.
    pub(crate) fn timed(&self, fs: FsRef) -> FsRef {
        Arc::new(TimedFs { fs, syncs: self.clone() })
    }
}

/// A file system whose logs are watched.
#[derive(Debug)]
struct TimedFs {
    fs: FsRef,
    syncs: LogSyncs,
}

impl TimedFs {
    fn watched(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        let is_log = path.parent().and_then(Path::file_name).is_some_and(|name| name == LOG);
        if is_log { Box::new(TimedFile { file, syncs: self.syncs.clone() }) } else { file }
    }
}

impl Fs for TimedFs {
    fn create(&self, path: &Path) -> Engine<Box<dyn File>> {
        Ok(self.watched(path, self.fs.create(path)?))
    }

    fn open(&self, path: &Path) -> Engine<Box<dyn File>> {
        Ok(self.watched(path, self.fs.open(path)?))
    }

    fn read(&self, path: &Path) -> Engine<Vec<u8>> {
        self.fs.read(path)
    }

    fn map(&self, path: &Path) -> Engine<Mmap> {
        self.fs.map(path)
    }

    fn len(&self, path: &Path) -> Engine<Option<u64>> {
        self.fs.len(path)
    }

    fn list(&self, dir: &Path) -> Engine<Vec<String>> {
        self.fs.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> Engine<()> {
        self.fs.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Engine<()> {
        self.fs.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Engine<()> {
        self.fs.hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> Engine<()> {
        self.fs.remove(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> Engine<()> {
        self.fs.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Engine<()> {
        self.fs.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Engine<Box<dyn Send + Sync>> {
        self.fs.lock(path)
    }

    fn available_bytes(&self, dir: &Path) -> Engine<u64> {
        self.fs.available_bytes(dir)
    }
}

/// A file of a log.
struct TimedFile {
    file: Box<dyn File>,
    syncs: LogSyncs,
}

impl File for TimedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Engine<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> Engine<()> {
        let started = Instant::now();
        let synced = self.file.sync();
        // One that failed took its time too.
        self.syncs.0.lock().add(started.elapsed());
        synced
    }

    fn set_len(&self, len: u64) -> Engine<()> {
        self.file.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use vectordb_core::{Database, Distance, MemFs, Options, Point};

    use super::*;

    #[test]
    fn syncs_of_logs_are_counted_and_no_others() {
        let syncs = LogSyncs::default();
        let options = Options::default().fs(syncs.timed(Arc::new(MemFs::default())));
        let db = Database::open_with("memory", options).expect("a database");
        let docs = db.collection("docs").dim(1).distance(Distance::Dot).open_or_create().expect("a collection");
        // The first one begins the log's file.
        docs.upsert([Point::new(0_u64, [1.0])]).expect("it is stored");
        let before = syncs.histogram().count();
        for n in 0..5_u64 {
            docs.upsert([Point::new(n, [1.0])]).expect("it is stored");
        }
        assert_eq!(syncs.histogram().count(), before + 5);
        let fs = syncs.timed(Arc::new(MemFs::default()));
        fs.create(Path::new("a/other")).and_then(|file| file.sync()).expect("it is synced");
        assert_eq!(syncs.histogram().count(), before + 5);
    }
}
