"""The reference transport, asked by an independent peer: grpcio's own client."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from extproc.call import Call
from extproc.chain import Chain, Link
from extproc.conversation import Conversation
from extproc.exchange import Exchange
from extproc.gate import Gate
from extproc.grpc_transport import GrpcTransport
from extproc.outcome import CONTINUE, Mutate
from extproc.policy import Policy, RequestAnswer
from extproc.protos import (
    Message,
    ProcessingRequest,
    ProcessingResponse,
    StreamAccessLogsMessage,
)
from extproc.settings import IdentityHeaders
from extproc.transport import ACCESS_LOGS, PROCESS, Services
from extproc.travel import Travel
from tests.extproc.world import CATALOGUE
from tests.playbook import JSON, body, headers, request_trailers, response_headers, summary
from tests.servers import HOST

CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": []}
SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


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


class World:
    """A transport that serves a real gate, and what it was told."""

    def __init__(self) -> None:
        self.policy = Waits()
        self.logged: list[bytes] = []
        self.ready = True
        self.address = ""
        gate = Gate(Chain([Link(self.policy)], timeout=30), CATALOGUE, IdentityHeaders())
        self.transport = GrpcTransport(
            Services(lambda: Conversation(gate, Travel(), lambda: "exchange-1"), self.logged.append, lambda: self.ready)
        )
        self.channel: Any = None

    def process(self) -> Any:
        call = self.channel.stream_stream(
            PROCESS, request_serializer=serialized, response_deserializer=ProcessingResponse.FromString
        )
        return call()

    async def check(self, service: str = "") -> Any:
        call = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=serialized,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return await call(health_pb2.HealthCheckRequest(service=service))


def serialized(message: Message) -> bytes:
    data: bytes = message.SerializeToString()
    return data


@contextlib.asynccontextmanager
async def serving(address: str) -> AsyncIterator[World]:
    world = World()
    world.address = await world.transport.start(address)
    world.channel = grpc.aio.insecure_channel(world.address, options=SIZE)
    try:
        yield world
    finally:
        await world.channel.close()
        await world.transport.stop(0)


@pytest.fixture(params=["unix", "tcp"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        address = f"unix:{folder}/sub/policy.sock" if request.param == "unix" else f"{HOST}:0"
        async with serving(address) as running:
            yield running


async def test_a_conversation(world: World) -> None:
    call = world.process()
    await call.write(headers("POST", CHAT, JSON))
    assert summary(await call.read()) == "request_headers: go on"
    await call.write(body(PROMPT))
    assert summary(await call.read()) == "request_body: allow openai"
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK


async def test_a_refusal_ends_the_stream(world: World) -> None:
    call = world.process()
    await call.write(headers("GET", "/nowhere"))
    assert summary(await call.read()) == "reject 404 unknown_endpoint"
    assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_that_begins_at_the_response(world: World) -> None:
    call = world.process()
    await call.write(response_headers(401))
    assert summary(await call.read()) == "response_headers: go on"
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("said", [0, 1], ids=["nothing said", "headers said"])
async def test_no_clean_end_before_the_verdict(world: World, said: int) -> None:
    call = world.process()
    if said:
        await call.write(headers("POST", CHAT, JSON))
        await call.read()
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("message", [body(PROMPT), request_trailers(), ProcessingRequest()], ids=lambda _: "")
async def test_what_no_conversation_holds_is_an_error(world: World, message: Message) -> None:
    call = world.process()
    await call.write(message)
    assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION


class PanicError(BaseException):
    """What native extensions raise when they panic is no `Exception`."""


@pytest.mark.parametrize("kind", [PanicError, asyncio.CancelledError, SystemExit, KeyboardInterrupt, RuntimeError])
async def test_whatever_a_conversation_raises_ends_the_stream_with_an_error(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise kind("s3cret")

    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        async with serving(f"unix:{folder}/policy.sock") as world:
            monkeypatch.setattr(Conversation, "receive", fails)
            call = world.process()
            await call.write(headers("POST", CHAT))
            async with asyncio.timeout(5):
                code = await call.code()
            assert code is grpc.StatusCode.INTERNAL
            assert "s3cret" not in await call.details()
            assert (await world.check()).status == health_pb2.HealthCheckResponse.SERVING


async def test_bytes_that_are_no_message_are_an_error(world: World) -> None:
    call = world.channel.stream_stream(PROCESS)()
    await call.write(b"\xff\xff\xff")
    assert await call.code() not in (grpc.StatusCode.OK, None)


async def test_one_that_waits_holds_up_nobody(world: World) -> None:
    slow, quick = world.process(), world.process()
    await slow.write(headers("POST", CHAT, JSON, ("x-wait", "1")))
    await world.policy.waiting.wait()
    await quick.write(headers("POST", CHAT, JSON))
    assert summary(await quick.read()) == "request_headers: go on"
    world.policy.go_on.set()
    assert summary(await slow.read()) == "request_headers: go on"
    slow.cancel()
    quick.cancel()


async def test_a_cancelled_stream_cancels_its_policies(world: World) -> None:
    call = world.process()
    await call.write(headers("POST", CHAT, JSON, ("x-wait", "1")))
    await world.policy.waiting.wait()
    call.cancel()
    async with asyncio.timeout(5):
        await world.policy.cancelled.wait()


async def test_messages_of_sixty_mebibytes_both_ways(world: World) -> None:
    large = PROMPT | {"pad": "x" * (60 * 1024 * 1024)}
    call = world.process()
    await call.write(headers("POST", CHAT, JSON, ("x-grow", "1")))
    await call.read()
    await call.write(body(large))
    reply = await call.read()
    assert len(reply.request_body.response.body_mutation.body) > 60 * 1024 * 1024
    call.cancel()


async def test_access_logs_are_taken(world: World) -> None:
    call = world.channel.stream_unary(ACCESS_LOGS, request_serializer=serialized, response_deserializer=None)()
    for number in range(3):
        message = StreamAccessLogsMessage()
        message.http_logs.log_entry.add().request.path = f"/{number}"
        await call.write(message)
    await call.done_writing()
    await call
    logged = [StreamAccessLogsMessage.FromString(data).http_logs.log_entry[0] for data in world.logged]
    assert [entry.request.path for entry in logged] == [
        "/0",
        "/1",
        "/2",
    ]


async def test_health(world: World) -> None:
    serving_now = health_pb2.HealthCheckResponse.SERVING
    assert (await world.check()).status == serving_now
    assert (await world.check("envoy.service.ext_proc.v3.ExternalProcessor")).status == serving_now
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.check("nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = world.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=serialized,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == serving_now
    world.ready = False
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await world.check()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()


async def test_no_other_service_is_here(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.channel.unary_unary("/sluicegate.Admin/Shutdown")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_stopping_lets_what_is_in_flight_finish() -> None:
    async with serving(f"{HOST}:0") as world:
        call = world.process()
        await call.write(headers("POST", CHAT, JSON, ("x-wait", "1")))
        await world.policy.waiting.wait()
        stopping = asyncio.gather(world.transport.stop(5))
        await asyncio.sleep(0.1)
        world.policy.go_on.set()
        assert summary(await call.read()) == "request_headers: go on"
        await call.write(body(PROMPT))
        assert summary(await call.read()) == "request_body: allow openai"
        await call.done_writing()
        await stopping


async def test_stopping_does_not_wait_for_ever_and_never_ends_cleanly() -> None:
    async with serving(f"{HOST}:0") as world:
        call = world.process()
        await call.write(headers("POST", CHAT, JSON, ("x-wait", "1")))
        await world.policy.waiting.wait()
        await world.transport.stop(0.1)
        assert await call.code() not in (grpc.StatusCode.OK, None)


async def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        path = Path(folder, "policy.sock")
        async with serving(f"unix:{path}"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not path.exists()


async def test_the_socket_is_private_before_anybody_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        path = Path(folder, "policy.sock")
        umask = os.umask(0)
        try:
            kind: Any = importlib.import_module("grpc.aio._server").Server
            start = kind.start

            async def watched(server: Any) -> None:
                modes.append(stat.S_IMODE(path.stat().st_mode))
                await start(server)

            monkeypatch.setattr(kind, "start", watched)
            async with serving(f"unix:{path}"):
                assert modes == [0o600]
            assert os.umask(0) == 0
        finally:
            os.umask(umask)


async def test_no_socket_where_another_user_could_replace_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is a name in /tmp, which anybody can make first."""
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        if os.geteuid() == 0:
            os.chown(folder, 4242, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 4343)
        with pytest.raises(OSError, match="belongs to another user"):
            async with serving(f"unix:{folder}/policy.sock"):
                pass
        assert not Path(folder, "policy.sock").exists()


@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o1777, False), (0o775, False), (0o700, False)])
async def test_no_socket_where_everybody_writes(mode: int, refused: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        os.chmod(folder, mode)
        with pytest.raises(OSError, match="everybody may write") if refused else contextlib.nullcontext():
            async with serving(f"unix:{folder}/policy.sock"):
                pass
        async with serving(f"unix:{folder}/below/policy.sock"):
            assert stat.S_IMODE(Path(folder, "below").stat().st_mode) == 0o700


async def test_a_socket_left_by_a_killed_server_is_in_nobodys_way() -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        path = Path(folder, "policy.sock")
        import socket

        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        assert path.is_socket()
        async with serving(f"unix:{path}") as world:
            assert (await world.check()).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_file_in_the_place_of_the_socket_is_not_removed() -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        path = Path(folder, "policy.sock")
        path.write_text("precious")
        with pytest.raises(OSError, match="cannot listen"):
            await World().transport.start(f"unix:{path}")
        assert path.read_text() == "precious"


async def test_an_address_in_use(world: World) -> None:
    with pytest.raises(OSError, match="cannot listen"):
        await World().transport.start(world.address)
    assert (await world.check()).status == health_pb2.HealthCheckResponse.SERVING
