"""What the stores should do, in the simplest way that could be right.

Nothing is ever added up and kept: there are lists of entries, and every sum is worked out anew from them. Calendars are
Python's own, ends of windows are searched for, and the output granted is tried out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from policies.limits.limit import Measure, Window
from policies.limits.store import Answer, Ask, Demand, Overdue, Standing, Used, Zone

MINUTE = 60_000


def number_at(window: Window, now: int, zone: Zone) -> int:
    """The number of the window at `now` (milliseconds)."""
    if window is Window.NONE:
        return 0
    if window is Window.MINUTE:
        return now // MINUTE
    seconds = now // 1000
    civil = datetime(1970, 1, 1) + timedelta(
        seconds=seconds + (zone.next_offset if seconds >= zone.until else zone.offset)
    )
    if window is Window.DAY:
        return (civil - datetime(1970, 1, 1)).days
    return civil.year * 12 + civil.month - 1


def reset_at(window: Window, now: int, zone: Zone) -> int:
    """Milliseconds until another window begins; 0 where none does."""
    if window is Window.NONE:
        return 0
    number = number_at(window, now, zone)
    return bisect_left(range(33 * 86_400_000), True, key=lambda later: number_at(window, now + later, zone) > number)


@dataclass
class Entry:
    """What one reservation has put on one counter."""

    demand: Demand
    window: int
    reserved: int
    amount: int
    """What it counts as now."""
    is_open: bool = True


@dataclass
class ModelCounter:
    """One counter: the window that it was last written in, how often it was set back, and the entries since."""

    entered: int = 0
    generation: int = 0
    entries: list[Entry] = field(default_factory=list)

    def used_in(self, window: int) -> int:
        return sum(entry.amount for entry in self.entries if entry.window == window)

    def open_in(self, window: int) -> int:
        return sum(entry.reserved for entry in self.entries if entry.window == window and entry.is_open)

    def debt(self, demand: Demand, window: int) -> int:
        """What is carried into this window: every window before it pays for as much as the limit is."""
        if not (demand.expected or demand.carries) or demand.window is Window.MINUTE:
            return 0
        debt = 0
        for earlier in range(min((entry.window for entry in self.entries), default=window), window):
            debt = max(0, debt + self.used_in(earlier) - demand.amount)
        return debt

    def before(self, demand: Demand, window: int) -> int:
        return self.used_in(window - 1) if demand.window is Window.MINUTE else 0

    def used(self, demand: Demand, window: int, reset: int) -> int:
        """What counts against the limit."""
        share = ceil(Fraction(self.before(demand, window) * reset, MINUTE))
        return self.used_in(window) + self.debt(demand, window) + share


@dataclass
class Reservation:
    """`state`: `open`, `expired`, `settled`."""

    state: str
    output: int = 0
    due: bool = False
    request_id: str = ""
    entries: list[tuple[ModelCounter, Entry]] = field(default_factory=list)

    def reserved(self) -> Used:
        """Of each measure the most on any counter."""
        requests, tokens, dollars = (
            max((entry.reserved for _, entry in self.entries if entry.demand.measure is measure), default=0)
            for measure in (Measure.REQUESTS, Measure.TOKENS, Measure.DOLLARS)
        )
        return Used(requests, tokens, dollars)

    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry.demand.key for _, entry in self.entries))


def needed(demand: Demand, output: int) -> int:
    return demand.fixed + ceil(Fraction(output * demand.per_output, 1_000_000))


class LimitsModel:
    """A store whose leases are either over at once (`lease` 0) or never. All that is asked has happened (`at`)."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, str], ModelCounter] = {}
        self.reservations: dict[tuple[str, str], Reservation] = {}

    def reserve(self, ask: Ask) -> Answer:
        known = self.reservations.get((ask.tenant, ask.id))
        if known is not None:
            return Answer(known.state != "settled", known.output, (), known.state == "settled")
        counters = [self.counters.get((demand.key, demand.counter), ModelCounter()) for demand in ask.demands]
        places = [
            (max(number_at(demand.window, ask.at, ask.zone), counter.entered), reset_at(demand.window, ask.at, ask.zone))
            for demand, counter in zip(ask.demands, counters, strict=True)
        ]
        room = [
            demand.amount - counter.used(demand, *place)
            for demand, counter, place in zip(ask.demands, counters, places, strict=True)
        ]
        granted, refused = self._granted(ask, room)
        needs = [needed(demand, min(granted, ask.expected) if demand.expected else granted) for demand in ask.demands]
        for index, demand in enumerate(ask.demands):
            refused[index] |= demand.amount <= 0 or needs[index] > room[index]
        admitted = ask.force or not any(no and not demand.shadow for no, demand in zip(refused, ask.demands, strict=True))
        if admitted:
            made = Reservation("open", granted, ask.lease == 0, ask.request_id)
            self.reservations[ask.tenant, ask.id] = made
            for demand, (number, _), need in zip(ask.demands, places, needs, strict=True):
                counter = self.counters.setdefault((demand.key, demand.counter), ModelCounter())
                counter.entered = number
                counter.entries.append(Entry(demand, number, need, need))
                made.entries.append((counter, counter.entries[-1]))
        standings = []
        for demand, (number, reset), no in zip(ask.demands, places, refused, strict=True):
            counter = self.counters.get((demand.key, demand.counter), ModelCounter())
            used = counter.used_in(number) + counter.debt(demand, number)
            standings.append(Standing(used, counter.before(demand, number), reset, no, counter.open_in(number)))
        return Answer(admitted, granted, tuple(standings))

    def _granted(self, ask: Ask, room: Sequence[int]) -> tuple[int, list[bool]]:
        """The most output that every clamping limit has room for, and those that have not even room for the floor."""
        granted, refused = ask.output, [False] * len(ask.demands)
        for index, demand in enumerate(ask.demands):
            if ask.force or not demand.clamps or demand.expected or demand.shadow or demand.per_output == 0:
                continue
            fitting = [output for output in range(ask.output + 1) if needed(demand, output) <= room[index]]
            most = max(fitting, default=0)
            refused[index] = not fitting or most < min(ask.floor, ask.output)
            granted = min(granted, most)
        return granted, refused

    def settle(self, tenant: str, reservation: str, used: Used) -> bool:
        known = self.reservations.get((tenant, reservation))
        self.reservations[tenant, reservation] = Reservation("settled")
        if known is None or known.state == "settled":
            return False
        actual = {Measure.REQUESTS: used.requests, Measure.TOKENS: used.tokens, Measure.DOLLARS: used.dollars}
        for counter, entry in known.entries:
            # A window can be corrected until the one after it is over.
            if counter.entered <= entry.window + 1:
                entry.amount = actual.get(entry.demand.measure, 0)
            entry.is_open = False
        return True

    def overdue(self, tenant: str, most: int) -> list[Overdue]:
        """In the order in which they were reserved."""
        return [
            Overdue(tenant, id, one.request_id, one.reserved(), one.keys())
            for (whose, id), one in self.reservations.items()
            if whose == tenant and one.state == "open" and one.due
        ][:most]

    def expire(self, tenant: str, reservation: str) -> bool:
        known = self.reservations.get((tenant, reservation))
        if known is None or known.state != "open" or not known.due:
            return False
        known.state = "expired"
        for _, entry in known.entries:
            entry.is_open = False
            if entry.demand.measure is Measure.PARALLEL:
                entry.amount = 0
        return True

    def reset(self, key: str, names: Sequence[str]) -> int:
        """Set counters back to nothing; how many there were."""
        found = [self.counters[key, name] for name in names if (key, name) in self.counters]
        for counter in found:
            counter.entries.clear()
            # The window as well: a clock that was ahead may have left one that is long not there yet.
            counter.entered = 0
            counter.generation += 1
        return len(found)
