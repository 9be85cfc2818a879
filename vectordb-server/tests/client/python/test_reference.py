"""The reference's in-memory mode and the two doors answer alike: short runs of the programs that ask them at random."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from server import TOP, Server


def run(program: pathlib.Path, *arguments: str) -> str:
    result = subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout


@pytest.mark.parametrize("door", ["rest", "grpc"])
def test_the_server_answers_as_the_reference(server: Server, door: str) -> None:
    how = ["--shards", "3"] if door == "rest" else ["--grpc-port", str(server.grpc_port)]
    program = TOP / "benches/reference/differential.py"
    run(program, "--url", server.url, *how, "--updates", "40", "--queries", "160", "--seed", "11")


def test_both_doors_answer_alike(server: Server) -> None:
    run(pathlib.Path(__file__).with_name("doors.py"), server.url, str(server.grpc_port), "3")
