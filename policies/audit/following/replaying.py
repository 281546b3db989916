"""Dead letters that are delivered again, when what refused them has been mended."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from extproc.tasks import aside
from policies.audit import canonical
from policies.audit.following.copies import copy_for
from policies.audit.following.dead_letters import DeadLetters, Letter, Span
from policies.audit.following.delivering import begin, deliver
from policies.audit.following.following import Following, RedactionKeyError
from policies.audit.following.sink import Redacts
from policies.audit.journal import JournalError
from policies.audit.record import Closed


class ReplayError(Exception):
    """It cannot be replayed now."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many were taken, refused once more, and unreadable. The last two are dead letters still."""

    taken: int
    refused: int
    unreadable: int


async def replay(folder: Path, following: Following) -> Replayed:
    """Deliver every dead letter of a sink, in the order in which they stand, and remove what it takes.

    The followers may run meanwhile: what dies now stands behind, and is left for the next time.

    Raises:
        SinkError: it takes nothing now. What it took before is removed.
        ReplayError: another replay is running.
        OSError: the dead letters cannot be read or written.
    """
    with _alone(folder / f"{following.name}.replay.lock"):
        letters = DeadLetters(folder, following.name, following.settings.dead_letters)
        try:
            redact = await aside(lambda: following.redactor(folder), name="audit: key")
        except (JournalError, RedactionKeyError) as error:
            raise ReplayError(str(error)) from None
        run = _Run(following, letters, redact)
        try:
            await begin(following.sink, following.settings.retry.timeout)
            while await run.batch():
                pass
        finally:
            try:
                await following.sink.stop()
            finally:
                run.remove()
        return Replayed(run.taken, run.refused, run.unreadable)


class _Run:
    def __init__(self, following: Following, letters: DeadLetters, redact: Redacts | None) -> None:
        self._following = following
        self._redact = redact
        self._letters = letters
        self._end = 0
        self._limit = letters.size()
        self._kept: list[Span] = []
        self.taken = self.refused = self.unreadable = 0

    async def batch(self) -> bool:
        """Whether there was one."""
        size = self._following.settings.batch
        if self._end >= self._limit:
            return False
        found = await aside(lambda: self._letters.read(self._end, size.records, size.bytes), name="audit: replay")
        readable: list[tuple[Closed, Span]] = []
        stuck: list[Span] = []
        for letter, span in found:
            copy = self._copy(letter)
            if copy is None:
                stuck.append(span)
            else:
                readable.append((copy, span))
        refused = await self._deliver(readable)
        self.unreadable += len(stuck)
        self._kept += sorted((*stuck, *refused))
        self._end = found[-1][1][1] if found else self._limit
        return bool(found)

    async def _deliver(self, waiting: list[tuple[Closed, Span]]) -> list[Span]:
        refused: list[Span] = []
        taken = 0
        while waiting:
            batch = [copy for copy, _ in waiting]
            came = await deliver(self._following.sink, batch, self._following.settings.retry.timeout)
            taken += len(came.delivered)
            refused += [waiting[index][1] for index in came.refused]
            waiting = [one for index, one in enumerate(waiting) if index not in came.delivered | came.refused]
        self.taken += taken
        self.refused += len(refused)
        return refused

    def _copy(self, letter: Letter | None) -> Closed | None:
        if letter is None:
            return None
        try:
            return copy_for(canonical.read(letter.line.encode()), self._redact)
        except Exception:
            # Somebody has edited it, or it cannot be redacted: it stays.
            return None

    def remove(self) -> None:
        """What has been taken. A batch of which a part was taken stays whole: it may come again."""
        if self._end:
            self._letters.remove(self._end, _joined(self._kept))


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Neighbours as one."""
    joined: list[Span] = []
    for first, after in spans:
        if joined and joined[-1][1] == first:
            joined[-1] = (joined[-1][0], after)
        else:
            joined.append((first, after))
    return joined


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReplayError("another replay of this sink is running") from None
        yield
    finally:
        os.close(descriptor)
