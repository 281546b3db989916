"""The sending half of a connection: frames in order, within the windows that the peer has granted. RFC 9113, section 5.2.

A stream's answer goes out at once where the windows take it whole, which is nearly always. What they do not take waits on
its stream, and the streams take turns. Memory: who serves a stream gives it no second message before the first has gone
(`Writable`), and no more than `_AHEAD` bytes are made into frames before the socket has taken them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from extproc.wire import frames
from extproc.wire.events import Event, Stream, Writable
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.grpc import HEADERS_BLOCK

_AHEAD: Final = 1024 * 1024
_OPENING: Final = frames.END_HEADERS
_CLOSING: Final = frames.END_HEADERS | frames.END_STREAM


class Outbox:
    """Frames on their way to the peer."""

    def __init__(self) -> None:
        self.window = frames.DEFAULT_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        """Of a new stream."""
        self._ready: list[bytes] = []
        self._ahead = 0
        self._waiting: dict[int, Stream] = {}

    @property
    def has_waiting(self) -> bool:
        """Whether messages wait for a window, or for the socket."""
        return bool(self._waiting)

    def put(self, frame: bytes) -> None:
        """A frame that no window holds back."""
        self._ready.append(frame)

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
            self._ready.append(frames.frame(frames.HEADERS, _OPENING, stream.number, HEADERS_BLOCK))
        size = len(message) + 5
        if size <= self.window and size <= stream.window_out and size <= frames.MAX_FRAME and not stream.queue:
            self.window -= size
            stream.window_out -= size
            self._ready.append(frames.message_frame(stream.number, message))
            return
        stream.queue.append(memoryview(b"\0" + (size - 5).to_bytes(4, "big")))
        if message:
            stream.queue.append(memoryview(message))
        self._waiting[stream.number] = stream

    def finish(self, stream: Stream, block: bytes) -> None:
        """End a stream with these trailers, after all that waits on it."""
        if stream.queue:
            stream.trailers = block
        else:
            self._ready.append(frames.frame(frames.HEADERS, _CLOSING, stream.number, block))

    def forget(self, stream: Stream) -> None:
        """Drop all that waits on a stream."""
        stream.queue.clear()
        stream.trailers = None
        self._waiting.pop(stream.number, None)

    def pump(self, events: list[Event]) -> list[Stream]:
        """Make frames of what waits, as far as the windows allow. The streams that have come to their end thereby."""
        ended: list[Stream] = []
        while self._waiting:
            moved = False
            for stream in list(self._waiting.values()):
                if self._ahead >= _AHEAD or self.window <= 0:
                    return ended
                if stream.window_out > 0:
                    moved = True
                    self._send_some(stream)
                if not stream.queue:
                    del self._waiting[stream.number]
                    if stream.trailers is None:
                        events.append(Writable(stream))
                    else:
                        self.finish(stream, stream.trailers)
                        ended.append(stream)
            if not moved:
                break
        return ended

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
