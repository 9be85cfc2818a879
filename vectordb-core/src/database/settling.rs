//! What is done once nobody writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Background, Collection, Database, Options};
use crate::collection::SegmentKind;
use crate::model::config::{CollectionConfig, Distance};
use crate::model::point::Point;
use crate::model::ranking::{Query, QueryRequest};
use crate::storage::fs::MemFs;

const DIM: usize = 1024;
const POINTS: u64 = 4_000;
/// Far more than it takes to seal some hundred points.
const MOST: Duration = Duration::from_secs(300);

fn vector(seed: u64) -> Vec<f32> {
    (0..DIM as u64).map(|at| ((seed * 7_919 + at * 104_729) as f32).sin()).collect()
}

fn opened(background: Background) -> (Database, Collection) {
    let options = Options::default().fs(Arc::new(MemFs::default())).background(background).threads(2);
    let db = Database::open_with("db", options).expect("it opens");
    let mut config = CollectionConfig::unnamed(DIM, Distance::Dot);
    config.optimizers_config.indexing_threshold = Some(1);
    config.hnsw_config.full_scan_threshold = 0;
    config.hnsw_config.ef_construct = 32;
    let points = db.create_collection("points", config).expect("it is made");
    (db, points)
}

/// Rows of the sealed segments, and of the others.
fn rows(points: &Collection) -> (Vec<u64>, u64) {
    let segments = points.info().expect("it is open").segments;
    let (sealed, others): (Vec<_>, Vec<_>) = segments.iter().partition(|segment| segment.kind == SegmentKind::Sealed);
    (sealed.iter().map(|segment| segment.rows).collect(), others.iter().map(|segment| segment.rows).sum())
}

#[test]
fn few_segments_are_left_and_they_have_every_point() {
    let (db, points) = opened(Background::Manual);
    for first in (0..POINTS).step_by(500) {
        points.upsert((first..first + 500).map(|id| Point::new(id, vector(id)).with("n", id))).expect("works");
        points.delete([first, first + 499]).expect("works");
        while points.maintain().expect("works") {}
    }
    let inner = Arc::clone(db.inner.open.read().get("points").expect("it is open"));
    let before = rows(&points);
    assert!(before.0.len() > 1 && before.1 > 0, "{before:?}");
    let answers = || {
        let ask = |seed| {
            let mut request = QueryRequest::new(Query::from(vector(seed)));
            request.params.exact = true;
            points.query_points(&request).expect("works")
        };
        (POINTS..POINTS + 20).map(ask).collect::<Vec<_>>()
    };
    let found = answers();
    inner.settle().expect("works");
    assert_eq!(rows(&points), before, "nobody knows yet whether somebody writes");
    inner.settle().expect("works");
    let (sealed, others) = rows(&points);
    assert!(sealed.len() == 1 && others == 0, "{sealed:?} {others}");
    assert_eq!(points.count(None, true).expect("works"), POINTS - 2 * (POINTS / 500));
    assert_eq!(answers(), found);

    points.upsert([Point::new(POINTS, vector(POINTS))]).expect("works");
    inner.settle().expect("works");
    inner.settle().expect("works");
    assert_eq!(rows(&points).1, 1, "a point is not worth a segment");
}

#[test]
fn the_background_settles_by_itself() {
    let (_db, points) = opened(Background::Thread);
    points.upsert((0..200).map(|id| Point::new(id, vector(id)))).expect("works");
    let started = Instant::now();
    while rows(&points).1 > 0 {
        assert!(started.elapsed() < MOST, "{:?}", rows(&points));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(points.count(None, true).expect("works"), 200);
}
