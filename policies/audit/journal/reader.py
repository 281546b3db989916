"""Reading a journal from a position on, also while it is written, rotated and compressed."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from policies.audit.canonical import LineError
from policies.audit.journal.heads import NoteError, Removed, read_removed
from policies.audit.journal.links import link, may_hold
from policies.audit.journal.segments import REMOVED, UNREADABLE, Segment, must_be_file, segments
from policies.audit.journal.synced import Synced
from policies.audit.record import Closed, Record

_MARK: Final = b',"hash":"'
_BUFFER: Final = 1 << 18
_TAIL: Final = len(_MARK) + 64 + len(b'"}')
_HASH: Final = 64 + len(b'"}\n')
_decoder: Final = msgspec.json.Decoder(Record)


class Position(msgspec.Struct, frozen=True):
    """What is to be read next; the one made of nothing is the beginning.

    Attributes:
        sequence: of the next record; 0 for the first there is.
        segment: the name of the segment in which reading goes on, without what says how it is stored.
        offset: in it, in bytes as they are when it is not compressed.
        hash: of the record before it; "" where that is not known.
        before: of the record before the first of the segment; "" where that is not known.
    """

    sequence: int = 0
    segment: str = ""
    offset: int = 0
    hash: str = ""
    before: str = ""


class BrokenJournalError(Exception):
    """The journal is not whole: a record is missing, or is not what was written.

    Attributes:
        sequence: of the record.
        why: what is wrong with it.
    """

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"record {sequence}: {why}")
        self.sequence = sequence
        self.why = why


class OtherChainError(BrokenJournalError):
    """The journal does not hold what was read of it: its end was lost and written anew, or another copy was put in its
    place.

    Attributes:
        common: up to here it is the one that was read: a position from which nothing that it holds is missed.
    """

    def __init__(self, error: BrokenJournalError, common: Position) -> None:
        super().__init__(error.sequence, f"{error.why}; what was read before it is not there any more")
        self.common = common


class JournalReader:
    """Reads one journal. Synchronous, for one thread at a time.

    Of each line its hash is checked, and not that it is in canonical form, which takes as long again: that is asked by
    who verifies (`policies.audit.journal.verify`).
    """

    def __init__(self, folder: Path, *, synced: Synced | None = None) -> None:
        """
        Args:
            synced: how far may be read, for whoever brings elsewhere what it reads; None to read all that is there.
        """
        self._folder = folder
        self._synced = synced
        self._open: tuple[Segment, BinaryIO] | None = None
        self._last = (0, "")
        # Whether reading goes on in a file of which it is not known that it is the one that was read.
        self._resumed = False

    def read(self, position: Position, most: int) -> tuple[list[Closed], Position]:
        """At most `most` records from a position on, and the position after them. None where there is no more yet.

        Records that retention removed are passed over.

        Raises:
            BrokenJournalError: the next record is not there, or not what was written. Records before it are given first.
            OtherChainError: nor is the one before the position what was read there.
            OSError: a file cannot be read.
        """
        asked, found = position, list[Closed]()
        if position.hash and self._last[0] != position.sequence - 1:
            self._last, self._resumed = (position.sequence - 1, position.hash), True
        try:
            while len(found) < most:
                # Listed before the segment is read: one that another follows has got all its lines.
                parts = self._parts()
                place = self._placed(position, parts)
                if place is None:
                    break
                last = parts[-1].name == place.segment
                position = self._lines(place, most, found, bounded=last)
                if len(found) < most and last:
                    break
                if len(found) < most:
                    position = self._over(position, _after(position.segment, parts))
        except BrokenJournalError as error:
            if not found:
                self._compare(asked, error)
                raise
            # A position behind the last that is whole: the error comes when more is asked for.
            if position.sequence != found[-1].record.sequence + 1:
                position = Position(found[-1].record.sequence + 1, hash=found[-1].hash)
        return found, position

    def close(self) -> None:
        """Let go of the file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def __del__(self) -> None:
        self.close()

    def _unreadable(self, error: Exception, sequence: int) -> Exception:
        self.close()
        # What is no gzip is an OSError without a number.
        if isinstance(error, OSError) and error.errno is not None:
            return error
        return BrokenJournalError(sequence, "its segment cannot be unpacked")

    def _parts(self) -> list[Segment]:
        try:
            return segments(self._folder)
        except FileNotFoundError:
            return []

    def _lines(self, position: Position, most: int, found: list[Closed], *, bounded: bool) -> Position:
        """Add the whole lines of one segment; the position after them. `bounded`: of the last, what is not synced yet is
        left. Of any other all is: the next begins after that."""
        sequence, offset = position.sequence, position.offset
        synced = self._synced if bounded else None
        try:
            part, file = self._file(position)
            if self._resumed and not part.packed:
                _must_follow(file, position)
            self._resumed = False
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if synced is not None and not synced.covers(part, sequence, offset + len(line)):
                    break
                found.append(self._checked(line, sequence))
                sequence, offset = sequence + 1, offset + len(line)
                if len(found) >= most:
                    break
        except UNREADABLE as error:
            raise self._unreadable(error, sequence) from None
        if sequence == position.sequence:
            return position
        return Position(sequence, position.segment, offset, found[-1].hash, position.before)

    def _checked(self, line: bytes, sequence: int) -> Closed:
        try:
            closed = _read(line[:-1])
        except LineError as error:
            raise BrokenJournalError(sequence, str(error)) from None
        record = closed.record
        if record.journal != self._folder.name:
            raise BrokenJournalError(sequence, f"in its place is one of journal {record.journal!r}")
        if record.sequence != sequence:
            raise BrokenJournalError(sequence, f"in its place is record {record.sequence}")
        if self._last[0] == sequence - 1 and self._last[1] and record.previous != self._last[1]:
            raise BrokenJournalError(sequence, "it is not bound to the record before it")
        self._last = sequence, closed.hash
        return closed

    def _placed(self, position: Position, parts: list[Segment]) -> Position | None:
        """A position in a segment that is there; None where there is none yet."""
        if any(part.name == position.segment for part in parts):
            return position
        sequence = position.sequence or 1
        before = [part for part in parts if part.first <= sequence]
        if before:
            return self._sought(position, before[-1], parts)
        return self._over(position, parts[0]) if parts else None

    def _sought(self, position: Position, part: Segment, parts: list[Segment]) -> Position | None:
        """Where a record begins, in the segment that should hold it."""
        sequence = position.sequence or 1
        offset, expected, before = 0, part.first, ""
        try:
            for line in self._file(Position(part.first, part.name))[1]:
                if expected == part.first and part.first > 1 and (first := link(line)) is not None:
                    before = first.previous
                if expected == sequence or not line.endswith(b"\n"):
                    break
                offset, expected = offset + len(line), expected + 1
        except UNREADABLE as error:
            raise self._unreadable(error, sequence) from None
        if expected == sequence:
            return Position(sequence, part.name, offset, position.hash, before)
        if part == parts[-1]:
            if not self._removals(sequence).over(sequence - 1):
                # Who waited for it would wait until others stand under the numbers of those that were read.
                raise BrokenJournalError(
                    sequence, f"the journal ends with record {expected - 1}, and more was read of it"
                )
            return None
        return self._over(position, _after(part.name, parts))

    def _over(self, position: Position, part: Segment) -> Position:
        """The beginning of a segment, if nothing but what was removed is missing before it."""
        sequence = position.sequence or 1
        if sequence == part.first:
            return Position(sequence, part.name, 0, position.hash, position.hash)
        removed = self._removals(sequence)
        missing = sequence
        while missing < part.first and (removal := removed.over(missing)) is not None:
            missing = removal.sequence + 1
        if missing < part.first:
            raise BrokenJournalError(missing, f"it is missing: the next segment begins with record {part.first}")
        return Position(part.first, part.name)

    def _compare(self, asked: Position, error: BrokenJournalError) -> None:
        """Raises OtherChainError if what stands before a position is not what was read there."""
        if not asked.hash or may_hold(self._folder, asked.sequence - 1, asked.hash):
            return
        common = Position()
        if asked.before and asked.segment.isdecimal() and may_hold(self._folder, int(asked.segment) - 1, asked.before):
            common = Position(int(asked.segment), hash=asked.before)
        raise OtherChainError(error, common)

    def _removals(self, sequence: int) -> Removed:
        try:
            return read_removed(self._folder / REMOVED)
        except NoteError as error:
            raise BrokenJournalError(sequence, str(error)) from None

    def _opened(self, name: str) -> tuple[Segment, BinaryIO]:
        part = _found(part for part in self._parts() if part.name == name)
        must_be_file(part)
        kept = gzip.GzipFile(part.path, "rb") if part.packed else part.path.open("rb", buffering=_BUFFER)
        return part, cast("BinaryIO", kept)

    def _file(self, position: Position) -> tuple[Segment, BinaryIO]:
        if self._open is None or self._open[0].name != position.segment or _is_gone(self._open[1]):
            self.close()
            self._resumed = True
            try:
                self._open = self._opened(position.segment)
            except FileNotFoundError:
                # It was compressed between a look and the other.
                self._open = self._opened(position.segment)
        part, file = self._open
        if not part.packed and os.fstat(file.fileno()).st_size < position.offset:
            raise BrokenJournalError(position.sequence, "its segment ends before what was read of it already")
        file.seek(position.offset)
        return part, file


def _is_gone(file: BinaryIO) -> bool:
    """Whether a file that is open has been removed, or another was put in its place."""
    return os.fstat(file.fileno()).st_nlink == 0


def _must_follow(file: BinaryIO, position: Position) -> None:
    """Raises BrokenJournalError if before a position stands another line than was read there."""
    if position.offset and position.hash:
        tail = os.pread(file.fileno(), _HASH, position.offset - _HASH)
        if tail != position.hash.encode() + b'"}\n':
            raise BrokenJournalError(position.sequence, "before it stands another record")


def _after(name: str, parts: list[Segment]) -> Segment:
    return _found(part for part in parts if part.name > name)


def _found(parts: Iterable[Segment]) -> Segment:
    """The first. It may have been taken away since it was looked for."""
    for part in parts:
        return part
    raise FileNotFoundError(errno.ENOENT, "a segment was taken away")


def _read(line: bytes) -> Closed:
    """As `canonical.read`, but for the canonical form."""
    content, stated = line[:-_TAIL] + b"}", line[-66:-2]
    if line[-_TAIL:-66] != _MARK or hashlib.sha256(content).hexdigest().encode() != stated:
        raise LineError("its hash is not that of its content")
    try:
        return Closed(_decoder.decode(content), stated.decode(), line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LineError(f"it is no record: {type(error).__name__}") from None
