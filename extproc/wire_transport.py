"""The default transport: our own HTTP/2 and gRPC wire (`extproc.wire`) on an asyncio server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from extproc.sockets import BACKLOG, Mark, address_of, bind
from extproc.tasks import spawn
from extproc.tls_door import Door
from extproc.tls_files import ServerFiles, ServerTls
from extproc.transport import ACCESS_LOGS, Services
from extproc.wire.connection import Connection
from extproc.wire.events import Cancelled, Event, HalfClosed, Message, Opened, Writable
from extproc.wire.frames import ErrorCode
from extproc.wire.grpc import Status
from extproc.wire.limits import Limits, Memory
from extproc.wire_calls import begin, fail

_log = logging.getLogger(__name__)
_TICK: Final = 1.0
_LOG_INTERVAL: Final = 60.0
"""A violation is logged once in so many seconds, by its name."""
_FAREWELL: Final = 0.2
"""Seconds, at most, between the end of an access log stream and the GOAWAY."""
_STEP: Final = 0.002
"""Seconds between looks whether the peer has understood that end. Envoy begins its next log 6 ms later (as measured)."""
_FLUSH_SECONDS: Final = 1.0
_LINGER: Final = 2.0
"""Seconds for the peer to hang up once it knows that we have said all."""


class WireTransport:
    """Serves `Services` over our own wire."""

    __slots__ = (
        "_counters",
        "_empty",
        "_files",
        "_limits",
        "_logged",
        "_memory",
        "_peers",
        "_server",
        "_services",
        "_socket",
        "_stopping",
        "_ticking",
        "_tls",
    )

    def __init__(self, services: Services, limits: Limits | None = None, tls: ServerFiles | None = None) -> None:
        self._services = services
        self._files = tls
        self._tls: ServerTls | None = None
        self._limits = limits or Limits()
        self._memory = Memory()
        self._server: asyncio.Server | Door | None = None
        self._socket: Mark | None = None
        self._peers: set[Peer] = set()
        self._counters: Counter[str] = Counter()
        self._logged: dict[str, float] = {}
        self._empty = asyncio.Event()
        self._stopping = False
        self._ticking: asyncio.Task[None] | None = None

    async def start(self, address: str, inherited: socket.socket | None = None) -> str:
        if self._files is not None:
            self._tls = ServerTls(self._files, lambda name: self.violated({name: 1}))
        if inherited is None:
            listening = bind(address)
            self._socket = Mark(address)
        else:
            # The server closes what it listens on, and this one outlives it.
            listening = inherited.dup()
            listening.setblocking(False)
        told = address_of(listening)
        self._server = await self._serve(listening)
        self._ticking = spawn(self._tick(), name="wire clock")
        return told

    async def _serve(self, listening: socket.socket) -> asyncio.Server | Door:
        loop = asyncio.get_running_loop()

        def factory() -> Peer:
            return Peer(self, self._services, self._limits, self._memory)

        # The event loop listens once more, and would make room for 100.
        if listening.family == socket.AF_UNIX:
            # From Python 3.13 asyncio itself removes the path when it closes, also that of a socket that others still
            # listen on.
            keep: dict[str, Any] = {"cleanup_socket": False} if _removes_sockets(loop) else {}
            return await loop.create_unix_server(factory, sock=listening, backlog=BACKLOG, **keep)
        if self._tls is None:
            return await loop.create_server(factory, sock=listening, backlog=BACKLOG)
        door = Door(listening, factory, self._tls.context, lambda name: self.violated({name: 1}))
        door.open()
        return door

    async def stop(self, grace: float) -> None:
        if self._server is None:
            return
        self._stopping = True
        self._server.close()
        for peer in tuple(self._peers):
            peer.drain()
        if isinstance(self._server, Door):
            # Envoy waits for these with a request.
            await self._server.settle(min(grace, _FLUSH_SECONDS))
        await self._until_empty(grace)
        for peer in tuple(self._peers):
            peer.give_up()
        await self._until_empty(_FLUSH_SECONDS)
        for peer in tuple(self._peers):
            peer.abort()
        await self._until_empty(_FLUSH_SECONDS)
        if self._ticking is not None:
            self._ticking.cancel()
        if self._socket is not None:
            self._socket.remove()

    def counters(self) -> Mapping[str, int]:
        counts = Counter(self._counters)
        counts["streams"] += sum(peer.connection.opened for peer in self._peers)
        if self._tls is not None:
            # Those without a connection failed.
            counts["tls_handshakes"] = self._tls.handshakes
        if isinstance(self._server, Door):
            counts["tls_handshakes_open"] = self._server.under_way
        counts["connections_open"] = len(self._peers)
        counts["streams_open"] = sum(peer.connection.open_streams for peer in self._peers)
        return counts

    def certificate_ends(self) -> Mapping[tuple[str, ...], int]:
        """When the certificate ends that new connections get, in seconds since the epoch. Nothing without TLS."""
        return {(): self._tls.ends} if self._tls is not None else {}

    async def _until_empty(self, seconds: float) -> None:
        self._empty.clear()
        if self._peers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK)
            if self._tls is not None:
                self._refresh(self._tls)
            for peer in tuple(self._peers):
                try:
                    peer.tick(loop.time())
                except Exception:
                    # The clock of all connections must not stop for a fault that one of them has hit.
                    _log.exception("wire: a connection failed")
                    peer.abort()

    def _refresh(self, tls: ServerTls) -> None:
        try:
            tls.refresh()
        except Exception:
            # The clock of all connections must not stop for what somebody has put into a file.
            _log.exception("wire: the certificates have changed and cannot be used, the old ones stay")

    # What peers tell

    def joined(self, peer: Peer, transport: asyncio.BaseTransport) -> bool:
        """A connection was made. False: it is not wanted."""
        self._counters["connections"] += 1
        if self._tls is not None:
            agreed = transport.get_extra_info("ssl_object").selected_alpn_protocol()
            refusal = self._tls.refusal(transport.get_extra_info("peercert"), agreed)
            if refusal is not None:
                self.violated({refusal: 1})
                return False
        if len(self._peers) >= self._limits.connections:
            self.violated({"too_many_connections": 1})
            return False
        self._peers.add(peer)
        if self._stopping:
            # Taken from the queue of the listening socket while it was being closed.
            peer.drain()
        return True

    def left(self, peer: Peer) -> None:
        """A connection is gone."""
        if peer in self._peers:
            self._peers.discard(peer)
            self._counters["streams"] += peer.connection.opened
            if not self._peers:
                self._empty.set()

    def violated(self, counts: Mapping[str, int]) -> None:
        """A peer broke rules, by their names. Counted always, logged seldom: a peer must not fill our log."""
        now = asyncio.get_running_loop().time()
        for name, count in counts.items():
            self._counters[f"violation_{name}"] += count
            if now - self._logged.get(name, -_LOG_INTERVAL) >= _LOG_INTERVAL:
                self._logged[name] = now
                _log.warning("wire: a peer broke a rule: %s (%d so far)", name, self._counters[f"violation_{name}"])


class Peer(asyncio.Protocol):
    """One connection: bytes to the machine, its events to the calls, their answers to the socket in one write."""

    __slots__ = (
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

    def __init__(self, hub: WireTransport, services: Services, limits: Limits, memory: Memory) -> None:
        self.services = services
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self.connection = Connection(limits, self._loop.time(), memory)
        self._transport: asyncio.Transport | None = None
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
                # A fault of ours. It costs its own call, not the others of this connection.
                _log.exception("wire: a call failed")
                fail(self, stream)

    def flush(self) -> None:
        """Write what is to be said."""
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


def _removes_sockets(loop: asyncio.AbstractEventLoop) -> bool:
    return sys.version_info >= (3, 13) and type(loop).__module__.startswith("asyncio")
