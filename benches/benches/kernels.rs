//! The inner loops: vectors of every element type and metric, codes of every width, encoding. 1,000 rows a round, which fit
//! into the second cache level as codes and not as floats; divide to get the time of a row.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vectordb_benches::synthetic::Source;
use vectordb_core::internals::{Codes, Vectors};
use vectordb_core::{Datatype, Distance};

const ROWS: usize = 1000;

fn vectors(dim: usize) -> (Vec<Vec<f32>>, Vec<f32>) {
    let source = Source::new(1, dim);
    ((0..ROWS as u64).map(|row| source.vector(row)).collect(), source.query(0))
}

fn originals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("score");
    for dim in [128, 1536] {
        let (rows, query) = vectors(dim);
        group.throughput(Throughput::Elements(ROWS as u64));
        for datatype in [Datatype::Float32, Datatype::Float16, Datatype::Uint8] {
            for distance in [Distance::Dot, Distance::Euclid, Distance::Manhattan] {
                let stored = Vectors::new(dim, distance, datatype, &rows);
                let mut scores = vec![0.0; ROWS];
                group.bench_function(format!("{distance:?}/{datatype:?}/{dim}").to_lowercase(), |bencher| {
                    bencher.iter(|| stored.score(black_box(&query), &mut scores));
                });
            }
        }
    }
    group.finish();
}

fn codes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codes");
    for dim in [128, 1536] {
        let (rows, query) = vectors(dim);
        for bits in [1, 2, 4, 8] {
            let stored = Codes::new(dim, bits, &rows);
            let asked = stored.query(&query);
            let mut scores = vec![0.0; ROWS];
            group.throughput(Throughput::Elements(ROWS as u64));
            group.bench_function(format!("score/{bits}/{dim}"), |bencher| bencher.iter(|| stored.score(black_box(&asked), &mut scores)));
            let mut code = Vec::new();
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("encode/{bits}/{dim}"), |bencher| {
                bencher.iter(|| stored.encode(black_box(&rows[0]), &mut code));
            });
            group.bench_function(format!("query/{bits}/{dim}"), |bencher| bencher.iter(|| stored.query(black_box(&query))));
        }
    }
    group.finish();
}

criterion_group!(benches, originals, codes);
criterion_main!(benches);
