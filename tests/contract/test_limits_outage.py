"""Redis goes away under load: rates are held by each worker alone, budgets close, nobody waits, and the books balance.

`SLUICEGATE_OUTAGE=60` makes the outage last for so many seconds.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from extproc.embedded.demo_tokens import demo_guid
from extproc.tasks import spawn
from tests.limited import TENANT, Limited, limited
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
SECONDS = float(os.environ.get("SLUICEGATE_OUTAGE", "6"))
WORKERS = 2
RATE = 400
"""Requests a day that the rated user has; each worker alone admits half of it."""


def _user(name: str) -> dict[str, str]:
    return {"user": demo_guid("user", f"{TENANT}/{name}")}


LIMITS: list[dict[str, Any]] = [
    {"subject": "user", "match": _user("rated"), "requests_per_day": RATE, "outage": "local"},
    {"subject": "user", "match": _user("frugal"), "tokens_per_day": 1_000_000},
    {
        "subject": "user",
        "match": _user("allowed"),
        "dollars_per_day": 100,
        "outage": "allowance",
        # Six reservations of at most 16 tokens of output, 160 micro-dollars each, and their input: three a worker.
        "allowance": 0.0012,
    },
]


class Client:
    """One user who asks again and again. What came of it, by status, and how long it took."""

    def __init__(self, gateway: Limited, user: str) -> None:
        self._gateway = gateway
        self.user = user
        self.statuses: Counter[int] = Counter()
        self.codes: Counter[str] = Counter()
        self.longest = 0.0
        self.retry_after = 0
        self._over = asyncio.Event()

    async def run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            answer = await self._gateway.ask(self.user, members={"max_completion_tokens": 16}, tokens=4)
            self.longest = max(self.longest, time.monotonic() - began)
            self.statuses[answer.status_code] += 1
            if answer.status_code != 200:
                self.codes[answer.json()["error"]["code"]] += 1
                self.retry_after += "retry-after-ms" in answer.headers
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        self._over.set()

    def begin_anew(self) -> None:
        self.statuses.clear()
        self.codes.clear()
        self.longest = 0.0
        self.retry_after = 0


@pytest.fixture
async def gateway(simulator: str, valkey: RedisServer) -> AsyncIterator[Limited]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        settings = {"local_for": 120, "spool": f"{folder}/spool"}
        async with limited(Path(folder), simulator, valkey, LIMITS, workers=WORKERS, limits_settings=settings) as gateway:
            await gateway.forget()
            yield gateway


async def test_redis_is_away_for_a_while(gateway: Limited) -> None:
    clients = {name: Client(gateway, name) for name in ("rated", "frugal", "allowed")}
    running = [spawn(client.run(), name=client.user) for client in clients.values()]
    await asyncio.sleep(1.5)
    for client in clients.values():
        assert set(client.statuses) == {200}, client.user
        client.begin_anew()
    gateway.store.kill()
    await asyncio.sleep(SECONDS)
    rated, frugal, allowed = clients["rated"], clients["frugal"], clients["allowed"]
    # Those that were asked when it died may have been let through.
    assert frugal.statuses[200] <= 1
    assert frugal.codes.keys() == {"limits_unavailable"}
    assert frugal.retry_after == frugal.statuses[503] > 0
    assert 20 < rated.statuses[200] <= RATE // WORKERS * WORKERS + 1
    assert set(rated.statuses) <= {200, 429}
    assert 1 <= allowed.statuses[200] <= 7
    assert set(allowed.statuses) == {200, 503}
    assert all(client.longest < 2.0 for client in clients.values()), "a request waited for Redis"
    gateway.store.start()
    await _until_recovered(clients)
    for client in clients.values():
        client.stop()
    await asyncio.gather(*running)
    await _books_balance(gateway)


async def _until_recovered(clients: dict[str, Client]) -> None:
    """Everybody is let through again, as far as the limit goes."""
    for client in clients.values():
        client.begin_anew()
    async with asyncio.timeout(20):
        while not all(client.statuses[200] > 3 for name, client in clients.items() if name != "rated"):
            await asyncio.sleep(0.05)


async def _books_balance(gateway: Limited) -> None:
    """What the upstream has seen is what stands in Redis, whoever counted it at the time."""
    arrived = len(await gateway.arrived())
    await gateway.until(lambda: sum(one["verdict"] == "allow" for one in gateway.completions()) >= arrived)
    used: dict[str, list[int]] = {"rated": [], "frugal": [], "allowed": []}
    names = {_user(name)["user"]: name for name in used}
    for one in gateway.completions():
        if one["verdict"] == "allow":
            usage = one["usage"]
            used[names[one["user_id"]]].append(usage["total"])
    assert sum(map(len, used.values())) == arrived
    kinds = {"rated": "requests_per_day", "frugal": "tokens_per_day", "allowed": "dollars_per_day"}
    # A request of this prompt and answer: 2 tokens at 2.5 micro-dollars and 4 at 10.
    assert set(used["allowed"]) == {6}
    expected = {"rated": len(used["rated"]), "frugal": sum(used["frugal"]), "allowed": 45 * len(used["allowed"])}
    for name, total in expected.items():
        async with asyncio.timeout(20):
            while (counted := (await gateway.counter(kinds[name], f"user={name}")).current) != total:
                await asyncio.sleep(0.1)
        assert counted == total
    assert await gateway.reserved() == 0
