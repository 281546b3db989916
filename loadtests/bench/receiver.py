"""A receiver of spans that costs next to nothing: `python -m loadtests.bench.receiver --port N`.

It takes whatever is posted, in the place of Langfuse and of a collector, and decodes nothing: what they do is done on
another machine. An empty message is OTLP's answer that all was taken.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Sequence
from typing import Final, cast

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_TAKEN: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
_UNBOUNDED: Final = b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Receiver(asyncio.Protocol):
    """One keep-alive connection, whose peer does not pipeline."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            end = self._head.find(_HEAD_END)
            if end < 0 or self._transport is None:
                return
            length = _LENGTH.search(self._head, 0, end)
            if length is None:
                self._transport.write(_UNBOUNDED)
                self._transport.close()
                return
            self._left = int(length[1]) - (len(self._head) - end - len(_HEAD_END))
            self._head = b""
        if self._left <= 0 and self._transport is not None:
            self._left = 0
            self._transport.write(_TAKEN)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port)
    await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.receiver", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of 127.0.0.1")
    chosen = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(chosen.port))


if __name__ == "__main__":
    main()
