"""Bad input: each is refused by its own exception, nothing of its batch is written, and the next good call works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DIM, rows

import vectordb
from vectordb import Collection, errors

GOOD = rows(3)


def with_value(row: int, value: float) -> Any:
    array = rows(3)
    array[row, 4] = value
    return array


def wrong(value: Any) -> Any:
    """A value that the types would not let through."""
    return value


def endless() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    inner["self"] = inner
    return inner


Case = tuple[str, Callable[[Collection], Any], type[errors.Error], str, "int | None"]

WRITES: list[Case] = [
    ("wrong dimensions", lambda docs: docs.upsert([500, 501], [[1.0] * DIM, [1.0] * 5]), errors.DimensionMismatch, "row 1: .*501.* 5 dimensions.*8", 1),
    ("wrong dimensions of an array", lambda docs: docs.upsert([500, 501], rows(2, dim=5)), errors.DimensionMismatch, "row 0.*5 dimensions", 0),
    ("NaN", lambda docs: docs.upsert([500, 501, 502], with_value(2, np.nan)), errors.InvalidVector, "row 2.*502.*NaN at dimension 4", 2),
    ("infinity", lambda docs: docs.upsert(["x", "y", "z"], with_value(1, -np.inf)), errors.InvalidVector, "row 1.*y.*-inf", 1),
    ("too large for 32 bits", lambda docs: docs.upsert([500], np.full((1, DIM), 1e39)), errors.InvalidVector, "row 0.*inf", 0),
    ("texts", lambda docs: docs.upsert([500, 501], [[1.0] * DIM, ["1"] * DIM]), errors.InvalidVector, "row 1 .*dtype <U1", 1),
    ("an array of texts", lambda docs: docs.upsert([500], np.full((1, DIM), "1")), errors.InvalidVector, "dtype <U1", None),
    ("complex numbers", lambda docs: docs.upsert([500], np.ones((1, DIM), complex)), errors.InvalidVector, "complex128", None),
    ("an object among numbers", lambda docs: docs.upsert([500], [[1.0, None, *[0.0] * 6]]), errors.InvalidVector, "row 0 .*dtype object", 0),
    ("ragged rows", lambda docs: docs.upsert([500], [[[1.0] * DIM, [1.0]]]), errors.InvalidVector, "row 0 .*not a vector of numbers", 0),
    ("a flat array", lambda docs: docs.upsert([500], rows(1)[0]), errors.InvalidVector, "a row for each point; this has 1", None),
    ("several vectors for one", lambda docs: docs.upsert([500], [rows(2)]), errors.WrongVectorKind, "row 0.*multivector", 0),
    ("a sparse vector for a dense", lambda docs: docs.upsert([500], [{"indices": [1], "values": [1.0]}]), errors.WrongVectorKind, "row 0.*sparse", 0),
    ("a dict that is no vector", lambda docs: docs.upsert([500], [{"a": 1}]), errors.InvalidVector, "row 0 .*indices", 0),
    ("an unknown vector", lambda docs: docs.upsert([500], {"image": rows(1)}), errors.VectorNotFound, "image", None),
    ("fewer vectors than ids", lambda docs: docs.upsert([500, 501], rows(1)), errors.LengthMismatch, "1 vectors for 2 ids", None),
    ("more payloads than ids", lambda docs: docs.upsert([500], rows(1), [{}, {}]), errors.LengthMismatch, "2 payloads for 1 ids", None),
    ("no vectors at all", lambda docs: docs.upsert([500], None), errors.InvalidVector, "NoneType", None),
    ("a negative id", lambda docs: docs.upsert([500, -1], rows(2)), errors.InvalidId, "row 1: the id -1", 1),
    ("an id beyond 64 bits", lambda docs: docs.upsert([2**64], rows(1)), errors.InvalidId, "row 0", 0),
    ("a fraction as an id", lambda docs: docs.upsert(wrong([1.5]), rows(1)), errors.InvalidId, "not float", 0),
    ("a bool as an id", lambda docs: docs.upsert([True], rows(1)), errors.InvalidId, "not a bool", 0),
    ("an empty id", lambda docs: docs.upsert([""], rows(1)), errors.InvalidId, "1 to 256 bytes", 0),
    ("a long id", lambda docs: docs.upsert(["é" * 129], rows(1)), errors.InvalidId, "1 to 256 bytes", 0),
    ("a payload that is no dict", lambda docs: docs.upsert([500, 501], rows(2), wrong([{}, [1]])), errors.InvalidPayload, "row 1 .*not list", 1),
    ("one payload for all", lambda docs: docs.upsert([500], rows(1), wrong({"a": 1})), errors.InvalidPayload, "a dict for each id", None),
    ("NaN in a payload", lambda docs: docs.upsert([500], rows(1), [{"a": {"b": [1.0, np.nan]}}]), errors.InvalidPayload, r"`a.b\[1\]`: NaN", 0),
    ("a number of 65 bits", lambda docs: docs.upsert([500], rows(1), [{"a": 2**64}]), errors.InvalidPayload, "`a`: .*64 bits", 0),
    ("a key that is no text", lambda docs: docs.upsert([500], rows(1), [{"a": {1: 2}}]), errors.InvalidPayload, "`a`: a key is a str, not int", 0),
    ("a foreign object", lambda docs: docs.upsert([500], rows(1), [{"a": object()}]), errors.InvalidPayload, "`a`: .*object", 0),
    ("half of a pair of surrogates", lambda docs: docs.upsert([500], rows(1), [{"a": "\ud800"}]), errors.InvalidPayload, "`a`: ", 0),
    ("a payload that holds itself", lambda docs: docs.upsert([500], rows(1), [endless()]), errors.InvalidPayload, "nested deeper", 0),
    ("a bad path", lambda docs: docs.delete_payload(["a["], ids=[1]), errors.InvalidPayload, "path", None),
    ("an unknown kind of index", lambda docs: docs.create_index("n", "number"), errors.InvalidConfig, "invalid index", None),  # type: ignore[arg-type]
    ("a filter that cannot be read", lambda docs: docs.delete(filter="n >"), errors.InvalidFilter, "invalid filter at", None),
]

READS: list[Case] = [
    ("wrong dimensions", lambda docs: docs.search([1.0, 2.0]), errors.DimensionMismatch, "2 dimensions.*8", None),
    ("NaN", lambda docs: docs.search([np.nan] * DIM), errors.InvalidVector, "NaN", None),
    ("NaN in a batch", lambda docs: docs.search_batch(with_value(1, np.nan)), errors.InvalidVector, "NaN", None),
    ("None in a batch", lambda docs: docs.search_batch([None]), errors.InvalidVector, "query 0 is None", None),
    ("a text", lambda docs: docs.search("what?"), errors.InvalidVector, "not str", None),
    ("three dimensions", lambda docs: docs.search(np.ones((2, 2, 2))), errors.InvalidVector, "this has 3", None),
    ("an unknown vector", lambda docs: docs.search(rows(1)[0], using="image"), errors.VectorNotFound, "image", None),
    ("an unknown point", lambda docs: docs.search(near="nobody"), errors.PointNotFound, "nobody", None),
    ("a wrong filter", lambda docs: docs.search(rows(1)[0], filter={"must": [{"key": "n"}]}), errors.InvalidFilter, r"must\[0\]", None),
    ("too many results", lambda docs: docs.search(rows(1)[0], 10**9), errors.LimitExceeded, "limit", None),
    ("a recall beyond 1", lambda docs: docs.search(rows(1)[0], recall=1.5), errors.InvalidQuery, "recall", None),
    ("an unknown query", lambda docs: docs.query({"nearby": 1}), errors.InvalidQuery, "query", None),
    ("NaN in a query", lambda docs: docs.query({"nearest": [np.nan]}), errors.InvalidQuery, "NaN", None),
    ("an order without an index", lambda docs: list(docs.scroll(order_by="n", limit=3)), errors.InvalidQuery, "n", None),
    ("a facet by a bad path", lambda docs: docs.facet("n["), errors.InvalidPayload, "`n\\[`", None),
]


def names(cases: list[Case]) -> list[str]:
    return [case[0] for case in cases]


@pytest.mark.parametrize("case", WRITES, ids=names(WRITES))
def test_writes(docs: Collection, case: Case) -> None:
    refused(docs, case)


@pytest.mark.parametrize("case", READS, ids=names(READS))
def test_reads(docs: Collection, case: Case) -> None:
    refused(docs, case)


def refused(docs: Collection, case: Case) -> None:
    _, call, kind, message, row = case
    before = [(point.id, point.payload) for point in docs.scroll()]
    with pytest.raises(kind, match=message) as caught:
        call(docs)
    assert type(caught.value) is kind and caught.value.row == row
    assert [(point.id, point.payload) for point in docs.scroll()] == before
    assert docs.upsert([900, 901, 902], GOOD) == 3 and docs.search(GOOD[0], 1, filter=vectordb.has_id([900])).ids == [900]


@pytest.mark.parametrize(
    ("call", "builtin"),
    [
        (lambda docs: docs.search([1.0]), ValueError),
        (lambda docs: docs.upsert([1], rows(1), [1]), TypeError),
        (lambda docs: docs.search(near="nobody"), KeyError),
    ],
)
def test_errors_are_the_builtins_that_fit(docs: Collection, call: Callable[[Collection], Any], builtin: type[Exception]) -> None:
    with pytest.raises(builtin) as caught:
        call(docs)
    assert isinstance(caught.value, vectordb.Error) and not str(caught.value).startswith("'")


@pytest.mark.parametrize(
    "call",
    [
        lambda docs: docs.search(rows(1)[0], -1),
        lambda docs: docs.search(rows(1)[0], timeout=-1.0),
        lambda docs: docs.search(rows(1)[0], with_payload=7),
        lambda docs: docs.search(rows(1)[0], using=None),
        lambda docs: docs.upsert("ab", rows(2)),
        lambda docs: docs.upsert([1], rows(1), mode="replace"),
        lambda docs: docs.upsert([1], rows(1), batch_size=0),
        lambda docs: docs.delete(),
        lambda docs: docs.delete([1], filter="n = 1"),
    ],
)
def test_arguments_that_make_no_sense_are_type_and_value_errors(docs: Collection, call: Callable[[Collection], Any]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        call(docs)
    assert len(docs) == 100


def test_poison_does_not_reach_the_graph(db: vectordb.Database) -> None:
    """Many vectors with NaN before good ones, which spoil the graphs of some engines."""
    docs = db.create_collection("poisoned", DIM, hnsw={"full_scan_threshold": 10})
    for start in range(60):
        with pytest.raises(errors.InvalidVector):
            docs.upsert([start], np.full((1, DIM), np.nan))
    stored = rows(3000)
    docs.upsert(range(3000), stored)
    docs.optimize()
    exact, quick = docs.search_batch(rows(50, 3), exact=True), docs.search_batch(rows(50, 3))
    assert np.mean([len(set(a.ids) & set(b.ids)) / 10 for a, b in zip(exact, quick)]) > 0.95


def test_batches_before_a_bad_one_stay(docs: Collection) -> None:
    vectors = rows(30)
    vectors[25, 0] = np.nan
    with pytest.raises(errors.InvalidVector) as caught:
        docs.upsert(range(1000, 1030), vectors, batch_size=10)
    assert caught.value.row == 25 and docs.count(vectordb.has_id(range(1000, 1030))) == 20


def test_closed_handles_say_so(db: vectordb.Database, docs: Collection) -> None:
    db.close()
    calls: list[Callable[[], Any]] = [
        lambda: docs.search(rows(1)[0]),
        lambda: docs.upsert([1], rows(1)),
        lambda: docs.count(),
        lambda: len(docs),
        lambda: list(docs.scroll()),
        lambda: docs.info(),
        lambda: db.collections(),
        lambda: db["docs"],
        lambda: db.create_collection("new", 3),
    ]
    for call in calls:
        with pytest.raises(errors.Closed, match="closed"):
            call()
    assert "closed" in repr(docs) and "closed" in repr(db) and "closed" in db._repr_html_()


def test_names_and_settings(db: vectordb.Database) -> None:
    cases: list[tuple[Callable[[], Any], type[errors.Error]]] = [
        (lambda: db["nobody"], errors.CollectionNotFound),
        (lambda: db.create_collection("a/b", 3), errors.InvalidName),
        (lambda: db.create_collection("a", 0), errors.InvalidConfig),
        (lambda: db.create_collection("a", 70_000), errors.InvalidConfig),
        (lambda: db.create_collection("a", 3, distance="near"), errors.InvalidConfig),  # type: ignore[arg-type]
        (lambda: db.create_collection("a", 3, hnsw={"m": "many"}), errors.InvalidConfig),
        (lambda: db.create_collection("a", 3, vectors={"": vectordb.VectorParams(3)}), errors.InvalidConfig),
        (lambda: db.create_collection("a", vectors={"v": vectordb.VectorParams(3, datatype="int4")}), errors.InvalidConfig),  # type: ignore[arg-type]
    ]
    for call, kind in cases:
        with pytest.raises(kind):
            call()
    assert len(db) == 0
