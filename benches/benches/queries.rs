//! Queries of every kind beside the plain search they are made of: 20,000 points of 128 dimensions.

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use vectordb_benches::synthetic::Source;
use vectordb_core::{Collection, Database, Distance, FacetRequest, FieldSchema, GroupsRequest, Point, QueryRequest, Result};

const POINTS: u64 = 20_000;
const DIM: usize = 128;

fn collection(source: &Source) -> Result<Collection> {
    let collection = Database::in_memory()?.collection("queries").dim(DIM).distance(Distance::Cosine).create()?;
    collection.create_index("rank", FieldSchema::integer())?;
    collection.create_index("lang", FieldSchema::keyword())?;
    let point = |id: u64| Point::new(id, source.vector(id)).with("rank", id * 7919 % 1000).with("lang", format!("l{}", id % 40));
    collection.upsert((0..POINTS).map(point))?;
    collection.optimize()?;
    Ok(collection)
}

fn queries(criterion: &mut Criterion) {
    let source = Source::new(1, DIM);
    let collection = collection(&source).expect("a collection in memory");
    let vector = |query: u64| json!(source.query(query));
    let two = |query: u64| json!([{"query": vector(query), "limit": 50}, {"query": vector(query + 1), "limit": 50}]);
    let kinds: [(&str, &dyn Fn(u64) -> Value); 11] = [
        ("nearest", &|query| json!({"query": vector(query)})),
        ("diverse", &|query| json!({"query": {"nearest": vector(query), "mmr": {"candidates_limit": 50}}})),
        ("average", &|query| json!({"query": {"recommend": {"positive": [1, 2, vector(query)], "negative": [3]}}})),
        (
            "best score",
            &|query| json!({"query": {"recommend": {"positive": [1, 2, vector(query)], "negative": [3], "strategy": "best_score"}}}),
        ),
        ("discover", &|query| json!({"query": {"discover": {"target": vector(query), "context": [{"positive": 1, "negative": 2}]}}})),
        ("order", &|_| json!({"query": {"order_by": "rank"}})),
        ("fusion", &|query| json!({"prefetch": two(query), "query": {"fusion": "rrf"}})),
        ("distribution", &|query| json!({"prefetch": two(query), "query": {"fusion": "dbsf"}})),
        ("formula", &|query| {
            let decay = json!({"gauss_decay": {"x": "rank", "target": 500, "scale": 100}});
            json!({"prefetch": {"query": vector(query), "limit": 100}, "query": {"formula": {"sum": ["$score", decay]}}})
        }),
        ("again", &|query| json!({"prefetch": {"query": vector(query), "limit": 100}, "query": vector(query + 1)})),
        ("sample", &|_| json!({"query": {"sample": "random"}})),
    ];
    let mut group = criterion.benchmark_group("queries");
    for (name, make) in kinds {
        let requests: Vec<QueryRequest> = (0..64).map(|query| QueryRequest::from_json(&make(query)).expect("a query")).collect();
        let mut endless = requests.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| collection.query_points(endless.next().expect("an endless cycle")).expect("hits"));
        });
    }
    let grouped = |query: u64| GroupsRequest::from_json(&json!({"query": vector(query), "group_by": "lang", "limit": 5, "group_size": 3}));
    let requests: Vec<GroupsRequest> = (0..64).map(|query| grouped(query).expect("a query")).collect();
    let mut endless = requests.iter().cycle();
    group.bench_function("groups", |bencher| {
        bencher.iter(|| collection.groups(endless.next().expect("an endless cycle")).expect("groups"));
    });
    let facet = FacetRequest::from_json(&json!({"key": "lang"})).expect("a facet");
    group.bench_function("facet", |bencher| bencher.iter(|| collection.facet(&facet).expect("counts")));
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
