"""Clients that ask one thing after the other, whatever becomes of it, and remember what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from extproc.tasks import spawn
from loadtests.chaos.requests import Asked, Requests
from tests.servers import HOST

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_NAME: Final = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.IGNORECASE)
_PATIENCE: Final = 20.0
_AGAIN: Final = 0.05
_LOOK: Final = 2.0
_GONE: Final = (OSError, asyncio.IncompleteReadError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told. `when`: by `time.monotonic`; `whole`: the answer came to its end."""

    kind: str
    status: int
    request_id: str
    when: float
    whole: bool
    unavailable: bool


@dataclass(slots=True)
class Traffic:
    """So many clients of one gateway.

    Attributes:
        sent: how many requests were written to a connection.
        answers: of those that were answered, with at least a head.
    """

    port: int
    requests: Requests
    rate: float | None = None
    sent: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    answers: list[Answer] = field(default_factory=list)
    _due: float = 0.0

    async def run(self, enough: Callable[[], bool], clients: int) -> None:
        """Ask until it is enough; `rate`: so many in a second at most, of all clients together."""
        self._due = time.monotonic()
        await asyncio.gather(*(self._client(enough) for _ in range(clients)))

    async def _client(self, enough: Callable[[], bool]) -> None:
        connection: _Connection | None = None
        while not enough():
            await self._pace()
            asked = self.requests.draw()
            if connection is None:
                connection = await self._connected(enough)
                if connection is None:
                    return
            self.sent += 1
            self.kinds[asked.kind] += 1
            try:
                async with asyncio.timeout(_PATIENCE):
                    answer = await connection.ask(asked)
            except _GONE:
                answer = None
            if connection.answer is not None:
                self.answers.append(connection.answer)
            if answer is None:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    async def _pace(self) -> None:
        if self.rate is not None:
            self._due = max(self._due, time.monotonic() - 1.0) + 1 / self.rate
            await asyncio.sleep(self._due - time.monotonic())

    async def _connected(self, enough: Callable[[], bool]) -> _Connection | None:
        """A connection, as soon as there is one."""
        while not enough():
            with contextlib.suppress(OSError):
                return _Connection(*await asyncio.open_connection(HOST, self.port, limit=1 << 20))
            await asyncio.sleep(_AGAIN)
        return None


class _Connection:
    """HTTP/1.1, one request at a time. `answer`: to the last, as far as it came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.answer: Answer | None = None

    async def ask(self, asked: Asked) -> Answer | None:
        """The whole answer; None where the connection cannot be used any more.

        Raises:
            OSError, IncompleteReadError: it was lost.
        """
        self.answer = None
        self._writer.write(asked.data if asked.part is None else asked.data[: asked.part])
        if asked.leave is None:
            return await self._read(asked.kind)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(asked.leave):
                await self._read(asked.kind)
        return None

    async def _read(self, kind: str) -> Answer | None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, name = int(head[9:12]), _NAME.search(head)
        request_id = name[1].decode() if name is not None else ""
        self.answer = Answer(kind, status, request_id, time.monotonic(), whole=False, unavailable=False)
        body = await self._body(head)
        unavailable = status == 503 and b"policy_unavailable" in body
        self.answer = Answer(kind, status, request_id, time.monotonic(), whole=True, unavailable=unavailable)
        return None if _CLOSE.search(head) else self.answer

    async def _body(self, head: bytes) -> bytes:
        reader = self._reader
        if not _CHUNKED.search(head):
            length = _LENGTH.search(head)
            return await reader.readexactly(int(length[1])) if length is not None else b""
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append(await reader.readexactly(size + 2))
        await reader.readexactly(2)
        return b"".join(pieces)

    def close(self) -> None:
        # At once: what is left is of no interest.
        self._writer.transport.abort()


@dataclass(slots=True)
class Arrivals:
    """What has reached the upstream: it is asked again and again, for it remembers only the last of it."""

    simulator: str
    names: set[str] = field(default_factory=set)
    missed: int = 0
    _total: int = 0
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = spawn(self._look(), name="arrivals")

    async def stop(self) -> None:
        """Look once more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        async with httpx.AsyncClient(timeout=30) as client:
            await self._once(client)

    async def _look(self) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                await self._once(client)
                await asyncio.sleep(_LOOK)

    async def _once(self, client: httpx.AsyncClient) -> None:
        told = (await client.get(f"{self.simulator}/sim/requests")).json()
        new = told["total"] - self._total
        self._total = told["total"]
        known = told["requests"][-new:] if new else []
        self.missed += new - len(known)
        for one in known:
            self.names.update(value for name, value in one["headers"] if name == "x-request-id")
