"""The points of one name."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar, Union, cast, overload

import numpy as np

from . import _native, _tables
from ._native import Hit, Hits
from ._progress import Progress
from .filters import FilterLike
from .params import SparseVectorParams, VectorParams

if TYPE_CHECKING:
    import numpy.typing as npt

Id: TypeAlias = Union[int, str, uuid.UUID]
"""An id: an integer from 0 to 2**64 - 1, a UUID, or any other text of 1 to 256 bytes."""

IndexKind: TypeAlias = Literal["keyword", "integer", "float", "bool", "datetime", "uuid", "geo", "text"]
Mode: TypeAlias = Literal["upsert", "insert", "update"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_PROGRESS_BATCH = 1000
_PROGRESS_SECONDS = 0.2


class Point(NamedTuple):
    """A stored point; what was not asked for is ``None``."""

    id: int | str
    payload: dict[str, Any] | None
    vector: Any
    """An array; a dict of ``indices`` and ``values`` if it is sparse; a dict by name if there are several."""
    order_value: Any = None


class Group(NamedTuple):
    """Hits that share a value."""

    value: Any
    hits: Hits
    lookup: Point | None


@dataclass(frozen=True)
class Explanation:
    """How a query was answered."""

    hits: Hits
    searches: list[dict[str, Any]]
    """For each search the way through each segment, with what was computed there."""
    advice: list[str]
    """What would make it faster."""
    seconds: float

    def __str__(self) -> str:
        lines = [f"{len(self.hits)} hits in {self.seconds * 1000:.2f} ms"]
        for search in self.searches:
            for segment in search["segments"]:
                work = ", ".join(f"{count} {what}" for what, count in segment["work"].items() if count)
                lines.append(f"  {segment['rows']} rows: {segment['way']}, {work or 'nothing computed'}")
        return "\n".join([*lines, *(f"advice: {advice}" for advice in self.advice)])


class BatchHits(Sequence[Hits]):
    """The hits of many searches, in the order of the queries."""

    __slots__ = ("_found",)

    def __init__(self, found: list[Hits]) -> None:
        self._found = found

    @property
    def ids(self) -> npt.NDArray[Any]:
        """Ids as an array, a row for each query: of ``uint64`` where all are numbers, otherwise of objects. Rows with fewer hits end
        with ``None``."""
        width = max((len(hits) for hits in self._found), default=0)
        rows: list[list[Any]] = [[*hits.ids, *[None] * (width - len(hits))] for hits in self._found]
        if rows and all(type(id) is int for row in rows for id in row):
            return np.array(rows, np.uint64).reshape(len(rows), width)
        array = np.empty((len(rows), width), object)
        array[:] = rows
        return array

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Scores as an array, a row for each query. Rows with fewer hits end with NaN."""
        width = max((len(hits) for hits in self._found), default=0)
        array = np.full((len(self._found), width), np.nan, np.float32)
        for row, hits in enumerate(self._found):
            array[row, : len(hits)] = hits.scores
        return array

    @overload
    def __getitem__(self, at: int) -> Hits: ...
    @overload
    def __getitem__(self, at: slice) -> BatchHits: ...
    def __getitem__(self, at: int | slice) -> Hits | BatchHits:
        return BatchHits(self._found[at]) if isinstance(at, slice) else self._found[at]

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"BatchHits of {len(self._found)} queries"


def _in_thread(
    method: Callable[Concatenate[Collection, _P], _T],
) -> Callable[Concatenate[Collection, _P], Coroutine[Any, Any, _T]]:
    """The same on another thread, for programs with an event loop. The engine works without the interpreter's lock."""

    async def run(self: Collection, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    run.__name__ = run.__qualname__ = "a" + method.__name__
    run.__doc__ = f"As :meth:`{method.__name__}`, on another thread."
    return run


class Collection:
    """A collection of points; made by :meth:`Database.create_collection` or ``db[name]``. It can be used from any number of threads."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Collection) -> None:
        self._native = native

    @property
    def name(self) -> str:
        """The name."""
        return self._native.name

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, in the JSON form of the Qdrant API."""
        return self._native.config()

    @property
    def dim(self) -> int | None:
        """Dimensions of the unnamed vector, if there is one."""
        unnamed = self.config["vectors"].get("")
        return None if unnamed is None else cast(int, unnamed["size"])

    @property
    def distance(self) -> str | None:
        """The distance of the unnamed vector, if there is one."""
        unnamed = self.config["vectors"].get("")
        return None if unnamed is None else cast(str, unnamed["distance"]).lower()

    def info(self) -> dict[str, Any]:
        """Points, segments, indexes, bytes, and what goes on in the background."""
        return self._native.info()

    # Writing

    def upsert(
        self,
        ids: Sequence[Id] | npt.NDArray[Any] | Iterable[Id],
        vectors: Any,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        mode: Mode = "upsert",
        batch_size: int | None = None,
        progress: bool = False,
    ) -> int:
        """Writes points, and returns how many.

        ``vectors`` is an array with a row for each id (32-bit floats in rows are taken as they are), a sequence of vectors, or a dict of
        these by the names of the collection's vectors; a sparse vector is a dict of ``indices`` and ``values``, ``None`` is none.
        ``mode="insert"`` leaves points alone that exist, ``"update"`` passes over those that do not.

        Either all points are written or, if one of them is wrong, none. With ``batch_size``, and with ``progress``, that holds for each
        batch.
        """
        named = vectors if isinstance(vectors, dict) and not {"indices", "values"} <= vectors.keys() else {"": vectors}
        if batch_size is None and not progress:
            return self._native.upsert(ids, named, payloads, mode)
        ids = ids if isinstance(ids, np.ndarray) else list(ids)
        columns = {name: column if hasattr(column, "__getitem__") else list(column) for name, column in named.items()}
        given = None if payloads is None else list(payloads)
        self._check_lengths(len(ids), columns, given)

        def payload_batch(start: int, stop: int) -> list[Any] | None:
            return None if given is None else given[start:stop]

        return self._upsert_batches(ids, columns, payload_batch, mode, _PROGRESS_BATCH if batch_size is None else batch_size, progress)

    def upsert_table(
        self,
        table: Any,
        *,
        id: str = "id",
        vector: str | Mapping[str, str] = "vector",
        payload: Sequence[str] | None = None,
        mode: Mode = "upsert",
        batch_size: int | None = None,
        progress: bool = False,
    ) -> int:
        """Writes the rows of a table of pandas, polars or pyarrow, or of whatever has ``__arrow_c_stream__``.

        ``vector`` names the column of vectors, or is a dict of such columns by the names of the collection's vectors. ``payload`` names
        the columns that go into payloads, otherwise all others do; nulls are left out. Batches are as in :meth:`upsert`.
        """
        columns = _tables.read(table, id, vector, payload)
        count = len(columns.ids)
        if batch_size is None and not progress:
            return self._native.upsert(columns.ids, columns.vectors, columns.payloads(0, count), mode)
        return self._upsert_batches(columns.ids, columns.vectors, columns.payloads, mode, _PROGRESS_BATCH if batch_size is None else batch_size, progress)

    def _upsert_batches(
        self,
        ids: Any,
        vectors: Mapping[str, Any],
        payloads: Callable[[int, int], list[Any] | None],
        mode: Mode,
        size: int,
        shown: bool,
    ) -> int:
        if size < 1:
            raise ValueError(f"batch_size is at least 1, not {size}")
        with Progress(len(ids), f"writing to {self.name}", shown) as progress:
            for start in range(0, len(ids), size):
                stop = min(start + size, len(ids))
                batch = {name: column[start:stop] for name, column in vectors.items()}
                try:
                    self._native.upsert(ids[start:stop], batch, payloads(start, stop), mode)
                except Exception as error:
                    row = getattr(error, "row", None)
                    if row is not None:
                        error.row = start + row  # type: ignore[attr-defined]
                        # On Python 3.10 there are no notes.
                        getattr(error, "add_note", lambda _: None)(f"row {start + row} of all; the {start} before the batch are written")
                    raise
                progress.reach(stop)
        return len(ids)

    @staticmethod
    def _check_lengths(count: int, columns: Mapping[str, Any], payloads: Sequence[Any] | None) -> None:
        from .errors import LengthMismatch

        for name, column in columns.items():
            if len(column) != count:
                raise LengthMismatch(f"{len(column)} vectors{f' `{name}`' if name else ''} for {count} ids")
        if payloads is not None and len(payloads) != count:
            raise LengthMismatch(f"{len(payloads)} payloads for {count} ids")

    def update_vectors(self, ids: Iterable[Id], vectors: Any) -> None:
        """Replaces vectors of points that exist; others they have, and their payloads, stay."""
        named = vectors if isinstance(vectors, dict) and not {"indices", "values"} <= vectors.keys() else {"": vectors}
        self._native.update_vectors(ids, named)

    def delete_vectors(self, names: Sequence[str], *, ids: Iterable[Id] | None = None, filter: FilterLike | None = None) -> None:
        """Removes vectors by their names from points."""
        self._native.delete_vectors(list(names), ids, filter)

    def delete(self, ids: Iterable[Id] | None = None, *, filter: FilterLike | None = None) -> None:
        """Removes points; ids that do not exist are passed over."""
        self._native.delete(ids, filter)

    def set_payload(
        self,
        payload: Mapping[str, Any],
        *,
        ids: Iterable[Id] | None = None,
        filter: FilterLike | None = None,
        key: str | None = None,
        replace: bool = False,
    ) -> None:
        """Merges keys into the payloads of points, or into the object at ``key``; with ``replace`` this takes its place."""
        self._native.change_payload("overwrite" if replace else "set", ids, filter, payload, [] if key is None else [key])

    def delete_payload(self, keys: Sequence[str], *, ids: Iterable[Id] | None = None, filter: FilterLike | None = None) -> None:
        """Removes keys, or paths, from the payloads of points."""
        self._native.change_payload("delete", ids, filter, None, list(keys))

    def clear_payload(self, *, ids: Iterable[Id] | None = None, filter: FilterLike | None = None) -> None:
        """Empties the payloads of points."""
        self._native.change_payload("clear", ids, filter, None, [])

    # Asking

    def search(
        self,
        query: Any = None,
        limit: int = 10,
        *,
        near: Id | None = None,
        filter: FilterLike | None = None,
        using: str = "",
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        score_threshold: float | None = None,
        offset: int = 0,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
        timeout: float | None = None,
    ) -> Hits:
        """The points nearest to a vector, or with ``near`` to a stored point, best first.

        ``recall`` is the share of the true nearest points that is to be found, ``ef`` the length of the list of candidates instead;
        with ``exact`` every point is compared. ``timeout`` is in seconds.
        """
        return self._native.search(
            query,
            near,
            {
                "limit": limit,
                "offset": offset,
                "using": using,
                "filter": filter,
                "ef": ef,
                "recall": recall,
                "exact": exact,
                "score_threshold": score_threshold,
                "with_payload": with_payload,
                "with_vectors": with_vectors,
                "timeout": timeout,
            },
        )

    def search_batch(
        self,
        queries: Any,
        limit: int = 10,
        *,
        filter: FilterLike | None = None,
        using: str = "",
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        score_threshold: float | None = None,
        offset: int = 0,
        with_payload: bool | Sequence[str] = False,
        with_vectors: bool | Sequence[str] = False,
        timeout: float | None = None,
    ) -> BatchHits:
        """The same for each row of an array or each vector of a sequence, on all processors. Payloads come when asked for."""
        found = self._native.search_batch(
            queries,
            {
                "limit": limit,
                "offset": offset,
                "using": using,
                "filter": filter,
                "ef": ef,
                "recall": recall,
                "exact": exact,
                "score_threshold": score_threshold,
                "with_payload": with_payload,
                "with_vectors": with_vectors,
                "timeout": timeout,
            },
        )
        return BatchHits(found)

    def query(
        self,
        query: Any = None,
        limit: int = 10,
        *,
        prefetch: Sequence[Mapping[str, Any]] | Mapping[str, Any] = (),
        filter: FilterLike | None = None,
        using: str = "",
        params: Mapping[str, Any] | None = None,
        score_threshold: float | None = None,
        offset: int = 0,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
        lookup_from: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Hits:
        """A query of any kind: one of :mod:`vectordb.queries`, its JSON form, a model of the Qdrant client, or a vector.

        Without a query the points come in the order of their ids.
        """
        request = _request(query, prefetch, filter, using, params, score_threshold, limit, offset, with_payload, with_vectors, lookup_from)
        return self._native.query(request, timeout)

    def explain(
        self,
        query: Any = None,
        limit: int = 10,
        *,
        prefetch: Sequence[Mapping[str, Any]] | Mapping[str, Any] = (),
        filter: FilterLike | None = None,
        using: str = "",
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        params: Mapping[str, Any] | None = None,
        count_matches: bool = False,
    ) -> Explanation:
        """Answers a query and tells how. ``count_matches`` also counts the points that satisfy the filter."""
        given = {"hnsw_ef": ef, "recall": recall, "exact": exact or None}
        params = {**(params or {}), **{name: value for name, value in given.items() if value is not None}}
        request = _request(query, prefetch, filter, using, params or None, None, limit, 0, False, False, None)
        searches, advice, seconds, hits = self._native.explain(request, count_matches)
        return Explanation(hits, searches, advice, seconds)

    def groups(
        self,
        by: str,
        query: Any = None,
        limit: int = 10,
        *,
        group_size: int = 3,
        prefetch: Sequence[Mapping[str, Any]] | Mapping[str, Any] = (),
        filter: FilterLike | None = None,
        using: str = "",
        params: Mapping[str, Any] | None = None,
        score_threshold: float | None = None,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
        with_lookup: str | Mapping[str, Any] | None = None,
    ) -> list[Group]:
        """A query whose hits come in groups that share a value of a field, in the order of their best hits."""
        request = _request(query, prefetch, filter, using, params, score_threshold, limit, 0, with_payload, with_vectors, None)
        request.update(group_by=by, group_size=group_size)
        if with_lookup is not None:
            request["with_lookup"] = with_lookup
        found = self._native.groups(request)
        return [Group(value, hits, None if lookup is None else Point(*lookup)) for value, hits, lookup in found]

    def facet(self, key: str, *, filter: FilterLike | None = None, limit: int = 10, exact: bool = False) -> dict[Any, int]:
        """The most frequent values of a field, with how many points have them."""
        request = {"key": key, "filter": _filter(filter), "limit": limit, "exact": exact}
        return dict(self._native.facet(request))

    def distance_matrix(
        self, sample: int = 10, limit: int = 3, *, filter: FilterLike | None = None, using: str = ""
    ) -> list[tuple[int | str, int | str, float]]:
        """The nearest neighbours of a sample of points among themselves: two ids and a score each."""
        request = {"sample": sample, "limit": limit, "using": using, "filter": _filter(filter)}
        return self._native.distance_matrix(request)

    def get(
        self, ids: Iterable[Id], *, with_payload: bool | Sequence[str] = True, with_vectors: bool | Sequence[str] = False
    ) -> list[Point | None]:
        """Points by their ids, in this order, ``None`` for those that do not exist."""
        wanted = ids if isinstance(ids, np.ndarray) else list(ids)
        found = {parts[0]: Point(*parts) for parts in self._native.retrieve(wanted, with_payload, with_vectors)}
        return [found.get(_plain_id(id)) for id in wanted]

    def scroll(
        self,
        *,
        filter: FilterLike | None = None,
        limit: int | None = None,
        order_by: str | Mapping[str, Any] | None = None,
        batch_size: int = 1000,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> Iterator[Point]:
        """Walks over points in the order of their ids, or of a field that has a range index.

        A walk by id sees each batch as it is when the walk comes there; one by a field needs a ``limit``, and sees one moment.
        """
        step = {"filter": filter, "offset": None, "order_by": order_by, "with_payload": with_payload, "with_vectors": with_vectors}
        if order_by is not None:
            if limit is None:
                raise ValueError("a walk by a field needs a limit")
            parts, _ = self._native.scroll({**step, "limit": limit})
            return (Point(*each) for each in parts)
        walk = self._walk({**step, "limit": batch_size})
        return walk if limit is None else islice(walk, limit)

    def _walk(self, step: dict[str, Any]) -> Iterator[Point]:
        while True:
            parts, offset = self._native.scroll(step)
            for each in parts:
                yield Point(*each)
            if offset is None:
                return
            step = {**step, "offset": offset}

    def count(self, filter: FilterLike | None = None, *, exact: bool = True) -> int:
        """How many points there are, or satisfy a filter; about how many if not ``exact``."""
        return self._native.count(filter, exact)

    # Tending

    def create_index(self, field: str, kind: IndexKind, **options: Any) -> None:
        """Indexes a field, so that filters on it are fast; ``options`` are those of the Qdrant API for this kind."""
        self._native.create_index(field, {"type": kind, **options})

    def drop_index(self, field: str) -> None:
        """Drops the index of a field, if there is one."""
        self._native.drop_index(field)

    def create_vector(self, name: str, params: VectorParams | SparseVectorParams) -> None:
        """Adds a named vector; no point has it yet."""
        self._native.create_vector(name, params.to_dict(), isinstance(params, SparseVectorParams))

    def drop_vector(self, name: str) -> None:
        """Removes a named vector from the collection and from every point."""
        self._native.drop_vector(name)

    def update_config(self, **changes: Any) -> None:
        """Changes the configuration, in the JSON form of the Qdrant API: ``update_config(hnsw_config={"m": 32})``."""
        self._native.update_config(changes)

    def optimize(self, *, progress: bool = False) -> None:
        """Builds and merges until nothing is left to do. It happens by itself in the background as well; reads and writes go on."""
        if not progress:
            self._native.optimize()
            return
        failure: list[BaseException] = []

        def run() -> None:
            try:
                self._native.optimize()
            except BaseException as error:
                failure.append(error)

        worker = threading.Thread(target=run, name="vectordb optimize")
        with Progress(self.count(), f"optimizing {self.name}", True) as shown:
            worker.start()
            while worker.is_alive():
                worker.join(_PROGRESS_SECONDS)
                job = self.info()["running_job"]
                if job is not None:
                    shown.reach(job["done"], job["total"])
        if failure:
            raise failure[0]

    def verify(self) -> None:
        """Reads every file and checks every checksum."""
        self._native.verify()

    def to_arrow(self, *, filter: FilterLike | None = None, with_vectors: bool = True, vector: str = "vector") -> Any:
        """All points, or those of a filter, as a ``pyarrow.Table``."""
        return _tables.points_to_arrow(self.scroll(filter=filter, with_vectors=with_vectors), vector)

    asearch = _in_thread(search)
    asearch_batch = _in_thread(search_batch)
    aquery = _in_thread(query)
    agroups = _in_thread(groups)
    aget = _in_thread(get)
    acount = _in_thread(count)
    aupsert = _in_thread(upsert)
    adelete = _in_thread(delete)
    aset_payload = _in_thread(set_payload)
    aoptimize = _in_thread(optimize)

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True

    def __contains__(self, id: object) -> bool:
        return bool(self._native.retrieve([id], False, False))

    def __repr__(self) -> str:
        try:
            name, points, vectors, status, _ = self._summary()
        except Exception as error:
            return f"<vectordb.Collection: {error}>"
        return f"<vectordb.Collection {name!r}: {points} points, {vectors}, {status}>"

    def _repr_html_(self) -> str:
        head = ["collection", "points", "vectors", "status", "bytes on disk"]
        return _tables.table_html(head, [self._summary()])

    def _summary(self) -> list[Any]:
        info = self.info()
        config = info["config"]
        dense = [f"{name or 'vector'}: {params['size']} {params['distance']}" for name, params in config["vectors"].items()]
        sparse = [f"{name}: sparse" for name in config.get("sparse_vectors", {})]
        return [self.name, info["points"], ", ".join([*dense, *sparse]) or "no vectors", info["status"], info["disk_bytes"]]


def _plain_id(id: Any) -> int | str:
    """An id as the engine gives it back."""
    if isinstance(id, uuid.UUID):
        return str(id)
    if isinstance(id, str):
        try:
            return str(uuid.UUID(id))
        except ValueError:
            return id
    return int(id)


def _filter(filter: FilterLike | None) -> Any:
    return _native.filter_json(filter) if isinstance(filter, str) else filter


def _request(
    query: Any,
    prefetch: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    filter: FilterLike | None,
    using: str,
    params: Mapping[str, Any] | None,
    score_threshold: float | None,
    limit: int,
    offset: int,
    with_payload: bool | Sequence[str],
    with_vectors: bool | Sequence[str],
    lookup_from: Mapping[str, str] | None,
) -> dict[str, Any]:
    """A query in its JSON form."""
    request: dict[str, Any] = {
        "query": query,
        "prefetch": prefetch if isinstance(prefetch, Mapping) else list(prefetch),
        "filter": _filter(filter),
        "using": using,
        "params": params,
        "score_threshold": score_threshold,
        "limit": limit,
        "offset": offset,
        "with_payload": with_payload if isinstance(with_payload, bool) else list(with_payload),
        "with_vector": with_vectors if isinstance(with_vectors, bool) else list(with_vectors),
        "lookup_from": lookup_from,
    }
    return {name: value for name, value in request.items() if value is not None}
