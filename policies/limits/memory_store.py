"""Counters in memory: what limits while Redis is away, one for each worker. It passes the contract suite of Redis."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from extproc.price import PICO
from policies.limits.limit import Measure, Window
from policies.limits.store import Answer, Ask, Demand, Overdue, Standing, Used
from policies.limits.windows import Counter, window_at

KEEP: Final = 86_400_000
"""Milliseconds for which an expired reservation can still be corrected."""
TOMBSTONE: Final = 60_000
"""Milliseconds for which an id is remembered as settled: a reservation that was overtaken must not be made after it."""


class _Charge(msgspec.Struct, frozen=True):
    key: str
    counter: str
    measure: Measure
    window: int
    reserved: int
    amount: int
    generation: int


class _Record(msgspec.Struct):
    state: str
    request_id: str
    output: int
    charges: tuple[_Charge, ...]
    forgotten: int


class MemoryStore:
    """See `policies.limits.store.Store`. `clock` gives milliseconds since the epoch."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._subjects: dict[str, dict[str, Counter]] = {}
        self._records: dict[tuple[str, str], _Record] = {}
        self._leases: dict[tuple[str, str], int] = {}
        self._forgetting: list[tuple[int, tuple[str, str]]] = []
        self._kept: dict[str, int] = {}
        self._ageing: list[tuple[int, str]] = []

    def __len__(self) -> int:
        """Reservations that are remembered, settled ones among them."""
        return len(self._records)

    def counter(self, key: str, counter: str) -> Counter | None:
        """A counter as it was last written."""
        return self._subjects.get(key, {}).get(counter)

    async def reserve(self, ask: Ask) -> Answer:
        return self.reserve_now(ask)

    def reserve_now(self, ask: Ask) -> Answer:
        """`reserve`, for who need not wait."""
        present = self._clock()
        self._forget(present)
        known = self._records.get((ask.tenant, ask.id))
        if known is not None:
            settled = known.state == "s"
            return Answer(not settled, known.output, (), settled)
        now = (min(ask.at, present) if ask.force else ask.at) if ask.at > 0 else present
        counters = [self._present(demand, now, ask) for demand in ask.demands]
        resets = [window_at(demand.window, now, ask.zone)[1] for demand in ask.demands]
        used = [
            counter.used(demand.window, reset)
            for demand, counter, reset in zip(ask.demands, counters, resets, strict=True)
        ]
        granted, refused = _granted(ask, used)
        needs = [demand.reserved(min(ask.expected, granted) if demand.expected else granted) for demand in ask.demands]
        for index, demand in enumerate(ask.demands):
            if demand.amount <= 0 or used[index] + needs[index] > demand.amount:
                refused[index] = True
        admitted = ask.force or not any(no and not demand.shadow for no, demand in zip(refused, ask.demands, strict=True))
        if admitted:
            self._write(ask, counters, needs, granted, present)
        standings = tuple(
            Standing(
                counter.current + counter.carried,
                counter.before if demand.window is Window.MINUTE else 0,
                reset,
                no,
                counter.reserved,
            )
            for demand, counter, reset, no in zip(ask.demands, counters, resets, refused, strict=True)
        )
        return Answer(admitted, granted, standings)

    async def settle(self, tenant: str, reservation: str, used: Used) -> bool:
        return self.settle_now(tenant, reservation, used)

    def settle_now(self, tenant: str, reservation: str, used: Used) -> bool:
        """`settle`, for who need not wait."""
        present = self._clock()
        self._forget(present)
        known = self._records.get((tenant, reservation))
        if known is not None and known.state == "s":
            return False
        self._leases.pop((tenant, reservation), None)
        self._remember((tenant, reservation), _Record("s", "", 0, (), present + TOMBSTONE))
        if known is None:
            return False
        actual = {Measure.REQUESTS: used.requests, Measure.TOKENS: used.tokens, Measure.DOLLARS: used.dollars}
        for charge in known.charges:
            delta = actual.get(charge.measure, 0) - charge.reserved
            expired = known.state == "e"
            if not (charge.measure is Measure.PARALLEL and expired):
                self._correct(charge, delta, 0 if expired else charge.reserved)
        return True

    async def settle_all(self, settlements: Sequence[tuple[str, str, Used]]) -> Sequence[bool | None]:
        return [self.settle_now(*one) for one in settlements]

    async def overdue(self, tenant: str, most: int) -> Sequence[Overdue]:
        present = self._clock()
        ended = sorted((end, key) for key, end in self._leases.items() if key[0] == tenant and end <= present)
        return [self._overdue(key) for _, key in ended[:most]]

    def _overdue(self, key: tuple[str, str]) -> Overdue:
        known = self._records[key]
        amounts = dict.fromkeys(Measure, 0)
        for charge in known.charges:
            amounts[charge.measure] = max(charge.reserved, amounts[charge.measure])
        used = Used(amounts[Measure.REQUESTS], amounts[Measure.TOKENS], amounts[Measure.DOLLARS])
        return Overdue(*key, known.request_id, used, tuple(dict.fromkeys(charge.key for charge in known.charges)))

    async def expire(self, tenant: str, reservation: str) -> bool:
        present = self._clock()
        key = (tenant, reservation)
        if self._leases.get(key, present + 1) > present:
            return False
        del self._leases[key]
        known = self._records[key]
        for charge in known.charges:
            delta = -charge.reserved if charge.measure is Measure.PARALLEL else 0
            self._correct(charge, delta, charge.reserved)
        self._remember(key, _Record("e", known.request_id, known.output, known.charges, present + KEEP))
        return True

    def _present(self, demand: Demand, now: int, ask: Ask) -> Counter:
        """A copy of the demand's counter, in the present window."""
        number, _ = window_at(demand.window, now, ask.zone)
        known = self.counter(demand.key, demand.counter)
        if known is None:
            return Counter(number)
        counter = msgspec.structs.replace(known)
        if not _carries(demand):
            counter.roll(number)
            return counter
        # Each window that is over has paid for as much as the limit is, also one in which nobody came.
        counter.roll(number, debt_above=demand.amount * (number - known.window))
        if counter.window == known.window + 1:
            # Debt of its own is part of what a late settlement corrects.
            counter.before += known.carried
        return counter

    def _write(self, ask: Ask, counters: list[Counter], needs: list[int], granted: int, present: int) -> None:
        charges = []
        for demand, counter, need in zip(ask.demands, counters, needs, strict=True):
            counter.current += need
            counter.reserved += need
            self._subjects.setdefault(demand.key, {})[demand.counter] = counter
            self._keep(demand.key, present + demand.seconds * 1000)
            charges.append(
                _Charge(
                    demand.key,
                    demand.counter,
                    demand.measure,
                    counter.window,
                    need,
                    demand.amount if _carries(demand) else -1,
                    counter.generation,
                )
            )
        lease = int(ask.lease * 1000)
        self._leases[ask.tenant, ask.id] = present + lease
        record = _Record("r", ask.request_id, granted, tuple(charges), present + lease + KEEP)
        self._remember((ask.tenant, ask.id), record)

    def _correct(self, charge: _Charge, delta: int, released: int) -> None:
        counter = self.counter(charge.key, charge.counter)
        if counter is None or counter.generation != charge.generation:
            return
        if counter.window == charge.window:
            counter.current = max(0, counter.current + delta)
            counter.reserved = max(0, counter.reserved - released)
        elif counter.window == charge.window + 1:
            if charge.amount >= 0:
                former, later = counter.before - charge.amount, counter.before + delta - charge.amount
                counter.carried = max(0, counter.carried + max(0, later) - max(0, former))
            counter.before = max(0, counter.before + delta)

    def _remember(self, key: tuple[str, str], record: _Record) -> None:
        self._records[key] = record
        heapq.heappush(self._forgetting, (record.forgotten, key))

    def _keep(self, key: str, until: int) -> None:
        """Keep a subject's counters until this moment at least, as Redis does by their time to live."""
        if key not in self._kept:
            heapq.heappush(self._ageing, (until, key))
        self._kept[key] = max(until, self._kept.get(key, 0))

    def _forget(self, present: int) -> None:
        while self._ageing and self._ageing[0][0] <= present:
            _, subject = heapq.heappop(self._ageing)
            if self._kept[subject] > present:
                heapq.heappush(self._ageing, (self._kept[subject], subject))
            else:
                del self._kept[subject], self._subjects[subject]
        while self._forgetting and self._forgetting[0][0] <= present:
            moment, key = heapq.heappop(self._forgetting)
            record = self._records.get(key)
            if record is not None and record.forgotten == moment:
                del self._records[key]
                self._leases.pop(key, None)


def _carries(demand: Demand) -> bool:
    """Whether the next window pays for an overrun. Minutes slide: the one before counts as it is."""
    return (demand.expected or demand.carries) and demand.window is not Window.MINUTE


def _granted(ask: Ask, used: list[int]) -> tuple[int, list[bool]]:
    """The output that every budget allows, and the demands that allow too little of it."""
    granted, wanted = ask.output, min(ask.floor, ask.output)
    refused = [False] * len(ask.demands)
    if ask.force:
        # What has happened cannot be made less.
        return granted, refused
    for index, demand in enumerate(ask.demands):
        if not demand.clamps or demand.expected or demand.shadow or demand.per_output <= 0:
            continue
        room = demand.amount - used[index] - demand.fixed
        if ask.output * demand.per_output > room * PICO:
            most = room * PICO // demand.per_output if room > 0 else 0
            refused[index] = room < 0 or most < wanted
            granted = min(granted, most)
    return granted, refused
