//! What a directory costs: opening with a log to replay, opening what is sealed, building a graph, a snapshot.

use std::path::Path;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use vectordb_benches::synthetic::Source;
use vectordb_core::{Background, CollectionConfig, Database, Distance, Durability, Options, Point, Result};

const POINTS: u64 = 10_000;
const DIM: usize = 128;

fn written(path: &Path) -> Result<Database> {
    let source = Source::new(1, DIM);
    let db = Database::open_with(path, Options::default().background(Background::Manual))?;
    let config = CollectionConfig { durability: Durability::Os, ..CollectionConfig::unnamed(DIM, Distance::Euclid) };
    let collection = db.create_collection("storage", config)?;
    for start in (0..POINTS).step_by(1000) {
        collection.upsert((start..start + 1000).map(|id| Point::new(id, source.vector(id)).with("rank", id)))?;
    }
    Ok(db)
}

fn reopen(path: &Path) {
    let db = Database::open_with(path, Options::default().background(Background::Manual)).expect("a database");
    drop(db.collection("storage").open().expect("the collection"));
    db.close().expect("closed");
}

fn storage(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("storage");
    group.sample_size(10);
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("storage.vdb");
    written(&path).expect("written").close().expect("closed");
    group.bench_function("open/log", |bencher| bencher.iter(|| reopen(&path)));
    let fresh = || {
        let room = tempfile::tempdir().expect("a directory");
        let db = written(&room.path().join("storage.vdb")).expect("written");
        (room, db)
    };
    group.bench_function("seal and index", |bencher| {
        let index =
            |(_room, db): (tempfile::TempDir, Database)| db.collection("storage").open().and_then(|held| held.optimize()).expect("done");
        bencher.iter_batched(fresh, index, BatchSize::PerIteration);
    });
    let db = Database::open_with(&path, Options::default().background(Background::Manual)).expect("a database");
    let collection = db.collection("storage").open().expect("the collection");
    collection.optimize().expect("sealed");
    let mut number = 0..;
    group.bench_function("snapshot", |bencher| {
        let target = || room.path().join(format!("snapshot-{}", number.next().unwrap_or(0)));
        bencher.iter_batched(target, |target| collection.snapshot(target).expect("a snapshot"), BatchSize::PerIteration);
    });
    drop(collection);
    db.close().expect("closed");
    group.bench_function("open/sealed", |bencher| bencher.iter(|| reopen(&path)));
    group.finish();
}

criterion_group!(benches, storage);
criterion_main!(benches);
