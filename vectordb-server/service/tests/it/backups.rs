//! Backups: what comes back is what was there, nothing is sent twice, and no damage goes unnoticed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use vectordb_core::{Background, Options};
use vectordb_service::{
    Access, BackupReport, BackupRequest, Bucket, DirectoryBucket, Fault, Repository, RestoreReport, RestoreRequest, Result, Service,
    ServiceError, Settings, StoredObject,
};

use super::support::{ask, result};

const DIM: u64 = 64;

fn open(directory: &Path) -> Service {
    let options = Options::default().background(Background::Manual).threads(1);
    Service::open(directory, options, Settings::default()).expect("a service")
}

/// A vector that depends on its number alone.
fn vector(n: u64) -> Vec<f64> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..DIM).map(|_| next()).collect()
}

fn create(service: &Service, name: &str, shards: u32) {
    let body = json!({"vectors": {"size": DIM, "distance": "Euclid"}, "shard_number": shards});
    result(service, "PUT", &format!("/collections/{name}"), &body);
}

fn upsert(service: &Service, name: &str, ids: std::ops::Range<u64>, mark: &str) {
    let points: Vec<Value> = ids.map(|n| json!({"id": n, "vector": vector(n), "payload": {"n": n, "mark": mark}})).collect();
    result(service, "PUT", &format!("/collections/{name}/points?wait=true"), &json!({"points": points}));
}

/// Seals and indexes everything, as the background does where there is one.
fn settle(service: &Service) {
    let db = service.database();
    db.collections().iter().for_each(|name| db.get(name).expect("a collection").optimize().expect("it settles"));
}

/// A directory for backups that counts what is sent, and refuses after so many objects.
#[derive(Debug)]
struct Watched {
    inner: DirectoryBucket,
    sent_bytes: AtomicU64,
    refuse_after: u64,
    refuse_manifests: bool,
    sent: AtomicU64,
}

impl Watched {
    fn new(root: &Path, refuse_after: u64, refuse_manifests: bool) -> Arc<Self> {
        let none = || AtomicU64::new(0);
        Arc::new(Self { inner: DirectoryBucket::new(root), sent_bytes: none(), refuse_after, refuse_manifests, sent: none() })
    }
}

impl Bucket for Watched {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, key: &str, content: Vec<u8>) -> Result<()> {
        let refused = self.sent.fetch_add(1, Ordering::Relaxed) >= self.refuse_after;
        if refused || (self.refuse_manifests && key.starts_with("backups/")) {
            return Err(ServiceError::request("the cable was pulled"));
        }
        self.sent_bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
        self.inner.put(key, content)
    }

    fn create(&self, key: &str, content: Vec<u8>) -> Result<bool> {
        self.inner.create(key, content)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.inner.get(key)
    }

    fn put_file(&self, key: &str, file: &Path) -> Result<()> {
        self.inner.put_file(key, file)
    }

    fn get_file(&self, key: &str, file: &Path) -> Result<bool> {
        self.inner.get_file(key, file)
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>> {
        self.inner.list(prefix)
    }

    fn delete(&self, keys: &[String]) -> Result<()> {
        self.inner.delete(keys)
    }
}

fn repository(root: &Path) -> Repository {
    Repository::new(Arc::new(DirectoryBucket::new(root)))
}

fn back_up(service: &Service, to: &Repository) -> BackupReport {
    service.back_up(to, &BackupRequest::default(), &|_, _| {}, &Access::Manage).expect("a backup")
}

fn restore(service: &Service, from: &Repository, request: &RestoreRequest) -> Result<RestoreReport> {
    service.restore_backup(from, request, &|_, _| {}, &Access::Manage)
}

fn digest(service: &Service, name: &str) -> String {
    service.digest(name, &Access::Manage).expect("a digest").to_string()
}

/// All objects of a place, by key.
fn objects(root: &Path) -> BTreeSet<String> {
    DirectoryBucket::new(root).list("objects/").expect("a list").into_iter().map(|object| object.key).collect()
}

/// The largest object of a place.
fn largest(root: &Path) -> (String, PathBuf) {
    let listed = DirectoryBucket::new(root).list("objects/").expect("a list");
    let largest = listed.into_iter().max_by_key(|object| object.bytes).expect("an object");
    let path = root.join(&largest.key);
    (largest.key, path)
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("it is read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("it is damaged");
}

#[test]
fn everything_comes_back_elsewhere_and_equal() {
    let dir = tempfile::tempdir().expect("a directory");
    let (here, place) = (open(&dir.path().join("here")), repository(&dir.path().join("place")));
    create(&here, "books", 3);
    create(&here, "notes", 1);
    upsert(&here, "books", 0..500, "old");
    upsert(&here, "notes", 0..20, "note");
    settle(&here);
    upsert(&here, "books", 490..520, "new");
    result(&here, "POST", "/collections/books/points/delete?wait=true", &json!({"points": [3, 4]}));
    let alias = json!({"actions": [{"create_alias": {"alias_name": "library", "collection_name": "books"}}]});
    result(&here, "POST", "/collections/aliases", &alias);

    let made = back_up(&here, &place).stored.backup;
    let expected = digest(&here, "books");
    // What happens later is not in it.
    upsert(&here, "books", 1000..1010, "later");
    assert_eq!(place.backups().expect("a list"), std::slice::from_ref(&made));
    let described: Vec<_> = made.collections.iter().map(|each| (each.name.as_str(), each.shards, each.points)).collect();
    assert_eq!(described, [("books", 3, 518), ("notes", 1, 20)]);
    assert_eq!(made.collections[0].digest.to_string(), expected);

    let there = open(&dir.path().join("there"));
    let report = restore(&there, &place, &RestoreRequest::default()).expect("it is restored");
    assert_eq!((report.backup, report.collections), (made.name, made.collections));
    assert_eq!(digest(&there, "books"), expected);
    assert_eq!(digest(&there, "library"), expected, "aliases come back");
    assert_ne!(digest(&there, "notes"), expected);
    let all = json!({"limit": 1000, "with_payload": true, "with_vector": true});
    let found = result(&there, "POST", "/collections/notes/points/scroll", &all);
    assert_eq!(found, result(&here, "POST", "/collections/notes/points/scroll", &all));
    // And it goes on.
    upsert(&there, "books", 1000..1010, "later");
    assert_eq!(digest(&there, "books"), digest(&here, "books"));
    there.close().expect("it closes");
    assert_eq!(digest(&open(&dir.path().join("there")), "books"), digest(&here, "books"));
}

#[test]
fn after_a_small_change_little_is_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let bucket = Watched::new(&dir.path().join("place"), u64::MAX, false);
    let place = Repository::new(bucket.clone());
    let service = open(&dir.path().join("data"));
    create(&service, "books", 2);
    upsert(&service, "books", 0..6000, "old");
    settle(&service);
    let first = back_up(&service, &place).stored;
    assert_eq!(first.uploaded_bytes, bucket.sent_bytes.swap(0, Ordering::Relaxed), "what is told is what was sent");
    assert!(first.uploaded_bytes >= first.backup.bytes && first.uploaded_objects == first.objects, "{first:?}");

    upsert(&service, "books", 0..60, "new");
    let second = back_up(&service, &place).stored;
    assert_eq!(second.uploaded_bytes, bucket.sent_bytes.swap(0, Ordering::Relaxed));
    assert!(second.uploaded_bytes * 20 < first.uploaded_bytes, "{second:?} after {first:?}");

    // Nothing changed: a new log begins, and that is all.
    let third = back_up(&service, &place).stored;
    assert!(third.uploaded_bytes * 20 < first.uploaded_bytes, "{third:?}");
    assert_eq!(third.backup.collections[0].digest, second.backup.collections[0].digest);
    assert_ne!(second.backup.collections[0].digest, first.backup.collections[0].digest);

    // Each state is there by itself.
    for backup in [first.backup, second.backup] {
        let target = open(&dir.path().join(&backup.name));
        let request = RestoreRequest { backup: Some(backup.name), ..RestoreRequest::default() };
        restore(&target, &place, &request).expect("it is restored");
        assert_eq!(digest(&target, "books"), backup.collections[0].digest.to_string());
    }
}

#[test]
fn damage_is_named_and_nothing_is_restored_from_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("place");
    let (service, place) = (open(&dir.path().join("data")), repository(&root));
    create(&service, "books", 1);
    upsert(&service, "books", 0..3000, "old");
    settle(&service);
    let backup = back_up(&service, &place).stored.backup;
    let verified = place.verify(None, &|_, _| {}).expect("a report");
    assert_eq!((verified.backups.as_slice(), verified.damaged.as_slice()), (&[backup.name.clone()][..], &[][..]));
    assert!(verified.bytes >= backup.bytes * 9 / 10, "{verified:?}");

    let (key, path) = largest(&root);
    let whole = std::fs::read(&path).expect("it is read");
    let before = digest(&service, "books");
    let replace = RestoreRequest { replace: true, ..RestoreRequest::default() };
    for (what, expected) in [("flipped", "its SHA-256 is"), ("cut", "instead of"), ("missing", "it is missing")] {
        match what {
            "flipped" => flip(&path),
            "cut" => std::fs::write(&path, &whole[..whole.len() - 1]).expect("it is cut"),
            _ => std::fs::remove_file(&path).expect("it is removed"),
        }
        let damaged = place.verify(Some(&backup.name), &|_, _| {}).expect("a report").damaged;
        assert_eq!(damaged.len(), 1, "{what}: {damaged:?}");
        assert!(damaged[0].key == key && damaged[0].what.contains(expected), "{what}: {damaged:?}");
        assert!(damaged[0].files[0].starts_with(&format!("{}: books: 0/", backup.name)), "{what}: {damaged:?}");
        let refused = restore(&service, &place, &replace).expect_err("it is refused");
        assert!(refused.fault == Fault::BadRequest && refused.message.contains(&key), "{what}: {refused}");
        assert_eq!(digest(&service, "books"), before, "{what}");
    }
    std::fs::write(&path, &whole).expect("it is mended");
    restore(&service, &place, &replace).expect("it is restored");
    assert_eq!(digest(&service, "books"), before);

    let manifest = root.join(format!("backups/{}.json", backup.name));
    flip(&manifest);
    let damaged = place.verify(None, &|_, _| {}).expect("a report").damaged;
    assert!(damaged.len() == 1 && damaged[0].key == format!("backups/{}.json", backup.name), "{damaged:?}");
    assert!(restore(&service, &place, &replace).is_err() && place.backups().is_err() && place.prune(1).is_err());
    assert!(path.exists(), "what a damaged manifest may need stays");
}

#[test]
fn retention_deletes_what_nothing_needs_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("place");
    let (service, place) = (open(&dir.path().join("data")), repository(&root));
    create(&service, "books", 1);
    upsert(&service, "books", 0..2000, "old");
    settle(&service);
    let first = back_up(&service, &place).stored.backup.name;
    let of_first = objects(&root);
    // Everything is written anew.
    upsert(&service, "books", 0..2000, "new");
    settle(&service);
    let second = back_up(&service, &place).stored.backup.name;
    let left = "objects/00/left-by-an-interruption";
    DirectoryBucket::new(&root).put(left, b"x".to_vec()).expect("it is stored");
    upsert(&service, "books", 2000..2010, "more");
    let request = BackupRequest { keep: Some(2), ..BackupRequest::default() };
    let report = service.back_up(&place, &request, &|_, _| {}, &Access::Manage).expect("a backup");
    let pruned = report.pruned.expect("something is deleted");
    assert_eq!(pruned.backups, [first]);
    let names: Vec<String> = place.backups().expect("a list").into_iter().map(|backup| backup.name).collect();
    assert_eq!(names, [second.clone(), report.stored.backup.name]);
    let now = objects(&root);
    let gone: Vec<&String> = of_first.difference(&now).collect();
    assert_eq!(pruned.objects, gone.len() as u64 + 1, "{pruned:?}");
    assert!(gone.len() > 1 && !now.contains(left), "{gone:?}");
    assert_eq!(place.verify(None, &|_, _| {}).expect("a report").damaged, []);
    let there = open(&dir.path().join("there"));
    restore(&there, &place, &RestoreRequest { backup: Some(second), ..RestoreRequest::default() }).expect("it is restored");
    assert_eq!(there.digest("books", &Access::Manage).expect("a digest").points(), 2000);
    assert_eq!(place.prune(0).expect_err("it is refused").fault, Fault::BadRequest);
}

#[test]
fn an_interrupted_backup_is_not_there_and_helps_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("place");
    let service = open(&dir.path().join("data"));
    create(&service, "books", 2);
    upsert(&service, "books", 0..2000, "old");
    settle(&service);
    let mut there = 0;
    for (refuse_after, refuse_manifests) in [(0, false), (1, false), (3, false), (u64::MAX, true)] {
        let place = Repository::new(Watched::new(&root, refuse_after, refuse_manifests));
        let failed = service.back_up(&place, &BackupRequest::default(), &|_, _| {}, &Access::Manage);
        assert_eq!(failed.expect_err("it fails").message, "the cable was pulled", "{refuse_after}");
        assert_eq!(place.backups().expect("a list"), [], "{refuse_after}");
        let now = objects(&root).len() as u64;
        assert!(now >= there + refuse_after.min(1), "{refuse_after}: {now} after {there}");
        there = now;
    }
    let place = repository(&root);
    let made = back_up(&service, &place).stored;
    // All but the log that began meanwhile was there.
    assert!(made.uploaded_objects * 2 < made.objects, "{made:?}");
    assert_eq!(place.verify(None, &|_, _| {}).expect("a report").damaged, []);
    let target = open(&dir.path().join("there"));
    restore(&target, &place, &RestoreRequest::default()).expect("it is restored");
    assert_eq!(digest(&target, "books"), digest(&service, "books"));
}

#[test]
fn what_is_here_is_replaced_only_if_that_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let (service, place) = (open(&dir.path().join("data")), repository(&dir.path().join("place")));
    create(&service, "books", 1);
    create(&service, "notes", 1);
    upsert(&service, "books", 0..50, "old");
    back_up(&service, &place);
    let old = digest(&service, "books");
    upsert(&service, "books", 50..60, "new");
    let new = digest(&service, "books");
    let ask = |pairs: &[(&str, &str)], replace: bool| {
        let collections = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        restore(&service, &place, &RestoreRequest { backup: None, collections, replace })
    };
    assert_eq!(ask(&[], false).expect_err("it is here").fault, Fault::AlreadyExists);
    assert_eq!(ask(&[("books", "books")], false).expect_err("it is here").fault, Fault::AlreadyExists);
    assert_eq!(ask(&[("cooks", "x")], false).expect_err("it is unknown").fault, Fault::NotFound);
    assert_eq!(ask(&[("books", "x"), ("notes", "x")], false).expect_err("one name twice").fault, Fault::BadRequest);
    assert_eq!(ask(&[("books", "a/b")], false).expect_err("a bad name").fault, Fault::Validation);
    assert_eq!(digest(&service, "books"), new);
    ask(&[("books", "copy")], false).expect("a copy");
    assert_eq!((digest(&service, "copy"), digest(&service, "books")), (old.clone(), new));
    ask(&[("books", "books")], true).expect("it is replaced");
    assert_eq!(digest(&service, "books"), old);
    create(&service, "wide", 2);
    assert_eq!(ask(&[("books", "wide")], true).expect_err("other shards").fault, Fault::BadRequest);
}

#[test]
fn backups_are_asked_for_over_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = open(dir.path());
    create(&service, "books", 1);
    upsert(&service, "books", 0..50, "old");
    let made = result(&service, "POST", "/backups", &Value::Null);
    let again = result(&service, "POST", "/backups", &json!({"collections": ["books"], "keep": 1}));
    assert_eq!(again["pruned"]["backups"], json!([made["backup"]["name"]]));
    let listed = result(&service, "GET", "/backups", &Value::Null);
    assert_eq!(listed, json!([again["backup"]]));
    assert_eq!(result(&service, "POST", "/backups/verify", &Value::Null)["damaged"], json!([]));
    let restored = result(&service, "POST", "/backups/restore", &json!({"collections": {"books": "copy"}}));
    assert_eq!(restored["collections"][0]["digest"], digest(&service, "books"));
    assert_eq!(digest(&service, "copy"), digest(&service, "books"));
    assert_eq!(result(&service, "POST", "/backups/prune", &json!({"keep": 5}))["objects"], 0);
    // A place of its own below that of snapshots, and none elsewhere.
    result(&service, "POST", "/backups", &json!({"location": "nightly"}));
    assert_eq!(result(&service, "GET", "/backups?location=nightly", &Value::Null).as_array().map(Vec::len), Some(1));
    for elsewhere in ["/elsewhere/backups", "../elsewhere", "nightly/../../elsewhere", "."] {
        assert_eq!(ask(&service, "POST", "/backups", &json!({"location": elsewhere})).0, 403, "{elsewhere}");
    }
    for (status, location) in [(400, "s3://bucket"), (400, "gs://bucket"), (400, "")] {
        assert_eq!(ask(&service, "GET", &format!("/backups?location={location}"), &Value::Null).0, status, "{location}");
    }
    assert_eq!(ask(&service, "POST", "/backups/restore", &json!({"backup": "../x"})).0, 404);
    assert_eq!(ask(&service, "POST", "/backups", &json!({"keep": 0})).0, 400);
    assert_eq!(ask(&service, "POST", "/backups", &json!({"collections": ["nothing"]})).0, 404);
    assert_eq!(ask(&service, "POST", "/backups", &json!({"kep": 1})).0, 400);
}
