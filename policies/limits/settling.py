"""Settlements on their way to the store: kept until they have arrived, in whatever order, however often.

A settlement can be repeated: the store does each once. So one whose answer was lost is simply sent again, and one that
cannot be kept is not lost either: its reservation is charged as it was made when the lease ends.

What was used is settled once that is on record: a process that is killed leaves it to the next one. What was not used is
given back also where that takes long, as with a disk that hangs: until then limits would refuse what they have room for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec

from extproc.tasks import spawn
from policies.limits.spool import Spool
from policies.limits.store import Ask, Store, StoreUnavailableError, Used

_log = logging.getLogger(__name__)
_BATCH: Final = 256
_TOGETHER: Final = 0.005
"""Seconds between two batches, at least: settlements follow each other out of one message of the access log, and a call
to the store that brings sixteen costs little more than one that brings one. Who comes after a pause waits for nobody."""
_MOST: Final = 200_000
_PAUSES: Final = (0.05, 1.0)
"""Seconds between attempts while the store is away: at first, and at most."""
_SOON: Final = 0.25
"""Seconds for the record of what is given back. It is written within milliseconds, and one that is given back and not on
record after a kill is closed as it was reserved: then the record says more than the counters."""
_TRIES: Final = 5
"""How often what the store says that it cannot do is tried again: for ever, it would slow down all others."""


_NOTHING: Final = Used()


class Settlement(msgspec.Struct, frozen=True):
    """What one exchange used. `local`: what a worker has counted by itself, to be reserved before it is settled.
    `tries`: how often the store has answered that it cannot."""

    tenant: str
    id: str
    used: Used
    local: Ask | None = None
    tries: int = 0


class _Line:
    """Settlements that wait for the same thing before they are brought."""

    __slots__ = ("_arrived", "_before", "_bring", "_busy", "_drained", "_waiting")

    def __init__(
        self,
        before: Callable[[], Awaitable[None]],
        bring: Callable[[list[Settlement]], Awaitable[list[Settlement]]],
        drained: Callable[[], None],
    ) -> None:
        """`bring` gives back those that could not be brought; `drained` is called when all have been."""
        self._before = before
        self._bring = bring
        self._drained = drained
        self._waiting: deque[Settlement] = deque()
        self._arrived = asyncio.Event()
        self._busy = 0

    def __len__(self) -> int:
        """Those that wait to be brought."""
        return len(self._waiting)

    @property
    def backlog(self) -> int:
        """Those that have not arrived."""
        return len(self._waiting) + self._busy

    def put(self, settlements: Iterable[Settlement]) -> None:
        idle = not self._waiting
        self._waiting.extend(settlements)
        # Else whoever works has been told.
        if idle and self._waiting:
            self._arrived.set()

    async def work(self) -> None:
        """Bring them, batch after batch, until it is cancelled."""
        pause, brought, loop = _PAUSES[0], 0.0, asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            early = brought + _TOGETHER - loop.time()
            if early > 0 and len(self._waiting) < _BATCH:
                await asyncio.sleep(early)
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not self._waiting:
                self._arrived.clear()
            self._busy = len(batch)
            await self._before()
            failed = await self._bring(batch)
            self._busy = 0
            brought = loop.time()
            if not failed:
                pause = _PAUSES[0]
                if not self._waiting:
                    self._drained()
                continue
            # At the end: what can never be brought keeps nothing else from it.
            self.put(failed)
            await asyncio.sleep(pause)
            pause = min(_PAUSES[1], 2 * pause)


class Settler:
    """Brings settlements to the store. `start`, `put`, then `stop`."""

    __slots__ = (
        "_done",
        "_dropped",
        "_late",
        "_late_record",
        "_overflow",
        "_recorded",
        "_spool",
        "_store",
        "_tasks",
        "_unused",
        "_used",
    )

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
        self._used = _Line(self._on_record, self._bring_all, self._clear)
        self._unused = _Line(self._soon_on_record, self._bring_all, lambda: None)
        self._tasks: list[asyncio.Task[None]] = []
        # While the record of what was given back is waited for no longer.
        self._late_record: asyncio.Task[None] | None = None
        self._done = self._late = self._dropped = 0

    def start(self) -> None:
        """Begin, with what a former process has left in the spool."""
        if self._spool is not None:
            for text in self._spool.take():
                try:
                    self._used.put([msgspec.json.decode(text, type=Settlement)])
                except msgspec.MsgspecError:
                    _log.error("a line of the spool of limits cannot be read, and is left out")
        lines = (("settle", self._used), ("give back", self._unused))
        self._tasks = [spawn(line.work(), name=f"limits: {what}") for what, line in lines]

    def put(self, settlement: Settlement) -> None:
        """Settle in time. Returns at once."""
        full = len(self._used) + len(self._unused) >= _MOST
        spool = self._overflow if full else self._spool
        if settlement.local is not None and spool is not None:
            spool.keep(msgspec.json.encode(settlement))
        if full:
            # Its reservation is charged as it was made. What was counted locally is in the spool, if there is one.
            self._dropped += 1
            if self._dropped == 1:
                _log.error("more than %d settlements wait for the store: from now on they are not kept", _MOST)
            return
        line = self._unused if settlement.local is None and settlement.used == _NOTHING else self._used
        line.put([settlement])

    @property
    def backlog(self) -> int:
        """Settlements that have not arrived."""
        return self._used.backlog + self._unused.backlog

    def counters(self) -> Mapping[str, int]:
        return {"settled": self._done, "settled_again": self._late, "settlements_dropped": self._dropped}

    async def stop(self, grace: float) -> None:
        """Bring what waits to the store, for at most `grace` seconds."""
        if not self._tasks:
            return
        try:
            async with asyncio.timeout(grace):
                while self.backlog and not any(task.done() for task in self._tasks):  # noqa: ASYNC110  (they are watched)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            _log.error("%d settlements have not arrived: their reservations will be charged as made", self.backlog)
        tasks = [*self._tasks, *([self._late_record] if self._late_record is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for spool in (self._spool, self._overflow):
            if spool is not None:
                spool.close()

    async def _on_record(self) -> None:
        if self._recorded is not None:
            await self._recorded()

    async def _soon_on_record(self) -> None:
        """As above, but for no longer than it takes where all is well; where it has just taken longer, not at all."""
        if self._recorded is None or (self._late_record is not None and not self._late_record.done()):
            return
        record = spawn(self._on_record(), name="limits: record")
        try:
            late = not (await asyncio.wait([record], timeout=_SOON))[0]
        except BaseException:
            record.cancel()
            raise
        self._late_record = record if late else None

    def _clear(self) -> None:
        if self._spool is not None:
            self._spool.clear()

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
        failed += [one for one in tried if one is not None]
        self._late += len(failed)
        return failed

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
