"""What a process says of itself each second. Edge: asks the operating system how much memory it holds."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from extproc.workers.status import Dependency, Status

_INTERVAL: Final = 1.0


class Serves(Protocol):
    """What is asked of a policy server."""

    def counters(self) -> Mapping[str, int]: ...

    def dependencies(self) -> Iterable[Dependency]: ...


def status_of(server: Serves, *, serving: bool = True) -> Status:
    """What is to be said of it now."""
    dependencies = tuple(server.dependencies())
    missing = tuple(f"{one.policy}: {one.missing}" for one in dependencies if one.missing is not None)
    return Status(serving, missing, dict(server.counters()), resident_bytes(), dependencies)


async def pulse(tell: Callable[[], Awaitable[None] | None]) -> None:
    """Tell now, and each second from now on, until cancelled."""
    while True:
        telling = tell()
        if telling is not None:
            await telling
        await asyncio.sleep(_INTERVAL)


def resident_bytes() -> int:
    """The memory that this process holds; where there is no /proc, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
