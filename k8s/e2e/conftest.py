import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))

import controlplane
import kubelet
import network
import node


@pytest.fixture(scope="session")
def plane(tmp_path_factory):
    """With a real node, or simulated ones, of which a kubelet of our own may take over a namespace."""
    if os.environ.get("KUBELET") == "real":
        network.up()
        images = {"vectordb/vectordb:0.1.0": os.environ["IMAGE"], "vectordb/vectordb:previous": os.environ.get("IMAGE_PREVIOUS")}
        with controlplane.control_plane(simulated=False) as plane:
            with node.Node(plane, {name: root for name, root in images.items() if root}) as plane.node:
                yield plane
        return
    names = kubelet.enter(tmp_path_factory.mktemp("names"))
    with controlplane.control_plane() as plane:
        plane.names = names
        yield plane


@pytest.fixture(scope="session")
def applied(plane):
    """The manifests, applied twice: before and after there are the kinds of the Prometheus operator.

    With the generations of all objects before and after the second time, as kubectl says of lists with defaults that they were configured.
    """
    import chart

    manifests = chart.K8S / "manifests"
    first = plane.kubectl("apply", "-f", manifests, check=False)
    plane.kubectl("apply", "-f", pathlib.Path(__file__).with_name("crds.yaml"))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    before = plane.generations("-f", manifests)
    second = plane.kubectl("apply", "-R", "-f", manifests)
    after = plane.generations("-f", manifests)
    plane.wait("three pods", lambda: len(plane.ready("vector-db", "qdrant-")) == 3)
    return first, second, before, after


@pytest.fixture(scope="session")
def helm_of(plane):
    """helm, for this control plane."""
    import chart

    def run(*arguments, check=True):
        return chart.helm(*arguments, "--kubeconfig", plane.kubeconfig, check=check)

    return run
