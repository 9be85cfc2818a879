"""Makes k8s/manifests of the chart: `cargo xtask k8s --write`."""

import re
import sys

import chart

MANIFESTS = chart.K8S / "manifests"
HEAD = "# Made of k8s/helm and k8s/manifests.values.yaml by `cargo xtask k8s --write`; changes belong there.\n"
NAMESPACE = """apiVersion: v1
kind: Namespace
metadata:
  name: vector-db
  labels:
    # No pod here needs more than that.
    pod-security.kubernetes.io/enforce: restricted
"""
# Templates that share a file, or have another name there.
FILES = {"service-headless.yaml": "service.yaml"}
# Kinds of the Prometheus operator, which an empty cluster does not know: kubectl apply -f does not look into directories below.
FILES |= {name: f"monitoring/{name}" for name in ("servicemonitor.yaml", "prometheusrule.yaml")}
# kubectl applies files in the order of their names: the namespace has to come with the first of them.
FIRST = "backup-cronjob.yaml"


def manifests():
    """Contents of the files by name."""
    documents = {}
    for document in chart.text("manifests").split("\n---\n"):
        source = re.search(r"# Source: vectordb/templates/(.+)\n", document)
        if source is None or source[1].startswith("tests/"):
            continue
        lines = document[source.end() :].splitlines()
        # Helm does not look after these objects.
        kept = [line.rstrip() for line in lines if not re.match(r" *(helm\.sh/chart|app\.kubernetes\.io/managed-by):", line)]
        content = "\n".join(kept).strip("\n") + "\n"
        if any(line and not line.startswith("#") for line in content.splitlines()):
            name = FILES.get(source[1], source[1])
            documents.setdefault(name, []).append(content)
    files = {name: HEAD + "---\n".join(contents) for name, contents in documents.items()}
    files["namespace.yaml"] = HEAD + NAMESPACE
    files[FIRST] = f"{HEAD}# Again, as this file is applied before namespace.yaml.\n{NAMESPACE}---\n{''.join(files[FIRST].removeprefix(HEAD))}"
    return files


def main():
    files = manifests()
    (MANIFESTS / "monitoring").mkdir(parents=True, exist_ok=True)
    for path in MANIFESTS.rglob("*.yaml"):
        if path.relative_to(MANIFESTS).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        (MANIFESTS / name).write_text(content)
    print(f"{len(files)} files in {MANIFESTS}")


if __name__ == "__main__":
    sys.exit(main())
