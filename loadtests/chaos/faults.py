"""What breaks. Each fault is over when what broke runs again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.audited import Audited

_MOMENT: Final = 0.3
_PATIENCE: Final = 120.0
_STEPS: Final = (900.0, -45.0, 40.0, 0.0)
"""Seconds by which the clock is wrong until it is set again. It must not make tokens invalid: none would go up."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast things break, in seconds.

    Attributes:
        pause: between one fault and the next.
        outage: for how long a server is away.
        full: for how long the disk is full.
        replacing: workers are replaced by others as well, which takes a while.
        shuffled: in another order each time. Else what keeps Envoy's word from arriving comes first.
    """

    pause: float = 1.0
    outage: float = 1.5
    full: float = 3.0
    replacing: bool = True
    shuffled: bool = True


class Faults:
    """Breaks one thing after the other, in an order drawn anew each time that all have been.

    Attributes:
        done: how often each was.
    """

    def __init__(self, gateway: Audited, chance: random.Random, pace: Pace) -> None:
        self._gateway = gateway
        self._chance = chance
        self._pace = pace
        self._steps = 0
        self.done: Counter[str] = Counter()
        known: dict[str, Callable[[], Awaitable[None]]] = {
            "the clock is set": self._clock,
            "the worker that settles is killed": self._settler,
            "Envoy is killed": self._envoy,
            "a worker is killed": self._worker,
            "the follower is killed": self._follower,
            "PostgreSQL is killed": self._postgres,
            "the syslog server is killed": self._syslog,
        }
        if pace.replacing:
            known["the workers are replaced"] = self._replace
        if gateway.disk.small:
            full: dict[str, Callable[[], Awaitable[None]]] = {
                "the disk is full, and the worker that settles is killed": self._disk_and_settler,
                "the disk is full, and a worker is killed": self._disk_and_worker,
                "the disk is full": self._disk,
            }
            known = full | known
        self._known: Mapping[str, Callable[[], Awaitable[None]]] = known

    @property
    def rounds(self) -> int:
        """How often every one has been."""
        return min(self.done[name] for name in self._known)

    async def run(self, say: Callable[[str], None]) -> None:
        """Until it is cancelled. `say`: told what happens."""
        while True:
            names = list(self._known)
            if self._pace.shuffled:
                self._chance.shuffle(names)
            for name in names:
                say(name)
                await self._known[name]()
                self.done[name] += 1
                await asyncio.sleep(self._pace.pause)

    async def mend(self) -> None:
        """Whatever was broken off in the middle: all runs again, there is room, and the clock is right."""
        gateway = self._gateway
        gateway.disk.relieve()
        gateway.clock.set(0.0)
        for part in (gateway.envoy, gateway.follower):
            await part.start()
        await asyncio.to_thread(gateway.postgres.start)
        await gateway.collector.start()
        await self._until_ready()

    async def _kill_worker(self, role: str) -> None:
        found = [worker for worker in await self._gateway.workers() if worker["role"] == role and worker["pid"]]
        if found:
            os.kill(self._chance.choice(found)["pid"], signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def _deafening(self) -> AsyncIterator[None]:
        """What Envoy says meanwhile may not be heard."""
        begun = time.monotonic()
        yield
        self._gateway.deafened.append((begun, time.monotonic()))

    async def _until_ready(self) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not await self._ready():  # noqa: ASYNC110  (workers do not say when)
                await asyncio.sleep(0.1)

    async def _ready(self) -> bool:
        try:
            found: list[dict[str, Any]] = await self._gateway.workers()
        except httpx.HTTPError:
            return False
        return all(worker["ready"] for worker in found)

    async def _worker(self) -> None:
        await self._kill_worker("decide")
        await asyncio.sleep(_MOMENT)
        await self._until_ready()

    async def _replace(self) -> None:
        """By their successors, as for a new configuration: there are more journals than workers afterwards."""
        before = {worker["pid"] for worker in await self._gateway.workers()}
        os.kill(self._gateway.server.pid, signal.SIGHUP)
        async with asyncio.timeout(_PATIENCE):
            while before & {worker["pid"] for worker in await self._gateway.workers()}:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await self._until_ready()

    async def _settler(self) -> None:
        async with self._deafening():
            await self._kill_worker("settle")
            await asyncio.sleep(_MOMENT)
            await self._until_ready()

    async def _envoy(self) -> None:
        async with self._deafening():
            self._gateway.envoy.kill()
            await asyncio.sleep(_MOMENT)
            await self._gateway.envoy.start()

    async def _follower(self) -> None:
        self._gateway.follower.kill()
        await asyncio.sleep(_MOMENT)
        await self._gateway.follower.start()

    async def _postgres(self) -> None:
        self._gateway.postgres.kill()
        await asyncio.sleep(self._pace.outage)
        await asyncio.to_thread(self._gateway.postgres.start)

    async def _syslog(self) -> None:
        self._gateway.collector.kill()
        await asyncio.sleep(self._pace.outage)
        await self._gateway.collector.start()

    async def _clock(self) -> None:
        self._gateway.clock.set(_STEPS[self._steps % len(_STEPS)])
        self._steps += 1
        await asyncio.sleep(self._pace.outage)

    async def _disk(self, then: Callable[[], Awaitable[None]] | None = None) -> None:
        await asyncio.to_thread(self._gateway.disk.fill)
        await asyncio.sleep(self._pace.full / 2)
        if then is not None:
            await then()
        await asyncio.sleep(self._pace.full / 2)
        self._gateway.disk.relieve()
        await self._until_ready()

    async def _disk_and_worker(self) -> None:
        await self._disk(lambda: self._kill_worker("decide"))

    async def _disk_and_settler(self) -> None:
        async with self._deafening():
            await self._disk(lambda: self._kill_worker("settle"))
