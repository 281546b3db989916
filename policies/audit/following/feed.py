"""What a follower reads next: of one journal after another, as much as a batch may hold. Blocking: for a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policies.audit.following.copies import copy_for
from policies.audit.following.matching import Matcher
from policies.audit.following.settings import Batch
from policies.audit.following.sink import Redacts
from policies.audit.journal.reader import BrokenJournalError, JournalReader, OtherChainError, Position
from policies.audit.journal.segments import journals
from policies.audit.journal.synced import Synced
from policies.audit.record import Closed

_log = logging.getLogger(__name__)
_AGAIN: Final = 5.0
"""Seconds after which a journal that could not be read is tried again."""
_USUAL: Final = 2_048
"""Bytes of a line, before any has been seen."""


@dataclass(slots=True)
class Held:
    """What was read of one journal and is not delivered yet.

    Attributes:
        after: what is next to read, once all of it is delivered.
        waiting: each record, and the copy of it that the sink is given.
        unfit: records that cannot be redacted, and so go to no sink.
    """

    journal: str
    after: Position
    waiting: list[tuple[Closed, Closed]]
    unfit: list[Closed]

    def oldest(self) -> str | None:
        """The timestamp of the first record that waits."""
        return self.waiting[0][0].record.timestamp if self.waiting else None


class Feed:
    """Reads every journal of a folder for one sink. Journals that appear later are found.

    What is not on the disk yet is left there (`policies.audit.journal.synced`). One that is broken keeps no other from
    being read. It is left alone for a while and tried again: to go on behind the break would hide what is missing.
    """

    def __init__(
        self, folder: Path, matcher: Matcher, redact: Redacts | None, batch: Batch, monotonic: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._matcher = matcher
        self.redact = redact
        self._batch = batch
        self._monotonic = monotonic
        self._readers: dict[str, JournalReader] = {}
        self._last = ""
        self._line = _USUAL
        self._broken: dict[str, tuple[str, float]] = {}
        self.missed = 0
        """So many records retention had removed before this sink got them, since this process began."""

    @property
    def broken(self) -> dict[str, str]:
        """Journals that cannot be read on, and why."""
        return {name: why for name, (why, _) in self._broken.items()}

    def next(self, position: Callable[[str], Position]) -> Held | None:
        """What the journal after the last one has, or the one after that, …; None where there is nothing new in any.

        Args:
            position: what is next to read in a journal of this name.

        Raises:
            OSError: the folder cannot be listed.
        """
        names = [path.name for path in journals(self._folder)]
        for gone in self._readers.keys() - set(names):
            self._readers.pop(gone).close()
            self._broken.pop(gone, None)
        for name in [*(one for one in names if one > self._last), *(one for one in names if one <= self._last)]:
            if (held := self._read(name, position(name))) is not None:
                self._last = name
                return held
        return None

    def close(self) -> None:
        """Let go of the files that are open."""
        while self._readers:
            self._readers.popitem()[1].close()

    def _read(self, name: str, position: Position) -> Held | None:
        if name in self._broken and self._monotonic() < self._broken[name][1]:
            return None
        reader = self._readers.get(name) or self._readers.setdefault(name, self._opened(name))
        try:
            most = max(1, min(self._batch.records, self._batch.bytes // self._line))
            found, after = reader.read(position, most)
        except OtherChainError as error:
            self._readers.pop(name).close()
            self._broken.pop(name, None)
            return self._again(name, error)
        except Exception as error:
            # Of any other kind as well: what is raised in a thread must not end the follower.
            known = isinstance(error, (BrokenJournalError, OSError))
            self._breaks(name, str(error) if known else type(error).__name__)
            # What it holds open may be what is wrong.
            self._readers.pop(name).close()
            return None
        self._broken.pop(name, None)
        if found:
            self._count_missed(name, position, found[0].record.sequence)
            self._line = max(256, sum(len(closed.line) for closed in found) // len(found))
        return self._prepared(name, found, after) if found or after != position else None

    def _opened(self, name: str) -> JournalReader:
        path = self._folder / name
        return JournalReader(path, synced=Synced(path, self._monotonic))

    def _again(self, name: str, error: OtherChainError) -> Held:
        """What was delivered last is not in the journal any more. What is there in its place is delivered as well."""
        common = error.common
        _log.error(
            "the journal %s is not what was delivered: %s: it is delivered again from record %d on",
            *(name, error, common.sequence or 1),
        )
        return Held(name, common, [], [])

    def _count_missed(self, name: str, position: Position, first: int) -> None:
        """The reader passes over what retention removed. For a sink that was to have it, that is a loss."""
        missed = first - position.sequence if position.sequence else 0
        if missed > 0:
            self.missed += missed
            _log.error("%d records of the journal %s were removed before they were delivered", missed, name)

    def _breaks(self, name: str, why: str) -> None:
        if name not in self._broken or self._broken[name][0] != why:
            _log.error("the journal %s cannot be read on: %s", name, why)
        self._broken[name] = (why, self._monotonic() + _AGAIN)

    def _prepared(self, name: str, found: list[Closed], after: Position) -> Held:
        held = Held(name, after, [], [])
        for closed in found:
            if not self._matcher.wants(closed.record):
                continue
            try:
                held.waiting.append((closed, copy_for(closed, self.redact)))
            except Exception as error:
                _log.error("%s of %s cannot be redacted: %s", closed.record.sequence, name, type(error).__name__)
                held.unfit.append(closed)
        return held
