"""Limits are not overrun: by how many at once, from how many workers, and however long the answers turn out to be."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from policies.limits.subjects import Level, Subject
from tests.ai_gateway import PROFILE
from tests.limited import PRICE, TENANT, Limited, limited
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
WORKERS = 4
RUNS = 25
AT_ONCE = 5
CLIENTS = 6
WARMED = 0 if PROFILE == "plain" else 1
"""Requests that go before all others. While AI Gateway's Envoy first connects to settlement it has room for a dozen
entries of its log, and drops what is more."""


@pytest.fixture
async def gateway(simulator: str, valkey: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[Limited]:
    """Four workers, with the limits that the test names."""
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        # On two busy cores two thousand at once wait for longer than the usual 50 ms.
        settings = {"redis": {"url": valkey.address, "timeout": 5.0}}
        async with limited(
            Path(folder), simulator, valkey, request.param, workers=WORKERS, limits_settings=settings
        ) as gateway:
            if WARMED:
                await gateway.ask("warm")
                await gateway.settled(WARMED)
            await gateway.forget()
            yield gateway


@pytest.mark.parametrize("gateway", [[{"subject": "user", "requests_per_day": 100}]], indirect=True)
async def test_of_two_thousand_at_once_exactly_as_many_pass_as_the_limit_admits(gateway: Limited) -> None:
    answers = await gateway.ask_at_once(2_000, tokens=3)
    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 1_900}
    assert len(await gateway.arrived()) == 100
    await gateway.settled(2_000 + WARMED)
    assert (await gateway.counter("requests_per_day", "user=alice")).current == 100
    workers = await gateway.workers()
    deciding = [worker["counters"].get("limits_refused", 0) for worker in workers.values()]
    assert sum(count > 0 for count in deciding) == WORKERS, "every worker had its part in it"


class Spender:
    """Clients of one user that ask for streamed answers of random length until nothing more is let through."""

    def __init__(self, gateway: Limited, user: str, seed: int) -> None:
        self._gateway = gateway
        self.user = user
        self._random = random.Random(seed)
        self.in_flight = 0
        self.refused = 0
        self.answered = 0
        self.over = False

    async def spend(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))

    async def _client(self) -> None:
        while not self.over:
            self.in_flight += 1
            begun = self.answered
            # In front of AI Gateway settlement takes a second and more, for so long Envoy holds its log back.
            quiet = PROFILE == "plain" or not await self._gateway.reserved()
            try:
                status = await self._ask()
            finally:
                self.in_flight -= 1
            if status == 200:
                self.answered += 1
                continue
            assert status == 429
            self.refused += 1
            # Refused for good when nobody has been answered for longer than settlement takes.
            await asyncio.sleep(0.2)
            if quiet and self.in_flight == 0 and self.answered == begun:
                self.over = True

    async def _ask(self) -> int:
        members: dict[str, object] = {"stream": True}
        if self._random.random() < 0.5:
            members["max_completion_tokens"] = self._random.randint(20, 300)
        if self._random.random() < 0.2:
            members["n"] = 2
        prompt = "word " * self._random.randint(1, 60)
        length = self._random.randint(1, 250)
        answer = await self._gateway.ask(self.user, prompt=prompt, members=members, tokens=length)
        return answer.status_code


@pytest.mark.parametrize(
    ("gateway", "kind", "budget"),
    [
        pytest.param([{"subject": "user", "tokens_per_day": 5_000}], "tokens_per_day", 5_000, id="tokens"),
        pytest.param([{"subject": "user", "dollars_per_day": 0.05}], "dollars_per_day", 50_000, id="dollars"),
    ],
    indirect=["gateway"],
)
async def test_budgets_are_spent_and_never_overspent(gateway: Limited, kind: str, budget: int) -> None:
    for start in range(0, RUNS, AT_ONCE):
        spenders = [Spender(gateway, f"{kind}-{run}", seed=run) for run in range(start, start + AT_ONCE)]
        await asyncio.gather(*(spender.spend() for spender in spenders))
        for spender in spenders:
            counter = await gateway.counter(kind, f"user={spender.user}")
            assert counter.current <= budget, f"{spender.user} overran"
            assert counter.current >= 0.95 * budget, f"{spender.user} left {budget - counter.current} of {budget}"
            assert spender.answered > CLIENTS
            assert spender.refused > 0
    await _is_what_was_metered(gateway, kind)


async def _is_what_was_metered(gateway: Limited, kind: str) -> None:
    """Each counter is the sum of what the upstream has reported, to the token and the micro-dollar."""
    spent: Counter[str] = Counter()
    for completion in gateway.completions():
        usage = completion.get("usage")
        if usage:
            dollars = usage["input"] * PRICE["input"] + usage["output"] * PRICE["output"]
            spent[completion["user_id"]] += usage["total"] if kind == "tokens_per_day" else int(dollars + 0.5)
    assert spent
    for user, total in spent.items():
        assert (await gateway.counter_of(kind, Subject(TENANT, ((Level.USER, user),)))).current == total
