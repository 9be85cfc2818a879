"""Builds one peer and measures it; run as a process of its own, so that memory and processor time are the peer's alone."""

from __future__ import annotations

import os

# Before numpy is loaded: searches are measured on one thread.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    if _name != "OMP_NUM_THREADS":
        os.environ.setdefault(_name, "1")

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np

from data import FILTERED_QUERIES, KINDS, SELECTIVITIES, Dataset, exact, recall, windows
from peers import PEERS, Peer

ROUND_SECONDS = 0.4
ROUNDS = 3
FILTERED_EFFORTS = (32, 64, 128, 256, 512)
CELL_SECONDS = 20.0
GOAL = 0.95


def main() -> None:
    """Writes what was measured as JSON to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--skip-filtered", action="store_true")
    args = parser.parse_args()
    # Engines print to standard output; only the result may.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(args, Path(folder))), file=output)


def measure(args: argparse.Namespace, folder: Path) -> dict:
    """Everything about one peer on one set."""
    data = Dataset.read(args.data)
    peer = PEERS[args.peer]()
    before = rss_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    peer.build(data, folder)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    result = {
        "peer": peer.name,
        "set": data.name,
        "graph": peer.graph,
        "durable": peer.durable,
        "build_cpu_s": cpu,
        "build_s": wall,
        "points_per_s": len(data.base) / wall,
        "rss_mb": rss_mb() - before,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "disk_mb": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20,
    }
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    result["sweep"] = sweep(peer, data, args.queries)
    result["filtered"] = [] if args.skip_filtered or not peer.filters else filtered(peer, data)
    return result


def rss_mb() -> float:
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def sweep(peer: Peer, data: Dataset, most: int) -> list[dict]:
    """Recall and speed for each effort; ends when recall no longer grows."""
    queries, truth = data.queries[:most], data.truth[:most]
    points: list[dict] = []
    for effort in peer.efforts:
        peer.effort(effort)
        found = peer.search(queries)
        qps = speed(lambda: peer.search(queries), len(queries))
        points.append({"effort": effort, "recall": recall(found, list(truth)), "qps": qps})
        print(f"{peer.name}: effort {effort}: recall {points[-1]['recall']:.4f}, {qps:.0f} queries/s", file=sys.stderr)
        if points[-1]["recall"] >= 0.9985:
            break
    return points


def speed(run: Callable[[], object], queries: int, seconds: float = ROUND_SECONDS) -> float:
    """Queries per second of processor time, of all threads of the process, in the best round."""
    best = 0.0
    for _ in range(ROUNDS):
        start, done = time.process_time(), 0
        while True:
            run()
            done += queries
            spent = time.process_time() - start
            if spent >= seconds:
                break
        best = max(best, done / spent)
    return best


def filtered(peer: Peer, data: Dataset) -> list[dict]:
    """The fastest effort that reaches the goal, for each kind and selectivity of filter."""
    queries = data.queries[:FILTERED_QUERIES]
    cells = []
    for column, kind in enumerate(KINDS):
        for selectivity in SELECTIVITIES:
            choice = windows(column, selectivity)
            asked = [choice[n % len(choice)] for n in range(len(queries))]
            truth: list[np.ndarray] = [np.empty(0)] * len(queries)
            for number, window in enumerate(choice):
                mine = range(number, len(queries), len(choice))
                for query, rows in zip(mine, exact(data, window.rows(data), queries[list(mine)])):
                    truth[query] = rows
            cells.append({"kind": kind, "selectivity": selectivity, **cell(peer, queries, asked, truth)})
            print(f"{peer.name}: {cells[-1]}", file=sys.stderr)
    return cells


def cell(peer: Peer, queries: np.ndarray, asked: list, truth: list[np.ndarray]) -> dict:
    """One kind and selectivity of filter."""
    best: dict = {"recall": -1.0}
    start = time.perf_counter()
    for effort in FILTERED_EFFORTS if len(peer.efforts) > 1 else peer.efforts:
        peer.effort(effort)
        found = peer.search_in(queries, asked)
        score = recall(found, truth)
        qps = speed(lambda: peer.search_in(queries, asked), len(queries), 0.2)
        if (best["recall"] < GOAL and score > best["recall"]) or (score >= GOAL and qps > best["qps"]):
            best = {"effort": effort, "recall": score, "qps": qps}
        # More effort only costs more once the goal is reached.
        if score >= GOAL or time.perf_counter() - start > CELL_SECONDS:
            break
    return best


if __name__ == "__main__":
    main()
