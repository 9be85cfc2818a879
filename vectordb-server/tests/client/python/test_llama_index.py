"""LlamaIndex's store over the server: what its interface promises, synchronous and asynchronous, over REST and over gRPC."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    ExactMatchFilter,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import AsyncQdrantClient, QdrantClient
from server import Server

DIMENSIONS = 4


def node(number: int) -> TextNode:
    """A node of a document of five; the larger its number, the closer to the first axis."""
    document = RelatedNodeInfo(node_id=f"doc-{number // 5}")
    return TextNode(
        id_=str(uuid.UUID(int=number)),
        text=f"text {number}",
        metadata={"n": number, "city": ("Oslo", "Rome")[number % 2], "tags": ["all", f"t{number}"]},
        relationships={NodeRelationship.SOURCE: document},
        embedding=[float(number), 10.0, 0.0, 0.0],
    )


NODES = [node(number) for number in range(20)]


@pytest.fixture(params=["rest", "grpc"])
async def store(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[QdrantVectorStore]:
    """A store that holds all nodes."""
    options = {"url": server.url, "prefer_grpc": request.param == "grpc", "grpc_port": server.grpc_port}
    client, other = QdrantClient(**options), AsyncQdrantClient(**options)
    client.delete_collection("nodes")
    made = QdrantVectorStore("nodes", client=client, aclient=other, batch_size=7)
    assert made.add(NODES) == [each.node_id for each in NODES]
    yield made
    client.close()
    await other.close()


def query(limit: int = 3, **more: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=[1.0, 0.0, 0.0, 0.0], similarity_top_k=limit, **more)


def numbers(result: VectorStoreQueryResult) -> list[int]:
    return [each.metadata["n"] for each in result.nodes]


def where(*filters: Any, condition: FilterCondition = FilterCondition.AND) -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=condition)


def test_nodes_come_back_as_they_went_in(store: QdrantVectorStore) -> None:
    result = store.query(query(1))
    (found,) = result.nodes
    assert found.text == "text 19" and found.metadata == NODES[19].metadata and found.ref_doc_id == "doc-3"
    assert result.ids == [NODES[19].node_id]
    assert result.similarities == pytest.approx([19 / (19**2 + 10**2) ** 0.5], abs=1e-5)
    assert {each.node_id for each in store.get_nodes([NODES[3].node_id, NODES[4].node_id])} == {NODES[3].node_id, NODES[4].node_id}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (where(ExactMatchFilter(key="city", value="Rome")), [19, 17, 15]),
        (where(MetadataFilter(key="n", operator=FilterOperator.LT, value=5)), [4, 3, 2]),
        (where(MetadataFilter(key="n", operator=FilterOperator.GTE, value=19)), [19]),
        (where(MetadataFilter(key="n", operator=FilterOperator.NE, value=19)), [18, 17, 16]),
        (where(MetadataFilter(key="n", operator=FilterOperator.IN, value=[1, 2])), [2, 1]),
        (where(MetadataFilter(key="city", operator=FilterOperator.NIN, value=["Oslo"])), [19, 17, 15]),
        (where(MetadataFilter(key="tags", operator=FilterOperator.TEXT_MATCH, value="t3")), [3]),
        (where(MetadataFilter(key="none", operator=FilterOperator.IS_EMPTY, value=None)), [19, 18, 17]),
        (
            where(ExactMatchFilter(key="n", value=3), ExactMatchFilter(key="n", value=8), condition=FilterCondition.OR),
            [8, 3],
        ),
        (where(ExactMatchFilter(key="n", value=3), ExactMatchFilter(key="city", value="Oslo")), []),
        (
            where(ExactMatchFilter(key="city", value="Oslo"), where(MetadataFilter(key="n", operator=FilterOperator.LT, value=3))),
            [2, 0],
        ),
    ],
)
def test_filters_select(store: QdrantVectorStore, filters: MetadataFilters, expected: list[int]) -> None:
    assert numbers(store.query(query(filters=filters))) == expected
    if expected:
        assert {each.metadata["n"] for each in store.get_nodes(filters=filters)} >= set(expected)


def test_queries_are_held_to_nodes_and_documents(store: QdrantVectorStore) -> None:
    assert numbers(store.query(query(doc_ids=["doc-1"]))) == [9, 8, 7]
    assert numbers(store.query(query(node_ids=[NODES[2].node_id, NODES[6].node_id]))) == [6, 2]
    diverse = store.query(query(3, mode=VectorStoreQueryMode.MMR))
    assert len(set(numbers(diverse))) == 3


def test_nodes_and_documents_are_deleted(store: QdrantVectorStore) -> None:
    store.delete("doc-3")
    assert numbers(store.query(query())) == [14, 13, 12]
    store.delete_nodes([NODES[14].node_id])
    assert numbers(store.query(query())) == [13, 12, 11]
    store.delete_nodes(filters=where(ExactMatchFilter(key="city", value="Rome")))
    assert numbers(store.query(query())) == [12, 10, 8]
    store.clear()
    assert not store.client.collection_exists("nodes")


async def test_everything_goes_asynchronously_too(store: QdrantVectorStore) -> None:
    assert numbers(await store.aquery(query())) == [19, 18, 17]
    more = node(20)
    assert await store.async_add([more]) == [more.node_id]
    assert numbers(await store.aquery(query())) == [20, 19, 18]
    await store.adelete("doc-3")
    await store.adelete_nodes([more.node_id])
    assert numbers(await store.aquery(query())) == [14, 13, 12]
    assert [each.node_id for each in await store.aget_nodes([NODES[0].node_id])] == [NODES[0].node_id]
    await store.aclear()
    assert not store.client.collection_exists("nodes")


def test_sparse_and_dense_are_fused(server: Server) -> None:
    def words(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
        """Each text is the word of its number."""
        return [[int(text.rpartition(" ")[2])] for text in texts], [[1.0] for _ in texts]

    client = QdrantClient(server.url)
    client.delete_collection("hybrid")
    store = QdrantVectorStore("hybrid", client=client, enable_hybrid=True, sparse_doc_fn=words, sparse_query_fn=words)
    store.add(NODES)
    both = query(2, query_str="text 3", sparse_top_k=5, mode=VectorStoreQueryMode.HYBRID, alpha=0.5)
    assert set(numbers(store.query(both))) <= {3, 19}
    sparse = query(2, query_str="text 3", sparse_top_k=5, mode=VectorStoreQueryMode.SPARSE)
    assert numbers(store.query(sparse)) == [3]
    client.close()
