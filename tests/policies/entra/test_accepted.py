"""That a token was accepted is told once for each, and only where a record is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extproc.exchange import Exchange
from extproc.outcome import CONTINUE, Reject
from extproc.recorder import Event, Recorder
from policies.entra.policy import EntraPolicy
from tests.entra_tokens import ALICE, CLIENT, CONTOSO, FABRIKAM, ROBOT, STRANGER
from tests.policies.entra.world import World, bearing


class Recorded(World):
    """The policy, and what it tells; to a record only where one is kept."""

    def __init__(self, *, kept: bool = True, **changes: Any) -> None:
        super().__init__(**changes)
        self.events: list[Event] = []
        self.recorder = Recorder()
        if kept:
            self.keep()
        self.policy = EntraPolicy(self.settings, self.clock, self.keys, recorder=self.recorder)

    def keep(self) -> None:
        self.recorder.keep(self.events.append, self._written)

    async def _written(self) -> None:
        return None


def named(token: str, name: str) -> Exchange:
    asked = bearing(token)
    return Exchange(name, asked.request)


async def test_a_token_is_told_of_when_it_is_seen_first() -> None:
    world = Recorded()
    token = world.token(roles=["User"])
    for name in ("e1", "e2", "e3"):
        assert await world.ask(named(token, name)) is CONTINUE
    [event] = world.events
    assert (event.name, event.of) == ("authentication.accepted", "")
    values = dict(event.values)
    assert values.pop("subject")
    assert values == {
        "request_id": "r1",
        "exchange_id": "e1",
        "tenant_id": CONTOSO,
        "tenant": "contoso",
        "user_id": ALICE,
        "app_id": CLIENT,
        "caller": "user",
    }
    assert not any(part in str(event) for part in token.split("."))


async def test_each_token_is_told_of() -> None:
    world = Recorded()
    tokens = [world.token(), world.token(FABRIKAM), world.token(app_only=True)]
    for token in [*tokens, *tokens]:
        await world.bear(token)
    told = [(event.values["tenant"], event.values["caller"], event.values["user_id"]) for event in world.events]
    assert told == [("contoso", "user", ALICE), ("fabrikam", "user", ALICE), ("contoso", "app", ROBOT)]


async def test_a_token_that_many_bear_at_once_is_told_of_once() -> None:
    """All of them wait for the keys, and then judge it one after the other."""
    world = Recorded()
    world.source.held = asyncio.Event()
    token = world.token()
    asked = asyncio.gather(*(world.ask(named(token, f"e{number}")) for number in range(5)))
    await asyncio.sleep(0.01)
    world.source.held.set()
    assert await asked == [CONTINUE] * 5
    assert [event.values["exchange_id"] for event in world.events] == ["e0"]


async def test_what_is_refused_was_not_accepted() -> None:
    world = Recorded()
    for token in (world.token(STRANGER), world.token(aud="api://other"), "a.b.c", world.token()[:-4] + "AAAA"):
        outcome, _ = await world.bear(token)
        assert isinstance(outcome, Reject)
    late = world.token()
    world.clock.now += 7_200
    assert isinstance((await world.bear(late))[0], Reject)
    assert world.events == []


async def test_where_no_record_is_kept_nothing_is_told() -> None:
    world = Recorded(kept=False)
    known = world.token()
    assert (await world.bear(known))[0] is CONTINUE
    world.keep()
    # It was seen before.
    await world.bear(known)
    assert world.events == []
    await world.bear(world.token(roles=["User"]))
    assert len(world.events) == 1


@pytest.mark.parametrize(("size", "told"), [(0, 4), (1, 4), (2, 2)])
async def test_what_the_process_has_forgotten_it_sees_for_the_first_time(size: int, told: int) -> None:
    world = Recorded(token_cache_size=size)
    tokens = [world.token(), world.token(FABRIKAM)]
    for token in [*tokens, *tokens]:
        await world.bear(token)
    assert len(world.events) == told
