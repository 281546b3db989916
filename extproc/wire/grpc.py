"""gRPC over HTTP/2: what opens a call, what ends it, and how messages are framed.

Source: gRPC's PROTOCOL-HTTP2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) and its status codes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from extproc.wire.blocks import Fields


class Status(IntEnum):
    """How a call ended."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


@dataclass(frozen=True, slots=True)
class Opening:
    """What the header block of a request means.

    Attributes:
        path: the method that is called.
        timeout: seconds that the peer will wait; None: it does not say.
        content_length: of the whole body, where it is stated.
        malformed: why it is no HTTP/2 request (a stream error); empty if it is one.
        refusal: the block of an answer that ends the call at once; empty if there is none.
    """

    path: str = ""
    timeout: float | None = None
    content_length: int | None = None
    malformed: str = ""
    refusal: bytes = b""


_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_FIELD_NAME: Final = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_DECIMAL: Final = re.compile(rb"[0-9]{1,18}")


def read_opening(fields: Fields) -> Opening:
    """What a request's header fields mean. RFC 9113, sections 8.2 and 8.3, then gRPC's own rules."""
    malformed, values = _check(fields)
    if malformed:
        return Opening(malformed=malformed)
    path = values[b":path"].decode("latin-1")
    length = values.get(b"content-length")
    if length is not None and not _DECIMAL.fullmatch(length):
        return Opening(malformed="bad_content_length")
    stated = None if length is None else int(length)
    if values[b":method"] != b"POST":
        return Opening(path, content_length=stated, refusal=literal(b":status", b"405") + literal(b"allow", b"POST"))
    media = values.get(b"content-type", b"")
    if media != b"application/grpc" and not media.startswith((b"application/grpc+", b"application/grpc;")):
        return Opening(path, content_length=stated, refusal=literal(b":status", b"415"))
    timeout = values.get(b"grpc-timeout")
    if timeout is None:
        return Opening(path, content_length=stated)
    match = _TIMEOUT.fullmatch(timeout)
    if match is None:
        return Opening(path, content_length=stated, refusal=trailers_only(Status.INTERNAL, "malformed grpc-timeout"))
    return Opening(path, int(match[1]) * _SECONDS[match[2]], stated)


def _check(fields: Fields) -> tuple[str, dict[bytes, bytes]]:
    """What is wrong with them as fields of an HTTP/2 request, and their values by name (the first of each)."""
    values: dict[bytes, bytes] = {}
    regular = False
    for name, value in fields:
        if not _FIELD_NAME.fullmatch(name):
            return "bad_field_name", values
        if _BAD_VALUE.search(value):
            return "bad_field_value", values
        if name.startswith(b":"):
            if regular or name not in _PSEUDO or name in values:
                return "bad_pseudo_field", values
        else:
            regular = True
            if name in _CONNECTION_FIELDS or (name == b"te" and value != b"trailers"):
                return "connection_field", values
            if name == b"content-length" and values.get(name, value) != value:
                return "bad_content_length", values
        values.setdefault(name, value)
    if not (values.get(b":method") and values.get(b":scheme") and values.get(b":path")):
        return "missing_pseudo_field", values
    return "", values


def are_trailers(fields: Fields) -> bool:
    """Whether these fields may end a request: no pseudo fields, and names as they must be."""
    return all(_FIELD_NAME.fullmatch(name) and not name.startswith(b":") for name, _ in fields)


def literal(name: bytes, value: bytes) -> bytes:
    """A field as HPACK writes it when nothing is to be remembered: no table, no Huffman code. RFC 7541, section 6.2.2."""
    return b"\x00" + _string(name) + _string(value)


def _string(value: bytes) -> bytes:
    size = len(value)
    if size < 127:
        return bytes((size,)) + value
    head, size = bytearray((127,)), size - 127
    while size >= 128:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + value


_MESSAGE_LIMIT: Final = 1024
HEADERS_BLOCK: Final = b"\x88" + literal(b"content-type", b"application/grpc")
"""The fields before the first message: `:status: 200` is entry 8 of the static table."""
OK_BLOCK: Final = literal(b"grpc-status", b"0")


def trailers(status: Status, text: str = "") -> bytes:
    """The fields after the last message."""
    if status is Status.OK:
        return OK_BLOCK
    block = literal(b"grpc-status", str(int(status)).encode())
    if text:
        block += literal(b"grpc-message", _percent(text[:_MESSAGE_LIMIT]))
    if status is Status.UNIMPLEMENTED:
        block += literal(b"grpc-accept-encoding", b"identity")
    return block


def trailers_only(status: Status, text: str = "") -> bytes:
    """The fields of an answer without a message."""
    return HEADERS_BLOCK + trailers(status, text)


def _percent(text: str) -> bytes:
    return b"".join(
        bytes((octet,)) if 0x20 <= octet <= 0x7E and octet != 0x25 else b"%%%02X" % octet
        for octet in text.encode("utf-8", "replace")
    )


class MessageError(Exception):
    """A call that must end because of how its messages are framed."""

    def __init__(self, status: Status, name: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.name = name
        self.text = text


_PREFIX: Final = struct.Struct(">BL")
_MERGED: Final = 256
_SMALL_BYTES: Final = 64 * 1024
"""So many parts together are small: they are made one, for each costs some 50 bytes beside what it holds."""


class Assembler:
    """Messages out of the payloads of DATA frames: cut anywhere, several in one, one over many."""

    __slots__ = ("_fresh", "_limit", "_merged", "_missing", "_parts", "_prefix", "held")

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of the largest message."""
        self._limit = limit
        self._prefix = b""
        self._parts: list[bytes] = []
        self._missing = 0
        self._fresh = self._merged = 0
        self.held = 0
        """Bytes of a message that is not whole yet."""

    @property
    def is_between_messages(self) -> bool:
        return not self._prefix and not self._missing

    def feed(self, payload: bytes) -> list[bytes]:
        """The messages that this payload completes.

        Raises:
            MessageError: one is compressed, or larger than the limit.
        """
        size = len(payload)
        whole = size > 5 and payload[0] == 0 and int.from_bytes(payload[1:5], "big") == size - 5 <= self._limit
        if whole and not self._missing and not self._prefix:
            # One frame, one message: nearly always.
            return [payload[5:]]
        messages: list[bytes] = []
        position = 0
        while position < size:
            if self._missing:
                part = payload[position : position + self._missing]
                position += len(part)
                self._missing -= len(part)
                self._keep(part)
                if not self._missing:
                    messages.append(b"".join(self._parts))
                    self.clear()
                continue
            wanted = 5 - len(self._prefix)
            self._prefix += payload[position : position + wanted]
            position += wanted
            if len(self._prefix) == 5:
                self._begin(messages)
        return messages

    def clear(self) -> None:
        """Forget the message that is not whole."""
        self._parts = []
        self._missing = self._fresh = self._merged = self.held = 0
        self._prefix = b""

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self.held += len(part)
        self._fresh += 1
        if self._fresh == _MERGED:
            if self.held - self._merged < _SMALL_BYTES:
                self._parts[-_MERGED:] = [b"".join(self._parts[-_MERGED:])]
            self._fresh, self._merged = 0, self.held

    def _begin(self, messages: list[bytes]) -> None:
        flag, length = _PREFIX.unpack(self._prefix)
        self._prefix = b""
        if flag:
            raise MessageError(Status.UNIMPLEMENTED, "compressed_message", "messages must not be compressed")
        if length > self._limit:
            raise MessageError(
                Status.RESOURCE_EXHAUSTED, "message_too_large", f"a message of {length} bytes; the limit is {self._limit}"
            )
        if length:
            self._missing = length
        else:
            messages.append(b"")
