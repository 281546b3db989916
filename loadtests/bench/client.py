"""A client's side of HTTP/1.1: keep-alive, no pipelining, and the moment at which every chunk of a stream came."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EVENTS: Final = re.compile(rb"\r\ncontent-type: *text/event-stream", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_EVENT_END: Final = b"\n\n"
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


class Answer:
    """One answer while it arrives: enough of HTTP/1.1 to know when it is complete, and when its events were."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._needed: int | None = None
        self._chunked = False
        self._streams = False
        self._searched = 0
        self.ok = False
        self.events: list[float] = []
        """When each server-sent event was complete, in seconds of the monotonic clock."""

    def feed(self, data: bytes, now: float) -> bool:
        """Take in bytes that came at `now`; True when the answer is complete."""
        self._data += data
        if self._needed is None and not self._read_head():
            return False
        if self._streams:
            # An event that is cut in two ends with the later piece.
            found = self._data.count(_EVENT_END, self._searched)
            if found:
                self.events += [now] * found
                self._searched = self._data.rfind(_EVENT_END) + len(_EVENT_END)
        if self._chunked:
            return self._data.endswith(_LAST_CHUNK)
        return self._needed is not None and len(self._data) >= self._needed

    def _read_head(self) -> bool:
        end = self._data.find(_HEAD_END)
        if end < 0:
            return False
        head = bytes(self._data[:end])
        self.ok = head.startswith(b"HTTP/1.1 200 ")
        self._chunked = _CHUNKED.search(head) is not None
        self._streams = _EVENTS.search(head) is not None
        length = _LENGTH.search(head)
        self._searched = end + len(_HEAD_END)
        self._needed = self._searched + (int(length[1]) if length else 0)
        return True


class Client(asyncio.Protocol):
    """One connection. `done` is told of every answer; `lost` when the connection is gone."""

    def __init__(self, request: bytes, done: Callable[[Client, Answer], None], lost: Callable[[Client], None]) -> None:
        self._request = request
        self._done = done
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self.due = 0.0
        self.sent = 0.0
        self.finished = 0.0

    @property
    def busy(self) -> bool:
        return self._answer is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, due: float | None = None) -> None:
        """Send the request. `due`: when it should have been sent, if that is not now."""
        self._answer = Answer()
        self.sent = time.monotonic()
        self.due = self.sent if due is None else due
        if self._transport is not None:
            self._transport.write(self._request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        answer = self._answer
        if answer is not None and answer.feed(data, now):
            self._answer = None
            self.finished = now
            self._done(self, answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)
