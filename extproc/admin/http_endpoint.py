"""Serves the pages over HTTP from a thread of its own: neither do decisions wait for a reader, nor a reader for them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Final

from extproc.admin.pages import page
from extproc.sockets import Mark, address_of, bind
from extproc.workers.board import Overview, Told

_PATIENCE: Final = 5.0
"""Seconds for a peer's request and for taking the answer, together."""
_REST: Final = 0.2
"""Seconds until the next try, where no connection can be accepted for want of descriptors."""
_AT_ONCE: Final = 16
"""Connections. Whoever comes beyond is turned away."""

Read = Callable[[], Overview]
ReadMetrics = Callable[[], Told]


@contextlib.contextmanager
def admin_endpoint(address: str | None, read: Read, told: ReadMetrics = Told) -> Iterator[str | None]:
    """Serve at `unix:/path` or `host:port` until the block ends; the address bound. None: nothing is served.

    `read` and `told` are called from other threads.

    Raises:
        OSError: the address cannot be bound.
    """
    if address is None:
        yield None
        return
    listening = bind(address)
    mark, server = Mark(address), _Server(listening, read, told)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="admin", daemon=True)
    thread.start()
    try:
        yield address_of(server.socket)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        mark.remove()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, read: Read, told: ReadMetrics) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.read = read
        self.told = told
        self._guests: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            accepted, peer = self.socket.accept()
        except OSError:
            # It stays readable: to be told so again and again would take the time of those who decide.
            time.sleep(_REST)
            raise
        accepted.settimeout(_PATIENCE)
        return accepted, peer

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._lock:
            if len(self._guests) >= _AT_ONCE:
                return False
            self._guests[request] = time.monotonic() + _PATIENCE
            return True

    def shutdown_request(self, request: Any) -> None:
        """The end of every request, also of one that no thread could be started for."""
        with self._lock:
            self._guests.pop(request, None)
            super().shutdown_request(request)

    def service_actions(self) -> None:
        """Each turn: hang up on those whose time is over. Each byte of theirs would give them as much again."""
        now = time.monotonic()
        with self._lock:
            for request in [one for one, end in self._guests.items() if end < now]:
                with contextlib.suppress(OSError):
                    # Whoever reads from it or writes to it is told. It is closed by its own thread.
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that breaks off is no event; and nothing but JSON lines is written by this process."""


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: each connection carries one request, so that none is held.
    server: _Server
    server_version = "sluicegate"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        found = page(self.path, self.server.read(), self.server.told, self.headers.get("accept", ""))
        self.send_response(found.status)
        self.send_header("content-type", found.content_type)
        self.send_header("content-length", str(len(found.body)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(found.body)

    def log_message(self, *_: Any) -> None:
        """The log is of exchanges."""
