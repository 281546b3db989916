"""One worker process: started, listened to, ended. Edge: processes and pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from extproc.log import tell
from extproc.placement import Seat
from extproc.tasks import spawn
from extproc.workers.board import Board
from extproc.workers.status import MAX_LINE, Failure, Measured, Report, Status, from_line

_LAST_WORDS: Final = 0.5
"""Seconds in which the status pipe of an ended worker must be empty. Somebody whom it started may hold it open."""

Program = Callable[[Seat, int, int], Sequence[str]]
"""The command line of a worker, from its seat, the descriptor of its socket and that of its status pipe."""


@dataclass(slots=True, eq=False)
class Process:
    """A worker that has been started. `launch` makes one.

    Attributes:
        heard: when it last spoke (seconds, monotonic); at first, when it was started.
        status: what it said last.
        failure: why it cannot serve, if it has said so.
    """

    seat: Seat
    pid: int
    started: float
    heard: float
    _process: asyncio.subprocess.Process
    _board: Board
    status: Status | None = None
    failure: Failure | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def launch(
        cls,
        program: Program,
        seat: Seat,
        listening: socket.socket,
        configuration: bytes,
        board: Board,
        *,
        patience: float,
    ) -> Process:
        """Start a worker on a socket that listens.

        `configuration` is one line of JSON. `patience`: seconds for which it may keep requests waiting until it is ready.

        Raises:
            OSError: it cannot be started.
        """
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *program(seat, listening.fileno(), writing),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(listening.fileno(), writing),
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        now = time.monotonic()
        self = cls(seat, process.pid, now, now, process, board)
        board.started(seat, self.pid)
        tell("worker_started", **self.name())
        spawn(self._follow(reading), name=f"worker {self.pid}")
        if process.stdin is not None:
            # Nobody waits for it to be read: the pipe stays open, and its end is how the worker knows of ours.
            process.stdin.write(b'{"patience":%g,"configuration":%s}\n' % (patience, configuration))
        return self

    def name(self) -> dict[str, int | str]:
        """What tells it apart, for the log."""
        return {"pid": self.pid, "worker": self.seat.index, "role": self.seat.role.value}

    @property
    def serves(self) -> bool:
        """Whether it has said that it takes requests."""
        return self.status is not None and self.status.serving

    @property
    def ended(self) -> bool:
        return self._gone.is_set()

    async def wait(self) -> None:
        """Until it has ended."""
        await self._gone.wait()

    async def news(self) -> None:
        """Until it has said something, or has ended. For one caller at a time."""
        await self._news.wait()
        self._news.clear()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def retire(self, grace: float) -> None:
        """Ask it to finish, wait for at most `grace` seconds, then end it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace):
                await self.wait()
        except TimeoutError:
            tell("worker_killed", **self.name(), why=f"not gone after {grace:g} s")
            self.kill()
            await self.wait()

    def reason(self) -> str:
        """Why it ended, in words."""
        if self.failure is not None:
            return "; ".join(self.failure.mistakes)
        return "it " + " ".join(f"ended with {key} {value}" for key, value in self._fate().items())

    def _fate(self) -> dict[str, int | str]:
        status = self._process.returncode
        if status is None:
            return {}
        if status < 0:
            with contextlib.suppress(ValueError):
                return {"signal": signal.Signals(-status).name}
        return {"status": status}

    async def _follow(self, reading: int) -> None:
        listening = spawn(self._listen(reading), name=f"status of worker {self.pid}")
        await self._process.wait()
        await asyncio.wait((listening,), timeout=_LAST_WORDS)
        listening.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._board.ended(self.seat, self.pid)
        lived = round(time.monotonic() - self.started, 3)
        tell("worker_ended", **self.name(), **self._fate(), seconds=lived)
        self._gone.set()
        self._news.set()

    async def _listen(self, reading: int) -> None:
        stream = asyncio.StreamReader(limit=MAX_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb", buffering=0)
        )
        try:
            while line := await stream.readline():
                self._hear(from_line(line))
        except ValueError:
            # Longer than any line of a worker: from now on it counts as silent.
            tell("worker_unintelligible", **self.name())
        finally:
            transport.close()

    def _hear(self, report: Report | None) -> None:
        if report is None:
            return
        self.heard = time.monotonic()
        if isinstance(report, Failure):
            self.failure = report
        elif isinstance(report, Measured):
            self._board.measured(self.seat, self.pid, report.snapshot)
            return
        else:
            self.status = report
            self._board.heard(self.seat, self.pid, report, self.heard)
        self._news.set()
