"""Redis as the limits policy uses it: single server, Sentinel or Cluster, with a deadline on every call and no retry.

A call is repeated only where Redis itself says that it has not done it: a script that it does not know (NOSCRIPT), a key
that lives on another node of a cluster (MOVED, ASK), a cluster that asks for patience (TRYAGAIN).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import hiredis
from redis.crc import key_slot

from policies.limits.redis_link import Address, RedisLink, Word
from policies.limits.redis_settings import Mode, RedisSettings
from policies.limits.redis_topology import first_address, greeting, master_by_sentinels, moved_to, slots_of
from policies.limits.store import StoreUnavailableError

_log = logging.getLogger(__name__)
_HOPS: Final = 6
_PATIENCE: Final = 0.005
_LOST: Final = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "UNKILLABLE", "BUSY")
"""Answers of a server that cannot do what it is asked at the moment."""


class Script:
    """A Lua script, and the name by which a server remembers it."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        # Redis' own name for it; nothing rests on its strength.
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """Calls to Redis. `start`, then `script` and `command`, then `stop`."""

    def __init__(self, settings: RedisSettings) -> None:
        """Does not connect yet."""
        self._settings = settings
        self._tls = settings.tls_context()
        self._links: dict[Address, RedisLink] = {}
        self._slots: dict[int, Address] = {}
        self._single: RedisLink | None = None
        self._refreshing = asyncio.Lock()
        self._complained: set[str] = set()
        self._counts = dict.fromkeys(("failures", "noscript", "moved"), 0)

    async def start(self) -> None:
        """Begin to connect. Does not wait for it."""
        if self._settings.mode is not Mode.CLUSTER:
            self._single = self._link(None)

    async def stop(self) -> None:
        for link in self._every_link():
            await link.stop()

    def readiness(self) -> str | None:
        """None when connected; else what is wrong."""
        if self._settings.mode is Mode.CLUSTER:
            return None if any(link.is_ready for link in self._links.values()) or not self._slots else "no node answers"
        if self._single is None:
            return "Redis is not connected"
        return None if self._single.is_ready else f"Redis: {self._single.failure}"

    def counters(self) -> Mapping[str, int]:
        links = self._every_link()
        return {
            "calls": sum(link.calls for link in links),
            "batches": sum(link.batches for link in links),
            "timeouts": sum(link.timeouts for link in links),
            "connections": sum(link.connections for link in links),
            **self._counts,
        }

    async def script(
        self, script: Script, key: str, keys: Sequence[Word], args: Sequence[Word], *, deadline: float | None = None
    ) -> Any:
        """What the script answers. All `keys` are in the slot of `key`.

        Raises:
            StoreUnavailableError: no answer within `deadline` seconds, or an error in its place.
        """
        try:
            return await self._ask(key, ("EVALSHA", script.sha, len(keys), *keys, *args), deadline)
        except _ReplyError as error:
            if not error.words.startswith("NOSCRIPT"):
                raise self._failed(error) from None
        self._counts["noscript"] += 1
        try:
            return await self._ask(key, ("EVAL", script.text, len(keys), *keys, *args), deadline)
        except _ReplyError as error:
            raise self._failed(error) from None

    async def command(self, key: str | None, *words: Word, deadline: float | None = None) -> Any:
        """What a command answers that is not a script; on the node of `key`, or on any.

        Raises:
            StoreUnavailableError: as `script`.
        """
        try:
            return await self._ask(key, words, deadline)
        except _ReplyError as error:
            raise self._failed(error) from None

    async def on_each_master(self, *words: Word) -> list[Any]:
        """What every master answers to a command: for scans."""
        if self._settings.mode is not Mode.CLUSTER:
            return [await self.command(None, *words, deadline=self._settings.connect_timeout)]
        until = asyncio.get_running_loop().time() + self._settings.connect_timeout
        await self._refresh()
        answers = []
        for where in sorted(set(self._slots.values()), key=str):
            link = self._link(where)
            await link.connected(until)
            answers.append(await link.call(words, self._settings.connect_timeout))
        return answers

    async def _ask(self, key: str | None, words: Sequence[Word], deadline: float | None) -> Any:
        seconds = self._settings.timeout if deadline is None else deadline
        if self._single is not None:
            try:
                if not self._single.connections:
                    # Only just started: the first calls wait for the first connection.
                    await self._single.connected(asyncio.get_running_loop().time() + seconds)
                answer = await self._single.call(words, seconds)
            except StoreUnavailableError:
                self._counts["failures"] += 1
                raise
            if isinstance(answer, hiredis.ReplyError):
                raise _ReplyError(self._single, str(answer))
            return answer
        if self._settings.mode is not Mode.CLUSTER:
            raise StoreUnavailableError("not started")
        try:
            return await self._ask_cluster(key, words, seconds)
        except StoreUnavailableError:
            self._counts["failures"] += 1
            raise

    async def _ask_cluster(self, key: str | None, words: Sequence[Word], seconds: float) -> Any:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if not self._slots:
            try:
                async with asyncio.timeout_at(until):
                    await self._refresh()
            except TimeoutError:
                raise StoreUnavailableError("the cluster does not answer in time") from None
        slot = key_slot((key or "").encode())
        where, asking = self._slots.get(slot), False
        for _ in range(_HOPS):
            if where is None:
                raise StoreUnavailableError("no node of the cluster has this slot")
            link = self._link(where)
            await link.connected(until)
            if asking:
                link.call(("ASKING",), seconds)
            answer = await link.call(words, max(0.0, until - loop.time()))
            if not isinstance(answer, hiredis.ReplyError):
                return answer
            told = str(answer).split(" ")
            if told[0] == "MOVED" and len(told) == 3:
                self._counts["moved"] += 1
                where = self._slots[slot] = moved_to(told[2], where)
                asking = False
            elif told[0] == "ASK" and len(told) == 3:
                where, asking = moved_to(told[2], where), True
            elif told[0] in ("TRYAGAIN", "CLUSTERDOWN") and loop.time() + _PATIENCE < until:
                await asyncio.sleep(_PATIENCE)
            else:
                raise _ReplyError(link, str(answer))
        raise StoreUnavailableError("the cluster sends us round in circles")

    def _link(self, where: Address | None) -> RedisLink:
        """The connection to a node; None: to the one server that there is."""
        if where is not None and (known := self._links.get(where)) is not None:
            return known
        settings = self._settings

        async def locate() -> Address:
            if where is not None:
                return where
            if settings.mode is Mode.SENTINEL:
                return await master_by_sentinels(settings, self._tls)
            return first_address(settings)

        link = RedisLink(
            locate,
            greeting=lambda: greeting(settings),
            tls=self._tls,
            connect_timeout=settings.connect_timeout,
            queue=settings.queue,
        )
        link.start()
        if where is not None:
            self._links[where] = link
        return link

    async def _refresh(self) -> None:
        """Learn which node has which slot.

        Raises:
            StoreUnavailableError: no node tells.
        """
        async with self._refreshing:
            if self._slots:
                return
            loop = asyncio.get_running_loop()
            for where in (*self._links, *self._settings.addresses()):
                link = self._link(where)
                try:
                    await link.connected(loop.time() + self._settings.connect_timeout)
                    answer = await link.call(("CLUSTER", "SLOTS"), self._settings.connect_timeout)
                except StoreUnavailableError:
                    continue
                if not isinstance(answer, hiredis.ReplyError):
                    self._slots = slots_of(answer, where)
                    return
            raise StoreUnavailableError("no node of the cluster answers")

    def _every_link(self) -> list[RedisLink]:
        return [*([self._single] if self._single is not None else ()), *self._links.values()]

    def _failed(self, error: _ReplyError) -> StoreUnavailableError:
        """An error in an answer's place. Of each kind the first is logged; a server that cannot serve is left."""
        self._counts["failures"] += 1
        kind = error.words.partition(" ")[0]
        if kind in _LOST:
            # Another may be the master by now.
            error.link.drop(f"the server answers {kind}")
        if kind not in self._complained:
            self._complained.add(kind)
            # Redis' own words quote what it was asked, which holds ids.
            _log.error("Redis answers a call with an error: %s", kind)
        return StoreUnavailableError(f"Redis answered {kind}")


class _ReplyError(Exception):
    """Redis answered with an error."""

    def __init__(self, link: RedisLink, words: str) -> None:
        super().__init__(words)
        self.link = link
        self.words = words
