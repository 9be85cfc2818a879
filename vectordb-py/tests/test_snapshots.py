"""Collections as files, within the package and to the service that the server is made of."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import rows

import vectordb
from vectordb import Collection, Database, F, qdrant


def contents(docs: Collection) -> list[object]:
    return [(point.id, point.payload, point.vector.tolist()) for point in docs.scroll(with_vectors=True)]


def test_a_snapshot_is_restored(db: Database, docs: Collection, tmp_path: Path) -> None:
    file = tmp_path / "docs.snapshot"
    docs.create_index("lang", "keyword")
    db.snapshot("docs", file)
    docs.delete(filter=F("n") >= 50)
    copy = db.restore("copy", file)
    assert len(copy) == 100 and len(docs) == 50 and "lang" in copy.info()["payload_schema"]
    with vectordb.open() as memory, vectordb.open(tmp_path / "other.vdb") as other:
        assert contents(memory.restore("docs", file)) == contents(copy)
        memory.snapshot("docs", tmp_path / "again.snapshot")
        assert contents(other.restore("docs", tmp_path / "again.snapshot")) == contents(copy)
    with pytest.raises(vectordb.CollectionExists):
        db.restore("copy", file)
    assert [left.name for left in tmp_path.iterdir() if left.suffix == ".part"] == []


def test_snapshots_go_to_the_service_and_back(db: Database, docs: Collection, tmp_path: Path) -> None:
    file = tmp_path / "docs.snapshot"
    db.snapshot("docs", file)
    client = qdrant.client(tmp_path / "served.vdb")
    client.recover_snapshot("docs", file.as_uri())
    served, _ = client.scroll("docs", limit=1000, with_vectors=True)
    # Numbers of 32 bits are short on the wire.
    assert [(each.id, each.payload, np.array(each.vector, np.float32).tolist()) for each in served] == contents(docs)
    asked = rows(1, seed=7)[0]
    assert [hit.id for hit in client.query_points("docs", asked.tolist(), limit=20).points] == docs.search(asked, 20).ids
    made = client.create_snapshot("docs")
    assert made is not None
    back = next((tmp_path / "served.vdb").rglob(made.name))
    assert contents(db.restore("back", back)) == contents(docs)
    client.close()


def test_what_is_no_snapshot_is_refused_and_leaves_nothing(db: Database, docs: Collection, tmp_path: Path) -> None:
    file = tmp_path / "docs.snapshot"
    db.snapshot("docs", file)
    whole = file.read_bytes()
    broken = bytearray(whole)
    with tarfile.open(file) as archive:
        largest = max(archive.getmembers(), key=lambda member: member.size)
    broken[largest.offset_data + largest.size // 2] ^= 1
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text").write_bytes(b"no archive")
    (tmp_path / "broken").write_bytes(broken)
    for name, kind in [("cut", vectordb.InvalidSnapshot), ("text", vectordb.InvalidSnapshot), ("broken", vectordb.Corrupted)]:
        with pytest.raises(kind):
            db.restore("new", tmp_path / name)
    with pytest.raises(vectordb.Error):
        db.restore("new", tmp_path / "missing")
    with pytest.raises(vectordb.CollectionNotFound):
        db.snapshot("nobody", tmp_path / "nobody")
    assert list(db) == ["docs"] and len(docs) == 100
    assert not list((Path(db.path or "") / "scratch").iterdir())


def test_a_directory_written_by_the_client_is_opened(tmp_path: Path) -> None:
    from qdrant_client import models

    path = tmp_path / "shared.vdb"
    client = qdrant.client(path)
    client.create_collection("docs", models.VectorParams(size=2, distance=models.Distance.DOT))
    client.upsert("docs", [models.PointStruct(id=1, vector=[1.0, 2.0], payload={"a": 1})])
    client.close()
    with vectordb.open(path) as db:
        (point,) = db["docs"].get([1], with_vectors=True)
        assert point is not None and point.payload == {"a": 1} and np.array_equal(point.vector, [1.0, 2.0])
        db["docs"].upsert([2], [[0.0, 1.0]])
    again = qdrant.client(path)
    assert again.count("docs").count == 2
    again.close()


def test_a_collection_of_several_shards_cannot_be_embedded(db: Database, tmp_path: Path) -> None:
    from qdrant_client import models

    client = qdrant.client(tmp_path / "served.vdb")
    client.create_collection("docs", models.VectorParams(size=2, distance=models.Distance.DOT), shard_number=2)
    made = client.create_snapshot("docs")
    assert made is not None
    with pytest.raises(vectordb.InvalidSnapshot, match="2 shards"):
        db.restore("docs", next((tmp_path / "served.vdb").rglob(made.name)))
    assert list(db) == []
    client.close()
