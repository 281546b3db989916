"""HTTP/2 frames: names for their numbers, and their bytes. RFC 9113, sections 4, 6 and 7."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES: Final = 9
MAX_FRAME: Final = 16_384
"""The largest payload that we take: what SETTINGS_MAX_FRAME_SIZE is until somebody says otherwise."""
LARGEST_FRAME: Final = 2**24 - 1
MAX_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65_535
DEFAULT_TABLE: Final = 4_096
NUMBER_MASK: Final = 2**31 - 1
"""The bits of a stream's number; the one above them is reserved and ignored."""

# Plain numbers, not an enum: they are compared for every frame.
DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

UNPACK_HEAD: Final = struct.Struct(">HBBBL").unpack_from
"""Length (16 upper bits, 8 lower bits), type, flags, stream."""
_HEAD: Final = struct.Struct(">HBBBL")
_MESSAGE_HEAD: Final = struct.Struct(">HBBBLBL")
_SETTING: Final = struct.Struct(">HL")
_WORD: Final = struct.Struct(">L")
_TWO_WORDS: Final = struct.Struct(">LL")


class ErrorCode(IntEnum):
    """Why a stream or a connection ends. RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11


class PeerError(Exception):
    """The peer broke a rule that the whole connection rests on. `name` is stable, for counters and logs."""

    def __init__(self, code: ErrorCode, name: str) -> None:
        super().__init__(f"{name} ({code.name})")
        self.code = code
        self.name = name


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def data_head(size: int, stream: int) -> bytes:
    """What stands before `size` bytes of a DATA frame."""
    return _HEAD.pack(size >> 8, size & 0xFF, DATA, 0, stream)


def message_frame(stream: int, message: bytes) -> bytes:
    """A DATA frame that holds one gRPC message whole."""
    size = len(message)
    return _MESSAGE_HEAD.pack((size + 5) >> 8, (size + 5) & 0xFF, DATA, 0, stream, 0, size) + message


def settings(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(increment))


def rst_stream(stream: int, code: ErrorCode) -> bytes:
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def goaway(last: int, code: ErrorCode, reason: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last, code) + reason.encode())


def unpadded(payload: bytes, flags: int) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding. RFC 9113, section 6.1.

    Raises:
        PeerError: there is more padding than frame.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_padding")
    return payload[1 : len(payload) - payload[0]]
