"""Header blocks against `hpack`: what is read, and what may be remembered."""

from __future__ import annotations

import contextlib

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.wire.blocks import BlockReader, is_stateless
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.grpc import literal
from tests.extproc.wire.peer import block

NAMES = st.sampled_from([b":method", b":path", b"content-type", b"x-a", b"x" * 130, b"te", b""])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=6)


def decoded(data: bytes, history: bytes = b"") -> list[tuple[bytes, bytes]]:
    decoder = hpack.Decoder()
    if history:
        decoder.decode(history, raw=True)
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(data, raw=True)]


@given(fields=FIELDS, history=FIELDS, huffman=st.booleans())
def test_a_stateless_block_means_the_same_to_every_decoder(
    fields: list[tuple[bytes, bytes]], history: list[tuple[bytes, bytes]], huffman: bool
) -> None:
    data = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=huffman)
    assert is_stateless(data)
    moved = hpack.Encoder().encode(history)
    assert decoded(data) == decoded(data, moved) == fields


@given(fields=FIELDS.filter(bool))
def test_a_block_that_moves_or_reads_the_table_is_not_stateless(fields: list[tuple[bytes, bytes]]) -> None:
    encoder = hpack.Encoder()
    first = encoder.encode(fields)
    moved = list(encoder.header_table.dynamic_entries) != []
    assert is_stateless(first) == (not moved)
    again = encoder.encode(fields)
    if moved:
        assert not is_stateless(again)


@settings(max_examples=300)
@given(data=st.binary(max_size=60), history=FIELDS)
def test_whatever_is_called_stateless_is(data: bytes, history: list[tuple[bytes, bytes]]) -> None:
    try:
        plain = decoded(data)
    except Exception:
        return
    if is_stateless(data):
        assert decoded(data, hpack.Encoder().encode(history)) == plain


@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    # Anything else that is raised fails the test.
    with contextlib.suppress(PeerError):
        BlockReader(1_000).read(data)
    is_stateless(data)
    is_stateless(data, no_table=True)


@pytest.mark.parametrize(
    ("data", "anyway", "without_table"),
    [
        (b"", True, True),
        (b"\x82", True, True),
        (b"\xbd", True, True),
        (b"\xbe", False, False),
        (b"\x80", False, False),
        (literal(b"a", b"b" * 300), True, True),
        (b"\x10" + literal(b"a", b"b")[1:], True, True),
        (b"\x40" + literal(b"a", b"b")[1:], False, True),
        (b"\x44\x01/", False, True),
        (b"\x7f\x00\x01/", False, False),
        (b"\x20", False, False),
        (b"\x3f\xe1\x1f", False, False),
        (b"\x00\x01a\x05b", False, False),
        (b"\x00\x01", False, False),
        (b"\xff", False, False),
    ],
)
def test_what_is_stateless(data: bytes, anyway: bool, without_table: bool) -> None:
    assert is_stateless(data) == anyway
    assert is_stateless(data, no_table=True) == without_table


def test_without_a_table_none_may_be_used() -> None:
    reader = BlockReader(1_000)
    reader.forbid_table()
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    first = encoder.encode([("x", "y")])
    assert reader.read(first) == [(b"x", b"y")]
    assert not reader.is_stateless(first), "it changes the size of the table"
    again = encoder.encode([("x", "y")])
    assert reader.is_stateless(again)
    with pytest.raises(PeerError, match="bad_header_block"):
        reader.read(b"\xbe")


def test_a_peer_that_goes_on_with_its_table_is_refused() -> None:
    reader = BlockReader(1_000)
    reader.read(hpack.Encoder().encode([("x", "y")]))
    reader.forbid_table()
    with pytest.raises(PeerError, match="bad_header_block"):
        reader.read(block())


def test_a_list_that_is_too_large_is_refused() -> None:
    with pytest.raises(PeerError, match="header_list_too_large") as caught:
        BlockReader(100).read(b"\x82" * 3)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
