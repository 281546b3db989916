"""The registry's contract: Redis keeps it, and so does what stands for it in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.registry import Registry
from policies.limits.tokens.learned import Learned
from tests.policies.limits.memory_registry import MemoryRegistry
from tests.redis_servers import RedisServer


@pytest.fixture(params=["memory", "redis"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    if request.param == "memory":
        loop = asyncio.get_running_loop()
        yield MemoryRegistry(loop.time)
        return
    valkey: RedisServer = request.getfixturevalue("valkey")
    client = RedisClient(valkey.settings(timeout=5))
    await client.start()
    yield RedisRegistry(client)
    await client.stop()


async def test_tenants_are_remembered_by_their_last_name(registry: Registry) -> None:
    assert await registry.tenants() == {}
    await registry.remember("t1", "contoso")
    await registry.remember("t2", "Überland {x}")
    await registry.remember("t1", "contoso ltd")
    assert await registry.tenants() == {"t1": "contoso ltd", "t2": "Überland {x}"}


async def test_nothing_is_set_at_first(registry: Registry) -> None:
    assert await registry.version() == 0
    assert list(await registry.overrides()) == []


async def test_who_witnessed_an_end_is_believed_for_as_long(registry: Registry) -> None:
    assert not await registry.witnessed("r1")
    await registry.witness("r1", 60)
    await registry.witness("r2", 0.05)
    assert await registry.witnessed("r1")
    await asyncio.sleep(0.1)
    assert not await registry.witnessed("r2")


async def test_what_workers_learn_adds_up(registry: Registry) -> None:
    await registry.learn("gpt-4o", Learned(2, 100, 90, 30, 500))
    await registry.learn("gpt-4o", Learned(1, 50, 60, 10, 100))
    await registry.learn("claude", Learned(1, 1, 1, 1, 1))
    assert await registry.learned() == {"gpt-4o": Learned(3, 150, 150, 40, 600), "claude": Learned(1, 1, 1, 1, 1)}


async def test_one_holds_the_office_until_its_time_is_over(registry: Registry) -> None:
    assert await registry.elected("a", 0.2)
    assert not await registry.elected("b", 0.2)
    assert await registry.elected("a", 0.2)
    await asyncio.sleep(0.3)
    assert await registry.elected("b", 60)
    assert not await registry.elected("a", 60)


async def test_nothing_is_untold_where_nothing_was_changed(registry: Registry) -> None:
    assert list(await registry.untold(10)) == []
