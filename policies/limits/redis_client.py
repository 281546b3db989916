"""Redis as the limits policy uses it: single server, Sentinel or Cluster, with a deadline on every call and no retry.

A call is repeated only where Redis itself says that it has not done it: a script that it does not know (NOSCRIPT), a key
that lives on another node of a cluster (MOVED, ASK), a cluster that asks for patience (TRYAGAIN).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

import hiredis

from policies.limits.redis_cluster import COUNTED, Cluster
from policies.limits.redis_link import Address, RedisLink, Word
from policies.limits.redis_settings import Mode, RedisSettings
from policies.limits.redis_topology import first_address, greeting, master_by_sentinels
from policies.limits.store import StoreUnavailableError

_log = logging.getLogger(__name__)
_DEMOTED: Final = ("READONLY", "MASTERDOWN")
"""Answers of a server that is a replica: where it was found, or where its name points, another may be the master now."""

_OF_ONE_CALL: Final = ("ERR", "WRONGTYPE")
"""Answers that are about what one call met under its keys: another tenant's calls meet something else."""


class Script:
    """A Lua script, and the name by which a server remembers it."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        # Redis' own name for it; nothing rests on its strength.
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """Calls to Redis. `start`, then `script` and `command`, then `stop`."""

    __slots__ = ("_cluster", "_complained", "_counts", "_settings", "_single", "_tls")

    def __init__(self, settings: RedisSettings) -> None:
        """Does not connect yet. Deadlines are by the event loop's own clock, which is the one that wakes callers."""
        self._settings = settings
        self._tls = settings.tls_context()
        self._single: RedisLink | None = None
        self._cluster: Cluster | None = None
        self._complained: set[str] = set()
        self._counts = dict.fromkeys(("failures", "noscript"), 0)

    async def start(self) -> None:
        """Begin to connect. Does not wait for it."""
        settings = self._settings
        if settings.mode is Mode.CLUSTER:
            self._cluster = Cluster(settings.addresses(), self._link, patience=settings.connect_timeout)
            await self._cluster.start()
        else:
            self._single = self._link(None)

    async def stop(self) -> None:
        for each in (self._single, self._cluster):
            if each is not None:
                await each.stop()

    def readiness(self) -> str | None:
        """None when connected; else what is wrong."""
        if self._cluster is not None:
            return self._cluster.readiness()
        if self._single is None:
            return "Redis is not connected"
        return None if self._single.is_ready else f"Redis: {self._single.failure}"

    def counters(self) -> Mapping[str, int]:
        """Calls, the writes they left in, and what became of them. None of these goes back."""
        link, cluster = self._single, self._cluster
        counts = cluster.counters() if cluster is not None else {name: getattr(link, name, 0) for name in COUNTED}
        reconnects = max(0, link.connections - 1) if link is not None else 0
        return {"reconnects": reconnects, "moved": cluster.moved if cluster is not None else 0, **counts, **self._counts}

    async def script(
        self, script: Script, key: str, keys: Sequence[Word], args: Sequence[Word], *, deadline: float | None = None
    ) -> Any:
        """What the script answers. All `keys` are in the slot of `key`.

        Raises:
            StoreUnavailableError: no answer within `deadline` seconds, or an error in its place.
        """
        until = self._until(deadline)
        try:
            return await self._ask(key, ("EVALSHA", script.sha, len(keys), *keys, *args), until)
        except _ReplyError as error:
            if not error.words.startswith("NOSCRIPT"):
                raise self._failed(error) from None
        self._counts["noscript"] += 1
        try:
            return await self._ask(key, ("EVAL", script.text, len(keys), *keys, *args), until)
        except _ReplyError as error:
            raise self._failed(error) from None

    def begin(
        self, script: Script, key: str, keys: Sequence[Word], args: Sequence[Word], deadline: float | None
    ) -> Awaitable[Any]:
        """The same for who has many to ask: it is on its way when this returns, and the answer is awaited later.

        Raises:
            StoreUnavailableError: now, or from the answer, which may also be an error of Redis': see `answer`.
        """
        return self._answer(key, ("EVALSHA", script.sha, len(keys), *keys, *args), self._until(deadline))

    def count_failure(self) -> None:
        """Who has begun a call says that it failed."""
        self._counts["failures"] += 1

    async def command(self, key: str | None, *words: Word, deadline: float | None = None) -> Any:
        """What a command answers that is not a script; on the node of `key`, or on any.

        Raises:
            StoreUnavailableError: as `script`.
        """
        try:
            return await self._ask(key, words, self._until(deadline))
        except _ReplyError as error:
            raise self._failed(error) from None

    async def on_each_master(self, *words: Word) -> list[Any]:
        """What every master answers to a command: for scans.

        Raises:
            StoreUnavailableError: one of them does not answer, or with an error.
        """
        seconds = self._settings.connect_timeout
        if self._cluster is None:
            return [await self.command(None, *words, deadline=seconds)]
        try:
            answers = await self._cluster.on_each_master(words, self._until(seconds))
        except StoreUnavailableError:
            self._counts["failures"] += 1
            raise
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError):
                raise self._failed(_ReplyError(str(answer)))
        return answers

    def _until(self, deadline: float | None) -> float:
        return asyncio.get_running_loop().time() + (self._settings.timeout if deadline is None else deadline)

    async def _ask(self, key: str | None, words: Sequence[Word], until: float) -> Any:
        try:
            answer = await self._answer(key, words, until)
        except StoreUnavailableError:
            self._counts["failures"] += 1
            raise
        if isinstance(answer, hiredis.ReplyError):
            raise _ReplyError(str(answer))
        return answer

    def _answer(self, key: str | None, words: Sequence[Word], until: float) -> Awaitable[Any]:
        if (link := self._single) is None:
            if self._cluster is None:
                raise StoreUnavailableError("not started", asked=False)
            return self._cluster.ask(key, words, until)
        if not link.connections:
            return _first(link, words, until)
        return link.call(words, max(0.0, until - asyncio.get_running_loop().time()))

    def _link(self, where: Address | None) -> RedisLink:
        """Begin a connection to a node; None: to the one server that there is."""
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
        return link

    def _failed(self, error: _ReplyError) -> StoreUnavailableError:
        """An error in an answer's place. Of each kind the first is logged; a master that is none any more is left."""
        self._counts["failures"] += 1
        kind = error.words.partition(" ")[0]
        if kind in _DEMOTED and self._single is not None:
            self._single.drop(f"the server answers {kind}")
        if kind not in self._complained:
            self._complained.add(kind)
            # Redis' own words quote what it was asked, which holds ids.
            _log.error("Redis answers a call with an error: %s", kind)
        return StoreUnavailableError(f"Redis answered {kind}", alive=kind in _OF_ONE_CALL)


async def _first(link: RedisLink, words: Sequence[Word], until: float) -> Any:
    """Only just started: the first calls wait for the first connection."""
    await link.connected(until)
    return await link.call(words, max(0.0, until - asyncio.get_running_loop().time()))


class _ReplyError(Exception):
    """Redis answered with an error."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words
