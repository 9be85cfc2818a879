//! Upserts of new points, by batch size and by durability. What `sync` costs is what the disk costs.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vectordb_benches::synthetic::Source;
use vectordb_core::{Background, CollectionConfig, Database, Distance, Durability, Options, Point};

const DIM: usize = 128;

fn upsert(criterion: &mut Criterion) {
    let source = Source::new(1, DIM);
    let pool: Vec<Vec<f32>> = (0..4096).map(|number| source.vector(number)).collect();
    let mut group = criterion.benchmark_group("upsert");
    for (name, durability) in [("none", Durability::None), ("os", Durability::Os), ("sync", Durability::Sync)] {
        for batch in [1u64, 100, 1000] {
            // Nothing but the writes: sealing has its own measurements.
            let room = tempfile::tempdir().expect("a directory");
            let options = Options::default().background(Background::Manual);
            let db = Database::open_with(room.path().join("write.vdb"), options).expect("a database");
            let config = CollectionConfig { durability, ..CollectionConfig::unnamed(DIM, Distance::Euclid) };
            let collection = db.create_collection("write", config).expect("a collection");
            let mut ids = 0u64..;
            group.throughput(Throughput::Elements(batch));
            group.bench_function(format!("{name}/{batch}"), |bencher| {
                let points = || -> Vec<Point> {
                    let next = ids.by_ref().take(batch as usize);
                    next.map(|id| Point::new(id, pool[id as usize % pool.len()].as_slice()).with("rank", id % 1000)).collect()
                };
                bencher.iter_batched(points, |points| collection.upsert(points).expect("written"), BatchSize::SmallInput);
            });
            db.close().expect("closed");
        }
    }
    group.finish();
}

criterion_group!(benches, upsert);
criterion_main!(benches);
