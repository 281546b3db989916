"""The streams of a connection, and the ways in which they end."""

from __future__ import annotations

from collections import Counter
from typing import Final

from extproc.wire import frames
from extproc.wire.events import Cancelled, Event, Message, Stream
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.grpc import MessageError, Status, trailers, trailers_only
from extproc.wire.limits import MESSAGE_COST, Allowances, Limits, Memory
from extproc.wire.outbox import Outbox

_SHUNNED: Final = 1_000
_TOO_MUCH: Final = MessageError(Status.RESOURCE_EXHAUSTED, "too_much_buffered", "too many messages in flight")


class Streams:
    """Those that are open, by number; and those that we reset, whose frames may still be under way."""

    __slots__ = ("_allowances", "_limits", "_memory", "_out", "_shunned", "last", "now", "open", "opened", "violations")

    def __init__(self, limits: Limits, memory: Memory, out: Outbox) -> None:
        self._limits = limits
        self._allowances = Allowances(limits)
        self._memory = memory
        self._out = out
        self._shunned: dict[int, None] = {}
        self.open: dict[int, Stream] = {}
        self.last = 0
        """The highest number that the peer has used."""
        self.opened = 0
        self.violations: Counter[str] = Counter()
        self.now = 0.0

    def add(self, stream: Stream) -> None:
        self.open[stream.number] = stream
        self.opened += 1

    def is_shunned(self, number: int) -> bool:
        """Whether we have reset it, so that the peer may not know yet."""
        return number in self._shunned

    def check_not_idle(self, number: int, name: str) -> None:
        """
        Raises:
            PeerError: the peer speaks on a stream that it has not opened.
        """
        if number > self.last or not number & 1:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, name)

    def spend(self, name: str) -> None:
        """
        Raises:
            PeerError: the peer has done this too often.
        """
        if not self._allowances.spend(name, self.now):
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, name)

    def finish(self, stream: Stream, status: Status, text: str) -> None:
        """We say our last, after all that was sent."""
        if not stream.finished:
            self.finish_with(stream, trailers(status, text) if stream.headers_sent else trailers_only(status, text))
            if stream.remote_closed and not stream.queue:
                self.drop(stream)

    def finish_with(self, stream: Stream, block: bytes) -> None:
        """We say our last, in these words."""
        stream.finished = True
        stream.ended_at = self.now
        self._out.finish(stream, block)

    def drop(self, stream: Stream) -> None:
        """The stream is over on both sides."""
        del self.open[stream.number]
        self._memory.used -= stream.inbox.held + sum(MESSAGE_COST + len(message) for message in stream.backlog)
        stream.inbox.clear()
        stream.backlog.clear()
        self._out.forget(stream)

    def shun(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream from our side, whatever the peer still sends."""
        self.drop(stream)
        self.ignore(stream.number)
        self._out.put(frames.rst_stream(stream.number, code))

    def ignore(self, number: int) -> None:
        """Let pass what still comes for this stream."""
        self._shunned[number] = None
        if len(self._shunned) > _SHUNNED:
            del self._shunned[next(iter(self._shunned))]

    def refuse(self, number: int, code: ErrorCode, name: str) -> None:
        """End a stream that nobody has been told of."""
        self.ignore(number)
        self._out.put(frames.rst_stream(number, code))
        self._count(name)

    @staticmethod
    def cancel(stream: Stream, events: list[Event]) -> None:
        """Tell the server that a stream is gone, unless it has said its last."""
        if not stream.finished:
            stream.finished = True
            events.append(Cancelled(stream))

    def fault(self, stream: Stream, code: ErrorCode, name: str, events: list[Event]) -> None:
        """End a stream whose peer broke a rule of HTTP/2."""
        self.cancel(stream, events)
        self.shun(stream, code)
        self._count(name)

    def abort(self, stream: Stream, error: MessageError, events: list[Event]) -> None:
        """End a call whose messages cannot be taken, with a status that says why."""
        if not stream.finished:
            self._out.forget(stream)
            block = trailers if stream.headers_sent else trailers_only
            self._out.finish(stream, block(error.status, error.text))
        self.cancel(stream, events)
        self.shun(stream, ErrorCode.NO_ERROR)
        self._count(error.name)

    def take_messages(self, stream: Stream, payload: bytes, events: list[Event]) -> bool:
        """False: the call had to be ended.

        Raises:
            PeerError: that happened too often.
        """
        inbox = stream.inbox
        held = inbox.held
        fault = None
        try:
            for message in inbox.feed(payload):
                events.append(Message(stream, message))
        except MessageError as error:
            fault = error
        if inbox.held != held:
            self._memory.used += inbox.held - held
            if self._memory.used > self._limits.buffered:
                fault = fault or _TOO_MUCH
        if fault is not None:
            self.abort(stream, fault, events)
        return fault is None

    def postpone(self, stream: Stream, message: bytes) -> None:
        stream.backlog.append(message)
        self._memory.used += MESSAGE_COST + len(message)

    def next(self, stream: Stream) -> bytes | None:
        """The first message that was postponed; None: there is none."""
        if not stream.backlog:
            return None
        message = stream.backlog.popleft()
        self._memory.used -= MESSAGE_COST + len(message)
        self.replenish(stream)
        return message

    def replenish(self, stream: Stream) -> None:
        """Let the peer send more, unless what it sent before still waits."""
        window = self._limits.stream_window
        if stream.window_in < window >> 1 and not stream.backlog and not stream.remote_closed:
            self._out.put(frames.window_update(stream.number, window - stream.window_in))
            stream.window_in = window

    def check_memory(self, stream: Stream, events: list[Event]) -> None:
        """End a stream that has just asked for more than all may hold.

        Raises:
            PeerError: that happened too often.
        """
        if self._memory.used > self._limits.buffered:
            self.abort(stream, _TOO_MUCH, events)

    def look(self, events: list[Event]) -> None:
        """End the streams whose peer does not take its answer, or has taken it and does not end its half.

        RFC 9113, section 8.1, for the latter: RST_STREAM with NO_ERROR is no complaint.

        Raises:
            PeerError: the former happened too often.
        """
        patience = self._limits.patience
        for stream in list(self.open.values()):
            if stream.queue:
                if stream.moved:
                    stream.moved, stream.still_since = False, self.now
                elif self.now - stream.still_since > patience:
                    self.fault(stream, ErrorCode.CANCEL, "answer_not_taken", events)
            elif stream.finished and self.now - stream.ended_at > patience:
                self.shun(stream, ErrorCode.NO_ERROR)

    def _count(self, name: str) -> None:
        self.violations[name] += 1
        self.spend("too_many_faults")
