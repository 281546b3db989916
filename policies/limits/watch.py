"""What workers learn from each other: limits set at run time, what models usually use, which tenants there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from extproc.tasks import spawn
from policies.limits.plan import Override
from policies.limits.registry import Registry
from policies.limits.store import StoreUnavailableError
from policies.limits.tokens.learned import Learned

_log = logging.getLogger(__name__)
_GLANCE: Final = 0.5
"""Seconds between looks at the overrides: a change counts everywhere within a second."""
_LEARNING: Final = 10
"""Looks at the overrides for each exchange of what was learned."""
_TELLING: Final = 600
"""Looks after which tenants are told again as they are seen: a store that has lost its data knows none."""
_REMEMBERED: Final = 100_000
_MODELS: Final = 1_000
_WITNESSES: Final = 10_000


class Watch:
    """Runs beside the exchanges of a worker. `start`, then `stop`."""

    __slots__ = (
        "_learned",
        "_learning",
        "_lease",
        "_new_tenants",
        "_registry",
        "_task",
        "_tenants",
        "_told",
        "_version",
        "_witnessed",
    )

    def __init__(self, registry: Registry, overrides: Callable[[Sequence[Override]], None], *, lease: float) -> None:
        """`overrides`: told all of them when they have changed. `lease`: seconds, of a reservation."""
        self._registry = registry
        self._told = overrides
        self._lease = lease
        self._version: int | None = None
        self._tenants: dict[str, str] = {}
        self._new_tenants: dict[str, str] = {}
        self._witnessed: list[str] = []
        self._learning: dict[str, Learned] = {}
        self._learned: Mapping[str, Learned] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = spawn(self._work(), name="limits: watch")

    async def stop(self) -> None:
        """Tell what has not been told yet."""
        if self._task is not None:
            self._task.cancel()
            # What it was about to tell is told below.
            await asyncio.wait([self._task])
        try:
            await self._tell()
            await self._teach()
        except StoreUnavailableError:
            if self._learning:
                _log.warning("what was learned of the use of tokens is lost: the store is away")

    @property
    def is_informed(self) -> bool:
        """Whether the overrides have been read once."""
        return self._version is not None

    def see(self, tenant: str, name: str) -> None:
        """There is such a tenant."""
        if self._tenants.get(tenant) != name:
            if len(self._tenants) >= _REMEMBERED:
                self._tenants.clear()
            self._tenants[tenant] = self._new_tenants[tenant] = name

    def witness(self, request_id: str) -> None:
        """An exchange ended before its verdict arrived."""
        if len(self._witnessed) < _WITNESSES:
            self._witnessed.append(request_id)

    def learn(self, model: str, estimated: int, actual: int, output: int) -> None:
        """What a call to this model was estimated to use, and what it used."""
        known = self._learning.get(model)
        if known is None:
            if len(self._learning) >= _MODELS:
                return
            known = self._learning[model] = Learned()
        known.add(estimated, actual, output)

    def learned(self, model: str) -> Learned | None:
        """What all workers know of this model."""
        return self._learned.get(model)

    async def look(self) -> None:
        """Read the overrides if they have changed."""
        version = await self._registry.version()
        if version != self._version:
            self._told(await self._registry.overrides())
            self._version = version

    async def _tell(self) -> None:
        while self._new_tenants:
            tenant, name = self._new_tenants.popitem()
            try:
                await self._registry.remember(tenant, name)
            except BaseException:
                self._new_tenants.setdefault(tenant, name)
                raise
        # So many at once: a flood of requests that are left would else keep the overrides from being read.
        for _ in range(_WITNESSES):
            if not self._witnessed:
                break
            # Taken out first: another may be put there meanwhile.
            request_id = self._witnessed.pop()
            try:
                await self._registry.witness(request_id, 2 * self._lease + 60)
            except BaseException:
                self._witnessed.append(request_id)
                raise

    async def _teach(self) -> None:
        while self._learning:
            model, sums = self._learning.popitem()
            try:
                await self._registry.learn(model, sums)
            except BaseException:
                self._learning.setdefault(model, sums)
                raise

    async def _work(self) -> None:
        count = 0
        while True:
            try:
                await self.look()
                await self._tell()
                if count % _LEARNING == 0:
                    await self._teach()
                    self._learned = await self._registry.learned()
                count += 1
                if count % _TELLING == 0:
                    self._tenants.clear()
            except StoreUnavailableError:
                pass
            except Exception as error:
                _log.error("looking at the limits' registry failed: %s", type(error).__name__, exc_info=error)
            await asyncio.sleep(_GLANCE)
