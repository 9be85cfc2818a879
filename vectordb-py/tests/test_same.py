"""Random operations through the crate, through the native interface and through the stock client."""

from __future__ import annotations

import os

from same import Client, Crate, Native, compare

from vectordb import qdrant


def test_all_doors_lead_to_the_same_points_and_answers() -> None:
    # `cargo xtask python` builds the program and names it.
    client, crate = qdrant.client(), Crate(os.environ["VECTORDB_BRIDGE"])
    counts = compare({"crate": crate, "native": Native(), "client": Client(client)}, 1500, seed=1)
    assert counts["dumps"] == 3 and counts["points"] > 300 and counts["searches"] == 30
    client.close()
    crate.close()
