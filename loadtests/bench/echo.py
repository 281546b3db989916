"""A policy server that thinks nothing: what a transport alone costs. `python -m loadtests.bench.echo --help`.

Every exchange is allowed by the same constant bytes. It reads each message far enough to know what it is, and counts the
entries of the access log.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from typing import Final

import orjson
import uvloop

from extproc.grpc_transport import GrpcTransport
from extproc.log import emit
from extproc.protos import HeaderValueOption, ProcessingRequest, ProcessingResponse, StreamAccessLogsMessage
from extproc.tasks import spawn
from extproc.transport import ProtocolError, Services, Transport
from extproc.travel import NAMESPACE
from extproc.wire_transport import WireTransport

_INTERVAL: Final = 0.05
_GRACE: Final = 2.0


def headers_reply() -> bytes:
    """Go on, and send the body."""
    response = ProcessingResponse()
    response.request_headers.SetInParent()
    return bytes(response.SerializeToString())


def verdict() -> bytes:
    """Allowed, to the first upstream of the demo configuration."""
    response = ProcessingResponse()
    common = response.request_body.response
    for name, value in (("x-sluicegate-upstream", b"openai"), ("x-sluicegate-stream", b"0")):
        option = common.header_mutation.set_headers.add()
        option.header.key, option.header.raw_value = name, value
        option.append_action = HeaderValueOption.HeaderAppendAction.Value("OVERWRITE_IF_EXISTS_OR_ADD")
    common.clear_route_cache = True
    response.dynamic_metadata.fields[NAMESPACE].struct_value.fields["verdict"].string_value = "allow"
    return bytes(response.SerializeToString())


_REPLIES: Final = {"request_headers": headers_reply(), "request_body": verdict()}


class Echo:
    """One ext_proc stream."""

    __slots__ = ("_decided",)

    def __init__(self) -> None:
        self._decided = False

    @property
    def may_end(self) -> bool:
        return self._decided

    @property
    def is_over(self) -> bool:
        return self._decided

    def receive(self, data: bytes) -> bytes:
        kind = ProcessingRequest.FromString(data).WhichOneof("request")
        reply = _REPLIES.get(kind)
        if reply is None:
            raise ProtocolError(f"{kind} is not answered here")
        self._decided = kind == "request_body"
        return reply

    def abandon(self) -> None:
        """Nobody is told."""


class Counter:
    """Counts entries of the access log, and says how many there were: seldom, so that saying costs nothing."""

    def __init__(self) -> None:
        self.settled = 0

    def take(self, message: bytes) -> None:
        self.settled += len(StreamAccessLogsMessage.FromString(message).http_logs.log_entry)

    async def tell(self) -> None:
        """Say it now and then, for ever."""
        told = 0
        while True:
            await asyncio.sleep(_INTERVAL)
            if told != self.settled:
                told = self.settled
                emit(orjson.dumps({"event": "settled", "count": told}))


async def _serve(name: str, address: str) -> None:
    counter = Counter()
    services = Services(Echo, counter.take, lambda: True)
    transport: Transport = WireTransport(services) if name == "wire" else GrpcTransport(services)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await transport.start(address)
    emit(orjson.dumps({"event": "listening"}))
    telling = spawn(counter.tell(), name="count")
    await stop.wait()
    telling.cancel()
    await transport.stop(_GRACE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.echo", description=__doc__)
    parser.add_argument("--transport", choices=("wire", "grpcio"), required=True)
    parser.add_argument("--listen", required=True, metavar="ADDRESS", help="unix:/path")
    chosen = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(chosen.transport, chosen.listen))


if __name__ == "__main__":
    main()
