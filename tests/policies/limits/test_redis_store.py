"""The store in Redis keeps the contract of all stores on every server, and leaves nothing behind for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from policies.limits.memory_store import KEEP, TOMBSTONE
from policies.limits.redis_client import RedisClient
from policies.limits.redis_settings import RedisSettings
from policies.limits.redis_store import RedisStore, _answer
from policies.limits.store import Answer, Standing, StoreUnavailableError, Used
from policies.limits.subjects import tag
from tests.policies.limits.rigs import PATIENCE, SERVERS, RedisRig, redis_rig, serving
from tests.policies.limits.store_contract import PARALLEL, RPM, TPD, TPMO, StoreContract, asked, current, take
from tests.policies.limits.store_contract_grants import GrantContract
from tests.policies.limits.store_contract_windows import DebtContract, WindowContract
from tests.policies.limits.world import demand, limit
from tests.redis_servers import RedisServer


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisSettings]:
    with serving(request.param) as settings:
        yield settings


@pytest.fixture
async def rig(server: RedisSettings) -> AsyncIterator[RedisRig]:
    async with redis_rig(server) as opened:
        yield opened


@pytest.fixture
def tenant() -> str:
    return uuid4().hex


class TestReservations(StoreContract):
    pass


class TestGrants(GrantContract):
    pass


class TestWindows(WindowContract):
    pass


class TestDebt(DebtContract):
    pass


async def lifetimes(rig: RedisRig, tenant: str) -> dict[str, int]:
    """Milliseconds that each key of a tenant has to live; -1 where it has no end."""
    at = f"sg:{tag(tenant)}:leases"
    keys = await rig.client.command(at, "KEYS", f"*{tenant}*", deadline=PATIENCE)
    names = [key.decode().removeprefix(f"sg:{tag(tenant)}:") for key in keys]
    return {name: int(await rig.client.command(at, "PTTL", key)) for name, key in zip(names, keys, strict=True)}


class TestKeys:
    """What is left in Redis, and for how long."""

    async def test_every_key_has_an_end(self, rig: RedisRig, tenant: str) -> None:
        user, whole = limit(RPM, 9, f"{tenant}/user=alice", seconds=100), limit(TPD, 9, tenant, seconds=200)
        both = demand(user, seconds=100), demand(whole, seconds=200)
        for id, lease in (("open", 3_600.0), ("over", 0.0), ("settled", 60.0), ("corrected", 0.0)):
            assert (await rig.store.reserve(asked(tenant, *both, id=id, lease=lease))).admitted
        assert not (await take(rig, tenant, whole, 50, "refused")).admitted
        await rig.store.expire(tenant, "over")
        await rig.store.expire(tenant, "corrected")
        for id in ("settled", "corrected", "unknown"):
            await rig.store.settle(tenant, id, Used(1, 1))
        await rig.reset(user.key, [user.rule.kind.counter])
        found = await lifetimes(rig, tenant)
        most = {"s:user=alice": 100_000, "s:tenant": 200_000, "leases": 3_600_000 + KEEP, "r:open": 3_600_000 + KEEP}
        most |= {"r:over": KEEP} | dict.fromkeys(("r:settled", "r:corrected", "r:unknown"), TOMBSTONE)
        assert found.keys() == most.keys()
        assert {name: most[name] - 30_000 < left <= most[name] for name, left in found.items()} == dict.fromkeys(
            most, True
        )

    async def test_a_short_window_does_not_shorten_the_life_of_a_long_one(self, rig: RedisRig, tenant: str) -> None:
        """Not every exchange meets all limits of a subject: a match may leave out the month."""
        month, minute = limit(TPMO, 100, tenant), limit(RPM, 9, tenant)
        await rig.store.reserve(asked(tenant, demand(month, 60, seconds=5_000), id="r1", lease=500.0))
        await rig.store.reserve(asked(tenant, demand(minute, seconds=100), id="r2", lease=1.0))
        found = await lifetimes(rig, tenant)
        assert found["s:tenant"] > 4_900_000
        assert found["leases"] > 490_000 + KEEP
        longer = limit("dollars_per_month", 100, tenant)
        await rig.store.reserve(asked(tenant, demand(month, 1), demand(longer, 1, seconds=9_000), id="r3", lease=900.0))
        found = await lifetimes(rig, tenant)
        assert found["s:tenant"] > 8_900_000
        assert found["leases"] > 890_000 + KEEP

    async def test_what_is_refused_leaves_nothing(self, rig: RedisRig, tenant: str) -> None:
        for index in range(5):
            await take(rig, tenant, limit(TPD, 9, f"{tenant}/user=u{index}"), 10, f"r{index}")
        assert await lifetimes(rig, tenant) == {}

    async def test_a_record_that_is_gone_is_overdue_once(self, rig: RedisRig, tenant: str) -> None:
        """Evicted, say. Its count of parallel exchanges ends with its subject's counters."""
        of = limit(PARALLEL, 5, tenant)
        await take(rig, tenant, of, 1, "r1", lease=0.0)
        await rig.client.command(of.key, "DEL", f"sg:{tag(tenant)}:r:r1")
        assert [one.id for one in await rig.store.overdue(tenant, 5)] == ["r1"]
        assert not await rig.store.expire(tenant, "r1")
        assert await rig.store.overdue(tenant, 5) == []

    async def test_what_is_no_counter_is_an_error_and_nothing_is_reserved(self, rig: RedisRig, tenant: str) -> None:
        good, bad = limit(TPD, 100, tenant), limit(TPD, 100, f"{tenant}/user=alice")
        await rig.client.command(bad.key, "HSET", bad.key, bad.rule.kind.counter, "1 2 3")
        with pytest.raises(StoreUnavailableError):
            await rig.store.reserve(asked(tenant, demand(good, 5), demand(bad, 5)))
        assert await current(rig, good) is None
        assert await rig.store.overdue(tenant, 5) == []


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (
            [1, 20, [[7, 3, 60, False, 5], [1, 0, 9, True, 0]]],
            Answer(True, 20, (Standing(7, 3, 60, False, 5), Standing(1, 0, 9, True))),
        ),
        (
            [0, 0, [[7, 3, 60, True, 5], [1, 0, 9, False, 0]]],
            Answer(False, 0, (Standing(7, 3, 60, True, 5), Standing(1, 0, 9))),
        ),
        ([2, 20, []], Answer(True, 20, ())),
        ([3, 0, []], Answer(False, 0, (), settled=True)),
    ],
)
def test_answers(told: list[Any], answer: Answer) -> None:
    assert _answer(msgspec.msgpack.encode(told), 2) == answer


@pytest.mark.parametrize(
    "told",
    [
        *(None, 7, b"", b"OK", [], [1, 20, []]),
        *(msgspec.msgpack.encode(told) for told in ([], [1], [1, 20], [1, 20, []], [1, 20, [[7, 3, 60, False, 5]]])),
        *(msgspec.msgpack.encode([1, 20, [[7, 3, 60, False, 5]] * count]) for count in (1, 3)),
        msgspec.msgpack.encode([1, 20, [[7, 3, 60, False, 5], ["7", 3, 60, False, 5]]]),
    ],
)
def test_what_is_no_answer(told: Any) -> None:
    with pytest.raises(StoreUnavailableError):
        _answer(told, 2)


async def test_what_was_done_and_not_answered_is_done_once(valkey: RedisServer) -> None:
    of = limit(TPD, 100, "contoso")
    client = RedisClient(valkey.settings())
    store = RedisStore(client, deadline=0.05)
    async with redis_rig(valkey.settings()) as rig:
        await client.start()
        try:
            await take(rig, "contoso", of, 40, "before")
            assert (await store.reserve(asked("contoso", demand(of, 1), id="first"))).admitted
            valkey.pause()
            with pytest.raises(StoreUnavailableError):
                await store.reserve(asked("contoso", demand(of, 7)))
            with pytest.raises(StoreUnavailableError):
                await store.settle("contoso", "before", Used(1, 30))
            valkey.resume()
            assert (await rig.store.reserve(asked("contoso", demand(of, 7)))).admitted
            await rig.store.settle("contoso", "before", Used(1, 30))
            assert await current(rig, of) == 38
        finally:
            await client.stop()
