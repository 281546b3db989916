"""Exchanges that ended before their verdict arrived: others are told once that is on record, as a settlement is.

Told before, a worker that is killed leaves a reservation that is given back, and a record that says nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from extproc.tasks import spawn

_MOST: Final = 10_000


class Witnesses:
    """Between settlement and whoever tells the others. `saw`, then `stop`."""

    def __init__(self, recorded: Callable[[], Awaitable[None]], tell: Callable[[str], None]) -> None:
        """`recorded`: waits until the record of what has been settled is written. `tell`: tells others of a request."""
        self._recorded = recorded
        self._tell = tell
        self._waiting: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def saw(self, request_id: str) -> None:
        """An exchange ended before its verdict arrived. Of too many some are not told: their leases end."""
        if len(self._waiting) >= _MOST:
            return
        self._waiting.append(request_id)
        if self._task is None or self._task.done():
            self._task = spawn(self._work(), name="limits: witness")

    async def _work(self) -> None:
        while self._waiting:
            # Those that come while it waits may not be on record yet.
            count = len(self._waiting)
            await self._recorded()
            for request_id in self._waiting[:count]:
                self._tell(request_id)
            del self._waiting[:count]

    async def stop(self, grace: float) -> None:
        """Wait for what is on its way to the record, for at most `grace` seconds."""
        if self._task is None or self._task.done():
            return
        await asyncio.wait((self._task,), timeout=grace)
        self._task.cancel()
