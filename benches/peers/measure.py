"""Builds one peer and measures it; run as a process of its own, so that memory and processor time are the peer's alone."""

from __future__ import annotations

import os

# Before numpy is loaded: its products run on one thread. Engines are told their threads one by one.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
# Lance warns at each search.
os.environ["LANCE_LOG"] = os.environ["RUST_LOG"] = "error"

import argparse
import ctypes
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np

from data import FILTERED_QUERIES, KINDS, LIMIT, SELECTIVITIES, Dataset, filtered_truth, recall, windows
from peers import PEERS, Effort, Peer, Variant

GOAL = 0.95
# A peer whose recall is this high, or no longer grows, is not asked for more.
ENOUGH = 0.9985
FLAT = 0.0005
TINY_ROWS = 16


@dataclass(frozen=True)
class Plan:
    """How thoroughly to measure."""

    queries: int
    filtered_queries: int
    # Passes over the queries, and processor time of all of them, at least.
    passes: int
    seconds: float
    # Wall-clock time of one pass over the queries, at most: the slow answer fewer.
    pass_seconds: float
    cell_seconds: float
    every: int
    selectivities: tuple[float, ...]

    @classmethod
    def of(cls, queries: int, quick: bool) -> Plan:
        """The thorough one, or the one for a first look."""
        if quick:
            return cls(min(queries, 200), 64, 2, 0.2, 1.0, 3.0, 3, SELECTIVITIES[1:3])
        return cls(queries, FILTERED_QUERIES, 3, 1.0, 4.0, 20.0, 1, SELECTIVITIES)


def main() -> None:
    """Writes what was measured as JSON to standard output: a list with an entry for each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2, help="for building")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--skip-filtered", action="store_true")
    args = parser.parse_args()
    # Engines print to standard output; only the result may.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(args, Path(folder))), file=output)


def measure(args: argparse.Namespace, folder: Path) -> list[dict]:
    """Everything about one peer on one set."""
    data, plan, peer = Dataset.read(args.data), Plan.of(args.queries, args.quick), PEERS[args.peer]()
    built = build(peer, data, folder, args.threads)
    pin()
    overhead = attempt(lambda: call_overhead(type(peer), data, args.threads))
    peer.ready()
    results = []
    for variant in peer.variants:
        say(f"{variant.name}: built in {built['build_cpu_s']:.1f} CPU s, {built['rss_mb']:.0f} MB")
        result: dict = {"peer": variant.name, "set": data.name, **built, "call_overhead_us": overhead}
        try:
            result["sweep"] = sweep(peer, variant, data, plan)
            wanted = peer.filters and not args.skip_filtered
            result["filtered"] = filtered(peer, variant, data, plan) if wanted else []
        except Exception as error:  # noqa: BLE001 - whatever an engine throws is a result too
            result["error"] = f"{type(error).__name__}: {error}"
        results.append(result)
    peer.close()
    return results


def build(peer: Peer, data: Dataset, folder: Path, threads: int) -> dict:
    """Builds, and says what that took."""
    # A first import is not a part of building.
    attempt(lambda: type(peer)().build(data.first(TINY_ROWS), fresh(folder, "import"), threads))
    before = memory_mb("VmRSS")
    reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    peer.build(data, fresh(folder, "index"), threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = memory_mb("VmHWM") - before
    # Freed memory that the allocator still holds is not the index's.
    ctypes.CDLL(None).malloc_trim(0)
    size = sum(file.stat().st_blocks * 512 for file in (folder / "index").rglob("*") if file.is_file())
    return {
        "graph": peer.graph,
        "durable": peer.durable,
        "build_cpu_s": cpu,
        "build_s": wall,
        "points_per_s": len(data.base) / wall if peer.durable else None,
        "rss_mb": memory_mb("VmRSS") - before,
        "peak_rss_mb": peak,
        "disk_mb": size / 2**20 if peer.durable else None,
    }


def fresh(folder: Path, name: str) -> Path:
    """A new directory."""
    path = folder / name
    path.mkdir()
    return path


def memory_mb(field: str) -> float:
    """Resident memory of this process, now (`VmRSS`) or at most (`VmHWM`)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


def reset_peak() -> None:
    """Forgets the peak of resident memory so far: reading the set is not the engine's."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        say("the peak of memory includes reading the set")


def pin() -> None:
    """Brings all threads of the process to one processor."""
    processor = {max(os.sched_getaffinity(0))}
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), processor)


def attempt(run: Callable[[], Any]) -> Any:
    """What is good to have, or nothing."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001
        say(f"left out: {type(error).__name__}: {error}")
        return None


def call_overhead(kind: type[Peer], data: Dataset, threads: int) -> float:
    """Microseconds of a call that has next to nothing to search."""
    peer = kind()
    with tempfile.TemporaryDirectory() as folder:
        peer.build(data.first(TINY_ROWS), Path(folder), threads)
        peer.ready()
        peer.set_effort(peer.variants[0].efforts[0])
        queries = [peer.given(query) for query in data.queries[:100]]
        qps = speed(lambda query: peer.search_one(query, LIMIT), queries, 3, 0.1)
        peer.close()
    return 1e6 / qps


def sweep(peer: Peer, variant: Variant, data: Dataset, plan: Plan) -> list[dict]:
    """Recall and speed for each effort; ends when recall no longer grows."""
    queries = [peer.given(query) for query in data.queries[: plan.queries]]
    points: list[dict] = []
    for effort in variant.efforts[:: plan.every]:
        peer.set_effort(effort)
        points.append(point(effort, lambda query: peer.search_one(query, LIMIT), peer, queries, list(data.truth), plan, plan.pass_seconds))
        say(f"{variant.name}: {points[-1]}")
        flat = len(points) > 4 and points[-1]["recall"] - points[-3]["recall"] < FLAT and "ef" in effort
        if points[-1]["recall"] >= ENOUGH or flat:
            break
    return points


def point(
    effort: Effort, search: Callable[[Any], Any], peer: Peer, queries: list, truth: list[np.ndarray], plan: Plan, most_seconds: float
) -> dict:
    """Recall and speed of a way to search. A slow one answers only as many queries as it has time for."""
    answers, start = [], time.perf_counter()
    for query in queries:
        answers.append(search(query))
        if time.perf_counter() - start > most_seconds:
            break
    asked = queries[: len(answers)]
    score = recall([peer.rows(answer) for answer in answers], truth)
    slow = time.perf_counter() - start > 2 * plan.seconds
    qps = speed(search, asked, 1 if slow else plan.passes, plan.seconds)
    return {"effort": effort, "recall": round(score, 5), "qps": round(qps, 2), "queries": len(asked)}


def speed(search: Callable[[Any], Any], queries: list, passes: int, seconds: float) -> float:
    """Queries per second of processor time, of all threads of the process, in the best pass over the queries, as `recall.rs` takes it."""
    best, total, done = float("inf"), 0.0, 0
    while done < passes or total < seconds:
        start = time.process_time()
        for query in queries:
            search(query)
        spent = time.process_time() - start
        best, total, done = min(best, spent), total + spent, done + 1
    return len(queries) / best


def filtered(peer: Peer, variant: Variant, data: Dataset, plan: Plan) -> list[dict]:
    """The fastest effort that reaches the goal, for each kind and selectivity of filter."""
    vectors = data.queries[: plan.filtered_queries]
    cells = []
    for column, kind in enumerate(KINDS):
        for selectivity in plan.selectivities:
            choice = windows(column, selectivity)
            truth = filtered_truth(data, vectors, choice)
            asked = [(peer.given(query), choice[number % len(choice)]) for number, query in enumerate(vectors)]
            # Bitmaps and indexes that are made when first asked are made now.
            for query, window in asked[: len(choice)]:
                peer.set_effort(variant.filtered[0])
                peer.search_filtered(query, LIMIT, window)
            cells.append({"kind": kind, "selectivity": selectivity, **cell(peer, variant, asked, truth, plan)})
            say(f"{variant.name}: {cells[-1]}")
    return cells


def cell(peer: Peer, variant: Variant, asked: list, truth: list[np.ndarray], plan: Plan) -> dict:
    """One kind and selectivity of filter: the fastest effort that reaches the goal, else the one of the highest recall."""
    best: dict = {"recall": -1.0, "qps": 0.0}
    start = time.perf_counter()
    for effort in variant.filtered:
        peer.set_effort(effort)
        search = lambda pair: peer.search_filtered(pair[0], LIMIT, pair[1])
        found = point(effort, search, peer, asked, truth, plan, plan.cell_seconds / 8)
        reached = found["recall"] >= GOAL
        if (best["recall"] < GOAL and found["recall"] > best["recall"]) or (reached and found["qps"] > best["qps"]):
            best = found
        # More effort only costs more once the goal is reached.
        if reached or time.perf_counter() - start > plan.cell_seconds * 0.6:
            break
    return best


def say(line: str) -> None:
    """Progress."""
    print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
