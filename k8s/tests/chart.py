"""The chart as helm renders it."""

import functools
import os
import pathlib
import subprocess

import yaml

HERE = pathlib.Path(__file__).parent
K8S = HERE.parent
CHART = K8S / "helm"
HELM = os.environ.get("HELM", "helm")
# Release and values of each set that is looked at.
SETS = {"qdrant": None, "manifests": K8S / "manifests.values.yaml"}
SETS |= {path.stem: path for path in sorted((HERE / "values").glob("*.yaml")) if path.stem != "qdrant"}
SETS["qdrant-values"] = HERE / "values/qdrant.yaml"


def helm(*arguments, check=True):
    """Runs helm; what it says on its standard error is part of what is returned when it fails."""
    done = subprocess.run([HELM, *map(str, arguments)], capture_output=True, text=True, timeout=600)
    if check and done.returncode != 0:
        raise AssertionError(f"helm {arguments}: {done.stdout}{done.stderr}")
    return done


@functools.cache
def text(name, version="1.30.0", extra=()):
    """What is rendered for a set of values."""
    values = ["--values", SETS[name]] if SETS[name] else []
    release = "qdrant" if name in ("qdrant", "manifests", "qdrant-values") else "db"
    arguments = ["template", release, CHART, "--namespace", "vector-db", "--kube-version", version, *values, *extra]
    return helm(*arguments).stdout


@functools.cache
def objects(name):
    """The objects of a set of values, tests of helm included."""
    return [each for each in yaml.safe_load_all(text(name)) if each]


def of_kind(found, kind):
    return [each for each in found if each["kind"] == kind]


def only(found, kind):
    (one,) = of_kind(found, kind)
    return one


def pods(found):
    """Kind, labels and specification of every pod there will be."""
    for each in found:
        match each["kind"]:
            case "Pod":
                yield each["kind"], each["metadata"].get("labels", {}), each["spec"]
            case "StatefulSet" | "Job":
                template = each["spec"]["template"]
                yield each["kind"], template["metadata"]["labels"], template["spec"]
            case "CronJob":
                template = each["spec"]["jobTemplate"]["spec"]["template"]
                yield each["kind"], template["metadata"]["labels"], template["spec"]
