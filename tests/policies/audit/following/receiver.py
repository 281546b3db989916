"""A receiver of webhooks on loopback, which answers as the test says, also wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.audit.following.settings import WebhookSettings
from tests.policies.audit.following.rigs import Id


@dataclass
class Reply:
    """`delay`: seconds before it; `hang`: none ever; `reset`: the connection ends instead; `raw`: in place of it all."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang: bool = False
    reset: bool = False
    raw: bytes | None = None
    body: bytes = b"{}"


@dataclass
class Request:
    head: str
    headers: dict[str, str]
    body: bytes

    def ids(self) -> list[Id]:
        if self.headers["content-type"] == "application/json":
            records = json.loads(self.body)
        else:
            records = [json.loads(line) for line in self.body.splitlines()]
        return [(record["journal"], record["sequence"]) for record in records]


class Receiver:
    """`replies` are given one after the other, then what `rule` says of a request."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.rule: Callable[[Request], Reply] = lambda _: Reply()
        self.requests: list[Request] = []
        self.connections = 0
        self.url = ""

    def arrived(self) -> list[Id]:
        return [one for request in self.requests for one in request.ids()]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(head[0], headers, body)
        reply = self.replies.pop(0) if self.replies else self.rule(request)
        self.requests.append(request)
        await asyncio.sleep(3_600 if reply.hang else reply.delay)
        if reply.reset:
            writer.transport.abort()
            return False
        answer = [f"HTTP/1.1 {reply.status} X", f"content-length: {len(reply.body)}"]
        answer += [f"{name}: {value}" for name, value in reply.headers.items()]
        writer.write(reply.raw or ("\r\n".join(answer) + "\r\n\r\n").encode() + reply.body)
        await writer.drain()
        return reply.raw is None


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port, gone with its connections when the block ends."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    listener = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    receiver.url = f"https://localhost:{port}/in?token=t0p" if tls else f"http://127.0.0.1:{port}/in?token=t0p"
    try:
        yield receiver
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def webhook_settings(url: str, **fields: Any) -> WebhookSettings:
    return WebhookSettings.model_validate({"kind": "webhook", "name": "hook", "url": url, **fields})
