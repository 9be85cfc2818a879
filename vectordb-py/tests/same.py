"""The same random operations through several doors, which must lead to the same points and the same answers.

    python tests/same.py --operations 10000 --crate target/debug/bridge --rest http://localhost:6333 --grpc http://localhost:7333 --grpc-port 7334

asks the native interface, the stock client in process, and, if they are named, the crate without Python (by the program `bridge` of the
benches), a server over REST and another one over gRPC. Servers must be empty.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

import vectordb
from vectordb import qdrant

DIM = 8
IDS = 300
NAME = "same"

Operation = tuple[str, dict[str, Any]]
Dump = list[tuple[Any, Any, list[float]]]


class Door(Protocol):
    """A way to a collection."""

    def do(self, operation: Operation) -> None: ...

    def dump(self) -> Dump: ...

    def nearest(self, vector: list[float], filter: Any, exact: bool) -> list[tuple[Any, float]]: ...


def vector(rng: random.Random) -> list[float]:
    """Numbers that 32 bits hold exactly."""
    return [float(np.float32(rng.gauss(0, 1))) for _ in range(DIM)]


def payload(rng: random.Random) -> dict[str, Any]:
    given = {"n": rng.randrange(20), "s": rng.choice(["a", "b", "ü"]), "x": rng.random(), "l": rng.sample(range(5), rng.randrange(4))}
    return {key: value for key, value in given.items() if rng.random() < 0.8}


def condition(rng: random.Random) -> dict[str, Any]:
    return rng.choice(
        [
            {"must": [{"key": "n", "range": {"gte": rng.randrange(15, 20)}}]},
            {"must": [{"key": "s", "match": {"value": "b"}}, {"key": "l", "match": {"any": [1, 2]}}]},
            {"must_not": [{"key": "s", "match": {"any": ["a", "ü"]}}], "must": [{"key": "n", "match": {"value": 3}}]},
        ]
    )


def operation(rng: random.Random) -> Operation:
    """One operation, in the form of the stock client's arguments."""
    ids = [rng.randrange(IDS) for _ in range(rng.randrange(1, 6))]
    kind = rng.choices(
        ["upsert", "delete", "delete_where", "set", "set_where", "overwrite", "drop_keys", "clear", "vectors", "index", "drop_index"],
        [50, 4, 1, 10, 3, 5, 5, 2, 8, 1, 1],
    )[0]
    given: dict[str, dict[str, Any]] = {
        "upsert": {"points": [{"id": id, "vector": vector(rng), "payload": payload(rng)} for id in dict.fromkeys(ids)]},
        "delete": {"ids": ids},
        "delete_where": {"filter": condition(rng)},
        "set": {"payload": payload(rng), "ids": ids},
        "set_where": {"payload": payload(rng), "filter": condition(rng)},
        "overwrite": {"payload": payload(rng), "ids": ids},
        "drop_keys": {"keys": rng.sample(["n", "s", "x", "l"], 2), "ids": ids},
        "clear": {"ids": ids},
        "vectors": {"points": {id: vector(rng) for id in ids}},
        "index": {"field": rng.choice(["n", "s"])},
        "drop_index": {"field": rng.choice(["n", "s"])},
    }
    return kind, given[kind]


class Native:
    """The package's own interface."""

    def __init__(self) -> None:
        self.db = vectordb.open()
        self.docs = self.db.create_collection(NAME, DIM)

    def do(self, operation: Operation) -> None:
        kind, given = operation
        docs = self.docs
        if kind == "upsert":
            points = given["points"]
            vectors = np.array([point["vector"] for point in points], np.float32)
            docs.upsert([point["id"] for point in points], vectors, [point["payload"] for point in points])
        elif kind == "vectors":
            # Points that do not exist are an error on the wire; there they are left out by the caller.
            there = [id for id, point in zip(given["points"], docs.get(list(given["points"]))) if point is not None]
            docs.update_vectors(there, [given["points"][id] for id in there])
        else:
            actions: dict[str, Callable[[], None]] = {
                "delete": lambda: docs.delete(given["ids"]),
                "delete_where": lambda: docs.delete(filter=given["filter"]),
                "set": lambda: docs.set_payload(given["payload"], ids=given["ids"]),
                "set_where": lambda: docs.set_payload(given["payload"], filter=given["filter"]),
                "overwrite": lambda: docs.set_payload(given["payload"], ids=given["ids"], replace=True),
                "drop_keys": lambda: docs.delete_payload(given["keys"], ids=given["ids"]),
                "clear": lambda: docs.clear_payload(ids=given["ids"]),
                "index": lambda: docs.create_index(given["field"], "integer" if given["field"] == "n" else "keyword"),
                "drop_index": lambda: docs.drop_index(given["field"]),
            }
            actions[kind]()

    def dump(self) -> Dump:
        return [(point.id, point.payload, point.vector.tolist()) for point in self.docs.scroll(with_vectors=True)]

    def nearest(self, vector: list[float], filter: Any, exact: bool) -> list[tuple[Any, float]]:
        hits = self.docs.search(vector, 100, filter=filter, exact=exact, with_payload=False)
        return list(zip(hits.ids, hits.scores.tolist()))


class Client:
    """The stock client, wherever it leads."""

    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        client.create_collection(NAME, models.VectorParams(size=DIM, distance=models.Distance.COSINE))

    def do(self, operation: Operation) -> None:
        kind, given = operation
        client = self.client
        chosen: Any = models.Filter(**given["filter"]) if "filter" in given else given.get("ids")
        if kind in ("set", "overwrite", "drop_keys"):
            # Points that do not exist are an error on the wire, and passed over by the engine.
            chosen = [point.id for point in client.retrieve(NAME, chosen, with_payload=False)]
            if not chosen:
                return
        integer, keyword = models.PayloadSchemaType.INTEGER, models.PayloadSchemaType.KEYWORD
        actions: dict[str, Callable[[], Any]] = {
            "upsert": lambda: client.upsert(NAME, [models.PointStruct(**point) for point in given["points"]]),
            "delete": lambda: client.delete(NAME, chosen),
            "delete_where": lambda: client.delete(NAME, models.FilterSelector(filter=chosen)),
            "set": lambda: client.set_payload(NAME, given["payload"], chosen),
            "set_where": lambda: client.set_payload(NAME, given["payload"], chosen),
            "overwrite": lambda: client.overwrite_payload(NAME, given["payload"], chosen),
            "drop_keys": lambda: client.delete_payload(NAME, given["keys"], chosen),
            "clear": lambda: client.clear_payload(NAME, chosen),
            "vectors": lambda: self._vectors(given["points"]),
            "index": lambda: client.create_payload_index(NAME, given["field"], integer if given["field"] == "n" else keyword),
            "drop_index": lambda: client.delete_payload_index(NAME, given["field"]),
        }
        actions[kind]()

    def _vectors(self, points: dict[int, list[float]]) -> None:
        there = [point.id for point in self.client.retrieve(NAME, list(points), with_payload=False)]
        if there:
            self.client.update_vectors(NAME, [models.PointVectors(id=id, vector=points[int(id)]) for id in there])

    def dump(self) -> Dump:
        found, _ = self.client.scroll(NAME, limit=IDS + 1, with_vectors=True)
        return [(point.id, point.payload, np.array(point.vector, np.float32).tolist()) for point in found]

    def nearest(self, vector: list[float], filter: Any, exact: bool) -> list[tuple[Any, float]]:
        chosen = None if filter is None else models.Filter(**filter)
        params = models.SearchParams(exact=exact)
        found = self.client.query_points(NAME, vector, query_filter=chosen, limit=100, search_params=params, with_payload=False).points
        scores: npt.NDArray[np.float32] = np.array([hit.score for hit in found], np.float32)
        return list(zip([hit.id for hit in found], scores.tolist()))


class Crate:
    """The crate, by lines of JSON to a program that is nothing but it."""

    def __init__(self, bridge: str | Path) -> None:
        self.process = subprocess.Popen([bridge], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        self._ask("create", {"vectors": {"": {"size": DIM, "distance": "Cosine"}}})

    def _ask(self, name: str, body: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({name: body}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def do(self, operation: Operation) -> None:
        kind, given = operation
        chosen = {"filter": given["filter"]} if "filter" in given else {"points": given.get("ids")}
        if kind == "upsert":
            self._ask("upsert", [{**point, "vector": {"": point["vector"]}} for point in given["points"]])
        elif kind == "vectors":
            # Points that do not exist are an error; they are left out by the caller.
            there = [point["id"] for point in self._ask("retrieve", list(given["points"]))]
            self._ask("update_vectors", [{"id": id, "vector": {"": given["points"][id]}} for id in there])
        elif kind in ("set", "set_where", "overwrite"):
            self._ask("overwrite_payload" if kind == "overwrite" else "set_payload", {**chosen, "payload": given["payload"]})
        elif kind == "index":
            self._ask("index", {given["field"]: "integer" if given["field"] == "n" else "keyword"})
        elif kind == "drop_index":
            self._ask("drop_index", given["field"])
        else:
            names = {"delete": "delete", "delete_where": "delete", "drop_keys": "delete_payload", "clear": "clear_payload"}
            self._ask(names[kind], {**chosen, "keys": given.get("keys")})

    def dump(self) -> Dump:
        found = self._ask("scroll", IDS + 1)
        return [(point["id"], point["payload"], np.array(point["vector"][""], np.float32).tolist()) for point in found]

    def nearest(self, vector: list[float], filter: Any, exact: bool) -> list[tuple[Any, float]]:
        hits = self._ask("query", {"query": vector, "filter": filter, "limit": 100, "params": {"exact": exact}})
        scores: npt.NDArray[np.float32] = np.array([hit["score"] for hit in hits], np.float32)
        return list(zip([hit["id"] for hit in hits], scores.tolist()))

    def close(self) -> None:
        """Ends the program."""
        self.process.communicate()


def compare(doors: dict[str, Door], operations: int, seed: int) -> dict[str, int]:
    """Does the operations and compares the doors now and then; what was compared, in numbers.

    Raises:
        AssertionError: where doors differ.
    """
    rng = random.Random(seed)
    counts = {"operations": operations, "dumps": 0, "points": 0, "searches": 0}
    for number in range(1, operations + 1):
        step = operation(rng)
        for door in doors.values():
            door.do(step)
        if number % 500 and number != operations:
            continue
        dumps = {name: door.dump() for name, door in doors.items()}
        first_name, first = next(iter(dumps.items()))
        for name, dump in dumps.items():
            assert dump == first, f"{name} differs from {first_name} after {number} operations"
        counts["dumps"] += 1
        counts["points"] += len(first)
        for _ in range(10):
            asked, filter, exact = vector(rng), rng.choice([None, condition(rng)]), rng.random() < 0.5
            answers = {name: door.nearest(asked, filter, exact) for name, door in doors.items()}
            for name, answer in answers.items():
                assert answer == answers[first_name], f"{name} answers otherwise than {first_name} after {number} operations"
            counts["searches"] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crate", type=Path, help="the program `bridge`, as cargo built it")
    parser.add_argument("--rest", help="URL of an empty server")
    parser.add_argument("--grpc", help="URL of another empty server, asked over gRPC")
    parser.add_argument("--grpc-port", type=int, default=6334)
    arguments = parser.parse_args()
    doors: dict[str, Door] = {"native": Native(), "client in process": Client(qdrant.client())}
    if arguments.crate:
        doors["crate"] = Crate(arguments.crate)
    if arguments.rest:
        doors["REST"] = Client(QdrantClient(arguments.rest))
    if arguments.grpc:
        doors["gRPC"] = Client(QdrantClient(arguments.grpc, prefer_grpc=True, grpc_port=arguments.grpc_port))
    print(json.dumps({"doors": list(doors), **compare(doors, arguments.operations, arguments.seed)}))


if __name__ == "__main__":
    main()
