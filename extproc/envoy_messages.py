"""Our answers to Envoy, as the bytes of `ProcessingResponse` messages. Pure.

They are written here and not through the generated classes: a verdict has some twenty fields, most of them the same each
time, and putting them into objects that are then serialised cost 16 us of CPU per exchange; this costs 5.
The tests read every one of them back with the generated classes.

Field numbers: envoy/service/ext_proc/v3/external_processor.proto, envoy/config/core/v3/base.proto, and
google/protobuf/struct.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

_KINDS: Final = {
    "request_headers": b"\x0a",
    "response_headers": b"\x12",
    "request_body": b"\x1a",
    "response_body": b"\x22",
    "request_trailers": b"\x2a",
    "response_trailers": b"\x32",
}
_OVERWRITE: Final = b"\x18\x02"
"""OVERWRITE_IF_EXISTS_OR_ADD; to append is the default."""
_CLEAR_ROUTE_CACHE: Final = b"\x28\x01"
SKIP, SEND = 2, 1
"""How headers and trailers are sent (`ProcessingMode.HeaderSendMode`)."""
NONE, STREAMED, BUFFERED = 0, 1, 2
"""How a body is sent (`ProcessingMode.BodySendMode`)."""


def _long_varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


_BOOLEANS: Final = (b"\x20\x00", b"\x20\x01")
_VARINTS: Final = tuple(_long_varint(value) for value in range(4_096))


def _varint(value: int) -> bytes:
    return _VARINTS[value] if value < 4_096 else _long_varint(value)


def _field(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field."""
    return tag + _varint(len(payload)) + payload


def _heads(size: int, *tags: bytes) -> bytes:
    """What stands before a payload of so many octets that is a field inside a field; tags from the innermost on."""
    head = b""
    for tag in tags:
        head = tag + _varint(len(head) + size) + head
    return head


def set_header(name: str, value: str, *, append: bool = False) -> bytes:
    """A field of `HeaderMutation` that sets a header: over the one that is there, or beside it."""
    text = value.encode()
    tail = b"" if append else _OVERWRITE
    return _header_head(name, len(text), len(tail)) + text + tail


# Names are few, and values of a name are of few lengths.
@lru_cache(1_024)
def _header_head(name: str, size: int, tail: int) -> bytes:
    """What stands before a value of so many octets, behind which come as many as `tail`."""
    head = _heads(size, _key(name, b"\x1a"), b"\x0a")
    return b"\x0a" + _varint(len(head) + size + tail) + head


# Clients send the same names each time. Bounded in bytes by what Envoy takes as one header block.
@lru_cache(256)
def remove_headers(names: tuple[str, ...]) -> bytes:
    """Fields of `HeaderMutation` that take headers away."""
    return b"".join(_field(b"\x12", name.encode()) for name in names)


def entries(values: Mapping[str, str | bool]) -> bytes:
    """Entries of a `Struct`."""
    parts: list[bytes] = []
    for name, value in values.items():
        if isinstance(value, bool):
            told = _key(name) + _field(b"", _BOOLEANS[value])
            parts.append(_field(b"\x0a", told))
        else:
            text = value.encode()
            parts += (_entry_head(name, len(text)), text)
    return b"".join(parts)


# As with headers: there are ten of them for each exchange.
@lru_cache(1_024)
def _entry_head(name: str, size: int) -> bytes:
    """What stands in an entry before a text of so many octets."""
    return _heads(size, b"\x1a", _key(name), b"\x0a")


@lru_cache(64)
def _key(name: str, tag: bytes = b"\x12") -> bytes:
    """The key of an entry, and the tag of its value."""
    return _field(b"\x0a", name.encode()) + tag


def metadata(namespace: str, struct: bytes) -> bytes:
    """Dynamic metadata in this namespace. `struct`: from `entries`."""
    return _metadata_head(namespace, len(struct)) + struct


@lru_cache(1_024)
def _metadata_head(namespace: str, size: int) -> bytes:
    """What stands before a struct of so many octets."""
    return _heads(size, b"\x2a", _key(namespace), b"\x0a", b"\x42")


@lru_cache(64)
def mode(*, request_body: int = NONE, response_headers: int = 0, response_body: int = NONE) -> bytes:
    """Says how the rest is to be sent. It replaces the whole mode, so it names every part; trailers are never sent."""
    parts = ((0x10, response_headers), (0x18, request_body), (0x20, response_body), (0x28, SKIP), (0x30, SKIP))
    return _field(b"\x4a", b"".join(bytes((tag, value)) for tag, value in parts if value))


def go_on(kind: str, mode_override: bytes = b"") -> bytes:
    """Nothing is changed by this answer to a message of this kind."""
    return _KINDS[kind] + b"\x00" + mode_override


def allow(*, at_headers: bool, mutation: Iterable[bytes], body: bytes | None, beside: bytes) -> bytes:
    """The verdict that lets a request pass. The route was chosen before it was known: it is chosen anew.

    Args:
        mutation: from `set_header` and `remove_header`.
        body: in place of the client's.
        beside: metadata and mode.
    """
    kind = _KINDS["request_headers" if at_headers else "request_body"]
    changes = _field(b"\x12", b"".join(mutation))
    if body is None:
        return _field(kind, _field(b"\x0a", changes + _CLEAR_ROUTE_CACHE)) + beside
    head = b"\x0a" + _varint(len(body))
    head = b"\x1a" + _varint(len(head) + len(body)) + head
    return _around(kind, changes + head, body, _CLEAR_ROUTE_CACHE) + beside


def response_headers(mutation: bytes, mode_override: bytes) -> bytes:
    """An answer to response headers."""
    return _field(_KINDS["response_headers"], _field(b"\x0a", _field(b"\x12", mutation))) + mode_override


def response_body(body: bytes) -> bytes:
    """An answer to a piece of the response body, with what is to stand in its place."""
    head = b"\x0a" + _varint(len(body))
    return _around(_KINDS["response_body"], b"\x1a" + _varint(len(head) + len(body)) + head, body, b"")


def _around(kind: bytes, before: bytes, body: bytes, after: bytes) -> bytes:
    """A `CommonResponse` in its place. Bodies are large: this one is copied once."""
    size = len(before) + len(body) + len(after)
    common = b"\x0a" + _varint(size)
    return b"".join((kind, _varint(len(common) + size), common, before, body, after))


def immediate(status: int, mutation: Iterable[bytes], body: bytes, details: str, beside: bytes) -> bytes:
    """An answer to the client, in the upstream's place."""
    parts = [
        _field(b"\x0a", b"\x08" + _varint(status)),
        _field(b"\x12", b"".join(mutation)),
        _field(b"\x1a", body),
        _field(b"\x2a", details.encode()),
    ]
    return _field(b"\x3a", b"".join(parts)) + beside
