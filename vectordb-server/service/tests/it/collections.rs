//! Collections, aliases and shard keys.

use serde_json::{Value, json};
use vectordb_core::Options;
use vectordb_service::{Access, Service, Settings, rest};

use crate::support::{ask, error, result, service};

const NULL: &Value = &Value::Null;

#[test]
fn a_collection_lives_and_dies() {
    let service = service();
    let body = json!({"vectors": {"size": 4, "distance": "Cosine"}, "shard_number": 3, "replication_factor": 2, "metadata": {"a": null}});
    assert_eq!(result(&service, "PUT", "/collections/books", &body), true);
    let info = result(&service, "GET", "/collections/books", NULL);
    assert_eq!((&info["status"], &info["points_count"]), (&json!("green"), &json!(0)));
    assert_eq!(info["config"]["params"]["vectors"]["size"], 4);
    assert_eq!(info["config"]["params"]["shard_number"], 3);
    assert_eq!(info["config"]["metadata"], json!({"a": null}));
    assert_eq!(result(&service, "GET", "/collections", NULL), json!({"collections": [{"name": "books"}]}));
    assert_eq!(result(&service, "GET", "/collections/books/exists", NULL), json!({"exists": true}));
    let (status, text) = error(&service, "PUT", "/collections/books", &body);
    assert_eq!((status, &*text), (409, "Wrong input: Collection `books` already exists!"));
    assert_eq!(result(&service, "DELETE", "/collections/books", NULL), true);
    assert_eq!(result(&service, "DELETE", "/collections/books", NULL), false);
    assert_eq!(result(&service, "GET", "/collections/books/exists", NULL), json!({"exists": false}));
    let (status, text) = error(&service, "GET", "/collections/books", NULL);
    assert_eq!((status, &*text), (404, "Not found: Collection `books` doesn't exist!"));
}

#[test]
fn bad_settings_are_refused_with_their_place() {
    let service = service();
    for (body, status, part) in [
        (json!({"vectors": {"size": 0, "distance": "Dot"}}), 422, "Validation error in JSON body: [vectors.size: value 0 invalid"),
        (json!({"vectors": {"size": 4, "distance": "Near"}}), 400, "Format error in JSON body"),
        (json!({"vectors": {"size": 4, "distance": "Dot"}, "hnsw_config": {"ef_construct": 1}}), 422, "hnsw_config.ef_construct"),
        (json!({"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 0}), 422, "shard_number"),
        (json!([1]), 400, "expected an object"),
    ] {
        let (found, text) = error(&service, "PUT", "/collections/x", &body);
        assert_eq!(found, status, "{body}: {text}");
        assert!(text.contains(part), "{body}: {text}");
    }
    for name in ["a%2Fb", "..%2F..", "a%1Fb", &"x".repeat(256)] {
        let (status, _) = error(&service, "PUT", &format!("/collections/{name}"), &json!({"vectors": {"size": 4, "distance": "Dot"}}));
        assert_eq!(status, 422, "{name}");
    }
    assert_eq!(result(&service, "GET", "/collections", NULL), json!({"collections": []}));
}

#[test]
fn changes_are_merged() {
    let service = service();
    let body = json!({"vectors": {"size": 4, "distance": "Dot"}, "metadata": {"a": 1, "b": 2}, "strict_mode_config": {"enabled": true}});
    result(&service, "PUT", "/collections/c", &body);
    let change = json!({
        "optimizers_config": {"indexing_threshold": 77, "flush_interval_sec": null},
        "quantization_config": {"scalar": {"type": "int8", "quantile": 0.9}},
        "metadata": {"a": null, "c": 3},
        "strict_mode_config": {"max_query_limit": 5},
        "params": {"replication_factor": 3},
        "vectors": {"": {"on_disk": true}},
    });
    assert_eq!(result(&service, "PATCH", "/collections/c", &change), true);
    let config = result(&service, "GET", "/collections/c", NULL)["config"].take();
    assert_eq!(config["optimizer_config"]["indexing_threshold"], 77);
    assert_eq!(config["optimizer_config"]["flush_interval_sec"], 5);
    assert_eq!(config["metadata"], json!({"b": 2, "c": 3}));
    assert_eq!(config["strict_mode_config"], json!({"enabled": true, "max_query_limit": 5}));
    assert_eq!(config["params"]["replication_factor"], 3);
    assert_eq!(config["params"]["vectors"]["on_disk"], true);
    assert_eq!(config["quantization_config"]["scalar"]["quantile"], 0.9);
    result(&service, "PATCH", "/collections/c", &json!({"quantization_config": "Disabled"}));
    assert_eq!(result(&service, "GET", "/collections/c", NULL)["config"]["quantization_config"], Value::Null);
    let (status, text) = error(&service, "PATCH", "/collections/c", &json!({"vectors": {"nope": {"on_disk": true}}}));
    assert_eq!((status, &*text), (400, "Wrong input: Not existing vector name error: nope"));
}

#[test]
fn aliases_are_changed_as_a_whole() {
    let service = service();
    for name in ["a", "b"] {
        result(&service, "PUT", &format!("/collections/{name}"), &json!({"vectors": {"size": 1, "distance": "Dot"}}));
    }
    let create = |alias: &str, to: &str| json!({"create_alias": {"alias_name": alias, "collection_name": to}});
    result(&service, "POST", "/collections/aliases", &json!({"actions": [create("live", "a")]}));
    result(&service, "PUT", "/collections/live/points", &json!({"points": [{"id": 1, "vector": [1]}]}));
    assert_eq!(result(&service, "POST", "/collections/a/points/count", &json!({})), json!({"count": 1}));
    // The second action fails, so the first is not done either.
    let (status, _) = error(&service, "POST", "/collections/aliases", &json!({"actions": [create("live", "b"), create("x", "nope")]}));
    assert_eq!(status, 404);
    assert_eq!(result(&service, "GET", "/aliases", NULL), json!({"aliases": [{"alias_name": "live", "collection_name": "a"}]}));
    let switch = json!({"actions": [{"delete_alias": {"alias_name": "live"}}, create("live", "b")]});
    result(&service, "POST", "/collections/aliases", &switch);
    assert_eq!(result(&service, "POST", "/collections/live/points/count", &json!({})), json!({"count": 0}));
    result(&service, "DELETE", "/collections/b", NULL);
    assert_eq!(result(&service, "GET", "/aliases", NULL), json!({"aliases": []}));
}

#[test]
fn points_go_where_their_key_says() {
    let service = service();
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}, "sharding_method": "custom"}));
    let points = |id: u64| json!([{"id": id, "vector": [id]}]);
    let (status, text) = error(&service, "PUT", "/collections/c/points", &json!({"points": points(1)}));
    assert_eq!((status, &*text), (400, "Wrong input: Shard key not specified"));
    for key in ["x", "y"] {
        result(&service, "PUT", "/collections/c/shards", &json!({"shard_key": key, "shards_number": 2}));
    }
    assert_eq!(result(&service, "GET", "/collections/c/shards", NULL), json!({"shard_keys": [{"key": "x"}, {"key": "y"}]}));
    result(&service, "PUT", "/collections/c/points", &json!({"points": points(1), "shard_key": "x"}));
    result(&service, "PUT", "/collections/c/points", &json!({"points": points(2), "shard_key": {"target": "z", "fallback": "y"}}));
    let hits =
        |key: Value| result(&service, "POST", "/collections/c/points/query", &json!({"query": [1], "shard_key": key}))["points"].take();
    assert_eq!(hits(json!("x"))[0]["id"], 1);
    assert_eq!(hits(json!(["x", "y"])).as_array().map(Vec::len), Some(2));
    let (status, _) = error(&service, "POST", "/collections/c/points/query", &json!({"query": [1], "shard_key": "z"}));
    assert_eq!(status, 400);
    assert_eq!(result(&service, "POST", "/collections/c/shards/delete", &json!({"shard_key": "x"})), true);
    assert_eq!(result(&service, "POST", "/collections/c/points/count", &json!({})), json!({"count": 1}));
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Service::open(dir.path(), Options::default(), Settings::default()).expect("it opens");
    let service = open();
    let peer = service.peer_id();
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}, "shard_number": 3}));
    let points: Vec<Value> = (0..50).map(|id| json!({"id": id, "vector": [id]})).collect();
    result(&service, "PUT", "/collections/c/points?wait=true", &json!({"points": points}));
    let alias = json!({"actions": [{"create_alias": {"alias_name": "live", "collection_name": "c"}}]});
    result(&service, "POST", "/collections/aliases", &alias);
    let created = result(&service, "GET", "/collections/c", NULL)["created_at"].take();
    service.close().expect("it closes");
    let service = open();
    assert_eq!(service.peer_id(), peer);
    assert_eq!(result(&service, "POST", "/collections/live/points/count", &json!({})), json!({"count": 50}));
    let info = result(&service, "GET", "/collections/live", NULL);
    assert_eq!((&info["created_at"], &info["config"]["params"]["shard_number"]), (&created, &json!(3)));
}

#[test]
fn a_directory_of_the_embedded_engine_is_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = vectordb_core::Database::open(dir.path()).expect("a database");
    let books = db.collection("books").dim(2).create().expect("a collection");
    books.upsert([vectordb_core::Point::new(7u64, [1.0, 0.0])]).expect("a point");
    drop(books);
    db.close().expect("it closes");
    let service = Service::open(dir.path(), Options::default(), Settings::default()).expect("it opens");
    assert_eq!(result(&service, "GET", "/collections/books/points/7", NULL)["vector"], json!([1.0, 0.0]));
}

#[test]
fn who_may_only_read_cannot_write() {
    let service = service();
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}}));
    let as_reader = |method: &str, target: &str, body: &str| {
        let mut request = rest::Request::new(method, target, body.as_bytes());
        request.access = Access::Read;
        rest::handle(&service, &request).status
    };
    assert_eq!(as_reader("GET", "/collections/c", ""), 200);
    assert_eq!(as_reader("PUT", "/collections/c/points", r#"{"points": [{"id": 1, "vector": [1]}]}"#), 403);
    assert_eq!(as_reader("DELETE", "/collections/c", ""), 403);
    assert_eq!(as_reader("PUT", "/collections/d", r#"{"vectors": {"size": 1, "distance": "Dot"}}"#), 403);
    assert_eq!(result(&service, "POST", "/collections/c/points/count", &json!({})), json!({"count": 0}));
}

#[test]
fn a_node_alone_says_so() {
    let service = service();
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}, "shard_number": 2}));
    assert_eq!(result(&service, "GET", "/cluster", NULL), json!({"status": "disabled"}));
    let shards = result(&service, "GET", "/collections/c/cluster", NULL);
    assert_eq!((&shards["shard_count"], &shards["local_shards"][1]["state"]), (&json!(2), &json!("Active")));
    assert_eq!(ask(&service, "POST", "/collections/c/cluster", &json!({"move_shard": {"shard_id": 0}})).0, 405);
    assert_eq!(ask(&service, "GET", "/healthz", NULL).0, 200);
    assert_eq!(ask(&service, "GET", "/nowhere", NULL).0, 404);
    assert_eq!(ask(&service, "DELETE", "/healthz", NULL).0, 405);
}
