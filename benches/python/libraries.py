"""The same small program in several libraries: what it takes to write, how long it runs, and what each says to bad input.

    pip install --config-settings build-args=--release ./vectordb-py
    pip install lancedb chromadb qdrant-client zvec hnswlib pyarrow
    python benches/python/libraries.py docs20k                  # a directory with vectors.npy, queries.npy and passages.jsonl.gz

The program stores documents with their texts and two fields to filter by, indexes them, asks filtered questions, closes, opens again and
asks once more. Each library has its own process and its own defaults; it is given up after ``--patience`` seconds. The lines between the
marks are the program. A table in Markdown goes to standard output, what is measured as a line of JSON to standard error.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

LIMIT = 10


@dataclass
class Task:
    """What is stored and asked."""

    path: str
    vectors: np.ndarray
    payloads: list[dict[str, Any]]
    asked: np.ndarray
    source: str
    words: int
    marks: list[float]

    def mark(self) -> None:
        """Says that a part is done."""
        self.marks.append(time.perf_counter())


def ours(task: Task) -> tuple[list[list[Any]], list[Any]]:
    import vectordb
    from vectordb import F

    path, vectors, payloads, asked, source, words = task.path, task.vectors, task.payloads, task.asked, task.source, task.words
    task.mark()
    # -- begin
    with vectordb.open(path) as db:
        docs = db.create_collection("docs", dim=384)
        docs.create_index("source", "keyword")
        docs.create_index("words", "integer")
        docs.upsert(range(len(vectors)), vectors, payloads)
        docs.optimize()
        task.mark()
        chosen = (F("source") == source) & (F("words") >= words)
        found = [docs.search(query, 10, filter=chosen).ids for query in asked]
        task.mark()
    with vectordb.open(path) as db:
        again = db["docs"].search(asked[0], 10, filter=chosen).ids
    # -- end
    task.mark()
    return found, again


def lancedb(task: Task) -> tuple[list[list[Any]], list[Any]]:
    import lancedb
    import pyarrow as pa
    from lancedb.index import Bitmap, BTree, HnswSq

    path, vectors, payloads, asked, source, words = task.path, task.vectors, task.payloads, task.asked, task.source, task.words
    task.mark()
    # -- begin
    rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 384)
    columns = {name: [payload[name] for payload in payloads] for name in payloads[0]}
    table = lancedb.connect(path).create_table("docs", pa.table({"id": range(len(vectors)), "vector": rows, **columns}))
    table.create_index("vector", config=HnswSq(distance_type="cosine"))
    table.create_index("source", config=Bitmap())
    table.create_index("words", config=BTree())
    task.mark()
    chosen = f"source = '{source}' AND words >= {words}"
    search = lambda query: table.search(query).distance_type("cosine").where(chosen, prefilter=True).limit(10).to_list()
    found = [[hit["id"] for hit in search(query)] for query in asked]
    task.mark()
    table = lancedb.connect(path).open_table("docs")
    again = [hit["id"] for hit in search(asked[0])]
    # -- end
    task.mark()
    return found, again


def chromadb(task: Task) -> tuple[list[list[Any]], list[Any]]:
    import chromadb
    from chromadb.config import Settings

    path, vectors, payloads, asked, source, words = task.path, task.vectors, task.payloads, task.asked, task.source, task.words
    settings = Settings(anonymized_telemetry=False)
    task.mark()
    # -- begin
    client = chromadb.PersistentClient(path, settings)
    docs = client.create_collection("docs", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    for start in range(0, len(vectors), 5000):
        stop = min(start + 5000, len(vectors))
        docs.add([str(id) for id in range(start, stop)], vectors[start:stop], payloads[start:stop])
    task.mark()
    chosen = {"$and": [{"source": source}, {"words": {"$gte": words}}]}
    search = lambda query: [int(id) for id in docs.query([query], n_results=10, where=chosen, include=[])["ids"][0]]
    found = [search(query) for query in asked]
    task.mark()
    client.clear_system_cache()
    docs = chromadb.PersistentClient(path, settings).get_collection("docs", embedding_function=None)
    again = search(asked[0])
    # -- end
    task.mark()
    return found, again


def qdrant_local(task: Task) -> tuple[list[list[Any]], list[Any]]:
    from qdrant_client import QdrantClient, models

    path, vectors, payloads, asked, source, words = task.path, task.vectors, task.payloads, task.asked, task.source, task.words
    task.mark()
    # -- begin
    client = QdrantClient(path=path)
    client.create_collection("docs", models.VectorParams(size=384, distance=models.Distance.COSINE))
    client.upload_collection("docs", vectors, payloads, range(len(vectors)))
    task.mark()
    is_source = models.FieldCondition(key="source", match=models.MatchValue(value=source))
    is_long = models.FieldCondition(key="words", range=models.Range(gte=words))
    chosen = models.Filter(must=[is_source, is_long])
    search = lambda query: [hit.id for hit in client.query_points("docs", query, query_filter=chosen, limit=10).points]
    found = [search(query) for query in asked]
    task.mark()
    client.close()
    client = QdrantClient(path=path)
    again = search(asked[0])
    # -- end
    task.mark()
    return found, again


def zvec(task: Task) -> tuple[list[list[Any]], list[Any]]:
    import zvec
    from zvec import DataType, FieldSchema, HnswIndexParam, InvertIndexParam

    path, vectors, payloads, asked, source, words = task.path, task.vectors, task.payloads, task.asked, task.source, task.words
    zvec.init(log_level=zvec.LogLevel.ERROR)
    task.mark()
    # -- begin
    texts = [FieldSchema(name, DataType.STRING) for name in ("section", "title", "text")]
    fields = [FieldSchema("source", DataType.STRING, index_param=InvertIndexParam())]
    fields += [FieldSchema("words", DataType.INT64, index_param=InvertIndexParam(enable_range_optimization=True)), *texts]
    graph = HnswIndexParam(metric_type=zvec.MetricType.COSINE)
    dense = zvec.VectorSchema("vector", DataType.VECTOR_FP32, 384, index_param=graph)
    docs = zvec.create_and_open(path, zvec.CollectionSchema(name="docs", fields=fields, vectors=dense))
    for start in range(0, len(vectors), 1000):
        batch = range(start, min(start + 1000, len(vectors)))
        docs.insert([zvec.Doc(id=str(row), vectors={"vector": vectors[row]}, fields=payloads[row]) for row in batch])
    docs.optimize()
    docs.flush()
    task.mark()
    chosen = f"source = '{source}' and words >= {words}"
    search = lambda query: [int(hit.id) for hit in docs.query(zvec.Query("vector", vector=query), topk=10, filter=chosen)]
    found = [search(query) for query in asked]
    task.mark()
    docs.close()
    docs = zvec.open(path)
    again = search(asked[0])
    # -- end
    task.mark()
    return found, again


def hnswlib(task: Task) -> tuple[list[list[Any]], list[Any]]:
    import hnswlib

    path, vectors, payloads, asked, source, words = Path(task.path), task.vectors, task.payloads, task.asked, task.source, task.words
    task.mark()
    # -- begin
    path.mkdir()
    index = hnswlib.Index(space="cosine", dim=384)
    index.init_index(max_elements=len(vectors))
    index.add_items(vectors, range(len(vectors)))
    index.save_index(str(path / "index.bin"))
    (path / "payloads.json").write_text(json.dumps(payloads))
    task.mark()
    chosen = lambda id: payloads[id]["source"] == source and payloads[id]["words"] >= words
    search = lambda query: index.knn_query(query, 10, num_threads=1, filter=chosen)[0][0].tolist()
    found = [search(query) for query in asked]
    task.mark()
    index = hnswlib.Index(space="cosine", dim=384)
    index.load_index(str(path / "index.bin"))
    payloads = json.loads((path / "payloads.json").read_text())
    again = search(asked[0])
    # -- end
    task.mark()
    return found, again


LIBRARIES: dict[str, Callable[[Task], tuple[list[list[Any]], list[Any]]]] = {
    "vectordb": ours,
    "lancedb": lancedb,
    "chromadb": chromadb,
    "qdrant-client (local)": qdrant_local,
    "zvec": zvec,
    "hnswlib": hnswlib,
}
# What a bad input does to two good points of four dimensions, by library: the handle that all cases share, and calls on it.
Small = tuple[Callable[[Any], Any], Callable[[Any], Any], Optional[Callable[[], Any]]]


def small(name: str, path: str) -> Small:
    """Two stored points; calls that insert one more, search, and close, if there is such a thing."""
    good = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    if name == "vectordb":
        import vectordb

        db = vectordb.open(path)
        docs = db.create_collection("docs", dim=4)
        docs.upsert([0, 1], good)
        return lambda v: docs.upsert([2], [v]), lambda v: docs.search(v).ids, db.close
    if name == "lancedb":
        import lancedb

        opened = lancedb.connect(path)
        table = opened.create_table("docs", [{"id": id, "vector": row} for id, row in enumerate(good)])
        return lambda v: table.add([{"id": 2, "vector": v}]), lambda v: [hit["id"] for hit in table.search(v).to_list()], None
    if name == "chromadb":
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(path, Settings(anonymized_telemetry=False))
        chroma = client.create_collection("docs", embedding_function=None)
        chroma.add(["0", "1"], good)
        return lambda v: chroma.add(["2"], [v]), lambda v: chroma.query([v])["ids"], client.close
    if name == "qdrant-client (local)":
        from qdrant_client import QdrantClient, models

        local = QdrantClient(path=path)
        local.create_collection("docs", models.VectorParams(size=4, distance=models.Distance.COSINE))
        insert = lambda id, v: local.upsert("docs", [models.PointStruct(id=id, vector=v.tolist())])
        insert(0, good[0]), insert(1, good[1])
        return lambda v: insert(2, v), lambda v: [hit.id for hit in local.query_points("docs", v).points], local.close
    if name == "zvec":
        import zvec

        zvec.init(log_level=zvec.LogLevel.ERROR)
        graph = zvec.HnswIndexParam(metric_type=zvec.MetricType.COSINE)
        dense = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, 4, index_param=graph)
        stored = zvec.create_and_open(path, zvec.CollectionSchema(name="docs", vectors=dense))
        put = lambda id, v: stored.insert([zvec.Doc(id=str(id), vectors={"vector": v})])
        put(0, good[0]), put(1, good[1])
        return lambda v: put(2, v), lambda v: [hit.id for hit in stored.query(zvec.Query("vector", vector=v), topk=2)], stored.close
    import hnswlib

    index = hnswlib.Index(space="cosine", dim=4)
    index.init_index(max_elements=10)
    index.add_items(good, [0, 1])
    return lambda v: index.add_items(v, [2]), lambda v: index.knn_query(v, 2)[0].tolist(), None


CLOSED = "search after closing"
NAN, SHORT, GOOD = (np.array(values, np.float32) for values in ([np.nan, 0, 0, 0], [1, 0], [1, 0, 0, 0]))
CASES: dict[str, Callable[[Small], Any]] = {
    "insert of a wrong dimension": lambda of: of[0](SHORT),
    "insert of NaN": lambda of: of[0](NAN),
    "query of a wrong dimension": lambda of: of[1](SHORT),
    "query of NaN": lambda of: of[1](NAN),
    CLOSED: lambda of: of[2] and (of[2](), of[1](GOOD)),
}


def bad(name: str, case: str) -> str:
    """What a library does with a bad input: its exception, or that there is none."""
    with tempfile.TemporaryDirectory() as room:
        of = small(name, str(Path(room) / "bad"))
        if case == CLOSED and of[2] is None:
            return "cannot be closed"
        try:
            answer = CASES[case](of)
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"
        return f"no error ({' '.join(str(answer).split())[:40]})"


def run(name: str, directory: Path, points: int) -> dict[str, Any]:
    """Runs the program of a library, and compares what it found with all answers."""
    vectors = np.load(directory / "vectors.npy").astype(np.float32)[:points]
    asked = np.load(directory / "queries.npy").astype(np.float32)
    with gzip.open(directory / "passages.jsonl.gz", "rt", encoding="utf-8") as lines:
        payloads = [json.loads(line) for _, line in zip(range(points), lines)]
    payloads = [{key: payload[key] for key in ("source", "section", "title", "text", "words")} for payload in payloads]
    source, words = Counter(payload["source"] for payload in payloads).most_common(1)[0][0], 60
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "task"
        task = Task(str(path), vectors, payloads, asked, source, words, [])
        found, again = LIBRARIES[name](task)
        disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    keep = np.array([row for row, payload in enumerate(payloads) if payload["source"] == source and payload["words"] >= words])
    unit = vectors[keep] / np.linalg.norm(vectors[keep], axis=1, keepdims=True)
    truth = [set(keep[np.argsort(-(unit @ query))[:LIMIT]].tolist()) for query in asked]
    recall = np.mean([len(true & set(hits)) / LIMIT for true, hits in zip(truth, found)])
    build, search, reopen = np.diff(task.marks).tolist()
    return {
        "points": len(vectors),
        "matching": len(keep),
        "build_s": round(build, 2),
        "search_ms": round(search * 1000 / len(asked), 3),
        "reopen_s": round(reopen, 3),
        "recall": round(float(recall), 4),
        "disk_mb": round(disk / 1e6, 1),
        "same_after_reopening": list(again) == list(found[0]),
    }


def program_lines(name: str) -> int:
    """Lines between the marks, without what only measures."""
    source = Path(__file__).read_text(encoding="utf-8").split(f"def {LIBRARIES[name].__name__}(")[1]
    lines = source.split("# -- begin\n")[1].split("# -- end")[0].splitlines()
    return sum(1 for line in lines if line.strip() and "task.mark" not in line)


def child(arguments: list[str], patience: float) -> Any:
    """What this program prints with other arguments, or how it ended."""
    command = [sys.executable, __file__, *arguments]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return f"not done in {patience:.0f} s"
    if done.returncode < 0:
        return f"the process dies of signal {-done.returncode}"
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else f"failed: {done.stderr.strip().splitlines()[-1:]}"


def report(names: list[str], directory: Path, points: int, patience: float) -> None:
    """Runs everything, one process after the other."""
    columns = ["points", "build_s", "search_ms", "recall", "reopen_s", "disk_mb"]
    print(f"| library | lines | {' | '.join(columns)} |\n|---|{'---|' * (len(columns) + 1)}")
    for name in names:
        got = child(["--run", name, "--points", str(points), str(directory)], patience)
        print(json.dumps({name: got}), file=sys.stderr, flush=True)
        cells = [str(got[column]) for column in columns] if isinstance(got, dict) else [got, *[""] * (len(columns) - 1)]
        print(f"| {name} | {program_lines(name)} | {' | '.join(cells)} |", flush=True)
    print(f"\n| library | {' | '.join(CASES)} |\n|---|{'---|' * len(CASES)}")
    for name in names:
        told = [child(["--bad", name, case, str(directory)], patience) for case in CASES]
        cells = [str(each["told"] if isinstance(each, dict) else each).replace("|", "\\|") for each in told]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=list(LIBRARIES), metavar="NAME")
    parser.add_argument("--patience", type=float, default=600.0)
    parser.add_argument("--run", choices=list(LIBRARIES), metavar="NAME", help="one library in this process")
    parser.add_argument("--bad", nargs=2, metavar=("NAME", "CASE"), help="one bad input in this process")
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(arguments.run, arguments.directory, arguments.points)))
    elif arguments.bad:
        print(json.dumps({"told": bad(*arguments.bad)}))
    else:
        report(arguments.libraries, arguments.directory, arguments.points, arguments.patience)


if __name__ == "__main__":
    main()
