"""How the vectors of a collection are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .errors import InvalidConfig

Distance: TypeAlias = Literal["cosine", "dot", "euclid", "manhattan"]
"""How closeness is measured. Cosine and dot are similarities (larger is closer), the others are distances."""

Datatype: TypeAlias = Literal["float32", "float16", "uint8"]
Memory: TypeAlias = Literal["cold", "cached", "pinned"]

_DISTANCES = {"cosine": "Cosine", "dot": "Dot", "euclid": "Euclid", "manhattan": "Manhattan"}


@dataclass(frozen=True)
class VectorParams:
    """A vector that every point may have: its dimensions and how it is kept.

    ``hnsw`` and ``quantization`` take the JSON form of the Qdrant API, ``{"m": 32}`` and ``{"scalar": {"type": "int8"}}`` for example.
    """

    size: int
    distance: Distance = "cosine"
    datatype: Datatype = "float32"
    multivector: bool = False
    """Each point has several vectors, compared by MaxSim."""
    on_disk: bool | None = None
    memory: Memory | None = None
    hnsw: Mapping[str, Any] | None = None
    quantization: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return _given(
            size=self.size,
            distance=_distance(self.distance),
            datatype=self.datatype,
            multivector_config={"comparator": "max_sim"} if self.multivector else None,
            on_disk=self.on_disk,
            memory=self.memory,
            hnsw_config=self.hnsw,
            quantization_config=self.quantization,
        )


@dataclass(frozen=True)
class SparseVectorParams:
    """A sparse vector that every point may have."""

    idf: bool = False
    """Weigh each dimension by how rare it is."""
    on_disk: bool | None = None
    memory: Memory | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        index = _given(on_disk=self.on_disk, memory=self.memory)
        return _given(modifier="idf" if self.idf else None, index=index or None)


def _distance(distance: str) -> str:
    try:
        return _DISTANCES[distance.lower()]
    except KeyError:
        raise InvalidConfig(f"distance is one of {', '.join(_DISTANCES)}, not {distance!r}") from None


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
