"""Haystack's own tests of document stores pass, and its filters mean what its reference says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing.document_store import CountDocumentsByFilterTest, DocumentStoreBaseExtendedTests
from haystack.utils.filters import document_matches_filter

from vectordb.haystack import DocumentStore, EmbeddingRetriever, TextRetriever


class TestStandard(DocumentStoreBaseExtendedTests, CountDocumentsByFilterTest):
    @pytest.fixture
    def document_store(self) -> Iterator[DocumentStore]:
        # Cosine similarity would give embeddings back at length one.
        store = DocumentStore(distance="dot")
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """Documents come in the order of their ids, with embeddings of 32 bits."""
        assert [document.id for document in received] == sorted(document.id for document in expected)
        for there, here in zip(received, sorted(expected, key=lambda document: document.id)):
            plain, wanted = there.to_dict(flatten=False), here.to_dict(flatten=False)
            embedding, exact = plain.pop("embedding"), wanted.pop("embedding")
            assert plain == wanted and (embedding is None) == (exact is None)
            assert exact is None or np.allclose(embedding, exact)

    def test_write_documents(self, document_store: Any) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document], DuplicatePolicy.NONE)
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


def condition(rng: random.Random, depth: int) -> dict[str, Any]:
    if depth:
        parts = [condition(rng, rng.randrange(depth)) for _ in range(rng.randrange(1, 4))]
        return {"operator": rng.choice(["AND", "OR", "NOT"]), "conditions": parts}
    values = {
        "meta.n": [*range(-2, 3), None],
        "meta.x": [0.0, 0.25, 0.5, None],
        "meta.s": ["a", "b", "", None],
        "meta.flag": [True, False, None],
        "meta.deep.key": [1, 2, None],
        "meta.at": ["2024-01-01T00:00:00", "2024-01-03T12:00:00", None],
        "meta.none": [1, "a", None],
        "content": ["text 1", "text 2", None],
        "s": ["a", "b"],
    }
    field = rng.choice(list(values))
    operators = ["==", "!=", "in", "not in"]
    if field in ("meta.n", "meta.x", "meta.at"):
        operators += [">", ">=", "<", "<="]
    operator = rng.choice(operators)
    some = rng.sample(values[field], 2)
    return {"field": field, "operator": operator, "value": some if "in" in operator else some[0]}


def test_filters_mean_what_the_reference_says() -> None:
    rng = random.Random(5)
    documents = []
    for number in range(150):
        meta: dict[str, Any] = {"n": rng.randrange(-2, 3), "x": rng.randrange(3) / 4, "s": rng.choice(["a", "b", ""])}
        meta |= {"flag": rng.random() < 0.5, "deep": {"key": rng.randrange(1, 3)}, "at": f"2024-01-0{rng.randrange(1, 5)}T12:00:00"}
        kept = {key: value for key, value in meta.items() if rng.random() < 0.8}
        documents.append(Document(id=f"{number:03}", content=f"text {number % 5}", meta=kept))
    store = DocumentStore(embedding_dim=2)
    store.write_documents(documents)
    for round in range(400):
        filters = condition(rng, round % 3)
        expected = [document.id for document in documents if document_matches_filter(filters, document)]
        assert [document.id for document in store.filter_documents(filters)] == expected, filters


def test_pipelines_find_documents_by_embedding_and_by_words(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path / "documents.vdb", embedding_dim=2)
    texts = ["red fox", "blue whale", "red panda"]
    store.write_documents([Document(content=text, embedding=[1.0, n], meta={"n": n}) for n, text in enumerate(texts)])
    pipeline = Pipeline()
    pipeline.add_component("near", EmbeddingRetriever(store, top_k=2))
    pipeline.add_component("words", TextRetriever(store, filters={"field": "meta.n", "operator": ">", "value": 0}))
    found = pipeline.run({"near": {"query_embedding": [1.0, 0.0]}, "words": {"query": "red"}})
    assert [document.content for document in found["near"]["documents"]] == ["red fox", "blue whale"]
    assert [document.content for document in found["words"]["documents"]] == ["red panda"]
    assert found["near"]["documents"][0].score == pytest.approx(1.0)
    description = store.to_dict()
    store.close()
    again = DocumentStore.from_dict(description)
    assert again.count_documents() == 3
    again.close()
    retriever = EmbeddingRetriever(DocumentStore(embedding_dim=2), top_k=3)
    assert EmbeddingRetriever.from_dict(retriever.to_dict()).top_k == 3


async def test_everything_goes_asynchronously_too() -> None:
    store = DocumentStore(embedding_dim=2)
    document = Document(content="a", meta={"n": 1})
    assert await store.write_documents_async([document]) == 1
    assert await store.count_documents_async() == 1
    assert await store.filter_documents_async({"field": "meta.n", "operator": "==", "value": 1}) == [document]
    await store.delete_documents_async([document.id])
    assert await store.count_documents_async() == 0
