"""A small HTTP server on loopback that answers as the test says, also wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """`raw` replaces the whole answer; `delay` (seconds) comes before it; `drip` between single bytes of the body."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0.0
    drip: float = 0.0

    def head(self, payload: bytes) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Whatever", f"content-length: {len(payload)}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Server:
    """`answers` maps a target (path and query) to what it answers; anything else is a 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.received: list[Received] = []
        self.url = ""

    def targets(self) -> list[str]:
        return [received.target for received in self.received]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.received.append(Received(method, target, headers, body))
            await self._answer(self.answers.get(target, Answer(status=404)), writer)
        writer.close()

    @staticmethod
    async def _answer(answer: Answer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(answer.delay)
        payload = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        if answer.raw is not None:
            writer.write(answer.raw)
        elif answer.drip:
            writer.write(answer.head(payload))
            for byte in payload:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(answer.drip)
        else:
            writer.write(answer.head(payload) + payload)
        await writer.drain()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server on a free port, gone with its connections when the block ends."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            tasks.discard(task)

    listener = await asyncio.start_server(connection, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()
