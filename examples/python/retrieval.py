"""Retrieval without a network: passages of real documentation, found by meaning, by words, and by both.

    pip install ./vectordb-py
    python examples/python/retrieval.py

The embeddings of passages and questions are shipped in ``examples/data``; nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vectordb
from vectordb import Collection, F, queries

DATA = Path(__file__).resolve().parent.parent / "data"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def embeddings(name: str) -> npt.NDArray[np.float32]:
    """Embeddings are shipped in 16 bits."""
    found: npt.NDArray[np.float32] = np.load(DATA / name).astype(np.float32)
    return found


def ingest(docs: Collection) -> None:
    docs.create_index("source", "keyword")
    docs.create_index("text", "text", scoring=True, stemmer="english")
    passages = lines("passages.jsonl")
    docs.upsert([passage["id"] for passage in passages], embeddings("vectors.npy"), passages)
    docs.optimize()


def show(title: str, hits: vectordb.Hits) -> None:
    print(f"\n{title}")
    for hit in hits:
        assert hit.payload is not None
        print(f"  {hit.score:7.3f}  {hit.payload['source']:18} {hit.payload['text'][:80]}")


def main(directory: Path) -> None:
    with vectordb.open(directory) as db:
        docs = db.create_collection("docs", dim=384, exist_ok=True)
        start = time.perf_counter()
        ingest(docs)
        print(f"{len(docs)} passages in {time.perf_counter() - start:.2f} s")

        asked, vectors = lines("queries.jsonl"), embeddings("queries.npy")
        question, vector = next((q, v) for q, v in zip(asked, vectors) if q["kind"] == "title")
        print(f"\nThe question: {question['text']}")
        show("by meaning", docs.search(vector, 3))
        show("by words", docs.query(queries.text(question["text"]), 3, using="text"))
        stages = [queries.prefetch(vector, limit=20), queries.prefetch(queries.text(question["text"]), using="text", limit=20)]
        show("by both", docs.query(queries.fusion("rrf"), 3, prefetch=stages))
        show("in one source", docs.search(vector, 3, filter=(F("source") == "sqlite3-doc") & (F("words") < 60)))

        found, true = docs.search_batch(vectors, 10), docs.search_batch(vectors, 10, exact=True)
        recall = np.mean([len(set(some.ids) & set(all.ids)) / len(all) for some, all in zip(found, true)])
        print(f"\nrecall@10 over {len(vectors)} questions: {recall:.3f}")
        print(docs.explain(vector, 3, filter=F("words") < 60))

    # Everything is still there for the next run.
    with vectordb.open(directory, read_only=True) as db:
        print(db["docs"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary) / "docs.vdb")
