"""LlamaIndex has no standard tests of stores: what its interface promises, and its filters against its own reference."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import ImageNode, NodeRelationship, RelatedNodeInfo, TextNode
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
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

import vectordb
from vectordb.llama_index import VectorStore

DIM = 4


def node(number: int, **metadata: Any) -> TextNode:
    """A node of a document of five; the larger its number, the closer to the first axis."""
    return TextNode(
        id_=f"node-{number:03}",
        text=f"text {number} of everything",
        metadata={"n": number, "city": ("Oslo", "Rome")[number % 2], "tags": ["all", f"t{number}"], **metadata},
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc-{number // 5}")},
        embedding=[float(number), 10.0, 0.0, 0.0],
    )


NODES = [node(number) for number in range(20)]


@pytest.fixture
def store() -> Iterator[VectorStore]:
    with vectordb.open() as db:
        made = VectorStore.create(db, "nodes", DIM)
        assert made.add(NODES) == [each.node_id for each in NODES]
        yield made


def query(limit: int = 3, **more: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=[1.0, 0.0, 0.0, 0.0], similarity_top_k=limit, **more)


def numbers(result: VectorStoreQueryResult) -> list[int]:
    return [each.metadata["n"] for each in result.nodes or []]


def where(key: str, operator: FilterOperator, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


def test_it_is_a_store_of_theirs(store: VectorStore) -> None:
    assert isinstance(store, BasePydanticVectorStore) and store.stores_text and len(store.client) == 20
    assert VectorStore.class_name() == "VectorDBVectorStore"


def test_nodes_come_back_as_they_went_in(store: VectorStore) -> None:
    result = store.query(query(1))
    (found,) = result.nodes or []
    assert isinstance(found, TextNode) and found.text == "text 19 of everything"
    assert found.metadata == NODES[19].metadata and found.ref_doc_id == "doc-3" and result.ids == ["node-019"]
    assert result.similarities == pytest.approx([19 / (19**2 + 10**2) ** 0.5], abs=1e-5)
    image = ImageNode(id_="image", image_url="a.png", embedding=[0.0, 0.0, 1.0, 0.0])
    store.add([image])
    (again,) = store.get_nodes(["image"])
    assert isinstance(again, ImageNode) and again.image_url == "a.png"
    assert store.add([]) == []


def test_nodes_are_replaced_by_their_ids(store: VectorStore) -> None:
    store.add([node(3, city="Bonn")])
    assert [each.metadata["city"] for each in store.get_nodes(["node-003"])] == ["Bonn"] and len(store.client) == 20


def test_queries_are_held_to_nodes_and_documents(store: VectorStore) -> None:
    assert numbers(store.query(query(doc_ids=["doc-1"]))) == [9, 8, 7]
    assert numbers(store.query(query(node_ids=["node-002", "node-006"]))) == [6, 2]
    rome = where("city", FilterOperator.EQ, "Rome")
    assert numbers(store.query(query(doc_ids=["doc-1"], filters=rome))) == [9, 7, 5]


def test_nodes_and_documents_are_deleted(store: VectorStore) -> None:
    store.delete("doc-3")
    assert numbers(store.query(query())) == [14, 13, 12]
    store.delete_nodes(["node-014"])
    assert numbers(store.query(query())) == [13, 12, 11]
    store.delete_nodes(filters=where("city", FilterOperator.EQ, "Rome"))
    assert numbers(store.query(query())) == [12, 10, 8]
    store.delete_nodes(["node-012", "node-001"], where("n", FilterOperator.GT, 5))
    assert numbers(store.query(query())) == [10, 8, 6]
    store.delete_nodes()
    assert len(store.client) == 6
    store.clear()
    assert len(store.client) == 0


def test_modes(store: VectorStore) -> None:
    modes = VectorStoreQueryMode
    assert len(set(numbers(store.query(query(3, mode=modes.MMR, mmr_threshold=0.3))))) == 3
    assert numbers(store.query(query(2, mode=modes.TEXT_SEARCH, query_str="7"))) == [7]
    assert numbers(store.query(query(2, mode=modes.SPARSE, query_str="7 8", sparse_top_k=5))) in ([7, 8], [8, 7])
    both = store.query(query(2, mode=modes.HYBRID, query_str="7", alpha=0.5))
    assert set(numbers(both)) == {7, 19}
    assert numbers(store.query(query(1, mode=modes.HYBRID, query_str="7", alpha=1.0))) == [19]
    assert numbers(store.query(query(1, mode=modes.HYBRID, query_str="7", alpha=0.0))) == [7]
    for wrong in (query(mode=modes.SVM), query(mode=modes.SPARSE), VectorStoreQuery()):
        with pytest.raises(vectordb.InvalidQuery):
            store.query(wrong)


async def test_everything_goes_asynchronously_too(store: VectorStore) -> None:
    assert numbers(await store.aquery(query())) == [19, 18, 17]
    assert await store.async_add([node(20)]) == ["node-020"]
    await store.adelete("doc-3")
    await store.adelete_nodes(["node-020"])
    assert numbers(await store.aquery(query())) == [14, 13, 12]
    assert [each.node_id for each in await store.aget_nodes(["node-000"])] == ["node-000"]
    await store.aclear()
    assert await store.aget_nodes() == []


def simple(rng: random.Random) -> MetadataFilter:
    operators = FilterOperator
    cases: list[tuple[str, FilterOperator, Any]] = (
        [
            *[("n", each, rng.randrange(-3, 4)) for each in (operators.EQ, operators.NE, operators.GT, operators.GTE)],
            *[("n", each, rng.randrange(-3, 4)) for each in (operators.LT, operators.LTE)],
            *[("n", each, rng.sample(range(-3, 4), 2)) for each in (operators.IN, operators.NIN)],
            *[("x", each, rng.randrange(4) / 4) for each in (operators.EQ, operators.GT, operators.LTE)],
            *[("s", each, rng.choice(["Alpha", "beta"])) for each in (operators.EQ, operators.NE)],
            *[("s", each, rng.sample(["Alpha", "beta", "gamma"], 2)) for each in (operators.IN, operators.NIN)],
            ("s", operators.TEXT_MATCH, rng.choice(["lph", "Al", "al"])),
            ("s", operators.TEXT_MATCH_INSENSITIVE, rng.choice(["LPH", "al", "ETA"])),
            *[("tags", each, rng.sample(["a", "b", "c"], 2)) for each in (operators.ANY, operators.ALL)],
            ("tags", operators.CONTAINS, rng.choice(["a", "b", "z"])),
            ("odd key.with dots", operators.EQ, 1),
            *[(each, operators.IS_EMPTY, None) for each in ("n", "s", "tags", "nothing")],
        ]
    )
    key, operator, value = rng.choice(cases)
    return MetadataFilter(key=key, operator=operator, value=value)


@pytest.mark.parametrize("seed", range(6))
def test_filters_mean_what_the_reference_says(seed: int) -> None:
    rng = random.Random(seed)
    metadata = {}
    for number in range(100):
        row: dict[str, Any] = {"n": rng.randrange(-3, 4), "x": rng.randrange(4) / 4, "s": rng.choice(["Alpha", "beta", ""])}
        row |= {"tags": rng.sample(["a", "b", "c"], rng.randrange(4)), "odd key.with dots": rng.randrange(2)}
        metadata[f"{number:03}"] = {key: value for key, value in row.items() if rng.random() < 0.8}
    with vectordb.open() as db:
        store = VectorStore.create(db, "nodes", DIM)
        store.add([TextNode(id_=id, text="", metadata=row, embedding=[1.0] * DIM) for id, row in metadata.items()])
        for _ in range(60):
            parts = [simple(rng) for _ in range(rng.randrange(1, 4))]
            filters = MetadataFilters(filters=list(parts), condition=rng.choice(list(FilterCondition)))
            holds = build_metadata_filter_fn(lambda id: metadata[id], filters)
            expected = [id for id in metadata if holds(id)]
            assert [each.node_id for each in store.get_nodes(filters=filters)] == expected, filters


def test_filters_inside_filters(store: VectorStore) -> None:
    rome = MetadataFilter(key="city", value="Rome")
    inner = MetadataFilters(filters=[where("n", FilterOperator.LT, 3), rome], condition=FilterCondition.OR)
    outer = MetadataFilters(filters=[inner, MetadataFilter(key="n", operator=FilterOperator.NE, value=19)])
    assert numbers(store.query(query(filters=outer))) == [17, 15, 13]
    assert len(store.get_nodes(filters=MetadataFilters(filters=[]))) == 20


def test_an_index_is_built_and_found_again(tmp_path: Path) -> None:
    embedding = MockEmbedding(embed_dim=DIM)
    with vectordb.open(tmp_path / "nodes.vdb") as db:
        context = StorageContext.from_defaults(vector_store=VectorStore.create(db, "nodes", DIM))
        VectorStoreIndex(NODES, storage_context=context, embed_model=embedding)
    with vectordb.open(tmp_path / "nodes.vdb") as db:
        index = VectorStoreIndex.from_vector_store(VectorStore(db["nodes"]), embed_model=embedding)
        found = index.as_retriever(similarity_top_k=4).retrieve("anything")
        assert len(found) == 4 and found[0].node.get_content().startswith("text")
