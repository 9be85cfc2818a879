"""LangChain's store over the server passes LangChain's own tests of stores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from langchain_tests.integration_tests.vectorstores import EMBEDDING_SIZE
from qdrant_client import QdrantClient, models
from server import Server


class Store(QdrantVectorStore):
    """The stock store, but for three habits of its own that LangChain's tests do not expect of any store.

    The stock one writes the id and the collection of a point into the metadata of what it returns, and not into its `id`; it makes
    ids without hyphens, which every server gives back with them; and it makes none for a document without one among others.
    """

    def add_texts(self, texts: Any, metadatas: Any = None, ids: Any = None, **more: Any) -> list[str | int]:
        texts = list(texts)
        ids = [str(uuid.uuid4()) if each is None else each for each in ids or [None] * len(texts)]
        return super().add_texts(texts, metadatas, ids, **more)

    @classmethod
    def _document_from_point(cls, scored_point: Any, collection_name: str, content_key: str, metadata_key: str) -> Document:
        document = super()._document_from_point(scored_point, collection_name, content_key, metadata_key)
        metadata = {name: value for name, value in document.metadata.items() if name not in ("_id", "_collection_name")}
        return Document(id=str(scored_point.id), page_content=document.page_content, metadata=metadata)


@pytest.fixture(scope="module")
def lenient() -> Iterator[Server]:
    """A server that takes any short text as an id, as the tests want."""
    with Server(STORAGE__ALLOW_STRING_IDS="true") as server:
        yield server


class StoreTests(VectorStoreIntegrationTests):
    over_grpc = False

    @pytest.fixture
    def vectorstore(self, lenient: Server) -> Iterator[VectorStore]:
        client = QdrantClient(lenient.url, prefer_grpc=self.over_grpc, grpc_port=lenient.grpc_port)
        client.delete_collection("texts")
        client.create_collection("texts", models.VectorParams(size=EMBEDDING_SIZE, distance=models.Distance.COSINE))
        yield Store(client, "texts", self.get_embeddings(), RetrievalMode.DENSE)
        client.close()


class TestOverRest(StoreTests):
    pass


class TestOverGrpc(StoreTests):
    over_grpc = True


def test_filters_and_scores_reach_the_server(server: Server) -> None:
    embedding = StoreTests.get_embeddings()
    documents = [Document(page_content=f"text {n}", metadata={"n": n, "even": n % 2 == 0}) for n in range(20)]
    store = QdrantVectorStore.from_documents(documents, embedding, url=server.url, collection_name="filtered")
    even = models.Filter(must=[models.FieldCondition(key="metadata.even", match=models.MatchValue(value=True))])
    found = store.similarity_search_with_score("text 3", k=20, filter=even)
    assert sorted(document.metadata["n"] for document, _ in found) == list(range(0, 20, 2))
    best, score = store.similarity_search_with_score("text 3", k=1)[0]
    assert best.page_content == "text 3" and abs(score - 1) < 1e-5
    diverse = store.max_marginal_relevance_search("text 3", k=5, fetch_k=20)
    assert len({document.page_content for document in diverse}) == 5
    store.client.close()
