"""One connection, without a socket: in which order it writes, thinks and lets go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from extproc.transport import PROCESS, Services
from extproc.wire import frames
from extproc.wire.limits import Limits, Memory
from extproc.wire_peer import Peer
from tests.extproc.wire.peer import GREETING, changed, headers, message, parse, statuses

CALL = changed(_path=PROCESS)


class Hub:
    """Takes every connection."""

    def joined(self, peer: Peer, transport: asyncio.BaseTransport) -> bool:
        return True

    def left(self, peer: Peer) -> None:
        """Nobody counts."""

    def violated(self, counts: Mapping[str, int]) -> None:
        raise AssertionError(counts)


class Pipe(asyncio.Transport):
    """Keeps what is written, among what happens."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.said = b""
        self._told = told

    def write(self, data: Any) -> None:
        self.said += bytes(data)
        self._told.extend(f"wrote {load[5:].decode()}" for kind, _, _, load in parse(bytes(data)) if kind == frames.DATA)


class Thinker:
    """Answers each message ahead with the message. What it thinks next: the message's last word."""

    may_end = True
    is_over = False

    def __init__(self, told: list[str]) -> None:
        self.is_ahead = False
        self._told = told
        self._heard = b""

    def receive(self, data: bytes) -> bytes:
        self.is_ahead, self._heard = True, data
        return data

    def proceed(self) -> bytes | None:
        self.is_ahead = False
        name, _, thought = self._heard.partition(b" ")
        self._told.append(f"thinks {name.decode()}")
        if thought == b"breaks":
            raise SystemError("s3cret")
        if thought == b"no":
            self.is_over = True
            return b"refused " + name
        return None

    def abandon(self) -> None:
        self._told.append("abandoned")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def peer(told: list[str]) -> Peer:
    services = Services(lambda: Thinker(told), print, lambda: True)
    made = Peer(Hub(), services, Limits(), Memory())
    made.connection_made(Pipe(told))
    made.data_received(GREETING)
    return made


async def test_all_that_one_read_brings_is_answered_before_anything_is_thought_about(peer: Peer, told: list[str]) -> None:
    peer.data_received(headers(1, CALL) + message(1, b"a") + headers(3, CALL) + message(3, b"b no"))
    assert told == ["wrote a", "wrote b no", "thinks a", "thinks b", "wrote refused b"]


async def test_a_thought_that_breaks_costs_its_own_call_alone(
    peer: Peer, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    peer.data_received(headers(1, CALL) + message(1, b"a breaks") + headers(3, CALL) + message(3, b"b"))
    assert told == ["wrote a breaks", "wrote b", "thinks a", "abandoned", "thinks b"]
    pipe = peer._transport
    assert isinstance(pipe, Pipe)
    assert statuses(parse(pipe.said)) == {1: 13}
    peer.data_received(message(3, b"c"))
    assert told[-2:] == ["wrote c", "thinks c"]
    assert "a conversation failed" in caplog.text


async def test_a_call_that_ended_meanwhile_thinks_no_more(peer: Peer, told: list[str]) -> None:
    peer.data_received(headers(1, CALL))
    (stream,) = peer.connection.streams()
    peer.later(stream)
    stream.context.cancelled()
    peer.flush()
    assert told == []
    peer.data_received(headers(3, CALL))
    peer.later(next(one for one in peer.connection.streams() if one.number == 3))
    peer.connection_lost(None)
    peer.flush()
    assert told == []
