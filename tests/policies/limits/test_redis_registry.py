"""What operators do to limits at run time, in Redis; and what else may stand under its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from policies.limits.limit import KINDS
from policies.limits.plan import Override
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.redis_survey import connected
from policies.limits.subjects import EVERYONE, Level, Subject, parse
from policies.limits.tokens.learned import FADING, Learned
from policies.limits.windows import Counter
from tests.redis_servers import RedisCluster, RedisServer

ALICE = parse("contoso/user=alice")
DAY = "tokens_per_day"
SUMS = st.integers(0, 10**9)
LESSONS = st.lists(st.builds(Learned, st.integers(0, 3 * FADING), SUMS, SUMS, SUMS, st.integers(0, 10**14)), max_size=8)


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


async def test_changes_are_untold_until_they_are_told(registry: RedisRegistry, redis_server: RedisServer) -> None:
    for amount in range(5):
        await registry.change(ALICE, DAY, amount, "ops")
    known = list(reversed(await registry.changes(10)))
    assert [one.after for one in known] == [0, 1, 2, 3, 4]
    # The oldest first, and no more than are asked for.
    assert list(await registry.untold(3)) == known[:3]
    assert list(await registry.untold(3)) == known[:3]
    await registry.told(known[1].id)
    assert list(await registry.untold(2)) == known[2:4]
    await registry.told(known[4].id)
    assert list(await registry.untold(10)) == []
    await registry.change(ALICE, DAY, 5, "ops")
    assert [one.after for one in await registry.untold(10)] == [5]
    with redis_server.client() as client:
        assert client.get("sg:{sg}:told") == known[4].id.encode()
        assert client.pttl("sg:{sg}:told") == -1
        # What was told may be removed: it is not what the rest is found by.
        client.xtrim("sg:{sg}:changes", maxlen=1, approximate=False)
    assert [one.after for one in await registry.untold(10)] == [5]


async def test_changes_of_one_millisecond_are_told_apart(registry: RedisRegistry, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        for number in range(3):
            fields = {"by": "ops", "action": "set", "subject": "contoso", "kind": DAY, "after": number}
            client.xadd("sg:{sg}:changes", fields, id=f"1767225600000-{number}")
    await registry.told("1767225600000-0")
    assert [(one.after, one.id) for one in await registry.untold(10)] == [
        (1, "1767225600000-1"),
        (2, "1767225600000-2"),
    ]
    assert {one.at for one in await registry.untold(10)} == {1_767_225_600.0}


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


@pytest.mark.parametrize(
    "subject",
    [
        *(Subject(EVERYONE), Subject("contoso"), Subject("everyone"), Subject(""), Subject("a b/c,d=e%{f}\n")),
        Subject("contoso", ((Level.USER, "Zoë {x} = 100%, /"),)),
        Subject("contoso", ((Level.USER, "u" * 300), (Level.MODEL, ""))),
    ],
)
async def test_overrides_of_subjects_of_all_kinds(registry: RedisRegistry, subject: Subject) -> None:
    for kind in KINDS:
        assert await registry.change(subject, kind, 10**15, "ops") is None
    assert sorted(one.kind for one in await registry.overrides()) == sorted(KINDS)
    assert {(one.subject, one.amount) for one in await registry.overrides()} == {(subject, 10**15)}
    assert {parse(one.subject) for one in await registry.changes(100)} == {subject}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LESSONS)
async def test_the_script_adds_and_fades_as_workers_do(registry: RedisRegistry, lessons: list[Learned]) -> None:
    model, expects = uuid4().hex, Learned()
    for lesson in lessons:
        await registry.learn(model, lesson)
        expects.merge(lesson)
    found = (await registry.learned()).get(model, Learned())
    assert astuple(found) == astuple(expects)


async def test_no_more_models_are_learned_than_fit(registry: RedisRegistry, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.hset("sg:{sg}:learned", mapping={f"m{index}": "1 1 1 1 1" for index in range(999)})
    for model in ("last", "one too many", "m7"):
        await registry.learn(model, Learned(1, 2, 3, 4, 5))
    found = await registry.learned()
    assert len(found) == 1_000
    assert (found["last"], found["m7"]) == (Learned(1, 2, 3, 4, 5), Learned(2, 3, 4, 5, 6))
    assert "one too many" not in found


async def test_what_is_for_a_time_has_an_end(registry: RedisRegistry, redis_server: RedisServer) -> None:
    await registry.witness("r1", 60)
    assert await registry.elected("a", 30)
    assert not await registry.elected("b", 90)
    await registry.remember("t", "contoso")
    await registry.learn("m", Learned(1))
    await registry.change(ALICE, DAY, 5, "ops")
    with redis_server.client() as client:
        lives = {key.decode(): client.pttl(key) for key in client.scan_iter()}
    assert 0 < lives.pop("sg:ended:r1") <= 60_000
    assert 0 < lives.pop("sg:{sg}:reaper") <= 30_000
    assert lives == {
        f"sg:{{sg}}:{name}": -1 for name in ("tenants", "since", "learned", "overrides", "version", "changes")
    }


async def test_when_a_tenant_was_first_seen(registry: RedisRegistry, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        # Another version has seen it.
        client.hset("sg:{sg}:tenants", "old", "fabrikam")
        before = int(client.time()[0]) * 1000
        for tenant, name in (("old", "fabrikam"), ("new", "contoso"), ("new", "Contoso"), ("nameless", "")):
            await registry.remember(tenant, name)
        found = await registry.since()
        assert found.keys() == {"new", "nameless"}
        assert all(before <= at <= before + 60_000 for at in found.values())
        client.hset("sg:{sg}:since", mapping={"new": 1_700_000_000_123, "other": "riddle"})
        await registry.remember("new", "Contoso")
    assert (await registry.since())["new"] == 1_700_000_000_123
    assert await registry.tenants() == {"old": "fabrikam", "new": "Contoso", "nameless": ""}
    assert "other" not in await registry.since()


async def test_in_a_cluster(redis_cluster: RedisCluster) -> None:
    client = RedisClient(redis_cluster.settings())
    await client.start()
    try:
        await connected(client, "k", 10)
        registry = RedisRegistry(client)
        for index in range(10):
            subject = Subject(f"tenant-{index}", ((Level.USER, "alice"),))
            await client.command(subject.key(), "HSET", subject.key(), "tpd", Counter(20_000, index).write())
            await registry.change(subject, DAY, index, "ops")
            await registry.remember(subject.tenant, "")
            assert await registry.reset(subject, [DAY], "ops") == 1
            await registry.witness(f"r{index}", 60)
            assert await registry.witnessed(f"r{index}")
        assert {one.amount for one in await registry.overrides()} == set(range(10))
        assert (await registry.since()).keys() == (await registry.tenants()).keys()
        assert (await registry.version(), len(await registry.changes(100))) == (20, 20)
        await registry.told((await registry.untold(15))[-1].id)
        assert len(await registry.untold(100)) == 5
    finally:
        await client.stop()
