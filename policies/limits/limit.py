"""What a limit is: a measure, over a window, for a subject. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from policies.limits.subjects import Subject


class Measure(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """Weighted, and rounded up for each exchange."""
    DOLLARS = "dollars"
    """Held and counted in micro-dollars."""
    PARALLEL = "parallel"
    """Exchanges that have begun and not ended."""


class Window(StrEnum):
    """Over what time it is counted.

    A minute slides: what was used in the minute before counts by the share of it that lies within the last 60 seconds.
    Days and months are the calendar's, in the configured time zone.
    """

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    NONE = "none"


class Kind(NamedTuple):
    """A kind of limit; `counter` is the name of its counter in Redis, at most four letters."""

    name: str
    measure: Measure
    window: Window
    counter: str


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("requests_per_minute", Measure.REQUESTS, Window.MINUTE, "rpm"),
        Kind("requests_per_day", Measure.REQUESTS, Window.DAY, "rpd"),
        Kind("requests_per_month", Measure.REQUESTS, Window.MONTH, "rpmo"),
        Kind("tokens_per_minute", Measure.TOKENS, Window.MINUTE, "tpm"),
        Kind("tokens_per_day", Measure.TOKENS, Window.DAY, "tpd"),
        Kind("tokens_per_month", Measure.TOKENS, Window.MONTH, "tpmo"),
        Kind("dollars_per_day", Measure.DOLLARS, Window.DAY, "dpd"),
        Kind("dollars_per_month", Measure.DOLLARS, Window.MONTH, "dpmo"),
        Kind("parallel_requests", Measure.PARALLEL, Window.NONE, "par"),
    )
}


class OutputReserve(StrEnum):
    """How much output a limit reserves: all that the call may produce, or what such calls usually do."""

    CEILING = "ceiling"
    EXPECTED = "expected"


class Outage(StrEnum):
    """What a limit means while Redis cannot be asked."""

    LOCAL = "local"
    """Every worker counts for itself, up to its share of the limit, for a bounded time."""
    CLOSED = "closed"
    """Nothing is let through that it bears on."""
    ALLOWANCE = "allowance"
    """Every worker may let through its share of a small allowance, and no more until Redis is back."""


class Limit(msgspec.Struct, frozen=True):
    """One limit on one subject, after configuration and overrides.

    Attributes:
        amount: requests, weighted tokens, micro-dollars or exchanges; 0 suspends the subject.
        soft: the share of the amount from which on callers are warned; 1 or more: never.
        allowance: with `outage: allowance`, how much all workers together may let through, in the unit of `amount`.
        shadow: counted, and not enforced.
        source: where it comes from, for people: `limits[2]`, `override`.
        key: of the subject's counters.
        seconds: how long the subject's counters are kept after they were last written.
    """

    subject: Subject
    kind: Kind
    amount: int
    key: str
    seconds: int
    soft: float = 0.8
    reserve: OutputReserve = OutputReserve.CEILING
    outage: Outage = Outage.CLOSED
    allowance: int = 0
    shadow: bool = False
    source: str = ""
