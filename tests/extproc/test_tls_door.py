"""Who only holds a place in front of the TLS handshake: bounded, counted, and in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from extproc import tls_door
from extproc.tasks import spawn
from extproc.wire.frames import PREFACE, settings
from tests.extproc.test_tls_files import NAME, World, on_either_loop
from tests.servers import HOST


@contextlib.contextmanager
def silent(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that say nothing."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(socket.socket()) for _ in range(count)]
        for peer in peers:
            peer.settimeout(5)
            peer.connect((HOST, port))
        yield peers


async def until(world: World, counter: str, count: int) -> None:
    async with asyncio.timeout(10):
        while world.transport.counters().get(counter, 0) != count:
            await asyncio.sleep(0.01)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@on_either_loop
async def test_those_who_stay_silent_give_way_to_those_who_do_not(world: World) -> None:
    before = descriptors()
    with silent(world.port, 400):
        await until(world, "violation_too_many_handshakes", 400 - tls_door.AT_ONCE)
        assert world.transport.counters()["tls_handshakes_open"] == tls_door.AT_ONCE
        # A turn for those who have given way to be closed.
        await asyncio.sleep(0.1)
        assert descriptors() - before < 400 + 2 * tls_door.AT_ONCE + 20
        for _ in range(5):
            assert (await world.connect(world.client, world.authority.path))[3:4] == b"\x04"
    await until(world, "tls_handshakes_open", 0)
    assert world.transport.counters()["connections"] == 5


def test_a_handshake_takes_its_time_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_door, "SECONDS", 0.2)

    @on_either_loop
    async def scenario(world: World) -> None:
        with silent(world.port, 3) as peers:
            # The beginning of a ClientHello.
            peers[0].sendall(b"\x16\x03\x01\x02\x00\x01")
            await until(world, "violation_tls_handshake_too_slow", 3)
            for peer in peers:
                assert await asyncio.to_thread(peer.recv, 1) == b""
        assert world.transport.counters()["tls_handshakes_open"] == 0

    for loop in ("asyncio", "uvloop"):
        (tmp_path / loop).mkdir()
        scenario(tmp_path / loop, loop)


@on_either_loop
async def test_who_hangs_up_at_once_is_no_fault(world: World) -> None:
    for _ in range(20):
        with silent(world.port, 20):
            pass
        await asyncio.sleep(0)
    await until(world, "tls_handshakes_open", 0)
    assert not [name for name in world.transport.counters() if name.startswith("violation_")]


def test_without_descriptors_it_rests_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A listening socket stays readable while nothing can be accepted: to try on and on would take all the time."""

    @on_either_loop
    async def scenario(world: World) -> None:
        caplog.clear()
        with socket.socket() as peer:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                peer.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    peer.connect((HOST, world.port))
                for _ in range(50):
                    await asyncio.sleep(0.01)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert len([line for line in caplog.messages if "no connection can be accepted" in line]) == 1
            await until(world, "tls_handshakes_open", 1)
            assert (await world.connect(world.client, world.authority.path))[3:4] == b"\x04"

    for loop in ("asyncio", "uvloop"):
        (tmp_path / loop).mkdir()
        scenario(tmp_path / loop, loop)


@on_either_loop
async def test_a_handshake_that_has_begun_is_finished_though_the_server_stops(world: World) -> None:
    context = ssl.create_default_context(cafile=world.authority.path)
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(world.client.certificate, world.client.key)

    def go_on(raw: socket.socket) -> bytes:
        with context.wrap_socket(raw, server_hostname=NAME) as connection:
            connection.sendall(PREFACE + settings({}))
            return connection.recv(9)

    with silent(world.port, 1) as (peer,):
        await until(world, "tls_handshakes_open", 1)
        stopping = spawn(world.transport.stop(2.0), name="stop")
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, world.port))
        assert (await asyncio.to_thread(go_on, peer))[3:4] == b"\x04"
        await stopping
    assert world.transport.counters()["connections"] == 1
