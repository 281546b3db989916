"""Counters in a real Redis, and what callers, clocks and a full memory may try on them: none of it makes a budget new."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import redis
from msgspec.structs import replace

from extproc.call import Call, Operation
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from extproc.price import PICO
from policies.limits.demands import Scale, Size, demands
from policies.limits.limit import Limit, OutputReserve
from policies.limits.memory_store import MemoryStore
from policies.limits.plan import Caller
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.redis_store import RedisStore
from policies.limits.settings import Weights
from policies.limits.store import Demand, Store, StoreUnavailableError, Used
from policies.limits.tokens.learned import Learned
from policies.limits.windows import Counter
from tests.policies.limits.world import ask, demand, limit
from tests.redis_servers import RedisServer, running_redis

RPM = limit("requests_per_minute", 60, seconds=3_720)
MONTH = limit("tokens_per_month", 1_000, seconds=62 * 86_400)
DAY = limit("tokens_per_day", 1_000, seconds=2 * 86_400)
YEAR = 366 * 86_400_000
MUCH = 9 * 10**18


@contextlib.asynccontextmanager
async def connected(server: RedisServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(server.settings(timeout=5.0))
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@pytest.fixture
async def client(valkey: RedisServer) -> AsyncIterator[RedisClient]:
    async with connected(valkey) as opened:
        yield opened


def written(server: RedisServer, of: Demand) -> Counter:
    with server.client() as client:
        found = Counter.read(client.hget(of.key, of.counter))
    assert found is not None, "the counter cannot be read any more"
    return found


async def test_a_call_with_short_windows_alone_keeps_a_budget_as_long_as_it_counts(
    client: RedisClient, valkey: RedisServer
) -> None:
    store = RedisStore(client)
    await store.reserve(ask(demand(MONTH, 900, seconds=MONTH.rule.seconds), id="a"))
    await store.reserve(ask(demand(RPM, seconds=RPM.rule.seconds), id="b"))
    with valkey.client() as looking:
        assert MONTH.rule.seconds - 60 <= looking.ttl(MONTH.key) <= MONTH.rule.seconds


@pytest.mark.parametrize("of", [DAY, limit("parallel_requests", 1_000, seconds=DAY.rule.seconds)])
async def test_a_counter_is_kept_beyond_the_window_after_the_one_in_which_it_was_first_used(
    client: RedisClient, valkey: RedisServer, of: Limit
) -> None:
    """A day's two; one without a window, for as long after each call."""
    store = RedisStore(client)
    await store.reserve(ask(demand(of, seconds=of.rule.seconds), id="a"))
    with valkey.client() as looking:
        assert looking.ttl(of.key) > of.rule.seconds - 60
        looking.expire(of.key, 86_400)
        await store.reserve(ask(demand(of, seconds=of.rule.seconds), id="b"))
        assert (looking.ttl(of.key) > 86_400) == (of is not DAY)
        # The next window: the counter is told so again.
        looking.hset(of.key, of.rule.kind.counter, Counter(int(time.time()) // 86_400 - 1, 7).write())
        await store.reserve(ask(demand(of, seconds=of.rule.seconds), id="c"))
        assert looking.ttl(of.key) > of.rule.seconds - 60


@pytest.mark.parametrize("output", [0, 10])
@pytest.mark.parametrize("kind", ["redis", "memory"])
async def test_debt_is_owed_whichever_call_is_the_first_of_the_day(
    client: RedisClient, valkey: RedisServer, kind: str, output: int
) -> None:
    of = limit("tokens_per_day", 1_000, reserve=OutputReserve.EXPECTED, seconds=DAY.rule.seconds)
    [first] = demands([of], Size(1, output), Scale.of(Weights()))
    if kind == "redis":
        store: Store = RedisStore(client)
        today = int(time.time()) // 86_400
        with valkey.client() as looking:
            looking.hset(of.key, of.rule.kind.counter, Counter(today - 1, 5_000).write())
    else:
        now = 86_400_000 * 20_000
        memory = store = MemoryStore(lambda: now)
        memory.reserve_now(ask(demand(of, 5_000, expected=True), id="before", force=True))
        now += 86_400_000
    answer = await store.reserve(ask(first, id="after"))
    assert not answer.admitted
    assert answer.standings[0].used == 4_000


async def test_no_count_grows_past_what_can_be_read_again(client: RedisClient, valkey: RedisServer) -> None:
    store = RedisStore(client)
    shadowed = demand(DAY, 5, MUCH, shadow=True)
    for name in ("a", "b", "c"):
        assert (await store.reserve(ask(shadowed, id=name, output=10_000_000, floor=1))).admitted
        assert written(valkey, shadowed).current == 2**53
    assert await store.settle("contoso", "a", Used(1, 10**19, 10**19))
    assert written(valkey, shadowed).current == 2**53
    # Enforced, it is no more than full.
    assert not (await store.reserve(ask(demand(DAY, 5), id="d"))).admitted


async def test_what_a_worker_counted_with_a_clock_ahead_is_counted_now(client: RedisClient, valkey: RedisServer) -> None:
    ahead = int(time.time() * 1000) + YEAR
    one = demand(DAY, 7)
    await RedisStore(client).reserve(ask(one, id="a", force=True, at=ahead))
    assert written(valkey, one).window <= int(time.time()) // 86_400
    now = 86_400_000 * 20_000
    memory = MemoryStore(lambda: now)
    await memory.reserve(ask(one, id="a", force=True, at=now + YEAR))
    found = memory.counter(one.key, one.counter)
    assert found is not None
    assert found.window == 20_000


async def test_a_counter_that_a_clock_left_in_the_future_is_mended_by_a_reset(
    client: RedisClient, valkey: RedisServer
) -> None:
    one = demand(DAY, 7)
    today = int(time.time()) // 86_400
    with valkey.client() as looking:
        looking.hset(one.key, one.counter, Counter(today + 400, 1_000, generation=3).write())
    store = RedisStore(client)
    assert not (await store.reserve(ask(one, id="a"))).admitted
    assert await RedisRegistry(client).reset(DAY.subject, [DAY.rule.kind.name], "kim") == 1
    assert (await store.reserve(ask(one, id="b"))).admitted
    found = written(valkey, one)
    assert (found.window - today in (0, 1), found.current, found.generation) == (True, 7, 4)


async def test_what_is_settled_is_settled_also_where_memory_is_full() -> None:
    one = demand(DAY, 100, PICO)
    with running_redis(maxmemory_policy="noeviction") as server:
        async with connected(server) as client:
            store = RedisStore(client)
            for name in ("a", "b"):
                assert (await store.reserve(ask(one, id=name, lease=0.001))).admitted
            with server.client() as looking:
                looking.config_set("maxmemory", 1)
                with pytest.raises(redis.ResponseError, match="maxmemory"):
                    looking.set("more", 1)
            assert await RedisRegistry(client).elected("me", 10)
            assert await store.settle("contoso", "a", Used(1, 40))
            assert await store.expire("contoso", "b")
            assert (written(server, one).current, written(server, one).reserved) == (140, 0)


@pytest.mark.parametrize("garbage", [("HSET", "tpd", "no counter"), ("HSET", "tpd", "1 2 3 4 5 -6"), ("SET", "text")])
async def test_a_counter_that_is_none_fails_for_its_subject_alone(
    client: RedisClient, valkey: RedisServer, garbage: tuple[str, ...]
) -> None:
    store = RedisStore(client)
    with valkey.client() as looking:
        looking.execute_command(garbage[0], DAY.key, *garbage[1:])
    with pytest.raises(StoreUnavailableError) as caught:
        await store.reserve(ask(demand(DAY), id="a"))
    assert caught.value.alive
    other = limit("tokens_per_day", 1_000, "contoso/user=bob")
    assert (await store.reserve(ask(demand(other), id="b"))).admitted


@pytest.mark.parametrize(
    "garbage", [("SET", "sg:{contoso}:s:user=bob", "text"), ("SET", "sg:{contoso}:r:b", b"\x93\x01"), ("DEL", "none")]
)
async def test_what_cannot_be_settled_keeps_nothing_else_from_it_and_is_not_lost(
    client: RedisClient, valkey: RedisServer, garbage: tuple[str, ...]
) -> None:
    """Of one tenant, in one call: an error leaves all as it was, and then each is settled by itself."""
    store = RedisStore(client)
    tenant = limit("tokens_per_day", 10_000, "contoso")
    for name, user in (("a", "alice"), ("b", "bob"), ("c", "carol")):
        both = (demand(tenant, 50), demand(limit("tokens_per_day", 10_000, f"contoso/user={user}"), 50))
        assert (await store.reserve(ask(*both, id=name))).admitted
    with valkey.client() as looking:
        kept = looking.dump(garbage[1])
        looking.execute_command(*garbage)
        settlements = [("contoso", name, Used(1, 20)) for name in "abc"]
        whole = garbage[0] == "DEL"
        assert await store.settle_all(settlements) == [True, True if whole else None, True]
        assert written(valkey, demand(tenant)).current == (60 if whole else 90)
        if kept is not None:
            looking.restore(garbage[1], 0, kept, replace=True)
    assert await store.settle_all(settlements) == [False, not whole, False]
    assert (written(valkey, demand(tenant)).current, written(valkey, demand(tenant)).reserved) == (60, 0)


async def test_garbage_in_the_registry_keeps_nobody_from_reading_the_rest(
    client: RedisClient, valkey: RedisServer
) -> None:
    registry = RedisRegistry(client)
    await registry.learn("gpt-4o", Learned(1, 2, 3, 4, 5))
    with valkey.client() as looking:
        for model, sums in (("a", "1 2 3"), ("b", "1 2 3 4 5 6"), ("c", "x y z 1 2"), ("d", "1 2 3 4 -5")):
            looking.hset("sg:{sg}:learned", model, sums)
        for user, amount in (("a", "-5"), ("b", str(10**30)), ("c", "7"), ("d", "seven")):
            looking.hset("sg:{sg}:overrides", f"contoso/user={user} tokens_per_day", amount)
    assert await registry.learned() == {"gpt-4o": Learned(1, 2, 3, 4, 5)}
    found = {str(one.subject)[-1]: one.amount for one in await registry.overrides()}
    assert found == {"a": 0, "b": 10**15, "c": 7}


async def test_a_flood_of_subjects_while_redis_is_away_is_forgotten_in_time() -> None:
    now = 86_400_000 * 20_000
    memory = MemoryStore(lambda: now)
    budget = demand(DAY, 7, seconds=DAY.rule.seconds)
    await memory.reserve(ask(budget, id="budget"))
    keys = [f"sg:{{contoso}}:s:session={number}" for number in range(1_000)]
    for key in keys:
        await memory.reserve(ask(replace(demand(RPM, seconds=120), key=key), id=key))
    now += 60_000
    await memory.reserve(ask(replace(demand(RPM, seconds=120), key=keys[0]), id="again"))
    now += 60_001
    await memory.reserve(ask(demand(RPM, seconds=120), id="later"))
    assert [key for key in keys if memory.counter(key, "rpm") is not None] == keys[:1]
    found = memory.counter(budget.key, budget.counter)
    assert found is not None
    assert found.current == 7


@pytest.mark.parametrize("value", ["x" * 60_000, "\udcff" * 500, "x" * 129])
def test_a_long_session_is_remembered_by_its_hash(value: str) -> None:
    call = Call(Operation.CHAT, Dialect.OPENAI, model="gpt-4o")
    identity = Identity("contoso", "alice", "notebook", CallerKind.USER)
    one, same, other = (Caller.of(identity, call, session) for session in (value, value, value[1:] + "y"))
    assert one == same != other
    assert len(one.session) < 128
    assert Caller.of(identity, call, "x" * 128).session == "x" * 128
