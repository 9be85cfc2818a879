"""Two ways to one image, and the same versions everywhere."""

import re
import tomllib

import yaml

import chart

TOP = chart.K8S.parent
IMAGE = chart.K8S / "image"


def test_both_ways_make_the_same_image():
    ways = [(IMAGE / name).read_text().split("# From here on as in", 1)[1].split("\n", 1)[1] for name in ("Dockerfile", "local.Dockerfile")]
    assert ways[0] == ways[1] and "USER 1000:2000" in ways[0] and "ENTRYPOINT" in ways[0]


def test_the_pod_is_the_user_of_the_image():
    context = chart.only(chart.objects("qdrant"), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", (IMAGE / "Dockerfile").read_text(), re.M)
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user[1]), int(user[2]))


def test_nothing_changes_owners_under_the_chart_of_qdrant():
    """Its container for that runs as the user of the image, who may not."""
    values = yaml.safe_load((chart.K8S / "qdrant-chart.values.yaml").read_text())
    assert values["updateVolumeFsOwnership"] is False and not values["image"]["useUnprivilegedImage"]


def test_versions_are_those_of_the_program():
    version = tomllib.loads((TOP / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == version
    generation = yaml.safe_load((chart.K8S / "qdrant-chart.values.yaml").read_text())["image"]["tag"]
    assert f'version: "{generation}"' in (TOP / "vectordb-server/service/src/service/mod.rs").read_text()
    assert f'GENERATION: &str = "{generation}"' in (TOP / "xtask/src/image.rs").read_text()
    assert f"vectordb/drop-in:{generation} " in (IMAGE / "Dockerfile").read_text()


def test_what_is_built_is_sent_to_the_builder():
    """The list of what Docker leaves out names all members of the workspace."""
    members = tomllib.loads((TOP / "Cargo.toml").read_text())["workspace"]["members"]
    sent = {line[1:] for line in (TOP / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {member.split("/")[0] for member in members} | {"Cargo.toml", "Cargo.lock", "k8s/image/layout.sh"} == sent
