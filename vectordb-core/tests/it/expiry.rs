//! Points that expire, and vectors and records of other collections.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;
use vectordb_core::{
    Background, Clock, Collection, CollectionConfig, ConfigDiff, Database, DateTime, Distance, Error, FacetRequest, FieldSchema,
    GroupLookup, GroupsRequest, LookupLocation, MemFs, Options, Point, PointId, Prefetch, Query, QueryRequest, ScrollRequest, field,
};

const SECOND: i64 = 1_000_000;

/// A database whose clock is set by hand.
fn world(fs: &Arc<MemFs>, now: &Arc<AtomicI64>) -> Database {
    let now = Arc::clone(now);
    let clock = Clock::new(move || DateTime(now.load(Ordering::Relaxed)));
    let options = Options::default().fs(fs.clone()).background(Background::Manual).threads(1).clock(clock);
    Database::open_with("db", options).expect("it opens")
}

fn at(seconds: i64) -> String {
    DateTime(seconds * SECOND).to_string()
}

fn seen(points: &Collection) -> Vec<u64> {
    let number = |id: &PointId| if let PointId::Num(id) = id { *id } else { 0 };
    let mut found = Vec::new();
    let mut request = QueryRequest::new(Query::from([1.0, 0.0]));
    request.limit = 100;
    for exact in [false, true] {
        request.params.exact = exact;
        found.push(points.query_points(&request).expect("works").iter().map(|hit| number(&hit.id)).collect::<Vec<_>>());
    }
    let page = points.scroll(&ScrollRequest { limit: 100, ..ScrollRequest::default() }).expect("works");
    found.push(page.records.iter().map(|record| number(&record.id)).collect());
    let all: Vec<PointId> = (0..40u64).map(PointId::Num).collect();
    found.push(points.get(&all).expect("works").iter().map(|record| number(&record.id)).collect());
    found.iter_mut().for_each(|ids| ids.sort_unstable());
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
    assert_eq!(points.count(None, true).expect("works"), found[0].len() as u64);
    let counted = points.facet(&FacetRequest {
        key: "n".parse().expect("a path"),
        filter: None,
        limit: 100,
        exact: true,
        budget: Default::default(),
    });
    assert_eq!(counted.expect("works").len(), found[0].len());
    found.swap_remove(0)
}

#[test]
fn expired_points_are_in_no_answer_and_go_with_the_next_maintenance() {
    let (fs, now) = (Arc::new(MemFs::default()), Arc::new(AtomicI64::new(100 * SECOND)));
    let db = world(&fs, &now);
    let config = CollectionConfig { ttl_field: Some("meta.until".into()), ..CollectionConfig::unnamed(2, Distance::Dot) };
    let points = db.create_collection("points", config).expect("works");
    points.create_index("n", FieldSchema::integer()).expect("works");
    assert!(points.config().payload_schema.contains_key("meta.until"));
    let point = |id: u64| {
        let point = Point::new(id, [1.0, id as f32]).with("n", id);
        // The last ten live for ever.
        if id < 30 { point.with("meta", json!({"until": at(100 + i64::try_from(id).expect("small"))})) } else { point }
    };
    points.upsert((0..20).map(point)).expect("works");
    points.optimize().expect("works");
    points.upsert((20..40).map(point)).expect("works");
    assert_eq!(seen(&points), (1..40).collect::<Vec<_>>());
    now.store(110 * SECOND + 3, Ordering::Relaxed);
    assert_eq!(seen(&points), (11..40).collect::<Vec<_>>());
    let by_id = points.query_points(&QueryRequest::new(Query::from(PointId::Num(5))));
    assert!(matches!(by_id, Err(Error::PointNotFound { .. })), "{by_id:?}");
    let mut nothing = QueryRequest::new(Query::from([1.0, 0.0]));
    nothing.filter = Some(field("n").lt(11.0));
    assert!(points.query_points(&nothing).expect("works").is_empty());
    now.store(125 * SECOND, Ordering::Relaxed);
    points.optimize().expect("works");
    let rows = |points: &Collection| points.info().expect("works").points;
    assert_eq!((seen(&points).len(), rows(&points)), (14, 14));
    // Deleted for good: turning the clock back brings nothing back.
    now.store(0, Ordering::Relaxed);
    assert_eq!(seen(&points).len(), 14);
    drop((points, db));
    let points = world(&fs, &now).get("points").expect("works");
    assert_eq!(seen(&points).len(), 14);
    now.store(1000 * SECOND, Ordering::Relaxed);
    assert_eq!(seen(&points), (30..40).collect::<Vec<_>>());
    points.update_config(&ConfigDiff { ttl_field: Some(None), ..ConfigDiff::default() }).expect("works");
    assert_eq!(seen(&points).len(), 14);
    let bad = ConfigDiff { ttl_field: Some(Some("n".into())), ..ConfigDiff::default() };
    assert!(matches!(points.update_config(&bad), Err(Error::InvalidConfig { .. })));
}

#[test]
fn vectors_and_records_of_other_collections_are_looked_up() {
    let db = Database::in_memory().expect("works");
    let make = |name: &str| db.create_collection(name, CollectionConfig::unnamed(2, Distance::Dot)).expect("works");
    let (points, users, texts) = (make("points"), make("users"), make("texts"));
    let mut wide = CollectionConfig::default();
    wide.vectors.insert("taste".into(), vectordb_core::VectorParams::new(2, Distance::Dot));
    let tastes = db.create_collection("tastes", wide).expect("works");
    points.upsert((0..20u64).map(|id| Point::new(id, [id as f32, 20.0 - id as f32]).with("text", id % 4))).expect("works");
    users.upsert([Point::new(3u64, [0.0, 1.0])]).expect("works");
    tastes.upsert([Point::bare(3u64).vector("taste", [1.0, 0.0])]).expect("works");
    texts.upsert((0..3u64).map(|id| Point::new(id, [0.0, 0.0]).with("title", format!("text {id}")))).expect("works");
    let mut request = QueryRequest::new(Query::from(PointId::Num(3)));
    let first = |request: &QueryRequest| points.query_points(request).expect("works")[0].id.clone();
    request.lookup_from = Some(LookupLocation { collection: "users".into(), vector: String::new() });
    assert_eq!(first(&request), PointId::Num(0));
    request.lookup_from = Some(LookupLocation { collection: "tastes".into(), vector: "taste".into() });
    assert_eq!(first(&request), PointId::Num(19));
    let lookup_from = request.lookup_from.clone();
    let mut fused = QueryRequest::new(Query::Dbsf);
    fused.prefetch = vec![Prefetch { query: Some(PointId::Num(3).into()), lookup_from, ..Prefetch::default() }];
    assert_eq!(first(&fused), PointId::Num(19));
    for (collection, vector) in [("nowhere", ""), ("users", "taste")] {
        request.lookup_from = Some(LookupLocation { collection: collection.into(), vector: vector.into() });
        assert!(points.query_points(&request).is_err());
    }
    let json = json!({"query": [0.0, 1.0], "group_by": "text", "group_size": 1, "limit": 4, "with_lookup": "texts"});
    let groups = points.groups(&GroupsRequest::from_json(&json).expect("works")).expect("works");
    let titles: Vec<Option<String>> = groups
        .iter()
        .map(|group| group.lookup.as_ref().and_then(|record| Some(record.payload.as_ref()?.get("title")?.as_str()?.to_owned())))
        .collect();
    assert_eq!(titles, [Some("text 0".to_owned()), Some("text 1".to_owned()), Some("text 2".to_owned()), None]);
    let mut request = GroupsRequest::from_json(&json).expect("works");
    let to = |collection: &str| GroupLookup { collection: collection.into(), with_payload: true.into(), with_vectors: false.into() };
    request.with_lookup = Some(to("nowhere"));
    assert!(matches!(points.groups(&request), Err(Error::CollectionNotFound { .. })));
    let parsed = GroupsRequest::from_json(&json!({"group_by": "a", "with_lookup": {"collection": "texts"}})).expect("works");
    assert_eq!(parsed.with_lookup, Some(to("texts")));
}
