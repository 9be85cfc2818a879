//! What headers ask for beside the request.

use serde_json::{Value, json};
use vectordb_service::{Service, rest};

use crate::support::{result, service};

fn filled(shards: u32) -> Service {
    let service = service();
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 2, "distance": "Dot"}, "shard_number": shards}));
    let points: Vec<Value> = (0..20).map(|n| json!({"id": n, "vector": [n, 1], "payload": {"lang": "en"}})).collect();
    result(&service, "PUT", "/collections/c/points", &json!({"points": points}));
    service
}

fn ask(service: &Service, target: &str, body: &Value, headers: &[(&'static str, &str)]) -> (u16, Value) {
    let body = body.to_string();
    let mut request = rest::Request::new("POST", target, body.as_bytes());
    for (name, value) in headers {
        request.headers.insert(*name, value.parse().expect("a header"));
    }
    let response = rest::handle(service, &request);
    (response.status, serde_json::from_slice(&response.body).expect("JSON"))
}

#[test]
fn a_header_asks_how_a_query_was_answered() {
    for shards in [1, 3] {
        let service = filled(shards);
        let query = json!({"query": [1, 0], "limit": 3, "filter": {"must": [{"key": "lang", "match": {"value": "en"}}]}});
        let path = "/collections/c/points/query";
        let (status, explained) = ask(&service, path, &query, &[(rest::EXPLAIN, "true")]);
        let (_, plain) = ask(&service, path, &query, &[(rest::EXPLAIN, "false")]);
        assert_eq!((status, &explained["result"], plain.get("explain")), (200, &plain["result"], None));
        let told = explained["explain"][0].as_array().expect("what each shard said");
        assert_eq!(told.len(), shards as usize);
        assert_eq!(told[0]["advice"][0], "an index of kind `keyword` on `lang` would help");
        assert!(told[0]["searches"][0]["segments"].as_array().is_some_and(|segments| !segments.is_empty()), "{explained}");
        let (_, batch) = ask(&service, "/collections/c/points/query/batch", &json!({"searches": [query, query]}), &[(rest::EXPLAIN, "1")]);
        assert_eq!(batch["explain"].as_array().map(Vec::len), Some(2), "one for each query");
        assert_eq!(ask(&service, path, &query, &[(rest::EXPLAIN, "perhaps")]).0, 400);
    }
}

#[test]
fn a_header_asks_for_a_recall_where_the_query_says_nothing_of_it() {
    let service = filled(1);
    let recall = |query: &Value, recall: &str| {
        let headers = [(rest::EXPLAIN, "true"), (rest::RECALL, recall)];
        let (status, answer) = ask(&service, "/collections/c/points/query", query, &headers);
        (status, answer["explain"][0][0]["searches"][0]["recall"].clone())
    };
    assert_eq!(recall(&json!({"query": [1, 0]}), "0.9"), (200, json!(0.9)));
    assert_eq!(recall(&json!({"query": [1, 0], "params": {"recall": 0.5}}), "0.9"), (200, json!(0.5)));
    assert_eq!(recall(&json!({"query": {"fusion": "rrf"}, "prefetch": [{"query": [1, 0]}]}), "1"), (200, json!(1.0)));
    for bad in ["0", "1.1", "NaN", "much"] {
        assert_eq!(recall(&json!({"query": [1, 0]}), bad).0, 400, "{bad}");
    }
}
