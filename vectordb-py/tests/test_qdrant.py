"""The stock client over the engine in process, and what is built on it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DIM, rows
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from langchain_tests.integration_tests.vectorstores import EMBEDDING_SIZE
from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.vector_stores.types import ExactMatchFilter, MetadataFilters, VectorStoreQuery
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexStore
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

import vectordb
from vectordb import qdrant

VECTORS = models.VectorParams(size=DIM, distance=models.Distance.COSINE)


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    made = qdrant.client()
    yield made
    made.close()


def points(count: int) -> list[models.PointStruct]:
    return [models.PointStruct(id=n, vector=row.tolist(), payload={"n": n}) for n, row in enumerate(rows(count))]


def test_it_is_the_stock_client_and_nothing_is_lost(tmp_path: Path) -> None:
    client = qdrant.client(tmp_path / "docs.vdb")
    assert isinstance(client, QdrantClient) and isinstance(client, vectordb.QdrantClient)
    client.create_collection("docs", VECTORS)
    client.upload_points("docs", points(200), batch_size=50)
    client.create_payload_index("docs", "n", models.PayloadSchemaType.INTEGER)
    even = models.Filter(must=[models.FieldCondition(key="n", match=models.MatchAny(any=list(range(0, 200, 2))))])
    before = client.query_points("docs", rows(1, 9)[0], query_filter=even, limit=20, with_payload=True).points
    assert all(point.payload is not None and point.payload["n"] % 2 == 0 for point in before)
    with pytest.raises(vectordb.Locked):
        qdrant.client(tmp_path / "docs.vdb")
    client.close()
    again = qdrant.client(tmp_path / "docs.vdb")
    assert again.query_points("docs", rows(1, 9)[0], query_filter=even, limit=20, with_payload=True).points == before
    again.close()


def test_answers_are_those_of_the_native_interface(client: QdrantClient) -> None:
    client.create_collection("docs", VECTORS)
    client.upsert("docs", points(100))
    native = vectordb.open().create_collection("docs", DIM)
    native.upsert(range(100), rows(100), [{"n": n} for n in range(100)])
    for query in rows(20, seed=3):
        there, here = client.query_points("docs", query.tolist(), limit=10).points, native.search(query, 10)
        assert [point.id for point in there] == here.ids
        assert np.array_equal(np.array([point.score for point in there], np.float32), here.scores)


def test_free_texts_are_ids(client: QdrantClient) -> None:
    client.create_collection("docs", VECTORS)
    client.upsert("docs", [models.PointStruct(id="any text", vector=[1.0] * DIM)])
    assert [point.id for point in client.retrieve("docs", ["any text"])] == ["any text"]


def test_errors_are_those_of_the_wire(client: QdrantClient) -> None:
    with pytest.raises(UnexpectedResponse, match="404") as caught:
        client.get_collection("nobody")
    assert b"doesn't exist" in caught.value.content
    client.create_collection("docs", VECTORS)
    with pytest.raises(UnexpectedResponse, match="400"):
        client.upsert("docs", [models.PointStruct(id=1, vector=[1.0])])
    with pytest.raises(UnexpectedResponse, match="409"):
        client.create_collection("docs", VECTORS)


def test_shards_are_asked_for_with_the_body_of_the_server(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.create_collection("docs", VECTORS)
    asked: list[tuple[str, str, Any]] = []
    handle = qdrant._Shared.handle

    def watched(self: Any, request: Any, body: bytes) -> Any:
        asked.append((request.method, request.url.path, body))
        return handle(self, request, b"{}" if b"shard_number" in body else body)

    monkeypatch.setattr(qdrant._Shared, "handle", watched)
    assert isinstance(client, vectordb.QdrantClient)
    assert client.update_collection("docs", metadata={"a": 1}, shard_number=5)
    assert asked[-1] == ("PATCH", "/collections/docs", b'{"params":{"shard_number":5}}') and len(asked) == 2


async def test_the_asynchronous_client_shares_a_database(tmp_path: Path) -> None:
    client = qdrant.client(tmp_path / "docs.vdb")
    other = qdrant.async_client(client)
    await other.create_collection("docs", VECTORS)
    client.upsert("docs", points(50))
    found = await asyncio.gather(*(other.query_points("docs", query, limit=3) for query in rows(20, seed=2)))
    assert [[point.id for point in each.points] for each in found] == [
        [point.id for point in client.query_points("docs", query, limit=3).points] for query in rows(20, seed=2)
    ]
    client.close()
    assert (await other.count("docs")).count == 50
    await other.close()
    with vectordb.open(tmp_path / "docs.vdb") as db:
        assert len(db["docs"]) == 50
    with pytest.raises(vectordb.InvalidConfig):
        qdrant.client(QdrantClient(":memory:"))


class Store(QdrantVectorStore):
    """The stock store, but for habits of its own that LangChain's tests do not expect: it writes ids and names of collections into the
    metadata of what it returns instead of into its id, and makes no id for a document without one among others."""

    def add_texts(self, texts: Any, metadatas: Any = None, ids: Any = None, batch_size: int = 64, **more: Any) -> Any:
        texts = list(texts)
        ids = [str(uuid.uuid4()) if each is None else each for each in ids or [None] * len(texts)]
        return super().add_texts(texts, metadatas, ids, batch_size, **more)

    @classmethod
    def _document_from_point(cls, scored_point: Any, collection_name: str, content_key: str, metadata_key: str) -> Document:
        document = super()._document_from_point(scored_point, collection_name, content_key, metadata_key)
        metadata = {name: value for name, value in document.metadata.items() if name not in ("_id", "_collection_name")}
        return Document(id=str(scored_point.id), page_content=document.page_content, metadata=metadata)


class TestLangChainQdrant(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, client: QdrantClient) -> VectorStore:
        client.create_collection("texts", models.VectorParams(size=EMBEDDING_SIZE, distance=models.Distance.COSINE))
        return Store(client, "texts", self.get_embeddings(), RetrievalMode.DENSE)


async def test_llama_index_over_the_client(client: QdrantClient) -> None:
    other = qdrant.async_client(client)
    store = LlamaIndexStore("nodes", client=client, aclient=other)
    nodes: list[BaseNode] = [
        TextNode(id_=str(uuid.UUID(int=n)), text=f"text {n}", metadata={"n": n, "odd": n % 2}, embedding=[float(n), 1.0])
        for n in range(10)
    ]
    assert store.add(nodes) == [node.node_id for node in nodes]
    asked = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=3)
    assert [node.metadata["n"] for node in store.query(asked).nodes or []] == [9, 8, 7]
    asked.filters = MetadataFilters(filters=[ExactMatchFilter(key="odd", value=0)])
    assert [node.metadata["n"] for node in (await store.aquery(asked)).nodes or []] == [8, 6, 4]
    store.delete_nodes([nodes[8].node_id])
    assert [node.metadata["n"] for node in store.query(asked).nodes or []] == [6, 4, 2]
    await other.close()
