"""Sessions begin with the first exchange that names them, and end when none has for a while: each once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from policies.audit.canonical import FIRST, read, seal_members
from policies.audit.finishing import sessions as module
from policies.audit.finishing.sessions import Session, Sessions
from policies.audit.moments import moment
from policies.audit.record import SCHEMA, Closed
from tests.policies.audit.world import closing, decision

IDLE = 1_800.0
WHO = {"tenant_id": "t-1", "tenant": "contoso", "user_id": "alice", "app_id": "chat-ui"}


class World:
    """Sessions, and a clock. What is given is read back when the test says so."""

    def __init__(self) -> None:
        self.now = 10_000.0
        self.sessions = Sessions(IDLE)
        self.written: list[Closed] = []

    def asked(self, session: str = "s-1", **members: Any) -> Closed:
        """An exchange of this session is decided now; read later."""
        return decision(session_id=session, timestamp=moment(self.now), **{**WHO, **members})

    def saw(self, *records: Closed) -> None:
        for one in records:
            self.sessions.saw(one, self.now)

    def due(self, later: float = 0.0) -> list[str]:
        self.now += later
        found = list(self.sessions.due(self.now))
        own = {"journal": "done.0", "sequence": 1, "previous": FIRST, "schema": SCHEMA, "timestamp": moment(self.now)}
        self.written += [read(seal_members({**one, **own})[0]) for one in found]
        return [f"{one['event'].removeprefix('session.')} {one['session_id']}" for one in found]

    def back(self) -> None:
        """What was given is read, as everything is that stands in a journal."""
        self.saw(*self.written)
        self.written = []

    def restart(self, state: tuple[Session, ...] | None = None) -> None:
        known = msgspec.json.encode(self.sessions.state() if state is None else state)
        self.now += 60
        self.sessions = Sessions(IDLE, msgspec.json.decode(known, type=tuple[Session, ...]), self.now)


def test_a_session_from_its_beginning_to_its_end() -> None:
    world = World()
    world.saw(world.asked())
    assert world.due() == ["begun s-1"]
    world.back()
    for _ in range(3):
        world.now += IDLE - 1
        world.saw(world.asked())
        assert world.due() == []
    assert world.due(IDLE - 0.001) == []
    assert world.due(0.001) == ["ended s-1"]
    [ended] = world.written
    said = {name: getattr(ended.record, name) for name in (*WHO, "session_id", "requests", "kind", "level", "result")}
    assert said == {**WHO, "session_id": "s-1", "requests": 4, "kind": "event", "level": "info", "result": "success"}
    world.back()
    assert world.due(10 * IDLE) == []
    world.saw(world.asked())
    assert world.due() == ["begun s-1"]


def test_what_a_beginning_says() -> None:
    world = World()
    world.saw(decision(session_id="s-1", user_id="alice"))
    [begun] = world.sessions.due(world.now)
    # Nothing that has no value, and no count yet.
    assert begun == {
        "kind": "event",
        "event": "session.begun",
        "level": "info",
        "result": "success",
        "session_id": "s-1",
        "user_id": "alice",
    }


def test_only_decisions_with_a_session_are_of_one() -> None:
    world = World()
    world.saw(decision(), closing(session_id="s-1"))
    assert world.due(10 * IDLE) == []
    assert world.sessions.state() == ()


def test_sessions_of_two_tenants_with_one_name_are_two() -> None:
    world = World()
    world.saw(world.asked(), world.asked(tenant_id="t-2"))
    assert world.due() == ["begun s-1", "begun s-1"]
    world.now += IDLE / 2
    world.saw(world.asked(tenant_id="t-2"))
    assert world.due(IDLE / 2) == ["ended s-1"]
    assert [one.tenant_id for one in world.sessions.state()] == ["t-2"]


def test_the_longest_idle_ends_first() -> None:
    world = World()
    for name in ("a", "b", "c"):
        world.saw(world.asked(name))
        world.now += 1
    world.saw(world.asked("a"))
    world.due()
    assert world.due(IDLE - 1) == ["ended b", "ended c"]
    assert world.due(1) == ["ended a"]


def test_there_are_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients name them: of more than there may be, the longest idle are ended."""
    monkeypatch.setattr(module, "_MOST", 3)
    world = World()
    world.saw(*(world.asked(name) for name in "abcd"), world.asked("a"))
    assert world.due() == ["begun a", "begun b", "begun c", "begun d", "ended b"]
    assert len(world.sessions.state()) == 3


# From one process to the next


def test_those_that_go_on_are_remembered_and_are_idle_anew() -> None:
    world = World()
    world.saw(world.asked(), world.asked())
    world.due()
    world.restart()
    world.back()
    assert world.due(IDLE - 1) == []
    world.saw(world.asked())
    assert world.due(IDLE) == ["ended s-1"]
    assert world.written[-1].record.requests == 3


@pytest.mark.parametrize("own_first", [True, False])
def test_a_beginning_that_was_written_before_a_kill_is_not_written_twice(own_first: bool) -> None:
    """It was not remembered: the journals are read again, in the order of their names."""
    world = World()
    before = world.sessions.state()
    asked = world.asked()
    world.saw(asked)
    assert world.due() == ["begun s-1"]
    world.restart(before)
    world.saw(*([*world.written, asked] if own_first else [asked, *world.written]))
    assert not world.sessions.has_begun
    assert world.due() == []
    assert [one.requests for one in world.sessions.state()] == [1]
    assert world.due(IDLE) == ["ended s-1"]


def test_an_end_that_was_written_before_a_kill_is_not_written_twice() -> None:
    world = World()
    world.saw(world.asked())
    world.due()
    world.back()
    before = world.sessions.state()
    assert world.due(IDLE) == ["ended s-1"]
    world.restart(before)
    world.back()
    assert world.sessions.state() == ()
    assert world.due(10 * IDLE) == []


@pytest.mark.parametrize("own_first", [True, False])
def test_a_session_that_begins_anew_at_once_is_not_ended_by_its_former_end(own_first: bool) -> None:
    """Its end is read in the same look as the exchange with which it begins anew."""
    world = World()
    world.saw(world.asked())
    world.due()
    world.back()
    assert world.due(IDLE) == ["ended s-1"]
    world.now += 0.5
    asked = world.asked()
    world.saw(*([*world.written, asked] if own_first else [asked, *world.written]))
    assert world.sessions.has_begun
    assert world.due() == ["begun s-1"]
    assert world.due(IDLE) == ["ended s-1"]


def test_an_end_that_is_read_late_ends_nothing_that_was_seen_since() -> None:
    world = World()
    world.saw(world.asked())
    world.due()
    world.back()
    world.due(IDLE)
    world.now += 0.5
    world.saw(world.asked())
    assert world.due() == ["begun s-1"]
    world.back()
    assert [one.requests for one in world.sessions.state()] == [1]


def test_what_has_begun_is_said_until_it_was_given() -> None:
    world = World()
    said = [world.sessions.has_begun]
    world.saw(world.asked())
    said.append(world.sessions.has_begun)
    world.due()
    said.append(world.sessions.has_begun)
    assert said == [False, True, False]


def test_sessions_that_a_former_version_remembered_are_read() -> None:
    old = b'{"tenant_id":"t-1","tenant":"contoso","session_id":"s-1","user_id":"","app_id":"","requests":3,"last":5.0}'
    sessions = Sessions(IDLE, (msgspec.json.decode(old, type=Session),), 100.0)
    assert [one["requests"] for one in sessions.due(100.0 + IDLE)] == [3]


def test_who_is_nobody_begins_no_session_and_ends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    world = World()
    world.saw(world.asked())
    nobody = {"tenant_id": "", "tenant": "", "user_id": "", "decision": "reject", "event": "authentication.refused"}
    world.saw(*(world.asked(f"made-up-{number}", **nobody) for number in range(10)))
    assert world.due() == ["begun s-1"]
    # Who is somebody, and was refused; who need not say who they are.
    world.saw(world.asked("s-2", decision="reject"), world.asked("s-3", tenant_id=""))
    assert sorted(world.due()) == ["begun s-2", "begun s-3", "ended s-1"]
