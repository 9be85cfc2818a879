"""Searches and queries of every kind, against answers by numpy."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DIM, rows

import vectordb
from vectordb import Collection, Database, F, queries


def nearest(stored: npt.NDArray[Any], query: npt.NDArray[Any], keep: npt.NDArray[Any] | None = None) -> list[int]:
    """Places of the rows in the order of their cosine similarity."""
    scores = stored @ query / np.linalg.norm(stored, axis=1) / np.linalg.norm(query)
    order = np.argsort(-scores, kind="stable")
    return [int(at) for at in order if keep is None or keep[at]]


def test_hits_are_those_of_numpy(docs: Collection) -> None:
    query = rows(1, seed=9)[0]
    hits = docs.search(query, limit=7)
    assert hits.ids == nearest(rows(100), query)[:7]
    assert hits.scores.dtype == np.float32 and np.all(np.diff(hits.scores) <= 0)
    assert [hit.payload["n"] for hit in hits if hit.payload] == hits.ids == [hit.id for hit in hits]
    assert hits[0].score == hits.scores[0] and hits[-1].id == hits.ids[-1]
    assert [hit.id for hit in hits[1:3]] == hits.ids[1:3] and len(hits[::-2]) == 4
    assert docs.search(query.tolist(), 7).ids == docs.search(query, 7, exact=True).ids == hits.ids
    assert docs.search(query, 2, offset=3).ids == hits.ids[3:5]
    assert docs.search(query, 100, score_threshold=float(hits.scores[2])).ids == hits.ids[:3]
    with pytest.raises(IndexError):
        hits[7]
    with pytest.raises(TypeError):
        hits["a"]  # type: ignore[call-overload]


def test_what_comes_back_is_chosen(docs: Collection) -> None:
    (hit,) = docs.search(rows(1)[0], 1, with_payload=["n"], with_vectors=True)
    assert hit.payload == {"n": 0} and hit.to_dict().keys() == {"id", "score", "payload", "vector"}
    assert np.allclose(hit.vector, rows(1)[0] / np.linalg.norm(rows(1)[0]), atol=1e-6)
    (bare,) = docs.search(rows(1)[0], 1, with_payload=False)
    assert bare.payload is None and bare.vector is None
    assert repr(bare).startswith("Hit(id=0, score=1.0") and "Hits(1 of {0: 1.0000})" == repr(docs.search(rows(1)[0], 1))


def test_points_like_a_stored_one(docs: Collection) -> None:
    expected = [at for at in nearest(rows(100), rows(100)[5]) if at != 5]
    assert docs.search(near=5, limit=4).ids == expected[:4]
    both: dict[str, Any] = {"query": rows(1)[0], "near": 5}
    for wrong in ({}, both):
        with pytest.raises(TypeError):
            docs.search(**wrong)


def test_a_batch_answers_like_its_queries_one_by_one(docs: Collection) -> None:
    many = rows(20, seed=3)
    found = docs.search_batch(many, 5)
    assert len(found) == 20 and found.ids.shape == (20, 5) and found.ids.dtype == np.uint64
    for row, query in enumerate(many):
        assert found[row].ids == docs.search(query, 5).ids == found.ids[row].tolist()
        assert np.array_equal(found.scores[row], found[row].scores)
    assert found[0][0].payload is None and len(found[2:4]) == 2
    ragged = docs.search_batch(many.tolist()[:2], 5, filter=F("n") < 3)
    assert ragged.ids.shape == (2, 3) and docs.search_batch(np.empty((0, DIM), np.float32)).ids.shape == (0, 0)
    few = docs.search_batch(many[:2], 90, score_threshold=0.5)
    assert np.isnan(few.scores).any() == (len({len(hits) for hits in few}) > 1)


def test_filters_hold_in_searches(docs: Collection) -> None:
    query, n = rows(1, seed=4)[0], np.arange(100)
    cases: list[tuple[vectordb.FilterLike, npt.NDArray[Any]]] = [
        ((F("lang") == "en") & (F("n") >= 50), (n % 3 == 0) & (n >= 50)),
        ("lang = 'en' AND n >= 50", (n % 3 == 0) & (n >= 50)),
        ({"must_not": [{"key": "tags", "match": {"value": "t1"}}]}, n % 5 != 1),
    ]
    for filter, keep in cases:
        assert docs.search(query, 5, filter=filter).ids == nearest(rows(100), query, keep)[:5]
        assert docs.count(filter) == keep.sum()


def test_recall_and_graphs(db: Database) -> None:
    docs = db.create_collection("many", 32, hnsw={"full_scan_threshold": 10})
    stored = rows(4000, dim=32)
    docs.upsert(range(4000), stored)
    docs.update_config(optimizers_config={"indexing_threshold": 1})
    docs.optimize()
    assert docs.info()["indexed_vectors"] == 4000
    asked = rows(50, seed=2, dim=32)
    truth = [set(nearest(stored, query)[:10]) for query in asked]
    ways: list[dict[str, Any]] = [{"recall": 0.95}, {"ef": 200}, {"exact": True}]
    for options in ways:
        found = docs.search_batch(asked, 10, **options)
        share = np.mean([len(truth[row] & set(hits.ids)) / 10 for row, hits in enumerate(found)])
        assert share >= (1.0 if "exact" in options else 0.9)
    told = docs.explain(asked[0], 10, ef=64)
    assert 64 in [segment["ef"] for segment in told.searches[0]["segments"]] and told.hits.ids == docs.search(asked[0], 10, ef=64).ids
    assert "hits in" in str(told)


def test_explanations_advise_indexes(docs: Collection) -> None:
    told = docs.explain(rows(1)[0], 3, filter=F("lang") == "en", count_matches=True)
    assert told.advice == ["an index of kind `keyword` on `lang` would help"]
    assert sum(segment["matching"] for segment in told.searches[0]["segments"]) == 34


def test_queries_of_every_kind(docs: Collection) -> None:
    docs.create_index("n", "integer")
    a, b = rows(2, seed=8)
    assert docs.query(queries.nearest(a), 5).ids == docs.query(a, 5).ids == docs.search(a, 5).ids
    assert docs.query(3, 5).ids == docs.search(near=3, limit=5).ids
    assert len(set(docs.query(queries.nearest(a, diversity=0.9, candidates=50), 5).ids)) == 5
    assert docs.query(queries.recommend([1, 2], [3]), 5).ids == docs.query({"recommend": {"positive": [1, 2], "negative": [3]}}, 5).ids
    assert len(docs.query(queries.recommend([a], strategy="best_score"), 5)) == 5
    assert len(docs.query(queries.discover(a, [(1, 2)]), 5)) == len(docs.query(queries.context([(b, 2)]), 5)) == 5
    stages = [queries.prefetch(a, limit=20), queries.prefetch(b, limit=20, filter=F("n") < 50)]
    fused = docs.query(queries.fusion(), 5, prefetch=stages)
    assert fused.ids == docs.query({"fusion": "rrf"}, 5, prefetch=stages).ids
    assert len(docs.query(queries.fusion("dbsf"), 5, prefetch=stages)) == 5
    assert docs.query(queries.fusion(weights=[1.0, 0.0]), 3, prefetch=stages).ids[0] == docs.search(a, 1).ids[0]
    scored = docs.query(queries.formula({"sum": ["$score", {"mult": [0.0, "n"]}]}, defaults={"n": 0}), 5, prefetch=stages[0])
    assert scored.ids == docs.search(a, 5).ids
    assert docs.query(queries.order_by("n", descending=True, start_from=50), 3).ids == [50, 49, 48]
    assert len(set(docs.query(queries.sample(), 10).ids)) == 10
    assert docs.query(limit=3).ids == [0, 1, 2]
    with pytest.raises(ValueError):
        queries.fusion("dbsf", k=3)


def test_texts_are_ranked(db: Database) -> None:
    docs = db.create_collection("texts", DIM)
    docs.create_index("text", "text", scoring=True)
    texts = ["the quick brown fox", "a fox is a fox", "dogs sleep"]
    docs.upsert(range(3), rows(3), [{"text": text} for text in texts])
    assert docs.query(queries.text("fox"), using="text").ids == [1, 0]
    assert docs.count(F("text").text("quick fox")) == 1 and docs.count(F("text").text_any("dogs quick")) == 2


def test_groups_facets_and_matrices(docs: Collection) -> None:
    docs.create_index("lang", "keyword")
    groups = docs.groups("lang", rows(1, seed=5)[0], limit=3, group_size=2)
    assert {group.value for group in groups} == {"en", "de", "fr"} and all(len(group.hits) == 2 for group in groups)
    best = docs.search(rows(1, seed=5)[0], 1)[0]
    assert groups[0].hits[0].id == best.id and groups[0].lookup is None
    assert docs.facet("lang", exact=True) == {"en": 34, "de": 33, "fr": 33}
    assert docs.facet("lang", filter="n < 2", exact=True) == {"en": 1, "de": 1}
    pairs = docs.distance_matrix(sample=100, limit=2)
    assert len(pairs) == 200 and all(of != to for of, to, _ in pairs)


def test_groups_look_their_points_up(docs: Collection, db: Database) -> None:
    docs.create_index("n", "integer")
    names = db.create_collection("names", 2)
    names.upsert(range(100), np.ones((100, 2)), [{"name": f"number {n}"} for n in range(100)])
    (group,) = docs.groups("n", rows(1)[0], limit=1, with_lookup="names")
    assert group.lookup is not None and group.lookup.payload == {"name": f"number {group.value}"}


async def test_everything_works_beside_an_event_loop(docs: Collection) -> None:
    many = rows(30, seed=6)
    found = await asyncio.gather(*(docs.asearch(query, 3) for query in many))
    assert [hits.ids for hits in found] == [docs.search(query, 3).ids for query in many]
    assert await docs.aupsert([500], rows(1), [{"n": 500}]) == 1
    assert await docs.acount(F("n") == 500) == 1
    await docs.aset_payload({"x": 1}, ids=[500])
    assert [point.payload for point in await docs.aget([500]) if point] == [{"n": 500, "x": 1}]
    await docs.adelete([500])
    assert (await docs.aquery(limit=1)).ids == [0] and len(await docs.asearch_batch(many)) == 30


def test_time_runs_out(docs: Collection) -> None:
    with pytest.raises(vectordb.Timeout):
        docs.search(rows(1)[0], timeout=0.0)
    assert issubclass(vectordb.Timeout, TimeoutError)
    assert len(docs.search(rows(1)[0], timeout=60.0)) == 10
