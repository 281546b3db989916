"""The attacks that the wire withstands: what is sent, and what comes of it. `docs/reference/wire.md` lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count, repeat

from extproc.wire import frames
from extproc.wire.frames import ErrorCode, frame
from extproc.wire.grpc import Status
from extproc.wire.limits import Limits
from tests.extproc.wire.peer import FIELDS, GREETING, block, changed, data, headers, message

MIB = 1024 * 1024
FULL = b"x" * frames.MAX_FRAME
Act = bytes | float
"""Bytes that are sent, or seconds that pass."""


class Server(Enum):
    """What the server does with messages."""

    ECHOES = "answers with what it got"
    WAITS = "waits for a policy"


@dataclass(frozen=True, slots=True)
class Attack:
    """
    Attributes:
        acts: what the peer does, for as long as the connection is open.
        counter: the violation that is counted; empty for what breaks no rule.
        ends: the error code of GOAWAY (`connection`) or RST_STREAM (`stream`); None: neither is sent.
        status: the gRPC status that the stream ends with before that.
        most: bytes of memory, at the most.
    """

    name: str
    acts: Callable[[], Iterator[Act]]
    counter: str = ""
    connection: ErrorCode | None = None
    stream: ErrorCode | None = None
    status: Status | None = None
    server: Server = Server.ECHOES
    limits: Limits = field(default_factory=Limits)
    most: float = 1.0

    @property
    def gets(self) -> str:
        """What the peer gets for it, in words."""
        said = []
        if self.status is not None:
            said.append(f"status {self.status.name}")
        if self.stream is not None:
            said.append(f"stream: {self.stream.name}")
        if self.connection is not None:
            said.append(f"connection: {self.connection.name}")
        return ", ".join(said) or "nothing"


def once(*acts: Act) -> Callable[[], Iterator[Act]]:
    return lambda: iter((GREETING, *acts))


def flood(part: bytes, *before: bytes) -> Callable[[], Iterator[Act]]:
    """The same again, as often as the connection takes it (and 300,000 times at the most)."""

    def acts() -> Iterator[Act]:
        yield GREETING
        yield from before
        yield from repeat(part * 20, 15_000)

    return acts


def odd() -> Iterator[int]:
    return count(1, 2)


def _rapid_reset() -> Iterator[Act]:
    yield GREETING
    for number in odd():
        yield headers(number) + frames.rst_stream(number, ErrorCode.CANCEL)


def _streams() -> Iterator[Act]:
    yield GREETING
    for number in odd():
        yield headers(number)


def _unfinished() -> Iterator[Act]:
    yield GREETING
    for number in range(1, 4_001, 2):
        yield headers(number) + data(number, b"\0\x04\0\0\0")
        yield from repeat(data(number, FULL), 8)


def _never_read() -> Iterator[Act]:
    yield frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 0})
    yield headers(1) + data(1, b"\0\x01\0\0\0")
    yield from repeat(data(1, FULL), 1_024)
    yield from repeat(9.0, 5)


def _many_never_read() -> Iterator[Act]:
    yield frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 0})
    for number in range(1, 81, 2):
        yield headers(number) + data(number, b"\0\0\x10\0\0")
        yield from repeat(data(number, FULL), 64)


def _pipelined(size: int) -> Callable[[], Iterator[Act]]:
    def acts() -> Iterator[Act]:
        yield GREETING
        yield headers(1)
        yield from repeat(message(1, bytes(size)) * max(1, 8_000 // (size + 14)), 16 * MIB // 8_000)

    return acts


def _drip() -> Iterator[Act]:
    yield GREETING
    yield headers(1) + data(1, b"\0\0\x10\0\0")
    yield from repeat(data(1, b"xy") * 500, MIB // 1_000 - 10)


def _byte_by_byte() -> Iterator[Act]:
    yield frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 0})
    for number in range(1, 2_001, 2):
        yield headers(number) + message(number, b"x" * 100)
    yield from repeat(frames.window_update(0, 1) * 50, 1_000)


def _many_settings() -> Iterator[Act]:
    yield GREETING
    for number in range(1, 2_001, 2):
        yield headers(number)
    one = b"".join(b"\0\x04" + (70_000 + index).to_bytes(4, "big") for index in range(2_700))
    yield from repeat(frame(frames.SETTINGS, 0, 0, one), 98)


_LONG = b"\x40\x01x\x7f\xa1\x16" + b"a" * 2_976
_SMALL = Limits(buffered=32 * MIB)
_CALM = ErrorCode.ENHANCE_YOUR_CALM
_PROTOCOL = ErrorCode.PROTOCOL_ERROR
_FLOW = ErrorCode.FLOW_CONTROL_ERROR
_ODD = frame(frames.HEADERS, 0, 1, block())

ATTACKS = (
    Attack("rapid reset (CVE-2023-44487)", _rapid_reset, "too_many_resets", _CALM),
    Attack(
        "CONTINUATION flood (CVE-2024-27316)",
        flood(frame(frames.CONTINUATION, 0, 1, b"\x82"), _ODD),
        "header_block_too_large",
        _CALM,
    ),
    Attack(
        "HPACK bomb: one long field, named a thousand times",
        once(frame(frames.HEADERS, frames.END_HEADERS, 1, _LONG + b"\xbe" * 5_000)),
        "header_list_too_large",
        _CALM,
    ),
    Attack(
        "header list too large",
        once(frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x82" * 16_000)),
        "header_list_too_large",
        _CALM,
    ),
    Attack("SETTINGS flood (CVE-2019-9515)", flood(frames.settings({})), "too_many_settings", _CALM),
    Attack(
        "flood of SETTINGS acknowledgements", flood(frame(frames.SETTINGS, frames.ACK, 0)), "too_many_settings", _CALM
    ),
    Attack("2,700 settings in one frame, 98 times, on 1,000 streams", _many_settings, server=Server.WAITS, most=8.0),
    Attack("PING flood (CVE-2019-9512)", flood(frame(frames.PING, 0, 0, b"8 bytes.")), "too_many_pings", _CALM),
    Attack("empty DATA flood (CVE-2019-9518)", flood(data(1, b""), headers(1)), "too_many_empty_frames", _CALM),
    Attack(
        "PRIORITY flood (CVE-2019-9513)",
        flood(frame(frames.PRIORITY, 0, 1, b"\0\0\0\x03\x10")),
        "too_many_ignored_frames",
        _CALM,
    ),
    Attack("unknown frame flood", flood(frame(0x4F, 0, 0, b"?")), "too_many_ignored_frames", _CALM),
    Attack("GOAWAY flood", flood(frame(frames.GOAWAY, 0, 0, bytes(8))), "too_many_ignored_frames", _CALM),
    Attack(
        "slow read: a 16 MiB answer, a window of 0 (CVE-2019-9517)",
        _never_read,
        "answer_not_taken",
        stream=ErrorCode.CANCEL,
        most=40.0,
    ),
    Attack(
        "slow read of many answers: 40 of 1 MiB, where 32 MiB may be held",
        _many_never_read,
        "too_much_buffered",
        stream=ErrorCode.NO_ERROR,
        status=Status.RESOURCE_EXHAUSTED,
        limits=_SMALL,
        most=40.0,
    ),
    Attack("window opened byte by byte, under 1,000 answers (CVE-2019-9511)", _byte_by_byte, most=8.0),
    Attack(
        "window overflow of the connection", once(frames.window_update(0, frames.MAX_WINDOW)), "window_overflow", _FLOW
    ),
    Attack(
        "window overflow of a stream",
        once(headers(1), frames.window_update(1, frames.MAX_WINDOW)),
        "window_overflow",
        stream=_FLOW,
    ),
    Attack("WINDOW_UPDATE of 0 for the connection", once(frames.window_update(0, 0)), "bad_window_update", _PROTOCOL),
    Attack(
        "WINDOW_UPDATE of 0 for a stream",
        once(headers(1), frames.window_update(1, 0)),
        "bad_window_update",
        stream=_PROTOCOL,
    ),
    Attack(
        "more padding than frame",
        once(headers(1), frame(frames.DATA, frames.PADDED, 1, b"\x09padding")),
        "bad_padding",
        _PROTOCOL,
    ),
    Attack("frames of padding alone", flood(frame(frames.DATA, frames.PADDED, 1, b"\xff" + bytes(255)), headers(1)),
           "too_many_empty_frames", _CALM),
    Attack("a 1 MiB message in frames of 2 bytes", _drip, most=3.0),
    Attack("half a preface, then silence", lambda: iter((frames.PREFACE[:12], 5.0, 6.0)), "no_handshake",
           ErrorCode.SETTINGS_TIMEOUT),
    Attack("half a header block, then silence", once(_ODD, 5.0, 6.0), "slow_header_block", _CALM),
    Attack("silence with nothing in flight", once(200.0, 101.0), connection=ErrorCode.NO_ERROR),
    Attack("silence with a call in flight", once(headers(1), 301.0, 21.0), "peer_is_silent", ErrorCode.NO_ERROR),
    Attack("too many streams", _streams, "too_many_streams", _CALM, ErrorCode.REFUSED_STREAM, server=Server.WAITS,
           most=8.0),
    Attack("frame too large", once(frame(frames.DATA, 0, 1, FULL + b"x")), "frame_too_large",
           ErrorCode.FRAME_SIZE_ERROR),
    Attack("compressed message", once(headers(1), data(1, b"\x01\0\0\0\x01x")), "compressed_message",
           stream=ErrorCode.NO_ERROR, status=Status.UNIMPLEMENTED),
    Attack("message that claims 4 GiB", once(headers(1), data(1, b"\0\xff\xff\xff\xff")), "message_too_large",
           stream=ErrorCode.NO_ERROR, status=Status.RESOURCE_EXHAUSTED),
    Attack("2,000 unfinished messages of 64 MiB, where 32 MiB may be held", _unfinished, "too_much_buffered", _CALM,
           stream=ErrorCode.NO_ERROR, status=Status.RESOURCE_EXHAUSTED, limits=_SMALL, most=40.0),
    Attack("messages sent on while the first waits", _pipelined(7_000), "stream_window_exceeded", stream=_FLOW,
           server=Server.WAITS, most=6.0),
    Attack("tiny messages sent on while the first waits", _pipelined(2), "too_much_buffered", stream=ErrorCode.NO_ERROR,
           status=Status.RESOURCE_EXHAUSTED, server=Server.WAITS, limits=Limits(buffered=4 * MIB), most=6.0),
    Attack("reset of an idle stream", once(frames.rst_stream(1, ErrorCode.CANCEL)), "reset_of_idle_stream", _PROTOCOL),
    Attack("DATA on an idle stream", once(data(1, b"x")), "data_on_idle_stream", _PROTOCOL),
    Attack("DATA on a closed stream", once(headers(1), frames.rst_stream(1, ErrorCode.CANCEL), data(1, b"x")),
           "data_after_end", stream=ErrorCode.STREAM_CLOSED),
    Attack("DATA behind END_STREAM", once(headers(1, end=True), data(1, b"x")), "data_after_end",
           stream=ErrorCode.STREAM_CLOSED, server=Server.WAITS),
    Attack("HEADERS on a lower stream", once(headers(5), headers(3)), "headers_after_end", ErrorCode.STREAM_CLOSED),
    Attack("even stream number", once(headers(2)), "bad_stream_number", _PROTOCOL),
    Attack("CONTINUATION without HEADERS", once(frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"\x82")),
           "broken_header_block", _PROTOCOL),
    Attack("a frame within a header block", once(_ODD + frame(frames.PING, 0, 0, bytes(8))), "broken_header_block",
           _PROTOCOL),
    Attack("PUSH_PROMISE by a client", once(frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(5))),
           "push_by_client", _PROTOCOL),
    Attack("HTTP/1.1", lambda: iter((b"GET / HTTP/1.1\r\nhost: policy\r\n\r\n",)), "bad_preface", _PROTOCOL),
    Attack("broken HPACK", once(frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff" * 100)), "bad_header_block",
           ErrorCode.COMPRESSION_ERROR),
    Attack("request smuggled through a field", once(headers(1, changed(x_a="1\r\nx: 2"))), "bad_field_value",
           stream=_PROTOCOL),
    Attack("connection-specific field", once(headers(1, (*FIELDS, ("connection", "close")))), "connection_field",
           stream=_PROTOCOL),
)  # fmt: skip
