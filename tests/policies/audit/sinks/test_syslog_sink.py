"""The sink, with a real rsyslog at the other end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from policies.audit.following.sink import SinkError
from policies.audit.record import Closed
from policies.audit.sinks.settings import SyslogSettings
from policies.audit.sinks.syslog_sink import SyslogSink
from tests.certificates import Authority
from tests.policies.audit.sinks.made import HARD, big, full, insist, made
from tests.policies.audit.sinks.rsyslog import Rsyslog
from tests.policies.audit.sinks.test_syslog_format import parsed


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Rsyslog]:
    server = Rsyslog(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def sink_to(port: int, **more: Any) -> SyslogSink:
    settings = {"kind": "syslog", "name": "siem", "host": "127.0.0.1", "port": port, "max_bytes": 262_144}
    return SyslogSink(SyslogSettings.model_validate(settings | more))


def all_kinds() -> list[Closed]:
    """Records with hard texts in all places, and of up to 200 KiB."""
    texts = [made(index, user_id=text, why=text, params={text: [text]}) for index, text in enumerate(HARD, 1)]
    sizes = [big(size, 100 + index) for index, size in enumerate((2_000, 8_000, 8_192, 8_200, 16_000, 65_536, 200_000))]
    return [*texts, full(50), *sizes]


def sequences(lines: list[bytes]) -> list[int]:
    return [int(parsed(line)["data"]["sequence"]) for line in lines]


async def test_every_record_arrives_whole_and_in_order(collector: Rsyslog) -> None:
    batch, sink = all_kinds(), sink_to(collector.port)
    await sink.start()
    await sink.deliver(batch)
    await sink.deliver([made(1_000)])
    lines = await collector.wait(lambda found: len(found) > len(batch))
    await sink.stop()
    assert [parsed(line)["text"] for line in lines] == [orjson.loads(closed.line) for closed in [*batch, made(1_000)]]


async def test_lines_as_frames(collector: Rsyslog) -> None:
    batch, sink = all_kinds(), sink_to(collector.port, framing="lines")
    await sink.deliver(batch)
    lines = await collector.wait(lambda found: len(found) >= len(batch))
    await sink.stop()
    assert [parsed(line)["text"] for line in lines] == [orjson.loads(closed.line) for closed in batch]


async def test_over_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    client, other = authority.sign("client", "gateway"), Authority(tmp_path, "other")
    stranger = other.sign("stranger", "gateway")
    server = Rsyslog(tmp_path, authority=authority.path, pair=authority.sign("server", "collector.example"))
    good = {"ca": authority.path, "certificate": client.certificate, "key": client.key}
    named = good | {"server_name": "collector.example"}
    wrong: list[tuple[dict[str, str], str]] = [
        (named | {"ca": other.path}, "unable to get local issuer certificate|self.signed"),
        (good, "IP address mismatch"),
        (good | {"server_name": "other.example"}, "Hostname mismatch"),
    ]
    batch = all_kinds()
    try:
        server.start()
        for tls, why in wrong:
            with pytest.raises(SinkError, match=why):
                await sink_to(server.port, tls=tls).deliver(batch)
        # With TLS 1.3 a client hears after the handshake that its certificate is not taken.
        unknown = named | {"certificate": stranger.certificate, "key": stranger.key}
        with pytest.raises(SinkError):
            await sink_to(server.port, tls=unknown).deliver(batch)
        sink = sink_to(server.port, tls=named)
        await sink.start()
        await sink.deliver(batch)
        await sink.deliver([made(1_000)])
        lines = await server.wait(lambda found: len(found) > len(batch))
        await sink.stop()
    finally:
        server.stop()
    assert [parsed(line)["text"] for line in lines] == [orjson.loads(closed.line) for closed in [*batch, made(1_000)]]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_collector_that_ends_and_comes_back_has_lost_nothing(collector: Rsyslog, how: signal.Signals) -> None:
    sink = sink_to(collector.port)
    batches = [[made(batch * 50 + index) for index in range(1, 51)] for batch in range(60)]

    async def trouble() -> None:
        for _ in range(4):
            before = len(collector.lines())
            await collector.wait(lambda found, before=before: len(found) > before + 100)  # type: ignore[misc]
            await asyncio.to_thread(collector.stop, how)
            await asyncio.sleep(0.05)
            await asyncio.to_thread(collector.start)

    async with asyncio.TaskGroup() as group:
        group.create_task(trouble())
        for batch in batches:
            await insist(sink, batch)
            await asyncio.sleep(0.02)
    await insist(sink, [made(10_000)])
    expected = {closed.record.sequence for batch in batches for closed in batch} | {10_000}
    # A line that was cut by the kill came again whole.
    lines = await collector.wait(lambda found: any(b'sequence="10000"' in line for line in found))
    await sink.stop()
    whole = [line for line in lines if line.endswith(b"}") and line.startswith(b"<")]
    assert set(sequences(whole)) == expected


class Listener:
    """A peer that does as it is told: nothing that it was sent is lost on the test."""

    def __init__(self, manner: Literal["reads", "closes", "sleeps"]) -> None:
        self.manner = manner
        self.received: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Listener:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.close()
        # Connections that have just been accepted have their transports in a moment.
        await asyncio.sleep(0.05)
        self.close()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        place = len(self.received)
        self.received.append(b"")
        if self.manner == "sleeps":
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            return
        while data := await reader.read(65_536):
            self.received[place] += data
            if self.manner == "closes":
                break
        writer.close()

    async def has(self, count: int, connections: int = 1) -> None:
        """Wait until the last of so many connections has brought so many messages."""
        async with asyncio.timeout(20):
            while len(self.received) < connections or self.received[-1].count(b"<110>1") < count:
                await asyncio.sleep(0.01)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


async def test_what_was_sent_last_comes_again_over_the_next_connection() -> None:
    async with Listener("reads") as peer:
        sink = sink_to(peer.port)
        await sink.deliver([made(1)])
        await sink.deliver([made(2)])
        await peer.has(2)
        peer.close()
        await asyncio.sleep(0.1)
        await sink.deliver([made(3)])
        await peer.has(3, connections=2)
        await sink.stop()
    assert [each.count(b"<110>1") for each in peer.received] == [2, 3]
    assert b'sequence="1"' in peer.received[1]


async def test_nothing_comes_again_where_that_is_not_wanted() -> None:
    async with Listener("reads") as peer:
        sink = sink_to(peer.port, resend_seconds=0)
        await sink.deliver([made(1)])
        await peer.has(1)
        peer.close()
        await asyncio.sleep(0.1)
        await sink.deliver([made(2)])
        await peer.has(1, connections=2)
        await sink.stop()
    assert [each.count(b"<110>1") for each in peer.received] == [1, 1]


async def test_a_peer_that_closes_while_it_is_sent_to_has_not_taken_the_batch() -> None:
    async with Listener("closes") as peer:
        sink = sink_to(peer.port)
        with pytest.raises(SinkError, match=rf"127\.0\.0\.1:{peer.port}: "):
            await sink.deliver([big(200_000, index) for index in range(100)])


async def test_a_peer_that_does_not_read_has_not_taken_the_batch() -> None:
    async with Listener("sleeps") as peer:
        sink = sink_to(peer.port, timeout=0.5)
        with pytest.raises(SinkError, match="a batch was not taken: timed out"):
            await sink.deliver([big(200_000, index) for index in range(100)])


async def test_a_delivery_that_is_given_up_leaves_no_connection_behind() -> None:
    async with Listener("sleeps") as peer:
        sink = sink_to(peer.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await sink.deliver([big(200_000, index) for index in range(20)])
        peer.manner = "reads"
        await sink.deliver([made(7)])
        await peer.has(1, connections=2)
        await sink.stop()
    assert peer.received[1].count(b"<110>1") == 1


async def test_nobody_there() -> None:
    async with Listener("reads") as peer:
        port = peer.port
    with pytest.raises(SinkError, match=rf"127\.0\.0\.1:{port}: cannot be reached: Connection refused"):
        await sink_to(port).deliver([made()])


async def test_files_of_tls_are_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="tls: a file cannot be used: No such file"):
        await sink_to(1, tls={"ca": str(tmp_path / "missing.pem")}).start()


async def test_an_empty_batch_is_nothing_to_do() -> None:
    await sink_to(1).deliver([])
