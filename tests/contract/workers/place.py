"""A gateway of two workers behind real Envoy, and clients that load it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from extproc.tasks import spawn
from tests.served import CHAT, PROMPT, Served
from tests.servers import Server

CLIENTS = 8


@dataclass(slots=True)
class Load:
    """Clients that ask one thing after the other.

    `answers`, when they were asked for and how many seconds they took, are by `x-request-id`.
    """

    client: httpx.AsyncClient
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self._running = [spawn(self._ask(index), name="client") for index in range(CLIENTS)]

    async def stop(self) -> None:
        self._over.set()
        await asyncio.gather(*self._running)

    async def _ask(self, index: int) -> None:
        while not self._over.is_set():
            # About half of what one client could ask.
            await asyncio.sleep(0.02)
            begun = time.monotonic()
            try:
                answer = await self.client.post(CHAT, json=PROMPT | {"stream": index % 2 == 0})
            except httpx.HTTPError as error:
                self.faults.append(type(error).__name__)
                continue
            self.answers[answer.headers["x-request-id"]] = answer
            self.begun[answer.headers["x-request-id"]] = begun
            self.took[answer.headers["x-request-id"]] = time.monotonic() - begun

    async def until(self, count: int) -> None:
        """So many answers more."""
        wanted = len(self.answers) + count
        async with asyncio.timeout(60):
            while len(self.answers) < wanted:
                await asyncio.sleep(0.02)

    def statuses(self) -> Counter[int]:
        return Counter(answer.status_code for answer in self.answers.values())

    def passed(self) -> set[str]:
        return {key for key, answer in self.answers.items() if answer.status_code == 200}

    def failed(self) -> set[str]:
        return set(self.answers) - self.passed()


def closed(answer: httpx.Response) -> bool:
    """Refused in the caller's own dialect, because nobody decided."""
    return answer.status_code == 503 and answer.json()["error"]["code"] == "policy_unavailable"


@dataclass(slots=True)
class Place(Served):
    """The configuration on disk may be changed."""

    server: Server | None = None
    _read: int = 0
    _events: list[dict[str, Any]] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        """What the policy server has logged so far."""
        with (self.folder / "serve.log").open("rb") as log:
            log.seek(self._read)
            # A last line that is still being written is left for the next time, with all that follows it.
            for line in itertools.takewhile(lambda line: line.endswith(b"\n"), log):
                self._read += len(line)
                self._events.append(json.loads(line))
        return self._events

    def count(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events())

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not done():
                await asyncio.sleep(0.02)

    async def reload(self, event: str = "reloaded") -> None:
        before = self.count(event)
        self.signal(signal.SIGHUP)
        await self.until(lambda: self.count(event) > before)

    def signal(self, number: signal.Signals) -> None:
        assert self.server is not None
        os.kill(self.server.pid, number)

    async def workers(self) -> dict[int, dict[str, Any]]:
        transport = httpx.AsyncHTTPTransport(uds=f"{self.folder}/admin.sock")
        async with httpx.AsyncClient(transport=transport, base_url="http://policy") as client:
            status = (await client.get("/status")).json()
        return {worker["worker"]: worker for worker in status["workers"]}

    async def pid(self, index: int) -> int:
        pid: int = (await self.workers())[index]["pid"]
        return pid

    async def settled(self, wanted: set[str]) -> None:
        """Each of these requests has one completion, and no request has two."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: wanted <= set(self.completions()))
        counts = Counter(self.completions())
        lost = wanted - counts.keys()
        assert not lost, f"{len(lost)} of {len(wanted)} have no completion: {sorted(lost)[:5]}"
        assert [one for one, count in counts.items() if count != 1] == []

    def completions(self) -> list[str]:
        return [one["request_id"] for one in self.events() if one["event"] == "completion"]

    @contextlib.contextmanager
    def policy_server(self) -> Iterator[None]:
        with self.served(lambda: self.count("listening") == 1, grace=20) as server:
            self.server = server
            yield


def place_in(folder: Path, simulator: str) -> Place:
    section = {
        "transport": "wire",
        "workers": 2,
        "listen": f"unix:{folder}/policy.sock",
        "admin": f"unix:{folder}/admin.sock",
        "grace": 5,
        # Envoy waits a second longer.
        "decision_timeout": 1,
    }
    return Place(folder, simulator, section)
