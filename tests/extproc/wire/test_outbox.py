"""What is sent when: windows, turns, and what is counted."""

from __future__ import annotations

import pytest

from extproc.wire import frames
from extproc.wire.events import Event, Stream, Writable
from extproc.wire.frames import PeerError
from extproc.wire.grpc import OK_BLOCK, Opening
from extproc.wire.limits import Memory
from extproc.wire.outbox import Outbox
from tests.extproc.wire.peer import framed, parse


class Post:
    """An outbox, and streams whose windows are as wide as said."""

    def __init__(self, connection: int = 2**20) -> None:
        self.memory = Memory()
        self.out = Outbox(self.memory)
        self.out.window = connection
        self.events: list[Event] = []

    def stream(self, number: int, window: int) -> Stream:
        return Stream(number, Opening("/"), 0, window, 2**26)

    def pump(self) -> list[Stream]:
        return self.out.pump(self.events)

    def data(self) -> list[tuple[int, int]]:
        """Stream and size of every DATA frame since the last look."""
        return [(number, len(load)) for kind, _, number, load in parse(self.out.take()) if kind == frames.DATA]


def test_what_fits_leaves_at_once() -> None:
    post = Post()
    stream = post.stream(1, 100)
    post.out.send(stream, b"hello")
    post.out.finish(stream, OK_BLOCK)
    kinds = [(kind, flags) for kind, flags, _, _ in parse(post.out.take())]
    assert kinds == [
        (frames.HEADERS, frames.END_HEADERS),
        (frames.DATA, 0),
        (frames.HEADERS, frames.END_HEADERS | frames.END_STREAM),
    ]
    assert (stream.window_out, post.out.window, post.memory.used) == (90, 2**20 - 10, 0)


def test_what_does_not_fit_waits_is_counted_and_goes_when_it_may() -> None:
    post = Post()
    stream = post.stream(1, 10)
    post.out.send(stream, b"x" * 20)
    post.out.finish(stream, OK_BLOCK)
    assert post.memory.used == 25
    assert post.pump() == []
    assert post.data() == [(1, 10)]
    waiting = [post.out.has_waiting]
    stream.window_out += 15
    post.out.resume(stream)
    assert [*waiting, post.out.has_waiting] == [False, True]
    assert post.pump() == [stream]
    assert post.memory.used == 0
    assert post.events == [], "a stream that has ended needs no more"


def test_who_waits_is_told_when_all_has_gone() -> None:
    post = Post()
    stream = post.stream(1, 2**20)
    post.out.send(stream, b"x" * 20_000)
    post.pump()
    assert post.data() == [(1, 16_384), (1, 3_621)]
    assert post.events == [Writable(stream)]


def test_streams_take_turns() -> None:
    post = Post()
    for number in (1, 3):
        post.out.send(post.stream(number, 2**20), b"x" * 30_000)
    post.pump()
    assert [number for number, _ in post.data()] == [1, 3, 1, 3]


def test_no_more_is_made_into_frames_than_the_socket_is_given() -> None:
    post = Post(connection=2**31 - 1)
    stream = post.stream(1, 2**31 - 1)
    post.out.send(stream, bytes(3 * 2**20))
    post.pump()
    assert sum(size for _, size in post.data()) == 2**20
    assert post.out.has_waiting
    post.pump()
    post.pump()
    assert len(post.data()) == 64


def test_the_window_of_the_connection_holds_all_back() -> None:
    post = Post(connection=0)
    stream = post.stream(1, 100)
    post.out.send(stream, b"x")
    post.pump()
    assert post.data() == []
    post.out.widen(6)
    post.pump()
    assert post.data() == [(1, 6)]


def test_messages_behind_one_that_waits_wait_too() -> None:
    post = Post()
    stream = post.stream(1, 3)
    post.out.send(stream, b"a")
    stream.window_out = 100
    post.out.send(stream, b"b")
    post.out.resume(stream)
    post.pump()
    (frame,) = [load for kind, _, _, load in parse(post.out.take()) if kind == frames.DATA]
    assert frame == framed(b"a") + framed(b"b")


def test_what_is_forgotten_is_not_counted() -> None:
    post = Post()
    stream = post.stream(1, 0)
    post.out.send(stream, b"x" * 50)
    post.out.finish(stream, OK_BLOCK)
    post.out.forget(stream)
    assert (post.memory.used, stream.trailers, post.out.has_waiting) == (0, None, False)


def test_a_new_initial_window_moves_every_window_even_below_zero() -> None:
    post = Post()
    stream = post.stream(1, 65_535 - 100)
    post.out.resize(50, [stream])
    assert stream.window_out == 50 - 100
    post.out.send(stream, b"x")
    assert not post.out.has_waiting
    post.out.resize(200, [stream])
    assert (stream.window_out, post.out.has_waiting) == (100, True)
    post.out.resize(0, [stream])
    assert not post.out.has_waiting


def test_windows_that_grow_too_large() -> None:
    post = Post(connection=2**31 - 1)
    with pytest.raises(PeerError, match="window_overflow"):
        post.out.widen(1)
    with pytest.raises(PeerError, match="window_overflow"):
        post.out.resize(65_536, [post.stream(1, 2**31 - 1)])
