"""Reservations under the limits of a tenant and of all tenants together: all or none, and what is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from extproc.exchange import Exchange, Headers, Request
from extproc.tasks import spawn
from policies.limits.breaker import Breaker
from policies.limits.demands import Scale, Size
from policies.limits.guarded import Guarded
from policies.limits.limit import Limit
from policies.limits.memory_store import MemoryStore
from policies.limits.outage import Fallback
from policies.limits.plan import Plan
from policies.limits.reserving import Attempts, Reserved, Reserver
from policies.limits.reserving import Request as Wanted
from policies.limits.settings import Weights
from policies.limits.settling import Settler
from policies.limits.store import Zone
from tests.policies.limits.failing_store import FailingStore, Fate
from tests.policies.limits.world import NOW, limit

TENANT = limit("tokens_per_day", 1_000, "contoso")
EVERYONE = limit("requests_per_day", 3, "everyone")
RATE = limit("requests_per_minute", 10, "contoso/user=alice", outage="local")


class Place:
    """A reserver over a store in memory, whose calls fail as they are told to."""

    def __init__(self, fates: Sequence[Fate] = (), usual: Fate = Fate.ANSWERED) -> None:
        self.memory = MemoryStore(lambda: NOW)
        self.store = FailingStore(self.memory, fates, usual)
        self.local = MemoryStore(lambda: NOW)
        self.settler = Settler(self.store)
        fallback = Fallback(self.local, workers=1, local_for=60)
        self.reserver = Reserver(
            Guarded(self.store, Breaker(), fallback, lambda: 0.0),
            fallback,
            self.settler,
            Scale.of(Weights()),
            zone=lambda _: Zone(),
            clock=lambda: NOW / 1000,
            lease=60,
            floor=16,
        )
        self.exchange = exchange()

    async def reserve(self, *limits: Limit, everyone: Sequence[Limit] = (), **size: Any) -> Reserved:
        plan = Plan(limits, tuple(everyone))
        wanted = Wanted(self.exchange, "contoso", plan, Size(**size), lambda output: output)
        return await self.reserver.reserve(wanted)

    def abandon(self) -> None:
        attempts = self.exchange.get(Attempts)
        assert attempts is not None
        self.reserver.give_back(attempts)

    async def settled(self) -> None:
        self.settler.start()
        await self.settler.stop(5)

    def used(self, of: Limit) -> int:
        counter = self.memory.counter(of.key, of.rule.kind.counter)
        return counter.current if counter is not None else 0


def exchange(name: str = "e1") -> Exchange:
    return Exchange(name, Request("POST", "/v1/chat/completions", "", "gw", "https", Headers(()), f"request-{name}"))


async def test_both_are_reserved_under_the_id_of_the_exchange() -> None:
    place = Place()
    reserved = await place.reserve(TENANT, everyone=[EVERYONE], input=100, output=50)
    assert (reserved.admitted, reserved.id, reserved.output, reserved.local) == (True, "e1", 50, ())
    assert reserved.tenants == ("contoso", "*")
    assert [one.limit for one in reserved.stood] == [TENANT, EVERYONE]
    assert (place.used(TENANT), place.used(EVERYONE)) == (150, 1)


async def test_what_everyone_has_used_up_is_given_back_to_the_tenant() -> None:
    place = Place()
    for index in range(4):
        place.exchange = exchange(f"e{index}")
        reserved = await place.reserve(TENANT, everyone=[EVERYONE], input=100, output=50)
    assert not reserved.admitted
    assert [one.standing.refused for one in reserved.stood] == [False, True]
    assert (place.used(TENANT), place.used(EVERYONE)) == (600, 3)
    await place.settled()
    assert (place.used(TENANT), place.used(EVERYONE)) == (450, 3)


async def test_a_refusal_of_the_store_leaves_nothing_to_give_back() -> None:
    place = Place()
    reserved = await place.reserve(TENANT, input=990, output=50)
    assert not reserved.admitted
    assert place.settler.backlog == 0


async def test_another_attempt_is_another_reservation() -> None:
    place = Place()
    refused = await place.reserve(TENANT, input=990, output=50)
    admitted = await place.reserve(TENANT, input=100, output=50)
    assert (refused.admitted, refused.id) == (False, "e1")
    assert (admitted.admitted, admitted.id) == (True, "e1.1")
    place.abandon()
    await place.settled()
    assert place.used(TENANT) == 0


async def test_the_tightest_budget_of_either_bounds_the_output() -> None:
    place = Place()
    shared = limit("tokens_per_month", 150, "everyone")
    reserved = await place.reserve(TENANT, everyone=[shared], input=100, output=500)
    assert reserved.output == 50
    assert (place.used(TENANT), place.used(shared)) == (600, 150)


async def test_a_question_whose_answer_was_lost_is_taken_back() -> None:
    place = Place([Fate.LOST])
    reserved = await place.reserve(TENANT, input=100, output=50)
    assert not reserved.admitted
    assert reserved.stood == ()
    assert place.used(TENANT) == 150
    await place.settled()
    assert place.used(TENANT) == 0


async def test_while_the_store_is_away_a_worker_counts_by_itself_and_tells_later() -> None:
    place = Place(usual=Fate.FAILED)
    reserved = await place.reserve(RATE)
    assert (reserved.admitted, reserved.tenants) == (True, ())
    [ask] = reserved.local
    assert (ask.tenant, ask.id, ask.force, ask.at) == ("contoso", "e1", True, NOW)
    counter = place.local.counter(RATE.key, RATE.rule.kind.counter)
    assert counter is not None
    assert counter.current == 1
    place.abandon()
    assert counter.current == 0


async def test_what_was_let_through_locally_is_given_back_where_everyone_is_closed() -> None:
    place = Place(usual=Fate.FAILED)
    reserved = await place.reserve(RATE, everyone=[EVERYONE])
    assert not reserved.admitted
    counter = place.local.counter(RATE.key, RATE.rule.kind.counter)
    assert counter is not None
    assert counter.current == 0


@pytest.mark.parametrize("moment", ["asked", "reserved"])
async def test_who_is_cancelled_gives_back(moment: str) -> None:
    place = Place([Fate.STUCK] if moment == "asked" else [Fate.ANSWERED, Fate.STUCK])
    task = spawn(place.reserve(TENANT, everyone=[EVERYONE], input=100, output=50), name="reserve")
    while len(place.store.calls) < (1 if moment == "asked" else 2):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.settler.backlog == (1 if moment == "asked" else 2)
    await place.settled()
    assert (place.used(TENANT), place.used(EVERYONE)) == (0, 0)
