"""What is remembered of header blocks."""

from __future__ import annotations

import hpack
import pytest

from extproc.wire.frames import PeerError
from extproc.wire.headers import HeaderReader
from extproc.wire.limits import Limits
from tests.extproc.wire.peer import FIELDS, block, changed


def test_a_block_that_means_the_same_for_ever_is_read_once() -> None:
    reader = HeaderReader(Limits())
    opening = reader.opening(block())
    assert opening.path == "/a.Service/Call"
    assert reader.opening(block()) is opening


def test_a_block_with_state_is_read_every_time() -> None:
    reader = HeaderReader(Limits())
    encoder = hpack.Encoder()
    first, again = encoder.encode(FIELDS), encoder.encode(changed(_path="/other"))
    assert reader.opening(first).path == "/a.Service/Call"
    assert reader.opening(again).path == "/other"
    # These bytes name an entry of the table, and the table has moved.
    third = encoder.encode(changed(_path="/other"))
    encoder.encode([("x-new", "1")])
    assert reader.opening(third).path == "/other"


def test_no_more_is_remembered_than_may_be() -> None:
    reader = HeaderReader(Limits(remembered=3))
    for index in range(10):
        reader.opening(block(changed(_path=f"/{index}")))
        assert len(reader._openings) <= 3
    large = block(changed(x="y" * 1_100))
    assert reader.opening(large) is not reader.opening(large)


def test_a_block_too_large_is_refused() -> None:
    with pytest.raises(PeerError, match="header_block_too_large"):
        HeaderReader(Limits(block=50)).opening(block())


@pytest.mark.parametrize(
    ("fields", "legal"), [([("a", "b")], True), ([], True), ([(":path", "/")], False), ([("A", "b")], False)]
)
def test_trailers(fields: list[tuple[str, str]], legal: bool) -> None:
    assert HeaderReader(Limits()).are_trailers(block(fields)) == legal
