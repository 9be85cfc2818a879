"""Runs peers and this engine on the same sets, one after another, and prints tables, ratios and charts.

`python run.py --data DIR --ours ../../target/release/recall --out results.json --svg chart.svg`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chart import chart
from peers import PEERS
from report import OURS, tables, with_speeds

HERE = Path(__file__).parent
PACKAGES = ("zvec", "hnswlib", "faiss-cpu", "usearch", "qdrant-edge-py", "lancedb", "numpy")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", action="extend", required=True, help="directories of the generators' form")
    parser.add_argument("--peers", default=",".join(PEERS), help="peers or packages, divided by commas (default: all; empty: none)")
    parser.add_argument("--ours", type=Path, help="the built `recall` binary; left out, only peers are measured")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2, help="for building")
    parser.add_argument("--quick", action="store_true", help="fewer queries, efforts and filters, for a first look")
    parser.add_argument("--skip-filtered", action="store_true")
    parser.add_argument("--limit", type=float, default=3600, help="seconds of a peer on a set, at most")
    parser.add_argument("--out", type=Path, help="where results are kept; those already there are not measured again")
    parser.add_argument("--svg", type=Path, help="a chart; of several sets each gets its own, with the set's name")
    args = parser.parse_args()
    kept = json.loads(args.out.read_text()) if args.out and args.out.exists() else {"about": about(), "sets": {}}
    for data in args.data:
        results = kept["sets"].setdefault(data.name, {})
        for key in ([OURS] if args.ours else []) + chosen(args.peers):
            if key not in results:
                print(f"{data.name}: {key} ...", file=sys.stderr, flush=True)
                results[key] = [with_speeds(result) for result in measure(key, data, args)]
                if args.out:
                    args.out.write_text(json.dumps(kept, indent=1))
        show(data.name, [result for variants in results.values() for result in variants], args)


def chosen(names: str) -> list[str]:
    """Keys of peers, by their own names or by their packages'."""
    asked = [name for name in names.split(",") if name]
    unknown = [name for name in asked if not any(name in (key, peer.package) for key, peer in PEERS.items())]
    if unknown:
        sys.exit(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    exactly = [name for name in asked if name in PEERS and name != PEERS[name].package]
    return [key for key, peer in PEERS.items() if key in exactly or peer.package in asked]


def show(name: str, results: list[dict], args: argparse.Namespace) -> None:
    """Tables to standard output, and the chart."""
    print(tables(name, results), flush=True)
    if args.svg:
        path = args.svg if len(args.data) == 1 else args.svg.with_stem(f"{args.svg.stem}-{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(chart(name, results))


def measure(key: str, data: Path, args: argparse.Namespace) -> list[dict]:
    """One engine in a process of its own."""
    skip = ["--skip-filtered"] if args.skip_filtered else []
    if key == OURS:
        queries = min(args.queries, 200) if args.quick else args.queries
        command = [str(args.ours), "--data", str(data), "--json", "--skip-batch", "--queries", str(queries), *skip]
    else:
        quick = ["--quick"] if args.quick else []
        options = ["--queries", str(args.queries), "--threads", str(args.threads)]
        command = [sys.executable, str(HERE / "measure.py"), key, str(data), *options, *quick, *skip]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=args.limit)
    except subprocess.TimeoutExpired:
        return [{"peer": key, "error": f"not done after {args.limit:.0f} s"}]
    if done.returncode != 0 or not done.stdout.strip():
        return [{"peer": key, "error": f"ended with {done.returncode}"}]
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return [ours(result)] if key == OURS else result


def ours(result: dict) -> dict:
    """The harness's report in the form of the peers'."""
    sweep = [{"effort": {"ef": point["ef"]}, "recall": point["recall"], "qps": point["qps"]} for point in result["sweep"]]
    filtered = [{**cell, "effort": {"ef": cell["ef"]}} for cell in result["filtered"]]
    # Building counts from the first point, as it does for the peers.
    same = {"build_cpu_s": result["ingest_cpu_s"], "index_cpu_s": result["build_cpu_s"], "points_per_s": result["ingest_points_per_s"]}
    seconds = result["points"] / result["ingest_points_per_s"]
    return {**result, **same, "peer": OURS, "graph": True, "durable": True, "build_s": seconds, "sweep": sweep, "filtered": filtered}


def about() -> dict:
    """What the results depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {"cpu": model, "processors": os.cpu_count(), "python": platform.python_version(), "versions": versions}


if __name__ == "__main__":
    main()
