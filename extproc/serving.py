"""A process that serves alone: from settings until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from extproc.admin.http_endpoint import admin_endpoint
from extproc.assembly import assemble
from extproc.log import log_to_stdout, tell, unhandled
from extproc.mistakes import ConfigurationError
from extproc.server import PolicyServer
from extproc.settings import Settings
from extproc.tasks import aside, drain, spawn
from extproc.workers.board import Board
from extproc.workers.pulse import pulse, status_of

_log = logging.getLogger(__name__)
_COLLECTED: Final = (10_000, 20, 20)
"""New objects between two looks of the garbage collector, and how often it looks at older ones: 0.3 ms for a look."""
_READ_SECONDS: Final = 60.0
"""For reading the configuration again. It may lie where nobody answers."""
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

    It would, every now and then, and hold all exchanges for some 10 ms. Exchanges leave no cycles behind, so that it need
    not look at what is new as often as it does either: 4 us for each exchange.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED)


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
    with admin_endpoint(settings.server.admin, lambda: board.read(time.monotonic()), board.metrics):
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        asked = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, asked.set)
        looking = spawn(_look(recheck, asked), name="look at the configuration")
        address = await server.start()
        settle_in()

        async def tell_board() -> None:
            board.heard(seat, pid, status_of(server), time.monotonic())
            for piece in server.metrics.take():
                board.measured(seat, pid, piece)
                # Whoever waits for a decision is served in between.
                await asyncio.sleep(0)

        beating = spawn(pulse(tell_board), name="pulse")
        tell("listening", address=address, transport=settings.server.transport)
        await stop.wait()
        tell("draining")
        await server.stop()
        beating.cancel()
        looking.cancel()
        await drain(1.0)
    tell("stopped")


async def _look(recheck: Recheck, asked: asyncio.Event) -> None:
    """Whenever it is asked for, once at a time: it takes the time of those who wait for a decision."""
    while True:
        await asked.wait()
        asked.clear()
        tell("reload_refused", mistakes=await _only_look(recheck))


async def _only_look(recheck: Recheck) -> Sequence[str]:
    try:
        async with asyncio.timeout(_READ_SECONDS):
            await aside(recheck, name="configuration")
    except ConfigurationError as error:
        return error.mistakes
    except TimeoutError:
        return [f"it could not be read in {_READ_SECONDS:g} s"]
    except Exception as error:
        # Whatever a policy does when it is built.
        _log.exception("the configuration cannot be read")
        return [f"it cannot be read: {type(error).__name__}"]
    return ["the configuration is right, and one process cannot take it: restart it, or serve with --workers 2"]
