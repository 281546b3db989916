"""The process that follows the journal: a follower for each sink, until SIGTERM.

Only one works on a folder. A second one waits, and takes over when the first has ended, however it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import msgspec

from extproc.tasks import aside, ends_us, spawn
from policies.audit.following.follower import Follower
from policies.audit.following.following import Following
from policies.audit.following.lag import LagMeter
from policies.audit.following.status import SinkStatus, Status, write_status
from policies.audit.journal.slots import locked

_log = logging.getLogger(__name__)
LOCK: Final = "followers.lock"
_LOOK: Final = 0.5
"""Seconds between attempts to take over."""
_TELL: Final = 1.0
"""Seconds between writings of the status."""
_FAULT: Final = 5.0
"""Seconds that a follower is left alone in which something failed that nobody has thought of."""
GRACE: Final = 10.0
"""Seconds for what is being delivered when the process is to end."""
_NICENESS: Final = 10
"""Who shares cores with the gateway lets it go first: a record waits in the journal, a caller waits for a decision."""


Beside = Callable[[], AbstractAsyncContextManager[None]]
"""What else is done while this process is the one that follows."""


def run(folder: Path, followings: Sequence[Following], beside: Beside = contextlib.nullcontext) -> None:
    """Follow until SIGTERM or SIGINT, with a lower priority than the process was given. Logging is the caller's.

    Raises:
        ValueError: two sinks have one name.
        OSError: the folder cannot be made or locked.
    """
    os.nice(_NICENESS)
    asyncio.run(_until_signal(folder, followings, beside))


async def _until_signal(folder: Path, followings: Sequence[Following], beside: Beside) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await follow(folder, followings, stop, beside=beside)


async def follow(
    folder: Path,
    followings: Sequence[Following],
    stop: asyncio.Event,
    *,
    clock: Callable[[], float] = time.time,
    grace: float = GRACE,
    beside: Beside = contextlib.nullcontext,
) -> None:
    """Follow until `stop` is set. Waits until no other process does. Raises as `run`."""
    names = [following.name for following in followings]
    if len(set(names)) < len(names):
        raise ValueError(f"two sinks have the name {next(name for name in names if names.count(name) > 1)!r}")
    await aside(lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True), name="audit: folder")
    async with _alone(folder / LOCK, stop) as mine:
        if not mine:
            return
        followers = [Follower(folder, one, clock=clock, monotonic=time.monotonic) for one in followings]
        _log.info("following %s for %s", folder, ", ".join(names) or "no sink")
        work = [spawn(_keep(follower, stop), name=f"audit: {follower.name}") for follower in followers]
        telling = spawn(_tell(folder, followers, clock), name="audit: status")
        async with beside():
            await stop.wait()
        await _end(work, grace)
        # Each in its own time: one that hangs keeps no other from saving how far it has come.
        await _end([spawn(follower.stop(), name=f"audit: {follower.name} stops") for follower in followers], grace)
        await _end([telling], 0.0)
        await _write(folder, [(follower, LagMeter(folder)) for follower in followers], clock)


async def _keep(follower: Follower, stop: asyncio.Event) -> None:
    """Step after step, whatever happens in one."""
    while not stop.is_set():
        try:
            pause = await follower.step()
        except BaseException as error:
            if ends_us(error):
                raise
            _log.exception("sink %s: its follower failed", follower.name)
            pause = _FAULT
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(pause, 0.0)) if pause > 0 else await asyncio.sleep(0)


async def _end(tasks: Sequence[asyncio.Task[None]], grace: float) -> None:
    """Wait for tasks, at most `grace` seconds, then cancel them."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=grace)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1.0)


async def _tell(folder: Path, followers: Sequence[Follower], clock: Callable[[], float]) -> None:
    meters = [(follower, LagMeter(folder)) for follower in followers]
    well = True
    while True:
        now_well = await _write(folder, meters, clock)
        if well and not now_well:
            _log.error("the status of the sinks cannot be written")
        well = now_well
        await asyncio.sleep(_TELL)


async def _write(folder: Path, meters: Sequence[tuple[Follower, LagMeter]], clock: Callable[[], float]) -> bool:
    """Write the status. Whether that could be done."""
    now = clock()
    # What belongs to the followers is read here, between their steps; what takes files, in a thread.
    standings = [(follower, meter, follower.positions(), follower.waiting()) for follower, meter in meters]

    def measure() -> None:
        sinks: dict[str, SinkStatus] = {}
        for follower, meter, positions, waiting in standings:
            lag = meter.measure(positions, waiting, now)
            sinks[follower.name] = msgspec.structs.replace(
                follower.status(), behind_records=lag.records, behind_seconds=round(lag.seconds, 3)
            )
        write_status(folder, Status(pid=os.getpid(), sinks=sinks, time=now))

    try:
        await aside(measure, name="audit: status")
    except OSError:
        return False
    except BaseException as error:
        if ends_us(error):
            raise
        _log.exception("the status of the sinks cannot be told")
        return False
    return True


@contextlib.asynccontextmanager
async def _alone(path: Path, stop: asyncio.Event) -> AsyncIterator[bool]:
    """Whether the lock is held: False where `stop` was set before it could be had."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        waited = False
        while not stop.is_set() and not locked(descriptor):
            if not waited:
                _log.info("another process follows this journal: waiting until it ends")
                waited = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK)
        yield not stop.is_set()
    finally:
        os.close(descriptor)
