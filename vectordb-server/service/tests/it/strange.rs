//! What nobody should ask, but somebody does: each is answered, and does nothing that it should not.

use serde_json::{Value, json};

use crate::support::{ask, error, result, service};

const NULL: &Value = &Value::Null;

fn filled() -> vectordb_service::Service {
    let service = service();
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 2, "distance": "Dot"}}));
    let points: Vec<Value> = (0..5).map(|n| json!({"id": n, "vector": [n, 1]})).collect();
    result(&service, "PUT", "/collections/c/points", &json!({"points": points}));
    service
}

#[test]
fn a_timeout_beyond_all_clocks_is_none() {
    let service = filled();
    let most = format!("/collections/c/points/query?timeout={}", u64::MAX);
    assert_eq!(result(&service, "POST", &most, &json!({"query": [1, 0]}))["points"][0]["id"], 4);
    assert_eq!(error(&service, "POST", "/collections/c/points/query?timeout=0", &json!({"query": [1, 0]})).0, 422);
}

#[test]
fn a_write_with_a_bad_query_is_not_done() {
    let service = filled();
    let delete = json!({"points": [1]});
    for query in ["wait=perhaps", "ordering=none", "timeout=soon"] {
        assert_eq!(error(&service, "POST", &format!("/collections/c/points/delete?{query}"), &delete).0, 400, "{query}");
    }
    assert_eq!(result(&service, "POST", "/collections/c/points/count", NULL)["count"], 5);
}

#[test]
fn no_shard_key_of_a_list_is_not_all_of_them() {
    let service = filled();
    let delete = json!({"filter": {}, "shard_key": []});
    assert_eq!(error(&service, "POST", "/collections/c/points/delete", &delete).0, 400);
    assert_eq!(result(&service, "POST", "/collections/c/points/count", NULL)["count"], 5);
}

#[test]
fn a_batch_of_nothing_needs_a_collection_too() {
    let service = filled();
    let bodies = [("points/batch", "operations"), ("points/query/batch", "searches"), ("points/search/batch", "searches")];
    for (path, list) in bodies {
        let body = json!({list: []});
        assert_eq!(result(&service, "POST", &format!("/collections/c/{path}"), &body), json!([]));
        assert_eq!(error(&service, "POST", &format!("/collections/never/{path}"), &body).0, 404, "{path}");
    }
}

#[test]
fn bodies_and_settings_of_another_form_are_refused() {
    let service = filled();
    for (method, path, body) in [
        ("POST", "/collections/c/points/scroll", json!([null])),
        ("POST", "/collections/c/points/count", json!({"exact": "yes"})),
        ("POST", "/collections/aliases", json!([[]])),
        ("POST", "/collections/c/points/scroll", json!({"offset": "no id"})),
        ("PATCH", "/collections/c", json!({"strict_mode_config": [null]})),
        ("PATCH", "/collections/c", json!({"quantization_config": {"turbo": [null]}})),
        ("PATCH", "/collections/c", json!({"params": [null]})),
        ("POST", "/collections/c/points/query", json!({"lookup_from": {"collection": "c", "shard_key": {"target": "a"}}})),
        ("POST", "/collections/c/points/query", json!({"lookup_from": {"collection": "c", "shard_key": {"target": "", "fallback": "a"}}})),
        (
            "POST",
            "/collections/c/points/query",
            json!({"lookup_from": {"collection": "c", "shard_key": {"target": "a", "fallback": true}}}),
        ),
        ("POST", "/collections/c/points/query", json!({"shard_key": {"target": "a", "fallback": [1]}})),
        ("POST", "/collections/c/points/query/groups", json!({"group_by": "n", "lookup_from": {"collection": "c", "shard_key": []}})),
        ("PUT", "/collections/d", json!({"vectors": {"size": 2, "distance": "Dot"}, "strict_mode_config": "strict"})),
        ("PUT", "/collections/c/points", json!({"batch": {"ids": [], "vectors": {"x": null}}})),
        ("POST", "/collections/c/cluster", json!({"start_resharding": {"direction": "up", "peer_id": {}}})),
    ] {
        assert_eq!(error(&service, method, path, &body).0, 400, "{path} {body}");
    }
    let little = json!({"quantization": {"oversampling": 0}});
    for (path, body) in [
        ("facet", json!({"key": "n", "limit": 0})),
        ("facet", json!({"key": "n", "limit": 10_000_001})),
        ("points/search/matrix/pairs", json!({"sample": 1})),
        ("points/search/matrix/pairs", json!({"sample": 10_001})),
        ("points/search/matrix/offsets", json!({"limit": 10_000_001})),
        ("points/query", json!({"params": little})),
        ("points/query/batch", json!({"searches": [{"params": little}]})),
        ("points/query", json!({"query": {"fusion": "rrf"}, "prefetch": [{"prefetch": {"params": little}}]})),
        ("points/query/groups", json!({"group_by": "n", "params": little})),
        ("points/query/groups", json!({"group_by": "n", "limit": 10_000_001})),
        ("points/query/groups", json!({"group_by": "n", "group_size": 10_000_001})),
        ("points/search/groups", json!({"group_by": "n", "limit": 10_000_001, "group_size": 1, "vector": [1.0, 2.0]})),
    ] {
        assert_eq!(error(&service, "POST", &format!("/collections/c/{path}"), &body).0, 422, "{path}");
    }
    assert_eq!(result(&service, "GET", "/collections/d/exists", NULL)["exists"], false);
}

#[test]
fn the_document_of_the_api_names_every_operation() {
    let (status, document) = ask(&service(), "GET", "/openapi.json", NULL);
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    for operation in vectordb_service::rest::operations() {
        let described = &document["paths"][operation.path][operation.method.to_lowercase()];
        assert!(described["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{operation:?}");
    }
}
