"""Our own generator and the light upstream: they understand each other, and count right."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from loadtests.bench import upstream
from loadtests.bench.client import Answer
from loadtests.bench.generator import run
from loadtests.bench.scenarios import ALONE, SHORT
from loadtests.bench.timerfd import Ticker
from loadtests.bench.upstream import Pace, Upstream


@contextlib.asynccontextmanager
async def serving(protocol: Any) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


ANSWERS = [upstream.whole(), *(b"".join(upstream.pieces(50, usage=usage)) for usage in (True, False))]


@pytest.mark.parametrize("size", [1, 3, 1000, 100_000])
@pytest.mark.parametrize("answer", ANSWERS, ids=["whole", "with usage", "without"])
def test_the_end_of_an_answer_and_all_its_events_are_known(answer: bytes, size: int) -> None:
    reading = Answer()
    parts = [answer[start : start + size] for start in range(0, len(answer), size)]
    ends = [reading.feed(part, float(number)) for number, part in enumerate(parts)]
    assert ends[-1] is True
    assert not any(ends[:-1])
    assert reading.ok
    assert len(reading.events) == answer.count(b"data: ")
    assert reading.events == sorted(reading.events)


def test_an_event_is_there_when_its_last_byte_is() -> None:
    reading = Answer()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    assert not reading.feed(head + b"9\r\ndata: a\n", 1.0)
    assert reading.events == []
    assert not reading.feed(b"\n\r\n", 2.0)
    assert not reading.feed(b"9\r\ndata: b\n\n\r\n9\r\ndata: c\n\n\r\n", 3.0)
    assert reading.feed(b"0\r\n\r\n", 4.0)
    assert reading.events == [2.0, 3.0, 3.0]


def test_only_200_is_an_answer() -> None:
    refused = Answer()
    assert refused.feed(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", 0.0)
    assert not refused.ok


@pytest.mark.parametrize("chunks", [1, 2, 50, 500])
def test_a_stream_has_its_chunks_and_the_usage_only_if_asked_for(chunks: int) -> None:
    counted, plain = (b"".join(upstream.pieces(chunks, usage=usage)) for usage in (True, False))
    assert plain.count(b'"content"') == counted.count(b'"content"') == chunks
    assert b'"usage"' in counted
    assert b'"usage"' not in plain


@pytest.mark.parametrize("scenario", [ALONE, SHORT], ids=["whole", "stream"])
async def test_generator_and_upstream_understand_each_other(scenario: Any) -> None:
    pace = Pace()
    async with serving(lambda: Upstream(pace)) as port:
        load = await run(port, scenario.request("t"), connections=2, seconds=0.05)
    pace.close()
    assert load.requests >= 2
    assert load.errors == 0
    assert 0 < load.p50 <= load.p95 <= load.p99
    # The end of the stream and its [DONE] are events, too.
    assert load.chunks == load.requests * (scenario.chunks + 2 if scenario.chunks else 0)
    assert (load.gap is not None) is (load.first is not None) is (scenario.chunks > 0)


async def test_an_open_loop_sends_what_is_due_and_no_more() -> None:
    pace = Pace()
    async with serving(lambda: Upstream(pace)) as port:
        load = await run(port, ALONE.request("t"), connections=4, seconds=0.2, rate=200)
    assert (load.requests, load.errors) == (40, 0)
    assert load.rate == pytest.approx(200)
    assert load.lag is not None


class Silent(asyncio.Protocol):
    """Answers the first request late, and the others at once."""

    late = 0.3

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        delay, Silent.late = Silent.late, 0.0
        asyncio.get_running_loop().call_later(delay, self._transport.write, upstream.whole())


async def test_a_pause_is_charged_to_every_request_that_falls_into_it() -> None:
    async with serving(Silent) as port:
        load = await run(port, ALONE.request("t"), connections=1, seconds=0.4, rate=100)
    # 30 of 40 requests were due during a pause of 0.3 s: the half of all of them waited for 0.05 s and more.
    assert load.requests == 40
    assert load.p50 >= 0.05
    assert load.p99 >= 0.25


async def test_a_server_that_hangs_up_is_an_error() -> None:
    class Rude(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.close()

    async with serving(Rude) as port:
        load = await run(port, b"x", connections=2, seconds=0.05)
    assert (load.requests, load.errors) == (0, 2)


async def test_a_server_that_hangs_up_in_an_open_loop_is_an_error_for_each() -> None:
    class Rude(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._transport.close()

    async with serving(Rude) as port:
        load = await run(port, b"x", connections=2, seconds=0.1, rate=100)
    assert (load.requests, load.errors) == (0, 10)


async def test_ticks_are_counted_even_if_they_come_late() -> None:
    passed: list[int] = []
    ticker = Ticker(0.001, passed.append)
    await asyncio.sleep(0.02)
    time.sleep(0.02)
    await asyncio.sleep(0.02)
    elapsed = time.monotonic() - ticker.start
    ticker.close()
    assert max(passed) >= 15
    assert sum(passed) == pytest.approx(elapsed * 1000, abs=5)
    ticker.close()
