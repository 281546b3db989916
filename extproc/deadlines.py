"""Time limits of many who wait, looked at together.

`asyncio.timeout` makes a timer for each who waits: 4 us, for one that hardly ever rings. Here all share one, which rings
every 10 ms while anybody waits: so much later than its deadline may an await end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

T = TypeVar("T")

TICK: Final = 0.01
"""Seconds between looks at who has waited too long."""


class Deadlines:
    """Shared by all who wait on one event loop."""

    __slots__ = ("_timer", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, pending: Awaitable[T], deadline: float) -> T:
        """What `pending` gives. `deadline`: by the clock of the event loop. A task can wait for one thing at a time.

        Raises:
            TimeoutError: the deadline has passed, and `pending` was cancelled.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        cancelling = task.cancelling()
        self._waiting[task] = deadline
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._look)
        try:
            found = await pending
        except BaseException as error:
            # Cancelled by us, and by nobody else beside us (as `asyncio.Timeout` tells them apart).
            if self._took(task) and task.uncancel() <= cancelling and isinstance(error, asyncio.CancelledError):
                raise TimeoutError from error
            raise
        if self._took(task):
            task.uncancel()
        return found

    def _took(self, task: asyncio.Task[Any]) -> bool:
        """Take a task from the list; True if `_look` has done so, and cancelled it."""
        return self._waiting.pop(task, None) is None

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [task for task, deadline in self._waiting.items() if deadline <= now]
        for task in late:
            # Out of the list it knows why it was cancelled.
            del self._waiting[task]
            task.cancel()
        self._timer = loop.call_later(TICK, self._look)
