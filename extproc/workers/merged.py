"""What all processes have counted and measured, added up. No I/O.

A snapshot holds what has happened since the last one: it is added, once, and stays when its process ends. Gauges go with
their process. A snapshot is as much to be believed as whoever sent it: what is no metric, does not fit the metric of that
name, or would be more than there is room for, is left out and counted, or counted as `other`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from operator import add
from typing import Final

from extproc.snapshots import LONGEST, MOST, NONE, OTHER, Definition, Exemplar, Labels, Merge, Ranked, Series, fault, read
from extproc.workers.ranking import Ranking

_METRICS: Final = 256
_LABELS_RANKED: Final = 8
_ROOM: Final = 50_000
"""Series of one metric, and of all together four times as many, whatever is asked for."""

_TRACE: Final = re.compile(r"[0-9a-z-]{1,64}")
"""OpenMetrics allows 128 characters for the names and values of an exemplar's labels."""

Row = tuple[int, ...]
_TOGETHER: Final[Mapping[Merge, Callable[[Iterable[int]], int]]] = {"sum": sum, "max": max, "min": min}


@dataclass(frozen=True, slots=True)
class Exposed:
    """A metric as it is now. `rows` by labels: its amount; of a histogram what `Series` says."""

    definition: Definition
    rows: dict[Labels, Row]
    exemplars: dict[Labels, Exemplar]


@dataclass(slots=True)
class _Family:
    definition: Definition
    rows: dict[Labels, Row] = field(default_factory=dict)
    exemplars: dict[Labels, Exemplar] = field(default_factory=dict)

    def add(self, labels: Labels, row: Row) -> None:
        before = self.rows.get(labels)
        self.rows[labels] = row if before is None else tuple(map(add, before, row))


@dataclass(slots=True)
class Merged:
    """The metrics of a policy server. `add` what a process has taken from its `Metrics`; `gone` when it has ended.

    Attributes:
        refused: metrics in snapshots, and snapshots, that were left out.
        moved: values of ranked labels that have given their place to a heavier one.
    """

    refused: int = 0
    moved: int = 0
    _families: dict[str, _Family] = field(default_factory=dict)
    _gauges: dict[Hashable, dict[str, dict[Labels, int]]] = field(default_factory=dict)
    _rankings: dict[str, Ranking] = field(default_factory=dict)
    _series: int = 0

    def add(self, process: Hashable, data: bytes) -> None:
        """Add a snapshot. Nothing in it raises."""
        snapshot = read(data)
        if snapshot is None:
            self.refused += 1
            return
        for ranked in snapshot.ranked:
            self._rank(ranked)
        for series in snapshot.series:
            family = self._family(series.definition)
            if family is None:
                self.refused += 1
            elif family.definition.kind == "gauge":
                self._measure(process, family, series)
            else:
                self._count(family, series)

    def gone(self, process: Hashable) -> None:
        """A process has ended. What it counted stays, what it measured goes."""
        self._gauges.pop(process, None)

    def read(self) -> tuple[Exposed, ...]:
        """Every metric, by name."""
        found = []
        for _, family in sorted(self._families.items()):
            rows = self._together(family) if family.definition.kind == "gauge" else dict(family.rows)
            found.append(Exposed(family.definition, rows, dict(family.exemplars)))
        return tuple(found)

    def _rank(self, ranked: Ranked) -> None:
        ranking = self._rankings.get(ranked.label)
        if ranking is None:
            if len(self._rankings) >= _LABELS_RANKED:
                self.refused += 1
                return
            ranking = self._rankings[ranked.label] = Ranking()
        pinned = [value for value in ranked.pinned if len(value) <= LONGEST]
        weights = [(value, min(weight, MOST)) for value, weight in ranked.weights if len(value) <= LONGEST]
        lost = ranking.hear(ranked.most, pinned, [(value, max(0, weight)) for value, weight in weights])
        for value in lost:
            self.moved += 1
            self._move(ranked.label, value)

    def _move(self, label: str, value: str) -> None:
        """Put what this value has to the rest: the sum of all series is what it was."""
        for family in self._families.values():
            if family.definition.top != label:
                continue
            at = family.definition.labels.index(label)
            for labels in [labels for labels in family.rows if labels[at] == value]:
                row = family.rows.pop(labels)
                self._series -= 1
                family.exemplars.pop(labels, None)
                family.add(self._placed(family, _replaced(labels, at)), row)

    def _family(self, definition: Definition) -> _Family | None:
        known = self._families.get(definition.name)
        if known is not None and known.definition == definition:
            return known
        if fault(definition) is not None:
            return None
        if known is None:
            if len(self._families) >= _METRICS:
                return None
            known = self._families[definition.name] = _Family(definition)
            return known
        # After a reload a metric may have more room. It has the same series.
        if _shape(known.definition) != _shape(definition):
            return None
        known.definition = definition
        return known

    def _count(self, family: _Family, series: Series) -> None:
        definition = family.definition
        # A bucket for each bound, one beyond, and the sum.
        width = len(definition.bounds) + 2 if definition.bounds else 1
        ranking = self._rankings.get(definition.top) if definition.top else None
        at = definition.labels.index(definition.top) if definition.top else -1
        for labels, value in series.values:
            row = (value,) if isinstance(value, int) else tuple(value)
            if len(row) != width or min(row) < 0 or max(row) > MOST:
                self.refused += 1
            elif labels in family.rows:
                # Nearly always: these have been looked at before, and whoever lost its place lost its series.
                family.add(labels, row)
            elif not _fits(labels, definition):
                self.refused += 1
            elif at >= 0 and labels[at] not in (OTHER, NONE) and (ranking is None or not ranking.owns(labels[at])):
                family.add(self._placed(family, _replaced(labels, at)), row)
            else:
                family.add(self._placed(family, labels), row)
        self._exemplify(family, series.exemplars)

    def _placed(self, family: _Family, labels: Labels) -> Labels:
        """Under which labels a series stands: its own, where there is room."""
        if labels in family.rows:
            return labels
        rest = (OTHER,) * len(labels)
        # The last place is that of the rest.
        taken = len(family.rows) - (rest in family.rows)
        if taken >= min(family.definition.room, _ROOM) - 1 or self._series >= 4 * _ROOM:
            labels = rest
        self._series += labels not in family.rows
        return labels

    @staticmethod
    def _exemplify(family: _Family, exemplars: Iterable[tuple[Labels, Exemplar]]) -> None:
        for labels, exemplar in exemplars:
            sound = 0 <= exemplar.value <= MOST and math.isfinite(exemplar.at) and _TRACE.fullmatch(exemplar.trace)
            if labels in family.rows and sound:
                family.exemplars[labels] = exemplar

    def _measure(self, process: Hashable, family: _Family, series: Series) -> None:
        told = self._gauges.setdefault(process, {}).setdefault(family.definition.name, {})
        for labels, value in series.values:
            full = labels not in told and len(told) >= min(family.definition.room, _ROOM)
            if value == []:
                told.pop(labels, None)
            elif full or not isinstance(value, int) or not _fits(labels, family.definition):
                self.refused += 1
            else:
                told[labels] = value

    def _together(self, family: _Family) -> dict[Labels, Row]:
        """A gauge of all processes that live."""
        definition = family.definition
        found: dict[Labels, list[int]] = {}
        for told in self._gauges.values():
            for labels, value in told.get(definition.name, {}).items():
                found.setdefault(labels, []).append(value)
        together = _TOGETHER[definition.merge]
        rows = [(labels, together(values)) for labels, values in found.items()]
        room = min(definition.room, _ROOM)
        if len(rows) > room:
            rows = (nsmallest if definition.merge == "min" else nlargest)(room, rows, key=_amount)
        return {labels: (value,) for labels, value in rows}


def _shape(definition: Definition) -> tuple[object, ...]:
    return (*(definition.kind, definition.labels, definition.per, definition.bounds), definition.top, definition.merge)


def _amount(one: tuple[Labels, int]) -> int:
    return one[1]


def _fits(labels: Labels, definition: Definition) -> bool:
    return len(labels) == len(definition.labels) and (not labels or max(map(len, labels)) <= LONGEST)


def _replaced(labels: Labels, at: int) -> Labels:
    return (*labels[:at], OTHER, *labels[at + 1 :])
