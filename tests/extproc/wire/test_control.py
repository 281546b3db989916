"""Small frames: what is legal, and which error it is if not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.wire import control, frames
from extproc.wire.frames import ErrorCode, PeerError

SIZE, RULE, FLOW = ErrorCode.FRAME_SIZE_ERROR, ErrorCode.PROTOCOL_ERROR, ErrorCode.FLOW_CONTROL_ERROR


def setting(name: int, value: int) -> bytes:
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("payload", "flags", "values"),
    [
        (b"", 0, []),
        (b"", frames.ACK, []),
        (setting(4, 2**31 - 1) + setting(4, 0), 0, [(4, 2**31 - 1), (4, 0)]),
        (setting(5, 16_384) + setting(5, 2**24 - 1), 0, [(5, 16_384), (5, 2**24 - 1)]),
        (setting(2, 1) + setting(0xFFFF, 2**32 - 1), 0, [(2, 1), (0xFFFF, 2**32 - 1)]),
    ],
)
def test_settings(payload: bytes, flags: int, values: list[tuple[int, int]]) -> None:
    assert control.read_settings(0, flags, payload) == values


@pytest.mark.parametrize(
    ("check", "arguments", "code"),
    [
        (control.read_settings, (1, 0, b""), RULE),
        (control.read_settings, (0, 0, bytes(5)), SIZE),
        (control.read_settings, (0, frames.ACK, setting(1, 0)), SIZE),
        (control.read_settings, (0, 0, setting(4, 2**31)), FLOW),
        (control.read_settings, (0, 0, setting(5, 16_383)), RULE),
        (control.read_settings, (0, 0, setting(5, 2**24)), RULE),
        (control.read_settings, (0, 0, setting(2, 2)), RULE),
        (control.check_ping, (0, bytes(7)), SIZE),
        (control.check_ping, (1, bytes(8)), RULE),
        (control.check_goaway, (0, bytes(7)), SIZE),
        (control.check_goaway, (3, bytes(8)), RULE),
        (control.check_priority, (0, bytes(5)), RULE),
        (control.check_priority, (1, bytes(6)), SIZE),
        (control.check_priority, (3, b"\0\0\0\x03\x10"), RULE),
        (control.check_priority, (3, b"\x80\0\0\x03\x10"), RULE),
        (control.without_priority, (3, bytes(4)), SIZE),
        (control.check_rst_stream, (bytes(5),), SIZE),
        (control.read_window_update, (1, bytes(3)), SIZE),
        (control.read_window_update, (0, bytes(4)), RULE),
        (control.read_window_update, (0, b"\x80\0\0\0"), RULE),
    ],
)
def test_what_is_not_legal(check: Callable[..., Any], arguments: tuple[Any, ...], code: ErrorCode) -> None:
    with pytest.raises(PeerError) as caught:
        check(*arguments)
    assert caught.value.code is code


def test_what_is_legal() -> None:
    control.check_ping(0, bytes(8))
    control.check_goaway(0, bytes(8) + b"text")
    control.check_priority(3, b"\0\0\0\x01\x10")
    control.check_rst_stream(bytes(4))
    assert control.without_priority(3, b"\0\0\0\x01\x10rest") == b"rest"
    assert control.read_window_update(1, bytes(4)) == 0
    assert control.read_window_update(0, b"\xff\xff\xff\xff") == 2**31 - 1
