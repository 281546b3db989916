"""A Redis in which something has been counted, and the configuration by which it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from extproc.price import Price
from policies.limits.demands import Scale, Size, demands
from policies.limits.plan import Caller, Plans
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.redis_settings import RedisSettings
from policies.limits.redis_store import RedisStore
from policies.limits.redis_survey import connected
from policies.limits.settings import LimitsSettings
from policies.limits.store import Answer, Ask, Used
from policies.limits.subjects import EVERYONE

T = TypeVar("T")

TENANT: Final = "16223b5e-7f36-5850-bda3-09553ced0b0e"
"""Whom people call contoso."""
PRICE: Final = Price.per_million(input=Decimal("2.5"), output=Decimal(10))
LIMITS: Final[list[dict[str, Any]]] = [
    {"subject": "user", "requests_per_minute": 60, "tokens_per_day": 10_000},
    {"subject": "user", "match": {"role": "TeamLead"}, "tokens_per_day": 50_000, "requests_per_month": 900},
    {"subject": "tenant", "tokens_per_month": 1_000_000, "dollars_per_month": "25.50"},
    {"subject": ["user", "model"], "match": {"model": "gpt-5*"}, "parallel_requests": 2},
    {"subject": "everyone", "tokens_per_day": 2_000_000, "shadow": True},
    {"subject": "everyone", "match": {"tenant": "fab*"}, "requests_per_day": 5},
]


def write_configuration(folder: Path, redis: dict[str, Any], *, models: tuple[str, ...] = (), **entry: Any) -> Path:
    """A configuration as far as commands on limits read it."""
    path = folder / "gateway.yaml"
    upstream = {"name": "openai", "models": [{"name": "gpt-4o", "price": {"input": 2.5, "output": 10}}, *models]}
    policies = [{"policy": "entra"}, {"policy": "limits", "settings": {"redis": redis, "limits": LIMITS}, **entry}]
    path.write_text(yaml.safe_dump({"upstreams": [upstream], "policies": policies}))
    return path


class Stock:
    """Counts like the policy."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        self.store = RedisStore(client, deadline=5)
        self.registry = RedisRegistry(client)
        settings = LimitsSettings.model_validate({"redis": {"url": "unix:///none"}, "limits": LIMITS})
        self.plans = Plans(settings.limits)
        self._scale = Scale.of(settings.weights)

    async def reserve(self, id: str, user: str, *, output: int = 0, tenant: str = TENANT, **caller: Any) -> Answer:
        """Reserve 100 tokens of input and this output; the answer of the tenant's own limits."""
        known = {"department": "", "app": "chat", "roles": frozenset(), "model": "gpt-4o", "agent": "", "session": ""}
        who = Caller(tenant=tenant, tenant_name="contoso", user=user, **{**known, **caller})
        plan = self.plans.plan(who)
        size = Size(100, output, 1, PRICE)
        own, everyone = (
            Ask(id, whose, demands(limits, size, self._scale), 60.0, output=output)
            for whose, limits in ((tenant, plan.limits), (EVERYONE, plan.everyone))
        )
        await self.store.reserve(everyone)
        return await self.store.reserve(own)

    async def settle(self, id: str, tokens: int, dollars: int, *, tenant: str = TENANT) -> None:
        for whose in (tenant, EVERYONE):
            await self.store.settle(whose, id, Used(1, tokens, dollars))

    async def use(self, id: str, user: str, tokens: int, **caller: Any) -> None:
        """An exchange from its reservation to its settlement."""
        await self.reserve(id, user, **caller)
        await self.settle(id, tokens, 10 * tokens, tenant=caller.get("tenant", TENANT))


@contextlib.asynccontextmanager
async def stock(settings: RedisSettings) -> AsyncIterator[Stock]:
    client = RedisClient(settings)
    await client.start()
    try:
        await connected(client, "sg:{sg}:version", 10)
        yield Stock(client)
    finally:
        await client.stop()


def stocked(settings: RedisSettings, work: Callable[[Stock], Coroutine[Any, Any, T]]) -> T:
    """Do this with a Redis, from outside of an event loop."""

    async def run() -> T:
        async with stock(settings) as opened:
            return await work(opened)

    return asyncio.run(run())
