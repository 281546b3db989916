"""A file of lines that outlives the process: what must be counted and is not yet."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)
_SUFFIX: Final = ".spool"


class Spool:
    """Lines in a directory, each process with a file of its own that it holds locked.

    Written and not synced: it survives the process, and not the machine. What a process leaves behind is taken by the
    next that starts.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: tuple[int, Path] | None = None
        self._taken: list[tuple[int, Path]] = []
        self._empty = self._well = True

    def beside(self) -> Spool:
        """Another in the same directory, which is cleared by itself."""
        return Spool(self._directory)

    def take(self) -> list[bytes]:
        """The lines that processes which have ended left behind, and they are this one's from now on: their files are
        held, and go when it clears."""
        lines: list[bytes] = []
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
                lines += self._adopt(path)
        except OSError as error:
            _log.error("the spool of limits cannot be read: %s", error.strerror)
        return lines

    def keep(self, line: bytes) -> None:
        """Write a line, which holds no line break. A failure is logged once: such lines are kept in memory alone."""
        self._empty = False
        try:
            # The break comes first: a line that a full disk cut off does not spoil the one after it.
            written = os.write(self._opened(), b"\n" + line)
        except OSError as error:
            self._failed(error.errno)
            return
        if written <= len(line):
            self._failed(errno.ENOSPC)
        else:
            self._well = True

    def _failed(self, code: int | None) -> None:
        if self._well:
            _log.error("the spool of limits cannot be written: %s", os.strerror(code or errno.EIO))
        self._well = False

    def clear(self) -> None:
        """All lines of this process have been counted."""
        try:
            while self._taken:
                descriptor, path = self._taken[-1]
                path.unlink(missing_ok=True)
                os.close(descriptor)
                self._taken.pop()
            if self._file is not None and not self._empty:
                os.ftruncate(self._file[0], 0)
                self._empty = True
        except OSError as error:
            _log.error("the spool of limits cannot be cleared: %s", error.strerror)

    def close(self) -> None:
        """Leave what has not been cleared to the next process."""
        if self._file is not None:
            descriptor, path = self._file
            if self._empty:
                with suppress(OSError):
                    path.unlink()
            os.close(descriptor)
        for descriptor, _ in self._taken:
            os.close(descriptor)
        self._file, self._taken, self._empty = None, [], True

    def _opened(self) -> int:
        while self._file is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / f"{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            # Until it is locked, a process that starts may take it for one that was left behind.
            if _locked(descriptor):
                self._file = descriptor, path
            else:
                os.close(descriptor)
        return self._file[0]

    def _adopt(self, path: Path) -> list[bytes]:
        """The lines of a file whose process has ended; it is held from now on. Nothing of one that another holds."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            # Another process was faster.
            return []
        try:
            if not _locked(descriptor):
                os.close(descriptor)
                return []
            lines = [line for line in path.read_bytes().split(b"\n") if line]
        except OSError:
            os.close(descriptor)
            raise
        self._taken.append((descriptor, path))
        return lines


def _locked(descriptor: int) -> bool:
    """Lock a file, if nobody holds it and it has not been removed meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0
