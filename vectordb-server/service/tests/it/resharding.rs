//! Another number of shards for a collection that is read and written meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vectordb_core::Options;
use vectordb_service::{Service, Settings};

use crate::support::{ask, error, result, service};

fn point(id: u64, serial: u64) -> Value {
    json!({"id": id, "vector": [id, serial], "payload": {"serial": serial, "kind": id % 5}})
}

fn filled(service: &Service, shards: u32, points: u64) {
    result(service, "PUT", "/collections/docs", &json!({"vectors": {"size": 2, "distance": "Euclid"}, "shard_number": shards}));
    result(service, "PUT", "/collections/docs/index?wait=true", &json!({"field_name": "kind", "field_schema": "integer"}));
    let points: Vec<Value> = (0..points).map(|id| point(id, 0)).collect();
    result(service, "PUT", "/collections/docs/points?wait=true", &json!({"points": points}));
}

fn wait(service: &Service, done: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let now = result(service, "GET", "/collections/docs/cluster", &Value::Null);
        if done(&now) {
            return now;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{now}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn reshard(service: &Service, shards: u32) {
    result(service, "PATCH", "/collections/docs", &json!({"params": {"shard_number": shards}}));
    let now = wait(service, |now| now.get("resharding_operations").is_none());
    assert_eq!(now["shard_count"], shards);
    assert_eq!(result(service, "GET", "/collections/docs", &Value::Null)["config"]["params"]["shard_number"], shards);
}

fn dump(service: &Service) -> BTreeMap<u64, Value> {
    let body = json!({"limit": 100_000, "with_payload": true, "with_vector": true});
    let page = result(service, "POST", "/collections/docs/points/scroll", &body);
    let points = page["points"].as_array().expect("a page");
    points.iter().map(|point| (point["id"].as_u64().expect("a number"), point.clone())).collect()
}

#[test]
fn points_payloads_indexes_and_answers_stay_what_they_are() {
    let service = service();
    filled(&service, 3, 1_000);
    let (before, query) =
        (dump(&service), json!({"query": [17, 0], "limit": 9, "filter": {"must": [{"key": "kind", "match": {"value": 2}}]}}));
    let found = result(&service, "POST", "/collections/docs/points/query", &query);
    let strip = |hits: &Value| {
        hits["points"].as_array().expect("hits").iter().map(|hit| (hit["id"].clone(), hit["score"].clone())).collect::<Vec<_>>()
    };
    for shards in [5, 2, 1, 4] {
        reshard(&service, shards);
        assert_eq!(dump(&service), before, "{shards}");
        assert_eq!(strip(&result(&service, "POST", "/collections/docs/points/query", &query)), strip(&found));
        let schema = &result(&service, "GET", "/collections/docs", &Value::Null)["payload_schema"]["kind"];
        assert_eq!((schema["data_type"].as_str(), schema["points"].as_u64()), (Some("integer"), Some(1_000)));
    }
}

/// What one writer did to points that are its own.
fn write(service: &Service, client: u64, stop: &AtomicBool) -> BTreeMap<u64, u64> {
    let mut serials: BTreeMap<u64, u64> = BTreeMap::new();
    let mut serial: u64 = 0;
    let base = 1_000_000 * client;
    let send = |method: &str, path: &str, body: Value| result(service, method, &format!("/collections/docs/points{path}?wait=true"), &body);
    while !stop.load(Ordering::Relaxed) {
        serial += 1;
        let id = base + serial * 7919 % 300;
        let mine = json!({"must": [{"key": "client", "match": {"value": client}}, {"key": "kind", "match": {"value": serial % 5}}]});
        match serial % 7 {
            0 => {
                send("POST", "/delete", json!({"points": [id]}));
                serials.remove(&id);
            }
            1 => {
                send("POST", "/payload", json!({"payload": {"serial": serial}, "filter": mine}));
                serials.iter_mut().filter(|(id, _)| *id % 5 == serial % 5).for_each(|(_, known)| *known = serial);
            }
            2 if serial.is_multiple_of(3) => {
                send("POST", "/delete", json!({"filter": mine}));
                serials.retain(|id, _| id % 5 != serial % 5);
            }
            _ => {
                let mut point = point(id, serial);
                point["payload"]["client"] = json!(client);
                send("PUT", "", json!({"points": [point]}));
                serials.insert(id, serial);
            }
        }
    }
    serials
}

#[test]
fn nothing_is_lost_and_no_read_fails_while_it_is_written() {
    let service = service();
    filled(&service, 3, 3_000);
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let expected = std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=2)
            .map(|client| {
                scope.spawn({
                    let (service, stop) = (&service, &stop);
                    move || write(service, client, stop)
                })
            })
            .collect();
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let body = json!({"exact": true, "filter": {"must_not": [{"key": "client", "range": {"gte": 0}}]}});
                let count = result(&service, "POST", "/collections/docs/points/count", &body);
                assert_eq!(count["count"], 3_000, "never both the old shards and the new");
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        for shards in [5, 2, 3] {
            std::thread::sleep(Duration::from_millis(100));
            reshard(&service, shards);
        }
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().expect("it was not refused")).collect::<BTreeMap<u64, u64>>()
    });
    let found: BTreeMap<u64, u64> = dump(&service)
        .into_iter()
        .filter(|(id, _)| *id >= 1_000_000)
        .map(|(id, point)| (id, point["payload"]["serial"].as_u64().expect("a serial")))
        .collect();
    assert!(expected.len() > 50 && reads.load(Ordering::Relaxed) > 10, "{} points, {reads:?} reads", expected.len());
    assert_eq!(found, expected);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let service = service();
    filled(&service, 2, 10);
    let patch = |shards: Value| ask(&service, "PATCH", "/collections/docs", &json!({"params": {"shard_number": shards}})).0;
    assert_eq!([patch(json!(0)), patch(json!(2000)), patch(json!("two")), patch(json!(2))], [422, 422, 400, 200]);
    let operate = |body: Value| error(&service, "POST", "/collections/docs/cluster", &body);
    let (status, text) = operate(json!({"abort_resharding": {}}));
    assert!(status == 400 && text.contains("is not being resharded"), "{text}");
    assert_eq!(operate(json!({"start_resharding": {"direction": "up", "shard_key": "a"}})).0, 400);
    assert_eq!(operate(json!({"start_resharding": {"direction": "sideways"}})).0, 400);
    result(&service, "PUT", "/collections/tenants", &json!({"vectors": {"size": 2, "distance": "Dot"}, "sharding_method": "custom"}));
    let (status, text) = error(&service, "PATCH", "/collections/tenants", &json!({"params": {"shard_number": 3}}));
    assert!(status == 400 && text.contains("start_resharding"), "{text}");
    reshard(&service, 1);
    let (status, text) = operate(json!({"start_resharding": {"direction": "down"}}));
    assert!(status == 400 && text.contains("last shard"), "{text}");
}

#[test]
fn one_shard_key_gets_more_shards_and_the_others_keep_theirs() {
    let service = service();
    result(&service, "PUT", "/collections/docs", &json!({"vectors": {"size": 2, "distance": "Euclid"}, "sharding_method": "custom"}));
    for key in ["a", "b"] {
        result(&service, "PUT", "/collections/docs/shards", &json!({"shard_key": key}));
        let points: Vec<Value> = (0..200).map(|id| point(id, u64::from(key == "b"))).collect();
        result(&service, "PUT", "/collections/docs/points?wait=true", &json!({"points": points, "shard_key": key}));
    }
    let start = json!({"start_resharding": {"direction": "up", "shard_key": "b", "peer_id": null}});
    result(&service, "POST", "/collections/docs/cluster", &start);
    let now = wait(&service, |now| now.get("resharding_operations").is_none());
    let of = |key: &str| now["local_shards"].as_array().expect("shards").iter().filter(|shard| shard["shard_key"] == key).count();
    assert_eq!((of("a"), of("b")), (1, 2));
    for (key, serial) in [("a", 0), ("b", 1)] {
        let body = json!({"limit": 1000, "shard_key": key, "with_payload": true});
        let page = result(&service, "POST", "/collections/docs/points/scroll", &body);
        let points = page["points"].as_array().expect("a page");
        assert!(points.len() == 200 && points.iter().all(|point| point["payload"]["serial"] == serial), "{key}");
    }
}

#[test]
fn it_goes_on_after_a_restart_and_can_be_given_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || Service::open(directory.path(), Options::default(), Settings::default()).expect("it opens");
    let service = open();
    // So many that it is not over before it is asked about.
    filled(&service, 2, 40_000);
    let before = dump(&service);
    result(&service, "PATCH", "/collections/docs", &json!({"params": {"shard_number": 3}}));
    // What the shards are made of is fixed once the thread has begun, which may be a moment after the answer.
    let configure = || ask(&service, "PATCH", "/collections/docs", &json!({"optimizers_config": {"indexing_threshold": 7}}));
    let begun = Instant::now();
    while configure().0 != 400 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was refused");
    }
    let refused = [
        ask(&service, "PATCH", "/collections/docs", &json!({"params": {"shard_number": 4}})),
        ask(&service, "PUT", "/collections/docs/index?wait=true", &json!({"field_name": "x", "field_schema": "integer"})),
        configure(),
    ];
    for (status, answer) in refused {
        assert!(status == 400 && answer.to_string().contains("is being resharded"), "{answer}");
    }
    let now = result(&service, "GET", "/collections/docs/cluster", &Value::Null);
    assert_eq!((now["resharding_operations"][0]["direction"].as_str(), now["shard_count"].as_u64()), (Some("up"), Some(2)), "{now}");
    service.close().expect("it closes");
    let service = open();
    wait(&service, |now| now.get("resharding_operations").is_none() && now["shard_count"] == 3);
    assert_eq!(dump(&service), before);
    result(&service, "PATCH", "/collections/docs", &json!({"params": {"shard_number": 5}}));
    result(&service, "POST", "/collections/docs/cluster", &json!({"abort_resharding": {}}));
    let now = result(&service, "GET", "/collections/docs/cluster", &Value::Null);
    assert_eq!((now.get("resharding_operations"), now["shard_count"].as_u64()), (None, Some(3)));
    assert_eq!(dump(&service), before);
    result(&service, "PUT", "/collections/docs/points?wait=true", &json!({"points": [point(1, 7)]}));
    result(&service, "PATCH", "/collections/docs", &json!({"params": {"shard_number": 2}}));
    assert_eq!(result(&service, "DELETE", "/collections/docs", &Value::Null), true);
    assert_eq!(service.database().collections(), Vec::<String>::new());
}

#[test]
fn a_tenant_gets_its_points_in_a_shard_key_of_its_own() {
    let service = service();
    result(&service, "PUT", "/collections/docs", &json!({"vectors": {"size": 2, "distance": "Euclid"}, "sharding_method": "custom"}));
    for key in ["all", "big"] {
        result(&service, "PUT", "/collections/docs/shards", &json!({"shard_key": key}));
    }
    let points: Vec<Value> = (0..1_000).map(|id| point(id, 1)).collect();
    result(&service, "PUT", "/collections/docs/points?wait=true", &json!({"points": points, "shard_key": "all"}));
    let replicate = |from: &str, to: &str| {
        let filter = json!({"must": [{"key": "kind", "match": {"value": 3}}]});
        json!({"replicate_points": {"from_shard_key": from, "to_shard_key": to, "filter": filter}})
    };
    // It is written meanwhile.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for serial in 2..40 {
                let point = point(serial * 5 + 3, serial);
                result(&service, "PUT", "/collections/docs/points?wait=true", &json!({"points": [point], "shard_key": "all"}));
            }
        });
        result(&service, "POST", "/collections/docs/cluster", &replicate("all", "big"));
        writer.join().expect("it was not refused");
    });
    result(&service, "POST", "/collections/docs/points/delete?wait=true", &json!({"points": [3], "shard_key": "all"}));
    result(&service, "POST", "/collections/docs/cluster", &replicate("all", "big"));
    let of = |key: &str| {
        let filter = json!({"must": [{"key": "kind", "match": {"value": 3}}]});
        let body = json!({"limit": 2000, "shard_key": key, "filter": filter, "with_payload": true, "with_vector": true});
        result(&service, "POST", "/collections/docs/points/scroll", &body)["points"].as_array().expect("a page").clone()
    };
    let (all, big) = (of("all"), of("big"));
    assert_eq!((all.len(), big.len()), (199, 200), "what the key had before stays");
    assert!(
        all.iter()
            .zip(&big[1..])
            .all(|(all, big)| (&all["id"], &all["payload"], &all["vector"]) == (&big["id"], &big["payload"], &big["vector"]))
    );
    let refused = |from, to| error(&service, "POST", "/collections/docs/cluster", &replicate(from, to)).0;
    assert_eq!([refused("all", "all"), refused("all", "never"), refused("never", "big")], [400; 3]);
}
