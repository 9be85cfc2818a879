"""A document store of Haystack, and retrievers by embedding and by words.

Conditions on metadata are those of Haystack's filters, answered by the engine. A list in the metadata satisfies a condition when one of
its values does.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import threading
from typing import Any

from . import queries
from .collection import Collection
from .database import StrPath
from .errors import MissingDependency
from .filters import Expression, F
from .params import Distance

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.document_stores.errors import DuplicateDocumentError
    from haystack.document_stores.types import DuplicatePolicy
    from haystack.errors import FilterError
except ImportError as error:
    raise MissingDependency("vectordb.haystack needs the package haystack-ai: pip install 'vectordb-py[haystack]'") from error

Filters = dict[str, Any]
_FIELDS = {"id", "content", "blob", "meta", "score", "embedding", "sparse_embedding"}


class DocumentStore:
    """Documents in a collection of a directory, or in memory without one."""

    def __init__(
        self,
        path: StrPath | None = None,
        collection: str = "documents",
        embedding_dim: int = 768,
        distance: Distance = "cosine",
        return_embedding: bool = True,
    ) -> None:
        from . import open

        self.path = None if path is None else os.fspath(path)
        self.name = collection
        self.embedding_dim = embedding_dim
        self.distance: Distance = distance
        self.return_embedding = return_embedding
        self._database = open(self.path)
        self._writing = threading.Lock()
        self._collection = self._made()

    def _made(self) -> Collection:
        made = self._database.create_collection(self.name, self.embedding_dim, distance=self.distance, exist_ok=True)
        if "content" not in made.info()["payload_schema"]:
            made.create_index("content", "text", scoring=True)
        return made

    @property
    def collection(self) -> Collection:
        """The collection below."""
        return self._collection

    def close(self) -> None:
        """Gives the directory back."""
        self._database.close()

    def to_dict(self) -> dict[str, Any]:
        """The settings, for pipelines that are stored."""
        settings: dict[str, Any] = default_to_dict(
            self,
            path=self.path,
            collection=self.name,
            embedding_dim=self.embedding_dim,
            distance=self.distance,
            return_embedding=self.return_embedding,
        )
        return settings

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DocumentStore:
        """A store of these settings."""
        made: DocumentStore = default_from_dict(cls, data)
        return made

    # Writing

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Writes documents, and returns how many; without a policy, one that exists already is an error."""
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise ValueError("documents are a list of Document")
        if not documents:
            return 0
        ids = [document.id for document in documents]
        # Between the look for those that exist and the writing nothing may come, but what other stores over the collection do.
        with self._writing:
            known = [point.id for point in self._collection.get(ids, with_payload=False) if point is not None]
            if known and policy in (DuplicatePolicy.NONE, DuplicatePolicy.FAIL):
                raise DuplicateDocumentError(f"a document with the id {known[0]!r} exists already")
            mode = "insert" if policy == DuplicatePolicy.SKIP else "upsert"
            vectors = [document.embedding for document in documents]
            self._collection.upsert(ids, vectors, [_payload(document) for document in documents], mode=mode)  # type: ignore[arg-type]
        return len(documents) - len(known) if policy == DuplicatePolicy.SKIP else len(documents)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Removes documents by their ids; those that do not exist are passed over."""
        self._collection.delete(document_ids)

    def delete_all_documents(self, recreate_collection: bool = False) -> None:
        """Removes all documents, or the whole collection, which is made again."""
        if recreate_collection:
            self._database.drop_collection(self.name)
            self._collection = self._made()
        else:
            self._collection.delete(filter={})

    def delete_by_filter(self, filters: Filters) -> int:
        """Removes the documents that satisfy a filter, and returns how many."""
        chosen = _expression(filters)
        with self._writing:
            count = self._collection.count(chosen)
            self._collection.delete(filter=chosen)
        return count

    def update_by_filter(self, filters: Filters, meta: dict[str, Any]) -> int:
        """Merges metadata into the documents that satisfy a filter, and returns how many."""
        chosen = _expression(filters)
        with self._writing:
            count = self._collection.count(chosen)
            self._collection.set_payload(meta, filter=chosen, key="meta")
        return count

    # Asking

    def count_documents(self) -> int:
        """How many documents there are."""
        return self._collection.count()

    def count_documents_by_filter(self, filters: Filters) -> int:
        """How many documents satisfy a filter."""
        return self._collection.count(_expression(filters) if filters else None)

    def filter_documents(self, filters: Filters | None = None) -> list[Document]:
        """The documents that satisfy a filter, in the order of their ids."""
        chosen = _expression(filters) if filters else None
        return [_document(point, None) for point in self._collection.scroll(filter=chosen, with_vectors=self.return_embedding)]

    def embedding_retrieval(self, query_embedding: list[float], filters: Filters | None = None, top_k: int = 10) -> list[Document]:
        """The documents nearest to an embedding."""
        chosen = _expression(filters) if filters else None
        hits = self._collection.search(query_embedding, top_k, filter=chosen, with_vectors=self.return_embedding)
        return [_document(hit, hit.score) for hit in hits]

    def text_retrieval(self, query: str, filters: Filters | None = None, top_k: int = 10) -> list[Document]:
        """The documents whose words fit a query best (BM25)."""
        chosen = _expression(filters) if filters else None
        asked = queries.text(query)
        hits = self._collection.query(asked, top_k, using="content", filter=chosen, with_vectors=self.return_embedding)
        return [_document(hit, hit.score) for hit in hits]

    async def write_documents_async(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """As :meth:`write_documents`, on another thread."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """As :meth:`delete_documents`, on another thread."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def count_documents_async(self) -> int:
        """As :meth:`count_documents`, on another thread."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: Filters | None = None) -> list[Document]:
        """As :meth:`filter_documents`, on another thread."""
        return await asyncio.to_thread(self.filter_documents, filters)


class _Retriever:
    def __init__(self, document_store: DocumentStore, filters: Filters | None = None, top_k: int = 10) -> None:
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k

    def to_dict(self) -> dict[str, Any]:
        """The settings, for pipelines that are stored."""
        settings: dict[str, Any] = default_to_dict(
            self, document_store=self.document_store.to_dict(), filters=self.filters, top_k=self.top_k
        )
        return settings

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """A retriever of these settings."""
        settings = data["init_parameters"]
        if isinstance(settings["document_store"], dict):
            settings["document_store"] = DocumentStore.from_dict(settings["document_store"])
        return default_from_dict(cls, data)


@component
class EmbeddingRetriever(_Retriever):
    """A component that finds documents by an embedding."""

    @component.output_types(documents=list[Document])
    def run(self, query_embedding: list[float], filters: Filters | None = None, top_k: int | None = None) -> dict[str, Any]:
        """The nearest documents."""
        found = self.document_store.embedding_retrieval(query_embedding, filters or self.filters, top_k or self.top_k)
        return {"documents": found}


@component
class TextRetriever(_Retriever):
    """A component that finds documents by words."""

    @component.output_types(documents=list[Document])
    def run(self, query: str, filters: Filters | None = None, top_k: int | None = None) -> dict[str, Any]:
        """The documents that fit best."""
        return {"documents": self.document_store.text_retrieval(query, filters or self.filters, top_k or self.top_k)}


def _payload(document: Document) -> dict[str, Any]:
    whole = document.to_dict(flatten=False)
    return {name: value for name, value in whole.items() if name not in ("embedding", "score") and value is not None}


def _document(found: Any, score: float | None) -> Document:
    stored = dict(found.payload or {})
    embedding = None if found.vector is None or isinstance(found.vector, dict) else found.vector.tolist()
    return Document.from_dict({**stored, "embedding": embedding, "score": score})


def _expression(filters: Filters) -> Expression:
    """A filter of Haystack as one of ours."""
    if "field" in filters:
        return _comparison(filters)
    for key in ("operator", "conditions"):
        if key not in filters:
            raise FilterError(f"'{key}' key missing in {filters}")
    clauses = [_expression(each).to_dict() for each in filters["conditions"]]
    operator = filters["operator"]
    if operator == "AND":
        return Expression({"must": clauses})
    if operator == "OR":
        # Without conditions a clause would hold for everything.
        return Expression({"should": clauses}) if clauses else ~Expression({"must": []})
    if operator == "NOT":
        return Expression({"must_not": [{"must": clauses}]})
    raise FilterError(f"unknown logical operator '{operator}', expected AND, OR or NOT")


def _comparison(condition: Filters) -> Expression:
    for key in ("operator", "value"):
        if key not in condition:
            raise FilterError(f"'{key}' key missing in {condition}")
    field, operator, value = F(_path(condition["field"])), condition["operator"], condition["value"]
    if operator == "==":
        return _equal(field, value)
    if operator == "!=":
        return ~_equal(field, value)
    if operator in ("in", "not in"):
        if not isinstance(value, list):
            raise FilterError(f"the value of '{operator}' is a list, not {type(value).__name__}")
        some = Expression({"should": [_equal(field, each).to_dict() for each in value]}) if value else field.any([])
        return some if operator == "in" else ~some
    if operator not in (">", ">=", "<", "<="):
        raise FilterError(f"unknown comparison operator '{operator}'")
    if value is None:
        return field.any([])
    bound = _ordered(value, operator)
    compared: dict[str, Expression] = {">": field > bound, ">=": field >= bound, "<": field < bound, "<=": field <= bound}
    return compared[operator]


def _equal(field: F, value: Any) -> Expression:
    if value is None:
        return field.is_empty()
    if isinstance(value, (list, dict)):
        raise FilterError(f"a value of type {type(value).__name__} cannot be compared")
    same: Expression = field == value
    return same


def _ordered(value: Any, operator: str) -> Any:
    """A value that has an order: a number, a moment, or the text of one."""
    if isinstance(value, (int, float, datetime.datetime)) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            # Python 3.10 does not know the Z.
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise FilterError(f"texts can be compared by '{operator}' only if they are moments in ISO form") from None
    raise FilterError(f"a value of type {type(value).__name__} cannot be compared by '{operator}'")


def _path(field: str) -> str:
    """A path to a field; what is not one of a document's is metadata."""
    keys = field.split(".")
    if keys[0] not in _FIELDS and len(keys) == 1:
        keys = ["meta", *keys]
    return ".".join(key if key.replace("_", "").replace("-", "").isalnum() else f'"{key}"' for key in keys)
