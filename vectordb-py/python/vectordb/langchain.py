"""A vector store of LangChain: ``VectorStore(db["texts"], embeddings)``.

A document is a point with its text, its metadata and its id in the payload; metadata are filtered as ``F("metadata.lang") == "en"``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .collection import Collection
from .database import Database, StrPath
from .errors import LengthMismatch, MissingDependency
from .filters import FilterLike

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore as BaseStore
except ImportError as error:
    raise MissingDependency("vectordb.langchain needs the package langchain-core: pip install 'vectordb-py[langchain]'") from error

_PROBE = "dimensions"


class VectorStore(BaseStore):
    """Documents in a collection, found by what their texts mean."""

    def __init__(self, collection: Collection, embedding: Embeddings) -> None:
        self._collection = collection
        self._embedding = embedding

    @classmethod
    def create(cls, database: Database, name: str, embedding: Embeddings, **settings: Any) -> VectorStore:
        """A store over a collection that is made if it is not there, with the dimensions of the embedding.

        ``settings`` are those of :meth:`vectordb.Database.create_collection`.
        """
        if name in database:
            return cls(database[name], embedding)
        dim = len(embedding.embed_query(_PROBE))
        return cls(database.create_collection(name, dim, exist_ok=True, **settings), embedding)

    @property
    def collection(self) -> Collection:
        """The collection below."""
        return self._collection

    @property
    def embeddings(self) -> Embeddings:
        """What makes vectors of texts."""
        return self._embedding

    # Writing

    def add_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, *, ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        """Writes texts, and returns their ids; ids that exist are replaced."""
        texts = list(texts)
        return self._add(texts, metadatas, ids, self._embedding.embed_documents(texts))

    async def aadd_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, *, ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        """As :meth:`add_texts`."""
        texts = list(texts)
        vectors = await self._embedding.aembed_documents(texts)
        return await asyncio.to_thread(self._add, texts, metadatas, ids, vectors)

    def _add(
        self, texts: list[str], metadatas: list[dict[str, Any]] | None, ids: list[str] | None, vectors: list[list[float]]
    ) -> list[str]:
        given = ids if ids is not None else [None] * len(texts)
        about = metadatas if metadatas is not None else [{}] * len(texts)
        if len(given) != len(texts) or len(about) != len(texts):
            raise LengthMismatch(f"{len(given)} ids and {len(about)} metadata for {len(texts)} texts")
        known = [id or str(uuid.uuid4()) for id in given]
        payloads = [{"id": id, "text": text, "metadata": more} for id, text, more in zip(known, texts, about)]
        if texts:
            self._collection.upsert(known, vectors, payloads)
        return known

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Removes documents by their ids, or by ``filter``."""
        filter = kwargs.get("filter")
        if ids is None and filter is None:
            return False
        self._collection.delete(ids, filter=filter)
        return True

    # Asking

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by their ids; those that do not exist are left out."""
        return [_document(point.payload) for point in self._collection.get(ids) if point is not None]

    def similarity_search(self, query: str, k: int = 4, *, filter: FilterLike | None = None, **kwargs: Any) -> list[Document]:
        """The documents nearest to a text. ``kwargs`` go to :meth:`vectordb.Collection.search`."""
        return self.similarity_search_by_vector(self._embedding.embed_query(query), k, filter=filter, **kwargs)

    async def asimilarity_search(self, query: str, k: int = 4, *, filter: FilterLike | None = None, **kwargs: Any) -> list[Document]:
        """As :meth:`similarity_search`."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, filter=filter, **kwargs)]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: FilterLike | None = None, **kwargs: Any
    ) -> list[Document]:
        """The documents nearest to a vector."""
        return [document for document, _ in self.similarity_search_with_score_by_vector(embedding, k, filter=filter, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: FilterLike | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The same with scores, those of the collection's distance."""
        return self.similarity_search_with_score_by_vector(self._embedding.embed_query(query), k, filter=filter, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: FilterLike | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As :meth:`similarity_search_with_score`."""
        vector = await self._embedding.aembed_query(query)
        return await asyncio.to_thread(self.similarity_search_with_score_by_vector, vector, k, filter=filter, **kwargs)

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: FilterLike | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The documents nearest to a vector, with scores."""
        hits = self._collection.search(embedding, k, filter=filter, **kwargs)
        return [(_document(hit.payload), hit.score) for hit in hits]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, *, filter: FilterLike | None = None, **kwargs: Any
    ) -> list[Document]:
        """Documents that are near a text and differ from each other; ``lambda_mult`` of 1 is nearness alone."""
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter=filter, **kwargs)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, *, filter: FilterLike | None = None, **kwargs: Any
    ) -> list[Document]:
        """As :meth:`max_marginal_relevance_search`."""
        vector = await self._embedding.aembed_query(query)
        search = self.max_marginal_relevance_search_by_vector
        return await asyncio.to_thread(search, vector, k, fetch_k, lambda_mult, filter=filter, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: FilterLike | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The same for a vector."""
        query = {"nearest": embedding, "mmr": {"diversity": 1.0 - lambda_mult, "candidates_limit": fetch_k}}
        return [_document(hit.payload) for hit in self._collection.query(query, k, filter=filter, **kwargs)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        scales: dict[str | None, Callable[[float], float]] = {
            "cosine": lambda score: (score + 1.0) / 2.0,
            "euclid": lambda score: 1.0 / (1.0 + score),
            "manhattan": lambda score: 1.0 / (1.0 + score),
            "dot": self._max_inner_product_relevance_score_fn,
        }
        return scales[self._collection.distance]

    # Making

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: StrPath | None = None,
        database: Database | None = None,
        collection_name: str = "langchain",
        **settings: Any,
    ) -> VectorStore:
        """A store of these texts, in a directory, an open database, or in memory."""
        from . import open

        store = cls.create(database if database is not None else open(path), collection_name, embedding, **settings)
        store.add_texts(texts, metadatas, ids=ids)
        return store


def _document(payload: dict[str, Any] | None) -> Document:
    stored = payload or {}
    return Document(id=stored.get("id"), page_content=stored.get("text", ""), metadata=stored.get("metadata") or {})
