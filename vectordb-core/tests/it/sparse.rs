//! Sparse vectors against sums over all points.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::json;
use vectordb_core::{
    Collection, CollectionConfig, Condition, ConfigDiff, Database, Distance, Error, ErrorKind, FieldSchema, Filter, Fs, MemFs, Modifier,
    Point, PointId, Query, QueryRequest, ScoredPoint, SearchTarget, SparseIndexParams, SparseVector, SparseVectorParams, Target, Update,
    Vector, VectorDiff, VectorParams, field,
};

use crate::support::{Random, manual};

const WORDS: u64 = 300;

type Model = BTreeMap<u64, SparseVector>;

fn config(modifier: Modifier) -> CollectionConfig {
    let sparse = SparseVectorParams { modifier: Some(modifier), ..SparseVectorParams::default() };
    let mut config = CollectionConfig::unnamed(4, Distance::Dot);
    config.optimizers_config.vacuum_min_vector_number = 100;
    config.sparse_vectors.insert("words".to_owned(), sparse);
    config
}

/// A few dimensions, low ones far more often than high ones.
fn vector(random: &mut Random, sign: f32) -> SparseVector {
    let mut values: BTreeMap<u32, f32> = BTreeMap::new();
    for _ in 0..=random.below(20) {
        let index = (0..3).map(|_| random.below(WORDS)).min().expect("three");
        values.insert(u32::try_from(index).expect("small"), random.float().abs() * sign + 0.1);
    }
    let (indices, values) = values.into_iter().unzip();
    SparseVector::new(indices, values).expect("works")
}

fn point(id: u64, vector: &SparseVector) -> Point {
    Point::bare(id).vector("", vec![1.0, 2.0, 3.0, id as f32]).vector("words", vector.clone()).with("n", id % 100)
}

fn fill(points: &Collection, random: &mut Random, ids: std::ops::Range<u64>, model: &mut Model, sign: f32) {
    let fresh: Vec<(u64, SparseVector)> = ids.map(|id| (id, vector(random, sign))).collect();
    points.upsert(fresh.iter().map(|(id, vector)| point(*id, vector))).expect("works");
    model.extend(fresh);
}

fn dot(a: &SparseVector, b: &SparseVector, weight: impl Fn(u32) -> f64) -> Option<f64> {
    let b: HashMap<u32, f32> = b.indices().iter().copied().zip(b.values().iter().copied()).collect();
    let shared = a.indices().iter().zip(a.values()).filter_map(|(index, x)| Some(f64::from(x * b.get(index)?) * weight(*index)));
    let products: Vec<f64> = shared.collect();
    (!products.is_empty()).then(|| products.iter().sum())
}

/// All points that share a dimension with the query, best first.
fn ranked(model: &Model, query: &SparseVector, weight: impl Fn(u32) -> f64, keep: impl Fn(u64) -> bool) -> Vec<(u64, f64)> {
    let scored = model.iter().filter(|(id, _)| keep(**id)).filter_map(|(id, vector)| Some((*id, dot(query, vector, &weight)?)));
    let mut all: Vec<(u64, f64)> = scored.collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

fn request(target: impl Into<SearchTarget>, limit: usize) -> QueryRequest {
    let mut request = QueryRequest::new(Query::Nearest { target: target.into(), mmr: None });
    request.using = "words".to_owned();
    request.limit = limit;
    request
}

fn assert_ranking(found: &[ScoredPoint], wanted: &[(u64, f64)], limit: usize) {
    assert_eq!(found.len(), wanted.len().min(limit));
    let scores: HashMap<u64, f64> = wanted.iter().copied().collect();
    for (hit, (_, score)) in found.iter().zip(wanted) {
        let PointId::Num(id) = hit.id else { panic!("numbers only") };
        assert!((f64::from(hit.score) - score).abs() < 1e-5 * score.abs().max(1.0), "{} for {score}", hit.score);
        assert!((scores[&id] - score).abs() < 1e-5 * score.abs().max(1.0), "point {id} is elsewhere");
    }
}

fn compare(points: &Collection, random: &mut Random, model: &Model, sign: f32) {
    for round in 0..30 {
        let query = vector(random, sign);
        let limit = [1, 10, 50][round % 3];
        let mut request = request(Vector::from(query.clone()), limit);
        let found = points.query_points(&request).expect("works");
        assert_ranking(&found, &ranked(model, &query, |_| 1.0, |_| true), limit);
        let most = random.below(100);
        request.filter = Some(field("n").lt(most as f64));
        let found = points.query_points(&request).expect("works");
        assert_ranking(&found, &ranked(model, &query, |_| 1.0, |id| id % 100 < most), limit);
    }
}

fn world(fs: &std::sync::Arc<MemFs>, modifier: Modifier) -> (Database, Collection) {
    let db = manual(fs.clone());
    let points = db.collection("points").config(config(modifier)).create().expect("works");
    (db, points)
}

/// Growing, sealed, merged, with dead rows and opened again: the same answers, with and without an index on the filter's field.
fn life(sign: f32) {
    let fs = std::sync::Arc::new(MemFs::default());
    let (db, points) = world(&fs, Modifier::None);
    let (mut random, mut model) = (Random::new(11), Model::new());
    fill(&points, &mut random, 0..1500, &mut model, sign);
    compare(&points, &mut random, &model, sign);
    points.optimize().expect("works");
    compare(&points, &mut random, &model, sign);
    fill(&points, &mut random, 1200..2000, &mut model, sign);
    points.delete((0..300).map(PointId::from).collect::<Vec<_>>()).expect("works");
    model.retain(|id, _| *id >= 300);
    points.apply([Update::DeleteVectors { target: Target::from([700u64, 701]), names: vec!["words".into()] }]).expect("works");
    model.retain(|id, _| *id != 700 && *id != 701);
    compare(&points, &mut random, &model, sign);
    points.create_index("n", FieldSchema::integer()).expect("works");
    compare(&points, &mut random, &model, sign);
    points.optimize().expect("works");
    compare(&points, &mut random, &model, sign);
    points.verify().expect("whole");
    drop((points, db));
    let points = manual(fs).collection("points").open().expect("works");
    compare(&points, &mut random, &model, sign);
    assert_eq!(points.count(Some(&Filter::must([Condition::HasVector("words".into())])), true).expect("works"), model.len() as u64);
    let record = &points.retrieve(&[PointId::Num(400)], &false.into(), &true.into()).expect("works")[0];
    let stored = record.vectors.as_ref().and_then(|vectors| vectors.get("words")).and_then(Vector::as_sparse);
    assert_eq!(stored, model.get(&400));
}

#[test]
fn searches_find_the_largest_products() {
    life(1.0);
}

#[test]
fn searches_with_negative_numbers_find_the_largest_products() {
    life(-1.0);
}

#[test]
fn rare_dimensions_weigh_more() {
    let fs = std::sync::Arc::new(MemFs::default());
    let (_db, points) = world(&fs, Modifier::Idf);
    let (mut random, mut model) = (Random::new(3), Model::new());
    fill(&points, &mut random, 0..800, &mut model, 1.0);
    points.upsert([Point::new(9000u64, vec![0.0; 4])]).expect("works");
    let check = |points: &Collection, model: &Model, random: &mut Random| {
        let query = vector(random, 1.0);
        let weight = |corpus: &dyn Fn(u64) -> bool| {
            let vectors: Vec<&SparseVector> = model.iter().filter(|(id, _)| corpus(**id)).map(|(_, vector)| vector).collect();
            let count = |index: u32| vectors.iter().filter(|vector| vector.indices().contains(&index)).count() as f64;
            let weights: HashMap<u32, f64> = query
                .indices()
                .iter()
                .map(|&index| (index, ((vectors.len() as f64 - count(index) + 0.5) / (count(index) + 0.5)).ln_1p()))
                .collect();
            move |index: u32| weights[&index]
        };
        let mut request = request(Vector::from(query.clone()), 10);
        let found = points.query_points(&request).expect("works");
        assert_ranking(&found, &ranked(model, &query, weight(&|_| true), |_| true), 10);
        request.params.idf_corpus = Some(field("n").lt(30.0));
        let found = points.query_points(&request).expect("works");
        assert_ranking(&found, &ranked(model, &query, weight(&|id| id % 100 < 30), |_| true), 10);
    };
    check(&points, &model, &mut random);
    points.optimize().expect("works");
    check(&points, &model, &mut random);
    fill(&points, &mut random, 700..900, &mut model, 1.0);
    points.delete([5u64, 6, 7]).expect("works");
    model.retain(|id, _| !(5..8).contains(id));
    check(&points, &model, &mut random);
    points
        .update_config(&ConfigDiff {
            sparse_vectors: [("words".to_owned(), SparseVectorParams { modifier: Some(Modifier::None), ..Default::default() })].into(),
            ..ConfigDiff::default()
        })
        .expect("works");
    compare(&points, &mut random, &model, 1.0);
}

#[test]
fn lists_that_are_damaged_or_gone_change_no_answer() {
    let fs = std::sync::Arc::new(MemFs::default());
    let (db, points) = world(&fs, Modifier::Idf);
    let (mut random, mut model) = (Random::new(5), Model::new());
    fill(&points, &mut random, 0..600, &mut model, 1.0);
    points.optimize().expect("works");
    let asked: Vec<QueryRequest> = (0..20).map(|_| request(Vector::from(vector(&mut random, 1.0)), 600)).collect();
    let answers = |points: &Collection| -> Vec<Vec<(PointId, u32)>> {
        let rounded = |hits: Vec<ScoredPoint>| {
            let mut hits: Vec<(PointId, u32)> = hits.into_iter().map(|hit| (hit.id, (hit.score * 1e3).round() as u32)).collect();
            hits.sort();
            hits
        };
        asked.iter().map(|request| rounded(points.query_points(request).expect("works"))).collect()
    };
    let before = answers(&points);
    drop((points, db));
    let mut damaged = 0;
    let segments = Path::new("db/collections/0000000000/segments");
    for segment in fs.list(segments).expect("works") {
        let file = segments.join(segment).join("postings-0");
        if fs.len(&file).expect("works").is_some() {
            fs.open(&file).and_then(|file| file.write_at(100, &[0xFF; 8])).expect("works");
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let points = manual(fs).collection("points").open().expect("works");
    assert_eq!(answers(&points), before);
}

#[test]
fn sparse_vectors_come_and_go() {
    let fs = std::sync::Arc::new(MemFs::default());
    let (_db, points) = world(&fs, Modifier::None);
    let (mut random, mut model) = (Random::new(8), Model::new());
    fill(&points, &mut random, 0..200, &mut model, 1.0);
    points.optimize().expect("works");
    points.apply([Update::DropVector { name: "words".into() }]).expect("works");
    let gone = points.query_points(&request(Vector::from(vector(&mut random, 1.0)), 5));
    assert!(matches!(gone, Err(Error::VectorNotFound { .. })), "{gone:?}");
    let params = SparseVectorParams { index: Some(SparseIndexParams { on_disk: Some(true), ..Default::default() }), modifier: None };
    points.apply([Update::CreateSparseVector { name: "words".into(), params }]).expect("works");
    assert!(points.query_points(&request(Vector::from(vector(&mut random, 1.0)), 5)).expect("works").is_empty());
    model.clear();
    fill(&points, &mut random, 100..400, &mut model, 1.0);
    compare(&points, &mut random, &model, 1.0);
    points.optimize().expect("works");
    compare(&points, &mut random, &model, 1.0);
}

#[test]
fn bad_sparse_vectors_are_refused_and_nothing_is_written() {
    let fs = std::sync::Arc::new(MemFs::default());
    let (db, points) = world(&fs, Modifier::None);
    let good = SparseVector::new(vec![1], vec![1.0]).expect("works");
    for (indices, values) in [(vec![1, 1], vec![1.0, 2.0]), (vec![1], vec![1.0, 2.0])] {
        assert_eq!(SparseVector::new(indices, values).map_err(|error| error.kind()), Err(ErrorKind::Invalid));
    }
    let refused = |vector: Vector, name: &str| {
        let bad = Point::bare(2u64).vector(name, vector);
        let error = points.upsert([point(1, &good), bad]).expect_err("is refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("point 2"), "{error}");
    };
    refused(SparseVector::new(vec![1], vec![f32::NAN]).expect("works").into(), "words");
    refused(vec![1.0, 2.0, 3.0, 4.0].into(), "words");
    refused(good.clone().into(), "");
    assert_eq!(points.count(None, true).expect("works"), 0);
    let wrong = points.query_points(&request(vec![1.0, 2.0, 3.0, 4.0], 5));
    assert!(matches!(wrong, Err(Error::WrongVectorKind { .. })), "{wrong:?}");
    let mut both = config(Modifier::None);
    both.vectors.insert("words".to_owned(), VectorParams::new(4, Distance::Dot));
    assert!(matches!(db.collection("other").config(both).create(), Err(Error::InvalidConfig { .. })));
    let unknown = ConfigDiff { vectors: [("words".to_owned(), VectorDiff::default())].into(), ..ConfigDiff::default() };
    assert!(matches!(points.update_config(&unknown), Err(Error::VectorNotFound { .. })));
    let json = json!({"query": {"indices": [1, 2], "values": [1.0]}, "using": "words"});
    assert!(QueryRequest::from_json(&json).is_err());
}
