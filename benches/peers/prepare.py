"""Brings the real document embeddings into the form of the generated sets.

Reads a directory with `vectors.npy`, `queries.npy` and `passages.jsonl.gz` and writes base.npy,
queries.npy, gt_ids.npy, attrs.npy and meta.json. The first attribute is a random order of the documents, the second one
follows their source.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np

from data import ATTRIBUTE_RANGE, LIMIT, normalise


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    base, queries = (np.load(args.source / f"{name}.npy").astype(np.float32) for name in ("vectors", "queries"))
    normalise(base)
    normalise(queries)
    with gzip.open(args.source / "passages.jsonl.gz", "rt") as passages:
        sources = [json.loads(line).get("source", "") for line in passages]
    args.target.mkdir(parents=True, exist_ok=True)
    np.save(args.target / "base.npy", base)
    np.save(args.target / "queries.npy", queries)
    np.save(args.target / "gt_ids.npy", np.argsort(-(queries @ base.T), axis=1)[:, : 10 * LIMIT].astype(np.int32))
    np.save(args.target / "attrs.npy", attributes(sources))
    meta = {"n": len(base), "dim": base.shape[1], "metric": "cosine", "queries": len(queries), "kind": args.target.name}
    (args.target / "meta.json").write_text(json.dumps(meta))


def attributes(sources: list[str]) -> np.ndarray:
    """Two columns of numbers below the attributes' range: a random order, and one in which a source's documents are together."""
    generator = np.random.default_rng(7)
    rank_by = (generator.random(len(sources)), np.array(sorted(range(len(sources)), key=lambda n: (sources[n], n))).argsort())
    ranks = np.stack([np.argsort(np.argsort(key)) for key in rank_by], axis=1)
    return (ranks * (ATTRIBUTE_RANGE / len(sources))).astype(np.int32)


if __name__ == "__main__":
    main()
