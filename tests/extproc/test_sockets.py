"""Listening sockets: where they listen, who may use them, what is refused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from extproc import sockets
from extproc.sockets import Mark, address_of, bind


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as name:
        yield Path(name)


def test_a_unix_socket_is_ours_alone_from_the_first_moment(folder: Path) -> None:
    with bind(f"unix:{folder}/new/policy.sock") as listening:
        facts = (folder / "new/policy.sock").stat()
        assert stat.S_IMODE(facts.st_mode) == 0o600
        assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o700
        assert address_of(listening) == f"unix:{folder}/new/policy.sock"


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(folder: Path) -> None:
    address = f"unix:{folder}/policy.sock"
    bind(address).close()
    with bind(address), pytest.raises(OSError, match="a server listens there already"):
        bind(address)


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", "127.0.0.1:"), ("[::1]", "[::1]:")])
def test_a_port_of_0_is_replaced(host: str, told: str) -> None:
    with bind(f"{host}:0") as listening:
        assert address_of(listening).startswith(told)
        assert not address_of(listening).endswith(":0")
        with socket.create_connection(listening.getsockname()[:2]):
            pass


def test_a_port_in_use_is_named(folder: Path) -> None:
    with bind("127.0.0.1:0") as listening:
        address = address_of(listening)
        with pytest.raises(OSError, match=f"cannot listen on {address}"):
            bind(address)


def test_where_everybody_may_write_nothing_is_bound(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(OSError, match="everybody may write there"):
        bind(f"unix:{folder}/policy.sock")


def test_a_server_that_is_about_to_listen_is_waited_for(folder: Path) -> None:
    """A socket that is bound and does not listen yet looks stale: two that start at once removed each the other's."""
    path = folder / "policy.sock"
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))

        def go_on() -> None:
            other.listen(1)
            os.close(held)

        later = threading.Timer(0.2, go_on)
        later.start()
        with pytest.raises(OSError, match="a server listens there already"):
            bind(f"unix:{path}")
        later.join()


def test_who_holds_the_directory_for_ever_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_TURN_SECONDS", 0.05)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(OSError, match="somebody else holds it locked"):
            bind(f"unix:{folder}/policy.sock")
    finally:
        os.close(held)


def test_a_server_that_hangs_with_its_queue_full_is_no_stale_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_PROBE_SECONDS", 0.1)
    path = folder / "policy.sock"
    with contextlib.ExitStack() as stack:
        hangs = stack.enter_context(socket.socket(socket.AF_UNIX))
        hangs.bind(str(path))
        hangs.listen(1)
        with contextlib.suppress(BlockingIOError):
            for _ in range(10):
                peer = stack.enter_context(socket.socket(socket.AF_UNIX))
                peer.setblocking(False)
                peer.connect(str(path))
        with pytest.raises(OSError, match="a server listens there already"):
            bind(f"unix:{path}")
        assert path.is_socket()


def test_a_socket_of_another_kind_is_not_removed(folder: Path) -> None:
    path = folder / "policy.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(OSError, match="cannot listen on"):
            bind(f"unix:{path}")
        assert path.is_socket()


def test_only_what_we_have_bound_is_removed_at_the_end(folder: Path) -> None:
    path = folder / "policy.sock"
    with bind(f"unix:{path}"):
        mark = Mark(f"unix:{path}")
        path.unlink()
        with bind(f"unix:{path}"):
            mark.remove()
            assert path.is_socket()
            other = Mark(f"unix:{path}")
            path.chmod(0o660)
            other.remove()
            assert not path.exists()
            other.remove()
    Mark("127.0.0.1:80").remove()
