//! Filters over 20,000 payloads: reading them, counting with and without an index, walking in the order of a field.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use vectordb_core::{Collection, Database, FieldSchema, Filter, OrderBy, Point, Result, ScrollRequest};

const POINTS: u64 = 20_000;
const TEXT: &str = "tag IN ['a', 'b'] AND rank BETWEEN 10 AND 200 AND NOT (lang = 'en' OR note MATCH 'red fox')";

fn collection() -> Result<Collection> {
    let collection = Database::in_memory()?.collection("filter").dim(2).create()?;
    collection.create_index("rank", FieldSchema::integer())?;
    collection.create_index("tag", FieldSchema::keyword())?;
    collection.upsert((0..POINTS).map(|id| {
        let spread = id * 7919 % 1000;
        let tag = ["a", "b", "c", "d"][id as usize % 4];
        Point::new(id, [1.0, id as f32]).with("rank", spread).with("plain", spread).with("tag", tag).with("lang", "en")
    }))?;
    collection.optimize()?;
    Ok(collection)
}

fn filter(criterion: &mut Criterion) {
    let collection = collection().expect("a collection in memory");
    let mut group = criterion.benchmark_group("filter");
    group.bench_function("parse", |bencher| bencher.iter(|| Filter::parse(black_box(TEXT)).expect("a filter")));
    let json = Filter::parse(TEXT).expect("a filter").to_json();
    group.bench_function("json", |bencher| bencher.iter(|| Filter::from_json(black_box(&json)).expect("a filter")));
    for (name, text) in [
        ("count/range indexed", "rank < 100"),
        ("count/keyword indexed", "tag = 'a'"),
        ("count/both indexed", "tag = 'a' AND rank < 100"),
        ("count/range not indexed", "plain < 100"),
    ] {
        let filter = Filter::parse(text).expect("a filter");
        group.bench_function(name, |bencher| bencher.iter(|| collection.count(Some(black_box(&filter)), true).expect("a count")));
    }
    let ordered = ScrollRequest {
        limit: 100,
        order_by: Some(OrderBy { key: "rank".parse().expect("a path"), descending: false, start_from: None }),
        ..ScrollRequest::default()
    };
    group.bench_function("scroll/by a field", |bencher| bencher.iter(|| collection.scroll(black_box(&ordered)).expect("a page")));
    let by_id = ScrollRequest { limit: 100, ..ScrollRequest::default() };
    group.bench_function("scroll/by id", |bencher| bencher.iter(|| collection.scroll(black_box(&by_id)).expect("a page")));
    group.finish();
}

criterion_group!(benches, filter);
criterion_main!(benches);
