"""Where the network cuts a byte stream is nobody's business: the same events, the same bytes."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.wire import frames
from extproc.wire.connection import Connection
from extproc.wire.events import Event, HalfClosed, Message
from extproc.wire.limits import Limits
from loadtests.fuzz.campaign import RECORDINGS
from tests.extproc.wire.attacks import ATTACKS
from tests.extproc.wire.peer import NOW, parse

RECORDED = {path.stem: path.read_bytes() for path in sorted(RECORDINGS.glob("*.bin"))}
SHORT = {
    attack.name: b"".join(part for part in attack.acts() if isinstance(part, bytes))
    for attack in ATTACKS
    if "_" not in attack.acts.__name__ and attack.acts.__qualname__.startswith("once")
}
CUTS = st.lists(st.integers(0, 2**20), max_size=12)
Told = list[tuple[str, int, bytes]]


def test_something_was_recorded() -> None:
    assert set(RECORDED) == {"curl", "envoy", "grpcio", "nghttp"}


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def told(events: list[Event]) -> Told:
    return [
        (type(event).__name__, event.stream.number, event.data if isinstance(event, Message) else b"") for event in events
    ]


def heard(parts: list[bytes]) -> tuple[Told, bytes, dict[str, int]]:
    """What a server is told that says nothing itself, what is written all the same, and what was wrong."""
    connection = Connection(Limits(), NOW)
    found: Told = []
    said = b""
    for part in parts:
        found += told(connection.receive(part, NOW))
        said += connection.take()
    return found, said, dict(connection.violations)


def reset(data: bytes) -> set[int]:
    """The streams that the peer resets: what they get depends on whether the answer or the reset comes first."""
    after = data.removeprefix(frames.PREFACE)
    return {number for kind, _, number, _ in parse(after) if kind == frames.RST_STREAM}


def answered(parts: list[bytes]) -> dict[int, tuple[bytes, bytes]]:
    """What each stream gets of a server that answers each message with the same one: header blocks, and DATA."""
    connection = Connection(Limits(), NOW)
    blocks: dict[int, bytes] = defaultdict(bytes)
    bodies: dict[int, bytes] = defaultdict(bytes)
    for part in parts:
        for event in connection.receive(part, NOW):
            if isinstance(event, Message):
                connection.send(event.stream, event.data)
            elif isinstance(event, HalfClosed):
                connection.finish(event.stream)
        connection.pump()
        for kind, _, number, payload in parse(connection.take()):
            if kind == frames.DATA:
                bodies[number] += payload
            elif kind == frames.HEADERS:
                blocks[number] += payload
    gone = reset(b"".join(parts))
    return {number: (block, bodies[number]) for number, block in blocks.items() if number not in gone}


@pytest.mark.parametrize("name", sorted(RECORDED))
@settings(max_examples=60, deadline=None)
@given(cuts=CUTS)
def test_recorded_streams_mean_the_same_wherever_they_are_cut(name: str, cuts: list[int]) -> None:
    data = RECORDED[name]
    whole = heard([data])
    assert whole[1]
    assert heard(pieces(data, cuts)) == whole
    assert answered(pieces(data, cuts)) == answered([data])


@pytest.mark.parametrize("name", ["curl", "nghttp"])
def test_recorded_streams_mean_the_same_byte_by_byte(name: str) -> None:
    data = RECORDED[name]
    assert heard([data[index : index + 1] for index in range(len(data))]) == heard([data])


@pytest.mark.parametrize("name", sorted(SHORT))
@settings(max_examples=15, deadline=None)
@given(cuts=CUTS)
def test_attacks_get_the_same_wherever_they_are_cut(name: str, cuts: list[int]) -> None:
    assert heard(pieces(SHORT[name], cuts)) == heard([SHORT[name]])
