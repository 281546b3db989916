"""What a worker does: serves on a socket that it has been given, and says each second how it is. Edge."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any, Final

import orjson

from extproc.assembly import assemble
from extproc.chain import PolicyStartError
from extproc.log import log_to_stdout, unhandled
from extproc.mistakes import ConfigurationError
from extproc.placement import Role
from extproc.server import PolicyServer
from extproc.serving import loop_factory, settle_in
from extproc.settings import Settings, parse
from extproc.tasks import drain, spawn
from extproc.workers.line import Line
from extproc.workers.pulse import pulse, status_of
from extproc.workers.status import Failure, Measured

_log = logging.getLogger(__name__)
_LEASH = 0
"""Standard input: the configuration comes on it, and its end means that the supervisor has gone."""


_LAST_WORDS: Final = 1.0
"""Seconds in which a supervisor may take the last of what was counted."""


async def work(settings: Settings, listening: socket.socket, line: Line, *, patience: float) -> None:
    """Serve until SIGTERM or the end of standard input, then drain.

    `patience`: seconds in which policies may fetch keys and the like before it takes requests, which wait in the socket.

    Raises:
        ConfigurationError: a policy's settings are wrong.
        PolicyStartError: a policy cannot start.
        OSError: the socket cannot be served.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(unhandled)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(_LEASH, _leash, stop)
    server = PolicyServer(settings, assemble(settings))
    beating = spawn(pulse(lambda: _tell(server, line, serving=False)), name="pulse")
    try:
        if await _before(stop, server.start(listening, patience=patience)):
            settle_in()
            # It serves on a duplicate. Held open here, the socket would take connections that nobody accepts.
            listening.close()
            beating.cancel()
            beating = spawn(pulse(lambda: _tell(server, line)), name="pulse")
            await stop.wait()
        await server.stop()
    finally:
        beating.cancel()
    await drain(1.0)
    line.finish(_LAST_WORDS)
    _tell(server, line)
    line.finish(_LAST_WORDS)


def _tell(server: PolicyServer, line: Line, *, serving: bool = True) -> None:
    """How it is, and what it has counted since the last time. What is not taken keeps being counted."""
    if not line.held:
        line.say(status_of(server, serving=serving), *map(Measured, server.metrics.take()))


async def _before(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do it, unless the end comes first. Whether it was done."""
    task, stopped = spawn(work, name="start"), spawn(stop.wait(), name="wait for the end")
    await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        await task
        return True
    task.cancel()
    await asyncio.wait((task,))
    return False


def _leash(stop: asyncio.Event) -> None:
    if not os.read(_LEASH, 4096):
        asyncio.get_running_loop().remove_reader(_LEASH)
        stop.set()


def serve(role: Role, socket_descriptor: int, status_descriptor: int) -> int:
    """The life of a worker; its exit status: 2 for a configuration that is wrong, 1 for any other failure."""
    line = Line(status_descriptor)
    os.set_inheritable(socket_descriptor, False)
    log_to_stdout()
    try:
        told = orjson.loads(sys.stdin.buffer.readline())
        settings = parse(told["configuration"])
        # To settle it needs nothing.
        patience = 0.0 if role is Role.SETTLE else told["patience"]
        with socket.socket(fileno=socket_descriptor) as listening, asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(work(settings, listening, line, patience=patience))
    except ConfigurationError as error:
        line.say(Failure(tuple(error.mistakes)))
        return 2
    except (PolicyStartError, OSError) as error:
        line.say(Failure((str(error),)))
        return 1
    except Exception as error:
        _log.exception("a worker failed")
        line.say(Failure((f"it failed: {type(error).__name__}",)))
        return 1
    return 0
