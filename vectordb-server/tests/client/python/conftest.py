"""A server for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with the settings that a file names in `SETTINGS`, if it does."""
    with Server() as running:
        yield running
