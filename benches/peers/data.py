"""Sets of vectors on disk, and the exact answers to filtered queries over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIMIT = 10
WINDOWS = 8
SELECTIVITIES = (0.5, 0.1, 0.01, 0.001)
KINDS = ("random", "correlated")
ATTRIBUTE_RANGE = 1_000_000
FILTERED_QUERIES = 200
BLOCK_ROWS = 50_000


@dataclass
class Dataset:
    """`base` and `queries` are row-major float32; `attributes` has a column for each of `KINDS`."""

    name: str
    metric: str
    base: np.ndarray
    queries: np.ndarray
    truth: np.ndarray
    attributes: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Dataset:
        """Reads base.npy, queries.npy, gt_ids.npy, attrs.npy and meta.json."""
        meta = json.loads((folder / "meta.json").read_text())
        base, queries = (np.load(folder / f"{name}.npy").astype(np.float32, copy=False) for name in ("base", "queries"))
        if meta["metric"] == "cosine":
            # Some engines only know inner products.
            normalise(base)
            normalise(queries)
        truth = np.load(folder / "gt_ids.npy")[:, :LIMIT]
        return cls(folder.name, meta["metric"], base, queries, truth, np.load(folder / "attrs.npy"))

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return self.base.shape[1]

    def first(self, rows: int) -> Dataset:
        """A copy of the first rows, with the same queries."""
        return Dataset(self.name, self.metric, self.base[:rows].copy(), self.queries, self.truth, self.attributes[:rows].copy())


@dataclass(frozen=True)
class Window:
    """A range of an attribute, `low` included and `high` not."""

    column: int
    low: int
    high: int

    def rows(self, data: Dataset) -> np.ndarray:
        """Rows inside the window."""
        values = data.attributes[:, self.column]
        return np.flatnonzero((values >= self.low) & (values < self.high))


def windows(column: int, selectivity: float) -> list[Window]:
    """Eight windows of equal width, spread over the attribute's range; query n asks in window n % 8, as in `recall.rs`."""
    width = selectivity * ATTRIBUTE_RANGE
    starts = [int(n * (ATTRIBUTE_RANGE - width) / (WINDOWS - 1)) for n in range(WINDOWS)]
    return [Window(column, start, start + int(width)) for start in starts]


def exact(data: Dataset, rows: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    """The nearest rows among some, by comparing with all of them, block by block."""
    best_rows = np.empty((len(queries), 0), dtype=np.int64)
    best_scores = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        some = data.base[block]
        scores = queries @ some.T
        if data.metric == "l2":
            scores = 2 * scores - (some * some).sum(axis=1)
        best_scores = np.concatenate([best_scores, scores], axis=1)
        best_rows = np.concatenate([best_rows, np.broadcast_to(block, scores.shape)], axis=1)
        order = np.argsort(-best_scores, axis=1, kind="stable")[:, :LIMIT]
        best_scores, best_rows = (np.take_along_axis(values, order, axis=1) for values in (best_scores, best_rows))
    return list(best_rows)


def filtered_truth(data: Dataset, queries: np.ndarray, choice: list[Window]) -> list[np.ndarray]:
    """The exact answer to each query inside its window."""
    truth: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(queries)
    for number, window in enumerate(choice):
        mine = list(range(number, len(queries), len(choice)))
        for query, rows in zip(mine, exact(data, window.rows(data), queries[mine])):
            truth[query] = rows
    return truth


def recall(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Share of the true neighbours that were found."""
    hits = sum(len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, truth))
    return hits / max(1, sum(len(b) for b in truth[: len(found)]))


def normalise(rows: np.ndarray) -> None:
    """Brings rows to length 1, in place and in blocks, as the copy of a large set would count as memory."""
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-30)
