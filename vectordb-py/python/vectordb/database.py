"""A directory of collections, or one in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, TypeAlias, Union

from . import _native, _tables
from .collection import Collection
from .errors import CollectionNotFound, Forked, InvalidConfig
from .params import Distance, SparseVectorParams, VectorParams

StrPath: TypeAlias = Union[str, "os.PathLike[str]"]
Durability: TypeAlias = Literal["sync", "os", "none"]
"""What a write that returned survives: loss of power, the death of the process, or neither."""


class Database:
    """An open database; made by :func:`vectordb.open`. It can be used from any number of threads, and ``with`` closes it."""

    __slots__ = ("__weakref__", "_native", "_path", "_read_only")

    def __init__(self, path: StrPath | None, *, read_only: bool, create: bool, threads: int | None, memory_limit: int | None) -> None:
        self._path = None if path is None else os.fspath(path)
        self._read_only = read_only
        self._native = _native.Database(
            self._path, read_only=read_only, create=create, threads=0 if threads is None else threads, memory_limit=memory_limit
        )

    @property
    def path(self) -> str | None:
        """The directory; ``None`` in memory."""
        return self._path

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading beside a writer."""
        return self._read_only

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._native.closed

    def create_collection(
        self,
        name: str,
        dim: int | None = None,
        *,
        distance: Distance = "cosine",
        vectors: Mapping[str, VectorParams] | None = None,
        sparse: Mapping[str, SparseVectorParams] | None = None,
        hnsw: Mapping[str, Any] | None = None,
        quantization: Mapping[str, Any] | None = None,
        on_disk: bool | None = None,
        durability: Durability = "sync",
        ttl_field: str | None = None,
        config: Mapping[str, Any] | None = None,
        exist_ok: bool = False,
    ) -> Collection:
        """Makes a collection: of one unnamed vector of ``dim`` dimensions, or of ``vectors`` and ``sparse`` vectors by name.

        ``hnsw``, ``quantization`` and whatever else is in ``config`` have the JSON form of the Qdrant API. With ``exist_ok`` a
        collection that is there already is opened, if it has the same vectors.
        """
        dense = dict(vectors or {})
        if dim is not None:
            if "" in dense:
                raise InvalidConfig("give either dim or the unnamed vector in vectors")
            dense[""] = VectorParams(dim, distance, on_disk=on_disk)
        whole: dict[str, Any] = {
            "vectors": {name: params.to_dict() for name, params in dense.items()},
            "sparse_vectors": {name: params.to_dict() for name, params in (sparse or {}).items()},
            "durability": durability,
        }
        optional = {"hnsw_config": hnsw, "quantization_config": quantization, "ttl_field": ttl_field}
        whole.update((key, value) for key, value in optional.items() if value is not None)
        whole.update(config or {})
        make = self._native.open_or_create if exist_ok else self._native.create_collection
        return Collection(make(name, whole))

    def collection(self, name: str) -> Collection:
        """The collection of this name; also ``db[name]``."""
        return Collection(self._native.collection(name))

    def drop_collection(self, name: str, *, missing_ok: bool = False) -> bool:
        """Removes a collection with all its files; whether there was one."""
        found = self._native.drop_collection(name)
        if not found and not missing_ok:
            raise CollectionNotFound(f"collection `{name}` does not exist")
        return found

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""
        return self._native.collections()

    def snapshot(self, name: str, file: StrPath) -> None:
        """Writes a collection to one file, which :meth:`restore` and the server read."""
        self._native.export(name, os.fspath(file))

    def restore(self, name: str, file: StrPath) -> Collection:
        """Makes a collection of a snapshot: a file of :meth:`snapshot` or of the server, or a directory of the engine.

        All of it is checked first.
        """
        return Collection(self._native.import_(name, os.fspath(file)))

    def refresh(self) -> None:
        """Shows what the writing process did since; for databases that are open read-only."""
        self._native.refresh()

    def memory(self) -> dict[str, Any]:
        """Memory by component, and of the process around it."""
        return self._native.memory()

    def close(self) -> None:
        """Gives the directory back. Its collections cannot be used any more; closing twice is no error."""
        self._native.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __getitem__(self, name: str) -> Collection:
        return self.collection(name)

    def __contains__(self, name: object) -> bool:
        return name in self.collections()

    def __iter__(self) -> Iterator[str]:
        return iter(self.collections())

    def __len__(self) -> int:
        return len(self.collections())

    def __repr__(self) -> str:
        place = "in memory" if self._path is None else repr(self._path)
        try:
            state = ", closed" if self.closed else f": {', '.join(self.collections()) or 'empty'}"
        except Forked:
            state = ", of the process that forked"
        return f"<vectordb.Database {place}{state}>"

    def _repr_html_(self) -> str:
        if self.closed:
            return _tables.table_html(["database"], [[repr(self)]])
        body = [self.collection(name)._summary() for name in self.collections()]
        return _tables.table_html(["collection", "points", "vectors", "status", "bytes on disk"], body)
