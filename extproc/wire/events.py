"""What happened on a connection, for who serves it."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple, TypeAlias

from extproc.wire.grpc import Assembler, Opening


class Stream:
    """One call. Its number, path and timeout are for everybody; `context` belongs to who serves it; the rest is ours."""

    __slots__ = (
        "arrived",
        "backlog",
        "context",
        "deaf",
        "ended_at",
        "expected",
        "finished",
        "headers_sent",
        "inbox",
        "moved",
        "number",
        "path",
        "queue",
        "queued",
        "remote_closed",
        "still_since",
        "timeout",
        "trailers",
        "window_in",
        "window_out",
    )

    def __init__(self, number: int, opening: Opening, window_in: int, window_out: int, message_limit: int) -> None:
        self.number = number
        self.path = opening.path
        self.timeout = opening.timeout
        """Seconds that the peer will wait; None: it does not say."""
        self.context: Any = None
        self.inbox = Assembler(message_limit)
        self.backlog: deque[bytes] = deque()
        """Messages that wait for the answer to an earlier one."""
        self.window_in = window_in
        self.window_out = window_out
        self.queue: deque[memoryview] = deque()
        """What is to be sent, and the peer's window does not take yet."""
        self.queued = 0
        """What that is counted as, until all of it has gone."""
        self.moved = False
        """Whether some of it went since somebody looked."""
        self.still_since = 0.0
        self.trailers: bytes | None = None
        """The block that ends the stream, once the queue is empty."""
        self.headers_sent = False
        self.finished = False
        """We have said our last."""
        self.ended_at = 0.0
        self.remote_closed = False
        """The peer has said its last."""
        self.deaf = False
        """Nobody wants to know what still comes."""
        self.arrived = 0
        self.expected = opening.content_length

    def __repr__(self) -> str:
        return f"Stream({self.number})"


class Opened(NamedTuple):
    """A call began."""

    stream: Stream


class Message(NamedTuple):
    """A whole message arrived."""

    stream: Stream
    data: bytes


class HalfClosed(NamedTuple):
    """The peer has nothing more to say on this stream."""

    stream: Stream


class Cancelled(NamedTuple):
    """The stream is gone: whatever is still done for it is in vain. Nothing can be sent on it."""

    stream: Stream


class Writable(NamedTuple):
    """All that was to be sent on this stream is on its way."""

    stream: Stream


Event: TypeAlias = Opened | Message | HalfClosed | Cancelled | Writable
