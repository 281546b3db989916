"""What is read beside the registry, in real servers and in a cluster of three."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from policies.limits.limit import KINDS
from policies.limits.redis_client import RedisClient
from policies.limits.redis_settings import RedisSettings
from policies.limits.redis_survey import Survey, connected
from policies.limits.store import StoreUnavailableError
from policies.limits.subjects import EVERYONE, Level, Subject
from policies.limits.tables import Charge
from policies.limits.windows import Counter
from tests.policies.limits.stocked import TENANT, Stock, stock
from tests.redis_servers import RedisCluster, RedisServer

DAY = KINDS["tokens_per_day"].counter
USERS = (Level.USER,)


async def users(
    stocked: Stock, within: str | None, levels: tuple[Level, ...] = USERS, most: int = 10**6
) -> dict[str, int]:
    """What the users have used today, by their keys."""
    found: dict[str, int] = {}

    def tell(key: str, written: bytes) -> None:
        counter = Counter.read(written)
        assert counter is not None
        found[key] = counter.current

    tenants = await stocked.registry.tenants()
    assert await Survey(stocked.client).counters(levels, DAY, tell, tenants=tenants, within=within)
    return found


def key(user: str, tenant: str = TENANT) -> str:
    return Subject(tenant, ((Level.USER, user),)).key()


async def test_counters_of_a_tenant_and_of_all(redis_server: RedisServer) -> None:
    async with stock(redis_server.settings(timeout=5)) as stocked:
        for index, (tenant, user) in enumerate([(TENANT, "a"), (TENANT, "b*?[x]\\"), ("t/2", "a"), (TENANT + "0", "a")]):
            await stocked.registry.remember(tenant, "")
            await stocked.use(f"r{index}", user, 100 + index, tenant=tenant)
        assert await users(stocked, TENANT) == {key("a"): 100, key("b*?[x]\\"): 101}
        assert await users(stocked, None) == {
            key("a"): 100,
            key("b*?[x]\\"): 101,
            key("a", "t/2"): 102,
            key("a", TENANT + "0"): 103,
        }
        assert await users(stocked, "t-3") == {}


async def test_subjects_of_other_levels_are_left_out(valkey: RedisServer) -> None:
    async with stock(valkey.settings(timeout=5)) as stocked:
        await stocked.use("r1", "alice", 7, model="gpt-5")
        # A pair, whose key a pattern for users matches as well.
        await stocked.client.command(None, "HSET", key("alice") + ",model=gpt-5", DAY, Counter(1, 5).write())
        assert await users(stocked, TENANT) == {key("alice"): 7}
        pair = Subject(TENANT, ((Level.USER, "alice"), (Level.MODEL, "gpt-5")))
        assert await users(stocked, TENANT, (Level.USER, Level.MODEL)) == {pair.key(): 5}
        tenants: dict[str, bytes] = {}
        month = KINDS["tokens_per_month"].counter
        survey = Survey(stocked.client)
        await survey.counters((Level.TENANT,), month, tenants.__setitem__, tenants=(), within=None)
        assert list(tenants) == [Subject(TENANT).key()]
        assert Counter.read(tenants[Subject(TENANT).key()]) is not None


async def test_it_does_not_look_for_ever(valkey: RedisServer) -> None:
    async with stock(valkey.settings(timeout=5)) as stocked:
        with valkey.client() as client:
            client.mset({f"other:{number}": "x" for number in range(5_000)})
        await stocked.use("r1", "alice", 7)
        assert await users(stocked, TENANT) == {key("alice"): 7}
        found: list[str] = []
        whole = await Survey(stocked.client).counters(
            USERS, DAY, lambda at, _: found.append(at), tenants=(), within=TENANT, most=1_000
        )
        assert not whole
        assert len(found) <= 1


async def test_in_a_cluster_every_master_is_asked(redis_cluster: RedisCluster) -> None:
    async with stock(redis_cluster.settings()) as stocked:
        tenants = [f"tenant-{number}" for number in range(40)]
        for number, tenant in enumerate(tenants):
            await stocked.registry.remember(tenant, "")
            await stocked.use(f"r{number}", "alice", 200 + number, tenant=tenant)
        holding = []
        for node in redis_cluster.nodes:
            with node.client() as client:
                holding.append(sum(1 for _ in client.scan_iter(match="sg:{tenant-*}:s:user=*")))
        assert all(holding), "the test must have something on every master"
        assert await users(stocked, None) == {key("alice", tenant): 200 + n for n, tenant in enumerate(tenants)}
        assert await users(stocked, tenants[7]) == {key("alice", tenants[7]): 207}
        charges, whole = await Survey(stocked.client).charges(tenants[0])
        assert (charges, whole) == ([], True)


async def test_what_is_reserved_and_not_settled(redis_server: RedisServer) -> None:
    async with stock(redis_server.settings(timeout=5)) as stocked:
        await stocked.reserve("r1", "alice", output=50)
        await stocked.reserve("r2", "alice", output=70)
        await stocked.use("r3", "alice", 5)
        survey = Survey(stocked.client)
        charges, whole = await survey.charges(TENANT)
        assert whole
        assert sorted(one.reserved for one in charges if (one.key, one.counter) == (key("alice"), DAY)) == [150, 170]
        assert {one.key for one in charges} == {key("alice"), Subject(TENANT).key()}
        of_everyone, _ = await survey.charges(EVERYONE)
        assert sorted(one.reserved for one in of_everyone) == [150, 170]
        charges, whole = await survey.charges(TENANT, most=1)
        assert not whole
        assert {one.reserved for one in charges if one.counter == DAY} == {150}


async def test_records_that_cannot_be_read_are_left_out(valkey: RedisServer) -> None:
    async with stock(valkey.settings(timeout=5)) as stocked:
        await stocked.reserve("r1", "alice", output=50)
        await stocked.client.command(None, "SET", f"sg:{{{TENANT}}}:r:r2", b"\x93\x01")
        await stocked.client.command(None, "ZADD", f"sg:{{{TENANT}}}:leases", 1, "r2", 2, "gone")
        charges, whole = await Survey(stocked.client).charges(TENANT)
        assert whole
        assert [one.reserved for one in charges if one.key == key("alice") and one.counter == DAY] == [150]
        assert all(isinstance(one, Charge) for one in charges)


async def test_the_clock_is_the_servers(valkey: RedisServer) -> None:
    async with stock(valkey.settings(timeout=5)) as stocked:
        before = int(time.time() * 1000)
        now = await Survey(stocked.client).now("k")
        assert before <= now <= time.time() * 1000


async def test_who_does_not_answer_is_given_up(tmp_path: Path) -> None:
    client = RedisClient(RedisSettings(url=f"unix://{tmp_path}/none.sock", connect_timeout=0.05))
    await client.start()
    try:
        with pytest.raises(StoreUnavailableError, match=r"No such file"):
            await connected(client, "k", 0.1)
    finally:
        await client.stop()
