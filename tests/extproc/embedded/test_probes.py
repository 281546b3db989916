from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from extproc.embedded.probes import accepts, aigw_is_live, answers_ping, drained, envoy_is_live, says

LOG = Path("/nowhere")


@asynccontextmanager
async def answering(socket: Path, *answers: bytes) -> AsyncIterator[list[bytes]]:
    """Answers the first line of each connection with the next of `answers`; gives the lines it has seen."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.write(answers[min(len(seen), len(answers)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, socket)
    try:
        yield seen
    finally:
        server.close()
        await server.wait_closed()


def http(status: str, body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("log", "listening"),
    [
        ("", False),
        ('{"event": "listening"}\n', True),
        ('starting\n{"event":"log"}\n{"event":"listening","address":"x"}\n{"event":"log"}\n', True),
        ('{"event": "listen', False),
        ('{"message": "listening"}\n', False),
        ('listening\n["listening"]\n{"event": ["listening"]}\n', False),
    ],
)
async def test_an_event_in_the_log(tmp_path: Path, log: str, listening: bool) -> None:
    (tmp_path / "log").write_text(log)
    assert await says("listening")(tmp_path / "log") is listening


@pytest.mark.parametrize(
    ("answer", "ready"), [(b"+PONG\r\n", True), (b"-LOADING Valkey is loading the dataset\r\n", False), (b"", False)]
)
async def test_valkey_is_ready_when_it_has_its_data(tmp_path: Path, answer: bytes, ready: bool) -> None:
    async with answering(tmp_path / "s", answer) as seen:
        assert await answers_ping(tmp_path / "s")(LOG) is ready
        assert seen == [b"PING\r\n"]


@pytest.mark.parametrize(
    ("answer", "live"), [(http("200 OK", "LIVE"), True), (http("503 No", "INITIALIZING"), False), (b"garbage\r\n", False)]
)
async def test_envoy_is_live(tmp_path: Path, answer: bytes, live: bool) -> None:
    async with answering(tmp_path / "s", answer):
        assert await envoy_is_live(tmp_path / "s")(LOG) is live


async def test_ai_gateway_is_live_when_it_says_so_and_envoy_listens(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    log.write_text("starting\n")
    assert not await aigw_is_live(port)(log)
    log.write_text(f"Envoy AI Gateway listening on http://localhost:{port} (admin http://localhost:1) after 2s\n")
    assert await aigw_is_live(port)(log)
    server.close()
    await server.wait_closed()
    assert not await aigw_is_live(port)(log)


async def test_nobody_there_is_not_yet(tmp_path: Path) -> None:
    assert not await envoy_is_live(tmp_path / "s")(LOG)
    assert not await answers_ping(tmp_path / "s")(LOG)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await accepts("127.0.0.1", port)(LOG)
    server.close()
    await server.wait_closed()
    assert not await accepts("127.0.0.1", port)(LOG)


async def test_draining_waits_for_requests_in_flight_and_not_for_its_own(tmp_path: Path) -> None:
    def active(count: int) -> bytes:
        return http("200 OK", f"http.admin.downstream_rq_active: 1\nhttp.gateway.downstream_rq_active: {count}\n")

    async with answering(tmp_path / "s", http("200 OK"), active(2), active(1), active(0)) as seen:
        await drained(tmp_path / "s", limit=20, flush=0)()
    assert seen[0].startswith(b"POST /drain_listeners ")
    assert len(seen) == 4


@pytest.mark.parametrize("known", [True, False])
async def test_draining_an_envoy_whose_admin_port_is_told_late(known: bool) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(http("200 OK"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await drained(lambda: port if known else None, limit=20, flush=0)()
    assert bool(asked) is known
    server.close()


async def test_draining_has_a_limit_and_survives_an_envoy_that_has_gone(tmp_path: Path) -> None:
    busy = http("200 OK", "http.gateway.downstream_rq_active: 1\n")
    begun = time.monotonic()
    async with answering(tmp_path / "s", busy):
        await drained(tmp_path / "s", limit=0.3, flush=0)()
    await drained(tmp_path / "gone", limit=20, flush=0)()
    assert time.monotonic() - begun < 15
