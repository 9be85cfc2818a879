//! Texts ranked by their words against sums over all points.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use vectordb_core::{
    Bm25Params, Collection, CollectionConfig, Database, Distance, ErrorKind, FieldSchema, GroupsRequest, MemFs, Point, PointId, Prefetch,
    Query, QueryRequest, Rrf, ScoredPoint, TextIndexParams, TextQuery, TextQueryScoring, TextScoring, Way, field,
};

use crate::support::{Random, manual};

const WORDS: u64 = 200;

/// The texts of each point.
type Model = BTreeMap<u64, Vec<String>>;

fn word(random: &mut Random) -> String {
    // Low numbers far more often than high ones.
    format!("w{}", (0..4).map(|_| random.below(WORDS)).min().expect("four"))
}

fn text(random: &mut Random, most: u64) -> String {
    let words: Vec<String> = (0..random.below(most + 1)).map(|_| word(random)).collect();
    words.join([" ", ", ", "-"][random.below(3) as usize])
}

fn texts(random: &mut Random) -> Vec<String> {
    match random.below(10) {
        0 => Vec::new(),
        1 => (0..3).map(|_| text(random, 10)).collect(),
        2 => vec![text(random, 200)],
        _ => vec![text(random, 20)],
    }
}

fn point(id: u64, texts: &[String]) -> Point {
    let point = Point::new(id, [id as f32 / 100.0, 1.0]).with("n", id % 100).with("tag", format!("t{}", id % 7));
    match texts {
        [] => point,
        [one] => point.with("body", json!({ "text": one })),
        many => point.with("body", json!({ "text": many })),
    }
}

fn fill(points: &Collection, random: &mut Random, ids: std::ops::Range<u64>, model: &mut Model) {
    let fresh: Vec<(u64, Vec<String>)> = ids.map(|id| (id, texts(random))).collect();
    points.upsert(fresh.iter().map(|(id, texts)| point(*id, texts))).expect("works");
    model.extend(fresh);
}

fn words_of(texts: &[String]) -> Vec<&str> {
    texts.iter().flat_map(|text| text.split(|char: char| !char.is_alphanumeric())).filter(|word| !word.is_empty()).collect()
}

/// All points that hold a word of the query, best first.
fn ranked(model: &Model, query: &str, (k, b): (f64, f64), keep: impl Fn(u64) -> bool) -> Vec<(u64, f64)> {
    let texts: Vec<(u64, Vec<&str>)> =
        model.iter().map(|(id, texts)| (*id, words_of(texts))).filter(|(_, words)| !words.is_empty()).collect();
    let mean = texts.iter().map(|(_, words)| words.len()).sum::<usize>() as f64 / texts.len() as f64;
    let asked: BTreeSet<&str> = query.split_whitespace().collect();
    let mut scores: BTreeMap<u64, f64> = BTreeMap::new();
    for word in asked {
        let holding: Vec<(u64, f64, f64)> = texts
            .iter()
            .map(|(id, words)| (*id, words.iter().filter(|each| **each == word).count() as f64, words.len() as f64))
            .filter(|(_, count, _)| *count > 0.0)
            .collect();
        let idf = (1.0 + (texts.len() as f64 - holding.len() as f64 + 0.5) / (holding.len() as f64 + 0.5)).ln();
        for (id, count, length) in holding {
            *scores.entry(id).or_default() += idf * count * (k + 1.0) / (count + k * (1.0 - b + b * length / mean));
        }
    }
    let mut all: Vec<(u64, f64)> = scores.into_iter().filter(|(id, _)| keep(*id)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

fn request(query: &str, limit: usize) -> QueryRequest {
    let mut request = QueryRequest::new(Query::Text(TextQuery::new(query)));
    request.using = "body.text".to_owned();
    request.limit = limit;
    request
}

fn number(hit: &ScoredPoint) -> u64 {
    let PointId::Num(id) = hit.id else { panic!("numbers only") };
    id
}

fn assert_ranking(found: &[ScoredPoint], wanted: &[(u64, f64)], limit: usize) {
    assert_eq!(found.len(), wanted.len().min(limit));
    let scores: HashMap<u64, f64> = wanted.iter().copied().collect();
    for (hit, (_, score)) in found.iter().zip(wanted) {
        assert!((f64::from(hit.score) - score).abs() < 1e-5 * score.max(1.0), "{} for {score}", hit.score);
        assert!((scores[&number(hit)] - score).abs() < 1e-5 * score.max(1.0), "point {} is elsewhere", number(hit));
    }
    assert!(found.windows(2).all(|pair| pair[0].score > pair[1].score || pair[0].id < pair[1].id), "equal scores come in the order of ids");
}

fn query(random: &mut Random) -> String {
    let words: Vec<String> =
        (0..=random.below(6)).map(|_| if random.chance(30) { format!("w{}", random.below(WORDS)) } else { word(random) }).collect();
    words.join(" ")
}

fn compare(points: &Collection, random: &mut Random, model: &Model) {
    for round in 0..24 {
        let query = query(random);
        let limit = [1, 10, 50, 5000][round % 4];
        let mut request = request(&query, limit);
        let all = ranked(model, &query, (1.2, 0.75), |_| true);
        assert_ranking(&points.query_points(&request).expect("works"), &all, limit);
        if let Some((_, worst)) = all.get(all.len() / 2) {
            // Not the score itself, since that may be rounded either way.
            let threshold = worst * 0.99999;
            request.score_threshold = Some(threshold as f32);
            let good: Vec<(u64, f64)> = all.iter().copied().filter(|(_, score)| *score > threshold).collect();
            assert_ranking(&points.query_points(&request).expect("works"), &good, limit);
            request.score_threshold = None;
        }
        request.offset = 3;
        assert_ranking(&points.query_points(&request).expect("works"), all.get(3..).unwrap_or_default(), limit);
        request.offset = 0;
        let most = [2, 50, 100][round % 3];
        request.filter = Some(field("n").lt(most as f64));
        assert_ranking(&points.query_points(&request).expect("works"), &ranked(model, &query, (1.2, 0.75), |id| id % 100 < most), limit);
        let (k, b) = (random.below(30) as f32 / 10.0, random.below(11) as f32 / 10.0);
        let scoring = TextQueryScoring::Bm25(Bm25Params { k: Some(k), b: Some(b) });
        request.query = Some(Query::Text(TextQuery { query: query.clone(), scoring }));
        let wanted = ranked(model, &query, (k.into(), b.into()), |id| id % 100 < most);
        assert_ranking(&points.query_points(&request).expect("works"), &wanted, limit);
    }
}

fn config() -> CollectionConfig {
    let mut config = CollectionConfig::unnamed(2, Distance::Euclid);
    config.optimizers_config.vacuum_min_vector_number = 100;
    config.payload_schema.insert("body.text".to_owned(), FieldSchema::ranked_text());
    config
}

fn world(fs: &Arc<MemFs>) -> (Database, Collection) {
    let db = manual(fs.clone());
    let points = db.collection("points").config(config()).create().expect("works");
    (db, points)
}

/// Points in a sealed segment with dead rows, and in a growing one.
fn mixed() -> (Database, Collection, Model, Random) {
    let (db, points) = world(&Arc::new(MemFs::default()));
    let (mut random, mut model) = (Random::new(21), Model::new());
    fill(&points, &mut random, 0..600, &mut model);
    points.optimize().expect("works");
    fill(&points, &mut random, 500..800, &mut model);
    (db, points, model, random)
}

#[test]
fn texts_are_ranked_alike_wherever_they_are() {
    let fs = Arc::new(MemFs::default());
    let (db, points) = world(&fs);
    let (mut random, mut model) = (Random::new(7), Model::new());
    fill(&points, &mut random, 0..1500, &mut model);
    compare(&points, &mut random, &model);
    points.optimize().expect("works");
    compare(&points, &mut random, &model);
    fill(&points, &mut random, 1200..2000, &mut model);
    points.delete((0..300).map(PointId::from).collect::<Vec<_>>()).expect("works");
    model.retain(|id, _| *id >= 300);
    compare(&points, &mut random, &model);
    points.create_index("n", FieldSchema::integer()).expect("works");
    compare(&points, &mut random, &model);
    drop((points, db));
    let db = manual(fs.clone());
    let points = db.collection("points").open().expect("works");
    compare(&points, &mut random, &model);
    points.optimize().expect("works");
    points.verify().expect("whole");
    compare(&points, &mut random, &model);
    drop((points, db));
    let db = manual(fs);
    compare(&db.collection("points").open().expect("works"), &mut random, &model);
}

#[test]
fn long_lists_are_ranked_exactly() {
    let (_db, points) = world(&Arc::new(MemFs::default()));
    let (mut random, mut model) = (Random::new(31), Model::new());
    let rare = (0..3).map(|id| (id, vec!["rare scarce w0".to_owned()]));
    let short: Vec<(u64, Vec<String>)> = rare.chain((3..12_000).map(|id| (id, vec![text(&mut random, 8)]))).collect();
    points.upsert(short.iter().map(|(id, texts)| point(*id, texts))).expect("works");
    model.extend(short);
    points.optimize().expect("works");
    for _ in 0..20 {
        let query = query(&mut random);
        let found = points.query_points(&request(&query, 10)).expect("works");
        assert_ranking(&found, &ranked(&model, &query, (1.2, 0.75), |_| true), 10);
    }
    // Two words that nearly every text lacks leave the frequent one to be looked up.
    let entries = |query: &str| {
        let told = points.explain(&request(query, 3), false).expect("works");
        assert_eq!(told.searches.len(), 1);
        told.searches[0].segments.iter().map(|segment| segment.work.entries).sum::<u64>()
    };
    let (some, all) = (entries("rare scarce w0"), entries("w0"));
    assert!(some < all / 2, "{some} of {all}");
}

#[test]
fn explanations_tell_how_texts_were_ranked() {
    let (_db, points, _, _) = mixed();
    points.create_index("n", FieldSchema::integer()).expect("works");
    let mut request = request("w0 w1 w2 w3 w4", 5);
    let ways = |request: &QueryRequest| -> BTreeSet<String> {
        let told = points.explain(request, true).expect("works");
        assert_eq!(told.searches[0].using, "body.text");
        assert!(told.searches[0].segments.iter().all(|segment| segment.work.entries + segment.work.texts > 0));
        told.searches[0].segments.iter().map(|segment| format!("{:?}", segment.way)).collect()
    };
    assert_eq!(ways(&request), [format!("{:?}", Way::Lists)].into());
    request.filter = Some(field("n").eq(7));
    assert_eq!(ways(&request), [format!("{:?}", Way::Scan)].into());
}

#[test]
fn rankings_of_texts_join_other_queries() {
    let (_db, points, model, _) = mixed();
    let wanted = ranked(&model, "w3 w40", (1.2, 0.75), |_| true);
    let stage = |query: Query, using: &str| Prefetch { query: Some(query), using: using.to_owned(), limit: 30, ..Prefetch::default() };
    let words = || stage(Query::Text(TextQuery::new("w3 w40")), "body.text");
    let near = || stage(Query::from([4.0, 1.0]), "");
    let ids = |request: &QueryRequest| points.query_points(request).expect("works").iter().map(number).collect::<Vec<u64>>();

    // Fused with vectors: the ranks are those of the two lists.
    let lists = [ids(&request("w3 w40", 30)), ids(&QueryRequest { limit: 30, ..QueryRequest::new(Query::from([4.0, 1.0])) })];
    let mut fused: BTreeMap<u64, f64> = BTreeMap::new();
    for list in &lists {
        list.iter().enumerate().for_each(|(at, id)| *fused.entry(*id).or_default() += 1.0 / (at as f64 + 2.0));
    }
    let both = QueryRequest { prefetch: vec![words(), near()], limit: 60, ..QueryRequest::new(Query::Rrf(Rrf::default())) };
    let found = points.query_points(&both).expect("works");
    assert_eq!(found.len(), fused.len());
    assert!(found.iter().all(|hit| (f64::from(hit.score) - fused[&number(hit)]).abs() < 1e-5));
    let by_scores = QueryRequest { query: Some(Query::Dbsf), ..both };
    assert_eq!(ids(&by_scores).len(), fused.len());

    // The nearest ranked anew by their words, with the statistics of all points.
    let nearest: BTreeSet<u64> = lists[1].iter().copied().collect();
    let again = QueryRequest { prefetch: vec![near()], ..request("w3 w40", 30) };
    let left: Vec<(u64, f64)> = wanted.iter().copied().filter(|(id, _)| nearest.contains(id)).collect();
    assert!(!left.is_empty());
    assert_ranking(&points.query_points(&again).expect("works"), &left, 30);

    // In groups.
    let groups = GroupsRequest { query: request("w3 w40", 7), group_by: "tag".parse().expect("a path"), group_size: 2, with_lookup: None };
    for group in points.groups(&groups).expect("works") {
        let of_group: Vec<(u64, f64)> = wanted.iter().copied().filter(|(id, _)| group.id == format!("t{}", id % 7)).collect();
        assert_ranking(&group.hits, &of_group, 2);
    }
}

#[test]
fn an_index_that_begins_to_rank_is_built_anew() {
    let (_db, points, model, mut random) = mixed();
    points.create_index("body.text", FieldSchema::text()).expect("works");
    let error = points.query_points(&request("w1", 3)).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("body.text"), "{error}");
    points.create_index("body.text", FieldSchema::ranked_text()).expect("works");
    compare(&points, &mut random, &model);
    points.optimize().expect("works");
    compare(&points, &mut random, &model);
}

#[test]
fn words_are_cut_as_the_index_says() {
    let db = manual(Arc::new(MemFs::default()));
    let params: TextIndexParams = serde_json::from_value(json!({
        "stemmer": {"type": "snowball", "language": "english"}, "stopwords": "english", "scoring": {"type": "bm25"},
    }))
    .expect("good settings");
    let points = db.collection("points").dim(1).create().expect("works");
    points.create_index("text", FieldSchema::Text(params)).expect("works");
    points
        .upsert([Point::new(1u64, [0.0]).with("text", "The foxes are running"), Point::new(2u64, [0.0]).with("text", "a the of")])
        .expect("works");
    let found = |query: &str| {
        let mut request = QueryRequest::new(Query::Text(TextQuery::new(query)));
        request.using = "text".to_owned();
        points.query_points(&request).expect("works").iter().map(|hit| (number(hit), hit.score)).collect::<Vec<_>>()
    };
    // One text of two words, since the other has none: the mean length is its own, and each word is in one of one text.
    let each = (1.0f32 + 0.5 / 1.5).ln();
    let [(1, score)] = found("Run, fox, run the")[..] else { panic!("one hit") };
    assert!((score - 2.0 * each).abs() < 1e-6, "{score}");
    assert!(found("the of").is_empty() && found("").is_empty() && found("cat").is_empty());
}

#[test]
fn deleted_points_count_no_longer() {
    let (_db, points, model, _) = mixed();
    let all = points.query_points(&request("w3", 1000)).expect("works");
    let gone: Vec<PointId> = model.keys().copied().filter(|id| id % 2 == 0).map(PointId::from).collect();
    points.delete(gone).expect("works");
    let left: Model = model.into_iter().filter(|(id, _)| id % 2 == 1).collect();
    let found = points.query_points(&request("w3", 1000)).expect("works");
    assert!(found.len() < all.len());
    assert_ranking(&found, &ranked(&left, "w3", (1.2, 0.75), |_| true), 1000);
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let (_db, points, _, _) = mixed();
    points.create_index("tag", FieldSchema::keyword()).expect("works");
    let bm25 = |k: f32, b: f32| TextQueryScoring::Bm25(Bm25Params { k: Some(k), b: Some(b) });
    for (using, scoring) in [
        ("body.text", bm25(-1.0, 0.5)),
        ("body.text", bm25(f32::NAN, 0.5)),
        ("body.text", bm25(1.0, 1.5)),
        ("body.text", bm25(1.0, f32::NAN)),
        ("tag", TextQueryScoring::default()),
        ("body", TextQueryScoring::default()),
        ("", TextQueryScoring::default()),
    ] {
        let request =
            QueryRequest { query: Some(Query::Text(TextQuery { query: "w1".into(), scoring })), using: using.into(), ..request("", 5) };
        let error = points.query_points(&request).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{using} {scoring:?}: {error}");
    }
    let off = TextIndexParams { scoring: Some(TextScoring::Flag(false)), ..TextIndexParams::default() };
    assert!(!off.ranks() && serde_json::from_value::<TextIndexParams>(json!({"scoring": {"type": "tfidf"}})).is_err());
}

#[test]
fn rankings_are_asked_for_in_json() {
    let (_db, points, model, _) = mixed();
    let ask = |query: Value| {
        points.query_points(&QueryRequest::from_json(&json!({"query": query, "using": "body.text", "limit": 20})).expect("reads"))
    };
    let wanted = ranked(&model, "w3 w40", (1.2, 0.75), |_| true);
    assert_ranking(&ask(json!({"text": "w3 w40"})).expect("works"), &wanted, 20);
    assert_ranking(&ask(json!({"text": {"query": "W40; w3"}})).expect("works"), &wanted, 20);
    let wanted = ranked(&model, "w3 w40", (2.0, 0.0), |_| true);
    assert_ranking(&ask(json!({"text": {"query": "w3 w40", "scoring": {"bm25": {"k": 2, "b": 0}}}})).expect("works"), &wanted, 20);
}
