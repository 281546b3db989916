"""Envoy's messages to us, read from the bytes of `ProcessingRequest`. Pure.

They are read here and not through the generated classes, for two reasons. Of the twenty fields of a request most are the
same in the next one: a field whose bytes are known is a look-up (4 us for all of them in place of 14). And a body is
copied once, not twice.

Field numbers: envoy/service/ext_proc/v3/external_processor.proto and envoy/config/core/v3/base.proto. What may stand once
and stands twice is refused, where protobuf would merge the two.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from extproc.edits import CREDENTIALS
from extproc.transport import ProtocolError

_KINDS: Final = {
    2: "request_headers",
    3: "response_headers",
    4: "request_body",
    5: "response_body",
    6: "request_trailers",
    7: "response_trailers",
}
_TAGS: Final = {number << 3 | 2: kind for number, kind in _KINDS.items()}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_REMEMBERED: Final = 2_048
_REMEMBERED_BYTES: Final = 160
"""A longer field is not worth its memory: it hardly comes again."""
_FORGOTTEN: Final = CREDENTIALS | {"x-request-id", "traceparent"}
"""Secrets, and what no other request has."""

Field = tuple[str, str]


class Part(msgspec.Struct, frozen=True):
    """A part of a request or response.

    Attributes:
        kind: the name of the message's member, such as `request_headers`.
        fields: names and values in order, where it is about headers. Values that are no UTF-8 keep their bytes as
            surrogate escapes: equal to nothing of ours.
        body: where it is about a body.
        last: whether nothing of this side follows.
    """

    kind: str
    fields: list[Field]
    body: bytes
    last: bool


class RequestReader:
    """Reads messages, and remembers header fields. One for a server."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # The eldest goes first: emptied all at once, it would grow and shrink for ever, and be cold each time.
        self._known: OrderedDict[bytes, Field] = OrderedDict()

    def read(self, data: bytes) -> Part:
        """The part that a `ProcessingRequest` is about.

        Raises:
            ProtocolError: it is no such message.
        """
        try:
            return self._read(data)
        except (IndexError, ValueError):
            raise ProtocolError("not a ProcessingRequest") from None

    def _read(self, data: bytes) -> Part:
        kind, start, end = self._find(data)
        if kind.endswith("_headers"):
            return self._headers(kind, data, start, end)
        if kind.endswith("_body"):
            body, over = _body(data, start, end)
            return Part(kind, [], body, over)
        return Part(kind, [], b"", True)

    @staticmethod
    def _find(data: bytes) -> tuple[str, int, int]:
        """The part's name, and where its bytes begin and end."""
        kind = _TAGS.get(data[0], "")
        if kind:
            size, start = _varint(data, 1)
            if start + size == len(data):
                # It is alone, as in most messages: saves 1 us.
                return kind, start, len(data)
        kind, start, end = "", 0, 0
        for number, wire, first, last in _fields(data, 0, len(data)):
            if number in _KINDS:
                if kind or wire != _BYTES:
                    raise ValueError(number)
                kind, start, end = _KINDS[number], first, last
        if not kind:
            raise ValueError("no part")
        return kind, start, end

    def _headers(self, kind: str, data: bytes, start: int, end: int) -> Part:
        fields: list[Field] | None = None
        over = False
        for number, wire, first, last in _fields(data, start, end):
            if number == 1:
                if fields is not None or wire != _BYTES:
                    raise ValueError(number)
                fields = self._map(data, first, last)
            elif number == 3:
                if wire != _VARINT:
                    raise ValueError(number)
                over = _varint(data, first)[0] != 0
        return Part(kind, fields or [], b"", over)

    def _map(self, data: bytes, position: int, end: int) -> list[Field]:
        """The fields of a `HeaderMap`. Written out: this loop is the hottest of all."""
        known = self._known
        fields: list[Field] = []
        while position < end:
            if data[position] != 0x0A:
                raise ValueError("not a field")
            size = data[position + 1]
            position += 2
            if size & 0x80:
                size, position = _varint(data, position - 1)
            first, position = position, position + size
            entry = data[first:position]
            # A long one, such as a token, is not there: to look would be to hash it.
            field = known.get(entry) if size <= _REMEMBERED_BYTES else None
            if field is None:
                field = _field(entry)
                if size <= _REMEMBERED_BYTES and field[0] not in _FORGOTTEN:
                    if len(known) >= _REMEMBERED:
                        known.popitem(last=False)
                    known[entry] = field
            fields.append(field)
        if position != end:
            raise ValueError("cut")
        return fields


def _field(entry: bytes) -> Field:
    """One `HeaderValue`: its value is in one of two members."""
    cut = entry[1] + 2 if entry else 0
    if entry[:1] == b"\x0a" and cut < 0x82 and entry[cut : cut + 1] == b"\x1a":
        # As Envoy writes it, a name and a raw value: saves 1 us for each field that is new.
        size, first = _varint(entry, cut + 1)
        if first + size == len(entry):
            return entry[2:cut].decode(), entry[first:].decode("utf-8", "surrogateescape")
    name, value, raw = "", b"", b""
    for number, wire, first, last in _fields(entry, 0, len(entry)):
        if 1 <= number <= 3 and wire != _BYTES:
            raise ValueError(number)
        if number == 1:
            name = entry[first:last].decode()
        elif number == 2:
            value = entry[first:last]
        elif number == 3:
            raw = entry[first:last]
    return name, (raw or value).decode("utf-8", "surrogateescape")


def _body(data: bytes, start: int, end: int) -> tuple[bytes, bool]:
    if data[start : start + 1] == b"\x0a":
        size, first = _varint(data, start + 1)
        if first + size + 2 == end and data[end - 2 : end] == b"\x10\x01":
            # The whole of a body, as Envoy writes it: saves 1 us.
            return data[first : end - 2], True
    body, over, seen = b"", False, False
    for number, wire, first, last in _fields(data, start, end):
        if number == 1:
            if seen or wire != _BYTES:
                raise ValueError(number)
            body, seen = data[first:last], True
        elif number == 2:
            if wire != _VARINT:
                raise ValueError(number)
            over = _varint(data, first)[0] != 0
    return body, over


def _fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and where the value begins and ends, of every field of a message."""
    while position < end:
        tag = data[position]
        position += 1
        if tag & 0x80:
            tag, position = _varint(data, position - 1)
        wire = tag & 7
        first = position
        if wire == _BYTES:
            size = data[position]
            first = position + 1
            if size & 0x80:
                size, first = _varint(data, position)
            position = first + size
        elif wire == _VARINT:
            _, position = _varint(data, position)
        elif wire == _FIXED64:
            position += 8
        elif wire == _FIXED32:
            position += 4
        else:
            raise ValueError("a group")
        if position > end or tag < 8:
            raise ValueError("cut")
        yield tag >> 3, wire, first, position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends.

    Raises:
        ValueError: it has more than ten octets.
        IndexError: it is cut.
    """
    octet = data[position]
    if octet < 0x80:
        return octet, position + 1
    # Of one octet or two, nearly always.
    following = data[position + 1]
    if following < 0x80:
        return octet & 0x7F | following << 7, position + 2
    value = shift = 0
    while True:
        octet = data[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
