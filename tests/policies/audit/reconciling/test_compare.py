"""Where journal, ledger and counters differ, and what explains it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.tally import Tally
from policies.audit.reconciling.accounts import Amounts, expected
from policies.audit.reconciling.compare import Behind, Difference, With, still, with_counters, with_ledger
from policies.audit.record import Closed
from tests.policies.audit.reconciling.told import DAY, accounts, decided, ended, event, lease, lost, tally

RECORDS = [
    decided(1, 5),
    ended(1, 5),
    decided(2, 60),
    ended(2, 60, 20, 200),
    decided(3, 61),
    decided(4, -9),
    ended(4, -9),
]
ROWS: dict[str, Amounts | None] = {"e-1": Amounts(1, 10, 100), "e-2": Amounts(1, 20, 200), "e-3": None}
LATE = Behind(7, DAY + timedelta(minutes=30))


def told(rows: dict[str, Amounts | None], behind: Behind | None = None) -> list[tuple[Any, ...]]:
    """What differs: exchange, measure, journal, ledger, why."""
    found = list(with_ledger(accounts(RECORDS), rows.items(), behind))
    assert all(one.compared is With.LEDGER for one in found)
    return [(one.what, one.measure, one.journal, one.other, one.explained) for one in found]


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"e-1": Amounts(1, 11, 100)}, [("e-1", "tokens", 10, 11, "")]),
        ({"e-1": Amounts(0, 10, 0)}, [("e-1", "requests", 1, 0, ""), ("e-1", "dollars", 100, 0, "")]),
        ({"e-1": None}, [("e-1", "tokens", 10, None, "")]),
        ({"e-9": Amounts(1, 5, 5)}, [("e-9", "tokens", None, 5, "")]),
        # Open there and unknown here: it has just been decided.
        ({"e-9": None}, []),
        # Open here and closed there: it has just ended.
        ({"e-3": Amounts(1, 5, 5)}, []),
        # On record, and not of this day.
        ({"e-4": Amounts(1, 10, 100)}, []),
    ],
)
def test_the_ledger(changes: dict[str, Amounts | None], differences: list[tuple[Any, ...]]) -> None:
    assert told({**ROWS, **changes}) == differences


def test_the_ledger_does_not_know_an_exchange() -> None:
    assert told({name: used for name, used in ROWS.items() if name != "e-2"}) == [("e-2", "tokens", 20, None, "")]


@pytest.mark.parametrize("used", [None, Amounts(1, 1, 200)])
def test_what_ended_before_the_ledger_fell_behind_it_must_know(used: Amounts | None) -> None:
    found = told({"e-1": used, "e-2": used}, LATE)
    whys = {what: why for what, *_, why in found}
    assert whys == {"e-1": "", "e-2": "the ledger is 7 records behind"}
    whys = {what: why for what, *_, why in told({}, Behind(0, LATE.since))}
    assert whys == {"e-1": "", "e-2": "it has ended just now"}


@given(st.dictionaries(st.sampled_from(["e-1", "e-2"]), st.builds(Amounts, *[st.integers(0, 3)] * 3), min_size=1))
def test_every_row_that_was_changed_is_named(changes: dict[str, Amounts]) -> None:
    found = told({**ROWS, **changes})
    assert {(what, measure) for what, measure, *_ in found} == {
        (name, measure)
        for name, used in changes.items()
        for measure in ("requests", "tokens", "dollars")
        if used.of(measure) != (ROWS[name] or Amounts()).of(measure)
    }


def counters(of: Tally, *more: Closed, minutes: float = 0, records: list[Closed] = RECORDS) -> list[Difference]:
    """What differs where all is on record since so many minutes after midnight."""
    found = accounts([*records, *more])
    return list(with_counters(found, expected(found, [of]), DAY + timedelta(minutes=minutes)))


@pytest.mark.parametrize(("measure", "used"), [("requests", 2), ("tokens", 30), ("dollars", 300)])
def test_a_counter(measure: str, used: int) -> None:
    assert counters(tally(measure, used)) == []
    assert counters(tally(measure, used + 500, reserved=500)) == []
    for wrong in (used - 1, used + 1):
        name = f"t-1/user=alice {measure}_per_day"
        assert counters(tally(measure, wrong)) == [Difference(With.COUNTERS, name, used, wrong, measure)]


def why(of: Tally, *more: Closed, minutes: float = 0, records: list[Closed] = RECORDS) -> str:
    (one,) = counters(of, *more, minutes=minutes, records=records)
    return one.explained


BEGAN = "the record begins at 2026-01-10T00:01:00, and its window began before"


def test_a_window_that_began_before_the_journal() -> None:
    assert why(tally("tokens", 31), minutes=1) == BEGAN
    assert why(tally("tokens", 31), minutes=0) == ""
    # Less than is on record is not to be explained by what is not.
    assert why(tally("tokens", 29), minutes=1) == ""


@pytest.mark.parametrize(("seen", "explained"), [(-60.0, BEGAN), (0.5, BEGAN), (1.0, ""), (3.0, ""), (None, BEGAN)])
def test_a_tenant_that_nobody_had_seen_before_the_journal_began(seen: float | None, explained: str) -> None:
    """In the month in which a gateway was installed: whatever its counters hold more is a fault."""
    since = DAY + timedelta(minutes=seen) if seen is not None else None
    assert why(tally("tokens", 31, since=since), minutes=1) == explained


def test_what_nobody_settled() -> None:
    nobody = "nobody settled a reservation, charged as made (`limit.lease_expired`)"
    assert why(tally("tokens", 80), lease(9, 15)) == nobody
    assert why(tally("requests", 3), lease(9, 15)) == nobody
    assert why(tally("dollars", 800), lease(9, 15)) == nobody
    two = [lease(8, 15, 10), lease(9, 15)]
    assert why(tally("tokens", 90), *two) == nobody.replace("a reservation", "2 reservations")
    # Less than they are charged: a limit may reserve less than another. No more.
    assert why(tally("tokens", 31), lease(9, 15)) == nobody
    assert why(tally("tokens", 81), lease(9, 15)) == ""
    assert why(tally("tokens", 29), lease(9, 15)) == ""
    # Its end is on record, and counted.
    assert counters(tally("tokens", 120), lease(8, 15), decided(8, 5), lost(8, 5)) == []


RESET = event("limit.changed", 5, action="reset", subject="t-1/user=alice tokens_per_day")


def test_a_counter_that_was_reset() -> None:
    reset = tally("tokens", 20, was_reset=True)
    assert why(reset, RESET) == "it was reset: what was used before that is not in it"
    # Long ago, or by somebody who is not on record.
    assert why(reset) == ""
    assert why(tally("tokens", 20), RESET) == ""
    assert why(tally("tokens", 31, was_reset=True), RESET) == ""


def test_a_limit_that_bears_on_some() -> None:
    assert why(tally("tokens", 10, sometimes=True)) == "its limit bears on some exchanges only (`match`)"
    assert why(tally("tokens", 31, sometimes=True)) == ""


def test_dropped_records() -> None:
    gap = event("journal.gap", 5, lost=1_200)
    assert why(tally("tokens", 40), gap) == "1,200 records were dropped (`journal.gap`)"
    assert why(tally("tokens", 40), event("journal.gap", -5, lost=1_200)) == ""


def test_users_under_pseudonyms() -> None:
    name: dict[str, Any] = {"user_id": "user-0a1b-0123456789abcdef01234567"}
    hidden = [decided(8, 5, **name), ended(8, 5, **name)]
    of: dict[str, Any] = {"subject": {"tenant_id": "t-1", "user_id": "carol"}}
    assert why(tally("tokens", 10, **of), *hidden) == "users stand on record under pseudonyms"
    assert why(tally("tokens", 10, **of)) == ""
    # She is on record by name.
    assert why(tally("tokens", 31), *hidden) == ""


def test_names_that_were_redacted() -> None:
    name: dict[str, Any] = {"session_id": "[phone:3f9a1c0b]"}
    hidden = [decided(8, 5, **name), ended(8, 5)]
    of: dict[str, Any] = {"subject": {"tenant_id": "t-1", "session_id": "4711"}}
    assert why(tally("tokens", 10, **of), *hidden) == "its name is redacted on record"
    assert why(tally("tokens", 10, **of)) == ""


def test_who_was_under_way_at_midnight() -> None:
    late = [decided(8, 0.1), ended(8, -0.1, 5)]
    assert counters(tally("tokens", 35), *late) == []
    assert why(tally("tokens", 30), *late) == "exchanges were under way when its window began"
    assert why(tally("tokens", 29), *late) == ""
    assert why(tally("tokens", 36), *late) == ""


@given(st.integers(0, 60), st.integers(0, 60))
def test_only_what_is_settled_is_compared(used: int, reserved: int) -> None:
    found = counters(tally("tokens", used + reserved, reserved=reserved))
    assert [(one.journal, one.other, one.explained) for one in found] == ([] if used == 30 else [(30, used, "")])


def differs(what: str = "x-1", *, compared: With = With.LEDGER, other: int = 2, why: str = "") -> Difference:
    return Difference(compared, what, 1, other, "tokens", why)


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        ([], [], []),
        ([differs()], [], []),
        # It is there for the first time: it may be under way.
        ([], [differs()], []),
        ([differs("x-2")], [differs()], []),
        ([differs(compared=With.COUNTERS)], [differs()], []),
        ([differs()], [differs(other=3)], [differs(other=3)]),
        # What is explained is no fault, and is shown.
        ([], [differs(why="late")], [differs(why="late")]),
        ([differs(why="late")], [differs()], []),
    ],
)
def test_what_differs_still(before: list[Difference], now: list[Difference], left: list[Difference]) -> None:
    assert still(before, now) == tuple(left)
