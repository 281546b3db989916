"""Where the writer of a journal goes on, and what the one before it may have left undone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from policies.audit.canonical import FIRST, LineError, read
from policies.audit.journal.heads import NoteError, latest, read_head, read_removed
from policies.audit.journal.segments import HEAD, REMOVED, UNREADABLE, Segment, backwards, segments
from policies.audit.record import Closed, Name

_log = logging.getLogger(__name__)
MOST: Final = 5_000
_BLOCK: Final = 1 << 16


class UnusableError(Exception):
    """The journal must not be continued: that would overwrite the evidence of what happened to it. Says what it is."""


class Tail(msgspec.Struct, frozen=True):
    """The last record of a journal: sequence 0 if it has none.

    Attributes:
        segment: the one that has not ended, to go on with; None where a new one begins.
        size: of that segment, in bytes.
        left: whoever wrote it has not closed it, and may have left something undone.
    """

    sequence: int = 0
    hash: str = FIRST
    segment: Segment | None = None
    size: int = 0
    left: bool = False


def recover(folder: Path) -> Tail:
    """Where to go on. What stands after the last newline is cut off, and kept beside as `.torn`.

    Raises:
        UnusableError: its end is not what was written there.
        OSError: it cannot be read or mended.
    """
    try:
        parts, removed, head = segments(folder), read_removed(folder / REMOVED), read_head(folder / HEAD)
        sealed = read_head(parts[-1].seal) if parts else None
        opened = parts[-1] if parts and sealed is None and not parts[-1].packed else None
        size = _mended(opened) if opened is not None else 0
        found = next((read(line) for part in reversed(parts) for line in backwards(part)), None)
    except (NoteError, LineError) as error:
        raise UnusableError(str(error)) from None
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnusableError(f"a segment cannot be read: {type(error).__name__}") from None
    left = found is not None and found.record.event != Name.JOURNAL_CLOSED
    tail = Tail() if found is None else Tail(found.record.sequence, found.hash, left=left)
    if removed.removed and removed.removed[-1].sequence > tail.sequence:
        tail = Tail(removed.removed[-1].sequence, removed.removed[-1].hash)
    if found is not None and found.record.journal != folder.name:
        raise UnusableError("its last record is of another journal")
    if opened is not None and size == 0 and opened.first != tail.sequence + 1:
        raise UnusableError("the records before its last segment are missing")
    known = latest((head, sealed))
    if known is not None and known.sequence > tail.sequence:
        raise UnusableError(f"it was synced up to record {known.sequence}, and ends with record {tail.sequence}")
    if known is not None and known.sequence == tail.sequence and known.hash != tail.hash:
        raise UnusableError("its last record is not the one that was synced")
    return msgspec.structs.replace(tail, segment=opened, size=size)


def unclean(folder: Path, most: int) -> list[Closed]:
    """The last records of a journal, in order, since it was last closed: none if its last record says that it was.

    Raises:
        OSError: it cannot be read.
    """
    found: list[Closed] = []
    try:
        for closed in _backwards(folder):
            if closed.record.event == Name.JOURNAL_CLOSED or len(found) >= most:
                break
            found.append(closed)
    except LineError as error:
        _log.error("%s: a record before its end cannot be read: %s", folder.name, error)
    return found[::-1]


def _backwards(folder: Path) -> Iterator[Closed]:
    for part in reversed(segments(folder)):
        try:
            for line in backwards(part):
                yield read(line)
        except (EOFError, OSError) as error:
            raise LineError(f"segment {part.name} cannot be read: {type(error).__name__}") from None


def _mended(segment: Segment) -> int:
    """The size of a segment once what follows its last newline is cut off."""
    descriptor = os.open(segment.path, os.O_RDWR)
    try:
        size = os.fstat(descriptor).st_size
        whole = _whole(descriptor, size)
        if whole < size:
            _keep(segment, descriptor, whole, size)
            os.ftruncate(descriptor, whole)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return whole


def _whole(descriptor: int, size: int) -> int:
    """Up to where the lines of a file are whole."""
    end = size
    while end:
        begin = max(0, end - _BLOCK)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _keep(segment: Segment, descriptor: int, whole: int, size: int) -> None:
    """Keep what is cut off. On a full disk it is lost: nobody was told that it is written."""
    _log.warning("%s: %d bytes of a torn line are cut off", segment.path.name, size - whole)
    try:
        kept = os.open(_unused(segment.path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            while whole < size:
                block = os.pread(descriptor, min(_BLOCK, size - whole), whole)
                whole += os.write(kept, block)
            os.fsync(kept)
        finally:
            os.close(kept)
    except OSError as error:
        _log.warning("%s: they could not be kept: %s", segment.path.name, error.strerror)


def _unused(path: Path) -> Path:
    torn, number = path.with_name(f"{path.name}.torn"), 1
    while torn.exists():
        torn, number = path.with_name(f"{path.name}.{number}.torn"), number + 1
    return torn
