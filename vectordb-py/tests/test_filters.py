"""Filters as expressions, against the same conditions in Python."""

from __future__ import annotations

import datetime
import operator
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

import vectordb
from vectordb import Collection, Database, Expression, F, has_id, has_vector

Row = dict[str, Any]
Check = Callable[[Row], bool]

DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)


def payload(rng: random.Random) -> Row:
    row: Row = {}
    if rng.random() < 0.9:
        row["n"] = rng.randrange(-5, 6)
    if rng.random() < 0.8:
        row["x"] = rng.randrange(8) / 4
    if rng.random() < 0.8:
        row["s"] = rng.choice(["red", "green", "blue", ""])
    if rng.random() < 0.7:
        row["tags"] = rng.sample(["a", "b", "c"], rng.randrange(4))
    if rng.random() < 0.5:
        row["flag"] = rng.random() < 0.5
    if rng.random() < 0.3:
        row["null"] = None
    row["at"] = (DAY + datetime.timedelta(days=rng.randrange(10))).isoformat()
    row["items"] = [{"a": rng.randrange(3), "b": rng.randrange(3)} for _ in range(rng.randrange(3))]
    return row


def values(row: Row, key: str) -> list[Any]:
    value = row.get(key)
    return value if isinstance(value, list) else [] if value is None else [value]


def simple(rng: random.Random) -> tuple[Expression, Check]:
    """A condition on one field, and whether it holds for a row."""
    n, x, s = rng.randrange(-5, 6), rng.randrange(8) / 4, rng.choice(["red", "green", "blue", ""])
    some = rng.sample(["a", "b", "c", "d"], 2)
    day = DAY + datetime.timedelta(days=rng.randrange(10))
    compare = rng.choice([operator.lt, operator.le, operator.gt, operator.ge])
    a, b = rng.randrange(3), rng.randrange(3)
    return rng.choice(
        [
            (F("n") == n, lambda row: row.get("n") == n),
            (F("n") != n, lambda row: row.get("n") != n),
            (compare(F("n"), n), lambda row: "n" in row and compare(row["n"], n)),
            (compare(F("x"), x), lambda row: "x" in row and compare(row["x"], x)),
            (F("x") == x, lambda row: row.get("x") == x),
            (F("n").between(-2, 2), lambda row: "n" in row and -2 <= row["n"] <= 2),
            (F("s") == s, lambda row: row.get("s") == s),
            (F("s").prefix("gr"), lambda row: row.get("s", "").startswith("gr")),
            (F("s").contains("e"), lambda row: "e" in row.get("s", "")),
            (F("tags").any(some), lambda row: any(tag in some for tag in values(row, "tags"))),
            (F("tags").none(some), lambda row: any(tag not in some for tag in values(row, "tags"))),
            (F("tags").count(gte=2), lambda row: len(values(row, "tags")) >= 2),
            (F("tags").is_empty(), lambda row: not values(row, "tags")),
            (F("null") == None, lambda row: "null" in row),  # noqa: E711
            (F("flag") == True, lambda row: row.get("flag") is True),  # noqa: E712
            (compare(F("at"), day), lambda row: compare(datetime.datetime.fromisoformat(row["at"]), day)),
            (F("at") == day, lambda row: datetime.datetime.fromisoformat(row["at"]) == day),
            (
                F("items").nested((F("a") == a) & (F("b") == b)),
                lambda row: any(item == {"a": a, "b": b} for item in row["items"]),
            ),
        ]
    )


def combined(rng: random.Random, depth: int) -> tuple[Expression, Check]:
    if depth == 0:
        return simple(rng)
    (first, holds), (second, also) = combined(rng, depth - 1), combined(rng, rng.randrange(depth))
    return rng.choice(
        [
            (first & second, lambda row: holds(row) and also(row)),
            (first | second, lambda row: holds(row) or also(row)),
            (~first, lambda row: not holds(row)),
            (first & ~second, lambda row: holds(row) and not also(row)),
        ]
    )


@pytest.fixture(scope="module")
def stored() -> tuple[Collection, list[Row]]:
    db = vectordb.open()
    docs = db.create_collection("docs", 2)
    rng = random.Random(7)
    payloads = [payload(rng) for _ in range(300)]
    docs.upsert(range(300), np.ones((300, 2)), payloads)
    return docs, payloads


@pytest.mark.parametrize("seed", range(8))
def test_expressions_hold_where_they_do_in_python(stored: tuple[Collection, list[Row]], seed: int) -> None:
    docs, payloads = stored
    rng = random.Random(seed)
    for round in range(60):
        expression, holds = combined(rng, round % 4)
        expected = [at for at, row in enumerate(payloads) if holds(row)]
        assert [point.id for point in docs.scroll(filter=expression, with_payload=False)] == expected, expression


def test_ids_vectors_and_places(db: Database) -> None:
    docs = db.create_collection("docs", vectors={"a": vectordb.VectorParams(2), "b": vectordb.VectorParams(2)})
    places = [{"at": {"lon": 13.4, "lat": 52.5}}, {"at": {"lon": 2.35, "lat": 48.85}}]
    docs.upsert([1, "x"], {"a": np.ones((2, 2)), "b": [[1.0, 1.0], None]}, places)
    assert docs.count(has_id([1, 7])) == docs.count(has_vector("b")) == 1
    assert docs.count(F("at").within(10_000, lon=13.41, lat=52.52)) == 1
    assert docs.count(F("at").in_box(west=0, south=45, east=5, north=50)) == 1


def test_models_of_the_stock_client_are_filters(docs: Collection) -> None:
    condition = models.FieldCondition(key="n", range=models.Range(gte=90))
    assert docs.count(models.Filter(must=[condition])) == 10


def test_conditions_are_no_booleans() -> None:
    with pytest.raises(TypeError, match="&, | and ~"):
        bool(F("a") == 1)
    with pytest.raises(TypeError, match="&, | and ~"):
        (F("a") == 1) and (F("b") == 2)
    assert (F("a") == 1) == Expression({"must": [{"key": "a", "match": {"value": 1}}]})
    assert repr(F("a")) == "F('a')" and "match" in repr(F("a") == 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("lang = ", "invalid filter at"),
        ({"must": [{"key": "a", "match": {"value": 1.5}}]}, r"must\[0\].match.value"),
        ({"maybe": []}, "unknown clause"),
        (F("a") == object(), "object"),
        (7, "not int"),
    ],
)
def test_wrong_filters_are_refused_with_their_place(docs: Collection, wrong: Any, message: str) -> None:
    for ask in (docs.count, lambda filter: docs.search([0.0] * 8, filter=filter), lambda filter: docs.delete(filter=filter)):
        with pytest.raises(vectordb.InvalidFilter, match=message):
            ask(wrong)
    assert len(docs) == 100
