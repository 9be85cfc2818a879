//! What the node may take of memory and disk.

use serde_json::{Value, json};
use vectordb_core::Options;
use vectordb_service::{Service, Settings};

use crate::support::{ask, error, result};

const NULL: &Value = &Value::Null;

#[test]
fn quotas_refuse_additions_and_outlive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Service::open(dir.path(), Options::default(), Settings::default()).expect("a service");
    let service = open();
    let status = result(&service, "GET", "/quotas", NULL);
    assert_eq!(status["config"], json!({"enabled": false}));
    assert!(status["usage"]["disk_usage_percent"].as_u64().is_some_and(|percent| percent <= 100), "{status}");
    assert!(status["usage"]["resident_memory_percent"].as_u64().is_some(), "{status}");
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}}));
    let point = json!({"points": [{"id": 1, "vector": [1]}]});
    result(&service, "PUT", "/collections/c/points", &point);

    // A disk of which less than a hundredth is taken cannot be told from one that is empty.
    let taken = status["usage"]["disk_usage_percent"].as_u64().unwrap_or(0).max(1);
    let quota = json!({"enabled": true, "max_disk_usage_percent": taken, "release_margin_percent": 100});
    assert_eq!(result(&service, "PUT", "/quotas", &quota), true);
    drop(service);
    let service = open();
    assert_eq!(result(&service, "GET", "/quotas", NULL)["config"], quota);
    if status["usage"]["disk_usage_percent"].as_u64() >= Some(1) {
        let (status, text) = error(&service, "PUT", "/collections/c/points", &point);
        assert!(status == 507 && text.contains("max_disk_usage_percent"), "{text}");
    }
    assert_eq!(ask(&service, "POST", "/collections/c/points/delete", &json!({"points": [1]})).0, 200, "there is room for deletions");
    result(&service, "PUT", "/quotas", &json!({}));
    result(&service, "PUT", "/collections/c/points", &point);

    assert_eq!(error(&service, "PUT", "/quotas", &json!({"max_disk_usage_percent": 101})).0, 422);
    assert_eq!(error(&service, "PUT", "/quotas", &json!({"most": 1})).0, 400);
}

#[test]
fn there_are_no_issues_and_the_shards_of_a_node_are_told() {
    let service = crate::support::service();
    assert_eq!(result(&service, "DELETE", "/issues", NULL), true);
    result(&service, "PUT", "/collections/c", &json!({"vectors": {"size": 1, "distance": "Dot"}, "shard_number": 2}));
    let told = result(&service, "GET", "/cluster/telemetry?details_level=3", NULL);
    assert_eq!(told["cluster"], json!({"enabled": false, "peers": {}}));
    let shards = told["collections"]["c"]["shards"].as_array().expect("shards");
    assert_eq!((shards.len(), &shards[1]["id"], &shards[1]["replicas"][0]["num_points"]), (2, &json!(1), &json!(0)));
    let little = result(&service, "GET", "/cluster/telemetry", NULL);
    assert_eq!(little["collections"]["c"]["shards"], Value::Null);
}
