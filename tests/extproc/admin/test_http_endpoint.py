"""The pages over HTTP, from a thread, whatever a peer does."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from extproc.admin import http_endpoint
from extproc.admin.http_endpoint import admin_endpoint
from extproc.placement import Role, Seat
from extproc.workers.board import Board, Overview
from extproc.workers.status import Status

ONE = Seat(1, Role.BOTH, "unix:/x/1")


def read() -> Overview:
    board = Board((ONE,))
    board.started(ONE, 11)
    board.heard(ONE, 11, Status(), 0.0)
    return board.read(0.0)


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        yield Path(folder, "admin.sock")


def test_over_tcp() -> None:
    with admin_endpoint("127.0.0.1:0", read) as address:
        url = f"http://{address}"
        assert httpx.get(f"{url}/health/ready").json()["ready"] is True
        assert httpx.get(f"{url}/else").status_code == 404
        head = httpx.head(f"{url}/metrics")
        assert (head.status_code, head.content) == (200, b"")
        assert httpx.post(f"{url}/metrics").status_code == 501
        assert "python" not in str(head.headers).lower()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_over_a_socket_of_the_owners(path: Path) -> None:
    with admin_endpoint(f"unix:{path}", read):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://x/health/live").json() == {"live": True}
    assert not path.exists()


def test_nowhere_unless_told() -> None:
    with admin_endpoint(None, read) as address:
        assert address is None


def test_an_address_that_is_taken() -> None:
    with (
        admin_endpoint("127.0.0.1:0", read) as address,
        pytest.raises(OSError, match="cannot listen on"),
        admin_endpoint(address, read),
    ):
        pass


@pytest.mark.parametrize("sent", [b"", b"\x00\xff\xfe\r\n\r\n", b"GET " + b"x" * 100_000, b"GET / HTTP/9.9\r\n\r\n"])
def test_nonsense_is_no_end(sent: bytes, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with admin_endpoint(f"unix:{path}", read):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(path))
                peer.sendall(sent)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path), retries=3)) as client:
            assert client.get("http://x/health/live").status_code == 200
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")


def test_those_who_only_hold_connections_do_not_grow_without_end(path: Path) -> None:
    """Sixteen are waited for; whoever comes beyond is turned away at once."""
    with admin_endpoint(f"unix:{path}", read):
        peers = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        try:
            for peer in peers:
                peer.connect(str(path))
            turned_away = 0
            for peer in reversed(peers):
                peer.settimeout(2)
                try:
                    turned_away += peer.recv(1) == b""
                except TimeoutError:
                    break
            assert turned_away == 4
        finally:
            for peer in peers:
                peer.close()


def test_who_dribbles_is_hung_up_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then kept a place for hours, and sixteen such peers kept everybody else out."""
    monkeypatch.setattr(http_endpoint, "_PATIENCE", 0.5)
    with admin_endpoint(f"unix:{path}", read), contextlib.ExitStack() as stack:
        peers = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(16)]
        for peer in peers:
            peer.connect(str(path))
            peer.sendall(b"GET /health/live HTTP/1.0\r\n")
        end = time.monotonic() + 5
        gone = 0
        while gone < 16 and time.monotonic() < end:
            time.sleep(0.1)
            gone = 0
            for peer in peers:
                try:
                    peer.sendall(b"a: b\r\n")
                except OSError:
                    gone += 1
        assert gone == 16
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://x/health/live").status_code == 200


def test_a_place_is_free_again_where_no_thread_could_be_started(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with admin_endpoint(f"unix:{path}", read):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", lambda _: 1 / 0)
            for _ in range(20):
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.settimeout(5)
                    peer.connect(str(path))
                    assert peer.recv(1) == b""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://x/health/live").status_code == 200


def test_without_descriptors_it_does_not_spin(path: Path) -> None:
    """It would take the time of those who decide in the same process."""
    with admin_endpoint(f"unix:{path}", read), socket.socket(socket.AF_UNIX) as peer:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            before = time.process_time()
            peer.connect(str(path))
            time.sleep(1)
            spent = time.process_time() - before
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert spent < 0.3
        peer.settimeout(5)
        peer.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert peer.recv(12) == b"HTTP/1.0 200"
