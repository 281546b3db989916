"""Periods as people type them. Pure; all of it is UTC, as days are in the record and on invoices."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

Period: TypeAlias = tuple[datetime, datetime]
"""From, and before."""
EXPECTED: Final = "2026-11, 2026-11-20, 2026, 7d, today, yesterday, this-month, last-month, this-year or last-year"
_AGO: Final = re.compile(r"([0-9]{1,4})d")
_NAMED: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_DAY: Final = timedelta(days=1)


class PeriodError(ValueError):
    """What was typed is no period. The message says what was expected."""


def period(text: str, now: datetime, *, option: str = "--period") -> Period:
    """The period that is meant.

    Args:
        now: with a time zone.
        option: where it was typed.

    Raises:
        PeriodError: none, or one that no calendar has.
    """
    try:
        return _period(text.strip(), now.astimezone(UTC))
    except (ValueError, OverflowError):
        raise PeriodError(f"{option} {text}: expected {EXPECTED}") from None


def between(since: str, until: str, now: datetime) -> Period:
    """From the beginning of one period to the end of another; "" of `until` is now.

    Raises:
        PeriodError: one of them is none, or there is nothing between them.
    """
    start = period(since, now, option="--from")[0]
    end = period(until, now, option="--to")[1] if until else now.astimezone(UTC)
    if end <= start:
        raise PeriodError(f"--to {until or 'now'} is not after --from {since}")
    return start, end


def _period(text: str, now: datetime) -> Period:
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - int(ago[1]) * _DAY, now
    named = _NAMED.fullmatch(text)
    if named is not None:
        year, month, day = (int(part) if part else None for part in named.groups())
        first = datetime(year or 0, month or 1, day or 1, tzinfo=UTC)
        if day:
            return first, first + _DAY
        return first, _after(first) if month else first.replace(year=first.year + 1)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month_ = today.replace(day=1)
    year_ = month_.replace(month=1)
    before = (month_ - _DAY).replace(day=1)
    known = {
        "today": (today, today + _DAY),
        "yesterday": (today - _DAY, today),
        "this-month": (month_, _after(month_)),
        "last-month": (before, month_),
        "this-year": (year_, year_.replace(year=year_.year + 1)),
        "last-year": (year_.replace(year=year_.year - 1), year_),
    }
    if text not in known:
        raise ValueError(text)
    return known[text]


def _after(first: datetime) -> datetime:
    """The first of the next month."""
    return (first + timedelta(days=31)).replace(day=1)


def told(start: datetime, end: datetime) -> str:
    """A period as people read it: `November 2026`, `2026-11-01 to 2026-11-07`, with hours where it has them."""
    if _midnight(start) and _midnight(end):
        if start.day == 1 and end == _after(start):
            return f"{start:%B %Y}"
        last = end - _DAY
        return f"{start:%Y-%m-%d}" if last == start else f"{start:%Y-%m-%d} to {last:%Y-%m-%d}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _midnight(at: datetime) -> bool:
    return at == at.replace(hour=0, minute=0, second=0, microsecond=0)


def days(start: datetime, end: datetime) -> list[str]:
    """Every day of a period, also of one that ends in the middle of a day: `2026-11-20`."""
    first = start.date()
    last = (end - timedelta(microseconds=1)).date()
    return [(first + timedelta(days=index)).isoformat() for index in range((last - first).days + 1)]
