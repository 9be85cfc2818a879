//! Metrics, read as strictly as a scraper reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use vectordb_core::Options;
use vectordb_service::{Access, CollectionAccess, Family, FamilyKind, Fault, Service, Settings, families, rest};

/// Labels of a series, sorted.
type Labels = BTreeMap<String, String>;

/// What a text of the format 0.0.4 says, or a panic where it is none.
#[derive(Debug, Default)]
struct Scrape {
    kinds: BTreeMap<String, String>,
    series: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        let (mut current, mut closed) = (String::new(), BTreeSet::new());
        assert!(text.ends_with('\n'), "the last line is not ended");
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("HELP has words");
                assert!(!words.is_empty() && closed.insert(name.to_owned()), "{name} comes twice");
                let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
                let kind = kind.unwrap_or_else(|| panic!("TYPE follows HELP of {name}"));
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
                current = name.to_owned();
                scrape.kinds.insert(current.clone(), kind.to_owned());
                assert!(lines.peek().is_some_and(|line| line.starts_with(name)), "{name} has no series");
                continue;
            }
            let (name, labels, value) = series(line);
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} stands among {current}"));
            match scrape.kinds[&current].as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{name}"),
                _ => assert_eq!(suffix, "", "{name}"),
            }
            assert!(scrape.series.insert((name.clone(), labels.clone()), value).is_none(), "{name} {labels:?} comes twice");
        }
        scrape.check_histograms();
        scrape
    }

    /// Buckets grow, and the last holds as much as the count says.
    fn check_histograms(&self) {
        for (family, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let counts = self.series.iter().filter(|((name, _), _)| *name == format!("{family}_count"));
            for ((_, labels), &count) in counts {
                let mut buckets: Vec<(f64, f64)> = self
                    .series
                    .iter()
                    .filter_map(|((name, found), &value)| {
                        let mut rest = found.clone();
                        let bound = rest.remove("le")?;
                        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") };
                        (*name == format!("{family}_bucket") && rest == *labels).then_some((bound, value))
                    })
                    .collect();
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{family} {labels:?}: {buckets:?}");
                assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{family} {labels:?}");
                assert!(buckets.iter().any(|(bound, _)| *bound == 0.1), "{family}: a rule asks for 0.1");
                assert!(self.series.contains_key(&(format!("{family}_sum"), labels.clone())), "{family} has a sum");
            }
        }
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.series.get(&(name.to_owned(), labels)).copied()
    }
}

/// Name, labels and value of a line.
fn series(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no series: {line}"));
    let (name, mut rest) = line.split_at(end);
    let plain = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    assert!(plain(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            assert!(plain(label), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap_or_else(|| panic!("no end of a value: {line}")) {
                    (at, '"') => break at + 1,
                    (_, '\\') => match chars.next() {
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, char @ ('"' | '\\'))) => value.push(char),
                        other => panic!("{other:?} is escaped: {line}"),
                    },
                    (_, char) => value.push(char),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[end..];
            match (rest.strip_prefix(','), rest.strip_prefix('}')) {
                (Some(next), _) => rest = next,
                (None, Some(end)) => break rest = end,
                (None, None) => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

fn ask(service: &Service, method: &str, target: &str, body: &Value) -> Value {
    let body = body.to_string();
    let response = rest::handle(service, &rest::Request::new(method, target, body.as_bytes()));
    response.count(service, Duration::from_millis(30));
    serde_json::from_slice(&response.body).unwrap_or(Value::Null)
}

fn scrape(service: &Service, query: &str) -> Scrape {
    let target = format!("/metrics{query}");
    let response = rest::handle(service, &rest::Request::new("GET", &target, b""));
    assert!(response.status == 200 && response.content_type.starts_with("text/plain"), "{response:?}");
    Scrape::parse(&String::from_utf8(response.body).expect("text"))
}

fn filled(service: &Service, name: &str) {
    let vectors = json!({"vectors": {"a": {"size": 2, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}}});
    ask(service, "PUT", &format!("/collections/{name}"), &vectors);
    let points: Vec<Value> = (0..10)
        .map(|n| if n < 4 { json!({"id": n, "vector": {"a": [n, 1], "b": [1, n]}}) } else { json!({"id": n, "vector": {"a": [n, 1]}}) })
        .collect();
    assert_eq!(ask(service, "PUT", &format!("/collections/{name}/points?wait=true"), &json!({"points": points}))["status"], "ok");
}

#[test]
fn every_series_comes_once_and_says_what_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::default();
    settings.metrics_prefix = "qdrant_".to_owned();
    let service = Service::open(dir.path(), Options::default(), settings).expect("a service");
    assert_eq!(scrape(&service, "").value("qdrant_collections_total", &[]), Some(0.0));
    // A name that must be escaped where it stands.
    filled(&service, "new\nline");
    filled(&service, "docs");
    for _ in 0..7 {
        ask(&service, "POST", "/collections/docs/points/query", &json!({"query": [1, 1], "using": "a", "limit": 2}));
    }
    ask(&service, "POST", "/collections/docs/points/query", &json!({"query": {"sample": "random"}}));
    ask(&service, "POST", "/collections/nothing/points/query", &json!({"query": [1, 1]}));
    ask(&service, "POST", "/collections/docs/snapshots", &Value::Null);
    service.metrics().grpc("/qdrant.Points/Search", 0, Duration::from_millis(3));
    service.metrics().grpc("/qdrant.Points/Search", 0, Duration::from_millis(5));

    let seen = scrape(&service, "");
    let value = |name: &str, labels: &[(&str, &str)]| seen.value(&format!("qdrant_{name}"), labels);
    assert_eq!((value("collections_total", &[]), value("vectors_total", &[])), (Some(2.0), Some(28.0)));
    assert_eq!(value("collection_points", &[("id", "new\nline")]), Some(10.0));
    assert_eq!(value("collection_vectors", &[("collection", "docs"), ("vector", "b")]), Some(4.0));
    assert_eq!(value("search_latency_seconds_count", &[("collection", "docs"), ("kind", "nearest")]), Some(7.0));
    assert_eq!(value("search_latency_seconds_count", &[("collection", "docs"), ("kind", "sample")]), Some(1.0));
    assert_eq!(value("grpc_requests_total", &[("method", "/qdrant.Points/Search"), ("status", "0")]), Some(2.0));
    assert_eq!(value("snapshot_created_total", &[("id", "docs")]), Some(1.0));
    let query = "/collections/{collection_name}/points/query";
    let ok = [("method", "POST"), ("endpoint", query), ("status", "200")];
    assert_eq!(value("rest_responses_total", &ok), Some(8.0));
    assert_eq!(value("rest_responses_avg_duration_seconds", &ok), Some(0.03));
    assert_eq!(value("rest_responses_total", &[("method", "POST"), ("endpoint", query), ("status", "404")]), Some(1.0));
    let (free, total) = (value("disk_free_bytes", &[]).expect("free"), value("disk_total_bytes", &[]).expect("total"));
    assert!(free > 0.0 && free <= total);
    assert!(value("process_threads", &[]).is_some_and(|threads| threads >= 1.0));
    let now = jiff::Timestamp::now().as_second() as f64;
    assert!(value("process_start_time_seconds", &[]).is_some_and(|start| start <= now + 1.0 && start > now - 86_400.0));
    assert_eq!((value("backup_failures_total", &[]), value("backup_last_success_timestamp_seconds", &[])), (Some(0.0), None));
    assert_eq!((value("cluster_enabled", &[]), value("cluster_peers_total", &[])), (Some(0.0), None));
    let node = scrape(&of_a_node(), "");
    check_dashboard(&seen, &node);
    // Nothing is said under a name that the table does not have, and in another kind than it has.
    for (name, kind) in seen.kinds.iter().chain(&node.kinds) {
        let family = families().iter().find(|family| Some(family.name) == name.strip_prefix("qdrant_")).expect("it is in the table");
        assert_eq!(*kind, format!("{:?}", family.kind).to_lowercase(), "{name}");
    }
    let known: BTreeSet<&str> = families().iter().map(|family| family.name).collect();
    assert_eq!(known.len(), families().len(), "a name is in the table twice");

    let each = scrape(&service, "?per_collection=true");
    let of = |collection| each.value("qdrant_rest_responses_total", &[&ok[..], &[("collection", collection)]].concat());
    assert_eq!((of("docs"), of("new\nline"), of("nothing")), (Some(8.0), None, None));
    assert_eq!(each.value("qdrant_rest_responses_total", &ok), None);

    // A collection that is gone has no series, but its answers stay counted.
    ask(&service, "DELETE", "/collections/docs", &Value::Null);
    let seen = scrape(&service, "");
    assert_eq!(seen.value("qdrant_rest_responses_total", &ok), Some(8.0));
    assert!(!seen.series.keys().any(|(_, labels)| labels.values().any(|value| value == "docs")));
}

/// A node of a cluster.
fn of_a_node() -> Service {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::default();
    settings.metrics_prefix = "qdrant_".to_owned();
    crate::peers::leader(dir.path(), settings)
}

#[test]
fn a_node_tells_of_its_cluster() {
    let seen = scrape(&of_a_node(), "");
    let value = |name: &str, labels: &[(&str, &str)]| seen.value(&format!("qdrant_{name}"), labels);
    let single = |name: &str| value(name, &[]).unwrap_or_else(|| panic!("there is no {name}"));
    let expected = [
        ("cluster_enabled", 1.0),
        ("cluster_peers_total", 2.0),
        ("cluster_peers_alive", 1.0),
        ("cluster_leader_known", 1.0),
        ("cluster_term", 7.0),
        ("cluster_pending_operations_total", 3.0),
        ("cluster_voter", 1.0),
        ("cluster_shards_without_primary", 0.0),
        ("collection_active_replicas_min", 1.0),
        ("collection_active_replicas_max", 2.0),
        ("collection_dead_replicas", 2.0),
    ];
    assert_eq!(expected.map(|(name, _)| (name, single(name))), expected);
    assert_eq!(value("cluster_commit", &[("peer_id", "2")]), Some(41.0));
    let states = ["working", "stopped_with_error"].map(|state| value("cluster_working_state", &[("state", state)]));
    assert_eq!(states, [Some(1.0), Some(0.0)]);
    assert_eq!(value("cluster_replicas", &[("state", "Partial")]), Some(1.0));
    let transfers = ["incoming", "outgoing"].map(|way| value(&format!("collection_shard_transfer_{way}"), &[("id", "docs")]));
    assert_eq!(transfers, [Some(1.0), Some(0.0)]);
}

#[test]
fn backups_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let service = Service::open(dir.path(), Options::default(), Settings::default()).expect("a service");
    filled(&service, "docs");
    let before = jiff::Timestamp::now().as_second() as f64;
    ask(&service, "POST", "/backups", &json!({"collections": ["nothing"]}));
    let seen = scrape(&service, "");
    assert_eq!(seen.value("vectordb_backup_failures_total", &[]), Some(1.0));
    assert_eq!(seen.value("vectordb_backup_last_success_timestamp_seconds", &[]), None);
    assert_eq!(ask(&service, "POST", "/backups", &Value::Null)["status"], "ok");
    let seen = scrape(&service, "");
    assert_eq!(seen.value("vectordb_backup_failures_total", &[]), Some(1.0));
    assert!(seen.value("vectordb_backup_last_success_timestamp_seconds", &[]).is_some_and(|at| at >= before));
}

/// What the rules for Prometheus ask for is there to be asked for.
#[test]
fn every_alert_asks_for_metrics_that_there_are() {
    let rules = include_str!("../../../../k8s/helm/files/alerts.yaml");
    let rules: String = rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let asked = rules.split("PREFIX_").skip(1).map(|rest| {
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(rest.len());
        &rest[..end]
    });
    assert!(asked.clone().count() > 15);
    for name in asked {
        let of = |family: &Family| {
            let suffixes: &[&str] = if family.kind == FamilyKind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
            suffixes.iter().any(|suffix| name == format!("{}{suffix}", family.name))
        };
        assert!(families().iter().any(of), "there is no {name}, which an alert asks for");
    }
}

/// Everything that the dashboard for Grafana asks for is there to be asked for.
fn check_dashboard(alone: &Scrape, node: &Scrape) {
    let text = include_str!("../../../../k8s/grafana/vectordb.json");
    let dashboard: Value = serde_json::from_str(text).expect("JSON");
    let mut exprs = Vec::new();
    gather(&dashboard, &mut exprs);
    assert!(exprs.len() > 30, "{exprs:?}");
    for expr in exprs {
        let mut names = expr.split("${prefix}").skip(1).peekable();
        assert!(names.peek().is_some(), "{expr} asks for nothing");
        for name in names {
            let end = name.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(name.len());
            let name = format!("qdrant_{}", &name[..end]);
            let series = alone.series.keys().chain(node.series.keys());
            let series: Vec<&Labels> = series.filter(|(found, _)| *found == name).map(|(_, labels)| labels).collect();
            assert!(!series.is_empty(), "there is no {name}, which the dashboard asks for: {expr}");
            // What it groups by is a label of each.
            for by in expr.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()) {
                for label in by.split(", ") {
                    assert!(series.iter().all(|labels| labels.contains_key(label)), "{name} has no {label}: {expr}");
                }
            }
        }
    }
}

/// Every expression and every query of a variable.
fn gather<'d>(json: &'d Value, found: &mut Vec<&'d str>) {
    match json {
        Value::Object(map) => map.iter().for_each(|(name, value)| match (name.as_str(), value) {
            ("expr", Value::String(text)) => found.push(text),
            ("query", Value::String(text)) if text.starts_with("label_values") => found.push(text),
            (_, value) => gather(value, found),
        }),
        Value::Array(list) => list.iter().for_each(|value| gather(value, found)),
        _ => {}
    }
}

#[test]
fn telemetry_tells_what_scripts_ask_for() {
    let service = Service::in_memory(Settings::default()).expect("a service");
    filled(&service, "docs");
    let told = ask(&service, "GET", "/telemetry?details_level=3", &Value::Null)["result"].clone();
    assert_eq!((&told["collections"]["number_of_collections"], &told["app"]["features"]["staging"]), (&json!(1), &json!(false)));
    assert_eq!(told["collections"]["collections"][0]["id"], json!("docs"));
    let upsert = &told["requests"]["rest"]["responses"]["PUT /collections/{collection_name}/points"]["200"];
    assert_eq!((&upsert["count"], &upsert["avg_duration_micros"]), (&json!(1), &json!(30_000.0)));
    let peer = service.peer_id().to_string();
    assert_eq!(told["cluster"]["peer_metadata"][&peer]["version"], json!("1.20.0"));
    let hidden = ask(&service, "GET", "/telemetry?details_level=3&anonymize=true", &Value::Null);
    assert!(!hidden["result"]["collections"].to_string().contains("docs"));
    let one = Access::Collections([("docs".to_owned(), CollectionAccess::Write)].into());
    assert_eq!(service.metrics_text(false, &one).expect_err("it is refused").fault, Fault::Forbidden);
    assert_eq!(service.telemetry(0, false, &one).expect_err("it is refused").fault, Fault::Forbidden);
    assert!(service.metrics_text(false, &Access::Read).expect("text").contains("vectordb_collections_total 1\n"));
}
