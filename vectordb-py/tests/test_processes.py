"""Other processes: one writer, many readers, children."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from conftest import DIM, rows

import vectordb
from vectordb import Collection, Database

FORK = multiprocessing.get_context("fork")
# After so long it hangs.
SECONDS = 60


def in_child(call: Callable[[], Any]) -> str:
    """What a call gives in a child that was forked from here."""

    def run(answers: Connection) -> None:
        try:
            answer = repr(call())
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        answers.send(answer)

    here, there = FORK.Pipe()
    child = FORK.Process(target=run, args=(there,))
    child.start()
    assert here.poll(SECONDS), "the child hangs"
    answer: str = here.recv()
    child.join(SECONDS)
    assert child.exitcode == 0, "the child does not end"
    return answer


def test_a_forked_child_is_told_at_once(db: Database, docs: Collection) -> None:
    for call in (
        lambda: docs.search(rows(1)[0]),
        lambda: docs.upsert([1], rows(1)),
        lambda: docs.count(),
        lambda: docs.optimize(),
        lambda: db.collections(),
        lambda: db.create_collection("new", 3),
        lambda: db.close(),
    ):
        answer = in_child(call)
        assert answer.startswith("Forked: ") and str(os.getpid()) in answer
    assert "of the process that forked" in in_child(lambda: repr(db)) and "forked" in in_child(lambda: repr(docs))
    assert len(docs) == 100 and docs.upsert([1000], rows(1)) == 1


def test_a_child_that_lets_go_ends_and_harms_nothing(path: Path) -> None:
    db = vectordb.open(path)
    docs = db.create_collection("docs", DIM)
    docs.upsert(range(10), rows(10))
    held = {"db": db, "docs": docs}
    assert in_child(lambda: held.clear()) == "None" and len(docs) == 10
    with pytest.raises(vectordb.Locked):
        vectordb.open(path)
    db.close()
    vectordb.open(path).close()


def test_a_child_may_write_when_its_parent_has_closed(path: Path) -> None:
    db = vectordb.open(path)
    db.create_collection("docs", DIM).upsert(range(10), rows(10))
    here, there = FORK.Pipe()

    def write(asked: Connection) -> None:
        for _ in range(2):
            asked.recv()
            try:
                with vectordb.open(path) as own:
                    answer: object = own["docs"].upsert([10], rows(1))
            except vectordb.Error as error:
                answer = type(error).__name__
            asked.send(answer)

    child = FORK.Process(target=write, args=(there,))
    child.start()

    def answer() -> object:
        here.send(None)
        assert here.poll(SECONDS), "the child hangs"
        return here.recv()

    assert answer() == "Locked"
    db.close()
    assert answer() == 1
    child.join(SECONDS)
    assert child.exitcode == 0
    with vectordb.open(path) as again:
        assert len(again["docs"]) == 11


def test_a_child_that_ends_does_not_free_the_directory(path: Path) -> None:
    script = "import sys, vectordb; vectordb.open(sys.argv[1])"
    with vectordb.open(path) as db:
        # One ends without a word, the other one lets everything go and ends as programs do.
        for end in (lambda: os._exit(0), lambda: None):
            child = FORK.Process(target=end)
            child.start()
            child.join(SECONDS)
            assert child.exitcode == 0
            other = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=SECONDS)
            assert other.returncode == 1 and f"process {os.getpid()}" in other.stderr
        assert db.collections() == []


def test_a_child_may_read_what_its_parent_writes(path: Path, docs: Collection) -> None:
    def read() -> int:
        with vectordb.open(path, read_only=True) as db:
            return len(db["docs"])

    assert in_child(read) == "100"


def test_children_of_the_client_are_told_too() -> None:
    from vectordb import qdrant

    client = qdrant.client()
    assert "and then forked" in in_child(lambda: client.get_collections())
    client.close()


WRITER = """
import sys, time, numpy as np, vectordb
db = vectordb.open(sys.argv[1])
docs = db.create_collection("docs", 8, exist_ok=True)
print("ready", flush=True)
for line in sys.stdin:
    start = int(line)
    docs.upsert(range(start, start + 100), np.ones((100, 8)), [{"n": n} for n in range(start, start + 100)])
    print(len(docs), flush=True)
"""


def test_readers_see_what_another_process_writes_and_a_second_writer_is_refused(path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdin is not None and writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(vectordb.Locked, match=f"process {writer.pid}.*read-only"):
            vectordb.open(path)
        with vectordb.open(path, read_only=True) as reader, vectordb.open(path, read_only=True) as other:
            docs = reader["docs"]
            for batch in range(5):
                print(batch * 100, file=writer.stdin, flush=True)
                assert writer.stdout.readline() == f"{batch * 100 + 100}\n"
                assert len(docs) == batch * 100
                reader.refresh()
                assert len(docs) == batch * 100 + 100 and docs.count(f"n >= {batch * 100}") == 100
            other.refresh()
            assert len(other["docs"]) == 500
            for call in (
                lambda: docs.upsert([1], rows(1)),
                lambda: docs.delete([1]),
                lambda: reader.create_collection("new", 3),
                lambda: reader.snapshot("docs", path.with_suffix(".snapshot")),
            ):
                with pytest.raises(vectordb.ReadOnly):
                    call()
        writer.kill()
        writer.wait(SECONDS)
        with vectordb.open(path) as db:
            assert len(db["docs"]) == 500
    finally:
        writer.kill()
        writer.communicate()


def test_a_process_ends_without_closing_anything(path: Path) -> None:
    script = "import sys, numpy, vectordb; db = vectordb.open(sys.argv[1]); db.create_collection('a', 2).upsert([1], numpy.ones((1, 2)))"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    with vectordb.open(path) as db:
        assert len(db["a"]) == 1
