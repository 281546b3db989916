"""The status pipe at the worker's end: whole lines in order, whoever reads them and when."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from extproc.workers.line import Line
from extproc.workers.status import Failure, Measured, Status, from_line


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_what_is_said_is_read_at_once(pipe: tuple[int, int]) -> None:
    line = Line(pipe[1])
    line.say(Status(memory=1), Measured(b"x"))
    assert line.held == 0
    first, second = os.read(pipe[0], 65_536).splitlines()
    assert (from_line(first), from_line(second)) == (Status(memory=1), Measured(b"x"))


def large(index: int) -> Measured:
    return Measured(bytes([index]) * 45_000)


async def test_more_than_the_pipe_takes_goes_on_when_it_is_read(pipe: tuple[int, int]) -> None:
    line = Line(pipe[1])
    line.say(*map(large, range(10)))
    assert line.held > 0
    line.say(Status(memory=7))
    read: list[bytes] = []

    def take() -> None:
        with os.fdopen(os.dup(pipe[0]), "rb") as stream:
            read.extend(stream.readline() for _ in range(11))

    reader = threading.Thread(target=take)
    reader.start()
    async with asyncio.timeout(10):
        while line.held > 0:
            await asyncio.sleep(0.001)
    reader.join(10)
    assert [from_line(one) for one in read] == [*map(large, range(10)), Status(memory=7)]
    line.say(Status(memory=8))
    assert from_line(os.read(pipe[0], 65_536)) == Status(memory=8)


def test_the_end_waits_for_a_reader_and_not_for_ever(pipe: tuple[int, int]) -> None:
    line = Line(pipe[1])
    line.say(*map(large, range(4)))
    line.finish(0.05)
    assert line.held > 0
    read: list[bytes] = []

    def take() -> None:
        with os.fdopen(os.dup(pipe[0]), "rb") as stream:
            read.extend(stream.readline() for _ in range(4))

    reader = threading.Thread(target=take)
    reader.start()
    line.finish(10)
    reader.join(10)
    assert line.held == 0
    assert [from_line(one) for one in read] == [*map(large, range(4))]


async def test_a_reader_that_has_gone_is_nobodys_trouble(pipe: tuple[int, int]) -> None:
    line = Line(pipe[1])
    line.say(*map(large, range(4)))
    os.close(pipe[0])
    async with asyncio.timeout(10):
        while line.held > 0:
            await asyncio.sleep(0.001)
    line.say(Failure(("it failed",)))
    assert line.held == 0


def test_the_pipe_is_not_passed_on(pipe: tuple[int, int]) -> None:
    os.set_inheritable(pipe[1], True)
    Line(pipe[1])
    assert not os.get_inheritable(pipe[1])
