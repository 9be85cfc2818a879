"""What copies and shards cost: writes, searches, and a disk that is made good.

    python cluster.py PROGRAM writes       stored by a server that is alone, and by three nodes with 1, 2 and 3 copies
    python cluster.py PROGRAM searches     searches in 1, 3 and 6 shards of three nodes
    python cluster.py PROGRAM repair       a node loses a disk with 1 GB of vectors; how long until all has its copies again

All servers run on this machine and share its processors and its disk, so that what matters is how the figures of one run compare:
those that are compared take turns, and of each the median of all turns is told. Only the standard library is needed, and NumPy. The
last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy
import rest
from rest import HOST

FIRST_PORT, NODES = 16421, 3


class Node:
    """One server: its process, its ports, and its directory, which outlives the process."""

    def __init__(self, program: str, room: pathlib.Path, number: int, alone: bool) -> None:
        self.program, self.directory, self.alone = program, room / str(number), alone
        self.http, self.p2p = FIRST_PORT + 2 * number, FIRST_PORT + 2 * number + 1
        self.directory.mkdir()
        self.start()

    def start(self) -> None:
        values = {"SERVICE__HOST": HOST, "SERVICE__HTTP_PORT": str(self.http), "SERVICE__GRPC_PORT": "0", "LOG_LEVEL": "error"}
        arguments = [self.program]
        if not self.alone:
            values |= {"CLUSTER__ENABLED": "true", "CLUSTER__P2P__PORT": str(self.p2p), "CLUSTER__REPLACE_LOST_PEER": "true"}
            arguments += ["--uri", f"http://{HOST}:{self.p2p}"]
            if self.p2p != FIRST_PORT + 1:
                arguments += ["--bootstrap", f"http://{HOST}:{FIRST_PORT + 1}"]
        environment = os.environ | {f"VECTORDB__{name}": value for name, value in values.items()}
        self.process = subprocess.Popen(arguments, cwd=self.directory, env=environment)
        wait(lambda: self.process.poll() is None and self.call("GET", "/readyz")[0] == 200, "a node starts")

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        return rest.call(self.http, method, path, body)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        return rest.done(self.http, method, path, body)

    def bench(self, collection: str, *arguments: str) -> dict[str, Any]:
        command = [self.program, "bench", "--uri", f"http://{HOST}:{self.http}", "--collection", collection, "--json", *arguments]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=120)


def wait(done: Callable[[], bool], what: str, patience: float = 900.0) -> float:
    began = time.monotonic()
    while time.monotonic() - began < patience:
        try:
            if done():
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.02)
    raise SystemExit(f"not in time: {what}")


def is_whole(node: Node, collection: str, factor: int) -> bool:
    status, answer = node.call("GET", f"/collections/{collection}/cluster")
    if status != 200:
        return False
    seen = json.loads(answer)["result"]
    replicas = seen["local_shards"] + seen["remote_shards"]
    return len(replicas) == seen["shard_count"] * factor and all(each["state"] == "Active" for each in replicas)


def create(nodes: list[Node], collection: str, dim: int, shards: int, factor: int, **more: Any) -> None:
    config = {"vectors": {"size": dim, "distance": "Cosine"}, "shard_number": shards, "replication_factor": factor, **more}
    nodes[0].done("PUT", f"/collections/{collection}", config)
    if not nodes[0].alone:
        wait(lambda: all(is_whole(node, collection, factor) for node in nodes), "all copies are there")


def vectors(room: pathlib.Path, name: str, count: int, dim: int) -> str:
    rng = numpy.random.default_rng(1)
    table = numpy.lib.format.open_memmap(room / name, "w+", numpy.float32, (count, dim))
    for at in range(0, count, 10_000):
        table[at : at + 10_000] = rng.standard_normal((min(10_000, count - at), dim), dtype=numpy.float32)
    table.flush()
    return str(room / name)


def medians(turns: dict[str, list[dict[str, float]]], first: str) -> dict[str, dict[str, float]]:
    """The median of each figure, and what it is of the first one's."""
    found = {name: {figure: statistics.median(turn[figure] for turn in of) for figure in of[0]} for name, of in turns.items()}
    ratios = {name: {f"{figure}_ratio": value / found[first][figure] for figure, value in of.items()} for name, of in found.items()}
    return {name: {figure: round(value, 3) for figure, value in (found[name] | ratios[name]).items()} for name in found}


def measure_writes(arguments: argparse.Namespace, room: pathlib.Path, alone: Node, nodes: list[Node]) -> Any:
    """Many points at a time by several clients, and one point at a time by one."""
    many, single = vectors(room, "many.npy", arguments.points, arguments.dim), vectors(room, "single.npy", 500, arguments.dim)
    kinds = {"alone": ([alone], 1)} | {f"{factor} copies": (nodes, factor) for factor in (1, 2, 3)}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for turn in range(arguments.turns):
        for name, (of, factor) in kinds.items():
            # The graph is made afterwards and is of no concern here.
            create(of, "c", arguments.dim, 3, factor, optimizers_config={"indexing_threshold": 0})
            door = of[turn % len(of)]
            one = door.bench("c", "--upload", single, "--batch", "1", "--clients", "1")
            all_at_once = door.bench("c", "--upload", many, "--batch", "100", "--clients", "8")
            if one["errors"] or all_at_once["errors"]:
                raise SystemExit(f"{name}: {one} {all_at_once}")
            of[0].done("DELETE", "/collections/c")
            seen = {"points_per_second": all_at_once["per_second"], "batch_p50_ms": all_at_once["p50_ms"], "batch_p99_ms": all_at_once["p99_ms"]}
            seen |= {"single_p50_ms": one["p50_ms"], "single_p99_ms": one["p99_ms"]}
            turns[name].append(seen)
            print(turn, name, seen, flush=True)
    return medians(turns, "alone")


def measure_searches(arguments: argparse.Namespace, room: pathlib.Path, alone: Node, nodes: list[Node]) -> Any:
    """The same points in different numbers of shards, each with one copy."""
    file = vectors(room, "many.npy", arguments.points, arguments.dim)
    kinds = {"alone, 1 shard": ([alone], 1)} | {f"cluster, {shards} shards": (nodes, shards) for shards in (1, 3, 6)}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for of, shards in kinds.values():
        create(of, f"c{shards}", arguments.dim, shards, 1)
        of[0].bench(f"c{shards}", "--upload", file, "--batch", "200")
    for of, shards in kinds.values():
        wait(lambda: of[0].done("GET", f"/collections/c{shards}")["status"] == "green", "the graphs are there")
    for turn in range(arguments.turns):
        for name, (of, shards) in kinds.items():
            door = of[turn % len(of)]
            one = door.bench(f"c{shards}", "--clients", "1", "--seconds", "4")
            several = door.bench(f"c{shards}", "--clients", "8", "--seconds", "4")
            seen = {"p50_ms": one["p50_ms"], "p99_ms": one["p99_ms"], "per_second": several["per_second"]}
            turns[name].append(seen)
            print(turn, name, seen, flush=True)
    return medians(turns, "alone, 1 shard")


def measure_repair(arguments: argparse.Namespace, room: pathlib.Path, _alone: Node, nodes: list[Node]) -> Any:
    """Two copies of each of three shards on three nodes; what one of them loses is two thirds of all."""
    count = arguments.points = int(arguments.lost_bytes * NODES / 2 / (4 * arguments.dim))
    file = vectors(room, "many.npy", count, arguments.dim)
    create(nodes, "c", arguments.dim, 3, 2, optimizers_config={"indexing_threshold": 0})
    nodes[0].bench("c", "--upload", file, "--batch", "200", "--clients", "4")
    pathlib.Path(file).unlink()
    turns = []
    for turn in range(arguments.turns):
        victim = nodes[1 + turn % (NODES - 1)]
        victim.end(signal.SIGKILL)
        storage = victim.directory / "storage"
        lost = sum(each.stat().st_size for each in storage.rglob("*") if each.is_file())
        shutil.rmtree(storage)
        began = time.monotonic()
        victim.start()
        ready = time.monotonic() - began
        wait(lambda: all(is_whole(node, "c", 2) for node in nodes), "all copies are there again")
        whole = time.monotonic() - began
        counted = victim.done("POST", "/collections/c/points/count", {"exact": True})["count"]
        if counted != count:
            raise SystemExit(f"{counted} of {count} points are there")
        turns.append({"lost_mb": lost / 1e6, "ready_secs": ready, "whole_secs": whole, "mb_per_second": lost / 1e6 / whole})
        print(turn, turns[-1], flush=True)
    return {figure: round(statistics.median(turn[figure] for turn in turns), 2) for figure in turns[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("what", choices=["writes", "searches", "repair"])
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--lost-bytes", type=float, default=1e9)
    arguments = parser.parse_args()

    room = pathlib.Path(tempfile.mkdtemp(prefix="vectordb-cluster-"))
    nodes: list[Node] = []
    try:
        for number in range(NODES + 1):
            nodes.append(Node(arguments.program, room, number, alone=number == NODES))
        wait(lambda: all(len(node.done("GET", "/cluster")["peers"]) == NODES for node in nodes[:NODES]), "all know each other")
        measure = {"writes": measure_writes, "searches": measure_searches, "repair": measure_repair}[arguments.what]
        figures = measure(arguments, room, nodes[NODES], nodes[:NODES])
        print(json.dumps({"what": arguments.what, "points": arguments.points, "dim": arguments.dim, "figures": figures}))
    finally:
        for node in nodes:
            node.end(signal.SIGTERM)
        shutil.rmtree(room)


if __name__ == "__main__":
    main()
