//! Queries of every kind against formulas over all points.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use vectordb_core::{
    CollectionConfig, ContextPair, Distance, DistanceMatrix, Error, Expression, FacetRequest, FeedbackItem, FieldSchema, Filter, Formula,
    GroupsRequest, MAX_RESULTS, MatrixRequest, MemFs, Mmr, NaiveFeedback, Point, PointId, Prefetch, Query, QueryRequest, RecommendStrategy,
    Rrf, ScoredPoint, SearchTarget, field,
};

use crate::support::{Random, manual, small_segments};

const DIM: usize = 16;
const POINTS: u64 = 900;

struct World {
    db: vectordb_core::Database,
    vectors: Vec<Vec<f32>>,
    distance: Distance,
}

/// Two thirds of the points in a segment with a graph and codes, the others in memory.
fn world(distance: Distance) -> World {
    let mut random = Random::new(7);
    let db = manual(std::sync::Arc::new(MemFs::default()));
    let points = db.collection("points").config(small_segments(DIM, distance)).create().expect("works");
    points.create_index("n", FieldSchema::integer()).expect("works");
    let vectors: Vec<Vec<f32>> = (0..POINTS).map(|_| random.vector(DIM)).collect();
    let point = |id: u64| {
        Point::new(id, vectors[id as usize].clone())
            .with("n", id % 10)
            .with("tags", json!([format!("t{}", id % 3), "all"]))
            .with("x", id as f64 / 10.0)
    };
    points.upsert((0..POINTS * 2 / 3).map(point)).expect("works");
    points.optimize().expect("works");
    points.upsert((POINTS * 2 / 3..POINTS).map(point)).expect("works");
    World { db, vectors, distance }
}

impl World {
    fn ask(&self, request: &QueryRequest) -> Result<Vec<ScoredPoint>, Error> {
        self.db.collection("points").open()?.query_points(request)
    }

    /// What the engine compares by: larger is closer.
    fn score(&self, a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        match self.distance {
            Distance::Dot => dot(a, b),
            Distance::Cosine => dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
            Distance::Euclid => -a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>(),
            Distance::Manhattan => -a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>(),
        }
    }

    /// All points by a formula, best first.
    fn ranked(&self, but: &[u64], score: impl Fn(&[f32]) -> f32) -> Vec<(u64, f32)> {
        let mut all: Vec<(u64, f32)> =
            (0..POINTS).filter(|id| !but.contains(id)).map(|id| (id, score(&self.vectors[id as usize]))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }

    fn user(&self, score: f32) -> f32 {
        match self.distance {
            Distance::Dot | Distance::Cosine => score,
            Distance::Euclid => (-score).sqrt(),
            Distance::Manhattan => -score,
        }
    }
}

fn exact(query: Query) -> QueryRequest {
    let mut request = QueryRequest::new(query);
    request.params.exact = true;
    request
}

fn assert_ranking(found: &[ScoredPoint], wanted: &[(u64, f32)]) {
    let shown: Vec<(String, f32)> = found.iter().map(|hit| (hit.id.to_string(), hit.score)).collect();
    assert_eq!(found.len(), wanted.len().min(10), "{shown:?}");
    for (hit, (id, score)) in found.iter().zip(wanted) {
        assert!((hit.score - score).abs() <= 1e-5 * score.abs().max(1.0), "{shown:?} {wanted:?}");
        assert_eq!(hit.id, PointId::Num(*id), "{shown:?}");
    }
}

fn squeezed(x: f32) -> f32 {
    x / (1.0 + x.abs())
}

#[test]
fn examples_rank_by_their_formulas() {
    for distance in [Distance::Dot, Distance::Cosine, Distance::Euclid, Distance::Manhattan] {
        let world = world(distance);
        let mut random = Random::new(11);
        let given: Vec<Vec<f32>> = (0..4).map(|_| random.vector(DIM)).collect();
        let target = |at: usize| SearchTarget::from(&given[at]);
        let score = |at: usize, row: &[f32]| world.score(&given[at], row);
        let recommend = |strategy| Query::Recommend { positive: vec![target(0), target(1)], negative: vec![target(2)], strategy };

        let found = world.ask(&exact(recommend(RecommendStrategy::BestScore))).expect("works");
        let best = |row: &[f32]| {
            let (liked, not) = (score(0, row).max(score(1, row)), score(2, row));
            if liked > not { 0.5 * (squeezed(liked) + 1.0) } else { -0.5 * (squeezed(not) + 1.0) }
        };
        assert_ranking(&found, &world.ranked(&[], best)[..10]);

        let found = world.ask(&exact(recommend(RecommendStrategy::SumScores))).expect("works");
        assert_ranking(&found, &world.ranked(&[], |row| score(0, row) + score(1, row) - score(2, row))[..10]);

        let found = world.ask(&exact(recommend(RecommendStrategy::AverageVector))).expect("works");
        let average: Vec<f32> = (0..DIM).map(|at| given[0][at] + given[1][at] - given[2][at]).collect();
        let wanted: Vec<_> =
            world.ranked(&[], |row| world.score(&average, row)).into_iter().map(|(id, score)| (id, world.user(score))).collect();
        assert_ranking(&found, &wanted[..10]);

        let context =
            vec![ContextPair { positive: target(1), negative: target(2) }, ContextPair { positive: target(3), negative: target(0) }];
        let found = world.ask(&exact(Query::Discover { target: target(0), context: context.clone() })).expect("works");
        let side = |a: f32, b: f32| if a > b { 1.0 } else { -1.0 };
        let discover =
            |row: &[f32]| side(score(1, row), score(2, row)) + side(score(3, row), score(0, row)) + 0.5 * (squeezed(score(0, row)) + 1.0);
        assert_ranking(&found, &world.ranked(&[], discover)[..10]);

        // Most points on the right side of both pairs score 0; the others do not.
        let mut request = exact(Query::Context(context));
        request.limit = POINTS as usize;
        let found = world.ask(&request).expect("works");
        let loss = |a: f32, b: f32| squeezed((a - b - f32::EPSILON).min(0.0));
        for hit in &found {
            let PointId::Num(id) = hit.id else { panic!("{}", hit.id) };
            let row = &world.vectors[id as usize];
            let wanted = loss(score(1, row), score(2, row)) + loss(score(3, row), score(0, row));
            assert!((hit.score - wanted).abs() < 1e-5, "{} {wanted}", hit.score);
        }
        assert_eq!(found.len() as u64, POINTS);
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));

        let feedback = vec![FeedbackItem { example: target(1), score: 0.9 }, FeedbackItem { example: target(2), score: 0.4 }];
        let strategy = NaiveFeedback { a: 0.5, b: 2.0, c: 0.7 };
        let found = world.ask(&exact(Query::RelevanceFeedback { target: target(0), feedback, strategy })).expect("works");
        let liked = |row: &[f32]| 0.5 * score(0, row) + 0.5f32.powi(2) * 0.7 * (score(1, row) - score(2, row));
        assert_ranking(&found, &world.ranked(&[], liked)[..10]);
    }
}

#[test]
fn points_named_in_a_query_are_no_answers_to_it() {
    let world = world(Distance::Dot);
    let by_id = |id: u64| SearchTarget::Id(PointId::Num(id));
    let found = world.ask(&exact(Query::from(PointId::Num(5)))).expect("works");
    assert_ranking(&found, &world.ranked(&[5], |row| world.score(&world.vectors[5], row))[..10]);
    let strategy = RecommendStrategy::SumScores;
    let found =
        world.ask(&exact(Query::Recommend { positive: vec![by_id(1), by_id(800)], negative: vec![by_id(2)], strategy })).expect("works");
    let sum = |row: &[f32]| {
        [(1, 1.0), (800, 1.0), (2, -1.0)].iter().map(|&(id, sign)| sign * world.score(&world.vectors[id as usize], row)).sum()
    };
    assert_ranking(&found, &world.ranked(&[1, 800, 2], sum)[..10]);
    assert!(matches!(world.ask(&exact(Query::from(PointId::Num(5000)))), Err(Error::PointNotFound { .. })));
}

#[test]
fn walks_by_several_examples_find_what_scans_find() {
    let world = world(Distance::Cosine);
    let mut random = Random::new(3);
    let (mut right, mut all) = (0, 0);
    for _ in 0..30 {
        let mut target = || SearchTarget::from(random.vector(DIM));
        let strategy = RecommendStrategy::BestScore;
        let query = Query::Recommend { positive: vec![target(), target()], negative: vec![target()], strategy };
        let walked = world.ask(&QueryRequest::new(query.clone())).expect("works");
        let scanned = world.ask(&exact(query)).expect("works");
        all += scanned.len();
        right += walked.iter().filter(|hit| scanned.iter().any(|other| other.id == hit.id)).count();
    }
    assert!(right * 100 >= all * 95, "{right} of {all}");
}

fn near(vector: &[f32], limit: usize) -> Prefetch {
    let mut prefetch = Prefetch { query: Some(Query::from(vector.to_vec())), limit, ..Prefetch::default() };
    prefetch.params.exact = true;
    prefetch
}

#[test]
fn queries_over_queries_rank_what_those_found() {
    let world = world(Distance::Dot);
    let (a, b) = (&world.vectors[0], &world.vectors[1]);
    let (first, second) = (world.ranked(&[], |row| world.score(a, row)), world.ranked(&[], |row| world.score(b, row)));
    let over = |query: Query| QueryRequest { prefetch: vec![near(a, 20), near(b, 30)], ..QueryRequest::new(query) };
    let place = |list: &[(u64, f32)], id: u64| list.iter().position(|(other, _)| *other == id).map(|place| place as f32);
    let ranked = |score: &dyn Fn(u64) -> f32| {
        let mut ids: Vec<u64> = first[..20].iter().chain(&second[..30]).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut all: Vec<(u64, f32)> = ids.into_iter().map(|id| (id, score(id))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    };

    let rank = |list: &[(u64, f32)], id, weight: f32, k: f32| place(list, id).map_or(0.0, |place| 1.0 / ((place + 1.0) / weight + k - 1.0));
    let wanted = ranked(&|id| rank(&first[..20], id, 1.0, 2.0) + rank(&second[..30], id, 1.0, 2.0));
    assert_ranking(&world.ask(&over(Query::Rrf(Rrf::default()))).expect("works"), &wanted);
    let wanted = ranked(&|id| rank(&first[..20], id, 3.0, 60.0) + rank(&second[..30], id, 0.5, 60.0));
    assert_ranking(&world.ask(&over(Query::Rrf(Rrf { k: Some(60), weights: Some(vec![3.0, 0.5]) }))).expect("works"), &wanted);

    let scaled = |list: &[(u64, f32)], id: u64| {
        let mean = list.iter().map(|(_, score)| score).sum::<f32>() / list.len() as f32;
        let reach = 3.0 * (list.iter().map(|(_, score)| (score - mean).powi(2)).sum::<f32>() / (list.len() as f32 - 1.0)).sqrt();
        list.iter().find(|(other, _)| *other == id).map_or(0.0, |(_, score)| (score - mean + reach) / (2.0 * reach))
    };
    let wanted = ranked(&|id| scaled(&first[..20], id) + scaled(&second[..30], id));
    assert_ranking(&world.ask(&over(Query::Dbsf)).expect("works"), &wanted);

    let again = &world.vectors[2];
    let wanted = ranked(&|id| world.score(again, &world.vectors[id as usize]));
    assert_ranking(&world.ask(&over(Query::from(again.clone()))).expect("works"), &wanted);

    let formula = json!({"sum": ["$score", {"mult": [2, "$score[1]"]}, {"key": "n", "match": {"value": 3}}, {"neg": "x"}]});
    let request = QueryRequest::from_json(&json!({"query": {"formula": formula}})).expect("works");
    let score = |list: &[(u64, f32)], id: u64| list.iter().find(|(other, _)| *other == id).map_or(0.0, |(_, score)| *score);
    let wanted =
        ranked(&|id| score(&first[..20], id) + 2.0 * score(&second[..30], id) + f32::from(u8::from(id % 10 == 3)) - id as f32 / 10.0);
    assert_ranking(&world.ask(&over(request.query.expect("works"))).expect("works"), &wanted);

    // The filter of the outer query holds inside, so that limits count what satisfies it.
    let filtered = QueryRequest { filter: Some(field("n").eq(4)), ..over(Query::Rrf(Rrf::default())) };
    let found = world.ask(&filtered).expect("works");
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|hit| hit.payload.as_ref().is_some_and(|payload| payload["n"] == 4)));
}

#[test]
fn formulas_compute_what_they_say() {
    let world = world(Distance::Dot);
    let value = |formula: Value| {
        let request = json!({
            "prefetch": [{"filter": {"must": [{"has_id": [7]}]}}],
            "query": {"formula": formula, "defaults": {"missing": 4, "$score[3]": 9, "place": {"lon": 0, "lat": 1}, "when": "1970-01-02"}},
        });
        world.ask(&QueryRequest::from_json(&request).expect("works")).map(|found| found[0].score)
    };
    for (formula, wanted) in [
        (json!(2.5), 2.5),
        (json!("$score"), 1.0),
        (json!("$score[1]"), 0.0),
        (json!("$score[3]"), 9.0),
        (json!("n"), 7.0),
        (json!("missing"), 4.0),
        (json!({"key": "tags", "match": {"value": "t1"}}), 1.0),
        (json!({"sum": []}), 0.0),
        (json!({"mult": []}), 1.0),
        (json!({"mult": [0, {"div": {"left": 1, "right": 0}}]}), 0.0),
        (json!({"max": [1, "n", 3]}), 7.0),
        (json!({"min": [1, "n", 3]}), 1.0),
        (json!({"abs": {"neg": "n"}}), 7.0),
        (json!({"div": {"left": "n", "right": 2}}), 3.5),
        (json!({"div": {"left": 1, "right": 0, "by_zero_default": 6}}), 6.0),
        (json!({"sqrt": 16}), 4.0),
        (json!({"pow": {"base": 2, "exponent": 10}}), 1024.0),
        (json!({"exp": 1}), std::f32::consts::E),
        (json!({"log10": 1000}), 3.0),
        (json!({"ln": 1}), 0.0),
        (json!({"acosh": 1}), 0.0),
        (json!({"datetime": "1970-01-01T00:01:00Z"}), 60.0),
        (json!({"datetime_key": "when"}), 86400.0),
        (json!({"div": {"left": {"geo_distance": {"origin": {"lon": 0, "lat": 0}, "to": "place"}}, "right": 1000}}), 111.195),
        (json!({"lin_decay": {"x": "n", "target": 5, "scale": 4}}), 0.75),
        (json!({"exp_decay": {"x": "n", "target": 5, "scale": 2, "midpoint": 0.25}}), 0.25),
        (json!({"gauss_decay": {"x": "n", "target": 5, "scale": 4, "midpoint": 0.0625}}), 0.5),
    ] {
        let found = value(formula.clone()).expect("works");
        assert!((found - wanted).abs() < 1e-3, "{formula}: {found}, not {wanted}");
    }
    for (formula, why) in [
        (json!({"div": {"left": 1, "right": 0}}), "1 / 0"),
        (json!({"ln": 0}), "ln(0)"),
        (json!({"sqrt": -1}), "sqrt(-1)"),
        (json!("nowhere"), "no `nowhere`"),
        (json!("tags"), "2 values of `tags`"),
        (json!({"mult": [1e30, 1e30]}), "not a finite"),
    ] {
        let error = value(formula.clone()).expect_err("fails").to_string();
        assert!(error.contains(why), "{formula}: {error}");
    }
}

#[test]
fn diversity_trades_closeness_for_difference() {
    let world = world(Distance::Cosine);
    let query = world.vectors[3].clone();
    let with = |diversity: f32| {
        let mmr = Mmr { diversity: Some(diversity), candidates_limit: Some(60) };
        world.ask(&exact(Query::Nearest { target: SearchTarget::from(query.clone()), mmr: Some(mmr) })).expect("works")
    };
    let plain = world.ask(&exact(Query::from(query.clone()))).expect("works");
    assert_eq!(with(0.0).iter().map(|hit| &hit.id).collect::<Vec<_>>(), plain.iter().map(|hit| &hit.id).collect::<Vec<_>>());
    let candidates = &world.ranked(&[], |row| world.score(&query, row))[..60];
    let row = |id: u64| &world.vectors[id as usize];
    let mut wanted = vec![candidates[0].0];
    while wanted.len() < 10 {
        let worth = |id: u64| {
            let nearest = wanted.iter().map(|&other| world.score(row(id), row(other))).fold(f32::MIN, f32::max);
            0.6 * world.score(&query, row(id)) - 0.4 * nearest
        };
        let left = candidates.iter().map(|(id, _)| *id).filter(|id| !wanted.contains(id));
        wanted.push(left.max_by(|&a, &b| worth(a).total_cmp(&worth(b))).expect("works"));
    }
    let found: Vec<String> = with(0.4).iter().map(|hit| hit.id.to_string()).collect();
    assert_eq!(found, wanted.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert!(matches!(
        world.ask(&exact(Query::Nearest { target: query.into(), mmr: Some(Mmr { diversity: Some(1.5), ..Mmr::default() }) })),
        Err(Error::InvalidQuery { .. })
    ));
}

#[test]
fn groups_hold_the_best_of_each_value() {
    let world = world(Distance::Euclid);
    let points = world.db.collection("points").open().expect("works");
    let query = &world.vectors[9];
    let ranked = world.ranked(&[], |row| world.score(query, row));
    // Three hundred points in a group, or one: the groups of a rare value must be filled as well.
    for (key, groups_of) in
        [("n", (|id| vec![json!(id % 10)]) as fn(u64) -> Vec<Value>), ("tags", |id| vec![json!(format!("t{}", id % 3)), json!("all")])]
    {
        let mut request = exact(Query::from(query.clone()));
        request.limit = 3;
        let found = points
            .groups(&GroupsRequest { query: request, group_by: key.parse().expect("works"), group_size: 40, with_lookup: None })
            .expect("works");
        let mut wanted: Vec<(Value, Vec<u64>)> = Vec::new();
        for &(id, _) in &ranked {
            for value in groups_of(id) {
                match wanted.iter_mut().find(|(other, _)| *other == value) {
                    Some((_, ids)) => ids.push(id),
                    None => wanted.push((value, vec![id])),
                }
            }
        }
        wanted.truncate(3);
        wanted.iter_mut().for_each(|(_, ids)| ids.truncate(40));
        let ids = |hits: &[ScoredPoint]| -> Vec<String> { hits.iter().map(|hit| hit.id.to_string()).collect() };
        let found: Vec<(Value, Vec<String>)> = found.iter().map(|group| (group.id.clone(), ids(&group.hits))).collect();
        let wanted: Vec<(Value, Vec<String>)> =
            wanted.into_iter().map(|(value, ids)| (value, ids.iter().map(ToString::to_string).collect())).collect();
        assert_eq!(found, wanted, "{key}");
    }
    for (limit, group_size) in [(MAX_RESULTS + 1, 1), (1, MAX_RESULTS + 1)] {
        let query = QueryRequest { limit, ..exact(Query::from(query.clone())) };
        let refused = points.groups(&GroupsRequest { query, group_by: "n".parse().expect("works"), group_size, with_lookup: None });
        assert!(matches!(refused, Err(Error::LimitExceeded { .. })), "{refused:?}");
    }
}

#[test]
fn facets_count_each_value_once_a_point() {
    let world = world(Distance::Dot);
    let points = world.db.collection("points").open().expect("works");
    points.upsert([Point::bare(5000u64).with("tags", json!(["all", "all", 1, true, null, 2.5]))]).expect("works");
    let facet = |key: &str, filter: Option<Filter>, limit| {
        let found = points
            .facet(&FacetRequest { key: key.parse().expect("works"), filter, limit, exact: true, budget: Default::default() })
            .expect("works");
        found.into_iter().map(|hit| (hit.value, hit.count)).collect::<Vec<_>>()
    };
    let third = POINTS / 3;
    let wanted =
        [(json!("all"), POINTS + 1), (json!("t0"), third), (json!("t1"), third), (json!("t2"), third), (json!(true), 1), (json!(1), 1)];
    assert_eq!(facet("tags", None, 10), wanted);
    assert_eq!(facet("tags", None, 2), wanted[..2]);
    assert_eq!(facet("n", Some(field("n").lt(2)), 10), [(json!(0), POINTS / 10), (json!(1), POINTS / 10)]);
    assert!(facet("nowhere", None, 10).is_empty());

    // An index counts the same: beside values it does not know, for UUIDs in two spellings, after deletes, with filters.
    let uuid = "0b8d3c0e-5a3c-4c69-8f0c-2b5a0f3f8c11";
    points.upsert([Point::bare(5001u64).with("tags", json!([uuid, uuid.replace('-', ""), "all"]))]).expect("works");
    points.delete([PointId::Num(3), PointId::Num(895)].to_vec()).expect("works");
    let filters = || [None, Some(field("n").gt(4)), Some(field("x").lt(40.0))];
    let plain: Vec<_> = filters().map(|filter| facet("tags", filter, 100)).into_iter().collect();
    assert!(plain[0].contains(&(json!(uuid), 1)), "{:?}", plain[0]);
    points.create_index("tags", FieldSchema::keyword()).expect("works");
    for optimized in [false, true] {
        if optimized {
            points.optimize().expect("works");
        }
        let counted: Vec<_> = filters().map(|filter| facet("tags", filter, 100)).into_iter().collect();
        assert_eq!(counted, plain, "{optimized}");
    }
    assert_eq!(facet("n", None, 1), [(json!(0), POINTS / 10)]);
}

#[test]
fn samples_are_fair_and_repeatable() {
    let world = world(Distance::Dot);
    let sample = |seed| {
        let mut request = QueryRequest::new(Query::Sample { seed });
        request.limit = 50;
        let found = world.ask(&request).expect("works");
        found.iter().map(|hit| hit.id.to_string().parse::<u64>().expect("works")).collect::<Vec<_>>()
    };
    assert_eq!(sample(Some(4)), sample(Some(4)));
    assert_ne!(sample(Some(4)), sample(Some(5)));
    // Every point comes as often as every other: 400 samples of 50 out of 900 take each 22 times.
    let mut taken = vec![0u32; POINTS as usize];
    (0..400).flat_map(|seed| sample(Some(seed))).for_each(|id| taken[id as usize] += 1);
    let (mean, spread) =
        (400.0 * 50.0 / POINTS as f64, taken.iter().map(|&n| (f64::from(n) - 400.0 * 50.0 / POINTS as f64).powi(2)).sum::<f64>());
    let chi_squared = spread / mean;
    assert!((700.0..1100.0).contains(&chi_squared), "{chi_squared}");
}

#[test]
fn drawn_samples_are_fair_distinct_and_live() {
    let world = world(Distance::Dot);
    let points = world.db.collection("points").open().expect("works");
    points.delete((0..POINTS).step_by(3).map(PointId::from).collect::<Vec<_>>()).expect("works");
    let mut request = QueryRequest::new(Query::Sample { seed: None });
    request.filter = Some(field("n").lt(8));
    request.limit = 40;
    let matching: Vec<u64> = (0..POINTS).filter(|id| id % 3 != 0 && id % 10 < 8).collect();
    let mut taken = vec![0u32; POINTS as usize];
    for _ in 0..400 {
        let mut ids: Vec<u64> = world.ask(&request).expect("works").iter().map(|hit| hit.id.to_string().parse().expect("works")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 40);
        ids.iter().for_each(|&id| taken[id as usize] += 1);
    }
    let mean = 400.0 * 40.0 / matching.len() as f64;
    assert_eq!(matching.iter().map(|&id| taken[id as usize]).sum::<u32>(), 400 * 40, "only what matches");
    // 480 points that are taken or not in 400 rounds; chance leaves the bounds once in millions of runs.
    let chi_squared = matching.iter().map(|&id| (f64::from(taken[id as usize]) - mean).powi(2)).sum::<f64>() / mean;
    assert!((270.0..640.0).contains(&chi_squared), "{chi_squared}");
    // Where few match, all of them are looked at.
    request.limit = 400;
    assert_eq!(world.ask(&request).expect("works").len(), 400);
    request.limit = 1000;
    assert_eq!(world.ask(&request).expect("works").len(), matching.len());
}

#[test]
fn matrices_hold_distances_between_samples() {
    let world = world(Distance::Euclid);
    let points = world.db.collection("points").open().expect("works");
    let request = MatrixRequest {
        filter: Some(field("n").eq(3)),
        sample: 20,
        limit: 4,
        using: String::new(),
        seed: Some(1),
        budget: Default::default(),
    };
    let matrix = points.distance_matrix(&request).expect("works");
    assert_eq!((matrix.ids.len(), matrix.pairs().count()), (20, 80));
    assert!(matrix.ids.windows(2).all(|pair| pair[0] < pair[1]));
    let row = |id: &PointId| &world.vectors[id.to_string().parse::<usize>().expect("works")];
    for (id, found) in matrix.ids.iter().zip(&matrix.rows) {
        let mut wanted: Vec<f32> =
            matrix.ids.iter().filter(|other| *other != id).map(|other| world.user(world.score(row(id), row(other)))).collect();
        wanted.sort_by(f32::total_cmp);
        assert!(found.iter().zip(&wanted).all(|((_, score), wanted)| (score - wanted).abs() < 1e-5), "{found:?} {wanted:?}");
    }
    let none = MatrixRequest { filter: Some(field("n").eq(99)), ..request };
    assert_eq!(points.distance_matrix(&none).expect("works"), DistanceMatrix::default());
}

#[test]
fn thresholds_are_kept_whatever_their_sign() {
    for distance in [Distance::Dot, Distance::Euclid, Distance::Manhattan] {
        let world = world(distance);
        for threshold in [-3.0, -0.5, 0.0, 0.5, 3.0] {
            let request =
                QueryRequest { score_threshold: Some(threshold), limit: POINTS as usize, ..exact(Query::from(world.vectors[0].clone())) };
            let found = world.ask(&request).expect("works");
            let keeps = |score: f32| if distance == Distance::Dot { score >= threshold } else { score <= threshold };
            let wanted =
                world.ranked(&[], |row| world.score(&world.vectors[0], row)).into_iter().filter(|(_, score)| keeps(world.user(*score)));
            assert_eq!(found.len(), wanted.count(), "{distance:?} {threshold}");
        }
    }
}

#[test]
fn orders_and_queries_that_make_no_sense_are_told_apart() {
    let world = world(Distance::Dot);
    let ordered = QueryRequest::from_json(&json!({"query": {"order_by": {"key": "n", "direction": "desc"}}, "limit": 2, "offset": 1}))
        .expect("works");
    let found = world.ask(&ordered).expect("works");
    assert_eq!(
        found.iter().map(|hit| (hit.id.to_string(), hit.order_value.clone())).collect::<Vec<_>>(),
        [("19".to_owned(), Some(json!(9))), ("29".to_owned(), Some(json!(9)))]
    );
    let first = world.ask(&QueryRequest { limit: 2, ..QueryRequest::new(None) }).expect("works");
    assert_eq!(first.iter().map(|hit| (hit.id.to_string(), hit.score)).collect::<Vec<_>>(), [("0".to_owned(), 1.0), ("1".to_owned(), 1.0)]);
    let formula = Query::Formula(Formula::from(Expression::Constant(1.0)));
    let recommend = |strategy| Query::Recommend { positive: Vec::new(), negative: Vec::new(), strategy };
    for query in [
        Query::Dbsf,
        Query::Rrf(Rrf::default()),
        formula,
        recommend(RecommendStrategy::AverageVector),
        recommend(RecommendStrategy::BestScore),
        Query::Context(Vec::new()),
        Query::Nearest { target: SearchTarget::from(vec![f32::NAN; DIM]), mmr: None },
        Query::from(vec![1.0]),
    ] {
        let error = world.ask(&QueryRequest::new(query.clone())).expect_err("fails");
        assert_eq!(error.kind(), vectordb_core::ErrorKind::Invalid, "{query:?}: {error}");
    }
    let weights = Query::Rrf(Rrf { k: None, weights: Some(vec![1.0]) });
    let two = QueryRequest { prefetch: vec![Prefetch::default(), Prefetch::default()], ..QueryRequest::new(weights) };
    assert!(matches!(world.ask(&two), Err(Error::InvalidQuery { .. })));
    let mut deep = Prefetch::default();
    for _ in 0..40 {
        deep = Prefetch { prefetch: vec![deep], query: Some(Query::Dbsf), ..Prefetch::default() };
    }
    let deep = QueryRequest { prefetch: vec![deep], ..QueryRequest::new(Query::Dbsf) };
    assert!(matches!(world.ask(&deep), Err(Error::InvalidQuery { .. })));
}

#[test]
fn facets_of_many_points_without_an_index_are_estimated_unless_asked_otherwise() {
    let db = manual(Arc::new(MemFs::default()));
    let mut config = CollectionConfig::unnamed(1, Distance::Dot);
    config.optimizers_config.indexing_threshold = Some(0);
    let points = db.create_collection("many", config).expect("works");
    // Every other point is of one kind, every tenth of another, and so on.
    let kind = |id: u64| {
        ["half", "tenth", "fiftieth", "rest"]
            [[id.is_multiple_of(2), id % 10 == 1, id % 50 == 3, true].iter().position(|is| *is).expect("one")]
    };
    for batch in (0..100_000u64).collect::<Vec<_>>().chunks(5000) {
        points.upsert(batch.iter().map(|&id| Point::new(id, [0.5]).with("kind", kind(id)).with("n", id))).expect("works");
    }
    let ask = |filter: Option<Filter>, exact| {
        let request = FacetRequest { key: "kind".parse().expect("a path"), filter, limit: 10, exact, budget: Default::default() };
        let hits = points.facet(&request).expect("works");
        hits.into_iter().map(|hit| (hit.value.as_str().expect("a text").to_owned(), hit.count)).collect::<BTreeMap<_, _>>()
    };
    for filter in [None, Some(field("n").ge(20_000))] {
        let (exact, about) = (ask(filter.clone(), true), ask(filter.clone(), false));
        let share = if filter.is_some() { 0.8 } else { 1.0 };
        assert_eq!(exact["half"], (50_000.0 * share) as u64);
        assert_eq!(exact.keys().collect::<Vec<_>>(), about.keys().collect::<Vec<_>>());
        assert!(exact != about, "counting everything is not estimating");
        for (value, count) in exact {
            let off = about[&value] as f64 / count as f64;
            assert!((0.8..1.25).contains(&off), "{value}: {} instead of {count}", about[&value]);
        }
    }
    points.create_index("kind", FieldSchema::keyword()).expect("works");
    points.create_index("n", FieldSchema::integer()).expect("works");
    assert_eq!(ask(Some(field("n").ge(20_000)), true), ask(Some(field("n").ge(20_000)), false));
}
