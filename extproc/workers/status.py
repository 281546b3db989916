"""What a worker says to its supervisor: lines of JSON on a pipe. Pure."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

MAX_LINE: Final = 65_536
"""Bytes. What is longer comes from no worker of ours."""


class Dependency(msgspec.Struct, frozen=True):
    """A policy, and what its failure means.

    Attributes:
        failure: `closed` (it refuses) or `open` (the others decide without it).
        shadow: its verdicts are recorded, and not enforced.
        missing: what it lacks to decide; None when it is ready.
    """

    policy: str
    failure: str
    shadow: bool = False
    missing: str | None = None


class Status(msgspec.Struct, frozen=True, tag="status"):
    """How the worker is.

    Attributes:
        serving: whether it takes requests; before, it only gets ready.
        missing: what it lacks to decide, by policy; empty when it is ready.
        counters: by name; those that end in `_open` say what there is now, all others only grow.
        memory: bytes that it holds in memory.
        dependencies: a line for each policy.
    """

    serving: bool = True
    missing: tuple[str, ...] = ()
    counters: dict[str, int] = {}
    memory: int = 0
    dependencies: tuple[Dependency, ...] = ()


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """What it has counted and measured since it said so last: a piece of what `extproc.metrics.Metrics.take` gives."""

    snapshot: bytes


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """The worker cannot serve, and ends. `mistakes` are of the configuration, or the one reason."""

    mistakes: tuple[str, ...]


Report: TypeAlias = Status | Measured | Failure

_decoder: Final[msgspec.json.Decoder[Report]] = msgspec.json.Decoder(Report)
_encoder: Final = msgspec.json.Encoder()


def to_line(report: Report) -> bytes:
    """The report as a line, with its end."""
    return _encoder.encode(report) + b"\n"


def from_line(line: bytes) -> Report | None:
    """The report in a line; None if there is none in it."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def is_gauge(name: str) -> bool:
    """Whether a counter of this name says what there is now, and goes with its process."""
    return name.endswith("_open")
