"""Frames, as RFC 9113 draws them."""

from __future__ import annotations

import hyperframe.frame
import pytest

from extproc.wire import frames
from extproc.wire.frames import ErrorCode, PeerError


@pytest.mark.parametrize(
    ("ours", "kind", "number"),
    [
        (frames.frame(frames.PING, frames.ACK, 0, b"8 bytes."), hyperframe.frame.PingFrame, 0),
        (frames.data_head(5, 3) + b"hello", hyperframe.frame.DataFrame, 3),
        (frames.message_frame(7, b"x" * 300), hyperframe.frame.DataFrame, 7),
        (frames.settings({1: 0, 3: 2_000}), hyperframe.frame.SettingsFrame, 0),
        (frames.window_update(9, 2**31 - 1), hyperframe.frame.WindowUpdateFrame, 9),
        (frames.rst_stream(2**31 - 1, ErrorCode.CANCEL), hyperframe.frame.RstStreamFrame, 2**31 - 1),
        (frames.goaway(5, ErrorCode.ENHANCE_YOUR_CALM, "why"), hyperframe.frame.GoAwayFrame, 0),
    ],
)
def test_another_implementation_reads_our_frames(ours: bytes, kind: type, number: int) -> None:
    frame, size = hyperframe.frame.Frame.parse_frame_header(memoryview(ours)[:9])
    frame.parse_body(memoryview(ours)[9:])
    assert (type(frame), frame.stream_id, size) == (kind, number, len(ours) - 9)
    assert frame.serialize() == ours


def test_a_message_carries_its_length() -> None:
    assert frames.message_frame(1, b"ab") == bytes.fromhex("000007 00 00 00000001 00 00000002") + b"ab"


@pytest.mark.parametrize(
    ("payload", "flags", "rest"),
    [
        (b"plain", 0, b"plain"),
        (b"\x00body", frames.PADDED, b"body"),
        (b"\x03body\0\0\0", frames.PADDED, b"body"),
        (b"\x04\0\0\0\0", frames.PADDED, b""),
    ],
)
def test_padding_is_taken_off(payload: bytes, flags: int, rest: bytes) -> None:
    assert frames.unpadded(payload, flags) == rest


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05\0\0\0\0", b"\xff"])
def test_more_padding_than_frame_is_an_error(payload: bytes) -> None:
    with pytest.raises(PeerError, match="bad_padding") as caught:
        frames.unpadded(payload, frames.PADDED)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR
