//! If k points match, k come back: at any selectivity, whatever the matches have to do with the vectors, by every strategy.

use std::sync::Arc;

use serde_json::json;
use vectordb_core::*;

use crate::support::{Random, manual, small_segments};

const POINTS: u64 = 20_000;
const DIM: usize = 16;
const K: usize = 10;

struct Data {
    collection: Collection,
    vectors: Vec<Vec<f32>>,
    /// Places of each point in three orders: random, near the corner first, far from it first.
    ranks: [Vec<u64>; 3],
}

const ORDERS: [&str; 3] = ["random", "near", "far"];
/// Where queries come from; "near" and "far" are as seen from here.
const CORNER: [f32; DIM] = [0.8; DIM];

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn ranks(mut order: Vec<u64>, mut key: impl FnMut(u64) -> f32) -> Vec<u64> {
    order.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
    let mut ranks = vec![0; order.len()];
    for (rank, id) in (0..).zip(order) {
        ranks[id as usize] = rank;
    }
    ranks
}

fn data(indexed: bool, count: u64) -> Data {
    let mut random = Random::new(11);
    let centers: Vec<Vec<f32>> = (0..40).map(|_| random.vector(DIM)).collect();
    let vectors: Vec<Vec<f32>> =
        (0..count).map(|_| centers[random.below(40) as usize].iter().map(|value| value + 0.3 * random.float()).collect()).collect();
    let noise: Vec<f32> = (0..count).map(|_| random.float()).collect();
    let ids: Vec<u64> = (0..count).collect();
    let ranks = [
        ranks(ids.clone(), |id| noise[id as usize]),
        ranks(ids.clone(), |id| distance(&vectors[id as usize], &CORNER)),
        ranks(ids, |id| -distance(&vectors[id as usize], &CORNER)),
    ];
    let db = manual(Arc::new(MemFs::default()));
    let mut config = CollectionConfig::unnamed(DIM, Distance::Euclid);
    config.optimizers_config.indexing_threshold = Some(100);
    config.hnsw_config.full_scan_threshold = 100;
    let collection = db.create_collection("c", config).expect("it is made");
    for batch in (0..count).collect::<Vec<_>>().chunks(2000) {
        let points = batch.iter().map(|&id| {
            let place = |order: usize| ranks[order][id as usize];
            let payload = json!({"random": place(0), "near": place(1), "far": place(2)});
            Point { payload: payload.as_object().cloned().unwrap_or_default(), ..Point::new(id, vectors[id as usize].clone()) }
        });
        collection.upsert(points).expect("good points");
    }
    if indexed {
        ORDERS.iter().for_each(|field| collection.create_index(field, FieldSchema::integer()).expect("indexing works"));
    }
    collection.optimize().expect("optimizing works");
    let info = collection.info().expect("info works");
    assert_eq!(info.indexed_vectors, count, "the test needs a graph");
    Data { collection, vectors, ranks }
}

/// Searches with "rank in this order below `matches`"; gives the share of the true nearest that was found.
fn check(data: &Data, order: usize, matches: u64, strategy: Option<Strategy>, random: &mut Random, deleted: u64) -> f32 {
    let query: Vec<f32> = CORNER.iter().map(|value| value + 0.2 * random.float()).collect();
    let wanted = |id: u64| data.ranks[order][id as usize] < matches && id >= deleted;
    let mut exact: Vec<(f32, u64)> =
        (0..data.vectors.len() as u64).filter(|&id| wanted(id)).map(|id| (distance(&data.vectors[id as usize], &query), id)).collect();
    exact.sort_by(|a, b| a.0.total_cmp(&b.0));
    exact.truncate(K);
    let mut search = data.collection.search(&query).filter(field(ORDERS[order]).lt(matches as f64)).limit(K);
    if let Some(strategy) = strategy {
        search = search.strategy(strategy);
    }
    let hits = search.run().expect("searching works");
    let what = format!("{strategy:?}, {} {matches}", ORDERS[order]);
    assert_eq!(hits.len(), exact.len(), "{what}: too few");
    assert!(hits.is_sorted_by(|a, b| a.score <= b.score), "{what}: unsorted");
    let id = |hit: &ScoredPoint| if let PointId::Num(id) = hit.id { id } else { u64::MAX };
    assert!(hits.iter().all(|hit| wanted(id(hit))), "{what}: a point that does not match");
    let found = hits.iter().filter(|hit| exact.iter().any(|(_, exact)| *exact == id(hit))).count();
    if exact.is_empty() { 1.0 } else { found as f32 / exact.len() as f32 }
}

#[test]
fn every_strategy_returns_k_of_k_matches() {
    let matches = [0, 1, 3, 10, 11, 50, 200, 1000, 3000, 8000, 15_000, 20_000];
    for indexed in [true, false] {
        let data = data(indexed, POINTS);
        let mut random = Random::new(3);
        for deleted in [0, 4000] {
            if deleted > 0 {
                data.collection.delete(Target::Ids((0..deleted).map(PointId::from).collect())).expect("deleting works");
            }
            for (order, order_name) in ORDERS.iter().enumerate() {
                for strategy in [None, Some(Strategy::Scan), Some(Strategy::FilteredGraph), Some(Strategy::Graph), Some(Strategy::Clusters)]
                {
                    // Walks that were forced although they are the wrong way may find other points, but never too few.
                    let least = match strategy {
                        Some(Strategy::Scan) => 1.0,
                        None => 0.95,
                        Some(_) => 0.0,
                    };
                    let rounds = if indexed { 6 } else { 2 };
                    for matches in matches {
                        let recall: f32 =
                            (0..rounds).map(|_| check(&data, order, matches, strategy, &mut random, deleted)).sum::<f32>() / rounds as f32;
                        let what = format!("{strategy:?}, {order_name} {matches}, indexed {indexed}, {deleted} deleted");
                        assert!(recall >= least, "{what}: recall {recall}");
                    }
                }
            }
        }
    }
}

#[test]
fn one_point_of_a_hundred_thousand_is_found_by_every_strategy() {
    let data = data(true, 100_000);
    let mut random = Random::new(5);
    for (order, order_name) in ORDERS.iter().enumerate() {
        for matches in [1, 2, 10, 100] {
            for strategy in [None, Some(Strategy::Scan), Some(Strategy::FilteredGraph), Some(Strategy::Graph), Some(Strategy::Clusters)] {
                let recall = check(&data, order, matches, strategy, &mut random, 0);
                // Up to ten matches all of them must come back, so there the recall is 1 whatever the way.
                let complete = matches <= K as u64 || matches!(strategy, None | Some(Strategy::Scan));
                assert!(recall == 1.0 || !complete, "{strategy:?}, {order_name} {matches}: recall {recall}");
            }
        }
    }
}

#[test]
fn plans_agree_with_each_other_on_small_random_collections() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let count = random.below(400) + 1;
        let db = manual(Arc::new(MemFs::default()));
        let collection = db.create_collection("c", crate::support::small_segments(3, Distance::Dot)).expect("it is made");
        let mut expected = 0;
        for id in 0..count {
            let group = random.below(7);
            expected += u64::from(group == 2);
            collection.upsert([Point::new(id, random.vector(3)).with("g", group)]).expect("a good point");
        }
        if random.chance(50) {
            collection.create_index("g", FieldSchema::integer()).expect("indexing works");
        }
        for _ in 0..2 {
            let query = random.vector(3);
            let search = || collection.search(&query).filter(field("g").eq(2)).limit(500);
            let exact = search().exact(true).run().expect("searching works");
            assert_eq!(exact.len() as u64, expected);
            for strategy in [Strategy::Scan, Strategy::FilteredGraph, Strategy::Graph, Strategy::Clusters] {
                assert_eq!(search().strategy(strategy).run().expect("searching works"), exact, "seed {seed}, {strategy:?}");
            }
            collection.optimize().expect("optimizing works");
        }
    }
}

#[test]
fn tenants_that_lie_side_by_side_find_their_own_points() {
    const TENANTS: u64 = 37;
    let db = manual(std::sync::Arc::new(MemFs::default()));
    let mut config = small_segments(8, Distance::Dot);
    // No graph over all: searches are for one tenant.
    config.hnsw_config.m = 0;
    let tenant = KeywordIndexParams { is_tenant: Some(true), ..KeywordIndexParams::default() };
    config.payload_schema.insert("tenant".into(), FieldSchema::Keyword(tenant));
    let points = db.create_collection("points", config).expect("works");
    let mut random = Random::new(5);
    let vectors: Vec<Vec<f32>> = (0..1500).map(|_| random.vector(8)).collect();
    let name = |id: u64| format!("tenant {}", id % TENANTS);
    let point = |id: u64| {
        let point = Point::new(id, vectors[id as usize].clone());
        // Some points are of no tenant.
        if id % 11 == 10 { point } else { point.with("tenant", name(id)) }
    };
    points.upsert((0..1500).map(point)).expect("works");
    points.optimize().expect("works");
    for id in (0..50).map(PointId::Num) {
        let PointId::Num(number) = id else { continue };
        let query = random.vector(8);
        let found = points.search(&query).filter(field("tenant").eq(name(number))).limit(5).run().expect("works");
        let mut wanted: Vec<(u64, f32)> = (0..1500)
            .filter(|other| other % TENANTS == number % TENANTS && other % 11 != 10)
            .map(|other| (other, vectors[other as usize].iter().zip(&query).map(|(a, b)| a * b).sum()))
            .collect();
        wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let wanted: Vec<PointId> = wanted.into_iter().take(5).map(|(other, _)| PointId::Num(other)).collect();
        assert_eq!(found.into_iter().map(|hit| hit.id).collect::<Vec<_>>(), wanted);
    }
    points.verify().expect("whole");
}
