"""What the Python package costs beside the engine, and whether other threads go on meanwhile. One line of JSON.

    pip install --config-settings build-args=--release ./vectordb-py
    python benches/python/measure.py

For the time of a search in Rust, run ``cargo run --release -p vectordb-benches --bin calls -- DIR`` on the directory of ``--keep``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import vectordb


def rise(above: int) -> None:
    """Under a real-time policy (``chrt -r 1``), puts this thread above those of the engine, which otherwise take turns with it of a
    tenth of a second each."""
    if os.sched_getscheduler(0) == os.SCHED_RR:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1 + above))


class Heartbeat:
    """A thread of Python that wakes up every millisecond, and the longest time it could not."""

    def __enter__(self) -> Heartbeat:
        self._running = True
        self.gaps_ms: list[float] = []
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def _beat(self) -> None:
        rise(2)
        last = time.perf_counter()
        while self._running:
            time.sleep(0.001)
            now = time.perf_counter()
            self.gaps_ms.append((now - last) * 1000 - 1)
            last = now

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    @property
    def figures(self) -> dict[str, float]:
        gaps = np.array(self.gaps_ms)
        return {"longest_ms": round(float(gaps.max()), 2), "p99_ms": round(float(np.percentile(gaps, 99)), 2), "beats": len(gaps)}


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def microseconds(call: Callable[[Any], Any], arguments: Any) -> float:
    """The median over many calls."""
    return median(seconds(lambda: call(argument)) for argument in arguments) * 1e6


def copies(points: int, dim: int) -> dict[str, float]:
    """Seconds of an upsert without a log, per million elements, by the form in which vectors come."""
    vectors = np.random.default_rng(1).standard_normal((points, dim)).astype(np.float32)
    forms: dict[str, Any] = {"float32 rows": vectors, "float64 rows": vectors.astype(np.float64), "lists": vectors.tolist()}
    found = {}
    for name, form in forms.items():
        with vectordb.open() as db:
            docs = db.create_collection("docs", dim, durability="none", hnsw={"m": 0})
            ids = np.arange(points, dtype=np.uint64)
            found[name] = round(seconds(lambda: docs.upsert(ids, form)) * 1e6 / (points * dim), 4)
    return {f"{name}, ns an element": value * 1000 for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="where the database is left")
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((arguments.points, arguments.dim)).astype(np.float32)
    asked = rng.standard_normal((arguments.queries, arguments.dim)).astype(np.float32)
    figures: dict[str, Any] = {"points": arguments.points, "dim": arguments.dim}
    with tempfile.TemporaryDirectory() as temporary:
        path = arguments.keep or Path(temporary) / "measure.vdb"
        with vectordb.open(path) as db:
            docs = db.create_collection("docs", arguments.dim, exist_ok=True)
            docs.search_batch(asked[:10])
            rise(1)
            with Heartbeat() as beat:
                time.sleep(1)
            figures["heartbeat at rest"] = beat.figures
            with Heartbeat() as beat:
                figures["upsert_s"] = round(seconds(lambda: docs.upsert(range(arguments.points), vectors, [{"n": n} for n in range(arguments.points)])), 2)
            figures["heartbeat during upsert"] = beat.figures
            with Heartbeat() as beat:
                figures["build_s"] = round(seconds(docs.optimize), 2)
            figures["heartbeat during build"] = beat.figures
            with Heartbeat() as beat:
                figures["batch_s"] = round(seconds(lambda: docs.search_batch(asked, 10, exact=True)), 2)
            figures["heartbeat during batch"] = beat.figures
            with Heartbeat() as beat:
                for query in asked[:1000]:
                    docs.search(query, 10)
            figures["heartbeat during searches"] = beat.figures
            np.save(path / "queries.npy", asked)
            docs.search_batch(asked, 10)
            figures["search_us"] = round(microseconds(lambda query: docs.search(query, 10, with_payload=False), asked), 2)
            figures["search_and_ids_us"] = round(microseconds(lambda query: docs.search(query, 10, with_payload=False).ids, asked), 2)
        rise(0)
        spent = {}
        for threads in (1, 2):
            with vectordb.open(path, threads=threads) as db:
                docs = db["docs"]
                docs.search_batch(asked, 10)
                spent[threads] = min(seconds(lambda: docs.search_batch(asked, 10)) for _ in range(5))
        figures["batch_s_by_threads"] = {threads: round(taken, 3) for threads, taken in spent.items()}
        figures["batch_speedup"] = round(spent[1] / spent[2], 2)
    figures["upsert"] = copies(2000, arguments.dim)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
