from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cost.reporting.periods import PeriodError, between, days, period, told

NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-11", "2026-11-01", "2026-12-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("2026", "2026-01-01", "2027-01-01"),
        ("today", "2026-03-05", "2026-03-06"),
        ("yesterday", "2026-03-04", "2026-03-05"),
        ("this-month", "2026-03-01", "2026-04-01"),
        (" last-month ", "2026-02-01", "2026-03-01"),
        ("this-year", "2026-01-01", "2027-01-01"),
        ("last-year", "2025-01-01", "2026-01-01"),
    ],
)
def test_what_is_meant(text: str, start: str, end: str) -> None:
    assert period(text, NOW) == (day(start), day(end))


def test_ago() -> None:
    assert period("7d", NOW) == (NOW - timedelta(days=7), NOW)


def test_it_is_utc() -> None:
    # Half past one in the morning in Berlin is the day before.
    late = datetime(2026, 3, 6, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert period("today", late) == (day("2026-03-05"), day("2026-03-06"))


@pytest.mark.parametrize("text", ["", "2026-13", "2026-02-30", "0000", "9999", "99999d", "soon", "2026-1", "٢٠٢٦"])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(PeriodError, match="expected 2026-11, "):
        period(text, NOW)


def test_between() -> None:
    assert between("2026-01", "2026-02", NOW) == (day("2026-01-01"), day("2026-03-01"))
    assert between("2026-01", "", NOW) == (day("2026-01-01"), NOW)
    with pytest.raises(PeriodError, match="is not after"):
        between("2026-02", "2026-01", NOW)
    with pytest.raises(PeriodError, match="--to nothing"):
        between("2026-02", "nothing", NOW)


def test_in_words() -> None:
    assert told(*period("2026-11", NOW)) == "November 2026"
    assert told(*period("2026-11-20", NOW)) == "2026-11-20"
    assert told(*between("2026-01-03", "2026-01-05", NOW)) == "2026-01-03 to 2026-01-05"
    assert told(*period("1d", NOW)) == "2026-03-04 12:30 to 2026-03-05 12:30 UTC"


def test_days() -> None:
    assert days(*period("2026-02", NOW)) == [f"2026-02-{n:02}" for n in range(1, 29)]
    assert days(*period("1d", NOW)) == ["2026-03-04", "2026-03-05"]


@given(st.dates(min_value=day("1990-01-01").date(), max_value=day("2090-01-01").date()))
def test_the_days_of_a_month_are_that_month(one: object) -> None:
    month = str(one)[:7]
    named = days(*period(month, NOW))
    assert named[0] == f"{month}-01"
    assert all(name.startswith(month) for name in named)
    assert str(one) in named
