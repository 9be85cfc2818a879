"""Starts the server on free loopback ports with its data in a temporary directory, and stops it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
import time
from types import TracebackType

TOP = pathlib.Path(__file__).resolve().parents[4]


class Server:
    """A running server. `settings` are those of the environment: `{"SERVICE__API_KEY": "secret"}`.

    The program is the one that `VECTORDB` names, or the one that `cargo build` makes.
    """

    def __init__(self, **settings: str) -> None:
        program = os.environ.get("VECTORDB", str(TOP / "target/debug/vectordb"))
        self.directory = tempfile.TemporaryDirectory(prefix="vectordb-client-")
        room = pathlib.Path(self.directory.name)
        values = {
            "SERVICE__HOST": "127.0.0.1",
            "SERVICE__HTTP_PORT": "0",
            "SERVICE__GRPC_PORT": "0",
            "STORAGE__STORAGE_PATH": str(room / "storage"),
            "STORAGE__SNAPSHOTS_PATH": str(room / "snapshots"),
            "LOGGER__FORMAT": "json",
            **settings,
        }
        # What is a list has no form in the environment.
        room.joinpath("config").mkdir()
        room.joinpath("config/local.yaml").write_text('storage: {snapshots_config: {recovery_allowed_hosts: ["127.0.0.1"]}}\n')
        self.log = room / "log"
        environment = os.environ | {f"VECTORDB__{name}": value for name, value in values.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([program], cwd=room, env=environment, stdout=log, stderr=log)
        http, grpc = self._addresses()
        self.url = f"http://{http}"
        self.grpc_port = int(grpc.rpartition(":")[2])

    def _addresses(self) -> tuple[str, str]:
        """Where it listens, as its log says."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                fields = json.loads(line).get("fields", {}) if line.startswith("{") and line.endswith("}") else {}
                if fields.get("message") == "listening":
                    return fields["http_address"], fields["grpc_address"]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        raise RuntimeError(f"the server does not start: {self.log.read_text()}")

    def stop(self) -> None:
        """Asks it to stop, and waits until it has."""
        self.process.terminate()
        try:
            status = self.process.wait(timeout=60)
        finally:
            self.process.kill()
            log = self.log.read_text()
            self.directory.cleanup()
        assert status == 0, f"the server ended with {status}: {log}"
        assert "panicked" not in log, log

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
