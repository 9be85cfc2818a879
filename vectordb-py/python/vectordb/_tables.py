"""Tables of pandas, polars and pyarrow, in and out, and what notebooks show. Nothing of it is imported before it is needed."""

from __future__ import annotations

import html
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from .errors import MissingDependency

_SHOWN_ROWS = 20
_SHOWN_CHARACTERS = 80


def needed(module: str, package: str | None = None) -> Any:
    """An optional module."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependency(f"this needs the package {package or module}: pip install {package or module}") from error


class Columns:
    """A table as columns of ids, vectors and payloads."""

    def __init__(self, ids: Sequence[Any], vectors: dict[str, Any], payloads: Callable[[int, int], list[dict[str, Any]]]) -> None:
        self.ids = ids
        self.vectors = vectors
        self.payloads = payloads


def read(table: Any, id: str, vector: str | Mapping[str, str], payload: Sequence[str] | None) -> Columns:
    """Reads a table: the names of its columns, and for vectors with names which is in which."""
    vectors = {"": vector} if isinstance(vector, str) else dict(vector)
    names = [str(name) for name in _names(table)]
    rest = [name for name in names if name != id and name not in vectors.values()] if payload is None else list(payload)
    missing = [name for name in [id, *vectors.values(), *rest] if name not in names]
    if missing:
        raise KeyError(f"the table has no column {missing[0]!r}; it has {', '.join(names)}")
    module = type(table).__module__.partition(".")[0]
    if module == "pandas":
        return _from_pandas(table, id, vectors, rest)
    if module == "polars":
        return _from_polars(table, id, vectors, rest)
    return _from_arrow(needed("pyarrow").table(table), id, vectors, rest)


def _names(table: Any) -> Iterable[Any]:
    for attribute in ("column_names", "columns"):
        names = getattr(table, attribute, None)
        if names is not None and all(isinstance(name, str) for name in names):
            return list(names)
    if hasattr(table, "__arrow_c_stream__"):
        return list(needed("pyarrow").table(table).column_names)
    raise TypeError(f"a table is one of pandas, polars or pyarrow, or has __arrow_c_stream__; not {type(table).__name__}")


def _from_pandas(table: Any, id: str, vectors: dict[str, str], rest: list[str]) -> Columns:
    pandas = needed("pandas")

    def payloads(start: int, stop: int) -> list[dict[str, Any]]:
        rows = table[rest].iloc[start:stop].to_dict("records")
        return [{key: value for key, value in row.items() if not _is_missing(pandas, value)} for row in rows]

    return Columns(table[id].tolist(), {name: table[column].tolist() for name, column in vectors.items()}, payloads)


def _is_missing(pandas: Any, value: Any) -> bool:
    """Whether pandas has nothing there, which it tells by values of their own."""
    return value is None or (np.ndim(value) == 0 and not isinstance(value, (dict, str)) and bool(pandas.isna(value)))


def _from_polars(table: Any, id: str, vectors: dict[str, str], rest: list[str]) -> Columns:
    table = table.collect() if hasattr(table, "collect") else table

    def column(name: str) -> Any:
        series = table[name]
        is_array = type(series.dtype).__name__ == "Array" and series.null_count() == 0
        return series.to_numpy() if is_array else series.to_list()

    def payloads(start: int, stop: int) -> list[dict[str, Any]]:
        return _without_nulls(table.select(rest).slice(start, stop - start).to_dicts())

    return Columns(table[id].to_list(), {name: column(at) for name, at in vectors.items()}, payloads)


def _from_arrow(table: Any, id: str, vectors: dict[str, str], rest: list[str]) -> Columns:
    arrow = needed("pyarrow")

    def column(name: str) -> Any:
        values = table[name].combine_chunks()
        if arrow.types.is_fixed_size_list(values.type) and values.null_count == 0 and len(values):
            flat = values.flatten()
            if flat.null_count == 0:
                return flat.to_numpy(zero_copy_only=False).reshape(len(values), values.type.list_size)
        return values.to_pylist()

    def payloads(start: int, stop: int) -> list[dict[str, Any]]:
        return _without_nulls(table.select(rest).slice(start, stop - start).to_pylist())

    return Columns(table[id].to_pylist(), {name: column(at) for name, at in vectors.items()}, payloads)


def _without_nulls(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def rows(hits: Any) -> list[dict[str, Any]]:
    """Hits as rows: id, score, and the payload."""
    return [{"id": hit.id, "score": hit.score, **(hit.payload or {})} for hit in hits]


def to_pandas(hits: Any) -> Any:
    return needed("pandas").DataFrame(rows(hits), columns=None if len(hits) else ["id", "score"])


def to_polars(hits: Any) -> Any:
    return needed("polars").DataFrame(rows(hits), infer_schema_length=None)


def to_arrow(hits: Any) -> Any:
    return needed("pyarrow").Table.from_pylist(_same_keys(rows(hits)))


def points_to_arrow(points: Iterator[Any], vector: str) -> Any:
    """Stored points as a table, dense vectors as lists of a fixed size."""
    arrow = needed("pyarrow")
    stored = list(points)
    table = arrow.Table.from_pylist(_same_keys([{"id": point.id, **(point.payload or {})} for point in stored]))
    first = next((point.vector for point in stored if point.vector is not None), None)
    if first is None:
        return table
    if isinstance(first, np.ndarray) and first.ndim == 1 and all(point.vector is not None for point in stored):
        flat = arrow.array(np.concatenate([point.vector for point in stored]))
        return table.append_column(vector, arrow.FixedSizeListArray.from_arrays(flat, len(first)))
    return table.append_column(vector, arrow.array([_plain(point.vector) for point in stored]))


def _plain(vector: Any) -> Any:
    if isinstance(vector, dict):
        return {name: _plain(part) for name, part in vector.items()}
    return vector.tolist() if isinstance(vector, np.ndarray) else vector


def _same_keys(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = list(dict.fromkeys(key for row in found for key in row))
    return [{key: row.get(key) for key in keys} for row in found]


def hits_html(hits: Any) -> str:
    shown = list(islice(hits, _SHOWN_ROWS))
    keys = list(dict.fromkeys(key for hit in shown for key in (hit.payload or {})))
    body = [[hit.id, f"{hit.score:.4f}", *((hit.payload or {}).get(key, "") for key in keys)] for hit in shown]
    return table_html(["id", "score", *keys], body, len(hits) - len(shown))


def table_html(head: Sequence[Any], body: Iterable[Sequence[Any]], left: int = 0) -> str:
    """A table for notebooks."""
    heads = "".join(f"<th>{_cell(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in body)
    more = f"<p>and {left} more</p>" if left > 0 else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>{more}"


def _cell(value: Any) -> str:
    text = str(value)
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return html.escape(cut)
