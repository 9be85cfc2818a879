"""The stock client of Qdrant over the engine in this process: no server, no socket.

``client("docs.vdb")`` is a ``qdrant_client.QdrantClient`` like any other, so that whatever takes one works: langchain-qdrant,
llama-index-vector-stores-qdrant, qdrant-haystack. What it writes is durable and indexed, and a server can serve the directory later.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from .errors import InvalidConfig, MissingDependency

try:
    import httpx
    from qdrant_client import AsyncQdrantClient, QdrantClient as StockClient
except ImportError as error:
    raise MissingDependency("vectordb.qdrant needs the package qdrant-client: pip install 'vectordb-py[qdrant]'") from error

from . import _native

_URL = "http://vectordb.invalid"
_TRANSPORT = "_vectordb_transport"


class _Shared:
    """A service with the number of clients that have it open; the last one closes it."""

    def __init__(self, path: str | None) -> None:
        self._service = _native.Service(path)
        self._clients = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self._clients += 1

    def leave(self) -> None:
        with self._lock:
            self._clients -= 1
            is_last = self._clients == 0
        if is_last:
            self._service.close()

    def handle(self, request: httpx.Request, body: bytes) -> httpx.Response:
        target = request.url.raw_path.decode("ascii")
        status, content_type, answer = self._service.handle(request.method, target, body)
        return httpx.Response(status, headers={"content-type": content_type}, content=answer)


class Transport(httpx.BaseTransport):
    """Takes requests of httpx to the engine in this process."""

    def __init__(self, shared: _Shared) -> None:
        self.shared = shared
        self._open = True
        shared.add()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answers a request on the calling thread."""
        return self.shared.handle(request, request.read())

    def close(self) -> None:
        """Lets go of the engine; the last client that does so closes it."""
        if self._open:
            self._open = False
            self.shared.leave()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for asynchronous clients; the engine works on other threads."""

    def __init__(self, shared: _Shared) -> None:
        self.shared = shared
        self._open = True
        shared.add()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answers a request on another thread."""
        body = await request.aread()
        return await asyncio.to_thread(self.shared.handle, request, body)

    async def aclose(self) -> None:
        """Lets go of the engine; the last client that does so closes it."""
        if self._open:
            self._open = False
            self.shared.leave()


class QdrantClient(StockClient):
    """The stock client, and what our server takes beyond it: ``shard_number`` in :meth:`update_collection`."""

    def update_collection(self, collection_name: str, *args: Any, shard_number: int | None = None, **kwargs: Any) -> bool:
        """As the stock client does, and with ``shard_number`` changes how many shards the collection has."""
        changed = True
        if args or kwargs:
            changed = super().update_collection(collection_name, *args, **kwargs)
        if shard_number is None:
            return changed
        request = {"params": {"shard_number": shard_number}}
        path = {"collection_name": collection_name}
        answer = self.http.client.request(
            type_=dict, method="PATCH", url="/collections/{collection_name}", path_params=path, json=request
        )
        return changed and bool(answer["result"])


def client(path: str | os.PathLike[str] | StockClient | AsyncQdrantClient | None = None, **options: Any) -> QdrantClient:
    """A client over a directory, which is made if it is not there; without one, over a database in memory.

    Given another client of this module, it has the same database open. ``options`` are those of the stock client, but for addresses.
    """
    transport = Transport(_shared(path))
    made = QdrantClient(url=_URL, port=None, prefer_grpc=False, check_compatibility=False, transport=transport, **options)
    setattr(made, _TRANSPORT, transport)
    return made


def async_client(path: str | os.PathLike[str] | StockClient | AsyncQdrantClient | None = None, **options: Any) -> AsyncQdrantClient:
    """The asynchronous client, in the same way."""
    transport = AsyncTransport(_shared(path))
    made = AsyncQdrantClient(url=_URL, port=None, prefer_grpc=False, check_compatibility=False, transport=transport, **options)
    setattr(made, _TRANSPORT, transport)
    return made


def _shared(path: Any) -> _Shared:
    if isinstance(path, (StockClient, AsyncQdrantClient)):
        transport = getattr(path, _TRANSPORT, None)
        if transport is None:
            raise InvalidConfig("this client is not one of vectordb.qdrant")
        shared: _Shared = transport.shared
        return shared
    return _Shared(None if path is None else os.fspath(path))
