"""A cluster of Redis: which node has which slot, learnt in the background, and calls that follow a slot that moves.

The map is read anew whenever something says that it may be old: a redirection, a node that does not answer, a cluster
that is down. Several nodes are asked, and what most of them tell is believed: one that was cut off from the others goes
on telling what was true before.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis
from redis.crc import key_slot

from extproc.tasks import spawn
from policies.limits.redis_link import Address, RedisLink, Word
from policies.limits.redis_topology import Range, moved_to, ranges_of, slots_in
from policies.limits.store import StoreUnavailableError

_HOPS: Final = 6
_PATIENCE: Final = 0.005
"""Seconds before a node is asked again that said to try again; twice as many each time."""
_ASKED: Final = 5
"""Nodes that are asked for the map, at most."""
_PAUSES: Final = (0.01, 0.1)
"""Seconds between two readings of the map: at first, and at most."""
COUNTED: Final = ("calls", "batches", "timeouts")


class Cluster:
    """Connections to the masters of a cluster. `start`, then `ask`, then `stop`."""

    def __init__(self, seeds: Sequence[Address], connect: Callable[[Address], RedisLink], *, patience: float) -> None:
        """
        Args:
            seeds: nodes of which one at least must answer at first.
            connect: begins a connection to a node.
            patience: seconds for a node to tell the map.
        """
        self._seeds = tuple(seeds)
        self._connect = connect
        self._patience = patience
        self._links: dict[Address, RedisLink] = {}
        self._ranges: tuple[Range, ...] = ()
        self._slots: dict[int, Address] = {}
        self._mapped = asyncio.Event()
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # What was counted on connections that are given up: a counter never goes back.
        self._counts = Counter(dict.fromkeys((*COUNTED, "reconnects"), 0))
        self.moved = 0

    async def start(self) -> None:
        """Begin to connect, and to learn the map. Does not wait for it."""
        for seed in self._seeds:
            self._link(seed)
        self._stale.set()
        self._task = spawn(self._keep_mapped(), name="limits: slots of redis")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for link in self._links.values():
            await link.stop()

    def readiness(self) -> str | None:
        """None when every master is connected; else what is wrong."""
        if not self._mapped.is_set():
            return "Redis: no node of the cluster has told which has which slot"
        away = [link for link in map(self._links.get, self._masters()) if link is None or not link.is_ready]
        return f"Redis: {len(away)} of {len(self._masters())} masters are not connected" if away else None

    def counters(self) -> Counter[str]:
        counts = self._counts.copy()
        for link in self._links.values():
            counts.update(_counted(link))
        return counts

    async def ask(self, key: str | None, words: Sequence[Word], until: float) -> Any:
        """What the master of the key's slot answers (`hiredis.ReplyError` among it), or any master for None.

        `until`: a moment of the event loop's clock.

        Raises:
            StoreUnavailableError: no answer until then.
        """
        await self._until_mapped(until)
        slot = key_slot((key or "").encode())
        where, asking = self._slots.get(slot), False
        answer: Any = None
        hops, pause = 0, _PATIENCE
        while hops < _HOPS:
            if where is None:
                self._stale.set()
                raise StoreUnavailableError("no node of the cluster has this slot", asked=False)
            answer = await self._ask_at(where, words, until, asking=asking)
            if not isinstance(answer, hiredis.ReplyError):
                return answer
            told = str(answer).split(" ")
            if told[0] == "MOVED" and len(told) == 3:
                hops += 1
                self.moved += 1
                where, asking = moved_to(told[2], where), False
                self._slots[slot] = where
                self._stale.set()
            elif told[0] == "ASK" and len(told) == 3:
                hops += 1
                where, asking = moved_to(told[2], where), True
            elif told[0] in ("TRYAGAIN", "CLUSTERDOWN") and asyncio.get_running_loop().time() + pause < until:
                self._stale.set()
                await asyncio.sleep(pause)
                # Where the slot has arrived in the meantime, whoever had it says so.
                pause, where, asking = 2 * pause, self._slots.get(slot), False
            else:
                return answer
        return answer

    async def on_each_master(self, words: Sequence[Word], until: float) -> list[Any]:
        """What each master answers, in the order of their addresses.

        Raises:
            StoreUnavailableError: one of them does not.
        """
        await self._until_mapped(until)
        return [await self._ask_at(where, words, until) for where in sorted(self._masters(), key=str)]

    async def _ask_at(self, where: Address, words: Sequence[Word], until: float, *, asking: bool = False) -> Any:
        link = self._link(where)
        try:
            if not link.connections:
                # A node of which we have only just heard. To one that was lost nobody waits.
                await link.connected(until)
            seconds = max(0.0, until - asyncio.get_running_loop().time())
            if asking:
                # The two leave together: the first is for the one command that follows it.
                link.call(("ASKING",), seconds).add_done_callback(_not_awaited)
            return await link.call(words, seconds)
        except StoreUnavailableError:
            self._stale.set()
            raise

    async def _until_mapped(self, until: float) -> None:
        if self._mapped.is_set():
            return
        try:
            async with asyncio.timeout_at(until):
                await self._mapped.wait()
        except TimeoutError:
            raise StoreUnavailableError(self.readiness() or "the cluster is not known yet", asked=False) from None

    def _masters(self) -> set[Address]:
        return {where for _, _, where in self._ranges}

    def _link(self, where: Address) -> RedisLink:
        link = self._links.get(where)
        if link is None:
            link = self._links[where] = self._connect(where)
        return link

    async def _keep_mapped(self) -> None:
        pause = _PAUSES[0]
        while True:
            await self._stale.wait()
            self._stale.clear()
            ranges = await self._told()
            if ranges:
                await self._take(ranges)
            if not self._mapped.is_set():
                self._stale.set()
            pause = _PAUSES[0] if not self._stale.is_set() else min(_PAUSES[1], 2 * pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)

    async def _told(self) -> tuple[Range, ...]:
        """The map that most nodes tell; empty where none does."""
        ready = [(where, link) for where, link in self._links.items() if link.is_ready]
        asked = random.sample(ready, min(_ASKED, len(ready)))
        answers = await asyncio.gather(*(self._told_by(where, link) for where, link in asked))
        told = Counter(ranges for ranges in answers if ranges)
        return told.most_common(1)[0][0] if told else ()

    async def _told_by(self, where: Address, link: RedisLink) -> tuple[Range, ...]:
        try:
            answer = await link.call(("CLUSTER", "SLOTS"), self._patience)
            return () if isinstance(answer, hiredis.ReplyError) else ranges_of(answer, where)
        except StoreUnavailableError:
            return ()

    async def _take(self, ranges: tuple[Range, ...]) -> None:
        """Go by this map from now on: connect to its masters, and no longer to what has gone."""
        # Also where it is as before: single slots may have been redirected in the meantime.
        self._ranges, self._slots = ranges, slots_in(ranges)
        self._mapped.set()
        masters = self._masters()
        for where in masters:
            self._link(where)
        for where, link in list(self._links.items()):
            # One that is connected may be the aim of a slot on its way, without a slot of its own as yet.
            if where not in masters and where not in self._seeds and not link.is_ready:
                del self._links[where]
                self._counts.update(_counted(link))
                await link.stop()


def _counted(link: RedisLink) -> dict[str, int]:
    return {**{name: getattr(link, name) for name in COUNTED}, "reconnects": max(0, link.connections - 1)}


def _not_awaited(future: asyncio.Future[Any]) -> None:
    """Nobody waits for this answer: a failure of it is not to be complained of."""
    if not future.cancelled():
        future.exception()
