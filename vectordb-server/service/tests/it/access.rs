//! Every operation of the table, asked by callers who may do little.

use serde_json::{Value, json};
use vectordb_core::Options;
use vectordb_service::{Access, CollectionAccess, Service, Settings, rest};

/// Bodies, one of which every operation that has a body understands.
fn bodies() -> [Value; 6] {
    let vector = json!([1, 1]);
    [
        json!({}),
        json!({"points": [1], "payload": {"x": 1}, "keys": ["n"], "vector": ["v"], "field_name": "n", "key": "n", "group_by": "n"}),
        json!({"points": [{"id": 9, "vector": vector}], "query": vector, "group_by": "n"}),
        json!({"vectors": {"size": 2, "distance": "Dot"}, "vector": vector, "limit": 3, "group_by": "n", "ids": [1], "positive": [1]}),
        json!({"location": "file:///nowhere", "shard_key": "a", "actions": [{"delete_alias": {"alias_name": "alias"}}]}),
        json!({"operations": [{"delete": {"points": [1]}}], "searches": [{"query": vector}], "dense": {"size": 2, "distance": "Dot"}}),
    ]
}

fn service(directory: &std::path::Path) -> Service {
    let service = Service::open(directory, Options::default(), Settings::default()).expect("a service");
    let ok = |method: &str, target: &str, body: Value| {
        let body = body.to_string();
        assert_eq!(rest::handle(&service, &rest::Request::new(method, target, body.as_bytes())).status, 200, "{method} {target}");
    };
    ok("PUT", "/collections/docs", json!({"vectors": {"size": 2, "distance": "Dot"}}));
    ok("PUT", "/collections/docs/points", json!({"points": [{"id": 1, "vector": [1, 2], "payload": {"n": "a"}}]}));
    ok("POST", "/collections/aliases", json!({"actions": [{"create_alias": {"alias_name": "alias", "collection_name": "docs"}}]}));
    service
}

/// Sends everything to every operation, and gives what was answered with 200 or 202.
fn answered(service: &Service, access: &Access) -> Vec<(String, String)> {
    let mut answered = Vec::new();
    for operation in rest::operations() {
        for body in bodies() {
            let path = operation.path.replace("{collection_name}", "docs").replace("{id}", "1").replace("{shard_id}", "0");
            let path = path.replace(['{', '}'], "");
            let body = body.to_string();
            let request = rest::Request { access: access.clone(), ..rest::Request::new(operation.method, &path, body.as_bytes()) };
            let response = rest::handle(service, &request);
            assert!(response.status < 500, "{operation:?} {body}: {}", String::from_utf8_lossy(&response.body));
            if response.status < 300 {
                answered.push((format!("{operation:?}"), String::from_utf8_lossy(&response.body).into_owned()));
            }
        }
    }
    answered
}

fn state(service: &Service) -> Vec<u8> {
    let mut all = Vec::new();
    for (method, target, body) in [
        ("POST", "/collections/docs/points/scroll", r#"{"with_vector": true}"#),
        ("GET", "/aliases", ""),
        ("GET", "/collections", ""),
        ("GET", "/collections/docs/snapshots", ""),
        ("GET", "/snapshots", ""),
    ] {
        let body = rest::handle(service, &rest::Request::new(method, target, body.as_bytes())).body;
        let json: Value = serde_json::from_slice(&body).expect("JSON");
        all.extend(json["result"].to_string().into_bytes());
    }
    all
}

#[test]
fn who_may_do_nothing_sees_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = service(dir.path());
    let before = state(&service);
    let open = ["GET /", "GET /healthz", "GET /livez", "GET /readyz", "GET /collections", "GET /aliases", "GET /openapi.json"];
    let other = Access::Collections([("other".to_owned(), CollectionAccess::Write)].into());
    for access in [Access::Collections([].into()), other] {
        for (operation, body) in answered(&service, &access) {
            assert!(open.contains(&operation.as_str()) && !body.contains("docs"), "{access:?} {operation}: {body}");
        }
    }
    assert!(state(&service) == before);
}

#[test]
fn who_may_read_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = service(dir.path());
    let before = state(&service);
    for access in [Access::Read, Access::Collections([("docs".to_owned(), CollectionAccess::Read)].into())] {
        let answered = answered(&service, &access);
        assert!(answered.iter().any(|(operation, _)| operation == "POST /collections/{collection_name}/points/scroll"), "reading works");
        assert!(answered.iter().all(|(operation, _)| !operation.starts_with("DELETE") && !operation.starts_with("PATCH")), "{answered:?}");
        assert!(state(&service) == before, "{access:?}");
    }
}
