"""Large bodies, both ways and several at a time: right bytes, and bounded memory.

The policy reads the whole of the request and of the answer. Client and upstream are in this process, and compare hashes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from extproc.embedded.in_process import identity_provider
from loadtests.bench.load import raw_request
from loadtests.bench.measure import BenchError, Target, until_settled
from loadtests.bench.minds import READ
from loadtests.bench.proc import peak_of, resident_of
from loadtests.bench.stand import Builder, Say
from loadtests.bench.targets import Kind

SIZE: Final = 50 * 1024 * 1024
AT_ONCE: Final = 8
FACTOR: Final = 1.5
_ROUNDS: Final = 3
_KIND: Final = Kind("wire reader", "wire", "reader")
_PIECE: Final = 1 << 20
_PATIENCE: Final = 240.0


@dataclass(frozen=True, slots=True)
class Bodies:
    """What came of it. Sizes in bytes; `peak` and `before` of the policy process."""

    size: int
    at_once: int
    exchanges: int
    right: int
    before: int
    peak: int

    @property
    def in_flight(self) -> int:
        """Bytes of the bodies in flight: each exchange has one on its way, up or down."""
        return self.size * self.at_once

    @property
    def factor(self) -> float:
        """The memory that they took, as a multiple of them."""
        return (self.peak - self.before) / self.in_flight

    @property
    def holds(self) -> bool:
        return self.right == self.exchanges and self.factor <= FACTOR


def padded(tree: dict[str, object], size: int, fill: str) -> bytes:
    """A JSON object of exactly this many bytes: the first string `…` in it is replaced by as much text as that takes."""
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False)
    before, _, after = text.partition("…")
    room = size - len(before.encode()) - len(after.encode())
    body = (fill * (room // len(fill) + 1))[:room]
    return f"{before}{body}{after}".encode()


def question(size: int, number: int) -> bytes:
    """A chat call of this size, unlike those of other numbers."""
    messages = [{"role": "user", "content": f"{number} …"}]
    return padded({"model": "gpt-4o-mini", "messages": messages, "stream": False}, size, f"body {number} ")


def answer(size: int) -> bytes:
    """A chat answer of this size."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "…"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 12, "completion_tokens": 50, "total_tokens": 62}
    return padded({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage}, size, "answer ")


class Far:
    """The upstream: takes bodies in and notes their hashes; answers all alike."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.seen: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen[(await _hash_of_body(reader, head)).hexdigest()] += 1
                fields = b"content-type: application/json\r\ncontent-length: %d" % len(self._body)
                writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % fields)
                for start in range(0, len(self._body), _PIECE):
                    writer.write(self._body[start : start + _PIECE])
                    await writer.drain()
        writer.close()


async def _hash_of_body(reader: asyncio.StreamReader, head: bytes) -> hashlib._Hash:
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    found = hashlib.sha256()
    if b"content-length" in fields:
        await _take(reader, int(fields[b"content-length"]), found)
    else:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await _take(reader, size, found)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    return found


async def _take(reader: asyncio.StreamReader, size: int, found: hashlib._Hash) -> None:
    while size:
        data = await reader.read(min(size, _PIECE))
        if not data:
            raise asyncio.IncompleteReadError(b"", size)
        found.update(data)
        size -= len(data)


async def _ask(port: int, body: bytes, expected: str) -> bool:
    """Send one body; whether the right answer came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data = raw_request(body, "none")
        for start in range(0, len(data), _PIECE):
            writer.write(data[start : start + _PIECE])
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        found = await _hash_of_body(reader, head)
    finally:
        writer.close()
    return head.startswith(b"HTTP/1.1 200 ") and found.hexdigest() == expected


def _read_by_policy(log: Path) -> Counter[str]:
    """Hashes that the policy has said, `request` or `response` before each."""
    records = (orjson.loads(line) for line in log.read_bytes().splitlines() if READ.encode() in line)
    return Counter(f"{record['side']} {record['sha256']}" for record in records if record["event"] == READ)


async def bodies(say: Say, size: int = SIZE, at_once: int = AT_ONCE, rounds: int = _ROUNDS) -> Bodies:
    """Send them.

    Raises:
        BenchError: an exchange did not end.
        StackError: something did not start.
    """
    reply = answer(size)
    far, expected = Far(reply), hashlib.sha256(reply).hexdigest()
    async with contextlib.AsyncExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluicegate-bench-")))
        identity = stack.enter_context(identity_provider(state))
        builder = Builder(stack, state, identity)
        server = await asyncio.start_server(far.serve, "127.0.0.1", builder.upstream_port)
        await stack.enter_async_context(server)
        target, _ = await builder.gateway(_KIND)
        before = resident_of(target.pids["policy"])
        good: list[bool] = []
        asked = [question(size, number) for number in range(at_once)]
        for number in range(rounds):
            say(f"{at_once} bodies of {size / 2**20:g} MiB at a time: round {number + 1} of {rounds}")
            good += await _round(target, asked, expected)
        await until_settled(target.completions, len(good))
        peak = peak_of(target.pids["policy"])
        hashes = [hashlib.sha256(body).hexdigest() for body in asked]
        read = _read_by_policy(state / "logs" / "policy-wire-reader.log")
        right = sum(good)
        if any(far.seen[one] != rounds or read[f"request {one}"] != rounds for one in hashes):
            right = 0
        if read[f"response {expected}"] != len(good):
            right = 0
        return Bodies(size, at_once, len(good), right, before, peak)


async def _round(target: Target, asked: list[bytes], expected: str) -> list[bool]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.gather(*(_ask(target.port, body, expected) for body in asked))
    except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as error:
        raise BenchError(f"large bodies: an exchange did not end ({type(error).__name__})") from error
