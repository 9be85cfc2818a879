"""How long a search takes in the engine, in the server around it, and on the way to the server and back.

    python share.py PROGRAM DIR            DIR has base.npy and queries.npy, as the generators of data write them

The vectors are uploaded, and one connection asks, in turns: for `/healthz`, which costs the way alone (the loopback, two wake-ups, HTTP);
for a search of the same length in a collection of one point, which costs what the server does around the engine as well; and for the searches
themselves. Requests are made before the clock runs, and answers are not read. The engine alone is the same program in process (`bench
--storage-path`), which takes turns with the server; and, since a processor that waited for a request finds less in its caches than one
that never waits, also the engine's own time within the server (`x-vdb-explain`), beside what the server's clock says of the same searches
without that. Times are medians, with the processor time of the server for each request. Needs NumPy.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

import numpy as np

import rest
from rest import HOST
from start import PORT, Server

ROUNDS, SECONDS = 5, 2.0


@dataclass
class Kind:
    """Requests that are made one after the other."""

    requests: list[bytes]
    micros: list[float]
    cpu_micros: list[float]


def request(method: str, path: str, body: object = None, explained: bool = False) -> bytes:
    """A request as it travels."""
    content = b"" if body is None else json.dumps(body).encode()
    wish = "x-vdb-explain: true\r\n" if explained else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n{wish}content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def search(collection: str, query: np.ndarray, explained: bool = False) -> bytes:
    """A search for ten points without their payloads."""
    body = {"query": [float(number) for number in query], "limit": 10}
    return request("POST", f"/collections/{collection}/points/query", body, explained)


def answer(connection: socket.socket) -> bytes:
    """Takes an answer, which must be a good one."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(got[:300])
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(65536)
    return body


def processor_micros(process: int) -> float:
    """What a process has used so far."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def ask(server: Server, kind: Kind) -> None:
    """Asks one after the other for some seconds."""
    with socket.create_connection((HOST, PORT)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun, used, asked = time.monotonic(), processor_micros(server.process.pid), 0
        while time.monotonic() - begun < SECONDS:
            message = kind.requests[asked % len(kind.requests)]
            sent = time.perf_counter()
            connection.sendall(message)
            answer(connection)
            kind.micros.append((time.perf_counter() - sent) * 1e6)
            asked += 1
        kind.cpu_micros.append((processor_micros(server.process.pid) - used) / asked)


def by_the_servers_clock(queries: np.ndarray) -> tuple[float, float]:
    """Microseconds of searches in the server, and of the engine in them, in turns."""
    whole, engine = [], []
    with socket.create_connection((HOST, PORT)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for explained in (False, True) * ROUNDS:
            for query in queries:
                connection.sendall(search("data", query, explained))
                told = json.loads(answer(connection))
                if explained:
                    engine.append(told["explain"][0][0]["elapsed_secs"] * 1e6)
                else:
                    whole.append(told["time"] * 1e6)
    return statistics.median(whole), statistics.median(engine)


def fill(program: str, data: pathlib.Path, dim: int) -> None:
    """The collections that are searched."""
    for name in ("data", "tiny"):
        rest.done(PORT, "PUT", f"/collections/{name}", {"vectors": {"size": dim, "distance": "Cosine"}})
    rest.done(PORT, "PUT", "/collections/tiny/points?wait=true", {"points": [{"id": 1, "vector": [1.0] * dim}]})
    command = [program, "bench", "--uri", f"http://{HOST}:{PORT}", "--collection", "data", "--upload", str(data / "base.npy")]
    subprocess.run([*command, "--batch", "100", "--clients", "2", "--json"], check=True, stdout=subprocess.DEVNULL)
    while rest.done(PORT, "GET", "/collections/data")["status"] != "green":
        time.sleep(1)
    # What is left to merge begins when nobody has written for a while.
    time.sleep(10)
    while rest.done(PORT, "GET", "/collections/data")["status"] != "green":
        time.sleep(1)


def engine_micros(program: str, data: pathlib.Path, room: pathlib.Path) -> float:
    """The engine in process, in turns with the server."""
    command = [program, "bench", "--uri", f"http://{HOST}:{PORT}", "--collection", "data", "--queries", str(data / "queries.npy")]
    command += ["--clients", "1", "--seconds", "8", "--storage-path", str(room / "storage"), "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return report["engine"]["p50_ms"] * 1000


def main() -> None:
    """Prints a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("data", type=pathlib.Path)
    args = parser.parse_args()
    program = str(pathlib.Path(args.program).resolve())
    queries = np.load(args.data / "queries.npy")[:500]
    kinds = {
        "the way": [request("GET", "/healthz")],
        "one point": [search("tiny", query) for query in queries],
        "search": [search("data", query) for query in queries],
    }
    seen = {name: Kind(requests, [], []) for name, requests in kinds.items()}
    with tempfile.TemporaryDirectory() as folder:
        room = pathlib.Path(folder)
        server = Server(program, room)
        try:
            fill(program, args.data, queries.shape[1])
            for _ in range(ROUNDS):
                for kind in seen.values():
                    ask(server, kind)
            whole, within = by_the_servers_clock(queries)
            engine = engine_micros(program, args.data, room)
        finally:
            server.process.terminate()
            server.process.wait()
    micros = {name: statistics.median(kind.micros) for name, kind in seen.items()}
    for name, kind in seen.items():
        print(f"{name:<10} {micros[name]:8.1f} us, server {statistics.median(kind.cpu_micros):8.1f} us of processor time")
    added = micros["search"] - micros["the way"] - engine
    print(f"engine     {engine:8.1f} us; the server adds {added:.1f} us ({added / engine:.0%}), the way {micros['the way']:.1f} us")
    print(f"by the server's clock {whole:.1f} us, of which the engine has {within:.1f}: the rest adds {whole / within - 1:.0%}")
    print(json.dumps(micros | {"engine": engine, "added_share": added / engine, "whole": whole, "engine_within": within}))


if __name__ == "__main__":
    main()
