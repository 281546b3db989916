"""Reads all journals, and writes what is missing into one of its own.

What it remembers stands in `finisher.json`: how far it has read each journal, the halves that wait, the sessions that
go on. It is written a few times a minute, and after a kill the journals are read again from there, its own among them:
what it had written already is found, and is not written twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from extproc.tasks import aside
from policies.audit.atomic import replace
from policies.audit.finishing.halves import Halves, State
from policies.audit.finishing.sessions import Session, Sessions
from policies.audit.finishing.witnessing import Witnessing
from policies.audit.journal import (
    BrokenJournalError,
    JournalError,
    JournalReader,
    JournalWriter,
    Position,
    journals,
    own_events,
)
from policies.audit.journal.reader import OtherChainError
from policies.audit.journal.synced import Synced
from policies.audit.moments import moment
from policies.audit.record import Closed, Record
from policies.audit.version import VERSION

_log = logging.getLogger(__name__)
FILE: Final = "finisher.json"
_BATCH: Final = 2_000
_LOOK: Final = 1.0
"""Seconds between looks at the journals."""
_SAVE: Final = 10.0
"""Seconds between saves."""


class Saved(msgspec.Struct, frozen=True):
    """What stands in the file."""

    positions: dict[str, Position]
    halves: State
    sessions: tuple[Session, ...]


class FinisherError(Exception):
    """What it remembers cannot be read. The message says what to do."""


class Finisher:
    """`start`, `look` again and again, then `stop`."""

    def __init__(
        self,
        folder: Path,
        writer: JournalWriter,
        *,
        longest: float,
        grace: float,
        idle: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            writer: of a journal of its own, in the same folder; started and stopped with this.
            longest, grace: see `Halves`.
            idle: see `Sessions`.
        """
        self._folder = folder
        self._writer = writer
        self._times = longest, grace, idle
        self._clock = clock
        self._monotonic = monotonic
        self._positions: dict[str, Position] = {}
        self._readers: dict[str, JournalReader] = {}
        self._halves = Halves(longest, grace)
        self._sessions = Sessions(idle)
        self._saved = 0.0
        # A save that is cancelled goes on in its thread: the next one waits for it there.
        self._saving = threading.Lock()
        self._broken: set[str] = set()
        self._opened = 0
        self._missing: deque[dict[str, Any]] = deque()
        self._witnessing = Witnessing(folder, monotonic())
        self.completed = 0
        """How many records were missing, and have been written."""

    @property
    def waiting(self) -> int:
        """Halves that wait for the other."""
        return self._halves.count

    async def start(self) -> None:
        """Raises FinisherError, JournalError."""
        saved = await aside(self._load, name="finisher")
        now = self._monotonic()
        longest, grace, idle = self._times
        if saved is not None:
            self._positions = dict(saved.positions)
            self._halves = Halves(longest, grace, saved.halves, now)
            self._sessions = Sessions(idle, saved.sessions, now)
        await self._writer.start()
        self._opened = self._writer.counters()["appended"]

    async def run(self) -> None:
        """Look at the journals until it is cancelled."""
        while True:
            try:
                await self.look()
            except (JournalError, OSError) as error:
                _log.error("the journal cannot be completed now: %s", error)
            await asyncio.sleep(_LOOK)

    async def look(self) -> None:
        """Read what is new. Only what is missing after all has been read is missing."""
        while True:
            positions = dict(self._positions)
            found, whole = await aside(partial(self._read, positions), name="finisher")
            now = self._monotonic()
            # Together, and not by the thread: who is stopped while it reads has not read it.
            self._positions = positions
            for closed in found:
                if not self._is_own(closed.record):
                    self._halves.saw(closed, now)
                    self._sessions.saw(closed, now)
            if whole:
                break
        self._missing += [*self._halves.due(now), *self._sessions.due(now)]
        await self._write()
        if self._witnessing.is_due(now):
            await self._witness(now)
        if now - self._saved >= _SAVE:
            # What it does not wait for any more is on the disk before that is remembered.
            await self._writer.durable()
            await self._save()
            self._saved = now

    async def stop(self, grace: float) -> None:
        """Say how far all journals are, and remember how far it came."""
        try:
            await self._witness(self._monotonic())
            if not self._missing and not self._sessions.has_begun:
                await self._writer.durable()
                await self._save()
        except (JournalError, OSError) as error:
            _log.error("how far the journals were completed is not remembered: %s", error)
        await self._writer.stop(grace)

    async def _write(self) -> None:
        while self._missing:
            try:
                self._append(self._missing[0])
            except JournalError:
                if self._writer.accepts:
                    raise
                # After a long outage more is missing than may wait at once.
                await self._writer.written()
                continue
            self._missing.popleft()
            self.completed += 1

    async def _witness(self, now: float) -> None:
        """Its opening has named all journals; this names those that went on since."""
        found = await aside(lambda: self._witnessing.look(self._writer.journal), name="finisher")
        if found:
            self._append(own_events.witnessing(self._clock(), found))
        self._witnessing.said(found, now)

    def _is_own(self, record: Record) -> bool:
        """Whether this very finisher has written it, and so knows of it. It may come to read it late."""
        return record.sequence > self._opened and record.journal == self._writer.journal

    def _append(self, fields: dict[str, Any]) -> None:
        self._writer.append({**fields, "timestamp": moment(self._clock()), "service.version": VERSION})

    def _read(self, positions: dict[str, Position]) -> tuple[list[Closed], bool]:
        """Some new records of each journal, and whether these are all that there are now. Moves the positions on."""
        found: list[Closed] = []
        whole = True
        for path in journals(self._folder):
            reader = self._readers.get(path.name) or self._readers.setdefault(
                path.name, JournalReader(path, synced=Synced(path, self._monotonic))
            )
            try:
                read, after = reader.read(positions.get(path.name, Position()), _BATCH)
            except (BrokenJournalError, OSError) as error:
                del self._readers[path.name]
                if path.name not in self._broken:
                    self._broken.add(path.name)
                    # Of what is read again here, the other half may stand in a journal that is not.
                    again = f": with {FILE} removed all are read again" if isinstance(error, OtherChainError) else ""
                    _log.error("the journal %s cannot be read on: %s%s", path.name, error, again)
                continue
            self._broken.discard(path.name)
            positions[path.name] = after
            found += read
            whole = whole and len(read) < _BATCH
        return found, whole

    def _load(self) -> Saved | None:
        path = self._folder / FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Saved)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, OSError) as error:
            raise FinisherError(
                f"{path} cannot be read ({type(error).__name__}): restore it, or remove it to read all journals again"
            ) from error

    async def _save(self) -> None:
        content = msgspec.json.encode(Saved(dict(self._positions), self._halves.state(), self._sessions.state()))

        def save() -> None:
            with self._saving:
                replace(self._folder / FILE, content, sync=True)

        await aside(save, name="finisher")
