//! Searches by codes: every kind of code, every way to use them, against exact search.

use std::sync::Arc;

use vectordb_core::{
    BinaryEncoding, BinaryQuantization, Collection, Compression, ConfigDiff, Database, Distance, MemFs, Point, PointId,
    ProductQuantization, QuantizationConfig, QuantizationParams, ScalarQuantization, Target, TurboBits, TurboQuantization,
};

use crate::support::{Random, manual, small_segments};

const DIM: usize = 96;
/// Enough for codes: smaller fields have none.
const POINTS: u64 = 3000;
const QUERIES: u64 = 12;

fn binary(encoding: BinaryEncoding) -> Option<QuantizationConfig> {
    Some(QuantizationConfig::Binary(BinaryQuantization { encoding: Some(encoding), ..Default::default() }))
}

fn turbo(bits: TurboBits) -> Option<QuantizationConfig> {
    Some(QuantizationConfig::Turbo(TurboQuantization { bits: Some(bits), ..Default::default() }))
}

fn product(compression: Compression) -> Option<QuantizationConfig> {
    Some(QuantizationConfig::Product(ProductQuantization { compression, always_ram: None, memory: None }))
}

/// Every kind of code, and the recall of its estimates alone.
fn kinds() -> Vec<(Option<QuantizationConfig>, f64)> {
    vec![
        (None, 0.75),
        (Some(QuantizationConfig::Off), 0.9),
        (Some(QuantizationConfig::Scalar(ScalarQuantization::default())), 0.9),
        (product(Compression::X4), 0.9),
        (product(Compression::X8), 0.75),
        (product(Compression::X16), 0.35),
        (product(Compression::X64), 0.25),
        (binary(BinaryEncoding::OneBit), 0.25),
        (binary(BinaryEncoding::OneAndHalfBits), 0.35),
        (binary(BinaryEncoding::TwoBits), 0.35),
        (turbo(TurboBits::Bits1), 0.25),
        (turbo(TurboBits::Bits1Half), 0.35),
        (turbo(TurboBits::Bits2), 0.35),
        (turbo(TurboBits::Bits4), 0.75),
    ]
}

fn vectors(random: &mut Random) -> Vec<Vec<f32>> {
    let centers: Vec<Vec<f32>> = (0..30).map(|_| random.vector(DIM)).collect();
    (0..POINTS).map(|_| centers[random.below(30) as usize].iter().map(|value| value + 0.6 * random.float()).collect()).collect()
}

fn filled(config: Option<QuantizationConfig>, distance: Distance, vectors: &[Vec<f32>]) -> (Database, Collection) {
    let db = manual(Arc::new(MemFs::default()));
    let mut settings = small_segments(DIM, distance);
    settings.quantization_config = config;
    // Good graphs, so that what is lost is lost by the codes.
    settings.hnsw_config.m = 16;
    settings.hnsw_config.ef_construct = 128;
    let collection = db.create_collection("c", settings).expect("it is made");
    let points = (0..).zip(vectors).map(|(id, vector): (u64, _)| Point::new(id, vector.clone()));
    collection.upsert(points.collect::<Vec<_>>()).expect("good points");
    collection.optimize().expect("optimizing works");
    (db, collection)
}

/// Recall@10, and the largest error of a score, in shares of the largest score.
fn ask(collection: &Collection, vectors: &[Vec<f32>], params: QuantizationParams, seed: u64) -> (f64, f32) {
    ask_around(collection, vectors, 0.4, params, seed)
}

/// The same for queries further from the points.
fn ask_around(collection: &Collection, vectors: &[Vec<f32>], spread: f32, params: QuantizationParams, seed: u64) -> (f64, f32) {
    let mut random = Random::new(seed);
    let (mut found, mut error) = (0, 0.0f32);
    for _ in 0..QUERIES {
        let near = &vectors[random.below(POINTS) as usize];
        let query: Vec<f32> = near.iter().map(|value| value + spread * random.float()).collect();
        let exact = collection.search(&query).limit(POINTS as usize).exact(true).run().expect("searching works");
        let mut request = collection.search(&query).ef(300).request();
        request.params.quantization = params;
        let hits = collection.query(&request).expect("searching works");
        assert_eq!(hits.len(), 10);
        let scale = exact.iter().map(|hit| hit.score.abs()).fold(0.0, f32::max);
        for hit in &hits {
            let truth = exact.iter().find(|each| each.id == hit.id).expect("a point of the collection");
            error = error.max((truth.score - hit.score).abs() / scale);
        }
        found += hits.iter().filter(|hit| exact[..10].iter().any(|each| each.id == hit.id)).count();
    }
    (found as f64 / (10 * QUERIES) as f64, error)
}

#[test]
fn every_kind_of_code_finds_the_neighbours_and_scores_them_exactly() {
    let vectors = vectors(&mut Random::new(1));
    for distance in [Distance::Cosine, Distance::Euclid] {
        for (config, alone) in kinds() {
            let (_db, collection) = filled(config.clone(), distance, &vectors);
            let what = format!("{distance:?}, {config:?}");
            let (recall, error) = ask(&collection, &vectors, QuantizationParams::default(), 2);
            assert!(recall >= 0.9 && error < 1e-5, "{what}: recall {recall}, error {error}");
            let (recall, error) = ask(&collection, &vectors, QuantizationParams { ignore: true, ..Default::default() }, 2);
            assert!(recall >= 0.95 && error < 1e-5, "{what}, ignored: recall {recall}, error {error}");
            let (recall, _) = ask(&collection, &vectors, QuantizationParams { rescore: Some(false), ..Default::default() }, 2);
            assert!(recall >= alone, "{what}, not scored again: recall {recall}");
        }
    }
}

#[test]
fn oversampling_finds_more_and_its_lack_shows_in_estimated_scores() {
    let vectors = vectors(&mut Random::new(3));
    let (_db, collection) = filled(binary(BinaryEncoding::OneBit), Distance::Euclid, &vectors);
    let ask =
        |oversampling, rescore| ask_around(&collection, &vectors, 2.0, QuantizationParams { oversampling, rescore, ignore: false }, 4);
    let ((few, _), (many, _)) = (ask(Some(1.0), None), ask(Some(20.0), None));
    assert!(many > few + 0.3 && many > 0.9, "recall {few}, with twenty times as many candidates {many}");
    let (_, estimated) = ask(None, Some(false));
    assert!(estimated > 1e-4 && estimated < 0.5, "scores by one bit are off by {estimated}");
}

#[test]
fn codes_can_be_changed_and_taken_away_later() {
    let vectors = vectors(&mut Random::new(5));
    let (_db, collection) = filled(None, Distance::Cosine, &vectors);
    for (config, alone) in kinds().into_iter().skip(1) {
        collection.update_config(&ConfigDiff { quantization_config: Some(config.clone()), ..Default::default() }).expect("a good change");
        collection.optimize().expect("optimizing works");
        let (recall, error) = ask(&collection, &vectors, QuantizationParams::default(), 6);
        assert!(recall >= 0.9 && error < 1e-5, "{config:?}: recall {recall}, error {error}");
        let (recall, error) = ask(&collection, &vectors, QuantizationParams { rescore: Some(false), ..Default::default() }, 6);
        assert!(recall >= alone, "{config:?}, not scored again: recall {recall}");
        assert_eq!(error < 1e-5, config == Some(QuantizationConfig::Off), "{config:?}: error {error}");
    }
}

#[test]
fn merges_that_take_over_a_graph_keep_recall_over_many_turnovers() {
    let mut random = Random::new(7);
    let mut vectors = vectors(&mut random);
    let (_db, collection) = filled(None, Distance::Euclid, &vectors);
    for round in 0..8 {
        // A third of the points move, some go for good.
        let moved: Vec<u64> = (0..POINTS).filter(|_| random.chance(33)).collect();
        for &id in &moved {
            vectors[id as usize] = random.vector(DIM);
        }
        collection.upsert(moved.iter().map(|&id| Point::new(id, vectors[id as usize].clone())).collect::<Vec<_>>()).expect("good points");
        collection.delete(Target::Ids((0..20).map(|n| PointId::from(round * 20 + n)).collect())).expect("deleting works");
        collection.optimize().expect("optimizing works");
    }
    let gone = Target::Ids((0..160).map(PointId::from).collect());
    let (_fresh_db, fresh) = filled(None, Distance::Euclid, &vectors);
    for collection in [&collection, &fresh] {
        collection.delete(gone.clone()).expect("deleting works");
        collection.optimize().expect("optimizing works");
    }
    let ((mended, error), (fresh, _)) =
        (ask(&collection, &vectors, QuantizationParams::default(), 8), ask(&fresh, &vectors, QuantizationParams::default(), 8));
    assert!(mended >= fresh - 0.05 && error < 1e-5, "recall {mended} after many merges, {fresh} of a new graph; error {error}");
}
