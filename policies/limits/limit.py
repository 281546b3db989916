"""What a limit is: a measure, over a window, for a subject. Pure."""

from __future__ import annotations

import math
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import force_setattr

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

    @property
    def is_budget(self) -> bool:
        """Of tokens or dollars, by dates."""
        return self.measure in (Measure.TOKENS, Measure.DOLLARS) and self.window in (Window.DAY, Window.MONTH)


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


@lru_cache(256)
def _tails(
    has_dates: bool, usual: bool, shadow: bool, seconds: int, spends: bool
) -> tuple[tuple[bool, bool, bool, int, bool], ...]:
    """See `Limit.tails`. The same object for all limits of which it is the same: each user may have some."""
    # A call without output owes what those before it have overrun.
    return tuple((has_dates, usual and has_output, shadow, seconds, usual and spends) for has_output in (False, True))


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

    What follows from these is asked for with every exchange, and worked out once:

    Attributes:
        is_rate: callers are told how it stands in fields of their own.
        is_budget: of a tenant as a whole, or of everyone, in tokens or dollars.
        warns_from: what is used when callers are warned; infinite for never.
        head: what a demand on it begins with, whatever the call is (see `store.Demand`).
        tails: what it ends with for a call without output, and for one with output.
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
    is_rate: bool = False
    is_budget: bool = False
    warns_from: float = math.inf
    head: tuple[str, str, Measure, Window, int] = ("", "", Measure.REQUESTS, Window.NONE, 0)
    tails: tuple[tuple[bool, bool, bool, int, bool], ...] = ()

    def __post_init__(self) -> None:
        _, measure, window, counter = self.kind
        derived: dict[str, Any] = {}
        has_dates = window in (Window.DAY, Window.MONTH)
        spends = measure in (Measure.TOKENS, Measure.DOLLARS)
        usual = self.reserve is OutputReserve.EXPECTED
        derived["is_rate"] = window is Window.MINUTE and not self.shadow
        derived["is_budget"] = self.kind.is_budget and not self.subject.parts and self.amount > 0
        warns = self.soft < 1 and self.amount > 0 and not self.shadow
        derived["warns_from"] = self.soft * self.amount if warns else math.inf
        derived["head"] = (self.key, counter, measure, window, self.amount)
        derived["tails"] = _tails(has_dates, usual, self.shadow, self.seconds, spends)
        for name, value in derived.items():
            force_setattr(self, name, value)
