"""Keeps one seat taken: a worker that dies is replaced, one with an old configuration gives way to one with a new."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Final

from extproc.log import tell
from extproc.placement import Seat
from extproc.tasks import spawn
from extproc.workers.backoff import BackOff
from extproc.workers.board import Board
from extproc.workers.process import Process, Program


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.

    Attributes:
        start: until a worker serves.
        ready: until a worker serves that is not ready yet: the requests of one that has died must not wait for long.
        silence: between words of a worker that is well. It says one each second; one that has not for so long hangs.
        grace: from SIGTERM to SIGKILL.
    """

    start: float = 60.0
    ready: float = 2.0
    silence: float = 10.0
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
        """Start the first worker and wait until it serves. Why it failed, or None."""
        self._configuration = configuration
        async with self._lock:
            try:
                process = await self._launch(self._patience.ready)
            except OSError as error:
                return f"it cannot be started: {error.strerror}"
            self._current = process
        return await self._until_it_serves(process)

    def keep(self) -> None:
        """From now on, replace the worker whenever it dies."""
        self._keeping = spawn(self._keep(), name=f"seat {self.seat.index}")

    async def replace(self, configuration: bytes) -> str | None:
        """Start a worker with another configuration; when it serves, let the old one finish. Why it failed, or None.

        Where the old one is ready, so must the new one be: it takes no requests before. A failure leaves everything as
        it was.
        """
        async with self._lock:
            old, before = self._current, self._configuration
            self._configuration = configuration
            try:
                patience = self._patience
                # Longer than it is waited for: it serves when it is ready, or never.
                candidate = await self._launch(2 * patience.start if _is_ready(old) else patience.ready)
                reason = await self._until_it_serves(candidate)
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

    async def _launch(self, patience: float) -> Process:
        process = await Process.launch(
            self._program, self.seat, self._listening, self._configuration, self._board, patience=patience
        )
        self._living = {one for one in self._living if not one.ended} | {process}
        return process

    async def _until_it_serves(self, process: Process) -> str | None:
        """Why it never will, or None. It is ended then."""
        reason: str | None = "nobody waited for it"
        try:
            async with asyncio.timeout(self._patience.start):
                while not process.serves and not process.ended:
                    await process.news()
            reason = None if process.serves else process.reason()
        except TimeoutError:
            lacks = ", ".join(process.status.missing) if process.status else "it has said nothing"
            reason = f"after {self._patience.start:g} s it is not ready: {lacks}"
        finally:
            if reason is not None:
                process.kill()
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
                        self._current = await self._launch(self._patience.ready)
                    except Exception as error:
                        # Also what is no OSError: where no thread can be started, asyncio raises a RuntimeError.
                        why = getattr(error, "strerror", None) or type(error).__name__
                        tell("worker_not_started", worker=self.seat.index, why=why)

    async def _while_well(self, process: Process) -> None:
        """Until it has ended, or another sits here. One that hangs, or never comes to serve, is ended."""
        heard, quiet, idle = process.heard, 0.0, 0.0
        # One that has been replaced may take long to finish. Whoever sits here now is looked after meanwhile.
        while not process.ended and self._current is process:
            try:
                async with asyncio.timeout(_GLANCE):
                    await process.wait()
            except TimeoutError:
                # Counted and not measured: where the whole machine has slept, nobody has been silent.
                quiet = quiet + _GLANCE if process.heard == heard else 0.0
                idle = 0.0 if process.serves else idle + _GLANCE
                heard = process.heard
                limit = self._patience.start if process.status is None else self._patience.silence
                if quiet >= limit:
                    await self._end(process, f"silent for {limit:g} s")
                elif idle >= self._patience.start:
                    await self._end(process, f"it does not serve after {self._patience.start:g} s")

    async def _end(self, process: Process, why: str) -> None:
        tell("worker_killed", **process.name(), why=why)
        process.kill()
        await process.wait()


def _is_ready(process: Process | None) -> bool:
    return process is not None and not process.ended and process.status is not None and not process.status.missing
