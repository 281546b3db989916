"""Our own load generator: `python -m loadtests.bench.generator --help`.

For open loops and for streams, which wrk cannot measure; and for closed loops where wrk is not installed. HTTP/1.1 with
keep-alive and without pipelining. Every request that is sent is waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop

from loadtests.bench.arrivals import Arrivals
from loadtests.bench.client import Answer, Client
from loadtests.bench.load import LINE, Load, Taken, summary
from loadtests.bench.timerfd import Ticker

_PATIENCE: Final = 30.0


class Generator:
    """Connections to one target, and what they have seen."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._clients: list[Client] = []
        self._over = asyncio.get_running_loop().create_future()
        self._whole: list[float] = []
        self._first: list[float] = []
        self._gaps: list[float] = []
        self._lags: list[float] = []
        self._errors = 0
        self._started = False

    async def connect(self, port: int, connections: int) -> None:
        """Open the connections.

        Raises:
            OSError: one was refused.
        """
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, client = await loop.create_connection(
                lambda: Client(self._request, self._answered, self._lost), "127.0.0.1", port
            )
            self._clients.append(client)

    def begin(self, connections: int) -> None:
        """Connections that were lost before anything was sent count as failures."""
        self._errors += connections - len(self._clients)
        self._started = True
        if not self._clients:
            self.end()

    async def finished(self, seconds: float) -> None:
        """Wait for the end, and hang up.

        Raises:
            TimeoutError: an answer did not come.
        """
        try:
            async with asyncio.timeout(seconds + _PATIENCE):
                await self._over
        finally:
            for client in self._clients:
                client.close()

    def load(self, seconds: float) -> Load:
        """What was seen."""
        return summary(Taken(self._whole, self._first, self._gaps, self._lags), self._errors, seconds)

    def end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _answered(self, client: Client, answer: Answer) -> None:
        self._whole.append(client.finished - client.due)
        self._errors += not answer.ok
        if answer.events:
            self._first.append(answer.events[0] - client.due)
            self._gaps += [later - earlier for earlier, later in zip(answer.events, answer.events[1:], strict=False)]
        self._next(client)

    def _lost(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
        # A connection that is lost while it is idle has failed nobody.
        self._errors += client.busy
        if self._started:
            self._gone(client)

    def _next(self, client: Client) -> None:
        raise NotImplementedError

    def _gone(self, client: Client) -> None:
        raise NotImplementedError


class Closed(Generator):
    """Each connection sends again when it has its answer, until the time is over."""

    async def run(self, connections: int, seconds: float) -> Load:
        start = time.monotonic()
        self._deadline = start + seconds
        self._open = len(self._clients)
        self.begin(connections)
        for client in tuple(self._clients):
            client.send()
        await self.finished(seconds)
        return self.load(time.monotonic() - start)

    def _next(self, client: Client) -> None:
        if client.finished < self._deadline:
            client.send()
        else:
            self._gone(client)

    def _gone(self, client: Client) -> None:
        self._open -= 1
        if self._open <= 0:
            self.end()


class Open(Generator):
    """Requests are sent when they are due. Where no connection is free they wait, and their time runs."""

    async def run(self, connections: int, arrivals: Arrivals) -> Load:
        self._arrivals = arrivals
        self.begin(connections)
        self._waiting: deque[float] = deque()
        self._free = deque(self._clients)
        self._ticks = self._sent = 0
        self._left = arrivals.total
        self._ticker = Ticker(arrivals.interval, self._tick)
        try:
            await self.finished(arrivals.seconds)
        finally:
            self._ticker.close()
        return self.load(max(arrivals.total / arrivals.rate, 1e-9))

    def _tick(self, passed: int) -> None:
        for _ in range(passed):
            self._ticks += 1
            due = self._ticker.start + self._ticks * self._arrivals.interval
            for _ in range(self._arrivals.due(self._ticks) - self._sent):
                self._sent += 1
                self._send(due)

    def _send(self, due: float) -> None:
        if self._free:
            client = self._free.pop()
            client.send(due)
            self._lags.append(client.sent - due)
        elif self._clients:
            self._waiting.append(due)
        else:
            self._errors += 1
            self._count()

    def _next(self, client: Client) -> None:
        self._free.append(client)
        if self._waiting:
            self._send(self._waiting.popleft())
        self._count()

    def _gone(self, client: Client) -> None:
        if client in self._free:
            self._free.remove(client)
        if client.busy:
            self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self.end()


async def run(port: int, request: bytes, *, connections: int, seconds: float, rate: float | None = None) -> Load:
    """Send `request` over so many connections for so long; at a constant rate (per second) if one is given.

    Raises:
        OSError: a connection was refused.
        TimeoutError: an answer did not come.
    """
    generator = Closed(request) if rate is None else Open(request)
    await generator.connect(port, connections)
    if isinstance(generator, Closed):
        return await generator.run(connections, seconds)
    return await generator.run(connections, Arrivals(rate or 1.0, seconds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the result as one line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.generator", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of 127.0.0.1")
    parser.add_argument("--request", type=Path, required=True, help="file that holds the bytes to send")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rate", type=float, help="requests per second: an open loop (default: a closed one)")
    chosen = parser.parse_args(arguments)
    request = chosen.request.read_bytes()
    work = run(chosen.port, request, connections=chosen.connections, seconds=chosen.seconds, rate=chosen.rate)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(LINE + json.dumps(asdict(runner.run(work))))


if __name__ == "__main__":
    main()
