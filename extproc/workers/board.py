"""What every process says of itself, kept by seat and summed for the reader. No I/O; may be read from any thread.

A counter never goes back: what a process had counted stays in the sum of its seat when it ends.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.placement import Role, Seat
from extproc.workers.merged import Exposed, Merged
from extproc.workers.status import Dependency, Status, is_gauge

SILENCE: Final = 5.0
"""Seconds without a word after which a worker is not counted as ready: it says one each second."""


@dataclass(frozen=True, slots=True)
class View:
    """One seat, as it is now.

    Attributes:
        pid: of the process that sits there; None while there is none.
        missing: what it lacks to decide; empty when `ready`.
        starts: processes that have been started for this seat.
        counters: of all processes that ever sat there.
        memory: bytes, of those that live.
        begun: whether a process has ever taken requests here.
        dependencies: of the process that sits there.
    """

    seat: Seat
    pid: int | None
    ready: bool
    missing: tuple[str, ...]
    starts: int
    counters: Mapping[str, int]
    memory: int
    begun: bool = False
    dependencies: tuple[Dependency, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "worker": self.seat.index,
            "role": self.seat.role.value,
            "address": self.seat.address,
            "pid": self.pid,
            "ready": self.ready,
            "missing": list(self.missing),
            "starts": self.starts,
            "memory_bytes": self.memory,
            "counters": dict(self.counters),
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """All seats."""

    views: tuple[View, ...]

    @property
    def begun(self) -> bool:
        """Whether a process has taken requests in every seat: the start is over."""
        return all(view.begun for view in self.views)

    @property
    def ready(self) -> bool:
        """Whether anybody is ready to decide."""
        return any(view.ready for view in self.views if view.seat.role is not Role.SETTLE)

    @property
    def alive(self) -> bool:
        """Whether any process lives."""
        return any(view.pid is not None for view in self.views)

    @property
    def totals(self) -> dict[str, int]:
        """The sum of every counter."""
        return _sum(view.counters for view in self.views)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "ready": self.ready,
            "workers": [view.document() for view in self.views],
            "memory_bytes": sum(view.memory for view in self.views),
            "counters": self.totals,
        }


@dataclass(frozen=True, slots=True)
class Told:
    """The metrics of all processes, and what became of those that they told: see `Merged`."""

    metrics: tuple[Exposed, ...] = ()
    refused: int = 0
    moved: int = 0


@dataclass(slots=True)
class _Place:
    seat: Seat
    pid: int | None = None
    starts: int = 0
    living: dict[int, Status | None] = field(default_factory=dict)
    heard: dict[int, float] = field(default_factory=dict)
    past: Counter[str] = field(default_factory=Counter)
    begun: bool = False

    def view(self, now: float) -> View:
        status = self.living.get(self.pid) if self.pid is not None else None
        if self.pid is None:
            missing: tuple[str, ...] = ("no process",)
        elif status is None:
            missing = ("starting",)
        elif not status.serving:
            missing = ("starting", *status.missing)
        elif now - self.heard[self.pid] > SILENCE:
            missing = ("silent", *status.missing)
        else:
            missing = status.missing
        spoken = [one for one in self.living.values() if one is not None]
        return View(
            seat=self.seat,
            pid=self.pid,
            ready=not missing,
            missing=missing,
            starts=self.starts,
            counters=_sum([self.past, *(one.counters for one in spoken)]),
            memory=sum(one.memory for one in spoken),
            begun=self.begun,
            dependencies=status.dependencies if status is not None else (),
        )


class Board:
    """The places of all seats. Processes are known by their seat and pid: two may sit on a seat while one replaces the
    other."""

    def __init__(self, seats: Iterable[Seat]) -> None:
        self._places = {seat.index: _Place(seat) for seat in seats}
        self._merged = Merged()
        self._lock = threading.Lock()

    def started(self, seat: Seat, pid: int) -> None:
        """A process was started. It answers for the seat if nobody else does."""
        with self._lock:
            place = self._places[seat.index]
            place.starts += 1
            place.living[pid] = None
            place.pid = pid if place.pid is None else place.pid

    def heard(self, seat: Seat, pid: int, status: Status, now: float) -> None:
        """A process has spoken, at `now` (seconds, monotonic)."""
        with self._lock:
            place = self._places[seat.index]
            if pid in place.living:
                place.living[pid] = status
                place.heard[pid] = now
                place.begun = place.begun or status.serving

    def measured(self, seat: Seat, pid: int, snapshot: bytes) -> None:
        """A process has told what it has counted since it did last."""
        with self._lock:
            if pid in self._places[seat.index].living:
                self._merged.add(pid, snapshot)

    def promoted(self, seat: Seat, pid: int) -> None:
        """This process answers for the seat from now on."""
        with self._lock:
            place = self._places[seat.index]
            if pid in place.living:
                place.pid = pid

    def ended(self, seat: Seat, pid: int) -> None:
        """A process has ended. What it had counted stays."""
        with self._lock:
            place = self._places[seat.index]
            status = place.living.pop(pid, None)
            place.heard.pop(pid, None)
            self._merged.gone(pid)
            if status is not None:
                place.past.update({name: count for name, count in status.counters.items() if not is_gauge(name)})
            if place.pid == pid:
                place.pid = next(iter(place.living), None)

    def read(self, now: float) -> Overview:
        """Everything, as it is at `now` (seconds, monotonic)."""
        with self._lock:
            return Overview(tuple(place.view(now) for place in self._places.values()))

    def metrics(self) -> Told:
        """What all processes together have counted and measured."""
        with self._lock:
            return Told(self._merged.read(), self._merged.refused, self._merged.moved)


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))
