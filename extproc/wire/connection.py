"""One HTTP/2 connection, seen from the server: bytes in, events out; messages in, bytes out. No I/O, no clock.

Theory of operation. `receive` takes whatever the socket gave, and returns what happened. `send`, `finish` and their like
make frames, which `take` hands over for one write. `tick` is called about once a second. Once `is_closed`, the bytes of
`take` are the last.

A *violation* is a rule that the peer broke. It ends its stream, or the connection with a GOAWAY, as RFC 9113 says for it,
and is counted by name. Frames of streams that we have reset ourselves may still be under way: they are let pass, for the
last thousand of those streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from extproc.wire import control, frames
from extproc.wire.events import Event, HalfClosed, Opened, Stream
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.grpc import MessageError, Status
from extproc.wire.headers import HeaderReader
from extproc.wire.limits import Limits, Memory
from extproc.wire.outbox import Outbox
from extproc.wire.reader import FrameReader
from extproc.wire.streams import Streams

_DRAIN_PING: Final = b"draining"
_ALIVE_PING: Final = b"alive?.."


class Connection:
    """The state of one connection."""

    __slots__ = (
        *("_asked", "_began", "_draining", "_due", "_gone", "_headers", "_heard"),
        *("_limits", "_memory", "_out", "_reader", "_streams", "_window_in", "is_closed"),
    )

    def __init__(self, limits: Limits, now: float, memory: Memory | None = None) -> None:
        """
        Args:
            now: seconds of a clock that never goes back, here and in every method.
            memory: what all connections of a server hold together; by default one of its own.
        """
        self._limits = limits
        self._memory = memory or Memory()
        self._began = self._heard = now
        self._asked = float("-inf")
        self._reader = FrameReader(limits)
        self._headers = HeaderReader(limits)
        self._out = Outbox(self._memory)
        self._streams = Streams(limits, self._memory, self._out)
        self._window_in = limits.connection_window
        self._due: list[Event] = []
        self._draining = False
        self._gone = False
        self.is_closed = False
        told = {
            frames.HEADER_TABLE_SIZE: 0,
            frames.MAX_CONCURRENT_STREAMS: limits.streams,
            frames.INITIAL_WINDOW_SIZE: limits.stream_window,
            frames.MAX_HEADER_LIST_SIZE: limits.header_list,
        }
        self._out.put(frames.settings(told))
        self._out.put(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))

    @property
    def violations(self) -> Counter[str]:
        """How often the peer broke which rule. Whoever reads it may clear it."""
        return self._streams.violations

    @property
    def opened(self) -> int:
        """Streams so far."""
        return self._streams.opened

    @property
    def open_streams(self) -> int:
        return len(self._streams.open)

    def streams(self) -> list[Stream]:
        """Those that are open, finished or not."""
        return list(self._streams.open.values())

    @property
    def is_drained(self) -> bool:
        """Whether the peer knows that we go, and nothing is in flight.

        A call that we have ended is not in flight, unless somebody wants to know what the peer still says.
        """
        return self._gone and all(
            stream.finished and stream.deaf and not stream.queue for stream in self._streams.open.values()
        )

    # What the server does

    def take(self) -> bytes:
        """The bytes to be written to the socket now."""
        return self._out.take()

    def send(self, stream: Stream, message: bytes) -> None:
        """Send a message. Nothing happens on a stream that is gone or finished."""
        if not stream.finished:
            self._out.send(stream, message)
            if stream.queue:
                self._check_memory(stream)

    def finish(self, stream: Stream, status: Status = Status.OK, text: str = "") -> None:
        """End the call, after all that was sent. The peer may go on until it ends its half."""
        self._streams.finish(stream, status, text)

    def postpone(self, stream: Stream, message: bytes) -> None:
        """Keep a message until the answer to an earlier one is there. The peer's window shrinks meanwhile.

        Nothing happens on a stream that is gone or finished.
        """
        if not stream.finished:
            self._streams.postpone(stream, message)
            self._check_memory(stream)

    def next(self, stream: Stream) -> bytes | None:
        """The first message that was postponed; None: there is none."""
        return self._streams.next(stream)

    @property
    def has_waiting(self) -> bool:
        """Whether `pump` is worth a call."""
        return self._out.has_waiting or bool(self._due)

    def pump(self) -> list[Event]:
        """Make frames of what waits, as far as the windows allow; and what came of the server's own doings."""
        events: list[Event] = []
        self._pump(events)
        return events

    def drain(self) -> None:
        """Tell the peer to open no more streams here. Those in flight go on; streams under way are still taken.

        RFC 9113, section 6.8: first a GOAWAY that excludes nothing, then, a round trip later, the last stream's number.
        """
        if not self._draining:
            self._draining = True
            self._out.put(frames.goaway(frames.MAX_WINDOW, ErrorCode.NO_ERROR))
            self._out.put(frames.frame(frames.PING, 0, 0, _DRAIN_PING))

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR, reason: str = "") -> list[Event]:
        """End the connection, and all that is in flight on it."""
        if self.is_closed:
            return []
        self.is_closed = True
        self._out.put(frames.goaway(self._streams.last, code, reason))
        return self.lose()

    def lose(self) -> list[Event]:
        """The connection is no more: end all that is in flight on it."""
        self.is_closed = True
        events: list[Event] = []
        for stream in list(self._streams.open.values()):
            self._streams.cancel(stream, events)
            self._streams.drop(stream)
        return events

    def tick(self, now: float) -> list[Event]:
        """What the time has brought."""
        if self.is_closed:
            return []
        self._streams.now = now
        limits = self._limits
        if not self._reader.greeted and now - self._began > limits.handshake:
            return self._violated(PeerError(ErrorCode.SETTINGS_TIMEOUT, "no_handshake"))
        if self._reader.pending is not None and now - self._reader.since > limits.handshake:
            return self._violated(PeerError(ErrorCode.ENHANCE_YOUR_CALM, "slow_header_block"))
        events: list[Event] = []
        try:
            self._streams.look(events)
        except PeerError as fault:
            return events + self._violated(fault)
        if now - self._heard > limits.idle:
            if not self._streams.open:
                return events + self.close(ErrorCode.NO_ERROR, "idle")
            if self._asked < self._heard:
                self._asked = now
                self._out.put(frames.frame(frames.PING, 0, 0, _ALIVE_PING))
            elif now - self._asked > limits.patience:
                return events + self._violated(PeerError(ErrorCode.NO_ERROR, "peer_is_silent"))
        return events

    # What the peer says

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What happened, in order."""
        events: list[Event] = []
        if self.is_closed:
            return events
        self._streams.now = self._heard = now
        try:
            for kind, flags, number, payload in self._reader.feed(data, now):
                if kind == frames.DATA:
                    self._on_data(number, flags, payload, events)
                elif kind == frames.HEADERS:
                    self._on_headers(number, flags, payload, events)
                elif (handler := _HANDLERS.get(kind)) is not None:
                    handler(self, number, flags, payload, events)
                else:
                    self._streams.spend("too_many_ignored_frames")
        except PeerError as fault:
            events.extend(self._violated(fault))
        return events

    def _violated(self, fault: PeerError) -> list[Event]:
        self.violations[fault.name] += 1
        return self.close(fault.code, fault.name)

    def _on_data(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        size = len(payload)
        self._window_in -= size
        if self._window_in < self._limits.connection_window >> 1:
            self._out.put(frames.window_update(0, self._limits.connection_window - self._window_in))
            self._window_in = self._limits.connection_window
        stream = self._streams.open.get(number)
        if stream is None or stream.remote_closed:
            self._on_stray_data(number, stream, events)
            return
        stream.window_in -= size
        if stream.window_in < 0:
            self._streams.fault(stream, ErrorCode.FLOW_CONTROL_ERROR, "stream_window_exceeded", events)
            return
        if flags & frames.PADDED:
            payload = frames.unpadded(payload, flags)
        ends = flags & frames.END_STREAM
        if not payload and not ends:
            self._streams.spend("too_many_empty_frames")
        stream.arrived += len(payload)
        if not stream.deaf and not self._streams.take_messages(stream, payload, events):
            return
        if stream.window_in < self._limits.stream_window >> 1:
            self._streams.replenish(stream)
        if ends:
            self._on_end(stream, events)

    def _on_end(self, stream: Stream, events: list[Event]) -> None:
        stream.remote_closed = True
        if stream.expected is not None and stream.expected != stream.arrived:
            self._streams.fault(stream, ErrorCode.PROTOCOL_ERROR, "bad_content_length", events)
        elif stream.finished:
            if not stream.queue:
                self._streams.drop(stream)
        elif stream.inbox.is_between_messages:
            events.append(HalfClosed(stream))
        else:
            cut = MessageError(Status.INTERNAL, "message_cut", "the stream ended within a message")
            self._streams.abort(stream, cut, events)

    def _on_stray_data(self, number: int, stream: Stream | None, events: list[Event]) -> None:
        """DATA on a stream that takes none."""
        if stream is not None:
            self._streams.fault(stream, ErrorCode.STREAM_CLOSED, "data_after_end", events)
            return
        self._streams.check_not_idle(number, "data_on_idle_stream")
        if not self._streams.is_shunned(number):
            self._streams.refuse(number, ErrorCode.STREAM_CLOSED, "data_after_end")

    def _on_headers(self, number: int, flags: int, block: bytes, events: list[Event]) -> None:
        if number <= self._streams.last or not number & 1:
            self._on_trailers(number, flags, block, events)
            return
        opening = self._headers.opening(block)
        self._streams.last = number
        if self._gone:
            # Sent before the peer knew that we go; it will ask elsewhere.
            self._streams.ignore(number)
            return
        if len(self._streams.open) >= self._limits.streams:
            self._streams.refuse(number, ErrorCode.REFUSED_STREAM, "too_many_streams")
            return
        if opening.malformed:
            self._streams.refuse(number, ErrorCode.PROTOCOL_ERROR, opening.malformed)
            return
        stream = Stream(number, opening, self._limits.stream_window, self._out.initial_window, self._limits.message)
        self._streams.add(stream)
        if opening.refusal:
            stream.deaf = True
            self._streams.finish_with(stream, opening.refusal)
        else:
            events.append(Opened(stream))
        if flags & frames.END_STREAM:
            self._on_end(stream, events)

    def _on_trailers(self, number: int, flags: int, block: bytes, events: list[Event]) -> None:
        if not number & 1:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_stream_number")
        legal = self._headers.are_trailers(block)
        stream = self._streams.open.get(number)
        if stream is None:
            if not self._streams.is_shunned(number):
                raise PeerError(ErrorCode.STREAM_CLOSED, "headers_after_end")
        elif stream.remote_closed:
            self._streams.fault(stream, ErrorCode.STREAM_CLOSED, "headers_after_end", events)
        elif legal and flags & frames.END_STREAM:
            self._on_end(stream, events)
        else:
            self._streams.fault(stream, ErrorCode.PROTOCOL_ERROR, "bad_trailers", events)

    def _on_priority(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        control.check_priority(number, payload)
        self._streams.spend("too_many_ignored_frames")

    def _on_rst_stream(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        control.check_rst_stream(payload)
        self._streams.check_not_idle(number, "reset_of_idle_stream")
        stream = self._streams.open.get(number)
        if stream is not None:
            self._streams.drop(stream)
            if not stream.finished:
                self._streams.cancel(stream, events)
                self._streams.spend("too_many_resets")

    def _on_settings(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        values = control.read_settings(number, flags, payload)
        self._streams.spend("too_many_settings")
        if flags & frames.ACK:
            self._headers.forbid_table()
            return
        # Frames larger than the least maximum would only hold up the frames of other streams. Of many values of one
        # name the last one counts: each touches every stream, and one frame may hold thousands.
        if (initial := dict(values).get(frames.INITIAL_WINDOW_SIZE)) is not None:
            self._out.resize(initial, self._streams.open.values())
        if any(name == frames.HEADER_TABLE_SIZE and value < frames.DEFAULT_TABLE for name, value in values):
            self._out.drop_table()
        self._out.put(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._pump(events)

    def _on_push_promise(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "push_by_client")

    def _on_ping(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        control.check_ping(number, payload)
        self._streams.spend("too_many_pings")
        if not flags & frames.ACK:
            self._out.put(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == _DRAIN_PING and self._draining and not self._gone:
            self._gone = True
            self._out.put(frames.goaway(self._streams.last, ErrorCode.NO_ERROR))

    def _on_goaway(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        # We open no streams. What is in flight goes on, and the peer hangs up when it has its answers.
        control.check_goaway(number, payload)
        self._streams.spend("too_many_ignored_frames")

    def _on_window_update(self, number: int, flags: int, payload: bytes, events: list[Event]) -> None:
        increment = control.read_window_update(number, payload)
        stream = self._streams.open.get(number)
        if number == 0:
            self._out.widen(increment)
        elif stream is None:
            self._streams.check_not_idle(number, "window_of_idle_stream")
        elif increment == 0:
            self._streams.fault(stream, ErrorCode.PROTOCOL_ERROR, "bad_window_update", events)
        elif stream.window_out + increment > frames.MAX_WINDOW:
            self._streams.fault(stream, ErrorCode.FLOW_CONTROL_ERROR, "window_overflow", events)
        else:
            stream.window_out += increment
            self._out.resume(stream)
        self._pump(events)

    def _pump(self, events: list[Event]) -> None:
        if self._due:
            events += self._due
            self._due = []
        for stream in self._out.pump(events):
            stream.ended_at = self._streams.now
            if stream.remote_closed:
                self._streams.drop(stream)

    def _check_memory(self, stream: Stream) -> None:
        """For what the server itself keeps: what comes of it is told by the next `pump`."""
        try:
            self._streams.check_memory(stream, self._due)
        except PeerError as fault:
            self._due += self._violated(fault)


_HANDLERS: Final[dict[int, Callable[[Connection, int, int, bytes, list[Event]], None]]] = {
    frames.PRIORITY: Connection._on_priority,
    frames.RST_STREAM: Connection._on_rst_stream,
    frames.SETTINGS: Connection._on_settings,
    frames.PUSH_PROMISE: Connection._on_push_promise,
    frames.PING: Connection._on_ping,
    frames.GOAWAY: Connection._on_goaway,
    frames.WINDOW_UPDATE: Connection._on_window_update,
}
