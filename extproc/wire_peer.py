"""One connection of the default transport: the machine of `extproc.wire`, a socket, and the calls between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, cast

from extproc.transport import ACCESS_LOGS, Services
from extproc.wire.connection import Connection
from extproc.wire.events import Cancelled, Event, HalfClosed, Message, Opened, Stream, Writable
from extproc.wire.frames import ErrorCode
from extproc.wire.grpc import Status
from extproc.wire.limits import Limits, Memory
from extproc.wire_calls import begin, fail

_log = logging.getLogger(__name__)
_FAREWELL: Final = 0.2
"""Seconds, at most, between the end of an access log stream and the GOAWAY."""
_STEP: Final = 0.002
"""Seconds between looks whether the peer has understood that end. Envoy begins its next log 6 ms later (as measured)."""
_LINGER: Final = 2.0
"""Seconds for the peer to hang up once it knows that we have said all."""


class Hub(Protocol):
    """What the connections have in common, as one of them sees it."""

    def joined(self, peer: Peer, transport: asyncio.BaseTransport) -> bool: ...

    def left(self, peer: Peer) -> None: ...

    def violated(self, counts: Mapping[str, int]) -> None: ...


class Peer(asyncio.Protocol):
    """One connection: bytes to the machine, its events to the calls, their answers to the socket in one write."""

    __slots__ = (
        "_ahead",
        "_blocked",
        "_closing_since",
        "_hub",
        "_leaves_at",
        "_loop",
        "_patience",
        "_said_all",
        "_transport",
        "connection",
        "finish",
        "next",
        "postpone",
        "send",
        "services",
    )

    def __init__(self, hub: Hub, services: Services, limits: Limits, memory: Memory) -> None:
        self.services = services
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self.connection = Connection(limits, self._loop.time(), memory)
        self._transport: asyncio.Transport | None = None
        self._ahead: list[Stream] = []
        self._blocked = False
        self._said_all = False
        self._patience = limits.patience
        self._closing_since: float | None = None
        # While we wait for the moment to go away: the latest one.
        self._leaves_at: float | None = None
        self.send = self.connection.send
        self.finish = self.connection.finish
        self.postpone = self.connection.postpone
        self.next = self.connection.next

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._hub.joined(self, transport):
            self.flush()
        else:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._handle(self.connection.receive(data, self._loop.time()))
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._handle(self.connection.lose())
        self._ahead.clear()
        self._hub.left(self)
        self._transport = None

    def pause_writing(self) -> None:
        # Who does not read what we say is not listened to either: nothing piles up.
        self._blocked = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self.flush()

    # The machine

    def _handle(self, events: Iterable[Event]) -> None:
        for event in events:
            stream = event.stream
            try:
                if isinstance(event, Message):
                    stream.context.message(event.data)
                elif isinstance(event, Opened):
                    stream.context = begin(self, stream)
                    if self._leaves_at is not None and stream.path == ACCESS_LOGS:
                        # Envoy opens its next log within milliseconds, and knows no other place yet.
                        stream.context.drain()
                elif isinstance(event, HalfClosed):
                    stream.context.half_closed()
                elif isinstance(event, Cancelled):
                    stream.context.cancelled()
                elif isinstance(event, Writable):
                    stream.context.writable()
            except Exception:
                self._failed(stream)

    def _failed(self, stream: Stream) -> None:
        """A fault of ours, which is being handled. It costs its own call, not the others of this connection."""
        _log.exception("wire: a call failed")
        fail(self, stream)

    def later(self, stream: Stream) -> None:
        self._ahead.append(stream)

    def flush(self) -> None:
        """Write what is to be said, and then think about what was said ahead."""
        self._write()
        while self._ahead:
            streams, self._ahead = self._ahead, []
            for stream in streams:
                try:
                    stream.context.proceed()
                except Exception:
                    self._failed(stream)
            self._write()

    def _write(self) -> None:
        connection, transport = self.connection, self._transport
        if transport is None or self._said_all:
            return
        while True:
            if connection.has_waiting:
                self._handle(connection.pump())
            if self._blocked or not (data := connection.take()):
                break
            transport.write(data)
        if connection.violations:
            self._hub.violated(connection.violations)
            connection.violations.clear()
        if connection.is_closed or connection.is_drained:
            if self._closing_since is None:
                self._closing_since = self._loop.time()
            if not self._blocked:
                self._hang_up(transport)

    def _hang_up(self, transport: asyncio.Transport) -> None:
        """Say that we have said all, and let the peer hang up: a socket closed over unread bytes resets, and what we said
        last may be lost. RFC 9112, section 9.6, tells the same of HTTP/1.1."""
        self._said_all = True
        self.connection.lose()
        if not transport.can_write_eof():
            transport.close()
            return
        try:
            transport.write_eof()
        except OSError:
            # The peer had hung up, and what we said last has reset the connection: nobody has told us yet.
            transport.abort()

    def tick(self, now: float) -> None:
        """About once a second."""
        if self._closing_since is None:
            self._handle(self.connection.tick(now))
            self.flush()
        elif self._transport is not None:
            # It does not hang up, or does not even read what we said last.
            unread = self._blocked or self._transport.get_write_buffer_size() > 0
            if now - self._closing_since > (self._patience if unread else _LINGER):
                self.abort()

    # The end

    def drain(self) -> None:
        """Let the peer go elsewhere, and finish what is in flight."""
        self._leaves_at = self._loop.time() + _FAREWELL
        for stream in self.connection.streams():
            if stream.context is not None:
                stream.context.drain()
        self.flush()
        self._loop.call_soon(self._go_away, self._leaves_at)

    def _go_away(self, latest: float) -> None:
        # Between two of its logs: told of the end of one and of this at once, Envoy counts a protocol error and hangs up,
        # perhaps with something still to say. One that is open when it is told this stays here until we give up.
        if self._loop.time() < latest and any(stream.path == ACCESS_LOGS for stream in self.connection.streams()):
            self._loop.call_later(_STEP, self._go_away, latest)
            return
        self._leaves_at = None
        self.connection.drain()
        self.flush()

    def give_up(self) -> None:
        """End what is in flight with an error."""
        for stream in self.connection.streams():
            self.connection.finish(stream, Status.UNAVAILABLE, "the server stops")
            if stream.context is not None:
                stream.context.cancelled()
        self.flush()
        self._handle(self.connection.close(ErrorCode.NO_ERROR))
        self.flush()

    def abort(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()
