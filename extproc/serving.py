"""A process that serves alone: from settings until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import time
from collections.abc import Callable

import orjson

from extproc.admin.http_endpoint import admin_endpoint
from extproc.assembly import assemble
from extproc.log import emit, log_to_stdout, unhandled
from extproc.mistakes import ConfigurationError
from extproc.server import PolicyServer
from extproc.settings import Settings
from extproc.tasks import drain, spawn
from extproc.workers.board import Board
from extproc.workers.pulse import pulse

Recheck = Callable[[], object]
"""Reads the configuration again. Raises `ConfigurationError` with what is wrong."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed."""
    try:
        return importlib.import_module("uvloop").new_event_loop  # type: ignore[no-any-return]
    except ImportError:
        return None


def settle_in() -> None:
    """All that a server is made of is there now: the garbage collector need not look at it again.

    It would, every now and then, and hold all exchanges for some 10 ms. Exchanges leave no cycles behind.
    """
    gc.collect()
    gc.freeze()


async def serve(settings: Settings, recheck: Recheck) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Takes over the process's logging.

    SIGHUP only looks at the configuration: to take a new one without a gap needs a second process.

    Raises:
        ConfigurationError: a policy's settings are wrong.
        PolicyStartError: a policy cannot start.
        OSError: the address cannot be bound.
    """
    log_to_stdout()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(unhandled)
    server = PolicyServer(settings, assemble(settings))
    (seat,) = settings.server.placement().seats()
    board, pid = Board((seat,)), os.getpid()
    board.started(seat, pid)
    with admin_endpoint(settings.server.admin, lambda: board.read(time.monotonic())):
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: spawn(_only_look(recheck), name="look at the configuration"))
        address = await server.start()
        settle_in()
        beating = spawn(pulse(server, lambda status: board.heard(seat, pid, status, time.monotonic())), name="pulse")
        emit(orjson.dumps({"event": "listening", "address": address, "transport": settings.server.transport}))
        await stop.wait()
        emit(orjson.dumps({"event": "draining"}))
        await server.stop()
        beating.cancel()
        await drain(1.0)
    emit(orjson.dumps({"event": "stopped"}))


async def _only_look(recheck: Recheck) -> None:
    try:
        await asyncio.to_thread(recheck)
    except ConfigurationError as error:
        mistakes = error.mistakes
    else:
        mistakes = ["the configuration is right, and one process cannot take it: restart it, or serve with --workers 2"]
    emit(orjson.dumps({"event": "reload_refused", "mistakes": mistakes}))
