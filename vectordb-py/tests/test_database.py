"""Opening, closing, and collections by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import DIM, rows

import vectordb
from vectordb import Database, SparseVectorParams, VectorParams


def test_what_is_written_is_there_after_reopening(path: Path) -> None:
    with vectordb.open(path) as db:
        docs = db.create_collection("docs", DIM)
        assert docs.upsert(["a", "b"], rows(2), [{"n": 1}, None]) == 2
    with vectordb.open(path) as db:
        docs = db["docs"]
        (a, b, c) = docs.get(["a", "b", "c"], with_vectors=True)
        assert a is not None and a.payload == {"n": 1}
        assert b is not None and b.payload == {} and b.vector.dtype == np.float32
        assert c is None and len(docs) == 2 and "a" in docs and "c" not in docs


def test_without_a_path_everything_is_in_memory() -> None:
    with vectordb.open() as db:
        db.create_collection("docs", 2).upsert([1], [[1.0, 0.0]])
        assert db.path is None and len(db["docs"]) == 1


def test_a_database_is_like_a_mapping_of_names(db: Database) -> None:
    db.create_collection("b", 2)
    db.create_collection("a", 2)
    assert list(db) == ["a", "b"] and len(db) == 2 and "a" in db and "c" not in db
    assert db.drop_collection("a") and not db.drop_collection("a", missing_ok=True)
    with pytest.raises(vectordb.CollectionNotFound):
        db.drop_collection("a")


def test_exist_ok_opens_what_is_there_and_refuses_other_vectors(db: Database) -> None:
    db.create_collection("docs", 2).upsert([1], [[1.0, 0.0]])
    assert len(db.create_collection("docs", 2, exist_ok=True)) == 1
    with pytest.raises(vectordb.CollectionExists):
        db.create_collection("docs", 2)
    with pytest.raises(vectordb.InvalidConfig):
        db.create_collection("docs", 3, exist_ok=True)


def test_a_collection_says_what_it_is(db: Database) -> None:
    docs = db.create_collection("docs", 2, distance="euclid", hnsw={"m": 24}, durability="os")
    assert (docs.name, docs.dim, docs.distance) == ("docs", 2, "euclid")
    assert docs.config["hnsw_config"]["m"] == 24 and docs.config["durability"] == "os"
    docs.update_config(hnsw_config={"m": 32})
    assert docs.config["hnsw_config"]["m"] == 32
    assert docs.info()["points"] == 0
    assert repr(docs) == "<vectordb.Collection 'docs': 0 points, vector: 2 Euclid, green>"
    assert "docs" in repr(db) and "<table>" in db._repr_html_() and "Euclid" in docs._repr_html_()


def test_vectors_of_every_kind_have_names(db: Database) -> None:
    vectors = {"text": VectorParams(2), "late": VectorParams(2, multivector=True), "small": VectorParams(2, "dot", datatype="uint8")}
    docs = db.create_collection("docs", vectors=vectors, sparse={"words": SparseVectorParams(idf=True)})
    given = {
        "text": np.array([[1, 0], [0, 1]], np.float32),
        "late": [np.ones((3, 2)), [[1.0, 0.0]]],
        "small": [[255, 0], None],
        "words": [{"indices": [7, 3], "values": [0.5, 1.0]}, None],
    }
    docs.upsert([1, 2], given)
    (first, second) = docs.get([1, 2], with_vectors=True)
    assert first is not None and second is not None
    assert first.vector["late"].shape == (3, 2) and first.vector["small"].tolist() == [255.0, 0.0]
    assert first.vector["words"]["indices"].tolist() == [3, 7] and set(second.vector) == {"text", "late"}
    assert docs.search([1.0, 0.0], using="text").ids == [1, 2]
    assert docs.search({"indices": [3], "values": [1.0]}, using="words").ids == [1]
    assert docs.search(np.ones((2, 2), np.float32), using="late").ids[0] == 1
    docs.create_vector("more", VectorParams(3))
    docs.update_vectors([2], {"more": [[1, 2, 3]]})
    docs.delete_vectors(["text"], ids=[1])
    assert docs.search([1, 2, 3], using="more").ids == [2] and docs.search([1.0, 0.0], using="text").ids == [2]
    docs.drop_vector("more")
    with pytest.raises(vectordb.VectorNotFound):
        docs.search([1, 2, 3], using="more")


def test_memory_is_told_by_component(docs: vectordb.Collection, db: Database) -> None:
    assert db.memory()["collections"]["docs"]["growing"]["anonymous_bytes"] > 0


def test_what_is_open_twice_is_refused_and_what_is_closed_is_free(path: Path) -> None:
    first = vectordb.open(path)
    with pytest.raises(vectordb.Locked, match="process"):
        vectordb.open(path)
    first.close()
    first.close()
    assert first.closed and "closed" in repr(first)
    vectordb.open(path).close()


def test_a_handle_that_is_let_go_of_gives_the_directory_back(path: Path) -> None:
    db = vectordb.open(path)
    docs = db.create_collection("docs", 2)
    del db
    docs.upsert([1], [[1.0, 0.0]])
    del docs
    vectordb.open(path).close()


def test_nothing_is_made_where_nothing_should_be(path: Path) -> None:
    ways: list[dict[str, bool]] = [{"create": False}, {"read_only": True}]
    for options in ways:
        with pytest.raises(vectordb.IoError) as caught:
            vectordb.open(path, **options)
        assert isinstance(caught.value, OSError) and not path.exists()
