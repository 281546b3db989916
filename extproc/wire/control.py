"""What the small frames say, and whether they may say it. Pure. RFC 9113, section 6."""

from __future__ import annotations

from typing import Final

from extproc.wire import frames
from extproc.wire.frames import ErrorCode, PeerError

PING_BYTES: Final = 8
_PRIORITY_BYTES: Final = 5


def read_settings(number: int, flags: int, payload: bytes) -> list[tuple[int, int]]:
    """Names and values, in order; all of them legal.

    Raises:
        PeerError: a wrong size, stream or value.
    """
    _on_connection(number)
    if len(payload) % 6 or (flags & frames.ACK and payload):
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "bad_frame_size")
    values = []
    for start in range(0, len(payload), 6):
        name = int.from_bytes(payload[start : start + 2], "big")
        value = int.from_bytes(payload[start + 2 : start + 6], "big")
        if name == frames.INITIAL_WINDOW_SIZE and value > frames.MAX_WINDOW:
            raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "bad_setting")
        if name == frames.MAX_FRAME_SIZE and not frames.MAX_FRAME <= value <= frames.LARGEST_FRAME:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_setting")
        if name == frames.ENABLE_PUSH and value > 1:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_setting")
        values.append((name, value))
    return values


def check_ping(number: int, payload: bytes) -> None:
    """
    Raises:
        PeerError: a wrong size or stream.
    """
    _on_connection(number)
    _sized(payload, PING_BYTES)


def check_goaway(number: int, payload: bytes) -> None:
    """
    Raises:
        PeerError: a wrong size or stream.
    """
    _on_connection(number)
    if len(payload) < 8:
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "bad_frame_size")


def check_priority(number: int, payload: bytes) -> None:
    """Priorities mean nothing to us, but a frame must be one.

    Raises:
        PeerError: a wrong size or stream, or a stream that depends on itself.
    """
    if number == 0:
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_stream_number")
    _sized(payload, _PRIORITY_BYTES)
    without_priority(number, payload)


def without_priority(number: int, payload: bytes) -> bytes:
    """The payload of a HEADERS frame behind its priority fields.

    Raises:
        PeerError: there are none, or the stream depends on itself.
    """
    if len(payload) < _PRIORITY_BYTES:
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "bad_frame_size")
    if int.from_bytes(payload[:4], "big") & frames.NUMBER_MASK == number:
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "depends_on_itself")
    return payload[_PRIORITY_BYTES:]


def check_rst_stream(payload: bytes) -> None:
    """
    Raises:
        PeerError: a wrong size.
    """
    _sized(payload, 4)


def read_window_update(number: int, payload: bytes) -> int:
    """The increment. That of a stream may be 0, which is an error of the stream alone.

    Raises:
        PeerError: a wrong size, or 0 for the connection.
    """
    _sized(payload, 4)
    increment = int.from_bytes(payload, "big") & frames.NUMBER_MASK
    if number == 0 and increment == 0:
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_window_update")
    return increment


def _on_connection(number: int) -> None:
    if number != 0:
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_stream_number")


def _sized(payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "bad_frame_size")
