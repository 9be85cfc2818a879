"""Backups and snapshots in a bucket of moto, a second server of S3 beside the one of the Rust tests: another reading of the protocol."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server import Server

with warnings.catch_warnings():
    # What they import is older than this Python.
    warnings.simplefilter("ignore")
    import boto3
    from moto.server import ThreadedMotoServer

BUCKET = "vectors"


@pytest.fixture
def bucket() -> Iterator[Any]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
    s3.create_bucket(Bucket=BUCKET)
    yield s3
    moto.stop()


def keys(s3: Any, prefix: str = "") -> dict[str, int]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}


def in_bucket(s3: Any) -> Server:
    config = {"BUCKET": BUCKET, "REGION": "us-east-1", "ACCESS_KEY": "key", "SECRET_KEY": "secret", "ENDPOINT_URL": s3.meta.endpoint_url}
    settings = {f"STORAGE__SNAPSHOTS_CONFIG__S3_CONFIG__{name}": value for name, value in config.items()}
    return Server(STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE="s3", **settings)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_backups_and_snapshots_lie_in_a_bucket(bucket: Any) -> None:
    with in_bucket(bucket) as server, httpx.Client(base_url=server.url, timeout=60) as http:

        def ask(method: str, path: str, body: Any = None) -> Any:
            answer = http.request(method, path, json=body)
            assert answer.status_code == 200, f"{method} {path}: {answer.text}"
            return answer.json()["result"]

        ask("PUT", "/collections/docs", {"vectors": {"size": 8, "distance": "Dot"}, "shard_number": 2})
        points = [{"id": n, "vector": [n * 7 % 13, n, 1, 2, 3, 4, 5, 6], "payload": {"n": n}} for n in range(500)]
        ask("PUT", "/collections/docs/points?wait=true", {"points": points})

        first = ask("POST", "/backups", {})
        assert first["uploaded_objects"] == first["objects"] > 0
        assert sum(keys(bucket).values()) >= first["uploaded_bytes"]
        again = ask("POST", "/backups", {})
        assert again["uploaded_objects"] == 0, "what is there is not sent again"
        assert [each["name"] for each in ask("GET", "/backups")] == sorted(each["backup"]["name"] for each in (first, again))

        ask("POST", "/collections/docs/points/delete?wait=true", {"points": list(range(100))})
        restored = ask("POST", "/backups/restore", {"backup": first["backup"]["name"], "collections": {"docs": "copy"}})
        assert restored["collections"][0]["digest"] == first["backup"]["collections"][0]["digest"]
        assert ask("POST", "/collections/copy/points/count", {})["count"] == 500

        assert ask("POST", "/backups/verify", {})["damaged"] == []
        chunk = min(keys(bucket, "backups/objects/"))
        content = bytearray(bucket.get_object(Bucket=BUCKET, Key=chunk)["Body"].read())
        content[len(content) // 2] ^= 1
        bucket.put_object(Bucket=BUCKET, Key=chunk, Body=bytes(content))
        damaged = ask("POST", "/backups/verify", {})["damaged"]
        assert len(damaged) == 1 and chunk.endswith(damaged[0]["key"]), damaged

        made = ask("POST", "/collections/docs/snapshots")
        assert any(key.endswith(made["name"]) for key in keys(bucket))
        assert len(http.get(f"/collections/docs/snapshots/{made['name']}").content) == made["size"]
        ask("DELETE", f"/collections/docs/snapshots/{made['name']}")
        assert not any(key.endswith(made["name"]) for key in keys(bucket))
