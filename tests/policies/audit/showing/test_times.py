"""Times as they are typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.showing.times import TimeError, duration, moment, read, stamp

NOW = datetime(2026, 11, 19, 14, 5, 6, 700, tzinfo=UTC)
"""A Thursday."""


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("now", "2026-11-19T14:05:06.000700Z", "2026-11-19T14:05:06.000700Z"),
        ("90s", "2026-11-19T14:03:36.000700Z", "2026-11-19T14:03:36.000700Z"),
        ("30m", "2026-11-19T13:35:06.000700Z", "2026-11-19T13:35:06.000700Z"),
        ("7d", "2026-11-12T14:05:06.000700Z", "2026-11-12T14:05:06.000700Z"),
        ("2w", "2026-11-05T14:05:06.000700Z", "2026-11-05T14:05:06.000700Z"),
        ("2026-11-01", "2026-11-01T00:00:00.000000Z", "2026-11-02T00:00:00.000000Z"),
        ("2026-12", "2026-12-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z"),
        ("2026-11-01T09:30", "2026-11-01T09:30:00.000000Z", "2026-11-01T09:30:00.000000Z"),
        ("2026-11-01 09:30:15", "2026-11-01T09:30:15.000000Z", "2026-11-01T09:30:15.000000Z"),
        ("2026-11-01t09:30:15.5z", "2026-11-01T09:30:15.500000Z", "2026-11-01T09:30:15.500000Z"),
        ("2026-11-01T00:30+01:00", "2026-10-31T23:30:00.000000Z", "2026-10-31T23:30:00.000000Z"),
        ("today", "2026-11-19T00:00:00.000000Z", "2026-11-20T00:00:00.000000Z"),
        ("yesterday", "2026-11-18T00:00:00.000000Z", "2026-11-19T00:00:00.000000Z"),
        ("this-week", "2026-11-16T00:00:00.000000Z", "2026-11-23T00:00:00.000000Z"),
        ("last-week", "2026-11-09T00:00:00.000000Z", "2026-11-16T00:00:00.000000Z"),
        ("this-month", "2026-11-01T00:00:00.000000Z", "2026-12-01T00:00:00.000000Z"),
        ("last-month", "2026-10-01T00:00:00.000000Z", "2026-11-01T00:00:00.000000Z"),
        ("this-year", "2026-01-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z"),
        ("last-year", "2025-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z"),
    ],
)
def test_what_is_meant(text: str, begins: str, ends: str) -> None:
    assert moment(text, "from", NOW) == begins
    assert moment(text, "to", NOW) == ends


def test_now_may_be_in_another_zone() -> None:
    # In Tokyo it is the 20th already.
    there = NOW.astimezone(timezone(timedelta(hours=14)))
    assert moment("today", "from", there) == "2026-11-19T00:00:00.000000Z"


@pytest.mark.parametrize(
    "text", ["", "7", "d7", "-7d", "7 d", "2026-13-01", "2026-02-30", "2026-11-1", "٧d", "999999999w", "tomorrow-ish"]
)
def test_what_cannot_be_meant(text: str) -> None:
    with pytest.raises(TimeError, match="expected a time such as"):
        moment(text, "from", NOW)


@pytest.mark.parametrize("text", ["9999-12-31", "9999-12", "0001-01-01T00:00+10:00"])
def test_the_ends_of_the_calendar_are_no_crash(text: str) -> None:
    with pytest.raises(TimeError):
        moment(text, "to", NOW)


@given(st.text(max_size=30))
def test_whatever_is_typed(text: str) -> None:
    try:
        found = moment(text, "to", NOW)
    except TimeError:
        return
    assert stamp(read(found)) == found


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_order_of_text_is_order_of_time(one: datetime, other: datetime) -> None:
    assert (stamp(one) < stamp(other)) == (one < other)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0421, "42 ms"),
        (1, "1 s"),
        (3.249, "3.25 s"),
        (61, "1 min"),
        (3_600, "1 h"),
        (7_800, "2 h 10 min"),
        (259_200, "3 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
