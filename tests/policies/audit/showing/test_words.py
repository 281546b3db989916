"""A record in one line."""

from __future__ import annotations

import pytest

from policies.audit.record import Record, Reserved
from policies.audit.showing import words
from tests.policies.audit.showing.journaled import closing, decision, record, refusal


@pytest.mark.parametrize(
    ("of", "cells"),
    [
        (
            decision(1),
            "2026-11-02 09:30:00.000|contoso|alice|request.allowed|gpt-5|allow|<= 1,400|-|-",
        ),
        (
            refusal(1),
            "2026-11-02 09:30:00.000|contoso|alice|limit.reached|gpt-5|reject tokens_per_day_exceeded|-|-|-",
        ),
        (
            closing(1),
            "2026-11-02 09:30:01.000|contoso|alice|request.closed|gpt-5|answered 200|500|$0.00123|842 ms",
        ),
        (
            record(event="limit.changed", before="100", after="200", tenant_id="t-2"),
            "2026-11-02 09:30:00.000|t-2|-|limit.changed|-|100 -> 200|-|-|-",
        ),
        (
            record(
                event="limit.changed",
                action="set",
                by="kim",
                after="25000000",
                tenant_id="t-2",
                subject="t-2 dollars_per_day",
            ),
            "2026-11-02 09:30:00.000|t-2|kim|limit.changed|-|set dollars_per_day: not set -> $25.00|-|-|-",
        ),
        (
            record(
                event="limit.changed",
                action="unset",
                before="5000",
                tenant_id="t-2",
                subject="t-2/user=a b tokens_per_day",
            ),
            "2026-11-02 09:30:00.000|t-2|-|limit.changed|-|unset tokens_per_day of user=a b: 5,000 -> not set|-|-|-",
        ),
        (
            record(event="limit.changed", action="reset", by="kim", subject="everyone requests_per_day"),
            "2026-11-02 09:30:00.000|-|kim|limit.changed|-|reset requests_per_day of everyone|-|-|-",
        ),
        (
            record(event="limit.changed", action="set", before="many", after="0", subject="everyone dollars_per_day"),
            "2026-11-02 09:30:00.000|-|-|limit.changed|-|set dollars_per_day of everyone: many -> $0.00|-|-|-",
        ),
        (
            record(event="limit.lease_expired", result="success"),
            "2026-11-02 09:30:00.000|-|-|limit.lease_expired|-|charged as reserved|-|-|-",
        ),
        (
            record(event="session.begun", result="success", session_id="s-1"),
            "2026-11-02 09:30:00.000|-|-|session.begun|-|session s-1|-|-|-",
        ),
        (
            record(event="journal.gap", lost=1_200, level="error"),
            "2026-11-02 09:30:00.000|-|-|journal.gap|-|1,200 records lost|-|-|-",
        ),
        (
            record(event="journal.opened", result="success"),
            "2026-11-02 09:30:00.000|-|-|journal.opened|-|success|-|-|-",
        ),
    ],
)
def test_lines(of: Record, cells: str) -> None:
    assert [cell.strip() for cell in words.line(of).split("  ") if cell] == cells.split("|")


def test_the_heading_stands_over_its_columns() -> None:
    line = words.line(closing(1))
    for title, cell in (("tenant", "contoso"), ("event", "request.closed"), ("cost", "$0.00123"), ("latency", "842 ms")):
        assert words.HEADING.index(title) == line.index(cell)


def test_columns_stand_where_callers_have_ids_of_entra() -> None:
    line = words.line(closing(1, user_id="3b60ab64-b7ad-5aba-af34-d226b3e9c6a1"))
    assert words.HEADING.index("event") == line.index("request.closed")


@pytest.mark.parametrize(
    ("of", "style"),
    [
        (decision(1), ""),
        (refusal(1), "yellow"),
        (record(level="error"), "red"),
        (record(event="journal.gap", level="info"), "bold red"),
    ],
)
def test_colours(of: Record, style: str) -> None:
    assert words.style(of) == style


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        ("", ""),
        ("0.000000", "$0.00"),
        ("0.001230", "$0.00123"),
        ("1234567.100000", "$1,234,567.10"),
        ("0.000001", "$0.000001"),
        ("no number", "no number"),
        ("NaN", "NaN"),
    ],
)
def test_dollars(cost: str, shown: str) -> None:
    assert words.dollars(cost) == shown


def test_micro_dollars_are_exact() -> None:
    assert words.micro_dollars(123_456_789_012_345_678) == "$123,456,789,012.345678"


@pytest.mark.parametrize(
    ("of", "shown"),
    [
        (closing(1, latency_ms=0, latency_us=420), "420 us"),
        (closing(1, latency_ms=0, latency_us=0), "0 ms"),
        (closing(1, latency_ms=12_345, latency_us=0), "12,345 ms"),
        (decision(1), "-"),
    ],
)
def test_latency(of: Record, shown: str) -> None:
    assert words.latency(of) == shown


def test_what_is_not_reserved_is_not_shown() -> None:
    assert words.tokens(decision(1, reserved=Reserved())) == ""


@pytest.mark.parametrize(("count", "shown"), [(0, "0 records"), (1, "1 record"), (1_000, "1,000 records")])
def test_counts(count: int, shown: str) -> None:
    assert words.several(count, "record") == shown
