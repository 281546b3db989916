"""Takes connections from a listening socket and leads them through their TLS handshakes, so many at once.

Event loops do the same by themselves, without a bound: each connection that only stays silent costs them two descriptors
and up to 300 KB, for as long as a handshake may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from extproc.tasks import spawn

_log = logging.getLogger(__name__)
AT_ONCE: Final = 128
"""Handshakes that are not over. Beyond, whoever has taken longest gives way: Envoy takes milliseconds, and gets in while
others only hold their places."""
SECONDS: Final = 5.0
"""For a handshake."""
_IN_A_ROW: Final = 32
"""Connections that are accepted before others have their turn."""
_REST: Final = 1.0
"""Seconds until the next try, where no more descriptors are to be had."""


class Door:
    """Of one listening socket, which it closes in the end. `open`, then `close` and `settle`."""

    def __init__(
        self,
        listening: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        turned_away: Callable[[str], None],
    ) -> None:
        """
        Args:
            factory: of the protocol that gets the connection after its handshake.
            turned_away: told why, by a stable name, of each handshake that was not waited for any longer.
        """
        self._listening = listening
        self._factory = factory
        self._context = context
        self._turned_away = turned_away
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._rest: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Take connections from now on."""
        self._loop.add_reader(self._listening.fileno(), self._accept)

    @property
    def under_way(self) -> int:
        """Handshakes that are not over."""
        return len(self._under_way)

    def close(self) -> None:
        """Take no more. Handshakes that have begun go on."""
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()
        if self._rest is not None:
            self._rest.cancel()

    async def settle(self, seconds: float) -> None:
        """Wait for handshakes that have begun, so long; then no longer."""
        if self._under_way:
            await asyncio.wait(tuple(self._under_way), timeout=seconds)
        for task in tuple(self._under_way):
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_IN_A_ROW):
            try:
                accepted, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # It stays readable: to be told so again and again would take all our time.
                _log.error("no connection can be accepted for now: %s", error.strerror)
                self._loop.remove_reader(self._listening.fileno())
                self._rest = self._loop.call_later(_REST, self.open)
                return
            while len(self._under_way) >= AT_ONCE:
                longest = next(iter(self._under_way))
                del self._under_way[longest]
                longest.cancel()
                self._turned_away("too_many_handshakes")
            accepted.setblocking(False)
            with contextlib.suppress(OSError):
                # It may have gone again.
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = spawn(self._shake_hands(accepted), name="TLS handshake")
            self._under_way[task] = None
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)

    async def _shake_hands(self, accepted: socket.socket) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                # Its own clock is there for the case that ours is wrong.
                await self._loop.connect_accepted_socket(
                    self._factory, accepted, ssl=self._context, ssl_handshake_timeout=2 * SECONDS
                )
        except TimeoutError:
            self._turned_away("tls_handshake_too_slow")
        except OSError:
            # The context has told why. Who hangs up without a word, as a health check does, is not worth one.
            return
