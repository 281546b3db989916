"""The wire, asked by programs that others wrote: nghttp2's, curl, grpcio. Envoy asks it in `test_data_path`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2

from extproc.protos import ProcessingResponse
from extproc.transport import HEALTH_CHECK, PROCESS
from tests.contract.tools import needs, run
from tests.h2_peer import framed
from tests.playbook import JSON, body, headers, summary
from tests.servers import HOST
from tests.transports import World, folder, serialized, serving

GRPC: Final = ("-H", "content-type: application/grpc", "-H", "te: trailers")
HEALTHY: Final = framed(health_pb2.HealthCheckResponse(status=1).SerializeToString())
CHAT: Final = "/v1/chat/completions"
PROMPT: Final[dict[str, Any]] = {"model": "gpt-4o", "messages": []}


@pytest.fixture(params=["unix", "tcp"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    with folder() as place:
        address = f"unix:{place}/policy.sock" if request.param == "unix" else f"{HOST}:0"
        async with serving("wire", address) as running:
            yield running


@pytest.fixture
async def tcp() -> AsyncIterator[World]:
    async with serving("wire", f"{HOST}:0") as running:
        yield running


def exchange(pad: int = 0) -> bytes:
    """What Envoy says of a chat completion, as it stands in the DATA frames of one stream."""
    prompt = PROMPT | {"pad": "x" * pad}
    return framed(serialized(headers("POST", CHAT, JSON, ("x-grow", "1"))), serialized(body(prompt)))


def answers(data: bytes) -> list[str]:
    """The answers in the body of a response, a line for each."""
    lines = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        assert data[0] == 0
        assert len(data) >= 5 + size
        lines.append(summary(ProcessingResponse.FromString(data[5 : 5 + size])))
        data = data[5 + size :]
    return lines


def url(world: World, path: str) -> Sequence[str]:
    """curl's arguments that say where."""
    if world.address.startswith("unix:"):
        return "--unix-socket", world.address.removeprefix("unix:"), f"http://policy{path}"
    return (f"http://{world.address}{path}",)


async def curl(world: World, tmp_path: Path, path: str, data: bytes, *more: str) -> tuple[str, bytes]:
    """Head and trailers, and body, of what curl is answered."""
    sent, told, got = tmp_path / "sent", tmp_path / "told", tmp_path / "got"
    sent.write_bytes(data)
    await run(
        *(
            "curl",
            "--silent",
            "--show-error",
            "--http2-prior-knowledge",
            "--dump-header",
            str(told),
            "--output",
            str(got),
        ),
        *("--data-binary", f"@{sent}", *GRPC, *more, *url(world, path)),
    )
    return told.read_text(), got.read_bytes() if got.exists() else b""


@needs("curl")
async def test_curl_asks_for_health(world: World, tmp_path: Path) -> None:
    told, got = await curl(world, tmp_path, HEALTH_CHECK, framed(b""))
    assert told.split("\n") == ["HTTP/2 200 ", "content-type: application/grpc", "", "grpc-status: 0", ""]
    assert got == HEALTHY


@needs("curl")
@pytest.mark.parametrize("pad", [0, 100_000, 20_000_000], ids=["small", "100 kB", "20 MB"])
async def test_curl_holds_a_conversation(world: World, tmp_path: Path, pad: int) -> None:
    """What is sent and what is answered exceeds curl's windows."""
    told, got = await curl(world, tmp_path, PROCESS, exchange(pad), "-H", "expect:")
    assert "grpc-status: 0" in told
    assert answers(got) == ["request_headers: go on", "request_body: allow openai"]
    assert len(got) > pad


@needs("curl")
@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 10), (framed(b"\xff"), 9), (b"\x00\x00\x00\x00\x09cut", 13), (framed(b"x", flag=1), 12)],
    ids=["nothing", "no message", "half a message", "a compressed message"],
)
async def test_curl_is_refused(tcp: World, tmp_path: Path, data: bytes, status: int) -> None:
    told, got = await curl(tcp, tmp_path, PROCESS, data)
    assert f"grpc-status: {status}\n" in told
    assert got == b""
    assert (await tcp.check()).status == 1


@needs("nghttp")
@pytest.mark.parametrize(
    ("path", "more", "expected"),
    [
        ("/", GRPC, "grpc-status: 12"),
        (PROCESS, ("-H", "content-type: application/json"), ":status: 415"),
        (PROCESS, ("-H", "content-type: application/grpcx"), ":status: 415"),
        (PROCESS, (), ":status: 415"),
        (PROCESS, (*GRPC, "-H", ":method: GET"), ":status: 405"),
        (PROCESS, (*GRPC, "-H", "grpc-timeout: 1week"), "grpc-status: 13"),
    ],
    ids=["an unknown path", "JSON", "nearly gRPC", "no type", "GET", "an odd time limit"],
)
async def test_nghttp_is_refused_before_its_body_is_there(
    tcp: World, tmp_path: Path, path: str, more: tuple[str, ...], expected: str
) -> None:
    """Not asked of curl: some of its versions hang where an answer is whole before the body of the request has gone."""
    sent = tmp_path / "sent"
    sent.write_bytes(framed(b""))
    told = await run("nghttp", "--verbose", "--null-out", *more, f"--data={sent}", f"http://{tcp.address}{path}")
    assert re.search(rf"recv \(stream_id=13\) {expected}\s", told.decode()), told
    assert (await tcp.check()).status == 1


@needs("curl")
async def test_curl_that_speaks_http_1_is_hung_up_on(tcp: World) -> None:
    with pytest.raises(AssertionError, match=r"ended with (1|16|52|56)"):
        await run("curl", "--silent", "--http1.1", f"http://{tcp.address}{HEALTH_CHECK}")
    assert (await tcp.check()).status == 1


@needs("nghttp")
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--no-dep",),
        ("--padding=200",),
        ("--window-bits=4", "--connection-window-bits=30"),
        ("--window-bits=30",),
        ("--header-table-size=0",),
        ("--header-table-size=65536", "--encoder-header-table-size=65536"),
        ("--hexdump", "--multiply=100"),
        ("--no-content-length", "--trailer=x-after: 1"),
        ("--peer-max-concurrent-streams=1", "--multiply=5"),
        ("--expect-continue",),
    ],
    ids=lambda more: " ".join(more) or "plain",
)
async def test_nghttp_holds_a_conversation(tcp: World, tmp_path: Path, more: tuple[str, ...]) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(exchange(50_000))
    told = (
        await run("nghttp", "--verbose", "--null-out", *GRPC, f"--data={sent}", *more, f"http://{tcp.address}{PROCESS}")
    ).decode("utf-8", "replace")
    times = int(next((found[1] for found in re.finditer(r"--multiply=(\d+)", " ".join(more))), 1))
    assert len(re.findall(r"recv \(stream_id=\d+\) grpc-status: 0\s", told)) == times, told[-4000:]
    assert "RST_STREAM" not in told
    assert not re.search(r"recv GOAWAY", told)


@needs("nghttp")
async def test_a_header_list_beyond_what_we_announce_ends_the_connection(tcp: World, tmp_path: Path) -> None:
    """nghttp sends 32 kB of fields in CONTINUATION frames."""
    sent = tmp_path / "sent"
    sent.write_bytes(framed(b""))
    told = await run("nghttp", "--verbose", "--continuation", *GRPC, f"--data={sent}", f"http://{tcp.address}{PROCESS}")
    assert b"error_code=ENHANCE_YOUR_CALM(0x0b), opaque_data(22)=[header_block_too_large]" in told
    assert (await tcp.check()).status == 1


@needs("h2load")
@pytest.mark.parametrize("more", [(), ("-w", "10", "-W", "16"), ("--header-table-size=0",)], ids=["", "windows", "table"])
async def test_h2load_asks_two_thousand_times(tcp: World, tmp_path: Path, more: tuple[str, ...]) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(exchange(2_000))
    count = 2_000
    options = ("-n", str(count), "-c", "4", "-m", "20", *GRPC, f"--data={sent}", *more)
    told = (await run("h2load", *options, f"http://{tcp.address}{PROCESS}")).decode()
    assert f"{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout" in told, told
    counters = tcp.transport.counters()
    assert (counters["streams"], counters["connections"]) == (count, 4)
    assert counters["streams_open"] == 0
    assert not [name for name in counters if name.startswith("violation")]


@needs("h2load")
async def test_h2load_on_a_unix_socket(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(framed(b""))
    with folder() as place:
        async with serving("wire", f"unix:{place}/p.sock") as world:
            where = ("--base-uri", f"unix:{place}/p.sock", f"http://policy{HEALTH_CHECK}")
            told = (await run("h2load", "-n", "500", "-c", "10", "-m", "5", *GRPC, f"--data={sent}", *where)).decode()
            assert "500 done, 500 succeeded, 0 failed" in told, told
            assert world.transport.counters()["streams"] == 500


async def test_grpcio_with_every_option_that_changes_its_frames(world: World) -> None:
    options = [
        ("grpc.http2.max_frame_size", 16_777_215),
        ("grpc.http2.hpack_table_size.encoder", 65_536),
        ("grpc.http2.hpack_table_size.decoder", 0),
        ("grpc.http2.lookahead_bytes", 1),
        ("grpc.http2.bdp_probe", 1),
        ("grpc.http2.true_binary", 1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    async with grpc.aio.insecure_channel(world.address, options=options) as channel:

        async def ask(number: int) -> None:
            process: Any = channel.stream_stream(PROCESS)
            call = process(metadata=(("x-number", str(number)), ("x-bin", bytes(range(256)))) if number % 2 else ())
            await call.write(serialized(headers("POST", CHAT, JSON, ("x-grow", "1"))))
            assert summary(ProcessingResponse.FromString(await call.read())) == "request_headers: go on"
            await call.write(serialized(body(PROMPT | {"pad": "x" * (number * 5_000)})))
            reply = ProcessingResponse.FromString(await call.read())
            assert summary(reply) == "request_body: allow openai"
            assert len(reply.request_body.response.body_mutation.body) > number * 5_000
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK

        async with asyncio.timeout(30):
            await asyncio.gather(*(ask(number) for number in range(100)))


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_grpcio_that_compresses_is_told_that_we_do_not(world: World, compression: grpc.Compression) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.check("x" * 1_000, compression=compression)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert (await world.check()).status == 1
