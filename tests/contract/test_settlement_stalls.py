"""The access log of what comes while settlement hangs: Envoy holds it, and brings it when settlement is back."""

from __future__ import annotations

import signal
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.limited import limited
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
AT_ONCE = 1_500
"""Entries of more than a kilobyte each: more than a connection and its two ends hold by themselves."""


async def test_nothing_is_lost_while_settlement_hangs(simulator: str, valkey: RedisServer) -> None:
    settings = {"redis": {"url": valkey.address, "timeout": 5.0}}
    budget = [{"subject": "user", "requests_per_day": 10}]
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        async with limited(Path(folder), simulator, valkey, budget, workers=2, limits_settings=settings) as gateway:
            # Before anything hangs, Envoy has found settlement.
            await gateway.ask("warm")
            await gateway.settled(1)
            [settling] = [one["pid"] for one in (await gateway.workers()).values() if one["role"] == "settle"]
            gateway.signal(settling, signal.SIGSTOP)
            try:
                answers = await gateway.ask_at_once(AT_ONCE, tokens=3)
            finally:
                gateway.signal(settling, signal.SIGCONT)
            assert Counter(answer.status_code for answer in answers) == {200: 10, 429: AT_ONCE - 10}
            await gateway.settled(AT_ONCE + 1)
