//! What the background does once nobody writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vectordb_core::{Database, Distance, MemFs, Options, Point, Query, QueryRequest, SegmentKind};

use super::support::{Random, small_segments};

const DIM: usize = 1024;
const POINTS: u64 = 4_000;
/// Far more than it takes.
const MOST: Duration = Duration::from_secs(120);

#[test]
fn few_segments_are_left_once_nobody_writes_and_they_have_every_point() {
    let db = Database::open_with("db", Options::default().fs(Arc::new(MemFs::default())).threads(2)).expect("it opens");
    let points = db.create_collection("points", small_segments(DIM, Distance::Dot)).expect("it is made");
    let mut random = Random::new(7);
    for first in (0..POINTS).step_by(500) {
        let batch: Vec<Point> = (first..first + 500).map(|id| Point::new(id, random.vector(DIM)).with("n", id)).collect();
        points.upsert(batch).expect("works");
        // The last of a segment and the first of the next one, so that both have dead rows.
        points.delete([first, first + 499]).expect("works");
    }
    let queries: Vec<QueryRequest> = (0..20)
        .map(|_| {
            let mut request = QueryRequest::new(Query::from(random.vector(DIM)));
            request.params.exact = true;
            request
        })
        .collect();
    let answers = || queries.iter().map(|query| points.query_points(query).expect("works")).collect::<Vec<_>>();
    let before = answers();
    let started = Instant::now();
    loop {
        let info = points.info().expect("it is open");
        let (sealed, others): (Vec<_>, Vec<_>) = info.segments.iter().partition(|segment| segment.kind == SegmentKind::Sealed);
        if sealed.len() == 1 && others.iter().all(|segment| segment.rows == 0) {
            assert!(sealed[0].indexed);
            break;
        }
        assert!(started.elapsed() < MOST, "{:?}", info.segments);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(points.count(None, true).expect("works"), POINTS - 2 * (POINTS / 500));
    assert_eq!(answers(), before);
}
