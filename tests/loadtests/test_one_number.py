"""How the sums of five places are read, and when they agree."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extproc.tally import Tally
from loadtests.one_number import (
    Measured,
    Spent,
    Sums,
    added,
    agree,
    behind,
    lines,
    of_counters,
    of_journal,
    of_langfuse,
    of_metrics,
    shown,
    table,
)
from policies.audit.following.status import SinkStatus, Status, write_status
from policies.audit.record import Tokens
from tests.policies.audit.world import closing, decision

AT = ("t-1", "gpt-4o")
FOUND: Sums = {AT: Spent(30, 450)}


def test_what_used_nothing_is_left_out() -> None:
    assert added([(AT, 10, 400), (AT, 20, 50), (("t-2", ""), 0, 0)]) == FOUND


def test_closings_count_and_decisions_do_not() -> None:
    one = closing(1, tenant_id="t-1", model="gpt-4o", tokens=Tokens(total=10), cost="0.000400")
    other = closing(2, tenant_id="t-1", model="gpt-4o", tokens=Tokens(total=20), cost="0.000050")
    refused = decision(3, tenant_id="t-1", model="gpt-4o")
    assert of_journal(each.record for each in (one, other, refused)) == FOUND


def tally(measure: str, used: int, subject: dict[str, str], end: datetime = datetime(2026, 12, 1, tzinfo=UTC)) -> Tally:
    return Tally(subject, measure, datetime(2026, 11, 1, tzinfo=UTC), end, used, 0, "")


def test_the_counters_of_a_month_by_model_count() -> None:
    own = {"tenant_id": "t-1", "model": "gpt-4o"}
    tallies = [
        tally("tokens", 30, own),
        tally("dollars", 450, own),
        tally("requests", 7, own),
        tally("tokens", 99, own, datetime(2026, 11, 2, tzinfo=UTC)),
        tally("tokens", 99, {"tenant_id": "t-1"}),
        tally("tokens", 99, {"tenant_id": "t-1", "user_id": "alice"}),
    ]
    assert of_counters(tallies) == FOUND


def test_metrics_are_added_over_their_types() -> None:
    text = (
        "# TYPE ai_tokens_total counter\n"
        'ai_tokens_total{tenant_id="t-1",model="gpt-4o",type="input"} 10.0\n'
        'ai_tokens_total{tenant_id="t-1",model="gpt-4o",type="output"} 20.0\n'
        "# TYPE ai_cost_usd_total counter\n"
        'ai_cost_usd_total{tenant_id="t-1",model="gpt-4o"} 0.00045\n'
        "# TYPE ai_requests_total counter\n"
        'ai_requests_total{tenant_id="t-1",model="gpt-4o",result="success"} 2.0\n'
    )
    assert of_metrics(text) == FOUND


def observation(tokens: int, dollars: float) -> dict[str, Any]:
    return {
        "langfuse.observation.metadata.tenant_id": '"t-1"',
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.usage_details": json.dumps({"input": tokens, "total": tokens}),
        "langfuse.observation.cost_details": json.dumps({"total": dollars}),
    }


def test_an_observation_that_came_twice_counts_once() -> None:
    sent = [("a", observation(10, 0.0004)), ("b", observation(20, 0.00005)), ("a", observation(10, 0.0004)), ("c", {})]
    assert of_langfuse(sent) == FOUND


@pytest.mark.parametrize(
    ("other", "same"),
    [(FOUND, True), ({AT: Spent(30, 451)}, False), ({AT: Spent(29, 450)}, False), ({}, False)],
    ids=["same", "dollars", "tokens", "nothing"],
)
def test_all_must_say_the_same(other: Sums, same: bool) -> None:
    found = {"journal": FOUND, "ledger": other}
    assert agree(found) == same
    (line,) = lines(found)
    assert ("everywhere" in line, "DIFFERENT" in line) == (same, not same)


def test_where_nobody_says_anything_nothing_is_shown() -> None:
    assert not agree({"journal": {}, "ledger": {}})


@pytest.mark.parametrize(
    ("asked", "seen", "sums", "holds"),
    [
        (1, 1, {"journal": FOUND, "ledger": FOUND}, True),
        (0, 1, {"journal": FOUND, "ledger": FOUND}, False),
        (1, 0, {"journal": FOUND, "ledger": FOUND}, False),
        (1, 1, {"journal": FOUND, "ledger": {}}, False),
    ],
    ids=["all", "a kind was not asked", "a kind is not on record", "different sums"],
)
def test_each_kind_must_have_been_there(asked: int, seen: int, sums: dict[str, Sums], holds: bool) -> None:
    found = Measured({"plain": 3, "messages": asked}, {"messages, searched": seen}, sums)
    assert shown(found) == holds
    assert sum("NONE" in line for line in table(found)) == (not asked) + (not seen)
    assert "| plain | 3 |" in table(found)


@pytest.mark.parametrize(
    ("counts", "late"), [((0, 0), False), ((0, 3), True), ((2, 0), True)], ids=["all there", "one behind", "the other"]
)
def test_who_is_behind_is_waited_for(tmp_path: Path, counts: tuple[int, int], late: bool) -> None:
    sinks = {f"sink-{number}": SinkStatus(behind_records=count) for number, count in enumerate(counts)}
    write_status(tmp_path, Status(pid=1, sinks=sinks, time=0.0))
    assert behind(tmp_path) == late


def test_where_nobody_follows_yet_it_is_waited_for(tmp_path: Path) -> None:
    assert behind(tmp_path)
