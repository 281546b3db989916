"""A registry in memory: what workers of one process learn from each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from policies.limits.plan import Override
from policies.limits.registry import Change
from policies.limits.store import StoreUnavailableError
from policies.limits.tokens.learned import Learned


class MemoryRegistry:
    """See `policies.limits.registry.Registry`. While it is `away`, nothing of it can be asked.

    Attributes:
        calls: names of the methods that were called, failed calls among them.
        gate: where set, every call waits here before it does anything; each `release` lets one pass.
    """

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self.away = False
        self.gate: asyncio.Semaphore | None = None
        self.calls: list[str] = []
        self.names: dict[str, str] = {}
        self.set: list[Override] = []
        self.changes = 0
        self.ended: dict[str, float] = {}
        self.sums: dict[str, Learned] = {}
        self.history: list[Change] = []
        self.last_told = ""
        self._office = ("", 0.0)

    def change(self, *overrides: Override) -> None:
        """Somebody sets these at run time, in place of all former ones."""
        self.set = list(overrides)
        self.changes += 1

    async def remember(self, tenant: str, name: str) -> None:
        await self._asked("remember")
        self.names[tenant] = name

    async def tenants(self) -> Mapping[str, str]:
        await self._asked("tenants")
        return dict(self.names)

    async def version(self) -> int:
        await self._asked("version")
        return self.changes

    async def overrides(self) -> Sequence[Override]:
        await self._asked("overrides")
        return list(self.set)

    async def witness(self, request_id: str, seconds: float) -> None:
        await self._asked("witness")
        self.ended[request_id] = self._clock() + seconds

    async def witnessed(self, request_id: str) -> bool:
        await self._asked("witnessed")
        return self.ended.get(request_id, 0.0) > self._clock()

    async def learn(self, model: str, sums: Learned) -> None:
        await self._asked("learn")
        known = self.sums.setdefault(model, Learned())
        for name in Learned.__struct_fields__:
            setattr(known, name, getattr(known, name) + getattr(sums, name))

    async def learned(self) -> Mapping[str, Learned]:
        await self._asked("learned")
        return dict(self.sums)

    async def untold(self, most: int) -> Sequence[Change]:
        await self._asked("untold")
        return [change for change in self.history if change.id > self.last_told][:most]

    async def told(self, change: str) -> None:
        await self._asked("told")
        self.last_told = change

    async def elected(self, candidate: str, seconds: float) -> bool:
        await self._asked("elected")
        holder, until = self._office
        if holder != candidate and until > self._clock():
            return False
        self._office = candidate, self._clock() + seconds
        return True

    async def _asked(self, name: str) -> None:
        self.calls.append(name)
        if self.gate is not None:
            await self.gate.acquire()
        if self.away:
            raise StoreUnavailableError("away")
