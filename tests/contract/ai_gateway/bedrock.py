"""A provider that speaks Amazon Bedrock's Converse API and nothing else: plain, and streamed as binary events.

It counts as Bedrock does: cached input beside the input. How long an answer is and how it ends stands in the request's
text.

Sources: API_runtime_Converse, API_runtime_ConverseStream; the encoding of application/vnd.amazon.eventstream.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import json
import re
import struct
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.embedded.ports import free_port
from tests.servers import HOST

INPUT, CACHED, WRITTEN = 30, 50, 20
"""Tokens of every request here: plain, read from the cache, written to it."""
_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"
_LENGTH: Final = re.compile(rb"([0-9]+) words(, then cut)?(, slowly)?")


@dataclass(slots=True)
class Bedrock:
    """Where it is, and the paths that it was asked for."""

    url: str
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)


def usage(words: int) -> dict[str, int]:
    """What an answer of so many words has used."""
    return {
        "inputTokens": INPUT,
        "outputTokens": words,
        "totalTokens": INPUT + CACHED + WRITTEN + words,
        "cacheReadInputTokens": CACHED,
        "cacheWriteInputTokens": WRITTEN,
    }


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """One message of an event stream."""
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 12 + len(headers) + len(body) + 4, len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


def _events(words: int) -> Iterator[bytes]:
    yield event("messageStart", {"role": "assistant"})
    for number in range(words):
        yield event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": f" word{number}"}})
    yield event("contentBlockStop", {"contentBlockIndex": 0})
    yield event("messageStop", {"stopReason": "end_turn"})
    yield event("metadata", {"usage": usage(words), "metrics": {"latencyMs": 5}})


@contextlib.asynccontextmanager
async def running_bedrock() -> AsyncIterator[Bedrock]:
    """Such a provider, in this process, until the block ends."""
    port = free_port()
    provider = Bedrock(f"http://{HOST}:{port}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await _answer(provider, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, HOST, port)
    try:
        yield provider
    finally:
        server.close()


async def _answer(provider: Bedrock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: ([0-9]+)", head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    path = head.split(b" ")[1].decode()
    provider.paths.append(path)
    provider.bodies.append(json.loads(body))
    wish = _LENGTH.search(body)
    assert wish is not None, body
    most = provider.bodies[-1].get("inferenceConfig", {}).get("maxTokens", 100_000)
    words = min(int(wish[1]), most)
    if path.endswith("/converse-stream"):
        await _stream(writer, _events(words), cut=bool(wish[2]), delay=0.02 if wish[3] else 0)
    elif path.endswith("/converse"):
        text = "".join(f" word{number}" for number in range(words))
        message = {"role": "assistant", "content": [{"text": text}]}
        answer = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage(words)}
        data = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data
        )
        await writer.drain()
    else:
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")


async def _stream(writer: asyncio.StreamWriter, events: Iterable[bytes], *, cut: bool, delay: float) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    sent = list(events)
    # Cut: the end of the words, what was used and the end of the body are missing.
    for message in sent[: len(sent) // 2] if cut else sent:
        writer.write(b"%x\r\n%b\r\n" % (len(message), message))
        await writer.drain()
        await asyncio.sleep(delay)
    if cut:
        await asyncio.sleep(0.5)
        writer.transport.abort()
        raise ConnectionResetError
    writer.write(b"0\r\n\r\n")
    await writer.drain()
