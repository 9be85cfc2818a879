//! A disk that fails while a write is made durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use vectordb_core::{Error, File, Fs, Mmap, Options, StdFs};
use vectordb_service::{Access, Service, Settings};

use crate::support::{ask, result};

type Engine<T> = vectordb_core::Result<T>;

/// The real file system, whose syncs fail once it is told so.
#[derive(Debug, Default)]
struct Failing {
    broken: Arc<AtomicBool>,
}

struct FailingFile {
    file: Box<dyn File>,
    broken: Arc<AtomicBool>,
}

impl File for FailingFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Engine<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> Engine<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::Io { path: "a log".into(), source: Arc::new(std::io::Error::other("the disk is gone")) });
        }
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> Engine<()> {
        self.file.set_len(len)
    }
}

macro_rules! handed_on {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> Engine<$answer> {
            StdFs.$name($($argument),*)
        })*
    };
}

impl Fs for Failing {
    fn create(&self, path: &Path) -> Engine<Box<dyn File>> {
        Ok(Box::new(FailingFile { file: StdFs.create(path)?, broken: Arc::clone(&self.broken) }))
    }

    fn open(&self, path: &Path) -> Engine<Box<dyn File>> {
        Ok(Box::new(FailingFile { file: StdFs.open(path)?, broken: Arc::clone(&self.broken) }))
    }

    handed_on! {
        read(path: &Path) -> Vec<u8>;
        map(path: &Path) -> Mmap;
        len(path: &Path) -> Option<u64>;
        list(dir: &Path) -> Vec<String>;
        create_dir_all(dir: &Path) -> ();
        rename(from: &Path, to: &Path) -> ();
        hard_link(from: &Path, to: &Path) -> ();
        remove(path: &Path) -> ();
        remove_dir_all(dir: &Path) -> ();
        sync_dir(dir: &Path) -> ();
        lock(path: &Path) -> Box<dyn Send + Sync>;
        available_bytes(dir: &Path) -> u64;
    }
}

#[test]
fn a_collection_that_refuses_writes_is_counted_until_it_is_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let fs = Failing::default();
    let broken = Arc::clone(&fs.broken);
    let service = Service::open(dir.path(), Options::default().fs(Arc::new(fs)), Settings::default()).expect("a service");
    for name in ["a", "b"] {
        result(&service, "PUT", &format!("/collections/{name}"), &json!({"vectors": {"size": 1, "distance": "Dot"}}));
    }
    let put = |service: &Service, id: u64| ask(service, "PUT", "/collections/a/points", &json!({"points": [{"id": id, "vector": [1]}]})).0;
    let metric = |service: &Service, name: &str| {
        let text = service.metrics_text(false, &Access::Manage).expect("metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("vectordb_{name} "))).expect("it is told");
        line.parse::<f64>().expect("a number")
    };
    assert_eq!(put(&service, 0), 200, "the first write begins a file of the log");
    let before = metric(&service, "wal_fsync_seconds_count");
    assert_eq!(put(&service, 1), 200);
    assert_eq!(metric(&service, "wal_fsync_seconds_count"), before + 1.0);
    assert_eq!(metric(&service, "collections_poisoned"), 0.0);
    broken.store(true, Ordering::Relaxed);
    assert_eq!(put(&service, 2), 500, "nobody knows whether it is durable");
    assert_eq!(metric(&service, "collections_poisoned"), 1.0);
    broken.store(false, Ordering::Relaxed);
    assert_eq!(put(&service, 3), 503, "nor whether what comes after it would be");
    assert_eq!(metric(&service, "collections_poisoned"), 1.0);
    assert_eq!(result(&service, "POST", "/collections/a/points/query", &json!({"query": [1]}))["points"][0]["score"], 1.0, "reads go on");
    drop(service);
    let service = Service::open(dir.path(), Options::default(), Settings::default()).expect("a service");
    assert_eq!(put(&service, 3), 200);
    assert_eq!(metric(&service, "collections_poisoned"), 0.0);
    assert_eq!(ask(&service, "GET", "/collections/a/points/1", &Value::Null).0, 200);
}
