"""Moments as records have them: UTC, with microseconds. Pure."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def moment(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 has them: `2026-11-21T12:56:26.123456Z`."""
    micros = round(seconds * 1_000_000)
    # Six digits: a format specification takes four times as long.
    return f"{_second(micros // 1_000_000)}.{str(1_000_000 + micros % 1_000_000)[1:]}Z"


@lru_cache(16)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def parsed(text: str) -> datetime:
    """The time that a record states.

    Raises:
        ValueError: it states none.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def dollars(micro: int) -> str:
    """Micro-dollars as dollars with six decimals: exact, in every language that reads it."""
    sign = "-" if micro < 0 else ""
    size = abs(micro)
    return f"{sign}{size // 1_000_000}.{str(1_000_000 + size % 1_000_000)[1:]}"


def micro_dollars(text: str) -> int:
    """Micro-dollars from what `dollars` has written.

    Raises:
        ValueError: it is nothing of the kind.
    """
    whole, dot, rest = text.partition(".")
    if not dot or len(rest) != 6 or not rest.isdecimal() or not whole.removeprefix("-").isdecimal():
        raise ValueError(f"expected dollars with six decimals, not {text[:40]!r}")
    micro = abs(int(whole)) * 1_000_000 + int(rest)
    return -micro if text.startswith("-") else micro
