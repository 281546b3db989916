"""Settlement: from messages of Envoy's access log to completions, off the path of decisions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from typing import Final

from extproc import completion_log
from extproc.access_log import read_entry
from extproc.chain import Chain
from extproc.log import emit, lines_lost
from extproc.protos import Message, StreamAccessLogsMessage
from extproc.tasks import ends_us, spawn
from extproc.travel import Travel

_log = logging.getLogger(__name__)
_SLICE: Final = 0.0005
"""Seconds of settling at a stretch."""
_QUEUE_BYTES: Final = 256 * 1024 * 1024


class Settlement:
    """A queue of access log messages, and the task that settles them. `start`, `take`, then `stop`."""

    __slots__ = ("_bytes", "_chain", "_completions", "_dropped", "_messages", "_task", "_travel")

    def __init__(self, chain: Chain, travel: Travel) -> None:
        self._chain = chain
        self._travel = travel
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._bytes = 0
        self._completions = self._dropped = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = spawn(self._settle(), name="settlement")

    def take(self, message: bytes) -> None:
        """Settle the entries of one `StreamAccessLogsMessage` in time. Returns at once."""
        # Bounded: Envoy does not wait for us, and a flood must not take our memory.
        if self._bytes + len(message) > _QUEUE_BYTES:
            # Nothing is under-counted: what is not settled stays reserved.
            self._dropped += 1
            _log.error("an access log message was dropped: settlement is behind")
            return
        self._bytes += len(message)
        self._messages.put_nowait(message)

    def counters(self) -> Mapping[str, int]:
        """What has happened since the start: completions, messages that were dropped, lines that nobody could take."""
        return {
            "completions": self._completions,
            "access_log_messages_dropped": self._dropped,
            "log_lines_lost": lines_lost(),
        }

    async def stop(self, grace: float) -> None:
        """Settle what has been taken, for at most `grace` seconds."""
        try:
            async with asyncio.timeout(grace):
                await self._messages.join()
        except TimeoutError:
            _log.error("stopped with %d access log messages unsettled", self._messages.qsize())
        if self._task is not None:
            self._task.cancel()

    async def _settle(self) -> None:
        while True:
            message = await self._messages.get()
            try:
                await self._settle_message(message)
            finally:
                self._bytes -= len(message)
                self._messages.task_done()

    async def _settle_message(self, data: bytes) -> None:
        try:
            message = StreamAccessLogsMessage.FromString(data)
        except Exception as error:
            _log.error("an access log message cannot be read: %s", type(error).__name__)
            return
        lines: list[bytes] = []
        began = time.perf_counter()
        try:
            for entry in message.http_logs.log_entry:
                pending = self._settle_entry(entry, lines)
                late = time.perf_counter() - began > _SLICE
                if late or pending is not None:
                    _write(lines)
                    # Decisions come first: whoever waits for one is served in between.
                    await (pending if pending is not None else asyncio.sleep(0))
                    began = time.perf_counter()
        finally:
            _write(lines)

    def _settle_entry(self, entry: Message, lines: list[bytes]) -> Awaitable[None] | None:
        """Settle one entry. Its line is put to `lines`: a write for each would cost 4 us."""
        try:
            completion = read_entry(entry, self._travel)
            if completion is None:
                return None
            self._completions += 1
            lines.append(completion_log.line(completion))
            return self._chain.settle(completion)
        except BaseException as error:
            if ends_us(error):
                raise
            _log.exception("an access log entry could not be settled")
            return None


def _write(lines: list[bytes]) -> None:
    if lines:
        emit(*lines)
        lines.clear()
