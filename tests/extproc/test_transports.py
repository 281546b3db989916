"""The seam's contract, kept by every transport; asked by an independent peer: grpcio's own client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from extproc.conversation import Conversation
from extproc.protos import Message, ProcessingRequest, StreamAccessLogsMessage
from tests.playbook import JSON, body, headers, request_trailers, response_headers, summary
from tests.servers import HOST
from tests.transports import TRANSPORTS, World, folder, serialized, serving

CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": []}


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["unix", "tcp"])
async def world(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with folder() as path:
        address = f"unix:{path}/sub/policy.sock" if request.param == "unix" else f"{HOST}:0"
        async with serving(kind, address) as running:
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


@pytest.mark.parametrize("raised", [PanicError, asyncio.CancelledError, SystemExit, KeyboardInterrupt, RuntimeError])
async def test_whatever_a_conversation_raises_ends_the_stream_with_an_error(
    kind: str, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise raised("s3cret")

    with folder() as place:
        async with serving(kind, f"unix:{place}/policy.sock") as world:
            monkeypatch.setattr(Conversation, "receive", fails)
            call = world.process()
            await call.write(headers("POST", CHAT))
            async with asyncio.timeout(5):
                code = await call.code()
            assert code is grpc.StatusCode.INTERNAL
            assert "s3cret" not in await call.details()
            assert (await world.check()).status == health_pb2.HealthCheckResponse.SERVING


async def test_bytes_that_are_no_message_are_an_error(world: World) -> None:
    call = world.raw()
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
    call = world.log()
    for number in range(3):
        message = StreamAccessLogsMessage()
        message.http_logs.log_entry.add().request.path = f"/{number}"
        await call.write(serialized(message))
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
    watch = world.watch()
    assert (await watch.read()).status == serving_now
    world.ready = False
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await world.check()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()


async def test_no_other_service_is_here(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.channel.unary_unary("/sluicegate.Admin/Shutdown")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_stopping_lets_what_is_in_flight_finish(kind: str) -> None:
    async with serving(kind, f"{HOST}:0") as world:
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


async def test_stopping_does_not_wait_for_ever_and_never_ends_cleanly(kind: str) -> None:
    async with serving(kind, f"{HOST}:0") as world:
        call = world.process()
        await call.write(headers("POST", CHAT, JSON, ("x-wait", "1")))
        await world.policy.waiting.wait()
        await world.transport.stop(0.1)
        assert await call.code() not in (grpc.StatusCode.OK, None)


async def test_the_socket_is_private_and_goes_with_the_server(kind: str) -> None:
    with folder() as place:
        path = Path(place, "policy.sock")
        async with serving(kind, f"unix:{path}"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not path.exists()


async def test_no_socket_where_another_user_could_replace_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is a name in /tmp, which anybody can make first."""
    with folder() as place:
        if os.geteuid() == 0:
            os.chown(place, 4242, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 4343)
        with pytest.raises(OSError, match="belongs to another user"):
            async with serving(kind, f"unix:{place}/policy.sock"):
                pass
        assert not Path(place, "policy.sock").exists()


@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o1777, False), (0o775, False), (0o700, False)])
async def test_no_socket_where_everybody_writes(kind: str, mode: int, refused: bool) -> None:
    with folder() as place:
        os.chmod(place, mode)
        with pytest.raises(OSError, match="everybody may write") if refused else contextlib.nullcontext():
            async with serving(kind, f"unix:{place}/policy.sock"):
                pass
        async with serving(kind, f"unix:{place}/below/policy.sock"):
            assert stat.S_IMODE(Path(place, "below").stat().st_mode) == 0o700


async def test_a_socket_left_by_a_killed_server_is_in_nobodys_way(kind: str) -> None:
    with folder() as place:
        path = Path(place, "policy.sock")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        assert path.is_socket()
        async with serving(kind, f"unix:{path}") as world:
            assert (await world.check()).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_file_in_the_place_of_the_socket_is_not_removed(kind: str) -> None:
    with folder() as place:
        path = Path(place, "policy.sock")
        path.write_text("precious")
        with pytest.raises(OSError, match="cannot listen"):
            await World(kind).transport.start(f"unix:{path}")
        assert path.read_text() == "precious"


async def test_an_address_in_use(kind: str, world: World) -> None:
    with pytest.raises(OSError, match="cannot listen"):
        await World(kind).transport.start(world.address)
    assert (await world.check()).status == health_pb2.HealthCheckResponse.SERVING
