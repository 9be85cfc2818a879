"""Random operations through the native interface and through the stock client."""

from __future__ import annotations

from same import Client, Native, compare

from vectordb import qdrant


def test_both_doors_lead_to_the_same_points_and_answers() -> None:
    client = qdrant.client()
    counts = compare({"native": Native(), "client": Client(client)}, 1500, seed=1)
    assert counts["dumps"] == 3 and counts["points"] > 300 and counts["searches"] == 30
    client.close()
