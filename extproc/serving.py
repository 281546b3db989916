"""A process that serves: from settings until SIGTERM."""

from __future__ import annotations

import asyncio
import signal

import orjson

from extproc.assembly import assemble
from extproc.log import emit, log_to_stdout, unhandled
from extproc.server import PolicyServer
from extproc.settings import Settings
from extproc.tasks import drain


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Takes over the process's logging.

    Raises:
        ConfigurationError: a policy's settings are wrong.
        PolicyStartError: a policy cannot start.
        OSError: the address cannot be bound.
    """
    log_to_stdout()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(unhandled)
    server = PolicyServer(settings, assemble(settings))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    address = await server.start()
    emit(orjson.dumps({"event": "listening", "address": address, "transport": settings.server.transport}))
    await stop.wait()
    emit(orjson.dumps({"event": "draining"}))
    await server.stop()
    await drain(1.0)
    emit(orjson.dumps({"event": "stopped"}))
