"""From bytes, cut anywhere, to frames. RFC 9113, sections 3.4, 4.1 and 4.3.

Here is what can be said of a frame without knowing its stream: that the preface and SETTINGS come first, that it is not
too large, and that nothing stands between the frames of a header block. A header block leaves whole, as one HEADERS frame
without padding and priority.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from extproc.wire import frames
from extproc.wire.control import without_priority
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.limits import Limits

Frame: TypeAlias = tuple[int, int, int, bytes]
"""Type, flags, stream, payload."""
_SIMPLE: Final = frames.END_HEADERS
_FORMS: Final = frames.PADDED | frames.WITH_PRIORITY | frames.END_HEADERS


class FrameReader:
    """The bytes of one connection."""

    __slots__ = (
        "_block",
        "_block_flags",
        "_buffer",
        "_continuations",
        "_in_turn",
        "_limits",
        "_preface",
        "greeted",
        "pending",
        "since",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = b""
        self._preface = frames.PREFACE
        self._block = b""
        self._block_flags = 0
        self._continuations = 0
        self._in_turn = False
        self.greeted = False
        """Whether the peer's SETTINGS have come."""
        self.pending: int | None = None
        """The stream whose header block is not whole yet: nothing but its CONTINUATION frames may follow."""
        self.since = 0.0
        """When that began."""

    def feed(self, data: bytes, now: float) -> Iterator[Frame]:
        """The frames that these bytes complete. To be read to the end before the next bytes.

        Raises:
            PeerError: what follows could not be understood.
        """
        buffer = self._buffer + data if self._buffer else data
        position, size = 0, len(buffer)
        if self._preface:
            position = self._read_preface(buffer)
        while size - position >= frames.HEAD_BYTES:
            high, low, kind, flags, number = frames.UNPACK_HEAD(buffer, position)
            length = high << 8 | low
            number &= frames.NUMBER_MASK
            if length > frames.MAX_FRAME:
                raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "frame_too_large")
            start = position + frames.HEAD_BYTES
            position = start + length
            if position > size:
                position = start - frames.HEAD_BYTES
                break
            payload = buffer[start:position]
            if not self._in_turn:
                self._check_turn(kind, number)
            if kind == frames.CONTINUATION:
                if (whole := self._go_on(flags, payload)) is not None:
                    yield frames.HEADERS, self._block_flags, number, whole
            elif kind == frames.HEADERS and flags & _FORMS != _SIMPLE:
                if (whole := self._begin(number, flags, payload, now)) is not None:
                    yield kind, flags, number, whole
            else:
                yield kind, flags, number, payload
        self._buffer = buffer[position:]

    def _read_preface(self, buffer: bytes) -> int:
        """Where the preface ends in the first bytes; it may arrive in pieces."""
        wanted = self._preface[: len(buffer)]
        if not buffer.startswith(wanted):
            raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_preface")
        self._preface = self._preface[len(wanted) :]
        return len(wanted)

    def _check_turn(self, kind: int, number: int) -> None:
        """SETTINGS come first; and nothing stands between the frames of a header block."""
        if not self.greeted:
            if kind != frames.SETTINGS:
                raise PeerError(ErrorCode.PROTOCOL_ERROR, "bad_preface")
            self.greeted = self._in_turn = True
        elif kind != frames.CONTINUATION or number != self.pending:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, "broken_header_block")

    def _begin(self, number: int, flags: int, payload: bytes, now: float) -> bytes | None:
        """The block of a HEADERS frame, if that is the whole of it."""
        payload = frames.unpadded(payload, flags)
        if flags & frames.WITH_PRIORITY:
            payload = without_priority(number, payload)
        if flags & frames.END_HEADERS:
            return payload
        self.pending, self.since, self._in_turn = number, now, False
        self._block, self._block_flags, self._continuations = payload, flags, 0
        return None

    def _go_on(self, flags: int, payload: bytes) -> bytes | None:
        """The whole block, if this CONTINUATION frame ends it."""
        if self.pending is None:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, "broken_header_block")
        self._block += payload
        self._continuations += 1
        if self._continuations > self._limits.continuations or len(self._block) > self._limits.block:
            # What is left of the block would have to be decoded all the same, for the sake of its table.
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, "header_block_too_large")
        if not flags & frames.END_HEADERS:
            return None
        self.pending, self._in_turn = None, True
        whole, self._block = self._block, b""
        return whole
