"""The default transport: our own HTTP/2 and gRPC wire (`extproc.wire`) on an asyncio server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from extproc.sockets import BACKLOG, Mark, address_of, bind
from extproc.tasks import spawn
from extproc.tls_door import Door
from extproc.tls_files import ServerFiles, ServerTls
from extproc.transport import Services
from extproc.wire.limits import Limits, Memory
from extproc.wire_peer import Peer

_log = logging.getLogger(__name__)
_TICK: Final = 1.0
_LOG_INTERVAL: Final = 60.0
"""A violation is logged once in so many seconds, by its name."""
_FLUSH_SECONDS: Final = 1.0


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


def _removes_sockets(loop: asyncio.AbstractEventLoop) -> bool:
    return sys.version_info >= (3, 13) and type(loop).__module__.startswith("asyncio")
