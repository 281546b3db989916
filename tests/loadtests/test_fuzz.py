"""The fuzzer: it finds what it is there to find, and a few seconds of it find nothing."""

from __future__ import annotations

import importlib.util
import random

import pytest

from extproc.wire.connection import Connection
from extproc.wire.events import Stream
from extproc.wire.streams import Streams
from loadtests.fuzz.campaign import guided, seeded, seeds
from loadtests.fuzz.drive import drive
from loadtests.fuzz.mutate import mutate, split


def test_what_clients_sent_breaks_nothing() -> None:
    recorded = list(seeds())
    assert len(recorded) > 20
    for data in recorded:
        drive(data)


def test_a_conversation_is_split_into_its_frames() -> None:
    for data in seeds():
        assert b"".join(split(data)) == data
    assert split(b"\0\0\1abcdefgh\0\0") == [b"\0\0\1abcdefg", b"h\0\0"]


def test_mutations_can_be_had_again() -> None:
    data = next(seeds())
    assert mutate(data, 10_000, random.Random(7)) == mutate(data, 10_000, random.Random(7)) != data
    assert len(mutate(data, 50, random.Random(7))) == 50


def test_mutations_break_nothing() -> None:
    report = seeded(2.0, seed=1)
    assert report.failure == ""
    assert report.runs > 20


def test_bytes_that_stay_counted_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaks(self: Streams, stream: Stream) -> None:
        del self.open[stream.number]

    monkeypatch.setattr(Streams, "drop", leaks)
    report = seeded(20.0, seed=1)
    assert "BrokenError" in report.failure


def test_an_exception_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Connection, number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(Streams, "is_shunned", fails)
    assert "KeyError" in seeded(20.0, seed=1).failure


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="there is no wheel of atheris for this machine")
def test_mutations_led_by_coverage_break_nothing() -> None:
    report = guided(5)
    assert report.failure == ""
    assert report.coverage > 100
