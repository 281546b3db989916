"""Ports that are free, and stay free until they are used."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from extproc.embedded.faults import StackError
from extproc.embedded.ports import claim, free_port

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not OUTGOING.exists(), reason="only Linux tells from where on it takes ports")
def test_no_outgoing_connection_takes_a_port_or_the_bus_above_it() -> None:
    first = int(OUTGOING.read_text().split()[0])
    assert max(free_port() for _ in range(200)) + 10_000 < first


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first := free_port()))
        second = free_port()
        asked = iter([first, second])
        monkeypatch.setattr(random.SystemRandom, "randrange", lambda *_: next(asked))
        assert free_port() == second


def test_a_seed_does_not_repeat_ports() -> None:
    found = set()
    for _ in range(4):
        random.seed(0)
        found.add(free_port())
    assert len(found) > 1


def test_none_free_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        monkeypatch.setattr(random.SystemRandom, "randrange", lambda *_: port)
        with pytest.raises(StackError, match="no free port"):
            free_port()


def test_a_taken_port_is_claimed_by_nobody() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        with pytest.raises(StackError, match=f"port {port} .* is in use"):
            claim("127.0.0.1", port)
