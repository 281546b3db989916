"""The sending half of a connection: frames in order, within the windows that the peer has granted. RFC 9113, section 5.2.

A stream's answer goes out at once where the windows take it whole, which is nearly always. What they do not take waits on
its stream, and the streams whose windows are open take turns: every turn sends something, so that a peer that opens
windows byte by byte costs no more than its bytes. Memory: what waits is counted; who serves a stream gives it no second
message before the first has gone (`Writable`); no more than `_AHEAD` bytes become frames before the socket takes them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from extproc.wire import frames
from extproc.wire.events import Event, Stream, Writable
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.grpc import HEADERS_BLOCK
from extproc.wire.limits import Memory

_AHEAD: Final = 1024 * 1024
_OPENING: Final = frames.END_HEADERS
_CLOSING: Final = frames.END_HEADERS | frames.END_STREAM
_TABLE_OF_NOTHING: Final = b"\x20"
"""A header block that begins so says that our encoder's table has no room. RFC 7541, section 6.3."""


class Outbox:
    """Frames on their way to the peer."""

    __slots__ = ("_ahead", "_memory", "_prefix", "_ready", "_table_dropped", "_waiting", "initial_window", "window")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.window = frames.DEFAULT_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        """Of a new stream."""
        self._ready: list[bytes] = []
        self._ahead = 0
        self._prefix = b""
        self._table_dropped = False
        self._waiting: OrderedDict[int, Stream] = OrderedDict()
        """Those whose own window is open."""

    @property
    def has_waiting(self) -> bool:
        """Whether there may be something for `pump` to do."""
        return bool(self._waiting) and self.window > 0

    def put(self, frame: bytes) -> None:
        """A frame that no window holds back."""
        self._ready.append(frame)

    def drop_table(self) -> None:
        """The peer wants the table of our encoder smaller than it begins: the next header block must say so.

        RFC 9113, section 4.3.1. We never use it, so that we may say for good that it has no room.
        """
        if not self._table_dropped:
            self._table_dropped = True
            self._prefix = _TABLE_OF_NOTHING

    def take(self) -> bytes:
        """All bytes that are ready for the socket."""
        if not self._ready:
            return b""
        data = b"".join(self._ready)
        self._ready.clear()
        self._ahead = 0
        return data

    def send(self, stream: Stream, message: bytes) -> None:
        """Send a message on a stream that has not been finished."""
        if not stream.headers_sent:
            stream.headers_sent = True
            self._put_headers(_OPENING, stream, HEADERS_BLOCK)
        size = len(message) + 5
        if size <= self.window and size <= stream.window_out and size <= frames.MAX_FRAME and not stream.queue:
            self.window -= size
            stream.window_out -= size
            self._ready.append(frames.message_frame(stream.number, message))
            return
        stream.queue.append(memoryview(b"\0" + (size - 5).to_bytes(4, "big")))
        if message:
            stream.queue.append(memoryview(message))
        stream.queued += size
        stream.moved = True
        self._memory.used += size
        self.resume(stream)

    def _put_headers(self, flags: int, stream: Stream, block: bytes) -> None:
        if self._prefix:
            block, self._prefix = self._prefix + block, b""
        self._ready.append(frames.frame(frames.HEADERS, flags, stream.number, block))

    def resume(self, stream: Stream) -> None:
        """Let a stream take its turns, if there is something to be sent and its window is open."""
        if stream.queue and stream.window_out > 0:
            self._waiting[stream.number] = stream

    def finish(self, stream: Stream, block: bytes) -> None:
        """End a stream with these trailers, after all that waits on it."""
        if stream.queue:
            stream.trailers = block
        else:
            self._put_headers(_CLOSING, stream, block)

    def forget(self, stream: Stream) -> None:
        """Drop all that waits on a stream."""
        stream.queue.clear()
        self._release(stream)
        stream.trailers = None
        self._waiting.pop(stream.number, None)

    def pump(self, events: list[Event]) -> list[Stream]:
        """Make frames of what waits, as far as the windows allow. The streams that have come to their end thereby."""
        ended: list[Stream] = []
        while self._waiting and self.window > 0 and self._ahead < _AHEAD:
            _, stream = self._waiting.popitem(last=False)
            self._send_some(stream)
            if stream.queue:
                self.resume(stream)
                continue
            self._release(stream)
            if stream.trailers is None:
                events.append(Writable(stream))
            else:
                self.finish(stream, stream.trailers)
                ended.append(stream)
        return ended

    def _release(self, stream: Stream) -> None:
        self._memory.used -= stream.queued
        stream.queued = 0

    def _send_some(self, stream: Stream) -> None:
        """One DATA frame, as large as may be."""
        room = min(self.window, stream.window_out, frames.MAX_FRAME)
        parts: list[bytes | memoryview] = []
        size = 0
        while stream.queue and size < room:
            view = stream.queue[0]
            part = view[: room - size]
            if len(part) == len(view):
                stream.queue.popleft()
            else:
                stream.queue[0] = view[len(part) :]
            parts.append(part)
            size += len(part)
        self.window -= size
        stream.window_out -= size
        stream.moved = True
        self._ahead += size
        self._ready.append(b"".join((frames.data_head(size, stream.number), *parts)))

    def widen(self, increment: int) -> None:
        """The peer takes so many bytes more on the connection.

        Raises:
            PeerError: more than a window can be.
        """
        self.window += increment
        if self.window > frames.MAX_WINDOW:
            raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "window_overflow")

    def resize(self, initial: int, streams: Iterable[Stream]) -> None:
        """The peer has changed the initial window: that of every open stream changes by the difference, even below zero.

        Raises:
            PeerError: more than a window can be.
        """
        change = initial - self.initial_window
        self.initial_window = initial
        for stream in streams:
            stream.window_out += change
            if stream.window_out > frames.MAX_WINDOW:
                raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "window_overflow")
            if stream.queue:
                if stream.window_out > 0:
                    self._waiting[stream.number] = stream
                else:
                    self._waiting.pop(stream.number, None)
