"""Random queries of every kind, asked of this engine and of the reference client's in-memory mode.

    python differential.py --bridge ../../target/release/bridge --queries 2000
    python differential.py --url http://127.0.0.1:6333 --shards 3 --updates 1000 --queries 2000

With `--url` a running server is asked through the same client, over gRPC with `--grpc-port`; its collection `points` is replaced.
With `--updates`, random updates are made on both sides between the queries, and all points are compared.

Scores must agree within 1e-5 (relative to their size), and so must ids, but for points of equal scores, whose order is free.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import math
import random
import subprocess
import sys
import uuid
from typing import Any

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

WORDS = ("red", "green", "blue", "black", "white")
TOLERANCE = 1e-5
DIMENSIONS = {"a": 8, "b": 5}
MULTI = {"m": 4}
SPARSE = {"s": None, "i": models.Modifier.IDF}
VECTORS = (*DIMENSIONS, *MULTI, *SPARSE)
MAX_SIM = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
INDEXES = {"n": "integer", "f": "float", "at": "datetime", "k": "keyword"}
KINDS: dict[str, Any] = {}


def kind(function: Any) -> Any:
    """Marks a maker of queries."""
    KINDS[function.__name__] = function
    return function


class Bridge:
    """The engine behind a pipe."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, name: str, body: Any) -> Any:
        self.process.stdin.write(json.dumps({name: body}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def query(self, name: str, request: dict[str, Any]) -> Any:
        return self.ask(name, as_json(request))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Server:
    """A server behind the client that the reference is a part of."""

    def __init__(self, url: str, grpc_port: int | None, shards: int) -> None:
        self.client = QdrantClient(url, prefer_grpc=grpc_port is not None, grpc_port=grpc_port or 6334, timeout=60)
        self.shards = shards

    def ask(self, name: str, body: Any) -> Any:
        client = self.client
        if name == "create":
            client.delete_collection("points")
            sparse = {name: models.SparseVectorParams(**params) for name, params in body["sparse_vectors"].items()}
            dense = {name: models.VectorParams(**params) for name, params in body["vectors"].items()}
            client.create_collection("points", dense, sparse, shard_number=self.shards)
        elif name == "index":
            for field, schema in body.items():
                client.create_payload_index("points", field, schema)
        elif name == "upsert":
            client.upsert("points", [models.PointStruct(**point) for point in body])
        return None

    def query(self, name: str, request: dict[str, Any]) -> Any:
        try:
            answer = ask(self.client, name, request)
        except (UnexpectedResponse, grpc.RpcError, ValueError) as error:
            return {"error": str(error)}
        if name == "groups":
            return [{"id": group.id, "hits": [hit.model_dump() for hit in group.hits]} for group in answer]
        return [hit.model_dump() for hit in answer]

    def close(self) -> None:
        self.client.close()


def ask(client: QdrantClient, name: str, request: dict[str, Any]) -> Any:
    """Asks a client, in memory or of a server."""
    if name == "facet":
        return client.facet("points", key=request["key"], facet_filter=request["filter"], limit=request["limit"], exact=True).hits
    if name == "matrix":
        return client.search_matrix_pairs(
            "points", query_filter=request["filter"], limit=request["limit"], sample=request["sample"], using=request["using"]
        ).pairs
    renamed = {"filter": "query_filter"}
    arguments = {renamed.get(key, key): value for key, value in request.items() if value is not None}
    if name == "groups":
        arguments.pop("offset")
        return client.query_points_groups("points", **arguments).groups
    return client.query_points("points", **arguments).points


class Maker:
    """Random data and random queries over it."""

    def __init__(self, seed: int, points: int) -> None:
        self.random = random.Random(seed)
        self.count = points
        self.ids = [n if n % 3 else str(uuid.UUID(int=self.random.getrandbits(128), version=4)) for n in range(points)]
        self.points = [models.PointStruct(id=id, vector=self.vectors(), payload=self.payload()) for id in self.ids]
        self.having = {name: [point.id for point in self.points if name in point.vector] for name in VECTORS}

    def vector(self, name: str) -> Any:
        rnd = self.random
        if name in SPARSE:
            # Few dimensions, some of them far more common than others.
            indices = list({min(rnd.randrange(40), rnd.randrange(40)) for _ in range(rnd.randrange(1, 9))})
            values = [round(rnd.gauss(0, 1) if name == "s" else rnd.uniform(0.01, 2), 4) for _ in indices]
            return models.SparseVector(indices=indices, values=values)
        if name in MULTI:
            return [[round(rnd.gauss(0, 1), 4) for _ in range(MULTI[name])] for _ in range(rnd.randrange(1, 5))]
        return [round(rnd.gauss(0, 1), 4) for _ in range(DIMENSIONS[name])]

    def vectors(self) -> dict[str, Any]:
        return {name: self.vector(name) for name in VECTORS if name == "a" or self.random.random() < 0.8}

    def payload(self) -> dict[str, Any]:
        rnd = self.random
        payload: dict[str, Any] = {"n": rnd.randrange(50), "f": round(rnd.uniform(0.1, 10), 3), "b": rnd.random() < 0.5}
        if rnd.random() < 0.8:
            payload["k"] = rnd.sample(WORDS, rnd.randrange(3)) if rnd.random() < 0.4 else rnd.choice(WORDS)
        if rnd.random() < 0.9:
            payload["at"] = f"20{rnd.randrange(10, 25)}-{rnd.randrange(1, 13):02}-{rnd.randrange(1, 28):02}T00:00:00Z"
        payload["geo"] = {"lon": round(rnd.uniform(-180, 180), 3), "lat": round(rnd.uniform(-80, 80), 3)}
        return payload

    def condition(self) -> Any:
        rnd = self.random
        field = models.FieldCondition
        return rnd.choice(
            [
                lambda: field(key="k", match=models.MatchValue(value=rnd.choice(WORDS))),
                lambda: field(key="k", match=models.MatchAny(any=rnd.sample(WORDS, 2))),
                lambda: field(key="n", range=models.Range(gte=rnd.randrange(50))),
                lambda: field(key="f", range=models.Range(lt=rnd.uniform(0, 10))),
                lambda: field(key="b", match=models.MatchValue(value=rnd.random() < 0.5)),
                lambda: models.HasIdCondition(has_id=rnd.sample(self.ids, self.count // 2)),
                lambda: models.IsEmptyCondition(is_empty=models.PayloadField(key="k")),
                lambda: models.HasVectorCondition(has_vector=rnd.choice(VECTORS)),
            ]
        )()

    def filter(self) -> models.Filter | None:
        rnd = self.random
        if rnd.random() < 0.4:
            return None
        clauses = {name: [self.condition() for _ in range(rnd.randrange(3))] or None for name in ("must", "should", "must_not")}
        return models.Filter(**clauses)

    def using(self) -> str:
        return self.random.choice(VECTORS)

    def some(self) -> list[Any]:
        """Ids, some of which may not exist any more, or not yet."""
        return self.random.sample(self.ids, self.random.randrange(1, 6))

    def living(self) -> list[Any]:
        """Ids of points that exist: every point has a vector `a`, which no update takes away."""
        return self.random.sample(self.having["a"], 3)

    def found(self) -> Any:
        """Points that are to change. One that is missing is refused; among others the reference would change those before it."""
        missing = sorted(set(map(str, self.ids)) - set(map(str, self.having["a"])))
        if missing and self.random.random() < 0.1:
            id = self.random.choice(missing)
            return [int(id) if id.isdigit() else id]
        selector = self.selector()
        return self.living() if isinstance(selector, list) else selector

    def selector(self) -> Any:
        if self.random.random() < 0.7:
            return self.some()
        return models.Filter(must=[self.condition(), models.HasIdCondition(has_id=self.random.sample(self.ids, 10))])

    def update(self) -> tuple[str, dict[str, Any]]:
        """The name of a client's method and its arguments."""
        rnd = self.random
        points = lambda: [models.PointStruct(id=id, vector=self.vectors(), payload=self.payload()) for id in self.some()]
        part = lambda: rnd.choice(({"n": rnd.randrange(50)}, {"new": {"deep": [1, "x", None]}}, {"k": None}, {"f": 1.5, "b": True}))
        kinds = {
            "upsert": lambda: {"points": points()},
            "delete": lambda: {"points_selector": self.selector()},
            "set_payload": lambda: {"payload": part(), "points": self.found(), "key": rnd.choice((None, None, "new", "new.deep"))},
            "overwrite_payload": lambda: {"payload": part(), "points": self.found()},
            "delete_payload": lambda: {"keys": rnd.sample(("n", "new", "new.deep", "k", "geo.lon"), 2), "points": self.found()},
            "clear_payload": lambda: {"points_selector": self.living()},
            "delete_vectors": lambda: {"vectors": rnd.sample(("b", "m", "s"), 2), "points": self.living()},
            "update_vectors": lambda: {
                "points": [models.PointVectors(id=id, vector={"b": self.vector("b"), "s": self.vector("s")}) for id in self.having["a"][:2]]
            },
        }
        # More points come than go.
        name = rnd.choice((*kinds, "upsert", "upsert"))
        return name, kinds[name]()

    def target(self, using: str) -> Any:
        if self.random.random() < 0.3:
            return self.random.choice(self.having[using])
        return self.vector(using)

    def targets(self, using: str, most: int) -> list[Any]:
        return [self.target(using) for _ in range(self.random.randrange(most + 1))]

    def pairs(self, using: str) -> list[models.ContextPair]:
        count = self.random.randrange(1, 4)
        return [models.ContextPair(positive=self.target(using), negative=self.target(using)) for _ in range(count)]

    def base(self, using: str | None, query: Any) -> dict[str, Any]:
        rnd = self.random
        return {"query": query, "using": using, "filter": self.filter(), "limit": rnd.choice((1, 5, 20)), "offset": rnd.choice((0, 0, 3))}

    def prefetch(self, depth: int = 0) -> models.Prefetch:
        rnd = self.random
        using = self.using()
        inner = [self.prefetch(depth + 1) for _ in range(rnd.randrange(1, 3))] if depth < 2 and rnd.random() < 0.25 else None
        threshold = round(rnd.uniform(-1, 1), 2) if rnd.random() < 0.1 else None
        return models.Prefetch(
            prefetch=inner,
            query=models.NearestQuery(nearest=self.target(using)),
            using=using,
            filter=self.filter() if rnd.random() < 0.5 else None,
            limit=rnd.choice((3, 10, 40)),
            score_threshold=threshold,
        )

    def prefetches(self) -> list[models.Prefetch]:
        return [self.prefetch() for _ in range(self.random.randrange(1, 4))]

    @kind
    def nearest(self) -> dict[str, Any]:
        using = self.using()
        request = self.base(using, models.NearestQuery(nearest=self.target(using)))
        if self.random.random() < 0.2:
            request["score_threshold"] = round(self.random.uniform(-2, 2), 2)
        return request

    @kind
    def mmr(self) -> dict[str, Any]:
        using, rnd = self.using(), self.random
        mmr = models.Mmr(diversity=rnd.choice((None, 0.0, 0.3, 1.0)), candidates_limit=rnd.choice((None, 30)))
        return self.base(using, models.NearestQuery(nearest=self.vector(using), mmr=mmr))

    @kind
    def recommend(self) -> dict[str, Any]:
        using, rnd = self.using(), self.random
        strategy = rnd.choice(list(models.RecommendStrategy))
        positive = [self.target(using), *self.targets(using, 2)]
        body = models.RecommendInput(positive=positive, negative=self.targets(using, 2), strategy=strategy)
        return self.base(using, models.RecommendQuery(recommend=body))

    @kind
    def discover(self) -> dict[str, Any]:
        using = self.using()
        body = models.DiscoverInput(target=self.target(using), context=self.pairs(using))
        return self.base(using, models.DiscoverQuery(discover=body))

    @kind
    def context(self) -> dict[str, Any]:
        using = self.using()
        return self.base(using, models.ContextQuery(context=self.pairs(using)))

    @kind
    def feedback(self) -> dict[str, Any]:
        # The reference gives feedback on dense vectors only.
        using, rnd = self.random.choice(list(DIMENSIONS)), self.random
        items = [models.FeedbackItem(example=self.target(using), score=round(rnd.random(), 2)) for _ in range(rnd.randrange(4))]
        weights = models.NaiveFeedbackStrategyParams(a=0.8, b=rnd.choice((0.5, 1.0, 2.0)), c=0.3)
        body = models.RelevanceFeedbackInput(
            target=self.target(using), feedback=items, strategy=models.NaiveFeedbackStrategy(naive=weights)
        )
        return self.base(using, models.RelevanceFeedbackQuery(relevance_feedback=body))

    @kind
    def order_by(self) -> dict[str, Any]:
        rnd = self.random
        key = rnd.choice(("n", "f", "at"))
        start = {"n": 20, "f": 4.5, "at": "2016-01-01T00:00:00Z"}[key] if rnd.random() < 0.3 else None
        order = models.OrderBy(key=key, direction=rnd.choice((None, *models.Direction)), start_from=start)
        return self.base("a", models.OrderByQuery(order_by=order))

    @kind
    def no_query(self) -> dict[str, Any]:
        request = self.base("a", None)
        if self.random.random() < 0.3:
            request["prefetch"] = self.prefetches()
        return request

    @kind
    def rescored(self) -> dict[str, Any]:
        using = self.using()
        return {**self.base(using, models.NearestQuery(nearest=self.vector(using))), "prefetch": self.prefetches()}

    @kind
    def rrf(self) -> dict[str, Any]:
        rnd = self.random
        prefetch = self.prefetches()
        if rnd.random() < 0.4:
            return {**self.base(None, models.FusionQuery(fusion=models.Fusion.RRF)), "prefetch": prefetch}
        weights = [round(rnd.uniform(0.1, 3), 2) for _ in prefetch] if rnd.random() < 0.6 else None
        return {**self.base(None, models.RrfQuery(rrf=models.Rrf(k=rnd.choice((None, 1, 60)), weights=weights))), "prefetch": prefetch}

    @kind
    def dbsf(self) -> dict[str, Any]:
        return {**self.base(None, models.FusionQuery(fusion=models.Fusion.DBSF)), "prefetch": self.prefetches()}

    @kind
    def formula(self) -> dict[str, Any]:
        prefetch = self.prefetches()
        query = models.FormulaQuery(formula=self.expression(0, len(prefetch)), defaults={"k": 1, "at": "2020-01-01"})
        return {**self.base("a", query), "prefetch": prefetch}

    def expression(self, depth: int, lists: int) -> Any:
        rnd = self.random

        def inner() -> Any:
            return self.expression(depth + 1, lists)

        def positive() -> Any:
            return models.SumExpression(sum=[models.AbsExpression(abs=inner()), 1.5])

        def decay() -> models.DecayParamsExpression:
            target = inner() if rnd.random() < 0.5 else None
            return models.DecayParamsExpression(x=inner(), target=target, scale=rnd.choice((None, 3.0)), midpoint=rnd.choice((None, 0.3)))

        leaves = [
            lambda: round(rnd.uniform(-3, 3), 2),
            lambda: "$score",
            lambda: f"$score[{rnd.randrange(lists + 1)}]",
            lambda: rnd.choice(("n", "f")),
            lambda: models.FieldCondition(key="n", range=models.Range(gt=25)),
            lambda: models.DivExpression(
                div=models.DivParams(
                    left=models.GeoDistance(geo_distance=models.GeoDistanceParams(origin=models.GeoPoint(lon=10, lat=50), to="geo")), right=1e6
                )
            ),
            lambda: models.DivExpression(
                div=models.DivParams(
                    left=models.SumExpression(
                        sum=[
                            models.DatetimeKeyExpression(datetime_key="at"),
                            models.NegExpression(neg=models.DatetimeExpression(datetime="2018-01-01T00:00:00Z")),
                        ]
                    ),
                    right=1e8,
                )
            ),
        ]
        nodes = [
            lambda: models.SumExpression(sum=[inner() for _ in range(rnd.randrange(4))]),
            lambda: models.MultExpression(mult=[inner() for _ in range(rnd.randrange(1, 3))]),
            lambda: models.MaxExpression(max=[inner() for _ in range(rnd.randrange(1, 4))]),
            lambda: models.MinExpression(min=[inner() for _ in range(rnd.randrange(1, 4))]),
            lambda: models.NegExpression(neg=inner()),
            lambda: models.AbsExpression(abs=inner()),
            lambda: models.SqrtExpression(sqrt=positive()),
            lambda: models.Log10Expression(log10=positive()),
            lambda: models.LnExpression(ln=positive()),
            lambda: models.AcoshExpression(acosh=positive()),
            lambda: models.PowExpression(pow=models.PowParams(base=positive(), exponent=0.7)),
            lambda: models.ExpExpression(exp=models.NegExpression(neg=positive())),
            lambda: models.DivExpression(div=models.DivParams(left=inner(), right=inner(), by_zero_default=2.0)),
            lambda: models.LinDecayExpression(lin_decay=decay()),
            lambda: models.ExpDecayExpression(exp_decay=decay()),
            lambda: models.GaussDecayExpression(gauss_decay=decay()),
        ]
        return rnd.choice(leaves if depth > 2 or rnd.random() < 0.2 else nodes)()

    @kind
    def sample(self) -> dict[str, Any]:
        return {**self.base("a", models.SampleQuery(sample=models.Sample.RANDOM)), "offset": 0}

    @kind
    def groups(self) -> dict[str, Any]:
        rnd = self.random
        make = rnd.choice((self.nearest, self.recommend, self.rescored, self.dbsf))
        request = {**make(), "offset": 0, "group_by": rnd.choice(("k", "n")), "group_size": rnd.choice((1, 2, 5))}
        return {**request, "limit": rnd.choice((2, 4))}

    @kind
    def facet(self) -> dict[str, Any]:
        return {"key": self.random.choice(("k", "n", "b")), "filter": self.filter(), "limit": self.random.choice((2, 10, 100))}

    @kind
    def matrix(self) -> dict[str, Any]:
        # All points of a filter, as chance would choose others each time.
        return {"using": self.using(), "filter": models.Filter(must=[self.condition()]), "limit": 3, "sample": self.count}


def similarity(distance: models.Distance, query: Any, vector: Any) -> float:
    """How close two vectors are, larger for closer, by the formulas."""
    if isinstance(query, models.SparseVector):
        values = dict(zip(vector.indices, vector.values))
        return sum(value * values.get(index, 0.0) for index, value in zip(query.indices, query.values))
    if isinstance(query[0], list):
        return sum(max(similarity(distance, part, other) for other in vector) for part in query)
    if distance == models.Distance.EUCLID:
        return -sum((a - b) ** 2 for a, b in zip(query, vector))
    if distance == models.Distance.MANHATTAN:
        return -sum(abs(a - b) for a, b in zip(query, vector))
    dot = sum(a * b for a, b in zip(query, vector))
    return dot if distance == models.Distance.DOT else dot / (math.hypot(*query) * math.hypot(*vector))


def as_json(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [as_json(each) for each in value]
    return value


def same_vectors(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether vectors are the same, but for the last digits of normalised ones."""
    if a.keys() != b.keys():
        return False

    def numbers(vector: Any) -> list[float]:
        if isinstance(vector, dict):
            pairs = sorted(zip(vector["indices"], vector["values"]))
            return [number for pair in pairs for number in pair]
        return [number for part in vector for number in (part if isinstance(part, list) else [part])]

    flat = [(numbers(a[name]), numbers(b[name])) for name in a]
    return all(len(x) == len(y) and all(close(v, w) for v, w in zip(x, y)) for x, y in flat)


def close(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))


def differ(ours: list[dict[str, Any]], theirs: list[Any], scores: dict[Any, float] | None) -> str | None:
    """What is different between two rankings; `scores` are those of all points, to judge ties at the end."""
    if len(ours) != len(theirs):
        return f"{len(ours)} hits for {len(theirs)}"
    for place, (our, their) in enumerate(zip(ours, theirs)):
        if not close(our["score"], their.score):
            return f"score {our['score']} for {their.score} at {place}"
    known = (scores or {}) | {hit.id: hit.score for hit in theirs}
    for place, our in enumerate(ours):
        if our["id"] not in known or not close(known[our["id"]], our["score"]):
            return f"id {our['id']} at {place}"
    if len({str(hit["id"]) for hit in ours}) != len(ours):
        return "an id twice"
    return None


class Comparison:
    """One data set on both sides."""

    def __init__(self, bridge: Bridge | Server, distance: models.Distance, seed: int, points: int) -> None:
        self.maker = Maker(seed, points)
        self.distance = distance
        self.client = QdrantClient(":memory:")
        dense = {name: models.VectorParams(size=size, distance=distance) for name, size in DIMENSIONS.items()}
        multi = {name: models.VectorParams(size=size, distance=distance, multivector_config=MAX_SIM) for name, size in MULTI.items()}
        sparse = {name: models.SparseVectorParams(modifier=modifier) for name, modifier in SPARSE.items()}
        self.client.create_collection("points", vectors_config={**dense, **multi}, sparse_vectors_config=sparse)
        self.client.upsert("points", self.maker.points)
        self.bridge = bridge
        self.tell("create", {"vectors": as_json({**dense, **multi}), "sparse_vectors": as_json(sparse)})
        self.tell("index", INDEXES)
        half = points // 2
        self.tell("upsert", as_json(self.maker.points[:half]))
        self.tell("optimize", None)
        self.tell("upsert", as_json(self.maker.points[half:]))

    def update(self) -> str | None:
        """A random update of both sides; what is different afterwards."""
        name, arguments = self.maker.update()
        outcomes = []
        for client in (self.client, self.bridge.client):
            try:
                getattr(client, name)("points", **arguments)
                outcomes.append("done")
            except (UnexpectedResponse, grpc.RpcError, ValueError, KeyError) as error:
                outcomes.append(f"refused: {error}")
        if outcomes[0][:4] != outcomes[1][:4]:
            return f"{name} {as_json(arguments)}: reference {outcomes[0]}, server {outcomes[1]}"
        theirs, ours = (self.dump(client) for client in (self.client, self.bridge.client))
        if [point["id"] for point in theirs] != [point["id"] for point in ours]:
            raise SystemExit(f"{name} {as_json(arguments)}: other points")
        for their, our in zip(theirs, ours):
            if (their["payload"] or {}) != (our["payload"] or {}) or not same_vectors(their["vector"] or {}, our["vector"] or {}):
                raise SystemExit(f"{name} {as_json(arguments)}: {our} for {their}")
        self.maker.points = [models.PointStruct(**{key: point[key] for key in ("id", "vector", "payload")}) for point in theirs]
        self.maker.having = {name: [point["id"] for point in theirs if name in (point["vector"] or {})] for name in VECTORS}
        return None

    def dump(self, client: QdrantClient) -> list[dict[str, Any]]:
        points, _ = client.scroll("points", limit=10 * self.maker.count, with_payload=True, with_vectors=True)
        return [point.model_dump() for point in points]

    def tell(self, name: str, body: Any) -> None:
        answer = self.bridge.ask(name, body)
        if answer is not None:
            raise SystemExit(f"{name}: {answer}")

    def compare(self, name: str) -> str | None:
        request = KINDS[name](self.maker)
        self.request = request
        asked = {"groups": "groups", "facet": "facet", "matrix": "matrix"}.get(name, "query")
        ours = self.bridge.query(asked, request)
        failed = isinstance(ours, dict)
        try:
            theirs = self.reference(name, request)
        except (ValueError, OverflowError) as error:
            return None if failed else f"the reference refuses: {error}"
        if failed:
            return f"refused: {ours['error']}"
        return getattr(self, f"check_{name}", self.check)(request, ours, theirs)

    def reference(self, name: str, request: dict[str, Any]) -> Any:
        return ask(self.client, name, request)

    def scores(self, request: dict[str, Any]) -> dict[Any, float]:
        whole = {**request, "limit": self.maker.count, "offset": 0}
        query = whole["query"]
        if isinstance(query, models.NearestQuery) and query.mmr is not None:
            return {}
        return {hit.id: hit.score for hit in self.reference("query", whole)}

    def check(self, request: dict[str, Any], ours: Any, theirs: Any) -> str | None:
        return differ(ours, theirs, self.scores(request))

    def check_mmr(self, request: dict[str, Any], ours: Any, theirs: Any) -> str | None:
        """The same ranking, or one that only chooses otherwise among candidates of equal worth."""
        if (why := differ(ours, theirs, None)) is None:
            return None
        mmr, using, wanted = request["query"].mmr, request["using"], request["limit"] + request["offset"]
        nearest = models.NearestQuery(nearest=request["query"].nearest)
        limit = mmr.candidates_limit or request["limit"]
        left = [hit.id for hit in self.reference("query", {**request, "query": nearest, "limit": limit, "offset": 0})]
        whole = self.bridge.query("query", {**request, "limit": wanted, "offset": 0})
        vectors = {point.id: point.vector[using] for point in self.maker.points if using in point.vector}
        diversity = 0.5 if mmr.diversity is None else mmr.diversity
        similar = functools.partial(similarity, self.distance)
        worth = {id: similar(request["query"].nearest, vectors[id]) for id in left}
        relevance, closest = dict(worth), dict.fromkeys(left, -math.inf)
        for hit in whole:
            if hit["id"] not in left or worth[hit["id"]] < max(worth[id] for id in left) - 1e-4:
                return why
            left.remove(hit["id"])
            closest = {id: max(closest[id], similar(vectors[id], vectors[hit["id"]])) for id in left}
            worth = {id: (1 - diversity) * relevance[id] - diversity * closest[id] for id in left}
        return None

    def check_order_by(self, request: dict[str, Any], ours: Any, theirs: Any) -> str | None:
        if len(ours) != len(theirs):
            return f"{len(ours)} hits for {len(theirs)}"
        key = request["query"].order_by.key
        payloads = {point.id: point.payload for point in self.maker.points}
        for our, their in zip(ours, theirs):
            if payloads[our["id"]][key] != payloads[their.id][key] or our["score"] != 1.0:
                return f"{our} for {their}"
        return None

    def check_sample(self, request: dict[str, Any], ours: Any, theirs: Any) -> str | None:
        allowed = {point.id for point in self.client.scroll("points", scroll_filter=request["filter"], limit=self.maker.count)[0]}
        ids = {hit["id"] for hit in ours}
        return None if len(ours) == len(theirs) == len(ids) and ids <= allowed else "not a sample"

    def check_groups(self, request: dict[str, Any], ours: Any, theirs: Any) -> str | None:
        if [group["id"] for group in ours] != [group.id for group in theirs]:
            # Groups whose best hits tie, as the groups of one point do, come in any order.
            best = [group["hits"][0]["score"] for group in ours]
            if not all(close(a, b.hits[0].score) for a, b in zip(best, theirs)) or len(ours) != len(theirs):
                return "other groups"
        by_id = {group.id: group for group in theirs}
        # Groups take more of their prefetches than a query does, which changes the scores of fusions.
        plain = {key: value for key, value in request.items() if not key.startswith("group")}
        scores = None if request.get("prefetch") else self.scores(plain)
        for group in ours:
            if group["id"] in by_id and (why := differ(group["hits"], by_id[group["id"]].hits, scores)):
                return f"group {group['id']}: {why}"
        return None

    def check_facet(self, _: dict[str, Any], ours: Any, theirs: Any) -> str | None:
        theirs = [{"value": hit.value, "count": hit.count} for hit in theirs]
        return None if ours == theirs else f"{ours} for {theirs}"

    def check_matrix(self, _: dict[str, Any], ours: Any, theirs: Any) -> str | None:
        found = {(pair["a"], pair["b"]): pair["score"] for pair in ours}
        wanted = {(pair.a, pair.b): pair.score for pair in theirs}
        if len(ours) != len(theirs):
            return f"{len(ours)} pairs for {len(theirs)}"
        # Of neighbours that are equally near, either may be there.
        listed = {a: sorted(score for (other, _), score in found.items() if other == a) for a, _ in wanted}
        expected = {a: sorted(score for (other, _), score in wanted.items() if other == a) for a, _ in wanted}
        other = [a for a in wanted if not all(close(x, y) for x, y in zip(listed[a[0]], expected[a[0]], strict=True))]
        wrong = [pair for pair, score in wanted.items() if pair in found and not close(found[pair], score)]
        return f"pairs {other[:3]} {wrong[:3]}" if other or wrong else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bridge", help="the built `bridge` binary")
    parser.add_argument("--url", help="a server to ask instead")
    parser.add_argument("--grpc-port", type=int, help="ask the server over gRPC")
    parser.add_argument("--shards", type=int, default=1, help="shards of the server's collection")
    parser.add_argument("--updates", type=int, default=0, help="random updates between the queries")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    asked: collections.Counter[str] = collections.Counter()
    failures = 0
    distances = list(models.Distance)
    for number, distance in enumerate(distances):
        bridge = Server(arguments.url, arguments.grpc_port, arguments.shards) if arguments.url else Bridge(arguments.bridge)
        comparison = Comparison(bridge, distance, arguments.seed + number, arguments.points)
        queries = arguments.queries // len(distances)
        updates = arguments.updates // len(distances)
        for query in range(queries):
            for _ in range(updates * (query + 1) // queries - updates * query // queries):
                asked["update"] += 1
                if why := comparison.update():
                    failures += 1
                    print(f"{distance.value} {why}", file=sys.stderr)
            name = list(KINDS)[query % len(KINDS)]
            asked[name] += 1
            if why := comparison.compare(name):
                failures += 1
                print(f"{distance.value} {name}: {why}\n  {json.dumps(as_json(comparison.request))[:6000]}", file=sys.stderr)
        comparison.bridge.close()
    made = asked.pop("update", 0)
    print(json.dumps({"updates": made, "queries": sum(asked.values()), "kinds": len(asked), "differences": failures}))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
