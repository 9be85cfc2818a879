#!/bin/sh
# Installs a wheel into an environment of its own, where it must bring nothing but numpy, and runs the quickstart of the README.
set -eu
wheel=$1
readme=$(dirname "$0")/../README.md
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/environment"
"$room/environment/bin/pip" install --quiet --disable-pip-version-check "$wheel"
installed=$("$room/environment/bin/pip" list --format=freeze --disable-pip-version-check | cut -d= -f1 | grep -vE '^(pip|setuptools)$' | sort | tr '\n' ' ')
test "$installed" = "numpy vectordb-py " || { echo "unexpected packages: $installed" >&2; exit 1; }
awk '/^```python$/ { if (!seen) { inside = 1; seen = 1; next } } /^```$/ { inside = 0 } inside' "$readme" > "$room/quickstart.py"
cd "$room"
"$room/environment/bin/python" quickstart.py
