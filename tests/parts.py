"""What a test breaks: processes that are killed and started again, a disk that is full, a clock that is set."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extproc.embedded import leash
from tests.servers import REPOSITORY

_STEPPING = Path(__file__).parent / "stepping"
_PATIENCE = 60.0


@dataclass(slots=True)
class Part:
    """A process that is part of something. It dies with this one.

    Attributes:
        ready: asked every 20 ms after its start, in a thread, until it says yes.
        log: takes standard output and standard error, of every process after the other.
    """

    command: Sequence[str | Path]
    log: Path
    ready: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it, and wait until it is ready. Nothing where it runs."""
        if self.is_running:
            return
        # Not in a thread: it would end with that.
        words = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *map(str, self.command)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, cwd=REPOSITORY, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
        deadline = time.monotonic() + _PATIENCE
        while not await asyncio.to_thread(self.ready):
            assert self._process.poll() is None, f"{self.command} ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.command} is not ready:\n{self.tail()}"
            await asyncio.sleep(0.02)

    def tail(self) -> str:
        """The last few kilobytes of its output."""
        return self.log.read_bytes()[-4_000:].decode("utf-8", "replace")

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL, _PATIENCE)

    def stop(self, grace: float = 20.0) -> None:
        """Ask it to end, and wait for it; after `grace` seconds it is killed."""
        self._end(signal.SIGTERM, grace)

    def _end(self, number: signal.Signals, grace: float) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder, on a file system of its own that can be full where one may be mounted. `mebibytes`: 0 where not."""

    folder: Path
    mebibytes: int

    @property
    def small(self) -> bool:
        """Whether it can be full."""
        return self.mebibytes > 0

    def fill(self) -> None:
        """Leave no room: it becomes as small as what is on it."""
        assert self.small
        # Others write meanwhile, and none is made smaller than what is on it.
        for spare in (0, 0, 64, 1_024):
            found = os.statvfs(self.folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize // 1_024 + spare
            if self._resized(f"{used}k"):
                return
        raise AssertionError("the disk cannot be filled")

    def relieve(self) -> None:
        """Give the room back."""
        if self.small:
            assert self._resized(f"{self.mebibytes}m")

    def _resized(self, size: str) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Disk]:
    """A new folder with so much room. Where nothing may be mounted it has as much as its parent, and cannot be filled."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield Disk(folder, mebibytes if mounted else 0)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


class SteppedClock:
    """What time it is for processes that were started with `environment`. Starts right."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        self.environment: Mapping[str, str] = {
            "PYTHONPATH": os.pathsep.join([str(_STEPPING), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "SLUICEGATE_TESTS_CLOCK": str(path),
        }
        with path.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)

    def set(self, seconds: float) -> None:
        """By how much it is wrong from now on."""
        struct.pack_into("d", self._offset, 0, seconds)
