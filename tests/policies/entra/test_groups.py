"""Groups beyond the token: the cache, and the policy with it."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE
from policies.entra.groups import Caller, GroupCache, GroupsUnavailableError
from policies.entra.policy import EntraPolicy
from tests.entra_tokens import ABSENT, ALICE, CONTOSO, FABRIKAM, ROBOT, guid
from tests.policies.entra.world import NOW, Clock, World, bearing, until

ALICE_AT_CONTOSO = Caller(CONTOSO, ALICE, CallerKind.USER)
ROBOT_AT_CONTOSO = Caller(CONTOSO, ROBOT, CallerKind.APP)
GROUPS = frozenset({guid("staff"), guid("research")})
OVERAGE: dict[str, Any] = {
    "_claim_names": {"groups": "src1"},
    "_claim_sources": {"src1": {"endpoint": "http://169.254.169.254/steal"}},
}


class FakeResolver:
    def __init__(self) -> None:
        self.asked: list[Caller] = []
        self.failure: GroupsUnavailableError | None = None
        self.held: asyncio.Event | None = None
        self.closed = False

    async def groups(self, caller: Caller) -> frozenset[str]:
        self.asked.append(caller)
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return GROUPS

    async def close(self) -> None:
        self.closed = True


class Cache(GroupCache):
    def __init__(self, size: int = 10) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver()
        super().__init__(self.resolver, remember=300, size=size, clock=self.clock)


async def test_an_answer_is_remembered_for_its_time() -> None:
    cache = Cache()
    assert cache.known(ALICE_AT_CONTOSO, NOW) == (False, None)
    assert await cache.learn(ALICE_AT_CONTOSO) == GROUPS
    assert cache.known(ALICE_AT_CONTOSO, NOW + 299) == (True, GROUPS)
    assert cache.known(ALICE_AT_CONTOSO, NOW + 300) == (False, None)
    assert cache.known(ROBOT_AT_CONTOSO, NOW) == (False, None)


async def test_a_clock_that_is_set_back_keeps_no_lost_membership_alive() -> None:
    cache = Cache()
    assert await cache.learn(ALICE_AT_CONTOSO) == GROUPS
    assert cache.known(ALICE_AT_CONTOSO, NOW - 2) == (True, GROUPS), "a small correction"
    assert cache.known(ALICE_AT_CONTOSO, NOW - 86_400) == (False, None)
    cache.resolver.failure = GroupsUnavailableError("down", pause=300)
    assert await cache.learn(ROBOT_AT_CONTOSO) is None
    assert cache.known(Caller(FABRIKAM, ALICE, CallerKind.USER), NOW + 299) == (True, None)
    assert cache.known(Caller(FABRIKAM, ALICE, CallerKind.USER), NOW - 86_400) == (False, None), "no pause for a day"


async def test_concurrent_callers_ask_once() -> None:
    cache = Cache()
    cache.resolver.held = asyncio.Event()
    asking = [asyncio.ensure_future(cache.learn(ALICE_AT_CONTOSO)) for _ in range(20)]  # noqa: TID251
    await until(lambda: bool(cache.resolver.asked))
    cache.resolver.held.set()
    assert await asyncio.gather(*asking) == [GROUPS] * 20
    assert cache.resolver.asked == [ALICE_AT_CONTOSO]


async def test_a_failure_of_one_caller_is_remembered_for_a_while() -> None:
    cache = Cache()
    cache.resolver.failure = GroupsUnavailableError("no such user")
    assert await cache.learn(ALICE_AT_CONTOSO) is None
    assert cache.error == "no such user"
    assert cache.known(ALICE_AT_CONTOSO, NOW + 29) == (True, None)
    assert cache.known(ALICE_AT_CONTOSO, NOW + 30) == (False, None)
    assert cache.known(ROBOT_AT_CONTOSO, NOW) == (False, None), "others may ask"


async def test_an_outage_stops_all_asking_for_a_while() -> None:
    cache = Cache()
    cache.resolver.failure = GroupsUnavailableError("throttled", pause=120)
    assert await cache.learn(ALICE_AT_CONTOSO) is None
    assert cache.known(ROBOT_AT_CONTOSO, NOW + 119) == (True, None)
    assert cache.known(ROBOT_AT_CONTOSO, NOW + 120) == (False, None)


async def test_the_memory_is_bounded() -> None:
    cache = Cache(size=2)
    callers = [Caller(CONTOSO, guid(str(n)), CallerKind.USER) for n in range(3)]
    for caller in callers:
        await cache.learn(caller)
    assert [cache.known(caller, NOW)[0] for caller in callers] == [False, True, True]


async def test_closing_ends_what_is_under_way() -> None:
    cache = Cache()
    cache.resolver.held = asyncio.Event()
    asking = asyncio.ensure_future(cache.learn(ALICE_AT_CONTOSO))  # noqa: TID251
    await until(lambda: bool(cache.resolver.asked))
    await cache.close()
    assert await asking is None
    assert cache.resolver.closed


async def _world() -> tuple[World, Cache, EntraPolicy]:
    world, cache = World(), Cache()
    world.policy = EntraPolicy(world.settings, world.clock, world.keys, cache)
    for place in world.keys._places:
        await world.keys.refresh(place)
    return world, cache, world.policy


async def test_overage_without_a_resolver_is_unknown() -> None:
    outcome, exchange = await World().bear(World().token(**OVERAGE))
    assert outcome is CONTINUE
    identity = exchange.need(Identity)
    assert (identity.groups, identity.groups_known) == (frozenset(), False)


async def test_overage_is_resolved_once_then_remembered() -> None:
    world, cache, policy = await _world()
    token = world.token(**OVERAGE)
    answer = policy.on_request_headers(bearing(token))
    assert inspect.isawaitable(answer)
    assert await answer is CONTINUE
    exchange = bearing(token)
    assert policy.on_request_headers(exchange) is CONTINUE, "plain: nothing is awaited any more"
    identity = exchange.need(Identity)
    assert (identity.groups, identity.groups_known) == (GROUPS, True)
    assert cache.resolver.asked == [ALICE_AT_CONTOSO]
    world.clock.now = cache.clock.now = NOW + 301
    answer = policy.on_request_headers(bearing(token))
    assert inspect.isawaitable(answer), "groups change while tokens live"
    await answer


async def test_overage_of_an_application() -> None:
    world, cache, _ = await _world()
    _, exchange = await world.bear(world.token(app_only=True, **OVERAGE))
    assert exchange.need(Identity).groups == GROUPS
    assert cache.resolver.asked == [ROBOT_AT_CONTOSO]


async def test_overage_that_cannot_be_resolved_stays_unknown() -> None:
    world, cache, _ = await _world()
    cache.resolver.failure = GroupsUnavailableError("down", pause=10)
    for _ in range(2):
        outcome, exchange = await world.bear(world.token(**OVERAGE))
        assert outcome is CONTINUE
        assert not exchange.need(Identity).groups_known
        assert "the groups could not be learnt: down" in exchange.take_notes()
    assert len(cache.resolver.asked) == 1


async def test_who_has_no_overage_is_not_asked_about() -> None:
    world, cache, _ = await _world()
    for groups in (ABSENT, [guid("staff")]):
        outcome, _ = await world.bear(world.token(groups=groups))
        assert outcome is CONTINUE
    assert cache.resolver.asked == []


async def test_stopping_the_policy_closes_the_resolver() -> None:
    _, cache, policy = await _world()
    await policy.stop()
    assert cache.resolver.closed
