"""Histograms that grow: the sums of all model calls that were brought, each counted once, in series whose number has an
end. Pure.

A batch may come again, whole or cut otherwise. Records of a journal come in the order of their numbers, so the last
number that was counted says of each whether it was: a repeat changes nothing.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from policies.audit.record import Closed, Record
from policies.audit.sinks.model_calls import INSTRUMENTS, Instrument, attributes_of, is_model_call, measured

Attributes: TypeAlias = tuple[tuple[str, str | bool], ...]
OTHER: Final = "_OTHER"
"""In the place of a name for which there is no room."""
OVERFLOW: Final[Attributes] = (("otel.metric.overflow", True),)
"""The series of what has no room, as OpenTelemetry's SDKs name it."""
_LONGEST: Final = 256
"""Characters of a name."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series as it is at a moment.

    Attributes:
        buckets: how many values are in each bucket: one more than the instrument has bounds.
        total: the sum of all values, in parts of the instrument's unit.
    """

    instrument: Instrument
    attributes: Attributes
    buckets: tuple[int, ...]
    total: int

    @property
    def count(self) -> int:
        """How many values it has."""
        return sum(self.buckets)


class Histograms:
    """May be called from any thread."""

    def __init__(self, *, models: int, tenants: int, series: int) -> None:
        """
        Args:
            models: so many names of models are told, of those that are asked for and of those that answer each.
            tenants: so many ids are told; with 0 there is no such attribute.
            series: of each instrument, beside that of the overflow.
        """
        self._lock = threading.Lock()
        self._asked = _Names(models)
        self._answering = _Names(models)
        self._tenants = _Names(tenants) if tenants else None
        self._most = series
        self._held: dict[Instrument, dict[Attributes, _Growing]] = {one: {} for one in INSTRUMENTS}
        self._last: dict[str, int] = {}

    def count(self, batch: Iterable[Closed]) -> None:
        """Count what was not counted yet."""
        with self._lock:
            for closed in batch:
                record = closed.record
                if record.sequence <= self._last.get(record.journal, 0):
                    continue
                self._last[record.journal] = record.sequence
                if is_model_call(record):
                    self._add(record)

    def series(self, *, everything: bool = False) -> list[Series]:
        """Those of which `told` has not heard as they are; or all."""
        with self._lock:
            return [
                Series(instrument, attributes, tuple(one.buckets), one.total)
                for instrument, held in self._held.items()
                for attributes, one in held.items()
                if everything or one.told < one.count
            ]

    def told(self, arrived: Sequence[Series]) -> None:
        """These have arrived, as they were then."""
        with self._lock:
            for one in arrived:
                held = self._held[one.instrument][one.attributes]
                held.told = max(held.told, one.count)

    def _add(self, record: Record) -> None:
        shared = (*attributes_of(record), *self._named(record))
        for one in measured(record):
            held = self._held[one.instrument]
            attributes: Attributes = (*shared, *one.attributes)
            if attributes not in held and len(held) >= self._most:
                attributes = OVERFLOW
            if attributes not in held:
                held[attributes] = _Growing([0] * (len(one.instrument.bounds) + 1))
            held[attributes].add(one.instrument, one.value)

    def _named(self, record: Record) -> Iterable[tuple[str, str]]:
        # A client makes up as many models as it likes: only one that has answered gets a name.
        answered = record.result == "success"
        if record.model:
            yield "gen_ai.request.model", self._asked.of(record.model, new=answered)
        if record.response_model:
            yield "gen_ai.response.model", self._answering.of(record.response_model, new=answered)
        if self._tenants is not None and record.tenant_id:
            yield "sluicegate.tenant.id", self._tenants.of(record.tenant_id, new=True)


@dataclass(slots=True)
class _Growing:
    """`told`: how many values it had when it arrived somewhere."""

    buckets: list[int]
    total: int = 0
    count: int = 0
    told: int = 0

    def add(self, instrument: Instrument, value: int) -> None:
        self.buckets[bisect_left(instrument.bounds, value / instrument.scale)] += 1
        self.total += value
        self.count += 1


class _Names:
    """The first names, as many as there is room for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, name: str, *, new: bool) -> str:
        """The name, or `OTHER`. `new`: it may be one that was not known."""
        name = name[:_LONGEST]
        if name in self._known:
            return name
        if not new or len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name
