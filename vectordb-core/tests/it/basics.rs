//! One behaviour a test, on the operating system's file system.

use std::sync::Arc;

use serde_json::json;
use vectordb_core::*;

use crate::support::{Random, manual, small_segments};

fn docs(db: &Database) -> Collection {
    db.collection("docs").dim(3).distance(Distance::Euclid).open_or_create().expect("the collection opens")
}

fn ids(hits: &[ScoredPoint]) -> Vec<String> {
    hits.iter().map(|hit| hit.id.to_string()).collect()
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Database::open(dir.path()).expect("a new directory opens");
    let collection = docs(&db);
    collection
        .upsert([
            Point::new(1, [0.0, 0.0, 1.0]).with("lang", "en"),
            Point::new("doc-2", [0.0, 1.0, 0.0]).with("lang", "de"),
            Point::new("936da01f9abd4d9d80c702af85c822a8", [1.0, 0.0, 0.0]),
        ])
        .expect("good points are taken");
    collection.delete([PointId::from("doc-2")]).expect("deleting works");
    let before = collection.search([1.0, 0.0, 0.1]).run().expect("searching works");
    assert_eq!(ids(&before), ["936da01f-9abd-4d9d-80c7-02af85c822a8", "1"]);
    drop((collection, db));

    let db = Database::open(dir.path()).expect("it opens again");
    assert_eq!(db.collections(), ["docs"]);
    let after = docs(&db).search([1.0, 0.0, 0.1]).run().expect("searching works");
    assert_eq!(before, after);
    assert_eq!(after[1].payload, Some(json!({"lang": "en"}).as_object().expect("an object").clone()));
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Database::open(dir.path()).expect("a new directory opens");
    match Database::open(dir.path()) {
        Err(Error::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    db.close().expect("closing works");
    assert!(Database::open(dir.path()).is_ok());
}

#[test]
fn readers_follow_the_writer() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Database::open_with(dir.path(), Options::default().background(Background::Manual)).expect("it opens");
    let collection = db.create_collection("docs", small_segments(4, Distance::Dot)).expect("it is made");
    let reader = Database::open_read_only(dir.path()).expect("a reader opens beside it");
    let copy = reader.get("docs").expect("the reader sees it");
    let mut random = Random::new(1);
    for round in 0..30u64 {
        collection.upsert((0..20).map(|n| Point::new(round * 20 + n, random.vector(4)))).expect("good points");
        if round % 3 == 0 {
            collection.optimize().expect("optimizing works");
        }
        reader.refresh().expect("refreshing works");
        assert_eq!(copy.count(None, true).expect("counting works"), (round + 1) * 20);
    }
    assert!(matches!(copy.delete([PointId::from(1)]), Err(Error::ReadOnly)));
    db.create_collection("more", CollectionConfig::unnamed(2, Distance::Dot)).expect("it is made");
    reader.refresh().expect("refreshing works");
    assert_eq!(reader.collections(), ["docs", "more"]);
    db.drop_collection("docs").expect("it is dropped");
    reader.refresh().expect("refreshing works");
    assert!(matches!(copy.count(None, true), Err(Error::Closed { .. })));
}

#[test]
fn bad_vectors_are_refused_and_nothing_of_their_batch_is_written() {
    let db = Database::in_memory().expect("memory is there");
    let collection = docs(&db);
    let good = Point::new(1, [0.0; 3]);
    type Expected = fn(&Error) -> bool;
    let bad: Vec<(Point, Expected)> = vec![
        (Point::new(2, [0.0; 2]), |error| matches!(error, Error::DimensionMismatch { expected: 3, actual: 2, .. })),
        (Point::new(2, Vec::new()), |error| matches!(error, Error::DimensionMismatch { actual: 0, .. })),
        (Point::new(2, [0.0, f32::NAN, 0.0]), |error| matches!(error, Error::InvalidVector { dimension: 1, .. })),
        (Point::new(2, [0.0, 0.0, f32::INFINITY]), |error| matches!(error, Error::InvalidVector { dimension: 2, .. })),
        (Point::bare(2).vector("nope", [0.0; 3]), |error| matches!(error, Error::VectorNotFound { .. })),
        (Point::new("x".repeat(257), [0.0; 3]), |error| matches!(error, Error::InvalidName { .. })),
        (Point::new("", [0.0; 3]), |error| matches!(error, Error::InvalidName { .. })),
    ];
    for (point, expected) in bad {
        let error = collection.upsert([good.clone(), point]).expect_err("a bad point is refused");
        assert!(expected(&error), "{error:?}");
        assert_eq!(error.kind() == ErrorKind::Invalid, !matches!(error, Error::VectorNotFound { .. }));
        assert_eq!(collection.count(None, true).expect("counting works"), 0);
    }
    for query in [vec![0.0; 2], vec![], vec![0.0, f32::NAN, 0.0], vec![0.0, 0.0, f32::NEG_INFINITY]] {
        assert!(collection.search(query).run().is_err());
    }
    assert!(matches!(collection.search([0.0; 3]).using("nope").run(), Err(Error::VectorNotFound { .. })));
    assert!(matches!(collection.search(PointId::from(99)).run(), Err(Error::PointNotFound { .. })));
    assert!(matches!(collection.search([0.0; 3]).limit(usize::MAX).run(), Err(Error::LimitExceeded { .. })));
    collection.upsert([good]).expect("the next good call works");
}

#[test]
fn absurd_configurations_are_refused() {
    let db = Database::in_memory().expect("memory is there");
    for dim in [0, 65_537, usize::MAX] {
        let error = db.collection("c").dim(dim).create().expect_err("no such dimension");
        assert!(matches!(error, Error::InvalidConfig { ref field, .. } if field == "vectors.size"), "{error}");
    }
    for name in ["", "a/b", "..\\x", "a:b", &"x".repeat(301)] {
        assert!(matches!(db.collection(name).dim(2).create(), Err(Error::InvalidName { .. })), "{name}");
    }
    let mut config = CollectionConfig::unnamed(2, Distance::Dot);
    config.hnsw_config.ef_construct = 3;
    assert!(matches!(db.create_collection("c", config), Err(Error::InvalidConfig { .. })));
    db.collection("..").dim(2).create().expect("a name is never a path");
    assert_eq!(db.collections(), [".."]);
}

#[test]
fn collections_of_nothing_one_and_two_points_work() {
    let fs = Arc::new(MemFs::default());
    let db = manual(fs);
    for distance in [Distance::Cosine, Distance::Dot, Distance::Euclid, Distance::Manhattan] {
        let collection = db.create_collection(&format!("{distance:?}"), small_segments(3, distance)).expect("it is made");
        for points in 0..3u64 {
            if points > 0 {
                // The first vector is zero, the second the same as the query.
                collection.upsert([Point::new(points, [points as f32 - 1.0; 3])]).expect("a good point");
            }
            for _ in 0..2 {
                let hits = collection.search([1.0; 3]).run().expect("searching works");
                assert_eq!(hits.len() as u64, points);
                assert!(hits.iter().all(|hit| hit.score.is_finite()));
                collection.optimize().expect("optimizing works");
            }
        }
    }
}

#[test]
fn duplicates_all_come_back() {
    let db = manual(Arc::new(MemFs::default()));
    let collection = db.create_collection("c", small_segments(4, Distance::Euclid)).expect("it is made");
    collection.upsert((0..500u64).map(|id| Point::new(id, [1.0; 4]))).expect("good points");
    collection.optimize().expect("optimizing works");
    for limit in [1, 10, 200, 500, 1000] {
        assert_eq!(collection.search([1.0; 4]).limit(limit).run().expect("searching works").len(), limit.min(500));
    }
    assert_eq!(ids(&collection.search([1.0; 4]).exact(true).limit(3).run().expect("searching works")), ["0", "1", "2"]);
}

#[test]
fn scores_are_the_users_numbers_and_thresholds_follow_them() {
    let db = Database::in_memory().expect("memory is there");
    let cases = [
        (Distance::Cosine, [1.0, 0.0], 0.5),
        (Distance::Dot, [5.0, 0.0], 3.0),
        (Distance::Euclid, [0.0, 5.0], 6.0),
        (Distance::Manhattan, [0.0, 7.0], 8.0),
    ];
    for (distance, expected, threshold) in cases {
        let collection = db.collection(&format!("{distance:?}")).dim(2).distance(distance).create().expect("it is made");
        collection.upsert([Point::new(1, [3.0, 4.0]), Point::new(2, [-4.0, 3.0])]).expect("good points");
        let query = if distance.larger_is_closer() { [0.6, 0.8] } else { [3.0, 4.0] };
        let hits = collection.search(query).run().expect("searching works");
        let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
        let want = if distance == Distance::Euclid {
            [0.0, 50f32.sqrt()]
        } else if distance == Distance::Manhattan {
            [0.0, 8.0]
        } else {
            expected
        };
        assert!(scores.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{distance:?}: {scores:?}");
        let kept = collection.search(query).score_threshold(threshold).run().expect("searching works");
        assert_eq!(kept.len(), if distance == Distance::Manhattan { 2 } else { 1 }, "{distance:?}");
    }
}

#[test]
fn small_elements_work_in_every_segment() {
    let db = manual(Arc::new(MemFs::default()));
    for datatype in [Datatype::Float16, Datatype::Uint8] {
        let mut config = small_segments(8, Distance::Euclid);
        config.vectors.insert(String::new(), VectorParams::new(8, Distance::Euclid).datatype(datatype));
        let collection = db.create_collection(&format!("{datatype:?}"), config).expect("it is made");
        let mut random = Random::new(3);
        let vectors: Vec<Vec<f32>> = (0..300).map(|_| (0..8).map(|_| random.below(200) as f32).collect()).collect();
        collection.upsert(vectors.iter().enumerate().map(|(id, vector)| Point::new(id as u64, vector.clone()))).expect("good points");
        for _ in 0..2 {
            let hits = collection.search(&vectors[17]).limit(1).with_vectors(true).run().expect("searching works");
            assert_eq!(hits[0].id, PointId::from(17));
            assert_eq!(hits[0].vectors.as_ref().and_then(|vectors| vectors.get("")), Some(&Vector::from(vectors[17].clone())));
            collection.optimize().expect("optimizing works");
        }
    }
    let collection = db.get("Uint8").expect("it is there");
    assert!(matches!(collection.upsert([Point::new(1, [256.0; 8])]), Err(Error::InvalidVector { .. })));
    assert!(matches!(collection.upsert([Point::new(1, [-1.0; 8])]), Err(Error::InvalidVector { .. })));
}

#[test]
fn named_vectors_come_and_go() {
    let db = manual(Arc::new(MemFs::default()));
    let collection = db.collection("c").vector("a", VectorParams::new(2, Distance::Dot)).create().expect("it is made");
    collection.upsert([Point::bare(1).vector("a", [1.0, 0.0]), Point::bare(2)]).expect("any vector is optional");
    collection.optimize().expect("optimizing works");
    let b = VectorParams::new(3, Distance::Euclid);
    collection.apply([Update::CreateVector { name: "b".into(), params: b.clone() }]).expect("a vector is added");
    collection
        .apply([Update::UpdateVectors { points: vec![(2.into(), Vectors::from_iter([("b", [1.0, 2.0, 3.0])]))], condition: None }])
        .expect("a vector is set");
    for _ in 0..2 {
        assert_eq!(ids(&collection.search([1.0, 2.0, 3.0]).using("b").run().expect("searching works")), ["2"]);
        assert_eq!(ids(&collection.search([1.0, 1.0]).using("a").run().expect("searching works")), ["1"]);
        collection.optimize().expect("optimizing works");
    }
    collection.apply([Update::DropVector { name: "a".into() }]).expect("a vector is dropped");
    assert!(matches!(collection.search([1.0, 1.0]).using("a").run(), Err(Error::VectorNotFound { .. })));
    // A new vector of the old name starts empty, whatever the files still hold.
    collection.apply([Update::CreateVector { name: "a".into(), params: VectorParams::new(2, Distance::Dot) }]).expect("it is added");
    for _ in 0..2 {
        assert!(collection.search([1.0, 1.0]).using("a").run().expect("searching works").is_empty());
        assert_eq!(collection.get(&[1.into()]).expect("it is there")[0].vectors.as_ref().map(Vectors::len), Some(0));
        collection.optimize().expect("optimizing works");
    }
    assert!(matches!(
        collection.apply([Update::UpdateVectors { points: vec![(9.into(), Vectors::default())], condition: None }]),
        Err(Error::PointNotFound { .. })
    ));
}

#[test]
fn deletes_give_disk_and_memory_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Database::open_with(dir.path(), Options::default().background(Background::Manual)).expect("it opens");
    let collection = db.create_collection("c", small_segments(64, Distance::Dot)).expect("it is made");
    let mut random = Random::new(5);
    collection.upsert((0..4000u64).map(|id| Point::new(id, random.vector(64)))).expect("good points");
    collection.optimize().expect("optimizing works");
    let full = collection.info().expect("info works");
    collection.delete(Target::Ids((0..3900u64).map(PointId::from).collect())).expect("deleting works");
    while collection.maintain().expect("maintenance works") {}
    collection.optimize().expect("optimizing works");
    let rest = collection.info().expect("info works");
    assert_eq!(rest.points, 100);
    assert!(rest.segments.iter().all(|segment| segment.deleted == 0), "{rest:?}");
    let sealed = |info: &CollectionInfo| -> u64 { info.segments.iter().filter(|s| s.kind == SegmentKind::Sealed).map(|s| s.bytes).sum() };
    assert!(sealed(&rest) * 10 < sealed(&full), "{} of {}", sealed(&rest), sealed(&full));
}

#[test]
fn a_search_by_id_leaves_the_point_out() {
    let db = Database::in_memory().expect("memory is there");
    let collection = docs(&db);
    collection.upsert((0..5u64).map(|id| Point::new(id, [id as f32; 3]))).expect("good points");
    assert_eq!(ids(&collection.search(PointId::from(2)).limit(2).run().expect("searching works")), ["1", "3"]);
}

#[test]
fn a_collection_is_dropped_while_jobs_write_its_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Database::open(dir.path().join("db")).expect("it opens");
    let mut random = Random::new(10);
    let mut busy = 0;
    for round in 0..40 {
        let mut config = small_segments(16, Distance::Dot);
        config.hnsw_config.ef_construct = 200;
        let collection = db.create_collection("c", config).expect("it is made");
        collection.upsert((0..1500u64).map(|id| Point::new(id, random.vector(16)))).expect("good points");
        std::thread::scope(|scope| {
            let optimizing = scope.spawn(|| collection.optimize());
            // At another moment of the job each time.
            std::thread::sleep(std::time::Duration::from_millis(round));
            busy += u32::from(collection.info().is_ok_and(|info| info.running_job.is_some()));
            assert!(db.drop_collection("c").expect("dropping works"));
            // It was done before, or is told that the collection is gone.
            let done = optimizing.join().expect("no panic");
            assert!(done.is_ok() || matches!(done, Err(Error::Closed { .. } | Error::Cancelled)), "{done:?}");
        });
        assert!(db.collections().is_empty());
    }
    println!("{busy} were dropped beside a job");
    let left = std::fs::read_dir(dir.path().join("db/collections")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "directories are left behind");
}

#[test]
fn snapshots_are_made_while_jobs_replace_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Database::open(dir.path().join("db")).expect("it opens");
    let collection = db.create_collection("c", small_segments(8, Distance::Dot)).expect("it is made");
    let mut random = Random::new(9);
    let everything = ScrollRequest { limit: 10_000, with_vectors: true.into(), ..ScrollRequest::default() };
    let points: Vec<Point> = (0..4000u64).map(|id| Point::new(id, random.vector(8)).with("n", id)).collect();
    let mut moments = Vec::new();
    std::thread::scope(|scope| {
        let jobs = scope.spawn(|| {
            for part in points.chunks(500) {
                collection.upsert(part.to_vec()).expect("good points");
                collection.optimize().expect("optimizing works");
            }
        });
        while !jobs.is_finished() && moments.len() < 200 {
            let snapshot = dir.path().join(format!("snapshot-{}", moments.len()));
            let before = collection.count(None, true).expect("counting works");
            collection.snapshot(&snapshot).expect("a snapshot is made");
            moments.push((snapshot, before, collection.count(None, true).expect("counting works")));
        }
        jobs.join().expect("the jobs do not panic");
    });
    assert!(moments.iter().any(|(_, _, after)| *after < 4000), "none was made before the end");
    for (at, (snapshot, before, after)) in moments.iter().enumerate() {
        let restored = db.restore(&format!("r{at}"), snapshot).expect("the snapshot is whole");
        let records = restored.scroll(&everything).expect("scrolling works").records;
        assert!((*before..=*after).contains(&(records.len() as u64)), "{before} {} {after}", records.len());
        for record in records {
            assert_eq!(record.payload.expect("it was asked for")["n"], serde_json::json!(record.id));
        }
        assert!(db.drop_collection(&format!("r{at}")).expect("dropping works"));
    }
}

#[test]
fn a_snapshot_keeps_its_moment() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = Database::open(dir.path().join("db")).expect("it opens");
    let collection = db.create_collection("c", small_segments(4, Distance::Dot)).expect("it is made");
    let mut random = Random::new(8);
    collection.upsert((0..300u64).map(|id| Point::new(id, random.vector(4)).with("n", id))).expect("good points");
    collection.optimize().expect("optimizing works");
    collection.upsert((300..350u64).map(|id| Point::new(id, random.vector(4)))).expect("good points");
    collection.delete([PointId::from(7)]).expect("deleting works");
    let snapshot = dir.path().join("snapshot");
    collection.snapshot(&snapshot).expect("a snapshot is made");
    let everything = ScrollRequest { limit: 1000, with_vectors: true.into(), ..ScrollRequest::default() };
    let before = collection.scroll(&everything).expect("scrolling works");
    collection.delete(Target::Filter(Filter::default())).expect("deleting works");
    collection.optimize().expect("optimizing works");
    assert_eq!(collection.count(None, true).expect("counting works"), 0);
    for name in ["restored", "again"] {
        let restored = db.restore(name, &snapshot).expect("the snapshot is whole");
        assert_eq!(restored.scroll(&everything).expect("scrolling works").records, before.records);
        restored.delete([PointId::from(8)]).expect("a restored collection takes writes");
        restored.verify().expect("its files are whole");
    }
    assert!(collection.snapshot(&snapshot).is_err(), "the directory is not empty");
}
