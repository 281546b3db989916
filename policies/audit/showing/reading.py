"""The records of all journals as one stream in the order of time, in constant memory.

Within a journal the sequence is the order, also where a clock went back: a record that states an earlier time than the
one before it comes right after that one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import msgspec

from policies.audit.canonical import LineError, read
from policies.audit.journal.reader import BrokenJournalError, JournalReader, Position
from policies.audit.journal.segments import UNREADABLE, Segment, is_journal, journals, lines, segments
from policies.audit.record import Closed
from policies.audit.showing import times

BATCH: Final = 500
"""Records of a journal that are held at once."""
SLACK: Final = timedelta(hours=1)
"""By how much clocks may be apart before records are missed at the ends of a period."""


class Reader(Protocol):
    """What reads a journal: `policies.audit.journal.reader.JournalReader`."""

    def read(self, position: Position, most: int) -> tuple[list[Closed], Position]:
        """Up to `most` records, and where the next one is."""

    def close(self) -> None:
        """Let go of files."""


class Broken(msgspec.Struct, frozen=True):
    """A journal cannot be read beyond here."""

    journal: str
    why: str


class Source:
    """One journal, read from a position on; it knows where it stands."""

    def __init__(self, name: str, reader: Reader, position: Position, *, before: str = "") -> None:
        self.name = name
        self.broken: Broken | None = None
        self._reader = reader
        self._position = position
        self._latest = _shifted(before, SLACK)

    def records(self) -> Iterator[Closed]:
        """What is there now and has not been given yet; called again, what has come since."""
        try:
            while batch := self._batch():
                for closed in batch:
                    if self._latest and closed.record.timestamp >= self._latest:
                        return
                    yield closed
        finally:
            self._reader.close()

    def _batch(self) -> list[Closed]:
        if self.broken is not None:
            return []
        try:
            batch, self._position = self._reader.read(self._position, BATCH)
        except (BrokenJournalError, OSError) as error:
            self.broken = Broken(self.name, str(error))
            return []
        return batch


def folders(folder: Path) -> list[Path]:
    """The journals in a folder of journals; a folder that is a journal itself is the only one.

    Raises:
        OSError: the folder cannot be listed.
    """
    return [folder] if is_journal(folder) else journals(folder)


def opened(journal: Path, earliest: str = "", before: str = "") -> Source:
    """The journal from the segment on in which a time may lie."""
    return Source(journal.name, JournalReader(journal), beginning(journal, earliest), before=before)


def beginning(journal: Path, earliest: str) -> Position:
    """Where to begin reading for records from `earliest` on: the last segment that begins before it."""
    found = Position()
    if not earliest:
        return found
    bound = _shifted(earliest, -SLACK)
    for segment in segments(journal):
        first = _first(segment)
        if first is None or first.record.timestamp >= bound:
            break
        found = Position(sequence=first.record.sequence)
    return found


def merged(streams: Iterable[Iterable[Closed]]) -> Iterator[Closed]:
    """Records of several journals in the order of time; of one time by journal and sequence."""
    return heapq.merge(*streams, key=lambda closed: (closed.record.timestamp, closed.record.journal))


def everything(folder: Path, earliest: str = "", before: str = "") -> tuple[Iterator[Closed], Sequence[Source]]:
    """All records in the order of time. The sources say afterwards which of them could not be read to the end."""
    sources = [opened(journal, earliest, before) for journal in folders(folder)]
    return merged(source.records() for source in sources), sources


def followed(folder: Path, sources: Sequence[Source], pause: Callable[[], bool]) -> Iterator[Closed | None]:
    """What comes from now on, also of journals that appear later; None after each round.

    Args:
        pause: waits for a moment; False ends it.
    """
    known = {source.name: source for source in sources}
    while pause():
        for journal in folders(folder):
            if journal.name not in known:
                known[journal.name] = opened(journal)
        yield from merged(source.records() for source in known.values())
        yield None


def _first(segment: Segment) -> Closed | None:
    try:
        return read(next(lines(segment), b"").rstrip(b"\n"))
    except (*UNREADABLE, LineError):
        return None


def _shifted(timestamp: str, by: timedelta) -> str:
    if not timestamp:
        return ""
    try:
        return times.stamp(times.read(timestamp) + by)
    except OverflowError:
        return timestamp
