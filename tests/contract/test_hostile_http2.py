"""Hostile HTTP/2, frame by frame: what Envoy lets through is judged like anything else, and the rest ends its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, NamedTuple

import h2.config
import h2.connection
import h2.events
import hyperframe.frame
import pytest
import pytest_asyncio

from tests.contract.hostile import CHAT, MESSAGES, PATIENCE, Answer, Expected, World, body, check, hostile_world
from tests.entra_tokens import Issuer

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
Fields = list[tuple[str, str]]
_STREAM: Final = 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(simulator: str) -> AsyncIterator[World]:
    async with hostile_world(simulator, Issuer()) as running:
        yield running


class Frames(NamedTuple):
    """A request of one stream: its header fields, its body and its trailers; or `raw` bytes in place of all that."""

    name: str
    expected: Expected
    fields: Callable[[Fields], Iterable[tuple[str, str]]] = lambda fields: fields
    content: bytes = body()
    trailers: tuple[tuple[str, str], ...] = ()
    raw: bytes = b""


def usual(token: str) -> Fields:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway.example"),
        (":path", CHAT),
        ("authorization", f"Bearer {token}"),
        ("content-type", "application/json"),
        ("user-agent", "canary"),
    ]


def replaced(**values: str) -> Callable[[Fields], Iterable[tuple[str, str]]]:
    """The usual pseudo header fields with other values."""
    return lambda fields: [(name, values.get(name.removeprefix(":"), value)) for name, value in fields]


def added(*more: tuple[str, str]) -> Callable[[Fields], Iterable[tuple[str, str]]]:
    return lambda fields: [*fields, *more]


def without(name: str) -> Callable[[Fields], Iterable[tuple[str, str]]]:
    return lambda fields: [field for field in fields if field[0] != name]


BROKEN: Final = Expected(None)
"""The stream or the connection is reset: HTTP/2 knows no answer to a malformed request (RFC 9113 section 8.1.1)."""
UNSEEN: Final = Expected(None, completions=0)
"""The connection ends before there is a request."""


def refused(status: int, code: str, dialect: str = "openai") -> Expected:
    return Expected(status, code, dialect)


TABLE: Final = (
    Frames("no credentials", refused(401, "missing_credentials"), without("authorization")),
    Frames("two Authorization fields", refused(400, "invalid_request"), added(("authorization", "Bearer canary"))),
    Frames("another api-key", refused(400, "invalid_request"), added(("api-key", "canary"))),
    Frames("an unknown path", refused(404, "unknown_endpoint"), replaced(path="/v1/canary")),
    Frames("escaped dot segments", refused(404, "unknown_endpoint"), replaced(path="/v1/%2e%2e/v1/canary")),
    Frames("a path of Anthropic's", refused(404, "unknown_endpoint", "anthropic"), replaced(path=MESSAGES + "/")),
    Frames("a relative path", BROKEN, replaced(path="v1/chat/completions")),
    Frames("a space in the path", BROKEN, replaced(path="/v1/chat /completions")),
    Frames("another request in the path", BROKEN, replaced(path="/v1/x HTTP/1.1\r\nhost: canary\r\n\r\n")),
    Frames("another method", refused(404, "unknown_endpoint"), replaced(method="TRACE")),
    Frames("a method that is a request", BROKEN, replaced(method="POST / HTTP/1.1\r\nx: ")),
    Frames("CONNECT with a path", BROKEN, replaced(method="CONNECT")),
    Frames("two paths", BROKEN, lambda fields: [*fields[:4], (":path", "/v1/models"), *fields[4:]]),
    Frames("two methods", BROKEN, lambda fields: [(":method", "GET"), *fields]),
    Frames("two authorities", BROKEN, lambda fields: [(":authority", "canary"), *fields]),
    Frames("no path", BROKEN, without(":path")),
    Frames("no method", BROKEN, without(":method")),
    Frames("an empty path", BROKEN, replaced(path="")),
    Frames("a pseudo field behind others", BROKEN, added((":path", "/v1/models"))),
    Frames("a pseudo field that nobody knows", BROKEN, lambda fields: [(":canary", "1"), *fields]),
    Frames("a pseudo field of answers", BROKEN, lambda fields: [(":status", "200"), *fields]),
    Frames("a name in capitals", BROKEN, added(("X-Tenant-Id", "canary"))),
    Frames("a name with a colon", BROKEN, added(("x-tenant-id:", "canary"))),
    Frames("a name with an underscore", BROKEN, added(("x_tenant_id", "canary"))),
    Frames("a line break in a value", BROKEN, added(("x-canary", "a\r\nx-tenant-id: canary"))),
    Frames("a NUL in a value", BROKEN, added(("x-canary", "a\0b"))),
    Frames("chunks within frames", BROKEN, added(("transfer-encoding", "chunked"))),
    Frames("a connection field", BROKEN, added(("connection", "keep-alive"))),
    Frames("an upgrade", BROKEN, added(("upgrade", "websocket"))),
    Frames("a length that is too short", BROKEN, added(("content-length", "5"))),
    Frames("a length that is too long", BROKEN, added(("content-length", "5000"))),
    Frames("two lengths", BROKEN, added(("content-length", "5"), ("content-length", str(len(body()))))),
    Frames("150 fields", BROKEN, added(*((f"x-canary-{number}", "1") for number in range(150)))),
    Frames("a field of 70 kB", BROKEN, added(("x-canary", "c" * 70_000))),
    Frames("no body", refused(400, "empty_body"), content=b""),
    Frames("duplicate keys", refused(400, "duplicate_key"), content=body().replace(b"{", b'{"model":"gpt-secret",', 1)),
    Frames("a body that is refused, and trailers", refused(400, "invalid_json"),
           content=b"{", trailers=(("x-canary", "1"),)),
    Frames("a pseudo field in the trailers", BROKEN, trailers=((":path", "/v1/models"),)),
    Frames("data before a request", UNSEEN, raw=hyperframe.frame.DataFrame(_STREAM, b"canary").serialize()),
    Frames("fields of a stream of the server's", UNSEEN,
           raw=hyperframe.frame.HeadersFrame(2, b"\x82", flags=["END_HEADERS"]).serialize()),
    Frames("a compressed block that is none", BROKEN,
           raw=hyperframe.frame.HeadersFrame(_STREAM, b"\xff\xff\xff\xff\xff", flags=["END_HEADERS"]).serialize()),
    Frames("a frame beyond its size", UNSEEN, raw=b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"c" * 100),
    Frames("a window update of nothing", UNSEEN, raw=b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + bytes(4)),
)  # fmt: skip


async def talk(world: World, frames: Frames, pass_on: Callable[[], Awaitable[None]]) -> Answer | None:
    """Send, and read until the stream or the connection ends. None: there was no answer.

    `pass_on` is awaited where none is expected, when all is sent.
    """
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
    )
    connection = h2.connection.H2Connection(config)
    port = next(iter(world.gateway.envoy.ports.values()))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        connection.initiate_connection()
        if frames.raw:
            writer.write(connection.data_to_send() + frames.raw)
        else:
            ends = not frames.content and not frames.trailers
            connection.send_headers(_STREAM, list(frames.fields(usual(world.good))), end_stream=ends)
            if frames.content:
                connection.send_data(_STREAM, frames.content, end_stream=not frames.trailers)
            if frames.trailers:
                connection.send_headers(_STREAM, list(frames.trailers), end_stream=True)
            writer.write(connection.data_to_send())
        async with asyncio.timeout(PATIENCE):
            if frames.expected.status is None:
                # Envoy is silent for a second before it ends a connection. By now it has refused, or the fence would see.
                await pass_on()
                writer.write_eof()
            return await _answer(connection, reader)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def _answer(connection: h2.connection.H2Connection, reader: asyncio.StreamReader) -> Answer | None:
    headers: tuple[tuple[str, str], ...] = ()
    received = bytearray()
    try:
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                match event:
                    case h2.events.ResponseReceived():
                        headers = tuple((str(name), str(value)) for name, value in event.headers)
                    case h2.events.DataReceived():
                        received += event.data
                    case h2.events.StreamEnded():
                        return Answer(int(dict(headers)[":status"]), headers, bytes(received))
                    case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                        return None
                    case _:
                        pass
    except ConnectionError:
        pass
    return None


async def _nothing() -> None:
    pass


@pytest.mark.parametrize("frames", TABLE, ids=lambda frames: frames.name)
async def test_hostile_frames_are_refused_and_never_pass(world: World, frames: Frames) -> None:
    before = len(world.gateway.recorder.completions)

    async def pass_on() -> None:
        assert (await world.fence(before))[1] == []

    answer = await talk(world, frames, pass_on)
    completions, arrived = await world.fence(before)
    assert not arrived, arrived
    assert (answer is None) is (frames.expected.status is None), answer
    assert len(completions) == frames.expected.completions, completions
    if answer is not None:
        check(answer, frames.expected)


async def test_trailers_go_nowhere(world: World) -> None:
    """What is not judged does not go up."""
    before = len(world.gateway.recorder.completions)
    lies = (("x-tenant-id", "canary-lie"), ("authorization", "Bearer canary-lie"), ("x-sluicegate-upstream", "anthropic"))
    answer = await talk(world, Frames("trailers", Expected(200), trailers=lies), _nothing)
    assert answer is not None
    assert answer.status == 200
    completions, [arrived] = await world.fence(before)
    assert len(completions) == 1
    assert "canary-lie" not in repr(arrived)
