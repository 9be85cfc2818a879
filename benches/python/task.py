"""The task of a small retrieval program: store documents with a language and a year, build, ask with a filter, close, open, ask again.

    python benches/python/task.py --points 20000

One line of JSON with times, the recall against all answers of numpy, and bytes on disk. The lines between the marks are the program.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import vectordb
from vectordb import F


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=384)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((arguments.points, arguments.dim)).astype("f4")
    asked = rng.standard_normal((100, arguments.dim)).astype("f4")
    langs, years = rng.choice(["en", "de", "fr", "es"], arguments.points), rng.integers(2000, 2026, arguments.points)
    payloads = [{"lang": str(lang), "year": int(year), "text": f"text {n}"} for n, (lang, year) in enumerate(zip(langs, years))]
    marks = [time.perf_counter()]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "task.vdb"
        # -- begin
        with vectordb.open(path) as db:
            docs = db.create_collection("docs", dim=arguments.dim)
            docs.create_index("lang", "keyword")
            docs.create_index("year", "integer")
            docs.upsert(range(arguments.points), vectors, payloads)
            docs.optimize()
            marks.append(time.perf_counter())
            chosen = (F("lang") == "en") & (F("year") >= 2020)
            found = [docs.search(query, 10, filter=chosen) for query in asked]
            marks.append(time.perf_counter())
        with vectordb.open(path) as db:
            again = db["docs"].search(asked[0], 10, filter=chosen)
        # -- end
        marks.append(time.perf_counter())
        disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    keep = np.flatnonzero((langs == "en") & (years >= 2020))
    unit = vectors[keep] / np.linalg.norm(vectors[keep], axis=1, keepdims=True)
    truth = [set(keep[np.argsort(-(unit @ query))[:10]].tolist()) for query in asked]
    recall = np.mean([len(true & set(hits.ids)) / 10 for true, hits in zip(truth, found)])
    build, search, reopen = np.diff(marks).round(3).tolist()
    assert again.ids == found[0].ids
    lines = Path(__file__).read_text(encoding="utf-8").split("# -- begin\n")[1].split("# -- end")[0].splitlines()
    own = [line for line in lines if line.strip() and "marks" not in line]
    figures = {"points": arguments.points, "matching": len(keep), "lines": len(own), "build_s": build, "searches_s": search}
    print(json.dumps({**figures, "reopen_and_search_s": reopen, "recall_at_10": round(float(recall), 4), "disk_bytes": disk}))


if __name__ == "__main__":
    main()
