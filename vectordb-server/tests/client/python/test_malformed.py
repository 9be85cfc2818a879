"""Ten thousand requests that are broken in some way: none is answered as a fault of the server, nothing panics, and memory stays.

Some are no HTTP at all, some lie about their length, form or compression, some have a body that was cut, bent or filled with what does not
belong there, and some are no message of gRPC. They come from a fixed seed. A broken request may still make sense, and is then answered.
"""

from __future__ import annotations

import copy
import gzip
import http.client
import json
import os
import pathlib
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from server import Server

NUMBER = int(os.environ.get("VECTORDB_MALFORMED", "10000"))
WRITE, READ = "PUT /collections/a/points?wait=true", "POST /collections/a/points/query"
BODIES: dict[str, Any] = {
    WRITE: {"points": [{"id": 7, "vector": {"": [1, 0.5], "words": {"indices": [1, 5], "values": [1, 2]}}, "payload": {"n": 1, "at": {"lon": 1, "lat": 2}}}]},
    READ: {
        "prefetch": [{"query": [1, 2], "filter": {"must": [{"key": "n", "range": {"gte": 1}}]}, "limit": 5}],
        "query": {"formula": {"sum": ["$score", {"mult": [0.5, {"key": "n", "match": {"value": 1}}]}]}},
        "with_payload": ["n"],
        "params": {"hnsw_ef": 16, "quantization": {"oversampling": 2}},
        "limit": 3,
    },
    "POST /collections/a/points/scroll": {"filter": {"should": [{"nested": {"key": "k", "filter": {"must": []}}}, {"has_id": [1, 2]}]}, "limit": 3},
    "POST /collections/a/points/recommend": {"positive": [1], "negative": [2], "limit": 2, "strategy": "best_score"},
    "POST /collections/a/points/batch": {"operations": [{"set_payload": {"payload": {"x": [1]}, "points": [1], "key": "a.b[0]"}}]},
    "POST /collections/a/facet": {"key": "n", "limit": 3, "exact": True},
    "PUT /collections/a/index": {"field_name": "n", "field_schema": {"type": "integer", "lookup": True, "range": True}},
    "PATCH /collections/a": {"optimizers_config": {"indexing_threshold": 100}, "params": {"on_disk_payload": True}},
    "POST /collections/aliases": {"actions": [{"create_alias": {"collection_name": "a", "alias_name": "b"}}]},
    "PUT /collections/a/snapshots/recover": {"location": "file:///nowhere", "priority": "snapshot"},
}
STRANGE: list[Any] = [None, True, -1, 0, 1.5, 1e300, 2**64, "", "\0", "../../etc/passwd", "x" * 5000, [], {}, [[]], {"": {}}, [1, "a"], {"key": "n"}]
PATHS = ["/collections/%00", "/collections/..%2f..%2fetc", "/collections/%ff%fe", "/collections/" + "x" * 3000, "//", "/?wait=%", "/collections/a/points/-1", "*"]


def bent(random: random.Random, body: Any) -> Any:
    """A copy with something else in place of one part."""
    body = copy.deepcopy(body)
    node = body
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = random.choice(keys)
        child = node[key]
        if isinstance(child, (dict, list)) and child and random.random() < 0.75:
            node = child
            continue
        if isinstance(node, dict) and random.random() < 0.2:
            del node[key]
        else:
            node[key] = random.choice(STRANGE)
        return body


def broken(random: random.Random, body: bytes) -> bytes:
    """The same bytes, cut, changed, repeated or wrapped."""
    at = random.randrange(len(body))
    return random.choice([
        body[:at],
        body[:at] + bytes([random.randrange(256)]) + body[at + 1 :],
        body + body,
        b"[" * random.randrange(1, 3000) + body,
        random.randbytes(at),
    ])


class Door:
    """A connection for HTTP that is renewed when the other side ends it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.connection = http.client.HTTPConnection(*address, timeout=30)

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        try:
            self.connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in ({"content-type": "application/json", "content-length": str(len(body))} | headers).items():
                self.connection.putheader(name, value)
            self.connection.endheaders(body)
            answer = self.connection.getresponse()
            answer.read()
            return answer.status
        except (http.client.HTTPException, OSError):
            self.connection.close()
            return 0

    def throw(self, bytes_: bytes) -> int:
        """Sends bytes as they are on a connection of their own, and reads until the other side is done."""
        with socket.create_connection(self.address, timeout=30) as raw:
            answer = b""
            try:
                raw.sendall(bytes_)
                raw.shutdown(socket.SHUT_WR)
                while part := raw.recv(65536):
                    answer += part
            except OSError:
                pass
        line = answer.split(b"\r\n", 1)[0].split()
        return int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/1") and line[1].isdigit() else 0


def over_rest(random: random.Random, door: Door) -> tuple[str, int]:
    """One broken request, and the status of its answer; 0 where the connection was ended without one."""
    operation = random.choice(list(BODIES))
    method, path = operation.split()
    body = BODIES[operation]
    whole = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()
    kinds: dict[str, Callable[[], int]] = {
        "a part is something else": lambda: door.ask(method, path, json.dumps(bent(random, body)).encode(), {}),
        "broken text": lambda: door.ask(method, path, broken(random, whole), {}),
        "another type": lambda: door.ask(method, path, whole, {"content-type": random.choice(["text/plain", "\xff", "multipart/form-data"])}),
        "not compressed": lambda: door.ask(method, path, whole, {"content-encoding": random.choice(["gzip", "br", "zstd", "nonsense"])}),
        "badly compressed": lambda: door.ask(method, path, broken(random, gzip.compress(whole)), {"content-encoding": "gzip"}),
        "a strange path": lambda: door.ask(method, random.choice(PATHS), whole, {}),
        "a strange question": lambda: door.ask(method, f"{path.split('?')[0]}?wait={random.choice(['%ff', '1', '&&=', 'x' * 2000])}&timeout=-1", whole, {}),
        "another method": lambda: door.ask(random.choice(["BREW", "TRACE", "DELETE2", "get"]), path, whole, {}),
        "no HTTP": lambda: door.throw(random.randbytes(random.randrange(1, 400))),
        "cut": lambda: door.throw(head + f"content-length: {len(whole)}\r\n\r\n".encode() + whole[: random.randrange(len(whole))]),
        "two lengths": lambda: door.throw(head + b"content-length: 5\r\ncontent-length: 7\r\n\r\n" + whole),
        "bad chunks": lambda: door.throw(head + b"transfer-encoding: chunked\r\n\r\n" + broken(random, b"5\r\nhello\r\n0\r\n\r\n")),
        "broken head": lambda: door.throw(broken(random, head + b"\r\n")),
    }
    kind = random.choice(list(kinds))
    return kind, kinds[kind]()


def over_grpc(random: random.Random, channel: grpc.Channel) -> tuple[str, str]:
    """One message that is none, and the code of its answer: `UNREADABLE` is what tonic calls an internal error."""
    method = random.choice(["Points/Upsert", "Points/Query", "Points/Scroll", "Points/Facet", "Collections/Create", "Collections/Get", "Snapshots/Create"])
    # Lengths that are right lead deeper into a message than bytes by chance.
    fields = b"".join(bytes([random.randrange(1, 12) << 3 | 2, len(part)]) + part for part in (random.randbytes(random.randrange(40)) for _ in range(3)))
    message = random.choice([random.randbytes(random.randrange(1, 200)), b"\x0a\x01a" + fields, fields])
    call = channel.unary_unary(f"/qdrant.{method}")
    try:
        call(message, timeout=30)
        return method, "OK"
    except grpc.RpcError as error:
        unreadable = "decode Protobuf" in error.details() or "decompress" in error.details()
        return method, "UNREADABLE" if unreadable else error.code().name


def resident(server: Server) -> int:
    pages = pathlib.Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def kept(server: Server) -> Iterator[Callable[[], Any]]:
    """A collection that no request names, and what a search in it says."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for name in ("a", "kept"):
            config = {"vectors": {"size": 2, "distance": "Dot"}, "sparse_vectors": {"words": {}}}
            client.put(f"/collections/{name}", json=config).raise_for_status()
            points = [{"id": n, "vector": {"": [n, 1]}, "payload": {"n": n}} for n in range(100)]
            client.put(f"/collections/{name}/points?wait=true", json={"points": points}).raise_for_status()
        yield lambda: client.post("/collections/kept/points/query", json={"query": [1, 1], "limit": 20}).raise_for_status().json()["result"]


def test_broken_requests_do_no_harm(server: Server, kept: Callable[[], Any]) -> None:
    before = kept()
    draw = random.Random(1)
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    door = Door((host, int(port)))
    seen: dict[str, int] = {}
    warm = 0
    with grpc.insecure_channel(f"{host}:{server.grpc_port}") as channel:
        for n in range(NUMBER):
            if n == NUMBER // 4:
                warm = resident(server)
            if n % 5 == 0:
                kind, code = over_grpc(draw, channel)
                assert code not in ("INTERNAL", "UNKNOWN", "UNAVAILABLE"), f"request {n}, {kind}: {code}"
                seen[code] = seen.get(code, 0) + 1
            else:
                kind, status = over_rest(draw, door)
                assert status < 500 or status == 501, f"request {n}, {kind}: {status}"
                seen[str(status)] = seen.get(str(status), 0) + 1
    grown = resident(server) - warm
    print(f"{NUMBER} broken requests: {dict(sorted(seen.items()))}, resident {warm / 1e6:.1f} MB and {grown / 1e6:+.1f} MB more")
    assert server.process.poll() is None
    assert kept() == before
    assert grown < 32e6, "memory grows with requests that are refused"
    assert "413" not in seen, "a body that breaks off is not too long"
    refused = sum(number for code, number in seen.items() if code.startswith("4") or code in ("0", "INVALID_ARGUMENT", "NOT_FOUND", "UNREADABLE"))
    assert refused > NUMBER / 2, "most of them are really broken"
