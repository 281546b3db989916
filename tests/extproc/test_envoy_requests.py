"""What is read by hand is what the generated classes wrote; and whatever is no message is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.envoy_requests import Part, RequestReader
from extproc.protos import DecodeError, Message, ProcessingRequest
from extproc.transport import ProtocolError

NAMES = st.text(st.characters(codec="ascii", min_codepoint=33), max_size=200)
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=300), st.booleans()), max_size=8)
HEADERS = ("request_headers", "response_headers")
BODIES = ("request_body", "response_body")
TRAILERS = ("request_trailers", "response_trailers")


def written(kind: str, fields: list[tuple[str, bytes, bool]], end: bool) -> Message:
    message = ProcessingRequest()
    part = getattr(message, kind)
    part.SetInParent()
    for name, value, raw in fields:
        field = part.headers.headers.add(key=name)
        if raw:
            field.raw_value = value
        else:
            field.value = value.decode("latin-1")
    part.end_of_stream = end
    return message


def expected(fields: list[tuple[str, bytes, bool]]) -> list[tuple[str, str]]:
    return [
        (name, value.decode("utf-8", "surrogateescape") if raw else value.decode("latin-1"))
        for name, value, raw in fields
    ]


READER = RequestReader()


@given(st.sampled_from(HEADERS), FIELDS, st.booleans())
def test_headers(kind: str, fields: list[tuple[str, bytes, bool]], end: bool) -> None:
    """Twice by one reader: what it remembers changes nothing."""
    data = written(kind, fields, end).SerializeToString()
    wanted = Part(kind, expected(fields), b"", end)
    assert [READER.read(data), READER.read(data), RequestReader().read(data)] == [wanted] * 3


@given(st.sampled_from(BODIES), st.sampled_from([0, 1, 127, 128, 16_384, 3_000_000]), st.booleans())
def test_bodies(kind: str, size: int, end: bool) -> None:
    message = ProcessingRequest()
    part = getattr(message, kind)
    part.SetInParent()
    part.body, part.end_of_stream = b"b" * size, end
    assert READER.read(message.SerializeToString()) == Part(kind, [], b"b" * size, end)


@pytest.mark.parametrize("kind", TRAILERS)
def test_trailers(kind: str) -> None:
    message = ProcessingRequest()
    getattr(message, kind).trailers.headers.add(key="a", raw_value=b"b")
    assert READER.read(message.SerializeToString()).kind == kind


def test_what_else_a_message_may_hold_is_passed_over() -> None:
    message = written("request_headers", [("a", b"1", True)], end=True)
    message.attributes["envoy.filters.http.ext_proc"].fields["x"].string_value = "y"
    message.metadata_context.filter_metadata["m"].fields["n"].number_value = 1.5
    message.observability_mode = True
    message.request_headers.attributes["k"].fields["v"].bool_value = True
    data = message.SerializeToString() + b"\xf8\x7f\x01" + b"\xf1\x7f" + bytes(8) + b"\xf5\x7f" + bytes(4)
    assert READER.read(data) == Part("request_headers", [("a", "1")], b"", True)


ONE = written("request_headers", [("a", b"1", True)], end=False).SerializeToString()
REFUSED: list[Any] = [
    b"",
    b"\xff" * 20,
    ONE[:-1],
    ONE + ONE,
    ONE + b"\x22\x00",
    b"\x10\x01",
    b"\x12\x02\x08\x01",
    b"\x12\x02\x1a\x00",
    b"\x12\x04\x0a\x02\x12\x00",
    b"\x12\x08\x0a\x00\x0a\x00",
    b"\x22\x04\x0a\x00\x0a\x00",
    b"\x22\x02\x08\x01",
    b"\x13\x00",
    b"\x00\x00",
    b"\x12\x04\x0a\x02\x0a\x05",
]


@pytest.mark.parametrize("data", REFUSED)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        READER.read(data)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: ONE + tail))
def test_whatever_the_bytes(data: bytes) -> None:
    """It is refused, or protobuf reads the same."""
    try:
        part = READER.read(data)
    except ProtocolError:
        return
    try:
        message = ProcessingRequest.FromString(data)
    except DecodeError:
        # Stricter about what we pass over.
        return
    assert message.WhichOneof("request") == part.kind
    if part.kind in HEADERS:
        read = getattr(message, part.kind).headers.headers
        assert part.fields == [
            (one.key, (one.raw_value or one.value.encode()).decode("utf-8", "surrogateescape")) for one in read
        ]


def test_credentials_and_long_values_are_not_remembered() -> None:
    reader = RequestReader()
    fields = [("authorization", b"Bearer s3cret", True), ("x-long", b"v" * 300, True), ("accept", b"*/*", True)]
    reader.read(written("request_headers", fields, end=True).SerializeToString())
    assert list(reader._known.values()) == [("accept", "*/*")]


def test_what_is_remembered_is_bounded() -> None:
    reader = RequestReader()
    for number in range(5_000):
        reader.read(written("request_headers", [("x", str(number).encode(), True)], end=True).SerializeToString())
    assert len(reader._known) <= 2_048
