"""Asks every operation of the API what it is for, and keeps the table of which of them work.

The operations are those of `operations.py`; that it names all that there are is checked against the routes of the server and
against the services of the stock client. One works when all its probes are answered as they should be, works in part when some
are, and is missing when the server knows it not. The table is `OPERATIONS.md`, written anew with `VECTORDB_WRITE=1`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format, message_factory
from operations import ANY, GRPC, REST, Operation, Probe
from server import TOP, Server

TABLE = TOP / "vectordb-server/OPERATIONS.md"
ROUTES = TOP / "vectordb-server/service/src/rest/routes.rs"
HEAD = """# Operations of the API

Written by [`test_operations.py`](tests/client/python/test_operations.py), which asks each operation of a running server the probes
of [`operations.py`](tests/client/python/operations.py): it works when all of them are answered as they should be, in part when
some are, and is missing when the server does not know it. P0 is what the plainest use needs, P1 what clients have methods for, P2
the rest.
"""


class Door:
    """Asks probes through one door, and keeps what they say to keep."""

    def __init__(self, server: Server) -> None:
        self.kept: dict[str, Any] = {"url": server.url, "room": server.directory.name}
        self.http = httpx.Client(base_url=server.url, timeout=60)
        points = [{"id": n, "vector": [n, 1], "payload": {"n": n, "city": ("Oslo", "Rome")[n % 2]}} for n in range(10)]
        dense = {"size": 2, "distance": "Dot"}
        for path, body in {
            "/collections/a": {"vectors": dense, "shard_number": 2},
            "/collections/a/points?wait=true": {"points": points},
            "/collections/tenants": {"vectors": dense, "sharding_method": "custom"},
        }.items():
            self.http.put(path, json=body).raise_for_status()

    def close(self) -> None:
        self.http.close()

    def filled(self, value: Any) -> Any:
        """A value with the names that were kept."""
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda match: str(self.kept.get(match[1], match[0])), value)
        if isinstance(value, dict):
            return {name: self.filled(member) for name, member in value.items()}
        return [self.filled(each) for each in value] if isinstance(value, list) else value

    def rest(self, operation: Operation, probe: Probe) -> str | None:
        """Why an answer is not as it should be; nothing if it is."""
        method = operation.name.split()[0]
        files = {"snapshot": self.kept[probe.file]} if probe.file else None
        answer = self.http.request(method, self.filled(probe.path), json=self.filled(probe.body), files=files)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        body = answer.json() if is_json else answer.text if answer.headers.get("content-type", "").startswith("text/") else answer.content
        if answer.status_code == 404 and not answer.content or answer.status_code == 405 and not answer.content:
            return "missing"
        if answer.status_code != probe.status:
            return f"{answer.status_code} for {probe.status}: {answer.text[:300]}"
        if probe.save:
            self.kept[probe.save] = body["result"]["name"] if is_json else body
        return differs(body, self.filled(probe.expect))


class Calls(Door):
    """The same over gRPC."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")

    def close(self) -> None:
        super().close()
        self.channel.close()

    def grpc(self, operation: Operation, probe: Probe) -> str | None:
        method = METHODS[operation.name]
        request = json_format.ParseDict(self.filled(probe.body), message_factory.GetMessageClass(method.input_type)())
        answer = message_factory.GetMessageClass(method.output_type)
        call = self.channel.unary_unary(f"/qdrant.{operation.name}", lambda message: message.SerializeToString(), answer.FromString)
        try:
            reply = call(request, timeout=60)
            body: Any = json_format.MessageToDict(reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            status = "OK"
        except grpc.RpcError as error:
            body, status = error.details(), error.code().name
        if status == "UNIMPLEMENTED" and probe.status != status:
            return "missing"
        if status != probe.status:
            return f"{status} for {probe.status}: {body}"
        if probe.save:
            self.kept[probe.save] = body["snapshot_description"]["name"]
        return differs(body, self.filled(probe.expect))


def differs(found: Any, expected: Any, place: str = "") -> str | None:
    """Where an answer does not hold what it should."""
    if expected is ANY:
        return None
    if isinstance(expected, re.Pattern):
        return None if isinstance(found, str) and expected.match(found) else f"{place}: {str(found)[:300]!r}"
    if isinstance(expected, dict) and isinstance(found, dict):
        missing = [name for name in expected if name not in found]
        return f"{place}: no {missing}" if missing else first(differs(found[name], expected[name], f"{place}.{name}") for name in expected)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return first(differs(a, b, f"{place}[{at}]") for at, (a, b) in enumerate(zip(found, expected)))
    return None if found == expected and isinstance(found, bool) == isinstance(expected, bool) else f"{place}: {str(found)[:300]} for {expected}"


def first(reasons: Any) -> str | None:
    return next((reason for reason in reasons if reason), None)


def services() -> dict[str, Any]:
    """The methods of the stock client's services, by `Service/Method`."""
    files = ("points_service", "collections_service", "snapshots_service", "qdrant")
    found = {}
    for file in files:
        descriptor = importlib.import_module(f"qdrant_client.grpc.{file}_pb2").DESCRIPTOR
        for service in descriptor.services_by_name.values():
            found |= {f"{service.name}/{method.name}": method for method in service.methods}
    return found


METHODS = services()


def stand(operation: Operation, ask: Callable[[Operation, Probe], str | None]) -> tuple[str, list[str]]:
    """How an operation stands, and what is wrong with it."""
    answers = [ask(operation, probe) for probe in operation.probes]
    wrong = [answer for answer in answers if answer]
    if not wrong:
        return "works", []
    return ("missing" if "missing" in wrong else "partial"), wrong


def section(title: str, operations: list[Operation], stands: list[str]) -> str:
    counts = {word: stands.count(word) for word in ("works", "partial", "missing")}
    lines = [f"\n## {title}\n", f"{counts['works']} work, {counts['partial']} in part, {counts['missing']} are missing.\n"]
    lines += ["| operation | priority | | probes | |", "|---|---|---|--:|---|"]
    for operation, word in zip(operations, stands):
        lines.append(f"| `{operation.name}` | {operation.priority} | {word} | {len(operation.probes)} | {operation.remark} |")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def table() -> tuple[str, list[str]]:
    """The table as it is now, and what is wrong with operations of P0 and P1."""
    text, wrong = HEAD, []
    for title, operations, door, ask in (("REST", REST, Door, "rest"), ("gRPC", GRPC, Calls, "grpc")):
        with Server() as server:
            asked = door(server)
            stands = []
            for operation in operations:
                word, reasons = stand(operation, getattr(asked, ask))
                stands.append(word)
                if word != "works" and operation.priority != "P2":
                    wrong.append(f"{operation.name}: {word}: {json.dumps(reasons, default=str)}")
            asked.close()
            text += section(title, operations, stands)
    return text, wrong


def test_all_of_p0_and_p1_works(table: tuple[str, list[str]]) -> None:
    assert table[1] == []


def test_the_table_is_as_written(table: tuple[str, list[str]]) -> None:
    if os.environ.get("VECTORDB_WRITE"):
        TABLE.write_text(table[0])
    assert TABLE.read_text() == table[0], "VECTORDB_WRITE=1 writes it anew"


def test_every_operation_is_in_the_table() -> None:
    routes = re.findall(r'^    ([A-Z]+) "([^"]+)" \w+ \w+::\w+;$', ROUTES.read_text(), re.MULTILINE)
    assert len(routes) > 70
    assert {" ".join(route) for route in routes} <= {operation.name for operation in REST}
    assert sorted(METHODS) == sorted(operation.name for operation in GRPC) and len(METHODS) == 51
    for operations in (REST, GRPC):
        names = [operation.name for operation in operations]
        assert len(set(names)) == len(names) and all(operation.probes for operation in operations)
