//! Searches of 20,000 points of 128 dimensions, with and without filters.

use criterion::{Criterion, criterion_group, criterion_main};
use vectordb_benches::synthetic::Source;
use vectordb_core::{Collection, Condition, Database, Distance, FieldSchema, FieldTest, Filter, Point, Range, Result};

const POINTS: u64 = 20_000;
const DIM: usize = 128;

fn collection(source: &Source) -> Result<Collection> {
    let collection = Database::in_memory()?.collection("search").dim(DIM).distance(Distance::Euclid).create()?;
    collection.create_index("rank", FieldSchema::integer())?;
    collection.upsert((0..POINTS).map(|id| Point::new(id, source.vector(id)).with("rank", id * 7919 % 1000)))?;
    collection.optimize()?;
    Ok(collection)
}

/// The points whose rank is below a number of thousandths.
fn thousandths(end: u32) -> Result<Filter> {
    let test = FieldTest::Range(Range { lt: Some(end.into()), ..Range::default() });
    Ok(Condition::Field { key: "rank".parse()?, test }.into())
}

fn search(criterion: &mut Criterion) {
    let source = Source::new(1, DIM);
    let collection = collection(&source).expect("a collection in memory");
    let queries: Vec<Vec<f32>> = (0..256).map(|query| source.query(query)).collect();
    let mut group = criterion.benchmark_group("search");
    let filters = [("all", None), ("half", Some(500)), ("tenth", Some(100)), ("hundredth", Some(10)), ("thousandth", Some(1))];
    for (name, end) in filters {
        let filter = end.map(|end| thousandths(end).expect("a filter"));
        let mut queries = queries.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let search = collection.search(queries.next().expect("an endless cycle"));
                match &filter {
                    Some(filter) => search.filter(filter.clone()).run(),
                    None => search.run(),
                }
                .expect("hits")
            });
        });
    }
    let mut endless = queries.iter().cycle();
    group.bench_function("exact", |bencher| {
        bencher.iter(|| collection.search(endless.next().expect("an endless cycle")).exact(true).run().expect("hits"));
    });
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
