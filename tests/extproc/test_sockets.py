"""Listening sockets: where they listen, who may use them, what is refused."""

from __future__ import annotations

import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from extproc.sockets import address_of, bind


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
