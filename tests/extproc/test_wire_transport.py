"""The default transport over real sockets: attacks that need one, the end, and what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from extproc.tasks import spawn
from extproc.transport import PROCESS, Services
from extproc.wire import frames
from extproc.wire.frames import ErrorCode, frame
from extproc.wire.limits import Limits
from extproc.wire.reader import Frame
from extproc.wire_transport import WireTransport
from tests.extproc.wire.peer import GREETING, changed, data, goaway_code, headers, message, parse, statuses
from tests.servers import HOST

MIB = 1024 * 1024
CALL = changed(_path=PROCESS)
LOG = changed(_path="/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs")
PING = frame(frames.PING, 0, 0, b"8 bytes.")


class Echo:
    """Answers with what it got."""

    may_end = True
    is_over = False

    def receive(self, request: bytes) -> bytes:
        if request == b"break":
            raise RuntimeError(request)
        return request

    def abandon(self) -> None:
        """Nobody is told."""


def ill(_: bytes) -> None:
    raise RuntimeError("no log today")


@dataclass
class Client:
    """A socket to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def rest(self) -> list[Frame]:
        """All that comes until the server hangs up."""
        async with asyncio.timeout(10):
            return parse(await self.reader.read(-1))

    async def frame(self, kind: int, number: int = 0) -> Frame:
        """The next frame of a kind, on a stream."""
        async with asyncio.timeout(10):
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                found = (head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
                if found[0] == kind and found[2] == number:
                    return found


@dataclass
class Site:
    """A transport that listens on a unix socket."""

    transport: WireTransport
    path: Path
    clients: list[Client] = field(default_factory=list)

    async def connect(self, *greeting: bytes) -> Client:
        client = Client(*await asyncio.open_unix_connection(str(self.path), limit=2**16))
        self.clients.append(client)
        client.send(*(greeting or (GREETING,)))
        return client

    async def until(self, counter: str, count: int) -> None:
        async with asyncio.timeout(10):
            while self.transport.counters().get(counter, 0) != count:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(limits: Limits | None = None) -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "s"
        site = Site(WireTransport(Services(Echo, ill, lambda: True), limits), path)
        await site.transport.start(f"unix:{path}")
        try:
            yield site
        finally:
            for client in site.clients:
                client.writer.transport.abort()
            await site.transport.stop(0.1)
        assert not path.exists()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_call_over_tcp_and_what_is_counted() -> None:
    transport = WireTransport(Services(Echo, ill, lambda: True))
    address = await transport.start(f"{HOST}:0")
    client = Client(*await asyncio.open_connection(HOST, int(address.rpartition(":")[2])))
    client.send(GREETING, headers(1, CALL), message(1, b"hello"), data(1, b"", end=True))
    assert (await client.frame(frames.DATA, 1))[3][5:] == b"hello"
    assert statuses([await client.frame(frames.HEADERS, 1)]) == {1: 0}
    assert transport.counters() == {"connections": 1, "streams": 1, "connections_open": 1, "streams_open": 0}
    client.writer.close()
    await transport.stop(1.0)
    assert transport.counters()["connections_open"] == 0


@pytest.mark.parametrize(
    ("sent", "name", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "bad_preface", ErrorCode.PROTOCOL_ERROR),
        (GREETING + PING * 300, "too_many_pings", ErrorCode.ENHANCE_YOUR_CALM),
        (GREETING + frames.settings({}) * 200, "too_many_settings", ErrorCode.ENHANCE_YOUR_CALM),
        (GREETING + headers(1, CALL) + data(1, b"") * 300, "too_many_empty_frames", ErrorCode.ENHANCE_YOUR_CALM),
    ],
)
async def test_who_breaks_the_rules_is_told_which_and_hung_up_on(
    sent: bytes, name: str, code: ErrorCode, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as site:
        for _ in range(2):
            said = await (await site.connect(sent)).rest()
            assert goaway_code(said) == code
            assert said[-1][3][8:] == name.encode()
        await site.until(f"violation_{name}", 2)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"wire: a peer broke a rule: {name} (1 so far)"
    ], "once a minute"


async def test_half_a_preface_is_waited_for_and_no_longer() -> None:
    async with serving(Limits(handshake=0.05)) as site:
        client = await site.connect(frames.PREFACE[:9])
        assert goaway_code(await client.rest()) == ErrorCode.SETTINGS_TIMEOUT


async def test_too_many_connections() -> None:
    async with serving(Limits(connections=2)) as site:
        await site.connect()
        await site.connect()
        await site.until("connections_open", 2)
        with contextlib.suppress(ConnectionError):
            assert await (await site.connect()).rest() == []
        await site.until("violation_too_many_connections", 1)
        site.clients[0].writer.close()
        await site.until("connections_open", 1)
        client = await site.connect()
        client.send(PING)
        assert (await client.frame(frames.PING))[1] == frames.ACK


async def test_who_sends_and_does_not_read_is_not_read_from() -> None:
    async with serving(Limits(pings_per_interval=10**9)) as site:
        client = await site.connect()
        # A reader with a limit of 64 KiB stops reading its socket at twice that.
        async with asyncio.timeout(30):
            before = resident()
            flood = PING * 4_000
            for _ in range(400):
                client.send(flood)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await client.writer.drain()
                        continue
                break
            else:
                pytest.fail("the server took 27 MB of pings from a peer that reads nothing")
        assert resident() - before < 8 * MIB
        assert site.transport.counters()["connections_open"] == 1


async def test_an_answer_that_is_not_read_is_given_up() -> None:
    async with serving(Limits(patience=0.3)) as site:
        client = await site.connect(frames.PREFACE, frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
        client.send(headers(1, CALL), data(1, b"\0\0\x01\0\0"), *[data(1, bytes(16_384))] * 4)
        assert int.from_bytes((await client.frame(frames.RST_STREAM, 1))[3], "big") == ErrorCode.CANCEL
        await site.until("violation_answer_not_taken", 1)
        assert site.transport.counters()["streams_open"] == 0


async def test_a_fault_of_ours_costs_its_own_call_alone() -> None:
    async with serving() as site:
        client = await site.connect()
        client.send(headers(1, LOG), message(1, b"entry"), headers(3, CALL), message(3, b"hello"))
        assert statuses([await client.frame(frames.HEADERS, 1)]) == {1: 13}
        assert (await client.frame(frames.DATA, 3))[3][5:] == b"hello"
        client.send(headers(5, CALL), message(5, b"break"), headers(7, CALL), message(7, b"on"))
        assert statuses([await client.frame(frames.HEADERS, 5)]) == {5: 13}
        assert (await client.frame(frames.DATA, 7))[3][5:] == b"on"


async def test_what_is_said_last_arrives_before_the_end() -> None:
    async with serving() as site:
        client = await site.connect()
        client.send(headers(1, CALL), message(1, b"hello"))
        await client.frame(frames.DATA, 1)
        stopping = spawn(site.transport.stop(5.0), name="stop")
        await client.frame(frames.PING)
        client.send(frame(frames.PING, frames.ACK, 0, b"draining"), message(1, b"more"), data(1, b"", end=True))
        said = await client.rest()
        assert statuses(said) == {1: 0}
        client.writer.close()
        await stopping


async def test_who_leaves_says_so_between_two_logs() -> None:
    """One that is opened before the peer knows is ended too: else it would end with us, and what is said there last."""
    async with serving() as site:
        client = await site.connect()
        client.send(headers(1, LOG), headers(3, CALL), message(3, b"hello"), data(3, b"", end=True))
        await client.frame(frames.DATA, 3)
        stopping = spawn(site.transport.stop(5.0), name="stop")
        for number in (1, 5):
            begun, ended = [await client.frame(frames.HEADERS, number) for _ in range(2)]
            assert statuses([begun, ended]) == {number: 0}
            if number == 1:
                client.send(headers(5, LOG), data(1, b"", end=True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.frame(frames.GOAWAY)
        client.send(data(5, b"", end=True))
        await client.frame(frames.GOAWAY)
        client.writer.close()
        await stopping


async def test_a_log_that_does_not_end_keeps_nobody() -> None:
    async with serving() as site:
        client = await site.connect()
        client.send(headers(1, LOG))
        stopping = spawn(site.transport.stop(5.0), name="stop")
        await client.frame(frames.GOAWAY)
        client.writer.close()
        await stopping


async def test_what_does_not_end_in_time_is_ended() -> None:
    async with serving() as site:
        client = await site.connect()
        client.send(headers(1, CALL), message(1, b"hello"))
        await client.frame(frames.DATA, 1)
        await site.transport.stop(0.05)
        said = await client.rest()
        assert statuses(said) == {1: 14}
        assert goaway_code(said) == 0
        assert site.transport.counters()["connections_open"] == 0


async def test_a_thousand_streams_leave_nothing_behind() -> None:
    async with serving() as site:
        client = await site.connect()
        for number in range(1, 2_001, 2):
            client.send(headers(number, CALL), message(number, b"x"), data(number, b"", end=True))
        await client.frame(frames.HEADERS, 1_999)
        await site.until("streams_open", 0)
        assert site.transport.counters()["streams"] == 1_000


@pytest.mark.parametrize("over", ["unix", "tcp"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_connects_while_nobody_accepts_waits(over: str, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The event loops listen once more on what they are given, and would make room for 100."""

    async def scenario(folder: str) -> None:
        transport = WireTransport(Services(Echo, ill, lambda: True))
        address = await transport.start(f"unix:{folder}/s" if over == "unix" else f"{HOST}:0")
        where = f"{folder}/s" if over == "unix" else (HOST, int(address.rpartition(":")[2]))
        peers = [socket.socket(socket.AF_UNIX if over == "unix" else socket.AF_INET) for _ in range(120)]
        try:
            # The event loop has no turn meanwhile. All connect within a second, or never.
            for peer in peers:
                peer.settimeout(1)
                peer.connect(where)
        finally:
            for peer in peers:
                peer.close()
            await transport.stop(0)

    with tempfile.TemporaryDirectory(dir="/tmp") as folder, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario(folder))
