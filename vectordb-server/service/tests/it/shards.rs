//! A collection of several shards answers as one of a single shard.

use serde_json::{Value, json};
use vectordb_core::Options;
use vectordb_service::{Service, Settings};

use crate::support::{result, service};

/// A small generator of numbers, the same each time (SplitMix64, Steele et al. 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn vector(&mut self, dim: usize) -> Vec<f64> {
        (0..dim).map(|_| (self.next() % 2001) as f64 / 1000.0 - 1.0).collect()
    }
}

fn points(numbers: &mut Numbers) -> Vec<Value> {
    (0..120)
        .map(|id| {
            let tags: Vec<String> = (0..numbers.next() % 3).map(|tag| format!("t{tag}")).collect();
            json!({
                "id": id,
                "vector": {
                    "a": numbers.vector(6),
                    "e": numbers.vector(3),
                    "m": [numbers.vector(2), numbers.vector(2)],
                    "s": {"indices": [id % 7, 7 + id % 5], "values": numbers.vector(2)},
                    "i": {"indices": [id % 11, 20 + id % 3, 30], "values": numbers.vector(3)},
                },
                "payload": {"n": numbers.next() % 40, "k": format!("k{}", numbers.next() % 4), "tags": tags, "x": id as f64 / 7.0, "text": words(id)},
            })
        })
        .collect()
}

/// A text of words, some of which are rarer than others.
fn words(id: u64) -> String {
    let rare = if id.is_multiple_of(17) { " whale" } else { "" };
    format!("the sea is {}{rare}{}", ["deep", "wide", "cold"][(id % 3) as usize], " and blue".repeat((id % 4) as usize))
}

fn queries(numbers: &mut Numbers) -> Vec<(&'static str, Value)> {
    let filter = json!({"should": [{"key": "n", "range": {"gte": 12}}, {"key": "k", "match": {"value": "k1"}}]});
    let pair = json!([{"positive": 4, "negative": numbers.vector(6)}]);
    let prefetch = json!([
        {"query": numbers.vector(6), "using": "a", "limit": 25, "filter": {"should": [{"key": "n", "range": {"lt": 5}}]}},
        {"query": numbers.vector(3), "using": "e", "limit": 20, "score_threshold": 1.5},
        {"prefetch": {"query": {"indices": [1, 8], "values": [1, 2]}, "using": "s", "limit": 30}, "query": numbers.vector(6), "using": "a", "limit": 9},
    ]);
    vec![
        ("query", json!({"query": numbers.vector(6), "using": "a", "filter": filter, "with_payload": true, "with_vector": ["e"]})),
        ("query", json!({"query": 17, "using": "e", "limit": 7, "offset": 3})),
        ("query", json!({"query": numbers.vector(3), "using": "e", "score_threshold": 0.9})),
        ("query", json!({"query": [numbers.vector(2)], "using": "m"})),
        ("query", json!({"query": {"indices": [2, 9], "values": [1, 0.5]}, "using": "s"})),
        ("query", json!({"query": {"indices": [3, 21, 30], "values": [1, 0.5, 2]}, "using": "i", "limit": 30, "filter": filter})),
        ("query", json!({"query": 3, "using": "i", "limit": 20})),
        ("query", json!({"query": {"recommend": {"positive": [1, {"indices": [5, 22], "values": [1, 1]}]}}, "using": "i"})),
        ("query", json!({"query": {"indices": [3, 21], "values": [1, 2]}, "using": "i", "params": {"idf": {"corpus": filter}}})),
        ("query/groups", json!({"query": {"indices": [3, 21], "values": [1, 2]}, "using": "i", "group_by": "k", "limit": 3})),
        ("query", json!({"query": {"text": {"query": "a cold whale in the blue sea"}}, "using": "text", "limit": 40})),
        (
            "query",
            json!({"prefetch": {"query": {"text": {"query": "blue whale"}}, "using": "text", "limit": 9}, "query": {"fusion": "rrf"}}),
        ),
        (
            "query",
            json!({"query": {"nearest": numbers.vector(6), "mmr": {"diversity": 0.4, "candidates_limit": 40}}, "using": "a", "limit": 8}),
        ),
        ("query", json!({"query": {"recommend": {"positive": [1, 2], "negative": [3]}}, "using": "a"})),
        ("query", json!({"query": {"recommend": {"positive": [1], "negative": [3], "strategy": "best_score"}}, "using": "e"})),
        ("query", json!({"query": {"discover": {"target": 9, "context": pair}}, "using": "a", "filter": filter})),
        // Many are equally good: with fewer asked for, which of them would be free.
        ("query", json!({"query": {"context": pair}, "using": "a", "limit": 200})),
        ("query", json!({"query": {"order_by": {"key": "x", "direction": "desc"}}, "limit": 12})),
        ("query", json!({"limit": 15, "offset": 4})),
        ("query", json!({"prefetch": prefetch, "query": {"fusion": "rrf"}, "filter": filter})),
        ("query", json!({"prefetch": prefetch, "query": {"fusion": "dbsf"}, "limit": 5, "offset": 2})),
        ("query", json!({"prefetch": prefetch, "query": {"rrf": {"k": 9, "weights": [1, 2, 0.5]}}, "with_payload": ["n"]})),
        ("query", json!({"prefetch": prefetch, "query": numbers.vector(6), "using": "a"})),
        (
            "query",
            json!({"prefetch": prefetch, "query": {"formula": {"sum": ["$score[0]", {"mult": [0.1, "n"]}, {"key": "k", "match": {"value": "k2"}}]}}, "filter": filter}),
        ),
        ("query/groups", json!({"query": numbers.vector(6), "using": "a", "group_by": "k", "group_size": 2, "limit": 3})),
        ("query/groups", json!({"query": numbers.vector(3), "using": "e", "group_by": "tags", "limit": 2, "with_payload": true})),
        ("query/groups", json!({"prefetch": prefetch, "query": {"fusion": "rrf"}, "group_by": "k", "limit": 3, "group_size": 4})),
        ("query/groups", json!({"prefetch": prefetch, "query": {"fusion": "dbsf"}, "filter": filter, "group_by": "k", "group_size": 60})),
        (
            "query/groups",
            json!({"prefetch": prefetch, "query": numbers.vector(6), "using": "a", "filter": filter, "group_by": "k", "group_size": 60}),
        ),
        ("search/matrix/pairs", json!({"sample": 200, "limit": 3, "using": "a", "filter": {"must": [{"key": "n", "range": {"lt": 9}}]}})),
        ("scroll", json!({"limit": 33, "filter": filter, "with_vector": true})),
        ("scroll", json!({"limit": 9, "offset": 50})),
        ("scroll", json!({"limit": 9, "order_by": {"key": "x", "start_from": 3.0}})),
        ("count", json!({"filter": filter})),
    ]
}

/// Answers without what may differ: the last digit of a score, and versions, which count each shard's updates.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => json!((number.as_f64().unwrap_or(0.0) * 1e4).round() / 1e4),
        Value::Array(items) => items.into_iter().map(rounded).collect(),
        Value::Object(map) => map.into_iter().filter(|(key, _)| key != "version").map(|(key, value)| (key, rounded(value))).collect(),
        other => other,
    }
}

#[test]
fn several_shards_answer_as_one() {
    let mut numbers = Numbers(7);
    let service = service();
    let points = points(&mut numbers);
    let vectors = json!({
        "a": {"size": 6, "distance": "Cosine"},
        "e": {"size": 3, "distance": "Euclid"},
        "m": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}},
    });
    let sparse = json!({"s": {}, "i": {"modifier": "idf"}});
    for shards in [1, 4] {
        let name = format!("/collections/c{shards}");
        result(&service, "PUT", &name, &json!({"vectors": vectors, "sparse_vectors": sparse, "shard_number": shards}));
        result(&service, "PUT", &format!("{name}/index"), &json!({"field_name": "x", "field_schema": "float"}));
        let text = json!({"field_name": "text", "field_schema": {"type": "text", "scoring": true}});
        result(&service, "PUT", &format!("{name}/index"), &text);
        result(&service, "PUT", &format!("{name}/points"), &json!({"points": points}));
        result(&service, "POST", &format!("{name}/points/delete"), &json!({"filter": {"must": [{"key": "n", "match": {"value": 3}}]}}));
        result(&service, "POST", &format!("{name}/points/payload"), &json!({"payload": {"k": "k1"}, "points": [5, 6, 7, 8]}));
    }
    for (path, query) in queries(&mut numbers) {
        let of = |shards: u32| rounded(result(&service, "POST", &format!("/collections/c{shards}/points/{path}"), &query));
        assert_eq!(of(4), of(1), "{path} {query}");
    }
    let facet = |shards: u32| result(&service, "POST", &format!("/collections/c{shards}/facet"), &json!({"key": "tags", "limit": 2}));
    assert_eq!(facet(4), facet(1));
}

#[test]
fn samples_are_of_all_shards() {
    let service = service();
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}, "shard_number": 3}));
    let points: Vec<Value> = (0..90).map(|id| json!({"id": id, "vector": [id]})).collect();
    result(&service, "PUT", "/collections/c/points", &json!({"points": points}));
    let sample = |limit: usize| {
        let hits = result(&service, "POST", "/collections/c/points/query", &json!({"query": {"sample": "random"}, "limit": limit}));
        let mut ids: Vec<u64> = hits["points"].as_array().expect("hits").iter().filter_map(|hit| hit["id"].as_u64()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    assert_eq!(sample(10).len(), 10);
    assert_eq!(sample(500).len(), 90);
    assert_ne!(sample(10), sample(10));
}

#[test]
fn many_collections_are_all_there_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Service::open(dir.path(), Options::default(), Settings::default()).expect("a service");
    let service = open();
    for n in 0..20_u64 {
        let name = format!("/collections/c{n}");
        result(&service, "PUT", &name, &json!({"vectors": {"size": 1, "distance": "Dot"}}));
        result(&service, "PUT", &format!("{name}/points"), &json!({"points": [{"id": n, "vector": [n]}]}));
    }
    drop(service);
    let service = open();
    for n in 0..20_u64 {
        let page = result(&service, "POST", &format!("/collections/c{n}/points/scroll"), &json!({}));
        assert_eq!(page["points"][0]["id"], n);
    }
}
