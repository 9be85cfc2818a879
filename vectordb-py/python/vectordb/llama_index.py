"""A vector store of LlamaIndex: ``VectorStore(db["nodes"])``.

A node is a point with its text, its metadata and itself in the payload. Texts are indexed as well, so that the modes ``text_search``,
``sparse`` (both BM25) and ``hybrid`` need no other model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from . import queries
from ._native import Hits
from .collection import Collection
from .database import Database
from .errors import InvalidFilter, InvalidQuery, MissingDependency
from .filters import Expression, F, has_id

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.schema import BaseNode, MetadataMode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
except ImportError as error:
    raise MissingDependency(
        "vectordb.llama_index needs the package llama-index-core: pip install 'vectordb-py[llama-index]'"
    ) from error

_METADATA = "metadata"
_FOLDED = "folded"
_CANDIDATES = 4


class VectorStore(BasePydanticVectorStore):
    """Nodes in a collection, found by what their texts mean, by their words, or by both."""

    stores_text: bool = True
    flat_metadata: bool = False

    _collection: Collection = PrivateAttr()

    def __init__(self, collection: Collection, **data: Any) -> None:
        super().__init__(**data)
        self._collection = collection
        if "text" not in collection.info()["payload_schema"]:
            collection.create_index("text", "text", scoring=True)

    @classmethod
    def create(cls, database: Database, name: str, dim: int, **settings: Any) -> VectorStore:
        """A store over a collection that is made if it is not there."""
        return cls(database.create_collection(name, dim, exist_ok=True, **settings))

    @classmethod
    def class_name(cls) -> str:
        """What LlamaIndex calls it."""
        return "VectorDBVectorStore"

    @property
    def client(self) -> Collection:
        """The collection below."""
        return self._collection

    # Writing

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Writes nodes, and returns their ids."""
        ids = [node.node_id for node in nodes]
        if ids:
            vectors = [node.get_embedding() for node in nodes]
            self._collection.upsert(ids, vectors, [_payload(node) for node in nodes])
        return ids

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As :meth:`add`."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None:
        """Removes the nodes of a document."""
        self._collection.delete(filter=F("ref_doc_id") == ref_doc_id)

    async def adelete(self, ref_doc_id: str, **kwargs: Any) -> None:
        """As :meth:`delete`."""
        await asyncio.to_thread(self.delete, ref_doc_id, **kwargs)

    def delete_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **kwargs: Any) -> None:
        """Removes nodes, by their ids, by their metadata, or by both."""
        chosen = _chosen(node_ids, None, filters)
        if chosen is not None:
            self._collection.delete(filter=chosen)

    async def adelete_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **kwargs: Any) -> None:
        """As :meth:`delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **kwargs)

    def clear(self) -> None:
        """Removes all nodes."""
        self._collection.delete(filter={})

    async def aclear(self) -> None:
        """As :meth:`clear`."""
        await asyncio.to_thread(self.clear)

    # Asking

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Nodes by their ids, by their metadata, or by both."""
        return [_node(point) for point in self._collection.scroll(filter=_chosen(node_ids, None, filters))]

    async def aget_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """As :meth:`get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Nodes in the order that the mode of the query says."""
        hits = self._hits(query)
        ids = [hit.payload["id"] if hit.payload else str(hit.id) for hit in hits]
        return VectorStoreQueryResult(nodes=[_node(hit) for hit in hits], similarities=hits.scores.tolist(), ids=ids)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As :meth:`query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    def _hits(self, query: VectorStoreQuery) -> Hits:
        modes = VectorStoreQueryMode
        # Retrievers give empty lists where they mean nothing.
        filter = _chosen(query.node_ids or None, query.doc_ids or None, query.filters)
        limit = query.similarity_top_k
        if query.mode == modes.DEFAULT:
            return self._collection.search(_embedding(query), limit, filter=filter)
        if query.mode == modes.MMR:
            diversity = None if query.mmr_threshold is None else 1.0 - query.mmr_threshold
            diverse = queries.nearest(_embedding(query), diversity=0.5 if diversity is None else diversity)
            return self._collection.query(diverse, limit, filter=filter)
        if query.mode in (modes.TEXT_SEARCH, modes.SPARSE):
            limit = (query.sparse_top_k if query.mode == modes.SPARSE else None) or limit
            return self._collection.query(queries.text(_words(query)), limit, using="text", filter=filter)
        if query.mode in (modes.HYBRID, modes.SEMANTIC_HYBRID):
            return self._fused(query, filter)
        raise InvalidQuery(f"the mode {query.mode.value} is not supported")

    def _fused(self, query: VectorStoreQuery, filter: Expression | None) -> Hits:
        """Nearest by meaning and best by words; ``alpha`` of 1 is meaning alone."""
        alpha = 0.5 if query.alpha is None else query.alpha
        limit = query.hybrid_top_k or query.similarity_top_k
        stages = [
            queries.prefetch(_embedding(query), limit=query.similarity_top_k * _CANDIDATES),
            queries.prefetch(
                queries.text(_words(query)), using="text", limit=query.sparse_top_k or query.similarity_top_k * _CANDIDATES
            ),
        ]
        return self._collection.query(queries.fusion("rrf", weights=[alpha, 1.0 - alpha]), limit, prefetch=stages, filter=filter)


def _embedding(query: VectorStoreQuery) -> list[float]:
    if query.query_embedding is None:
        raise InvalidQuery(f"the mode {query.mode.value} needs query_embedding")
    return query.query_embedding


def _words(query: VectorStoreQuery) -> str:
    if query.query_str is None:
        raise InvalidQuery(f"the mode {query.mode.value} needs query_str")
    return query.query_str


def _payload(node: BaseNode) -> dict[str, Any]:
    whole = node_to_metadata_dict(node, remove_text=True)
    return {
        "id": node.node_id,
        "ref_doc_id": node.ref_doc_id,
        "text": node.get_content(metadata_mode=MetadataMode.NONE),
        _METADATA: node.metadata,
        # For text matches that ignore case.
        _FOLDED: {key: value.lower() for key, value in node.metadata.items() if isinstance(value, str)},
        "node": {"content": whole["_node_content"], "type": whole["_node_type"]},
    }


def _node(found: Any) -> BaseNode:
    payload = found.payload or {}
    kept = {"_node_content": payload["node"]["content"], "_node_type": payload["node"]["type"]}
    return metadata_dict_to_node(kept, text=payload["text"])


def _chosen(node_ids: list[str] | None, doc_ids: list[str] | None, filters: MetadataFilters | None) -> Expression | None:
    parts = []
    if node_ids is not None:
        parts.append(has_id(node_ids))
    if doc_ids is not None:
        parts.append(F("ref_doc_id").any(doc_ids))
    if filters is not None and filters.filters:
        parts.append(_expression(filters))
    if not parts:
        return None
    chosen = parts[0]
    for part in parts[1:]:
        chosen = chosen & part
    return chosen


def _expression(filters: MetadataFilters) -> Expression:
    parts = [_expression(each) if isinstance(each, MetadataFilters) else _condition(each) for each in filters.filters]
    clauses = [part.to_dict() for part in parts]
    kinds = {FilterCondition.AND: "must", FilterCondition.OR: "should", FilterCondition.NOT: "must_not"}
    return Expression({kinds[filters.condition or FilterCondition.AND]: clauses})


def _condition(filter: MetadataFilter) -> Expression:
    operators, field = FilterOperator, F(_path(_METADATA, filter.key))
    value: Any = filter.value
    simple: dict[FilterOperator, Callable[[], Expression]] = {
        operators.EQ: lambda: field == value,
        operators.NE: lambda: field != value,
        operators.GT: lambda: field > value,
        operators.GTE: lambda: field >= value,
        operators.LT: lambda: field < value,
        operators.LTE: lambda: field <= value,
        operators.IN: lambda: _some(field, value),
        operators.NIN: lambda: ~_some(field, value),
        operators.ANY: lambda: _some(field, value),
        operators.ALL: lambda: Expression({"must": [(field == each).to_dict() for each in _values(value)]}),
        operators.CONTAINS: lambda: field == value,
        operators.TEXT_MATCH: lambda: field.contains(str(value)),
        operators.TEXT_MATCH_INSENSITIVE: lambda: F(_path(_FOLDED, filter.key)).contains(str(value).lower()),
        operators.IS_EMPTY: lambda: field.is_empty() | (field == ""),
    }
    make = simple.get(filter.operator)
    if make is None:
        raise InvalidFilter(f"the operator {filter.operator.value} is not supported")
    return make()


def _path(*keys: str) -> str:
    """A path to a key, whatever characters it has."""
    quoted = (key if key.replace("_", "").replace("-", "").isalnum() else f'"{key}"' for key in keys)
    return ".".join(quoted)


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _some(field: F, value: Any) -> Expression:
    values = _values(value)
    # Without conditions a clause would hold for everything.
    return Expression({"should": [(field == each).to_dict() for each in values]}) if values else field.any([])
