"""A sink that writes JSON lines: to a file that is rotated by its size, or to standard output."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from extproc.tasks import aside
from policies.audit.atomic import sync_folder
from policies.audit.following.settings import FileSinkSettings
from policies.audit.following.sink import SinkError
from policies.audit.record import Closed

_log = logging.getLogger(__name__)
STDOUT: Final = "-"
_MODE: Final = 0o600


class FileSink:
    """Writes each batch at once, and syncs it. A file that somebody else has renamed or removed is made anew.

    On standard output a batch counts as delivered when whoever reads it could read it: nothing tells more.
    """

    def __init__(self, settings: FileSinkSettings, clock: Callable[[], float] = time.time) -> None:
        self.name = settings.name
        self._settings = settings
        self._path = Path(settings.path)
        self._clock = clock
        # A delivery that was given up may still be writing.
        self._lock = threading.Lock()
        self._torn = False

    async def start(self) -> None:
        """
        Raises:
            SinkError: the file cannot be opened.
        """
        if self._settings.path != STDOUT:
            await self._in_thread(lambda: os.close(self._opened()))

    async def stop(self) -> None:
        pass

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """See `Sink`."""
        content = b"".join(closed.line + b"\n" for closed in batch)
        await self._in_thread(lambda: self._write(content))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await aside(work, name=f"audit: {self.name}")
        except OSError as error:
            raise SinkError(f"{self._settings.path}: {error.strerror or type(error).__name__}") from None

    def _write(self, content: bytes) -> None:
        with self._lock:
            if self._settings.path == STDOUT:
                self._print(content)
            else:
                self._append(content)

    def _print(self, content: bytes) -> None:
        descriptor = sys.stdout.fileno()
        # A line that was cut off before does not spoil this one.
        whole = b"\n" + content if self._torn else content
        self._torn = True
        _write_all(descriptor, whole)
        self._torn = False

    def _append(self, content: bytes) -> None:
        descriptor = self._opened()
        try:
            size = os.fstat(descriptor).st_size
            most = self._settings.rotate_bytes
            if most and size and size + len(content) > most:
                self._rotate()
                os.close(descriptor)
                descriptor = self._opened()
                size = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, content)
                os.fsync(descriptor)
            except OSError:
                # It comes again: half of it would stand there twice.
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def _opened(self) -> int:
        """The file, locked: a replay of dead letters may write at the same time."""
        while True:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not _is_still(descriptor, self._path):
                    os.close(descriptor)
                    continue
                if new:
                    sync_folder(self._path.parent)
                _end_line(descriptor)
            except OSError:
                os.close(descriptor)
                raise
            return descriptor

    def _rotate(self) -> None:
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._clock()))
        # By number behind the time: some may be rotated in one second, and names are to sort as they were written.
        taken = {path.name for path in self._path.parent.glob(f"{_literal(self._path.name)}.{moment}-*")}
        number = next(n for n in range(len(taken), 1_000_000) if f"{self._path.name}.{moment}-{n:06d}" not in taken)
        self._path.rename(self._path.with_name(f"{self._path.name}.{moment}-{number:06d}"))
        sync_folder(self._path.parent)
        if self._settings.keep:
            pattern = f"{_literal(self._path.name)}.{'[0-9]' * 8}T{'[0-9]' * 6}-{'[0-9]' * 6}"
            for old in sorted(self._path.parent.glob(pattern))[: -self._settings.keep]:
                old.unlink(missing_ok=True)
                _log.info("sink %s: removed %s, as `keep` says", self.name, old)


def _literal(name: str) -> str:
    """A file's name, as a glob that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether the file that was opened is the one that has this name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (found.st_ino, found.st_dev) == (opened.st_ino, opened.st_dev)


def _end_line(descriptor: int) -> None:
    """A line that a crash has cut off does not spoil the next one."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        _write_all(descriptor, b"\n")


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            # A pipe that is full, and that somebody has made non-blocking.
            if not select.select([], [descriptor], [], 60.0)[1]:
                raise OSError(errno.ETIMEDOUT, "nobody reads it") from None
