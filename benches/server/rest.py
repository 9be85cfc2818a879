"""Requests to a server on this machine."""

from __future__ import annotations

import http.client
import json
from typing import Any

HOST = "127.0.0.1"


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """The status of an answer, and its body."""
    connection = http.client.HTTPConnection(HOST, port, timeout=600)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def done(port: int, method: str, path: str, body: Any = None) -> Any:
    """The result of what must not fail."""
    status, answer = call(port, method, path, body)
    if status != 200:
        raise SystemExit(f"{method} {path}: {status} {answer[:300]!r}")
    return json.loads(answer)["result"]
