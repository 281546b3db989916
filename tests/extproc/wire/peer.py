"""The client's half of a connection, for tests: frames as a peer writes them, and what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import hpack

from extproc.wire import frames
from extproc.wire.connection import Connection
from extproc.wire.events import Event, Opened, Stream
from extproc.wire.limits import Limits, Memory
from extproc.wire.reader import Frame

NOW = 1_000.0
FIELDS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.Service/Call"),
    (":authority", "policy"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
GREETING = frames.PREFACE + frames.settings({})


def block(fields: Iterable[tuple[str, str]] = FIELDS) -> bytes:
    """A header block that uses no table."""
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=False)


def changed(**values: str) -> list[tuple[str, str]]:
    """The usual fields, with others instead or besides; `_` stands for `-`, a leading one for `:`."""
    fields = dict(FIELDS)
    for name, value in values.items():
        fields[(":" if name[0] == "_" else "") + name.lstrip("_").replace("_", "-")] = value
    return sorted(fields.items(), key=lambda field: field[0][0] != ":")


def headers(number: int, fields: Iterable[tuple[str, str]] = FIELDS, *, end: bool = False) -> bytes:
    flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
    return frames.frame(frames.HEADERS, flags, number, block(fields))


def data(number: int, payload: bytes, *, end: bool = False) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, number, payload)


def framed(body: bytes) -> bytes:
    """A gRPC message with its prefix."""
    return b"\0" + len(body).to_bytes(4, "big") + body


def message(number: int, body: bytes, *, end: bool = False) -> bytes:
    return data(number, framed(body), end=end)


def parse(said: bytes) -> list[Frame]:
    """Frames from bytes that end with one. Written apart from the reader that it helps to test."""
    found: list[Frame] = []
    while said:
        size = int.from_bytes(said[:3], "big")
        found.append((said[3], said[4], int.from_bytes(said[5:9], "big"), said[9 : 9 + size]))
        assert len(found[-1][3]) == size
        said = said[9 + size :]
    return found


def fields_of(payload: bytes) -> dict[str, str]:
    return {str(name): str(value) for name, value in hpack.Decoder().decode(payload)}


class Talk:
    """A connection under test, and the clock."""

    def __init__(self, limits: Limits | None = None, *, greeted: bool = True) -> None:
        self.memory = Memory()
        self.now = NOW
        self.connection = Connection(limits or Limits(), NOW, self.memory)
        if greeted:
            self.hear(GREETING)
            self.said()

    def hear(self, *parts: bytes) -> list[Event]:
        return [event for part in parts for event in self.connection.receive(part, self.now)]

    def open(self, number: int = 1, fields: Sequence[tuple[str, str]] = FIELDS, *, end: bool = False) -> Stream:
        (event, *_) = self.hear(headers(number, fields, end=end))
        assert isinstance(event, Opened)
        return event.stream

    def wait(self, seconds: float) -> list[Event]:
        self.now += seconds
        return self.connection.tick(self.now)

    def said(self) -> list[Frame]:
        return parse(self.connection.take())

    def pumped(self) -> list[Frame]:
        self.connection.pump()
        return self.said()

    @property
    def violations(self) -> dict[str, int]:
        return dict(self.connection.violations)


def goaway_code(said: list[Frame]) -> int | None:
    """Why the connection ended, if it did."""
    return next((int.from_bytes(payload[4:8], "big") for kind, _, _, payload in said if kind == frames.GOAWAY), None)


def reset_codes(said: list[Frame]) -> dict[int, int]:
    """Why which streams were reset."""
    return {number: int.from_bytes(load, "big") for kind, _, number, load in said if kind == frames.RST_STREAM}


def statuses(said: list[Frame]) -> dict[int, int]:
    """The gRPC status of each stream that ended."""
    return {
        number: int(fields_of(load).get("grpc-status", "-1"))
        for kind, flags, number, load in said
        if kind == frames.HEADERS and flags & frames.END_STREAM
    }
