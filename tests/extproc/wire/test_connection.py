"""The machine as a whole, asked as a peer asks it. What a hostile one does is in `attacks`."""

from __future__ import annotations

import pytest

from extproc.wire import frames
from extproc.wire.events import Cancelled, HalfClosed, Message, Opened, Writable
from extproc.wire.frames import ErrorCode, frame
from extproc.wire.grpc import Status
from extproc.wire.limits import Limits
from tests.extproc.wire.peer import (
    GREETING,
    Talk,
    block,
    changed,
    data,
    framed,
    goaway_code,
    headers,
    message,
    reset_codes,
    statuses,
)

ALIVE = frame(frames.PING, frames.ACK, 0, b"draining")


def test_the_first_words() -> None:
    talk = Talk(Limits(streams=7, stream_window=99_000, connection_window=100_000, header_list=5_000), greeted=False)
    first, second = talk.said()
    assert first[0] == frames.SETTINGS
    assert first[3] == b"".join(
        name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in ((1, 0), (3, 7), (4, 99_000), (6, 5_000))
    )
    assert second == (frames.WINDOW_UPDATE, 0, 0, (100_000 - 65_535).to_bytes(4, "big"))
    talk.hear(GREETING)
    assert talk.said() == [(frames.SETTINGS, frames.ACK, 0, b"")]


def test_a_call_from_its_beginning_to_its_end() -> None:
    talk = Talk()
    opened, said = talk.hear(headers(1, changed(grpc_timeout="2S")), message(1, b"question"))
    stream = opened.stream
    assert (type(opened), stream.path, stream.timeout) == (Opened, "/a.Service/Call", 2.0)
    assert said == Message(stream, b"question")
    talk.connection.send(stream, b"answer")
    assert talk.hear(data(1, b"", end=True)) == [HalfClosed(stream)]
    talk.connection.finish(stream)
    answers = talk.said()
    assert answers[1] == (frames.DATA, 0, 1, framed(b"answer"))
    assert statuses(answers) == {1: 0}
    assert (talk.connection.open_streams, talk.connection.opened, talk.memory.used) == (0, 1, 0)


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        ([headers(1), data(1, framed(b"a") + framed(b"b"), end=True)], [Opened, Message, Message, HalfClosed]),
        ([headers(1), data(1, framed(b"ab")[:3]), data(1, framed(b"ab")[3:])], [Opened, Message]),
        ([headers(1, end=True)], [Opened, HalfClosed]),
        ([headers(1), headers(1, [("x", "trailer")], end=True)], [Opened, HalfClosed]),
        ([headers(1), frames.rst_stream(1, ErrorCode.CANCEL)], [Opened, Cancelled]),
        ([headers(1), headers(3), message(3, b"x"), message(1, b"y")], [Opened, Opened, Message, Message]),
        ([headers(1, changed(_method="GET"))], []),
        ([headers(1), headers(1, [("x", "1")])], [Opened, Cancelled]),
        ([headers(1), data(1, b"\0\0\0\0\x05ab", end=True)], [Opened, Cancelled]),
        ([headers(1, changed(content_length="6")), message(1, b"x", end=True)], [Opened, Message, HalfClosed]),
        ([headers(1, changed(content_length="7")), message(1, b"x", end=True)], [Opened, Message, Cancelled]),
        ([headers(1), frame(0xEE, 0, 1), frame(frames.PRIORITY, 0, 1, b"\0\0\0\x03\x10")], [Opened]),
    ],
)
def test_what_happens(parts: list[bytes], kinds: list[type]) -> None:
    assert [type(event) for event in Talk().hear(b"".join(parts))] == kinds


def test_a_refused_request_costs_no_stream_once_its_peer_has_ended() -> None:
    talk = Talk()
    assert talk.hear(headers(1, changed(_method="GET"), end=True)) == []
    assert talk.connection.open_streams == 0
    talk.hear(headers(3, changed(_method="GET")))
    assert talk.connection.open_streams == 1
    talk.wait(21.0)
    assert reset_codes(talk.said()) == {3: ErrorCode.NO_ERROR}


def test_windows_are_opened_again_as_they_are_used() -> None:
    talk = Talk(Limits(stream_window=66_000, connection_window=70_000))
    talk.open()
    talk.hear(data(1, b"\0\x00\x04\0\0" + bytes(16_379)), data(1, bytes(16_384)))
    assert talk.said() == []
    talk.hear(data(1, bytes(16_384)))
    assert talk.said() == [
        (frames.WINDOW_UPDATE, 0, 0, (49_152).to_bytes(4, "big")),
        (frames.WINDOW_UPDATE, 0, 1, (49_152).to_bytes(4, "big")),
    ]


def test_what_was_postponed_comes_in_order_and_goes_with_its_stream() -> None:
    talk = Talk()
    stream = talk.open()
    for word in (b"one", b"two", b"three"):
        talk.connection.postpone(stream, word)
    assert talk.connection.next(stream) == b"one"
    assert talk.memory.used > 0
    assert talk.hear(frames.rst_stream(1, ErrorCode.CANCEL)) == [Cancelled(stream)]
    assert (talk.memory.used, talk.connection.next(stream)) == (0, None)


def test_nothing_is_kept_or_said_for_a_stream_that_is_gone() -> None:
    talk = Talk()
    # All in one read: who serves the stream handles the message when the stream is gone already.
    opened, *_ = talk.hear(headers(1) + message(1, b"x") + frames.rst_stream(1, ErrorCode.CANCEL))
    talk.connection.postpone(opened.stream, b"x" * 100)
    talk.connection.send(opened.stream, b"x" * 100)
    talk.connection.finish(opened.stream)
    assert (talk.memory.used, talk.said()) == (0, [])


def test_finished_while_messages_wait_in_both_directions() -> None:
    talk = Talk()
    talk.hear(frames.settings({frames.INITIAL_WINDOW_SIZE: 10}))
    stream = talk.open(end=False)
    talk.connection.send(stream, b"x" * 100)
    talk.connection.postpone(stream, b"later")
    talk.connection.finish(stream, Status.ABORTED, "why")
    assert talk.hear(data(1, b"", end=True)) == []
    assert statuses(talk.pumped()) == {}
    talk.hear(frames.window_update(1, 1_000))
    assert statuses(talk.said()) == {1: 10}
    assert (talk.connection.open_streams, talk.memory.used) == (0, 0)


def test_who_must_wait_for_a_window_is_told_when_it_opens() -> None:
    talk = Talk()
    talk.hear(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    stream = talk.open()
    talk.connection.send(stream, b"answer")
    assert talk.connection.pump() == []
    assert talk.hear(frames.window_update(1, 100)) == [Writable(stream)]


def test_memory_that_the_server_itself_takes_is_bounded() -> None:
    talk = Talk(Limits(buffered=1_000))
    talk.hear(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    stream = talk.open()
    talk.connection.send(stream, b"x" * 2_000)
    assert talk.connection.has_waiting
    assert talk.connection.pump() == [Cancelled(stream)]
    said = talk.said()
    assert (statuses(said), talk.memory.used) == ({1: Status.RESOURCE_EXHAUSTED}, 0)


def test_a_server_that_goes_takes_what_is_under_way_and_no_more() -> None:
    talk = Talk()
    talk.open(1)
    talk.connection.drain()
    talk.connection.drain()
    goaway, ping = talk.said()
    assert goaway[3] == (2**31 - 1).to_bytes(4, "big") + bytes(4)
    assert ping == (frames.PING, 0, 0, b"draining")
    assert len(talk.hear(headers(3))) == 1, "the peer did not know yet"
    talk.hear(ALIVE)
    assert talk.said() == [(frames.GOAWAY, 0, 0, (3).to_bytes(4, "big") + bytes(4))]
    assert talk.hear(headers(5), message(5, b"x"), data(5, b"", end=True)) == []
    drained = [talk.connection.is_drained]
    for stream in talk.connection.streams():
        talk.hear(data(stream.number, b"", end=True))
        talk.connection.finish(stream)
    assert [*drained, talk.connection.is_drained] == [False, True]
    assert talk.violations == {}


def test_a_closed_connection_ends_what_is_in_flight_and_hears_nothing() -> None:
    talk = Talk()
    stream = talk.open()
    assert talk.connection.close(ErrorCode.NO_ERROR, "bye") == [Cancelled(stream)]
    assert goaway_code(talk.said()) == 0
    assert talk.hear(headers(3)) == talk.wait(1_000.0) == talk.connection.close() == []
    assert talk.said() == []


def test_a_silent_peer_is_asked_first() -> None:
    talk = Talk(Limits(idle=300.0, patience=20.0))
    talk.open()
    assert talk.wait(301.0) == []
    assert talk.said() == [(frames.PING, 0, 0, b"alive?..")]
    talk.now += 19.0
    talk.hear(frame(frames.PING, frames.ACK, 0, b"alive?.."))
    assert talk.wait(100.0) == []
    assert talk.said() == []


def test_frames_of_a_stream_that_we_ended_may_still_be_under_way() -> None:
    talk = Talk()
    talk.open()
    talk.hear(data(1, b"\x01\0\0\0\x01x"))
    talk.said()
    assert talk.hear(data(1, b"more"), headers(1, [("x", "1")], end=True), frames.window_update(1, 5)) == []
    assert (talk.said(), talk.connection.is_closed) == ([], False)


def test_header_blocks_of_refused_streams_still_move_the_table() -> None:
    talk = Talk(Limits(streams=1))
    talk.open(1)
    table = block()[:-1] + b"c"
    added = b"\x40\x03x-a\x011"
    refused = frame(frames.HEADERS, frames.END_HEADERS, 3, table + added)
    talk.hear(refused, frames.rst_stream(1, ErrorCode.CANCEL))
    (opened,) = talk.hear(frame(frames.HEADERS, frames.END_HEADERS, 5, block() + b"\xbe"))
    assert opened.stream.number == 5


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 70_000])
def test_messages_of_any_size_come_back_whole(size: int) -> None:
    talk = Talk()
    stream = talk.open()
    talk.connection.send(stream, bytes(size))
    talk.hear(frames.window_update(0, 2**20), frames.window_update(1, 2**20))
    sent = b"".join(load for kind, _, _, load in talk.pumped() if kind == frames.DATA)
    assert sent == framed(bytes(size))
