"""The store is asked while it answers; while it does not, limits do as they declare, and it is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from extproc.tasks import spawn
from policies.limits.breaker import Breaker
from policies.limits.guarded import Guarded, Told
from policies.limits.limit import Limit, Outage
from policies.limits.memory_store import MemoryStore
from policies.limits.outage import Fallback
from policies.limits.store import Used
from tests.policies.limits.failing_store import FailingStore, Fate
from tests.policies.limits.world import NOW, ask, demand, limit

ANSWERED, FAILED, LOST, STUCK = Fate.ANSWERED, Fate.FAILED, Fate.LOST, Fate.STUCK
RPM = limit(amount=4, outage=Outage.LOCAL)
BUDGET = limit("requests_per_day", 100, outage=Outage.CLOSED)


class World:
    """A store behind a breaker, and a clock."""

    def __init__(self, fates: Iterable[Fate] = (), usual: Fate = ANSWERED, *, workers: int = 1) -> None:
        self.now = 100.0
        self.store = FailingStore(MemoryStore(lambda: NOW), fates, usual)
        memory = MemoryStore(lambda: NOW)
        fallback = Fallback(memory, workers=workers, local_for=300.0)
        self.guarded = Guarded(self.store, Breaker(persists=0), fallback, lambda: self.now)
        self.asked = 0

    async def ask(self, *limits: Limit) -> Told:
        self.asked += 1
        return await self.guarded.reserve(limits, ask(*map(demand, limits), id=f"r{self.asked}"))

    async def tell(self, *limits: Limit, times: int = 1) -> list[str]:
        """What each of so many requests is told, in a word."""
        return [word(await self.ask(*limits)) for _ in range(times)]

    def is_away(self) -> bool:
        return self.guarded.is_away

    @property
    def questions(self) -> int:
        return len(self.store.calls)


def word(told: Told) -> str:
    if told.answer is None:
        return "closed"
    return ("admitted" if told.answer.admitted else "refused") + (" here" if told.local else "")


async def test_the_store_decides_while_it_answers() -> None:
    world = World()
    assert await world.tell(RPM, times=6) == ["admitted"] * 4 + ["refused"] * 2
    assert not world.is_away()
    assert world.guarded.counters() == {"store_failures": 0, "decided_locally": 0, "closed": 0}


@pytest.mark.parametrize("fate", [FAILED, LOST])
async def test_a_failure_is_decided_by_what_the_limits_declare(fate: Fate) -> None:
    world = World([fate])
    assert await world.tell(RPM) == ["admitted here"]
    assert world.is_away()
    assert world.guarded.counters() == {"store_failures": 1, "decided_locally": 1, "closed": 0}
    assert await world.tell(RPM) == ["admitted"]
    assert not world.is_away()


async def test_a_limit_that_is_closed_closes() -> None:
    world = World(usual=FAILED)
    assert await world.tell(RPM, BUDGET) == ["closed"]
    assert await world.tell(BUDGET) == ["closed"]
    assert world.guarded.counters() == {"store_failures": 2, "decided_locally": 0, "closed": 2}


async def test_a_local_limit_refuses_what_is_above_this_workers_share() -> None:
    world = World(usual=FAILED, workers=2)
    assert await world.tell(RPM, times=4) == ["admitted here"] * 2 + ["refused here"] * 2
    # Who was refused was not let through.
    assert world.guarded.counters()["decided_locally"] == 2


async def test_after_three_failures_nobody_asks_for_a_while() -> None:
    world = World(usual=FAILED)
    await world.tell(RPM, times=10)
    assert world.questions == 3
    assert world.guarded.counters()["store_failures"] == 3
    world.now += 0.24
    await world.tell(RPM)
    assert world.questions == 3
    world.now += 0.02
    # One may: it fails, and the next pause is twice as long.
    await world.tell(RPM, times=5)
    assert world.questions == 4
    world.now += 0.4
    await world.tell(RPM)
    assert world.questions == 4


async def test_an_answer_closes_the_breaker_and_ends_the_outage() -> None:
    world = World([FAILED] * 3)
    await world.tell(RPM, times=3)
    assert world.is_away()
    world.now += 1
    assert await world.tell(RPM, times=3) == ["admitted"] * 3
    assert not world.is_away()
    assert world.questions == 6


async def test_an_outage_counts_from_the_first_failure() -> None:
    world = World(usual=FAILED)
    assert await world.tell(RPM) == ["admitted here"]
    world.now += 299
    assert await world.tell(RPM) == ["admitted here"]
    world.now += 2
    assert await world.tell(RPM) == ["closed"]


async def cancelled_while_asking(world: World) -> None:
    task = spawn(world.ask(RPM), name="asking")
    before = world.questions
    async with asyncio.timeout(10):
        while world.questions == before:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_leaves_says_nothing_of_the_store() -> None:
    world = World([FAILED, FAILED, STUCK, STUCK, STUCK])
    await world.tell(RPM, times=2)
    for _ in range(3):
        await cancelled_while_asking(world)
    assert await world.tell(RPM) == ["admitted"]
    assert world.guarded.counters()["store_failures"] == 2


async def test_a_probe_that_leaves_makes_room_for_another() -> None:
    world = World([FAILED, FAILED, FAILED, STUCK])
    await world.tell(RPM, times=3)
    world.now += 1
    await cancelled_while_asking(world)
    assert await world.tell(RPM) == ["admitted"]


async def test_a_mistake_is_not_taken_for_an_outage() -> None:
    world = World([Fate.BROKEN])
    with pytest.raises(RuntimeError):
        await world.ask(RPM)
    assert not world.is_away()
    assert await world.tell(RPM) == ["admitted"]


async def test_what_was_reserved_though_the_answer_was_lost_can_be_settled() -> None:
    """Under the same id: it is in the store, and counted here as well."""
    world = World([LOST])
    told = await world.ask(RPM)
    assert told.local
    assert world.store.store.settle_now("contoso", "r1", Used(requests=1))


async def test_what_the_store_cannot_do_for_one_closes_it_to_nobody_else() -> None:
    world = World([Fate.REFUSED] * 10)
    assert await world.tell(BUDGET, times=10) == ["closed"] * 10
    assert await world.tell(BUDGET) == ["admitted"]
    assert world.questions == 11
    assert world.guarded.counters()["store_failures"] == 10
