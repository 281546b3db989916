"""Settlements on their way to the store: kept until they have arrived, in whatever order, however often.

A settlement can be repeated: the store does each once. So one whose answer was lost is simply sent again, and one that
cannot be kept is not lost either: its reservation is charged as it was made when the lease ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from extproc.tasks import spawn
from policies.limits.spool import Spool
from policies.limits.store import Ask, Store, StoreUnavailableError, Used

_log = logging.getLogger(__name__)
_BATCH: Final = 256
_MOST: Final = 200_000
_PAUSES: Final = (0.05, 1.0)
"""Seconds between attempts while the store is away: at first, and at most."""
_TRIES: Final = 5
"""How often what the store says that it cannot do is tried again: for ever, it would slow down all others."""


class Settlement(msgspec.Struct, frozen=True):
    """What one exchange used. `local`: what a worker has counted by itself, to be reserved before it is settled.
    `tries`: how often the store has answered that it cannot."""

    tenant: str
    id: str
    used: Used
    local: Ask | None = None
    tries: int = 0


class Settler:
    """Brings settlements to the store. `start`, `put`, then `stop`."""

    def __init__(
        self, store: Store, spool: Spool | None = None, recorded: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`spool`: where settlements of what was counted locally survive the process. `recorded`: waits until the record
        of what is to be settled is written: a settlement that this process does not finish can be found there."""
        self._store = store
        self._recorded = recorded
        self._spool = spool
        # What there is no room to wait for is cleared by no one: a later process brings it.
        self._overflow = spool.beside() if spool is not None else None
        self._waiting: deque[Settlement] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._busy = 0
        self._done = self._late = self._dropped = 0

    def start(self) -> None:
        """Begin, with what a former process has left in the spool."""
        if self._spool is not None:
            for text in self._spool.take():
                try:
                    self._waiting.append(msgspec.json.decode(text, type=Settlement))
                except msgspec.MsgspecError:
                    _log.error("a line of the spool of limits cannot be read, and is left out")
        if self._waiting:
            self._arrived.set()
        self._task = spawn(self._work(), name="limits: settle")

    def put(self, settlement: Settlement) -> None:
        """Settle in time. Returns at once."""
        full = len(self._waiting) >= _MOST
        spool = self._overflow if full else self._spool
        if settlement.local is not None and spool is not None:
            spool.keep(msgspec.json.encode(settlement))
        if full:
            # Its reservation is charged as it was made. What was counted locally is in the spool, if there is one.
            self._dropped += 1
            if self._dropped == 1:
                _log.error("more than %d settlements wait for the store: from now on they are not kept", _MOST)
            return
        self._waiting.append(settlement)
        self._arrived.set()

    @property
    def backlog(self) -> int:
        """Settlements that have not arrived."""
        return len(self._waiting) + self._busy

    def counters(self) -> Mapping[str, int]:
        return {"settled": self._done, "settled_again": self._late, "settlements_dropped": self._dropped}

    async def stop(self, grace: float) -> None:
        """Bring what waits to the store, for at most `grace` seconds."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(grace):
                while self.backlog and not self._task.done():  # noqa: ASYNC110  (the task is watched as well)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            _log.error("%d settlements have not arrived: their reservations will be charged as made", self.backlog)
        self._task.cancel()
        await asyncio.wait([self._task])
        for spool in (self._spool, self._overflow):
            if spool is not None:
                spool.close()

    async def _work(self) -> None:
        pause = _PAUSES[0]
        while True:
            await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not self._waiting:
                self._arrived.clear()
            self._busy = len(batch)
            if self._recorded is not None:
                await self._recorded()
            failed = await self._bring_all(batch)
            self._busy = 0
            if not failed:
                pause = _PAUSES[0]
                if self._spool is not None and not self._waiting:
                    self._spool.clear()
                continue
            self._late += len(failed)
            # At the end: what can never be brought keeps nothing else from it.
            self._waiting.extend(failed)
            self._arrived.set()
            await asyncio.sleep(pause)
            pause = min(_PAUSES[1], 2 * pause)

    async def _bring_all(self, batch: list[Settlement]) -> list[Settlement]:
        """Those that could not be brought."""
        plain = [one for one in batch if one.local is None]
        others = [one for one in batch if one.local is not None]
        try:
            results = await self._store.settle_all([(one.tenant, one.id, one.used) for one in plain])
        except Exception:
            # One of them is the reason: each by itself then.
            others, plain, results = batch, [], ()
        failed = [one for one, result in zip(plain, results, strict=True) if result is None]
        self._done += len(plain) - len(failed)
        tried = await asyncio.gather(*(self._bring(one) for one in others))
        return [*failed, *(one for one in tried if one is not None)]

    async def _bring(self, one: Settlement) -> Settlement | None:
        """The settlement itself, if it could not be brought."""
        try:
            if one.local is not None:
                await self._store.reserve(one.local)
            await self._store.settle(one.tenant, one.id, one.used)
        except StoreUnavailableError as error:
            if not error.alive:
                return one
            if one.tries < _TRIES:
                return msgspec.structs.replace(one, tries=one.tries + 1)
            _log.error("the store cannot do a settlement of tenant %s: it is left out", one.tenant)
            self._dropped += 1
            return None
        except Exception as error:
            _log.error("a settlement failed: %s", type(error).__name__, exc_info=error)
            return None
        self._done += 1
        return None
