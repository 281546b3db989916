"""Who waits for the journal: in order of sequence, each until a deadline."""

from __future__ import annotations

import asyncio
from collections import deque

from policies.audit.journal.settings import JournalError


class Waiting:
    """Those who wait until all records up to theirs have come as far as it takes."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, float, asyncio.Future[None]]] = deque()

    def join(self, sequence: int, deadline: float, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Wait for a record; neither sequences nor deadlines go back."""
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((sequence, deadline, future))
        return future

    def reached(self, sequence: int) -> None:
        """All up to this record are there."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= sequence:
            future = waiting.popleft()[2]
            if not future.done():
                future.set_result(None)

    def late(self, now: float, why: str) -> bool:
        """Fail those whose time is over. Whether there was one who still waited."""
        late = False
        while self._waiting and self._waiting[0][1] <= now:
            late |= self._fail(self._waiting.popleft()[2], why)
        return late

    def fail(self, why: str) -> None:
        """Fail them all."""
        while self._waiting:
            self._fail(self._waiting.popleft()[2], why)

    @property
    def next(self) -> float | None:
        """The next deadline; None if nobody waits."""
        return self._waiting[0][1] if self._waiting else None

    @staticmethod
    def _fail(future: asyncio.Future[None], why: str) -> bool:
        if future.done():
            return False
        future.set_exception(JournalError(why))
        return True
