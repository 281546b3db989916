"""A TCP connection to a syslog collector, with TLS or without. Blocks: for a thread. What sockets raise ends here."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from typing import Final

from policies.audit.following.sink import SinkError
from policies.audit.sinks import http_tls
from policies.audit.sinks.settings import SyslogSettings

_PIECE: Final = 65_536
_JUDGEMENT: Final = 0.2
"""Seconds for a collector to refuse a client after the handshake. One that has its tickets to say cuts it short."""
_PAUSES: Final = (0.0002, 0.02)
"""Seconds between two looks at what the peer has not taken yet: at first, and at most."""


class SyslogLink:
    """An open connection. One thread at a time; only `abort` may be called by another."""

    def __init__(self, settings: SyslogSettings) -> None:
        """Connect.

        Raises:
            SinkError: it cannot be reached, or its certificate is not good.
        """
        self._where = f"{settings.host}:{settings.port}"
        context = http_tls.context(settings.tls) if settings.tls is not None else None
        try:
            plain = socket.create_connection((settings.host, settings.port), settings.connect_timeout)
        except OSError as error:
            raise self._failed("cannot be reached", error) from None
        self._socket = plain
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None and settings.tls is not None:
                self._socket = context.wrap_socket(plain, server_hostname=settings.tls.server_name or settings.host)
                # With TLS 1.3 the client is done before the collector has judged its certificate.
                select.select([self._socket], [], [], _JUDGEMENT)
        except (OSError, ValueError) as error:
            plain.close()
            raise self._failed("TLS failed", error) from None

    def check(self) -> None:
        """See whether the peer has closed it.

        Raises:
            SinkError: it has.
        """
        try:
            self._socket.setblocking(False)
            while self._socket.recv(_PIECE):
                pass  # A collector has nothing to say; TLS has its tickets.
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, ValueError) as error:
            raise self._failed("the connection was lost", error) from None
        raise SinkError(f"{self._where}: the collector closed the connection")

    def send(self, data: bytes, seconds: float) -> None:
        """Send it, and wait until the peer's kernel has acknowledged every byte and the connection still stands.

        Raises:
            SinkError: it is not known what has arrived.
        """
        deadline = time.monotonic() + seconds
        self.check()
        view = memoryview(data)
        try:
            while view:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                view = view[self._socket.send(view[:_PIECE]) :]
            pause = _PAUSES[0]
            while self._unacknowledged():
                self.check()
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(pause)
                pause = min(pause * 2, _PAUSES[1])
        except (OSError, ValueError) as error:
            raise self._failed("a batch was not taken", error) from None
        self.check()

    def _unacknowledged(self) -> int:
        """Bytes that the kernel still holds for the peer: not sent, or sent and not acknowledged (tcp(7), SIOCOUTQ)."""
        count: int = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        return count

    def abort(self) -> None:
        """Break it off, whatever is going on: wakes the thread that works on it, which then must close it."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it. Nobody may be working on it."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _failed(self, what: str, error: Exception) -> SinkError:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message
        elif isinstance(error, ssl.SSLError):
            why = error.reason or "TLS"
        else:
            why = getattr(error, "strerror", None) or (
                "timed out" if isinstance(error, TimeoutError) else str(error)[:100]
            )
        return SinkError(f"{self._where}: {what}: {why or type(error).__name__}")
