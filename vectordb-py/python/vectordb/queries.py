"""Queries beyond "nearest to this vector", in the JSON form of the Qdrant API.

What a vector is everywhere here: a list or an array of numbers, a sparse one as a dict of ``indices`` and ``values``, or the id of a
stored point.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Json = dict[str, Any]


def nearest(vector: Any, *, diversity: float | None = None, candidates: int | None = None) -> Json:
    """The points nearest to a vector; with ``diversity`` (0 to 1), ones that also differ from each other."""
    if diversity is None and candidates is None:
        return {"nearest": vector}
    mmr = {"diversity": diversity, "candidates_limit": candidates}
    return {"nearest": vector, "mmr": {name: value for name, value in mmr.items() if value is not None}}


def recommend(
    positive: Iterable[Any] = (),
    negative: Iterable[Any] = (),
    *,
    strategy: Literal["average_vector", "best_score", "sum_scores"] = "average_vector",
) -> Json:
    """Points like these and unlike those."""
    return {"recommend": {"positive": list(positive), "negative": list(negative), "strategy": strategy}}


def discover(target: Any, pairs: Iterable[tuple[Any, Any]]) -> Json:
    """The points nearest to a vector on the better side of pairs of a good and a bad example."""
    return {"discover": {"target": target, "context": _pairs(pairs)}}


def context(pairs: Iterable[tuple[Any, Any]]) -> Json:
    """Points on the better side of pairs of a good and a bad example."""
    return {"context": _pairs(pairs)}


def fusion(method: Literal["rrf", "dbsf"] = "rrf", *, k: int | None = None, weights: Sequence[float] | None = None) -> Json:
    """Merges the answers of prefetches by their ranks or by their scores."""
    if k is None and weights is None:
        return {"fusion": method}
    if method != "rrf":
        raise ValueError("k and weights are those of rrf")
    rrf = {"k": k, "weights": None if weights is None else list(weights)}
    return {"rrf": {name: value for name, value in rrf.items() if value is not None}}


def text(words: str) -> Json:
    """Texts of the field ``using``, ranked by BM25; the field needs a text index with ``scoring``."""
    return {"text": {"query": words}}


def formula(expression: Any, *, defaults: Mapping[str, Any] | None = None) -> Json:
    """Points scored by a formula over the scores of prefetches and over payloads."""
    return {"formula": expression} if defaults is None else {"formula": expression, "defaults": dict(defaults)}


def order_by(field: str, *, descending: bool = False, start_from: Any = None) -> Json:
    """Points in the order of a field that has an integer, float or datetime index."""
    order: Json = {"key": field, "direction": "desc" if descending else "asc"}
    return {"order_by": order if start_from is None else {**order, "start_from": start_from}}


def sample() -> Json:
    """Points by chance."""
    return {"sample": "random"}


def prefetch(
    query: Any = None,
    *,
    using: str = "",
    filter: Any = None,
    limit: int = 100,
    prefetch: Sequence[Mapping[str, Any]] = (),
    score_threshold: float | None = None,
    params: Mapping[str, Any] | None = None,
) -> Json:
    """A query whose answer another one works on."""
    stage = {
        "query": query,
        "using": using or None,
        "filter": filter,
        "limit": limit,
        "prefetch": list(prefetch) or None,
        "score_threshold": score_threshold,
        "params": None if params is None else dict(params),
    }
    return {name: value for name, value in stage.items() if value is not None}


def _pairs(pairs: Iterable[tuple[Any, Any]]) -> list[Json]:
    return [{"positive": good, "negative": bad} for good, bad in pairs]
