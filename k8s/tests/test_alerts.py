"""Every alert fires when it should, and not before."""

import os
import subprocess

import pytest
import yaml

import chart

PROMTOOL = os.environ.get("PROMTOOL", "promtool")
POD = '{namespace="vector-db",pod="qdrant-0",job="qdrant",instance="10.0.0.1:6333"'
HOUR = 60


def series(name, values, labels=""):
    return {"series": f"qdrant_{name}{POD}{labels}}}", "values": values}


def searches(within):
    """Sixty searches a minute, each within so many seconds."""
    kind = ',collection="documents",kind="nearest"'
    bounds = ["0.05", "0.1", "0.2", "0.5", "+Inf"]
    return [
        series("search_latency_seconds_bucket", f"0+{60 if float(bound) >= within else 0}x90", f'{kind},le="{bound}"') for bound in bounds
    ]


def disk(free, growth=0, minutes=600):
    return [series("disk_free_bytes", f"{free}{growth:+}x{minutes}"), series("disk_total_bytes", f"100+0x{minutes}")]


def up(value, minutes=20):
    return {"series": f"up{POD}}}", "values": f"{value}+0x{minutes}"}


def answers(good, bad):
    return [
        series("rest_responses_total", f"0+{good}x30", ',method="GET",endpoint="/",status="200"'),
        series("rest_responses_total", f"0+{bad}x30", ',method="GET",endpoint="/",status="500"'),
        series("rest_responses_total", "0+50x30", ',method="GET",endpoint="/",status="404"'),
    ]


def files(open_files, mappings):
    return [
        series("process_open_fds", f"{open_files}+0x30"),
        series("process_max_fds", "1000+0x30"),
        series("process_open_mmaps", f"{mappings}+0x30"),
        series("system_max_mmaps", "1000+0x30"),
    ]


def memory(reserved):
    return [series("memory_reserved_bytes", f"{reserved}+0x30"), series("memory_limit_bytes", "100+0x30")]


def syncs(slow):
    """A hundred syncs a minute, so many of them slower than 100 ms."""
    counts = {"0.05": 100 - slow, "0.1": 100 - slow, "0.2": 100, "+Inf": 100}
    return [series("wal_fsync_seconds_bucket", f"0+{count}x60", f',le="{bound}"') for bound, count in counts.items()]


def certificate(days):
    return [series("tls_certificate_expiry_seconds", f"{days * 86400}+0x90")]


# A backup at midnight, and what is known of it after a restart at one o'clock: nothing.
BACKUP = [series("backup_last_success_timestamp_seconds", "60+0x60 _x3000")]

# Alert, series, minute of the look, how many fire.
CASES = [
    ("QdrantHighLatency", searches(0.15), 15, 1),
    ("QdrantHighLatency", searches(0.15), 4, 0),
    ("QdrantHighLatency", searches(0.05), 15, 0),
    ("QdrantDiskSpaceLow", disk(9), 11, 1),
    ("QdrantDiskSpaceLow", disk(9), 9, 0),
    ("QdrantDiskSpaceLow", disk(11), 30, 0),
    ("QdrantDiskFullSoon", disk(38, -0.05, 480), 420, 1),
    ("QdrantDiskFullSoon", disk(38, -0.001, 480), 420, 0),
    ("QdrantDiskFullSoon", disk(90, -0.1, 480), 420, 0),
    ("QdrantNodeDown", [up(0)], 3, 1),
    ("QdrantNodeDown", [up(0)], 1, 0),
    ("QdrantNodeDown", [up(1)], 10, 0),
    ("QdrantAbsent", [], 6, 1),
    ("QdrantAbsent", [up(0)], 10, 0),
    ("QdrantRestarting", [series("process_start_time_seconds", "0+60x30")], 20, 1),
    ("QdrantRestarting", [series("process_start_time_seconds", "0+0x10 600+0x30")], 20, 0),
    ("QdrantReplicaNotInSync", [series("collection_dead_replicas", "1+0x30")], 11, 1),
    ("QdrantReplicaNotInSync", [series("collection_dead_replicas", "1+0x8 0+0x30")], 20, 0),
    ("QdrantNoPrimary", [series("cluster_shards_without_primary", "2+0x30")], 2, 1),
    ("QdrantNoPrimary", [series("cluster_shards_without_primary", "2 0+0x30")], 5, 0),
    ("QdrantNoMetadataLeader", [series("cluster_leader_known", "1 0+0x30")], 3, 1),
    ("QdrantNoMetadataLeader", [series("cluster_leader_known", "0 1+0x30")], 5, 0),
    ("QdrantConsensusStopped", [series("cluster_working_state", "1+0x30", ',state="stopped_with_error"')], 1, 1),
    ("QdrantConsensusStopped", [series("cluster_working_state", "1+0x30", ',state="working"')], 10, 0),
    ("QdrantTransferStuck", [series("collection_shard_transfer_incoming", "1+0x200", ',id="documents"')], 130, 1),
    ("QdrantTransferStuck", [series("collection_shard_transfer_incoming", "1+0x59 0+0x10 1+0x140", ',id="documents"')], 150, 0),
    ("QdrantPoisoned", [series("collections_poisoned", "1+0x30")], 1, 1),
    ("QdrantPoisoned", [series("collections_poisoned", "0+0x30")], 10, 0),
    ("QdrantLogSyncSlow", syncs(2), 20, 1),
    ("QdrantLogSyncSlow", syncs(2), 8, 0),
    ("QdrantLogSyncSlow", syncs(0), 30, 0),
    ("QdrantCertificateExpires", certificate(13), 61, 1),
    ("QdrantCertificateExpires", certificate(15), 61, 0),
    ("QdrantErrors", answers(97, 3), 12, 1),
    ("QdrantErrors", answers(1000, 3), 12, 0),
    ("QdrantMemoryHigh", memory(91), 16, 1),
    ("QdrantMemoryHigh", memory(89), 16, 0),
    ("QdrantFilesHigh", files(900, 100), 11, 1),
    ("QdrantFilesHigh", files(100, 900), 11, 1),
    ("QdrantFilesHigh", files(700, 700), 11, 0),
    ("QdrantSnapshotStuck", [series("snapshot_creation_running", "1+0x400", ',id=""')], 6 * HOUR + 1, 1),
    ("QdrantSnapshotStuck", [series("snapshot_recovery_running", "1+0x400", ',id="documents"')], 6 * HOUR + 1, 1),
    ("QdrantSnapshotStuck", [series("snapshot_creation_running", "1+0x100 0+0x300", ',id=""')], 6 * HOUR + 1, 0),
    ("QdrantBackupStale", BACKUP, 26 * HOUR + 30, 1),
    ("QdrantBackupStale", BACKUP, 25 * HOUR, 0),
    ("QdrantNoBackup", [], 26 * HOUR + 1, 1),
    ("QdrantNoBackup", BACKUP, 26 * HOUR + 1, 0),
    ("QdrantBackupFailed", [series("backup_failures_total", "0+0x10 1+0x90")], 20, 1),
    ("QdrantBackupFailed", [series("backup_failures_total", "1+0x10 1+0x90")], 20, 0),
    ("QdrantBackupFailed", [series("backup_failures_total", "0+0x10 1+0x90")], 80, 0),
]


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """The rules of the manifests, as a file of Prometheus."""
    found = chart.only(chart.objects("manifests"), "PrometheusRule")["spec"]
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


def promtool(*arguments):
    done = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_rules(rules):
    promtool("check", "rules", rules)


# Cases of many hours are evaluated less often.
@pytest.mark.parametrize(("every", "cases"), [("1m", [c for c in CASES if c[2] <= 120]), ("10m", [c for c in CASES if c[2] > 120])])
def test_alerts_fire_when_they_should_and_not_before(rules, every, cases):
    firing = 'count(ALERTS{{alertname="{}",alertstate="firing"}}) or vector(0)'
    tests = [
        {
            "interval": "1m",
            "name": f"{alert} at {minute}: {count}",
            "input_series": given,
            "promql_expr_test": [
                {"expr": firing.format(alert), "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": count}]}
            ],
        }
        for alert, given, minute, count in cases
    ]
    path = rules.parent / f"tests-{every}.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": every, "tests": tests}))
    promtool("test", "rules", path)


def test_every_alert_is_tried_both_ways(rules):
    known = {rule["alert"] for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]}
    assert {alert for alert, *_, count in CASES if count > 0} == known
    assert {alert for alert, *_, count in CASES if count == 0} == known


def test_alerts_of_the_first_days_are_as_they_were(rules):
    """Dashboards and runbooks rest on these two."""
    found = {rule["alert"]: rule for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]}
    latency, space = found["QdrantHighLatency"], found["QdrantDiskSpaceLow"]
    assert latency["expr"] == "histogram_quantile(0.95, rate(qdrant_search_latency_seconds_bucket[5m])) > 0.1"
    assert (latency["for"], latency["labels"]) == ("5m", {"severity": "warning"})
    assert latency["annotations"]["summary"] == "Qdrant P95 search latency above 100ms"
    assert space["expr"] == "qdrant_disk_free_bytes / qdrant_disk_total_bytes < 0.1"
    assert (space["for"], space["labels"]) == ("10m", {"severity": "critical"})
    assert space["annotations"]["summary"] == "Qdrant disk space below 10%"


def test_other_values_make_other_rules():
    """Without a CronJob nobody waits for backups; the prefix is that of the settings."""
    arguments = ["--set", "metrics.prometheusRule.enabled=true", "--set", "config.service.metrics_prefix=own_"]
    rendered = chart.text("qdrant", extra=tuple(arguments))
    (rule,) = [each for each in yaml.safe_load_all(rendered) if each and each["kind"] == "PrometheusRule"]
    found = rule["spec"]["groups"][0]["rules"]
    assert len(found) > 8 and not any("Backup" in rule["alert"] for rule in found)
    assert "own_search_latency_seconds_bucket" in found[0]["expr"] and "PREFIX" not in str(found) and "qdrant_" not in str(found)
