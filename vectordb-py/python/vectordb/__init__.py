"""An embedded vector database: open a directory, store points with vectors and payloads, search them by similarity and by filter.

    import numpy as np
    import vectordb
    from vectordb import F

    with vectordb.open("docs.vdb") as db:
        docs = db.create_collection("docs", dim=3, exist_ok=True)
        docs.upsert([1, 2], np.eye(2, 3, dtype="f4"), [{"lang": "en"}, {"lang": "de"}])
        for hit in docs.search([1.0, 0.0, 0.0], limit=5, filter=F("lang") == "en"):
            print(hit.id, hit.score, hit.payload)

The engine is that of the server, in this process: no server, no event loop, no telemetry. Everything that was acknowledged is durable.
The interpreter's lock is let go of whenever the engine works. :mod:`vectordb.qdrant` has the stock Qdrant client over it,
:mod:`vectordb.langchain`, :mod:`vectordb.llama_index` and :mod:`vectordb.haystack` its stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors, queries
from ._native import Hit, Hits, __version__
from .collection import BatchHits, Collection, Explanation, Group, Id, Point
from .database import Database, Durability, StrPath
from .errors import (
    Cancelled,
    Closed,
    CollectionExists,
    CollectionNotFound,
    Corrupted,
    DimensionMismatch,
    DiskFull,
    Error,
    Forked,
    InternalError,
    InvalidConfig,
    InvalidFilter,
    InvalidId,
    InvalidName,
    InvalidPayload,
    InvalidQuery,
    InvalidSnapshot,
    InvalidVector,
    IoError,
    LengthMismatch,
    LimitExceeded,
    Locked,
    MissingDependency,
    OutOfMemory,
    PointNotFound,
    Poisoned,
    ReadOnly,
    Timeout,
    Unsupported,
    VectorNotFound,
    WrongVectorKind,
)
from .filters import Expression, F, FilterLike, has_id, has_vector
from .params import Distance, SparseVectorParams, VectorParams

if TYPE_CHECKING:
    from .qdrant import QdrantClient as QdrantClient

__all__ = [
    "BatchHits",
    "Cancelled",
    "Closed",
    "Collection",
    "CollectionExists",
    "CollectionNotFound",
    "Corrupted",
    "Database",
    "DimensionMismatch",
    "DiskFull",
    "Distance",
    "Durability",
    "Error",
    "Explanation",
    "Expression",
    "F",
    "FilterLike",
    "Forked",
    "Group",
    "Hit",
    "Hits",
    "Id",
    "InternalError",
    "InvalidConfig",
    "InvalidFilter",
    "InvalidId",
    "InvalidName",
    "InvalidPayload",
    "InvalidQuery",
    "InvalidSnapshot",
    "InvalidVector",
    "IoError",
    "LengthMismatch",
    "LimitExceeded",
    "Locked",
    "MissingDependency",
    "OutOfMemory",
    "Point",
    "PointNotFound",
    "Poisoned",
    "ReadOnly",
    "SparseVectorParams",
    "StrPath",
    "Timeout",
    "Unsupported",
    "VectorNotFound",
    "VectorParams",
    "WrongVectorKind",
    "__version__",
    "errors",
    "has_id",
    "has_vector",
    "open",
    "queries",
]


def open(
    path: StrPath | None = None,
    *,
    read_only: bool = False,
    create: bool = True,
    threads: int | None = None,
    memory_limit: int | None = None,
) -> Database:
    """Opens a directory, which is made if it is not there; without a path, a database in memory.

    One process at a time has a directory open for writing. Any number of others may read it meanwhile with ``read_only=True``; they see
    what is there when they open it, and later what :meth:`Database.refresh` shows. ``threads`` are those for batches of searches and for
    builds, all processors if nothing is said; ``memory_limit`` is in bytes.
    """
    return Database(path, read_only=read_only, create=create, threads=threads, memory_limit=memory_limit)


def __getattr__(name: str) -> Any:
    # The client is an optional package, and slow to import.
    if name == "QdrantClient":
        from .qdrant import QdrantClient

        return QdrantClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
