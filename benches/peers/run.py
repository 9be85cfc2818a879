"""Runs peers and this engine on the same sets, one after another, and prints tables, ratios and charts."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from peers import PEERS
from report import OURS, chart, tables

HERE = Path(__file__).parent


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="directories of the generators' form")
    parser.add_argument("--peers", default=",".join(PEERS), help="names, divided by commas (default: all)")
    parser.add_argument("--ours", type=Path, help="the built `recall` binary; left out, only peers are measured")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--skip-filtered", action="store_true")
    parser.add_argument("--out", type=Path, help="where results are kept; those already there are not measured again")
    parser.add_argument("--charts", type=Path, help="directory for an SVG chart of each set")
    args = parser.parse_args()
    kept = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for data in args.data:
        results = kept.setdefault(data.name, {})
        names = ([OURS] if args.ours else []) + [name for name in args.peers.split(",") if name]
        for name in names:
            if name not in results:
                print(f"{data.name}: {name} ...", file=sys.stderr)
                results[name] = measure(name, data, args)
                if args.out:
                    args.out.write_text(json.dumps(kept, indent=1))
        print(tables(data.name, list(results.values())))
        if args.charts:
            args.charts.mkdir(parents=True, exist_ok=True)
            (args.charts / f"{data.name}.svg").write_text(chart(data.name, list(results.values())))


def measure(name: str, data: Path, args: argparse.Namespace) -> dict:
    """One engine in a process of its own."""
    skip = ["--skip-filtered"] if args.skip_filtered else []
    if name == OURS:
        command = [str(args.ours), "--data", str(data), "--json", "--queries", str(args.queries), *skip]
    else:
        command = [sys.executable, str(HERE / "measure.py"), name, str(data), "--queries", str(args.queries), *skip]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        return {"peer": name, "error": f"ended with {done.returncode}"}
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return ours(result) if name == OURS else result


def ours(result: dict) -> dict:
    """The harness's report in the form of the peers'."""
    return {
        **result,
        "peer": OURS,
        "graph": True,
        "durable": True,
        "points_per_s": result["ingest_points_per_s"],
        "sweep": [{**point, "effort": point["ef"]} for point in result["sweep"]],
    }


if __name__ == "__main__":
    main()
