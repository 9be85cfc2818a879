"""How long a server takes until it is ready again, and how much memory it takes.

    python start.py PROGRAM small                 1,000 collections of 100 points
    python start.py PROGRAM large                 1,000,000 points of 384 dimensions, with their graphs
    python start.py PROGRAM large --points 100000 --dim 128 --keep DIR

The data is made over the API, the server is stopped, started again, killed, and started once more; each time it is asked for
`/readyz` every few milliseconds. "Ready" is the time from the start of the process to the first 200, "answers" to the first search
that is answered. The page cache stays warm, as it does after a restart of a pod. With `--keep` the data stays in DIR and is used again.
Only the standard library is needed, and NumPy for `large`. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Any

import rest
from rest import HOST

PORT, GRPC_PORT = 16411, 16412


class Server:
    """The program with its data in a directory."""

    def __init__(self, program: str, room: pathlib.Path) -> None:
        values = {"SERVICE__HOST": HOST, "SERVICE__HTTP_PORT": str(PORT), "SERVICE__GRPC_PORT": str(GRPC_PORT), "LOG_LEVEL": "warn"}
        environment = os.environ | {f"VECTORDB__{name}": value for name, value in values.items()}
        self.began = time.monotonic()
        self.process = subprocess.Popen([program], cwd=room, env=environment)
        self.ready_secs = self.wait("/readyz")

    def wait(self, path: str, body: Any = None) -> float:
        """Seconds from the start until a request is answered with 200."""
        while self.process.poll() is None and time.monotonic() - self.began < 600:
            try:
                status, _ = rest.call(PORT, "GET" if body is None else "POST", path, body)
                if status == 200:
                    return time.monotonic() - self.began
            except OSError:
                pass
            time.sleep(0.005)
        raise SystemExit("the server does not start")

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of the process, and the part of it that is not files."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        return {name: int(fields[key].split()[0]) / 1024 for name, key in (("resident", "VmRSS"), ("anonymous", "RssAnon"))}

    def stop(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=120)


def done(method: str, path: str, body: Any = None) -> Any:
    return rest.done(PORT, method, path, body)


def make_small(arguments: argparse.Namespace) -> None:
    rnd = random.Random(1)
    for n in range(arguments.collections):
        done("PUT", f"/collections/c{n}", {"vectors": {"size": arguments.dim, "distance": "Cosine"}})
        points = [{"id": i, "vector": [rnd.gauss(0, 1) for _ in range(arguments.dim)], "payload": {"n": i, "city": f"city {i % 7}"}} for i in range(100)]
        done("PUT", f"/collections/c{n}/points?wait=true", {"points": points})
        if n % 100 == 99:
            print(f"{n + 1} collections", flush=True)


def make_large(arguments: argparse.Namespace, room: pathlib.Path) -> None:
    import numpy

    rng = numpy.random.default_rng(1)
    centres = rng.standard_normal((1000, arguments.dim), dtype=numpy.float32)
    file = room / "vectors.npy"
    table = numpy.lib.format.open_memmap(file, "w+", numpy.float32, (arguments.points, arguments.dim))
    for at in range(0, arguments.points, 10_000):
        count = min(10_000, arguments.points - at)
        table[at : at + count] = centres[rng.integers(0, 1000, count)] + rng.standard_normal((count, arguments.dim), dtype=numpy.float32)
    table.flush()
    done("PUT", "/collections/c0", {"vectors": {"size": arguments.dim, "distance": "Cosine"}})
    began = time.monotonic()
    bench = [arguments.program, "bench", "--uri", f"http://{HOST}:{PORT}", f"--grpc=http://{HOST}:{GRPC_PORT}", "--collection", "c0"]
    subprocess.run([*bench, "--upload", str(file), "--batch", "500", "--clients", "2"], check=True)
    print(f"uploaded in {time.monotonic() - began:.0f} s", flush=True)
    file.unlink()
    while done("GET", "/collections/c0")["status"] != "green":
        time.sleep(5)
    print(f"green after {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("what", choices=["small", "large"])
    parser.add_argument("--collections", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=None)
    parser.add_argument("--keep", type=pathlib.Path, default=None)
    arguments = parser.parse_args()
    arguments.dim = arguments.dim or (64 if arguments.what == "small" else 384)

    room = arguments.keep or pathlib.Path(tempfile.mkdtemp(prefix="vectordb-start-"))
    room.mkdir(parents=True, exist_ok=True)
    server = Server(arguments.program, room)
    try:
        if not (room / "made").exists():
            if arguments.what == "small":
                make_small(arguments)
            else:
                make_large(arguments, room)
            (room / "made").touch()
        report: dict[str, Any] = {"what": arguments.what, "dim": arguments.dim, "after_making_mb": server.memory_mb()}
        query = {"query": [1.0] * arguments.dim, "limit": 10}
        for how in (signal.SIGTERM, signal.SIGKILL):
            server.stop(how)
            server = Server(arguments.program, room)
            ready_mb = server.memory_mb()
            answers = server.wait("/collections/c0/points/query", query)
            figures = {"ready_secs": round(server.ready_secs, 3), "answers_secs": round(answers, 3), "ready_mb": ready_mb, "after_search_mb": server.memory_mb()}
            report[f"after_{how.name}"] = figures
            print(how.name, figures, flush=True)
        report["points"] = sum(done("GET", f"/collections/{each['name']}")["points_count"] for each in done("GET", "/collections")["collections"])
        print(json.dumps(report))
    finally:
        server.stop(signal.SIGTERM)
        if arguments.keep is None:
            shutil.rmtree(room)


if __name__ == "__main__":
    main()
