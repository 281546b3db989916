"""What operators do to limits at run time, in Redis; and what else may stand under its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from policies.limits.limit import KINDS
from policies.limits.plan import Override
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.subjects import parse
from policies.limits.windows import Counter
from tests.redis_servers import RedisServer

ALICE = parse("contoso/user=alice")
DAY = "tokens_per_day"


@pytest.fixture
async def registry(redis_server: RedisServer) -> AsyncIterator[RedisRegistry]:
    client = RedisClient(redis_server.settings(timeout=5))
    await client.start()
    yield RedisRegistry(client)
    await client.stop()


async def test_each_change_is_told_to_all_and_recorded(registry: RedisRegistry) -> None:
    assert await registry.change(ALICE, DAY, 500, "ops") is None
    assert await registry.change(ALICE, DAY, 0, "ops") == 500
    assert list(await registry.overrides()) == [Override(ALICE, DAY, 0)]
    assert await registry.change(ALICE, DAY, None, "boss") == 0
    assert list(await registry.overrides()) == []
    assert await registry.version() == 3
    told = [(one.by, one.action, one.subject, one.kind, one.before, one.after) for one in await registry.changes(10)]
    assert told == [
        ("boss", "unset", "contoso/user=alice", DAY, 0, None),
        ("ops", "set", "contoso/user=alice", DAY, 500, 0),
        ("ops", "set", "contoso/user=alice", DAY, None, 500),
    ]
    assert [one.by for one in await registry.changes(1)] == ["boss"]


async def test_counters_are_set_back_and_what_is_reserved_in_them_is_settled_nowhere(
    registry: RedisRegistry, redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.hset(ALICE.key(), KINDS[DAY].counter, Counter(20_000, 70, 5, 3, 1, 20).write())
        client.hset(ALICE.key(), KINDS["requests_per_day"].counter, Counter(20_000, 7).write())
    assert await registry.reset(ALICE, [DAY, "dollars_per_day"], "ops") == 1
    held = {name: Counter.read(text) for name, text in (await registry.counters(ALICE)).items()}
    assert held["tpd"] == Counter(generation=2)
    assert held["rpd"] == Counter(20_000, 7)
    assert [(one.action, one.kind) for one in await registry.changes(1)] == [("reset", "tokens_per_day,dollars_per_day")]


async def test_what_another_version_has_written_is_left_out(registry: RedisRegistry, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.hset("sg:{sg}:overrides", "contoso unknown_kind", "5")
        client.hset("sg:{sg}:overrides", f"contoso {DAY}", "many")
        client.hset("sg:{sg}:overrides", f"/ {DAY}", "5")
        client.hset("sg:{sg}:overrides", f"contoso/user=bob {DAY}", "7")
        client.hset("sg:{sg}:learned", "gpt-4o", "1 2 x")
    assert list(await registry.overrides()) == [Override(parse("contoso/user=bob"), DAY, 7)]
    assert await registry.learned() == {}
