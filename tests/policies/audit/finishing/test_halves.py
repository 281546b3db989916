"""Decisions and closings find each other; the half that nobody came to write is written once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from policies.audit.canonical import FIRST, read, seal_members
from policies.audit.finishing import halves as module
from policies.audit.finishing.halves import Halves, State, decision_of, lost
from policies.audit.record import SCHEMA, Closed, Record, Reserved, Said, Tokens
from tests.policies.audit.world import STAMP, closed, closing, decision

LONGEST, GRACE = 600.0, 30.0


def undelivered(number: int) -> Closed:
    """The closing of an exchange whose verdict did not arrive: under a name that Envoy gave it."""
    return closing(number, exchange_id=f"envoy-{number}", decision="none", ending="client_gone", details="downstream")


def as_record(members: dict[str, Any]) -> Record:
    chained = {"journal": "done.0", "sequence": 1, "previous": FIRST, "schema": SCHEMA, "timestamp": STAMP}
    return read(seal_members({**members, **chained})[0]).record


def written(members: dict[str, Any]) -> Closed:
    """A half as it is read back, once it was written."""
    line, digest = seal_members(
        {**members, "journal": "done.0", "sequence": 1, "previous": FIRST, "schema": SCHEMA, "timestamp": STAMP}
    )
    return Closed(as_record(members), digest, line)


class World:
    """Halves, and a clock. Everything that is due is read back, as from a journal."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.halves = Halves(LONGEST, GRACE)

    def saw(self, *records: Closed) -> None:
        for one in records:
            self.halves.saw(one, self.now)

    def due(self, later: float = 0.0) -> list[tuple[str, str]]:
        """What is due then: kind and exchange."""
        self.now += later
        found = list(self.halves.due(self.now))
        self.saw(*map(written, found))
        return [(one["recovered"], one["exchange_id"]) for one in found]

    def restart(self) -> None:
        state = msgspec.json.decode(msgspec.json.encode(self.halves.state()), type=State)
        self.now += 5_000
        self.halves = Halves(LONGEST, GRACE, state, self.now)


# Finding each other


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (decision(), closing()),
        (closing(), decision()),
        (decision(), undelivered(1)),
        (undelivered(1), decision()),
        (decision(decision="reject"), closing(decision="reject")),
        # Also where the client had no request id, or two had the same.
        (decision(request_id=""), closing(request_id="")),
        (decision(request_id="q"), closing(request_id="other")),
    ],
)
def test_two_halves_are_a_whole(first: Closed, second: Closed) -> None:
    world = World()
    world.saw(first)
    assert world.halves.count == 1
    world.saw(second)
    assert world.halves.count == 0
    assert world.due(10 * LONGEST) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (decision(1), closing(2)),
        (decision(1), undelivered(2)),
        (decision(request_id=""), closing(2, request_id="", decision="none")),
        # Only a closing that knows no decision is looked for by its request.
        (decision(1, request_id="q"), closing(2, request_id="q")),
        (decision(1), decision(2, request_id="q-1")),
    ],
)
def test_two_halves_of_two(first: Closed, second: Closed) -> None:
    for order in ((first, second), (second, first)):
        world = World()
        world.saw(*order)
        assert world.halves.count == 2


def test_its_own_decision_comes_before_one_with_the_same_request() -> None:
    world = World()
    world.saw(decision(1, request_id="q"), decision(2, request_id="q"), closing(1, request_id="q", decision="none"))
    assert world.due(LONGEST) == [("closing", "e-2")]


def test_events_and_what_is_of_no_exchange_wait_for_nothing() -> None:
    world = World()
    world.saw(closed(exchange_id="e-1"), decision(exchange_id=""), closing(exchange_id=""))
    assert world.halves.count == 0


# What is missing


def test_a_decision_waits_as_long_as_an_exchange_can_last() -> None:
    world = World()
    world.saw(decision(1))
    world.now += 1
    world.saw(decision(2))
    assert world.due(LONGEST - 1.001) == []
    assert world.due(0.001) == [("closing", "e-1")]
    assert world.due() == []
    assert world.due(1) == [("closing", "e-2")]
    assert world.halves.count == 0


def test_a_closing_waits_for_as_long_as_a_journal_may_lag() -> None:
    world = World()
    world.saw(closing(1), undelivered(2))
    assert world.due(GRACE - 0.001) == []
    assert world.due(0.001) == [("decision", "e-1"), ("decision", "envoy-2")]
    assert world.due(10 * LONGEST) == []


@pytest.mark.parametrize(
    ("first", "late", "patience"),
    [(decision(), closing(), LONGEST), (closing(), decision(), GRACE), (undelivered(1), undelivered(1), GRACE)],
)
def test_what_comes_late_adds_nothing(first: Closed, late: Closed, patience: float) -> None:
    world = World()
    world.saw(first)
    assert len(world.due(patience)) == 1
    world.saw(late)
    assert world.halves.count == 0
    world.restart()
    world.saw(late)
    assert world.due(10 * LONGEST) == []


def test_of_those_that_were_completed_not_all_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    world = World()
    world.saw(*(decision(number) for number in range(5)))
    world.due(LONGEST)
    assert world.halves.state().completed == ("e-2", "e-3", "e-4")


# From one process to the next


def test_those_that_wait_are_remembered_and_wait_anew() -> None:
    """While nobody read, nothing could be found."""
    world = World()
    world.saw(decision(1), closing(2), undelivered(3))
    world.restart()
    assert world.halves.count == 3
    assert world.due() == []
    world.saw(closing(1), decision(2), decision(3))
    assert world.halves.count == 0
    assert world.due(LONGEST) == []


def test_what_was_written_by_a_process_that_was_killed_is_not_written_twice() -> None:
    world = World()
    world.saw(decision(1), closing(2))
    before = world.halves.state()
    found = [*world.halves.due(world.now + LONGEST)]
    # It was not remembered that they were.
    for order in (found, found[::-1]):
        again = Halves(LONGEST, GRACE, before, 0.0)
        for members in order:
            again.saw(written(members), 0.0)
        assert (again.count, [*again.due(10 * LONGEST)]) == (0, [])
    # Nor where it was found before the half that it completes.
    again = Halves(LONGEST, GRACE)
    for one in (*map(written, found), decision(1), closing(2)):
        again.saw(one, 0.0)
    assert (again.count, [*again.due(10 * LONGEST)]) == (0, [])


# What the missing half says

WHO: dict[str, Any] = {
    "tenant": "contoso",
    "tenant_id": "t-1",
    "user_id": "alice",
    "app_id": "chat-ui",
    "department": "R&D",
    "cost_centre": "42",
    "roles": ("User",),
    "caller": "user",
    "model": "gpt-4o",
    "operation": "chat",
    "dialect": "openai",
    "route": "kb",
    "stream": True,
    "session_id": "s-1",
    "trace_id": "0" * 31 + "1",
    "upstream": "openai",
    "method": "POST",
    "path": "/v1/chat/completions",
    "reservation_id": "e-1.1",
    "accounts": ("t-1", "*"),
    "reserved": Reserved(4_250, 100, 800, 950),
}


def test_both_halves_say_the_same_of_an_exchange() -> None:
    for made in (as_record(lost(decision(**WHO).record)), as_record(decision_of(closing(**WHO).record))):
        assert {name: getattr(made, name) for name in WHO} == WHO
        assert (made.exchange_id, made.request_id, made.level) == ("e-1", "q-1", "warning")


def test_what_is_lost_is_charged_as_it_was_reserved() -> None:
    """As its counters are, when the lease ends."""
    made = as_record(lost(decision(**WHO).record))
    assert (made.kind, made.event, made.recovered) == ("closing", "request.closed", "closing")
    assert (made.ending, made.ended_by, made.result, made.decision) == ("lost", "gateway", "failure", "allow")
    assert (made.basis, made.requests, made.cost, made.started) == ("estimate", 1, "0.004250", STAMP)
    assert made.tokens == Tokens(input=100, output=800, total=900, weighted=950)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reserved": Reserved(None, 5, 6, 7)}, ("estimate", 1, Tokens(input=5, output=6, total=11, weighted=7), "")),
        ({"reserved": Reserved(0, 5)}, ("estimate", 1, Tokens(input=5, total=5), "0.000000")),
        ({}, ("estimate", 1, None, "")),
        # Nothing went up.
        ({"decision": "reject", "reserved": Reserved(9, 5)}, ("nothing", 0, None, "")),
        ({"decision": "respond"}, ("nothing", 0, None, "")),
        # It was refused after it was reserved; the lease ends all the same.
        (
            {"decision": "reject", "reservation_id": "e-1.1", "reserved": Reserved(9, 5)},
            ("estimate", 1, Tokens(input=5, total=5), "0.000009"),
        ),
    ],
)
def test_what_is_lost_may_have_cost_nothing(changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    made = as_record(lost(decision(**changes).record))
    assert (made.basis, made.requests, made.tokens, made.cost) == expected


SHADOWED = Said("x", False, "reject", "limits")
FAILED = Said("policy_failed", True, "failed", "entra")
REFUSED = Said("not_you", True, "reject", "access", "no role")


@pytest.mark.parametrize(
    ("changes", "event", "result", "reason", "policy", "why", "status"),
    [
        ({}, "request.allowed", "success", "", "", "", 0),
        ({"decisions": (SHADOWED,)}, "request.allowed", "success", "", "", "", 0),
        ({"decision": "respond"}, "request.responded", "success", "", "", "", 0),
        (
            {"decision": "reject", "decisions": (FAILED, REFUSED, SHADOWED), "status": 403},
            *("request.refused", "refused", "not_you", "access", "no role", 403),
        ),
        ({"decision": "reject", "status": 403}, "request.refused", "refused", "", "", "", 0),
        (
            {"decision": "none", "details": "rbac_access_denied", "status": 403},
            *("request.undecided", "refused", "rbac_access_denied", "envoy", "", 403),
        ),
        ({"decision": "none"}, "request.undecided", "refused", "", "", "", 0),
        # Of a closing of another version, perhaps.
        ({"decision": ""}, "request.undecided", "refused", "", "", "", 0),
    ],
)
def test_the_decision_that_a_closing_tells_of(
    changes: dict[str, Any], event: str, result: str, reason: str, policy: str, why: str, status: int
) -> None:
    made = as_record(decision_of(closing(**changes).record))
    assert (made.kind, made.recovered, made.event, made.result) == ("decision", "decision", event, result)
    assert (made.reason, made.policy, made.why, made.status) == (reason, policy, why, status)
    assert made.decision == (changes.get("decision", "allow") or "none")
    assert made.decisions == changes.get("decisions", ())
    # Tokens and times are the closing's to tell.
    assert (made.tokens, made.cost, made.ending, made.latency_us) == (None, "", "", 0)


# A client that chooses ids


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_an_end_under_a_request_id_that_was_sent_twice_takes_no_decision_from_another(first: int, restarts: bool) -> None:
    world = World()
    stray = undelivered(1)
    world.saw(*((decision(1), stray) if first == 0 else (stray, decision(1))))
    if restarts:
        world.restart()
    assert world.halves.count == 0
    # It was not undelivered after all.
    world.saw(closing(1))
    assert world.due(GRACE) == [("decision", "envoy-1")]
    assert world.due(10 * LONGEST) == []


def test_what_was_taken_for_another_end_is_remembered_for_as_long_as_that_can_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ADOPTED", 2)
    world = World()
    for number in (1, 2, 3):
        world.saw(decision(number), undelivered(number))
    assert [name for name, _ in world.halves.state().adopted] == ["e-2", "e-3"]
    assert world.due(LONGEST) == []
    assert world.halves.state().adopted == ()
