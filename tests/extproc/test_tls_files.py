"""Mutual TLS: who is taken, who is not, and what happens when files change. Asked by Python's own TLS client."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from extproc.tls_files import ServerFiles, ServerTls, names_of
from extproc.transport import Services
from extproc.wire.frames import PREFACE, settings
from extproc.wire_transport import WireTransport
from tests.certificates import Authority, Pair
from tests.servers import HOST

NAME = "policy.internal"
SAN: Any = (("DNS", "envoy.internal"), ("URI", "spiffe://mesh/envoy"), ("IP Address", "10.0.0.1"))


@pytest.mark.parametrize(
    ("names", "certificate", "protocol", "refusal"),
    [
        ((), {"subjectAltName": SAN}, "h2", None),
        ((), {"subject": ()}, "h2", None),
        ((), {}, "h2", "no_client_certificate"),
        ((), None, "h2", "no_client_certificate"),
        ((), {"subjectAltName": SAN}, None, "no_alpn"),
        ((), {"subjectAltName": SAN}, "http/1.1", "no_alpn"),
        (("envoy.internal",), {"subjectAltName": SAN}, "h2", None),
        (("spiffe://mesh/envoy", "other"), {"subjectAltName": SAN}, "h2", None),
        (("10.0.0.1",), {"subjectAltName": SAN}, "h2", "client_name_not_allowed"),
        (("Envoy.internal.evil",), {"subjectAltName": SAN}, "h2", "client_name_not_allowed"),
        (("envoy.internal",), {"subject": ()}, "h2", "client_name_not_allowed"),
    ],
)
def test_who_is_taken(
    tmp_path: Path,
    names: tuple[str, ...],
    certificate: Mapping[str, Any] | None,
    protocol: str | None,
    refusal: str | None,
) -> None:
    authority = Authority(tmp_path, "ours")
    server = authority.sign("server", NAME)
    tls = ServerTls(ServerFiles(server.certificate, server.key, authority.path, names))
    assert tls.refusal(certificate, protocol) == refusal


def test_names() -> None:
    assert names_of({"subjectAltName": SAN}) == {"envoy.internal", "spiffe://mesh/envoy"}
    assert names_of({}) == set()


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    server, other = authority.sign("server", NAME), authority.sign("other", NAME)
    (tmp_path / "empty").touch()
    for files, words in (
        (ServerFiles(str(tmp_path / "none"), server.key, authority.path), "none: No such file"),
        (ServerFiles(server.certificate, other.key, authority.path), "no certificate and its key"),
        (ServerFiles(str(tmp_path / "empty"), server.key, authority.path), "no certificate and its key"),
        (ServerFiles(server.certificate, server.key, str(tmp_path / "empty")), "holds no certificates"),
    ):
        with pytest.raises(OSError, match=words):
            ServerTls(files)


@dataclass(slots=True)
class World:
    """A listening transport, its authority, and a client of that authority."""

    folder: Path
    authority: Authority
    client: Pair
    transport: WireTransport
    port: int

    async def connect(self, client: Pair | None, ca: str, *, alpn: str | None = "h2") -> bytes:
        """What the server says first; empty if it hangs up."""
        context = ssl.create_default_context(cafile=ca)
        if alpn:
            context.set_alpn_protocols([alpn])
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        reader, writer = await asyncio.open_connection(HOST, self.port, ssl=context, server_hostname=NAME)
        try:
            writer.write(PREFACE + settings({}))
            return await reader.read(9)
        except (ssl.SSLError, ConnectionError):
            return b""
        finally:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[World]:
    authority = Authority(folder, "ours")
    server, client = authority.sign("server", NAME), authority.sign("client", "envoy.internal")
    files = ServerFiles(server.certificate, server.key, authority.path, ("envoy.internal",))
    services: Any = Services(lambda: None, lambda _: None, lambda: True)  # type: ignore[arg-type, return-value]
    transport = WireTransport(services, tls=files)
    address = await transport.start(f"{HOST}:0")
    try:
        yield World(folder, authority, client, transport, int(address.rpartition(":")[2]))
    finally:
        await transport.stop(0)


def on_either_loop(scenario: Callable[[World], Awaitable[None]]) -> Callable[[Path, str], None]:
    """A test of this scenario on asyncio's event loop and on uvloop's: each has a TLS of its own."""

    async def run(folder: Path) -> None:
        async with serving(folder) as world:
            await scenario(world)

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test(tmp_path: Path, loop: str) -> None:
        factory = asyncio.new_event_loop if loop == "asyncio" else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run(tmp_path))

    return test


@on_either_loop
async def test_a_client_of_ours_is_served(world: World) -> None:
    assert (await world.connect(world.client, world.authority.path))[3:4] == b"\x04"
    assert world.transport.counters()["tls_handshakes"] == 1


@on_either_loop
async def test_others_are_hung_up_on(world: World) -> None:
    theirs = Authority(world.folder, "theirs")
    ours = world.authority
    for client in (None, theirs.sign("x", "envoy.internal"), ours.sign("late", "envoy.internal", days=-1)):
        assert await world.connect(client, ours.path) == b""
    counters = world.transport.counters()
    assert (counters["tls_handshakes"], counters.get("connections", 0)) == (3, 0)
    assert await world.connect(ours.sign("named", "somebody.else"), ours.path) == b""
    assert await world.connect(world.client, ours.path, alpn=None) == b""
    counters = world.transport.counters()
    assert counters["violation_client_name_not_allowed"] == counters["violation_no_alpn"] == 1
    assert counters["connections_open"] == 0


@on_either_loop
async def test_files_that_change_are_taken_for_new_connections(world: World) -> None:
    tls = world.transport._tls
    assert tls is not None
    assert not tls.refresh()
    old = world.authority.path
    new = Authority(world.folder, "new")
    Path(old).with_name("spare.pem").write_bytes(Path(old).read_bytes())
    # Half of a change is no change: the key does not fit.
    new.sign("half", NAME)
    Path(world.folder, "server.pem").write_bytes(Path(world.folder, "half.pem").read_bytes())
    assert not tls.refresh()
    assert (await world.connect(world.client, str(world.folder / "spare.pem")))[3:4] == b"\x04"
    new.sign("server", NAME)
    Path(old).write_bytes(Path(new.path).read_bytes())
    assert tls.refresh()
    assert (await world.connect(new.sign("client2", "envoy.internal"), new.path))[3:4] == b"\x04"
    # The old authority counts no more.
    assert await world.connect(world.client, new.path) == b""
