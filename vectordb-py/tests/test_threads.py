"""Threads of Python beside the engine's."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import DIM, rows

import vectordb
from vectordb import Collection, Database


def test_many_threads_write_and_search_at_once(db: Database) -> None:
    docs = db.create_collection("docs", DIM, durability="none")

    def work(number: int) -> int:
        for round in range(10):
            start = number * 1000 + round * 10
            docs.upsert(range(start, start + 10), rows(10, seed=start), [{"by": number}] * 10)
            assert len(docs.search(rows(1)[0], 5)) == 5
            docs.search_batch(rows(5), 3, filter={"must": [{"key": "by", "match": {"value": number}}]})
        return docs.count(vectordb.F("by") == number)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [100] * 8
    assert len(docs) == 800


def test_other_threads_run_while_the_engine_works(db: Database) -> None:
    """A call that works for long lets a thread that only counts go on: without the lock it would stand still until the end."""
    docs = db.create_collection("docs", 64, hnsw={"full_scan_threshold": 10})
    docs.upsert(range(20_000), rows(20_000, dim=64))
    interval = sys.getswitchinterval()
    counted, running = 0, True

    def count() -> None:
        nonlocal counted
        while running:
            counted += 1
            time.sleep(0)

    counter = threading.Thread(target=count)
    try:
        # A thread that holds the lock would keep it for this long.
        sys.setswitchinterval(60.0)
        counter.start()
        for work in (docs.optimize, lambda: docs.search_batch(rows(2000, dim=64), exact=True)):
            before = counted
            work()
            assert counted - before > 100
    finally:
        running = False
        sys.setswitchinterval(interval)
        counter.join()


def test_other_threads_get_turns_while_rows_are_read(docs: Collection) -> None:
    """Reading rows needs the lock, so it is let go of between them; the last row is wrong, so that nothing but reading happens."""
    counted, running = 0, True

    def count() -> None:
        nonlocal counted
        while running:
            counted += 1
            time.sleep(0)

    payloads: list[dict[str, object]] = [{"n": n} for n in range(200_000)]
    payloads[-1] = {"n": object()}
    vectors = rows(200_000)
    counter = threading.Thread(target=count)
    counter.start()
    before = counted
    try:
        with pytest.raises(vectordb.InvalidPayload):
            docs.upsert(range(200_000), vectors, payloads)
        assert counted - before > 3
    finally:
        running = False
        counter.join()


def test_closing_waits_for_what_is_under_way(path: object) -> None:
    db = vectordb.open()
    docs = db.create_collection("docs", DIM)
    docs.upsert(range(1000), rows(1000))
    failed: list[Exception] = []

    def search() -> None:
        try:
            while True:
                assert len(docs.search(rows(1)[0])) == 10
        except vectordb.Closed:
            pass
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    db.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert not failed


def test_vectors_are_not_kept_by_reference(docs: Collection) -> None:
    given = rows(1)
    docs.upsert([500], given)
    given[:] = np.nan
    (point,) = docs.get([500], with_vectors=True)
    assert point is not None and np.isfinite(point.vector).all()
