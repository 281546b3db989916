"""What a process counts and measures, for Prometheus: whole numbers by name and labels.

A process keeps only what has happened since it told of it last: `take` gives that away, each second, and whoever has
taken it adds it up (`extproc.workers.merged`). So a counter has one place where it grows, and does not go back when its
process ends. Names, labels and their number are bounded: there is no series for each of what a client can choose.

For the event loop's thread: a count from another may be lost.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from extproc.snapshots import (
    LONGEST,
    MOST,
    NONE,
    OTHER,
    Definition,
    Exemplar,
    Labels,
    Merge,
    Ranked,
    Series,
    Snapshot,
    fault,
    written,
)

# With what a policy says of its metrics.
__all__ = ("LONGEST", "MOST", "NONE", "OTHER", "Counter", "Gauge", "Histogram", "Labels", "Metrics", "Reading", "Top")
_log = logging.getLogger(__name__)
_AT_ONCE: Final = 20_000
"""Series of one metric between two tellings. What is beyond is `other`."""
_PIECE: Final = 500
_BYTES: Final = 45_000
"""Series in a piece, and its bytes: as base64 it is a line of less than 64 KiB."""

Reading: TypeAlias = Callable[[], Mapping[Labels, int]]
T = TypeVar("T")


class Counter:
    """Grows. `Metrics.counter` makes one."""

    __slots__ = ("_values", "definition")

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._values: dict[Labels, int] = {}

    def add(self, labels: Labels = (), amount: int = 1) -> None:
        """Add to a series. `amount`: whole, in the unit inside.

        Raises:
            ValueError: the amount is negative, or the labels are not as many as the metric has.
        """
        if amount < 0:
            raise ValueError("a counter does not go back")
        try:
            self._values[labels] += amount
        except KeyError:
            labels = _kept(self._values, labels, self.definition)
            self._values[labels] = self._values.get(labels, 0) + amount

    def take(self) -> Iterator[Series]:
        values, self._values = self._values, {}
        for piece in _pieces(values.items()):
            yield Series(self.definition, [(labels, min(value, MOST)) for labels, value in piece])


class Gauge:
    """Says what there is now, in this process. `Metrics.gauge` makes one."""

    __slots__ = ("_read", "_told", "_values", "definition")

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._values: dict[Labels, int] = {}
        self._told: dict[Labels, int] = {}
        self._read: Reading | None = None

    def set(self, value: int, labels: Labels = ()) -> None:
        """What there is. Where there is no room for another series it is left out.

        Raises:
            ValueError: the labels are not as many as the metric has.
        """
        kept = _kept(self._values, labels, self.definition, self.definition.room)
        if kept == labels:
            self._values[labels] = max(-MOST, min(value, MOST))

    def reads(self, read: Reading) -> None:
        """Ask for all of it, each time it is told. `read` must return at once; where it fails there is nothing."""
        self._read = read

    def take(self) -> Iterator[Series]:
        """What has changed since the last time. What there is no more comes first: it makes room."""
        if self._read is not None:
            self._values = {}
            self._fill(self._read)
        values, told = self._values, self._told
        gone = [labels for labels in told if labels not in values]
        changed = [(labels, value) for labels, value in values.items() if told.get(labels) != value]
        if gone or changed:
            self._told = dict(values)
        for left in _pieces(gone):
            yield Series(self.definition, [(labels, []) for labels in left])
        for piece in _pieces(changed):
            yield Series(self.definition, list(piece))

    def _fill(self, read: Reading) -> None:
        try:
            for labels, value in read().items():
                self.set(value, labels)
        except Exception as error:
            # Of a policy: the others are told all the same.
            _log.warning("%s cannot be read: %s", self.definition.name, type(error).__name__)


class Histogram:
    """Counts observations by how large they were. `Metrics.histogram` makes one."""

    __slots__ = ("_bounds", "_exemplars", "_rows", "definition")

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._bounds = definition.bounds
        self._rows: dict[Labels, list[int]] = {}
        self._exemplars: dict[Labels, Exemplar] = {}

    def observe(self, labels: Labels, value: int) -> None:
        """Count one. `value`: whole, in the unit inside; a negative one (a clock that was set) counts as nothing.

        Raises:
            ValueError: the labels are not as many as the metric has.
        """
        # max() takes as long as all the rest.
        if value < 0:  # noqa: PLR1730
            value = 0
        try:
            row = self._rows[labels]
        except KeyError:
            row = self._row(labels)
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def shows(self, labels: Labels) -> bool:
        """Whether the series has an exemplar since `take`: another would not be kept."""
        return labels in self._exemplars

    def exemplify(self, labels: Labels, value: int, trace: str, at: float) -> None:
        """Show this observation, which has been counted, where the format allows. The first since `take` is kept."""
        if labels in self._rows and labels not in self._exemplars:
            self._exemplars[labels] = Exemplar(max(0, min(value, MOST)), trace, at)

    def _row(self, labels: Labels) -> list[int]:
        return self._rows.setdefault(_kept(self._rows, labels, self.definition), [0] * (len(self._bounds) + 2))

    def take(self) -> Iterator[Series]:
        rows, self._rows = self._rows, {}
        exemplars, self._exemplars = self._exemplars, {}
        for piece in _pieces(rows.items()):
            found = [(labels, exemplars[labels]) for labels, _ in piece if labels in exemplars]
            yield Series(self.definition, [(labels, _bounded(row)) for labels, row in piece], found)


class Top:
    """The values of a label that have series of their own: the heaviest, and those that are pinned.

    Which these are is decided where all processes are added up. A metric takes part by `top=`.
    """

    __slots__ = ("_pinned", "_weights", "label", "most")

    def __init__(self, label: str, most: int, pinned: Iterable[str] = ()) -> None:
        self.label = label
        self.most = most
        self._pinned = dict.fromkeys(pinned)
        self._weights: dict[str, int] = {}

    def weigh(self, value: str, weight: int) -> None:
        """Something has come to this value. Before what it weighs is counted in other metrics, or at once with it."""
        try:
            self._weights[value] += weight
        except KeyError:
            if len(self._weights) < _AT_ONCE and _is_value(value):
                self._weights[value] = weight

    def pin(self, value: str) -> None:
        """This value has series of its own, whatever it weighs."""
        if value not in self._pinned and _is_value(value):
            self._pinned[value] = None

    def take(self) -> Iterator[Ranked]:
        weights, self._weights = self._weights, {}
        if not weights:
            return
        for pinned in _pieces(self._pinned):
            yield Ranked(self.label, self.most, tuple(pinned))
        for piece in _pieces(weights.items()):
            yield Ranked(self.label, self.most, (), [(value, max(0, min(weight, MOST))) for value, weight in piece])


Metric: TypeAlias = Counter | Gauge | Histogram
M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """Every metric of a process. Who asks twice for the same one gets the same one."""

    __slots__ = ("_metrics", "_tops")

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self._tops: dict[str, Top] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._metrics

    def counter(
        self, name: str, help: str, labels: Sequence[str] = (), per: int = 1, *, room: int = 1_000, top: Top | None = None
    ) -> Counter:
        """A counter. Its name ends in `_total`.

        Raises:
            ValueError: it cannot be called so, or there is another metric of this name.
        """
        if not name.endswith("_total"):
            raise ValueError(f"the name of a counter ends in _total: {name!r}")
        return self._make(Counter, Definition(name, "counter", help, tuple(labels), per, (), room, _label(top)))

    def gauge(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        per: int = 1,
        *,
        room: int = 1_000,
        merge: Merge = "sum",
        read: Reading | None = None,
    ) -> Gauge:
        """A gauge. Of all processes that live: their `merge`; where there are more series than `room` all together, those
        that are largest, or smallest with `min`. `read`: see `Gauge.reads`.

        Raises:
            ValueError: it cannot be called so, or there is another metric of this name.
        """
        made = self._make(Gauge, Definition(name, "gauge", help, tuple(labels), per, (), room, "", merge))
        if read is not None:
            made.reads(read)
        return made

    def histogram(
        self,
        name: str,
        help: str,
        buckets: Sequence[int],
        labels: Sequence[str] = (),
        per: int = 1,
        *,
        room: int = 1_000,
        top: Top | None = None,
    ) -> Histogram:
        """A histogram. `buckets`: upper ends, whole, in the unit inside, each larger than the one before.

        Raises:
            ValueError: it cannot be called so, or there is another metric of this name; or these are no buckets.
        """
        return self._make(
            Histogram, Definition(name, "histogram", help, tuple(labels), per, tuple(buckets), room, _label(top))
        )

    def top(self, label: str, most: int, pinned: Iterable[str] = ()) -> Top:
        """The ranking of a label's values: one for each label.

        Raises:
            ValueError: there is one already.
        """
        if label in self._tops:
            raise ValueError(f"the values of {label!r} are ranked already")
        self._tops[label] = found = Top(label, most, pinned)
        return found

    def take(self) -> list[bytes]:
        """What has happened since the last time, in pieces, and gauges that have changed. Each can be added up by itself,
        in this order."""
        found: list[bytes] = []
        for top in self._tops.values():
            for ranked in top.take():
                found += _encoded(ranked)
        for metric in self._metrics.values():
            for series in metric.take():
                found += _encoded(series)
        return found

    def _make(self, kind: type[M], definition: Definition) -> M:
        if why := fault(definition):
            raise ValueError(f"{definition.name[:100]!r}: {why}")
        known = self._metrics.setdefault(definition.name, kind(definition))
        if not isinstance(known, kind) or known.definition != definition:
            raise ValueError(f"there is another metric called {definition.name!r}")
        return known


def _label(top: Top | None) -> str:
    return top.label if top is not None else ""


def _kept(known: dict[Labels, Any], labels: Labels, definition: Definition, room: int = _AT_ONCE) -> Labels:
    """Under which labels a series is kept that has these."""
    if len(labels) != len(definition.labels):
        raise ValueError(f"{definition.name} has the labels {definition.labels}")
    kept = tuple(value if _is_value(value) else OTHER for value in labels)
    return kept if kept in known or len(known) < room else (OTHER,) * len(labels)


def _is_value(value: str) -> bool:
    """Whether it can stand in a label: it is short enough, and can be written down."""
    return len(value) <= LONGEST and (value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value))


def _bounded(row: list[int]) -> list[int]:
    return row if row[-1] <= MOST else [min(value, MOST) for value in row]


def _pieces(whole: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(whole)
    while piece := list(islice(rest, _PIECE)):
        yield piece


def _encoded(told: Ranked | Series) -> list[bytes]:
    """In pieces that fit a line: in one, nearly always."""
    data = written(Snapshot([told], []) if isinstance(told, Ranked) else Snapshot([], [told]))
    if len(data) <= _BYTES:
        return [data]
    found: list[bytes] = []
    for half in _halves(told):
        found += _encoded(half)
    return found


def _halves(told: Ranked | Series) -> Iterator[Ranked | Series]:
    if isinstance(told, Ranked):
        middle, pins = len(told.weights) // 2, len(told.pinned) // 2
        yield Ranked(told.label, told.most, told.pinned[:pins], told.weights[:middle])
        yield Ranked(told.label, told.most, told.pinned[pins:], told.weights[middle:])
        return
    middle = len(told.values) // 2
    for values in (told.values[:middle], told.values[middle:]):
        here = {labels for labels, _ in values}
        yield Series(told.definition, values, [one for one in told.exemplars if one[0] in here])
