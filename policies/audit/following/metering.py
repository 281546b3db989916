"""How far sinks are behind and what they refused, for Prometheus; and what the last reconciliation found.

Followers run in a process of their own, which nobody may ask and which may not be there. What is told comes from their
files: `status.json` as long as it is written, else checkpoints and dead letters as they stand. So a sink falls behind
here also while nobody follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from extproc.metrics import Labels, Metrics
from extproc.tasks import aside, spawn
from policies.audit.following.checkpoint import Checkpoint, CheckpointError
from policies.audit.following.dead_letters import DeadLetters
from policies.audit.following.lag import LagMeter
from policies.audit.following.settings import SinkSettings
from policies.audit.following.status import read_status
from policies.audit.journal.reader import Position
from policies.audit.reconciling.result import read_result

_log = logging.getLogger(__name__)
_ROUND: Final = 2.0
"""Seconds between looks."""
_HOLDS: Final = 30.0
"""Seconds for which a look is told. A disk that hangs keeps the next one from being made."""
_MILLI: Final = 1_000
Told = Mapping[Labels, int]


class Look(NamedTuple):
    """What there was at a moment, by the names of metrics. `at`: seconds since the epoch."""

    at: float
    told: Mapping[str, Told]


class Meter:
    """Looks at the files. Blocking: for a thread."""

    def __init__(self, folder: Path, sinks: Sequence[SinkSettings]) -> None:
        self._folder = folder
        self._sinks = [(one.name, LagMeter(folder), DeadLetters(folder, one.name, one.dead_letters)) for one in sinks]

    def look(self, now: float) -> Look:
        """What there is now. `now`: seconds since the epoch."""
        status = read_status(self._folder)
        followed = status.sinks if status is not None and status.is_fresh(now) else {}
        behind: dict[Labels, int] = {}
        refused: dict[Labels, int] = {}
        for name, lag, letters in self._sinks:
            known = followed.get(name)
            if known is not None:
                seconds, count = known.behind_seconds, known.dead_letters
            else:
                seconds, count = lag.measure(self._positions(name), None, now).seconds, letters.count()
            behind[name,] = round(seconds * _MILLI)
            refused[name,] = count
        told: dict[str, Told] = {BEHIND: behind, DEAD_LETTERS: refused}
        if (result := read_result(self._folder)) is not None:
            told[DIFFERENCES] = {(): result.differences + result.broken}
            told[RECONCILED] = {(): int(result.time)}
        return Look(now, told)

    def _positions(self, sink: str) -> Mapping[str, Position]:
        checkpoint = Checkpoint(self._folder, sink)
        try:
            checkpoint.load()
        except CheckpointError:
            # Its follower stops at that, and so nothing more arrives.
            return {}
        return checkpoint.all()


BEHIND: Final = "sluicegate_audit_sink_behind_seconds"
DEAD_LETTERS: Final = "sluicegate_audit_sink_dead_letters"
DIFFERENCES: Final = "sluicegate_ledger_differences"
RECONCILED: Final = "sluicegate_ledger_reconciled_seconds"
_GAUGES: Final = (
    (BEHIND, "How old the oldest record is that a sink has not got.", ("sink",), _MILLI),
    (DEAD_LETTERS, "Records that a sink refused for good, and that nobody has taken away yet.", ("sink",), 1),
    (DIFFERENCES, "What `ledger reconcile --tell` found last that nothing explains.", (), 1),
    (RECONCILED, "When `ledger reconcile --tell` was run last, in seconds since the epoch.", (), 1),
)


class Metering:
    """Looks every few seconds beside the event loop, and tells. `start`, then `stop`. Every process says the same."""

    def __init__(self, meter: Meter, metrics: Metrics, clock: Callable[[], float], queued: Callable[[], int]) -> None:
        """`clock`: seconds since the epoch. `queued`: bytes that wait to be written to this process's journal."""
        self._meter = meter
        self._clock = clock
        self._last = Look(0.0, {})
        self._task: asyncio.Task[None] | None = None
        for name, text, labels, per in _GAUGES:
            metrics.gauge(name, text, labels, per, merge="max", read=partial(self._read, name))
        metrics.gauge(
            "sluicegate_audit_queued_bytes",
            "Records that wait to be written to the journals of all processes.",
            read=lambda: {(): queued()},
        )

    def start(self) -> None:
        self._task = spawn(self._work(), name="audit: metering")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _read(self, name: str) -> Told:
        return self._last.told.get(name, {}) if self._clock() - self._last.at < _HOLDS else {}

    async def _work(self) -> None:
        well = True
        while True:
            try:
                self._last = await aside(lambda: self._meter.look(self._clock()), name="audit: metering")
                well = True
            except Exception as error:
                if well:
                    _log.warning("the sinks cannot be looked at: %s", type(error).__name__)
                well = False
            await asyncio.sleep(_ROUND)
