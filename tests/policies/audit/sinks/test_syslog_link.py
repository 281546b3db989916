"""The connection: what it knows of its peer, and when."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.audit.following.sink import SinkError
from policies.audit.sinks.settings import SyslogSettings
from policies.audit.sinks.syslog_link import SyslogLink
from tests.certificates import Authority


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def link_to(server: socket.socket, **more: Any) -> SyslogLink:
    settings = {"kind": "syslog", "name": "siem", "host": "127.0.0.1", "port": server.getsockname()[1]}
    return SyslogLink(SyslogSettings.model_validate(settings | more))


def noticed(link: SyslogLink) -> str:
    """What `check` says in the end."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            link.check()
        except SinkError as error:
            return str(error)
        time.sleep(0.01)
    return ""


def test_what_is_sent_arrives_and_the_peer_may_talk() -> None:
    with listening() as server:
        link = link_to(server)
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"who are you")
            link.send(b"abc", 20)
            link.check()
            assert peer.recv(10) == b"abc"
        link.close()


def test_what_the_kernel_of_the_peer_has_counts_though_nobody_has_read_it() -> None:
    with listening() as server:
        link = link_to(server)
        link.send(b"abc", 20)
        peer, _ = server.accept()
        peer.close()
        link.close()


def test_a_peer_that_closes_or_resets_is_noticed_before_anything_is_written() -> None:
    with listening() as server:
        link = link_to(server)
        peer, _ = server.accept()
        peer.close()
        assert noticed(link).endswith("the collector closed the connection")
        with pytest.raises(SinkError, match="closed the connection"):
            link.send(b"abc", 20)
        link.close()
        link = link_to(server)
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert noticed(link).endswith("the connection was lost: Connection reset by peer")
        link.close()


def test_more_than_the_peer_takes_is_not_taken() -> None:
    with listening() as server:
        link = link_to(server)
        with pytest.raises(SinkError, match="a batch was not taken: timed out"):
            link.send(bytes(32 << 20), 0.3)
        link.close()


def test_abort_wakes_who_waits_in_it() -> None:
    with listening() as server:
        link = link_to(server)
        caught: list[SinkError] = []

        def send() -> None:
            try:
                link.send(bytes(32 << 20), 60)
            except SinkError as error:
                caught.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        peer, _ = server.accept()
        with peer:
            peer.recv(1)
            link.abort()
            thread.join(20)
        assert not thread.is_alive()
        assert len(caught) == 1
        link.close()
        link.abort()


def test_a_collector_that_does_not_take_the_certificate_has_taken_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    pair = authority.sign("server", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    with listening() as server:

        def serve() -> None:
            peer, _ = server.accept()
            with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as encrypted:
                encrypted.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        # With TLS 1.3 the handshake is over for a client that has shown no certificate.
        link = link_to(server, tls={"ca": authority.path, "server_name": "localhost"})
        with pytest.raises(SinkError, match=r"the connection was lost|closed the connection"):
            link.send(b"abc", 20)
        thread.join(20)
        link.close()


def test_a_server_without_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    with listening() as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"220 not TLS\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SinkError, match="TLS failed"):
            link_to(server, tls={"ca": authority.path, "server_name": "localhost"})
        thread.join(20)
