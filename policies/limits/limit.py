"""What a limit is: a rule (a measure, over a window) for a subject. Pure."""

from __future__ import annotations

import math
from enum import StrEnum
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


class Rule(msgspec.Struct, frozen=True, gc=False):
    """What is allowed, whoever it is about. All subjects of an entry of the configuration share one.

    Attributes:
        amount: requests, weighted tokens, micro-dollars or exchanges; 0 suspends the subject.
        seconds: how long the subject's counters are kept after they were last written.
        soft: the share of the amount from which on callers are warned; 1 or more: never.
        allowance: with `outage: allowance`, how much all workers together may let through, in the unit of `amount`.
        shadow: counted, and not enforced.
        source: where it comes from, for people: `limits[2]`, `override`.

    What follows from these is asked for with every exchange, and worked out once:

    Attributes:
        is_rate: callers are told how it stands in fields of their own.
        is_budget: in tokens or dollars, by dates, and not suspended.
        warns_from: what is used when callers are warned; infinite for never.
        head: what a demand under it begins with behind its key, whatever the call is (see `store.Demand`).
        tails: what it ends with for a call without output, and for one with output.
    """

    kind: Kind
    amount: int
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
    head: tuple[str, Measure, Window, int] = ("", Measure.REQUESTS, Window.NONE, 0)
    tails: tuple[tuple[bool, bool, bool, int, bool], ...] = ()

    def __post_init__(self) -> None:
        _, measure, window, counter = self.kind
        derived: dict[str, Any] = {}
        has_dates = window in (Window.DAY, Window.MONTH)
        spends = measure in (Measure.TOKENS, Measure.DOLLARS)
        usual = self.reserve is OutputReserve.EXPECTED
        derived["is_rate"] = window is Window.MINUTE and not self.shadow
        derived["is_budget"] = self.kind.is_budget and self.amount > 0
        warns = self.soft < 1 and self.amount > 0 and not self.shadow
        derived["warns_from"] = self.soft * self.amount if warns else math.inf
        derived["head"] = (counter, measure, window, self.amount)
        # A call without output owes what those before it have overrun.
        derived["tails"] = tuple(
            (has_dates, usual and has_output, self.shadow, self.seconds, usual and spends) for has_output in (False, True)
        )
        for name, value in derived.items():
            force_setattr(self, name, value)


class Limit(msgspec.Struct, frozen=True, gc=False):
    """One limit on one subject, after configuration and overrides. There may be three for each of many users: no more
    stands in it than differs between them.

    Attributes:
        key: of the subject's counters.
    """

    subject: Subject
    key: str
    rule: Rule
