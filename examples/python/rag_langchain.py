"""LangChain over the shipped passages, without a network and without a model: the embeddings are looked up.

    pip install './vectordb-py[langchain]'
    python examples/python/rag_langchain.py
"""

from __future__ import annotations

from langchain_core.embeddings import Embeddings
from retrieval import embeddings, lines

import vectordb
from vectordb import F
from vectordb.langchain import VectorStore


class Shipped(Embeddings):
    """Embeddings of the texts that are shipped with theirs; a program has a model here."""

    def __init__(self) -> None:
        self._known: dict[str, list[float]] = {}
        for texts, vectors in [("passages.jsonl", "vectors.npy"), ("queries.jsonl", "queries.npy")]:
            for line, vector in zip(lines(texts), embeddings(vectors)):
                self._known[line["text"]] = vector.tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._known.get(text, [0.0] * 384)


def main() -> None:
    passages = lines("passages.jsonl")
    with vectordb.open() as db:
        store = VectorStore.create(db, "docs", Shipped())
        metadata = [{"source": passage["source"], "section": passage["section"]} for passage in passages]
        store.add_texts([passage["text"] for passage in passages], metadata)
        retriever = store.as_retriever(search_kwargs={"k": 2, "filter": F("metadata.source") == "postgresql-doc-15"})
        for question in [query for query in lines("queries.jsonl") if query["kind"] == "sentence"][:3]:
            print(f"\n{question['text']}")
            for document in retriever.invoke(question["text"]):
                print(f"  {document.metadata['section']}: {document.page_content[:80]}")


if __name__ == "__main__":
    main()
