"""What happened is written down however long that takes, and nothing is settled before.

So counters and record agree after a kill, also where the disk was full.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any, Final

from extproc.tasks import spawn
from policies.audit.journal.settings import JournalError
from policies.audit.journal.writer import JournalWriter

_PAUSE: Final = 0.05
"""Seconds between looks at a journal that is full."""
_MOST: Final = 10_000


class Insisting:
    """Between a journal and what must stand in it. `stop` it before the journal.

    Attributes:
        lost: how many records were held and turned out to be none that can be written.
    """

    def __init__(self, writer: JournalWriter, *, closed: bool) -> None:
        """`closed`: nothing is dropped where the journal is full (`full: closed`)."""
        self._writer = writer
        self._closed = closed
        self._waiting: deque[dict[str, Any]] = deque()
        self._drained: asyncio.Future[None] | None = None
        self._stopped = False
        self.lost = 0

    @property
    def held(self) -> int:
        """Records for which there has not been room yet."""
        return len(self._waiting)

    def append(self, fields: dict[str, Any]) -> Awaitable[None] | None:
        """Append a record; where the journal is full, later, in order.

        Returns:
            What to await before more is brought, where it is held: it is appended all the same if nobody does.

        Raises:
            JournalError: it can never be written, or too many are held.
        """
        if not self._waiting:
            try:
                self._writer.append(fields)
            except JournalError:
                if self._stopped or self._writer.accepts:
                    raise
            else:
                return None
            self._drained = asyncio.get_running_loop().create_future()
            spawn(self._drain(self._drained), name="audit: held")
        elif self._stopped or len(self._waiting) >= _MOST:
            raise JournalError("too much waits for room in the journal")
        self._waiting.append(fields)
        return asyncio.shield(self._drained) if self._drained is not None else None

    async def _drain(self, drained: asyncio.Future[None]) -> None:
        while self._waiting:
            # What is held at the end stays so: what it would have said is not settled either.
            if self._stopped:
                return
            try:
                self._writer.append(self._waiting[0])
            except JournalError:
                if not self._writer.accepts:
                    await asyncio.sleep(_PAUSE)
                    continue
                self.lost += 1
            self._waiting.popleft()
        drained.set_result(None)

    async def written(self) -> None:
        """All that was appended, now or for later, is in the file. With `full: open` it may be among what was dropped.

        Where it cannot be written this does not end: what waits for it is found undone by the next process, or is closed
        as it was reserved.
        """
        while True:
            try:
                if not self._waiting:
                    await self._writer.written()
                    return
            except JournalError:
                if not self._closed:
                    return
            await asyncio.sleep(_PAUSE)

    def stop(self) -> None:
        """What was not appended by now never will be."""
        self._stopped = True
