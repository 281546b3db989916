"""Runs the workers of a policy server: binds the sockets, keeps every seat taken, reloads, drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from extproc.admin.http_endpoint import admin_endpoint
from extproc.log import tell
from extproc.mistakes import ConfigurationError
from extproc.placement import Role, Seat
from extproc.settings import Settings
from extproc.sockets import Mark, bind
from extproc.tasks import aside, spawn
from extproc.workers.board import Board, Overview
from extproc.workers.process import Program
from extproc.workers.reload import refusals, told_to_envoy
from extproc.workers.slot import Patience, Slot

_log = logging.getLogger(__name__)
_FLUSH_SECONDS: Final = 1.2
"""Envoy keeps entries of its access log for as long: those of the last exchanges come after their verdicts."""

_READ_SECONDS: Final = 60.0
"""For reading the configuration again. It may lie where nobody answers."""


class WorkersError(Exception):
    """No worker could start. `mistakes` say why, each once."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(dict.fromkeys(mistakes))


@dataclass(frozen=True, slots=True)
class Given:
    """A configuration that has been found right, and what workers are told of it.

    Attributes:
        tree: as it was validated. Workers read this, and not the file again.
        doubts: what is allowed and almost surely not meant.
    """

    settings: Settings
    tree: Any
    doubts: tuple[str, ...] = ()

    @property
    def line(self) -> bytes:
        """For a worker's standard input."""
        return orjson.dumps(self.tree)


def worker_program(seat: Seat, listening: int, status: int) -> Sequence[str]:
    """The command line of a real worker."""
    # -P: what lies in the current directory is not imported.
    program = (sys.executable, "-P", "-m", "extproc.workers.worker")
    return (*program, "--fd", str(listening), "--status-fd", str(status), "--role", seat.role.value)


class Supervisor:
    """The seats of one policy server. `run` is its life."""

    def __init__(
        self,
        given: Given,
        reread: Callable[[], Given],
        *,
        program: Program = worker_program,
        patience: Patience | None = None,
        flush: float = _FLUSH_SECONDS,
    ) -> None:
        """`reread` finds the configuration anew, for a reload; it raises `ConfigurationError` with what is wrong."""
        self._given = given
        # Envoy was rendered from what it was started with, and is told nothing of what comes after.
        self._first = given.settings
        self._reread = reread
        self._program = program
        # A worker has its grace for exchanges, and once more for what has been logged.
        self._patience = patience or Patience(grace=2 * given.settings.server.grace + 5)
        self._flush = flush
        self._seats = given.settings.server.placement().seats()
        self.board: Final = Board(self._seats)
        self._slots: list[Slot] = []
        self._mistakes: list[str] = []
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. SIGHUP reloads.

        Raises:
            WorkersError: no worker could start.
            OSError: an address cannot be bound.
        """
        server = self._given.settings.server
        with self._signals(), _bound(self._seats) as sockets, self._admin(server.admin):
            self._slots = [
                Slot(seat, listening, program=self._program, board=self.board, patience=self._patience)
                for seat, listening in zip(self._seats, sockets, strict=True)
            ]
            try:
                if await self._unless_stopped(self._start()) and not self._mistakes:
                    await self._unless_stopped(self._reloads())
            finally:
                await self._drain()
        if self._mistakes:
            raise WorkersError(self._mistakes)
        tell("stopped")

    def _admin(self, address: str | None) -> contextlib.AbstractContextManager[str | None]:
        return admin_endpoint(address, self.overview, self.board.metrics)

    def overview(self) -> Overview:
        """How all are now. From any thread."""
        return self.board.read(time.monotonic())

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        meanings = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._reload}
        for number, meaning in meanings.items():
            loop.add_signal_handler(number, meaning.set)
        try:
            yield
        finally:
            for number in meanings:
                loop.remove_signal_handler(number)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do it, or as much of it as there is time for. Whether it was done."""
        task, stopped = spawn(work, name="supervision"), spawn(self._stop.wait(), name="wait for the end")
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return False
            await task
            return True
        finally:
            for one in (task, stopped):
                one.cancel()
            await asyncio.wait((task, stopped))

    async def _start(self) -> None:
        line = self._given.line
        reasons = await asyncio.gather(*(slot.start(line) for slot in self._slots))
        failed = [reason for reason in reasons if reason is not None]
        if len(failed) == len(reasons):
            self._mistakes = failed
            return
        for slot in self._slots:
            slot.keep()
        server = self._given.settings.server
        tell("listening", address=server.listen, transport=server.transport, workers=server.workers)

    async def _drain(self) -> None:
        if self.overview().alive:
            tell("draining")
        deciding = [slot for slot in self._slots if slot.seat.role is not Role.SETTLE]
        settling = [slot for slot in self._slots if slot.seat.role is Role.SETTLE]
        await self._retire(deciding)
        if self.overview().alive:
            await asyncio.sleep(self._flush)
        await self._retire(settling)

    async def _retire(self, slots: Iterable[Slot]) -> None:
        await asyncio.gather(*(slot.retire(self._patience.grace) for slot in slots))

    # Reloading

    async def _reloads(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                await self._reload_once()
            except Exception as error:
                # Those that serve go on, whatever became of it.
                _log.exception("a reload failed")
                _refused([f"it failed: {type(error).__name__}"])

    async def _reload_once(self) -> None:
        tell("reloading")
        try:
            async with asyncio.timeout(_READ_SECONDS):
                new = await aside(self._reread, name="configuration")
        except ConfigurationError as error:
            _refused(error.mistakes)
            return
        except TimeoutError:
            _refused([f"it could not be read in {_READ_SECONDS:g} s"])
            return
        except Exception as error:
            # Whatever a policy does when it is built: those that run go on.
            _log.exception("the configuration cannot be read")
            _refused([f"it cannot be read: {type(error).__name__}"])
            return
        old = self._given
        if mistakes := refusals(old.settings, new.settings):
            _refused(mistakes)
            return
        for doubt in new.doubts:
            _log.warning(doubt)
        if await self._replace_all(old, new):
            self._given = new
            sections = told_to_envoy(self._first, new.settings)
            if sections:
                _log.warning(
                    "Envoy depends on what has changed since the start: render its bootstrap and restart it (%s)",
                    ", ".join(sections),
                )
            tell("reloaded", envoy_depends_on=sections)

    async def _replace_all(self, old: Given, new: Given) -> bool:
        """One after the other; settlement first, so that it knows what the new ones will have decided."""
        done: list[Slot] = []
        for slot in reversed(self._slots):
            reason = await slot.replace(new.line)
            if reason is not None:
                _refused([f"a worker cannot start with it: {reason}"])
                for other in reversed(done):
                    if (again := await other.replace(old.line)) is not None:
                        _log.error("a worker keeps the new configuration: %s", again)
                return False
            done.append(slot)
        return True


def _refused(mistakes: Iterable[str]) -> None:
    tell("reload_refused", mistakes=list(mistakes))


@contextlib.contextmanager
def _bound(seats: Iterable[Seat]) -> Iterator[list[socket.socket]]:
    """A socket that listens, for each seat; closed and removed at the end."""
    with contextlib.ExitStack() as stack:
        sockets = []
        for seat in seats:
            listening = stack.enter_context(bind(seat.address))
            stack.callback(Mark(seat.address).remove)
            sockets.append(listening)
        yield sockets
