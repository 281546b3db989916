"""Our own load generator, for machines without wrk: `python -m loadtests.bench.generator --help`.

HTTP/1.1 with keep-alive and without pipelining: each connection sends its next request when the answer to the last one
is complete, and stops at the first such moment after the time is over. So what was sent is what was answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, cast

import uvloop

from loadtests.bench.load import LINE, Load, summary

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_PATIENCE: Final = 10.0


class Answer:
    """One answer while it arrives: enough of HTTP/1.1 to know when it is complete."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._needed: int | None = None
        self._chunked = False
        self.ok = False

    def feed(self, data: bytes) -> bool:
        """Take in bytes; True when the answer is complete."""
        self._data += data
        if self._needed is None and not self._chunked:
            end = self._data.find(_HEAD_END)
            if end < 0:
                return False
            head = bytes(self._data[:end])
            self.ok = head.startswith(b"HTTP/1.1 200 ")
            self._chunked = _CHUNKED.search(head) is not None
            length = _LENGTH.search(head)
            self._needed = end + len(_HEAD_END) + (int(length[1]) if length else 0)
        if self._chunked:
            return self._data.endswith(_LAST_CHUNK)
        return self._needed is not None and len(self._data) >= self._needed


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, deadline: float, latencies: list[float]) -> None:
        self._request = request
        self._deadline = deadline
        self._latencies = latencies
        self._transport: asyncio.Transport | None = None
        self._answer = Answer()
        self._sent = 0.0
        self.errors = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        if not self._answer.feed(data):
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent)
        self.errors += not self._answer.ok
        if now < self._deadline:
            self._send()
        else:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.errors += 1
            self.done.set_result(None)

    def _send(self) -> None:
        self._answer = Answer()
        self._sent = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._request)

    def _finish(self) -> None:
        self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()


async def run(port: int, request: bytes, *, connections: int, seconds: float) -> Load:
    """Send `request` over so many connections for so long.

    Raises:
        OSError: a connection was refused.
        TimeoutError: an answer did not come.
    """
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    start = time.perf_counter()
    clients: list[Client] = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Client(request, start + seconds, latencies), "127.0.0.1", port)
        clients.append(client)
    async with asyncio.timeout(seconds + _PATIENCE):
        await asyncio.gather(*(client.done for client in clients))
    return summary(latencies, sum(client.errors for client in clients), time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the result as one line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.generator", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of 127.0.0.1")
    parser.add_argument("--request", type=Path, required=True, help="file that holds the bytes to send")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    chosen = parser.parse_args(arguments)
    work = run(chosen.port, chosen.request.read_bytes(), connections=chosen.connections, seconds=chosen.seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(LINE + json.dumps(asdict(runner.run(work))))


if __name__ == "__main__":
    main()
