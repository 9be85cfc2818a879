//! Strict mode: every limit at its edge and one beyond it.

use serde_json::{Value, json};
use vectordb_service::{Service, rest};

use crate::support::{ask, error, result, service};

/// A collection of ten points with a strict mode.
fn strict(limits: Value) -> Service {
    let service = service();
    let body = json!({
        "vectors": {"size": 4, "distance": "Dot"},
        "sparse_vectors": {"words": {}},
    });
    result(&service, "PUT", "/collections/docs", &body);
    let points: Vec<Value> = (0..10).map(|id| json!({"id": id, "vector": [id, 1, 1, 1], "payload": {"city": "Berlin", "n": id}})).collect();
    result(&service, "PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
    result(&service, "PUT", "/collections/docs/index?wait=true", &json!({"field_name": "n", "field_schema": "integer"}));
    limit(&service, limits);
    service
}

/// Adds to the limits, which are on from then.
fn limit(service: &Service, mut limits: Value) {
    limits["enabled"] = json!(true);
    result(service, "PATCH", "/collections/docs", &json!({"strict_mode_config": limits}));
}

const POINTS: &str = "/collections/docs/points";

fn post(path: &str) -> String {
    format!("{POINTS}/{path}")
}

/// One request lets itself be done, the other is refused with all these words.
#[track_caller]
fn edge(service: &Service, (method, target): (&str, &str), good: &Value, bad: &Value, words: &[&str]) {
    result(service, method, target, good);
    let (status, text) = error(service, method, target, bad);
    assert_eq!(status, 400, "{text}");
    assert!(text.starts_with("Bad request: "), "{text}");
    for word in words {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn limits_of_searches() {
    let service = strict(json!({"max_query_limit": 4}));
    let search = post("query");
    let query = |more: Value| {
        let mut body = json!({"query": [1, 2, 3, 4], "limit": 2});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let words = ["Limit exceeded 5 > 4 for \"limit\"", "Help: Reduce the \"limit\" parameter to or below 4."];
    edge(&service, ("POST", &search), &query(json!({"limit": 4})), &query(json!({"limit": 5})), &words);
    let prefetch = |limit: u64| query(json!({"prefetch": [{"query": [1, 1, 1, 1], "limit": limit}]}));
    edge(&service, ("POST", &search), &prefetch(4), &prefetch(5), &words);
    let legacy = |limit: u64| json!({"vector": [1, 2, 3, 4], "limit": limit});
    edge(&service, ("POST", &post("search")), &legacy(4), &legacy(5), &words);
    edge(&service, ("POST", &post("scroll")), &json!({"limit": 4}), &json!({"limit": 5}), &words);
    let facet = |limit: u64| json!({"key": "n", "limit": limit});
    edge(&service, ("POST", "/collections/docs/facet"), &facet(4), &facet(5), &words);
    let groups = |size: u64| query(json!({"group_by": "n", "group_size": size}));
    edge(&service, ("POST", &post("query/groups")), &groups(4), &groups(5), &["group_size"]);
    let matrix = |sample: u64| json!({"sample": sample, "limit": 2});
    edge(&service, ("POST", &post("search/matrix/pairs")), &matrix(4), &matrix(5), &["sample"]);

    limit(&service, json!({"search_max_hnsw_ef": 7, "search_allow_exact": false, "search_max_oversampling": 1.5}));
    let params = |params: Value| query(json!({"params": params}));
    edge(&service, ("POST", &search), &params(json!({"hnsw_ef": 7})), &params(json!({"hnsw_ef": 8})), &["hnsw_ef", "8 > 7"]);
    edge(&service, ("POST", &search), &params(json!({"exact": false})), &params(json!({"exact": true})), &["Exact"]);
    let oversampling = |factor: f64| params(json!({"quantization": {"oversampling": factor}}));
    edge(&service, ("POST", &search), &oversampling(1.5), &oversampling(1.6), &["oversampling", "1.6 > 1.5"]);

    limit(&service, json!({"max_timeout": 3, "search_max_batchsize": 2}));
    result(&service, "POST", &format!("{search}?timeout=3"), &query(json!({})));
    let (status, text) = error(&service, "POST", &format!("{search}?timeout=4"), &query(json!({})));
    assert_eq!((status, text.contains("4 > 3 for \"timeout\"")), (400, true), "{text}");
    let batch = |count: usize| json!({"searches": vec![query(json!({})); count]});
    edge(&service, ("POST", &post("query/batch")), &batch(2), &batch(3), &["batch", "3 > 2"]);
    let batch = |count: usize| json!({"searches": vec![legacy(1); count]});
    edge(&service, ("POST", &post("search/batch")), &batch(2), &batch(3), &["batch", "3 > 2"]);
}

#[test]
fn limits_of_filters() {
    let service = strict(json!({"filter_max_conditions": 3, "condition_max_size": 2}));
    let filter = |filter: Value| json!({"filter": filter});
    let many = |count: i64| filter(json!({"must": (0..count).map(|n| json!({"key": "n", "match": {"value": n}})).collect::<Vec<_>>()}));
    edge(&service, ("POST", &post("scroll")), &many(3), &many(4), &["Filter condition limit", "4 > 3"]);
    edge(&service, ("POST", &post("count")), &many(3), &many(4), &["Filter condition limit"]);
    edge(&service, ("POST", &post("delete")), &many(3), &many(4), &["Filter condition limit"]);
    let inner = |count: i64| filter(json!({"must": [{"nested": {"key": "a", "filter": many(count)["filter"]}}]}));
    edge(&service, ("POST", &post("scroll")), &inner(2), &inner(3), &["Filter condition limit", "4 > 3"]);
    let any = |values: Value| filter(json!({"should": [{"key": "n", "match": {"any": values}}]}));
    edge(&service, ("POST", &post("scroll")), &any(json!([1, 2])), &any(json!([1, 2, 3])), &["Condition size limit", "3 > 2"]);
    let ids = |ids: Value| filter(json!({"must_not": [{"has_id": ids}]}));
    edge(&service, ("POST", &post("scroll")), &ids(json!([1, 2])), &ids(json!([1, 2, 3])), &["Condition size limit"]);
}

#[test]
fn fields_without_an_index() {
    let service = strict(json!({"unindexed_filtering_retrieve": false}));
    let filter = |condition: Value| json!({"filter": {"must": [condition]}});
    let n = filter(json!({"key": "n", "range": {"gt": 3}}));
    let city = filter(json!({"key": "city", "match": {"value": "Berlin"}}));
    let words = ["Index required but not found for \"city\" of one of the following types: [keyword].", "Help: Create an index"];
    edge(&service, ("POST", &post("scroll")), &n, &city, &words);
    let formula = |condition: &Value| json!({"prefetch": {"query": [1, 1, 1, 1]}, "query": {"formula": {"sum": ["$score", condition]}}});
    let condition = |body: &Value| body["filter"]["must"][0].clone();
    edge(&service, ("POST", &post("query")), &formula(&condition(&n)), &formula(&condition(&city)), &words);
    // An index of another kind does not help.
    edge(&service, ("POST", &post("scroll")), &n, &filter(json!({"key": "n", "match": {"value": "x"}})), &["[keyword]"]);
    let uuid = filter(json!({"key": "n", "match": {"value": "a57e3ac6-1f6c-4a30-9f4c-8f8d4d7a4b10"}}));
    edge(&service, ("POST", &post("scroll")), &n, &uuid, &["[keyword, uuid]"]);
    let empty = |key: &str| filter(json!({"is_empty": {"key": key}}));
    edge(&service, ("POST", &post("scroll")), &empty("n"), &empty("city"), &["for \"city\". Help"]);
    let nested = |key: &str| filter(json!({"nested": {"key": "a", "filter": {"must": [{"key": key, "match": {"value": 1}}]}}}));
    result(&service, "PUT", "/collections/docs/index", &json!({"field_name": "a[].b", "field_schema": "integer"}));
    edge(&service, ("POST", &post("scroll")), &nested("b"), &nested("c"), &["\"a[].c\"", "[integer]"]);

    // Updates have a limit of their own.
    result(&service, "POST", &post("payload"), &json!({"payload": {"x": 1}, "filter": city["filter"]}));
    limit(&service, json!({"unindexed_filtering_update": false}));
    edge(&service, ("POST", &post("delete")), &n, &city, &words);
    let set = |filter: &Value| json!({"payload": {"x": 1}, "filter": filter["filter"]});
    edge(&service, ("POST", &post("payload")), &set(&n), &set(&city), &words);
    result(&service, "PUT", "/collections/docs/index", &json!({"field_name": "city", "field_schema": "keyword"}));
    result(&service, "POST", &post("scroll"), &city);
    result(&service, "POST", &post("delete"), &city);
}

#[test]
fn limits_of_writes() {
    let service = strict(json!({"upsert_max_batchsize": 2, "max_payload_index_count": 2}));
    let points = |ids: &[u64]| json!({"points": ids.iter().map(|id| json!({"id": id, "vector": [1, 2, 3, 4]})).collect::<Vec<_>>()});
    edge(&service, ("PUT", POINTS), &points(&[1, 2]), &points(&[1, 2, 3]), &["upsert limit", "3 > 2"]);
    let batch = |ids: &[u64]| json!({"operations": [{"upsert": points(ids)}]});
    edge(&service, ("POST", &post("batch")), &batch(&[1, 2]), &batch(&[1, 2, 3]), &["upsert limit"]);
    edge(&service, ("PUT", &post("vectors")), &points(&[1, 2]), &points(&[1, 2, 3]), &["update limit"]);
    let index = |field: &str| json!({"field_name": field, "field_schema": "keyword"});
    edge(&service, ("PUT", "/collections/docs/index"), &index("city"), &index("other"), &["max_payload_index_count"]);
    result(&service, "PUT", "/collections/docs/index", &index("city"));

    limit(&service, json!({"sparse_config": {"words": {"max_length": 3}}}));
    let sparse = |count: u32| {
        let vector = json!({"indices": (0..count).collect::<Vec<_>>(), "values": vec![1.0; count as usize]});
        json!({"points": [{"id": 1, "vector": {"words": vector}}]})
    };
    edge(&service, ("PUT", POINTS), &sparse(3), &sparse(4), &["Sparse vector 'words' has a limit of 3 indices, but 4 were provided!"]);
    edge(&service, ("PUT", &post("vectors")), &sparse(3), &sparse(4), &["Sparse vector 'words' has a limit of 3 indices"]);
}

#[test]
fn limits_of_multivectors() {
    let service = service();
    let vectors = json!({"many": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}});
    let strict = json!({"enabled": true, "multivector_config": {"many": {"max_vectors": 2}}});
    result(&service, "PUT", "/collections/docs", &json!({"vectors": vectors, "strict_mode_config": strict}));
    let point = |rows: usize| json!({"points": [{"id": 1, "vector": {"many": vec![[1, 2]; rows]}}]});
    edge(&service, ("PUT", POINTS), &point(2), &point(3), &["Multivector 'many' has a limit of 2 vectors, but 3 were provided!"]);
}

#[test]
fn a_collection_grows_to_its_limits() {
    let points = |ids: std::ops::Range<u64>| json!({"points": ids.map(|id| json!({"id": id, "vector": [1, 2, 3, 4], "payload": {"city": "Berlin", "n": 5}})).collect::<Vec<_>>()});
    // A point has 16 bytes of vectors and 23 of payload.
    for (name, most, text) in [
        ("max_points_count", 12, "Max points count"),
        ("max_collection_vector_size_bytes", 12 * 16, "Max vector storage size"),
        ("max_collection_payload_size_bytes", 12 * 23, "Max payload storage size"),
    ] {
        let service = strict(json!({name: most}));
        edge(&service, ("PUT", POINTS), &points(0..12), &points(12..13), &[text, name]);
        // It goes on when there is room again, and stops at the same place.
        result(&service, "POST", &post("delete"), &json!({"points": [0, 1]}));
        edge(&service, ("PUT", POINTS), &points(4..12), &points(12..15), &[text]);
        edge(&service, ("PUT", POINTS), &points(12..14), &points(12..14), &[text]);
        result(&service, "POST", &post("scroll"), &json!({}));
    }
}

#[test]
fn a_minute_has_room_for_so_many_reads_and_writes() {
    let service = strict(json!({"read_rate_limit": 2, "write_rate_limit": 7}));
    let body = json!({"limit": 1}).to_string();
    let target = post("scroll");
    let read = || rest::handle(&service, &rest::Request::new("POST", &target, body.as_bytes()));
    assert_eq!([read().status, read().status], [200, 200]);
    let refused = read();
    assert_eq!(refused.status, 429);
    assert!((20..=30).contains(&refused.retry_after_secs.expect("how long to wait")), "{:?}", refused.retry_after_secs);
    let text = String::from_utf8_lossy(&refused.body);
    assert!(text.contains("Rate limiting exceeded: Read rate limit exceeded, retry later"), "{text}");

    let upsert = |count: u64| json!({"points": (0..count).map(|id| json!({"id": id, "vector": [1, 2, 3, 4]})).collect::<Vec<_>>()});
    let (status, text) = error(&service, "PUT", POINTS, &upsert(8));
    assert_eq!((status, text.contains("requires 8 tokens but the limit is 7")), (400, true), "{text}");
    result(&service, "PUT", POINTS, &upsert(1));
    let filter = json!({"filter": {"must": [{"key": "city", "match": {"value": "Paris"}}]}});
    result(&service, "POST", &post("delete"), &filter);
    let (status, text) = error(&service, "POST", &post("delete"), &filter);
    let expected = "Rate limiting exceeded: Write rate limit exceeded: Operation requires 5 tokens but only 1 are available";
    assert_eq!((status, text.contains(expected)), (429, true), "{text}");

    // Switched off, nothing is limited; switched on again, it is as before.
    result(&service, "PATCH", "/collections/docs", &json!({"strict_mode_config": {"enabled": false}}));
    for _ in 0..5 {
        assert_eq!((read().status, ask(&service, "PUT", POINTS, &upsert(9)).0), (200, 200));
    }
    limit(&service, json!({}));
    assert_eq!(read().status, 429);
}

#[test]
fn limits_are_kept_and_told() {
    let service = service();
    let body = |strict: Value| json!({"vectors": {"size": 4, "distance": "Dot"}, "strict_mode_config": strict});
    let (status, text) = error(&service, "PUT", "/collections/docs", &body(json!({"max_query_limit": 0})));
    assert_eq!((status, text.contains("strict_mode_config.max_query_limit")), (422, true), "{text}");
    assert_eq!(error(&service, "PUT", "/collections/docs", &body(json!({"enabled": "yes"}))).0, 400);
    result(&service, "PUT", "/collections/docs", &body(json!({"enabled": true, "max_query_limit": 5, "sparse_config": null})));
    assert_eq!(error(&service, "PATCH", "/collections/docs", &json!({"strict_mode_config": {"max_timeout": 0}})).0, 422);
    result(&service, "PATCH", "/collections/docs", &json!({"strict_mode_config": {"max_timeout": 9}}));
    let info = result(&service, "GET", "/collections/docs", &Value::Null);
    assert_eq!(info["config"]["strict_mode_config"], json!({"enabled": true, "max_query_limit": 5, "max_timeout": 9}));
    // A process never takes more than all of the machine's memory.
    result(&service, "PATCH", "/collections/docs", &json!({"strict_mode_config": {"max_resident_memory_percent": 100}}));
    result(&service, "PUT", POINTS, &json!({"points": [{"id": 1, "vector": [1, 2, 3, 4]}]}));
}
