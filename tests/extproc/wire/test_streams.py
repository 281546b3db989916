"""How streams end, and what is let go of with them."""

from __future__ import annotations

import pytest

from extproc.wire.events import Cancelled, Event, Stream
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.grpc import MessageError, Opening, Status
from extproc.wire.limits import MESSAGE_COST, Limits, Memory
from extproc.wire.outbox import Outbox
from extproc.wire.streams import Streams
from tests.extproc.wire.peer import framed, parse, reset_codes, statuses

CUT = MessageError(Status.INTERNAL, "message_cut", "why")


class Pool:
    """Streams of a connection."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.memory = Memory()
        self.out = Outbox(self.memory)
        self.streams = Streams(limits or Limits(), self.memory, self.out)
        self.events: list[Event] = []

    def add(self, number: int = 1, window: int = 0) -> Stream:
        stream = Stream(number, Opening("/"), 100, window, 1_000)
        self.streams.add(stream)
        self.streams.last = number
        return stream


def test_a_stream_that_is_dropped_holds_nothing() -> None:
    pool = Pool()
    stream = pool.add()
    assert pool.streams.take_messages(stream, framed(b"x" * 50)[:30], pool.events)
    pool.streams.postpone(stream, b"later")
    pool.out.send(stream, b"answer")
    assert pool.memory.used == 25 + 5 + MESSAGE_COST + 11
    pool.streams.drop(stream)
    assert (pool.memory.used, pool.streams.open, stream.inbox.held) == (0, {}, 0)


def test_a_fault_cancels_the_call_and_resets_the_stream() -> None:
    pool = Pool()
    stream = pool.add()
    pool.streams.fault(stream, ErrorCode.STREAM_CLOSED, "why", pool.events)
    assert pool.events == [Cancelled(stream)]
    assert reset_codes(parse(pool.out.take())) == {1: ErrorCode.STREAM_CLOSED}
    assert pool.streams.is_shunned(1)
    assert pool.streams.violations == {"why": 1}


def test_who_has_finished_is_not_told() -> None:
    pool = Pool()
    stream = pool.add()
    pool.streams.finish(stream, Status.OK, "")
    pool.streams.finish(stream, Status.ABORTED, "again")
    pool.streams.abort(stream, CUT, pool.events)
    said = parse(pool.out.take())
    assert pool.events == []
    assert (statuses(said), reset_codes(said)) == ({1: 0}, {1: 0})


@pytest.mark.parametrize("begun", [False, True])
def test_an_abort_says_why(begun: bool) -> None:
    pool = Pool()
    stream = pool.add(window=10)
    if begun:
        pool.out.send(stream, b"x" * 100)
        pool.out.pump(pool.events)
    pool.streams.abort(stream, CUT, pool.events)
    assert statuses(parse(pool.out.take())) == {1: 13}
    assert pool.memory.used == 0
    assert pool.events == [Cancelled(stream)]


def test_a_stream_ends_when_both_sides_have_said_their_last() -> None:
    pool = Pool()
    stream = pool.add()
    pool.streams.finish(stream, Status.OK, "")
    assert pool.streams.open
    other = pool.add(3)
    other.remote_closed = True
    pool.streams.finish(other, Status.OK, "")
    assert list(pool.streams.open) == [1]


def test_no_more_streams_are_shunned_than_a_thousand() -> None:
    pool = Pool()
    for number in range(1, 3_001, 2):
        pool.streams.ignore(number)
    assert (pool.streams.is_shunned(999), pool.streams.is_shunned(1_001)) == (False, True)


@pytest.mark.parametrize("number", [0, 2, 4, 7])
def test_streams_that_are_idle(number: int) -> None:
    pool = Pool()
    pool.add(5)
    pool.streams.check_not_idle(3, "why")
    with pytest.raises(PeerError, match="why"):
        pool.streams.check_not_idle(number, "why")


def test_a_frame_with_a_message_that_is_refused_is_refused_whole() -> None:
    pool = Pool()
    stream = pool.add()
    assert not pool.streams.take_messages(stream, framed(b"good") + b"\x01\0\0\0\0", pool.events)
    assert pool.events == [Cancelled(stream)]


def test_more_than_may_be_held_ends_the_stream_that_wants_it() -> None:
    pool = Pool(Limits(buffered=200))
    first, second = pool.add(), pool.add(3)
    assert pool.streams.take_messages(first, framed(b"x" * 900)[:155], pool.events)
    assert not pool.streams.take_messages(second, framed(b"x" * 900)[:155], pool.events)
    assert list(pool.streams.open) == [1]
    pool.streams.postpone(first, b"x")
    pool.streams.check_memory(first, pool.events)
    assert pool.streams.violations == {"too_much_buffered": 2}
    assert pool.memory.used == 0


def test_the_window_stays_shut_while_messages_wait() -> None:
    pool = Pool(Limits(stream_window=1_000))
    stream = pool.add()
    pool.streams.postpone(stream, b"x")
    pool.streams.replenish(stream)
    assert pool.out.take() == b""
    assert pool.streams.next(stream) == b"x"
    assert pool.out.take() == bytes.fromhex("000004 08 00 00000001") + (900).to_bytes(4, "big")
    assert pool.streams.next(stream) is None


@pytest.mark.parametrize(("taken", "resets"), [(False, {1: ErrorCode.CANCEL}), (True, {})])
def test_an_answer_that_is_not_taken_is_given_up(taken: bool, resets: dict[int, int]) -> None:
    pool = Pool(Limits(patience=20.0))
    stream = pool.add()
    pool.out.send(stream, b"x" * 100)
    for pool.streams.now in (100.0, 115.0, 130.0):
        stream.window_out = 1 if taken else 0
        pool.out.resume(stream)
        pool.out.pump(pool.events)
        pool.streams.look(pool.events)
    assert reset_codes(parse(pool.out.take())) == resets
    assert pool.memory.used == (105 if taken else 0)


def test_a_stream_that_its_peer_does_not_end_is_ended() -> None:
    pool = Pool(Limits(patience=20.0))
    pool.streams.now = 100.0
    pool.streams.finish(pool.add(), Status.OK, "")
    pool.streams.now = 121.0
    pool.streams.look(pool.events)
    assert reset_codes(parse(pool.out.take())) == {1: ErrorCode.NO_ERROR}
    assert pool.streams.violations == {}
