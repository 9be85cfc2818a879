"""Servers as pods of a stateful set under the real control plane.

Where KUBELET is `real` the pods are containers of the image on a node (`node.py`), else the program itself, run by a kubelet of our own
(`kubelet.py`). What is asked of them is the same.
"""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request

import pytest

import chart
import kubelet
import load
import network
import node

NAMESPACE = "live"
NAME = "db-qdrant"
SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
REAL = os.environ.get("KUBELET") == "real"
PREVIOUS = os.environ.get("VECTORDB_PREVIOUS", "")
KEYS = ["--from-literal=AWS_ACCESS_KEY_ID=of-the-test", "--from-literal=AWS_SECRET_ACCESS_KEY=of-the-test"]
# Five of them on one small node.
RESOURCES = 'resources={"requests":{"cpu":"50m","memory":"128Mi"},"limits":{"memory":"1Gi"}}'
RELEASE = ["db", chart.CHART, "--namespace", NAMESPACE, "--set", "config.service.slow_query_secs=30", "--set-json", RESOURCES]


class Site:
    """The release and its pods."""

    def __init__(self, plane, kubelet):
        self.plane, self.kubelet = plane, kubelet

    def addresses(self, service=NAME):
        return self.plane.ready_addresses(NAMESPACE, service)

    def wait(self, what, done, seconds=120):
        try:
            begun = time.monotonic()
            self.plane.wait(what, done, seconds)
            print(f"{what}: {time.monotonic() - begun:.1f} s")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.kubelet.logs()}") from None

    def ready(self, count):
        return len(self.plane.ready(NAMESPACE, f"{NAME}-")) == count and len(self.addresses()) == count

    def spread(self):
        """Copies of shards on each node, if every one of them is active everywhere."""
        found = []
        for address in self.addresses():
            told = load.call(address, "GET", f"{load.COLLECTION}/cluster")
            copies = told["local_shards"] + told["remote_shards"]
            if len(copies) != 2 * told["shard_count"] or any(each["state"] != "Active" for each in copies):
                return []
            found.append(len(told["local_shards"]))
        return sorted(found)

    def is_whole(self, count):
        return self.ready(count) and len(self.spread()) == count

    def peers(self):
        return load.call(self.addresses()[0], "GET", "/cluster")["peers"]

    def pods(self):
        return {name: pod["metadata"]["uid"] for name, pod in self.plane.pods(NAMESPACE, f"{NAME}-").items()}

    def reasons(self):
        events = self.plane.ask("GET", f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")["items"]
        return {each["reason"] for each in events if each.get("reportingController") == "vectordb.io/server"}


@contextlib.contextmanager
def bucket(directory):
    """A server of S3 with an empty bucket."""
    address = network.ELSEWHERE
    with open(directory / "s3.log", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", address, "-p", "5000"], stdout=log, stderr=log)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(urllib.request.Request(f"http://{address}:5000/backups", method="PUT"), timeout=5)
                break
            time.sleep(0.2)
        yield f"http://{address}:5000"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("pods")


@pytest.fixture(scope="module")
def site(plane, room, helm_of):
    """A release of three nodes with a collection of six shards, each twice."""
    plane.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    if REAL:
        made = node.Pods(plane, NAMESPACE)
    else:
        binaries = {"0.1.0": os.environ["VECTORDB"], "previous": PREVIOUS}
        made = plane.kubelets[NAMESPACE] = kubelet.Kubelet(plane, NAMESPACE, binaries, room)
    site = Site(plane, made)
    previous = []
    if PREVIOUS:
        previous = ["--set", "image.tag=previous", "--set-json", 'lifecycle={"preStop":{"sleep":{"seconds":5}}}']
    helm_of("install", *RELEASE, "--set", "replicaCount=3", *previous)
    site.wait("three nodes are ready", lambda: site.ready(3))
    site.wait("all know each other", lambda: len(site.peers()) == 3)
    vectors = {"size": 4, "distance": "Euclid"}
    load.call(site.addresses()[0], "PUT", load.COLLECTION, {"vectors": vectors, "shard_number": 6, "replication_factor": 2})
    site.wait("every shard is there twice", lambda: site.is_whole(3))
    yield site
    made.end()


def rolled(site, change):
    """A rollout under load: nothing is lost, and nobody who reads notices."""
    before = site.pods()
    with load.Load(site.addresses) as clients:
        time.sleep(2)
        change()
        site.wait("every pod is another one", lambda: not set(before.values()) & set(site.pods().values()) and site.ready(3), 300)
        site.wait("every shard is there twice", lambda: site.is_whole(3))
        time.sleep(2)
    load.check(clients, site.addresses())
    assert clients.failed_reads == []


if PREVIOUS:

    def test_an_upgrade_loses_nothing_and_nobody_who_reads_notices(site, helm_of):
        rolled(site, lambda: helm_of("upgrade", *RELEASE, "--set", "replicaCount=3"))


if REAL:

    def test_the_limit_of_the_container_is_known_to_the_server(site):
        with urllib.request.urlopen(f"http://{site.addresses()[0]}:6333/metrics", timeout=5) as answer:
            metrics = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
        limit = float(metrics["qdrant_memory_limit_bytes"])
        assert abs(limit - (1 << 30) * 0.8) < 100, f"four fifths of a gigabyte, not {limit}"


def test_a_rolling_restart_loses_nothing_and_nobody_who_reads_notices(site):
    rolled(site, lambda: site.plane.kubectl("-n", NAMESPACE, "rollout", "restart", "statefulset", NAME))


def test_the_test_of_the_release_is_passed(site, helm_of):
    """In a pod that finds the server by the name of its service."""
    helm_of("test", "db", "--namespace", NAMESPACE, "--timeout", "120s")


def test_pods_that_are_evicted_go_one_after_the_other(site):
    """What `kubectl drain` does to one node of a cluster after the other."""

    def evict(name):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        site.plane.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", body)

    before = site.pods()[f"{NAME}-2"]
    with load.Load(site.addresses) as clients:
        time.sleep(2)
        evict(f"{NAME}-2")
        with pytest.raises(site.plane.Refused, match="429"):
            evict(f"{NAME}-1")
        site.wait("the next pod", lambda: site.pods().get(f"{NAME}-2", before) != before and site.ready(3))
        site.wait("every shard is there twice", lambda: site.is_whole(3))
        time.sleep(2)
    load.check(clients, site.addresses())
    assert clients.failed_reads == []


def test_a_pod_that_is_deleted_by_force_comes_back_with_what_it_had(site):
    before = site.pods()[f"{NAME}-1"]
    peers = set(site.peers())
    with load.Load(site.addresses) as clients:
        time.sleep(2)
        site.plane.kubectl("-n", NAMESPACE, "delete", "pod", f"{NAME}-1", "--force", "--grace-period=0")
        site.wait("the next pod", lambda: site.pods().get(f"{NAME}-1", before) != before and site.ready(3))
        site.wait("every shard is there twice", lambda: site.is_whole(3))
    load.check(clients, site.addresses())
    assert set(site.peers()) == peers, "it came back as somebody else"


def test_a_volume_that_is_lost_is_made_good_by_the_other_nodes(site):
    """That of the founder, whose empty volume must not found another cluster."""
    before = site.pods()[f"{NAME}-0"]
    peers = set(site.peers())
    with load.Load(site.addresses) as clients:
        time.sleep(2)
        site.plane.kubectl("-n", NAMESPACE, "delete", "pvc", f"qdrant-storage-{NAME}-0", "--wait=false")
        site.plane.kubectl("-n", NAMESPACE, "delete", "pod", f"{NAME}-0", "--force", "--grace-period=0")
        site.wait("the next pod", lambda: site.pods().get(f"{NAME}-0", before) != before and site.ready(3))
        site.wait("every shard is there twice", lambda: site.is_whole(3))
    load.check(clients, site.addresses())
    now = set(site.peers())
    assert len(now) == 3 and len(now & peers) == 2, "an empty volume is somebody else, in the place of who was there"


def test_more_nodes_take_their_share_by_themselves(site):
    with load.Load(site.addresses) as clients:
        site.plane.kubectl("-n", NAMESPACE, "scale", "statefulset", NAME, "--replicas=5")
        site.wait("five nodes are ready", lambda: site.ready(5))
        site.wait("shards are spread over five", lambda: (found := site.spread()) and found[-1] - found[0] <= 1, 180)
        print(site.spread())
    load.check(clients, site.addresses())
    assert clients.failed_reads == []
    site.wait("people are told", lambda: {"PeerJoined", "Rebalanced"} <= site.reasons())


def test_fewer_nodes_are_refused_until_their_shards_are_elsewhere(site):
    refused = site.plane.kubectl("-n", NAMESPACE, "scale", "statefulset", NAME, "--replicas=3", check=False)
    assert refused.returncode != 0 and "vectordb ctl scale-to 3" in refused.stderr, refused
    with load.Load(site.addresses) as clients:
        done = site.kubelet.exec(f"{NAME}-0", "ctl", "scale-to", "3")
        assert done.returncode == 0 and "the stateful set has 3 pods now" in done.stdout, done
        site.wait("three nodes are left", lambda: site.is_whole(3) and len(site.pods()) == 3)
        time.sleep(2)
    load.check(clients, site.addresses())
    assert clients.failed_reads == []
    assert len(site.peers()) == 3 and {"Drained", "PeerLeft"} <= site.reasons()
    # The leave was for once.
    floor = site.plane.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}-scale")
    assert "minReplicas" not in floor.get("data", {})


def test_nodes_that_went_come_back_with_their_old_volumes(site):
    site.plane.kubectl("-n", NAMESPACE, "scale", "statefulset", NAME, "--replicas=4")
    site.wait("four nodes are ready", lambda: site.ready(4) and len(site.peers()) == 4)
    site.wait("shards are spread over four", lambda: (found := site.spread()) and found[-1] - found[0] <= 1, 180)
    done = site.kubelet.exec(f"{NAME}-0", "ctl", "scale-to", "3")
    assert done.returncode == 0, done
    site.wait("three nodes are left", lambda: site.is_whole(3))


def test_a_backup_is_restored_elsewhere_as_it_was(site, helm_of, room):
    """The CronJob's job to S3, and jobs that restore from there: in the same cluster under another name, and in a new one."""
    with bucket(room) as endpoint:
        s3 = f"s3.location=s3://backups/live,s3.region=us-east-1,s3.endpointUrl={endpoint},s3.existingSecret=keys"
        more = ["--set", f"replicaCount=3,backup.enabled=true,{s3}"]

        def done(what):
            site.plane.kubectl("-n", NAMESPACE, "wait", "--for=condition=complete", "job", what, "--timeout=120s")

        site.plane.kubectl("-n", NAMESPACE, "create", "secret", "generic", "keys", *KEYS)
        helm_of("upgrade", *RELEASE, *more)
        site.plane.kubectl("-n", NAMESPACE, "rollout", "status", "statefulset", NAME, "--timeout=240s")
        site.wait("every shard is there twice", lambda: site.is_whole(3))
        points = [{"id": 3_000_000 + n, "vector": [n, n % 7, 1, 2], "payload": {"s": n}} for n in range(500)]
        load.call(site.addresses()[0], "PUT", f"{load.COLLECTION}/points?wait=true", {"points": points})
        before = load.digest(site.addresses()[0])
        site.plane.kubectl("-n", NAMESPACE, "create", "job", "now", f"--from=cronjob/{NAME}-backup")
        done("now")
        # What is written afterwards is not in it.
        load.call(site.addresses()[0], "PUT", f"{load.COLLECTION}/points?wait=true", {"points": [{"id": 7, "vector": [1, 1, 1, 1], "payload": {"s": -1}}]})
        helm_of("upgrade", *RELEASE, *more, "--set", "restore.enabled=true,restore.collections={documents:restored}")
        done("--all")
        assert load.digest(site.addresses()[1], "/collections/restored") == before
        assert load.digest(site.addresses()[1]) != before
        # Another release is another cluster.
        other = ["copy", *RELEASE[1:], "--set", f"replicaCount=1,{s3}"]
        helm_of("install", *other)
        site.wait("a node of another cluster is ready", lambda: len(site.addresses("copy-qdrant")) == 1)
        helm_of("upgrade", *other, "--set", "restore.enabled=true")
        done("--all")
        (copy,) = site.addresses("copy-qdrant")
        assert load.digest(copy) == before
        print(f"sha256 {before} when the backup was made, under another name and in another cluster")
