"""What is written by hand must be what the generated classes read, and nothing less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc import envoy_messages as messages
from extproc.protos import HeaderValueOption, Message, ProcessingMode, ProcessingResponse

SIZES = [0, 1, 127, 128, 4_095, 4_096, 16_384, 300_000]
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
ACTIONS = HeaderValueOption.HeaderAppendAction
OVERWRITE, APPEND = ACTIONS.Value("OVERWRITE_IF_EXISTS_OR_ADD"), ACTIONS.Value("APPEND_IF_EXISTS_OR_ADD")
SENDS, BODIES = ProcessingMode.HeaderSendMode, ProcessingMode.BodySendMode


def read(data: bytes) -> Message:
    """The message, which holds nothing that its classes do not know."""
    message = ProcessingResponse.FromString(data)
    size = message.ByteSize()
    message.DiscardUnknownFields()
    assert message.ByteSize() == size
    return message


def filled(mutation: Message, sets: list[tuple[str, str, bool]], removed: list[str]) -> None:
    for name, value, append in sets:
        option = mutation.set_headers.add()
        option.header.key, option.header.raw_value = name, value.encode()
        option.append_action = APPEND if append else OVERWRITE
    mutation.remove_headers.extend(removed)


def encoded(sets: list[tuple[str, str, bool]], removed: list[str]) -> list[bytes]:
    return [
        *(messages.set_header(name, value, append=append) for name, value, append in sets),
        messages.remove_headers(tuple(removed)),
    ]


SETS = st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=6)


@given(SETS, st.lists(TEXT, max_size=6), st.booleans(), st.none() | st.sampled_from(SIZES))
def test_a_verdict_that_lets_pass(
    sets: list[tuple[str, str, bool]], removed: list[str], at_headers: bool, size: int | None
) -> None:
    body = None if size is None else b"x" * size
    beside = messages.metadata("sluicegate", b"") + messages.mode(response_headers=messages.SKIP)
    found = read(messages.allow(at_headers=at_headers, mutation=encoded(sets, removed), body=body, beside=beside))
    expected = ProcessingResponse()
    common = (expected.request_headers if at_headers else expected.request_body).response
    common.header_mutation.SetInParent()
    filled(common.header_mutation, sets, removed)
    common.clear_route_cache = True
    if body is not None:
        common.body_mutation.body = body
    expected.dynamic_metadata.fields["sluicegate"].struct_value.SetInParent()
    override = expected.mode_override
    override.response_header_mode = SENDS.Value("SKIP")
    override.request_trailer_mode = override.response_trailer_mode = SENDS.Value("SKIP")
    assert found == expected


@given(st.integers(100, 599), SETS, st.sampled_from(SIZES), st.text(st.characters(codec="ascii"), max_size=200))
def test_an_immediate_answer(status: int, sets: list[tuple[str, str, bool]], size: int, details: str) -> None:
    found = read(messages.immediate(status, encoded(sets, []), b"y" * size, details, b""))
    expected = ProcessingResponse()
    answer = expected.immediate_response
    answer.status.code, answer.body, answer.details = status, b"y" * size, details
    answer.headers.SetInParent()
    filled(answer.headers, sets, [])
    assert found == expected


@given(st.dictionaries(TEXT, TEXT | st.booleans(), max_size=8))
def test_metadata(expected: dict[str, str | bool]) -> None:
    found = read(messages.metadata("space", messages.entries(expected)))
    fields = found.dynamic_metadata.fields["space"].struct_value.fields
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in fields.items()} == expected
    assert set(found.dynamic_metadata.fields) == {"space"}


@pytest.mark.parametrize(
    "kind",
    [
        *("request_headers", "request_body", "request_trailers"),
        *("response_headers", "response_body", "response_trailers"),
    ],
)
def test_nothing_is_changed(kind: str) -> None:
    assert read(messages.go_on(kind)).WhichOneof("response") == kind
    told = read(messages.go_on(kind, messages.mode(request_body=messages.BUFFERED))).mode_override
    assert told.request_body_mode == BODIES.Value("BUFFERED")


@pytest.mark.parametrize("size", SIZES)
def test_pieces_of_a_response(size: int) -> None:
    found = read(messages.response_body(b"z" * size))
    assert found.response_body.response.body_mutation.body == b"z" * size


def test_response_headers() -> None:
    mode = messages.mode(response_headers=messages.SEND, response_body=messages.STREAMED)
    found = read(messages.response_headers(messages.remove_headers(("content-length",)), mode))
    assert list(found.response_headers.response.header_mutation.remove_headers) == ["content-length"]
    assert found.mode_override.response_header_mode == SENDS.Value("SEND")
    assert found.mode_override.response_body_mode == BODIES.Value("STREAMED")


def test_what_is_no_text_is_not_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        messages.set_header("x-user", "\udc80")
