"""Every transport there is, served for tests of the seam: by a real gate, or by dialogues that do what they are told.

async with serving("wire", address) as world:
    call = world.process()
    await call.write(headers("POST", "/v1/chat/completions"))
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from extproc.call import Call
from extproc.chain import Chain, Link
from extproc.conversation import Conversation
from extproc.exchange import Exchange
from extproc.gate import Gate
from extproc.grpc_transport import GrpcTransport
from extproc.outcome import CONTINUE, Mutate
from extproc.policy import Policy, RequestAnswer
from extproc.protos import Message, ProcessingResponse
from extproc.settings import IdentityHeaders
from extproc.transport import (
    ACCESS_LOGS,
    HEALTH_CHECK,
    HEALTH_WATCH,
    PROCESS,
    Dialogue,
    ProtocolError,
    Services,
    Transport,
)
from extproc.travel import Travel
from extproc.wire_transport import WireTransport
from tests.extproc.world import CATALOGUE

TRANSPORTS: Final = ("wire", "grpcio")
"""The values of `server.transport`. Whatever is true of the seam is true of both."""
SIZE: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_KINDS: Final[dict[str, Callable[[Services], Transport]]] = {"wire": WireTransport, "grpcio": GrpcTransport}


class Waits(Policy):
    """Waits when a header says so, and notices when it is given up."""

    name = "waits"

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        if "x-wait" in exchange.request.headers:
            return self._wait()
        return CONTINUE

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        if exchange.need(Call).model == "gpt-4o" and "x-grow" in exchange.request.headers:
            return Mutate(members=(("user", "u" * 1000),))
        return CONTINUE

    async def _wait(self) -> Any:
        self.waiting.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return CONTINUE


class Puppets:
    """Dialogues that do what each message says, and what became of them.

    `say X`: the answer is X. `wait NAME X`: X, once `let(NAME)` was called. `raise`: a fault of ours. `raise later`: the
    same, awaited. `illegal`: a fault of the peer's. `verdict X`: X, and from then on the stream may end. `over X`: X, and
    the stream ends. `size N`: N bytes. Anything else: the number of its bytes.
    """

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        """The first bytes of every message, in the order in which dialogues were asked."""
        self.cancelled: list[str] = []
        self.abandoned: list[bytes] = []
        """The first bytes of every message whose answer was not sent."""
        self._doors: dict[str, asyncio.Event] = {}
        self._knocks: dict[str, asyncio.Event] = {}

    def let(self, name: str) -> None:
        """Whoever waits for this name waits no longer."""
        self._doors.setdefault(name, asyncio.Event()).set()

    async def until_waiting(self, name: str) -> None:
        """Until a dialogue waits for this name."""
        async with asyncio.timeout(10):
            await self._knocks.setdefault(name, asyncio.Event()).wait()

    async def wait(self, name: str) -> None:
        self._knocks.setdefault(name, asyncio.Event()).set()
        try:
            await self._doors.setdefault(name, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    def dialogue(self) -> Dialogue:
        return Puppet(self)


class Puppet:
    """One of them."""

    def __init__(self, puppets: Puppets) -> None:
        self._puppets = puppets
        self.may_end = False
        self.is_over = False
        self._owed = b""

    def abandon(self) -> None:
        if self._owed:
            self._puppets.abandoned.append(self._owed)
            self._owed = b""

    def receive(self, data: bytes) -> bytes | Awaitable[bytes]:
        self._owed = data[:40]
        self._puppets.heard.append(data[:40])
        word, _, rest = data[:1000].partition(b" ")
        match word:
            case b"say":
                return rest
            case b"wait":
                return self._later(*rest.split(b" ", 1))
            case b"raise":
                if rest:
                    return self._fails()
                raise RuntimeError("s3cret")
            case b"illegal":
                raise ProtocolError("that is not legal here")
            case b"size":
                return bytes(int(rest))
            case b"verdict" | b"over":
                self.may_end = True
                self.is_over = word == b"over"
                return rest
        return b"%d" % len(data)

    async def _later(self, name: bytes, answer: bytes) -> bytes:
        await self._puppets.wait(name.decode())
        return answer

    async def _fails(self) -> bytes:
        await asyncio.sleep(0)
        raise RuntimeError("s3cret")


class World:
    """A transport that serves, and what it was told. Without puppets, a real gate with the policy `Waits` answers."""

    def __init__(self, kind: str, puppets: Puppets | None = None) -> None:
        self.kind = kind
        self.policy = Waits()
        self.puppets = puppets or Puppets()
        self.logged: list[bytes] = []
        self.ready = True
        self.address = ""
        gate = Gate(Chain([Link(self.policy)], timeout=30), CATALOGUE, IdentityHeaders())
        converse: Callable[[], Dialogue] = lambda: Conversation(gate, Travel(), lambda: "exchange-1")  # noqa: E731
        if puppets is not None:
            converse = puppets.dialogue
        self.transport = _KINDS[kind](Services(converse, self.logged.append, lambda: self.ready))
        self.channel: Any = None

    def violations(self) -> list[str]:
        """The rules that peers have broken."""
        return [name for name in self.transport.counters() if name.startswith("violation")]

    def process(self) -> Any:
        """An ext_proc stream of messages."""
        call = self.channel.stream_stream(
            PROCESS, request_serializer=serialized, response_deserializer=ProcessingResponse.FromString
        )
        return call()

    def raw(self, **options: Any) -> Any:
        """An ext_proc stream of bytes."""
        return self.channel.stream_stream(PROCESS)(**options)

    def log(self) -> Any:
        """An access log stream of bytes."""
        return self.channel.stream_unary(ACCESS_LOGS)()

    async def check(self, service: str = "", **options: Any) -> Any:
        call = self.channel.unary_unary(
            HEALTH_CHECK,
            request_serializer=serialized,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return await call(health_pb2.HealthCheckRequest(service=service), **options)

    def watch(self, service: str = "") -> Any:
        call = self.channel.unary_stream(
            HEALTH_WATCH,
            request_serializer=serialized,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return call(health_pb2.HealthCheckRequest(service=service))


def serialized(message: Message) -> bytes:
    data: bytes = message.SerializeToString()
    return data


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A folder whose sockets have short names."""
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as path:
        yield path


@contextlib.asynccontextmanager
async def serving(kind: str, address: str, puppets: Puppets | None = None) -> AsyncIterator[World]:
    """A world that listens, and a channel to it."""
    world = World(kind, puppets)
    world.address = await world.transport.start(address)
    world.channel = grpc.aio.insecure_channel(world.address, options=SIZE)
    try:
        yield world
    finally:
        await world.channel.close()
        await world.transport.stop(0)
