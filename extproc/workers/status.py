"""What a worker says to its supervisor: lines of JSON on a pipe. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_LINE: Final = 65_536
"""Bytes. What is longer comes from no worker of ours."""


class Status(msgspec.Struct, frozen=True, tag="status"):
    """How the worker is.

    Attributes:
        serving: whether it takes requests; before, it only gets ready.
        missing: what it lacks to decide, by policy; empty when it is ready.
        counters: by name; those that end in `_open` say what there is now, all others only grow.
        memory: bytes that it holds in memory.
    """

    serving: bool = True
    missing: tuple[str, ...] = ()
    counters: dict[str, int] = {}
    memory: int = 0


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """The worker cannot serve, and ends. `mistakes` are of the configuration, or the one reason."""

    mistakes: tuple[str, ...]


_decoder: Final[msgspec.json.Decoder[Status | Failure]] = msgspec.json.Decoder(Status | Failure)
_encoder: Final = msgspec.json.Encoder()


def to_line(report: Status | Failure) -> bytes:
    """The report as a line, with its end."""
    return _encoder.encode(report) + b"\n"


def from_line(line: bytes) -> Status | Failure | None:
    """The report in a line; None if there is none in it."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def is_gauge(name: str) -> bool:
    """Whether a counter of this name says what there is now, and goes with its process."""
    return name.endswith("_open")
