"""A clock that ticks on the dot. Edge: Linux's timerfd (timerfd_create(2)).

Event loops keep time in whole milliseconds, which would send three requests at once where one was due after each third
of a millisecond. Python has timerfd since 3.13; before, it is reached through the C library.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from typing import Final

_ABSOLUTE: Final = 1
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def _timespec(seconds: float) -> _Timespec:
    return _Timespec(*divmod(round(seconds * 1e9), 1_000_000_000))


class Ticker:
    """Calls `tick` with the number of ticks that have passed since the last call. `close` ends it."""

    def __init__(self, interval: float, tick: Callable[[int], None]) -> None:
        """Starts now; the first tick comes after `interval` seconds.

        Raises:
            OSError: the system has no such clock.
        """
        self.start = time.monotonic()
        self._tick = tick
        library = ctypes.CDLL(None, use_errno=True)
        self._fd = int(library.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS))
        setting = _Setting(_timespec(interval), _timespec(self.start + interval))
        if self._fd < 0 or library.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(setting), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._ready)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _ready(self) -> None:
        try:
            passed = int.from_bytes(os.read(self._fd, 8), "little")
        except BlockingIOError:
            return
        self._tick(passed)
