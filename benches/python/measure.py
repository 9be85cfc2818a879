"""What the Python package costs beside the engine, and whether other threads go on meanwhile. One line of JSON.

A thread that only sleeps may be late because another one holds the interpreter's lock, or because the processors are busy. So a heartbeat
comes with the time that the thread was ready and waited for a processor (Linux tells), and with the gaps of a process beside this one
that does nothing but sleep: ``held_ms`` is the longest gap without the wait for a processor, and is what the package answers for.

    pip install --config-settings build-args=--release ./vectordb-py
    python benches/python/measure.py

For the time of a search in Rust, run ``cargo run --release -p vectordb-benches --bin calls -- DIR`` on the directory of ``--keep``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
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


def waited_ms(stat: int) -> float:
    """How long the thread of an open `schedstat` was ready to run and did not."""
    return int(os.pread(stat, 100, 0).split()[1]) / 1e6


CONTROL = """
import os, sys, threading, time
if hasattr(os, "SCHED_RR") and os.sched_getscheduler(0) == os.SCHED_RR:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(3))
ending = threading.Thread(target=sys.stdin.read)
ending.start()
times = [time.monotonic()]
while ending.is_alive():
    time.sleep(0.001)
    times.append(time.monotonic())
print(*times)
"""


class Control:
    """A process that only sleeps, for the same time."""

    def __enter__(self) -> Control:
        self._process = subprocess.Popen([sys.executable, "-c", CONTROL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        return self

    def __exit__(self, *_: object) -> None:
        told, _ = self._process.communicate()
        self._times = np.array(told.split(), float)

    def longest_ms(self, start: float, end: float) -> float:
        """The longest gap that ended between two moments."""
        gaps = np.diff(self._times) * 1000 - 1
        inside = gaps[(self._times[1:] >= start) & (self._times[1:] <= end)]
        return round(float(inside.max(initial=0.0)), 2)


class Heartbeat:
    """A thread of Python that wakes up every millisecond, and the longest time it could not."""

    def __enter__(self) -> Heartbeat:
        self._running = True
        self.gaps_ms: list[float] = []
        self.waits_ms: list[float] = []
        self.start = time.monotonic()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def _beat(self) -> None:
        rise(2)
        stat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        last, waited = time.perf_counter(), waited_ms(stat)
        while self._running:
            time.sleep(0.001)
            now, waits = time.perf_counter(), waited_ms(stat)
            self.gaps_ms.append((now - last) * 1000 - 1)
            self.waits_ms.append(waits - waited)
            last, waited = now, waits
        os.close(stat)

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()
        self.end = time.monotonic()

    def figures(self, control: Control) -> dict[str, float]:
        gaps, waits = np.array(self.gaps_ms), np.array(self.waits_ms)
        longest = int(gaps.argmax())
        figures = {
            "longest_ms": gaps[longest],
            "of_it_for_a_processor_ms": waits[longest],
            "held_ms": (gaps - waits).max(),
            "p99_ms": np.percentile(gaps, 99),
            "control_longest_ms": control.longest_ms(self.start, self.end),
        }
        return {**{name: round(float(value), 2) for name, value in figures.items()}, "beats": len(gaps)}


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
    beats: dict[str, Heartbeat] = {}

    def beside(name: str, work: Callable[[], Any]) -> float:
        with Heartbeat() as beats[name]:
            return seconds(work)

    with tempfile.TemporaryDirectory() as temporary:
        path = arguments.keep or Path(temporary) / "measure.vdb"
        with vectordb.open(path) as db, Control() as control:
            docs = db.create_collection("docs", arguments.dim, exist_ok=True)
            docs.search_batch(asked[:10])
            rise(1)
            ids, payloads = range(arguments.points), [{"n": n} for n in range(arguments.points)]
            beside("rest", lambda: time.sleep(1))
            figures["upsert_s"] = round(beside("upsert", lambda: docs.upsert(ids, vectors, payloads)), 2)
            figures["build_s"] = round(beside("build", docs.optimize), 2)
            figures["batch_s"] = round(beside("batch", lambda: docs.search_batch(asked, 10, exact=True)), 2)
            beside("searches", lambda: [docs.search(query, 10) for query in asked[:1000]])
        figures.update((f"heartbeat during {name}", beat.figures(control)) for name, beat in beats.items())
        with vectordb.open(path) as db:
            docs = db["docs"]
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
