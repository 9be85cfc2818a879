"""Sparse vectors: makes a set like those of learned sparse text models, and asks other engines and this one the same.

`python sparse.py --data DIR --ours ../../target/release/kinds --out results.json` (DIR is made when it is not there)

The set is a compressed sparse matrix: `indptr.npy` (int64), `indices.npy` (int32), `values.npy` (float32), and the same for
queries with the prefix `query_`; `truth.npy` holds the ten largest products of each query. Speeds are queries per second of one
thread's CPU; with the cost of a call from Python, which is a few microseconds, but for this engine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

WORDS = 30_522
TOPICS = 200
TOPIC_WORDS = 2_000
BATCH = 1_000
LIMIT = 10
ROUNDS = 3

Matrix = tuple[np.ndarray, np.ndarray, np.ndarray]


def make(rng: np.random.Generator, rows: int, mean: int, topics: list[np.ndarray]) -> Matrix:
    """Rows about one topic each: most words are the topic's, some anyone's; few words are common, most are rare.

    Models that learn such vectors are trained to keep common words rare and light, so the head is flat and words weigh less the more
    common they are.
    """
    zipf = 1.0 / (np.arange(1, WORDS + 1) + 20)
    weight = np.log(1.0 / (zipf / zipf.sum())) / np.log(1.0 / (zipf[-1] / zipf.sum()))
    local = 1.0 / np.arange(1, TOPIC_WORDS + 1) ** 0.8
    indptr, indices, values = [0], [], []
    for _ in range(rows):
        count = max(4, int(rng.normal(mean, mean / 5)))
        topic = topics[rng.integers(TOPICS)]
        drawn = [rng.choice(topic, int(count * 0.8), p=local / local.sum()), rng.choice(WORDS, int(count * 0.7), p=zipf / zipf.sum())]
        words = np.unique(np.concatenate(drawn))[:]
        words = np.sort(rng.permutation(words)[:count])
        indices.append(words.astype(np.int32))
        values.append((weight[words] ** 2 * np.minimum(rng.lognormal(-0.3, 0.6, len(words)), 3.5)).astype(np.float32))
        indptr.append(indptr[-1] + len(words))
    return np.array(indptr, dtype=np.int64), np.concatenate(indices), np.concatenate(values)


def generate(folder: Path, points: int, queries: int) -> None:
    rng = np.random.default_rng(7)
    topics = [rng.permutation(WORDS)[:TOPIC_WORDS] for _ in range(TOPICS)]
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, rows, mean in (("", points, 120), ("query_", queries, 30)):
        for name, array in zip(("indptr", "indices", "values"), make(rng, rows, mean, topics)):
            np.save(folder / f"{prefix}{name}.npy", array)
    base, asked = load(folder, ""), load(folder, "query_")
    truth = [np.argsort(-products(base, row(asked, query)), kind="stable")[:LIMIT] for query in range(queries)]
    np.save(folder / "truth.npy", np.array(truth, dtype=np.int32))


def load(folder: Path, prefix: str) -> Matrix:
    return tuple(np.load(folder / f"{prefix}{name}.npy") for name in ("indptr", "indices", "values"))  # type: ignore[return-value]


def row(matrix: Matrix, at: int) -> tuple[np.ndarray, np.ndarray]:
    indptr, indices, values = matrix
    return indices[indptr[at] : indptr[at + 1]], values[indptr[at] : indptr[at + 1]]


def products(base: Matrix, query: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    indptr, indices, values = base
    weights = np.zeros(WORDS, dtype=np.float32)
    weights[query[0]] = query[1]
    return np.add.reduceat(weights[indices] * values, indptr[:-1])


def edge(base: Matrix, folder: Path) -> Callable[[Any, Any], list[int]]:
    """qdrant-edge: an exact inverted index."""
    import qdrant_edge

    config = qdrant_edge.EdgeConfig(
        sparse_vectors={"s": qdrant_edge.EdgeSparseVectorParams()},
        optimizers=qdrant_edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000, max_segment_size=100_000_000),
        max_search_threads=1,
    )
    path = folder / "edge"
    path.mkdir()
    shard = qdrant_edge.EdgeShard.create(str(path), config)
    count = len(base[0]) - 1
    for start in range(0, count, BATCH):
        points = []
        for at in range(start, min(start + BATCH, count)):
            indices, values = row(base, at)
            vector = qdrant_edge.SparseVector(indices.tolist(), values.tolist())
            points.append(qdrant_edge.Point(at, {"s": vector}, {}))
        shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    while shard.optimize():
        pass

    def ask(indices: Any, values: Any) -> list[int]:
        query = qdrant_edge.Query.Nearest(qdrant_edge.SparseVector(indices, values), "s")
        return [hit.id for hit in shard.search(qdrant_edge.SearchRequest(query, LIMIT))]

    return ask


def zvec(base: Matrix, folder: Path, ef: int) -> Callable[[Any, Any], list[int]]:
    """zvec: a graph over sparse vectors, approximate."""
    import zvec

    if not getattr(zvec, "initialised_here", False):
        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=1, optimize_threads=2)
        zvec.initialised_here = True
    index = zvec.HnswIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200)
    vectors = zvec.VectorSchema("s", zvec.DataType.SPARSE_VECTOR_FP32, index_param=index)
    collection = zvec.create_and_open(str(folder / "zvec"), zvec.CollectionSchema(name="set", fields=[], vectors=vectors))
    count = len(base[0]) - 1
    for start in range(0, count, BATCH):
        documents = []
        for at in range(start, min(start + BATCH, count)):
            indices, values = row(base, at)
            documents.append(zvec.Doc(id=str(at), vectors={"s": dict(zip(indices.tolist(), values.tolist()))}))
        collection.insert(documents)
    collection.optimize(zvec.OptimizeOption(concurrency=2))

    def ask(indices: Any, values: Any) -> list[int]:
        query = zvec.Query("s", vector=dict(zip(indices, values)), param=zvec.HnswQueryParam(ef=zvec.effort))
        return [int(hit.id) for hit in collection.query(query, topk=LIMIT)]

    zvec.effort = ef
    return ask


def seismic(base: Matrix, folder: Path) -> Any:
    """Seismic (Bruch et al. 2024): clustered lists, approximate."""
    from seismic import SeismicDataset, SeismicIndex, get_seismic_string

    names = np.array([str(word) for word in range(WORDS)], dtype=get_seismic_string())
    dataset = SeismicDataset()
    for at in range(len(base[0]) - 1):
        indices, values = row(base, at)
        dataset.add_document(str(at), names[indices], values)
    index = SeismicIndex.build_from_dataset(dataset, n_postings=4_000, centroid_fraction=0.1, min_cluster_size=2, summary_energy=0.4)
    return index, names


def measure(ask: Callable[[Any, Any], list[int]], asked: Matrix, truth: np.ndarray) -> dict[str, float]:
    given = [tuple(part.tolist() for part in row(asked, at)) for at in range(len(truth))]
    found = sum(len(set(ask(*query)) & set(best.tolist())) for query, best in zip(given, truth))
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for query in given:
            ask(*query)
        times.append(time.thread_time() - start)
    return {"recall": found / truth.size, "qps": len(given) / min(times)}


def peers(data: Path) -> dict[str, Any]:
    base, asked, truth = load(data, ""), load(data, "query_"), np.load(data / "truth.npy")
    results: dict[str, Any] = {}

    def scan(indices: Any, values: Any) -> list[int]:
        scores = products(base, (np.array(indices), np.array(values, dtype=np.float32)))
        best = np.argpartition(-scores, LIMIT)[:LIMIT]
        return best.tolist()

    results["numpy scan"] = measure(scan, tuple_head(asked, 50), truth[:50])
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        ask = edge(base, Path(folder))
        built = time.process_time() - start
        results["qdrant-edge"] = {**measure(ask, asked, truth), "build_cpu_s": built}
        print(results, file=sys.stderr)
        try:
            start = time.process_time()
            ask = zvec(base, Path(folder), 64)
            built = time.process_time() - start
            import zvec as module

            for ef in (16, 32, 64, 128, 256, 512):
                module.effort = ef
                results[f"zvec ef {ef}"] = {**measure(ask, asked, truth), "build_cpu_s": built}
        except Exception as error:  # noqa: BLE001 - a peer that cannot do it is said so
            results["zvec"] = {"error": str(error)[:200]}
        print(results, file=sys.stderr)
        try:
            start = time.process_time()
            index, names = seismic(base, Path(folder))
            built = time.process_time() - start
            for cut, factor in ((3, 0.9), (5, 0.8), (8, 0.7), (12, 0.6), (20, 0.5)):

                def lookup(indices: Any, values: Any, cut: int = cut, factor: float = factor) -> list[int]:
                    query = np.array(values, dtype=np.float32)
                    hits = index.search("q", names[indices], query, k=LIMIT, query_cut=cut, heap_factor=factor)
                    return [int(hit[2]) for hit in hits]

                results[f"seismic cut {cut} heap {factor}"] = {**measure(lookup, asked, truth), "build_cpu_s": built}
        except Exception as error:  # noqa: BLE001
            results["seismic"] = {"error": str(error)[:200]}
    return results


def tuple_head(matrix: Matrix, rows: int) -> Matrix:
    return matrix[0][: rows + 1], matrix[1], matrix[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--ours", type=Path, help="the built `kinds` binary; left out, only peers are asked")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not (arguments.data / "truth.npy").exists():
        generate(arguments.data, arguments.points, arguments.queries)
    results = peers(arguments.data)
    if arguments.ours:
        answer = subprocess.run([arguments.ours, "sparse", "--data", arguments.data, "--json"], check=True, capture_output=True, text=True)
        results["vectordb"] = json.loads(answer.stdout)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1))
    for name, result in results.items():
        print(name, {key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()})


if __name__ == "__main__":
    main()
