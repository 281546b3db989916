"""Mutual TLS: who is taken, who is not, and what happens when files change. Asked by Python's own TLS client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from extproc.tls_files import ServerFiles, ServerTls, expiry, failure_of, load, names_of, snapshot
from extproc.transport import Services
from extproc.wire.frames import PREFACE, settings
from extproc.wire_transport import WireTransport
from tests.certificates import Authority, Pair
from tests.servers import HOST

NAME = "policy.internal"
SERVICES: Any = Services(lambda: None, lambda _: None, lambda: True)  # type: ignore[arg-type, return-value]
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
    tls = ServerTls(ServerFiles(server.certificate, server.key, authority.path, names), failed=print)
    assert tls.refusal(certificate, protocol) == refusal


def test_names() -> None:
    assert names_of({"subjectAltName": SAN}) == {"envoy.internal", "spiffe://mesh/envoy"}
    assert names_of({}) == set()


def reasoned(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def unverified(code: int) -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED")
    error.reason, error.verify_code = "CERTIFICATE_VERIFY_FAILED", code
    return error


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (unverified(10), "client_certificate_expired"),
        (unverified(20), "client_certificate_not_trusted"),
        (unverified(18), "client_certificate_not_trusted"),
        (reasoned("PEER_DID_NOT_RETURN_A_CERTIFICATE"), "no_client_certificate"),
        (reasoned("TLSV1_ALERT_UNKNOWN_CA"), "our_certificate_not_trusted"),
        (reasoned("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "our_certificate_not_trusted"),
        (reasoned("SSLV3_ALERT_HANDSHAKE_FAILURE"), "tls_handshake_failed"),
        (reasoned("UNSUPPORTED_PROTOCOL"), "tls_too_old"),
        (reasoned("HTTP_REQUEST"), "not_tls"),
        (reasoned("WRONG_VERSION_NUMBER"), "not_tls"),
        (reasoned("SOMETHING_NEW"), "tls_handshake_failed"),
        (ssl.SSLError(1, "without a reason"), "tls_handshake_failed"),
    ],
)
def test_failures_have_stable_names(error: ssl.SSLError, name: str) -> None:
    assert failure_of(error) == name


def test_a_snapshot_tells_one_state_of_files_from_another(tmp_path: Path) -> None:
    one, none = tmp_path / "one", str(tmp_path / "none")
    one.write_text("a")
    first = snapshot([str(one), none])
    assert first == snapshot([str(one), none])
    assert first[1] is None
    one.write_text("longer")
    longer = snapshot([str(one), none])
    (tmp_path / "new").write_text("longer")
    (tmp_path / "new").rename(one)
    renamed = snapshot([str(one), none])
    one.unlink()
    assert len({first, longer, renamed, snapshot([str(one), none])}) == 4


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    """Kubernetes: tls.crt -> ..data/tls.crt, ..data -> ..2026; then `..data` leads elsewhere."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_text(name)
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "tls.crt").symlink_to("data/tls.crt")
    before = snapshot([str(tmp_path / "tls.crt")])
    (tmp_path / "spare").symlink_to("two")
    (tmp_path / "spare").rename(tmp_path / "data")
    assert snapshot([str(tmp_path / "tls.crt")]) != before


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority, now = Authority(tmp_path, "ours"), datetime.now(UTC)
    server, other = authority.sign("server", NAME), authority.sign("other", NAME)
    expired = authority.sign("expired", NAME, days=-1)
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    for files, words in (
        (ServerFiles(str(tmp_path / "none"), server.key, authority.path), "none: No such file"),
        (ServerFiles(server.certificate, str(tmp_path / "none"), authority.path), "none: No such file"),
        (ServerFiles(server.certificate, server.key, str(tmp_path / "none")), "none: No such file"),
        (ServerFiles(server.certificate, server.key, str(tmp_path / "folder")), "folder: Is a directory"),
        (ServerFiles(server.certificate, other.key, authority.path), "other-key.pem is not the key of .*server.pem"),
        (ServerFiles(str(tmp_path / "empty"), server.key, authority.path), "no certificate and its key"),
        (ServerFiles(server.certificate, server.key, str(tmp_path / "empty")), "holds no certificates"),
        (ServerFiles(expired.certificate, expired.key, authority.path), "expired.pem has expired: it was valid until 20"),
    ):
        with pytest.raises(OSError, match=words) as caught:
            load(files, now)
        assert "PRIVATE KEY" not in str(caught.value)


def test_a_certificate_is_good_until_it_expires(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    server = authority.sign("server", NAME)
    files = ServerFiles(server.certificate, server.key, authority.path)
    until = expiry(Path(server.certificate).read_bytes())
    assert load(files, until - timedelta(seconds=1)).verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(OSError, match="expired"):
        load(files, until)


def test_what_cannot_be_used_is_said_once_and_the_old_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path, "ours")
    server = authority.sign("server", NAME)
    tls = ServerTls(ServerFiles(server.certificate, server.key, authority.path), failed=print)
    caplog.set_level(logging.INFO, "extproc.tls_files")
    Path(server.key).rename(tmp_path / "away")
    assert [tls.refresh() for _ in range(5)] == [False] * 5
    authority.sign("server", NAME, days=-1)
    assert [tls.refresh() for _ in range(5)] == [False] * 5
    until = expiry(Path(server.certificate).read_bytes())
    assert tls.ends != int(until.timestamp())
    authority.sign("server", NAME, days=9)
    assert [tls.refresh() for _ in range(3)] == [True, False, False]
    assert timedelta(days=8) < datetime.fromtimestamp(tls.ends, UTC) - datetime.now(UTC) < timedelta(days=10)
    gone, expired, taken = caplog.messages
    assert "server-key.pem: No such file" in gone
    assert "has expired" in expired
    assert "new connections get the new ones" in taken


def test_a_certificate_of_a_version_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """OpenSSL takes it, and who looks for its expiry does not."""
    authority = Authority(tmp_path, "ours")
    server = authority.sign("server", NAME)
    tls = ServerTls(ServerFiles(server.certificate, server.key, authority.path), failed=print)
    der = ssl.PEM_cert_to_DER_cert(Path(server.certificate).read_text())
    odd = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    Path(server.certificate).write_text(ssl.DER_cert_to_PEM_cert(odd))
    assert not tls.refresh()
    with pytest.raises(OSError, match=r"breaks the rules of X\.509"):
        load(tls._files, datetime.now(UTC))


async def test_whatever_is_in_a_file_the_clock_of_connections_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extproc.wire_transport._TICK", 0.01)
    asked = []

    def refresh(_: ServerTls) -> bool:
        asked.append(1)
        raise RuntimeError

    monkeypatch.setattr(ServerTls, "refresh", refresh)
    async with serving(tmp_path), asyncio.timeout(5):
        while len(asked) < 3:
            await asyncio.sleep(0.01)


async def test_the_transport_says_when_its_certificate_ends(tmp_path: Path) -> None:
    assert WireTransport(SERVICES).certificate_ends() == {}
    async with serving(tmp_path) as world:
        until = expiry((tmp_path / "server.pem").read_bytes())
        assert world.transport.certificate_ends() == {(): int(until.timestamp())}


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
    transport = WireTransport(SERVICES, tls=files)
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
    for name in ("no_client_certificate", "client_certificate_not_trusted", "client_certificate_expired"):
        assert counters[f"violation_{name}"] == 1
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


@on_either_loop
async def test_who_does_not_speak_tls_is_hung_up_on(world: World) -> None:
    for said in (b"GET / HTTP/1.1\r\n\r\n", PREFACE + settings({}), b"\x80" * 64):
        reader, writer = await asyncio.open_connection(HOST, world.port)
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.transport.abort()
    counters = world.transport.counters()
    assert (counters["violation_not_tls"], counters.get("connections", 0)) == (3, 0)


@on_either_loop
async def test_a_client_that_does_not_trust_us_is_counted(world: World) -> None:
    context = ssl.create_default_context(cafile=Authority(world.folder, "theirs").path)

    def connect() -> None:
        # asyncio's client would hang up without a word.
        with socket.create_connection((HOST, world.port)) as raw, pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(raw, server_hostname=NAME)

    await asyncio.to_thread(connect)
    async with asyncio.timeout(5):
        while "violation_our_certificate_not_trusted" not in world.transport.counters():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nobody_comes_back_on_a_session_of_an_authority_that_counts_no_more(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A client that resumes is not verified again: with TLS 1.2, or with tickets, this one would be let in for hours."""

    @on_either_loop
    async def scenario(world: World) -> None:
        context = ssl.create_default_context(cafile=world.authority.path)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(world.client.certificate, world.client.key)

        def connect(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None, ssl.SSLSocket | None]:
            """Whether it was answered and whether by resuming; its session; the socket, open: else sessions are lost."""
            raw = socket.create_connection((HOST, world.port))
            try:
                connection = context.wrap_socket(raw, server_hostname=NAME, session=session)
                connection.sendall(PREFACE + settings({}))
                return bool(connection.recv(9)), connection.session, connection
            except OSError:
                raw.close()
                return False, None, None

        served, session, kept = await asyncio.to_thread(connect, None)
        assert served == (version is ssl.TLSVersion.TLSv1_3)
        tls = world.transport._tls
        assert tls is not None
        # The server's own certificate stays: the client has no reason to turn away.
        new = Authority(world.folder, "new")
        Path(world.authority.path).write_bytes(Path(new.path).read_bytes())
        assert tls.refresh()
        again, _, other = await asyncio.to_thread(connect, session)
        assert not again
        for connection in (kept, other):
            if connection is not None:
                connection.close()

    scenario(tmp_path, "asyncio")
