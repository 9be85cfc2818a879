//! What the engine says of its memory, and that it keeps to what it may take.

use serde_json::json;
use vectordb_core::sizing::{IndexedField, Workload, estimate};
use vectordb_core::*;

use crate::support::Random;

/// A database in a directory, without background work, that may take so much memory.
fn open(dir: &tempfile::TempDir, limit: MemoryLimit) -> Database {
    let options = Options::default().background(Background::Manual).threads(2).memory_limit(limit);
    Database::open_with(dir.path().join("db"), options).expect("the database opens")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Points in a few clusters, with a number and a word.
fn points(from: u64, count: u64, dim: usize) -> Vec<Point> {
    let mut random = Random::new(from + 1);
    let centers: Vec<Vec<f32>> = (0..20).map(|center| Random::new(1000 + center).vector(dim)).collect();
    let vector =
        |id: u64, random: &mut Random| centers[id as usize % 20].iter().map(|value| value + 0.3 * random.float()).collect::<Vec<_>>();
    (from..from + count)
        .map(|id| Point::new(id, vector(id, &mut random)).with("n", id % 1000).with("word", format!("word {}", id % 50)))
        .collect()
}

fn fill(collection: &Collection, count: u64, dim: usize) {
    for from in (0..count).step_by(1000) {
        collection.upsert(points(from, 1000.min(count - from), dim)).expect("there is room");
    }
}

fn config(dim: usize) -> CollectionConfig {
    let mut config = CollectionConfig::unnamed(dim, Distance::Dot);
    config.optimizers_config.indexing_threshold = Some(1000);
    config.hnsw_config.ef_construct = 40;
    config.hnsw_config.full_scan_threshold = 0;
    config
}

/// Whether two numbers differ by at most so many percent of the second.
fn within(actual: u64, expected: u64, percent: u64) -> bool {
    actual.abs_diff(expected) * 100 <= expected * percent
}

#[test]
fn every_component_is_reported_where_it_is() {
    let dir = directory();
    let db = open(&dir, MemoryLimit::Unlimited);
    let collection = db.create_collection("c", config(64)).expect("it is made");
    collection.create_index("n", FieldSchema::integer()).expect("indexing works");
    fill(&collection, 3000, 64);
    let growing = collection.memory().expect("a report");
    let vectors = 3000 * 64 * 4;
    assert!((vectors..6 * vectors).contains(&growing.growing.anonymous_bytes), "{growing:?}");
    assert_eq!(growing.total(), growing.growing, "everything is in the growing segment, and the log waits for nothing");

    fill(&collection, 20_000, 64);
    collection.optimize().expect("optimizing works");
    let held = collection.info().expect("info works").memory_bytes;
    let memory = collection.memory().expect("a report");
    assert!(memory.growing.anonymous_bytes < 100_000, "{memory:?}");
    assert!(memory.graph.anonymous_bytes >= 20_000 * 32 * 4 && memory.graph.mapped_bytes == 0, "{memory:?}");
    assert!(memory.codes.anonymous_bytes >= 20_000 * 32 && memory.codes.mapped_bytes == 0, "{memory:?}");
    assert!(memory.vectors.mapped_bytes >= 20_000 * 64 * 4 && memory.vectors.anonymous_bytes == 0, "{memory:?}");
    assert!(memory.payload_indexes.anonymous_bytes >= 20_000 * 16 && memory.payload.mapped_bytes > 20_000 * 20, "{memory:?}");
    assert!(memory.ids.mapped_bytes >= 20_000 * 20, "{memory:?}");
    // Without a look at the pages: what was asked of the system counts, which gives more where its pages are huge.
    assert!(held >= 20_000 * (32 * 4 + 32 + 16), "{held}, {memory:?}");
    assert!(held <= memory.total().anonymous_bytes * 21 / 20, "{held}, {memory:?}");
    collection.search(vec![0.5; 64]).limit(5).run().expect("searching works");
    assert!(collection.memory().expect("a report").caches.anonymous_bytes > 0);
    let json = serde_json::to_value(memory).expect("it is data");
    assert!(json["graph"]["anonymous_bytes"].as_u64() > Some(0));
}

#[test]
fn the_parts_of_the_process_add_up_to_its_resident_set() {
    let dir = directory();
    let db = open(&dir, MemoryLimit::Auto);
    let collection = db.create_collection("c", config(64)).expect("it is made");
    fill(&collection, 5000, 64);
    collection.optimize().expect("optimizing works");
    let memory = db.memory().expect("a report");
    assert_eq!(memory.total, memory.collections["c"]);
    // Elsewhere the system does not tell, and the limit may not be known.
    let Some(process) = memory.process else { return };
    assert!(memory.limit_bytes.is_some_and(|limit| limit > memory.reserved_bytes));
    let parts = [process.code_bytes, process.stack_bytes, process.allocator_bytes, process.unaccounted_bytes];
    assert_eq!(memory.total.total().resident_bytes() + parts.iter().sum::<u64>(), process.resident_bytes);
    assert!(process.code_bytes > 0 && process.stack_bytes > 0);
}

#[test]
fn placement_decides_what_is_copied_and_what_is_mapped() {
    let parts = |memory: Memory| {
        let dir = directory();
        let db = open(&dir, MemoryLimit::Unlimited);
        let mut config = config(64);
        config.vectors.values_mut().for_each(|params| params.memory = Some(memory));
        config.hnsw_config.memory = Some(memory);
        config.payload_memory = Some(memory);
        config.quantization_config = Some(QuantizationConfig::Turbo(TurboQuantization { memory: Some(memory), ..Default::default() }));
        let collection = db.create_collection("c", config).expect("it is made");
        fill(&collection, 10_000, 64);
        collection.optimize().expect("optimizing works");
        let first = collection.search(vec![0.5; 64]).limit(5).run().expect("searching works");
        collection.verify().expect("all is well");
        db.close().expect("it closes");
        let db = open(&dir, MemoryLimit::Unlimited);
        let collection = db.get("c").expect("it is there");
        assert_eq!(collection.search(vec![0.5; 64]).limit(5).run().expect("searching works"), first);
        let report = collection.memory().expect("a report");
        [report.vectors, report.codes, report.graph, report.payload]
    };
    assert!(parts(Memory::Pinned).iter().all(|part| part.anonymous_bytes > 0 && part.mapped_bytes == 0));
    for memory in [Memory::Cached, Memory::Cold] {
        assert!(parts(memory).iter().all(|part| part.anonymous_bytes == 0 && part.mapped_bytes > 0), "{memory:?}");
    }
}

#[test]
fn cold_vectors_are_given_back_after_a_scan() {
    let dir = directory();
    let db = open(&dir, MemoryLimit::Unlimited);
    let mut config = config(64);
    config.vectors.values_mut().for_each(|params| params.on_disk = Some(true));
    let collection = db.create_collection("c", config).expect("it is made");
    fill(&collection, 20_000, 64);
    collection.optimize().expect("optimizing works");
    collection.search(vec![0.5; 64]).limit(5).exact(true).run().expect("searching works");
    let vectors = collection.memory().expect("a report").vectors;
    assert!(vectors.mapped_resident_bytes < vectors.mapped_bytes / 4, "{vectors:?}");
}

#[test]
fn what_does_not_fit_is_mapped_and_pinned_when_there_is_room() {
    let dir = directory();
    let db = open(&dir, MemoryLimit::Unlimited);
    let collection = db.create_collection("c", config(64)).expect("it is made");
    fill(&collection, 20_000, 64);
    collection.optimize().expect("optimizing works");
    let first = collection.search(vec![0.5; 64]).limit(5).run().expect("searching works");
    let all = collection.memory().expect("a report");
    db.close().expect("it closes");
    // Half of the limit is kept for writing, a sixth is the process: there is room for the graph alone, and then for nothing.
    for (limit, graph, codes) in
        [(3 * all.graph.anonymous_bytes + (300 << 10), true, false), (1 << 20, false, false), (64 << 20, true, true)]
    {
        let db = open(&dir, MemoryLimit::Bytes(limit));
        let collection = db.get("c").expect("it is there");
        let memory = collection.memory().expect("a report");
        assert_eq!((memory.graph.mapped_bytes == 0, memory.codes.mapped_bytes == 0), (graph, codes), "{limit}: {memory:?}");
        assert_eq!(collection.search(vec![0.5; 64]).limit(5).run().expect("searching works"), first);
        assert!(db.memory().expect("a report").reserved_bytes <= limit);
        db.close().expect("it closes");
    }
}

#[test]
fn updates_that_do_not_fit_are_refused_and_reads_and_deletes_go_on() {
    let dir = directory();
    let limit = 4 << 20;
    let db = open(&dir, MemoryLimit::Bytes(limit));
    let collection = db.create_collection("c", config(64)).expect("it is made");
    let mut taken = 0;
    let error = loop {
        match collection.upsert(points(taken, 500, 64)) {
            Ok(_) => taken += 500,
            Err(error) => break error,
        }
        assert!(taken < 100_000, "nothing is ever refused");
    };
    assert!(taken >= 500, "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(error, Error::OutOfMemory { limit_bytes, .. } if limit_bytes == limit), "{error}");
    assert_eq!(collection.count(None, true).expect("counting works"), taken, "a refused batch leaves nothing behind");
    assert_eq!(collection.search(vec![0.5; 64]).limit(5).run().expect("searching works").len(), 5);
    collection.delete([0, 1, 2]).expect("deleting goes on");
    // Sealing gives memory back.
    while collection.maintain().expect("maintenance works") {}
    collection.upsert(points(taken, 500, 64)).expect("there is room again");
    assert_eq!(collection.count(None, true).expect("counting works"), taken + 497);
}

#[test]
fn a_job_that_does_not_fit_waits_for_memory() {
    let dir = directory();
    let db = open(&dir, MemoryLimit::Unlimited);
    let mut bare = config(64);
    bare.optimizers_config.indexing_threshold = Some(0);
    let collection = db.create_collection("c", bare).expect("it is made");
    fill(&collection, 20_000, 64);
    collection.optimize().expect("optimizing works");
    let wanted = ConfigDiff { optimizers_config: Some(config(64).optimizers_config), ..ConfigDiff::default() };
    collection.update_config(&wanted).expect("it changes");
    db.close().expect("it closes");

    let db = open(&dir, MemoryLimit::Bytes(2 << 20));
    let collection = db.get("c").expect("it is there");
    assert!(!collection.maintain().expect("a job that waits is no failure"));
    let info = collection.info().expect("info works");
    let deferred = info.deferred_job.expect("a job waits");
    assert_eq!((deferred.kind, info.status, info.error), (JobKind::Merge, Status::Yellow, None));
    assert!(deferred.required_bytes > deferred.available_bytes && deferred.available_bytes <= 2 << 20);
    assert!(matches!(collection.optimize(), Err(Error::OutOfMemory { .. })));
    assert_eq!(collection.search(vec![0.5; 64]).limit(5).run().expect("searching works").len(), 5);
    db.close().expect("it closes");

    let db = open(&dir, MemoryLimit::Bytes(64 << 20));
    let collection = db.get("c").expect("it is there");
    collection.optimize().expect("now there is room");
    let info = collection.info().expect("info works");
    assert_eq!((info.deferred_job, info.indexed_vectors), (None, 20_000));
}

#[test]
fn deletes_give_memory_back() {
    let dir = directory();
    let db = open(&dir, MemoryLimit::Unlimited);
    let collection = db.create_collection("c", config(64)).expect("it is made");
    collection.create_index("word", FieldSchema::keyword()).expect("indexing works");
    fill(&collection, 20_000, 64);
    collection.optimize().expect("optimizing works");
    let full = collection.memory().expect("a report").total();
    collection.delete(Target::Ids((0..20_000u64).map(PointId::from).collect())).expect("deleting works");
    collection.optimize().expect("optimizing works");
    let empty = collection.memory().expect("a report").total();
    assert!(full.anonymous_bytes > 3 << 20, "{full:?}");
    // What stays is an empty growing segment.
    assert!(empty.anonymous_bytes < 64 << 10 && empty.mapped_bytes == 0, "{empty:?}");
}

#[test]
fn sizes_are_estimated_within_five_percent() {
    for (count, dim, codes) in [(20_000, 64, true), (20_000, 64, false), (5000, 384, true), (5000, 384, false)] {
        let dir = directory();
        let db = open(&dir, MemoryLimit::Unlimited);
        let mut config = config(dim);
        if !codes {
            config.quantization_config = Some(QuantizationConfig::Off);
        }
        let collection = db.create_collection("c", config).expect("it is made");
        collection.create_index("n", FieldSchema::integer()).expect("indexing works");
        collection.create_index("word", FieldSchema::keyword()).expect("indexing works");
        fill(&collection, count, dim);
        collection.optimize().expect("optimizing works");
        db.close().expect("it closes");
        let db = open(&dir, MemoryLimit::Unlimited);
        let collection = db.get("c").expect("it is there");
        let info = collection.info().expect("info works");
        let work = Workload {
            points: count,
            payload_bytes: json!({"n": 555, "word": "word 11"}).to_string().len() as u64,
            indexed: vec![IndexedField::new(FieldSchema::integer(), 1000, 8), IndexedField::new(FieldSchema::keyword(), 50, 7)],
            ..Workload::default()
        };
        let size = estimate(&collection.config(), &work);
        let memory = collection.memory().expect("a report");
        let total = memory.total();
        let what = format!("{count} x {dim}, codes {codes}: {size:?}\n{info:?}\n{memory:?}");
        assert_eq!(info.segments.iter().filter(|segment| segment.kind == SegmentKind::Sealed).count(), 1, "{what}");
        assert!(
            within(
                size.disk_bytes,
                info.segments.iter().filter(|segment| segment.kind == SegmentKind::Sealed).map(|segment| segment.bytes).sum(),
                5
            ),
            "{what}"
        );
        assert!(within(size.mapped_bytes + size.ids.mapped_bytes, total.mapped_bytes, 5), "{what}");
        let resident = total.anonymous_bytes + memory.ids.mapped_resident_bytes;
        if memory.ids.mapped_resident_bytes > 0 {
            assert!(within(size.resident_bytes, resident, 5), "estimated {}, found {resident}; {what}", size.resident_bytes);
        }
    }
}
