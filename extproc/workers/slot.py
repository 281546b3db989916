"""Keeps one seat taken: a worker that dies is replaced, one with an old configuration gives way to one with a new."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Final

import orjson

from extproc.log import emit
from extproc.placement import Seat
from extproc.tasks import spawn
from extproc.workers.backoff import BackOff
from extproc.workers.board import Board
from extproc.workers.process import Process, Program


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.

    Attributes:
        start: from its start to a worker's first word, and to being ready where the one before it was.
        silence: between words of a worker that is well. It says one each second; one that has not for so long hangs.
        grace: from SIGTERM to SIGKILL.
    """

    start: float = 60.0
    silence: float = 20.0
    grace: float = 20.0


_GLANCE: Final = 1.0


class Slot:
    """One seat, its socket, and whoever sits there. `start`, `keep`, then `retire`."""

    def __init__(
        self, seat: Seat, listening: socket.socket, *, program: Program, board: Board, patience: Patience
    ) -> None:
        self.seat = seat
        self._listening = listening
        self._program = program
        self._board = board
        self._patience = patience
        self._current: Process | None = None
        self._configuration = b""
        # Whoever starts a process holds it.
        self._lock = asyncio.Lock()
        self._living: set[Process] = set()
        self._keeping: asyncio.Task[None] | None = None

    async def start(self, configuration: bytes) -> str | None:
        """Start the first worker and wait for its first word. Why it failed, or None."""
        self._configuration = configuration
        async with self._lock:
            try:
                process = await self._launch()
            except OSError as error:
                return f"it cannot be started: {error.strerror}"
            self._current = process
        return await self._first_word(process)

    def keep(self) -> None:
        """From now on, replace the worker whenever it dies."""
        self._keeping = spawn(self._keep(), name=f"seat {self.seat.index}")

    async def replace(self, configuration: bytes) -> str | None:
        """Start a worker with another configuration; when it is ready, let the old one finish. Why it failed, or None.

        A failure leaves everything as it was.
        """
        async with self._lock:
            old, before = self._current, self._configuration
            self._configuration = configuration
            try:
                candidate = await self._launch()
                reason = await self._until_as_ready(candidate, old)
            except OSError as error:
                reason = f"it cannot be started: {error.strerror}"
            except BaseException:
                self._configuration = before
                raise
            if reason is not None:
                self._configuration = before
                return reason
            self._current = candidate
            self._board.promoted(self.seat, candidate.pid)
        if old is not None:
            await old.retire(self._patience.grace)
        return None

    async def retire(self, grace: float) -> None:
        """Let whoever sits here finish; nobody comes after."""
        # Whoever connects now must be refused, and not wait for nobody.
        self._listening.close()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait((self._keeping,))
        self._living = {process for process in self._living if not process.ended}
        if self._living:
            await asyncio.wait([spawn(process.retire(grace), name="retire") for process in self._living])

    async def _launch(self) -> Process:
        process = await Process.launch(self._program, self.seat, self._listening, self._configuration, self._board)
        self._living = {one for one in self._living if not one.ended} | {process}
        return process

    async def _first_word(self, process: Process) -> str | None:
        try:
            async with asyncio.timeout(self._patience.start):
                while process.status is None and not process.ended:
                    await process.news()
        except TimeoutError:
            process.kill()
            return f"it has said nothing for {self._patience.start:g} s"
        return None if process.status is not None else process.reason()

    async def _until_as_ready(self, candidate: Process, old: Process | None) -> str | None:
        """Wait until the candidate lacks nothing that the old one has. Why it never will, or None."""
        reason: str | None = "nobody waited for it"
        try:
            lacks: set[str] = set()
            async with asyncio.timeout(self._patience.start):
                reason = await self._first_word(candidate)
                while reason is None and (lacks := _lacks(candidate, old)):
                    await candidate.news()
                    reason = candidate.reason() if candidate.ended else None
        except TimeoutError:
            reason = f"after {self._patience.start:g} s it is not ready: {', '.join(sorted(lacks))}"
        finally:
            if reason is not None:
                candidate.kill()
        return reason

    async def _keep(self) -> None:
        backoff = BackOff()
        while True:
            process = self._current
            if process is not None:
                await self._while_well(process)
            async with self._lock:
                if self._current is not process:
                    continue
                self._current = None
                lived = time.monotonic() - process.started if process is not None else 0.0
            delay, backoff = backoff.after(lived)
            await asyncio.sleep(delay)
            async with self._lock:
                if self._current is None:
                    try:
                        self._current = await self._launch()
                    except OSError as error:
                        emit(
                            orjson.dumps(
                                {"event": "worker_not_started", "worker": self.seat.index, "why": error.strerror}
                            )
                        )

    async def _while_well(self, process: Process) -> None:
        """Until it has ended. One that hangs is ended."""
        while not process.ended:
            try:
                async with asyncio.timeout(_GLANCE):
                    await process.wait()
            except TimeoutError:
                limit = self._patience.start if process.status is None else self._patience.silence
                if time.monotonic() - process.heard > limit:
                    why = f"silent for {limit:g} s"
                    emit(orjson.dumps({"event": "worker_killed", **process.name(), "why": why}))
                    process.kill()
                    await process.wait()


def _lacks(candidate: Process, old: Process | None) -> set[str]:
    """What the old one has and the candidate has not yet, such as the keys of an identity provider that is down."""
    if old is None or old.status is None or old.ended or candidate.status is None:
        return set()
    return set(candidate.status.missing) - set(old.status.missing)
