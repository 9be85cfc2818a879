"""What the tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import vectordb
from vectordb import Collection, Database

# Tests call nobody.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["LANGSMITH_TRACING"] = "false"

DIM = 8


def rows(count: int, seed: int = 1, dim: int = DIM) -> npt.NDArray[np.float32]:
    """Random vectors."""
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.vdb"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    with vectordb.open(path) as opened:
        yield opened


@pytest.fixture
def docs(db: Database) -> Collection:
    """A collection of 100 points with payloads."""
    made = db.create_collection("docs", DIM)
    payloads = [{"n": n, "lang": ("en", "de", "fr")[n % 3], "tags": [f"t{n % 5}", "all"]} for n in range(100)]
    made.upsert(range(100), rows(100), payloads)
    return made
