"""A collector of syslog where no rsyslog is installed: `python -m tests.collector PORT FILE`.

Takes octet-counted frames (RFC 6587, section 3.4.1) over TCP, and writes each message to a file, a line each, as soon as
it has come whole. It may be killed at any time, and forgets what it had not written.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from extproc.embedded.ports import free_port
from tests.parts import Part
from tests.policies.audit.sinks.rsyslog import Rsyslog
from tests.servers import HOST, listens


class Collector:
    """Rsyslog if it is installed, else this module's own."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "received.log"
        self._part: Part | None = None
        try:
            self._rsyslog: Rsyslog | None = Rsyslog(folder)
        except pytest.skip.Exception:
            self._rsyslog, self.port = None, free_port()
            command = [sys.executable, "-m", "tests.collector", str(self.port), str(self.output)]
            self._part = Part(command, folder / "collector.log", lambda: listens(self.port))
        else:
            self.port = self._rsyslog.port

    async def start(self) -> None:
        """Start it, and wait until it listens. Nothing where it runs."""
        if self._part is not None:
            await self._part.start()
        elif self._rsyslog is not None and not listens(self.port):
            await asyncio.to_thread(self._rsyslog.start)

    def kill(self) -> None:
        if self._part is not None:
            self._part.kill()
        elif self._rsyslog is not None:
            self._rsyslog.stop()


async def _take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, output: int) -> None:
    try:
        while True:
            length = int(await reader.readuntil(b" "))
            os.write(output, await reader.readexactly(length) + b"\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve(port: int, path: Path) -> None:
    # What it could not finish with when it was killed ends in a line of its own.
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(output, b"\n")
    server = await asyncio.start_server(lambda reader, writer: _take(reader, writer, output), HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
