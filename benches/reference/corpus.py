"""Writes the corpus of queries: a seeded set of points, and cases with the answers of the reference client's in-memory mode.

    python corpus.py --out ../../vectordb-core/testdata/corpus/queries

Each case of a file is drawn again until nothing hangs on a tie; where that is impossible by nature, as with the zeros of a context
query, the points that may stand in for those of equal score are listed. The scores of plain searches are computed a second time
by the formulas of the distances.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import random
import sys
import uuid
from collections.abc import Callable
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.hybrid.fusion import distribution_based_score_fusion, reciprocal_rank_fusion

from differential import MAX_SIM, close

Request = dict[str, Any]

SEED = 20
POINTS = 80
ALL = 1000
DENSE = {
    "cos": (6, "Cosine", "float32"),
    "euc": (5, "Euclid", "float32"),
    "man": (4, "Manhattan", "float32"),
    "dot": (6, "Dot", "float32"),
    "half": (4, "Euclid", "float16"),
    "bytes": (4, "Cosine", "uint8"),
    "levels": (4, "Dot", "uint8"),
}
FLOATS = ("cos", "euc", "man", "dot")
MULTI = {"many": (4, "Cosine"), "far": (3, "Euclid")}
SPARSE = {"words": None, "rare": "idf"}
VECTORS = (*DENSE, *MULTI, *SPARSE)
COLORS = ("red", "green", "blue", "black", "white")
BRANDS = ("acme", "bolt", "crux", "dune", "echo", "flux")
ORDERS = {"rank": "integer", "weight": "float", "since": "datetime"}
# Texts are ranked by an index of their own, which is there in every state.
STORY = {"type": "text", "lowercase": True, "scoring": True}
WORDS = [*COLORS, *BRANDS, *(f"word{number}" for number in range(40))]
FILTERED = {"n": "integer", "price": "float", "b": "bool", "k": "keyword", "tags": "keyword", "brand": "keyword", "sizes": "integer",
            "day": "datetime", "geo": "geo", "shop": "keyword"}  # fmt: skip


class Data:
    """The points, and random pieces of queries over them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ids = [n if n % 3 else str(uuid.UUID(int=self.random.getrandbits(128), version=4)) for n in range(POINTS)]
        self.shops = [*range(1, 6), *(str(uuid.UUID(int=self.random.getrandbits(128), version=4)) for _ in range(3))]
        self.unique = {key: self.random.sample(range(1, 1000), POINTS) for key in ORDERS}
        self.points = [{"id": id, "vector": self.vectors(), "payload": self.payload(at)} for at, id in enumerate(self.ids)]
        # Drawn apart, so that no other case depends on texts.
        texts = random.Random(seed + 1)
        for point in self.points:
            if texts.random() < 0.9:
                point["payload"]["story"] = story(texts)
        self.having = {name: [point["id"] for point in self.points if name in point["vector"]] for name in VECTORS}
        self.lookup = [
            {"id": id, "vector": {"taste": self.vector("cos"), "words": self.vector("words")}, "payload": {"name": f"shop {at}"}}
            for at, id in enumerate(self.shops)
        ]

    def vector(self, name: str) -> Any:
        rnd = self.random
        if name in SPARSE:
            indices = sorted({min(rnd.randrange(30), rnd.randrange(30)) for _ in range(rnd.randrange(2, 8))})
            return {"indices": indices, "values": [round(rnd.gauss(0, 1) if name == "words" else rnd.uniform(0.1, 2), 3) for _ in indices]}
        if name in MULTI:
            return [[round(rnd.gauss(0, 1), 3) for _ in range(MULTI[name][0])] for _ in range(rnd.randrange(1, 4))]
        size, _, datatype = DENSE[name]
        if datatype == "uint8":
            return [rnd.randrange(256) for _ in range(size)]
        # Half floats hold these without loss.
        return [rnd.randrange(-200, 201) / 64 if datatype == "float16" else round(rnd.gauss(0, 1), 3) for _ in range(size)]

    def vectors(self) -> dict[str, Any]:
        return {name: self.vector(name) for name in VECTORS if name == "cos" or self.random.random() < 0.85}

    def payload(self, at: int) -> dict[str, Any]:
        rnd = self.random
        payload: dict[str, Any] = {
            "n": rnd.randrange(50),
            "price": round(rnd.uniform(0.1, 10), 3),
            "b": rnd.random() < 0.5,
            "brand": rnd.choice(BRANDS),
            "shop": rnd.choice([*self.shops, 77]),
            "nested": {"a": {"b": rnd.randrange(1, 9)}},
            "geo": {"lon": round(rnd.uniform(-170, 170), 3), "lat": round(rnd.uniform(-75, 75), 3)},
            "text": " ".join(rnd.sample(COLORS + BRANDS, 3)),
            "rank": self.unique["rank"][at] * 7 - 1000,
        }
        if rnd.random() < 0.8:
            payload["k"] = rnd.sample(COLORS, rnd.randrange(3)) if rnd.random() < 0.4 else rnd.choice(COLORS)
        if rnd.random() < 0.9:
            payload["tags"] = rnd.sample(COLORS, rnd.randrange(1, 4))
        if rnd.random() < 0.8:
            payload["sizes"] = rnd.sample(range(36, 46), rnd.randrange(1, 4))
        if rnd.random() < 0.9:
            payload["day"] = f"20{rnd.randrange(10, 25)}-{rnd.randrange(1, 13):02}-{rnd.randrange(1, 28):02}T{rnd.randrange(24):02}:30:00Z"
        if rnd.random() < 0.9:
            payload["weight"] = self.unique["weight"][at] / 8 - 20
        if rnd.random() < 0.9:
            number = self.unique["since"][at]
            payload["since"] = (
                f"20{number % 25:02}-{number % 12 + 1:02}-{number % 27 + 1:02}T{number % 23:02}:{number % 60:02}:{number // 60:02}Z"
            )
        return payload

    def condition(self) -> Any:
        rnd = self.random
        return rnd.choice(
            [
                lambda: {"key": "k", "match": {"value": rnd.choice(COLORS)}},
                lambda: {"key": "tags", "match": {"any": rnd.sample(COLORS, 2)}},
                lambda: {"key": "brand", "match": {"except": rnd.sample(BRANDS, 2)}},
                lambda: {"key": "n", "range": {"gte": rnd.randrange(30)}},
                lambda: {"key": "price", "range": {"lt": round(rnd.uniform(4, 10), 2)}},
                lambda: {"key": "day", "range": {"gt": f"20{rnd.randrange(10, 20)}-06-15T00:00:00Z"}},
                lambda: {"key": "b", "match": {"value": rnd.random() < 0.5}},
                lambda: {"key": "tags", "values_count": {"gte": 2}},
                lambda: {
                    "key": "geo",
                    "geo_bounding_box": {"top_left": {"lon": -120, "lat": 70}, "bottom_right": {"lon": 120, "lat": -70}},
                },
                lambda: {"has_id": rnd.sample(self.ids, 50)},
                lambda: {"is_empty": {"key": "k"}},
                lambda: {"has_vector": rnd.choice(VECTORS)},
            ]
        )()

    def filter(self) -> Request:
        rnd = self.random
        shape = rnd.randrange(4)
        if shape == 0:
            return {"must": [self.condition()]}
        if shape == 1:
            return {"must_not": [self.condition()]}
        if shape == 2:
            return {"should": [self.condition(), self.condition()]}
        return {"must": [self.condition()], "should": [self.condition(), self.condition()], "must_not": [self.condition()]}

    def target(self, using: str) -> Any:
        return self.random.choice(self.having[using]) if self.random.random() < 0.4 else self.vector(using)

    def targets(self, using: str, count: int) -> list[Any]:
        return [self.target(using) for _ in range(count)]


def phrase(rnd: random.Random, most: int) -> str:
    """Words of which the first are the most common ones."""
    words = [WORDS[min(rnd.randrange(len(WORDS)) for _ in range(rnd.randrange(1, 4)))] for _ in range(rnd.randrange(1, most))]
    return " ".join(word.upper() if rnd.random() < 0.1 else word for word in words)


def story(rnd: random.Random) -> Any:
    """A text, or several that count as one."""
    return [phrase(rnd, 12) for _ in range(rnd.randrange(2, 4))] if rnd.random() < 0.2 else phrase(rnd, 40)


def collections(data: Data) -> dict[str, Request]:
    """What the points are kept in, in the wire's form."""
    dense = {name: {"size": size, "distance": distance, "datatype": datatype} for name, (size, distance, datatype) in DENSE.items()}
    multi = {
        name: {"size": size, "distance": distance, "multivector_config": {"comparator": "max_sim"}}
        for name, (size, distance) in MULTI.items()
    }
    sparse = {name: {"modifier": modifier} if modifier else {} for name, modifier in SPARSE.items()}
    taste = {"taste": {"size": 6, "distance": "Cosine"}}
    return {
        "points": {"vectors": {**dense, **multi}, "sparse_vectors": sparse, "order": {**ORDERS, "story": STORY}, "indexes": FILTERED, "points": data.points},
        "shops": {"vectors": taste, "sparse_vectors": {"words": {}}, "points": data.lookup},
    }


class Oracle:
    """The in-memory mode of the reference client."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.client = QdrantClient(":memory:")
        for name, wanted in collections(data).items():
            vectors = {key: models.VectorParams.model_validate(params) for key, params in wanted["vectors"].items()}
            assert all((vector.multivector_config == MAX_SIM) == (key in MULTI) for key, vector in vectors.items())
            sparse = {key: models.SparseVectorParams.model_validate(params) for key, params in wanted["sparse_vectors"].items()}
            self.client.create_collection(name, vectors_config=vectors, sparse_vectors_config=sparse)
            self.client.upsert(name, [models.PointStruct.model_validate(point) for point in wanted["points"]])

    def query(self, request: Request) -> list[tuple[Any, float]]:
        if ranks_texts(request):
            return self.ranked(request)
        parts = request.get("prefetch")
        if isinstance(parts, list) and any(ranks_texts(part) for part in parts):
            return self.fused(request, parts)
        parsed = models.QueryRequest.model_validate(request)
        return [(hit.id, hit.score) for hit in self.client.query_points("points", **arguments(parsed)).points]

    def ranked(self, request: Request) -> list[tuple[Any, float]]:
        """BM25 by its formula, since the reference ranks no texts."""
        wanted = request["query"]["text"]
        wanted = wanted if isinstance(wanted, dict) else {"query": wanted}
        numbers = wanted.get("scoring", {}).get("bm25", {})
        k, b = numbers.get("k", 1.2), numbers.get("b", 0.75)
        texts: dict[Any, list[str]] = {}
        for point in self.data.points:
            held = point["payload"].get("story", [])
            if words := " ".join([held] if isinstance(held, str) else held).lower().split():
                texts[point["id"]] = words
        mean = sum(map(len, texts.values())) / len(texts)
        scores: dict[Any, float] = {}
        for word in set(wanted["query"].lower().split()):
            holding = [id for id, words in texts.items() if word in words]
            idf = math.log(1 + (len(texts) - len(holding) + 0.5) / (len(holding) + 0.5))
            for id in holding:
                count, length = texts[id].count(word), len(texts[id])
                scores[id] = scores.get(id, 0) + idf * count * (k + 1) / (count + k * (1 - b + b * length / mean))
        allowed = set(self.matching(request.get("filter")))
        least = request.get("score_threshold", 0)
        found = sorted(((id, score) for id, score in scores.items() if id in allowed and score >= least), key=lambda hit: -hit[1])
        offset = request.get("offset", 0)
        return found[offset : offset + request["limit"]]

    def fused(self, request: Request, parts: list[Request]) -> list[tuple[Any, float]]:
        """Ranks of several queries, of which some rank texts."""
        answers = [self.query({**part, "limit": ALL}) for part in parts]
        for answer, part in zip(answers, parts):
            if any(close(a, b) for (_, a), (_, b) in zip(answer, answer[1 : part["limit"] + 1])):
                raise Tie
        cut = [answer[: part["limit"]] for answer, part in zip(answers, parts)]
        hits = [[models.ScoredPoint(id=id, version=0, score=score) for id, score in answer] for answer in cut]
        fuse = {"rrf": reciprocal_rank_fusion, "dbsf": distribution_based_score_fusion}[request["query"]["fusion"]]
        return [(hit.id, hit.score) for hit in fuse(hits, limit=request["limit"])]

    def groups(self, request: Request) -> list[models.PointGroup]:
        parsed = models.QueryGroupsRequest.model_validate(request)
        return self.client.query_points_groups("points", **arguments(parsed)).groups

    def matching(self, filter: Request | None) -> list[Any]:
        wanted = models.Filter.model_validate(filter) if filter else None
        return [record.id for record in self.client.scroll("points", scroll_filter=wanted, limit=ALL)[0]]


def arguments(parsed: Any) -> Request:
    renamed = {"filter": "query_filter", "params": "search_params", "with_vector": "with_vectors"}
    # Vectors and ids at the place of a query are what the client calls a nearest query.
    found = {key: getattr(parsed, key) for key in type(parsed).model_fields}
    return {renamed.get(key, key): value for key, value in found.items() if value is not None and key != "shard_key"}


def ranks_texts(request: Request) -> bool:
    query = request.get("query")
    return isinstance(query, dict) and "text" in query


class Tie(Exception):
    """A case that hangs on points of equal score."""


def number(score: float) -> float:
    return float(f"{score:.9g}")


def measured(distance: str, query: list[float], vector: list[float]) -> float:
    """The score of a plain search, by the formula."""
    if distance == "Euclid":
        return math.dist(query, vector)
    if distance == "Manhattan":
        return sum(abs(a - b) for a, b in zip(query, vector, strict=True))
    dot = sum(a * b for a, b in zip(query, vector, strict=True))
    return dot if distance == "Dot" else dot / (math.hypot(*query) * math.hypot(*vector))


class Writer:
    """The cases of a file."""

    def __init__(self, oracle: Oracle, file: str, doc: str) -> None:
        self.oracle, self.file, self.doc = oracle, file, doc
        self.cases: list[str] = []
        self.names: set[str] = set()

    def add(self, name: str, ask: str, make: Request | Callable[[], Request]) -> None:
        """One case; a maker is asked again as long as the answer is empty or hangs on a tie."""
        base, count = name, 1
        while name in self.names:
            count += 1
            name = f"{base} {count}"
        self.names.add(name)
        for attempt in range(200):
            request = make() if callable(make) else make
            try:
                answer = getattr(self, f"answer_{ask}")(request)
            except Tie:
                if not callable(make):
                    raise SystemExit(f"{self.file}: {name} hangs on a tie") from None
                continue
            if answer["answer"] or not callable(make):
                break
        else:
            raise SystemExit(f"{self.file}: {name} is never without ties")
        lines = ["[[case]]", f"name = {quoted(name)}", f"ask = {quoted(ask)}", f"request = {quoted(request)}"]
        lines += [f"{key} = {quoted(value)}" for key, value in answer.items()]
        self.cases.append("\n".join(lines) + "\n")

    def write(self, directory: pathlib.Path) -> int:
        head = f"# {self.doc} Written by benches/reference/corpus.py.\n"
        (directory / f"{self.file}.toml").write_text("\n".join([head, *self.cases]))
        return len(self.cases)

    def answer_query(self, request: Request) -> Request:
        hits = self.oracle.query(request)
        answer: Request = {"answer": [[id, number(score)] for id, score in hits]}
        query = request.get("query")
        if isinstance(query, dict) and query.get("mmr"):
            return answer
        whole = dict(self.oracle.query({**request, "limit": ALL, "offset": 0}))
        self.check_formula(request, whole)
        if spare := [id for id, score in whole.items() if id not in dict(hits) and any(close(score, other) for _, other in hits)]:
            answer["or"] = spare
        return answer

    def check_formula(self, request: Request, scores: dict[Any, float]) -> None:
        """Plain searches once more, by the formula of the distance alone."""
        query, using = request.get("query"), request.get("using")
        query = query.get("nearest") if isinstance(query, dict) and len(query) == 1 else query
        if using not in DENSE or not isinstance(query, list) or request.get("prefetch"):
            return
        vectors = {point["id"]: point["vector"][using] for point in self.oracle.data.points if using in point["vector"]}
        for id, score in scores.items():
            if not close(measured(DENSE[using][1], query, vectors[id]), score):
                raise SystemExit(f"{self.file}: the reference gives {score} to {id} for {request}")
        if not request.get("filter") and "score_threshold" not in request and len(scores) != len(vectors):
            raise SystemExit(f"{self.file}: the reference leaves points out of {request}")

    def answer_ordered(self, request: Request) -> Request:
        """Points in the order of a field without equal values, or of ids."""
        order = (request.get("query") or {}).get("order_by")
        key = order["key"] if isinstance(order, dict) else order
        payloads = {point["id"]: point["payload"] for point in self.oracle.data.points}
        return {"answer": [[id, payloads[id][key] if key else None] for id, _ in self.oracle.query(request)]}

    def answer_scroll(self, request: Request) -> Request:
        order = models.OrderBy.model_validate(request["order_by"]) if "order_by" in request else None
        wanted = models.Filter.model_validate(request["filter"]) if "filter" in request else None
        found, after = self.oracle.client.scroll(
            "points", scroll_filter=wanted, limit=request["limit"], order_by=order, offset=request.get("offset")
        )
        ids: list[Any] = [record.id for record in found]
        return {"answer": [*ids, {"next": None if order else after}]}

    def answer_count(self, request: Request) -> Request:
        return {"answer": len(self.oracle.matching(request.get("filter")))}

    def answer_sample(self, request: Request) -> Request:
        return {"answer": sorted(self.oracle.matching(request.get("filter")), key=str)}

    def answer_facet(self, request: Request) -> Request:
        wanted = models.Filter.model_validate(request["filter"]) if "filter" in request else None
        hits = self.oracle.client.facet("points", key=request["key"], facet_filter=wanted, limit=request["limit"]).hits
        return {"answer": [[hit.value, hit.count] for hit in hits]}

    def answer_matrix(self, request: Request) -> Request:
        wanted = models.Filter.model_validate(request["filter"]) if "filter" in request else None
        ask = {"query_filter": wanted, "sample": request["sample"], "using": request["using"]}
        pairs = self.oracle.client.search_matrix_pairs("points", limit=request["limit"], **ask).pairs
        more = self.oracle.client.search_matrix_pairs("points", limit=request["limit"] + 1, **ask).pairs
        rows: dict[Any, list[float]] = {}
        for pair in more:
            rows.setdefault(pair.a, []).append(pair.score)
        if any(close(a, b) for row in rows.values() for a, b in zip(row, row[1:])):
            raise Tie
        return {"answer": [[pair.a, pair.b, number(pair.score)] for pair in pairs]}

    def answer_groups(self, request: Request) -> Request:
        groups = self.oracle.groups(request)
        whole = self.oracle.groups({**request, "limit": ALL, "group_size": ALL})
        best = [group.hits[0].score for group in whole]
        if len(best) > len(groups) and close(best[len(groups) - 1], best[len(groups)]):
            raise Tie
        for group in whole:
            scores = [hit.score for hit in group.hits]
            if any(close(a, b) for a, b in zip(scores, scores[1:])):
                raise Tie
        answer = []
        for group in groups:
            found: Request = {"id": group.id, "hits": [[hit.id, number(hit.score)] for hit in group.hits]}
            if "with_lookup" in request:
                found["lookup"] = group.lookup.payload if group.lookup else None
            answer.append(found)
        return {"answer": answer}


def quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    assert "'" not in text, text
    return f"'{text}'"


FILES: dict[str, tuple[str, Callable[[Writer, Data], None]]] = {}


def file(doc: str) -> Callable[[Any], Any]:
    def mark(function: Any) -> Any:
        FILES[function.__name__] = (doc, function)
        return function

    return mark


def near(data: Data, using: str, **more: Any) -> Request:
    return {"query": {"nearest": data.target(using)}, "using": using, **more}


def prefetch(data: Data, using: str | None = None, **more: Any) -> Request:
    using = using or data.random.choice(VECTORS)
    return {"query": {"nearest": data.vector(using)}, "using": using, "limit": data.random.choice((8, 15, 30)), **more}


@file("Nearest points to a vector or a point, by every distance.")
def nearest(to: Writer, data: Data) -> None:
    for using in FLOATS:
        to.add(f"{using}, by vector", "query", lambda: {"query": data.vector(using), "using": using, "limit": 10})
        to.add(f"{using}, nearest by vector", "query", lambda: {"query": {"nearest": data.vector(using)}, "using": using, "limit": 5})
        to.add(f"{using}, all points", "query", lambda: {"query": data.vector(using), "using": using, "limit": POINTS})
        to.add(f"{using}, one", "query", lambda: {"query": data.vector(using), "using": using, "limit": 1})
        for kind in (int, str):
            choices = [id for id in data.having[using] if isinstance(id, kind)]
            to.add(
                f"{using}, by id ({kind.__name__})", "query", lambda: {"query": data.random.choice(choices), "using": using, "limit": 10}
            )
        for _ in range(5):
            to.add(f"{using}, filtered", "query", lambda: near(data, using, filter=data.filter(), limit=10))
        to.add(f"{using}, large query", "query", lambda: {"query": [250 * x for x in data.vector(using)], "using": using, "limit": 6})
    to.add(
        "nothing matches",
        "query",
        {"query": data.vector("cos"), "using": "cos", "filter": {"must": [{"key": "n", "range": {"gt": 99}}]}, "limit": 3},
    )


@file("Numbers of two bytes and of one.")
def datatypes(to: Writer, data: Data) -> None:
    for using in ("half", "bytes", "levels"):
        for _ in range(3):
            to.add(f"{using}, by vector", "query", lambda: {"query": data.vector(using), "using": using, "limit": 10})
        for _ in range(2):
            to.add(f"{using}, by id", "query", lambda: {"query": data.random.choice(data.having[using]), "using": using, "limit": 10})
        for _ in range(3):
            to.add(f"{using}, filtered", "query", lambda: near(data, using, filter=data.filter(), limit=8))


@file("Nearest points that differ from each other.")
def mmr(to: Writer, data: Data) -> None:
    for using in (*FLOATS, *MULTI, *SPARSE):
        for diversity, candidates in ((None, None), (0.0, 20), (0.3, 30), (0.7, 40), (0.95, 25)):
            body = {"diversity": diversity, "candidates_limit": candidates}
            body = {key: value for key, value in body.items() if value is not None} or {"diversity": 0.5}
            name = f"{using}, diversity {diversity}, {candidates} candidates"
            to.add(name, "query", lambda: {"query": {"nearest": data.vector(using), "mmr": body}, "using": using, "limit": 7})
    for using in ("cos", "euc"):
        body = {"diversity": 0.4, "candidates_limit": 30}
        to.add(
            f"{using}, filtered",
            "query",
            lambda: {"query": {"nearest": data.vector(using), "mmr": body}, "using": using, "filter": data.filter(), "limit": 5},
        )


@file("Points like some and unlike others.")
def recommend(to: Writer, data: Data) -> None:
    for strategy in ("average_vector", "best_score", "sum_scores"):
        for using in (*FLOATS, *MULTI, *SPARSE):
            for positive, negative in ((1, 0), (3, 2)):

                def make() -> Request:
                    body = {"positive": data.targets(using, positive), "negative": data.targets(using, negative), "strategy": strategy}
                    return {"query": {"recommend": body}, "using": using, "limit": 8}

                to.add(f"{strategy}, {using}, {positive} for, {negative} against", "query", make)
        for using in ("cos", "dot"):
            ids = {"positive": data.random.sample(data.having[using], 2), "negative": data.random.sample(data.having[using], 2)}
            ids["negative"] = [id for id in ids["negative"] if id not in ids["positive"]]
            to.add(
                f"{strategy}, {using}, by ids, filtered",
                "query",
                lambda: {"query": {"recommend": {**ids, "strategy": strategy}}, "using": using, "filter": data.filter(), "limit": 8},
            )
        if strategy != "average_vector":
            to.add(
                f"{strategy}, only against",
                "query",
                lambda: {"query": {"recommend": {"negative": data.targets("dot", 2), "strategy": strategy}}, "using": "dot", "limit": 8},
            )
    to.add(
        "the usual strategy", "query", lambda: {"query": {"recommend": {"positive": data.targets("euc", 2)}}, "using": "euc", "limit": 8}
    )


def pairs(data: Data, using: str, count: int) -> list[Request]:
    return [{"positive": data.target(using), "negative": data.target(using)} for _ in range(count)]


@file("Nearest points on the right side of pairs.")
def discover(to: Writer, data: Data) -> None:
    for using in (*FLOATS, *MULTI, *SPARSE):
        for count in (1, 2, 4):
            to.add(
                f"{using}, {count} pairs",
                "query",
                lambda: {
                    "query": {"discover": {"target": data.target(using), "context": pairs(data, using, count)}},
                    "using": using,
                    "limit": 8,
                },
            )
        to.add(
            f"{using}, filtered",
            "query",
            lambda: {
                "query": {"discover": {"target": data.target(using), "context": pairs(data, using, 2)}},
                "using": using,
                "filter": data.filter(),
                "limit": 8,
            },
        )


@file("Points on the right side of pairs.")
def context(to: Writer, data: Data) -> None:
    for using in (*FLOATS, *MULTI, *SPARSE):
        for count in (1, 3, 5):
            to.add(
                f"{using}, {count} pairs", "query", lambda: {"query": {"context": pairs(data, using, count)}, "using": using, "limit": 12}
            )
        to.add(
            f"{using}, filtered",
            "query",
            lambda: {"query": {"context": pairs(data, using, 4)}, "using": using, "filter": data.filter(), "limit": 12},
        )


@file("Nearest points, moved by how earlier answers were liked.")
def feedback(to: Writer, data: Data) -> None:
    for using in FLOATS:
        for count, weights in (
            (0, (1.0, 1.0, 1.0)),
            (2, (0.8, 1.0, 0.3)),
            (3, (0.5, 2.0, 0.7)),
            (4, (1.0, 0.5, 0.2)),
            (5, (0.1, 1.5, 0.9)),
        ):

            def make() -> Request:
                items = [{"example": data.target(using), "score": round(data.random.random(), 2)} for _ in range(count)]
                a, b, c = weights
                body = {"target": data.target(using), "feedback": items, "strategy": {"naive": {"a": a, "b": b, "c": c}}}
                return {
                    "query": {"relevance_feedback": body},
                    "using": using,
                    "limit": 8,
                    **({"filter": data.filter()} if count == 4 else {}),
                }

            to.add(f"{using}, {count} answers", "query", make)


@file("Points in the order of a field.")
def order_by(to: Writer, data: Data) -> None:
    starts = {"rank": (500, 2000), "weight": (10.5, 50), "since": ("2012-03-01T00:00:00Z", "2019-06-15")}
    for key in ORDERS:
        to.add(f"{key}, by name", "ordered", {"query": {"order_by": key}, "limit": 12})
        for direction in ("asc", "desc"):
            order = {"key": key, "direction": direction}
            to.add(f"{key} {direction}", "ordered", {"query": {"order_by": order}, "limit": 10})
            to.add(f"{key} {direction}, all", "ordered", {"query": {"order_by": order}, "limit": ALL})
            to.add(f"{key} {direction}, second page", "ordered", {"query": {"order_by": order}, "limit": 10, "offset": 10})
            for _ in range(2):
                to.add(
                    f"{key} {direction}, filtered", "ordered", lambda: {"query": {"order_by": order}, "limit": 10, "filter": data.filter()}
                )
            for start in starts[key]:
                to.add(f"{key} {direction} from {start}", "ordered", {"query": {"order_by": {**order, "start_from": start}}, "limit": 10})
            to.add(
                f"{key} {direction}, of a prefetch",
                "ordered",
                lambda: {"query": {"order_by": order}, "limit": 10, "prefetch": [prefetch(data)]},
            )
    to.add("no query", "ordered", {"limit": 20})
    to.add("no query, filtered", "ordered", lambda: {"limit": 20, "filter": data.filter()})
    to.add("no query, offset", "ordered", {"limit": 7, "offset": 60})


@file("Ranks of several searches as one (reciprocal rank fusion).")
def rrf(to: Writer, data: Data) -> None:
    for count in (1, 2, 3, 4):
        for k in (None, 1, 2, 60):
            body = {"k": k} if k else {}
            to.add(
                f"{count} lists, k {k}",
                "query",
                lambda: {"query": {"rrf": body}, "prefetch": [prefetch(data) for _ in range(count)], "limit": 10},
            )
            weights = lambda: [round(data.random.uniform(0.2, 3), 2) for _ in range(count)]  # noqa: E731
            to.add(
                f"{count} weighted lists, k {k}",
                "query",
                lambda: {"query": {"rrf": {**body, "weights": weights()}}, "prefetch": [prefetch(data) for _ in range(count)], "limit": 10},
            )
    for _ in range(4):
        to.add(
            "fusion, filtered",
            "query",
            lambda: {"query": {"fusion": "rrf"}, "prefetch": [prefetch(data), prefetch(data)], "filter": data.filter(), "limit": 10},
        )
    to.add(
        "second page",
        "query",
        lambda: {"query": {"fusion": "rrf"}, "prefetch": [prefetch(data, limit=30), prefetch(data, limit=30)], "limit": 10, "offset": 10},
    )
    to.add(
        "threshold",
        "query",
        lambda: {
            "query": {"fusion": "rrf"},
            "prefetch": [prefetch(data, limit=30), prefetch(data, limit=30)],
            "limit": 40,
            "score_threshold": 0.11,
        },
    )


@file("Scores of several searches as one (distribution-based score fusion).")
def dbsf(to: Writer, data: Data) -> None:
    for count in (1, 2, 3, 4):
        for _ in range(4):
            to.add(
                f"{count} lists",
                "query",
                lambda: {"query": {"fusion": "dbsf"}, "prefetch": [prefetch(data) for _ in range(count)], "limit": 10},
            )
    for using in VECTORS:
        to.add(
            f"{using} with itself",
            "query",
            lambda: {"query": {"fusion": "dbsf"}, "prefetch": [prefetch(data, using), prefetch(data, using)], "limit": 10},
        )
    for _ in range(4):
        to.add(
            "filtered",
            "query",
            lambda: {"query": {"fusion": "dbsf"}, "prefetch": [prefetch(data), prefetch(data)], "filter": data.filter(), "limit": 10},
        )
    to.add(
        "second page",
        "query",
        lambda: {"query": {"fusion": "dbsf"}, "prefetch": [prefetch(data, limit=30), prefetch(data, limit=30)], "limit": 10, "offset": 10},
    )


def expressions() -> dict[str, Any]:
    """One formula for each expression and use of it."""
    score = {"sum": [{"abs": "$score"}, 0.5]}
    age = {"sum": [{"datetime_key": "since"}, {"neg": {"datetime": "2015-01-01T00:00:00Z"}}]}
    metres = {"geo_distance": {"origin": {"lon": 10.5, "lat": 50.25}, "to": "geo"}}
    found: dict[str, Any] = {
        "score": "$score",
        "score 0": "$score[0]",
        "score 1": "$score[1]",
        "key": "rank",
        "float key": "price",
        "deep key": {"sum": ["nested.a.b", "$score"]},
        "key in a list": {"sum": ["sizes[0]", "$score"]},
        "sum": {"sum": ["$score[0]", "$score[1]", 2]},
        "sum of none": {"sum": [{"sum": []}, "$score"]},
        "mult": {"mult": ["$score", 3.5]},
        "mult of keys": {"mult": ["$score", "price", "n"]},
        "max": {"max": ["$score[0]", "$score[1]"]},
        "min": {"min": ["$score[0]", "$score[1]"]},
        "max of three": {"max": ["price", "$score", 4]},
        "min of three": {"min": ["price", "$score", 0.25]},
        "neg": {"neg": "$score"},
        "abs": {"abs": "rank"},
        "sqrt": {"sqrt": score},
        "exp": {"exp": "$score"},
        "log10": {"log10": score},
        "ln": {"ln": score},
        "acosh": {"acosh": {"sum": [score, 1]}},
        "pow": {"pow": {"base": score, "exponent": 1.5}},
        "pow of a key": {"pow": {"base": "price", "exponent": {"neg": "$score"}}},
        "div": {"div": {"left": "$score", "right": "price"}},
        "div by zero": {"sum": ["$score", {"div": {"left": "price", "right": {"mult": ["n", 0]}, "by_zero_default": 7}}]},
        "condition": {"sum": ["$score", {"mult": [0.5, {"key": "brand", "match": {"any": ["acme", "dune"]}}]}]},
        "range condition": {"sum": ["$score", {"key": "n", "range": {"gte": 25}}]},
        "id condition": {"sum": ["$score", {"has_id": list(range(1, 40))}]},
        "nested filter": {
            "sum": ["$score", {"must": [{"key": "b", "match": {"value": True}}], "must_not": [{"key": "n", "range": {"lt": 10}}]}]
        },
        "datetime": {"div": {"left": age, "right": 86400}},
        "datetime constant": {"div": {"left": {"datetime": "2020-05-05"}, "right": {"sum": [score, 1]}}},
        "geo distance": {"neg": metres},
        "geo distance and score": {"sum": ["$score", {"div": {"left": metres, "right": 1e6}}]},
        "nested deeply": {
            "mult": [
                {"sum": [{"max": ["$score", {"neg": "$score[1]"}]}, {"sqrt": {"abs": "price"}}]},
                {"exp": {"neg": {"div": {"left": "n", "right": 25}}}},
            ]
        },
        "the sum of everything": {
            "sum": ["$score", "price", {"neg": "n"}, {"abs": {"neg": 2}}, {"sqrt": 2}, {"ln": 3}, {"log10": 5}, {"exp": 0.5}]
        },
    }
    for curve in ("lin_decay", "exp_decay", "gauss_decay"):
        found |= {
            curve: {curve: {"x": "price"}},
            f"{curve} of a score": {curve: {"x": "$score", "target": 1.5, "scale": 4}},
            f"{curve}, midpoint": {curve: {"x": "price", "target": 5, "scale": 9, "midpoint": 0.2}},
            f"{curve} of time": {curve: {"x": {"datetime_key": "since"}, "target": {"datetime": "2013-01-01T00:00:00Z"}, "scale": 4e8}},
            f"{curve} of place": {curve: {"x": metres, "scale": 9e6}},
            f"{curve} with a target key": {
                curve: {"x": "price", "target": {"div": {"left": "n", "right": 5}}, "scale": 8, "midpoint": 0.7}
            },
            f"{curve} times a score": {"mult": [score, {curve: {"x": "n", "target": 20, "scale": 30}}]},
        }
    return found


@file("Scores by formula.")
def formula(to: Writer, data: Data) -> None:
    def mild(data: Data, **more: Any) -> Request:
        """A search whose scores are not so large that their exponential is infinite."""
        return prefetch(data, data.random.choice((*FLOATS, *MULTI, *SPARSE)), **more)

    defaults = {"$score": 0.125, "$score[1]": 0.75, "since": "2011-01-01T00:00:00Z", "sizes[0]": 40, "k": 1}
    for name, expression in expressions().items():
        query = {"formula": expression, "defaults": defaults}
        to.add(name, "query", lambda: {"query": query, "prefetch": [mild(data, limit=25), mild(data, limit=25)], "limit": 10})
    for name in ("sum", "pow", "gauss_decay", "datetime", "nested deeply"):
        query = {"formula": expressions()[name], "defaults": defaults}
        to.add(
            f"{name}, filtered",
            "query",
            lambda: {"query": query, "prefetch": [mild(data, limit=40), mild(data, limit=25)], "filter": data.filter(), "limit": 6},
        )
        to.add(
            f"{name}, second page",
            "query",
            lambda: {"query": query, "prefetch": [mild(data, limit=40), mild(data, limit=25)], "limit": 5, "offset": 5},
        )
    to.add("without defaults", "query", lambda: {"query": {"formula": {"sum": ["$score", "price"]}}, "prefetch": [mild(data)], "limit": 10})
    to.add(
        "default of a key",
        "query",
        lambda: {"query": {"formula": {"sum": ["$score", "missing"]}, "defaults": {"missing": 2.5}}, "prefetch": [mild(data)], "limit": 10},
    )
    to.add(
        "threshold",
        "query",
        lambda: {
            "query": {"formula": {"mult": ["price", "nested.a.b"]}},
            "prefetch": [mild(data, limit=40)],
            "limit": 40,
            "score_threshold": 20,
        },
    )


@file("Points by chance: any that match, each once.")
def sample(to: Writer, data: Data) -> None:
    to.add("all", "sample", {"query": {"sample": "random"}, "limit": ALL})
    for limit in (1, 7, 40):
        to.add(f"{limit} of all", "sample", {"query": {"sample": "random"}, "limit": limit})
        for _ in range(3):
            to.add(f"{limit} filtered", "sample", lambda: {"query": {"sample": "random"}, "limit": limit, "filter": data.filter()})
    to.add(
        "none matches",
        "sample",
        {"query": {"sample": "random"}, "limit": 5, "filter": {"must": [{"key": "brand", "match": {"value": "none"}}]}},
    )


@file("Queries over the answers of other queries, two and three levels deep.")
def nested(to: Writer, data: Data) -> None:
    def level(depth: int) -> Request:
        rnd = data.random
        more: Request = {"filter": data.filter()} if rnd.random() < 0.4 else {}
        if depth:
            more["prefetch"] = [level(depth - 1) for _ in range(rnd.randrange(1, 3))]
        return prefetch(data, limit=(12, 25, 50)[min(depth, 2)] if not depth else rnd.choice((10, 20)), **more)

    for using in (*FLOATS, *MULTI, *SPARSE):
        to.add(f"{using} ranks a prefetch anew", "query", lambda: near(data, using, prefetch=[level(0)], limit=10))
        to.add(
            f"{using} ranks two prefetches anew",
            "query",
            lambda: near(data, using, prefetch=[level(0), level(0)], filter=data.filter(), limit=10),
        )
    for depth in (1, 2):
        for fusion in ("rrf", "dbsf"):
            for _ in range(3):
                to.add(
                    f"{fusion}, {depth + 1} levels",
                    "query",
                    lambda: {"query": {"fusion": fusion}, "prefetch": [level(depth), level(0)], "limit": 10},
                )
        for _ in range(4):
            to.add(
                f"nearest, {depth + 1} levels", "query", lambda: near(data, data.random.choice(VECTORS), prefetch=[level(depth)], limit=10)
            )
        to.add(
            f"formula, {depth + 1} levels",
            "query",
            lambda: {"query": {"formula": {"sum": ["$score", "price"]}}, "prefetch": [level(depth)], "limit": 10},
        )
    for using, threshold in (("cos", 0.1), ("dot", 0.3), ("euc", 2.6), ("man", 3.5)):
        to.add(
            f"threshold inside, {using}",
            "query",
            lambda: near(data, "far", prefetch=[{**near(data, using), "limit": 40, "score_threshold": threshold}], limit=10),
        )
    # With these weights no two points of the fusion have the same score where it is cut.
    fused = {"query": {"rrf": {"weights": [1.0, 0.37]}}, "limit": 15}
    to.add("fusion inside", "query", lambda: near(data, "cos", prefetch=[{**fused, "prefetch": [level(0), level(0)]}], limit=10))
    to.add(
        "fusion of fusions",
        "query",
        lambda: {
            "query": {"fusion": "dbsf"},
            "prefetch": [{"query": {"fusion": "dbsf"}, "limit": 15, "prefetch": [level(0), level(0)]}, level(0)],
            "limit": 10,
        },
    )
    to.add(
        "recommendation inside",
        "query",
        lambda: near(
            data, "cos", prefetch=[{"query": {"recommend": {"positive": data.targets("dot", 2)}}, "using": "dot", "limit": 20}], limit=10
        ),
    )
    to.add(
        "discovery over a prefetch",
        "query",
        lambda: {
            "query": {"discover": {"target": data.target("euc"), "context": pairs(data, "euc", 2)}},
            "using": "euc",
            "prefetch": [level(0)],
            "limit": 10,
        },
    )
    to.add(
        "recommendation over a prefetch",
        "query",
        lambda: {
            "query": {"recommend": {"positive": data.targets("cos", 2), "strategy": "best_score"}},
            "using": "cos",
            "prefetch": [level(0)],
            "limit": 10,
        },
    )
    to.add("order inside", "query", lambda: near(data, "cos", prefetch=[{"query": {"order_by": "rank"}, "limit": 20}], limit=10))
    to.add("no query inside", "query", lambda: near(data, "cos", prefetch=[{"limit": 20}], limit=10))


@file("Sparse vectors, with and without the rarity of their dimensions.")
def sparse(to: Writer, data: Data) -> None:
    for using in SPARSE:
        for _ in range(8):
            to.add(f"{using}, by vector", "query", lambda: {"query": {"nearest": data.vector(using)}, "using": using, "limit": 10})
        for _ in range(4):
            to.add(f"{using}, by id", "query", lambda: {"query": data.random.choice(data.having[using]), "using": using, "limit": 10})
        for _ in range(8):
            to.add(f"{using}, filtered", "query", lambda: near(data, using, filter=data.filter(), limit=10))
        to.add(
            f"{using}, one dimension",
            "query",
            lambda: {"query": {"nearest": {"indices": [3], "values": [1.5]}}, "using": using, "limit": POINTS},
        )
        to.add(
            f"{using}, an unknown dimension",
            "query",
            lambda: {"query": {"nearest": {"indices": [2, 4000000000], "values": [1.5, 2]}}, "using": using, "limit": 9},
        )
        to.add(
            f"{using}, dimensions out of order",
            "query",
            lambda: {"query": {"nearest": {"indices": [9, 1, 5], "values": [0.5, 2.25, 1.125]}}, "using": using, "limit": 9},
        )
        to.add(
            f"{using}, no shared dimension", "query", {"query": {"nearest": {"indices": [4000], "values": [1]}}, "using": using, "limit": 9}
        )
    for _ in range(6):
        to.add("rarity in a corpus", "query", lambda: near(data, "rare", params={"idf": {"corpus": data.filter()}}, limit=10))
    for _ in range(2):
        to.add(
            "rarity in a corpus, filtered",
            "query",
            lambda: near(data, "rare", params={"idf": {"corpus": data.filter()}}, filter=data.filter(), limit=10),
        )
    to.add("rarity everywhere", "query", lambda: near(data, "rare", params={"idf": "global"}, limit=10))


@file("Multivectors, by the sum of each row's best match.")
def multivector(to: Writer, data: Data) -> None:
    for using in MULTI:
        for _ in range(5):
            to.add(f"{using}, by vectors", "query", lambda: {"query": {"nearest": data.vector(using)}, "using": using, "limit": 10})
        to.add(f"{using}, by one vector", "query", lambda: {"query": {"nearest": data.vector(using)[:1]}, "using": using, "limit": 10})
        for _ in range(4):
            to.add(f"{using}, by id", "query", lambda: {"query": data.random.choice(data.having[using]), "using": using, "limit": 10})
        for _ in range(5):
            to.add(f"{using}, filtered", "query", lambda: near(data, using, filter=data.filter(), limit=10))


@file("The worst score wanted.")
def threshold(to: Writer, data: Data) -> None:
    limits = {"cos": (-0.2, 0.35), "dot": (-0.5, 0.8), "euc": (2.0, 3.1), "man": (2.5, 4.0), "half": (2.5, 4.0), "many": (0.3, 0.9),
              "far": (3.0, 5.0), "words": (0.2, 1.0), "rare": (0.8, 2.5)}  # fmt: skip
    for using, pair in limits.items():
        for value in pair:
            to.add(f"{using}, {value}", "query", lambda: near(data, using, score_threshold=value, limit=POINTS))
        to.add(
            f"{using}, {pair[0]}, filtered", "query", lambda: near(data, using, score_threshold=pair[0], filter=data.filter(), limit=POINTS)
        )
    to.add(
        "recommend",
        "query",
        lambda: {
            "query": {"recommend": {"positive": data.targets("cos", 2), "strategy": "sum_scores"}},
            "using": "cos",
            "score_threshold": 0.4,
            "limit": POINTS,
        },
    )
    to.add(
        "discover",
        "query",
        lambda: {
            "query": {"discover": {"target": data.vector("dot"), "context": pairs(data, "dot", 2)}},
            "using": "dot",
            "score_threshold": 0.5,
            "limit": POINTS,
        },
    )
    to.add("none is good enough", "query", {"query": data.vector("cos"), "using": "cos", "score_threshold": 1.5, "limit": 5})


@file("Pages of an answer.")
def page(to: Writer, data: Data) -> None:
    for using in ("cos", "euc", "many", "words", "rare"):
        query = {"nearest": data.vector(using)}
        for offset, limit in ((0, 3), (3, 3), (6, 10), (16, 100), (500, 5)):
            to.add(f"{using}, {limit} from {offset}", "query", {"query": query, "using": using, "limit": limit, "offset": offset})
    for offset in (0, 5, 10):
        wanted = {"must": [{"key": "n", "range": {"gte": 10}}]}
        to.add(
            f"filtered, from {offset}",
            "query",
            {"query": {"nearest": [0.3, -0.1, 0.7, 0.2, 0.5, -0.9]}, "using": "dot", "filter": wanted, "limit": 5, "offset": offset},
        )


@file("Settings of a search that must not change its answer.")
def params(to: Writer, data: Data) -> None:
    settings: dict[str, Request] = {
        "exact": {"exact": True},
        "hnsw_ef": {"hnsw_ef": 500},
        "indexed_only": {"indexed_only": True, "hnsw_ef": 500},
        "codes ignored": {"quantization": {"ignore": True}, "hnsw_ef": 500},
        "rescored": {"quantization": {"rescore": True, "oversampling": 80.0}, "hnsw_ef": 500},
        "acorn": {"acorn": {"enable": True, "max_selectivity": 0.9}, "hnsw_ef": 500},
    }
    for name, body in settings.items():
        for using in ("cos", "euc", "dot", "many"):
            to.add(f"{name}, {using}", "query", lambda: near(data, using, params=body, limit=10))
        to.add(f"{name}, filtered", "query", lambda: near(data, "man", params=body, filter=data.filter(), limit=10))


@file("Ids that stand for vectors of another collection.")
def lookup(to: Writer, data: Data) -> None:
    taste, words = {"collection": "shops", "vector": "taste"}, {"collection": "shops", "vector": "words"}

    def shop() -> Any:
        return data.random.choice(data.shops)

    for _ in range(4):
        to.add("nearest", "query", lambda: {"query": shop(), "using": "cos", "lookup_from": taste, "limit": 10})
        to.add("nearest, sparse", "query", lambda: {"query": shop(), "using": "words", "lookup_from": words, "limit": 10})
        to.add(
            "nearest, filtered",
            "query",
            lambda: {"query": {"nearest": shop()}, "using": "dot", "lookup_from": taste, "filter": data.filter(), "limit": 10},
        )
    for strategy in ("average_vector", "best_score", "sum_scores"):
        to.add(
            f"recommend, {strategy}",
            "query",
            lambda: {
                "query": {"recommend": {"positive": [shop(), shop()], "negative": [shop()], "strategy": strategy}},
                "using": "cos",
                "lookup_from": taste,
                "limit": 10,
            },
        )
    to.add(
        "discover",
        "query",
        lambda: {
            "query": {"discover": {"target": shop(), "context": [{"positive": shop(), "negative": data.vector("cos")}]}},
            "using": "cos",
            "lookup_from": taste,
            "limit": 10,
        },
    )
    to.add(
        "context",
        "query",
        lambda: {
            "query": {"context": [{"positive": shop(), "negative": data.vector("cos")}]},
            "using": "cos",
            "lookup_from": taste,
            "limit": 10,
        },
    )
    for _ in range(3):
        to.add(
            "in a prefetch",
            "query",
            lambda: near(data, "euc", prefetch=[{"query": shop(), "using": "cos", "lookup_from": taste, "limit": 15}], limit=10),
        )
        to.add(
            "in two prefetches",
            "query",
            lambda: {
                "query": {"fusion": "dbsf"},
                "prefetch": [
                    {"query": shop(), "using": "cos", "lookup_from": taste, "limit": 15},
                    {"query": shop(), "using": "words", "lookup_from": words, "limit": 15},
                ],
                "limit": 10,
            },
        )


@file("Hits by the value of a field.")
def groups(to: Writer, data: Data) -> None:
    for key in ("brand", "n", "nested.a.b"):
        for size, limit in ((1, 3), (2, 4), (3, 100)):
            to.add(
                f"{key}, {limit} of {size}",
                "groups",
                lambda: near(data, data.random.choice(FLOATS), group_by=key, group_size=size, limit=limit),
            )
        to.add(
            f"{key}, filtered",
            "groups",
            lambda: near(data, data.random.choice(FLOATS), group_by=key, group_size=2, limit=4, filter=data.filter()),
        )
    for key in ("tags", "k", "sizes"):
        for size, limit in ((1, 100), (2, 100), (4, 3)):
            to.add(
                f"{key}, several values, {limit} of {size}",
                "groups",
                lambda: near(data, data.random.choice(FLOATS), group_by=key, group_size=size, limit=limit),
            )
        to.add(
            f"{key}, several values, filtered",
            "groups",
            lambda: near(data, "euc", group_by=key, group_size=2, limit=100, filter=data.filter()),
        )
    for how in ("shops", {"collection": "shops"}, {"collection": "shops", "with_payload": ["name"]}):
        to.add("with lookup", "groups", lambda: near(data, "cos", group_by="shop", group_size=2, limit=5, with_lookup=how))
    to.add(
        "recommend",
        "groups",
        lambda: {
            "query": {"recommend": {"positive": data.targets("cos", 2)}},
            "using": "cos",
            "group_by": "brand",
            "group_size": 2,
            "limit": 3,
        },
    )
    to.add("sparse", "groups", lambda: near(data, "rare", group_by="brand", group_size=2, limit=3))
    to.add("multivector", "groups", lambda: near(data, "many", group_by="brand", group_size=2, limit=3))
    to.add(
        "over a prefetch", "groups", lambda: near(data, "cos", prefetch=[prefetch(data, limit=80)], group_by="brand", group_size=2, limit=3)
    )
    to.add("threshold", "groups", lambda: near(data, "cos", score_threshold=0.2, group_by="brand", group_size=3, limit=5))


@file("How often each value of a field occurs.")
def facet(to: Writer, data: Data) -> None:
    for key in ("k", "tags", "brand", "b", "n", "sizes", "shop", "nested.a.b"):
        for limit in (2, 100):
            to.add(f"{key}, {limit}", "facet", {"key": key, "limit": limit})
        for _ in range(2):
            to.add(f"{key}, filtered", "facet", lambda: {"key": key, "limit": 100, "filter": data.filter()})
    to.add("a field nobody has", "facet", {"key": "nothing", "limit": 5})


@file("The nearest of each point among all that match.")
def matrix(to: Writer, data: Data) -> None:
    for using in VECTORS:
        limited = {"must": [{"has_id": data.random.sample(data.ids, 25)}]}
        to.add(
            f"{using}, all of a few",
            "matrix",
            lambda: {"using": using, "filter": {"must": [{"has_id": data.random.sample(data.ids, 20)}]}, "limit": 2, "sample": 80},
        )
        if using in FLOATS:
            to.add(
                f"{using}, filtered",
                "matrix",
                lambda: {"using": using, "filter": {**data.filter(), "must": limited["must"]}, "limit": 3, "sample": 80},
            )
            to.add(f"{using}, one neighbour each", "matrix", lambda: {"using": using, "limit": 1, "sample": 80})


@file("How many points match.")
def count(to: Writer, data: Data) -> None:
    to.add("all", "count", {})
    for _ in range(19):
        to.add("filtered", "count", lambda: {"filter": data.filter()})


@file("Walks over points, by id or by a field.")
def scroll(to: Writer, data: Data) -> None:
    to.add("the first", "scroll", {"limit": 15})
    to.add("all", "scroll", {"limit": 200})
    for id in (40, data.ids[33]):
        to.add("from an id", "scroll", {"limit": 15, "offset": id})
    for _ in range(6):
        to.add("filtered", "scroll", lambda: {"limit": 10, "filter": data.filter()})
    for key in ORDERS:
        for direction in ("asc", "desc"):
            order = {"key": key, "direction": direction}
            to.add(f"{key} {direction}", "scroll", {"limit": 12, "order_by": order})
            to.add(f"{key} {direction}, filtered", "scroll", lambda: {"limit": 12, "order_by": order, "filter": data.filter()})
    to.add("rank from 300", "scroll", {"limit": 12, "order_by": {"key": "rank", "start_from": 300}})
    to.add(
        "since down from 2015",
        "scroll",
        {"limit": 12, "order_by": {"key": "since", "direction": "desc", "start_from": "2015-01-01T00:00:00Z"}},
    )


@file("Texts ranked by BM25, computed by its formula, alone and beside vectors.")
def text(to: Writer, data: Data) -> None:
    rnd = data.random

    def ranked(**more: Any) -> Request:
        return {"query": {"text": phrase(rnd, 5)}, "using": "story", "limit": 10, **more}

    for limit in (1, 3, 10, 10, 10, ALL, ALL):
        to.add(f"the best {limit}", "query", lambda: ranked(limit=limit))
    for _ in range(12):
        to.add("filtered", "query", lambda: ranked(filter=data.filter()))
    for k in (0, 0.5, 2):
        for b in (0, 0.3, 1):
            to.add(
                f"k {k}, b {b}",
                "query",
                lambda: ranked(query={"text": {"query": phrase(rnd, 5), "scoring": {"bm25": {"k": k, "b": b}}}}),
            )
    for offset in (1, 5, 20):
        to.add(f"from {offset}", "query", lambda: ranked(offset=offset))
    for least in (0.5, 1.5, 3):
        to.add(f"good ones, {least}", "query", lambda: ranked(score_threshold=least, limit=ALL))
    to.add("words that come twice count once", "query", {"query": {"text": "red RED red word3 word3"}, "using": "story", "limit": 10})
    to.add("a word that nobody knows", "query", {"query": {"text": "unheard"}, "using": "story", "limit": 10})
    to.add("no word", "query", {"query": {"text": " . "}, "using": "story", "limit": 10})
    for fusion in ("rrf", "dbsf"):
        for _ in range(4):
            parts = lambda: [ranked(limit=20), near(data, "cos", limit=20)]  # noqa: E731
            to.add(f"beside vectors, {fusion}", "query", lambda: {"prefetch": parts(), "query": {"fusion": fusion}, "limit": 10})
        to.add(
            f"two texts, {fusion}", "query", lambda: {"prefetch": [ranked(), ranked(limit=5)], "query": {"fusion": fusion}, "limit": 8}
        )


def write_points(data: Data, directory: pathlib.Path) -> None:
    lines = ["# The points that the queries of this directory are asked of. Written by benches/reference/corpus.py.\n"]
    for name, wanted in collections(data).items():
        lines.append(f"[[collection]]\nname = {quoted(name)}")
        lines += [f"{part} = {quoted(wanted.get(part, {}))}" for part in ("vectors", "sparse_vectors", "order", "indexes")]
        lines.append("points = [\n" + "".join(f"  {quoted(point)},\n" for point in wanted["points"]) + "]\n")
    (directory / "points.toml").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the directory of the corpus of queries")
    directory = parser.parse_args().out
    directory.mkdir(parents=True, exist_ok=True)
    data = Data(SEED)
    oracle = Oracle(data)
    write_points(data, directory)
    written = 0
    for at, (name, (doc, make)) in enumerate(FILES.items()):
        # A file's cases do not depend on those of the others.
        data.random = random.Random(SEED * 1000 + at)
        writer = Writer(oracle, name, doc)
        make(writer, data)
        count = writer.write(directory)
        print(f"{name}: {count}", file=sys.stderr)
        written += count
    print(json.dumps({"files": len(FILES), "cases": written}))


if __name__ == "__main__":
    main()
