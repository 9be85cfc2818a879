"""The chart on a control plane, installed by helm and tried dry with every set of values."""

import pytest

import chart


@pytest.fixture
def helm(plane, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    return chart.helm


@pytest.mark.parametrize("name", chart.SETS)
@pytest.mark.usefixtures("applied")
def test_every_set_of_values_is_let_in(plane, name):
    """Admission sees what schemas do not: names, references between fields, expressions of policies."""
    space = f"dry-{name}"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    plane.ask("POST", "/api/v1/namespaces", {"metadata": {"name": space, "labels": labels}})
    # Routes of gateways belong to kinds that are not here.
    documents = chart.text(name).replace("namespace: vector-db", f"namespace: {space}").split("\n---\n")
    # Pods are let in where their account is.
    (account,) = [document for document in documents if "\nkind: ServiceAccount\n" in document]
    plane.kubectl("apply", "-f", "-", given=account)
    given = "\n---\n".join(document for document in documents if "gateway.networking.k8s.io" not in document)
    done = plane.kubectl("apply", "--dry-run=server", "-f", "-", given=given)
    assert "Warning" not in done.stderr, done.stderr


@pytest.mark.usefixtures("applied")
def test_install_upgrade_test_and_uninstall(plane, helm):
    release = ["db", chart.CHART, "--namespace", "other", "--set", "replicaCount=3,apiKey=true"]
    told = helm("install", *release, "--create-namespace").stdout
    assert "kubectl -n other rollout status statefulset/db-qdrant" in told and "The key that was made" in told
    plane.wait("three pods", lambda: len(plane.ready("other", "db-qdrant-")) == 3)
    secret = "/api/v1/namespaces/other/secrets/db-qdrant-apikey"
    key = plane.ask("GET", secret)["data"]["api-key"]
    before = {name: pod["metadata"]["uid"] for name, pod in plane.pods("other", "db-qdrant-").items()}
    helm("upgrade", *release, "--set", "additionalLabels.team=search")
    assert plane.ask("GET", secret)["data"]["api-key"] == key, "the key was made anew"
    assert before == {name: pod["metadata"]["uid"] for name, pod in plane.pods("other", "db-qdrant-").items()}, "pods were made anew"

    def lowered():
        return helm("upgrade", *release, "--set", "replicaCount=2", check=False)

    plane.wait("the guard", lambda: "vectordb ctl scale-to 2" in lowered().stderr)
    assert len(plane.pods("other", "db-qdrant-")) == 3
    helm("upgrade", *release)
    helm("test", "db", "--namespace", "other", "--timeout", "60s")
    helm("uninstall", "db", "--namespace", "other", "--wait")
    claims = plane.ask("GET", "/api/v1/namespaces/other/persistentvolumeclaims")["items"]
    assert len(claims) == 3, "volumes were deleted with the release"


@pytest.mark.usefixtures("applied")
def test_volumes_can_grow(plane, helm):
    """The way of k8s/README.md: claims, then the set without its pods, then the release."""
    release = ["grow", chart.CHART, "--namespace", "grow", "--set", "scaleGuard.enabled=false,persistence.storageClassName=qdrant-storage"]
    helm("install", *release, "--create-namespace", "--set", "persistence.size=1Gi")
    plane.wait("a pod", lambda: len(plane.ready("grow", "grow-qdrant-")) == 1)
    before = plane.pods("grow", "grow-qdrant-")["grow-qdrant-0"]["metadata"]["uid"]
    larger = [*release, "--set", "persistence.size=2Gi"]
    assert helm("upgrade", *larger, check=False).returncode != 0
    plane.kubectl("-n", "grow", "delete", "statefulset", "grow-qdrant", "--cascade=orphan")
    helm("upgrade", *larger)
    plane.wait("the set", lambda: plane.ask("GET", "/apis/apps/v1/namespaces/grow/statefulsets/grow-qdrant")["status"]["readyReplicas"] == 1)
    assert plane.pods("grow", "grow-qdrant-")["grow-qdrant-0"]["metadata"]["uid"] == before, "the pod did not go on"
