"""The file side of a journal that is being written: lines go in whole or are taken back, segments end sealed.

For one thread. What fails can be asked for again: nothing is lost in between.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from policies.audit.atomic import sync_folder
from policies.audit.journal import heads
from policies.audit.journal.index import Index, Seen, index, merge
from policies.audit.journal.recovery import Tail
from policies.audit.journal.segments import HEAD, Segment, plain
from policies.audit.journal.signing import Signer

_HEAD_SECONDS: Final = 1.0
_sync: Final = getattr(os, "fdatasync", os.fsync)


class Batch(msgspec.Struct):
    """Lines that are written together.

    Attributes:
        lines: without their newlines.
        first: the sequence of the first.
        sequence, hash: of the last.
        seen: what they are about.
    """

    lines: list[bytes]
    first: int
    sequence: int
    hash: str
    seen: Seen


class SegmentWriter:
    """Writes a journal from its tail on.

    Attributes:
        sequence, hash: of the last record in the file.
        synced: the last that is certainly on the disk.
        told: the last that `head.json` names.
        bytes: how many were written.
    """

    def __init__(  # noqa: PLR0917 (each is one thing that it is told)
        self,
        folder: Path,
        tail: Tail,
        segment_bytes: int,
        segment_age: float,
        signer: Signer | None,
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._most = segment_bytes
        self._age = segment_age
        self._signer = signer
        self._clock = clock
        self._file = -1
        self._segment: Segment | None = tail.segment
        self._size = tail.size
        # What is in the file and not certainly on the disk: (where it begins, bytes). After a failed sync the kernel
        # may take it for clean: it is written anew.
        self._unsynced: list[tuple[int, bytes]] = []
        self._doubtful = False
        self._began = time.monotonic()
        self._head_at = 0.0
        # A segment that an earlier process began is indexed by whoever needs it.
        self._seen: Seen | None = None if tail.size else {}
        self.sequence, self.hash = tail.sequence, tail.hash
        self.synced = tail.sequence
        self.told = 0
        self.bytes = 0

    def write(self, batch: Batch) -> None:
        """Put lines at the end; afterwards they survive the process.

        Raises:
            OSError: what is not in the file as a whole line is left in the batch, to be given again.
        """
        if self._size and (self._size >= self._most or time.monotonic() - self._began >= self._age):
            self.end_segment()
        self._open(batch.first)
        if self._doubtful:
            self._again()
        data = b"\n".join(batch.lines) + b"\n"
        done = 0
        try:
            while done < len(data):
                done += _put(self._file, data[done:] if done else data, self._size + done)
        except OSError:
            self._take_back(batch, data[:done])
            raise
        self._written(data)
        if self._seen is not None:
            merge(self._seen, batch.seen)
        self.sequence, self.hash = batch.sequence, batch.hash

    def _take_back(self, batch: Batch, data: bytes) -> None:
        whole = data[: data.rfind(b"\n") + 1]
        count = whole.count(b"\n")
        # Where this fails too, the same bytes are written over it next time.
        with suppress(OSError):
            os.ftruncate(self._file, self._size + len(whole))
        if count:
            self._written(whole)
            if self._seen is not None:
                merge(self._seen, batch.seen)
            self.sequence, self.hash = batch.first + count - 1, batch.lines[count - 1][-66:-2].decode()
            del batch.lines[:count]
            batch.first += count

    def _written(self, data: bytes) -> None:
        self._unsynced.append((self._size, data))
        self._size += len(data)
        self.bytes += len(data)

    def sync(self) -> None:
        """Make what was written survive the machine, and say so in `head.json`, at most once a second.

        Raises:
            OSError: it does not.
        """
        if self._file >= 0 and self._unsynced:
            if self._doubtful:
                self._again()
            try:
                _sync(self._file)
            except OSError:
                self._doubtful = True
                raise
            self._unsynced.clear()
        self.synced = self.sequence
        now = time.monotonic()
        if now - self._head_at >= _HEAD_SECONDS or not self._head_at:
            self.tell()
            self._head_at = now

    def tell(self) -> None:
        """Write `head.json`: up to here it is synced.

        Raises:
            OSError: it cannot be written.
        """
        if self.synced == self.sequence and self.sequence:
            heads.write(self._folder / HEAD, self._head())
            self.told = self.sequence

    def aged(self) -> None:
        """End the segment if it is old.

        Raises:
            OSError: it cannot be ended.
        """
        if self._size and time.monotonic() - self._began >= self._age:
            self.end_segment()

    def end_segment(self) -> None:
        """Seal the segment; the next line begins another.

        Raises:
            OSError: the segment has not ended.
        """
        segment = self._segment
        if segment is None or not self._size:
            return
        self._open(segment.first)
        self.sync()
        if self._seen is not None:
            heads.write(segment.index, self._index(self._seen))
        heads.write(segment.seal, self._head())
        self.tell()
        sync_folder(self._folder)
        self.close()
        self._segment, self._size, self._seen = None, 0, {}

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _head(self) -> heads.Head:
        return heads.head(self._folder.name, self.sequence, self.hash, self._clock(), self._signer)

    def _index(self, seen: Seen) -> Index:
        return index(seen, self.sequence, self.hash)

    def _open(self, first: int) -> None:
        if self._file >= 0:
            return
        if self._segment is None:
            self._segment = Segment(first, plain(self._folder, first))
            self._began = time.monotonic()
        self._file = os.open(self._segment.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            sync_folder(self._folder)
            # What an earlier process wrote, and nobody knows whether it synced.
            _sync(self._file)
        except OSError:
            self.close()
            raise

    def _again(self) -> None:
        """Write what a failed sync left in doubt once more."""
        for position, data in self._unsynced:
            done = 0
            while done < len(data):
                done += _put(self._file, data[done:], position + done)
        self._doubtful = False


def _put(descriptor: int, data: bytes, position: int) -> int:
    put = os.pwrite(descriptor, data, position)
    if not put:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return put
