"""A supervisor of fake workers, run in the test's own process, and who answers at its sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from extproc.placement import Seat
from extproc.settings import parse
from extproc.tasks import spawn
from extproc.workers.board import View
from extproc.workers.slot import Patience
from extproc.workers.supervisor import Given, Supervisor

FAKE = Path(__file__).with_name("fake_worker.py")
HURRIED = Patience(start=3.0, silence=1.0, grace=1.0)


def program(seat: Seat, listening: int, status: int) -> Sequence[str]:
    return (sys.executable, "-I", "-S", str(FAKE), str(seat.index), str(listening), str(status))


@dataclass(slots=True)
class Supervised:
    """What runs, and the configuration that it will find when it reads it again."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    next: Callable[[], Given] = field(init=False)
    supervisor: Supervisor = field(init=False)
    task: asyncio.Task[None] = field(init=False)
    written: str = ""

    def given(self, generation: int = 1, behaviours: dict[str, str] | None = None, **server: Any) -> Given:
        """A configuration of two workers that do as they are told."""
        section = {"workers": 2, "transport": "wire", "listen": f"unix:{self.folder}/p.sock"}
        settings = parse({"server": section | server, "policies": [{"policy": "p"}]})
        return Given(settings, {"generation": generation, **(behaviours or {})})

    def start(self, given: Given) -> None:
        self.next = lambda: given
        self.supervisor = Supervisor(given, self._reread, program=program, patience=HURRIED, flush=0.05)
        self.task = spawn(self.supervisor.run(), name="supervisor under test")

    def _reread(self) -> Given:
        return self.next()

    @property
    def views(self) -> dict[int, View]:
        return {view.seat.index: view for view in self.supervisor.overview().views}

    @property
    def pids(self) -> dict[int, int | None]:
        return {index: view.pid for index, view in self.views.items()}

    def events(self) -> list[dict[str, Any]]:
        """Everything that has been logged so far."""
        self.written += self.capsys.readouterr().out
        found = [json.loads(line) for line in self.written.splitlines()]
        assert all("timestamp" in event for event in found)
        return found

    def names(self) -> list[str]:
        return [event["event"] for event in self.events()]

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not done():
                assert not self.task.done(), self.events()
                await asyncio.sleep(0.01)

    async def until_logged(self, event: str, times: int = 1) -> None:
        await self.until(lambda: self.names().count(event) >= times)

    async def ask(self, name: str) -> tuple[int, int]:
        """The pid and the generation of whoever answers on a socket. Waits for somebody."""
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_unix_connection(f"{self.folder}/p.{name}.sock")
            pid, generation = (await reader.readline()).split()
            writer.close()
            await writer.wait_closed()
        return int(pid), int(generation)

    async def generations(self) -> list[int]:
        return [(await self.ask(name))[1] for name in ("1", "2", "settle")]

    async def end(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await self.task


@contextlib.asynccontextmanager
async def supervised(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Supervised]:
    """Nothing is started yet; what is, is ended."""
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        one = Supervised(Path(folder), capsys)
        try:
            yield one
        finally:
            if not one.task.done():
                await one.end()
            await asyncio.sleep(0)
