"""LangChain's own tests of stores pass, and what they do not ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore as BaseStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

import vectordb
from vectordb import F
from vectordb.langchain import VectorStore

EMBEDDINGS = VectorStoreIntegrationTests.get_embeddings()
DOCUMENTS = [Document(page_content=f"text {n}", metadata={"n": n, "even": n % 2 == 0}) for n in range(20)]


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[BaseStore]:
        with vectordb.open() as db:
            yield VectorStore.create(db, "texts", self.get_embeddings())


class TestStandardOnDisk(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[BaseStore]:
        with vectordb.open(tmp_path / "texts.vdb") as db:
            yield VectorStore.create(db, "texts", self.get_embeddings(), distance="euclid")


@pytest.fixture
def store() -> Iterator[VectorStore]:
    with vectordb.open() as db:
        yield VectorStore.from_documents(DOCUMENTS, EMBEDDINGS, database=db, collection_name="texts")


def test_filters_and_scores(store: VectorStore) -> None:
    found = store.similarity_search_with_score("text 3", k=20, filter=F("metadata.even") == True)  # noqa: E712
    assert sorted(document.metadata["n"] for document, _ in found) == list(range(0, 20, 2))
    best, score = store.similarity_search_with_score("text 3", k=1)[0]
    assert best.page_content == "text 3" and score == pytest.approx(1, abs=1e-5)
    (document, relevance) = store.similarity_search_with_relevance_scores("text 3", k=1)[0]
    assert document == best and relevance == pytest.approx(1, abs=1e-5)
    assert store.delete() is False
    store.delete(filter="metadata.n >= 10")
    assert len(store.collection) == 10


async def test_diverse_answers(store: VectorStore) -> None:
    diverse = store.max_marginal_relevance_search("text 3", k=5, fetch_k=20, lambda_mult=0.2)
    assert len({document.page_content for document in diverse}) == 5
    assert await store.amax_marginal_relevance_search("text 3", k=5, fetch_k=20, lambda_mult=0.2) == diverse
    alone = store.max_marginal_relevance_search("text 3", k=5, lambda_mult=1.0)
    assert alone == store.similarity_search("text 3", k=5) == await store.asimilarity_search("text 3", k=5)


def test_retrievers(store: VectorStore) -> None:
    retriever = store.as_retriever(search_kwargs={"k": 2, "filter": F("metadata.n") < 5})
    assert [document.metadata["n"] for document in retriever.invoke("text 3")][0] == 3


def test_a_store_is_found_again(tmp_path: Path) -> None:
    made = VectorStore.from_texts(["a", "b"], EMBEDDINGS, [{"x": 1}, {"x": 2}], ids=["1", "2"], path=tmp_path / "texts.vdb")
    with pytest.raises(vectordb.LengthMismatch):
        made.add_texts(["a", "b"], ids=["1"])
    del made
    with vectordb.open(tmp_path / "texts.vdb") as db:
        again = VectorStore.create(db, "langchain", EMBEDDINGS)
        assert again.get_by_ids(["2"]) == [Document(id="2", page_content="b", metadata={"x": 2})]
