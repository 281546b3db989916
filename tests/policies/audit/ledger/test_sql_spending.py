"""What was spent, as each kind of database tells it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from extproc.spending import DIMENSIONS, Question, SpendingError, Spent
from policies.audit.ledger.queries import By
from policies.audit.ledger.queries import Question as Asked
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_reading import Reading
from policies.audit.ledger.sql_spending import read
from policies.audit.record import Closed, Tokens
from tests.policies.audit.ledger.histories import closing, decision
from tests.policies.audit.ledger.stocked import fill, month

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def asked(ledger: LedgerSettings, *by: str, filters: Mapping[str, tuple[str, ...]] | None = None) -> list[Spent]:
    return read(ledger, Question(by, START, END, filters or {}))


def more() -> list[Closed]:
    """An agent's call, one that is charged at an estimate, and one of a contract."""
    agent = {"operation": "agent", "route": "assistant", "model": "", "timestamp": "2026-11-08T00:00:00.000000Z"}
    guessed = {"timestamp": "2026-11-09T00:00:00.000000Z", "department": "", "cost_centre": "c-1"}
    agreed = {"timestamp": "2026-11-10T00:00:00.000000Z"}
    return [
        decision("agent", **agent),
        closing("agent", tokens=None, cost="", basis="nothing", response_model="", **agent),
        decision("guess", **guessed),
        closing("guess", basis="estimate", cost="0.000007", response_model="", **guessed),
        decision("deal", **agreed),
        closing("deal", cost="0.000011", price="contract:acme", tokens=Tokens(input=1, cache_write=2, total=3), **agreed),
    ]


@pytest.fixture
def ledger(settings: LedgerSettings) -> LedgerSettings:
    fill(settings, [*month(), *more()])
    return settings


def test_in_all(ledger: LedgerSettings) -> None:
    (found,) = asked(ledger)
    assert (found.by, found.requests, found.refused, found.open) == ({}, 11, 1, 1)
    assert (found.dollars, found.unpriced, found.estimated) == (1_300_020, 1, 1)
    assert {name: count for name, count in found.tokens.items() if count} == {
        "input": 61,
        "output": 30,
        "cached_input": 12,
        "cache_write": 2,
    }
    assert not {"total", "weighted"} & set(found.tokens)


def test_by_what_the_ledger_has(ledger: LedgerSettings) -> None:
    found = asked(ledger, "tenant", "user")
    assert [(*one.by.values(), one.dollars) for one in found] == [
        ("contoso", "bob", 1_000_001),
        ("contoso", "alice", 300_018),
        ("t-2", "carol", 1),
    ]
    assert [one.by["day"] for one in asked(ledger, "day")] == sorted(one.by["day"] for one in asked(ledger, "day"))
    assert [one.by for one in asked(ledger, "month")] == [{"month": "2026-11"}]


def test_by_what_else_is_asked(ledger: LedgerSettings) -> None:
    assert {one.by["agent"]: one.requests for one in asked(ledger, "agent")} == {"": 10, "assistant": 1}
    models = {one.by["response_model"]: one.dollars for one in asked(ledger, "response_model")}
    # What has not been answered goes by what was asked for.
    assert models == {"gpt-5-2026": 1_300_013, "gpt-5": 7, "": 0}
    prices = {one.by["price"]: one.dollars for one in asked(ledger, "price")}
    assert prices == {"": 1_300_009, "contract:acme": 11}
    (one,) = asked(ledger, "cost_centre", "agent", filters={"cost_centre": ("c-1",)})
    assert (one.by, one.dollars, one.estimated) == ({"cost_centre": "c-1", "agent": ""}, 7, 1)


def test_filters(ledger: LedgerSettings) -> None:
    assert [one.requests for one in asked(ledger, filters={"agent": ("assistant", "nobody")})] == [1]
    assert [one.dollars for one in asked(ledger, filters={"response_model": ("gpt-5",), "user": ("alice",)})] == [7]
    assert asked(ledger, filters={"user": ("nobody",)}) == []
    assert asked(ledger, filters={"user": ("' OR 1=1 --",)}) == []


def test_a_cost_that_is_not_known(ledger: LedgerSettings) -> None:
    costs = {one.by["model"]: (one.dollars, one.unpriced) for one in asked(ledger, "model")}
    assert costs["local"] == (None, 1)
    # Not known is not nothing, and nothing is known of what used no tokens.
    assert costs[""] == (0, 0)


@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(DIMENSIONS), unique=True, max_size=4))
def test_the_sum_of_any_grouping_is_the_total(ledger: LedgerSettings, by: list[str]) -> None:
    def sums(rows: list[Spent]) -> list[Any]:
        counts = ("requests", "refused", "open", "unpriced", "estimated")
        tokens = [sum(one.tokens[kind] for one in rows) for kind in rows[0].tokens]
        counted = [sum(getattr(one, name) for one in rows) for name in counts]
        return [sum(one.dollars or 0 for one in rows), tokens, counted]

    rows = asked(ledger, *by)
    assert sums(rows) == sums(asked(ledger))
    assert len({tuple(one.by.values()) for one in rows}) == len(rows)
    assert all(tuple(one.by) == tuple(by) for one in rows)


def test_it_says_what_usage_says(ledger: LedgerSettings) -> None:
    with Reading(ledger) as reading:
        usage = reading.usage(Asked((By.TENANT, By.MODEL), START, END))
    rows = asked(ledger, "tenant", "model")
    told = [(tuple(one.by.values()), one.requests, one.tokens["input"], one.dollars or 0) for one in rows]
    assert told == [(one.key, one.requests, one.input, int(one.cost * 1_000_000)) for one in usage]


def test_what_the_ledger_does_not_know(ledger: LedgerSettings) -> None:
    with pytest.raises(SpendingError, match="does not tell spending apart by colour, shape"):
        asked(ledger, "shape", "tenant", filters={"colour": ("red",)})
    for name in DIMENSIONS:
        assert asked(ledger, name)


def test_a_ledger_that_is_not_there(settings: LedgerSettings) -> None:
    with pytest.raises(SpendingError, match="the ledger"):
        asked(settings)
