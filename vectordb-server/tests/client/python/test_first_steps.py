"""The first things that everybody does, as the guides have them: make a collection, write, ask with a filter, walk, and take a
snapshot by curl and recover it. The stock client has nothing to warn of.
"""

from __future__ import annotations

import json
import pathlib
import random
import shutil
import subprocess
import warnings
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, FieldCondition, Filter, MatchValue, PointStruct, VectorParams
from server import Server

DIM = 1536


def curl(*arguments: str) -> bytes:
    program = shutil.which("curl")
    assert program, "curl is part of every image that these tests run in"
    return subprocess.run([program, "--fail", "--silent", "--show-error", *arguments], capture_output=True, check=True).stdout


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
def test_first_steps(server: Server, prefer_grpc: bool, tmp_path: pathlib.Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(server, prefer_grpc, tmp_path)


def steps(server: Server, prefer_grpc: bool, room: pathlib.Path) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    client = QdrantClient(host=host, port=int(port), grpc_port=server.grpc_port, prefer_grpc=prefer_grpc)
    client.delete_collection("documents")

    client.create_collection(
        collection_name="documents",
        vectors_config=VectorParams(
            size=1536,  # OpenAI embedding dimensions
            distance=Distance.COSINE,
        ),
        # For distributed setup
        shard_number=3,
        replication_factor=2,
    )

    rnd = random.Random(7)
    points = [
        PointStruct(id=n, vector=[rnd.gauss(0, 1) for _ in range(DIM)], payload={"lang": "en" if n % 2 else "de", "n": n}) for n in range(100)
    ]
    client.upsert("documents", points)
    english = Filter(must=[FieldCondition(key="lang", match=MatchValue(value="en"))])
    hits = client.query_points("documents", query=points[7].vector, query_filter=english, limit=5).points
    assert hits[0].id == 7 and abs(hits[0].score - 1) < 1e-5
    assert len(hits) == 5 and all(hit.payload["lang"] == "en" for hit in hits)

    seen, offset = [], None
    while True:
        page, offset = client.scroll("documents", limit=30, offset=offset)
        seen += page
        if offset is None:
            break
    assert [record.id for record in seen] == list(range(100))

    made: Any = json.loads(curl("-X", "POST", f"{server.url}/collections/documents/snapshots"))["result"]
    file = room / "backup.snapshot"
    curl(f"{server.url}/collections/documents/snapshots/{made['name']}", "-o", str(file))
    assert file.stat().st_size == made["size"]
    client.delete_collection("documents")
    uploaded = json.loads(curl("-X", "POST", f"{server.url}/collections/documents/snapshots/upload", "-F", f"snapshot=@{file}"))
    assert uploaded["result"] is True
    assert client.count("documents").count == 100
    again = client.query_points("documents", query=points[7].vector, query_filter=english, limit=5).points
    assert [(hit.id, hit.payload) for hit in again] == [(hit.id, hit.payload) for hit in hits]
    client.close()
