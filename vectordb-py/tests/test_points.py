"""Writing, changing and walking over points."""

from __future__ import annotations

import datetime
import uuid

import numpy as np
import pytest
from conftest import DIM, rows

import vectordb
from vectordb import Collection, Database, F


@pytest.mark.parametrize(
    "vectors",
    [
        rows(3),
        rows(3).tolist(),
        list(rows(3)),
        rows(3).astype(np.float64),
        np.asfortranarray(rows(3)),
        rows(6)[::2],
        tuple(rows(3)),
        (row for row in rows(3)),
        (rows(3) * 10).astype(np.int32),
        rows(3).astype(">f4"),
    ],
    ids=["array", "lists", "rows", "float64", "fortran", "strided", "tuple", "generator", "int32", "big-endian"],
)
def test_vectors_come_in_many_forms(db: Database, vectors: object) -> None:
    docs = db.create_collection("docs", DIM, distance="dot")
    kept = np.array(vectors, np.float32) if not hasattr(vectors, "send") else rows(3)
    assert docs.upsert([1, 2, 3], vectors) == 3
    stored = np.array([point.vector for point in docs.scroll(with_vectors=True)])
    assert np.array_equal(stored, kept)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 2**64 - 1], [1, 2**64 - 1]),
        (np.array([1, 2], np.uint64), [1, 2]),
        (np.array([1, 2], np.int32), [1, 2]),
        (["a", "b" * 256], ["a", "b" * 256]),
        ([uuid.UUID(int=1), str(uuid.UUID(int=2))], [str(uuid.UUID(int=1)), str(uuid.UUID(int=2))]),
        (iter([1, "x"]), [1, "x"]),
        (range(2), [0, 1]),
    ],
)
def test_ids_are_numbers_uuids_and_texts(db: Database, ids: object, expected: list[int | str]) -> None:
    docs = db.create_collection("docs", DIM)
    docs.upsert(ids, rows(2))  # type: ignore[arg-type]
    assert [point.id for point in docs.scroll()] == expected


def test_payloads_come_back_as_json(db: Database) -> None:
    docs = db.create_collection("docs", DIM)
    given = {
        "none": None,
        "text": "naïve 🦀",
        "big": [2**63 - 1, -(2**63), 2**64 - 1],
        "float": 0.1,
        "flag": True,
        "nested": {"list": [1, [2, {"deep": "yes"}]], "tuple": (1, 2)},
        "moment": datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.timezone.utc),
        "day": datetime.date(2024, 1, 31),
        "uuid": uuid.UUID(int=5),
        "numpy": [np.float32(0.5), np.int64(3), np.bool_(True), np.array([1, 2])],
    }
    docs.upsert([1], rows(1), [given])
    (point,) = docs.get([1])
    assert point is not None and point.payload is not None
    expected = {
        **given,
        "nested": {"list": [1, [2, {"deep": "yes"}]], "tuple": [1, 2]},
        "moment": "2024-01-31T12:00:00+00:00",
        "day": "2024-01-31",
        "uuid": str(uuid.UUID(int=5)),
        "numpy": [0.5, 3, True, [1, 2]],
    }
    assert point.payload == expected
    assert docs.count(F("moment") >= datetime.datetime(2024, 1, 1)) == 1 and docs.count(F("uuid") == uuid.UUID(int=5)) == 1


def test_modes_write_what_is_new_or_what_is_there(docs: Collection) -> None:
    docs.upsert([0, 200], rows(2), [{"n": -1}, {"n": -1}], mode="insert")
    assert docs.count(F("n") == -1) == 1
    docs.upsert([0, 300], rows(2), [{"n": -2}, {"n": -2}], mode="update")
    assert docs.count(F("n") == -2) == 1 and len(docs) == 101


def test_batches_and_progress(docs: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.upsert(range(1000, 3500), rows(2500), [{"b": 1}] * 2500, batch_size=1000, progress=True) == 2500
    assert docs.count(F("b") == 1) == 2500
    assert "writing to docs" in capsys.readouterr().err
    docs.optimize(progress=True)
    assert "optimizing docs" in capsys.readouterr().err


def test_payloads_change_by_ids_and_by_filter(docs: Collection) -> None:
    docs.set_payload({"new": 1}, ids=[1, 2])
    docs.set_payload({"lang": "it"}, filter=F("n") < 3)
    assert docs.count(F("new") == 1) == 2 and docs.count(F("lang") == "it") == 3
    docs.set_payload({"only": 1}, ids=[1], replace=True)
    assert [point.payload for point in docs.get([1]) if point] == [{"only": 1}]
    docs.delete_payload(["tags", "lang"], ids=[2])
    assert [point.payload for point in docs.get([2]) if point] == [{"n": 2, "new": 1}]
    docs.clear_payload(filter={"must": [{"has_id": [2]}]})
    assert [point.payload for point in docs.get([2]) if point] == [{}]
    with pytest.raises(TypeError):
        docs.set_payload({"a": 1})


def test_points_are_deleted_by_ids_and_by_filter(docs: Collection) -> None:
    docs.delete([0, 1, 12345])
    docs.delete(filter="lang = 'en'")
    assert docs.count() == 65 and docs.count("lang = 'en'") == 0


def test_walks_see_every_point_once(docs: Collection) -> None:
    assert [point.id for point in docs.scroll(batch_size=7)] == list(range(100))
    assert [point.id for point in docs.scroll(batch_size=7, limit=10, filter=F("n") >= 50)] == list(range(50, 60))
    docs.create_index("n", "integer")
    down = list(docs.scroll(order_by={"key": "n", "direction": "desc"}, limit=3, with_payload=["n"]))
    assert [(point.id, point.order_value, point.payload) for point in down] == [(n, n, {"n": n}) for n in (99, 98, 97)]
    with pytest.raises(ValueError, match="limit"):
        docs.scroll(order_by="n")


def test_indexes_come_and_go(docs: Collection) -> None:
    docs.create_index("lang", "keyword")
    docs.create_index("n", "integer", lookup=True, range=True)
    assert set(docs.info()["payload_schema"]) == {"lang", "n"}
    docs.drop_index("n")
    assert set(docs.info()["payload_schema"]) == {"lang"}
    with pytest.raises(vectordb.InvalidConfig):
        docs.create_index("n", "number")  # type: ignore[arg-type]


def test_everything_is_checked_on_demand(docs: Collection) -> None:
    docs.optimize()
    docs.verify()
