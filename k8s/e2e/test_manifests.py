"""The manifests on a control plane: what is applied, what is made of it, and what is refused."""

import json
import time

import pytest

import chart

NAMESPACE = "vector-db"
SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"


def test_one_apply_makes_everything_on_an_empty_cluster(applied):
    first, second, before, after = applied
    assert (first.returncode, first.stderr) == (0, "")
    made = [line for line in first.stdout.splitlines() if line.endswith(" created")]
    assert {"namespace/vector-db created", "statefulset.apps/qdrant created", "cronjob.batch/qdrant-backup created"} <= set(made)
    # With the operator there is more, and what was there is as it was.
    more = {line for line in second.stdout.splitlines() if line.endswith(" created")}
    assert more == {f"{kind}.monitoring.coreos.com/qdrant created" for kind in ("servicemonitor", "prometheusrule")}
    assert before == after and len(before) >= 5, (before, after)


def test_what_was_applied_is_what_is_there(plane, applied):
    """Defaults that Kubernetes fills in are no difference, and kustomize names the same objects."""
    first, *_, before = applied
    assert plane.kubectl("diff", "-R", "-f", chart.K8S / "manifests", check=False).returncode == 0
    again = plane.kubectl("apply", "-k", chart.K8S).stdout.splitlines()
    assert not [line for line in again if not line.endswith((" unchanged", " configured"))], again
    assert {line.split()[0] for line in again} == {line.split()[0] for line in first.stdout.splitlines()}
    assert plane.generations("-f", chart.K8S / "manifests") == before


@pytest.mark.usefixtures("applied")
def test_three_nodes_have_names_claims_and_addresses(plane):
    assert set(plane.pods(NAMESPACE, "qdrant-")) == {"qdrant-0", "qdrant-1", "qdrant-2"}
    claims = plane.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims")["items"]
    names = {f"qdrant-{volume}-qdrant-{n}" for volume in ("storage", "snapshots") for n in range(3)}
    assert {claim["metadata"]["name"] for claim in claims} == names
    assert {claim["spec"]["storageClassName"] for claim in claims} == {"qdrant-storage"}
    for name, pod in plane.pods(NAMESPACE, "qdrant-").items():
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == (name, "qdrant-headless")
    plane.wait("addresses", lambda: addresses(plane, "qdrant") == {True: 3} and addresses(plane, "qdrant-headless") == {True: 3})


def addresses(plane, service):
    """How many addresses a service has, by whether they are ready."""
    found = plane.ask("GET", f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices?labelSelector=kubernetes.io/service-name={service}")
    ready = [bool(endpoint["conditions"].get("ready")) for each in found["items"] for endpoint in each.get("endpoints") or []]
    return {value: ready.count(value) for value in set(ready)}


@pytest.mark.usefixtures("applied")
def test_a_pod_that_is_lost_comes_back_under_its_name_and_with_its_claim(plane):
    before = plane.pods(NAMESPACE, "qdrant-1")["qdrant-1"]
    plane.unready.add("qdrant-1")
    try:
        plane.kubectl("-n", NAMESPACE, "delete", "pod", "qdrant-1", "--force", "--grace-period=0")
        plane.wait("the next pod", lambda: plane.pods(NAMESPACE, "qdrant-1")["qdrant-1"]["metadata"]["uid"] != before["metadata"]["uid"])
        # Clients do not reach it while it is not ready, other nodes do.
        plane.wait("its address", lambda: addresses(plane, "qdrant-headless") == {True: 3} and addresses(plane, "qdrant") == {True: 2, False: 1})
    finally:
        plane.unready.clear()
    claim = [volume["persistentVolumeClaim"] for volume in before["spec"]["volumes"] if volume["name"] == "qdrant-storage"]
    after = plane.pods(NAMESPACE, "qdrant-1")["qdrant-1"]
    assert claim == [volume["persistentVolumeClaim"] for volume in after["spec"]["volumes"] if volume["name"] == "qdrant-storage"]
    assert claim[0]["claimName"] == "qdrant-storage-qdrant-1"
    # The simulated kubelet is done with it; a new one is ready.
    plane.kubectl("-n", NAMESPACE, "delete", "pod", "qdrant-1", "--force", "--grace-period=0")
    plane.wait("three pods", lambda: len(plane.ready(NAMESPACE, "qdrant-")) == 3)


@pytest.mark.usefixtures("applied")
def test_one_node_may_be_emptied_at_a_time(plane):
    def evict(name):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        return plane.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", body)

    budget = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/qdrant"
    plane.wait("the budget", lambda: plane.ask("GET", budget)["status"].get("disruptionsAllowed") == 1)
    assert plane.ask("GET", budget)["status"]["expectedPods"] == 3
    plane.unready.add("qdrant-2")
    try:
        evict("qdrant-2")
        plane.wait("the budget to be used up", lambda: plane.ask("GET", budget)["status"]["disruptionsAllowed"] == 0)
        try:
            evict("qdrant-0")
            raise AssertionError("a second node was emptied")
        except plane.Refused as refused:
            assert refused.code == 429 and "disruption budget" in str(refused)
    finally:
        plane.unready.clear()
    plane.kubectl("-n", NAMESPACE, "delete", "pod", "qdrant-2", "--force", "--grace-period=0")
    plane.wait("three pods", lambda: len(plane.ready(NAMESPACE, "qdrant-")) == 3)


def scale(plane, replicas, name="qdrant"):
    return plane.kubectl("-n", NAMESPACE, "scale", "statefulset", name, f"--replicas={replicas}", check=False)


def scale_dry(plane, replicas):
    return plane.kubectl("-n", NAMESPACE, "scale", "statefulset", "qdrant", f"--replicas={replicas}", "--dry-run=server", check=False)


def allow(plane, least):
    data = json.dumps({"data": None if least is None else {"minReplicas": str(least)}})
    plane.kubectl("-n", NAMESPACE, "patch", "configmap", "qdrant-scale", "-p", data)


def refused(done):
    return done.returncode != 0 and "vectordb ctl scale-to" in done.stderr


@pytest.mark.usefixtures("applied")
def test_fewer_nodes_are_refused_until_they_are_allowed(plane):
    # A policy takes a moment until it is in force.
    plane.wait("the guard", lambda: refused(scale_dry(plane, 2)))
    told = scale(plane, 2).stderr
    assert "from 3 to 2 nodes" in told and "vectordb ctl scale-to 2" in told
    assert """patch configmap qdrant-scale -p '{"data":{"minReplicas":"2"}}'""" in told
    # By every way that there is.
    assert refused(plane.kubectl("-n", NAMESPACE, "patch", "statefulset", "qdrant", "-p", '{"spec":{"replicas":1}}', check=False))
    manifest = (chart.K8S / "manifests/statefulset.yaml").read_text()
    assert refused(plane.kubectl("apply", "-f", "-", given=manifest.replace("replicas: 3", "replicas: 2"), check=False))
    assert plane.ask("GET", f"{SETS}/qdrant")["spec"]["replicas"] == 3
    # More nodes need no leave, nor does anything else that is changed, nor other sets.
    assert scale(plane, 5).returncode == 0
    plane.wait("five pods", lambda: len(plane.ready(NAMESPACE, "qdrant-")) == 5)
    # What was applied before says three, and must not take two away.
    assert refused(plane.kubectl("apply", "-f", chart.K8S / "manifests", check=False))
    plane.kubectl("-n", NAMESPACE, "rollout", "restart", "statefulset", "qdrant")
    other = {"metadata": {"name": "other"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "serviceName": "other"}}
    other["spec"]["template"] = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    plane.ask("POST", SETS, other)
    assert scale(plane, 1, "other").returncode == 0
    plane.ask("DELETE", f"{SETS}/other")

    def allowed(least, replicas):
        allow(plane, least)
        plane.wait("the leave", lambda: scale_dry(plane, replicas).returncode == 0)

    allowed(4, 4)
    assert refused(scale(plane, 3))
    allowed(3, 3)
    assert scale(plane, 3).returncode == 0
    plane.wait("three pods", lambda: set(plane.pods(NAMESPACE, "qdrant-")) == {f"qdrant-{n}" for n in range(3)})
    claims = plane.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims")["items"]
    assert len(claims) == 10, "the volumes of the nodes that went are kept"
    # What is allowed is not taken back by applying the manifests, and is no word that is not a number.
    plane.kubectl("apply", "-f", chart.K8S / "manifests")
    assert plane.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/qdrant-scale")["data"] == {"minReplicas": "3"}
    allow(plane, "some")
    plane.wait("the guard", lambda: refused(scale_dry(plane, 2)))
    allow(plane, None)
    # All nodes may be stopped: nothing is taken away.
    assert scale(plane, 0).returncode == 0
    plane.wait("no pods", lambda: not plane.pods(NAMESPACE, "qdrant-"))
    assert scale(plane, 3).returncode == 0
    plane.wait("three pods", lambda: len(plane.ready(NAMESPACE, "qdrant-")) == 3)
    plane.kubectl("-n", NAMESPACE, "delete", "configmap", "qdrant-scale")
    plane.wait("the guard without its word", lambda: scale_dry(plane, 2).returncode != 0)
    plane.kubectl("apply", "-f", chart.K8S / "manifests/scale-guard.yaml")
    plane.wait("the guard", lambda: refused(scale_dry(plane, 2)))


@pytest.mark.parametrize(
    ("verb", "what", "may"),
    [
        ("list", "endpointslices.discovery.k8s.io", True),
        ("watch", "endpointslices.discovery.k8s.io", False),
        ("create", "configmaps", True),
        ("get", "configmaps/qdrant-cluster", True),
        ("patch", "configmaps/qdrant-cluster", False),
        ("patch", "configmaps/qdrant-scale", True),
        ("get", "configmaps/other", False),
        ("patch", "configmaps/other", False),
        ("delete", "configmaps/qdrant-cluster", False),
        ("get", "secrets", False),
        ("get", "statefulsets.apps/qdrant", True),
        ("get", "statefulsets.apps/other", False),
        ("patch", "statefulsets.apps/qdrant --subresource=scale", True),
        ("patch", "statefulsets.apps/other --subresource=scale", False),
        ("patch", "statefulsets.apps/qdrant", False),
        ("delete", "pods", False),
        ("create", "events.events.k8s.io", True),
        ("list", "endpointslices.discovery.k8s.io -n default", False),
        ("get", "nodes", False),
    ],
)
@pytest.mark.usefixtures("applied")
def test_the_server_may_do_what_it_needs_and_no_more(plane, verb, what, may):
    where = [] if "-n" in what else ["-n", NAMESPACE]
    done = plane.kubectl("auth", "can-i", verb, *what.split(), *where, f"--as=system:serviceaccount:{NAMESPACE}:qdrant", check=False)
    assert done.stdout.strip() == ("yes" if may else "no"), done


@pytest.mark.usefixtures("applied")
def test_backups_run_as_jobs_and_are_no_nodes(plane):
    plane.kubectl("-n", NAMESPACE, "create", "job", "t1", "--from=cronjob/qdrant-backup")
    plane.kubectl("-n", NAMESPACE, "wait", "--for=condition=complete", "job/t1", "--timeout=60s")
    (pod,) = plane.pods(NAMESPACE, "t1-").values()
    assert pod["spec"]["initContainers"][0]["args"][0] == "backup" and pod["spec"]["containers"][0]["args"][0] == "verify"
    # Its address is none of the services'.
    assert addresses(plane, "qdrant") == {True: 3}


@pytest.mark.usefixtures("applied")
def test_pods_that_ask_for_more_are_not_let_in(plane):
    pod = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}]}}
    try:
        plane.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
        raise AssertionError("a privileged pod was let in")
    except plane.Refused as refused:
        assert refused.code == 403 and "restricted" in str(refused)


@pytest.mark.usefixtures("applied")
def test_settings_roll_through_the_nodes_one_at_a_time(plane):
    before = {name: pod["metadata"]["uid"] for name, pod in plane.pods(NAMESPACE, "qdrant-").items()}
    plane.kubectl("-n", NAMESPACE, "rollout", "restart", "statefulset", "qdrant")
    fewest, deadline = 3, time.monotonic() + 120
    while time.monotonic() < deadline:
        now = plane.pods(NAMESPACE, "qdrant-")
        fewest = min(fewest, len(plane.ready(NAMESPACE, "qdrant-")))
        if len(now) == 3 and all(now[name]["metadata"]["uid"] != uid for name, uid in before.items()):
            break
        time.sleep(0.05)
    plane.kubectl("-n", NAMESPACE, "rollout", "status", "statefulset", "qdrant", "--timeout=60s")
    assert fewest >= 2, "two nodes were away at a time"
