"""Whoever dies between reservation and settlement: nothing is under-counted, nothing counted twice, and what is charged
at the estimate is told of."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.limited import CHAT, Limited, limited
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
LIMITS = [{"subject": "user", "tokens_per_day": 1_000_000, "requests_per_day": 1_000_000, "parallel_requests": 1_000}]
LEASE = 4.0
EXPIRED = "was never settled"


@pytest.fixture
async def gateway(simulator: str, valkey: RedisServer) -> AsyncIterator[Limited]:
    """Two workers and one that settles; leases of four seconds."""
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        async with limited(
            Path(folder), simulator, valkey, LIMITS, workers=2, limits_settings={"lease": LEASE}
        ) as gateway:
            await gateway.forget()
            yield gateway


class Streams:
    """Streams that last a second, started one after the other. `tokens` are those of an answer; the prompt has one."""

    def __init__(self, gateway: Limited, count: int, tokens: int) -> None:
        self._gateway = gateway
        self._count = count
        self.tokens = tokens
        self.whole = 0
        self.begun = 0
        self.refused = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._one(index) for index in range(self._count)))

    async def _one(self, index: int) -> None:
        await asyncio.sleep(index * 0.03)
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Count."}], "stream": True}
        headers = self._gateway.headers("alice", tokens=self.tokens, chunk_delay_ms=20)
        with contextlib.suppress(httpx.HTTPError):
            async with self._gateway.client.stream(
                "POST", CHAT, json=body | {"max_tokens": 90}, headers=headers
            ) as answer:
                if answer.status_code != 200:
                    self.refused += 1
                    return
                self.begun += 1
                text = (await answer.aread()).decode()
                self.whole += "[DONE]" in text


def expired(gateway: Limited) -> list[dict[str, Any]]:
    """The reports of reservations that were charged as they were made."""
    return [event for event in gateway.events() if EXPIRED in str(event.get("message", event.get("event", "")))]


async def all_settled(gateway: Limited) -> None:
    """Nothing is reserved any more: settled, or charged because its lease has ended."""
    async with asyncio.timeout(LEASE + 20):
        while await gateway.reserved():
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)


async def books(gateway: Limited, streams: Streams) -> tuple[int, int, int]:
    """Requests, tokens, and exchanges in flight, as counted."""
    requests = await gateway.counter("requests_per_day", "user=alice")
    tokens = await gateway.counter("tokens_per_day", "user=alice")
    parallel = await gateway.counter("parallel_requests", "user=alice")
    return requests.current, tokens.current, parallel.current


def reserved_tokens(completion: dict[str, Any]) -> int:
    return int(completion["usage"]["total"]) if completion.get("usage") else 0


@pytest.mark.parametrize("whom", ["decides", "settles"])
async def test_a_worker_is_killed(gateway: Limited, whom: str) -> None:
    streams = Streams(gateway, 30, 40)
    running = asyncio.gather(streams.run())
    await asyncio.sleep(0.6)
    workers = await gateway.workers()
    victim = next(worker for worker in workers.values() if (worker["role"] == "settle") == (whom == "settles"))
    gateway.signal(victim["pid"], signal.SIGKILL)
    await running
    await all_settled(gateway)
    requests, tokens, parallel = await books(gateway, streams)
    arrived = len(await gateway.arrived())
    told = len(expired(gateway))
    metered = sum(reserved_tokens(one) for one in gateway.completions() if one["verdict"] == "allow")
    # Every stream that the upstream has answered is counted, once: as it was metered, or as it was reserved.
    assert requests == arrived
    assert parallel == 0
    each = 40 + 1
    assert tokens >= arrived * each
    assert tokens <= metered + told * (90 + 40)
    if whom == "decides":
        assert told == 0


async def test_envoy_is_killed(gateway: Limited) -> None:
    streams = Streams(gateway, 12, 80)
    running = asyncio.gather(streams.run())
    await asyncio.sleep(0.8)
    in_flight = await gateway.reserved()
    assert in_flight > 5
    gateway.signal(gateway.envoy.pid, signal.SIGKILL)
    await running
    await all_settled(gateway)
    requests, tokens, parallel = await books(gateway, streams)
    arrived = len(await gateway.arrived())
    assert requests == arrived
    assert parallel == 0
    # The upstream may have gone on to the end; what nobody will ever tell of is charged as it was reserved, and told of.
    assert tokens >= arrived * (80 + 1)
    assert len(expired(gateway)) >= in_flight - 1


async def test_redis_stalls_for_a_moment(gateway: Limited) -> None:
    """Half a second in which nothing is answered, and all of it is done afterwards, late."""
    statuses: Counter[int] = Counter()
    over = asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            answer = await gateway.ask("alice", tokens=3)
            statuses[answer.status_code] += 1

    running = asyncio.gather(*(client() for _ in range(6)))
    await asyncio.sleep(0.5)
    gateway.store.pause()
    await asyncio.sleep(0.45)
    gateway.store.resume()
    await asyncio.sleep(1.5)
    over.set()
    await running
    assert set(statuses) == {200, 503}
    assert len(await gateway.settled(statuses.total())) == statuses.total()
    requests = await gateway.counter("requests_per_day", "user=alice")
    tokens = await gateway.counter("tokens_per_day", "user=alice")
    arrived = len(await gateway.arrived())
    # What was reserved late for those who had been refused by then has been given back.
    assert requests.current == arrived == statuses[200]
    assert tokens.current == sum(one["usage"]["total"] for one in gateway.completions() if one.get("usage"))
    assert (requests.reserved, tokens.reserved) == (0, 0)
    assert expired(gateway) == []
