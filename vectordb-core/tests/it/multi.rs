//! Multivectors against sums of largest similarities over all points.

use std::collections::BTreeMap;

use vectordb_core::{
    Collection, CollectionConfig, Datatype, Distance, Error, MemFs, MultiVector, MultiVectorComparator, MultiVectorConfig, Point, PointId,
    Query, QueryRequest, RecommendStrategy, SearchTarget, Target, Update, Vector, VectorParams, field,
};

use crate::support::{Random, manual, small_segments};

const DIM: usize = 24;

type Model = BTreeMap<u64, MultiVector>;

fn config(distance: Distance, datatype: Datatype) -> CollectionConfig {
    let mut params = VectorParams::new(DIM, distance).datatype(datatype);
    params.multivector_config = Some(MultiVectorConfig { comparator: MultiVectorComparator::MaxSim });
    CollectionConfig { vectors: BTreeMap::from([(String::new(), params)]), ..small_segments(DIM, distance) }
}

fn vector(random: &mut Random) -> MultiVector {
    let rows = (0..=random.below(12)).map(|_| random.vector(DIM)).collect();
    MultiVector::new(rows).expect("works")
}

fn fill(points: &Collection, random: &mut Random, ids: std::ops::Range<u64>, model: &mut Model) {
    let fresh: Vec<(u64, MultiVector)> = ids.map(|id| (id, vector(random))).collect();
    points.upsert(fresh.iter().map(|(id, vector)| Point::new(*id, vector.clone()).with("n", id % 10))).expect("works");
    model.extend(fresh);
}

fn similarity(distance: Distance, a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let differences = || a.iter().zip(b).map(|(a, b)| f64::from(a - b));
    match distance {
        Distance::Dot => dot(a, b),
        Distance::Cosine => dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        Distance::Euclid => -differences().map(|d| d * d).sum::<f64>(),
        Distance::Manhattan => -differences().map(f64::abs).sum::<f64>(),
    }
}

fn max_sim(distance: Distance, query: &MultiVector, vector: &MultiVector) -> f64 {
    let best = |row: &[f32]| vector.rows().map(|other| similarity(distance, row, other)).fold(f64::NEG_INFINITY, f64::max);
    query.rows().map(best).sum()
}

fn ranked(model: &Model, distance: Distance, query: &MultiVector, keep: impl Fn(u64) -> bool) -> Vec<(u64, f64)> {
    let mut all: Vec<(u64, f64)> =
        model.iter().filter(|(id, _)| keep(**id)).map(|(id, vector)| (*id, max_sim(distance, query, vector))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

fn user(distance: Distance, score: f64) -> f64 {
    match distance {
        Distance::Dot | Distance::Cosine => score,
        Distance::Euclid => (-score).sqrt(),
        Distance::Manhattan => -score,
    }
}

fn request(target: impl Into<SearchTarget>, exact: bool) -> QueryRequest {
    let mut request = QueryRequest::new(Query::Nearest { target: target.into(), mmr: None });
    request.params.exact = exact;
    request
}

/// Compares what is found with what the model ranks; gives how many of the best were found by walks, and how many there are.
fn compare(points: &Collection, random: &mut Random, model: &Model, distance: Distance, tolerance: f64) -> (usize, usize) {
    let (mut found_of_walks, mut wanted_of_walks) = (0, 0);
    for _ in 0..20 {
        let query = vector(random);
        let mut request = request(Vector::from(query.clone()), true);
        for filtered in [false, true] {
            request.filter = filtered.then(|| field("n").lt(3.0));
            let wanted = ranked(model, distance, &query, |id| !filtered || id % 10 < 3);
            let found = points.query_points(&request).expect("works");
            assert_eq!(found.len(), wanted.len().min(10));
            for (hit, (id, score)) in found.iter().zip(&wanted) {
                let score = user(distance, *score);
                assert!((f64::from(hit.score) - score).abs() <= tolerance * score.abs().max(1.0), "{} for {score}", hit.score);
                assert!(tolerance > 1e-4 || hit.id == PointId::Num(*id));
            }
        }
        request.filter = None;
        request.params.exact = false;
        let found = points.query_points(&request).expect("works");
        let wanted: Vec<PointId> = ranked(model, distance, &query, |_| true).iter().take(10).map(|(id, _)| PointId::Num(*id)).collect();
        found_of_walks += found.iter().filter(|hit| wanted.contains(&hit.id)).count();
        wanted_of_walks += wanted.len();
    }
    (found_of_walks, wanted_of_walks)
}

fn assert_found(walks: &[(usize, usize)], percent: usize) {
    let (found, wanted) = walks.iter().fold((0, 0), |sum, walk| (sum.0 + walk.0, sum.1 + walk.1));
    assert!(found * 100 >= wanted * percent, "{found} of {wanted} found");
}

/// Growing, sealed with a graph, merged with dead rows and opened again.
fn life(distance: Distance, datatype: Datatype, tolerance: f64) {
    let fs = std::sync::Arc::new(MemFs::default());
    let db = manual(fs.clone());
    let points = db.collection("points").config(config(distance, datatype)).create().expect("works");
    let (mut random, mut model) = (Random::new(17), Model::new());
    fill(&points, &mut random, 0..500, &mut model);
    let growing = compare(&points, &mut random, &model, distance, tolerance);
    points.optimize().expect("works");
    let sealed = compare(&points, &mut random, &model, distance, tolerance);
    fill(&points, &mut random, 400..700, &mut model);
    points.delete((0..100).map(PointId::from).collect::<Vec<_>>()).expect("works");
    points.apply([Update::DeleteVectors { target: Target::from([150u64]), names: vec![String::new()] }]).expect("works");
    model.retain(|id, _| *id >= 100 && *id != 150);
    let mixed = compare(&points, &mut random, &model, distance, tolerance);
    points.optimize().expect("works");
    let merged = compare(&points, &mut random, &model, distance, tolerance);
    points.verify().expect("whole");
    drop((points, db));
    let points = manual(fs).collection("points").open().expect("works");
    let reopened = compare(&points, &mut random, &model, distance, tolerance);
    let record = &points.retrieve(&[PointId::Num(300)], &false.into(), &true.into()).expect("works")[0];
    let stored = record.vectors.as_ref().and_then(|vectors| vectors.get("")).and_then(Vector::as_multi).expect("is there");
    assert_eq!(stored.rows().len(), model[&300].rows().len());
    [growing, sealed, mixed].iter().for_each(|walks| assert_found(std::slice::from_ref(walks), 95));
    // One graph over all points, whose shape depends on how the threads of its build fell together.
    assert_found(&[merged, reopened], 96);
}

#[test]
fn the_largest_sums_are_found_by_every_distance() {
    for distance in [Distance::Dot, Distance::Cosine, Distance::Euclid, Distance::Manhattan] {
        life(distance, Datatype::Float32, 1e-5);
    }
}

#[test]
fn half_precision_is_nearly_as_good() {
    life(Distance::Cosine, Datatype::Float16, 5e-3);
}

#[test]
fn examples_and_ids_work_as_with_dense_vectors() {
    let db = manual(std::sync::Arc::new(MemFs::default()));
    let points = db.collection("points").config(config(Distance::Dot, Datatype::Float32)).create().expect("works");
    let (mut random, mut model) = (Random::new(29), Model::new());
    fill(&points, &mut random, 0..300, &mut model);
    points.optimize().expect("works");
    let by_id = points.query_points(&request(PointId::Num(7), true)).expect("works");
    let wanted = ranked(&model, Distance::Dot, &model[&7], |id| id != 7);
    assert_eq!(
        by_id.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>(),
        wanted.iter().take(10).map(|(id, _)| PointId::Num(*id)).collect::<Vec<_>>()
    );
    let (liked, disliked) = (vector(&mut random), vector(&mut random));
    let mut best = QueryRequest::new(Query::Recommend {
        positive: vec![Vector::from(liked.clone()).into()],
        negative: vec![Vector::from(disliked.clone()).into()],
        strategy: RecommendStrategy::SumScores,
    });
    best.params.exact = true;
    let found = points.query_points(&best).expect("works");
    let score = |id: u64| max_sim(Distance::Dot, &liked, &model[&id]) - max_sim(Distance::Dot, &disliked, &model[&id]);
    let mut scores: Vec<f64> = model.keys().map(|id| score(*id)).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    for (hit, wanted) in found.iter().zip(scores) {
        assert!((f64::from(hit.score) - wanted).abs() < 1e-4, "{} for {wanted}", hit.score);
    }
    // One vector is a multivector of one.
    let one = random.vector(DIM);
    let alone = MultiVector::new(vec![one.clone()]).expect("works");
    let same = |target: SearchTarget| points.query_points(&request(target, true)).expect("works");
    assert_eq!(same(one.into()), same(Vector::from(alone).into()));
}

#[test]
fn bad_multivectors_are_refused() {
    let db = manual(std::sync::Arc::new(MemFs::default()));
    let points = db.collection("points").config(config(Distance::Dot, Datatype::Float32)).create().expect("works");
    assert!(matches!(MultiVector::new(vec![]), Err(Error::InvalidVector { .. })));
    assert!(matches!(MultiVector::new(vec![vec![1.0], vec![1.0, 2.0]]), Err(Error::DimensionMismatch { .. })));
    let short = MultiVector::new(vec![vec![1.0; DIM - 1]]).expect("works");
    assert!(matches!(points.upsert([Point::new(1u64, short)]), Err(Error::DimensionMismatch { .. })));
    let nan = MultiVector::new(vec![vec![1.0; DIM], vec![f32::NAN; DIM]]).expect("works");
    assert!(matches!(points.upsert([Point::new(1u64, nan)]), Err(Error::InvalidVector { .. })));
    assert!(matches!(points.upsert([Point::new(1u64, vec![1.0; DIM])]), Err(Error::WrongVectorKind { .. })));
    assert_eq!(points.count(None, true).expect("works"), 0);
}
