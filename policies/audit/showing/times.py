"""Times as people type them, and as they are shown. Pure; all of it is UTC, as the journal is.

A day, a week or a month has two ends: it stands for its beginning in `--from` and for its end in `--to`, so that
`--from last-week --to last-week` is that week and nothing else.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

End = Literal["from", "to"]
EXPECTED: Final = "30m, 12h, 7d, 2w, 2026-11-01, 2026-11-01T09:30, today, yesterday, this-week, last-week, last-month, …"
_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)


class TimeError(ValueError):
    """What was typed is no time. The message says what was expected."""


def moment(text: str, end: End, now: datetime) -> str:
    """The time that is meant, as records write it: what is at or after it is *from*, what is before it is *to*.

    Args:
        end: which end of a period counts.
        now: with a time zone.

    Raises:
        TimeError: no time, or none that a calendar has.
    """
    try:
        return stamp(_moment(text.strip(), end, now.astimezone(UTC)))
    except (ValueError, OverflowError) as error:
        raise TimeError(f"--{end} {text}: expected a time such as {EXPECTED}") from error


def stamp(at: datetime) -> str:
    """A time as records write it: UTC, microseconds, of one length, so that order of text is order of time."""
    own = at.astimezone(UTC)
    return f"{own.year:04}-{own:%m-%dT%H:%M:%S.%f}Z"


def read(timestamp: str) -> datetime:
    """The time that a record states.

    Raises:
        ValueError: it states none.
    """
    return datetime.fromisoformat(timestamp)


def _moment(text: str, end: End, now: datetime) -> datetime:
    if text == "now":
        return now
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    if _CLOCK.fullmatch(text):
        at = datetime.fromisoformat(text.upper())
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    first, after = _period(text, now)
    return first if end == "from" else after


def _period(text: str, now: datetime) -> tuple[datetime, datetime]:
    """The beginning of a period and the beginning of what comes after it."""
    if _DAY.fullmatch(text):
        day = datetime.fromisoformat(text).replace(tzinfo=UTC)
        return day, day + timedelta(days=1)
    if _MONTH.fullmatch(text):
        first = datetime.fromisoformat(f"{text}-01").replace(tzinfo=UTC)
        return first, _next_month(first)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    month = today.replace(day=1)
    before = (month - timedelta(days=1)).replace(day=1)
    year = month.replace(month=1)
    periods = {
        "today": (today, today + timedelta(days=1)),
        "yesterday": (today - timedelta(days=1), today),
        "this-week": (monday, monday + timedelta(days=7)),
        "last-week": (monday - timedelta(days=7), monday),
        "this-month": (month, _next_month(month)),
        "last-month": (before, month),
        "this-year": (year, year.replace(year=year.year + 1)),
        "last-year": (year.replace(year=year.year - 1), year),
    }
    if text not in periods:
        raise ValueError(text)
    return periods[text]


def _next_month(first: datetime) -> datetime:
    return (first + timedelta(days=31)).replace(day=1)


def duration(seconds: float) -> str:
    """A length of time for people, to two figures that matter: `842 ms`, `3.2 s`, `4 min`, `2 h 10 min`, `3 days`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{minutes // 1440} days"
