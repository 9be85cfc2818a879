//! Writes and reads of points.

use serde_json::{Value, json};

use crate::support::{error, result, service};

const NULL: &Value = &Value::Null;

fn books() -> vectordb_service::Service {
    let service = service();
    let body =
        json!({"vectors": {"": {"size": 2, "distance": "Cosine"}, "small": {"size": 1, "distance": "Dot"}}, "sparse_vectors": {"s": {}}});
    result(&service, "PUT", "/collections/c", &body);
    service
}

#[test]
fn both_forms_of_an_upsert_do_the_same() {
    let service = books();
    let rows = json!({"points": [
        {"id": 1, "vector": {"": [3, 4], "s": {"indices": [5, 1], "values": [0.5, 1]}}, "payload": {"n": 1}},
        {"id": "0b8d3c0e5a3c4c698f0c2b5a0f3f8c11", "vector": [1, 0]},
    ]});
    let done = result(&service, "PUT", "/collections/c/points?wait=true", &rows);
    assert_eq!(done["status"], "completed");
    let columns = json!({"batch": {"ids": [2, 3], "vectors": {"": [[3, 4], [0, 1]], "small": [[7], [8]]}, "payloads": [{"n": 2}, null]}});
    assert_eq!(result(&service, "PUT", "/collections/c/points", &columns)["status"], "acknowledged");
    let one = result(&service, "GET", "/collections/c/points/1", NULL);
    assert_eq!(one["payload"], json!({"n": 1}));
    assert_eq!(one["vector"], json!({"": [0.6, 0.8], "s": {"indices": [1, 5], "values": [1.0, 0.5]}}));
    let uuid = result(&service, "GET", "/collections/c/points/0b8d3c0e-5a3c-4c69-8f0c-2b5a0f3f8c11", NULL);
    assert_eq!((&uuid["id"], &uuid["vector"]), (&json!("0b8d3c0e-5a3c-4c69-8f0c-2b5a0f3f8c11"), &json!([1.0, 0.0])));
    let page = result(&service, "POST", "/collections/c/points/scroll", &json!({"limit": 3, "with_vector": ["small"]}));
    let ids: Vec<&Value> = page["points"].as_array().expect("points").iter().map(|point| &point["id"]).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(page["points"][1]["vector"], json!({"small": [7.0]}));
    assert_eq!(page["next_page_offset"], "0b8d3c0e-5a3c-4c69-8f0c-2b5a0f3f8c11");
}

#[test]
fn bad_points_are_refused_and_nothing_is_written() {
    let service = books();
    let good = json!({"id": 1, "vector": [1, 0]});
    for (bad, part) in [
        (json!({"id": 2, "vector": [1, 0, 0]}), "Vector dimension error: expected dim: 2, got 3"),
        (json!({"id": 2, "vector": {"nope": [1]}}), "Not existing vector name error: nope"),
        (json!({"id": "text", "vector": [1, 0]}), "not a valid point ID"),
        (json!({"id": -1, "vector": [1, 0]}), "negative"),
        (json!({"id": 2, "vector": [1, "x"]}), "Format error in JSON body"),
        (json!({"id": 2, "vector": [1e300, 0]}), "finite"),
        (json!({"id": 2}), "missing field `vector`"),
        (json!({"id": 2, "vector": {"text": "a", "model": "some/model"}}), "some/model"),
    ] {
        let (status, text) = error(&service, "PUT", "/collections/c/points", &json!({"points": [good, bad]}));
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(part), "{bad}: {text}");
    }
    let (status, _) = error(&service, "PUT", "/collections/c/points", &json!({"batch": {"ids": [1, 2], "vectors": [[1, 0]]}}));
    assert_eq!(status, 400);
    assert_eq!(result(&service, "POST", "/collections/c/points/count", &json!({})), json!({"count": 0}));
    let (status, text) = error(&service, "GET", "/collections/c/points/9", NULL);
    assert_eq!((status, &*text), (404, "Not found: Point with id 9 does not exists!"));
    let (status, text) = error(&service, "PUT", "/collections/c/points/vectors", &json!({"points": [{"id": 9, "vector": [1, 0]}]}));
    assert_eq!((status, &*text), (404, "Not found: No point with id 9 found"));
}

#[test]
fn payloads_of_points_that_do_not_exist_are_refused_as_the_wire_does() {
    for shards in [1, 3] {
        let service = service();
        result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}, "shard_number": shards}));
        let points: Vec<Value> = (0..9).map(|id| json!({"id": id, "vector": [id], "payload": {"n": id}})).collect();
        result(&service, "PUT", "/collections/c/points", &json!({"points": points}));
        for (method, path, body) in [
            ("POST", "payload", json!({"payload": {"n": 77}, "points": [1, 99]})),
            ("PUT", "payload", json!({"payload": {"n": 77}, "points": [99, 1]})),
            ("POST", "payload/delete", json!({"keys": ["n"], "points": [1, 99, 2]})),
            ("PUT", "vectors", json!({"points": [{"id": 1, "vector": [7]}, {"id": 99, "vector": [7]}]})),
        ] {
            let (status, text) = error(&service, method, &format!("/collections/c/points/{path}"), &body);
            assert_eq!((status, &*text), (404, "Not found: No point with id 99 found"), "{method} {path}");
        }
        let one = result(&service, "GET", "/collections/c/points/1", NULL);
        assert_eq!(one["payload"], json!({"n": 1}), "nothing is done in part");
        result(&service, "POST", "/collections/c/points/payload/clear", &json!({"points": [99]}));
        result(&service, "POST", "/collections/c/points/vectors/delete", &json!({"points": [99], "vector": [""]}));
        let set = json!({"set_payload": {"payload": {"late": true}, "points": [50]}});
        let batch = json!({"operations": [{"upsert": {"points": [{"id": 50, "vector": [1]}]}}, set]});
        result(&service, "POST", "/collections/c/points/batch", &batch);
        assert_eq!(result(&service, "GET", "/collections/c/points/50", NULL)["payload"], json!({"late": true}));
    }
}

#[test]
fn payloads_are_merged_replaced_and_cut() {
    let service = books();
    result(
        &service,
        "PUT",
        "/collections/c/points",
        &json!({"points": [{"id": 1, "vector": [1, 0], "payload": {"a": {"b": 1, "c": 2}, "d": 3}}]}),
    );
    let payload = || result(&service, "GET", "/collections/c/points/1", NULL)["payload"].take();
    result(&service, "POST", "/collections/c/points/payload", &json!({"payload": {"b": 9, "c": null}, "key": "a", "points": [1]}));
    assert_eq!(payload(), json!({"a": {"b": 9}, "d": 3}));
    let filter = json!({"must": [{"key": "d", "match": {"value": 3}}]});
    result(&service, "POST", "/collections/c/points/payload/delete", &json!({"keys": ["a.b"], "filter": filter}));
    assert_eq!(payload(), json!({"a": {}, "d": 3}));
    result(&service, "PUT", "/collections/c/points/payload", &json!({"payload": {"e": [1]}, "points": [1]}));
    assert_eq!(payload(), json!({"e": [1]}));
    result(&service, "POST", "/collections/c/points/payload/clear", &json!({"points": [1]}));
    assert_eq!(payload(), json!({}));
    let (status, text) = error(&service, "POST", "/collections/c/points/payload", &json!({"payload": {"e": 1}}));
    assert_eq!((status, text.contains("`points` or `filter`")), (400, true));
}

#[test]
fn a_batch_happens_as_a_whole() {
    let service = books();
    let operations = json!({"operations": [
        {"upsert": {"points": [{"id": 1, "vector": [1, 0]}, {"id": 2, "vector": [0, 1]}]}},
        {"set_payload": {"payload": {"n": 1}, "points": [1, 2]}},
        {"overwrite_payload": {"payload": {"m": 1}, "points": [2]}},
        {"update_vectors": {"points": [{"id": 1, "vector": {"small": [5]}}]}},
        {"delete_vectors": {"points": [2], "vector": [""]}},
        {"delete_payload": {"keys": ["n"], "points": [1]}},
        {"clear_payload": {"points": [2]}},
        {"delete": {"filter": {"must": [{"has_id": [7]}]}}},
    ]});
    let results = result(&service, "POST", "/collections/c/points/batch?wait=true", &operations);
    assert_eq!(results.as_array().map(Vec::len), Some(8));
    let one = result(&service, "GET", "/collections/c/points/1", NULL);
    assert_eq!((&one["payload"], &one["vector"]["small"]), (&json!({}), &json!([5.0])));
    let bad = json!({"operations": [{"delete": {"points": [1]}}, {"upsert": {"points": [{"id": 3, "vector": [1]}]}}]});
    assert_eq!(error(&service, "POST", "/collections/c/points/batch", &bad).0, 400);
    assert_eq!(result(&service, "POST", "/collections/c/points/count", &json!({})), json!({"count": 2}));
}

#[test]
fn indexes_are_shown_and_ordered_by() {
    let service = books();
    let points: Vec<Value> =
        (0..9).map(|n| json!({"id": n, "vector": [1, n], "payload": {"n": 10 - n, "k": format!("k{}", n % 2)}})).collect();
    result(&service, "PUT", "/collections/c/points", &json!({"points": points}));
    let order = json!({"order_by": {"key": "n", "direction": "asc"}, "limit": 2});
    let (status, text) = error(&service, "POST", "/collections/c/points/scroll", &order);
    assert!(status == 400 && text.contains("order_by"), "{text}");
    for body in [
        json!({"field_name": "n", "field_schema": "integer"}),
        json!({"field_name": "k", "field_schema": {"type": "keyword", "on_disk": null}}),
    ] {
        result(&service, "PUT", "/collections/c/index?wait=true", &body);
    }
    let page = result(&service, "POST", "/collections/c/points/scroll", &order);
    assert_eq!((&page["points"][0]["id"], &page["points"][0]["order_value"]), (&json!(8), &json!(2)));
    assert_eq!(page["next_page_offset"], Value::Null);
    let schema = result(&service, "GET", "/collections/c", NULL)["payload_schema"].take();
    assert_eq!((&schema["n"]["data_type"], &schema["k"]["points"]), (&json!("integer"), &json!(9)));
    let facet = result(&service, "POST", "/collections/c/facet", &json!({"key": "k"}));
    assert_eq!(facet, json!({"hits": [{"value": "k0", "count": 5}, {"value": "k1", "count": 4}]}));
    result(&service, "DELETE", "/collections/c/index/n", NULL);
    assert_eq!(error(&service, "POST", "/collections/c/points/scroll", &order).0, 400);
}

#[test]
fn vectors_come_and_go_on_a_live_collection() {
    let service = books();
    result(&service, "PUT", "/collections/c/vectors/new", &json!({"dense": {"size": 1, "distance": "Dot"}}));
    result(&service, "PUT", "/collections/c/points", &json!({"points": [{"id": 1, "vector": {"new": [2]}}]}));
    assert_eq!(result(&service, "GET", "/collections/c/points/1", NULL)["vector"], json!({"new": [2.0]}));
    result(&service, "DELETE", "/collections/c/vectors/new", NULL);
    assert_eq!(error(&service, "POST", "/collections/c/points/query", &json!({"query": [1], "using": "new"})).0, 400);
}
