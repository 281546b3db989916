"""Ports that are free, and stay free until they are used."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from extproc.ai_gateway.running import PORTS
from extproc.embedded.faults import StackError
from extproc.embedded.ports import claim, free_port

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not OUTGOING.exists(), reason="only Linux tells from where on it takes ports")
def test_no_outgoing_connection_takes_a_port_or_the_bus_above_it() -> None:
    first = int(OUTGOING.read_text().split()[0])
    assert max(free_port() for _ in range(200)) + 10_000 < first


def test_none_is_one_of_those_that_aigw_takes() -> None:
    assert not {free_port() for _ in range(2_000)} & set(PORTS)


def first_tried(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Chance says this one first."""
    said, chance = iter([port]), random.SystemRandom.randrange
    monkeypatch.setattr(random.SystemRandom, "randrange", lambda *told: next(said, None) or chance(*told))


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        # By the system: we have been given it by nobody.
        taken.bind(("127.0.0.1", 0))
        first_tried(monkeypatch, port := taken.getsockname()[1])
        assert free_port() != port


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that end with their process")
def test_what_another_was_given_is_not_given_again_while_that_one_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "from extproc.embedded.ports import free_port; print(free_port(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        port = int(other.stdout.readline())
        first_tried(monkeypatch, port)
        assert free_port() != port
        other.communicate("\n", timeout=10)
    first_tried(monkeypatch, port)
    assert free_port() == port


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that end with their process")
def test_what_was_given_long_ago_may_be_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    first_tried(monkeypatch, port)
    assert free_port() != port
    for _ in range(64):
        free_port()
    first_tried(monkeypatch, port)
    assert free_port() == port


def test_a_seed_does_not_repeat_ports() -> None:
    found = set()
    for _ in range(4):
        random.seed(0)
        found.add(free_port())
    assert len(found) > 1


def test_none_free_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(random.SystemRandom, "randrange", lambda *_: port)
        with pytest.raises(StackError, match="no free port"):
            free_port()


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_listened_on_cannot_be_claimed(shared: bool) -> None:
    """Shared: as Envoy listens, so that a second Envoy on the same port would start without a word."""
    with socket.socket() as listener:
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(StackError, match=rf"^port {listener.getsockname()[1]} on 127\.0\.0\.1 is in use"):
            claim("127.0.0.1", listener.getsockname()[1])


def test_connections_that_linger_do_not_count() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        with socket.create_connection(address) as client:
            accepted, _ = listener.accept()
            accepted.close()
            assert client.recv(1) == b""
    claim(*address)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(StackError, match=r"this machine has no address 192\.0\.2\.1"):
        claim("192.0.2.1", free_port())
