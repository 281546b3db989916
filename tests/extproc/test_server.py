"""The policy server's own part: settling what the access log brings, and saying nothing that must not be said."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from extproc.admin.prometheus_text import metrics
from extproc.chain import Chain, Link
from extproc.completion import Completion
from extproc.log import JsonFormatter
from extproc.placement import Placement
from extproc.policy import Policy
from extproc.policy_counters import is_own
from extproc.protos import Message, StreamAccessLogsMessage
from extproc.server import PolicyServer
from extproc.settings import parse
from extproc.transport import ACCESS_LOGS
from extproc.workers.board import Board
from extproc.workers.pulse import status_of
from tests.servers import REPOSITORY


class Settles(Policy):
    """Keeps what it is told; fails for one path."""

    name = "settles"

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.started = self.stopped = False

    def counters(self) -> Mapping[str, int]:
        return {"paths": len(self.paths), "bad name": 1}

    async def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        self.stopped = True

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        self.paths.append(completion.path)
        if completion.path == "/bad":
            raise RuntimeError("cannot settle s3cret")
        if completion.path == "/cancelled":
            raise asyncio.CancelledError
        if completion.path == "/exit":
            raise SystemExit
        return asyncio.sleep(0)


@pytest.fixture
async def served() -> AsyncIterator[tuple[PolicyServer, str, Settles]]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        address = f"unix:{Path(folder, 'policy.sock')}"
        settings = parse({"server": {"listen": address, "grace": 1}, "policies": [{"policy": "settles"}]})
        policy = Settles()
        server = PolicyServer(settings, Chain([Link(policy)]))
        assert await server.start() == address
        assert policy.started
        yield server, address, policy
        await server.stop()
        assert policy.stopped


def entries(*paths: str) -> Message:
    message = StreamAccessLogsMessage()
    for path in paths:
        message.http_logs.log_entry.add().request.path = path
    return message


async def test_every_entry_is_settled_in_order_and_one_that_fails_stops_nothing(
    served: tuple[PolicyServer, str, Settles], capsys: pytest.CaptureFixture[str]
) -> None:
    server, address, policy = served
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_unary(ACCESS_LOGS)()
        await call.write(entries("/1", "/bad").SerializeToString())
        await call.write(entries("/2?secret=1").SerializeToString())
        await call.done_writing()
        await call
    await server.stop()
    assert policy.paths == ["/1", "/bad", "/2"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines if line["event"] == "completion"] == ["/1", "/bad", "/2"]


async def test_what_policies_count_stands_beside_the_servers_own(served: tuple[PolicyServer, str, Settles]) -> None:
    server, _, policy = served
    policy.paths = ["/1", "/2"]
    counters = server.counters()
    assert counters["settles_paths"] == 2
    assert {name for name in counters if not is_own(name)} == {"settles_paths"}
    assert {"completions", "streams_open"} < set(counters)
    # And so it arrives where it is read.
    (seat,) = Placement(("unix:/x",), "unix:/x").seats()
    board = Board((seat,))
    board.started(seat, 1)
    board.heard(seat, 1, status_of(server), 0.0)
    assert b"\nsluicegate_settles_paths_total 2.0\n" in metrics(board.read(0.0), board.metrics())[0]


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
def test_every_counter_of_the_hosts_is_known_as_its_own(transport: str) -> None:
    settings = parse({"server": {"transport": transport}, "policies": [{"policy": "settles"}]})
    counters = PolicyServer(settings, Chain([])).counters()
    assert len(counters) >= 4
    assert [name for name in counters if not is_own(name)] == []


@pytest.mark.parametrize("path", ["/cancelled", "/exit"])
async def test_nothing_that_a_policy_raises_ends_the_settlement_of_others(
    served: tuple[PolicyServer, str, Settles], path: str
) -> None:
    server, address, policy = served
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_unary(ACCESS_LOGS)()
        await call.write(entries(path, "/after").SerializeToString())
        await call.done_writing()
        await call
    await server.stop()
    assert policy.paths == [path, "/after"]


async def test_what_was_logged_is_settled_before_the_server_is_gone(
    served: tuple[PolicyServer, str, Settles],
) -> None:
    server, address, policy = served
    many = [f"/{number}" for number in range(2000)]
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_unary(ACCESS_LOGS)()
        await call.write(entries(*many).SerializeToString())
        await call.done_writing()
        await call
        await server.stop()
    assert policy.paths == many


def test_a_logged_exception_does_not_quote_what_it_was_raised_with() -> None:
    try:
        int("Bearer s3cret")
    except ValueError:
        record = logging.getLogger("test").makeRecord(
            "test", logging.ERROR, __file__, 1, "it %s", ("failed",), sys.exc_info()
        )
    line = JsonFormatter().format(record)
    assert "s3cret" not in line
    said = json.loads(line)
    assert (said["message"], said["exception"], said["level"]) == ("it failed", "ValueError", "error")
    assert "test_server.py" in said["at"][0]


SCRIPT = """
import asyncio, gc, logging, signal, os, warnings
from extproc import serving
from extproc.chain import Chain, Link
from extproc.policy import Policy
from extproc.settings import parse

class Careless(Policy):
    name = "careless"

    async def start(self):
        logging.getLogger("library").error("it failed", exc_info=ValueError("s3cret"))
        warnings.warn("beware")
        async def fails(): raise ValueError("s3cret")
        asyncio.get_running_loop().create_task(fails())
        asyncio.get_running_loop().call_soon(int, "s3cret")
        asyncio.get_running_loop().call_later(0.1, gc.collect)
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)
        if FAILS: raise ValueError("s3cret")

serving.assemble = lambda settings: Chain([Link(Careless())])
settings = parse({"server": {"listen": "127.0.0.1:0"}, "policies": [{"policy": "careless"}]})
asyncio.run(serving.serve(settings, lambda: None))
"""


@pytest.mark.parametrize("fails", [False, True])
def test_the_serving_process_writes_lines_of_json_and_quotes_no_exception(fails: bool) -> None:
    """In a process of its own: it is about what stands on its standard output and error."""
    done = subprocess.run(
        [sys.executable, "-c", f"FAILS = {fails}\n{SCRIPT}"], capture_output=True, timeout=60, check=False, cwd=REPOSITORY
    )
    assert "s3cret" not in done.stdout.decode() + done.stderr.decode().replace('ValueError("s3cret")', "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    logged = [line.get("exception") for line in lines if line["event"] == "log"]
    if fails:
        assert done.returncode == 1
        assert b"policy careless failed to start: ValueError" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, b"")
        assert [line["event"] for line in lines if line["event"] != "log"] == ["listening", "draining", "stopped"]
        assert sorted(filter(None, logged)) == ["ValueError"] * 3
        assert len(logged) == 4
