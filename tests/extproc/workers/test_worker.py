"""A real worker as a process, with the test for its supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.placement import Role, Seat
from extproc.sockets import bind
from extproc.workers.status import Failure, Measured, Status, from_line
from extproc.workers.supervisor import worker_program

TREE: dict[str, Any] = {
    "server": {"transport": "wire", "grace": 1},
    "policies": [
        {
            "policy": "entra",
            "settings": {
                "audiences": ["api://x"],
                "tenants": [{"id": "16223b5e-7f36-5850-bda3-09553ced0b0e"}],
                "fetch_from": "http://127.0.0.1:1",
            },
        }
    ],
}


@dataclass(slots=True)
class Started:
    process: subprocess.Popen[bytes]
    address: str
    listening: socket.socket
    reports: Iterator[Status | Failure | None]

    def first(self) -> Status | Failure | None:
        """The first word of it that it serves, or that it never will."""
        return next(one for one in self.reports if not isinstance(one, Status) or one.serving)

    def last(self) -> Status | Failure | None:
        """What it says until it has ended; the last of it."""
        *_, last = self.reports
        return last

    def leash(self) -> Any:
        assert self.process.stdin is not None
        return self.process.stdin


@contextlib.contextmanager
def worker(configuration: bytes, patience: float = 0.0) -> Iterator[Started]:
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder, os.fdopen(reading, "rb") as pipe:
        address = f"unix:{Path(folder, 'p.sock')}"
        with bind(address) as listening:
            process = subprocess.Popen(
                worker_program(Seat(1, Role.DECIDE, address), listening.fileno(), writing),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(listening.fileno(), writing),
            )
            os.close(writing)
            with process:
                try:
                    assert process.stdin is not None
                    process.stdin.write(b'{"patience": %g, "configuration": %s}\n' % (patience, configuration))
                    process.stdin.flush()
                    said = (one for one in map(from_line, pipe) if not isinstance(one, Measured))
                    yield Started(process, address, listening, said)
                finally:
                    process.kill()


def serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_it_serves_on_its_socket_says_how_it_is_and_drains() -> None:
    with worker(json.dumps(TREE).encode()) as started:
        first = started.first()
        assert isinstance(first, Status)
        assert not serving(started.address)
        started.process.send_signal(signal.SIGINT)
        started.process.send_signal(signal.SIGHUP)
        assert isinstance(started.first(), Status)
        started.process.send_signal(signal.SIGTERM)
        last = started.last()
        assert isinstance(last, Status)
        assert last.counters["streams"] == 1
        assert any("no signing keys" in line for line in last.missing)
        assert started.process.wait(10) == 0
        assert started.process.stderr is not None
        assert started.process.stderr.read() == b""
        # The socket is its supervisor's: it still takes connections, for whoever comes next.
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(started.address.removeprefix("unix:"))


@pytest.mark.parametrize("number", [signal.SIGTERM, None])
def test_while_it_is_not_ready_it_takes_nobody_in_and_can_be_ended(number: signal.Signals | None) -> None:
    with worker(json.dumps(TREE).encode(), patience=600) as started:
        with grpc.insecure_channel(started.address) as channel:
            asked = health_pb2_grpc.HealthStub(channel).Check.future(health_pb2.HealthCheckRequest(), timeout=60)
            words = [next(started.reports) for _ in range(3)]
            assert all(isinstance(word, Status) and not word.serving and word.missing for word in words[1:])
            assert not asked.done()
            asked.cancel()
        if number is None:
            started.leash().close()
        else:
            started.process.send_signal(number)
        assert started.process.wait(10) == 0


def test_it_goes_when_its_supervisor_has_gone() -> None:
    with worker(json.dumps(TREE).encode()) as started:
        assert isinstance(started.first(), Status)
        started.leash().close()
        assert isinstance(started.last(), Status)
        assert started.process.wait(10) == 0


@pytest.mark.parametrize(
    ("configuration", "words", "status"),
    [
        (json.dumps({**TREE, "policies": [{"policy": "nobody"}]}).encode(), "no policy 'nobody'", 2),
        (json.dumps({"policies": []}).encode(), "policies", 2),
        (b"{", "it failed: JSONDecodeError", 1),
        (b"", "it failed: JSONDecodeError", 1),
    ],
)
def test_it_says_why_it_cannot_serve(configuration: bytes, words: str, status: int) -> None:
    with worker(configuration) as started:
        report = started.last()
        assert isinstance(report, Failure)
        assert words in report.mistakes[0]
        assert started.process.wait(10) == status
        assert started.process.stderr is not None
        assert started.process.stderr.read() == b""
