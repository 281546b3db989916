"""gRPC's rules: what opens a call, how messages are framed, what ends it."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.wire.grpc import (
    Assembler,
    MessageError,
    Opening,
    Status,
    are_trailers,
    literal,
    read_opening,
    trailers,
    trailers_only,
)
from tests.extproc.wire.peer import FIELDS, changed, fields_of, framed

Pairs = list[tuple[str, str]]


def opening(fields: Pairs | tuple[tuple[str, str], ...]) -> Opening:
    return read_opening([(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields])


def test_an_ordinary_call() -> None:
    assert opening(FIELDS) == Opening("/a.Service/Call")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1H", 3600.0),
        ("2M", 120.0),
        ("3S", 3.0),
        ("200m", 0.2),
        ("5u", 5e-6),
        ("7n", 7e-9),
        ("99999999H", 359999996400.0),
    ],
)
def test_timeouts(value: str, seconds: float) -> None:
    assert opening(changed(grpc_timeout=value)).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", ["", "1", "S", "123456789S", "1s", "-1S", "1.5S", "1S ", "１S".encode().decode("latin-1")]
)
def test_a_malformed_timeout_ends_the_call(value: str) -> None:
    found = opening(changed(grpc_timeout=value))
    if not found.malformed:
        assert fields_of(found.refusal)["grpc-status"] == "13"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([*FIELDS, ("connection", "close")], "connection_field"),
        ([*FIELDS, ("transfer-encoding", "chunked")], "connection_field"),
        (changed(te="gzip"), "connection_field"),
        ([*FIELDS, ("X-Upper", "1")], "bad_field_name"),
        ([*FIELDS, ("", "1")], "bad_field_name"),
        ([*FIELDS, ("a b", "1")], "bad_field_name"),
        (changed(x="a\r\nb"), "bad_field_value"),
        (changed(x="a\0"), "bad_field_value"),
        (changed(x=" a"), "bad_field_value"),
        (changed(x="a\t"), "bad_field_value"),
        (changed(x="a\n"), "bad_field_value"),
        ([*FIELDS, (":path", "/late")], "bad_pseudo_field"),
        ([(":path", "/a"), *FIELDS], "bad_pseudo_field"),
        ([(":status", "200"), *FIELDS], "bad_pseudo_field"),
        ([(":protocol", "x"), *FIELDS], "bad_pseudo_field"),
        (FIELDS[1:], "missing_pseudo_field"),
        ([*FIELDS[:1], *FIELDS[2:]], "missing_pseudo_field"),
        (changed(_path=""), "missing_pseudo_field"),
        ([*FIELDS, ("content-length", "1"), ("content-length", "2")], "bad_content_length"),
        (changed(content_length="-1"), "bad_content_length"),
        (changed(content_length="9" * 19), "bad_content_length"),
    ],
)
def test_what_is_no_request(fields: Pairs, why: str) -> None:
    assert opening(fields).malformed == why


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (changed(_method="GET"), "405"),
        (changed(content_type="application/json"), "415"),
        (changed(content_type="application/grpc-web"), "415"),
        ([field for field in FIELDS if field[0] != "content-type"], "415"),
    ],
)
def test_what_is_no_call_is_answered_in_http(fields: Pairs, status: str) -> None:
    assert fields_of(opening(fields).refusal)[":status"] == status


@pytest.mark.parametrize("media", ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"])
def test_media_types_of_grpc(media: str) -> None:
    found = opening(changed(content_type=media, content_length="12"))
    assert (found.refusal, found.malformed, found.content_length) == (b"", "", 12)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 254, 255, 300, 20_000])
def test_literals_of_any_length(size: int) -> None:
    assert fields_of(literal(b"a", b"v" * size)) == {"a": "v" * size}


@given(text=st.text(max_size=2_000))
def test_messages_of_any_text_are_legal_fields(text: str) -> None:
    found = fields_of(trailers(Status.INTERNAL, text))
    assert found["grpc-status"] == "13"
    assert all(" " <= character <= "~" for character in found.get("grpc-message", ""))
    assert len(found.get("grpc-message", "")) < 13_000


def test_a_message_is_percent_encoded() -> None:
    assert fields_of(trailers(Status.ABORTED, "50% é\n"))["grpc-message"] == "50%25 %C3%A9%0A"
    assert fields_of(trailers_only(Status.UNIMPLEMENTED, "x")) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "12",
        "grpc-message": "x",
        "grpc-accept-encoding": "identity",
    }


def test_trailers_have_no_pseudo_fields() -> None:
    assert are_trailers([(b"a", b"b")])
    assert not are_trailers([(b"a", b"b"), (b":path", b"/")])


@given(bodies=st.lists(st.binary(max_size=40), max_size=8), cuts=st.lists(st.integers(0, 400), max_size=10))
def test_messages_come_whole_wherever_frames_end(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(framed, bodies))
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    inbox = Assembler(40)
    found = []
    for start, end in itertools.pairwise(places):
        found += inbox.feed(data[start:end])
    assert found == bodies
    assert inbox.is_between_messages
    assert inbox.held == 0


def test_a_message_in_two_thousand_parts() -> None:
    body = bytes(range(256)) * 64
    inbox = Assembler(len(body))
    data = framed(body)
    found = [one for start in range(0, len(data), 7) for one in inbox.feed(data[start : start + 7])]
    assert found == [body]


def test_tiny_parts_cost_little_more_than_their_bytes() -> None:
    inbox = Assembler(1_000_000)
    inbox.feed(framed(bytes(1_000_000))[:5])
    tracemalloc.start()
    for index in range(200_000):
        inbox.feed(index.to_bytes(3, "big"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert inbox.held == 600_000
    assert held < 1.3 * inbox.held
    inbox.clear()
    assert (inbox.held, inbox.is_between_messages) == (0, True)


@pytest.mark.parametrize(
    ("data", "status", "name"),
    [
        (b"\x01\0\0\0\0", Status.UNIMPLEMENTED, "compressed_message"),
        (b"\xff\0\0\0\x01a", Status.UNIMPLEMENTED, "compressed_message"),
        (b"\0\0\0\0\x0b", Status.RESOURCE_EXHAUSTED, "message_too_large"),
        (b"\0\xff\xff\xff\xff", Status.RESOURCE_EXHAUSTED, "message_too_large"),
        (framed(b"x" * 11), Status.RESOURCE_EXHAUSTED, "message_too_large"),
    ],
)
def test_messages_that_are_not_taken(data: bytes, status: Status, name: str) -> None:
    with pytest.raises(MessageError) as caught:
        Assembler(10).feed(data)
    assert (caught.value.status, caught.value.name) == (status, name)
