"""A store that fails as it is told to: before it has done what it was asked, or after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TypeVar

from policies.limits.memory_store import MemoryStore
from policies.limits.store import Answer, Ask, Overdue, StoreUnavailableError, Used

T = TypeVar("T")


class Fate(StrEnum):
    """What becomes of a call."""

    ANSWERED = "answered"
    FAILED = "failed"
    """It was not done."""
    LOST = "lost"
    """It was done, and the answer was lost."""
    BROKEN = "broken"
    """A programming mistake."""
    REFUSED = "refused"
    """The store answers that it cannot do this one."""
    STUCK = "stuck"
    """No answer ever comes."""


class FailingStore:
    """A `MemoryStore` whose calls have the `fates` they are given, one after the other, and then `usual`."""

    def __init__(self, store: MemoryStore, fates: Iterable[Fate] = (), usual: Fate = Fate.ANSWERED) -> None:
        self.store = store
        self.fates: Iterator[Fate] = iter(fates)
        self.usual = usual
        self.calls: list[str] = []
        self.tenants_away: set[str] = set()
        """Those whose every call fails."""

    async def reserve(self, ask: Ask) -> Answer:
        return await self._call(f"reserve {ask.id}", ask.tenant, lambda: self.store.reserve_now(ask))

    async def settle(self, tenant: str, reservation: str, used: Used) -> bool:
        done = await self._call(f"settle {reservation}", tenant, lambda: self.store.settle_now(tenant, reservation, used))
        return bool(done)

    async def settle_all(self, settlements: Sequence[tuple[str, str, Used]]) -> Sequence[bool | None]:
        return [await self._settled(*one) for one in settlements]

    async def _settled(self, tenant: str, reservation: str, used: Used) -> bool | None:
        try:
            return await self.settle(tenant, reservation, used)
        except StoreUnavailableError:
            return None

    async def overdue(self, tenant: str, most: int) -> Sequence[Overdue]:
        found = await self.store.overdue(tenant, most)
        return await self._call(f"overdue {tenant}", tenant, lambda: found)

    async def expire(self, tenant: str, reservation: str) -> bool:
        await self._call(f"expire {reservation}", tenant, lambda: None)
        return await self.store.expire(tenant, reservation)

    async def _call(self, name: str, tenant: str, work: Callable[[], T]) -> T:
        self.calls.append(name)
        fate = Fate.FAILED if tenant in self.tenants_away else next(self.fates, self.usual)
        # As a real one: not at once.
        await asyncio.sleep(0)
        if fate is Fate.FAILED:
            raise StoreUnavailableError("no connection")
        if fate is Fate.REFUSED:
            raise StoreUnavailableError("Redis answered WRONGTYPE", alive=True)
        if fate is Fate.BROKEN:
            raise RuntimeError("broken")
        if fate is Fate.STUCK:
            await asyncio.Event().wait()
        answer = work()
        if fate is Fate.LOST:
            raise StoreUnavailableError("no answer in time")
        return answer
