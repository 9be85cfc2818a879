//! What explanations say against what scorers did.

use std::sync::Arc;

use super::{Background, Collection, Database, Options};
use crate::model::config::{CollectionConfig, Distance, FieldSchema};
use crate::model::explain::Way;
use crate::model::filter_build::field;
use crate::model::point::Point;
use crate::model::query::Strategy;
use crate::model::ranking::{Query, QueryRequest, RecommendStrategy};
use crate::storage::fs::MemFs;
use crate::vectors::counted::{CODES, VECTORS};

const DIM: usize = 64;
const POINTS: u64 = 6000;

fn vector(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..DIM).map(|_| next()).collect()
}

/// A sealed segment with a graph and codes, and some points in memory.
fn world() -> (Database, Collection) {
    let options = Options::default().fs(Arc::new(MemFs::default())).background(Background::Manual).threads(1);
    let db = Database::open_with("db", options).expect("it opens");
    let mut config = CollectionConfig::unnamed(DIM, Distance::Dot);
    config.optimizers_config.indexing_threshold = Some(1);
    config.hnsw_config.full_scan_threshold = 0;
    let points = db.create_collection("points", config).expect("it is made");
    points.create_index("n", FieldSchema::integer()).expect("works");
    points.upsert((0..POINTS).map(|id| Point::new(id, vector(id)).with("n", id % 100))).expect("works");
    points.optimize().expect("works");
    points.upsert((POINTS..POINTS + 50).map(|id| Point::new(id, vector(id)).with("n", id % 100))).expect("works");
    (db, points)
}

/// The ways a query took, after its counters were compared with those of the scorers.
fn ways(points: &Collection, request: &QueryRequest) -> Vec<Way> {
    VECTORS.set(0);
    CODES.set(0);
    let explanation = points.explain(request, false).expect("works");
    let plans: Vec<_> = explanation.searches.iter().flat_map(|search| &search.segments).collect();
    let sum = |count: fn(&crate::Work) -> u64| plans.iter().map(|plan| count(&plan.work)).sum::<u64>();
    assert_eq!(sum(|work| work.vectors), VECTORS.get(), "{plans:?}");
    assert_eq!(sum(|work| work.codes), CODES.get(), "{plans:?}");
    assert_eq!(points.query_points(request).expect("works"), explanation.hits);
    plans.iter().map(|plan| plan.way).collect()
}

#[test]
fn counters_of_every_way_are_those_of_the_scorers() {
    let (_db, points) = world();
    let mut request = QueryRequest::new(Query::from(vector(999_999)));
    assert_eq!(ways(&points, &request), [Way::Scan, Way::Graph]);
    request.params.quantization.ignore = true;
    assert_eq!(ways(&points, &request), [Way::Scan, Way::Graph]);
    request.params.quantization.ignore = false;
    request.params.exact = true;
    assert_eq!(ways(&points, &request), [Way::Scan, Way::Scan]);
    request.params.exact = false;
    request.filter = Some(field("n").lt(30.0));
    for (strategy, way) in [
        (Strategy::Scan, Way::CodeScan),
        (Strategy::Clusters, Way::Clusters),
        (Strategy::Graph, Way::SiftedGraph),
        (Strategy::FilteredGraph, Way::FilteredGraph),
    ] {
        request.params.strategy = Some(strategy);
        assert_eq!(ways(&points, &request), [Way::Scan, way]);
    }
    let example = |seed| vector(seed).into();
    let (positive, negative) = (vec![example(1), example(2)], vec![example(3)]);
    let strategy = RecommendStrategy::BestScore;
    let mut several = QueryRequest::new(Query::Recommend { positive, negative, strategy });
    several.params.exact = true;
    // Every point is compared with each of three examples, and counted once.
    VECTORS.set(0);
    let explanation = points.explain(&several, true).expect("works");
    let segments = &explanation.searches[0].segments;
    assert_eq!(segments.iter().map(|plan| plan.work.vectors).sum::<u64>() * 3, VECTORS.get());
    assert_eq!(segments.iter().filter_map(|plan| plan.matching).sum::<u64>(), POINTS + 50);
}

#[test]
fn hops_and_distances_grow_with_the_candidate_list() {
    let (_db, points) = world();
    let mut request = QueryRequest::new(Query::from(vector(5_000_000)));
    let mut before = (0, 0);
    for ef in [16, 64, 256] {
        request.params.hnsw_ef = Some(ef);
        let explanation = points.explain(&request, false).expect("works");
        let plan = explanation.searches[0].segments[1];
        assert_eq!((plan.ef, plan.segment.is_some()), (ef, true));
        assert!(plan.work.hops > before.0 && plan.work.codes > before.1, "{plan:?}");
        before = (plan.work.hops, plan.work.codes);
    }
}
