"""Frames out of bytes."""

from __future__ import annotations

import pytest

from extproc.wire import frames
from extproc.wire.frames import ErrorCode, PeerError, frame
from extproc.wire.limits import Limits
from extproc.wire.reader import Frame, FrameReader
from tests.extproc.wire.peer import GREETING

LIMITS = Limits(block=100, continuations=3)
END = frames.END_HEADERS
HELLO: Frame = (frames.SETTINGS, 0, 0, b"")


def read(*parts: bytes) -> list[Frame]:
    reader = FrameReader(LIMITS)
    return [found for part in parts for found in reader.feed(part, 0.0)]


def test_frames_come_whole_and_in_order() -> None:
    ping = frame(frames.PING, 0, 0, b"8 bytes.")
    assert read(GREETING + ping + ping[:11], ping[11:] + b"\0") == [HELLO, *[(frames.PING, 0, 0, b"8 bytes.")] * 2]


def test_the_reserved_bit_of_a_stream_is_ignored() -> None:
    assert read(GREETING, frame(frames.DATA, 0, 2**31 + 3, b"x"))[1] == (frames.DATA, 0, 3, b"x")


@pytest.mark.parametrize(
    "parts",
    [
        [frame(frames.HEADERS, END, 1, b"block")],
        [frame(frames.HEADERS, END | frames.PADDED, 1, b"\x02block\0\0")],
        [frame(frames.HEADERS, END | frames.WITH_PRIORITY, 1, b"\0\0\0\0\x10block")],
        [frame(frames.HEADERS, END | frames.PADDED | frames.WITH_PRIORITY, 1, b"\x01\0\0\0\0\x10block\0")],
        [frame(frames.HEADERS, 0, 1, b"bl"), frame(frames.CONTINUATION, 0, 1, b""), frame(9, END, 1, b"ock")],
        [frame(frames.HEADERS, frames.PADDED, 1, b"\x01b\0"), frame(frames.CONTINUATION, END, 1, b"lock")],
    ],
)
def test_a_header_block_leaves_whole(parts: list[bytes]) -> None:
    (found,) = read(GREETING, *parts)[1:]
    assert (found[0], found[2], found[3]) == (frames.HEADERS, 1, b"block")


def test_the_end_of_the_stream_is_kept_over_continuations() -> None:
    found = read(GREETING, frame(frames.HEADERS, frames.END_STREAM, 1, b"a"), frame(frames.CONTINUATION, END, 1, b"b"))
    assert found[1][1] & frames.END_STREAM


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "bad_preface", ErrorCode.PROTOCOL_ERROR),
        (b"X", "bad_preface", ErrorCode.PROTOCOL_ERROR),
        (frames.PREFACE + frame(frames.PING, 0, 0, bytes(8)), "bad_preface", ErrorCode.PROTOCOL_ERROR),
        (GREETING + b"\0\x40\x01\0\0\0\0\0\x01", "frame_too_large", ErrorCode.FRAME_SIZE_ERROR),
        (GREETING + frame(frames.CONTINUATION, END, 1), "broken_header_block", ErrorCode.PROTOCOL_ERROR),
        (
            GREETING + frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, END, 3),
            "broken_header_block",
            ErrorCode.PROTOCOL_ERROR,
        ),
        (
            GREETING + frame(frames.HEADERS, 0, 1) + frame(0x77, 0, 1),
            "broken_header_block",
            ErrorCode.PROTOCOL_ERROR,
        ),
        (
            GREETING + frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1) * 4,
            "header_block_too_large",
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
        (
            GREETING + frame(frames.HEADERS, 0, 1, bytes(90)) + frame(frames.CONTINUATION, END, 1, bytes(11)),
            "header_block_too_large",
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
    ],
)
def test_what_cannot_be_understood(data: bytes, name: str, code: ErrorCode) -> None:
    with pytest.raises(PeerError) as caught:
        read(data)
    assert (caught.value.name, caught.value.code) == (name, code)


def test_it_knows_whether_it_waits_for_the_rest_of_a_block() -> None:
    reader = FrameReader(LIMITS)
    assert not reader.greeted
    list(reader.feed(GREETING + frame(frames.HEADERS, 0, 5, b"a"), 7.0))
    assert (reader.greeted, reader.pending, reader.since) == (True, 5, 7.0)
    list(reader.feed(frame(frames.CONTINUATION, END, 5, b"b"), 8.0))
    assert reader.pending is None
