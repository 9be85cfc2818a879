//! Explanations, and recall that is asked for.

use std::collections::BTreeMap;

use vectordb_core::{
    Collection, Database, Distance, Error, FieldSchema, MemFs, Point, Prefetch, Query, QueryRequest, SparseVector, SparseVectorParams,
    Vector, Way, field,
};

use crate::support::{Random, manual, small_segments};

const DIM: usize = 12;
const POINTS: u64 = 4000;

fn world() -> (Database, Collection, Random) {
    let db = manual(std::sync::Arc::new(MemFs::default()));
    let mut config = small_segments(DIM, Distance::Euclid);
    config.sparse_vectors = BTreeMap::from([("words".to_owned(), SparseVectorParams::default())]);
    let points = db.collection("points").config(config).create().expect("works");
    points.create_index("n", FieldSchema::integer()).expect("works");
    let mut random = Random::new(77);
    let point = |id: u64| {
        let words = SparseVector::new(vec![(id % 50) as u32, 60], vec![1.0, 0.5]).expect("works");
        Point::new(id, random.vector(DIM))
            .vector("words", words)
            .with("n", id % 100)
            .with("lang", if id.is_multiple_of(2) { "en" } else { "fr" })
    };
    points.upsert((0..POINTS).map(point).collect::<Vec<_>>()).expect("works");
    points.optimize().expect("works");
    (db, points, random)
}

#[test]
fn a_plan_tells_way_and_numbers() {
    let (_db, points, mut random) = world();
    let mut request = QueryRequest::new(Query::from(random.vector(DIM)));
    request.filter = Some(field("n").lt(10.0));
    let explanation = points.explain(&request, true).expect("works");
    let plan = explanation.searches[0].segments[1];
    assert_eq!((plan.rows, plan.estimated, plan.matching, plan.indexed), (POINTS, POINTS / 10, Some(POINTS / 10), true));
    assert!(explanation.advice.is_empty() && explanation.searches[0].filtered && explanation.elapsed >= explanation.searches[0].elapsed);
    request.filter = Some(field("lang").eq("en") & field("n").lt(50.0));
    let explanation = points.explain(&request, true).expect("works");
    let plan = explanation.searches[0].segments[1];
    assert_eq!((plan.matching, plan.indexed), (Some(POINTS / 2 / 2), false));
    assert_eq!(explanation.advice, ["an index of kind `keyword` on `lang` would help"]);
    let unread = points.explain(&request, false).expect("works");
    assert_eq!(unread.searches[0].segments[1].matching, None);
}

#[test]
fn every_prefetch_is_a_search() {
    let (_db, points, mut random) = world();
    let words = SparseVector::new(vec![3, 60], vec![1.0, 1.0]).expect("works");
    let sparse = Prefetch { using: "words".into(), query: Some(Vector::from(words).into()), ..Prefetch::default() };
    let dense = Prefetch { query: Some(random.vector(DIM).into()), ..Prefetch::default() };
    let mut request = QueryRequest::new(Query::Dbsf);
    request.prefetch = vec![sparse, dense];
    let explanation = points.explain(&request, false).expect("works");
    let ways: Vec<Way> = explanation.searches.iter().map(|search| search.segments[1].way).collect();
    assert_eq!(ways, [Way::Lists, Way::Graph]);
    assert!(explanation.searches[0].segments[1].work.entries > 0);
    assert_eq!(points.query_points(&request).expect("works"), explanation.hits);
}

#[test]
fn the_recall_asked_for_is_given() {
    let (_db, points, mut random) = world();
    let queries: Vec<Vec<f32>> = (0..150).map(|_| random.vector(DIM)).collect();
    let mut lengths = Vec::new();
    let mut first = QueryRequest::new(Query::from(queries[0].clone()));
    first.params.recall = Some(0.9);
    let plain = QueryRequest::new(Query::from(queries[0].clone()));
    // Until the background has learned, a search goes by the list that searches without a wish have.
    assert_eq!(points.query_points(&first).expect("works"), points.query_points(&plain).expect("works"));
    assert!(points.maintain().expect("works") && !points.maintain().expect("works"));
    for wanted in [0.8, 0.9, 0.99] {
        let (mut found, mut all) = (0, 0);
        for query in &queries {
            let mut request = QueryRequest::new(Query::from(query.clone()));
            request.params.exact = true;
            let truth = points.query_points(&request).expect("works");
            request.params.exact = false;
            request.params.recall = Some(wanted);
            let explanation = points.explain(&request, false).expect("works");
            assert_eq!(explanation.searches[0].recall, Some(wanted));
            lengths.push(explanation.searches[0].segments[1].ef);
            found += explanation.hits.iter().filter(|hit| truth.iter().any(|other| other.id == hit.id)).count();
            all += truth.len();
        }
        let given = found as f64 / all as f64;
        assert!(given >= wanted - 0.03, "{given} for {wanted}");
    }
    assert!(lengths.is_sorted() && lengths.first() < lengths.last(), "{lengths:?}");
    let mut request = QueryRequest::new(Query::from(queries[0].clone()));
    request.params.recall = Some(1.0);
    assert_eq!(points.explain(&request, false).expect("works").searches[0].segments[1].way, Way::Scan);
    for bad in [0.0, 1.5, f64::NAN, -1.0] {
        request.params.recall = Some(bad);
        assert!(matches!(points.query_points(&request), Err(Error::InvalidQuery { .. })));
    }
}

#[test]
fn what_was_learned_outlives_its_process() {
    let fs = std::sync::Arc::new(MemFs::default());
    let mut random = Random::new(78);
    let db = manual(fs.clone());
    let points = db.collection("points").config(small_segments(DIM, Distance::Euclid)).create().expect("works");
    points.upsert((0..POINTS).map(|id| Point::new(id, random.vector(DIM))).collect::<Vec<_>>()).expect("works");
    points.optimize().expect("works");
    let mut request = QueryRequest::new(Query::from(random.vector(DIM)));
    request.params.recall = Some(0.8);
    let length = |points: &Collection| {
        let explanation = points.explain(&request, false).expect("works");
        explanation.searches[0].segments.iter().map(|segment| segment.ef).max()
    };
    let unlearned = length(&points);
    assert!(points.maintain().expect("works"));
    let learned = length(&points);
    assert!(learned < unlearned, "{learned:?} {unlearned:?}");
    points.verify().expect("works");
    drop((points, db));
    let db = manual(fs);
    let points = db.get("points").expect("works");
    assert_eq!(length(&points), learned);
    assert!(!points.maintain().expect("works"));
}

#[test]
fn the_recall_asked_for_is_given_for_filters_by_subject() {
    let (subjects, dim) = (24, 16);
    let db = manual(std::sync::Arc::new(MemFs::default()));
    let points = db.collection("points").config(small_segments(dim, Distance::Euclid)).create().expect("works");
    points.create_index("subject", FieldSchema::integer()).expect("works");
    let mut random = Random::new(79);
    let centers: Vec<Vec<f32>> = (0..subjects).map(|_| random.vector(dim)).collect();
    let about = |random: &mut Random, subject: u64| -> Vec<f32> {
        centers[subject as usize].iter().zip(random.vector(dim)).map(|(center, noise)| center + 0.8 * noise).collect()
    };
    let point = |id: u64| Point::new(id, about(&mut random, id % subjects)).with("subject", id % subjects);
    points.upsert((0..2 * POINTS).map(point).collect::<Vec<_>>()).expect("works");
    points.optimize().expect("works");
    let queries: Vec<Vec<f32>> = (0..200).map(|query| about(&mut random, query % subjects)).collect();
    let ask = |query: &[f32], recall: Option<f64>, below: u64| {
        let mut request = QueryRequest::new(Query::from(query.to_vec()));
        request.filter = Some(field("subject").lt(below as f64));
        request.params.exact = recall.is_none();
        request.params.recall = recall;
        points.explain(&request, false).expect("works")
    };
    ask(&queries[0], Some(0.9), subjects);
    assert!(points.maintain().expect("works") && !points.maintain().expect("works"));
    for learned in ["points", "queries"] {
        for (below, wanted) in [(subjects / 2, 0.9), (subjects / 2, 0.98), (subjects / 8, 0.9), (subjects / 8, 0.98)] {
            let (mut found, mut all) = (0, 0);
            for query in &queries[..100] {
                let truth = ask(query, None, below).hits;
                let hits = ask(query, Some(wanted), below).hits;
                found += hits.iter().filter(|hit| truth.iter().any(|other| other.id == hit.id)).count();
                all += truth.len();
            }
            let given = f64::from(found as u32) / all as f64;
            assert!(given >= wanted - 0.02, "{given} for {wanted} of subjects below {below}, learned from {learned}");
        }
        // One query is one however often it is asked.
        assert_eq!(points.maintain().expect("works"), learned == "points");
        assert!(!points.maintain().expect("works"));
    }
}
