"""Closings are written however long it takes, and nothing is settled before: counters and record agree after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from extproc.tasks import spawn
from policies.audit.journal.settings import JournalError
from policies.audit.journal.writer import JournalWriter

_PAUSE: Final = 0.05
"""Seconds between looks at a journal that is full."""


class Insisting:
    """Between a journal and what must stand in it. `stop` it before the journal."""

    def __init__(self, writer: JournalWriter, *, closed: bool) -> None:
        """`closed`: nothing is dropped where the journal is full (`full: closed`)."""
        self._writer = writer
        self._closed = closed
        self._held = 0
        self._stopped = False

    @property
    def held(self) -> int:
        """Records for which there has not been room yet."""
        return self._held

    def append(self, fields: dict[str, Any]) -> Awaitable[None] | None:
        """Append a record; where the journal is full, later: whoever awaits that need not bring more meanwhile.

        To give up waiting changes nothing: it is appended all the same.

        Raises:
            JournalError: it can never be written. Also what is awaited may raise it.
        """
        try:
            self._writer.append(fields)
        except JournalError:
            if self._stopped or self._writer.accepts:
                raise
            self._held += 1
            return asyncio.shield(spawn(self._later(fields), name="audit: closing"))
        return None

    async def _later(self, fields: dict[str, Any]) -> None:
        while not self._stopped:
            if self._writer.accepts:
                try:
                    self._writer.append(fields)
                except JournalError:
                    if self._writer.accepts:
                        self._held -= 1
                        raise
                else:
                    self._held -= 1
                    return
            await asyncio.sleep(_PAUSE)
        # It stays held: what it would have said is not settled either.

    async def written(self) -> None:
        """All that was appended, now or for later, is in the file. With `full: open` it may be among what was dropped.

        Where it cannot be written this does not end: what waits for it is found undone by the next process, or is closed
        as it was reserved.
        """
        while True:
            try:
                if not self._held:
                    await self._writer.written()
                    return
            except JournalError:
                if not self._closed:
                    return
            await asyncio.sleep(_PAUSE)

    def stop(self) -> None:
        """What was not appended by now never will be."""
        self._stopped = True
