"""Filters as expressions: ``(F("lang") == "en") & (F("year") >= 2020)``."""

from __future__ import annotations

import datetime as _datetime
import uuid as _uuid
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias, Union, runtime_checkable

Json: TypeAlias = dict[str, Any]
Value: TypeAlias = Union[str, int, float, bool, _uuid.UUID, _datetime.datetime, _datetime.date, None]


@runtime_checkable
class FilterModel(Protocol):
    """A model of the Qdrant client, or anything else that dumps itself as a filter."""

    def model_dump(self) -> dict[str, Any]: ...


class Expression:
    """A condition on points. ``&``, ``|`` and ``~`` combine conditions; a condition is no ``bool``."""

    __slots__ = ("_filter",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, filter: Mapping[str, Any]) -> None:
        self._filter = dict(filter)

    def to_dict(self) -> Json:
        """The JSON form, which is that of the Qdrant API."""
        return self._filter

    def __and__(self, other: Expression) -> Expression:
        return Expression({"must": [*self._clauses("must"), *other._clauses("must")]})

    def __or__(self, other: Expression) -> Expression:
        return Expression({"should": [*self._clauses("should"), *other._clauses("should")]})

    def __invert__(self) -> Expression:
        return Expression({"must_not": [self._filter]})

    def __bool__(self) -> bool:
        raise TypeError("a condition has no truth value: combine conditions with &, | and ~ instead of and, or and not")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self._filter == other._filter

    def __repr__(self) -> str:
        return f"Expression({self._filter!r})"

    def _clauses(self, kind: str) -> list[Any]:
        """The conditions of a filter that is nothing but this kind of clause; otherwise the filter as one."""
        if len(self._filter) == 1 and kind in self._filter:
            return list(self._filter[kind])
        return [self._filter]


FilterLike: TypeAlias = Union[Expression, str, Mapping[str, Any], FilterModel]
"""What every ``filter=`` takes: an expression of :class:`F`, the text form, the JSON form of the Qdrant API, or a model of its client."""


class F:
    """A field of payloads, by its path: ``F("city")``, ``F("address.zip")``, ``F("tags[]")``.

    A condition holds for a point when it holds for any of the values that the path leads to.
    """

    __slots__ = ("path",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, path: str) -> None:
        self.path = path

    def __eq__(self, value: Value) -> Expression:  # type: ignore[override]
        if value is None:
            return self.is_null()
        if isinstance(value, float):
            return self._range(gte=value, lte=value)
        if isinstance(value, (_datetime.datetime, _datetime.date)):
            return self._range(gte=value, lte=value)
        return self._match(value=_plain(value))

    def __ne__(self, value: Value) -> Expression:  # type: ignore[override]
        return ~(self == value)

    def __lt__(self, value: Value) -> Expression:
        return self._range(lt=value)

    def __le__(self, value: Value) -> Expression:
        return self._range(lte=value)

    def __gt__(self, value: Value) -> Expression:
        return self._range(gt=value)

    def __ge__(self, value: Value) -> Expression:
        return self._range(gte=value)

    def between(self, low: Value, high: Value) -> Expression:
        """A number or a moment lies in the range, its ends included."""
        return self._range(gte=low, lte=high)

    def any(self, values: Iterable[str | int | _uuid.UUID]) -> Expression:
        """A value is one of these."""
        return self._match(any=[_plain(value) for value in values])

    def none(self, values: Iterable[str | int | _uuid.UUID]) -> Expression:
        """A value is none of these."""
        return self._match(**{"except": [_plain(value) for value in values]})

    def text(self, words: str) -> Expression:
        """A text holds all of the words."""
        return self._match(text=words)

    def text_any(self, words: str) -> Expression:
        """A text holds some of the words."""
        return self._match(text_any=words)

    def phrase(self, words: str) -> Expression:
        """A text holds the words in this order."""
        return self._match(phrase=words)

    def prefix(self, start: str) -> Expression:
        """A string begins with this."""
        return self._match(prefix=start)

    def contains(self, part: str) -> Expression:
        """A string holds this."""
        return self._match(substring=part)

    def is_empty(self) -> Expression:
        """Nothing is there, or null, or an empty list."""
        return _one({"is_empty": {"key": self.path}})

    def is_null(self) -> Expression:
        """A null is there."""
        return _one({"is_null": {"key": self.path}})

    def count(self, *, gt: int | None = None, gte: int | None = None, lt: int | None = None, lte: int | None = None) -> Expression:
        """There are so many values."""
        bounds = {"gt": gt, "gte": gte, "lt": lt, "lte": lte}
        return _one({"key": self.path, "values_count": {name: bound for name, bound in bounds.items() if bound is not None}})

    def within(self, metres: float, *, lon: float, lat: float) -> Expression:
        """A place is at most so many metres from here."""
        return _one({"key": self.path, "geo_radius": {"center": {"lon": lon, "lat": lat}, "radius": metres}})

    def in_box(self, *, west: float, south: float, east: float, north: float) -> Expression:
        """A place lies between two meridians and two parallels."""
        corners = {"top_left": {"lon": west, "lat": north}, "bottom_right": {"lon": east, "lat": south}}
        return _one({"key": self.path, "geo_bounding_box": corners})

    def nested(self, condition: FilterLike) -> Expression:
        """One element of an array of objects satisfies all of a condition."""
        return _one({"nested": {"key": self.path, "filter": as_json(condition)}})

    def __repr__(self) -> str:
        return f"F({self.path!r})"

    def _match(self, **match: Any) -> Expression:
        return _one({"key": self.path, "match": match})

    def _range(self, **bounds: Value) -> Expression:
        return _one({"key": self.path, "range": {name: _plain(bound) for name, bound in bounds.items()}})


def has_id(ids: Iterable[int | str | _uuid.UUID]) -> Expression:
    """The point has one of these ids."""
    return _one({"has_id": [_plain(id) for id in ids]})


def has_vector(name: str) -> Expression:
    """The point has the vector of this name."""
    return _one({"has_vector": name})


def as_json(condition: FilterLike) -> Any:
    """A condition in its JSON form; texts are read by the engine and have none here."""
    if isinstance(condition, Expression):
        return condition.to_dict()
    if isinstance(condition, str):
        raise TypeError("a filter in text form stands alone; combine it with others in its text")
    return condition


def _one(condition: Json) -> Expression:
    return Expression({"must": [condition]})


def _plain(value: Any) -> Any:
    if isinstance(value, _uuid.UUID):
        return str(value)
    if isinstance(value, (_datetime.datetime, _datetime.date)):
        return value.isoformat()
    return value
