"""A file of lines that outlives the process: what must be counted and is not yet."""

from __future__ import annotations

import fcntl
import logging
import os
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
        self._file: int | None = None
        self._empty = True

    def take(self) -> list[bytes]:
        """The lines that processes which have ended left behind, and they are this one's from now on."""
        lines: list[bytes] = []
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
                lines += self._taken(path)
            for line in lines:
                self.keep(line)
        except OSError as error:
            _log.error("the spool of limits cannot be read: %s", error.strerror)
        return lines

    def keep(self, line: bytes) -> None:
        """Write a line. A failure is logged: the line is then kept in memory alone."""
        try:
            os.write(self._opened(), line + b"\n")
            self._empty = False
        except OSError as error:
            _log.error("the spool of limits cannot be written: %s", error.strerror)

    def clear(self) -> None:
        """All lines of this process have been counted."""
        if self._file is not None and not self._empty:
            os.ftruncate(self._file, 0)
            self._empty = True

    def _opened(self) -> int:
        if self._file is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / f"{os.getpid()}-{id(self):x}{_SUFFIX}"
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._file

    @staticmethod
    def _taken(path: Path) -> list[bytes]:
        """The lines of a file whose process has ended; it is removed. Nothing of one that is held."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        else:
            lines = [line for line in path.read_bytes().split(b"\n") if line]
            path.unlink()
            return lines
        finally:
            os.close(descriptor)
