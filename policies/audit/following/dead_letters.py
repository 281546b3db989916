"""Records that a sink refuses for good: a file of JSON lines for each sink, until somebody looks at them.

A line holds the whole record as it stands in the journal (nothing is redacted in it, as little as in the journal), why it
was refused and when. The file is bounded: when it is full, the sink's follower stops, for to drop them would be a loss.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from policies.audit.atomic import sync_folder

_PIECE: Final = 65_536


class DeadLettersFullError(Exception):
    """There is no room for another. The message says what an operator can do."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter. `line`: the record's line in the journal, as text. `time`: seconds since the epoch."""

    journal: str
    line: str
    reason: str
    sequence: int
    time: float


Span = tuple[int, int]
"""Where a letter stands in the file: its first byte, and the one after its last."""


class DeadLetters:
    """The dead letters of one sink. The follower appends while somebody replays: each write takes a lock."""

    def __init__(self, folder: Path, sink: str, most: int) -> None:
        """`most`: bytes that the file may have."""
        self.path: Final = folder / f"{sink}.dead.jsonl"
        self._lock = folder / f"{sink}.dead.lock"
        self._most = most
        self._counted: tuple[tuple[int, int, int], int] | None = None

    def append(self, letters: Sequence[Letter]) -> None:
        """Keep them durably.

        Raises:
            DeadLettersFullError: there is no room; none was kept.
            OSError: they could not be written.
        """
        added = b"".join(msgspec.json.encode(letter) + b"\n" for letter in letters)
        with self._held():
            new = not self.path.exists()
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                size = _whole(file)
                if size + len(added) > self._most:
                    raise DeadLettersFullError(
                        f"{self.path} is full ({self._most:,} bytes): deliver what it holds by a replay, or move it away"
                    )
                file.truncate(size)
                file.seek(size)
                file.write(added)
                file.flush()
                os.fsync(file.fileno())
            if new:
                sync_folder(self.path.parent)

    def size(self) -> int:
        """Bytes."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def count(self) -> int:
        """How many there are. The file is read anew when it has changed."""
        try:
            with open(self.path, "rb") as file:
                found = os.fstat(file.fileno())
                state = (found.st_ino, found.st_size, found.st_mtime_ns)
                if self._counted is None or self._counted[0] != state:
                    self._counted = (state, sum(piece.count(b"\n") for piece in _pieces(file)))
        except OSError:
            return 0
        return self._counted[1]

    def read(self, start: int, records: int, most: int) -> list[tuple[Letter | None, Span]]:
        """Letters from the byte `start` on, at most `records` and about `most` bytes; None for an unreadable one."""
        found: list[tuple[Letter | None, Span]] = []
        try:
            file = open(self.path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            return []
        with file:
            file.seek(start)
            offset = start
            while len(found) < records and offset - start < most and (line := file.readline()).endswith(b"\n"):
                found.append((_letter(line), (offset, offset + len(line))))
                offset += len(line)
        return found

    def remove(self, end: int, kept: Sequence[Span]) -> None:
        """Take out all that stands before the byte `end`, but for the spans in `kept`. What came meanwhile stays.

        Raises:
            OSError: it could not be written; all of them are there still.
        """
        beside = self.path.with_name(f".{self.path.name}.new")
        with self._held(), open(self.path, "rb") as old:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as new:
                for first, after in kept:
                    old.seek(first)
                    new.write(old.read(after - first))
                old.seek(end)
                shutil.copyfileobj(old, new, _PIECE)
                new.flush()
                os.fsync(new.fileno())
            beside.replace(self.path)
            sync_folder(self.path.parent)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _letter(line: bytes) -> Letter | None:
    try:
        return msgspec.json.decode(line, type=Letter)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(_PIECE), b"")


def _whole(file: BinaryIO) -> int:
    """Where the last whole line ends. A torn one is of a write that nobody was told had succeeded."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _PIECE)
        file.seek(start)
        cut = file.read(end - start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0
