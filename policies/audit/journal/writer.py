"""The journal as a process writes it: records are appended on the event loop, and one thread brings them to the disk.

Whoever appends does not wait. Records pile up while the thread works, and go to it together: at most every `flush_ms`,
and at once with `durability: strict`. Whoever must know that a record is safe awaits `written` or `durable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from extproc.secret import SecretError, read_secret
from extproc.tasks import aside
from policies.audit.canonical import FIRST, UNWRITABLE, seal_members
from policies.audit.form import Form, Values
from policies.audit.journal import own_events
from policies.audit.journal.recovery import MOST, unclean
from policies.audit.journal.segment_writer import Batch, SegmentWriter
from policies.audit.journal.settings import JournalError, JournalSettings
from policies.audit.journal.signing import Signer, SigningKeyError
from policies.audit.journal.slots import Slot, take
from policies.audit.journal.waiters import Waiting
from policies.audit.journal.writing import Writing
from policies.audit.record import SCHEMA, Closed

_HEAD_SECONDS: Final = 1.0
_OPENING: Final = 10.0
"""Seconds that the disk has for the first record, at least: nobody waits for a start as one does for an answer."""
_SILENT: Final = "the disk does not answer"


class JournalWriter:
    """Writes one journal. For one event loop.

    Attributes:
        inherited: after `start`, the last records (5,000 at most) of the process that had this journal before and did
            not close it, for whoever must repeat what it may not have finished. Clear it when that is done.
    """

    __slots__ = (
        "_awake",
        "_batch",
        "_clock",
        "_closed",
        "_deadline",
        "_drained",
        "_dropped",
        "_durable",
        "_every",
        "_flush",
        "_full",
        "_given",
        "_journal",
        "_loop",
        "_lost",
        "_most",
        "_next",
        "_previous",
        "_running",
        "_segments",
        "_sequence",
        "_settings",
        "_shut",
        "_stalled",
        "_stopping",
        "_timer",
        "_trouble",
        "_writing",
        "_written",
        "inherited",
    )

    def __init__(self, settings: JournalSettings, clock: Callable[[], float]) -> None:
        """`clock`: seconds since the epoch, for the journal's own records. The order of records is their sequence."""
        self._settings = settings
        self._clock = clock
        strict = settings.durability == "strict"
        self._closed = settings.full == "closed"
        self._flush = 0.0 if strict else settings.flush_ms / 1_000
        self._every = 0.0 if strict else settings.sync_ms / 1_000
        self._most = settings.queue_bytes
        self._journal, self._sequence, self._previous = "", 0, FIRST
        self._batch = Batch([], 1, 0, FIRST, {})
        self._given = 0
        self._running = self._stopping = self._awake = self._stalled = False
        # Set where an append must look closer: the journal does not run, it is full, or records were lost.
        self._shut, self._full = True, False
        self._lost = self._dropped = 0
        self._trouble = ""
        self._next = 0.0
        self._written, self._durable = Waiting(), Waiting()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self.inherited: Sequence[Closed] = ()

    @property
    def journal(self) -> str:
        """The name of the journal, once it is open."""
        return self._journal

    async def start(self) -> None:
        """Open a journal of this instance: the first that is free and intact. It goes on where the last record ends.

        Raises:
            JournalError: it cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        try:
            slot, signer, self.inherited, others = await aside(self._prepare, name="journal-open")
        except OSError as error:
            raise JournalError(f"the journal cannot be opened: {error.strerror or type(error).__name__}") from None
        except (SecretError, SigningKeyError) as error:
            raise JournalError(f"signing_key: {error}") from None
        settings, tail = self._settings, slot.tail
        self._journal, self._sequence, self._previous = slot.journal, tail.sequence, tail.hash
        self._batch = self._fresh()
        self._segments = SegmentWriter(slot.path, tail, settings.segment_bytes, settings.segment_age, signer, self._clock)
        self._writing = Writing(self._segments, slot.lock, self._every, self._tell)
        self._writing.start()
        self._running, self._shut = True, False
        self.append(own_events.opened(self._clock(), others))
        try:
            await self._wait(self._durable, max(_OPENING, settings.strict_timeout))
            # Whoever waits next waits less long.
            self._disarm()
        except BaseException:
            self._running, self._shut = False, True
            await aside(lambda: self._writing.end(1), name="journal-end")
            raise

    def _prepare(self) -> tuple[Slot, Signer | None, list[Closed], Mapping[str, tuple[int, str]]]:
        key, folder = self._settings.signing_key, Path(self._settings.folder)
        signer = None if key is None else Signer.from_pem(read_secret(key))
        slot = take(folder, self._settings.instance)
        return slot, signer, unclean(slot.path, MOST), own_events.witnessed(folder, slot.journal)

    def append(self, fields: dict[str, Any]) -> None:
        """Append a record: `fields` are the members of a `Record` as JSON has them, by the names that they have there.

        `journal`, `sequence`, `previous` and `schema` are added to them.

        With `full: open` a record that cannot be taken is dropped and counted, and `journal.gap` is written later.

        Raises:
            JournalError: it cannot be taken, and nothing was appended.
        """
        if self._shut and self._refuses():
            return
        sequence = self._sequence + 1
        try:
            fields["journal"], fields["previous"] = self._journal, self._previous
            fields["schema"], fields["sequence"] = SCHEMA, sequence
            line, digest = seal_members(fields)
            about = fields["event"], fields.get("tenant", ""), fields.get("tenant_id", "")
            self._take(sequence, line, digest, about, fields["timestamp"])
        except UNWRITABLE as error:
            self._unwritable(error)

    def fill(self, form: Form, at: str, values: Values) -> None:
        """Append a record of this form. `at`: its timestamp; `values`: those of its other blanks, but for the chain's.

        Raises: as `append`.
        """
        if self._shut and self._refuses():
            return
        sequence = self._sequence + 1
        line, digest = form.seal((self._journal, self._previous, str(sequence), at, *values))
        self._take(sequence, line, digest, form.about, at)

    def _take(self, sequence: int, line: bytes, digest: str, about: tuple[str, str, str], at: str) -> None:
        batch = self._batch
        batch.seen[about] = at
        batch.lines.append(line)
        self._sequence, self._previous = sequence, digest
        self._given = given = self._given + len(line) + 1
        if given - self._segments.bytes > self._most:
            self._shut = self._full = True
        if not self._awake:
            self._wake()

    def _unwritable(self, error: Exception) -> None:
        if self._closed:
            raise JournalError(f"the record cannot be written: {type(error).__name__}") from None
        self._drop()

    def _drop(self) -> None:
        self._lost += 1
        self._dropped += 1
        self._shut = True

    def _refuses(self) -> bool:
        """Whether a record is dropped."""
        if not self._running:
            raise JournalError("the journal is not open")
        if not self._reopen():
            if self._closed:
                raise JournalError(f"too much waits to be written: {self._trouble or _SILENT}")
            self._drop()
            return True
        return False

    def _reopen(self) -> bool:
        """Take records again if there is room. What was lost meanwhile is declared first."""
        # Not as soon as one more would fit: each gap costs a record.
        if self._full and self._given - self._segments.bytes > self._most // 2:
            return False
        self._shut = self._full = False
        if self._lost:
            lost, self._lost = self._lost, 0
            self.append(own_events.gap(self._clock(), lost))
        return True

    def _fresh(self) -> Batch:
        return Batch([], self._sequence + 1, 0, FIRST, {})

    def _wake(self) -> None:
        self._awake = True
        delay = self._next - self._loop.time() if self._flush else 0
        if delay <= 0:
            # Not at once: more may be appended before the loop goes on.
            self._loop.call_soon(self._give)
        else:
            self._loop.call_later(delay, self._give)

    def _give(self, sync: bool = False) -> None:
        batch, self._batch = self._batch, self._fresh()
        batch.sequence, batch.hash = self._sequence, self._previous
        self._next = self._loop.time() + self._flush
        self._writing.give(batch, sync=sync)

    def _tell(self, trouble: str, ready: bool) -> None:
        """In the thread. The loop may have gone."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._told, trouble, ready)

    def _told(self, trouble: str, ready: bool) -> None:
        segments = self._segments
        self._trouble, self._stalled = trouble, False
        self._written.reached(segments.sequence)
        self._durable.reached(segments.synced)
        if trouble:
            why = f"the journal cannot be written: {trouble}"
            self._written.fail(why)
            self._durable.fail(why)
        if self._shut and self._running:
            self._reopen()
        if ready:
            self._ready()

    def _ready(self) -> None:
        """The thread waits for more."""
        segments = self._segments
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopping:
            if segments.synced < self._sequence:
                self._give(True)
            elif self._drained is not None and not self._drained.done():
                self._drained.set_result(None)
        elif self._batch.lines:
            self._wake()
        else:
            self._awake = False
            if segments.synced < self._sequence:
                delay = self._every
            elif segments.told < self._sequence:
                delay = _HEAD_SECONDS
            else:
                delay = self._settings.segment_age
            self._timer = self._loop.call_later(delay, self._later)

    def _later(self) -> None:
        self._timer = None
        if not self._awake:
            self._awake = True
            self._give(True)

    async def written(self) -> None:
        """All that was appended so far is in the file: it survives the process.

        Raises:
            JournalError: it is not, and may be written later nevertheless.
        """
        if self._segments.sequence < self._sequence:
            await self._wait(self._written, self._settings.strict_timeout)

    async def durable(self) -> None:
        """All that was appended so far is on the disk: it survives the machine.

        Raises:
            JournalError: as `written`.
        """
        if self._segments.synced < self._sequence:
            await self._wait(self._durable, self._settings.strict_timeout)

    def _wait(self, waiting: Waiting, seconds: float) -> asyncio.Future[None]:
        if self._trouble or self._stalled or not self._running:
            raise JournalError(f"the journal cannot be written: {self._trouble or _SILENT}")
        deadline = self._loop.time() + seconds
        if self._deadline is None:
            self._deadline = self._loop.call_at(deadline, self._overdue)
        return waiting.join(self._sequence, deadline, self._loop)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _overdue(self) -> None:
        self._deadline = None
        self._written.reached(self._segments.sequence)
        self._durable.reached(self._segments.synced)
        now = self._loop.time()
        for waiting in (self._written, self._durable):
            if waiting.late(now, f"the journal cannot be written: {_SILENT}"):
                self._stalled = True
        nexts = [one for one in (self._written.next, self._durable.next) if one is not None]
        if nexts:
            self._deadline = self._loop.call_at(min(nexts), self._overdue)

    @property
    def accepts(self) -> bool:
        """Whether `append` would take a record, or drop it (`full: open`), rather than raise."""
        return self._running and (not self._closed or not self._shut or self._reopen())

    def counters(self) -> Mapping[str, int]:
        """How many records were appended, written and synced, and have been dropped; failures."""
        if not self._journal:
            return {}
        segments = self._segments
        return {
            "appended": self._sequence,
            "written": segments.sequence,
            "synced": segments.synced,
            "dropped": self._dropped,
            "failures": self._writing.failures,
        }

    @property
    def queued(self) -> int:
        """Bytes that wait to be written."""
        return self._given - self._segments.bytes if self._journal else 0

    def readiness(self) -> str | None:
        """Why exchanges should not be sent here; None if nothing speaks against it."""
        if not self._running:
            return "the journal is not open"
        if self._closed and (self._trouble or self._stalled):
            return f"the journal cannot be written: {self._trouble or _SILENT}"
        if not self.accepts:
            return "too much waits to be written to the journal"
        return None

    async def stop(self, grace: float) -> None:
        """Close the journal: what was appended is written and synced, for which there are `grace` seconds."""
        if not self._running:
            return
        ends = self._loop.time() + grace
        self._shut = self._full = False
        if self._lost:
            self._reopen()
        self.append(own_events.closed(self._clock()))
        self._running, self._shut, self._stopping = False, True, True
        self._drained = self._loop.create_future()
        if self._timer is not None:
            self._later()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._drained, grace)
        left = max(0.1, ends - self._loop.time())
        ended = await aside(lambda: self._writing.end(left), name="journal-end")
        self._written.fail("the journal is closed")
        self._durable.fail("the journal is closed")
        for timer in (self._timer, self._deadline):
            if timer is not None:
                timer.cancel()
        own_events.log_end(self._journal, self._sequence - self._segments.sequence, ended)
