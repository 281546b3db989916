"""One connection to one Redis server, shared by all callers of a worker.

Commands are written one after the other without waiting for answers, which come in the same order: what arrives in one
turn of the event loop leaves in one write. (Measured with 32 callers: 3 us of CPU for each call; a pool of redis-py's
connections takes 51, its pipelines 14.) What arrives while answers are awaited leaves with the last of them: the server
would do one after the other in any case, and wake us for each. Who is alone waits for nobody. A caller that has waited
too long leaves; its answer is read and thrown away.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import hiredis

from extproc.tasks import spawn
from policies.limits.store import StoreUnavailableError

_TICK: Final = 0.005
"""Seconds between looks at who has waited too long."""
_STALLED: Final = 1.0
"""Seconds after which a server that owes an answer is given up."""
_PAUSES: Final = (0.01, 1.0)
"""Seconds between attempts to connect: at first, and at most."""
_LOST: Final = "the connection was lost"

Word = str | bytes | int
Address = str | tuple[str, int]
"""The path of a unix socket, or host and port."""


class RedisLink:
    """A connection that is made anew whenever it is lost. `start`, `call`, then `stop`."""

    __slots__ = (
        "_connect_timeout",
        "_connection",
        "_greeting",
        "_locate",
        "_loop",
        "_news",
        "_queue",
        "_task",
        "_tls",
        "batches",
        "calls",
        "connections",
        "failure",
        "timeouts",
    )

    def __init__(
        self,
        locate: Callable[[], Awaitable[Address]],
        *,
        greeting: Callable[[], Sequence[Sequence[Word]]] = tuple,
        tls: ssl.SSLContext | None = None,
        connect_timeout: float = 1.0,
        queue: int = 10_000,
    ) -> None:
        """
        Args:
            locate: where the server is; asked before each attempt.
            greeting: commands that begin a connection; each must be answered without an error.
            queue: calls that may be unanswered; further ones fail at once.
        """
        self._locate = locate
        self._greeting = greeting
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._queue = queue
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.Event = asyncio.Event()
        self.failure = "not connected yet"
        self.calls = self.batches = self.timeouts = self.connections = 0

    @property
    def is_ready(self) -> bool:
        return self._connection is not None

    def start(self) -> None:
        """Connect in the background, and again and again."""
        self._loop = asyncio.get_running_loop()
        self._task = spawn(self._keep_connected(), name="limits: redis")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self.drop("stopped")

    async def connected(self, until: float) -> None:
        """Wait for a connection, at most until this moment of the event loop's clock.

        Raises:
            StoreUnavailableError: there is none.
        """
        while self._connection is None:
            self._news.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                raise StoreUnavailableError(self.failure, asked=False) from None

    def call(self, words: Sequence[Word], seconds: float) -> asyncio.Future[Any]:
        """The answer to a command: bytes, int, a list, None, or a `hiredis.ReplyError`.

        Raises:
            StoreUnavailableError: now, or from the future: no connection, none any more, no answer within `seconds`.
        """
        connection = self._connection
        if connection is None:
            raise StoreUnavailableError(self.failure, asked=False)
        if len(connection.waiting) >= self._queue:
            raise StoreUnavailableError("too many calls are unanswered", asked=False)
        return connection.send(words, seconds)

    def drop(self, why: str) -> None:
        """Give this connection up, and make another."""
        if self._connection is not None:
            self._connection.end(why)

    def ended(self, connection: _Connection, why: str) -> None:
        """A connection tells that it can be used no more."""
        if connection is self._connection:
            self._connection = None
            self.failure = why

    async def _keep_connected(self) -> None:
        pause = _PAUSES[0]
        while True:
            try:
                connection = await self._connect()
                began = self._loop.time()
                await connection.lost.wait()
                if self._loop.time() - began > _PAUSES[1]:
                    # One that greets us and hangs up at once is not asked a hundred times a second.
                    pause = _PAUSES[0]
            except (OSError, TimeoutError, StoreUnavailableError) as error:
                # The words of an error of the system hold no secret.
                self.failure = str(error) or type(error).__name__
            except Exception as error:
                # A name that cannot be one, a port that there is not: it may be mended before the next attempt.
                self.failure = type(error).__name__
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)
            pause = min(_PAUSES[1], 2 * pause)

    async def _connect(self) -> _Connection:
        connection = _Connection(self)
        try:
            async with asyncio.timeout(self._connect_timeout):
                where = await self._locate()
                if isinstance(where, str):
                    await self._loop.create_unix_connection(lambda: connection, where)
                else:
                    name = where[0] if self._tls is not None else None
                    await self._loop.create_connection(lambda: connection, *where, ssl=self._tls, server_hostname=name)
                # Asked together: only one of them can be wrong, and none of them is worth a round trip.
                words = self._greeting()
                asked = [connection.send(each, self._connect_timeout) for each in words]
                _check_greeting(words, await asyncio.gather(*asked, return_exceptions=True))
        except BaseException:
            connection.end("not greeted")
            raise
        if connection.lost.is_set():
            # Between its last answer and now.
            raise StoreUnavailableError(_LOST)
        self.connections += 1
        self._connection = connection
        self._news.set()
        return connection


class _Connection(asyncio.Protocol):
    """One connection, from its beginning to its end: whoever waits for an answer of one never gets one of another."""

    __slots__ = (
        "_asked",
        "_link",
        "_looked",
        "_loop",
        "_outgoing",
        "_reader",
        "_timer",
        "_transport",
        "_why",
        "lost",
        "waiting",
    )

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._outgoing: list[bytes] = []
        # How many of those that wait have been written.
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looked = 0.0
        self.waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self.lost = asyncio.Event()
        self._why = _LOST

    def send(self, words: Sequence[Word], seconds: float) -> asyncio.Future[Any]:
        """The answer, in its turn."""
        command: Any = tuple(words)
        packed = hiredis.pack_command(command)
        self._link.calls += 1
        if not self._outgoing and not self._asked:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        future: asyncio.Future[Any] = self._loop.create_future()
        self.waiting.append((future, self._loop.time() + seconds))
        if self._timer is None:
            self._timer = self._loop.call_later(_TICK, self._look)
        return future

    def end(self, why: str) -> None:
        """Use it no more: who waits for an answer has none."""
        self._why = why
        self._link.ended(self, why)
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._asked = len(self._outgoing)
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if self._transport is not None:
            self._link.batches += 1
            self._transport.write(data)

    def _look(self) -> None:
        """Let those go who have waited too long."""
        self._timer = None
        if not self.waiting:
            return
        # Late since the last look, when an answer may have lain unread: a loop that was busy is no server that is slow.
        late, self._looked = self._looked, self._loop.time()
        for future, until in self.waiting:
            if until <= late and not future.done():
                self._link.timeouts += 1
                future.set_exception(StoreUnavailableError("no answer in time"))
        if self.waiting[0][1] + _STALLED < late:
            self.end("the server does not answer")
            return
        self._timer = self._loop.call_later(_TICK, self._look)

    # The protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                future, _ = self.waiting.popleft()
                self._asked -= 1
                if not future.done():
                    future.set_result(answer)
            if self._outgoing and not self._asked:
                self._flush()
        except (hiredis.ProtocolError, IndexError):
            self.end("the server does not speak Redis' protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._link.ended(self, self._why)
        self._outgoing.clear()
        if self._timer is not None:
            self._timer.cancel()
        while self.waiting:
            future, _ = self.waiting.popleft()
            if not future.done():
                future.set_exception(StoreUnavailableError(self._why))
        self.lost.set()


def _check_greeting(words: Sequence[Sequence[Word]], answers: Sequence[Any]) -> None:
    for each, answer in zip(words, answers, strict=True):
        if isinstance(answer, hiredis.ReplyError):
            # Of what was said the name alone: the rest is the password.
            raise StoreUnavailableError(f"{each[0]!s} was refused: {str(answer).partition(' ')[0]}")
        if isinstance(answer, BaseException):
            raise answer
