"""The server is asked what its OpenAPI document allows and what it forbids, and its answers are held against the document.

`schemathesis` makes the questions, a bounded number of them from a fixed seed. What makes sense only for a certain collection, as the
number of dimensions, is no part of a document, so that a well-formed question may be refused: that check alone is left out.
By default there are some fifteen hundred; `VECTORDB_EXAMPLES` says how many questions are made for each operation, and adds the
phase that tries the borders of every value, some 25,000 questions.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import httpx
from server import Server

HERE = pathlib.Path(__file__).parent
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,"
    "negative_data_rejection,unsupported_method,missing_required_header"
)


def test_answers_are_as_the_document_says(server: Server, tmp_path: pathlib.Path) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        config = {"vectors": {"size": 2, "distance": "Dot"}, "sparse_vectors": {"words": {}}, "shard_number": 2}
        client.put("/collections/a", json=config).raise_for_status()
        points = [{"id": n, "vector": {"": [n, 1], "words": {"indices": [n], "values": [1]}}, "payload": {"n": n, "city": "Oslo"}} for n in range(10)]
        client.put("/collections/a/points?wait=true", json={"points": points}).raise_for_status()
        for field, schema in (("n", "integer"), ("city", "keyword")):
            client.put("/collections/a/index?wait=true", json={"field_name": field, "field_schema": schema}).raise_for_status()

    program = shutil.which("schemathesis", path=str(pathlib.Path(sys.executable).parent))
    assert program, "schemathesis is installed beside this Python"
    examples, phases = os.environ.get("VECTORDB_EXAMPLES", "10"), "examples,fuzzing"
    if "VECTORDB_EXAMPLES" in os.environ:
        phases += ",coverage"
    arguments = ["run", f"{server.url}/openapi.json", "--phases", phases, "--checks", CHECKS]
    arguments += ["--max-examples", examples, "--seed", "1", "--warnings", "off", "--no-color", "--request-timeout", "30"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)}
    result = subprocess.run([program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    print(result.stdout[-1000:])
    assert result.returncode == 0, result.stdout[-20000:] + result.stderr[-2000:]
    assert httpx.get(f"{server.url}/readyz").status_code == 200
