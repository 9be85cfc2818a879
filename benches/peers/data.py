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
        base, queries = (np.load(folder / f"{name}.npy").astype(np.float32) for name in ("base", "queries"))
        if meta["metric"] == "cosine":
            base, queries = normalised(base), normalised(queries)
        truth = np.load(folder / "gt_ids.npy")[:, :LIMIT]
        return cls(folder.name, meta["metric"], base, queries, truth, np.load(folder / "attrs.npy"))

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return self.base.shape[1]


@dataclass
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
    """Eight windows of equal width, spread over the attribute's range."""
    width = selectivity * ATTRIBUTE_RANGE
    starts = [int(n * (ATTRIBUTE_RANGE - width) / (WINDOWS - 1)) for n in range(WINDOWS)]
    return [Window(column, start, start + int(width)) for start in starts]


def exact(data: Dataset, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The nearest rows among some, by comparing with all of them."""
    some = data.base[rows]
    products = queries @ some.T
    scores = products if data.metric == "cosine" else 2 * products - (some * some).sum(axis=1)
    best = np.argsort(-scores, axis=1)[:, :LIMIT]
    return rows[best]


def recall(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Share of the true neighbours that were found."""
    hits = sum(len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, truth))
    return hits / max(1, sum(len(b) for b in truth))


def normalised(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
