"""What the journal says that was used, whatever the order in which its records are read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.tally import Tally
from policies.audit.reconciling.accounts import Accounts, Amounts, Expected, expected
from policies.audit.record import Closed
from tests.policies.audit.reconciling.told import (
    DAY,
    NEXT,
    accounts,
    at,
    decided,
    ended,
    event,
    lease,
    lost,
    stray,
    tally,
)


def used(found: Accounts) -> dict[str, tuple[int, int, int]]:
    """Requests, tokens and micro-dollars of what is closed."""
    return {name: (one.used.requests, one.used.tokens, one.used.dollars) for name, one in found.closed.items()}


@pytest.mark.parametrize(
    ("records", "closed", "open_"),
    [
        ([decided(1, 5)], {}, {"e-1"}),
        ([decided(1, 5), ended(1, 5)], {"e-1": (1, 10, 100)}, set()),
        ([ended(1, 5)], {"e-1": (1, 10, 100)}, set()),
        # Without tokens, without a price.
        ([ended(1, 5, tokens=0, micro=0)], {"e-1": (1, 0, 0)}, set()),
        ([decided(1, 5), ended(1, 5, cost="", tokens=None)], {"e-1": (1, 0, 0)}, set()),
        # What nobody heard of counts as it was reserved, until somebody does.
        ([decided(1, 5), lost(1, 5)], {"e-1": (1, 90, 100)}, set()),
        ([decided(1, 5), lost(1, 5), ended(1, 5)], {"e-1": (1, 10, 100)}, set()),
        # Of two that know what happened, the first.
        ([ended(1, 5, timestamp=at(9)), ended(1, 5, tokens=7, timestamp=at(8))], {"e-1": (1, 7, 100)}, set()),
        # Its verdict did not arrive: Envoy's name for it is another.
        ([decided(1, 5), stray(2, 5, "q-1")], {"e-1": (0, 0, 0)}, set()),
        ([decided(1, 5), stray(2, 5, "q-9")], {"e-2": (0, 0, 0)}, {"e-1"}),
        ([decided(1, 5), stray(2, 5, "")], {"e-2": (0, 0, 0)}, {"e-1"}),
        # It has an end of its own.
        ([decided(1, 5), ended(1, 5), stray(2, 6, "q-1")], {"e-1": (1, 10, 100), "e-2": (0, 0, 0)}, set()),
        # What was sent twice under one name, and refused once.
        ([decided(1, 5), stray(2, 5, "q-1"), stray(3, 6, "q-1")], {"e-1": (0, 0, 0), "e-3": (0, 0, 0)}, set()),
        # Envoy refused it by itself: what the finisher writes of that is no decision.
        (
            [stray(2, 5, "q-1"), decided(2, 9, decision="none", recovered="decision", request_id="q-1"), decided(1, 5)],
            {"e-1": (0, 0, 0)},
            set(),
        ),
        # A decision of which only its end told, later.
        ([ended(1, 5), decided(1, 50, recovered="decision")], {"e-1": (1, 10, 100)}, set()),
    ],
)
def test_exchanges(records: list[Closed], closed: Mapping[str, Any], open_: set[str]) -> None:
    found = accounts(records)
    assert (used(found), found.open) == (closed, open_)


@pytest.mark.parametrize(
    ("records", "within"),
    [
        ([decided(1, 0), ended(1, 0)], True),
        # It began before midnight, and was decided after it.
        ([decided(1, 0), ended(1, -1)], True),
        ([decided(1, -0.001), ended(1, -1)], False),
        ([ended(1, -0.001)], False),
        # What stands for a decision was written when the day had begun; the exchange was before it.
        ([ended(1, -5), decided(1, 1, recovered="decision")], False),
        ([decided(1, 1439.9), ended(1, 1439.9)], True),
        ([decided(1, 1440), ended(1, 1439.9)], False),
    ],
)
def test_an_exchange_belongs_to_the_day_on_which_it_was_decided(records: list[Closed], within: bool) -> None:
    found = accounts(records)
    assert ("e-1" in found.closed) is within
    assert found.open == set()
    assert found.knows("e-1")
    assert not found.knows("e-2")


@pytest.mark.parametrize(("minutes", "open_"), [(-1, set()), (0, {"e-1"}), (1440, set())])
def test_what_is_open_was_decided_on_the_day(minutes: float, open_: set[str]) -> None:
    assert accounts([decided(1, minutes)]).open == open_


def test_recovered_ends_are_told_apart() -> None:
    found = accounts([lost(1, 5), ended(2, 5), ended(3, 5), lost(3, 5)])
    assert {name: one.recovered for name, one in found.closed.items()} == {"e-1": True, "e-2": False, "e-3": False}


def test_only_decisions_know_the_session() -> None:
    found = accounts([decided(1, 5, session_id="s-1"), ended(1, 5), ended(2, 5, session_id="s-2"), ended(3, 5)])
    assert [found.closed[f"e-{n}"].whose.get("session_id") for n in (1, 2, 3)] == ["s-1", "s-2", None]


def test_dropped_records_are_added_up() -> None:
    """Those before a window explain nothing in it."""
    found = accounts([event("journal.gap", minutes, lost=count) for minutes, count in ((5, 8), (7, 10), (-9, 1))])
    assert found.lost(tally("tokens", 5)) == 18
    assert found.lost(tally("tokens", 5, start=DAY + timedelta(minutes=6))) == 10
    assert found.lost(tally("tokens", 5, start=DAY - timedelta(hours=1))) == 19


@pytest.mark.parametrize(
    ("subject", "minutes", "known"),
    [
        ("t-1/user=alice tokens_per_day", 5, True),
        ("t-1/user=alice requests_per_day,tokens_per_day", 5, True),
        ("t-1/user=alice tokens_per_day", 0, True),
        ("t-1/user=alice tokens_per_day", -1, False),
        ("t-1/user=alice requests_per_day", 5, False),
        ("t-1/user=bob tokens_per_day", 5, False),
        ("t-1 tokens_per_day", 5, False),
        # Whose it was cannot be read.
        ("t-1/user=[email:3f9a1c0b] tokens_per_day", 5, True),
        ("t-2/user=[email:3f9a1c0b] tokens_per_day", 5, False),
    ],
)
def test_resets(subject: str, minutes: float, known: bool) -> None:
    found = accounts([event("limit.changed", minutes, action="reset", subject=subject)])
    assert found.was_reset(tally("tokens", 5)) is known
    found = accounts([event("limit.changed", minutes, action="set", subject=subject)])
    assert not found.was_reset(tally("tokens", 5))


@pytest.mark.parametrize(
    ("members", "replaced"),
    [
        ({}, set()),
        ({"user_id": "user-7"}, set()),
        ({"user_id": "user-0a1b-0123456789abcdef01234567"}, {"user_id"}),
        ({"model": "[secret:3f9a1c0b]"}, {"model"}),
        ({"session_id": "a [phone:3f9a1c0b]"}, {"session_id"}),
        ({"session_id": "[1:2]"}, set()),
    ],
)
def test_what_is_not_on_record_is_known(members: dict[str, Any], replaced: set[str]) -> None:
    assert accounts([decided(1, 5, **members), ended(1, 5, **members)]).replaced == replaced


def one(records: list[Closed], of: Tally) -> Expected:
    (found,) = expected(accounts(records), [of])
    return found


@pytest.mark.parametrize(
    ("records", "leases", "leased"),
    [
        ([lease(1, 5)], 1, 50),
        # Of which there is a decision, and no end yet.
        ([decided(1, 5), lease(1, 9)], 1, 50),
        ([lease(1, 5), lease(2, 6, 7)], 2, 57),
        # Told twice.
        ([lease(1, 5), lease(1, 6)], 1, 50),
        # What is on record of its end counts: as it was reserved, or as somebody heard of it late.
        ([lease(1, 5), lost(1, 1)], 0, 0),
        ([lease(1, 5), decided(1, 1), ended(1, 1)], 0, 0),
        # Another attempt of the same exchange.
        ([lease(1, 5, reservation_id="e-1"), decided(1, 1), ended(1, 1)], 1, 50),
        # It was made before that, so not on this day.
        ([lease(1, -1)], 0, 0),
        ([lease(1, 5, user_id="bob")], 0, 0),
        ([lease(1, 5, user_id="")], 0, 0),
        ([lease(1, 5, tenant_id="t-2")], 0, 0),
        ([lease(1, 5, tenant_id="*")], 0, 0),
        # Of a version that did not tell.
        ([lease(1, 5, reserved=None)], 1, 0),
    ],
)
def test_reservations_that_nobody_settled(records: list[Closed], leases: int, leased: int) -> None:
    found = one(records, tally("tokens", 0))
    assert (found.leases, found.leased) == (leases, leased)
    bare = one([record for record in records if record.record.event != "limit.lease_expired"], tally("tokens", 0))
    assert (found.amount, found.least, found.most, found.seen) == (bare.amount, bare.least, bare.most, bare.seen)


def test_what_all_tenants_use_together_is_charged_by_itself() -> None:
    records = [lease(1, 5), lease(1, 5, 60, tenant_id="*", user_id="", of="*/e-1.1")]
    assert one(records, tally("tokens", 0, subject={})).leased == 60
    assert one(records, tally("requests", 0, subject={})).leased == 1
    assert one(records, tally("dollars", 0, subject={"tenant_id": "t-1"})).leased == 500


EXCHANGES = [
    *(decided(1, 5, session_id="s-1"), ended(1, 5, 10, 100)),
    *(decided(2, 6), ended(2, 6, 20, 200, model="o3", route="kb")),
    *(decided(3, 7), ended(3, 7, 40, 400, user_id="bob")),
    *(decided(4, 8), ended(4, 8, 80, 800, tenant_id="t-2", department="")),
    # Counted by nobody, and not over.
    *(decided(5, 9), ended(5, 9, 160, 1_600, reservation_id=""), decided(6, 9)),
    # Of the day before, and the day after.
    *(decided(7, -60), ended(7, -60, 320, 3_200), decided(8, 1_500), ended(8, 1_500, 640, 6_400)),
]


@pytest.mark.parametrize(
    ("subject", "amounts"),
    [
        ({}, (4, 150, 1_500)),
        ({"tenant_id": "t-1"}, (3, 70, 700)),
        ({"tenant_id": "t-2"}, (1, 80, 800)),
        ({"tenant_id": "t-1", "user_id": "alice"}, (2, 30, 300)),
        ({"tenant_id": "t-2", "user_id": "alice"}, (1, 80, 800)),
        ({"tenant_id": "t-1", "user_id": "alice", "model": "o3"}, (1, 20, 200)),
        ({"tenant_id": "t-1", "department": "R&D"}, (3, 70, 700)),
        ({"tenant_id": "t-1", "app_id": "chat"}, (3, 70, 700)),
        ({"tenant_id": "t-1", "route": "kb"}, (1, 20, 200)),
        ({"tenant_id": "t-1", "session_id": "s-1"}, (1, 10, 100)),
        ({"tenant_id": "t-1", "session_id": "s-2"}, (0, 0, 0)),
        ({"tenant_id": "t-2", "department": ""}, (0, 0, 0)),
    ],
)
def test_what_counters_should_hold(subject: dict[str, str], amounts: tuple[int, int, int]) -> None:
    found = [one(EXCHANGES, tally(measure, 0, subject=subject)) for measure in ("requests", "tokens", "dollars")]
    assert tuple(each.amount for each in found) == amounts
    assert all(each.least == each.amount == each.most for each in found)
    assert {each.seen for each in found} == {any(amounts)}


def test_all_counters_at_once() -> None:
    tallies = [tally("tokens", 0), tally("requests", 0, subject={}), tally("tokens", 0, start=DAY - timedelta(days=1))]
    assert [each.amount for each in expected(accounts(EXCHANGES), tallies)] == [30, 4, 350]


@pytest.mark.parametrize(
    ("began", "decision", "bounds"),
    [
        (-0.5, 0.5, (10, 0, 10)),
        (-0.5, -0.001, (0, 0, 10)),
        (-5, -0.02, (0, 0, 0)),
        (0.001, 0.5, (10, 0, 10)),
        (0.02, 0.5, (10, 10, 10)),
        (1_439.9, 1_440.5, (0, 0, 10)),
    ],
)
def test_who_was_under_way_at_midnight(began: float, decision: float, bounds: tuple[int, int, int]) -> None:
    """Clocks may be a second apart; minutes are of 60."""
    found = one([decided(1, decision), ended(1, began)], tally("tokens", 0))
    assert (found.amount, found.least, found.most) == bounds


@st.composite
def histories(draw: st.DrawFn) -> list[Closed]:
    """What happened to some exchanges, around midnight and otherwise."""
    records = [event("journal.gap", 3, lost=2)]
    for number in range(draw(st.integers(1, 6))):
        minutes = draw(st.sampled_from([-30.0, -0.01, 0.0, 0.01, 12.0, 1_439.0]))
        ask: dict[str, Any] = {"request_id": draw(st.sampled_from(["q-a", f"q-{number}"]))}
        who: dict[str, Any] = {"user_id": draw(st.sampled_from(["alice", "bob"]))}
        parts = draw(st.sets(st.sampled_from(["decided", "again", "ended", "lease", "lost", "stray"]), min_size=1))
        if "decided" in parts:
            records.append(decided(number, minutes + 0.01, session_id=draw(st.sampled_from(["", "s"])), **ask))
        if "again" in parts:
            records.append(decided(number, minutes + 20, recovered="decision", **ask))
        if "ended" in parts:
            records.append(ended(number, minutes, number + 1, **who, **ask))
        if "lease" in parts:
            records.append(lease(number, minutes + 11, **who))
        if "lost" in parts:
            records.append(lost(number, minutes, **who, **ask))
        if "stray" in parts:
            records.append(stray(number + 100, minutes, ask["request_id"]))
    return records


@given(histories().flatmap(lambda made: st.tuples(st.just(made), st.permutations(made))))
def test_the_order_of_records_does_not_matter(both: tuple[list[Closed], list[Closed]]) -> None:
    tallies = [
        tally("tokens", 0),
        tally("requests", 0, subject={}),
        tally("dollars", 0, subject={"tenant_id": "t-1", "session_id": "s"}),
    ]
    one, other = (accounts(records) for records in both)
    assert (one.closed, one.open) == (other.closed, other.open)
    assert {each.lost(tallies[0]) for each in (one, other)} == {2}
    assert list(expected(one, tallies)) == list(expected(other, tallies))
    # A record that is read twice changes nothing but what was dropped.
    twice = accounts([*both[0], *both[1]])
    assert (one.closed, one.open) == (twice.closed, twice.open)
    assert list(expected(one, tallies)) == list(expected(twice, tallies))


@given(histories())
def test_nothing_is_counted_twice_or_forgotten(records: list[Closed]) -> None:
    found = accounts(records)
    assert not found.open & found.closed.keys()
    spent = sum((each.used for each in found.closed.values() if each.counted), Amounts())
    (everyone,) = expected(found, [tally("tokens", 0, subject={})])
    assert everyone.least <= everyone.amount <= everyone.most
    assert everyone.amount == spent.tokens
    days = [DAY - timedelta(days=1), DAY, NEXT]
    split = [tally("tokens", 0, subject={}, start=day) for day in days]
    split = [type(each)(each.subject, "tokens", each.start, each.start + timedelta(days=1), 0, 0, "") for each in split]
    whole = sum(each.used.tokens for each in accounts(records, days[0], NEXT + timedelta(days=1)).closed.values())
    assert sum(each.amount for each in expected(found, split)) == whole
